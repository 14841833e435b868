-- Three gateways that share their budgets through one Redis, which is killed, cut off and emptied while many clients spend: together they overspend
-- nothing. And at the end, with everything up again, what is left can be had from each of them. STRESS_MONEY_RESTARTS: how often Redis is killed (3).
local e2e = require "support"
local money = require "money"

local restarts = tonumber(os.getenv "STRESS_MONEY_RESTARTS") or 3
local show = os.getenv "STRESS_FIGURES" and print or function() end

local rises = { ["key k1"] = 0.02, ["key k2"] = 0.1, ["team t1"] = 0.4, total = 1.5 }
local RISE_EVERY = 5

local function fails_in_every_way(per)
  local world, redis, report, books
  local seed = 99
  teardown(e2e.stop)

  local function random(most)
    seed = (seed * 16807) % 2147483647
    return seed % (most + 1)
  end

  -- All of them together, by the rows of their ledgers.
  local function all_rows()
    local sums = {}
    for _, g in ipairs(world.gateways) do
      for name, b in pairs(world:rows(g)) do
        sums[name] = sums[name] or { used = 0 }
        sums[name].used = sums[name].used + b.used
      end
    end
    for name in pairs(world:per_budget(function() end)) do sums[name] = sums[name] or { used = 0 } end
    return sums
  end

  local function raise()
    local sums, limits = all_rows(), {}
    for name, rise in pairs(rises) do limits[name] = math.max(sums[name].used + rise * 1e9, world.limits[name] or 0) end
    world:limit(limits)
  end

  local failures = {
    function() redis:command("client", "kill", "type", "normal") end,
    function() redis:command "flushall" end,
    function() redis:command("debug", "sleep", "0.3") end,
    function() redis:command("config", "set", "maxmemory", "1") money.pause(0.1) redis:command("config", "set", "maxmemory", "0") end,
    function()
      local g = world.gateways[1 + random(2)]
      world:kill(g, random(1) == 0 and e2e.SIGTERM or nil)
      world:revive(g)
    end,
  }

  setup(function()
    redis = money.redis()
    world = money.start { keys = 8, teams = 2, gateways = 3, workers = 1, per = per, more = ('redis = "%s",'):format(redis.url), limits = { total = 1e9 } }
    world:found()
    raise()
    world:buy { connections = 256, strict = 0 }
    for i = 1, restarts do
      money.pause(0.05 + random(200) / 1000)
      if i % RISE_EVERY == 0 then raise() end
      failures[1 + i % #failures]()
      money.pause(0.05 + random(200) / 1000)
      redis.process:stop(e2e.SIGKILL)
      if i % 3 == 0 then redis:lose_tail(random(300) / 1000) end
      money.pause(random(200) / 1000)
      redis:start()
      world:check_charged()
    end
    world:shared()
    money.pause(0.5)
    report = world:enough()
    for _, g in ipairs(world.gateways) do world:settled(g) end
    books = world:books()
  end)

  it("is overspent by nobody, and all that was charged is in their ledgers", function()
    local sums = all_rows()
    local status = report.status
    show(("%d questions, %d answered whole; 402: %d, 502: %d, 503: %d"):format(report.asked, report.whole, status["402"] or 0, status["502"] or 0,
      status["503"] or 0))
    for name in pairs(rises) do
      show(("%-8s limit %16d  spent by all %16d  really charged %16d, may have %16d nano-USD"):format(name, world.limits[name], sums[name].used,
        books.charged[name], books.owed[name]))
    end
    world:check(sums, books)
    for _, g in ipairs(world.gateways) do world:verify(g) end
    assert.is_true(report.whole > 50 * restarts)
  end)

  it("gives what is left to each of them once all is well again", function()
    local left, sums = 300e6, all_rows()
    world:limit { total = sums.total.used + left }
    for i, g in ipairs(world.gateways) do
      local began, refused = e2e.socket.gettime(), nil
      e2e.eventually("gateway " .. i .. " buys", function()      -- a limit holds once all have said that it does
        local answer = world:ask_one(g, i, math.floor(left / 10 / 1260))
        if answer.status ~= 402 and answer.status ~= 503 then return true end
        refused = answer.body
      end)
      if refused then show(("gateway %d: served after %.2f s; before: %s"):format(i, e2e.socket.gettime() - began, refused)) end
    end
  end)
end

describe("three gateways on one Redis that fails in every way", function() fails_in_every_way 'per = "ever"' end)

-- A piece of it is 10 seconds: what is spent lies in several, and all of it in the window.
describe("three gateways with windows that move along, on one Redis that fails in every way", function()
  local began, window = e2e.socket.gettime(), 80 * restarts
  fails_in_every_way(('per = "rolling", window = %d'):format(window))
  it("has spent all of that within the window", function() assert.is_true(e2e.socket.gettime() - began < window * 23 / 24) end)
end)
