local t = require "lunette.test"

describe("the default plan", function()
  it("goes to the second when the first says 429", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 429, b = "hello" } }
    local answer = g:ask { text = "hi", session = "s" }
    assert.equal(200, answer.status)
    assert.equal("b", answer.target)
  end)
end)
