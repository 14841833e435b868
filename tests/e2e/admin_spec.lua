-- The admin listener: who may use it, what it shows, what it answers to nonsense.
local e2e = require "support"

local config = [[
return {
  policy = "policy.lua", health = { failures = 2 },
  providers = { a = { base_url = env "A", key = { secret "KEY_ONE", secret "KEY_TWO" }, headers = { ["x-extra"] = secret "KEY_TWO" } },
                b = { base_url = env "B" } },
  models = { solo = { { provider = "a", model = "up", requests_per_minute = 100 } }, other = { { provider = "b", model = "up" } } },
}]]
local token = "correct-horse-battery"

local a, b
setup(function() a, b = e2e.puppet(), e2e.puppet() end)
before_each(function() a:clear() b:clear() end)
teardown(e2e.stop)

local function serve(options)
  options = options or {}
  local env = { A = a.url, B = b.url, KEY_ONE = "sk-first-secret", KEY_TWO = "sk-second-secret" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  return e2e.gateway { config = options.config or config, files = { ["policy.lua"] = "return { classify = function() return 'x' end }" },
                       workers = 2, env = env }
end

local function status(g, options) return e2e.request(g.admin, options).status end

describe("without a token, the admin listener", function()
  local g
  setup(function() g = serve() end)
  local function raw(bytes)
    local c = e2e.connect(g.admin)
    c:send(bytes)
    return e2e.receive(c)
  end

  it("answers to the names of loopback alone (DNS rebinding)", function()
    for _, host in ipairs { "127.0.0.1", "127.0.0.1:4001", "localhost:1", "[::1]:4001", "127.1.2.3" } do
      assert.equal(200, raw("GET /admin/versions HTTP/1.1\r\nhost: " .. host .. "\r\n\r\n").status)
    end
    for _, host in ipairs { "evil.example", "evil.example:4001", "10.0.0.1", "localhost.evil.example", "0.0.0.0" } do
      local answer = raw("GET /admin/versions HTTP/1.1\r\nhost: " .. host .. "\r\n\r\n")
      assert.equal(403, answer.status, host)
      assert.truthy(answer.json.errors[1])
    end
  end)

  it("refuses what another page asks", function()
    assert.equal(403, status(g, { method = "POST", path = "/admin/reload", headers = { origin = "http://evil.example" } }))
    assert.equal(403, status(g, { method = "POST", path = "/admin/reload", headers = { origin = "null" } }))
    assert.equal(403, status(g, { method = "POST", path = "/admin/rollback", headers = { ["sec-fetch-site"] = "cross-site" } }))
    assert.equal(403, status(g, { path = "/metrics", headers = { origin = "http://evil.example" } }))
    assert.equal(200, status(g, { method = "POST", path = "/admin/reload", headers = { origin = "http://127.0.0.1" } }))
    assert.equal(415, status(g, { method = "POST", path = "/admin/settings", body = '{"x":1}', headers = { ["content-type"] = "text/plain" } }))
  end)

  it("names what there is where there is nothing, and the method where it is the wrong one", function()
    local answer = e2e.request(g.admin, { path = "/admin/nothing" })
    assert.equal(404, answer.status)
    assert.truthy(answer.json.errors[1]:find("POST /admin/reload", 1, true))
    answer = e2e.request(g.admin, { path = "/admin/reload" })
    assert.same({ 405, "POST" }, { answer.status, answer.headers.allow })
    answer = e2e.request(g.admin, { method = "DELETE", path = "/admin/settings" })
    assert.same({ 405, "GET, HEAD, POST" }, { answer.status, answer.headers.allow })
    assert.equal(400, status(g, { method = "POST", path = "/admin/settings", body = "{half" }))
    assert.equal(400, status(g, { method = "POST", path = "/admin/settings", body = "[1]" }))
    assert.equal(400, status(g, { method = "POST", path = "/admin/reload?force" }))
    assert.equal(413, status(g, { method = "POST", path = "/admin/settings", body = '{"x":"' .. ("y"):rep(2 ^ 20) .. '"}' }))
    assert.equal(404, e2e.request(g.port, { path = "/admin/versions" }).status)          -- never on the public listener
  end)
end)

describe("with a token, the admin listener", function()
  it("asks for it, everywhere but at /health and for the page, and answers to the names that were said", function()
    local g = serve { config = config:gsub("return {", 'return { admin = { "127.0.0.1:0", hosts = { "gateway.internal" } },', 1),
                      env = { LUNETTE_ADMIN_TOKEN = token } }
    for _, path in ipairs { "/metrics", "/admin/versions", "/admin/settings", "/admin/nothing", "/admin/budgets", "/admin/events" } do
      local answer = e2e.request(g.admin, { path = path })
      assert.same({ 401, "Bearer" }, { answer.status, answer.headers["www-authenticate"] })
      assert.equal(401, status(g, { path = path, headers = { authorization = "Bearer " .. token .. "x" } }))
      assert.equal(401, status(g, { path = path, headers = { authorization = "Basic " .. token } }))
    end
    assert.equal(401, status(g, { method = "POST", path = "/admin/reload" }))
    assert.equal(200, status(g, { path = "/health" }))
    assert.equal(200, status(g, { path = "/" }))
    assert.equal(200, status(g, { path = "/metrics", headers = { authorization = "Bearer " .. token } }))
    local c = e2e.connect(g.admin)
    c:send("GET /admin/versions HTTP/1.1\r\nhost: gateway.internal\r\nauthorization: Bearer " .. token .. "\r\n\r\n")
    assert.equal(200, e2e.receive(c).status)
    c = e2e.connect(g.admin)
    c:send("GET /admin/versions HTTP/1.1\r\nhost: evil.example\r\nauthorization: Bearer " .. token .. "\r\n\r\n")
    assert.equal(403, e2e.receive(c).status)
    assert.equal(403, status(g, { path = "/admin/versions", headers = { authorization = "Bearer " .. token, origin = "http://evil.example" } }))
  end)

  it("keeps it while others can reach where it listens, and the public one its clients, whatever a reload says of the next start", function()
    local folder = e2e.folder()
    local function write(admin) e2e.write(folder .. "/gateway.lua", (config:gsub("return {", "return { watch = false, " .. admin .. ",", 1))) end
    write 'listen = "0.0.0.0:0", admin = "0.0.0.0:0", admin_token = secret "ADMIN", clients = {}'
    e2e.write(folder .. "/policy.lua", "return {}")
    e2e.write(folder .. "/ADMIN", token)
    local process = e2e.start({ e2e.lunette, "serve", folder .. "/gateway.lua", "--workers", "1" },
                              { A = a.url, B = b.url, KEY_ONE = "sk-first-secret", KEY_TWO = "sk-second-secret", CREDENTIALS_DIRECTORY = folder })
    local port = tonumber((process:expect "metrics on http://0%.0%.0%.0:(%d+)"))
    local function reload() return e2e.request(port, { method = "POST", path = "/admin/reload", headers = { authorization = "Bearer " .. token } }) end
    for setting, more in pairs { admin_token = "clients = {}", clients = 'admin_token = secret "ADMIN"' } do
      write('listen = "127.0.0.1:0", admin = "127.0.0.1:0", ' .. more)
      local answer = reload()
      assert.equal(422, answer.status)
      assert.truthy(answer.json.errors[1]:find(setting .. " must stay until a restart", 1, true))
    end
    assert.equal(401, e2e.request(port, { path = "/admin/versions" }).status)
  end)

  it("takes another one over by a reload, and the commands know it from the environment", function()
    local secrets = e2e.folder()
    e2e.write(secrets .. "/ADMIN", token)
    local g = serve { config = config:gsub("return {", 'return { admin_token = secret "ADMIN",', 1), env = { CREDENTIALS_DIRECTORY = secrets } }
    assert.equal(200, status(g, { path = "/admin/versions", headers = { authorization = "Bearer " .. token } }))
    e2e.write(secrets .. "/ADMIN", token .. "-2")
    local renewed = { authorization = "Bearer " .. token .. "-2" }
    e2e.eventually("the new token is taken", function() return status(g, { path = "/admin/versions", headers = renewed }) == 200 end)
    assert.equal(401, status(g, { path = "/admin/versions", headers = { authorization = "Bearer " .. token } }))
    assert.equal(0, (e2e.run({ e2e.lunette, "reload", "--admin", "127.0.0.1:" .. g.admin }, { LUNETTE_ADMIN_TOKEN = token .. "-2" })))
    local code, _, err = e2e.run({ e2e.lunette, "reload", "--admin", "127.0.0.1:" .. g.admin })
    assert.equal(1, code)
    assert.truthy(err:find("LUNETTE_ADMIN_TOKEN", 1, true))
    g:replace("gateway.lua", config)
    e2e.eventually("the log warns", function() return g.process:stderr():find("the admin interface asks for no token any more", 1, true) end)
  end)
end)

describe("the admin interface", function()
  it("shows providers, keys by name, and targets, as health sees them", function()
    local g = serve()
    for _ = 1, 2 do
      local visit = g:open { model = "solo" }
      a:accept():answer(500, {})
      visit:rest()
      visit = g:open { model = "other" }
      b:accept():answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
      visit:rest()
    end
    local list = g:look("providers").providers
    assert.same({ "a", "down", "b", "healthy" }, { list[1].name, list[1].state, list[2].name, list[2].state })
    assert.same({ { secret = "KEY_ONE", in_use = true }, { secret = "KEY_TWO", in_use = true } }, list[1].keys)
    local target = list[1].targets[1]
    assert.same({ "a/up", "solo", "open", false, 2, 2, 2, 0 },
                { target.name, target.model, target.circuit, target.healthy, target.failures_in_a_row, target.attempts, target.failures, target.in_flight })
    assert.truthy(target.rests_ms > 0 and target.requests_left == 198)       -- of 100 a key
    assert.same({ "closed", true, 2, 0 }, (function(t) return { t.circuit, t.healthy, t.attempts, t.failures } end)(list[2].targets[1]))
    assert.truthy(list[2].targets[1].latency_ms > 0)
  end)

  it("shows budgets, those nearest to their limit first, as the metrics have them", function()
    local provider = e2e.provider [[return function() return { text = "x", usage = { input = 0, output = 1000 } } end]]
    local g = e2e.gateway { env = { A = provider.url }, config = ([[return { providers = { a = { base_url = env "A" } },
      models = { m = { { provider = "a", price = { input = 1, output = 2 } } } }, teams = { web = { budget = { limit = 0.1, per = "week", soft = 0.5 } } },
      budgets = { total = { limit = 1, per = "rolling", window = 3600 }, tags = { tenant = { from = "header:x-tenant", limit = 0.01, per = "ever" } } },
      clients = { { name = "app", hash = "%s", team = "web" } } }]]):format(e2e.hash "k") }
    local function ask(tenant, n)
      for _ = 1, n do assert.equal(200, g:chat({ headers = { authorization = "Bearer k", ["x-tenant"] = tenant }, body = { max_tokens = 1000 } }).status) end
    end
    ask("acme", 3) ask("zen", 1)
    assert.equal(200, g:tell("keys", { name = "made", budget = { limit = 5, per = "day" } }).status)
    local shown = g:look "budgets"
    local names, by = {}, {}
    for i, budget in ipairs(shown.budgets) do names[i], by[budget.name] = budget.name, budget end
    assert.same({ "tag tenant=acme", "tag tenant=zen", "team web", "total", "key made", "key app" }, names)
    assert.equal(0, shown.more)
    local acme, total, web, key = by["tag tenant=acme"], by.total, by["team web"], by["key app"]
    assert.same({ "ever", 0.006, 0, 0.01, 0.004, 0.6, e2e.json.null }, { acme.period, acme.used, acme.held, acme.limit, acme.left, acme.share, acme.resets_in })
    assert.same({ "rolling", 3600, 0.008, 1 }, { total.period, total.window, total.used, total.limit })
    assert.same({ "week", 0.5, 0.008, g:metric 'lunette_budget_used_usd{budget="team web"}' }, { web.period, web.soft, web.used, web.used })
    assert.truthy(web.resets_in > 0 and web.resets_in <= 7 * 86400 and total.resets_in <= 2 * 3600)
    assert.same({ 0.008, e2e.json.null, e2e.json.null }, { key.used, key.limit, key.left })
    assert.equal(200, status(g, { method = "DELETE", path = "/admin/keys/made" }))
    shown = g:look "budgets?n=2"
    assert.same({ "tag tenant=acme", "tag tenant=zen", 3 }, { shown.budgets[1].name, shown.budgets[2].name, shown.more })
    assert.equal(2, #shown.budgets)
    for _, wrong in ipairs { "n=0", "n=1001", "n=", "n=x", "m=1", "n=1&n=2", "n=99999999999999999999" } do
      assert.equal(400, status(g, { path = "/admin/budgets?" .. wrong }), wrong)
    end
  end)

  it("tells how latencies are spread, if asked, so that two looks give those of the time between", function()
    local g = serve()
    local function ask()
      local visit = g:open { model = "other" }
      b:accept():answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
      visit:rest()
    end
    local function counted(spread)
      local all, last = 0, 0
      for i = 1, #spread, 2 do
        assert.truthy(spread[i] > last)
        all, last = all + spread[i + 1], spread[i]
      end
      return all
    end
    ask()
    assert.is_nil(g:look("report").totals.spread)
    local before = g:look "report?spread=1"
    for _ = 1, 4 do ask() end
    local after = g:look "report?spread=1"
    assert.equal(1, counted(before.totals.spread))
    for _, row in ipairs { after.totals, after.models[1], after.targets[1], after.stages[1] } do assert.equal(5, counted(row.spread)) end
  end)

  it("shows requests under way, on every worker, until they end", function()
    local g = serve()
    local visits, calls = {}, {}
    for i = 1, 6 do
      visits[i] = g:open { model = "solo", stream = i > 3 }
      calls[i] = a:accept()
    end
    local list = g:look("requests").requests
    assert.equal(6, #list)
    local streams, ids = 0, {}
    for _, r in ipairs(list) do
      assert.same({ "solo", "chat", 1, "a/up", { "x" } }, { r.model, r.endpoint, r.attempts, r.target, r.labels })
      assert.truthy(r.age_ms >= 0 and r.policy == g:look("versions").current)
      streams, ids[r.id] = streams + (r.stream and 1 or 0), true
    end
    assert.equal(3, streams)
    visits[1]:leave()
    calls[2]:answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
    assert.truthy(ids[visits[2]:rest().headers["x-lunette-request-id"]])
    e2e.eventually("two have ended", function() return #g:look("requests").requests == 4 end)
  end)

  it("holds no secret, whatever it is asked", function()
    local g = serve { env = { LUNETTE_ADMIN_TOKEN = token } }
    local all = {}
    for _, path in ipairs { "metrics", "health", "admin/versions", "admin/settings", "admin/providers", "admin/requests", "admin/nothing" } do
      all[#all + 1] = e2e.request(g.admin, { path = "/" .. path, headers = { authorization = "Bearer " .. token } }).body
      all[#all + 1] = e2e.request(g.admin, { path = "/" .. path, headers = { authorization = "Bearer wrong-" .. token } }).body
    end
    all[#all + 1] = g:tell("reload", nil, { authorization = "Bearer " .. token }).body
    g:stop()
    local kept = io.popen("cat " .. g.folder .. "/.lunette/state.json " .. g.folder .. "/.lunette/versions/*/*")
    all[#all + 1] = kept:read "*a" .. g.process:said()
    kept:close()
    local text = table.concat(all, "\n")
    for _, secret in ipairs { "sk-first-secret", "sk-second-secret", token, a.url } do assert.is_nil(text:find(secret, 1, true), secret) end
  end)

  it("serves others while one asks and never reads", function()
    local g = serve()
    local silent = {}
    for i = 1, 50 do
      silent[i] = e2e.connect(g.admin)
      silent[i]:send(("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"):rep(20))
    end
    assert.equal(200, g:tell("reload").status)
    assert.equal(1, g:look("versions").generation)
  end)
end)
