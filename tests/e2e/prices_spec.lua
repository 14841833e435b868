-- The file of prices beside gateway.lua, and a provider whose word on usage cannot be true, on real sockets.
local e2e = require "support"

local config = [[return { prices = "prices.json", clients = { { name = "app", hash = env "KEY", budget = { limit = 1 } } },
  providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]]

local function prices(input, output, more)
  return ([[{ "up": { "input_cost_per_token": %s, "output_cost_per_token": %s, "mode": "chat"%s },
    "other": { "input_cost_per_second": 1 } }]]):format(input, output, more or "")
end

local a
before_each(function() a = e2e.puppet() end)
after_each(e2e.stop)

local function serve(file)
  return e2e.gateway { config = config, files = { ["prices.json"] = file or prices("1e-6", "2e-6") }, env = { A = a.url, KEY = e2e.hash "k" } }
end

local function ask(g, usage, more)
  local visit = g:open { max_tokens = 100, headers = { authorization = "Bearer k" } }
  local body = { choices = { { index = 0, message = { role = "assistant", content = "hi" }, finish_reason = "stop" } }, usage = usage }
  for name, value in pairs(more or {}) do body[name] = value end
  a:accept():answer(200, body)
  return visit:rest()
end
local function cost(answer) return tonumber(answer.headers["x-lunette-cost"]) end

describe("the file of prices", function()
  it("says what is charged, and does so anew after a reload", function()
    local g = serve()
    assert.near(1000 * 1e-6 + 10 * 2e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 10 })), 1e-12)
    local version = g:look("versions").current
    local answer = g:reload { ["prices.json"] = prices("3e-6", "2e-6") }
    assert.is_true(answer.json.changed)
    assert.is_not.equal(version, g:look("versions").current)
    assert.near(1000 * 3e-6 + 10 * 2e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 10 })), 1e-12)
  end)

  it("is watched", function()
    local g = serve()
    local version = g:look("versions").current
    g:replace("prices.json", prices("5e-6", "2e-6"))
    e2e.eventually("its change is taken over", function() return g:look("versions").current ~= version end)
    assert.near(1000 * 5e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 0 })), 1e-12)
  end)

  it("that is broken, or has no price any more for what a hard limit needs, changes nothing", function()
    local g = serve()
    local answer = g:reload { ["prices.json"] = "{ \"up\": " }
    assert.equal(422, answer.status)
    assert.matches("prices.json:1: is no file of prices: at byte 8: ", answer.json.errors[1], 1, true)
    answer = g:reload { ["prices.json"] = "{}" }
    assert.equal(422, answer.status)
    assert.matches('budget "key app" has a hard limit', answer.json.errors[1], 1, true)
    assert.near(1000 * 1e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 0 })), 1e-12)
  end)

  it("comes back with the version that had it, also over a restart, and however large it is", function()
    local large = (',"supports_%d":true'):rep(3000):gsub("%%d", "anything")
    local padding = {}
    for i = 1, 40 do padding[i] = ('"pad%d":{"input_cost_per_token":1e-6,"output_cost_per_token":1e-6%s}'):format(i, large) end
    local first = prices("1e-6", "2e-6"):gsub("}$", "," .. table.concat(padding, ",") .. "}")
    assert.is_true(#first > 2 * 1024 * 1024)
    local g = serve(first)
    g:reload { ["prices.json"] = prices("3e-6", "2e-6") }
    assert.equal(200, g:tell("rollback", { why = "dear" }).status)
    assert.near(1000 * 1e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 0 })), 1e-12)
    g:restart()
    assert.near(1000 * 1e-6, cost(ask(g, { prompt_tokens = 1000, completion_tokens = 0 })), 1e-12)
  end)

  it("is told of by check: how much was read, and what was not understood", function()
    local folder = e2e.folder()
    e2e.write(folder .. "/gateway.lua", config)
    e2e.write(folder .. "/prices.json", prices("1e-6", "2e-6", ', "search_context_cost_per_query": { "low": 1 }'))
    local env = { A = a.url, KEY = e2e.hash "k" }
    local status, out, err = e2e.run({ e2e.lunette, "check", folder .. "/gateway.lua" }, env)
    assert.equal(0, status)
    assert.matches('models.m[1].price.input = 1 ', out, 1, true)
    assert.matches("prices.json: up", out, 1, true)
    assert.matches("prices.json: 2 entries, 1 of them with a price per token, 0 understood as a whole. Not understood: " ..
                   "whole entries (1), input_cost_per_second (1), search_context_cost_per_query (1)", out, 1, true)
    assert.matches('note: models.m[1]: of its entry "up" in prices.json: search_context_cost_per_query', err, 1, true)
    status, out = e2e.run({ e2e.lunette, "check", folder .. "/gateway.lua", "--prices" }, env)
    assert.equal(0, status)
    assert.matches("other +input_cost_per_second +a price per second is not understood", out)
    status, out = e2e.run({ e2e.lunette, "check", folder .. "/gateway.lua", "--prices", "--json" }, env)
    local json = require "cjson".decode(out)
    assert.equal(0, status)
    assert.equal(2, json.entries)
    assert.equal(3, #json.not_understood)
    assert.same({ entry = "up", field = "search_context_cost_per_query", why = "fees for searching the web are not reckoned with" }, json.not_understood[1])
  end)
end)

describe("a provider that claims what cannot be true", function()
  local function target(g) return g:look("providers").providers[1].targets[1] end
  local function closed() return serve(), function(g) return ask(g, { prompt_tokens = -5, completion_tokens = 10 }) end end

  it("closes its target to requests under a hard limit over reloads, until its price changes", function()
    local g, lie = closed()
    assert.is_nil(target(g).closed_to_limits)
    assert.equal(200, lie(g).status)
    assert.equal("negative", target(g).closed_to_limits)
    assert.equal(1, g:metric 'lunette_target_closed_to_limits{target="a/up",reason="negative"}')
    assert.equal(1, g:metric 'lunette_usage_suspect_total{target="a/up",reason="negative"}')
    local answer = g:chat { headers = { authorization = "Bearer k" } }
    assert.equal(402, answer.status)
    assert.matches("has claimed a negative number of tokens", answer.json.error.message, 1, true)
    g:reload { ["gateway.lua"] = config:gsub("limit = 1 ", "limit = 2 ") }
    assert.equal("negative", target(g).closed_to_limits)
    g:reload { ["prices.json"] = prices("3e-6", "2e-6") }
    assert.is_nil(target(g).closed_to_limits)
    assert.equal(200, ask(g, { prompt_tokens = 5, completion_tokens = 10 }).status)
  end)

  it("is given another chance by who says so", function()
    local g, lie = closed()
    lie(g)
    assert.equal(404, g:tell("targets", { target = "nobody" }).status)
    assert.equal(422, g:tell("targets", {}).status)
    assert.same({ target = "a/up", opened = true }, g:tell("targets", { target = "a/up" }).json)
    assert.same({ target = "a/up", opened = false }, g:tell("targets", { target = "a/up" }).json)
    assert.is_nil(target(g).closed_to_limits)
    assert.equal(200, ask(g, { prompt_tokens = 5, completion_tokens = 10 }).status)
  end)

  it("is said in the process log", function()
    local g, lie = closed()
    lie(g)
    local words = "target a/up is closed to requests under a hard limit: provider a has claimed a negative number of tokens"
    e2e.eventually("it is said", function() return g.process:stderr():find(words, 1, true) end)
  end)
end)
