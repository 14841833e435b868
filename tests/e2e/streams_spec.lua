-- Streams and clocks, sentence by sentence. Providers are puppets: each step of theirs is taken when the test has seen the one before.
local e2e = require "support"

local config = [[
local up = { provider = "a", model = "up", price = { input = 1, output = 2 } }
return {
  policy = "policy.lua", health = false, limits = { retries = false, deadline = tonumber(env("DEADLINE", "60")) },
  keepalive = tonumber(env("KEEPALIVE", "0")) > 0 and tonumber(env "KEEPALIVE"),
  providers = {
    a = { base_url = env "A" }, b = { base_url = env "B" }, mute = { base_url = env "A", usage = false },
    fast = { base_url = env "A", timeouts = { first_byte = 0.3, idle = 60, total = 60 } },
    flood = { base_url = env "FLOOD", timeouts = { idle = 0.5, total = tonumber(env("TOTAL", "1")) } },
    scripted = { base_url = env "FLOOD", timeouts = { first_byte = 1.3 } },
  },
  models = {
    m = { up, { provider = "b", model = "up" } }, alone = { up },
    mute = { { provider = "mute" } }, fast = { { provider = "fast" } },
    flood = { { provider = "flood" } }, scripted = { { provider = "scripted" } },
  },
}]]
local in_order = [[return { select = function(request, targets) return targets:asked() end }]]

-- 24 MB in events of 64 KB: more than all the kernel's buffers between a provider and a client that does not read.
local flood = [[
local event = 'data: {"choices":[{"index":0,"delta":{"content":"' .. ("x"):rep(65536) .. '"}}]}\n\n'
return function(request)
  if request.text == "nothing" then return { stall = true, events = {} } end
  local events = {}
  for i = 1, 384 do events[i] = { raw = event } end
  events[385] = request.text == "break" and { error = { message = "oh" } }
    or { choices = { { index = 0, delta = {}, finish_reason = "stop" } } }
  events[386] = "[DONE]"
  return { events = events }
end]]

local a, b, flooding, gateways

local function gateway(env)
  env.A, env.B, env.FLOOD = a.url, b.url, flooding.url
  return e2e.gateway { config = config, files = { ["policy.lua"] = in_order }, env = env }
end

local function piece(text, finish)
  return { id = "c", object = "chat.completion.chunk", model = "up",
           choices = { { index = 0, delta = { content = text }, finish_reason = finish or e2e.json.null } } }
end

setup(function()
  a, b, flooding = e2e.puppet(), e2e.puppet(), e2e.provider(flood)
  gateways = { plain = gateway {}, alive = gateway { KEEPALIVE = "0.3" }, hurried = gateway { DEADLINE = "1", TOTAL = "60" } }
end)
teardown(e2e.stop)

-- A stream that is asked for, and the call it becomes at provider a.
local function begin(options)
  options = options or {}
  options.stream, options.model = true, options.model or "m"
  local g = options.gateway or gateways.plain
  local visit = g:open(options)
  return visit, a:accept(), g
end

-- One that has begun: the client has its first word.
local function began(options)
  local visit, call, g = begin(options)
  call:head()
  call:piece "word "
  visit:expect "word "
  return visit, call, g
end

local function no_clean_end(answer)
  assert.is_nil(answer.clean)
  assert.is_nil(answer.body:find("[DONE]", 1, true))
end

describe("a stream's 200", function()
  it("goes out with the first good event, not before", function()
    local visit, call = begin()
    call:head()
    call:chunk ": a comment\n\n"
    call:event({}, "ping")
    call:chunk "\n\n"
    call:reset()
    local other = b:accept()
    other:head()
    other:piece "from b"
    visit:expect "from b"
    assert.equal(200, visit:head().status)
    assert.equal("b/up", visit:head().headers["x-lunette-target"])
    assert.equal("text/event-stream; charset=utf-8", visit:head().headers["content-type"])
    other:piece("", "stop")
    other:event "[DONE]"
    other:finish()
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.is_nil(answer.body:find "comment")
  end)

  for _, first in ipairs { '{"error":{"type":"overloaded_error","message":"busy"}}', '{"no JSON', "[DONE]", "[1]", '"text"' } do
    it("does not go out with " .. first .. ", and the next target answers", function()
      local visit, call, g = begin()
      call:head()
      call:event(first)
      local other = b:accept()
      other:head()
      other:piece("from b", "stop")
      other:event "[DONE]"
      other:finish()
      local answer = visit:rest()
      assert.equal("from b", answer.text)
      assert.is_true(answer.clean)
      assert.equal(2, #g:line(answer).attempts)
      assert.is_true(call:gone())
    end)
  end

  it("does not go out when nobody has a good event: the error has a status of its own", function()
    local visit, call = begin { model = "alone" }
    call:head()
    call:event({ message = "busy", type = "overloaded_error" }, "error")
    local answer = visit:rest()
    assert.equal(503, answer.status)
    assert.equal("application/json", answer.headers["content-type"])
    assert.equal("overloaded", answer.code)
    assert.equal("true", answer.headers["x-should-retry"])
    assert.is_true(answer.clean)
  end)
end)

describe("after a silence", function()
  it("the client gets a comment line without a blank one, and falling over goes on", function()
    local visit, call, g = begin { gateway = gateways.alive, headers = { te = "trailers" } }
    assert.equal(":\n", visit:chunk())
    assert.equal(200, visit:head().status)
    assert.equal("text/event-stream; charset=utf-8", visit:head().headers["content-type"])
    assert.is_nil(visit:head().headers["x-lunette-target"])
    assert.is_nil(visit:head().headers["x-lunette-model"])
    assert.is_string(visit:head().headers["x-lunette-request-id"])
    call:answer(500, {})
    local other = b:accept()
    assert.equal(":\n", visit:chunk())
    other:head()
    other:piece("from b", "stop")
    other:event "[DONE]"
    other:finish()
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.matches("^:\n:\n", answer.body)
    assert.is_nil(answer.body:find("\n\n:", 1, true))
    assert.equal("from b", answer.text)
    assert.equal("b/up", answer.trailers["x-lunette-target"])
    assert.equal("2", answer.trailers["x-lunette-attempts"])
    assert.equal("b/up", g:line(answer).target)
  end)

  it("a refusal is an error event, and no clean end", function()
    local visit, call, g = begin { gateway = gateways.alive, model = "alone" }
    assert.equal(":\n", visit:chunk())
    call:answer(429, { error = { message = "slower" } }, { ["retry-after"] = "7" })
    local answer = visit:rest()
    assert.equal(200, answer.status)
    assert.equal(1, #answer.events)
    assert.equal("rate_limited", answer.code)
    no_clean_end(answer)
    assert.equal("rate_limited", g:line(answer).code)
    assert.is_true(g:line(answer).torn)
  end)

  it("in the middle of a stream the same comment comes between two events", function()
    local visit, call = began { gateway = gateways.alive }
    visit:expect ":\n"
    call:piece("more", "stop")
    call:finish()
    local answer = visit:rest()
    assert.equal("word more", answer.text)
    assert.is_true(answer.clean)
    assert.matches("\n\n:\n", answer.body)
  end)
end)

describe("trouble after content", function()
  local troubles = {
    { "a reset", function(call) call:reset() end },
    { "a close in the middle", function(call) call:close() end },
    { "half a chunk", function(call) call:send "40\r\ndata: {" call:close() end },
    { "an end before anything was finished", function(call) call:finish() end },
    { "an error event", function(call) call:event { error = { message = "the model broke", type = "server_error" } } end },
    { "an event that is no JSON", function(call) call:event "{half" end },
    { "chunks that are none", function(call) call:send "xyz\r\n" end },
  }
  for _, trouble in ipairs(troubles) do
    it(trouble[1] .. " is one error event, then the connection closes without a clean end", function()
      local visit, call, g = began()
      trouble[2](call)
      local answer = visit:rest()
      assert.equal(2, #answer.events)
      assert.equal("word ", answer.text)
      assert.equal("string", type(answer.events[2].error.message))
      assert.equal("upstream_failed", answer.code)
      assert.matches('\n\ndata: {"error":{[^\n]*}}\n\n$', answer.body)
      no_clean_end(answer)
      assert.equal(1, #g:line(answer).attempts)
      assert.is_true(g:line(answer).torn)
    end)
  end

  it("has the same form for completions", function()
    local visit = e2e.open(gateways.plain.port, { path = "/v1/completions", body = { model = "alone", prompt = "x", stream = true } })
    local call = a:accept()
    assert.equal("/v1/completions", call.path)
    call:head()
    call:event { object = "text_completion", choices = { { index = 0, text = "word" } } }
    visit:expect "word"
    call:reset()
    local answer = visit:rest()
    assert.equal("upstream_failed", answer.code)
    no_clean_end(answer)
  end)
end)

describe("an event stream", function()
  local events = {
    'event: delta\nid: 7\ndata: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
    'data:{"choices":[{"index":0,"delta":{"content":"b"}}]}\r\n\r\n',
    ': a comment\r\nevent: x.y\r\ndata: {"choices":[{"index":0,\r\ndata:  "delta":{"content":"c"}}]}\r\nretry: 5\r\n\r\n',
    'data: {"choices":[{"index":0,"delta":{"content":"d\\r\\n\226\130\172"}}]}\r\r',
    'unknown: field\ndata: {"choices": [ {"index":0, "delta":{} ,"finish_reason":"stop"} ] }\n\n',
    'data: [DONE]\r\r',           -- whole with its last CR: a LF that came behind it would be nothing
  }
  for how, size in pairs { ["in one piece"] = 1e6, ["byte by byte"] = 1, ["in pieces of seven"] = 7 } do
    it("passes byte for byte, types and line ends too, " .. how, function()
      local visit, call = begin { body = { stream_options = { include_usage = true } } }
      local all = table.concat(events)
      call:head()
      for at = 1, #all, size do call:chunk(all:sub(at, at + size - 1)) end
      call:finish()
      local answer = visit:rest()
      assert.equal(all, answer.body)
      assert.is_true(answer.clean)
    end)
  end
end)

describe("a stream whose choices all had a finish_reason", function()
  it("is complete without [DONE], and gets it", function()
    local visit, call, g = began()
    call:piece("end", "stop")
    call:finish()
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.equal("[DONE]", answer.events[#answer.events])
    assert.matches("\n\ndata: %[DONE%]\n\n$", answer.body)
    assert.equal("ok", g:line(answer).attempts[1].kind)
    assert.is_nil(g:line(answer).torn)
  end)

  for what, trouble in pairs { ["a cut"] = function(call) call:close() end, ["a reset"] = function(call) call:reset() end,
                               ["an error event"] = function(call) call:event { error = { message = "late" } } call:finish() end } do
    it("cannot fail any more: " .. what .. " behind it is not seen", function()
      local visit, call, g = began()
      call:piece("end", "stop")
      visit:expect "end"
      trouble(call)
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("word end", answer.text)
      assert.is_nil(answer.error)
      assert.equal("[DONE]", answer.events[#answer.events])
      assert.equal("ok", g:line(answer).attempts[1].kind)
    end)
  end

  it("is not complete while another choice is open", function()
    local visit, call, g = began { body = { n = 2 } }
    call:piece("end", "stop")
    call:finish()
    local answer = visit:rest()
    no_clean_end(answer)
    assert.equal("cut", g:line(answer).attempts[1].kind)
  end)

  it("is complete when the last of several choices is", function()
    local visit, call = began { body = { n = 2 } }
    call:piece("end", "stop")
    call:event { choices = { { index = 1, delta = {}, finish_reason = "length" } } }
    call:finish()
    assert.is_true(visit:rest().clean)
  end)
end)

describe("a stream with [DONE]", function()
  it("is complete without a finish_reason", function()
    local visit, call, g = began()
    call:event "[DONE]"
    call:finish()
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.equal(1, select(2, answer.body:gsub("%[DONE%]", "")))
    assert.equal("ok", g:line(answer).attempts[1].kind)
  end)

  it("shows nothing that comes behind it", function()
    local visit, call = began()
    call:event "[DONE]"
    call:piece "more"
    call:event { error = { message = "late" } }
    call:finish()
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.equal("word ", answer.text)
    assert.equal("[DONE]", answer.events[#answer.events])
  end)

  it("that ends in time leaves its connection for the next one", function()
    local visit, call = began()
    call:piece("", "stop")
    call:event "[DONE]"
    call:finish()
    assert.is_true(visit:rest().clean)
    local _, again = began { model = "alone" }
    assert.equal(call.connection, again.connection)
    again:reset()
  end)

  it("is answered also to who hangs up behind it, before the provider has ended", function()
    for _, how in ipairs { "leave", "reset" } do
      local visit, call, g = began { headers = { ["x-request-id"] = "behind-" .. how } }
      call:piece("", "stop")
      call:event "[DONE]"
      visit:expect "[DONE]"
      visit[how](visit)
      assert.is_true(call:gone())
      local line
      e2e.eventually("its line is there", function()
        for _, l in ipairs(g:log(0)) do line = l.client_request_id == "behind-" .. how and l or line end
        return line
      end)
      assert.same({ 200, "ok" }, { line.status, line.attempts[1].kind })
    end
  end)

  it("and never ends is given up after a moment: the client has its clean end, the connection is closed", function()
    local visit, call, g = began()
    call:event "[DONE]"
    local answer = visit:rest()
    assert.is_true(answer.clean)
    assert.is_true(call:gone())
    assert.equal("ok", g:line(answer).attempts[1].kind)
  end)
end)

describe("usage", function()
  local usage = { prompt_tokens = 1000, completion_tokens = 500, total_tokens = 1500 }

  local function play(call, alone)
    call:head()
    local last = piece("word", "stop")
    if not alone then last.usage = usage end
    call:event(last)
    if alone then call:event { choices = e2e.json.empty_array, usage = usage } end
    call:event "[DONE]"
    call:finish()
  end

  for _, alone in ipairs { true, false } do
    local how = alone and " in an event of its own" or " beside a choice"
    it("that was not asked for is counted and not shown" .. how, function()
      local visit, call, g = begin()
      assert.same({ include_usage = true }, call.json.stream_options)
      play(call, alone)
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("word", answer.text)
      assert.is_nil(answer.body:find("usage", 1, true))
      local line = g:line(answer)
      assert.same({ input = 1000, output = 500 }, line.tokens)
      assert.near(0.002, line.cost, 1e-9)
    end)

    it("that was asked for is shown" .. how, function()
      local visit, call, g = begin { body = { stream_options = { include_usage = true } } }
      play(call, alone)
      local answer = visit:rest()
      assert.is_truthy(answer.body:find('"prompt_tokens":1000', 1, true))
      assert.same({ input = 1000, output = 500 }, g:line(answer).tokens)
    end)
  end

  it("is not asked of a provider that does not understand it, and passes as it comes", function()
    local visit, call = begin { model = "mute" }
    assert.is_nil(call.json.stream_options)
    play(call, true)
    assert.is_truthy(visit:rest().body:find('"prompt_tokens":1000', 1, true))
  end)
end)

describe("a client", function()
  it("that leaves before the first event closes the upstream at once", function()
    for _, how in ipairs { "leave", "reset" } do
      local visit, call = begin()
      visit[how](visit)
      assert.is_true(call:gone())
    end
  end)

  it("that leaves in the middle closes the upstream at once", function()
    for _, how in ipairs { "leave", "reset" } do
      local visit, call, g = began()
      local id = visit:head().headers["x-lunette-request-id"]
      visit[how](visit)
      assert.is_true(call:gone())
      assert.equal(499, g:line(id).status)
      assert.equal("cancelled", g:line(id).attempts[1].kind)
    end
  end)

  it("that leaves while a whole answer is awaited closes the upstream at once", function()
    local visit = gateways.plain:open { model = "m" }
    local call = a:accept()
    visit:leave()
    assert.is_true(call:gone())
    assert.is_true(b:quiet())
  end)

  it("of HTTP/1.0 gets a stream without chunks, ended by the end of the connection", function()
    local visit, call = begin { version = "1.0" }
    call:head()
    call:piece("word", "stop")
    call:event "[DONE]"
    call:finish()
    local answer = visit:rest()
    assert.is_nil(answer.headers["transfer-encoding"])
    assert.equal("close", answer.headers.connection)
    assert.is_true(answer.clean)
    assert.equal("word", answer.text)
    assert.equal("[DONE]", answer.events[#answer.events])
  end)

  it("of HTTP/1.0 sees that a stream was cut by its error event and the missing [DONE]", function()
    local visit, call = begin { version = "1.0" }
    call:head()
    call:piece "word"
    assert.equal(200, visit:head().status)
    call:reset()
    local answer = visit:rest()
    assert.equal("word", answer.text)
    assert.equal("upstream_failed", answer.code)
    assert.is_nil(answer.body:find("[DONE]", 1, true))
  end)

  it("that asks for trailers gets what a stream's head could not say", function()
    local visit, call = began { headers = { te = "trailers" } }
    assert.is_nil(visit:head().headers["x-lunette-cost"])
    local last = piece("", "stop")
    last.usage = { prompt_tokens = 1000, completion_tokens = 500 }
    call:event(last)
    call:event "[DONE]"
    call:finish()
    local answer = visit:rest()
    assert.equal("0.002", answer.trailers["x-lunette-cost"])
    assert.is_truthy(tonumber(answer.trailers["x-lunette-latency-ms"]))
    assert.is_truthy(tonumber(answer.trailers["x-lunette-overhead-ms"]))
  end)

  it("that does not ask for trailers gets none", function()
    local visit, call = began()
    call:piece("", "stop")
    call:finish()
    assert.is_nil(visit:rest().trailers)
  end)
end)

describe("a client that does not read", function()
  -- The clocks of the provider `flood` (idle 0.5 s, total 1 s) pass while another request on the same thread waits 1.3 s for its own.
  local function let_time_pass(g)
    local answer = g:chat { model = "scripted", text = "nothing", stream = true }
    assert.equal("first_byte_timeout", g:line(answer).attempts[1].kind)
  end

  local function read_all(visit)
    e2e.window(visit.c, 4e6)
    return visit:rest()
  end

  it("holds the provider; idle and total stand still meanwhile, and nothing is lost", function()
    local g = gateways.plain
    local visit = g:open { model = "flood", stream = true, window = 4096 }
    assert.equal(200, visit:head().status)
    let_time_pass(g)
    local waiting = flooding:seen().unsent
    assert.is_true(waiting > 1e6, "only " .. waiting .. " bytes wait at the provider")
    local answer = read_all(visit)
    assert.is_true(answer.clean)
    assert.equal(384 * 65536, #answer.text)
    local line = g:line(answer)
    assert.equal("ok", line.attempts[1].kind)
    assert.is_true(line.attempts[1].ms > 1300)
  end)

  it("still gets the error event at the end of what it has not read", function()
    local visit = gateways.plain:open { model = "flood", text = "break", stream = true, window = 4096 }
    assert.equal(200, visit:head().status)
    let_time_pass(gateways.plain)
    local answer = read_all(visit)
    assert.equal(384 * 65536, #answer.text)
    assert.equal("upstream_failed", answer.code)
    no_clean_end(answer)
  end)

  it("does not hold the deadline", function()
    local g = gateways.hurried
    local visit = g:open { model = "flood", stream = true, window = 4096 }
    local id = visit:head().headers["x-lunette-request-id"]
    assert.equal("deadline_exceeded", g:line(id).code)
    local answer = read_all(visit)
    assert.equal("deadline_exceeded", answer.code)
    no_clean_end(answer)
  end)
end)

describe("the clock of the first byte", function()
  it("runs to a whole answer's head, not to its body", function()
    local g = gateways.plain
    local visit = g:open { model = "fast" }
    local call = a:accept()
    call:head(200, { ["content-length"] = 14, ["content-type"] = "application/json" })
    g:chat { model = "scripted", text = "nothing", stream = true }          -- 1.3 s
    call:send '{"choices":[]}'
    assert.equal(200, visit:rest().status)
    call:close()
  end)

  it("runs to a stream's first good event, not to its head or a ping", function()
    local visit, call, g = begin { model = "fast" }
    call:head()
    call:event({}, "ping")
    local answer = visit:rest()
    assert.equal(502, answer.status)
    assert.equal("first_byte_timeout", g:line(answer).attempts[1].kind)
    assert.is_true(call:gone())
  end)

  it("is not that of a stream that has begun", function()
    local visit, call, g = began { model = "fast" }
    g:chat { model = "scripted", text = "nothing", stream = true }          -- 1.3 s
    call:piece("more", "stop")
    call:finish()
    assert.is_true(visit:rest().clean)
  end)
end)
