-- Providers that are down and come back by themselves, on real sockets.
local e2e = require "support"

local in_order = [[return { select = function(request, targets) return targets:asked() end }]]

local config = [[return { policy = "policy.lua", limits = { retries = false },
  providers = { a = { base_url = env "A", KEY timeouts = { first_byte = 0.5 }, health = { rest = 1 },
    probe = { every = 1, timeout = 1 MORE } }, b = { base_url = env "B" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } }, { provider = "b", model = "x" } } } }]]

local function filled(more, key) return (config:gsub("MORE", function() return more or "" end):gsub("KEY", function() return key or "" end)) end

-- `a` is in the test's own hands, `b` always answers.
local function serve(more, key, workers, env)
  local a = e2e.puppet()
  local vars = { A = a.url, B = e2e.provider [[return function() return { text = "from b" } end]].url }
  for name, value in pairs(env or {}) do vars[name] = value end
  return e2e.gateway { config = filled(more, key), files = { ["policy.lua"] = in_order }, env = vars, workers = workers }, a
end

local function fall(g, a, status)
  for _ = 1, 5 do
    local visit = g:open {}
    a:accept():answer(status or 500, {})
    assert.equal("from b", visit:rest().text)
  end
end

local function provider_a(g)
  for _, p in ipairs(g:look "providers".providers) do if p.name == "a" then return p end end
end

local function is_back(g) e2e.eventually("a is back", function() return provider_a(g).state == "healthy" end) end

after_each(e2e.stop)

describe("C1 a provider that is down", function()
  it("is probed by GET, and traffic returns at once, with no request risked on it", function()
    local g, a = serve(nil, nil, 2)
    fall(g, a)
    assert.equal("down", provider_a(g).state)
    assert.equal(0, g:metric [[lunette_provider_state{provider="a"}]])
    local probe = a:accept()
    assert.equal("GET", probe.method)
    assert.equal("/v1/models", probe.path)
    for _ = 1, 5 do assert.equal("from b", g:chat({}).text) end
    probe:answer(503, {})
    e2e.eventually("the failed probe shows", function() return provider_a(g).probe.result == "failed" and provider_a(g).probe.status == 503 end)
    for _ = 1, 5 do assert.equal("from b", g:chat({}).text) end
    a:accept():answer(200, { data = {} })
    is_back(g)
    local visit = g:open {}
    local call = a:accept()
    assert.equal("POST", call.method)
    call:answer(200, { choices = { { index = 0, message = { role = "assistant", content = "from a" }, finish_reason = "stop" } } })
    assert.equal("from a", visit:rest().text)
    assert.equal(1, g:metric [[lunette_probes_total{provider="a",result="failed"}]])
    assert.equal(1, g:metric [[lunette_probes_total{provider="a",result="good"}]])
    assert.equal(1, g:metric [[lunette_provider_state{provider="a"}]])
    local said = g.process:said()
    assert.truthy(said:find("provider a is down: it failed 5 times in a row; it is probed every 1 s", 1, true))
    assert.truthy(said:find("provider a is back: its probe was answered (200)", 1, true))
  end)

  it("is still down when its probe gets no answer, though it stands", function()
    local g, a = serve()
    fall(g, a)
    local probe = a:accept()
    e2e.eventually("the probe is given up", function() return g:metric [[lunette_probes_total{provider="a",result="failed"}]] == 1 end)
    probe:close()
    assert.equal("down", provider_a(g).state)
    assert.is_nil(provider_a(g).probe.status)
    a:accept():answer(200, {})
    is_back(g)
  end)

  it("is still down after a 429", function()
    local g, a = serve()
    fall(g, a)
    a:accept():answer(429, {})
    e2e.eventually("it failed", function() return g:metric [[lunette_probes_total{provider="a",result="failed"}]] == 1 end)
    assert.equal("down", provider_a(g).state)
  end)

  it("is asked at the path that is said", function()
    local g, a = serve [[, path = "/status?deep=1"]]
    fall(g, a)
    local probe = a:accept()
    assert.equal("/v1/status?deep=1", probe.path)
    probe:answer(204)
    is_back(g)
  end)

  it("is asked for a completion of at most five tokens, which costs what it costs", function()
    local g, a = serve [[, with = "completion"]]
    fall(g, a)
    local probe = a:accept()
    assert.equal("/v1/chat/completions", probe.path)
    assert.equal("x", probe.json.model)
    assert.equal(5, probe.json.max_tokens)
    probe:answer(200, { choices = { { index = 0, message = { role = "assistant", content = "pong" }, finish_reason = "stop" } },
                        usage = { prompt_tokens = 8, completion_tokens = 2 } })
    is_back(g)
    assert.equal(1e-05, g:metric [[lunette_cost_usd_total{model="m",target="a/x"}]])
    assert.equal(0, g:metric [[lunette_attempts_total{target="a/x",kind="ok"}]])
  end)

  it("is probed again after a reload in the middle of a probe", function()
    local g, a = serve()
    fall(g, a)
    local probe = a:accept()
    assert.equal(200, g:reload({ ["gateway.lua"] = filled() .. "\n-- another" }).status)
    assert.is_true(probe:gone())
    assert.equal("down", provider_a(g).state)
    a:accept():answer(200, {})
    is_back(g)
  end)

  it("loses the key that its probe is refused with, and is probed with the next at once", function()
    local g, a = serve(nil, [[key = { secret "K1", secret "K2" },]], 1, { K1 = "key-one-canary-1111", K2 = "key-two-canary-2222" })
    fall(g, a)
    local probe = a:accept()
    assert.equal("Bearer key-one-canary-1111", probe.headers.authorization)
    probe:answer(401, { error = { message = "no key-one-canary-1111" } })
    probe = a:accept()
    assert.equal("Bearer key-two-canary-2222", probe.headers.authorization)
    probe:answer(200, {})
    is_back(g)
    assert.same({ { secret = "K1", in_use = false }, { secret = "K2", in_use = true } }, provider_a(g).keys)
    assert.equal(0, g:metric [[lunette_key_in_use{provider="a",key="K1"}]])
    local said = g.process:said()
    assert.truthy(said:find("provider a does not accept the key K1 (401)", 1, true))
    assert.is_nil(said:find("-canary-", 1, true))
    assert.is_nil(g:metrics():find("-canary-", 1, true))
  end)

  it("comes back too where its name could not be found, or nobody listened", function()
    local a = e2e.provider [[return function() return { text = "from a" } end]]
    a:stop()
    local b = e2e.provider [[return function() return { text = "from b" } end]]
    local g = e2e.gateway { config = filled(), files = { ["policy.lua"] = in_order }, env = { A = a.url, B = b.url } }
    for _ = 1, 6 do assert.equal("from b", g:chat({}).text) end
    e2e.eventually("it was probed in vain", function() return g:metric [[lunette_probes_total{provider="a",result="failed"}]] >= 1 end)
    e2e.provider([[return function() return { text = "from a" } end]], { port = a.port })
    is_back(g)
    assert.equal("from a", g:chat({}).text)
    g = e2e.gateway { config = filled(), files = { ["policy.lua"] = in_order }, env = { A = "http://nowhere.invalid/v1", B = b.url } }
    for _ = 1, 6 do assert.equal("from b", g:chat({}).text) end
    e2e.eventually("it was probed in vain", function() return g:metric [[lunette_probes_total{provider="a",result="failed"}]] >= 1 end)
    assert.equal("down", provider_a(g).state)
  end)

  it("is probed by a script's own answer where a script plays it", function()
    local g = e2e.gateway { files = { ["policy.lua"] = in_order, ["a.lua"] = [[return function(request, n)
      if request.method == "GET" then return { status = 200, body = "{}" } end
      return n <= 5 and { status = 500 } or { text = "from a" }
    end]] }, env = { A = "-", B = e2e.provider [[return function() return { text = "from b" } end]].url },
      config = (filled():gsub('base_url = env "A"', 'script = "a.lua"')) }
    for _ = 1, 5 do assert.equal("from b", g:chat({}).text) end
    is_back(g)
    assert.equal("from a", g:chat({}).text)
  end)
end)

local worn_config = [[return { policy = "policy.lua", limits = { retries = false },
  providers = { a = { base_url = env "A", health = { rest = 1 }, probe = { every = 1, timeout = 5 } }, b = { base_url = env "B" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } }, { provider = "b", model = "x" } } } }]]
local wears = [[
local kept = {} for i = 1, 10000 do kept[i] = { i } end
return { classify = function(request) if request.text == "eat" then local all = {} for i = 1, 2^22 do all[i] = i end end return "one" end,
  select = function(request, targets) return targets:asked() end }]]
describe("a provider that is down", function()
  it("is probed however fast machines are worn", function()
    local a = e2e.provider [[local n = 0
      return function(request) if request.method == "GET" then return { text = "", after = 0.5 } end
        if n < 5 then n = n + 1 return { status = 500 } end return { text = "from a" } end]]
    local b = e2e.provider [[return function() return { text = "from b" } end]]
    local g = e2e.gateway { config = worn_config, files = { ["policy.lua"] = wears }, env = { A = a.url, B = b.url, LUNETTE_WATCH = "false" }, workers = 1 }
    for _ = 1, 5 do assert.equal(200, g:chat({}).status) end
    assert.equal("down", provider_a(g).state)
    e2e.eventually("it is back", function()
      local answer = g:chat { text = "eat" }
      assert.equal(200, answer.status)
      return answer.text == "from a"
    end)
    assert.is_true(a:count() - 6 <= 3, a:count())                 -- its probes: not one for each machine
  end)
end)
