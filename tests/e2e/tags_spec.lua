-- Budgets by tag over real sockets: what only a real request can say.
local e2e = require "support"

local CONFIG = [[return {
  providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", price = { input = 1, output = 2 } } } },
  clients = { { name = "app", hash = "%s", tags = { feature = "search" } } },
  budgets = { tags = { tenant = { from = "header:x-tenant", limit = 0.004, per = "hour" }, feature = { limit = 0.005, required = true } } },
  zone = "Asia/Kathmandu",
}]]

local function raw(g, fields)
  local body = '{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}'
  local c = g:connect()
  c:send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nconnection: close\r\n")
  c:send("content-length: " .. #body .. "\r\n" .. fields .. "\r\n" .. body)
  local status = c:receive "*l":match " (%d+) "
  local rest = c:receive "*a"
  return tonumber(status), rest
end

describe("budgets by tag", function()
  local g
  setup(function()
    local p = e2e.provider [[return function() return { text = "x", usage = { input = 0, output = 1000 } } end]]
    g = e2e.gateway { config = CONFIG:format(e2e.hash "k"), env = { A = p.url }, workers = 2 }
  end)
  teardown(e2e.stop)

  it("a header that says it twice is refused, equal or not", function()
    local status, body = raw(g, "x-tenant: acme\r\nX-Tenant: other\r\n")
    assert.equal(400, status)
    assert.matches("The header `x-tenant` occurs twice", body, 1, true)
    assert.equal(400, (raw(g, "x-tenant: acme\r\nx-tenant: acme\r\n")))
  end)

  it("what does not fit is refused, with the account's name and when its hour ends on the clocks there", function()
    assert.equal(200, (raw(g, "x-tenant: acme\r\n")))
    local status, body = raw(g, "x-tenant: acme\r\n")
    assert.equal(402, status)
    local e = e2e.json.decode(body:match "{.*}").error
    assert.equal("tag tenant=acme", e.budget)
    assert.near(0.002, e.left, 1e-9)
    assert.matches(":15:00.000Z$", e.resets_at)
    assert.equal(200, (raw(g, "x-tenant: web\r\n")))
    local _, other = raw(g, "x-tenant: third\r\n")
    assert.equal("tag feature=search", e2e.json.decode(other:match "{.*}").error.budget)
  end)

  it("a limit that is reloaded holds for all values", function()
    local reloaded = g:reload { ["gateway.lua"] = (CONFIG:format(e2e.hash "k"):gsub("0%.004", "1"):gsub("0%.005", "1")) }
    assert.equal(200, reloaded.status)
    assert.equal(200, (raw(g, "x-tenant: acme\r\n")))
  end)
end)
