-- Many clients at once on budgets that are too small for them, with a provider that fails, cuts, never answers and claims more than it charged: by its
-- own books it is never paid more than a limit allows, and nothing is refused that fits. STRESS_MONEY_REQUESTS: how many questions (3000).
local e2e = require "support"
local money = require "money"
local sanitized = e2e.lunette:find "build%-"

local requests = tonumber(os.getenv "STRESS_MONEY_REQUESTS") or 3000
local show = os.getenv "STRESS_FIGURES" and print or function() end

-- The share that each budget has of what all would like to spend: some much too small, some just so, most more than enough; of all of it two thirds.
local shares = { ["key k1"] = 0.0005, ["key k2"] = 0.01, ["key k3"] = 0.03, ["team t1"] = 0.15, ["tag tenant"] = 0.18, total = 0.65 }

for kind, rolling in pairs { [""] = false, [" and budgets that are windows"] = 86400 } do
describe("under many clients at once, with a provider that does not do what it should" .. kind .. ",", function()
  local world, report, spent, books, sums
  teardown(e2e.stop)

  -- What a question costs on average is tried first; the limits follow from it.
  setup(function()
    world = money.start { keys = 12, teams = 3, tenants = 4, rolling = rolling }
    local try = math.max(500, requests / 50)
    world:buy { requests = try, connections = 128 }
    world:bought()
    local before, limits = world:settled(world.gateways[1]), {}
    before["tag tenant"] = { used = before.total.used / 4 }
    for name, share in pairs(shares) do limits[name] = math.floor(before[name].used + before.total.used / try * requests * share) end
    world:limit(limits)
    world:buy { requests = requests, connections = 512 }
    report = world:bought()
    spent = world:settled(world.gateways[1])
    books, sums = world:books()
    show(("%d questions in %.1f s (%.0f/s): %d answered whole (%d streams), %d of them compared to the nano-USD"):format(report.asked, report.seconds,
      report.asked / report.seconds, report.whole, report.streams, report.exact))
    local status = report.status
    show(("402: %d, 502: %d, 503: %d, 504: %d; %d streams cut, %d clients left in the middle"):format(status["402"] or 0, status["502"] or 0,
      status["503"] or 0, status["504"] or 0, report.cut, report.left))
    local fates = {}
    for name, n in pairs(sums.fates) do fates[#fates + 1] = n .. " " .. name end
    show(("the provider was asked %d times: %s"):format(sums.requests, table.concat(fates, ", ")))
    for name in pairs(shares) do
      name = name == "tag tenant" and "tag tenant=v0" or name
      local refused = report.refused[name] or { n = 0, left_most = 0 }
      show(("%-13s limit %15d  spent %15s  really charged %15d, may have %15d nano-USD; refused %7d, at most %d was left"):format(name, world:limit_of(name),
        spent[name] and spent[name].used or "", books.charged[name], books.owed[name], refused.n, refused.left_most))
    end
  end)

  it("no budget is overspent by one nano-dollar, and none says less than the provider charged", function() world:check(spent, books) end)

  it("the ledger verifies, and its rows amount to what is said", function()
    local g = world.gateways[1]
    show((world:verify(g):gsub("%s+$", "")))
    local rows
    e2e.eventually("all rows are written", function()
      rows = world:rows(g)
      for name, b in pairs(spent) do if (rows[name] and rows[name].used or 0) ~= b.used then return false end end
      return true
    end)
    world:check(rows, books)
  end)

  if rolling then return end                                -- what follows is no matter of periods

  it("most is served, and every limit is reached", function()
    assert.equal(0, report.broken)
    assert.is_true(report.whole > 0.4 * requests, report.whole .. " of " .. requests)
    local refused = {}
    for name in pairs(report.refused) do refused[name:match "^tag tenant" or name] = true end
    if sanitized then return end                            -- slow: others of them may have refused it all
    for name in pairs(shares) do assert.is_true(refused[name], name .. " refused nothing") end
  end)

  it("answers name the cost that their usage amounts to, exactly", function() assert.is_true(report.exact > 0.3 * requests, tostring(report.exact)) end)

  it("all that can go wrong did", function()
    for fate, n in pairs(sums.fates) do assert.is_true(n > 0, fate) end
    local metrics = world.gateways[1]:metrics()
    for _, name in ipairs { "retries", "hedges", "fallbacks" } do assert.is_truthy(metrics:match("\nlunette_" .. name .. "_total[^\n]* [1-9]"), name) end
  end)

  it("nothing is refused while more than the dearest question is left", function()
    for name, refused in pairs(report.refused) do assert.is_true(refused.left_most < money.dearest(), name .. ": " .. refused.left_most) end
  end)

  it("what costs at most what is left is sent, and what may cost a token more is refused", function()
    local g = world.gateways[1]
    for i, name in ipairs { "key k12", "team t0", "total" } do
      local most = world:leave(g, 12, name, 54321987 + i)
      assert.equal(402, world:ask_one(g, 12, most + 1).status)
      local asked = select(2, world:books()).requests
      assert.not_equal(402, world:ask_one(g, 12, most).status)
      assert.is_true(select(2, world:books()).requests > asked)
      world:check(world:settled(g), world:books())
    end
  end)
end)
end

describe("with a provider that answers everything", function()
  after_each(e2e.stop)

  it("every budget is spent by exactly what the answers claim", function()
    local world = money.start { keys = 6, teams = 2, biller = money.well_behaved, hedges = false }
    world:buy { requests = 1000, connections = 256, leave = 0 }
    assert.equal(1000, world:bought().exact)
    local spent, books = world:settled(world.gateways[1]), world:books()
    for name, owed in pairs(books.owed) do assert.equal(owed, spent[name].used, name) end
  end)

  it("or breaks off every second stream, a broken one counts as all that it may have cost, whatever it told until then", function()
    local biller = { counts = 100, cut = 100 }
    for name, value in pairs(money.well_behaved) do biller[name] = biller[name] or value end
    local world = money.start { keys = 6, teams = 2, biller = biller, hedges = false, retries = false }
    world:buy { requests = 600, connections = 128, leave = 0, stream = 100 }
    assert.is_true(world:bought().cut > 100)
    world:check(world:settled(world.gateways[1]), world:books())
  end)
end)
