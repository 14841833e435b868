-- policies/tenant_budget.lua. One token costs a dollar here.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

local function gateway(more)
  local dollar = { input = 0, output = 1e6 }
  return support.gateway({
    policy = "policies/tenant_budget.lua",
    models = { large = { { provider = "large", name = "large", price = dollar } },
               ["deepseek-v3.2"] = { { provider = "small", name = "small", price = { input = 0, output = 0 } } } },
    providers = { large = function(request) return { text = "x", usage = { input = 1, output = request.json.max_tokens } } end },
    teams = { shop = { budget = { limit = 100, per = "day" } }, other = { budget = { limit = 100, per = "day" } } },
    clients = { { name = "ann", team = "shop" }, { name = "bob", team = "shop" }, { name = "eve", team = "other" } },
  }, more)
end

local function spend(g, usd) return g:ask { model = "large", client = "ann", max_tokens = usd } end

describe("tenant budget", function()
  it("below 80 % everybody gets what was asked for", function()
    local g = gateway()
    spend(g, 79)
    assert.equal("large", spend(g, 1).target)
  end)

  it("from 80 % on the cheap model answers, for every key of the team", function()
    local g = gateway()
    spend(g, 80)
    local answer = g:ask { model = "large", client = "bob" }
    assert.equal("small", answer.target)
    assert.equal("deepseek-v3.2", answer.model)
    assert.equal(0.8, answer.notes.team_share)
  end)

  it("other teams notice nothing", function()
    local g = gateway()
    spend(g, 80)
    assert.equal("large", g:ask({ model = "large", client = "eve", max_tokens = 1 }).target)
  end)

  it("from 95 % on only short questions are answered", function()
    local g = gateway()
    spend(g, 79)
    spend(g, 17)
    local answer = g:ask { client = "bob", text = ("word "):rep(2000) }
    assert.equal(402, answer.status)
    assert.matches("team shop", answer.error.message)
    assert.equal("small", g:ask({ client = "bob", text = "hi" }).target)
  end)

  it("the hard limit holds, whatever the policy says", function()
    local g = gateway { settings = { degrade_at = 1, refuse_at = 1 } }
    spend(g, 79)
    assert.equal(402, spend(g, 22).status)
    assert.equal("large", spend(g, 21).target)
  end)

  it("the next day begins anew", function()
    local g = gateway()
    spend(g, 80)
    t.advance(24 * 3600)
    assert.equal("large", spend(g, 1).target)
  end)

  it("the shares can be set while it runs", function()
    local g = gateway { settings = { degrade_at = 0.5 } }
    spend(g, 50)
    assert.equal("small", spend(g, 1).target)
  end)
end)
