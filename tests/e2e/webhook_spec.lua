-- The webhook: events of budgets and providers, signed, tried again, with a receiver in the test's own hands. Signatures are verified by openssl.
local e2e = require "support"
local tls = require "tls"
local signal = require "posix.signal"

local SECRET = "whsec_" .. "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
local CONFIG = [[return {
  providers = { a = { base_url = env "A", health = { failures = 2, rest = 0.2 } } },
  models = { m = { { provider = "a", price = { input = 1, output = 2 } } } },
  limits = { attempts = 1 },
  budgets = { total = { limit = 0.01, per = "day", soft = 0.5 }, tags = { tenant = { from = "header:x-tenant", limit = 0.004, soft = 0.25 } } },
  webhook = { url = secret "HOOK_URL", secret = secret "HOOK_SECRET" },
}]]
local ANSWER = [[return function() return { text = "x", usage = { input = 0, output = 1000 } } end]]      -- 0.002 USD

-- The receiver's path is a secret too, as such URLs often are.
local function start(options)
  options = options or {}
  local p, hook = e2e.provider(options.script or ANSWER), e2e.puppet()
  local env = { A = p.url, HOOK_URL = "http://127.0.0.1:" .. hook.port .. "/hooks/T0PSECRET?x=1", HOOK_SECRET = SECRET }
  return e2e.gateway { config = options.config or CONFIG, env = env }, hook, p
end

local function ask(g, tenant) return g:chat { body = { max_tokens = 1000 }, headers = { ["x-tenant"] = tenant } } end

local function take(hook, status)
  local call = hook:accept()
  call:head(status, { ["content-length"] = "2" })
  call:send "ok"
  hook.open[call.c] = call.connection
  return call
end

-- By another implementation than ours: HMAC-SHA256 over id.timestamp.body with what the secret's base64 stands for.
local function signature_of(call)
  local folder = e2e.folder()
  e2e.write(folder .. "/signed", call.headers["webhook-id"] .. "." .. call.headers["webhook-timestamp"] .. "." .. call.body)
  local key = ("printf %%s '%s' | base64 -d | od -An -vtx1 | tr -d ' \\n'"):format(SECRET:sub(7))
  local pipe = io.popen(("openssl dgst -sha256 -mac HMAC -macopt hexkey:$(%s) -binary '%s/signed' | base64"):format(key, folder))
  local text = pipe:read "*l"
  pipe:close()
  return "v1," .. text
end

describe("the webhook", function()
  after_each(e2e.stop)

  it("is told once when a budget passes its soft share, and once when it refuses", function()
    local g, hook = start()
    for _ = 1, 2 do assert.equal(200, ask(g).status) end
    assert.is_true(hook:quiet())
    for _ = 1, 2 do assert.equal(200, ask(g).status) end
    local soft = take(hook, 200)
    assert.equal("POST", soft.method)
    assert.equal("/hooks/T0PSECRET?x=1", soft.path)
    assert.equal("application/json", soft.headers["content-type"])
    assert.equal("budget.soft", soft.json.type)
    assert.equal(soft.headers["webhook-id"], soft.json.id)
    assert.matches("^evt_%x+$", soft.json.id)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z$", soft.json.at)
    assert.near(os.time(), tonumber(soft.headers["webhook-timestamp"]), 10)
    assert.equal("total", soft.json.data.budget)
    assert.near(0.01, soft.json.data.limit, 1e-9)
    assert.near(0.006, soft.json.data.used, 1e-9)
    assert.equal(0.5, soft.json.data.soft)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT00:00:00", soft.json.data.resets_at)
    assert.equal(signature_of(soft), soft.headers["webhook-signature"])
    for _ = 1, 3 do assert.equal(402, ask(g).status) end       -- 0.002 USD are left, and the question costs something too
    local out = take(hook, 204)
    assert.equal("budget.exhausted", out.json.type)
    assert.near(0.008, out.json.data.used, 1e-9)
    e2e.eventually("both are counted", function() return g:metric 'lunette_webhook_events_total{result="delivered"}' == 2 end)
    assert.equal(1, g:metric 'lunette_budget_soft_total{budget="total"}')
    assert.equal(1, g:metric 'lunette_budget_exhausted_total{budget="total"}')
    assert.is_true(hook:quiet())
    local said = g.process:said()
    assert.matches('budget "total": 0.006 of 0.01 USD are spent, 50 % or more of its limit; it begins anew at ', said, 1, true)
    local _, lines = said:gsub('budget "total" is used up', "")
    assert.equal(1, lines)
  end)

  it("is told of each value of a tag; metrics count the tag", function()
    local g, hook = start()
    for _, tenant in ipairs { "acme", "web" } do assert.equal(200, ask(g, tenant).status) end
    local told = { [take(hook, 200).json.data.budget] = true, [take(hook, 200).json.data.budget] = true }
    assert.same({ ["tag tenant=acme"] = true, ["tag tenant=web"] = true }, told)
    assert.equal(2, g:metric 'lunette_budget_soft_total{budget="tag tenant"}')
    assert.equal(2, g:metric 'lunette_tag_values{tag="tenant"}')
    assert.not_matches("acme", g:metrics(), 1, true)
  end)

  it("is tried again when it fails: the same event, signed anew", function()
    local g, hook = start()
    ask(g, "acme")
    local first = take(hook, 500)
    local again = take(hook, 200)
    assert.equal(first.headers["webhook-id"], again.headers["webhook-id"])
    assert.equal(first.body, again.body)
    assert.equal(signature_of(again), again.headers["webhook-signature"])
    e2e.eventually("it is counted", function() return g:metric 'lunette_webhook_events_total{result="delivered"}' == 1 end)
    assert.equal(1, g:metric 'lunette_webhook_events_total{result="retried"}')
    assert.matches("was not taken: HTTP 500; it is tried again for an hour", g.process:said(), 1, true)
  end)

  it("follows no redirect", function()
    local g, hook = start()
    local other = e2e.puppet()
    ask(g, "acme")
    local call = hook:accept()
    call:head(302, { ["content-length"] = "0", location = other.url })
    hook.open[call.c] = call.connection
    assert.equal(call.body, take(hook, 200).body)
    assert.is_true(other:quiet())
    assert.equal(0, g:metric 'lunette_webhook_events_total{result="failed"}')
  end)

  it("is left alone once it has answered 410", function()
    local g, hook = start()
    ask(g, "acme")
    take(hook, 410)
    e2e.eventually("it is told in the log", function() return g.process:said():find("410", 1, true) end)
    ask(g, "web")
    e2e.eventually("web's is seen", function() return g:metric 'lunette_budget_soft_total{budget="tag tenant"}' == 2 end)
    assert.is_true(hook:quiet())
  end)

  it("never holds a request up", function()
    local g, hook = start()
    assert.equal(200, ask(g, "acme").status)
    local silent = hook:accept()                    -- and never answered
    for _ = 1, 3 do assert.equal(200, ask(g).status) end
    silent:close()
  end)

  it("does not read what is answered to its end", function()
    local g, hook = start()
    ask(g, "acme")
    local call = hook:accept()
    call:head(200, {})
    local chunk = ("%x\r\n"):format(65536) .. ("x"):rep(65536) .. "\r\n"
    for _ = 1, 4 do call:send(chunk) end            -- and never ends
    e2e.eventually("it counts as delivered", function() return g:metric 'lunette_webhook_events_total{result="delivered"}' == 1 end)
  end)

  it("gets what waits before a graceful stop", function()
    local g, hook = start()
    ask(g, "acme")
    local first = take(hook, 503)
    e2e.eventually("it waits for its next try", function() return g:metric 'lunette_webhook_events_total{result="retried"}' == 1 end)
    g.process:signal(signal.SIGTERM)
    assert.equal(first.body, take(hook, 200).body)
    assert.equal(0, g.process:wait())
    assert.not_matches("could not be delivered", g.process:said(), 1, true)
  end)

  it("does not keep a gateway from stopping", function()
    local g, hook = start()
    ask(g, "acme")
    hook:accept()                                   -- and never answered
    local before = e2e.socket.gettime()
    g.process:signal(signal.SIGTERM)
    assert.equal(0, g.process:wait())
    assert.is_true(e2e.socket.gettime() - before < 5)
    assert.matches("is given up", g.process:said(), 1, true)
  end)

  it("is told when a provider is down, and when it is back", function()
    local g, hook = start { config = CONFIG:gsub("limit = 0%.01", "limit = 1"), script = [[return function(r, n)
      return n <= 2 and { status = 500 } or { text = "x", usage = { input = 1, output = 1 } } end]] }
    for _ = 1, 2 do ask(g) end
    local down = take(hook, 200)
    assert.equal("provider.down", down.json.type)
    assert.same({ provider = "a" }, down.json.data)
    e2e.eventually("it answers again", function() return ask(g).status == 200 end)
    assert.equal("provider.up", take(hook, 200).json.type)
  end)

  it("changes with the configuration", function()
    local g, hook = start()
    local other = e2e.puppet()
    assert.equal(200, g:reload({ ["gateway.lua"] = CONFIG:gsub("webhook = %b{}", ("webhook = \"http://127.0.0.1:%d/\""):format(other.port)) }).status)
    ask(g, "acme")
    local call = take(other, 200)
    assert.is_nil(call.headers["webhook-signature"])
    assert.is_true(hook:quiet())
  end)

  it("has its URL and secret in no output", function()
    local g, hook = start()
    ask(g, "acme")
    take(hook, 500)
    e2e.eventually("the failure is logged", function() return g.process:said():find("was not taken", 1, true) end)
    local status, shown = e2e.run({ e2e.lunette, "check", "--table", g.folder .. "/gateway.lua" }, g.env)
    assert.equal(0, status)
    assert.matches("webhook", shown, 1, true)
    for _, text in ipairs { g.process:said(), g:metrics(), shown, e2e.json.encode(g:look "") } do
      assert.not_matches("T0PSECRET", text, 1, true)
      assert.not_matches(SECRET:sub(7), text, 1, true)
    end
  end)

  it("gets nothing over https under a certificate that the system does not trust", function()
    local hook = e2e.puppet()
    local front = tls.nginx { cert = tls.authority():certificate "IP:127.0.0.1", to = hook.port }
    local env = { A = e2e.provider(ANSWER).url, HOOK_URL = "https://127.0.0.1:" .. front.port .. "/", HOOK_SECRET = SECRET }
    local g = e2e.gateway { config = CONFIG, env = env }
    ask(g, "acme")
    e2e.eventually("the failure is logged", function() return g.process:said():find("was not taken: SSL peer certificate", 1, true) end)
    assert.is_true(hook:quiet())
  end)
end)
