-- The routing systems through real sockets, each once: the policies that come along, with examples/policies/gateway.lua, against a provider that
-- misbehaves as the question says. tests/policy/systems holds them to every number.
local e2e = require "support"

local config = e2e.read "examples/policies/gateway.lua"

-- "hi [gpt-4.1 500] [kimi-k2 429x2] [gpt-4o-mini slow]": what a model does with this question; x2: the first two times.
local script = [[
local seen = {}
return function(request)
  if request.method == "GET" then return { body = { data = {} } } end         -- a probe
  local todo = request.text:match("%[" .. request.model:gsub("%p", "%%%0") .. " ([%w_]+)%]") or request.text:match "%[%* ([%w_]+)%]"
  local what, times = (todo or ""):match "^(%d+)x(%d+)$"
  local id = request.model .. request.text
  seen[id] = (seen[id] or 0) + 1
  if times and seen[id] > tonumber(times) then todo, what = nil, nil end
  local status = tonumber(what or todo)
  if status then return { status = status, headers = { ["retry-after"] = request.text:match "wait=(%d+)" } } end
  if todo == "slow" then return { text = "late", after = 30 } end
  if todo == "reset" then return { cut = "rst" } end
  if todo == "dear" then return { text = "x", usage = { input = 600000, output = 400000 } } end
  return { text = "from " .. request.model }
end]]

local provider
setup(function() provider = e2e.provider(script) end)
teardown(e2e.stop)

local gateways = {}
-- One for each policy, with other settings than the file's: another one.
local function gateway(policy, env)
  local g = not env and gateways[policy]
  if g then return g end
  local all = { POLICY = "policies/" .. policy .. ".lua" }
  for _, name in ipairs { "DEEPSEEK", "MOONSHOT", "GOOGLE", "OPENAI", "ANTHROPIC" } do all[name .. "_URL"] = provider.url end
  for name, value in pairs(env or {}) do all[name] = value end
  g = e2e.gateway { config = config, env = all }
  if not env then gateways[policy] = g end
  return g
end

-- The answer, and its line in the log.
local function ask(g, text, options)
  options = options or {}
  local answer = g:chat { model = options.model or "auto", text = text, headers = options.headers, stream = options.stream, body = options.body }
  return answer, g:line(answer)
end

local function task(name) return { headers = { ["x-lunette-task"] = name } } end

local function tried(line)
  local list = {}
  for i, attempt in ipairs(line.attempts) do list[i] = attempt.target .. " " .. attempt.kind end
  return table.concat(list, ", ")
end

local function assert_from(model, answer)
  assert.equal(200, answer.status)
  assert.equal(model, answer.headers["x-lunette-model"])
end

describe("A1 timeout tiers", function()
  it("a model that does not answer a FAQ in 1 s is followed by the next", function()
    local answer, line = ask(gateway "timeout_tiers", "when do you open? [deepseek-v3.2 slow]", task "faq")
    assert_from("deepseek-v3", answer)
    assert.equal("fast", answer.headers["x-lunette-labels"])
    assert.matches("^deepseek%-v3%.2 [%a_]+_timeout, deepseek%-v3 ok$", tried(line))
    assert.is_true(line.attempts[1].ms >= 1000 and line.attempts[1].ms < 2000)
  end)
end)

describe("A2 retry manager", function()
  it("500 is tried again at the same model, and 400 is not", function()
    local answer, line = ask(gateway "retry_manager", "hi [gpt-4.1 500x1]", { model = "gpt-4.1" })
    assert_from("gpt-4.1", answer)
    assert.equal("gpt-4.1 server_error, gpt-4.1 ok", tried(line))
    assert.is_true(line.attempts[2].at_ms >= 500 and line.attempts[2].at_ms < 2500)
    answer, line = ask(gateway "retry_manager", "hi [gpt-4.1 400]", { model = "gpt-4.1" })
    assert.equal(400, answer.status)
    assert.equal("gpt-4.1 bad_request", tried(line))
  end)
end)

describe("A3 model degradation", function()
  it("a hard question goes down the whole chain, a simple one to the two cheapest", function()
    local answer, line = ask(gateway "degradation_chain", "Phân tích và so sánh [gpt-4.1 503] [claude-sonnet-4.5 reset]")
    assert_from("gemini-2.5-flash", answer)
    assert.equal("complex", answer.headers["x-lunette-labels"])
    assert.equal("true", answer.headers["x-lunette-fallback"])
    assert.equal("gpt-4.1 overloaded, claude-sonnet-4.5 reset, gemini-2.5-flash ok", tried(line))
    assert_from("deepseek-v3.2", (ask(gateway "degradation_chain", "hi")))
    assert_from("gemini-2.5-flash", (ask(gateway "degradation_chain", "hi [deepseek-v3.2 500]")))
  end)
end)

describe("B1 exponential back-off", function()
  it("what breaks is tried again after some 1 s, what is wrong is not", function()
    local answer, line = ask(gateway "exponential_backoff", "hi [gpt-4.1 429x1]", { model = "gpt-4.1" })
    assert_from("gpt-4.1", answer)
    assert.equal("gpt-4.1 rate_limited, gpt-4.1 ok", tried(line))
    assert.is_true(line.attempts[2].at_ms >= 500 and line.attempts[2].at_ms < 2500)
    assert.equal("gpt-4.1 not_found", tried(select(2, ask(gateway "exponential_backoff", "hi [gpt-4.1 404]", { model = "gpt-4.1" }))))
  end)
end)

local three = [[return {
  policy = "policies/failover.lua", health = { rest = tonumber(env("REST", "60")) },
  providers = { first = { base_url = env "FIRST" }, second = { base_url = env "SECOND" } },
  models = { m = { { provider = "first", model = "a", name = "first" }, { provider = "second", model = "b", name = "second" } } },
}]]

describe("C1 failover", function()
  it("a provider that is gone is down after 5 requests, and not asked until it is back", function()
    local first = e2e.provider(script)
    local g = e2e.gateway { config = three, env = { FIRST = first.url, SECOND = provider.url, REST = "0.3" } }
    assert.equal("first ok", tried(select(2, ask(g, "hi"))))
    first:stop()
    for _ = 1, 5 do assert.equal("first connect_refused, second ok", tried(select(2, ask(g, "hi")))) end
    assert.equal("second ok", tried(select(2, ask(g, "hi"))))
    e2e.provider(script, { port = first.port })
    e2e.eventually("the first provider answers again", function() return tried(select(2, ask(g, "hi"))) == "first ok" end)
  end)
end)

describe("C2 smart router", function()
  it("the cheapest model for the task answers, and what was saved is told", function()
    local g = gateway "smart_router"
    local answer, line = ask(g, "hi [deepseek-v3.2 dear]", task "code_generation")
    assert_from("deepseek-v3.2", answer)
    assert.equal("code_generation", answer.headers["x-lunette-labels"])
    assert.near(52.5 - (0.6 * 0.42 + 0.4 * 0.84), line.notes.saving.usd, 1e-6)
    assert_from("gpt-4.1", (ask(g, "hi [deepseek-v3.2 500]", task "code_generation")))
    assert.is_true(g:metric "lunette_policy_saved_usd" > 50)
  end)
end)

describe("C4 rate limits and time-outs", function()
  it("a 429 goes to the other provider at once", function()
    local g = e2e.gateway { config = three, env = { FIRST = provider.url, SECOND = provider.url } }
    local answer, line = ask(g, "hi [a 429]")
    assert_from("m", answer)
    assert.equal("first rate_limited, second ok", tried(line))
    assert.is_true(line.latency_ms < 500)
  end)
end)

describe("D1 fallback router", function()
  it("the last stage answers what is worth it, with a warning", function()
    local g = gateway("fallback_router", { LUNETTE_SETTINGS_FALLBACK_AFTER = "0.4" })
    local answer, line = ask(g, "is this legal? [deepseek-v3 slow] [kimi-k2 500]", task "legal")
    assert_from("gpt-4.1", answer)
    assert.equal("high_quality", answer.headers["x-lunette-labels"])
    assert.matches("^cost: ", answer.headers["x-lunette-warning"])
    assert.matches("^deepseek%-v3 [%a_]+_timeout, kimi%-k2 server_error, gpt%-4%.1 ok$", tried(line))
    assert.is_true(line.attempts[1].ms >= 400 and line.attempts[1].ms < 2000)
  end)

  it("a 429 of the primary is waited out", function()
    local answer, line = ask(gateway("fallback_router", {}), "hi [deepseek-v3 429x1]", task "code")
    assert_from("deepseek-v3", answer)
    assert.is_true(line.attempts[2].at_ms >= 1000)
  end)
end)

-- What is asked of a canary, and what it answers.
local function tell(g, name, verb)
  local status, out, why = e2e.run { e2e.lunette, "canary", name, verb, "--admin", "127.0.0.1:" .. g.admin }
  assert.equal(0, status, out .. why)
end

describe("D2 canary", function()
  it("nobody gets the new model until it is started, all when it is promoted, and none after it was rolled back", function()
    local g = gateway("canary", {})
    local function model(user) return ask(g, "hi", { body = { user = user } }).headers["x-lunette-model"] end
    assert.equal("deepseek-v3.2", model "ann")
    tell(g, "kimi-k2", "start")
    e2e.eventually("its probe was answered", function()
      for _, canary in ipairs(g:look("canaries").canaries) do
        if canary.name == "kimi-k2" and canary.probe_status == 200 then return true end
      end
    end)
    local news = 0
    for i = 1, 100 do
      local first = model("user " .. i)
      if first == "kimi-k2" then news = news + 1 end
      assert.equal(first, model("user " .. i))                      -- sticky
    end
    assert.is_true(news > 0 and news < 30)                          -- 5 % of them, by a hash of their names: the same ones each time
    tell(g, "kimi-k2", "promote")
    assert.equal("kimi-k2", model "ann")
    local answer, line = ask(g, "hi [kimi-k2 500]", { body = { user = "ann" } })
    assert_from("deepseek-v3.2", answer)                            -- the old one helps out
    assert.equal("kimi-k2 server_error, deepseek-v3.2 ok", tried(line))
    tell(g, "kimi-k2", "rollback")
    assert.equal("deepseek-v3.2", model "ann")
  end)

  it("the same between two policies", function()
    local g = gateway("canary_policy", {})
    local function label() return ask(g, "hi", { body = { user = "ann" } }).headers["x-lunette-labels"] end
    assert.is_nil(label())
    tell(g, "router", "start")
    tell(g, "router", "promote")
    assert.equal("whole", label())
    tell(g, "router", "rollback")
    assert.is_nil(label())
  end)
end)

describe("D3 gateway in production", function()
  it("answers GET /health, and takes its port, circuit breaker and fallback threshold from the environment", function()
    local free = e2e.socket.bind("127.0.0.1", 0)
    local port = select(2, free:getsockname())
    free:close()
    local g = e2e.start({ e2e.lunette, "serve", "examples/policies/gateway.lua", "--admin", "127.0.0.1:0" }, {
      POLICY = "policies/fallback_router.lua", LUNETTE_LISTEN = "127.0.0.1:" .. port, LUNETTE_STATE = "false", LUNETTE_HEALTH_FAILURES = "1",
      LUNETTE_HEALTH_REST = "60", LUNETTE_SETTINGS_FALLBACK_AFTER = "0.3", DEEPSEEK_URL = provider.url, MOONSHOT_URL = provider.url,
    })
    assert.equal(tostring(port), g:expect "listening on http://127%.0%.0%.1:(%d+)")
    local health = e2e.request(port, { path = "/health" })
    assert.equal(200, health.status)
    assert.equal("ok", health.json.status)
    local function model(text)
      return e2e.request(port, { path = "/v1/chat/completions", body = { model = "auto", messages = { { role = "user", content = text } } } }).headers
    end
    local started = e2e.socket.gettime()
    assert.equal("kimi-k2", model("hi [deepseek-v3 slow]")["x-lunette-model"])
    assert.is_true(e2e.socket.gettime() - started < 3)
    assert.equal("1", model("hi")["x-lunette-attempts"])            -- one failure was enough: the primary rests
    assert.equal("kimi-k2", model("hi")["x-lunette-model"])
  end)
end)

describe("D6 rate limits", function()
  it("a provider is left alone for as long as it says", function()
    local g = e2e.gateway { config = three, env = { FIRST = provider.url, SECOND = provider.url, LUNETTE_POLICY = "policies/rate_limits.lua" } }
    assert.equal("first rate_limited, second ok", tried(select(2, ask(g, "hi wait=60 [a 429]"))))
    for _ = 1, 3 do assert.equal("second ok", tried(select(2, ask(g, "hi")))) end
  end)
end)

describe("E1 load balancer", function()
  it("spreads by the strategy, which changes while it runs", function()
    local g = e2e.gateway { config = three, env = { FIRST = provider.url, SECOND = provider.url, LUNETTE_POLICY = "policies/load_balancer.lua" } }
    local count = { first = 0, second = 0 }
    for _ = 1, 6 do
      local _, line = ask(g, "hi")
      count[line.target] = count[line.target] + 1
    end
    assert.same({ first = 3, second = 3 }, count)
    local status, out = e2e.run({ e2e.lunette, "set", "strategy=cheapest", "--admin", "127.0.0.1:" .. g.admin })
    assert.equal(0, status, out)
    for _ = 1, 4 do assert.equal("first ok", tried(select(2, ask(g, "hi")))) end
    assert.equal("first server_error, second ok", tried(select(2, ask(g, "hi [a 500]"))))
    assert.not_equal(0, (e2e.run({ e2e.lunette, "set", "strategy=fastest_ever", "--admin", "127.0.0.1:" .. g.admin })))
  end)
end)

describe("E2 intelligent router", function()
  it("the user's tier and the question decide", function()
    local g = gateway "intelligent_router"
    local premium = { headers = { ["x-lunette-tags"] = "tier=premium" } }
    assert_from("claude-sonnet-4.5", (ask(g, "hi", premium)))
    assert_from("deepseek-v3.2", (ask(g, "hi")))
    local answer = ask(g, "which algorithm? [gemini-2.5-flash 500]")
    assert.equal("complex,free", answer.headers["x-lunette-labels"])
    assert_from("deepseek-v3.2", answer)
  end)
end)

describe("cheapest healthy", function()
  it("the cheapest that is good enough answers", function()
    local g = gateway "cheapest_healthy"
    assert_from("deepseek-v3.2", (ask(g, "hi")))
    assert_from("claude-opus-3.5", (ask(g, "hi [claude-sonnet-4.5 500]", task "legal")))
  end)
end)

describe("classifier", function()
  it("a small model decides, or keywords where it fails", function()
    local g = gateway "classifier"
    assert.equal("complaint,guessed", (ask(g, "I want a refund [gemini-2.5-flash 500]")).headers["x-lunette-labels"])
    assert.equal("chat,guessed", (ask(g, "good morning")).headers["x-lunette-labels"])      -- "from gemini …" is none of the choices
  end)
end)

describe("tenant budget", function()
  it("a team that has spent 80 % gets the cheap model", function()
    local hash = e2e.hash "key"
    local g = e2e.gateway { env = { P = provider.url, HASH = hash }, config = [[
      local function target(name, price) return { { provider = "p", model = name, name = name, price = { input = price, output = price } } } end
      return { policy = "policies/tenant_budget.lua", providers = { p = { base_url = env "P" } },
        models = { large = target("large", 8), ["deepseek-v3.2"] = target("deepseek-v3.2", 0.01) },
        teams = { shop = { budget = { limit = 10, per = "day" } } }, clients = { { name = "ann", team = "shop", hash = env "HASH" } } }]] }
    local key = { authorization = "Bearer key" }
    local answer = ask(g, "hi [large dear]", { model = "large", headers = key, body = { max_tokens = 1000 } })
    assert_from("large", answer)
    assert_from("deepseek-v3.2", (ask(g, "hi", { model = "large", headers = key })))
  end)
end)

describe("interactive and batch", function()
  it("who waits is hedged, batch work is not", function()
    local slow = e2e.provider [[return function(request) return { text = "slow", after = 1.2 } end]]
    local g = e2e.gateway { config = three, env = { FIRST = slow.url, SECOND = provider.url, LUNETTE_POLICY = "policies/interactive_and_batch.lua",
                            LUNETTE_SETTINGS_HEDGE_AFTER = "0.1" } }
    local answer, line
    repeat answer, line = ask(g, "hi") until line.attempts[1].target == "first"
    assert.equal("second", line.target)
    assert.is_true(line.attempts[2].hedge)
    assert_from("m", answer)
    line = select(2, ask(g, "hi", { headers = { ["x-lunette-class"] = "batch" } }))
    assert.equal("first ok", tried(line))
  end)
end)

local limited = [[local price = { input = 0, output = 1000 }
return { policy = "policies/failover.lua", budgets = { total = { limit = 0.01, per = "day" } },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { m = { { provider = "a", model = "a", name = "a", price = price }, { provider = "b", model = "b", name = "b", price = price } } } }]]

describe("A4 hard cost cap", function()
  it("what could pass the limit is refused, never sent, and says why", function()
    local g = e2e.gateway { config = limited, env = { A = provider.url, B = provider.url } }
    local before = provider:count()
    local answer = ask(g, "hi", { model = "m", body = { max_tokens = 11 } })
    assert.equal(402, answer.status)
    assert.equal("budget_exceeded", answer.error.code)
    assert.equal(before, provider:count())
    assert_from("m", (ask(g, "hi", { model = "m", body = { max_tokens = 10 } })))
  end)
end)

describe("B2 budget guard", function()
  it("a retry that would pass the budget is not made", function()
    local g = e2e.gateway { config = limited, env = { A = provider.url, B = provider.url } }
    local answer, line = ask(g, "hi [a reset]", { model = "m", body = { max_tokens = 6 } })
    assert.not_equal(200, answer.status)
    assert.matches("^a reset", tried(line))
    assert.is_nil(tried(line):find(" ok", 1, true))
  end)
end)
