-- The response cache: what is given again, to whom, in which form, and what is asked once.
local t = require "lunette.test"

local function gateway(more)
  local spec = { cache = { ttl = 60 }, targets = { "a" } }
  for name, value in pairs(more or {}) do spec[name] = value end
  if not spec.providers then
    spec.providers = { a = function(_, n) return { text = "answer " .. n, usage = { input = 10, output = 5 } } end }
  end
  return t.gateway(spec)
end

local function cache(answer) return answer.headers["x-lunette-cache"] end
local function asked(g) return g:provider "a".requests end

describe("D4 the response cache: without a cache", function()
  it("everybody asks, and nothing is said of it", function()
    local g = gateway { cache = false }
    g:ask "hi"
    local answer = g:ask "hi"
    assert.equal(2, asked(g))
    assert.is_nil(cache(answer))
    assert.is_nil(answer.record.cache)
  end)
end)

describe("D4 the response cache: an equal request", function()
  it("is given the answer again, for nothing", function()
    local g = gateway()
    local first, second = g:ask "hi", g:ask "hi"
    assert.equal("miss", cache(first))
    assert.equal("hit", cache(second))
    assert.equal(first.body, second.body)
    assert.equal(1, asked(g))
    assert.equal("hit", second.record.cache)
    assert.equal(0, second.cost)
    assert.is_true(first.cost > 0)
    assert.equal("0", second.headers["x-lunette-cost"])
    assert.equal("0", second.headers["x-lunette-attempts"])
    assert.equal("a", second.headers["x-lunette-target"])
    assert.equal(first.headers["x-lunette-provider"], second.headers["x-lunette-provider"])
    assert.equal(first.headers["x-lunette-model"], second.headers["x-lunette-model"])
    assert.same({}, second.attempts)
    assert.equal("a", second.target)
    assert.is_nil(second.usage)
    assert.equal(1, g:metric("lunette_cache_requests_total", { result = "hit" }))
    assert.equal(1, g:metric("lunette_cache_requests_total", { result = "miss" }))
    assert.equal(2, g:metric "lunette_requests_total")
    assert.equal(1, g:metric "lunette_attempts_total")
  end)

  it("is equal whatever the order of its fields and the white space", function()
    local g = gateway()
    g:ask { body = [[{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.5}]] }
    local answer = g:ask { body = [[ { "temperature" : 0.5, "messages" : [ { "content" : "hi", "role" : "user" } ], "model" : "m" } ]] }
    assert.equal("hit", cache(answer))
  end)

  local other = {
    { "another text", { text = "ho" } }, { "another system", { text = "hi", system = "be brief" } }, { "another parameter", { text = "hi", temperature = 1 } },
    { "a seed", { text = "hi", seed = 1 } }, { "tools", { text = "hi", tools = { { type = "function", ["function"] = { name = "f" } } } } },
    { "another task", { text = "hi", task = "faq" } }, { "other tags", { text = "hi", tags = { tier = "gold" } } },
    { "another model", { text = "hi", model = "auto" } },
    { "several choices", { text = "hi", n = 2 } } }
  for _, case in ipairs(other) do
    it("is another one with " .. case[1], function()
      local g = gateway()
      g:ask "hi"
      assert.equal("miss", cache(g:ask(case[2])))
      assert.equal("hit", cache(g:ask(case[2])))
    end)
  end

  it("is the same one whoever it says it is from, and however it wants the answer", function()
    local g = gateway()
    g:ask "hi"
    for _, more in ipairs { { user = "ann" }, { metadata = { trace = "1" } }, { prompt_cache_key = "k" },
                            { safety_identifier = "x" }, { session = "s" }, { stream = true },
                            { stream = true, stream_options = { include_usage = true } }, { headers = { ["x-anything"] = "1" } } } do
      more.text = "hi"
      assert.equal("hit", cache(g:ask(more)))
    end
    assert.equal(1, asked(g))
  end)

  it("is asked anew once its answer is older than the ttl", function()
    local g = gateway()
    g:ask "hi"
    t.advance(59.9)
    assert.equal("hit", cache(g:ask "hi"))
    t.advance(0.2)
    local answer = g:ask "hi"
    assert.equal("miss", cache(answer))
    assert.equal("answer 2", answer.text)
    assert.equal("answer 2", g:ask("hi").text)
  end)

  it("may be one for embeddings or completions", function()
    local g = gateway { providers = {
      a = { body = { object = "list", data = { { index = 0, embedding = { 0.5 } } }, usage = { prompt_tokens = 1, total_tokens = 1 } } } } }
    assert.equal("miss", cache(g:ask { input = "hi" }))
    assert.equal("hit", cache(g:ask { input = "hi" }))
    g = gateway()
    assert.equal("miss", cache(g:ask { prompt = "hi" }))
    assert.equal("hit", cache(g:ask { prompt = "hi" }))
  end)
end)

describe("D4 the response cache: whose an answer is", function()
  local clients = { { name = "ann" }, { name = "bob" } }

  it("its client's alone", function()
    local g = gateway { clients = clients }
    g:ask { text = "hi", client = "ann" }
    assert.equal("miss", cache(g:ask { text = "hi", client = "bob" }))
    assert.equal("hit", cache(g:ask { text = "hi", client = "bob" }))
    assert.equal("hit", cache(g:ask { text = "hi", client = "ann" }))
  end)

  it("everybody's where it says shared", function()
    local g = gateway { clients = clients, cache = { shared = true } }
    g:ask { text = "hi", client = "ann" }
    assert.equal("hit", cache(g:ask { text = "hi", client = "bob" }))
  end)

  it("but never that of a client who may ask other models", function()
    local g = gateway { clients = { { name = "ann" }, { name = "bob", models = { "small" } } }, cache = { shared = true },
                        models = { small = { "a/s" }, large = { "a/l" } } }
    g:ask { text = "hi", client = "ann" }
    assert.equal("miss", cache(g:ask { text = "hi", client = "bob" }))
  end)

  it("counts toward the client's own requests per minute", function()
    local g = gateway { clients = { { name = "ann", requests_per_minute = 2 } } }
    g:ask "hi"
    assert.equal("hit", cache(g:ask "hi"))
    assert.equal(429, g:ask("hi").status)
  end)
end)

describe("D4 the response cache: what the client says of it", function()
  it("x-lunette-cache: bypass and no-store: neither looked for nor kept", function()
    for _, headers in ipairs { { ["x-lunette-cache"] = "bypass" }, { ["cache-control"] = "no-store" }, { ["cache-control"] = "max-age=5 , NO-STORE" } } do
      local g = gateway()
      assert.equal("bypass", cache(g:ask { text = "hi", headers = headers }))
      assert.equal("miss", cache(g:ask "hi"))
      assert.equal("bypass", cache(g:ask { text = "hi", headers = headers }))
      assert.equal(3, asked(g))
      assert.equal("answer 2", g:ask("hi").text)
    end
  end)

  it("no-cache: asked anew, and kept", function()
    local g = gateway()
    g:ask "hi"
    for _, control in ipairs { "no-cache", "max-age=0", "max-age=soon", "max-age=" } do
      local before = asked(g)
      local answer = g:ask { text = "hi", headers = { ["cache-control"] = control } }
      assert.equal("refresh", cache(answer))
      assert.equal(before + 1, asked(g))
      assert.equal(answer.text, g:ask("hi").text)
    end
  end)

  it("max-age: only what is not older", function()
    local g = gateway()
    g:ask "hi"
    t.advance(10)
    assert.equal("hit", cache(g:ask { text = "hi", headers = { ["cache-control"] = "max-age=11" } }))
    assert.equal("miss", cache(g:ask { text = "hi", headers = { ["cache-control"] = "max-age=9" } }))
    assert.equal("answer 2", g:ask("hi").text)
    assert.equal("hit", cache(g:ask { text = "hi", headers = { ["cache-control"] = "max-age=99999999999999999999" } }))
  end)

  it("what a provider remembers is asked each time", function()
    local g = gateway()
    for _, more in ipairs { { store = true }, { previous_response_id = "r" } } do
      more.text = "hi"
      assert.equal("bypass", cache(g:ask(more)))
      assert.equal("bypass", cache(g:ask(more)))
    end
    assert.equal("miss", cache(g:ask { text = "hi", store = false }))
    assert.equal("hit", cache(g:ask "hi"))
  end)
end)

describe("D4 the response cache: what is not kept", function()
  for _, case in ipairs {
    { "an error", 500 }, { "a refusal", 400 }, { "an answer cut off", { text = "hello", cut = "fin" } },
    { "one that ends at a length nobody asked for", { text = "hel", finish_reason = "length" } },
    { "one that a filter ended", { text = "hel", finish_reason = "content_filter" } }, { "one larger than cache.answer", { text = ("x"):rep(2000) } } } do
    it(case[1], function()
      for _, stream in ipairs { false, true } do
        local g = gateway { cache = { answer = 1024 }, providers = { a = case[2] }, limits = { retries = false } }
        g:ask { text = "hi", stream = stream }
        assert.equal("miss", cache(g:ask { text = "hi", stream = stream }))
      end
    end)
  end

  it("but one that ends at the length that was asked for is", function()
    for _, stream in ipairs { false, true } do
      local g = gateway { providers = { a = { text = "hel", finish_reason = "length" } } }
      g:ask { text = "hi", max_tokens = 1, stream = stream }
      assert.equal("hit", cache(g:ask { text = "hi", max_tokens = 1, stream = stream }))
    end
  end)

  it("what judge found wanting, what a hook that failed led to, and nothing where a policy says no", function()
    local g = gateway { targets = { "a", "b" }, providers = { a = "bad", b = "good" },
                        policy = [[local l = require "lunette" return {
                          select = function(r, targets) return targets end, judge = function(r, a) if a.target.name == "a" then return l.next() end end }]] }
    assert.equal("good", g:ask("hi").text)
    local answer = g:ask "hi"
    assert.equal("hit", cache(answer))
    assert.equal("good", answer.text)
    assert.equal("b", answer.headers["x-lunette-target"])
    assert.equal("true", answer.headers["x-lunette-fallback"])
    g = gateway { policy = [[return { select = function() error "no" end }]] }
    g:ask "hi"
    assert.equal("miss", cache(g:ask "hi"))
    g = gateway { policy = [[local l = require "lunette" return { budget = function(r) return l.refuse { status = 402, message = "no" } end }]] }
    assert.equal(402, g:ask("hi").status)
    assert.is_nil(cache(g:ask "hi"))
  end)
end)

describe("D4 the response cache: refusals hold", function()
  it("though the answer is there", function()
    local g = gateway { policy = [[local l = require "lunette"
      local n = 0
      return { budget = function() n = n + 1 if n > 1 then return l.refuse { status = 402, message = "enough" } end end }]] }
    assert.equal(200, g:ask("hi").status)
    assert.equal(402, g:ask("hi").status)
  end)

  it("and what a policy narrowed, or labelled, is another question", function()
    local g = gateway { targets = { "a", "b" }, providers = { a = "dear", b = "cheap" }, policy = [[local l = require "lunette"
      local n = 0
      return { select = function(r, targets) return targets end,
               budget = function(r) n = n + 1 if n == 2 then return l.degrade(function(x) return x.name == "b" end) end end,
               classify = function() return n >= 3 and "late" or "early" end }]] }
    assert.equal("dear", g:ask("hi").text)
    assert.equal("cheap", g:ask("hi").text)
    assert.equal("dear", g:ask("hi").text)                  -- again that of the first
    assert.equal(1, asked(g))
    assert.equal("miss", cache(g:ask "hi"))
    assert.equal("hit", cache(g:ask "hi"))
  end)
end)

describe("D4 the response cache: what a policy decides by", function()
  local cases = {
    user = { { user = "ann" }, { user = "bob" } }, session = { { session = "s" }, { session = "t" } },
    ["headers['x-a']"] = { { headers = { ["x-a"] = "1" } }, { headers = { ["x-a"] = "2" } } },
    ["key.name"] = { { client = "ann" }, { client = "bob" } }, stream = { { stream = false }, { stream = true } },
    ["param(r, 'metadata')"] = { { metadata = { a = "1" } }, { metadata = { a = "2" } } },
    ["client_retry"] = { { headers = { ["x-stainless-retry-count"] = "0" } }, { headers = { ["x-stainless-retry-count"] = "1" } } },
  }
  for what, pair in pairs(cases) do
    for _, hook in ipairs { "classify", "select", "judge" } do
      it(what .. " in " .. hook .. ": tells requests apart", function()
        local g = gateway { clients = { { name = "ann" }, { name = "bob" } }, cache = { shared = true },
                            policy = "return { " .. hook .. " = function(r) local _ = r." .. what .. " end }" }
        for _ = 1, 2 do for _, one in ipairs(pair) do one.text = "hi" g:ask(one) end end
        local before = asked(g)
        for _, one in ipairs(pair) do
          -- judge is asked about whole answers alone: a stream has not been told apart by it
          if not (hook == "judge" and what == "stream") then assert.equal("hit", cache(g:ask(one))) end
        end
        assert.equal(before, asked(g))
        assert.is_true(before >= 2 or hook == "judge" and what == "stream")
      end)
    end
  end

  it("an answer that a hook made by what the key did not have in it is not kept, and not given to others", function()
    local g = gateway { providers = { a = function(_, n) return { text = "answer " .. n, after = 1 } end },
                        policy = "return { judge = function(r) return r.text == 'hi' and r.user and nil end }" }
    local first, second = g:start { text = "hi", user = "ann" }, g:start { text = "hi", user = "bob" }
    assert.not_equal(first:answer().text, second:answer().text)
    assert.equal("miss", cache(second:answer()))
    assert.equal("miss", cache(g:ask { text = "hi", user = "ann" }))
    assert.equal("hit", cache(g:ask { text = "hi", user = "ann" }))
    assert.equal("miss", cache(g:ask { text = "hi", user = "bob" }))
  end)

  it("what only finish looks at does not matter", function()
    local g = gateway { policy = "return { finish = function(r, o) local _ = r.user, r.headers, r:body() end }" }
    g:ask { text = "hi", user = "ann" }
    assert.equal("hit", cache(g:ask { text = "hi", user = "bob" }))
  end)

  it("headers that differ each time and say nothing do not matter", function()
    local g = gateway { policy = "return { classify = function(r) return r.headers['x-a'] end }" }
    g:ask { text = "hi", headers = { traceparent = "1", ["x-a"] = "1" } }
    assert.equal("hit", cache(g:ask { text = "hi", headers = { traceparent = "2", ["x-a"] = "1" } }))
  end)

  it("finish is told", function()
    local g = gateway { policy = [[local l = require "lunette"
      return { finish = function(r, o) l.note("cached", o.cached) l.note("target", o.target.name) end }]] }
    assert.is_false(g:ask("hi").notes.cached)
    local answer = g:ask "hi"
    assert.is_true(answer.notes.cached)
    assert.equal("a", answer.notes.target)
  end)

  it("what its step warned of is told again", function()
    local g = gateway { policy = "return { select = function(r, targets) return targets:steps { warning = 'dear' } end }" }
    g:ask "hi"
    local answer = g:ask "hi"
    assert.equal("hit", cache(answer))
    assert.equal("dear", answer.headers["x-lunette-warning"])
  end)

  it("its own questions have answers of their own", function()
    local g = gateway { policy = [[local l = require "lunette"
      return { classify = function(r) return l.chat { model = "m", messages = { { role = "user", content = "what is it?" } } } end }]] }
    local first = g:ask "hi"
    local second = g:ask "ho"
    assert.same(first.labels, second.labels)
    assert.equal(3, asked(g))
    assert.equal("miss", cache(g:ask "what is it?"))
  end)
end)

describe("D4 the response cache: a stream", function()
  local tokens = { prompt_tokens = 7, completion_tokens = 2, total_tokens = 9 }
  local function said(choices, usage)
    return { id = "c", object = "chat.completion.chunk", created = 5, model = "up", choices = choices, usage = usage }
  end
  local function chunk(delta, finish) return said { { index = 0, delta = delta, finish_reason = finish } } end
  local events = { chunk { role = "assistant", content = "" }, chunk { content = "Xin " }, chunk { content = "chào" }, chunk({}, "stop"),
                   said(t.array {}, tokens), "[DONE]" }

  local function datas(answer)
    local out = {}
    for i, event in ipairs(answer.events) do out[i] = event.data end
    return out
  end

  it("is given again event by event, at once", function()
    local g = gateway { providers = { a = { events = events, after = 1, every = 1 } } }
    local first, second = g:ask { stream = true }, g:ask { stream = true }
    assert.same(datas(first), datas(second))
    assert.equal("hit", cache(second))
    assert.equal(0, second.latency)
    assert.is_true(second.clean and second.done)
    assert.equal("text/event-stream; charset=utf-8", second.headers["content-type"])
    assert.equal("Xin chào", second.text)
    for _, event in ipairs(second.events) do assert.is_nil(event.data:find "usage") end
  end)

  it("shows usage to who asks for it, and to nobody else", function()
    local with = { stream = true, stream_options = { include_usage = true } }
    for _, order in ipairs { { with, { stream = true } }, { { stream = true }, with } } do
      local g = gateway { providers = { a = { events = events } } }
      for i, ask in ipairs(order) do
        local answer = g:ask(ask)
        assert.equal(i == 1 and "miss" or "hit", cache(answer))
        local last = answer.events[#answer.events - 1].json
        if ask == with then assert.same({ prompt_tokens = 7, completion_tokens = 2, total_tokens = 9 }, last.usage)
        else for _, event in ipairs(answer.events) do assert.is_nil(event.data:find "usage") end end
        assert.equal("[DONE]", answer.events[#answer.events].data)
      end
    end
  end)

  it("answers who wants a whole answer", function()
    local g = gateway { providers = { a = { events = events } } }
    g:ask { stream = true }
    local answer = g:ask "hi"
    assert.equal("hit", cache(answer))
    assert.equal("application/json", answer.headers["content-type"])
    assert.same({ id = "c", created = 5, model = "up", object = "chat.completion", usage = { prompt_tokens = 7, completion_tokens = 2, total_tokens = 9 },
                  choices = { { index = 0, finish_reason = "stop", message = { role = "assistant", content = "Xin chào" } } } }, answer.json)
  end)

  it("is made of a whole answer", function()
    local call = { id = "t", type = "function", ["function"] = { name = "f", arguments = "{}" } }
    local message = { role = "assistant", content = "Xin chào", tool_calls = { call } }
    local body = { id = "c", object = "chat.completion", created = 5, model = "up", usage = tokens,
                   choices = { { index = 0, finish_reason = "tool_calls", message = message } } }
    local g = gateway { providers = { a = { body = body } } }
    g:ask "hi"
    local answer = g:ask { stream = true, stream_options = { include_usage = true } }
    assert.equal("hit", cache(answer))
    assert.is_true(answer.clean and answer.done)
    assert.equal("Xin chào", answer.text)
    assert.equal("tool_calls", answer.finish_reason)
    local first = answer.events[1].json
    assert.equal("chat.completion.chunk", first.object)
    assert.equal("c", first.id)
    assert.same({ index = 0, id = "t", type = "function", ["function"] = { name = "f", arguments = "{}" } }, first.choices[1].delta.tool_calls[1])
    assert.same(body.usage, answer.events[#answer.events - 1].json.usage)
    assert.is_nil(g:ask({ stream = true }).body:find "usage")
  end)

  it("that was cut is not kept", function()
    local g = gateway { providers = { a = { { text = "one two three", cut = "fin" }, "whole" } } }
    g:ask { stream = true }
    local answer = g:ask { stream = true }
    assert.equal("miss", cache(answer))
    assert.equal("whole", answer.text)
  end)

  it("that cannot be told as a whole answer is asked for anew", function()
    local odd = chunk { content = "hi" }
    odd.choices[1].logprobs = { content = { { token = "hi" } } }
    local g = gateway { providers = { a = function(request) return request.stream and { events = { odd, chunk({}, "stop"), "[DONE]" } } or "whole" end } }
    g:ask { stream = true }
    assert.equal("hit", cache(g:ask { stream = true }))
    local answer = g:ask "hi"
    assert.equal("miss", cache(answer))
    assert.equal("whole", answer.text)
    assert.equal("hit", cache(g:ask "hi"))
  end)
end)

describe("D4 the response cache: several at once", function()
  local slow = { a = function(_, n) return { text = "answer " .. n, after = 2, usage = { input = 10, output = 5 } } end }

  it("ask once: the first pays, the others wait and have its answer", function()
    local g = gateway { providers = slow }
    local all = {}
    for i = 1, 20 do all[i] = g:start { text = "hi", stream = i % 2 == 0 } end
    t.advance(1)
    assert.equal(1, asked(g))
    local cost = 0
    for i, request in ipairs(all) do
      local answer = request:answer()
      assert.equal(i == 1 and "miss" or "shared", cache(answer))
      assert.equal("answer 1", answer.text)
      assert.equal(2, answer.ended - answer.started)
      assert.is_true(i == 1 or answer.record.overhead_ms == 0)
      cost = cost + answer.cost
    end
    assert.equal(all[1]:answer().cost, cost)
    assert.equal(1, asked(g))
    assert.equal(19, g:metric "lunette_cache_waits_total")
  end)

  it("are not held up by a first one whose client does not read: after a second the others ask for themselves", function()
    local g = gateway { providers = { a = { text = "one two three four", every = 0.5 } } }
    local first = g:start { text = "hi", stream = true }
    t.advance(0.6)
    first:pause()
    local second = g:start "hi"
    t.advance(0.9)
    assert.equal(1, asked(g))
    t.advance(0.2)
    assert.equal(2, asked(g))
    assert.equal("one two three four", second:answer().text)
    first:resume()
    assert.equal("one two three four", first:answer().text)
  end)

  it("are one still when the first one's client stops reading for a moment", function()
    local g = gateway { providers = { a = { text = "one two three four", every = 0.5 } } }
    local first = g:start { text = "hi", stream = true }
    t.advance(0.6)
    first:pause()
    local second = g:start "hi"
    t.advance(0.9)
    first:resume()
    assert.equal("one two three four", second:answer().text)
    assert.equal(1, asked(g))
  end)

  it("go on when the first one's client leaves: the next asks", function()
    local g = gateway { providers = slow }
    local a, b, c = g:start "hi", g:start "hi", g:start "hi"
    t.advance(1)
    a:leave()
    t.advance(1.5)
    assert.equal(2, asked(g))
    assert.equal("answer 2", b:answer().text)
    assert.equal("miss", cache(b:answer()))
    assert.equal("shared", cache(c:answer()))
    assert.equal(2, asked(g))
  end)

  it("and one who waits may leave, and be the last", function()
    local g = gateway { providers = slow }
    local a, b = g:start "hi", g:start "hi"
    b:leave()
    assert.equal("answer 1", a:answer().text)
    a, b = g:start "ho", g:start "ho"
    a:leave()
    b:leave()
    t.advance(10)
    assert.equal("miss", cache(g:ask "ho"))
  end)

  it("neither all ask at once when the first fails, nor one after another", function()
    local g = gateway { providers = { a = { status = 400, after = 1 } } }
    local all = {}
    for i = 1, 15 do all[i] = g:start "hi" end
    local seen = {}
    for second = 0, 4 do
      seen[#seen + 1] = asked(g)
      if second < 4 then t.advance(1) end
    end
    assert.same({ 1, 2, 4, 8, 15 }, seen)
    for _, request in ipairs(all) do assert.equal(400, request:answer().status) end
  end)

  it("each waits up to its own deadline", function()
    local g = gateway { providers = { a = { text = "late", after = 30 } }, limits = { deadline = 20 } }
    local a = g:start "hi"
    t.advance(5)
    local b = g:start "hi"
    assert.equal(504, a:answer().status)
    local answer = b:answer()
    assert.equal(504, answer.status)
    assert.equal(20, answer.latency)
    assert.equal(2, asked(g))
  end)

  it("who wants it anew does not wait, and who waits has the first that comes", function()
    local g = gateway { providers = { a = function(_, n) return { text = "answer " .. n, after = n == 1 and 5 or 1 } end } }
    local a, b = g:start "hi", g:start "hi"
    local fresh = g:ask { text = "hi", headers = { ["cache-control"] = "no-cache" } }
    assert.equal("answer 2", fresh.text)
    assert.equal("answer 2", b:answer().text)
    assert.equal(1, t.now())
    assert.equal("answer 1", a:answer().text)
  end)

  it("a stream that waits is kept alive", function()
    local g = gateway { providers = { a = { text = "answer", after = 20 } } }
    g:start "hi"
    local answer = g:ask { text = "hi", stream = true }
    assert.equal("", answer.events[1].comment)
    assert.equal(15, answer.events[1].at)
    assert.equal("answer", answer.text)
    assert.equal("shared", answer.trailers["x-lunette-cache"])
  end)

  it("an answer that is too large to keep is theirs too", function()
    local g = gateway { cache = { answer = 1024 }, providers = { a = { text = ("x"):rep(3000), after = 1 } } }
    local a, b = g:start "hi", g:start "hi"
    assert.equal("miss", cache(a:answer()))
    assert.equal("shared", cache(b:answer()))
    assert.equal("miss", cache(g:ask "hi"))
  end)

  it("a stream that grows too large lets the others go at once", function()
    local g = gateway { cache = { answer = 1024 }, providers = { a = { text = ("word "):rep(500), every = 0.1 } } }
    local a, b, c = g:start { stream = true }, g:start { stream = true }, g:start { stream = true }
    t.advance(5)
    assert.equal(3, asked(g))
    assert.is_true(a:answer().clean and b:answer().clean and c:answer().clean)
  end)
end)

describe("D4 the response cache: its size", function()
  it("is never passed: the least recently used makes room", function()
    local g = gateway { cache = { size = "64KiB", answer = "32KiB" }, providers = { a = function(request) return request.text .. ("x"):rep(10000) end } }
    for i = 1, 8 do g:ask("q" .. i) g:ask "q1" end
    assert.equal("hit", cache(g:ask "q1"))
    assert.equal("hit", cache(g:ask "q8"))
    assert.equal("miss", cache(g:ask "q2"))
  end)
end)
