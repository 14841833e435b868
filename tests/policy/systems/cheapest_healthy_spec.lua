-- policies/cheapest_healthy.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function target(name, price, quality, more)
  local config = { provider = name, name = name, price = { input = price, output = price }, facts = { quality = quality } }
  for field, value in pairs(more or {}) do config[field] = value end
  return config
end

local function gateway(providers, more)
  return support.gateway({
    policy = "policies/cheapest_healthy.lua", providers = providers,
    targets = { target("best", 20, 0.95), target("good", 5, 0.8, { supports = {} }), target("fair", 6, 0.75), target("poor", 1, 0.4), target("unknown", 0.5) },
  }, more)
end

local tried = support.tried

describe("cheapest healthy", function()
  it("the cheapest of those that are good enough answers, the others follow by price", function()
    assert.equal("good", tried(gateway():ask "hi"))
    assert.equal("good fair best", tried(gateway({ good = 500, fair = 500, best = 500 }):ask "hi"))
  end)

  it("one that rests comes last", function()
    local g = gateway { good = { { status = 429, headers = { ["retry-after"] = "60" } }, "well again" } }
    g:ask "hi"
    assert.equal("fair", tried(g:ask "hi"))
  end)

  it("one that cannot do what is asked is left out", function()
    local tools = { { type = "function", ["function"] = { name = "f", parameters = {} } } }
    assert.equal("fair", gateway():ask({ tools = tools }).target)
  end)

  it("tasks have floors of their own", function()
    assert.equal("best", gateway():ask({ task = "legal" }).target)
    assert.equal("fair", gateway({ good = 500 }):ask({ task = "translate" }).target)
    assert.equal("good", gateway():ask({ task = "translate" }).target)
  end)

  it("the floor can be set while it runs", function()
    assert.equal("poor", gateway(nil, { settings = { quality = 0.3 } }):ask("hi").target)
    assert.equal("unknown", gateway(nil, { settings = { quality = 0 } }):ask("hi").target)
  end)

  it("says so where nothing is good enough", function()
    local answer = gateway(nil, { settings = { quality = 0.99 } }):ask "hi"
    assert.equal(422, answer.status)
    assert.matches("quality of 0.99", answer.error.message)
  end)
end)
