-- policy.lua with the router that `lunette train scores.csv` wrote: `lunette test` in this folder.
local t = require "lunette.test"

local function gateway(options)
  options = options or {}
  options.config = "gateway.lua"
  return t.gateway(options)
end

local easy, hard = "When will my parcel be delivered?", "Compare both contracts and derive the yearly cost step by step with 5 percent interest."

describe("auto", function()
  it("asks the cheap model what it is good enough for", function()
    local answer = gateway():ask(easy)
    assert.same({ "easy" }, answer.labels)
    assert.equal("small", answer.model)
  end)

  it("asks the strong one what is hard", function()
    local answer = gateway():ask(hard)
    assert.same({ "hard" }, answer.labels)
    assert.equal("large", answer.model)
  end)

  it("leaves a named model alone", function()
    assert.equal("small", gateway():ask({ model = "small", text = hard }).model)
  end)
end)
