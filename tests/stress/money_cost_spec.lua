-- What hard limits cost a request: CPU time of a gateway whose key, team and total have one, beside that of a gateway where none has, in one run, in
-- turn. And beside one without a ledger. STRESS_MONEY_ROUNDS (25), STRESS_MONEY_ROUND: questions in each (4000).
local e2e = require "support"
local money = require "money"

local rounds, questions = tonumber(os.getenv "STRESS_MONEY_ROUNDS") or 25, tonumber(os.getenv "STRESS_MONEY_ROUND") or 4000
local MOST = 1.05

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- All threads together, in µs.
local function cpu(g)
  local sum, pipe = 0, io.popen("cat /proc/" .. g.process.pid .. "/task/*/schedstat")
  for line in pipe:lines() do sum = sum + tonumber(line:match "^%d+") end
  pipe:close()
  return sum / 1000
end

describe("hard limits on key, team and total", function()
  teardown(e2e.stop)

  it("cost a request at most a twentieth more CPU time than none", function()
    local none = { total = false }
    for i = 1, 8 do none["key k" .. i] = false end
    for i = 0, 1 do none["team t" .. i] = false end
    local function world(limits, more) return money.start { limits = limits, more = more, biller = money.well_behaved, hedges = false } end
    local worlds = { limited = world {}, unlimited = world(none), ["no ledger"] = world(none, "ledger = false,") }
    local names, cost = { "limited", "unlimited", "no ledger" }, { limited = {}, unlimited = {}, ["no ledger"] = {} }
    for round = 0, rounds do                    -- the first warms up
      for k = 1, #names do
        local name = names[(k + round) % #names + 1]
        local w = worlds[name]
        local before = cpu(w.gateways[1])
        w:buy { requests = questions, connections = 64, leave = 0, dearest = 0 }
        local report = w:bought()
        assert.equal(questions, report.whole)
        cost[name][round] = (cpu(w.gateways[1]) - before) / questions
      end
      print(("round %2d: limited %.1f, unlimited %.1f, without a ledger %.1f us of CPU a request"):format(round, cost.limited[round],
        cost.unlimited[round], cost["no ledger"][round]))
    end
    local function ratio(of, to)
      local ratios = {}
      for round = 1, rounds do ratios[round] = cost[of][round] / cost[to][round] end
      return median(ratios)
    end
    local more = ratio("limited", "unlimited")
    print(("limited / unlimited: %.3f; limited / without a ledger: %.3f; unlimited / without a ledger: %.3f (medians of %d rounds of %d)"):format(more,
      ratio("limited", "no ledger"), ratio("unlimited", "no ledger"), rounds, questions))
    assert.is_true(more <= MOST, "with hard limits a request costs " .. more .. " times as much")
  end)
end)
