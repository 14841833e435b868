-- A gateway that is killed again and again while many clients spend through it: what a client was answered is in the ledger, what the provider charged
-- is charged, and no limit is passed. STRESS_MONEY_KILLS: how often (5). And one whose machine loses its power: STRESS_MONEY_CUTS (4).
local e2e = require "support"
local money = require "money"

local kills = tonumber(os.getenv "STRESS_MONEY_KILLS") or 5
local cuts = tonumber(os.getenv "STRESS_MONEY_CUTS") or 4
local show = os.getenv "STRESS_FIGURES" and print or function() end
local within = os.getenv "STRESS_FIGURES" and 1 or 5         -- seconds to be ready in; a machine that runs other tests too is slow

-- What the budgets have left after each raise, in USD: a little for some, and all of it together is a little less than what is spent until the next.
local rises = { ["key k1"] = 0.02, ["key k2"] = 0.2, ["team t1"] = 0.3, total = 1 }
local RISE_EVERY = 10

local function raised(before, times)
  local limits = {}
  for name, rise in pairs(rises) do limits[name] = (before[name] and before[name].used or 0) + math.floor(rise * (times or 1) * 1e9) end
  return limits
end

local seed = 4711
local function random(most)
  seed = (seed * 16807) % 2147483647
  return seed % (most + 1)
end

-- Windows move along by a few pieces while all that is spent stays within one. 20 of the 24 hours in all.
local DAY = 86400
local function advance(world, times) if world.options.rolling then world:advance(math.floor(DAY * 20 / 24 / times)) end end
local kinds = { { "" }, { " on budgets that are windows", DAY } }

local function show_budgets(spent, books)
  for name in pairs(rises) do
    show(("%-8s limit %16d  spent %16d  really charged %16d, may have %16d nano-USD"):format(name, spent[name].limit, spent[name].used, books.charged[name],
      books.owed[name]))
  end
end

describe("a gateway that is killed while its clients spend", function()
  local world, g, report, books, spent
  local ready, early = {}, 0
  teardown(e2e.stop)


  setup(function()
    world = money.start { keys = 8, teams = 2, limits = {} }
    g = world.gateways[1]
    world:limit(raised {})
    world:buy { connections = 256 }
    for kill = 1, kills do
      money.pause(0.02 + random(250) / 1000)
      local before = kill % RISE_EVERY == 0 and world:spent(g)
      world:kill(g)
      if before then
        world:check_charged()
        world:verify(g)
        world:limit(raised(before), "later")
      end
      if kill % 6 == 0 then                     -- and again, while it recovers
        early = early + 1
        world:revive(g, random(40) / 1000)
      end
      ready[#ready + 1] = world:revive(g)
    end
    money.pause(0.2)
    report = world:enough()
    spent, books = world:settled(g), world:books()
  end)

  it("is ready again within a second", function()
    local sum, most = 0, 0
    for _, t in ipairs(ready) do sum, most = sum + t, math.max(most, t) end
    show(("%d kills, %d of them before it was ready: ready again after %.0f ms on average, %.0f at most"):format(kills + early, early, 1000 * sum / #ready,
      1000 * most))
    assert.is_true(most < within, "one took " .. most .. " s")
  end)

  it("has lost no answer that a client has received", function()
    local answers = world:answers(g)
    show(("%d questions, %d broken off; %d answers received whole, of which %d are not in the ledger and %d have another cost there"):format(report.asked,
      report.broken + report.cut, answers.n, answers.missing, answers.different))
    assert.is_true(answers.n > 10 * kills and report.broken > kills)
    assert.same({ 0, 0 }, { answers.missing, answers.different }, answers.example)
  end)

  it("has charged all that the provider has, and no budget more than its limit", function()
    show_budgets(spent, books)
    world:check(spent, books)
    assert.is_true((report.refused.total or { n = 0 }).n + (report.refused["key k1"] or { n = 0 }).n > 0)
  end)

  it("says what the rows of its ledger amount to", function()
    g:stop()
    local rows = world:rows(g)
    for name, b in pairs(spent) do assert.equal(rows[name] and rows[name].used or 0, b.used, name) end
    world:check(rows, books)
    world:verify(g)
  end)
end)

for _, kind in ipairs(kinds) do describe("a gateway whose machine loses its power while its clients spend" .. kind[1] .. ",", function()
  local world, g, changed
  local MORE = 10         -- times as much: whatever was drawn and not spent stays charged after each cut
  teardown(e2e.stop)

  setup(function()
    world = money.start { keys = 8, teams = 2, powercut = true, rolling = kind[2] }
    g = world.gateways[1]
    world:limit(raised({}, MORE))
    world:buy { connections = 64 }
    changed = 0
    for cut = 1, cuts do
      money.pause(0.03 + random(150) / 1000)
      local before = cut % RISE_EVERY == 0 and world:spent(g)
      if random(3) == 0 then world:kill(g) else changed = changed + world:cut(g) end
      advance(world, cuts)
      if before then
        world:check_charged()
        world:verify(g)
        world:limit(raised(before, MORE), "later")
      end
      world:revive(g)
      world:check_charged()
    end
    world:enough()
  end)

  it("starts again, overspends nothing and has charged at least what the provider has", function()
    local spent, books = world:settled(g), world:books()
    local rest = world:query(g, "SELECT count(*), ifnull(sum(amount), 0) FROM l.rest JOIN l.account ON id = account AND budget = 'total';")[1]
    show(("%d cuts and %d kills; %d bytes were other ones on the disk; %d times a rest stays charged to the total, %d nano-USD in all"):format(world.cuts or 0,
      cuts - (world.cuts or 0), changed, rest[1], rest[2]))
    show_budgets(spent, books)
    world:check(spent, books)
    assert.is_true(cuts < 4 or (changed > 0 and rest[1] > 0))
    g:stop()
    world:check(world:rows(g), books)
    world:verify(g)
  end)
end) end

for _, kind in ipairs(kinds) do describe("two processes on one ledger, one of which is killed or ended in turn while clients buy" .. kind[1] .. ",", function()
  teardown(e2e.stop)

  it("overspend nothing together, and lose no answer", function()
    local world, ended = money.start { keys = 8, teams = 2, workers = 1, gateways = 2, one_ledger = true, rolling = kind[2] }, 0
    local both, g = world.gateways, world.gateways[1]
    world:limit(raised({}, 4))
    world:buy { connections = 64, strict = 0 }
    for kill = 1, kills do
      money.pause(0.05 + random(200) / 1000)
      local signal = random(2) == 0 and e2e.SIGTERM or e2e.SIGKILL
      if signal == e2e.SIGTERM then ended = ended + 1 end
      world:kill(both[1 + kill % 2], signal)
      advance(world, kills)
      money.pause(random(50) / 1000)
      if kill % RISE_EVERY == 0 then
        world:check_charged()
        world:limit(raised(world:rows(g), 4), "later")
        both[2 - kill % 2]:tell "reload"
      end
      world:revive(both[1 + kill % 2])
    end
    money.pause(0.2)
    local report = world:enough()
    world:settled(both[1])
    world:settled(both[2])
    both[1]:stop()
    both[2]:stop()
    local rows, books, answers = world:rows(g), world:books(), world:answers(g)
    for name in pairs(books.charged) do rows[name] = rows[name] or { used = 0 } end
    show(("%d questions, %d answered whole; one process was killed %d times and ended %d times"):format(report.asked, report.whole, kills - ended, ended))
    for name in pairs(rises) do
      show(("%-8s limit %16d  spent %16d  really charged %16d, may have %16d nano-USD"):format(name, world.limits[name], rows[name].used, books.charged[name],
        books.owed[name]))
    end
    world:check(rows, books)
    assert.same({ 0, 0 }, { answers.missing, answers.different }, answers.example)
    world:verify(g)
  end)
end) end
