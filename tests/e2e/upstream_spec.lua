-- Towards the providers: TLS and HTTP/2 (nginx with a self-made CA before a scripted provider), connections used again, bodies byte for
-- byte, and keys that nobody ever sees.
local e2e = require "support"
local tls = require "tls"

local script = [[return function(request)
  return { text = "hello " .. (request.text or ""), usage = { input = 3, output = 2 } }
end]]

for _, transport in ipairs { "auto", "curl" } do
describe("over TLS by " .. transport, function()
  local provider, front, h2, g
  local config = [[
  local function over(port, host) return "https://" .. (host or "127.0.0.1") .. ":" .. env(port) .. "/v1" end
  local providers = {
    secure = { base_url = over "FRONT", ca = env "CA" }, http2 = { base_url = over "H2", ca = env "CA", http2 = true },
    http2_not_there = { base_url = over "FRONT", ca = env "CA", http2 = true }, http2_not_wanted = { base_url = over "H2", ca = env "CA" },
    system = { base_url = over "FRONT" }, other = { base_url = over "FRONT", ca = env "OTHER" },
    misnamed = { base_url = over("FRONT", "localhost"), ca = env "CA" }, expired = { base_url = over "OLD", ca = env "CA" },
  }
  local models = {}
  for name, p in pairs(providers) do
    p.transport = env "TRANSPORT"
    models[name] = { { provider = name, model = "up" } }
  end
  return { providers = providers, models = models, health = false, limits = { retries = false } }]]

  setup(function()
    local ca, other = tls.authority(), tls.authority()
    local cert = ca:certificate "IP:127.0.0.1"
    provider = e2e.provider(script)
    front = tls.nginx { cert = cert, to = provider.port }
    h2 = tls.nginx { cert = cert, to = provider.port, http2 = true }
    local old = tls.nginx { cert = ca:certificate("IP:127.0.0.1", -1), to = provider.port }
    g = e2e.gateway { config = config, env = { FRONT = tostring(front.port), H2 = tostring(h2.port), OLD = tostring(old.port), CA = ca.file,
                                               OTHER = other.file, TRANSPORT = transport } }
  end)
  teardown(e2e.stop)

  for name, protocol in pairs { secure = "HTTP/1.1", http2 = "HTTP/2.0", http2_not_there = "HTTP/1.1", http2_not_wanted = "HTTP/1.1" } do
    it(name .. ": a chat and a stream over " .. protocol .. ", on one connection", function()
      local nginx = name:find "http2" and name ~= "http2_not_there" and h2 or front
      local before = #tls.log(nginx, 0)
      for i = 1, 3 do
        local answer = g:chat { model = name, text = "you" .. i }
        assert.equal(200, answer.status, answer.body)
        assert.equal("hello you" .. i, answer.text)
        local stream = g:chat { model = name, text = "you" .. i, stream = true }
        assert.is_true(stream.clean)
        assert.equal("hello you" .. i, stream.text)
        assert.equal("[DONE]", stream.events[#stream.events])
      end
      local log = tls.log(nginx, before + 6)
      local connections, n = {}, 0
      for i = before + 1, before + 6 do
        assert.equal(protocol, log[i].protocol)
        if not connections[log[i].connection] then connections[log[i].connection], n = true, n + 1 end
      end
      assert.is_true(n <= 2, n .. " connections")         -- streams have their own
    end)
  end

  for name, words in pairs { system = "not trusted", other = "not trusted", misnamed = "another host name", expired = "expired" } do
    it(name .. ": a certificate that is wrong is refused before anything is said, and told why", function()
      local before = provider:count()
      local answer = g:chat { model = name }
      assert.equal(502, answer.status)
      assert.matches("tls", answer.error.message)
      assert.matches(words, answer.error.message, 1, true)
      assert.equal("tls", g:line(answer).attempts[1].kind)
      assert.equal(before, provider:count())
    end)
  end

  it("many at once over HTTP/2 share a connection", function()
    local before = #tls.log(h2, 0)
    local visits = {}
    for i = 1, 20 do visits[i] = g:open { model = "http2", text = tostring(i), stream = i % 2 == 0 } end
    for i = 1, 20 do assert.equal("hello " .. i, visits[i]:rest().text) end
    local log, connections = tls.log(h2, before + 20), {}
    for i = before + 1, before + 20 do connections[log[i].connection] = true end
    local n = 0
    for _ in pairs(connections) do n = n + 1 end
    assert.is_true(n <= 4, n .. " connections")
  end)

  it("a client that leaves ends its HTTP/2 stream alone", function()
    local quiet = g:open { model = "http2", stream = true }
    quiet:expect "hello"
    quiet:leave()
    assert.equal("hello x", g:chat({ model = "http2", text = "x" }).text)
  end)
end)
end

describe("a connection", function()
  local config = [[return { keepalive = false, health = false, providers = { a = { base_url = env "A" } },
                            models = { m = { { provider = "a", model = "up" } } } }]]
  teardown(e2e.stop)

  it("is used again, for whole answers and for streams", function()
    local a = e2e.provider(script)
    local g = e2e.gateway { config = config, env = { A = a.url } }
    for i = 1, 6 do assert.equal(200, g:chat({ stream = i > 3 }).status) end
    local connections, n = {}, 0
    for _, request in ipairs(a:seen().last) do
      if not connections[request.connection] then connections[request.connection], n = true, n + 1 end
    end
    assert.is_true(n <= 2, n .. " connections")
  end)

  it("that the provider closed meanwhile is not used: nothing is lost, nothing is sent twice", function()
    local a = e2e.provider "return function(request) return { text = request.text, keep = false } end"
    local g = e2e.gateway { config = config, env = { A = a.url } }
    for i = 1, 5 do assert.equal(tostring(i), g:chat({ text = tostring(i) }).text) end
    assert.equal(5, a:count())
  end)

  it("that dies under a request is told as a reset: the request is not sent a second time", function()
    local a = e2e.puppet()
    local g = e2e.gateway { config = config, env = { A = a.url } }
    local visit = g:open {}
    local first = a:accept()
    first:answer(200, { choices = {} })
    assert.equal(200, visit:rest().status)
    visit = g:open {}
    local call = a:accept()
    assert.equal(first.connection, call.connection)
    call:reset()
    local answer = visit:rest()
    assert.equal(502, answer.status)
    assert.equal("reset", g:line(answer).attempts[1].kind)
    if not a:quiet() then                                   -- it may look for a new connection, but says nothing there
      local c = a.listener:accept()
      c:settimeout(e2e.limit)
      assert.same({ nil, "closed", "" }, { c:receive(1) })
    end
  end)
end)

describe("a body", function()
  local a, g
  local config = [[return {
    policy = "policy.lua", health = false, providers = { a = { base_url = env "A" }, mute = { base_url = env "A", usage = false } },
    models = { m = { { provider = "a", model = "the \"real\" name" } }, same = { { provider = "a", model = "same" } },
               mute = { { provider = "mute", model = "up" } },
               limited = { { provider = "a", model = "limited", price = { input = 1, output = 1 }, max_output = 77 } } },
  }]]
  local policy = [[return { select = function(request, targets)
    if request.headers["x-edit"] then
      return { { target = targets:asked()[1], set = { temperature = 0.5, added = "new" }, drop = { "user", "user2" }, rename = { top_p = "P" } } }
    end
  end }]]

  setup(function()
    a = e2e.puppet()
    g = e2e.gateway { config = config, files = { ["policy.lua"] = policy }, env = { A = a.url } }
  end)
  teardown(e2e.stop)

  local function sent(body, headers, path)
    local visit = e2e.open(g.port, { path = path or "/v1/chat/completions", body = body, headers = headers })
    local call = a:accept()
    call:answer(200, { choices = {} })
    assert.equal(200, visit:rest().status)
    return call
  end

  local odd = ' \t\r\n{ "seed" : 12345678901234567890123 ,"messages":[ {"role":"user","content":"\\u0041\\/\\ud83d\\ude00 \226\130\172 \\n"} ],'
    .. '\n\t"x": 1.0e+400, "y":-0, "z":1E5 , "x" : [ ] , "model"\t:\r\n"MODEL" , "nested":{"model":"inner","model":"inner"}, "\\u006dodel2":null,'
    .. '"big":' .. ("9"):rep(999) .. ', "" : "" }\r\n \n'

  local function with(model) return (odd:gsub("MODEL", model)) end

  it("arrives byte for byte where the model's name is the provider's", function()
    assert.equal(with "same", sent(with "same").body)
  end)

  it("arrives byte for byte but for the model's name", function()
    assert.equal(with 'the \\"real\\" name', sent(with "m").body)
  end)

  it("has nothing but what is its own in the head", function()
    local call = sent(with "same", { authorization = "Bearer client-key", ["x-secret"] = "1", cookie = "c=1", ["x-forwarded-for"] = "9.9.9.9",
                                     ["user-agent"] = "odd/1" })
    assert.equal("POST", call.method)
    assert.equal("/v1/chat/completions", call.path)
    assert.equal("application/json", call.headers["content-type"])
    assert.equal(tostring(#call.body), call.headers["content-length"])
    for _, name in ipairs { "authorization", "x-secret", "cookie", "x-forwarded-for", "transfer-encoding", "expect" } do
      assert.is_nil(call.headers[name], name)
    end
  end)

  it("of a megabyte arrives byte for byte, in chunks from the client too", function()
    local long = '{"model":"same","messages":[{"role":"user","content":"' .. ("0123456789abcdef"):rep(65536) .. '"}]}'
    assert.equal(long, sent(long).body)
    local out = {}
    for at = 1, #long, 70000 do
      local part = long:sub(at, at + 69999)
      out[#out + 1] = ("%x\r\n%s\r\n"):format(#part, part)
    end
    local c = g:connect()
    c:send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    c:send(table.concat(out) .. "0\r\n\r\n")
    local call = a:accept()
    call:answer(200, { choices = {} })
    assert.equal(200, e2e.receive(c).status)
    assert.equal(long, call.body)
  end)

  it("of a stream gets include_usage spliced in, and nothing else", function()
    local cases = {
      { '{"model":"same","messages":[],"stream":true}', '{"stream_options":{"include_usage":true},"model":"same","messages":[],"stream":true}' },
      { ' { "model":"same", "messages":[],"stream":true }', ' {"stream_options":{"include_usage":true}, "model":"same", "messages":[],"stream":true }' },
      { '{"model":"same","messages":[],"stream":true,"stream_options":null}',
        '{"model":"same","messages":[],"stream":true,"stream_options":{"include_usage":true}}' },
      { '{"model":"same","messages":[],"stream":true,"stream_options": { "include_usage" : false } }',
        '{"model":"same","messages":[],"stream":true,"stream_options": { "include_usage" : true } }' },
      { '{"model":"same","messages":[],"stream":true,"stream_options":{ "x":1}}',
        '{"model":"same","messages":[],"stream":true,"stream_options":{"include_usage":true, "x":1}}' },
      { '{"model":"same","messages":[],"stream":true,"stream_options":{"include_usage":true}}' },
      { '{"model":"mute","messages":[],"stream":true}', '{"model":"up","messages":[],"stream":true}' },
    }
    for _, case in ipairs(cases) do
      local visit = e2e.open(g.port, { path = "/v1/chat/completions", body = case[1] })
      local call = a:accept()
      call:head()
      call:piece("x", "stop")
      call:finish()
      assert.is_true(visit:rest().clean)
      assert.equal(case[2] or case[1], call.body)
    end
  end)

  it("gets an output cap where a hard limit needs one", function()
    local call = sent('{"model":"limited","messages":[]}', { ["x-lunette-budget"] = "1" })
    assert.equal('{"max_tokens":77,"model":"limited","messages":[]}', call.body)
    call = sent('{"model":"limited","max_tokens":5,"messages":[]}', { ["x-lunette-budget"] = "1" })
    assert.equal('{"model":"limited","max_tokens":5,"messages":[]}', call.body)
  end)

  it("is edited by offset: what stands between stays as it was", function()
    local body = '{ "user" : "u", "model" : "same" ,"temperature": 1.00,"top_p" : 0.10, "user2":{"a":[1, 2]} , "messages" : [ 1,2 ] }'
    local call = sent(body, { ["x-edit"] = "1" })
    assert.equal('{"added":"new", "model" : "same" ,"temperature": 0.5,"P" : 0.10, "messages" : [ 1,2 ] }', call.body)
  end)

  it("of the other endpoints arrives the same way", function()
    assert.equal('{"prompt":"x","model":"same"}', sent('{"prompt":"x","model":"same"}', nil, "/v1/completions").body)
    local call = sent('{"input":["x"],"model":"same"}', nil, "/embeddings")
    assert.equal('{"input":["x"],"model":"same"}', call.body)
    assert.equal("/v1/embeddings", call.path)
  end)
end)

describe("a provider's key", function()
  local canaries = { "sk-canary-one-7f3a9c", "sk-canary-two-b81d44", "header-canary-5e5e5e" }
  local config = [[
  local key = { secret "CANARY1", secret "CANARY2" }
  local up = function(name) return { { provider = name, model = "up" } } end
  return {
    policy = "policy.lua", health = { failures = 2 }, log = { text = true }, limits = { retries = false },
    providers = { a = { base_url = env "A", key = key, headers = { ["x-extra"] = secret "CANARY3" } },
                  refused = { base_url = "http://127.0.0.1:1/v1", key = key }, plain = { base_url = "https" .. env("A"):sub(5), key = key },
                  proxied = { base_url = "http://x.invalid/v1", key = key, proxy = "http://127.0.0.1:1" } },
    models = { a = up "a", refused = up "refused", plain = up "plain", proxied = up "proxied" } }]]
  -- A policy that tells all it can reach.
  local policy = [[local lunette = require "lunette"
  local function tell(what, value) lunette.log(what, value) lunette.note(what, value) end
  return {
    classify = function(request)
      tell("headers", request.headers)
      for _, t in ipairs(request.targets) do tell("facts", t.facts) tell("provider", tostring(t.provider)) end
      if request.text == "raise" then error(request.targets) end
    end,
    retry = function(request, attempt) tell("detail", attempt.detail) tell("body", attempt:body()) return lunette.stop() end,
  }]]
  local echoing = [[return function(request, n)
    local key = request.headers.authorization:sub(8) .. " " .. request.headers["x-extra"]
    local error = { error = { message = "the key " .. key .. " is wrong", code = key } }
    if request.text == "401" then return { status = 401, body = error, headers = { ["www-authenticate"] = key } } end
    if request.text == "400" then return { status = 400, body = error } end
    if request.text == "500" then return { status = 500, body = "<html>" .. key .. "</html>" } end
    if request.text == "event" then return { events = { error } } end
    if request.text == "late event" then return { events = { { choices = { { delta = { content = "x" } } } }, error } } end
    local pad = tonumber(request.text:match "^pad (%d+)")                 -- so that a piece of it is cut off somewhere
    if pad and request.stream then return { events = { { error = { message = ("x"):rep(pad) .. key } } } } end
    if pad then
      key = ("x"):rep(pad) .. key
      return { status = 400, body = { error = { message = key } }, headers = { ["x-request-id"] = key } }
    end
    if request.text == "not json" then return { body = key } end
    if request.text == "header" then return { text = "x", headers = { ["x-request-id"] = key, ["content-type"] = "application/json" } } end
    return { text = "fine" }
  end]]
  teardown(e2e.stop)

  it("is in nothing that a gateway writes or answers", function()
    local a = e2e.provider(echoing)
    local g = e2e.gateway { config = config, files = { ["policy.lua"] = policy },
                            env = { A = a.url, CANARY1 = canaries[1], CANARY2 = canaries[2], CANARY3 = canaries[3] } }
    local all = {}
    local function keep(answer)
      all[#all + 1] = answer.body
      for _, h in ipairs(answer.list or {}) do all[#all + 1] = h[1] .. ": " .. h[2] end
      for name, value in pairs(answer.trailers or {}) do all[#all + 1] = name .. ": " .. value end
    end
    for _, model in ipairs { "a", "refused", "plain", "proxied" } do
      for _, text in ipairs { "fine", "raise", "400", "500", "event", "late event", "not json", "header", "pad 230", "pad 240",
                             "pad 480", "pad 490", "401", "401" } do
        for _, stream in ipairs { false, true } do
          keep(g:chat { model = model, text = text, stream = stream, headers = { te = "trailers", ["x-lunette-explain"] = "1",
                        authorization = "Bearer client-canary-999", ["x-api-key"] = "client-canary-999" } })
        end
      end
    end
    for _, path in ipairs { "/v1/models", "/health", "/nothing", "/metrics", "/admin/versions" } do
      keep(e2e.request(g.port, { path = path }))
      keep(e2e.request(g.admin, { path = path }))
    end
    assert.equal(112, #g:log(112))
    assert.is_true(a:count() > 0)
    g:stop()
    all[#all + 1] = g.process:said()
    all[#all + 1] = e2e.read(g.folder .. "/requests.jsonl")
    local _, out, err = e2e.run({ e2e.lunette, "check", g.folder .. "/gateway.lua", "--table" },
                                { A = a.url, CANARY1 = canaries[1], CANARY2 = canaries[2], CANARY3 = canaries[3] })
    all[#all + 1] = out .. err
    local text = table.concat(all, "\n")
    assert.matches("refused/up", text, 1, true)             -- it is all there, and has been read
    for _, canary in ipairs(canaries) do
      local at = text:find(canary:sub(1, 10), 1, true)
      assert.is_nil(at, at and text:sub(math.max(1, at - 300), at + 60))
    end
    local at = text:find("client-canary", 1, true)
    assert.is_nil(at, at and text:sub(math.max(1, at - 300), at + 60))
  end)
end)

describe("a provider that folds its first header", function()
  teardown(e2e.stop)

  it("behind a good answer gets bad_answer, and the gateway lives on", function()
    local p = e2e.puppet()
    local g = e2e.gateway { env = { A = p.url }, config = [[return { health = false, providers = { a = { base_url = env "A" } },
                                                                     models = { m = { { provider = "a", model = "up" } } } }]] }
    local whole = [[{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}]]
    for _ = 1, 5 do
      local visit = g:open {}
      p:accept():answer(200, whole)
      assert.equal(200, visit:rest().status)
      visit = g:open {}
      p:accept():send("HTTP/1.1 200 OK\r\n folded: " .. ("a"):rep(20) .. "\r\n\tand more\r\ncontent-length: " .. #whole .. "\r\n\r\n" .. whole)
      local answer = visit:rest()
      assert.equal("bad_answer", g:line(answer).attempts[1].kind)
    end
    assert.equal(0, g:stop())
  end)
end)
