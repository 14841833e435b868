-- Dialects on real sockets: a stream is told by its bytes, as without one, and its last event counts though its empty line is missing.
local e2e = require "support"

local dialect = [[return { request = function(body) return { path = "/odd", body = body } end, answer = function(body) return body end,
  event = function(e)
    return { { id = "c", object = "chat.completion.chunk", choices = { { index = 0, delta = { content = e.data.say }, finish_reason = e.data.stop } } } }
  end }]]
local config = [[return { limits = { retries = false }, providers = { a = { base_url = env "A", dialect = "odd", usage = false } },
  models = { m = { { provider = "a", model = "up" } } } }]]

-- A provider and a gateway that speaks to it so, anew for each test of a group.
local a, g
local function spoken_by(source)
  before_each(function()
    a = e2e.puppet()
    g = e2e.gateway { config = config, env = { A = a.url }, files = { ["dialects/odd.lua"] = source } }
  end)
  after_each(e2e.stop)
end

describe("a dialect's stream", function()
  spoken_by(dialect)

  for _, type in ipairs { "content-type: text/event-stream\r\n", "content-type: Text/Event-Stream\r\n", "content-type: text/plain\r\n", "" } do
    it("is translated under " .. (type ~= "" and type:sub(1, -3) or "no type"), function()
      local visit = g:open { stream = true }
      local call = a:accept()
      call:send("HTTP/1.1 200 OK\r\n" .. type .. "transfer-encoding: chunked\r\n\r\n")
      call:event { say = "hi" }
      call:event { say = "!", stop = "stop" }
      call:finish()
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("hi!", answer.text)
    end)
  end

  it("has its last event though the empty line behind it is missing, and half of one is nothing", function()
    for _, last in ipairs { 'data: {"say":"!","stop":"stop"}\n', 'data: {"say":"!","stop":"stop"}\n\ndata: {"say' } do
      local visit = g:open { stream = true }
      local call = a:accept()
      call:head(200)
      call:event { say = "hi" }
      call:chunk(last)
      call:finish()
      local answer = visit:rest()
      assert.is_true(answer.clean)
      assert.equal("hi!", answer.text)
    end
  end)
end)

-- A dialect of the kind that says as a table what ours says as text: what a tool is called with, and its schema.
local tools = [[local cjson = require "cjson"
return {
  request = function(body)
    local list, turns = {}, {}
    for i, tool in ipairs(body.tools) do list[i] = { name = tool["function"].name, input_schema = tool["function"].parameters } end
    for i, m in ipairs(body.messages) do
      local call = m.tool_calls and m.tool_calls[1]["function"]
      turns[i] = { role = m.role, text = m.content, use = call and { name = call.name, input = cjson.decode(call.arguments) } }
    end
    return { path = "/turns", body = { tools = list, turns = turns, metadata = body.metadata, seed = body.seed } }
  end,
  answer = function(body)
    local call = { id = "t", type = "function", ["function"] = { name = body.use.name, arguments = cjson.encode(body.use.input) } }
    local message = { role = "assistant", tool_calls = { call } }
    return { id = "c", object = "chat.completion", choices = { { index = 0, message = message, finish_reason = "tool_calls" } } }
  end,
  event = function(e)
    if e.data == "[DONE]" then return { "[DONE]" } end
    return { { id = "c", object = "chat.completion.chunk", choices = { { index = 0, delta = { content = e.data.say }, finish_reason = e.data.stop } } } }
  end }]]
local numbers = '{"big":9007199254740993,"id":1735689600000001,"least":-9223372036854775808,"list":[1.0,-0,0.25,12345678901234567890],"most":1e400}'

describe("what a dialect only passes on", function()
  spoken_by(tools)

  local function ask(schema, more)
    return '{"model":"m","tools":[{"type":"function","function":{"name":"f","parameters":' .. schema .. '}}],"metadata":' .. schema
        .. ',"messages":[{"role":"user","content":"hi"}' .. (more or "") .. "]}"
  end

  local function open(body) return e2e.open(g.port, { path = "/v1/chat/completions", body = body }) end

  it("has the numbers that it had, there", function()
    local arguments = numbers:gsub('"', '\\"')
    local visit = open(ask(numbers, ',{"role":"assistant","tool_calls":[{"id":"t","type":"function",'
      .. '"function":{"name":"f","arguments":"' .. arguments .. '"}}]}'))
    local call = a:accept()
    assert.equal('{"metadata":' .. numbers .. ',"tools":[{"input_schema":' .. numbers .. ',"name":"f"}],"turns":[{"role":"user","text":"hi"},'
                 .. '{"role":"assistant","use":{"input":' .. numbers .. ',"name":"f"}}]}', call.body)
    call:answer(200, '{"use":{"name":"f","input":{}}}')
    visit:rest()
  end)

  it("and back", function()
    local visit = open(ask "{}")
    a:accept():answer(200, '{"use":{"name":"f","input":' .. numbers .. "}}")
    local answer = visit:rest()
    assert.equal(200, answer.status)
    assert.equal(numbers, answer.json.choices[1].message.tool_calls[1]["function"].arguments)
  end)

  it("has halves of a character, which meet at the client", function()
    local visit = open(ask "{}":gsub('"hi"', '"h\\ud83d"'):gsub('"messages"', '"stream":true,%0'))
    local call = a:accept()
    assert.is_truthy(call.body:find('"text":"h\\ud83d"', 1, true))
    call:head(200)
    for _, half in ipairs { "\\ud83d", "\\ude00" } do call:event('{"say":"' .. half .. '"}') end
    call:event '{"say":"","stop":"stop"}'
    call:event "[DONE]"
    call:finish()
    local answer = visit:rest()
    assert.is_truthy(answer.body:find('"content":"\\ud83d"', 1, true))
    assert.is_truthy(answer.body:find('"content":"\\ude00"', 1, true))
  end)
end)
