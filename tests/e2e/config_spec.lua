-- What a wrong configuration gets: every mistake at once, with file, line, what is wrong and what was probably meant; and where values come
-- from when several places say them.
local e2e = require "support"

local good = [[return {
  providers = { a = { base_url = "http://127.0.0.1:1/v1" } },
  models = { m = { { provider = "a", model = "up" } } },
}]]
-- The same with more in it: providers.a, and at the top.
local function with(provider, top)
  return 'return {\n providers = { a = { base_url = "http://127.0.0.1:1/v1",\n' .. (provider or "")
         .. '\n} },\n models = { m = { { provider = "a", model = "up" } } },\n' .. (top or "") .. "\n}"
end

-- A folder with these files (name → text, or the text of gateway.lua), and a command run on it: status, output, errors; paths without
-- the folder.
local function run(command, files, env, ...)
  local path = e2e.folder()
  for name, text in pairs(type(files) == "table" and files or { ["gateway.lua"] = files }) do
    local sub = name:match "^(.*)/"
    if sub then os.execute("mkdir -p '" .. path .. "/" .. sub .. "'") end
    e2e.write(path .. "/" .. name, text)
  end
  local status, out, err = e2e.run({ e2e.lunette, command, path .. "/gateway.lua", ... }, env)
  local function bare(text) return (text:gsub(path:gsub("%p", "%%%0") .. "/?", "")) end
  return status, bare(out), bare(err)
end

-- Refused by check, and with the same words by serve. expected: for each line of what is said, in order, { how it begins, words in it … }.
local function refused(files, expected, env)
  local status, out, err = run("check", files, env)
  assert.same({ 1, "" }, { status, out })
  local lines = {}
  for line in err:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for i, what in ipairs(expected) do
    local line = lines[i] or ""
    assert(line:sub(1, #what[1]) == what[1], what[1] .. " is not how this begins: " .. line)
    for k = 2, #what do assert(line:find(what[k], 1, true), what[k] .. " is not in: " .. line) end
  end
  local n = #expected
  assert.equal(("%d mistake%s"):format(n, n == 1 and "" or "s"), lines[n + 1])
  assert.is_nil(lines[n + 2])
  assert.same({ 1, "", err }, { run("serve", files, env) })
end

describe("a configuration", function()
  after_each(e2e.stop)

  it("that is good is said to be fine, and what is in it", function()
    local status, out, err = run("check", good)
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:match "\ngateway%.lua: fine%. 1 provider, 1 model, 1 target, policy default@%x+$")
    assert.truthy(out:match "limits%.attempts = 4 +%-%- default\n")
  end)

  it("that is wrong in many places is told all of them, file by file and line by line", function()
    refused({ ["gateway.lua"] = [[
local limits = require "limits"
return {
  lisen = "127.0.0.1:0",
  listen = "127.0.0.1:99999",
  workers = 0,
  policy = "p.lua",
  providers = {
    a = { base_ur = "http://x", base_url = "ftp://x" },
    b = { base_url = "http://127.0.0.1:1/v1", timeouts = { conect = 1, idle = -1 } },
    c = { dialect = "opnai", base_url = "http://127.0.0.1:1/v1" },
  },
  models = {
    m = { { provider = "bb", model = "x", price = { inpt = 1 } } },
    n = { { provider = "b" } },
    n = { { provider = "b" } },
    auto = { { provider = "b" } },
  },
  clients = { { name = "x", hash = "sha256:12", team = "wen", trust = { "taks" } } },
  teams = { web = { budget = { limit = 1, per = "dya" } } },
  limits = limits,
  keepalive = 0,
}]], ["p.lua"] = "return {\n clasify = function() end }", ["limits.lua"] = 'return {\n deadline = "soon", body = "1KB" }' }, {
      { "gateway.lua:3: lisen: ", "no such setting", "did you mean listen?" },
      { "gateway.lua:4: listen: must be an address", "127.0.0.1:99999" },
      { "gateway.lua:5: workers: must be a whole number from 1 to 256" },
      { "gateway.lua:8: providers.a.base_ur: ", "did you mean base_url?" },
      { "gateway.lua:8: providers.a.base_url: ", "http:// or https://" },
      { "gateway.lua:9: providers.b.timeouts.idle: ", "not -1" },
      { "gateway.lua:9: providers.b.timeouts.conect: ", "did you mean connect?" },
      { "gateway.lua:10: providers.c.dialect: ", "did you mean openai?" },
      { "gateway.lua:13: models.m[1].price.input: is missing" },
      { "gateway.lua:13: models.m[1].price.output: is missing" },
      { "gateway.lua:13: models.m[1].price.inpt: ", "did you mean input?" },
      { 'gateway.lua:13: models.m[1].provider: there is no provider "bb"' },
      { 'gateway.lua:15: "n" is said twice', "line 14" },
      { "gateway.lua:16: models.auto: " },
      { 'gateway.lua:18: clients[1].team: there is no team "wen"', "did you mean web?" },
      { "gateway.lua:18: clients[1].hash: ", "sha256sum" },
      { "gateway.lua:18: clients[1].trust: ", '"taks"' },
      { "gateway.lua:19: teams.web.budget.per: ", '"dya"' },
      { "gateway.lua:21: keepalive: " },
      { "limits.lua:2: limits.body: ", '"1KB"' },
      { "limits.lua:2: limits.deadline: ", '"soon"' },
      { "p.lua:2: clasify: there is no such hook", "did you mean classify?" },
    })
  end)

  it("whose keys are missing, blank, placeholders or of the wrong form is told which variables to set", function()
    refused([[return { providers = {
      a = { base_url = "http://127.0.0.1:1", key = secret "KEY_MISSING" },
      b = { base_url = "http://127.0.0.1:1", key = { secret "KEY_BLANK", secret "KEY_GOOD" } },
      c = { base_url = "http://127.0.0.1:1", key = secret "KEY_PLACEHOLDER" },
      d = { base_url = "http://127.0.0.1:1", key = secret "KEY_PATTERN", key_pattern = "^sk%-" },
      e = { base_url = "http://127.0.0.1:1", key = secret "KEY_SHORT", key_length = { 20, 200 } },
      f = { base_url = "http://127.0.0.1:1", key = "sk-canary-in-the-open" },
      g = { base_url = "http://127.0.0.1:1", key = env "KEY_PLAIN" },
      h = { base_url = "http://127.0.0.1:1", headers = { x = secret "HEADER_MISSING" } } },
      models = { m = { { provider = "a" } } } }]], {
      { "gateway.lua:2: providers.a.key: KEY_MISSING is not set", "environment variable" },
      { "gateway.lua:3: providers.b.key[1]: KEY_BLANK is blank" },
      { "gateway.lua:4: providers.c.key: KEY_PLACEHOLDER holds the placeholder" },
      { "gateway.lua:5: providers.d.key: KEY_PATTERN", "key_pattern" },
      { "gateway.lua:6: providers.e.key: KEY_SHORT", "key_length" },
      { "gateway.lua:7: providers.f.key: ", "secret" },
      { "gateway.lua:8: providers.g.key: ", "secret" },
      { "gateway.lua:9: providers.h.headers.x: HEADER_MISSING is not set" },
    }, { KEY_BLANK = "  ", KEY_GOOD = "sk-canary-good", KEY_PLACEHOLDER = "your_api_key", KEY_PATTERN = "canary-pattern",
         KEY_SHORT = "canary-short", KEY_PLAIN = "canary-plain" })
  end)

  it("that wants what is not built yet is told so by name", function()
    for _, setting in ipairs { "routes = {}" } do
      local status, _, err = run("check", with("", setting))
      assert(status == 1 and err:find("is not built yet", 1, true) and err:find("gateway.lua:6:", 1, true), setting .. " → " .. err)
    end
    assert.equal(0, (run("check", with("", "webhook = false"))))
  end)

  it("that could be reached from elsewhere and asks for no key is refused", function()
    for _, listen in ipairs { "0.0.0.0:4000", ":4000", "[::]:4000", "10.1.2.3:4000" } do
      refused(with("", 'listen = "' .. listen .. '"'), { { "gateway.lua:6: listen: ", "clients" } })
    end
    refused(with("", 'admin = "0.0.0.0:4001"'), { { "gateway.lua:6: admin: 0.0.0.0:4001 can be reached from other machines, and without a token" } })
    assert.equal(0, (run("check", with("", 'admin = "0.0.0.0:4001", admin_token = secret "ADMIN"'), { ADMIN = "0123456789abcdef" })))
    assert.equal(0, (run("check", with("", 'listen = ":4000", clients = { { name = "x", hash = "' .. e2e.hash "k" .. '" } }'))))
  end)

  it("that is no Lua, or not a table, or cannot be read, is told where", function()
    refused("return {\n providers = {\n", { { "gateway.lua:3: " } })
    refused("return 7", { { "gateway.lua:1: must return a table", "7" } })
    refused("x = 1", { { "gateway.lua:1: " } })
    refused("\n\nerror 'oops'", { { "gateway.lua:3: ", "oops" } })
    refused("return {}", { { "gateway.lua:1: providers: is missing" }, { "gateway.lua:1: models: is missing" } })
    refused("local x = require 'nothing' return x", { { "gateway.lua:1: ", "nothing" } })
    refused({ ["other.lua"] = "" }, { { "gateway.lua: cannot be read: No such file or directory" } })
    refused(with("", 'policy = "nothing.lua"'), { { "gateway.lua:6: policy: ", "nothing.lua" } })
  end)

  it("cannot loop, nor reach files, processes or bytecode", function()
    refused("while true do end", { { "gateway.lua:1: " } })
    refused("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", { { "gateway.lua:1: " } })
    for _, code in ipairs { "io.open '/etc/passwd'", "os.execute 'true'", "require 'ffi'", "load 'return 1'", "dofile '/etc/passwd'",
                            "package.loadlib('x', 'y')", "require '../../etc/passwd'", "debug.getinfo(1)", "os.getenv 'HOME'" } do
      local status = run("check", code .. "\n" .. good)
      assert.equal(1, status, code)
    end
    refused("\27LJ\2\n\0", { { "gateway.lua" } })
  end)

  it("whose policy names what it does not have is fine, and that is noted", function()
    local status, out, err = run("check", { ["gateway.lua"] = with("", 'policy = "p.lua"'),
                                            ["part.lua"] = 'return function(targets) return targets:provider "b" end',
                                            ["p.lua"] = [[local part = require "part"
      return { select = function(request, targets)
        return targets:of("m", "mm") .. targets:named "a/upp" .. part(targets)
      end }]] })
    assert.equal(0, status)
    assert.truthy(out:match "gateway%.lua: fine%.")
    assert.equal('p.lua:3: note: of "mm": the configuration has no such model\n' ..
                 'p.lua:3: note: named "a/upp": the configuration has no such target (did you mean a/up?)\n' ..
                 'part.lua:1: note: provider "b": the configuration has no such provider\n', err)
  end)

  it("whose policy is a chain is told what is wrong in each part", function()
    refused({ ["gateway.lua"] = with("", 'policy = "p.lua"'), ["p.lua"] = [[local lunette = require "lunette"
local one = { clasify = function() end, settings = { share = { default = 5, mim = 0 } } }
local two = { limits = { atempts = 4 } }
return lunette.chain(one, two)]] }, {
      { "p.lua:2: clasify: there is no such hook", "did you mean classify?" },
      { "p.lua:2: settings.share.mim: is not known here", "did you mean min?" },
      { "p.lua:3: limits.atempts: a policy has no such limit", "did you mean attempts?" },
    })
  end)

  it("whose policy is wrong is told file and line", function()
    local function policy(text) return { ["gateway.lua"] = with("", 'policy = "policies/p.lua"'), ["policies/p.lua"] = text } end
    refused(policy "return {\n select = function(\n", { { "policies/p.lua:3: " } })
    refused(policy "return {\n\n select = 7 }", { { "policies/p.lua:3: select: " } })
    refused(policy "\nerror 'at load'", { { "policies/p.lua:2: ", "at load" } })
    refused(policy "return 'x'", { { "policies/p.lua:1: " } })
  end)

  it("whose policy refuses itself is told its own words at the user's line, also where a function of ours says them", function()
    local function policy(text) return { ["gateway.lua"] = with("", 'policy = "p.lua"'), ["p.lua"] = "local lunette = require \"lunette\"\n" .. text } end
    refused(policy "if not lunette.has_model 'large' then\n error 'needs a model `large`' end\nreturn {}", { { "p.lua:3: needs a model `large`" } })
    refused(policy "local p = {}\np = lunette.chain(\n p, 5)\nreturn p", { { "p.lua:3: chain: argument 2 is to be a policy" } })
    refused(policy "local a = {}\n\nreturn lunette.chain(a, 5)", { { "p.lua:4: chain: argument 2 is to be a policy" } })
    local files = policy "local words = require 'words'\nreturn words.make(5)"
    files["words.lua"] = "return { make = function(n)\n  if n ~= 6 then error('n must be 6', 2) end\nend }"
    refused(files, { { "words.lua:2: n must be 6" } })
  end)

  it("whose policy has settings that make no sense is told which", function()
    local function policy(text) return { ["gateway.lua"] = with("", 'policy = "p.lua"'), ["p.lua"] = "return { settings = {\n" .. text .. "\n} }" } end
    refused(policy 'a = { default = "x", choises = { "x" } },\nb = { default = "z",\n choices = { "x" } },\nc = { default = "x", choices = {} }', {
      { "p.lua:2: settings.a.choises: is not known here", "did you mean choices?" },
      { "p.lua:3: settings.b.default: \"z\" is none of choices" },
      { "p.lua:5: settings.c.choices: must be a list of 1 to 32 texts" },
    })
  end)
end)

describe("where values come from:", function()
  after_each(e2e.stop)

  local function value_of(out, path) return out:match("\n" .. path:gsub("%p", "%%%0") .. " = (.-)%s+%-%- ([^\n]*)") end
  local function table_of(files, env, ...)
    local status, out, err = run("check", files, env, "--table", ...)
    assert.same({ 0, "" }, { status, err })
    return "\n" .. out .. "\n"
  end

  it("the file, the environment above it, defaults below it", function()
    local out = table_of(with("timeouts = { connect = 3, idle = 4 },", "limits = { attempts = 2 },"),
                         { LUNETTE_PROVIDERS_A_TIMEOUTS_CONNECT = "0.25", LUNETTE_LIMITS_BODY = "1MiB", LUNETTE_ADMIN = "false" })
    assert.same({ "0.25", "LUNETTE_PROVIDERS_A_TIMEOUTS_CONNECT" }, { value_of(out, "providers.a.timeouts.connect") })
    assert.same({ "4", "gateway.lua:3" }, { value_of(out, "providers.a.timeouts.idle") })
    assert.same({ '"1MiB"', "LUNETTE_LIMITS_BODY" }, { value_of(out, "limits.body") })
    assert.same({ "2", "gateway.lua:6" }, { value_of(out, "limits.attempts") })
    assert.same({ "590", "default" }, { value_of(out, "limits.deadline") })
    assert.same({ "false", "LUNETTE_ADMIN" }, { value_of(out, "admin") })
  end)

  it("the same as JSON", function()
    local status, out = run("check", good, { LUNETTE_KEEPALIVE = "2" }, "--json")
    assert.equal(0, status)
    local found = {}
    for _, row in ipairs(e2e.json.decode(out)) do found[row.path] = row end
    assert.same({ path = "keepalive", value = "2", from = "LUNETTE_KEEPALIVE" }, found.keepalive)
    assert.equal("gateway.lua:2", found["providers.a.base_url"].from)
  end)

  it("secrets are shown by name", function()
    local out = table_of(with('key = { secret "ONE", secret "TWO" }, headers = { ["x-h"] = secret "THREE" },'),
                         { ONE = "canary-1", TWO = "canary-2", THREE = "canary-3" })
    assert.equal('{ secret "ONE", secret "TWO" }', (value_of(out, "providers.a.key")))
    assert.is_nil(out:find("canary", 1, true))
  end)

  it("of a variable that is no setting the nearest is told", function()
    refused(good, { { "LUNETTE_LIMITS_DEADLIN: ", "did you mean LUNETTE_LIMITS_DEADLINE?" } }, { LUNETTE_LIMITS_DEADLIN = "3" })
    refused(good, { { "LUNETTE_KEEPALIVE: ", "not \"soon\"" } }, { LUNETTE_KEEPALIVE = "soon" })
  end)

  local tuned = { ["gateway.lua"] = with("", 'policy = "p.lua"'),
                  ["p.lua"] = 'return { settings = {\n share = { default = 5, max = 100 },\n ["fall-back"] = ' ..
                               '{ default = "a", choices = { "a", "bright" } } } }' }

  it("a policy's settings too", function()
    local out = table_of(tuned, { LUNETTE_SETTINGS_FALL_BACK = "bright" })
    assert.same({ "5", "p.lua:2" }, { value_of(out, "settings.share") })
    assert.same({ '"bright"', "LUNETTE_SETTINGS_FALL_BACK" }, { value_of(out, "settings.fall-back") })
    refused(tuned, {
      { "LUNETTE_SETTINGS_FALL_BACK: must be \"a\" or \"bright\"", "(did you mean bright?), not \"brigth\"" },
      { "LUNETTE_SETTINGS_SHAR: the policy has no such setting (did you mean LUNETTE_SETTINGS_SHARE?)" },
    }, { LUNETTE_SETTINGS_FALL_BACK = "brigth", LUNETTE_SETTINGS_SHAR = "1" })
  end)

  it("D3: port, threshold and time-out of the circuit breaker by environment", function()
    local provider = e2e.provider [[return function(request, n) return n <= 2 and { status = 500 } or { text = "back" } end]]
    local folder = e2e.folder()
    e2e.write(folder .. "/gateway.lua", with("", 'health = { failures = 5, rest = 60 }, limits = { attempts = 1 }, listen = "127.0.0.1:1", admin = false'))
    local process = e2e.start({ e2e.lunette, "serve", folder .. "/gateway.lua" }, { LUNETTE_LISTEN = "127.0.0.1:0", LUNETTE_HEALTH_FAILURES = "2",
      LUNETTE_HEALTH_REST = "86000", LUNETTE_WORKERS = "1", LUNETTE_PROVIDERS_A_BASE_URL = provider.url, LUNETTE_ADMIN = "127.0.0.1:0" })
    local port, admin = process:expect "listening on http://127%.0%.0%.1:(%d+), metrics on http://127%.0%.0%.1:(%d+)"
    local body = { model = "m", messages = { { role = "user", content = "hi" } } }
    for _ = 1, 2 do assert.equal(502, e2e.request(tonumber(port), { path = "/v1/chat/completions", body = body }).status) end
    local target = e2e.request(tonumber(admin), { path = "/admin/providers" }).json.providers[1].targets[1]
    assert.equal("open", target.circuit)
    assert.equal(200, e2e.request(tonumber(port), { method = "GET", path = "/health" }).status)
    process:stop(e2e.SIGKILL)
    process = e2e.start({ e2e.lunette, "serve", folder .. "/gateway.lua" }, { LUNETTE_LISTEN = "127.0.0.1:0", LUNETTE_HEALTH_FAILURES = "1",
      LUNETTE_HEALTH_REST = "0.01", LUNETTE_WORKERS = "1", LUNETTE_PROVIDERS_A_BASE_URL = provider.url })
    port = process:expect "listening on http://127%.0%.0%.1:(%d+)"
    e2e.eventually("it is tried again after its rest", function()
      return e2e.request(tonumber(port), { path = "/v1/chat/completions", body = body }).status == 200
    end)
    process:stop(e2e.SIGKILL)
  end)

  it("they hold in the running gateway", function()
    local provider = e2e.provider [[return function() return { stall = true } end]]
    local gateway = e2e.gateway { config = with("", "limits = { deadline = 100 },"),
                                  env = { LUNETTE_LIMITS_DEADLINE = "0.05", LUNETTE_PROVIDERS_A_BASE_URL = provider.url } }
    assert.equal(504, gateway:chat({}).status)
  end)
end)
