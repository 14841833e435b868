-- The client's side of HTTP/1.1 (RFC 9112, 9110) as the running gateway speaks it: what is served, and what is refused before it
-- costs anything. Ambiguous requests are in smuggling_spec.lua.
local e2e = require "support"

local KEY = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"     -- of "key"
local path = "/v1/chat/completions"

local function question(text, more)
  local body = { model = "m", messages = { { role = "user", content = text or "hello" } } }
  for name, value in pairs(more or {}) do body[name] = value end
  return e2e.json.encode(body)
end
local function post(text, headers, more) return e2e.bytes { path = path, body = question(text, more), headers = headers } end
local function get(where, headers) return e2e.bytes { path = where or "/health", headers = headers } end
local function head(method, where, lines) return method .. " " .. where .. " HTTP/1.1\r\nhost: x\r\n" .. lines .. "\r\n" end

describe("HTTP/1.1:", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function(request)
      return { text = request.text, after = request.text == "slow" and 0.1 or 0 }
    end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } },
                          limits = { body = "64KiB" } }]],
    }
  end)
  teardown(e2e.stop)

  local function exchange(bytes, options)
    local c = gateway:connect()
    c:send(bytes)
    return assert(e2e.receive(c, options)), c
  end
  local function all(bytes)
    local c = gateway:connect()
    c:send(bytes)
    return e2e.receive_all(c)
  end
  local function open_still(c)
    c:send(get())
    assert.equal(200, assert(e2e.receive(c)).status)
  end

  describe("connections", function()
    it("serve one request after the other", function()
      local c = gateway:connect()
      for i = 1, 20 do
        c:send(post("number " .. i))
        local answer = e2e.receive(c)
        assert.equal("number " .. i, answer.text)
        assert.equal("1.1", answer.version)
        assert.is_nil(answer.headers.connection)
        assert.truthy(answer.headers.date)
      end
    end)

    it("serve requests sent ahead in their order, the slow one first", function()
      local c = gateway:connect()
      c:send(post "slow" .. post "two" .. get "/v1/models" .. post("three", nil, { stream = true }) .. post "four")
      assert.equal("slow", e2e.receive(c).text)
      assert.equal("two", e2e.receive(c).text)
      assert.equal("list", e2e.receive(c).json.object)
      local stream = e2e.receive(c)
      assert.equal("three", stream.text)
      assert.equal("[DONE]", stream.events[#stream.events])
      assert.equal("four", e2e.receive(c).text)
    end)

    it("serve a hundred requests that come in one packet", function()
      local c = gateway:connect()
      c:send(get():rep(100))
      for _ = 1, 100 do assert.equal(200, e2e.receive(c).status) end
      open_still(c)
    end)

    it("serve requests that come byte by byte", function()
      local c, bytes = gateway:connect(), post "slowly" .. get() .. post("chunked", nil, { stream = true })
      for i = 1, #bytes do c:send(bytes:sub(i, i)) end
      assert.equal("slowly", e2e.receive(c).text)
      assert.equal(200, e2e.receive(c).status)
      assert.equal("chunked", e2e.receive(c).text)
    end)

    it("close when the client says so, and say it", function()
      for _, value in ipairs { "close", "Close", "keep-alive, close", "x, close ,y" } do
        local answers, why = all(get("/health", { connection = value }) .. get())
        assert.equal("closed", why)
        assert.equal(1, #answers)
        assert.equal("close", answers[1].headers.connection)
      end
    end)

    it("bring a client that shuts its own side what is ready by then", function()
      local c = gateway:connect()
      c:send(get "/v1/models")
      c:shutdown "send"
      assert.equal("list", e2e.receive(c).json.object)
      assert.same({ nil, "closed" }, { e2e.receive(c) })
    end)

    it("take it for leaving while an answer is under way", function()
      local c = gateway:connect()
      c:send(post "slow")
      c:shutdown "send"
      assert.same({ nil, "closed" }, { e2e.receive(c) })
      e2e.eventually("one has left", function() return gateway:metric [[lunette_requests_total{model="m",status="499"}]] == 1 end)
    end)

    it("take one empty line before a request", function()
      local c = gateway:connect()
      c:send("\r\n" .. get() .. "\r\n" .. get())
      assert.equal(200, e2e.receive(c).status)
      assert.equal(200, e2e.receive(c).status)
    end)

    it("answer what came before a broken request, then refuse it and close", function()
      local answers, why = all(post "fine" .. "what is this\r\n\r\n" .. post "hidden")
      assert.same({ 2, "closed" }, { #answers, why })
      assert.equal("fine", answers[1].text)
      assert.equal(400, answers[2].status)
    end)
  end)

  describe("HTTP/1.0", function()
    local function old(where, lines) return "GET " .. where .. " HTTP/1.0\r\n" .. (lines or "") .. "\r\n" end

    it("closes after the answer, and needs no Host", function()
      local answers, why = all(old "/health" .. old "/health")
      assert.same({ 1, "closed", "close" }, { #answers, why, answers[1].headers.connection })
      assert.equal(200, answers[1].status)
    end)

    it("stays open with keep-alive, and says so", function()
      local answer, c = exchange(old("/health", "connection: keep-alive\r\n"))
      assert.equal("keep-alive", answer.headers.connection)
      c:send(old "/health")
      assert.equal(200, e2e.receive(c).status)
    end)

    it("gets a stream without chunks, that ends with the connection", function()
      local answer = gateway:chat { text = "one two", stream = true, version = "1.0" }
      assert.is_nil(answer.headers["transfer-encoding"])
      assert.equal("close", answer.headers.connection)
      assert.equal("one two", answer.text)
      assert.equal("[DONE]", answer.events[#answer.events])
    end)

    it("is not told to continue", function()
      local bytes = e2e.bytes { path = path, body = question "old", version = "1.0", headers = { expect = "100-continue" } }
      local c = gateway:connect()
      c:send(bytes)
      assert.equal("old", e2e.receive(c, { interim = true }).text)
    end)
  end)

  describe("bodies", function()
    local function chunked(pieces, trailers)
      return head("POST", path, "transfer-encoding: chunked\r\n") .. pieces .. "0\r\n" .. (trailers or "") .. "\r\n"
    end
    local function arrives(bytes, body)
      local answer, c = exchange(bytes)
      assert.equal(200, answer.status)
      assert.equal("hello", answer.text)
      local last = provider:seen().last
      assert.equal((body:gsub('"model":"m"', '"model":"up"')), last[#last].body)
      assert.is_nil(last[#last].headers["transfer-encoding"])
      open_still(c)
    end
    local body = [[{"model":"m","messages":[{"role":"user","content":"hello"}],  "x":1.50}]]

    it("arrive in one chunk", function() arrives(chunked(("%x\r\n%s\r\n"):format(#body, body)), body) end)

    it("arrive in chunks of one byte", function() arrives(chunked((body:gsub(".", "1\r\n%0\r\n"))), body) end)

    it("arrive with sizes in capitals and with zeros before", function()
      arrives(chunked(("0000%X\r\n%s\r\n"):format(#body, body)), body)
    end)

    it("arrive without their chunk extensions and trailers", function()
      local pieces = "a;name;other=value;third=\"quoted \\\" ; \"\r\n%s\r\n%x;x=y\r\n%s\r\n"
      arrives(chunked(pieces:format(body:sub(1, 10), #body - 10, body:sub(11)), "x-checksum: abc\r\nx-other:\r\n"), body)
    end)

    it("arrive as their length says, zeros before it too", function()
      for _, zeros in ipairs { "", "000" } do arrives(head("POST", path, "content-length: " .. zeros .. #body .. "\r\n") .. body, body) end
    end)

    it("of a GET are read over", function()
      local c = gateway:connect()
      c:send(head("GET", "/health", "content-length: 5\r\n") .. "12345" .. get())
      assert.equal(200, e2e.receive(c).status)
      assert.equal(200, e2e.receive(c).status)
    end)

    it("may be as large as the limit, by length and in chunks", function()
      local text = ("a"):rep(65536 - #question "")
      assert.equal(65536, #question(text))
      assert.equal(200, exchange(post(text)).status)
      assert.equal(200, exchange(chunked(("%x\r\n%s\r\n"):format(65536, question(text)))).status)
    end)
  end)

  describe("expect: 100-continue", function()
    local function announced(where, lines) return head("POST", where, "expect: 100-continue\r\n" .. lines) end

    it("is told to continue, then served", function()
      for _, expect in ipairs { "100-continue", "100-Continue" } do
        local c, body = gateway:connect(), question "continued"
        c:send(head("POST", path, "expect: " .. expect .. "\r\ncontent-length: " .. #body .. "\r\n"))
        assert.equal(100, e2e.receive(c, { interim = true }).status)
        c:send(body)
        assert.equal("continued", e2e.receive(c).text)
        open_still(c)
      end
    end)

    it("is told to continue for a chunked body too", function()
      local c, body = gateway:connect(), question "continued"
      c:send(announced(path, "transfer-encoding: chunked\r\n"))
      assert.equal(100, e2e.receive(c, { interim = true }).status)
      c:send(("%x\r\n%s\r\n0\r\n\r\n"):format(#body, body))
      assert.equal("continued", e2e.receive(c).text)
    end)

    it("is not told when the body came along", function()
      local c, body = gateway:connect(), question "at once"
      c:send(announced(path, "content-length: " .. #body .. "\r\n") .. body)
      assert.equal("at once", e2e.receive(c, { interim = true }).text)
    end)

    it("is refused before the body comes, and the connection closes", function()
      local before = provider:count()
      for status, bytes in pairs {
        [404] = announced("/v1/nothing", "content-length: 10\r\n"), [405] = announced("/v1/models", "content-length: 10\r\n"),
        [413] = announced(path, "content-length: 65537\r\n"), [415] = announced(path, "content-type: text/plain\r\ncontent-length: 10\r\n"),
      } do
        local c = gateway:connect()
        c:send(bytes)
        local answer = e2e.receive(c, { interim = true })
        assert.equal(status, answer.status)
        assert.equal("close", answer.headers.connection)
        assert.same({ nil, "closed" }, { e2e.receive(c) })
      end
      assert.equal(before, provider:count())
    end)
  end)

  describe("targets", function()
    it("may be absolute", function()
      for _, target in ipairs { "http://x/health", "http://X/health", "https://x/health?a=b", "http://x:80/health" } do
        assert.equal(200, exchange(head("GET", target, "")).status)
      end
    end)

    it("may carry a query, which is read over", function()
      assert.equal("hello", exchange(e2e.bytes { path = path .. "?a=b&c=%20", body = question() }).text)
    end)

    it("are not decoded or resolved: there is nothing at such a path", function()
      for _, where in ipairs { "/v1/../v1/models", "/v1//models", "//v1/models", "/v1/models/", "/v1/mod%65ls", "/V1/models",
                               "/v1/./models", "/v1", "/", "/v1/v1/models", "/health/", "/health/other", "/v2/models", "/__provider",
                               "/metrics", "/admin" } do
        local answer, c = exchange(get(where))
        assert.same({ where, 404, "not_found" }, { where, answer.status, answer.code })
        assert.truthy(answer.error.message:find("/v1/chat/completions", 1, true))
        open_still(c)
      end
    end)

    it("of OPTIONS may be a star, at which there is nothing", function()
      assert.equal(404, exchange(head("OPTIONS", "*", "")).status)
    end)
  end)

  describe("methods", function()
    it("HEAD gets the head of GET, and no body", function()
      local whole = exchange(get "/v1/models")
      local answer, c = exchange(e2e.bytes { method = "HEAD", path = "/v1/models" }, { head_only = true })
      assert.equal(200, answer.status)
      assert.equal(tostring(#whole.body), answer.headers["content-length"])
      open_still(c)
    end)

    it("that a path does not take get 405 and what it takes", function()
      for _, case in ipairs { { "GET", path, "POST" }, { "PUT", path, "POST" }, { "DELETE", path, "POST" }, { "OPTIONS", path, "POST" },
                              { "BREW", path, "POST" }, { "post", path, "POST" }, { "GET", "/v1/embeddings", "POST" },
                              { "POST", "/v1/models", "GET, HEAD" }, { "POST", "/health", "GET, HEAD" },
                              { "DELETE", "/v1/models/m", "GET, HEAD" }, { "PATCH", "/models", "GET, HEAD" } } do
        local answer, c = exchange(head(case[1], case[2], "content-length: 0\r\n"))
        assert.same({ 405, case[3], "method_not_allowed" }, { answer.status, answer.headers.allow, answer.code })
        open_still(c)
      end
      local answer = exchange(head("HEAD", path, ""), { head_only = true })
      assert.same({ 405, "POST" }, { answer.status, answer.headers.allow })
    end)
  end)

  describe("media types", function()
    it("that are JSON are taken, and none at all", function()
      for _, type in ipairs { "application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=utf-8",
                              "application/vnd.x+json" } do
        assert.equal(200, exchange(post("hello", { ["content-type"] = type })).status)
      end
      local body = question()
      assert.equal(200, exchange(head("POST", path, "content-length: " .. #body .. "\r\n") .. body).status)
    end)

    it("that are not get 415", function()
      for _, type in ipairs { "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp",
                              "json", "" } do
        local answer = exchange(post("hello", { ["content-type"] = type }))
        assert.same({ 415, "unsupported_media_type" }, { answer.status, answer.code })
      end
    end)
  end)

  describe("content codings", function()
    it("are not taken: 415, and identity is none", function()
      for _, coding in ipairs { "gzip", "br", "gzip, identity", "x" } do
        local answer = exchange(post("hello", { ["content-encoding"] = coding }))
        assert.same({ 415, "unsupported_media_type" }, { answer.status, answer.code })
      end
      assert.equal(200, exchange(post("hello", { ["content-encoding"] = "identity" })).status)
    end)
  end)

  describe("limits", function()
    local function refused(bytes, status, code)
      local before = provider:count()
      local answers, why = all(bytes)
      assert.same({ "closed", 1 }, { why, #answers })
      assert.same({ status, code, "close" }, { answers[1].status, answers[1].code, answers[1].headers.connection })
      assert.equal(before, provider:count())
    end
    -- A request line of so many bytes, CRLF included.
    local function long_line(n)
      local rest = #"GET /health? HTTP/1.1\r\n"
      return "GET /health?" .. ("a"):rep(n - rest) .. " HTTP/1.1\r\nhost: x\r\n\r\n"
    end
    -- A head with fields of so many bytes each, CRLF included.
    local function long_fields(...)
      local lines = {}
      for i, n in ipairs { ... } do lines[i] = ("x-%d: %s\r\n"):format(i, ("a"):rep(n - #("x-%d: \r\n"):format(i))) end
      return head("GET", "/health", table.concat(lines))
    end
    local first = #head("GET", "/health", "") - 2           -- with host, without the empty line

    it("a request line of 8 KiB is taken, one byte more is not", function()
      assert.equal(200, exchange(long_line(8192)).status)
      refused(long_line(8193), 431, "head_too_large")
      refused("GET /" .. ("a"):rep(9000), 431, "head_too_large")
    end)

    it("a header line of 16 KiB is taken, one byte more is not", function()
      assert.equal(200, exchange(long_fields(16384)).status)
      refused(long_fields(16385), 431, "head_too_large")
      refused(head("GET", "/health", ("a"):rep(20000)), 431, "head_too_large")
    end)

    it("a head of 64 KiB is taken, one byte more is not", function()
      local left = 65536 - first - 2 - 4 * 16000
      assert.equal(65536, #long_fields(16000, 16000, 16000, 16000, left))
      assert.equal(200, exchange(long_fields(16000, 16000, 16000, 16000, left)).status)
      refused(long_fields(16000, 16000, 16000, 16000, left + 1), 431, "head_too_large")
    end)

    it("100 headers are taken, one more is not", function()
      assert.equal(200, exchange(head("GET", "/health", ("a: b\r\n"):rep(99))).status)
      refused(head("GET", "/health", ("a: b\r\n"):rep(100)), 431, "head_too_large")
    end)

    it("a body over the limit is refused before it is sent", function()
      for _, n in ipairs { 65537, 1000000, 9223372036854775807 } do
        refused(head("POST", path, ("content-length: %.0f\r\n"):format(math.min(n, 9e18))), 413, "too_large")
      end
    end)

    it("a chunked body is refused once it is over the limit", function()
      refused(head("POST", path, "transfer-encoding: chunked\r\n") .. ("8000\r\n" .. (" "):rep(32768) .. "\r\n"):rep(3), 413, "too_large")
      refused(head("POST", path, "transfer-encoding: chunked\r\n") .. ("1\r\n \r\n"):rep(65537), 413, "too_large")
    end)

    it("a chunk that says it is enormous is refused once it is over the limit", function()
      refused(head("POST", path, "transfer-encoding: chunked\r\n") .. "7fffffff\r\n" .. (" "):rep(65537), 413, "too_large")
    end)

    it("an answer of refusal is not lost to a client that goes on sending", function()
      local c = gateway:connect()
      c:send(head("POST", path, "content-length: 10000000\r\n"))
      c:settimeout(0.2)
      for _ = 1, 100 do if not c:send((" "):rep(65536)) then break end end
      c:settimeout(e2e.limit)
      assert.equal(413, e2e.receive(c).status)
    end)
  end)

  it("nothing of all this was a mistake of the gateway's own", function()
    assert.equal("", gateway.process:stderr())
    assert.equal(0, gateway:metric [[lunette_requests_total{model="m",status="502"}]])
  end)
end)

describe("HTTP/1.1 where a key is asked for:", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function() return { text = "hi" } end]]
    gateway = e2e.gateway {
      env = { A = provider.url, HASH = KEY },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } },
                          clients = { { name = "app", hash = env "HASH" } } }]],
    }
  end)
  teardown(e2e.stop)

  it("without it nobody is told to continue", function()
    for _, lines in ipairs { "", "authorization: Bearer wrong\r\n" } do
      local c = gateway:connect()
      c:send(head("POST", path, "expect: 100-continue\r\ncontent-length: 100\r\n" .. lines))
      local answer = e2e.receive(c, { interim = true })
      assert.same({ 401, "close" }, { answer.status, answer.headers.connection })
      assert.same({ nil, "closed" }, { e2e.receive(c) })
    end
  end)

  it("without it nobody's large body is waited for", function()
    local c = gateway:connect()
    c:send(head("POST", path, "content-length: 30000000\r\n"))
    assert.equal(401, e2e.receive(c).status)
  end)

  it("with it one is", function()
    local c, body = gateway:connect(), question()
    c:send(head("POST", path, "expect: 100-continue\r\nauthorization: Bearer key\r\ncontent-length: " .. #body .. "\r\n"))
    assert.equal(100, e2e.receive(c, { interim = true }).status)
    c:send(body)
    assert.equal("hi", e2e.receive(c).text)
  end)
end)
