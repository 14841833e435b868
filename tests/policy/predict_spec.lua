-- A policy that asks a router which model is good enough.
local t = require "lunette.test"

local function gateway(policy) return t.gateway { policy = policy or "shared/asks_router.lua", targets = { "a", "b" } } end
local long = "Which of these two contracts is the cheaper one if we cancel after three years, and what would each of them cost us until then?"

describe("lunette.predict", function()
  it("decides by a router beside the policy", function()
    local g = gateway()
    local hard, easy = g:ask(long), g:ask "Hello there"
    assert.same({ "b", "hard" }, { hard.target, hard.labels[1] })
    assert.same({ "a", "easy" }, { easy.target, easy.labels[1] })
    assert.truthy(hard.notes.gain > 0.1 and easy.notes.gain < 0.1)
  end)

  it("says the same of the same question, whoever asks and whatever was said before", function()
    local g = gateway()
    local first = g:ask(long).notes.gain
    local messages = { { role = "system", content = "Be brief." }, { role = "user", content = "Hello" }, { role = "assistant", content = "Hi" },
                       { role = "user", content = long } }
    assert.equal(first, g:ask { messages = messages, user = "ann" }.notes.gain)
  end)

  it("has no figure where there is no message of the user's", function()
    local answer = gateway():ask { messages = { { role = "system", content = "Be brief." } } }
    assert.same({ "a", "no_text" }, { answer.target, answer.notes.gain })
  end)

  it("of something that is no router fails the hook, and says what is missing", function()
    local g = gateway [[local lunette = require "lunette"
      return { classify = function(request) return lunette.predict({ format = 2, base = 0 }, request) > 0 and "hard" or "easy" end }]]
    local answer = g:ask "hi"
    assert.equal(200, answer.status)
    assert.truthy(answer.notes.error_classify:find("its `scale` is no number", 1, true))
  end)
end)
