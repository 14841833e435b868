-- Bodies that are kept for who asks why: whose, for how long, and what is taken out of them first.
local e2e = require "support"

local provider
setup(function()
  provider = e2e.provider [[local repeated = {}
  for i = 1, 12 do repeated[i] = ("x"):rep(100000) end
  return function(request)
    if request.text:find "fail" then return { status = 400, body = { error = { message = "write to bob@example.org" } } } end
    local function said(...)
      local events = {}
      for i, words in ipairs { ... } do events[i] = { choices = { { index = 0, delta = { content = words } } } } end
      return events
    end
    local function ending(events)
      events[#events + 1] = { choices = { { index = 0, delta = {}, finish_reason = "stop" } } }
      events[#events + 1] = "[DONE]"
      return { events = events }
    end
    if request.text == "cut" then return { events = said("one ", "two"), cut = "fin" } end
    if request.text == "pieces" then return ending(said("ask an", "n@exam", "ple.org now")) end
    if request.text == "many" then return ending(said(unpack(repeated, 1, 12))) end
    if request.text == "long" then return ending(said(unpack(repeated, 1, 3))) end
    if request.text == "odd" then return ending { { choices = { { index = 0, delta = { content = "odd", annotations = { { a = 1 } } } } } } } end
    return { text = "ask ann@example.org", usage = { input = 3, output = 2 } }
  end]]
end)
teardown(e2e.stop)

local redact = [[return function(text, what)
  if text:find "loop" then while true do end end
  if text:find "boom" then error "boom" end
  if text:find "number" then return 5 end
  if text:find "nothing" then return nil end
  return (text:gsub("[%w._-]+@[%w.-]+", what .. "-mail"))
end]]

local function start(capture, files)
  return e2e.gateway {
    env = { A = provider.url, ONE = e2e.hash "one", TWO = e2e.hash "two" }, files = files or { ["redact.lua"] = redact },
    config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } }, health = false,
      clients = { { name = "one", hash = env "ONE" }, { name = "two", hash = env "TWO" } }, ]] .. capture .. [[ }]],
  }
end

-- What is told of a request, once it is over.
local function told(gateway, options)
  options.headers = { authorization = "Bearer " .. (options.key or "one") }
  local id = gateway:chat(options).headers["x-lunette-request-id"]
  return e2e.eventually("it is over", function()
    local answer = e2e.request(gateway.admin, { path = "/admin/requests/" .. id })
    return answer.status == 200 and answer.json
  end)
end
local function counted(gateway, result) return gateway:metric('lunette_captured_requests_total{result="' .. result .. '"}') end

describe("bodies", function()
  it("are not kept where nobody says so", function()
    local g = start ""
    assert.is_nil(told(g, { text = "fail" }).captured)
    assert.is_nil(told(g, { text = "hello" }).captured)
    g:stop()
  end)

  it("of requests and whole answers are kept as they were", function()
    local g = start "capture = { share = 1 }"
    local t = told(g, { text = "mail eve@example.org" })
    assert.equal("mail eve@example.org", e2e.json.decode(t.captured.request).messages[1].content)
    assert.equal(1, #t.captured.answers)
    assert.equal(1, t.captured.answers[1].attempt)
    assert.equal("ask ann@example.org", e2e.json.decode(t.captured.answers[1].body).choices[1].message.content)
    assert.is_nil(told(g, { text = ("x"):rep(300 * 1024) }).captured)
    assert.same({ 1, 1 }, { counted(g, "kept"), counted(g, "too_large") })
    local id = t.request.id
    local status, out = e2e.run { e2e.program(), "show", id, "--body", "--admin", "127.0.0.1:" .. g.admin }
    assert.same({ 0, t.captured.request }, { status, out })
    assert.is_nil(e2e.json.encode(g:look "requests?n=100"):find("eve@example.org", 1, true))
    g:stop()
  end)

  it("of streams are kept as the whole answer that they come to, also where they were cut", function()
    local g = start "capture = { share = 1 }"
    local t = told(g, { text = "hello", stream = true })
    local answer = t.captured.answers[1]
    assert.same({ 1, 1, true }, { #t.captured.answers, answer.attempt, answer.stream })
    local body = e2e.json.decode(answer.body)
    assert.same({ "chat.completion", { role = "assistant", content = "ask ann@example.org" }, "stop" },
                { body.object, body.choices[1].message, body.choices[1].finish_reason })
    assert.same({ 3, 2 }, { body.usage.prompt_tokens, body.usage.completion_tokens })       -- though the client did not ask for it
    local status, out = e2e.run { e2e.program(), "show", t.request.id, "--answer", "--admin", "127.0.0.1:" .. g.admin }
    assert.same({ 0, answer.body }, { status, out })
    local cut = told(g, { text = "cut", stream = true })
    assert.is_true(cut.request.torn)
    assert.matches("^one two", e2e.json.decode(cut.captured.answers[1].body).choices[1].message.content)
    g:stop()
  end)

  it("of streams that are too large, or cannot be put together, are left out, and the request is kept", function()
    local g = start "capture = { share = 1 }"
    for text, why in pairs { many = "too_large", long = "too_large", odd = "not_understood" } do
      local t = told(g, { text = text, stream = true })
      assert.equal(text, e2e.json.decode(t.captured.request).messages[1].content)
      assert.same({ { attempt = 1, stream = true, left_out = why } }, t.captured.answers)
      local status, out, errors = e2e.run { e2e.program(), "show", t.request.id, "--answer", "--admin", "127.0.0.1:" .. g.admin }
      assert.same({ 1, "" }, { status, out })
      assert.truthy(errors:find("its stream", 1, true), errors)
    end
    assert.equal(3, counted(g, "kept"))
    g:stop()
  end)

  it("of streams are kept where they failed, if that is what is wanted, and of nobody else", function()
    local g = start 'capture = { errors = true, keys = { "two" } }'
    assert.is_nil(told(g, { text = "cut", stream = true }).captured)
    assert.is_nil(told(g, { text = "hello", stream = true, key = "two" }).captured)
    assert.equal(1, #told(g, { text = "cut", stream = true, key = "two" }).captured.answers)
    g:stop()
  end)

  it("of those that failed are kept, of the keys that are named alone", function()
    local g = start 'capture = { errors = true, keys = { "two" } }'
    assert.is_nil(told(g, { text = "fail" }).captured)
    assert.is_nil(told(g, { text = "hello", key = "two" }).captured)
    local t = told(g, { text = "fail", key = "two" })
    assert.truthy(t.captured.answers[1].body:find("bob@example.org", 1, true))
    local status, out, errors = e2e.run { e2e.program(), "show", told(g, { text = "hello" }).request.id, "--body", "--admin", "127.0.0.1:" .. g.admin }
    assert.same({ 1, "" }, { status, out })
    assert.truthy(errors:find("was not kept", 1, true))
    g:stop()
  end)

  it("are redacted before they are kept, and where that fails nothing is", function()
    local g = start 'capture = { share = 1, redact = "redact.lua" }'
    local t = told(g, { text = "mail eve@example.org" })
    assert.equal("mail request-mail", e2e.json.decode(t.captured.request).messages[1].content)
    assert.equal("ask answer-mail", e2e.json.decode(t.captured.answers[1].body).choices[1].message.content)
    t = told(g, { text = "pieces", stream = true })             -- a name that no event has whole
    assert.equal("ask answer-mail now", e2e.json.decode(t.captured.answers[1].body).choices[1].message.content)
    for _, text in ipairs { "boom", "loop", "number", "nothing" } do assert.is_nil(told(g, { text = text }).captured, text) end
    assert.same({ 2, 3, 1 }, { counted(g, "kept"), counted(g, "failed"), counted(g, "refused") })
    local said = g.process:said()
    for _, part in ipairs { "redact.lua:3: boom", "redact.lua:2: stopped", "neither a text nor nil" } do assert.truthy(said:find(part, 1, true), part) end
    g:stop()
  end)

  it("are kept as the version says that a request began with", function()
    local g = start "capture = { share = 1 }"
    local before = told(g, { text = "before" })
    assert.is_not_nil(before.captured)
    local config = e2e.read(g.folder .. "/gateway.lua")
    assert.equal(200, g:reload({ ["gateway.lua"] = config:gsub("capture = { share = 1 }", "capture = false") }).status)
    assert.is_nil(told(g, { text = "after" }).captured)
    assert.is_not_nil(g:look("requests/" .. before.request.id).captured)
    g:stop()
  end)

  it("make room for others, and are gone once they are old", function()
    local g = start 'capture = { share = 1, size = "64KiB", keep = 0.2 }'
    local first = told(g, { text = "first" }).request.id
    e2e.eventually("the time is over", function() return not g:look("requests/" .. first).captured end)
    local config = e2e.read(g.folder .. "/gateway.lua")
    assert.equal(200, g:reload({ ["gateway.lua"] = config:gsub("keep = 0.2", "keep = 3600") }).status)
    local second = told(g, { text = "second" }).request.id
    assert.is_not_nil(g:look("requests/" .. second).captured)
    for _ = 1, 3 do told(g, { text = ("x"):rep(30000) }) end
    assert.is_nil(g:look("requests/" .. second).captured)
    g:stop()
  end)
end)

describe("a configuration whose capture is wrong", function()
  local function check(capture, files)
    local folder = e2e.folder()
    for name, text in pairs(files or {}) do e2e.write(folder .. "/" .. name, text) end
    local others = 'providers = { a = { base_url = "http://127.0.0.1:1/v1" } }, models = { m = { { provider = "a" } } }'
    local path = e2e.write(folder .. "/gateway.lua", "return { " .. others .. ",\n" .. capture .. " }")
    local status, _, errors = e2e.run { e2e.program(), "check", path }
    return status, errors
  end

  it("is refused by name and line", function()
    for capture, says in pairs {
      ["capture = {}"] = "gateway.lua:2: capture: captures nothing", ["capture = { share = 2 }"] = "capture.share: must be a number from 0 to 1",
      ["capture = { errors = true, keep = 0 }"] = "capture.keep", ["capture = { errors = true, keys = {} }"] = "capture.keys: names nobody",
      ["capture = { errors = true, redact = 'none.lua' }"] = 'capture.redact: "none.lua" cannot be read',
    } do
      local status, errors = check(capture)
      assert.equal(1, status)
      assert.truthy(errors:find(says, 1, true), errors)
    end
    for text, says in pairs {
      ["return 5"] = "it has to return a function(text, what)", ["\nreturn function("] = "redact.lua:2:", ["\n\nerror 'x'"] = "redact.lua:3: x",
    } do
      local status, errors = check("capture = { errors = true, redact = 'redact.lua' }", { ["redact.lua"] = text })
      assert.equal(1, status)
      assert.truthy(errors:find(says, 1, true), errors)
    end
  end)
end)
