-- A4 and B2: the gateway's own holds, with tenant_budget beside them. One token of answer costs a dollar here, input nothing.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local dollar = { input = 0, output = 1e6 }

local function gateway(more)
  return support.gateway({ targets = { { provider = "a", name = "a", price = dollar }, { provider = "b", name = "b", price = dollar } },
                 providers = { a = function(request) return { text = "x", usage = { input = 1, output = request.json.max_tokens } } end } }, more)
end

local first_a = "return { select = function(r, targets) return targets:named 'a' .. targets:named 'b' end }"

describe("A4 hard cost cap", function()
  local ceilings = {
    ["a request"] = {},
    ["a key"] = { clients = { { name = "ann", budget = { limit = 10, per = "day" } } } },
    ["a team"] = { teams = { shop = { budget = { limit = 10, per = "day" } } }, clients = { { name = "ann", team = "shop" } } },
    ["everything"] = { budgets = { total = { limit = 10, per = "day" } } },
  }
  for of, ceiling in pairs(ceilings) do
    it("of " .. of .. ": what could cost more is refused before the call, costs nothing, and says why", function()
      local g = gateway(ceiling)
      local headers = { ["x-lunette-budget"] = of == "a request" and "10" or nil }
      local answer = g:ask { max_tokens = 11, headers = headers }
      assert.equal(402, answer.status)
      assert.equal("budget_exceeded", answer.error.code)
      assert.matches("10", answer.error.message)
      assert.equal(0, #g:provider "a".calls + #g:provider "b".calls)
      assert.equal(200, g:ask({ max_tokens = 10, headers = headers }).status)
    end)
  end

  it("what was held and not used is free again", function()
    local g = gateway { budgets = { total = { limit = 10, per = "day" } }, policy = first_a,
                        providers = { a = { text = "x", usage = { input = 1, output = 1 } } } }
    for _ = 1, 3 do assert.equal(200, g:ask({ max_tokens = 7 }).status) end     -- held 7 each time, paid 1
    assert.equal(200, g:ask({ max_tokens = 7 }).status)
    assert.equal(402, g:ask({ max_tokens = 7 }).status)                         -- 4 are spent
  end)
end)

describe("B2 budget guard", function()
  local fails = { a = { text = "half", cut = "fin" }, b = { text = "x", usage = { input = 1, output = 5 } } }

  it("an attempt that may have been billed counts, and a retry that would pass the budget is not made", function()
    local g = gateway { budgets = { total = { limit = 9, per = "day" } }, policy = first_a, providers = fails }
    local answer = g:ask { max_tokens = 5 }
    assert.not_equal(200, answer.status)
    assert.equal(1, #g:provider "a".calls)
    assert.equal(0, #g:provider "b".calls)
    g = gateway { budgets = { total = { limit = 10, per = "day" } }, policy = first_a, providers = fails }
    assert.equal(200, g:ask({ max_tokens = 5 }).status)
    assert.equal(402, g:ask({ max_tokens = 1 }).status)
  end)

  it("one that was not billed costs nothing", function()
    local g = gateway { budgets = { total = { limit = 5, per = "day" } }, policy = first_a, providers = { a = 503, b = fails.b } }
    assert.equal(200, g:ask({ max_tokens = 5 }).status)
  end)

  it("a policy is told of the soft limit before the hard one, and may degrade", function()
    local policy = [[local lunette = require "lunette"
      return { budget = function(request, spend)
        if spend.total.share >= spend.total.soft then lunette.metric "soft_limit" return lunette.degrade(function(target) return target.name == "b" end) end
      end, select = function(request, targets) return targets:by "name" end }]]
    local g = gateway { budgets = { total = { limit = 10, per = "day", soft = 0.8 } }, policy = policy }
    assert.equal("a", g:ask({ max_tokens = 8 }).target)
    assert.equal("b", g:ask({ max_tokens = 1 }).target)
    assert.equal(1, g:metric "lunette_policy_soft_limit")
  end)
end)
