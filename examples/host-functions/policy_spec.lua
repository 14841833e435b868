-- policy.lua with a stub in the place of the program's classifier. `lunette test` in this folder.
local t = require "lunette.test"

local function gateway(classify)
  return t.gateway { config = "gateway.lua", host = { classify = classify } }
end

describe("auto", function()
  it("sends small talk to the small model", function()
    local answer = gateway(function() return "smalltalk", 0.9 end):ask "Hello!"
    assert.same({ "smalltalk" }, answer.labels)
    assert.equal("small", answer.model)
  end)

  it("sends everything else to the large one", function()
    assert.equal("large", gateway(function() return "billing", 0.9 end):ask("My invoice is wrong").model)
  end)

  it("gives the classifier the text, and nothing more", function()
    local got
    gateway(function(...) got = { ... } return "smalltalk", 1 end):ask "Hello!"
    assert.same({ "Hello!" }, got)
  end)

  it("takes no answer that the classifier is not sure of", function()
    local g = gateway(function() return "smalltalk", 0.59 end)
    assert.same({ "unknown" }, g:ask("Hm.").labels)
    assert.equal("large", g:ask("Hm.").model)
  end)

  it("goes on without the classifier when that fails, and says so", function()
    local g = gateway(function() error("no model file", 0) end)
    assert.same({ "unknown" }, g:ask("Hello!").labels)
    assert.matches("no model file", table.concat(g.messages, "\n"), 1, true)
  end)

  it("goes on where there is none", function()
    assert.same({ "unknown" }, t.gateway({ config = "gateway.lua" }):ask("Hello!").labels)
  end)
end)
