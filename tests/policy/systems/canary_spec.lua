-- policies/canary.lua and policies/canary_policy.lua, and the block that they are made of.
local t = require "lunette.test"

local function models(more)
  local spec = { policy = "policies/canary.lua", models = { ["deepseek-v3.2"] = { "deepseek/d" }, ["kimi-k2"] = { "moonshot/k" }, other = { "x/o" } },
                 providers = { deepseek = "old", moonshot = "new", x = "other" }, health = false, limits = { retries = false },
                 canaries = { ["kimi-k2"] = { provider = "moonshot", model = "kimi-k2", samples = 1 } } }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("D2 policies/canary.lua", function()
  it("gives the new model to the users of the stage, who stay there, and the old one to the others", function()
    local g, new = models(), {}
    for stage, share in ipairs { 5, 15, 30, 50, 100 } do
      local n = 0
      for i = 1, 200 do
        local is = g:ask { model = "deepseek-v3.2", user = "u" .. i }.model == "kimi-k2"
        assert.is_true(is or not new[i])
        new[i], n = is, n + (is and 1 or 0)
      end
      assert.is_true(math.abs(n - 2 * share) <= 14, ("%d of 200 at %d %%"):format(n, share))
      g:advance(stage * 60 + 0.5 - g:now())
    end
    assert.equal("watching", g:canary "kimi-k2".state)
  end)

  it("by the client's key where there is no user", function()
    local g = models { clients = { { name = "ann" }, { name = "bob" } } }
    for _ = 1, 5 do assert.equal(g:ask { client = "bob" }.model, g:ask { client = "bob" }.model) end
    assert.same({}, g:ask { client = "bob" }.notes)                     -- nothing was left to chance
  end)

  it("leaves who names another model alone", function()
    local answer = models():ask { model = "other" }
    assert.same({ "other", nil }, { answer.text, answer.record.canaries })
  end)

  it("has the old model answer where the new one fails, and goes back", function()
    local g = models { providers = { deepseek = "old", moonshot = 500, x = "other" } }
    g:canary("kimi-k2", "promote")
    for _ = 1, 3 do
      local answer = g:ask { user = "ann" }
      assert.same({ 200, "old" }, { answer.status, answer.text })
    end
    g:advance(2)
    assert.same({ "rolled_back", "errors 100 % of 3 > 1 %" }, { g:canary "kimi-k2".state, g:canary "kimi-k2".why })
    assert.equal(1, #g:ask { user = "ann" }.attempts)
  end)

  it("is refused where gateway.lua lacks what it names", function()
    local good, why = pcall(models, { canaries = {} })
    assert.is_false(good)
    assert.is_truthy(why:find("canary.lua:%d+: canary.models: canary is to be a name in `canaries` of gateway.lua, got \"kimi%-k2\""), why)
    good, why = pcall(models, { canaries = { ["kimi-k2"] = { probe = false } }, models = { ["deepseek-v3.2"] = { "deepseek/d" } } })
    assert.is_false(good)
    assert.is_truthy(why:find("canary.lua:%d+: canary.models: new is to be a name in `models` of gateway.lua, got \"kimi%-k2\""), why)
  end)
end)

local function policies(new, more)
  local spec = { targets = { "a", "b" }, health = false, limits = { retries = false }, canaries = { router = { probe = false, samples = 1 } },
                 policy = ([[
    local canary = require "lunette.canary"
    local old = { settings = { share = { default = 5 } }, classify = function() return "old" end }
    local new = %s
    return canary.between { canary = "router", old = old, new = new }
  ]]):format(new) }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("D2 a canary between two policies", function()
  it("asks the hooks of the one or the other, all through a request", function()
    local g = policies [[{
      classify = function() return "new" end,
      judge = function() return require("lunette").refuse { status = 418 } end,
    }]]
    g:canary("router", "pause")
    for i = 1, 60 do
      local answer = g:ask { user = "u" .. i }
      local is_new = answer.record.canaries.router == "new"
      assert.same({ is_new and "new" or "old", is_new and 418 or 200 }, { answer.labels[1], answer.status })
    end
  end)

  it("counts a hook of the new one that fails as an error, and goes back to the old", function()
    local g = policies [[{ classify = function(request) return request.user.x.y end }]]
    g:canary("router", "promote")
    assert.equal(200, g:ask { user = "ann" }.status)
    g:advance(2)
    assert.same({ "rolled_back", "errors 100 % of 1 > 1 %" }, { g:canary "router".state, g:canary "router".why })
    assert.same({ "old" }, g:ask { user = "ann" }.labels)
  end)

  it("counts what nobody answered as an error, and not what another target did", function()
    local how = 500
    local g = policies([[{ classify = function() return "new" end }]], { providers = { a = 500, b = function() return how end } })
    g:canary("router", "promote")
    how = "fine"
    for _ = 1, 20 do assert.equal(200, g:ask { user = "ann" }.status) end
    g:advance(2)
    assert.same({ "watching", 0 }, { g:canary "router".state, g:canary "router".errors })
    how = 500
    for _ = 1, 10 do assert.equal(502, g:ask { user = "ann" }.status) end
    g:advance(2)
    assert.equal("rolled_back", g:canary "router".state)
  end)

  it("refuses two that differ in what holds for all requests", function()
    for new, problem in pairs {
      ["{ settings = { share = { default = 6 } } }"] = "policy.lua:4: canary.between: settings.share differs between the two policies",
      ["{ on_error = 'refuse' }"] = "policy.lua:4: canary.between: on_error differs between the two policies",
      ["5"] = "policy.lua:4: canary.between: new is to be a policy, a table of hooks, got 5",
    } do
      local good, why = pcall(policies, new)
      assert.is_false(good)
      assert.is_truthy(why:find(problem, 1, true), why)
    end
  end)

  it("comes along as policies/canary_policy.lua", function()
    local g = t.gateway { policy = "policies/canary_policy.lua", targets = { "a", "b" }, providers = { a = "a", b = "b" },
                          canaries = { router = { probe = false, samples = 1 } } }
    assert.same({ "a" }, { g:ask { user = "ann" }.target })
    g:canary("router", "promote")
    assert.same({ "whole" }, g:ask { user = "ann" }.labels)
  end)
end)
