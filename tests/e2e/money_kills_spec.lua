-- A gateway that is killed again and again while many clients spend through it: what a client was answered is in the ledger, what the provider charged is charged, and no
-- limit is passed. STRESS_MONEY_KILLS: how often (8).
local e2e = require "support"
local money = require "money"

local kills = tonumber(os.getenv "STRESS_MONEY_KILLS") or 8
local show = os.getenv "STRESS_FIGURES" and print or function() end

-- What the budgets have left after each raise, in USD: a little for some, and all of it together is a little less than what is spent until the next.
local rises = { ["key k1"] = 0.02, ["key k2"] = 0.2, ["team t1"] = 0.3, total = 1 }
local RISE_EVERY = 10

describe("a gateway that is killed while its clients spend", function()
  local world, g, report, books, spent
  local seed, ready, early = 4711, {}, 0
  teardown(e2e.stop)

  local function random(most)
    seed = (seed * 16807) % 2147483647
    return seed % (most + 1)
  end

  local function raise()
    local before = world.spent_before or {}
    local limits = {}
    for name, rise in pairs(rises) do limits[name] = (before[name] and before[name].used or 0) + math.floor(rise * 1e9) end
    world.limits = limits
    g:replace("gateway.lua", world:config(limits))
  end

  setup(function()
    world = money.start { keys = 8, teams = 2, limits = {} }
    g = world.gateways[1]
    world:kill(g)
    raise()
    world:revive(g)
    world:buy { connections = 256 }
    for kill = 1, kills do
      money.pause(0.01 + random(120) / 1000)
      if kill % RISE_EVERY == 0 then
        world.spent_before = world:spent(g)
        world:check(world.spent_before, { charged = world:books().charged, owed = {} })
      end
      world:kill(g)
      if kill % RISE_EVERY == 0 then raise() end
      if kill % 6 == 0 then                     -- and again, while it recovers
        early = early + 1
        world:revive(g, random(40) / 1000)
      end
      ready[#ready + 1] = world:revive(g)
    end
    report = world:enough()
    spent, books = world:settled(g), world:books()
  end)

  it("is ready again within a second", function()
    local sum, most = 0, 0
    for _, t in ipairs(ready) do sum, most = sum + t, math.max(most, t) end
    show(("%d kills, %d of them before it was ready: ready again after %.0f ms on average, %.0f at most"):format(kills + early, early, 1000 * sum / #ready, 1000 * most))
    assert.is_true(most < 1, "one took " .. most .. " s")
  end)

  it("has lost no answer that a client has received", function()
    local answers = world:answers(g)
    show(("%d questions, %d broken off; %d answers received whole, of which %d are not in the ledger and %d have another cost there"):format(report.asked, report.broken + report.cut,
      answers.n, answers.missing, answers.different))
    assert.is_true(answers.n > 10 * kills and report.broken > kills)
    assert.same({ 0, 0 }, { answers.missing, answers.different }, answers.example)
  end)

  it("has charged all that the provider has, and no budget more than its limit", function()
    for name in pairs(rises) do
      show(("%-8s limit %16d  spent %16d  really charged %16d, may have %16d nano-USD"):format(name, spent[name].limit, spent[name].used, books.charged[name], books.owed[name]))
    end
    world:check(spent, books)
    assert.is_true((report.refused.total or { n = 0 }).n + (report.refused["key k1"] or { n = 0 }).n > 0)
  end)

  it("says what the rows of its ledger amount to", function()
    g:stop()
    local rows = world:rows(g)
    for name, b in pairs(spent) do assert.equal(rows[name] and rows[name].used or 0, b.used, name) end
    world:check(rows, books)
  end)
end)
