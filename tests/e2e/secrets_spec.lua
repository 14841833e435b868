-- Other people's keys: planted everywhere, provoked in every way, and then looked for in everything that comes out.
local e2e = require "support"
local tls = require "tls"

-- Each is long and stands nowhere by chance.
local canary = { one = "sk-canary-provider-one-7f3a", two = "sk-canary-provider-two-9b1c", header = "hs-canary-header-55d0",
                 client = "ck-canary-client-e21f", wrong = "ck-canary-wrong-key-0aa4", cookie = "sid-canary-cookie-77aa" }

local function has(text)
  for name, value in pairs(canary) do
    if text:find(value, 1, true) or text:find(value:sub(-12), 1, true) then return name end
  end
end
local function clean(what, text)
  local found = has(text)
  assert(not found, what .. " shows the secret " .. tostring(found) .. ": " .. text:sub(1, 2000))
end

describe("secrets", function()
  local provider, gateway, config, env
  -- A provider as careless as can be: it repeats all that it got, in errors, headers, events.
  setup(function()
    provider = e2e.provider [[return function(request)
      local heard = (request.headers.authorization or "") .. " " .. (request.headers["x-extra"] or "")
      local status = tonumber(request.text)
      local headers = { ["x-request-id"] = heard, ["x-echo"] = heard, ["retry-after"] = "0" }
      if request.path == "/models" then return { status = 401, body = heard } end
      if request.text == "event" then
        local good, bad = { choices = { { index = 0, delta = { content = "a" } } } }, { error = { message = "with " .. heard } }
        return { headers = headers, events = { good, bad } }
      end
      if request.text == "plain" then return { status = 500, headers = headers, body = "you said " .. heard } end
      if request.text == "echo" then return { text = heard, headers = headers } end
      if request.text == "garbage" then return { status = 200, headers = headers, body = heard } end
      if status then return { status = status, headers = headers, body = { error = { message = "Incorrect API key: " .. heard } } } end
      return { text = "fine", headers = headers }
    end]]
    config = [[return { providers = {
        a = { base_url = env "A", key = { secret "CANARY_ONE", secret "CANARY_TWO" }, headers = { ["x-extra"] = secret "CANARY_HEADER" } },
        down = { base_url = "http://127.0.0.1:1/v1", key = secret "CANARY_ONE" } },
      models = { m = { { provider = "a", model = "up" } }, down = { { provider = "down", model = "up" } } },
      clients = { { name = "app", hash = env "HASH", trust = { "task", "tags", "explain" } } }, policy = "p.lua", log = { text = false }, health = false,
      capture = { share = 1 } }]]
    env = { A = provider.url, CANARY_ONE = canary.one, CANARY_TWO = canary.two, CANARY_HEADER = canary.header,
            HASH = e2e.hash(canary.client) }
    gateway = e2e.gateway { config = config, env = env, files = { ["p.lua"] = [[
      local lunette = require "lunette"
      local function all(r)
        local out = {}
        for _, name in ipairs { "authorization", "x-api-key", "api-key", "cookie", "proxy-authorization", "x-goog-api-key" } do
          out[#out + 1] = name .. "=" .. tostring(r.headers[name])
        end
        return table.concat(out, " ")
      end
      return { classify = function(r) lunette.note("headers", all(r)) lunette.log(all(r)) return "seen" end,
               retry = function(r, attempt) lunette.note("body", tostring(attempt:body())) lunette.log(tostring(attempt.text)) end }]] } }
  end)
  teardown(e2e.stop)

  it("stand in no answer, whatever a provider does with them", function()
    for _, text in ipairs { "fine", "event", "plain", "garbage", "400", "401", "402", "403", "404", "422", "429", "500", "503" } do
      for _, stream in ipairs { false, true } do
        local answer = gateway:chat { text = text, stream = stream, headers = { authorization = "Bearer " .. canary.client, ["x-lunette-explain"] = "1" } }
        local head = {}
        for _, field in ipairs(answer.list or {}) do head[#head + 1] = field[1] .. ": " .. field[2] end
        clean("the head of the answer to " .. text, table.concat(head, "\n"))
        if text ~= "garbage" then clean("the answer to " .. text, answer.body) end
      end
    end
    local answer = gateway:chat { model = "down", headers = { ["x-api-key"] = canary.client, cookie = "sid=" .. canary.cookie } }
    assert.equal(502, answer.status)
    clean("the answer", answer.body)
  end)

  it("of a client stand in no refusal", function()
    for _, headers in ipairs { { authorization = "Bearer " .. canary.wrong }, { ["x-api-key"] = canary.wrong },
                               { authorization = "Basic " .. canary.wrong }, { ["api-key"] = canary.wrong .. "\1" },
                               { [canary.wrong .. " "] = "x" }, { host = canary.wrong .. "/" }, { ["content-length"] = canary.wrong } } do
      local c = gateway:connect()
      c:send(e2e.bytes { path = "/v1/chat/completions?key=" .. canary.wrong, headers = headers, body = "{}" })
      local answer = e2e.receive(c)
      assert.truthy(answer.status >= 400)
      clean("the refusal", answer.body)
      c:close()
    end
    clean("the 404", gateway:request({ path = "/v1/" .. canary.wrong }).body)
  end)

  it("reach the provider they belong to, and a client's own never does", function()
    local seen, one, two = provider:seen().last, false, false
    for _, request in ipairs(seen) do
      one = one or request.headers.authorization == "Bearer " .. canary.one
      two = two or request.headers.authorization == "Bearer " .. canary.two
      assert.equal(canary.header, request.headers["x-extra"])
      assert.is_nil(e2e.json.encode(request):find(canary.client, 1, true))
      assert.is_nil(e2e.json.encode(request):find(canary.cookie, 1, true))
    end
    assert.is_true(one and two)
  end)

  it("stand in no explanation: of what was asked, of what is shown of it, of what would be", function()
    gateway:chat { text = "echo", headers = { authorization = "Bearer " .. canary.client } }
    gateway:log(20)
    local explained, captured = 0, 0
    clean("the last requests", e2e.json.encode(gateway:look "requests?n=1000"))
    for _, line in ipairs(gateway.lines) do
      local answer = e2e.request(gateway.admin, { path = "/admin/requests/" .. line.id })
      clean("an explanation", answer.body)
      captured = captured + (answer.json.captured and #answer.json.captured.answers or 0)
      explained = explained + (answer.json.explanation ~= e2e.json.null and answer.json.explanation.hooks and 1 or 0)
    end
    assert.is_true(explained > 20 and captured > 10)
    local id = gateway.lines[1].id
    for _, words in ipairs { { "show", id, "--admin", "127.0.0.1:" .. gateway.admin }, { "show", id, "--admin", "127.0.0.1:" .. gateway.admin, "--json" } } do
      local status, out, err = e2e.run({ e2e.lunette, unpack(words) }, env)
      assert.equal(0, status, err)
      clean("show", out .. err)
    end
    local body = e2e.write(gateway.folder .. "/request.json", '{"model":"m","messages":[{"role":"user","content":"401"}]}')
    for _, options in ipairs { { "--json" }, {} } do
      local status, out, err = e2e.run({ e2e.lunette, "explain", gateway.folder .. "/gateway.lua", body, "--header", "authorization: Bearer " .. canary.client,
                                         "--header", "cookie: sid=" .. canary.cookie, unpack(options) }, env)
      assert.equal(0, status, err)
      assert.truthy(out:find "what.if")
      clean("explain", out .. err)
    end
  end)

  it("stand in no log, no metric, and in nothing that was printed", function()
    gateway:log(20)
    clean("the request log", e2e.read(gateway.folder .. "/requests.jsonl"))
    clean("the metrics", gateway:metrics())
    gateway:stop()
    clean("what the gateway printed", gateway.process:said())
  end)

  it("stand in no output of replay", function()
    local path = gateway.folder .. "/gateway.lua"
    gateway:log(20)
    for _, option in ipairs { "--json", "--against=" .. path, "--verify" } do
      local _, out, err = e2e.run({ e2e.lunette, "replay", path, gateway.folder .. "/requests.jsonl", option }, env)
      assert.truthy(out:find "requests")
      clean("replay " .. option, out .. err)
    end
  end)

  it("stand in nothing that a shadow shows of what it decided and how its hooks failed", function()
    local g = e2e.gateway { config = (config:gsub("return {", "return { watch = false,", 1)), env = env, files = { ["p.lua"] = "return {}" } }
    g:replace("p.lua", [[return { classify = function(r)
      local out = {}
      for _, name in ipairs { "authorization", "x-api-key", "api-key", "cookie", "proxy-authorization" } do out[#out + 1] = tostring(r.headers[name]) end
      if r.text == "fail" then error(table.concat(out, " ")) end
      return out
    end }]])
    assert.equal(200, g:tell("shadow", { seconds = 3600 }).status)
    for _, text in ipairs { "fine", "fail", "401" } do
      g:chat { text = text, headers = { authorization = "Bearer " .. canary.client, cookie = "sid=" .. canary.cookie, ["api-key"] = canary.client } }
    end
    local seen = e2e.eventually("they are compared", function() local s = g:look "shadow"; return s.requests == 3 and s end)
    assert.same({ 1, 2 }, { seen.failed.alone, seen.differences.labels })
    clean("GET /admin/shadow", e2e.json.encode(seen))
    for _, option in ipairs { "--json", "--admin=127.0.0.1:" .. g.admin } do
      local status, out, err = e2e.run({ e2e.lunette, "shadow", option }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
      assert.equal(0, status)
      clean("lunette shadow", out .. err)
    end
    assert.equal(422, g:tell("shadow/finish").status)
    g:stop()
    clean("what the gateway printed", g.process:said())
  end)

  it("stand in no output of check", function()
    local path = gateway.folder .. "/gateway.lua"
    for _, option in ipairs { "--table", "--json" } do
      local status, out, err = e2e.run({ e2e.lunette, "check", path, option }, env)
      assert.same({ 0, "" }, { status, err })
      assert.truthy(out:find("CANARY_ONE", 1, true))
      clean("check " .. option, out)
    end
  end)

  it("stand in nothing that is made of another gateway's configuration", function()
    local path = e2e.write(e2e.folder() .. "/config.yaml", ([[
model_list:
  - { model_name: m, litellm_params: { model: openai/m, api_key: %s, extra_headers: { x-extra: %s } } }
  - { model_name: n, litellm_params: { model: openai/m, api_base: "http://user:%s@127.0.0.1/v1" } }
general_settings: { master_key: %s, database_url: "postgres://u:%s@h/db" }
environment_variables: { OPENAI_API_KEY: %s }
]]):format(canary.one, canary.header, canary.two, canary.client, canary.two, canary.one))
    for _, options in ipairs { {}, { "--json" } } do
      local status, out, err = e2e.run { e2e.lunette, "import", "litellm", path, "--output", "-", unpack(options) }
      assert.equal(0, status, err)
      clean("import " .. table.concat(options), out .. err)
    end
  end)

  it("stand in no output of train, and not in its router", function()
    local folder, rows = e2e.folder(), { "prompt,weak,strong" }
    for i = 1, 100 do rows[#rows + 1] = ("%s what is %d,%d,1"):format(canary.client, i, i % 3 == 0 and 0 or 1) end
    local path, router = e2e.write(folder .. "/scores.csv", table.concat(rows, "\n")), folder .. "/router.lua"
    for _, option in ipairs { "--json", "--ratio=3" } do
      local status, out, err = e2e.run({ e2e.lunette, "train", path, "--output", router, option }, env)
      assert.same({ 0, "" }, { status, err })
      clean("train " .. option, out)
      clean("the router", e2e.read(router))
    end
    e2e.write(path, "prompt,weak,strong\n" .. canary.client .. ",0\n")
    local _, out, err = e2e.run({ e2e.lunette, "train", path, "--output", router }, env)
    clean("train's complaint", out .. err)
  end)

  it("stand in no complaint about them", function()
    local function complaint(provider_text, variables)
      local path = e2e.write(e2e.folder() .. "/gateway.lua", [[return {
        providers = { a = { base_url = "http://127.0.0.1:1", ]] .. provider_text .. [[ } }, models = { m = { { provider = "a" } } } }]])
      for _, command in ipairs { "check", "serve" } do
        local status, out, err = e2e.run({ e2e.lunette, command, path }, variables)
        assert(status == 1, provider_text)
        clean(command .. " with " .. provider_text:sub(1, 12), out .. err)
      end
    end
    local key = { CANARY_ONE = canary.one, PLAIN = canary.one }
    complaint('key = secret "CANARY_ONE", key_pattern = "^no"', key)
    complaint('key = secret "CANARY_ONE", key_length = { 100, 200 }', key)
    complaint('key = "' .. canary.one .. '"', key)
    complaint('key = env "PLAIN"', key)
    complaint('base_url = "http://user:' .. canary.one .. '@127.0.0.1:1"', key)
    complaint('proxy = "http://user:' .. canary.one .. '@127.0.0.1:1"', key)
    complaint('proxy = "' .. canary.one .. '"', key)
    complaint('headers = { authorization = "' .. canary.one .. '\\n" }', key)
    complaint('dialect = secret "CANARY_ONE"', key)
    complaint('ca = secret "CANARY_ONE"', key)
    complaint('key = secret("CANARY_ONE") .. "x"', key)
    complaint('key = error(secret "CANARY_ONE")', key)
    complaint('key = error(tostring(secret "CANARY_ONE"))', key)
    complaint('key = secret "CANARY_ONE"', { CANARY_ONE = canary.one .. "\nx" })
  end)
end)

-- What a gateway itself has to hide: the key of its certificate, its admin token; and where all of them could come to lie.
describe("secrets of listeners", function()
  local token = "tk-canary-admin-token-31be"
  local ca, cert, another, provider, gateway, env
  setup(function()
    ca = tls.authority()
    cert, another = ca:certificate "IP:127.0.0.1", ca:certificate "IP:127.0.0.1"
    provider = e2e.provider [[return function(request) return { text = "fine", usage = { input = 5, output = 5 } } end]]
    env = { A = provider.url, CANARY_ONE = canary.one, CANARY_TOKEN = token, HASH = e2e.hash(canary.client) }
    gateway = e2e.gateway { env = env, files = { ["public.pem"] = e2e.read(cert.file), ["public.key"] = e2e.read(cert.key) }, config = [[return {
      listen = { "127.0.0.1:0", tls = { certificate = "public.pem", key = "public.key" } }, admin_token = secret "CANARY_TOKEN",
      providers = { a = { base_url = env "A", key = secret "CANARY_ONE", health = false } }, log = { audit = "audit.jsonl" },
      models = { m = { { provider = "a", model = "up", price = { input = 1, output = 1 } } } }, budgets = { total = { limit = 5, per = "day" } },
      clients = { { name = "app", hash = env "HASH" } } }]] }
  end)
  teardown(e2e.stop)

  -- Each line of the PEM text is one that nobody may find.
  local function clean_of_all(what, text)
    clean(what, text)
    assert(not text:find(token, 1, true), what .. " shows the admin token")
    for line in (e2e.read(cert.key) .. e2e.read(another.key)):gmatch "[^\n]+" do
      assert(line:sub(1, 5) == "-----" or not text:find(line, 1, true), what .. " shows the key of the certificate")
    end
  end
  local function ask(path, method, body)
    local text = e2e.request(gateway.admin, { path = path, method = method, body = body, headers = { authorization = "Bearer " .. token } }).body
    clean_of_all((method or "GET") .. " " .. path, text)
    return text
  end
  local function all_of(folder)
    local pipe = io.popen(("find '%s' -type f ! -name public.key -exec cat {} +"):format(folder))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("stand in no answer of the admin interface, nor in what a refused reload says", function()
    for _ = 1, 3 do
      local status, out = e2e.run { "curl", "-sS", "--cacert", ca.file, "-H", "authorization: Bearer " .. canary.client,
                                    "-H", "content-type: application/json", "-d", '{"model":"m","messages":[{"role":"user","content":"hi"}]}',
                                    ("https://127.0.0.1:%d/v1/chat/completions"):format(gateway.port) }
      assert.equal(0, status)
      assert.truthy(out:find "fine")
    end
    for _, path in ipairs { "/metrics", "/health", "/admin/nothing", "/admin/versions", "/admin/settings", "/admin/report", "/admin/canaries", "/admin/keys",
                            "/", "/admin/budgets", "/admin/report?spread=1", "/admin/cache", "/admin/ledger", "/admin/providers", "/admin/shadow",
                            "/admin/requests", "/admin/requests?n=50" } do ask(path) end
    local listening = e2e.open(gateway.admin, { path = "/admin/events", headers = { authorization = "Bearer " .. token } })
    local event = listening:expect "\n\n"
    assert.truthy(event:find('"total"', 1, true))
    clean_of_all("/admin/events", event)
    listening:leave()
    local status, out, err = e2e.run({ e2e.lunette, "top", "--once", "--interval", "0.1", "--admin", "127.0.0.1:" .. gateway.admin },
                                     { LUNETTE_ADMIN_TOKEN = token })
    assert.equal(0, status, err)
    clean_of_all("top", out .. err)
    for _, bad in ipairs { "half", cert.key .. "\n", e2e.read(cert.key):gsub("\n", "x\n", 2), e2e.read(another.key) } do
      gateway:replace("public.key", bad)
      assert.truthy(ask("/admin/reload", "POST"):find("listen.tls.key", 1, true))
    end
    gateway:replace("public.pem", e2e.read(another.file))
    assert.truthy(ask("/admin/reload", "POST"):find '"changed":%l+')
  end)

  it("stand in no file that the gateway writes: the ledger, the state folder, the logs", function()
    gateway:stop()
    local text = all_of(gateway.folder)
    for _, part in ipairs { "SQLite format 3", '"status":200', '"what":"reload"' } do assert(text:find(part, 1, true), part .. " is in none of them") end
    clean_of_all("a file", text)
    clean_of_all("what was printed", gateway.process:said())
  end)

  it("stand in no output of the commands", function()
    for _, words in ipairs { { "check", gateway.folder .. "/gateway.lua", "--table" }, { "check", gateway.folder .. "/gateway.lua", "--json" },
                             { "ledger", "export", gateway.folder .. "/gateway.lua" }, { "ledger", "verify", gateway.folder .. "/gateway.lua" } } do
      local status, out, err = e2e.run({ e2e.lunette, unpack(words) }, env)
      assert.equal(0, status, err)
      assert.is_true(#out > 0)
      clean_of_all(table.concat(words, " "), out .. err)
    end
  end)

  it("are in no core dump: a crash writes none", function()
    local folder = e2e.folder()
    local line = ("cd '%s' && ulimit -c unlimited && exec '%s' serve '%s/gateway.lua' --listen 127.0.0.1:0 --admin 127.0.0.1:0")
                 :format(folder, e2e.program(), gateway.folder)
    local process = e2e.start({ "sh", "-c", line }, env)
    process:expect "(listening on)"
    assert.matches("Max core file size%s+0%s+0%s", e2e.read("/proc/" .. process.pid .. "/limits"))
    assert.equal(-e2e.SIGABRT, process:stop(e2e.SIGABRT))
    assert.equal("", all_of(folder))
  end)
end)
