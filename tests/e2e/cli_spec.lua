-- The commands from outside: arguments, exit statuses, signals, and what a process leaves behind.
local e2e = require "support"

local function lunette(...) return e2e.run { e2e.lunette, ... } end

local config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]]
local function start(script, options)
  local provider = e2e.provider(script or [[return function(request)
    return { text = "hi", after = request.text == "slow" and 0.2 or 0 }
  end]])
  options = options or {}
  options.config, options.env = options.config or config, options.env or {}
  options.env.A = provider.url
  return e2e.gateway(options), provider
end

describe("lunette", function()
  after_each(e2e.stop)

  it("says what it can do; --help of each command is enough to use it", function()
    local status, all, err = lunette "--help"
    assert.same({ 0, "" }, { status, err })
    local code, out, complaint = lunette()
    assert.same({ 2, "", all .. "\n" }, { code, out, complaint })
    for name, words in pairs { serve = { "--listen", "--admin", "--workers", "SIGTERM", "SIGUSR1" }, check = { "--table", "--json" },
                               test = { "--tap", "--filter" }, provider = { "--listen", "/__provider", "stall", "cut" } } do
      assert(all:find("lunette " .. name, 1, true), name)
      for _, flag in ipairs { "--help", "-h" } do
        code, out, complaint = lunette(name, flag)
        assert.same({ name, 0, "" }, { name, code, complaint })
        assert.truthy(out:find("usage: lunette " .. name, 1, true))
        for _, word in ipairs(words) do assert(out:find(word, 1, true), name .. " --help says nothing of " .. word) end
      end
    end
    assert.truthy(select(2, lunette "--version"):find "^lunette %d+%.%d+%.%d+$")
  end)

  it("asks back when it does not know a word: status 2", function()
    for wrong, meant in pairs { chek = "check", serv = "serve", tset = "test", providr = "provider" } do
      local status, out, err = lunette(wrong)
      assert.same({ 2, "" }, { status, out })
      assert(err:find("there is no command `" .. wrong .. "`; did you mean `" .. meant .. "`?", 1, true), err)
    end
    local status, _, err = lunette "sandwich"
    assert.equal(2, status)
    assert.truthy(err:find("--help", 1, true))
    for _, name in ipairs { "serve", "check", "test", "provider" } do
      local code, out, complaint = lunette(name, "--nonsense")
      assert.same({ name, 2, "" }, { name, code, out })
      assert.truthy(complaint:find("usage: lunette " .. name, 1, true))
    end
    for _, name in ipairs { "serve", "check", "provider" } do assert.equal(2, (lunette(name, "a", "b"))) end
    for _, option in ipairs { "--listen", "--admin", "--workers" } do assert.equal(2, (lunette("serve", option))) end
  end)

  it("says what is not there: status 1", function()
    for _, command in ipairs { { "serve", "/nowhere/gateway.lua" }, { "check", "/nowhere/gateway.lua" }, { "test", "/nowhere" },
                               { "provider", "/nowhere/p.lua" } } do
      local status, out, err = lunette(unpack(command))
      assert.same({ 1, "" }, { status, out })
      assert(err:find("/nowhere", 1, true), err)
    end
  end)
end)

describe("lunette serve", function()
  after_each(e2e.stop)

  it("shows where it is, and a curl at the beginning of a line that answers", function()
    local gateway = start()
    local said = ""
    repeat
      local line = gateway.process:line()
      said = said .. line .. "\n"
    until line:match "^curl "
    local curl = said:match "\n(curl [^\n]*)"
    local pipe = io.popen(curl .. " -s -w '%{http_code}'")
    local answer = pipe:read "*a"
    pipe:close()
    assert.equal("200", answer:sub(-3))
    assert.truthy(answer:find('"content":"hi"', 1, true))
    assert.truthy(said:find("m -> a/up", 1, true))
  end)

  it("takes its addresses and workers from its arguments, above the file and the environment", function()
    local path = e2e.write(e2e.folder() .. "/gateway.lua", [[return { listen = "127.0.0.1:1", admin = "127.0.0.1:2", workers = 7,
      providers = { a = { base_url = "http://127.0.0.1:1" } }, models = { m = { { provider = "a" } } } }]])
    local command = { e2e.lunette, "serve", path, "--listen", "127.0.0.1:0", "--admin=false", "--workers", "3" }
    local process = e2e.start(command, { LUNETTE_LISTEN = "127.0.0.1:3", LUNETTE_WORKERS = "5" })
    local line = process:line()
    assert.truthy(line:find("listening on http://127.0.0.1:%d+ %(3 workers"))
    assert.is_nil(line:find("metrics", 1, true))
  end)

  it("on an address that is taken says which, status 1", function()
    local gateway = start()
    for _, option in ipairs { "--listen", "--admin" } do
      local taken = "127.0.0.1:" .. gateway.port
      local other = option == "--listen" and "--admin" or "--listen"
      local arguments = { e2e.lunette, "serve", gateway.folder .. "/gateway.lua", option, taken, other, "127.0.0.1:0" }
      local status, out, err = e2e.run(arguments, { A = "http://127.0.0.1:1" })
      assert.same({ 1, "" }, { status, out })
      assert(err:find(taken, 1, true) and err:find("in use", 1, true), err)
    end
    assert.equal(200, gateway:chat({}).status)
  end)

  it("serves with several workers what one cannot", function()
    local gateway = start(nil, { workers = 3 })
    local visits = {}
    for i = 1, 30 do visits[i] = gateway:open { text = "slow" } end
    for i = 1, 30 do assert.equal(200, visits[i]:rest().status) end
    assert.equal(30, gateway:metric [[lunette_requests_total{model="m",status="200"}]])
  end)

  it("on SIGTERM and SIGINT finishes what is under way, takes nothing new, and ends with 0", function()
    for _, signal in ipairs { e2e.SIGTERM, e2e.SIGINT } do
      local gateway, provider = start()
      local idle = gateway:connect()
      idle:send "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
      assert.equal(200, e2e.receive(idle).status)
      local visit, stream = gateway:open { text = "slow" }, gateway:open { text = "slow", stream = true }
      e2e.eventually("both are under way", function() return provider:count() == 2 end)
      gateway.process:signal(signal)
      assert.same({ nil, "closed" }, { e2e.receive(idle) })
      assert.is_nil(e2e.socket.connect("127.0.0.1", gateway.port))
      local answer = visit:rest()
      assert.same({ 200, "hi", "close" }, { answer.status, answer.text, answer.headers.connection })
      answer = stream:rest()
      assert.same({ 200, "hi", true }, { answer.status, answer.text, answer.clean })
      assert.equal(0, gateway.process:wait())
      assert.equal(2, #gateway:log(2))
      e2e.stop()
    end
  end)

  it("on SIGTERM cuts what has not ended within limits.stop, and ends with 0", function()
    local gateway, provider = start([[return function(request)
      return request.stream and { events = { { choices = { { index = 0, delta = { content = "first" } } } } }, stall = true } or { stall = true }
    end]], { env = { LUNETTE_LIMITS_STOP = "0.5" } })
    local visit, stream = gateway:open {}, gateway:open { stream = true }
    stream:expect "first"
    e2e.eventually("both are under way", function() return provider:count() == 2 end)
    gateway.process:signal(e2e.SIGTERM)
    assert.equal(0, gateway.process:wait())
    local answer = visit:rest()
    assert.same({ 503, "overloaded", "true", "close" }, { answer.status, answer.json.error.code, answer.headers["x-should-retry"], answer.headers.connection })
    assert.truthy(answer.json.error.message:find "stopped")
    answer = stream:rest()
    assert.is_falsy(answer.clean)
    assert.truthy(answer.body:find "stopped")
    local lines = gateway:log(2)                -- nobody has left
    assert.same({ 503, "overloaded" }, { lines[1].status ~= 200 and lines[1].status or lines[2].status, lines[1].code })
    assert.same("overloaded", lines[2].code)
  end)

  it("on a second SIGTERM ends at once", function()
    local gateway, provider = start [[return function() return { stall = true } end]]
    local visit, stream = gateway:open {}, gateway:open { stream = true }
    e2e.eventually("both are under way", function() return provider:count() == 2 end)
    gateway.process:signal(e2e.SIGTERM)
    e2e.eventually("it has heard", function() return gateway.process:stderr():find "stopping" end)
    gateway.process:signal(e2e.SIGTERM)
    assert.equal(0, gateway.process:wait())
    assert.equal(503, visit:rest().status)
    assert.equal(503, stream:rest().status)
    local lines = gateway:log(2)
    assert.same({ 503, 503 }, { lines[1].status, lines[2].status })
  end)

  it("after kill -9 leaves a log of whole lines", function()
    local gateway = start()
    local c = gateway:connect()
    local request = e2e.bytes { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = "x" } } } }
    c:send(request:rep(200))
    for _ = 1, 100 do assert.equal(200, e2e.receive(c).status) end
    gateway:log(20)
    gateway.process:stop(e2e.SIGKILL)
    local text = e2e.read(gateway.folder .. "/requests.jsonl")
    assert.equal("\n", text:sub(-1))
    local n = 0
    for line in text:gmatch "([^\n]*)\n" do
      assert.equal(200, e2e.json.decode(line).status)
      n = n + 1
    end
    assert.truthy(n >= 20)
  end)

  it("writes its log to stdout when that is what is asked for", function()
    local gateway = start()
    gateway:stop()
    local other = e2e.start({ e2e.lunette, "serve", gateway.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "false" },
                            { A = "http://127.0.0.1:1", LUNETTE_LOG_REQUESTS = "-" })
    local port = tonumber(other:expect "listening on http://127%.0%.0%.1:(%d+)")
    e2e.request(port, { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = "x" } } } })
    local line
    repeat line = other:line() until line:sub(1, 1) == "{"
    assert.equal(502, e2e.json.decode(line).status)
  end)

  it("says why it cannot write its log, status 1", function()
    local path = e2e.write(e2e.folder() .. "/gateway.lua", config)
    local status, _, err = e2e.run({ e2e.lunette, "serve", path, "--listen", "127.0.0.1:0", "--admin", "false" },
                                   { A = "http://127.0.0.1:1", LUNETTE_LOG_REQUESTS = "/nowhere/requests.jsonl" })
    assert.equal(1, status)
    assert(err:find("/nowhere/requests.jsonl", 1, true) and err:find("No such file", 1, true), err)
  end)
end)

describe("lunette provider", function()
  after_each(e2e.stop)

  local function ask(p, more)
    local body = { model = "m", messages = { { role = "user", content = "hello" } } }
    for name, value in pairs(more or {}) do body[name] = value end
    return e2e.request(p.port, { path = "/v1/chat/completions", body = body })
  end

  it("without a script echoes, and says that it is simulated", function()
    local process = e2e.start { e2e.lunette, "provider", "--listen", "127.0.0.1:0" }
    local p = { port = tonumber(process:expect "listening on http://127%.0%.0%.1:(%d+)/v1") }
    assert.equal("[simulated] hello", ask(p).text)
    process:stop(e2e.SIGTERM)
    assert.equal(0, process.status)
  end)

  it("counts and tells what it got", function()
    local p = e2e.provider [[return function(request, n) return { text = "number " .. n } end]]
    assert.equal(0, p:count())
    assert.equal("number 1", ask(p).text)
    assert.equal("number 2", ask(p, { stream = true }).text)
    local seen = p:seen()
    assert.same({ 2, 2 }, { seen.requests, #seen.last })
    local last = seen.last[2]
    assert.same({ "POST", "/chat/completions", "m", true }, { last.method, last.path, last.json.model, last.json.stream })
    assert.equal("application/json", last.headers["content-type"])
  end)

  it("cuts as it is told", function()
    local p = e2e.provider [[return function(request) return { text = "one two three four", cut = request.json.user } end]]
    for _, cut in ipairs { "fin", "rst", "chunk" } do
      for _, stream in ipairs { false, true } do
        local answer = ask(p, { user = cut, stream = stream or nil })
        assert(not answer.clean and (answer.status == 200 or cut == "rst"), cut)
        assert.not_equal("one two three four", answer.text)
      end
    end
    p = e2e.provider [[return function() return { cut = "rst" } end]]
    assert.equal(0, ask(p).status)
  end)

  it("stalls as it is told: for ever, or for a time", function()
    local p = e2e.provider [[return function(request) return { text = "one two", stall = request.json.user and 0.05 or true } end]]
    assert.equal("one two", ask(p, { user = "x" }).text)
    assert.equal("one two", ask(p, { user = "x", stream = true }).text)
    local body = { model = "m", stream = true, messages = { { role = "user", content = "x" } } }
    local visit = e2e.open(p.port, { path = "/v1/chat/completions", body = body })
    visit:expect "one"
    assert.same({ 3, 0 }, { p:count(), p:seen().left })
    visit:leave()
    e2e.eventually("it saw that the client left", function() return p:seen().left == 1 end)
  end)

  it("with a script that is wrong says where, status 1", function()
    for script, where in pairs { ["return function("] = "p.lua:1", ["return 7"] = "p.lua", ["\nerror 'oops'"] = "p.lua:2" } do
      local status, out, err = lunette("provider", e2e.write(e2e.folder() .. "/p.lua", script), "--listen", "127.0.0.1:0")
      assert.same({ 1, "" }, { status, out })
      assert(err:find(where, 1, true), err)
    end
  end)

  it("on an address that is taken says which, status 1", function()
    local p = e2e.provider [[return function() return { text = "x" } end]]
    local status, out, err = lunette("provider", "--listen", "127.0.0.1:" .. p.port)
    assert.same({ 1, "" }, { status, out })
    assert(err:find("127.0.0.1:" .. p.port, 1, true) and err:find("in use", 1, true), err)
  end)
end)

describe("lunette test", function()
  after_each(e2e.stop)

  it("runs specs: 0 when all passed, 1 otherwise", function()
    local path = e2e.folder()
    local spec = [[local t = require "lunette.test"
      it("answers", function()
        assert.equal(%s, t.gateway({ providers = { a = "hello" } }):ask("hi").status)
      end)]]
    e2e.write(path .. "/good_spec.lua", spec:format "200")
    local status, out = lunette("test", "--tap", path)
    assert.equal(0, status)
    assert.truthy(out:find("ok 1", 1, true))
    e2e.write(path .. "/bad_spec.lua", spec:format "418")
    status, out = lunette("test", "--tap", path)
    assert.equal(1, status)
    assert.truthy(out:find("not ok", 1, true))
  end)
end)

describe("a runner that is not told what to run", function()
  for _, runner in ipairs { "examples/run", "tests/clients/run", "tests/tokens/run" } do
    it("says so and does nothing: " .. runner, function()
      local status, out, err = e2e.run { runner }
      assert.not_equal(0, status)
      assert.equal("", out)
      assert.matches("usage: run ", err)
    end)
  end
end)
