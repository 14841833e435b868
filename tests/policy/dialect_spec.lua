-- Another dialect between: dialects/echo.lua beside this file. Clients speak OpenAI's, the provider its own.
local t = require "lunette.test"

local function bit(words) return { event = "bit", data = { words = words } } end
local over = { event = "over", data = { why = "end", counted = { heard = 5, spoken = 2 } } }

local function gateway(...)
  return t.gateway { targets = { "e/parrot", "b" }, policy = "return { select = function(r, targets) return targets end }",
                     providers = { e = { dialect = "echo", keys = 1, answer = ... } } }
end

describe("a dialect", function()
  it("translates the request", function()
    local g = gateway { body = { said = "hello", why = "end" } }
    g:ask { system = "be brief", text = "hi", max_tokens = 9 }
    local call = g:provider "e".calls[1]
    assert.equal("/talk", call.path)
    assert.equal("POST", call.method)
    assert.same({ voice = "parrot", most = 9, lines = { { by = "system", words = "be brief" }, { by = "user", words = "hi" } } }, call.json)
  end)

  it("sends the key in its own way, and its own headers", function()
    local g = gateway { body = { said = "hello", why = "end" } }
    g:ask "hi"
    local headers = g:provider "e".calls[1].headers
    assert.equal("spec-E_KEY_1", headers["x-talk-key"])
    assert.is_nil(headers.authorization)
    assert.equal("2", headers["x-talk-version"])
  end)

  it("translates the answer, its end and its usage", function()
    local answer = gateway({ body = { said = "hello", why = "full", counted = { heard = 5, spoken = 2 } } }):ask "hi"
    assert.equal("hello", answer.text)
    assert.equal("length", answer.finish_reason)
    assert.equal("chat.completion", answer.json.object)
    assert.same({ input = 5, output = 2 }, answer.usage)
    assert.equal("e/parrot", answer.target)
  end)

  it("translates each event of a stream, at its own time", function()
    local answer = gateway({ events = { bit "hel", bit "lo", over }, after = 1, every = 0.5 }):ask { stream = true }
    assert.equal("hello", answer.text)
    assert.equal("stop", answer.finish_reason)
    assert.same({ 1, 1.5, 2 }, { answer.events[1].at, answer.events[2].at, answer.events[3].at })
    assert.is_true(answer.clean and answer.done)
    assert.same({ input = 5, output = 2 }, answer.usage)
  end)

  it("asks for a stream in its own words", function()
    local g = gateway { events = { bit "x", over } }
    g:ask { stream = true }
    assert.is_true(g:provider "e".calls[1].json.bit_by_bit)
  end)

  it("translates errors, so that the next step is taken as after any other", function()
    local answer = gateway({ status = 503, body = { problem = { what = "busy", words = "come back later" } } }):ask "hi"
    assert.equal("b", answer.target)
    assert.equal("overloaded", answer.attempts[1].kind)
    assert.equal("come back later", answer.attempts[1].detail)
  end)

  it("translates errors that only it can tell apart", function()
    local answer = gateway({ status = 400, body = { problem = { what = "long", words = "too many lines" } } }):ask "hi"
    assert.equal("too_long", answer.attempts[1].kind)
    assert.equal("b", answer.target)
  end)

  it("translates an error in the middle of a stream", function()
    local problem = { event = "bit", data = { problem = { what = "busy", words = "gone" } } }
    local answer = gateway({ events = { bit "hel", problem } }):ask { stream = true }
    assert.equal("hel", answer.text)
    assert.is_table(answer.error)
    assert.is_false(answer.clean)
  end)

  it("that cannot make sense of an answer is a bad answer, and the next step is taken", function()
    local answer = gateway({ events = { { event = "bit", data = "no table" } } }):ask { stream = true }
    assert.equal("b", answer.target)
    assert.equal("bad_answer", answer.attempts[1].kind)
  end)

  it("leaves what is cut off unfinished", function()
    local answer = gateway({ events = { bit "hel" }, cut = "fin" }):ask { stream = true }
    assert.equal("hel", answer.text)
    assert.is_false(answer.clean)
  end)
end)
