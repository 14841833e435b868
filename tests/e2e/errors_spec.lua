-- Errors as a client gets them: status, body, headers; and the headers of answers that went well.
local e2e = require "support"
local null = e2e.json.null

local function is_error(answer, status, code, type, retry)
  local e = answer.error or error("no error in " .. answer.body)
  assert.same({ status, code, type }, { answer.status, e.code, e.type })
  assert.same({ status, null, retry }, { e.status, e.param, answer.headers["x-should-retry"] })
  assert.equal("application/json", answer.headers["content-type"])
  assert.truthy(e.request_id)
  assert.same({ e.request_id, e.request_id }, { answer.headers["x-lunette-request-id"], answer.headers["x-request-id"] })
  assert.is_true(answer.clean)
end
local function says(answer, ...)
  for _, words in ipairs { ... } do assert(answer.error.message:find(words, 1, true), words .. " is not in: " .. answer.error.message) end
end

describe("an error", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function(request)
      local status = tonumber(request.text)
      if request.text == "stall" then return { stall = true } end
      if not status then return { text = "fine" } end
      return { status = status, body = { error = { message = "because of " .. status, code = "theirs" } },
               headers = { ["x-ratelimit-remaining-tokens"] = "7" } }
    end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" }, b = { base_url = env "A" } },
        models = { m = { { provider = "a", model = "one" }, { provider = "b", model = "two" } },
                   sole = { { provider = "a", model = "sole" } } },
        health = { failures = 1000 }, limits = { body = "8KiB", retries = false } }]],
    }
  end)
  teardown(e2e.stop)

  it("502: nobody answered, and why each did not", function()
    local answer = gateway:chat { text = "500" }
    is_error(answer, 502, "upstream_failed", "upstream_error", "false")
    local first, second = "a/one: server_error (500), because of 500", "b/two: server_error (500), because of 500"
    local function all(one, other) return answer.error.message == "All attempts failed: " .. one .. "; " .. other .. "." end
    assert.truthy(all(first, second) or all(second, first), answer.error.message)
    assert.equal("2", answer.headers["x-lunette-attempts"])
    assert.equal(answer.headers["x-lunette-request-id"], answer.error.request_id)
    assert.is_nil(answer.headers["x-ratelimit-remaining-tokens"])
    says(gateway:chat { model = "sole", text = "500" }, "The attempt failed: a/sole: server_error (500), because of 500.")
  end)

  it("502: nobody listens", function()
    local other = e2e.gateway { config = [[return { providers = { a = { base_url = "http://127.0.0.1:1/v1" } },
                                                    models = { m = { { provider = "a", model = "up" } } } }]] }
    local answer = other:chat {}
    is_error(answer, 502, "upstream_failed", "upstream_error", "false")
    says(answer, "The attempt failed: a/up: connect_refused, ")
  end)

  it("503: all were too busy", function()
    local answer = gateway:chat { model = "sole", text = "503" }
    is_error(answer, 503, "overloaded", "overloaded_error", "true")
    says(answer, "a/sole: overloaded (503), because of 503")
    assert.truthy(tonumber(answer.headers["retry-after"]) >= 1)
  end)

  it("504: the deadline has passed", function()
    local other = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } },
                          limits = { deadline = 0.1 } }]],
    }
    for _, stream in ipairs { false, true } do
      local answer = other:chat { text = "stall", stream = stream }
      is_error(answer, 504, "deadline_exceeded", "timeout_error", "false")
      assert.equal("The request's deadline has passed: a/up: not finished in time.", answer.error.message)
    end
  end)

  it("400: what the provider says of the question is passed on", function()
    local before = provider:count()
    local answer = gateway:chat { text = "400" }
    is_error(answer, 400, "invalid_request", "invalid_request_error", nil)
    says(answer, "because of 400")
    assert.equal(before + 1, provider:count())
  end)

  it("413: the body is larger than is taken", function()
    local answer = gateway:chat { text = ("a"):rep(9000) }
    is_error(answer, 413, "too_large", "invalid_request_error", nil)
  end)

  it("of a stream that has not begun is no stream", function()
    local answer = gateway:chat { text = "500", stream = true }
    is_error(answer, 502, "upstream_failed", "upstream_error", "false")
    says(answer, "a/one: server_error (500)", "b/two: server_error (500)")
  end)

  it("429: all targets cool, and until when", function()
    local limited = e2e.provider [[return function(request)
      local wait = request.model == "one" and "20" or "40"
      return { status = 429, headers = { ["retry-after"] = wait }, body = { error = { message = "slowly" } } }
    end]]
    local other = e2e.gateway {
      env = { A = limited.url },
      config = [[return { providers = { a = { base_url = env "A" } },
        models = { m = { { provider = "a", model = "one" }, { provider = "a", model = "two" } } } }]],
    }
    local answer = other:chat {}
    is_error(answer, 429, "rate_limited", "rate_limit_error", "true")
    assert.equal("20", answer.headers["retry-after"])
    says(answer, "a/one: rate_limited (429), slowly", "a/two: rate_limited (429), slowly")
    answer = other:chat {}
    is_error(answer, 429, "rate_limited", "rate_limit_error", "true")
    says(answer, "No target can take this now: all of them rest.")
    assert.truthy(tonumber(answer.headers["retry-after"]) <= 20 and tonumber(answer.headers["retry-after"]) >= 15)
    assert.equal(2, limited:count())
    assert.equal("skipped", other:line(answer).attempts[1].kind)
  end)

  it("503: more connections than are taken", function()
    local other = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "one" } } },
                          limits = { connections = 2 } }]],
    }
    local one, two = other:connect(), other:connect()
    for _, c in ipairs { one, two } do
      c:send "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
      assert.equal(200, e2e.receive(c).status)
    end
    local answer = other:request { path = "/health" }
    is_error(answer, 503, "overloaded", "overloaded_error", nil)
    one:close()
    e2e.eventually("there is room again", function() return other:request({ path = "/health" }).status == 200 end)
  end)
end)

describe("a budget", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function() return { text = "fine", usage = { input = 280, output = 10 } } end]]
    gateway = e2e.gateway {
      env = { A = provider.url, POOR = e2e.hash "poor", RICH = e2e.hash "rich", HIDDEN = e2e.hash "hidden", SLOW = e2e.hash "slow" },
      config = [[return {
        providers = { a = { base_url = env "A" } },
        models = { m = { { provider = "a", model = "up", price = { input = 1, output = 2 } } },
                   ["free/*"] = { { provider = "a", model = "*" } } },
        clients = { { name = "poor", hash = env "POOR", team = "web" }, { name = "rich", hash = env "RICH", trust = { "budget" } },
                    { name = "hidden", hash = env "HIDDEN", expose = false, budget = { limit = 1, per = "day" } },
                    { name = "slow", hash = env "SLOW", requests_per_minute = 2 } },
        teams = { web = { budget = { limit = 0.00082, per = "day" } } } }]],
    }
  end)
  teardown(e2e.stop)

  local function chat(key, more)
    local headers = more and more.headers or {}
    headers.authorization = "Bearer " .. key
    return gateway:chat { model = more and more.model, headers = headers, body = { max_tokens = 10, metadata = more and more.metadata } }
  end

  it("that is used up is 402, and says which, what is left and when it begins anew", function()
    local answer = chat "poor"
    assert.same({ 200, "0.0003", "0.00052" }, { answer.status, answer.headers["x-lunette-cost"], answer.headers["x-lunette-budget-left"] })
    answer = chat("poor")
    if answer.status == 200 then answer = chat("poor") end
    is_error(answer, 402, "budget_exceeded", "budget_error", "false")
    assert.truthy(answer.error.budget:find("web", 1, true))
    assert.truthy(answer.error.left >= 0 and answer.error.left < 0.00053)
    assert.truthy(answer.error.resets_at:match "^%d%d%d%d%-%d%d%-%d%dT00:00:00")
    says(answer, "The budget does not allow this request", answer.error.budget, "left of 0.00082", answer.error.resets_at)
    assert.equal(answer.error.left, tonumber(answer.headers["x-lunette-budget-left"]))
  end)

  it("of one request is said by its header or metadata", function()
    assert.equal(200, chat("rich", { headers = { ["x-lunette-budget"] = "0.01" } }).status)
    local before = provider:count()
    for _, said in ipairs { { headers = { ["x-lunette-budget"] = "0.000001" } }, { metadata = { budget = "0.000001" } },
                            { metadata = { budget = 0.000001 } } } do
      local answer = chat("rich", said)
      is_error(answer, 402, "budget_exceeded", "budget_error", "false")
      assert.same({ "request", 0.000001, null }, { answer.error.budget, answer.error.left, answer.error.resets_at })
    end
    assert.equal(before, provider:count())
    for _, text in ipairs { "much", "-1", "1,5", "0x1", "1e3x" } do
      local answer = chat("rich", { headers = { ["x-lunette-budget"] = text } })
      assert.same({ 400, "x-lunette-budget" }, { answer.status, answer.error.param })
    end
  end)

  it("of one request is nothing to a client that is not trusted with it", function()
    local answer = chat("slow", { headers = { ["x-lunette-budget"] = "0.000001" } })
    assert.equal(200, answer.status)
    assert.is_true(gateway:line(answer).notes.ignored_budget)
  end)

  it("cannot be held against a target whose price is unknown; those who are not to know its name are not told it", function()
    local answer = chat("hidden", { model = "free/x" })
    is_error(answer, 402, "budget_exceeded", "budget_error", "false")
    says(answer, "is not known, so it cannot be used under a hard limit")
    assert.is_nil(answer.error.message:find("a/", 1, true))
  end)

  it("of requests per minute is 429", function()
    e2e.eventually("a minute's requests are used up", function() return chat("slow").status == 429 end)
    local answer = chat "slow"
    is_error(answer, 429, "rate_limited", "rate_limit_error", "true")
    says(answer, "This key's requests per minute are used up")
    local wait = tonumber(answer.headers["retry-after"])
    assert.truthy(wait >= 1 and wait <= 60)
    assert.equal(200, chat("rich").status)
  end)
end)

describe("whatever the gateway answers", function()
  local gateway, secure
  setup(function()
    local cert = require "tls".authority():certificate "IP:127.0.0.1"
    gateway = e2e.gateway { config = [[return { providers = { a = { script = "s.lua" } }, models = { m = { { provider = "a" } } }, limits = { body = "1KiB" },
        clients = { { name = "ann", hash = "sha256:93d4f78584bc09363e1f8871a38252160863ce16d224655b3083ef3b46f51f80" } } }]],
      files = { ["s.lua"] = "return function() return { text = 'fine' } end" } }
    secure = e2e.gateway { config = [[return { listen = { "127.0.0.1:0", tls = { certificate = "c.pem", key = "c.key" } },
        providers = { a = { script = "s.lua" } }, models = { m = { { provider = "a" } } } }]],
      files = { ["s.lua"] = "return function() return { text = 'fine' } end", ["c.pem"] = e2e.read(cert.file), ["c.key"] = e2e.read(cert.key) } }
  end)
  teardown(e2e.stop)

  local function bytes(text, to)
    local c = e2e.connect((to or gateway).port)
    c:send(text)
    return e2e.receive(c)
  end
  local ids = {}
  local function has_an_id(answer, status)
    assert.equal(status, answer.status)
    local id = answer.headers["x-lunette-request-id"]
    assert.truthy(id and id:match("^" .. ("%x"):rep(32) .. "$"), tostring(id))
    assert.is_nil(ids[id])
    ids[id] = true
    if status >= 400 then assert.equal(id, answer.json.error.request_id) end
  end

  it("carries an id: what was well, too", function()
    has_an_id(gateway:request { path = "/health" }, 200)
    has_an_id(gateway:request { path = "/v1/models", headers = { authorization = "Bearer " .. ("a"):rep(9) } }, 401)
    has_an_id(e2e.request(secure.port, { path = "/health" }), 400)                         -- plain HTTP at a port of TLS
  end)

  it("carries an id when it does not know who asks, for what, or how", function()
    has_an_id(gateway:chat {}, 401)
    has_an_id(gateway:request { path = "/v1/nothing" }, 404)
    has_an_id(gateway:request { path = "/v1/messages", method = "POST" }, 404)
    has_an_id(gateway:request { path = "/v1/chat/completions" }, 405)
    has_an_id(bytes "GET /health HTTP/1.1\r\n\r\n", 400)                                   -- no Host
    has_an_id(bytes "nonsense\r\n\r\n", 400)
    has_an_id(bytes("GET /health HTTP/1.1\r\nHost: l\r\nX: " .. ("x"):rep(70000) .. "\r\n\r\n"), 431)
    has_an_id(bytes "POST /v1/chat/completions HTTP/1.1\r\nHost: l\r\nContent-Length: 2000\r\n\r\n", 413)
  end)
end)

describe("an answer", function()
  local gateway
  setup(function()
    local provider = e2e.provider [[return function(request)
      if request.model == "one" then return { status = 500 } end
      return { text = "fine", headers = { ["x-request-id"] = "req-42", ["x-ratelimit-limit-requests"] = "5", ["set-cookie"] = "a=b",
                                          ["x-ratelimit-remaining-tokens"] = "6", ["openai-organization"] = "acme", server = "x" } }
    end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, policy = "p.lua",
        models = { m = { { provider = "a", model = "one" },
                         { provider = "a", model = "two", name = "second", price = { input = 1, output = 1 } } } } }]],
      files = { ["p.lua"] = [[return { classify = function(r) return { "short", "b\1d" } end,
                                       select = function(r, targets) return targets:named "a/one" .. targets:named "second" end }]] },
    }
  end)
  teardown(e2e.stop)

  local function common(answer)
    assert.truthy(answer.headers["x-lunette-request-id"]:match("^" .. ("%x"):rep(32) .. "$"))
    assert.truthy(answer.headers["x-lunette-policy"]:match("^p%.lua@" .. ("%x"):rep(12) .. "$"))
    assert.same({ "m", "second", "a", "2", "true" }, { answer.headers["x-lunette-model"], answer.headers["x-lunette-target"],
                answer.headers["x-lunette-provider"], answer.headers["x-lunette-attempts"], answer.headers["x-lunette-fallback"] })
    assert.equal("req-42", answer.headers["x-request-id"])
    for _, name in ipairs { "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens", "openai-organization", "set-cookie", "server" } do
      assert.is_nil(answer.headers[name])
    end
  end

  it("says in its headers what was decided and what it came to", function()
    local answer = gateway:chat {}
    common(answer)
    for _, name in ipairs { "cost", "latency-ms", "overhead-ms" } do assert.truthy(tonumber(answer.headers["x-lunette-" .. name])) end
    assert.truthy(tonumber(answer.headers["x-lunette-cost"]) > 0)
    assert.truthy(tonumber(answer.headers["x-lunette-overhead-ms"]) <= tonumber(answer.headers["x-lunette-latency-ms"]))
    assert.is_nil(answer.headers["x-lunette-budget-left"])
  end)

  it("has an id by the name that the official SDKs look for, also where its provider gave none", function()
    local provider = e2e.provider [[return function() return { text = "fine" } end]]
    local other = e2e.gateway { env = { A = provider.url },
                                config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]] }
    for _, stream in ipairs { false, true } do
      local answer = other:chat { stream = stream }
      assert.truthy(answer.headers["x-request-id"])
      assert.equal(answer.headers["x-lunette-request-id"], answer.headers["x-request-id"])
    end
  end)

  it("that streams says so too, but for what is known only at its end", function()
    local answer = gateway:chat { stream = true }
    common(answer)
    assert.equal("text/event-stream; charset=utf-8", answer.headers["content-type"])
    for _, name in ipairs { "cost", "latency-ms", "overhead-ms" } do assert.is_nil(answer.headers["x-lunette-" .. name]) end
    assert.is_nil(answer.trailers)
  end)

  it("that streams says that in trailers, to those who ask for them", function()
    local answer = gateway:chat { stream = true, headers = { te = "trailers", connection = "te" } }
    assert.is_true(answer.clean)
    for _, name in ipairs { "cost", "latency-ms", "overhead-ms" } do assert.truthy(tonumber(answer.trailers["x-lunette-" .. name])) end
    assert.truthy(tonumber(answer.trailers["x-lunette-cost"]) > 0)
  end)

  it("of a request that was refused has its headers too", function()
    local answer = gateway:chat { model = "nothing" }
    assert.equal(404, answer.status)
    assert.equal(answer.error.request_id, answer.headers["x-lunette-request-id"])
    assert.truthy(answer.headers["x-lunette-policy"]:match "^p%.lua@")
    assert.equal("0", answer.headers["x-lunette-attempts"])
  end)

  it("has another id each time", function()
    local ids = {}
    for _ = 1, 20 do
      local id = gateway:chat({}).headers["x-lunette-request-id"]
      assert.is_nil(ids[id])
      ids[id] = true
    end
  end)
end)
