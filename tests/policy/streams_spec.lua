-- What a client sees of a stream, moment by moment.
local t = require "lunette.test"

local function delta(text, finish)
  return { id = "x", object = "chat.completion.chunk", choices = { { index = 0, delta = { content = text }, finish_reason = finish } } }
end

local function stream(scene, more)
  local spec = { targets = { "a", "b" }, providers = { a = scene }, policy = "return { select = function(r, targets) return targets end }" }
  for name, value in pairs(more or {}) do spec[name] = value end
  local g = t.gateway(spec)
  return g:ask { stream = true }, g
end

describe("a stream", function()
  it("passes each event when it comes", function()
    local answer = stream { events = { delta "one ", delta "two", delta("", "stop"), "[DONE]" }, after = 1, every = 0.5 }
    local times = {}
    for i, event in ipairs(answer.events) do times[i] = event.at end
    assert.same({ 1, 1.5, 2 }, { times[1], times[2], times[3] })
    assert.equal("one two", answer.text)
    assert.equal("stop", answer.finish_reason)
    assert.is_true(answer.clean and answer.done)
    assert.equal(1, answer.first_byte)
  end)

  it("commits late: 200 goes out with the first good event only", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { events = { delta "one", "[DONE]" }, after = 4 } } }
    local request = g:start { stream = true }
    t.advance(3.9)
    assert.is_nil(request:so_far().status)
    t.advance(0.2)
    assert.equal(200, request:so_far().status)
    request:answer()
  end)

  it("falls over when the first event is an error", function()
    local answer = stream { events = { { error = { message = "overloaded", type = "overloaded_error" } } } }
    assert.equal("b", answer.target)
    assert.equal("overloaded", answer.attempts[1].kind)
    assert.is_true(answer.clean)
  end)

  it("falls over when a page of HTML comes instead", function()
    local answer = stream { body = "<html>oops</html>", headers = { ["content-type"] = "text/html" } }
    assert.equal("b", answer.target)
    assert.equal("bad_answer", answer.attempts[1].kind)
  end)

  it("falls over when it is cut before anything was in it", function()
    assert.equal("b", (stream { events = { { raw = ": hi\n\n" } }, cut = "fin" }).target)
    assert.equal("b", (stream { cut = "rst" }).target)
  end)

  it("has a comment line after 15 s of silence, while falling over goes on", function()
    local answer = stream({}, { providers = { a = { status = 500, after = 16 }, b = { text = "here", after = 16 } } })
    assert.equal("", answer.events[1].comment)
    assert.equal(15, answer.events[1].at)
    assert.equal("", answer.events[2].comment)
    assert.equal(30, answer.events[2].at)
    assert.equal("here", answer.text)
    assert.is_nil(answer.headers["x-lunette-target"])
    assert.equal("b", answer.trailers["x-lunette-target"])
    assert.equal(":\n", answer.body:sub(1, 2))
    assert.not_equal("\n", answer.body:sub(3, 3))
  end)

  it("says what is refused as an error event after such a line", function()
    local answer = stream({}, { targets = { "a" }, providers = { a = { status = 500, after = 20 } } })
    assert.equal(200, answer.status)
    assert.equal("upstream_failed", answer.error.code)
    assert.is_false(answer.clean)
    assert.is_nil(answer.done)
  end)

  it("has no such line with keepalive = false", function()
    local answer = stream({ text = "x", after = 40 }, { keepalive = false })
    for _, event in ipairs(answer.events) do assert.is_nil(event.comment) end
  end)

  for _, cut in ipairs { "fin", "rst", "chunk" } do
    it("that is cut (" .. cut .. ") after content ends with an error event and not clean", function()
      local answer = stream { events = { delta "one" }, cut = cut }
      assert.equal("one", answer.text)
      assert.is_table(answer.error)
      assert.is_false(answer.clean)
      assert.is_nil(answer.done)
      assert.equal("a", answer.target)
      assert.is_true(answer.record.torn)
    end)
  end

  it("passes an error event of the provider after content, and does not end clean", function()
    local answer = stream { events = { delta "one", { error = { message = "it broke" } } } }
    assert.equal("one", answer.text)
    assert.is_table(answer.error)
    assert.is_false(answer.clean)
  end)

  it("is complete with a finish_reason, though [DONE] is missing: we add it", function()
    local answer = stream { events = { delta "one", delta("", "stop") } }
    assert.is_true(answer.clean and answer.done)
    assert.equal("ok", answer.attempts[1].kind)
  end)

  it("is complete with [DONE], though a finish_reason is missing", function()
    local answer = stream { events = { delta "one", "[DONE]" } }
    assert.is_true(answer.clean and answer.done)
  end)

  it("that is complete cannot fail: a cut behind its end is none", function()
    local answer = stream { events = { delta "one", delta("", "stop"), "[DONE]" }, cut = "rst" }
    assert.is_true(answer.clean)
    assert.equal("ok", answer.attempts[1].kind)
  end)

  it("that is complete waits a second for a provider that does not end", function()
    local answer = stream { events = { delta("one", "stop"), "[DONE]" }, stall = true }
    assert.is_true(answer.clean)
    assert.equal(1, answer.latency)
  end)

  it("counts usage that was not asked for, and does not show it", function()
    local answer, g = stream { text = "one two", usage = { input = 11, output = 22 } }
    assert.is_true(g:provider "a".calls[1].json.stream_options.include_usage)
    assert.same({ input = 11, output = 22 }, answer.usage)
    assert.is_nil(answer.body:find "prompt_tokens")
    assert.near(11e-6 + 44e-6, answer.cost, 1e-12)
  end)

  it("shows usage that was asked for", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "one", usage = { input = 11, output = 22 } } } }
    local answer = g:ask { stream = true, stream_options = { include_usage = true } }
    assert.matches("prompt_tokens", answer.body, 1, true)
  end)

  it("passes the types of events", function()
    local answer = stream { events = { { event = "greeting", data = delta "one" }, "[DONE]" } }
    assert.equal("greeting", answer.events[1].type)
  end)

  it("holds the provider while its client is full, and the provider is not blamed", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { answer = { text = "one two three", every = 1 },
                                                                 timeouts = { idle = 5, total = 30 } } } }
    local request = g:start { stream = true }
    t.advance(1.5)
    request:pause()
    t.advance(60)
    local before = #request:so_far().events
    request:resume()
    local answer = request:answer()
    assert.is_true(#answer.events > before)
    assert.equal("one two three", answer.text)
    assert.is_true(answer.clean)
    assert.equal("ok", answer.attempts[1].kind)
  end)

  it("closes the provider's side at once when its client leaves", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "one two three", every = 1 } } }
    local request = g:start { stream = true }
    t.advance(1.5)
    local answer = request:leave()
    assert.is_true(answer.left)
    assert.equal(499, answer.record.status)
    assert.equal("cancelled", answer.attempts[1].kind)
    assert.equal(1.5, answer.attempts[1].took)
  end)

  it("of completions has text in its choices", function()
    local g = t.gateway { targets = { "a" }, providers = { a = "one two" } }
    assert.equal("one two", g:ask({ prompt = "say", stream = true }).text)
  end)
end)
