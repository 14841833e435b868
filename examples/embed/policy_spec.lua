-- The policy alone, on simulated time; the spec lends what the program would. `lunette test` in this folder.
local t = require "lunette.test"

local function gateway(plan)
  return t.gateway { config = "gateway.lua", host = { plan_of = function(user) return user == "ann" and plan or nil end } }
end

describe("auto", function()
  it("gives the large model to who pays for gold", function()
    local answer = gateway "gold":ask { text = "hi", user = "ann" }
    assert.equal("large", answer.model)
    assert.same({ "gold", "short" }, answer.labels)
  end)

  it("gives everybody else the small one", function()
    assert.equal("small", gateway "gold":ask("hi").model)
  end)

  it("gives the large one to long questions", function()
    assert.equal("large", gateway "free":ask(("word "):rep(21)).model)
  end)
end)
