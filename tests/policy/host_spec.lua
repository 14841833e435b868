-- lunette.host: functions of the program round the gateway, which a spec lends in its place.
local t = require "lunette.test"

local function hook(body, host)
  return t.gateway { targets = { "a" }, host = host,
    policy = "local l = require 'lunette' return { classify = function(request) " .. body .. " end }" }
end

describe("lunette.host", function()
  it("is the spec's functions", function()
    local seen
    local g = hook("return l.host.classify(request.text, #request.text, true, nil)", { classify = function(...)
      seen = { n = select("#", ...), ... }
      return "code"
    end })
    assert.same({ "code" }, g:ask("fix this").labels)
    assert.same({ n = 4, "fix this", 8, true }, seen)
  end)

  it("gives back several values, texts with zeros among them", function()
    local g = hook("local a, b, c, d = l.host.f() return { tostring(a), tostring(b), tostring(c), tostring(#d) }",
      { f = function() return nil, 2.5, false, "x\0y" end })
    assert.same({ "nil", "2.5", "false", "3" }, g:ask("hi").labels)
  end)

  it("raises in the policy what a function raises, and the default decides", function()
    local g = hook("return l.host.f()", { f = function() error("no model file", 0) end })
    assert.equal(200, g:ask("hi").status)
    assert.truthy(table.concat(g.messages, "\n"):find("lunette.host.f: no model file", 1, true))
  end)

  it("raises in the policy what is no text, number, boolean or nil", function()
    local g = hook("return l.host.f()", { f = function() return "a", {} end })
    assert.equal(200, g:ask("hi").status)
    assert.truthy(table.concat(g.messages, "\n"):find("no text, number, boolean or nil", 1, true))
  end)

  it("is an empty table where there is no host", function()
    assert.same({ "nil" }, hook("return tostring(l.host.classify)"):ask("hi").labels)
  end)

  it("takes nothing but functions by name", function()
    assert.has_error(function() hook("", { f = 1 }) end)
    assert.has_error(function() hook("", { ["not a name"] = function() end }) end)
  end)
end)
