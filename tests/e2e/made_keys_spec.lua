-- Keys that are made while the gateway runs: in force at once, on the disk before it is said, and never shown twice.
local e2e = require "support"

local config = [[
return {
  policy = "policy.lua", admin_token = env "TOKEN" and secret "TOKEN" or nil,
  providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "up", price = { input = 1, output = 1 } } },
             other = { { provider = "a", model = "else", price = { input = 1, output = 1 } } } },
  teams = { web = {} }, log = { audit = "audit.jsonl" },
  %s
}]]
local policy = [[return { classify = function(request)
  if request.key then return { request.key.name, request.key.team or "none", request.key.tags and request.key.tags.tier or "no" } end
end }]]
local clients = ('clients = { { name = "filed", hash = "%s", team = "web" } },'):format(e2e.hash "lun-filed")

local p
setup(function() p = e2e.provider [[return function(request) return { text = "hi", after = request.text:match "slow" and 0.2 or 0 } end]] end)
teardown(e2e.stop)

local mine = {}                 -- gateways of one test alone
after_each(function()
  for _, g in ipairs(mine) do g.process:stop() end
  mine = {}
end)

local function serve(options)
  options = options or {}
  local env = { A = p.url, LUNETTE_WATCH = "false" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local g = e2e.gateway { config = config:format(options.more or ""), files = { ["policy.lua"] = policy }, workers = 2, env = env }
  if not options.shared then mine[#mine + 1] = g end
  return g
end

local function admin(g, method, path, body, headers)
  return e2e.request(g.admin, { method = method, path = "/admin/keys" .. path, body = body, headers = headers })
end

-- Makes a key: its text, and the answer.
local function make(g, fields)
  local answer = admin(g, "POST", "", fields)
  assert.equal(200, answer.status, answer.body)
  return answer.json.text, answer
end

local function ask(g, key, options)
  options = options or {}
  return g:chat { model = options.model or "m", text = options.text, headers = { authorization = key and "Bearer " .. key, ["x-lunette-task"] = options.task } }
end

local function refused(answer, status, words)
  assert.equal(status, answer.status, answer.body)
  local said = answer.json.errors and table.concat(answer.json.errors, "\n") or answer.json.error.message
  assert.truthy(said:find(words, 1, true), said)
end

local function text_of(g) return e2e.read(g.folder .. "/.lunette/keys.json") end

describe("a key that was made", function()
  local g
  setup(function() g = serve { shared = true } end)

  it("closes an open gateway, and is let in", function()
    assert.equal(200, ask(g).status)
    local key, answer = make(g, { name = "app", team = "web", tags = { tier = "gold" }, models = { "m" } })
    assert.truthy(answer.json.warnings[1]:find("the gateway was open", 1, true))
    assert.truthy(key:match "^sk%-lun%-%w+$" and #key == 50)
    refused(ask(g), 401, "There is no key")
    refused(ask(g, key .. "x"), 401, "not known")
    refused(ask(g, key:sub(1, -2)), 401, "not known")
    local good = ask(g, key)
    assert.equal(200, good.status)
    assert.equal("app,web,gold", good.headers["x-lunette-labels"])
    local line = g:line(good)
    assert.same({ "app", "web" }, { line.key, line.team })
    local models = e2e.request(g.port, { path = "/v1/models", headers = { ["x-api-key"] = key } }).json.data
    assert.same({ 2, "auto", "m" }, { #models, models[1].id, models[2].id })
  end)

  it("costs no call to a provider when it is unknown", function()
    local before = p:count()
    for _ = 1, 20 do refused(ask(g, "sk-lun-0000000000000000000000000000000000000000000"), 401, "not known") end
    assert.equal(before, p:count())
  end)

  it("may use other models from the moment that was answered", function()
    local key = make(g, { name = "models", models = { "m" } })
    assert.equal(200, ask(g, key).status)
    refused(ask(g, key, { model = "other" }), 403, "may not use the model")
    assert.equal(200, admin(g, "PATCH", "/models", { models = { "other" } }).status)
    for _ = 1, 4 do refused(ask(g, key), 403, "may not use the model") end
    assert.equal(200, ask(g, key, { model = "other" }).status)
    assert.equal(200, admin(g, "PATCH", "/models", '{"models":null}').status)
    assert.equal(200, ask(g, key).status)
  end)

  it("is replaced by a new text while the one before stays valid for a while, and then ends by itself", function()
    local first = make(g, { name = "turns" })
    local answer = admin(g, "POST", "/turns/rotate", { keep = 1 })
    local second = answer.json.text
    assert.not_equal(first, second)
    assert.equal(first:sub(1, 11), answer.json.key.older[1].hint)
    assert.same({ 200, 200 }, { ask(g, first).status, ask(g, second).status })
    local ended = e2e.eventually("the first text ends", function() local a = ask(g, first) return a.status == 401 and a end)
    refused(ended, 401, "was replaced")
    local third = admin(g, "POST", "/turns/rotate", { keep = 0 }).json.text
    refused(ask(g, second), 401, "was replaced")
    assert.equal(200, ask(g, third).status)
    refused(admin(g, "POST", "/turns/rotate", { keep = -1 }), 422, "keep: must be a number of seconds")
    refused(admin(g, "POST", "/turns/rotate", { kepe = 1 }), 422, "there is keep")
    assert.equal(200, ask(g, third).status)
  end)

  it("says so when it has expired, and lives again when that is changed", function()
    local key = make(g, { name = "brief", expires = 1 })
    assert.equal(200, ask(g, key).status)
    refused(e2e.eventually("it expires", function() local a = ask(g, key) return a.status == 401 and a end), 401, "has expired")
    assert.equal("expired", admin(g, "GET", "/brief").json.key.state)
    assert.equal(200, admin(g, "PATCH", "/brief", '{"expires":null}').status)
    assert.equal(200, ask(g, key).status)
    assert.equal(200, admin(g, "PATCH", "/brief", { expires = "2099-01-01T00:00:00Z" }).status)
    assert.equal("2099-01-01T00:00:00.000Z", admin(g, "GET", "/brief").json.key.expires)
  end)

  it("is held to its rate and to its budget", function()
    local slow = make(g, { name = "slow", requests_per_minute = 2 })
    assert.same({ 200, 200 }, { ask(g, slow).status, ask(g, slow).status })
    refused(ask(g, slow), 429, "requests per minute")
    local again = admin(g, "POST", "/slow/rotate", {}).json.text
    refused(ask(g, again), 429, "requests per minute")      -- the rate is the name's
    local poor = make(g, { name = "poor", budget = { limit = 0.000001, per = "day" } })
    refused(ask(g, poor), 402, "key poor")
    assert.equal(200, admin(g, "PATCH", "/poor", { budget = { limit = 1 } }).status)
    assert.equal(200, ask(g, poor).status)
    assert.equal("day", admin(g, "GET", "/poor").json.key.budget.per)
    assert.truthy(g:metric 'lunette_budget_used_usd{budget="key poor"}' > 0)
  end)

  it("is refused for what is wrong with it, all at once", function()
    local answer = admin(g, "POST", "", { name = "bad", team = "wbe", modles = { "m" }, budget = { limit = "much" }, class = "a b" })
    assert.equal(422, answer.status)
    local said = table.concat(answer.json.errors, "\n")
    for _, words in ipairs { 'no team "wbe" in teams (did you mean web?)',
                             "modles: there is no such field (did you mean models?)", "budget.limit: must be", "class: must be" } do
      assert.truthy(said:find(words, 1, true), said)
    end
    refused(admin(g, "POST", ""), 422, "an object is wanted")
    refused(admin(g, "POST", "", "[]"), 400, "object")
    for _, name in ipairs { " app", "app ", "app\226\128\139", "\226\128\174evil", "\194\155m" } do      -- zero width, right to left, a control character
      refused(admin(g, "POST", "", { name = name }), 422, "name: must not begin or end with a blank")
    end
    refused(admin(g, "POST", "", { name = "app" }), 409, "there is a key app already")
    refused(admin(g, "PATCH", "/app", { name = "b" }), 422, "name: stays as it is")
    refused(admin(g, "PATCH", "/appp", {}), 404, "did you mean app?")
    refused(admin(g, "GET", "/nobody"), 404, "no such key")
    refused(admin(g, "DELETE", "/nobody"), 404, "there is no key nobody")
    assert.equal(405, admin(g, "PUT", "/app", {}).status)
    assert.equal(404, admin(g, "GET", "/a/b").status)
    assert.equal(405, admin(g, "GET", "/app/rotate").status)
  end)

  it("ends for good when it is revoked, and leaves its name taken", function()
    local key = make(g, { name = "gone" })
    assert.equal(200, ask(g, key).status)
    assert.equal(200, admin(g, "DELETE", "/gone").status)
    refused(ask(g, key), 401, "was revoked")
    assert.is_false(admin(g, "DELETE", "/gone").json.changed)
    refused(admin(g, "PATCH", "/gone", { task = "x" }), 409, "for good")
    refused(admin(g, "POST", "/gone/rotate"), 409, "for good")
    refused(admin(g, "POST", "", { name = "gone" }), 409, "say anew")
    local new = make(g, { name = "gone", anew = true })
    assert.equal(200, ask(g, new).status)
    assert.equal(401, ask(g, key).status)
  end)

  it("takes any name that a client of the file could have", function()
    local key = make(g, { name = "a b/c?\195\188" })
    assert.equal("a b/c?\195\188", g:line(ask(g, key)).key)
    assert.equal("a b/c?\195\188", admin(g, "GET", "/a%20b%2Fc%3F%C3%BC").json.key.name)
    assert.equal(200, admin(g, "DELETE", "/a%20b%2Fc%3F%C3%BC").status)
  end)

  it("is made by one of many who ask for the same name at once", function()
    local all, statuses = {}, { [200] = 0, [409] = 0 }
    for i = 1, 12 do all[i] = e2e.open(g.admin, { method = "POST", path = "/admin/keys", body = { name = "one" } }) end
    for i = 1, 12 do
      local status = all[i]:rest().status
      statuses[status] = (statuses[status] or 0) + 1
    end
    assert.same({ [200] = 1, [409] = 11 }, statuses)
  end)

  describe("while the audit log cannot be written", function()
    local full, log

    -- From now on the audit log is that of a full disk, or (false) a fresh file.
    local function fill(yes)
      os.remove(log)
      if yes then os.execute("ln -s /dev/full '" .. log .. "'") end
      full.process:signal(e2e.SIGUSR1)
      e2e.eventually("it is opened anew", function()
        local pipe = io.popen("readlink /proc/" .. full.process.pid .. "/fd/*")
        local files = pipe:read "*a"
        pipe:close()
        return (files:find("/dev/full\n", 1, true) ~= nil) == yes and not files:find("audit.jsonl (deleted)", 1, true)
      end)
    end
    before_each(function()
      full = serve()
      log = full.folder .. "/audit.jsonl"
    end)

    it("is not made, changed or given another text, and goes on as it was", function()
      local text = make(full, { name = "before", task = "one" })
      fill(true)
      local why = "nothing has changed: the audit log " .. log .. " cannot be written: No space left on device"
      refused(admin(full, "POST", "", { name = "after" }), 503, why)
      refused(admin(full, "PATCH", "/before", { task = "two" }), 503, why)
      refused(admin(full, "POST", "/before/rotate"), 503, why)
      assert.equal(404, admin(full, "GET", "/after").status)
      assert.equal("one", admin(full, "GET", "/before").json.key.task)
      assert.equal(200, ask(full, text).status)
      assert.is_nil(text_of(full):find('"after"', 1, true))
      assert.is_nil(full.process:stderr():find('"name":"after"', 1, true))
      fill(false)
      make(full, { name = "after" })
      assert.truthy(e2e.read(log):find('"what":"key create","name":"after"', 1, true))           -- it is there when that is said
    end)

    it("ends all the same when it is revoked, and who asked is told", function()
      local text = make(full, { name = "gone" })
      fill(true)
      local answer = admin(full, "DELETE", "/gone")
      assert.equal(200, answer.status)
      assert.truthy(answer.json.warnings[1]:find("this change is not in it", 1, true))
      assert.equal(401, ask(full, text).status)
      assert.truthy(full.process:stderr():find "this change is not in it")
    end)

    it("other changes happen, and who asked is told", function()
      fill(true)
      e2e.write(full.folder .. "/policy.lua", policy .. " -- another")
      local answer = e2e.request(full.admin, { method = "POST", path = "/admin/reload" })
      assert.equal(200, answer.status)
      assert.truthy(answer.json.warnings[1]:find("cannot be written: No space left on device: this change is not in it", 1, true))
    end)

    it("and the disk is full for the keys alone, says in the audit log that nothing came of it", function()
      make(full, { name = "before" })
      local file = full.folder .. "/.lunette"
      os.execute("rm -f '" .. file .. "/keys.json' && mkdir '" .. file .. "/keys.json'")        -- which no file can take the place of
      refused(admin(full, "POST", "", { name = "vain" }), 503, "nothing has changed")
      local said = e2e.read(log)
      assert.truthy(said:find('"what":"key create","name":"vain","before":null,"after":{"failed":', 1, true), said)
    end)
  end)

  it("is in the audit log with who, what, before and after, and its text nowhere", function()
    local key = make(g, { name = "audited", task = "one" })
    admin(g, "PATCH", "/audited", { task = "two" }, { ["x-lunette-by"] = "ann@desk" })
    local second = admin(g, "POST", "/audited/rotate").json.text
    admin(g, "DELETE", "/audited")
    ask(g, key)
    ask(g, second)
    admin(g, "POST", "", { name = "audited" })
    local lines = {}
    g.process:signal(e2e.SIGUSR1)
    e2e.eventually("four lines", function()
      lines = {}
      for line in e2e.read(g.folder .. "/audit.jsonl"):gmatch "([^\n]+)\n" do
        local json = e2e.json.decode(line)
        if json.name == "audited" then lines[#lines + 1] = json end
      end
      return #lines == 4
    end)
    assert.same({ "key create", "key change", "key rotate", "key revoke" }, { lines[1].what, lines[2].what, lines[3].what, lines[4].what })
    assert.equal(e2e.json.null, lines[1].before)
    assert.same({ "one", "two" }, { lines[2].before.fields.task, lines[2].after.fields.task })
    assert.truthy(lines[2].by:find("ann@desk", 1, true))
    assert.truthy(lines[4].after.revoked)
    g:log(1)
    local hash = e2e.hash(key):sub(8)
    local everything = g.process:said() .. e2e.read(g.folder .. "/requests.jsonl") .. e2e.read(g.folder .. "/audit.jsonl")
      .. e2e.json.encode(admin(g, "GET", "").json) .. g:metrics()
    for _, secret in ipairs { key, second, key:sub(8), second:sub(8), key:sub(-12), hash, hash:sub(1, 16) } do
      assert.is_nil(everything:find(secret, 1, true))
    end
    assert.is_nil(text_of(g):find(key:sub(12), 1, true))
  end)
end)

describe("a key that is revoked under load", function()
  it("brings nothing more to a provider from the moment that was answered, and ends nothing that had begun", function()
    local slow = e2e.provider [[return function() return { text = "hi", after = 0.3 } end]]
    local g = serve { env = { A = slow.url } }
    local key, visits, good = make(g, { name = "busy" }), {}, 0
    local function open(n, when)
      for _ = 1, n do visits[#visits + 1] = { when = when, visit = g:open { headers = { authorization = "Bearer " .. key } } } end
    end
    open(8, "before")
    e2e.eventually("they have reached the provider", function() return slow:count() == 8 end)
    open(30, "meanwhile")
    local answer = e2e.open(g.admin, { method = "DELETE", path = "/admin/keys/busy" })
    open(30, "meanwhile")
    assert.equal(200, answer:rest().status)
    open(30, "after")
    for _, v in ipairs(visits) do
      local a = v.visit:rest()
      if v.when == "before" then assert.equal(200, a.status) end
      if v.when == "after" then refused(a, 401, "was revoked") end
      if a.status == 200 then good = good + 1 else assert.equal(401, a.status) end
    end
    assert.equal(good, slow:count())
  end)
end)

describe("what was answered", function()
  it("is there after a kill -9 in the same moment", function()
    local g = serve()
    local keys = {}
    for i = 1, 3 do
      keys[i] = make(g, { name = "k" .. i, task = "t" })
      g:restart()
      for j = 1, i do assert.equal(200, ask(g, keys[j]).status) end
      refused(ask(g), 401, "There is no key")
    end
    admin(g, "DELETE", "/k1")
    g:restart()
    refused(ask(g, keys[1]), 401, "was revoked")
    local rotated = admin(g, "POST", "/k2/rotate", { keep = 600 }).json.text
    g:restart()
    assert.same({ 200, 200 }, { ask(g, keys[2]).status, ask(g, rotated).status })
    admin(g, "PATCH", "/k3", { models = { "other" } })
    g:restart()
    assert.equal(403, ask(g, keys[3]).status)
    for i = 2, 3 do admin(g, "DELETE", "/k" .. i) end
    g:restart()
    refused(ask(g), 401, "There is no key")         -- no key is left, and it is not open for that
  end)

  it("is whole at any moment of a kill -9 in the midst of changes", function()
    local g = serve()
    local keys = {}
    for round = 1, 4 do
      local visit = {}
      for i = 1, 4 do visit[i] = e2e.open(g.admin, { method = "POST", path = "/admin/keys", body = { name = "r" .. round .. "k" .. i } }) end
      local first = visit[1]:rest().json
      keys[#keys + 1] = first.text
      g:restart()                                   -- the others are somewhere on their way
      for _, key in ipairs(keys) do assert.equal(200, ask(g, key).status) end
    end
  end)

  it("is not said where it cannot be written; a key that is to end ends all the same", function()
    local g = serve()
    local key = make(g, { name = "app" })
    os.execute("mkdir '" .. g.folder .. "/.lunette/keys.json.new'")
    refused(admin(g, "POST", "", { name = "b" }), 503, "nothing has changed: ")
    refused(admin(g, "PATCH", "/app", { task = "x" }), 503, "keys.json cannot be written")
    refused(admin(g, "POST", "/app/rotate"), 503, "nothing has changed")
    assert.equal(404, admin(g, "GET", "/b").status)
    assert.equal(200, ask(g, key).status)
    refused(admin(g, "DELETE", "/app"), 503, "after a restart")
    refused(ask(g, key), 401, "was revoked")
    os.execute("rmdir '" .. g.folder .. "/.lunette/keys.json.new'")
    make(g, { name = "b" })
    g:restart()
    refused(ask(g, key), 401, "was revoked")
  end)
end)

describe("a gateway whose keys cannot be read", function()
  local function starts_not(g, words)
    g.process:stop()
    local status, _, err = e2e.run({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" }, g.env)
    assert.equal(1, status)
    assert.truthy(err:find(g.folder .. "/.lunette/keys.json", 1, true), err)
    assert.truthy(err:find(words, 1, true), err)
  end

  it("does not start: it would be open", function()
    local g = serve()
    make(g, { name = "app" })
    local path, text = g.folder .. "/.lunette/keys.json", text_of(g)
    e2e.write(path, text:sub(1, #text / 2))
    starts_not(g, "is damaged (it is not whole)")
    e2e.write(path, (text:gsub('"app"', '"apq"')))
    starts_not(g, "is damaged (it is not as it was written")
    e2e.write(path, "")
    starts_not(g, "is damaged")
    os.remove(path)
    starts_not(g, "is missing, though keys were made")
    os.execute("mkdir '" .. path .. "'")
    starts_not(g, "cannot be read: is not a file")
    os.execute("rmdir '" .. path .. "'")
    e2e.write(path, text)
    g:restart()
    refused(ask(g), 401, "There is no key")
  end)

  it("does not start beside another one that has the folder", function()
    local g = serve()
    make(g, { name = "app" })
    local status, _, err = e2e.run({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" }, g.env)
    assert.equal(1, status)
    assert.truthy(err:find("is in use by another process", 1, true), err)
  end)

  it("begins anew where the whole folder was taken away, which is said in the message", function()
    local g = serve()
    make(g, { name = "app" })
    os.execute("rm -r '" .. g.folder .. "/.lunette'")
    g:restart()
    assert.equal(200, ask(g).status)
  end)

  it("writes them again where somebody took the folder away while it ran", function()
    local g = serve()
    local key = make(g, { name = "app" })
    os.execute("rm -r '" .. g.folder .. "/.lunette'")
    assert.equal(200, g:reload({ ["policy.lua"] = policy .. " -- again" }).status)
    g:restart()
    assert.equal(200, ask(g, key).status)
  end)
end)

describe("clients of the file and keys that were made", function()
  it("are read alike, and those of the file are changed there", function()
    local g = serve { more = clients }
    local key = make(g, { name = "app" })
    assert.same({ 200, 200 }, { ask(g, "lun-filed").status, ask(g, key).status })
    local all = admin(g, "GET", "").json.keys
    assert.same({ "filed", "gateway.lua", "app", "lunette key" }, { all[1].name, all[1].from, all[2].name, all[2].from })
    for _, call in ipairs { { "PATCH", "/filed", { task = "x" } }, { "DELETE", "/filed" }, { "POST", "/filed/rotate" } } do
      refused(admin(g, unpack(call)), 409, "filed stands in `clients` of " .. g.folder .. "/gateway.lua")
    end
    refused(admin(g, "POST", "", { name = "filed" }), 409, "stands in `clients` of")
    assert.equal(200, ask(g, "lun-filed").status)
  end)

  it("may not have a name or a text in common: such a file is refused", function()
    local g = serve()
    local key = make(g, { name = "app" })
    local function with(name, text) return { ["gateway.lua"] = config:format(('clients = { { name = "%s", hash = "%s" } },'):format(name, e2e.hash(text))) } end
    refused(g:reload(with("app", "lun-other")), 422, 'clients[1].name: "app" is a key made with `lunette key`')
    refused(g:reload(with("web", key)), 422, 'clients[1].hash: is that of the key "app"')
    assert.equal(200, ask(g, key).status)
    g:restart()                             -- as a reload: what served last goes on
    assert.truthy(g.process:said():find("clients[1].hash", 1, true))
    assert.equal(200, ask(g, key).status)
    admin(g, "DELETE", "/app")
    refused(g:reload(with("web", key)), 422, "and revoked")
    assert.equal(200, g:reload(with("app", "lun-other")).status)     -- the name may move into the file
    assert.equal(200, ask(g, "lun-other").status)
    refused(ask(g, key), 401, "was revoked")
  end)

  it("with an empty list only keys that were made may ask", function()
    local g = serve { more = "clients = {}," }
    refused(ask(g), 401, "There is no key")
    local key, answer = make(g, { name = "app" })
    assert.same({}, answer.json.warnings)
    assert.equal(200, ask(g, key).status)
    -- and a policy that counts on a key is fine when it is tried
    local counts = g:reload { ["policy.lua"] = "return { classify = function(request) return 'k-' .. request.key.name end }" }
    assert.equal(200, counts.status, counts.body)
    assert.equal("k-app", ask(g, key).headers["x-lunette-labels"])
  end)

  it("outlive a reload; whose team is gone is let in when it is back", function()
    local g = serve()
    local key, plain = make(g, { name = "app", team = "web" }), make(g, { name = "plain" })
    local answer = g:reload { ["gateway.lua"] = (config:format(""):gsub("teams = { web = {} },", "teams = {},")) }
    assert.equal(200, answer.status)
    assert.truthy(answer.json.warnings[1]:find("the key app is of the team web", 1, true))
    refused(ask(g, key), 401, "The team of this key is not in the configuration")
    assert.equal("no team", admin(g, "GET", "/app").json.key.state)
    assert.equal(200, ask(g, plain).status)
    assert.equal(200, g:reload({ ["gateway.lua"] = config:format "" }).status)
    assert.equal(200, ask(g, key).status)
  end)
end)

describe("a version that comes back while its last request is under way", function()
  it("lets in who may ask now", function()
    local slow = e2e.provider [[return function() return { text = "hi", after = 1 } end]]
    local g = serve { env = { A = slow.url } }
    local gone = make(g, { name = "gone" })
    local under_way = {}
    for i = 1, 8 do under_way[i] = g:open { headers = { authorization = "Bearer " .. gone } } end
    e2e.eventually("they have reached the provider", function() return slow:count() == 8 end)
    assert.equal(200, g:reload({ ["policy.lua"] = policy .. " -- another" }).status)
    local new = make(g, { name = "new" })
    assert.equal(200, admin(g, "DELETE", "/gone").status)
    assert.equal(200, g:tell("rollback").status)
    for _ = 1, 8 do
      refused(ask(g, gone), 401, "was revoked")
      assert.equal(200, e2e.request(g.port, { path = "/v1/models", headers = { authorization = "Bearer " .. new } }).status)
    end
    for i = 1, 8 do assert.equal(200, under_way[i]:rest().status) end
  end)
end)

describe("keys are not made", function()
  it("where nothing is kept", function()
    local g = serve { more = "state = false," }
    refused(admin(g, "POST", "", { name = "app" }), 409, "state = false")
    assert.equal(200, ask(g).status)
  end)

  it("without the admin interface's token", function()
    local g = serve { env = { TOKEN = "correct-horse-battery" } }
    for _, headers in ipairs { {}, { authorization = "Bearer correct-horse-batterz" }, { authorization = "Bearer " } } do
      for _, call in ipairs { { "POST", "", { name = "app" } }, { "GET", "" }, { "DELETE", "/app" } } do
        assert.equal(401, admin(g, call[1], call[2], call[3], headers).status)
      end
    end
    assert.equal(200, admin(g, "POST", "", { name = "app" }, { authorization = "Bearer correct-horse-battery" }).status)
    assert.is_nil(text_of(g):find("correct", 1, true))
  end)
end)

describe("ten thousand keys", function()
  it("are read, and the last of them is found", function()
    local g = serve()
    g.process:stop()
    local list = {}
    for i = 1, 10000 do
      list[i] = ('{"name":"k%d","life":1,"version":1,"made":1,"changed":1,"hash":"sha256:%s","hint":"sk-lun-x",'
        .. '"fields":{"team":"web","models":["m"],"requests_per_minute":600}}')
        :format(i, i == 7777 and e2e.hash("sk-lun-mine"):sub(8) or (("%05x"):format(i):reverse() .. ("0"):rep(59)))
    end
    local text = "[" .. table.concat(list, ",") .. "]"
    local pipe = io.popen("sha256sum '" .. e2e.write(g.folder .. "/list", text) .. "'")
    local sum = pipe:read "*a":match "^%x+"
    pipe:close()
    e2e.write(g.folder .. "/.lunette/keys.json", ('{"format":1,"sum":"sha256:%s","keys":%s}\n'):format(sum, text))
    g:restart()
    assert.equal("k7777,web,no", ask(g, "sk-lun-mine").headers["x-lunette-labels"])
    refused(ask(g, "sk-lun-others"), 401, "not known")
    assert.equal("web", admin(g, "GET", "/k10000").json.key.team)
    local key = make(g, { name = "one-more" })
    g:restart()
    assert.same({ 200, 200 }, { ask(g, key).status, ask(g, "sk-lun-mine").status })
  end)
end)

describe("lunette key", function()
  local g, env
  setup(function()
    g = serve { shared = true }
    env = { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin }
  end)
  local function run(...) return e2e.run({ e2e.lunette, "key", ... }, env) end

  it("makes a key and prints its text alone", function()
    local status, key, err = run("create", "app", "team=web", "models=m,o*", "budget.limit=2", "budget.per=day", "tags.tier=x",
                                 "expires=30d", "substitute=false", "requests_per_minute=60")
    assert.equal(0, status, err)
    assert.truthy(key:match "^sk%-lun%-%w+$")
    assert.truthy(err:find("shown this once", 1, true))
    assert.is_nil(err:find(key:sub(12), 1, true))
    assert.equal(200, ask(g, key).status)
    local shown = e2e.json.decode((select(2, run("show", "app", "--json")))).key
    assert.same({ { "m", "o*" }, { limit = 2, per = "day" }, { tier = "x" }, false, 60 },
                { shown.models, shown.budget, shown.tags, shown.substitute, shown.requests_per_minute })
    assert.truthy(shown.expires)
  end)

  it("does not end well where the text that it has made could not be written", function()
    local status, _, err = e2e.run({ "sh", "-c", '"$0" key create lost >/dev/full', e2e.lunette }, env)
    assert.equal(1, status)
    assert.truthy(err:find("could not be written", 1, true), err)
  end)

  it("lists, changes, rotates and revokes", function()
    local first = select(2, run("create", "turn"))
    local _, list = run "list"
    assert.truthy(list:find("turn", 1, true) and list:find(first:sub(1, 11), 1, true))
    assert.is_nil(list:find(first:sub(1, 12), 1, true))
    assert.equal(0, run("change", "turn", "models=other", "task=x"))
    assert.equal(403, ask(g, first).status)
    assert.equal(0, run("change", "turn", "models="))
    local status, second = run("rotate", "turn", "--keep", "1h")
    assert.equal(0, status)
    assert.same({ 200, 200 }, { ask(g, first).status, ask(g, second).status })
    assert.equal(0, (run("show", "turn")))
    assert.equal(0, (run("revoke", "turn")))
    assert.same({ 401, 401 }, { ask(g, first).status, ask(g, second).status })
    assert.equal(1, (run("show", "turn")))
    assert.equal(1, (run("create", "turn")))
    assert.equal(0, (run("create", "turn", "--anew")))
  end)

  it("says what is wrong, with an exit status that tells by whom", function()
    local status, _, err = run("create", "x", "modles=m")
    assert.equal(1, status)
    assert.truthy(err:find("did you mean models?", 1, true))
    assert.equal(1, (run("show", "nobody")))
    for _, wrong in ipairs { {}, { "creat", "x" }, { "create" }, { "create", "x", "y" }, { "create", "x", "=1" }, { "change", "x" }, { "revoke" },
                             { "create", "x", "team=a", "team=b" }, { "create", "x", "budget=1", "budget.limit=2" }, { "list", "x" },
                             { "rotate", "x", "--keep", "soon" }, { "show", "x", "--keep", "1h" }, { "rotate", "x", "--anew" } } do
      assert.equal(2, (run(unpack(wrong))), table.concat(wrong, " "))
    end
    assert.equal(0, (run "--help"))
  end)
end)

local zoned = [[
return { policy = "policy.lua", zone = "%s",
  providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "up", price = { input = 1, output = 1 } } } },
  clients = { { name = "filed", hash = "]] .. e2e.hash "lun-filed" .. [[", budget = { limit = 5, per = "day" } } },
}]]
describe("a zone", function()
  after_each(e2e.stop)
  it("holds for keys made at run time", function()
    local a = e2e.provider [[return function(request) return { text = "hi" } end]]
    local g = e2e.gateway { config = zoned:format "UTC", files = { ["policy.lua"] = "return {}" }, workers = 2, env = { A = a.url, LUNETTE_WATCH = "false" } }
    local made = e2e.request(g.admin, { method = "POST", path = "/admin/keys", body = { name = "app", budget = { limit = 5, per = "day" } } })
    assert.equal(200, made.status, made.body)
    local function resets() local r = {} for _, b in ipairs(g:look("budgets").budgets) do r[b.name] = b.resets_in end return r end
    for _, k in ipairs { "lun-filed", made.json.text } do
      assert.equal(200, g:chat { model = "m", text = "x", headers = { authorization = "Bearer " .. k } }.status)
    end
    local r = resets()
    assert.is_true(math.abs(r["key app"] - r["key filed"]) < 5)
    assert.equal(200, g:reload({ ["gateway.lua"] = zoned:format "Asia/Kathmandu" }).status)
    r = resets()
    assert.is_true(math.abs(r["key app"] - r["key filed"]) < 5)
    -- a rollback brings the zone of before, and a key that is made then has it
    assert.equal(200, g:tell("rollback", { why = "no" }).status)
    local two = e2e.request(g.admin, { method = "POST", path = "/admin/keys", body = { name = "late", budget = { limit = 5, per = "day" } } })
    assert.equal(200, two.status, two.body)
    r = resets()
    assert.is_true(math.abs(r["key late"] - r["key filed"]) < 5)
    assert.is_true(math.abs(r["key app"] - r["key filed"]) < 5)
  end)
end)
