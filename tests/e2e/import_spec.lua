-- `lunette import litellm`: a configuration of LiteLLM's proxy, carried over, checked, and then run: requests go where that configuration means them to.
local e2e = require "support"

after_each(e2e.stop)

-- Runs it on these texts by name ("config.yaml", or the text alone). Gives what it said, and the texts that it made.
local function import(files, options)
  local folder = e2e.folder()
  if type(files) == "string" then files = { ["config.yaml"] = files } end
  for name, text in pairs(files) do e2e.write(folder .. "/" .. name, text) end
  local command = { e2e.lunette, "import", "litellm", folder .. "/config.yaml", "--output", folder .. "/out" }
  for _, word in ipairs(options or {}) do command[#command + 1] = word == "@folder" and folder or word end
  local r = { folder = folder }
  r.status, r.out, r.err = e2e.run(command)
  r.err = r.err:gsub(folder:gsub("%p", "%%%0") .. "/", "")
  local policy = e2e.read(folder .. "/out/policy.lua")
  r.gateway, r.policy = e2e.read(folder .. "/out/gateway.lua"), policy ~= "" and policy or nil
  return r
end

local function imported(files, options)
  local r = import(files, options)
  assert(r.status == 0, r.err)
  return r
end

local function has(text, part) assert(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text)) end
local function has_not(text, part) assert(not text:find(part, 1, true), ("%q is in:\n%s"):format(part, text)) end

-- The same as a running gateway.
local function serve(files, env, options)
  local r = imported(files, options)
  local g = e2e.gateway { config = r.gateway, files = { ["policy.lua"] = r.policy }, env = env }
  local status, _, err = e2e.run({ e2e.lunette, "check", g.folder .. "/gateway.lua", "--table" }, env)
  assert(status == 0, err)
  return g, r
end

local function saying(text) return e2e.provider(("return function() return { text = %q, usage = { input = 5, output = 500 } } end"):format(text)) end
local function failing(status, code)
  return e2e.provider(("return function() return { status = %d, body = { error = { message = 'no', code = %q } } } end"):format(status, code or "none"))
end

local function late() return e2e.provider 'return function() return { text = "late", after = 60 } end' end

-- One deployment, as a line of model_list.
local function deployment(name, model, url, more)
  return ("  - model_name: %s\n    litellm_params: { model: %s, api_base: %s, api_key: none%s }\n"):format(name, model, url, more and ", " .. more or "")
end
local function list(...) return "model_list:\n" .. table.concat { ... } end

local function text(answer) return answer.json.choices and answer.json.choices[1].message.content or answer.json.error.code end

describe("import litellm", function()
  describe("has requests routed as the configuration means:", function()
    it("fallbacks are asked in their order", function()
      local a, b, c = failing(500), failing(503), saying "from c"
      local g = serve(list(deployment("a", "openai/x", a.url), deployment("b", "openai/y", b.url), deployment("c", "openai/z", c.url)) .. [[
litellm_settings:
  num_retries: 0
  fallbacks: [{"a": ["b", "c"]}]
]])
      assert.equal("from c", text(g:chat { model = "a" }))
      assert.same({ 1, 1, 1 }, { a:count(), b:count(), c:count() })
      assert.equal("overloaded", text(g:chat { model = "b" }))
    end)

    it("a request that a provider refuses as wrong goes to the fallbacks", function()
      local a, b, c = failing(400), failing(422), saying "c"
      local g = serve(list(deployment("a", "openai/x", a.url), deployment("b", "openai/y", b.url), deployment("c", "openai/z", c.url)) ..
                      "litellm_settings: { fallbacks: [{ a: [b, c] }] }\n")
      assert.equal("c", text(g:chat { model = "a" }))
      assert.same({ 1, 1 }, { a:count(), b:count() })
    end)

    it("default fallbacks are for who has none", function()
      local a, b, c = failing(500), saying "from b", saying "from c"
      local g = serve(list(deployment("a", "openai/x", a.url), deployment("d", "openai/x2", a.url), deployment("b", "openai/y", b.url),
                           deployment("c", "openai/z", c.url)) .. [[
router_settings:
  num_retries: 0
  fallbacks:
    - a: [b]
  default_fallbacks: [c]
]])
      assert.equal("from b", text(g:chat { model = "a" }))
      assert.equal("from c", text(g:chat { model = "d" }))
    end)

    it("a model's deployments are tried before its fallbacks, as often as num_retries says", function()
      local a, b, c = failing(500), failing(500), saying "from c"
      local g = serve(list(deployment("m", "openai/x", a.url), deployment("m", "openai/x", b.url), deployment("c", "openai/z", c.url)) .. [[
router_settings: { num_retries: 1, fallbacks: [{ m: [c] }], retry_after: 0 }
]])
      assert.equal("from c", text(g:chat { model = "m" }))
      assert.same({ 1, 1, 1 }, { a:count(), b:count(), c:count() })
    end)

    it("weights divide the load", function()
      local a, b = saying "a", saying "b"
      local g = serve(list(deployment("m", "openai/x", a.url, "weight: 9"), deployment("m", "openai/x", b.url, "weight: 1")))
      for _ = 1, 200 do g:chat { model = "m" } end
      assert.equal(200, a:count() + b:count())
      assert(b:count() >= 5 and b:count() <= 45, b:count())         -- 20 are meant: 1 in 10^5 such runs has fewer than 5 or more than 45
    end)

    it("a deployment of weight 0 is only for need", function()
      local a, b = saying "a", saying "b"
      local g = serve(list(deployment("m", "openai/x", a.url, "weight: 0"), deployment("m", "openai/x", b.url, "weight: 1")))
      for _ = 1, 20 do assert.equal("b", text(g:chat { model = "m" })) end
      b:stop()
      assert.equal("a", text(g:chat { model = "m" }))
    end)

    it("order stands before the strategy", function()
      local a, b = saying "a", saying "b"
      local g = serve(list(deployment("m", "openai/x", a.url, "order: 2"), deployment("m", "openai/x", b.url, "order: 1")))
      for _ = 1, 10 do assert.equal("b", text(g:chat { model = "m" })) end
      b:stop()
      assert.equal("a", text(g:chat { model = "m" }))
    end)

    it("latency-based-routing asks the one that answers sooner", function()
      local slow = e2e.provider 'return function() return { text = "slow", after = 0.2 } end'
      local quick = saying "quick"
      local g = serve(list(deployment("m", "openai/x", slow.url), deployment("m", "openai/y", quick.url)) ..
                      "router_settings: { routing_strategy: latency-based-routing }\n")
      local seen = {}
      for i = 1, 2 do seen[i] = text(g:chat { model = "m" }) end
      table.sort(seen)
      assert.same({ "quick", "slow" }, seen)                        -- each is asked once, to be known
      for _ = 1, 10 do assert.equal("quick", text(g:chat { model = "m" })) end
    end)

    it("cost-based-routing asks the cheaper one, usage-based-routing the less used one", function()
      local a, b = saying "a", saying "b"
      local models = list(deployment("m", "openai/x", a.url, "input_cost_per_token: 0.000003, output_cost_per_token: 0.00001"),
                          deployment("m", "openai/y", b.url, "input_cost_per_token: 1e-6, output_cost_per_token: 2.0e-6"))
      local g = serve(models .. "router_settings: { routing_strategy: cost-based-routing }\n")
      for _ = 1, 5 do assert.equal("b", text(g:chat { model = "m" })) end
      g = serve(models .. "router_settings: { routing_strategy: usage-based-routing-v2 }\n")
      local seen = {}
      for i = 1, 4 do seen[i] = text(g:chat { model = "m" }) end
      assert.equal("a b a b", table.concat(seen, " "))
    end)

    it("least-busy asks the one with fewer requests under way", function()
      local busy, idle = e2e.puppet(), saying "idle"
      local g = serve(list(deployment("m", "openai/x", busy.url), deployment("n", "openai/x", busy.url), deployment("n", "openai/y", idle.url))
                      .. "router_settings: { routing_strategy: least-busy }\n")
      local waiting = g:open { model = "m" }
      local call = busy:accept()
      for _ = 1, 5 do assert.equal("idle", text(g:chat { model = "n" })) end
      call:answer(200, { choices = { { index = 0, message = { role = "assistant", content = "done" }, finish_reason = "stop" } } })
      assert.equal(200, waiting:rest().status)
    end)

    it("an input that is too long goes to its own fallbacks, and one that was filtered too", function()
      local long, filter, c, d, e = failing(400, "context_length_exceeded"), failing(400, "content_filter"), saying "c", saying "d", saying "e"
      local g = serve(list(deployment("a", "openai/x", long.url), deployment("b", "openai/x2", filter.url), deployment("c", "openai/y", c.url),
                           deployment("d", "openai/z", d.url), deployment("e", "openai/w", e.url)) .. [[
litellm_settings:
  fallbacks: [{"a": ["e"]}, {"b": ["e"]}]
  context_window_fallbacks: [{"a": ["c"]}]
  content_policy_fallbacks: [{"b": ["d"]}]
]])
      assert.equal("c", text(g:chat { model = "a" }))
      assert.equal("d", text(g:chat { model = "b" }))
      assert.equal(0, e:count())
    end)

    it("with enable_pre_call_checks nobody is asked whose context is too short", function()
      local short, long = saying "short", saying "long"
      local g = serve(([[
model_list:
  - { model_name: a, litellm_params: { model: openai/x, api_base: %s, api_key: none }, model_info: { max_input_tokens: 100 } }
  - { model_name: b, litellm_params: { model: openai/y, api_base: %s, api_key: none }, model_info: { max_input_tokens: 100000 } }
router_settings: { enable_pre_call_checks: true, context_window_fallbacks: [{ a: [b] }] }
]]):format(short.url, long.url))
      assert.equal("short", text(g:chat { model = "a" }))
      assert.equal("long", text(g:chat { model = "a", text = ("word "):rep(500) }))
    end)

    it("a budget refuses what does not fit", function()
      local a = saying "a"
      local g = serve(list(deployment("m", "openai/x", a.url, "input_cost_per_token: 0.00001, output_cost_per_token: 0.001")) ..
                      "litellm_settings: { max_budget: 1.0, budget_duration: 30d }\n")
      local question = { model = "m", body = { max_tokens = 600 } }
      assert.equal("a", text(g:chat(question)))                     -- half a dollar, and at most 0.6
      local answer = g:chat(question)
      assert.equal(402, answer.status)
      has(answer.json.error.message, 'budget "total" has')
      assert.equal(1, a:count())
    end)

    it("a provider's budget, and a deployment's, sends requests elsewhere, and refuses when all is spent", function()
      local a, b = saying "a", saying "b"
      local price = "input_cost_per_token: 0.001, output_cost_per_token: 0.001, "
      local g, r = serve(list(deployment("m", "openai/x", a.url, price .. "order: 1"),
                              deployment("m", "groq/y", b.url, price .. "order: 2, max_budget: 1, budget_duration: 1d")) ..
                         "router_settings: { provider_budget_config: { openai: { budget_limit: 0.1, time_period: 1d } } }\n")
      assert.equal("a b b", ("%s %s %s"):format(text(g:chat { model = "m" }), text(g:chat { model = "m" }), text(g:chat { model = "m" })))
      assert.equal(429, g:chat({ model = "m" }).status)
      has(r.err, "config.yaml:6: router_settings.provider_budget_config.openai: kept by the policy")
    end)

    it("each end user has a limit, by the body's user or by a header", function()
      local a = saying "a"
      local yaml = list(deployment("m", "openai/x", a.url, "input_cost_per_token: 0.00001, output_cost_per_token: 0.001")) ..
                   "litellm_settings: { max_end_user_budget: 1.0, budget_duration: 7d }\n"
      local g = serve(yaml)
      local function ask(user, header)
        return g:chat({ model = "m", body = { max_tokens = 600, user = user }, headers = { ["x-openwebui-user-email"] = header } }).status
      end
      local strange = ("ü "):rep(20)
      assert.same({ 200, 402, 200, 200, 402 }, { ask "ann", ask "ann", ask "bob", ask(strange), ask(strange) })
      g = serve(yaml .. "general_settings: { user_header_name: X-OpenWebUI-User-Email }\n")
      assert.same({ 200, 402, 200 }, { ask("x", "ann@example.org"), ask("y", "ann@example.org"), ask("x", "bob@example.org") })
    end)

    it("patterns and aliases are models", function()
      local a, b = saying "a", saying "b"
      local g = serve(list(deployment("'openai/*'", "'openai/*'", a.url), deployment("'*'", "'openai/*'", b.url), deployment("real", "openai/r", b.url)) ..
                      "router_settings: { model_group_alias: { 'gpt-4': real, other: { model: real, hidden: true } }, " ..
                      "fallbacks: [{ real: ['openai/gpt-x'] }] }\n")
      assert.equal("a", text(g:chat { model = "openai/gpt-4o" }))
      assert.equal("gpt-4o", a:seen().last[1].json.model)
      assert.equal("b", text(g:chat { model = "anything" }))
      assert.equal("b", text(g:chat { model = "gpt-4" }))
      assert.equal("b", text(g:chat { model = "other" }))
      b:stop()
      assert.equal("a", text(g:chat { model = "gpt-4" }))           -- an alias has the fallbacks of what it stands for
    end)

    it("a stream has stream_timeout, and a request the fields that a deployment sets, unless it says them", function()
      local silent, b = late(), saying "b"
      local g = serve(list(deployment("a", "openai/x", silent.url, "stream_timeout: 0.2"), deployment("b", "openai/y", b.url, "temperature: 0.3, seed: 7")) ..
                      "router_settings: { num_retries: 0, fallbacks: [{ a: [b] }] }\n")
      assert.equal(200, g:chat({ model = "a", stream = true }).status)
      assert.equal(0.3, b:seen().last[1].json.temperature)
      g:chat { model = "b", body = { temperature = 1 } }
      assert.same({ 1, 7 }, { b:seen().last[2].json.temperature, b:seen().last[2].json.seed })
    end)

    it("timeout is how long nothing may come", function()
      local silent, b = late(), saying "b"
      local g = serve(list(deployment("a", "openai/x", silent.url, "timeout: 0.2"), deployment("b", "openai/y", b.url)) ..
                      "router_settings: { num_retries: 0, fallbacks: [{ a: [b] }] }\n")
      assert.equal("b", text(g:chat { model = "a" }))
    end)

    it("keys come from the environment, and the master key is asked for", function()
      local a = saying "a"
      local yaml = ([[
model_list:
  - model_name: m
    litellm_params: { model: openai/x, api_base: os.environ/PLACE, api_key: os.environ/SOME_KEY, extra_headers: { x-team: os.environ/TEAM_HEADER } }
general_settings: { master_key: os.environ/LITELLM_MASTER_KEY }
]])
      local env = { PLACE = a.url, SOME_KEY = "sk-provider", TEAM_HEADER = "blue", LITELLM_MASTER_KEY_HASH = e2e.hash "sk-1234" }
      local g = serve(yaml, env)
      assert.equal(401, g:chat({ model = "m" }).status)
      assert.equal("a", text(g:chat { model = "m", headers = { authorization = "Bearer sk-1234" } }))
      local seen = a:seen().last[1].headers
      assert.same({ "Bearer sk-provider", "blue" }, { seen.authorization, seen["x-team"] })
      env.LITELLM_MASTER_KEY_HASH = nil
      g = serve(yaml, env)
      assert.equal(401, g:chat({ model = "m", headers = { authorization = "Bearer sk-1234" } }).status)
    end)

    it("equal requests are answered from the cache", function()
      local a = saying "a"
      local g = serve(list(deployment("m", "openai/x", a.url)) .. "litellm_settings: { cache: true, cache_params: { type: local, ttl: 60 } }\n")
      for _ = 1, 3 do assert.equal("a", text(g:chat { model = "m" })) end
      assert.equal(1, a:count())
    end)
  end)

  it("knows where LiteLLM's providers are", function()
    local r = imported [[
model_list:
  - { model_name: a, litellm_params: { model: gpt-4o } }
  - { model_name: b, litellm_params: { model: azure/dep, api_base: "https://r.openai.azure.com/openai/deployments/dep", api_version: 2024-02-01 } }
  - { model_name: c, litellm_params: { model: openrouter/anthropic/claude-sonnet-4 } }
  - { model_name: d, litellm_params: { model: gemini/gemini-2.5-pro } }
  - { model_name: e, litellm_params: { model: ollama_chat/llama3, api_base: "http://10.0.0.5:11434/" } }
  - { model_name: f, litellm_params: { model: llama-3, custom_llm_provider: groq } }
  - { model_name: g, litellm_params: { model: fireworks_ai/llama-v3 } }
  - { model_name: h, litellm_params: { model: hosted_vllm/q, api_base: "http://gpu:8000/v1" } }
  - { model_name: i, litellm_params: { model: azure/x, api_base: os.environ/AZURE_API_BASE } }
  - { model_name: j, litellm_params: { model: huggingface/org/model, api_base: "http://0.0.0.0:8001" } }
  - { model_name: k, litellm_params: { model: huggingface/org/model } }
]]
    for _, part in ipairs { 'openai = { base_url = "https://api.openai.com/v1", key = secret "OPENAI_API_KEY" }',
                            'azure = { base_url = "https://r.openai.azure.com/openai/v1" }', 'model = "anthropic/claude-sonnet-4"',
                            '"https://generativelanguage.googleapis.com/v1beta/openai"', 'base_url = "http://10.0.0.5:11434/v1" }',
                            'provider = "groq", model = "llama-3"', 'model = "accounts/fireworks/models/llama-v3"', 'base_url = "http://gpu:8000/v1" }',
                            'at(env("AZURE_API_BASE"), "/openai/v1")', 'huggingface = { base_url = "http://0.0.0.0:8001/v1" }',
                            'model = "org/model"' } do has(r.gateway, part) end
    has(r.err, "config.yaml:3: model_list[2].litellm_params.api_version: not carried over: ")
    has(r.err, "config.yaml:5: gemini: asked by Google's OpenAI-compatible interface")
    has(r.err, "config.yaml:12: k: left out: it is asked where an api_base says, and there is none")
  end)

  it("takes a variable as a shell would write it, an address that is empty for none, and the values of a Helm chart", function()
    local r = imported [[
replicaCount: 2
proxy_config:
  model_list:
    - { model_name: a, litellm_params: { model: openai/x, api_key: "${MY_KEY}", api_base: "" } }
    - { model_name: b, litellm_params: { model: groq/x, api_key: $OTHER_KEY } }
]]
    has(r.gateway, 'openai = { base_url = "https://api.openai.com/v1", key = secret "MY_KEY" }')
    has(r.gateway, 'key = secret "OTHER_KEY"')
    has(r.err, "config.yaml:2: proxy_config: what stands in it is read, as LiteLLM's Helm chart has it; the rest of the file is not")
  end)

  it("leaves out, with its line, what it cannot carry over", function()
    local r = imported [[
model_list:
  - model_name: good
    litellm_params: { model: openai/x, max_parallel_requests: 3, made_up: 1 }
  - { model_name: bed, litellm_params: { model: bedrock/x } }
  - { model_name: pic, litellm_params: { model: openai/dall-e-3 }, model_info: { mode: image_generation } }
  - { model_name: auto, litellm_params: { model: openai/y } }
  - { model_name: "*", litellm_params: { model: "*" } }
  - { model_name: "a*b*", litellm_params: { model: "openai/*" } }
  - { model_name: odd, litellm_params: { model: openai/z, api_base: "https://user:pass@host/v1" } }
  - { model_name: fake, litellm_params: { model: openai/z, mock_response: hi } }
  - just a text
litellm_settings:
  callbacks: [otel]
  drop_params: true
  fallbacks: [{ good: [nobody] }]
general_settings:
  database_url: postgres://u:secret-in-url@h/db
guardrails: []
who_knows: 1
]]
    for _, line in ipairs { "config.yaml:3: model_list[1].litellm_params.made_up: not carried over: it is not known here",
                            "config.yaml:3: model_list[1].litellm_params.max_parallel_requests: not carried over: how many at once is",
                            "config.yaml:4: bed: left out: bedrock speaks an interface for which no dialect comes along",
                            "config.yaml:5: pic: left out: the gateway has no endpoint for mode image_generation",
                            "config.yaml:6: auto: left out: `auto` is a name of the gateway's own",
                            "config.yaml:7: *: left out: it stands for all of LiteLLM's providers",
                            "config.yaml:8: a*b*: left out: a pattern can have one *, at its end",
                            "config.yaml:9: odd: left out: its api_base must not hold a user name",
                            "config.yaml:10: fake: left out: its answers are made up",
                            "config.yaml:11: model_list[9]: left out: model_name and litellm_params are wanted",
                            "config.yaml:13: litellm_settings.callbacks: not carried over: ",
                            "config.yaml:14: litellm_settings.drop_params: not carried over: ",
                            "config.yaml:15: litellm_settings.fallbacks: nobody is left out: there is no such model here",
                            "config.yaml:17: general_settings.database_url: not carried over: ", "config.yaml:18: guardrails: not carried over: ",
                            "config.yaml:19: who_knows: not carried over: it is not known here" } do
      has(r.err, line)
      has(r.gateway, "--   " .. line)
    end
    has(r.out, "1 model, 1 deployment carried over, 8 left out")
    has_not(r.err .. r.out .. r.gateway, "secret-in-url")
    has_not(r.err .. r.out .. r.gateway, "user:pass")
  end)

  it("Redis is named as the file names it", function()
    local function redis(settings)
      return imported(list(deployment("m", "openai/x", "http://127.0.0.1:1/v1")) .. "router_settings: { " .. settings .. " }\n").gateway
    end
    has(redis "redis_host: os.environ/H", 'redis = "redis://" .. env("H") .. ":6379"')
    has(redis "redis_host: os.environ/H, redis_port: os.environ/P, redis_db: 2", 'redis = "redis://" .. env("H") .. ":" .. env("P", "6379") .. "/2"')
    has(redis "redis_host: cache, redis_port: 6380, redis_ssl: true", 'redis = "rediss://cache:6380"')
    has(redis "redis_host: h, redis_port: 63$79", "router_settings.redis_host: not carried over: the address of Redis must")
    has_not(redis "redis_host: <your redis host>", "redis =")
    has(redis "redis_url: os.environ/CACHE_URL", 'redis = secret "CACHE_URL"')
    has(redis "redis_host: h, redis_password: os.environ/P", 'redis = secret "REDIS_URL"')
  end)

  it("what a setting cannot be is left out, and noted", function()
    local r = imported(list(deployment("m", "openai/x", "http://127.0.0.1:1/v1", "timeout: 1e-9, rpm: 0.5, weight: -3, order: x")) .. [[
litellm_settings: { timezone: "Mars/Olympus", num_retries: many, max_budget: {}, cache: maybe }
router_settings: { cooldown_time: [], allowed_fails: .nan }
]])
    for _, part in ipairs { "timeout: not carried over: seconds from", "weight: a number of 0 or more is wanted", "order: a number of", "rpm: a number of 1 or",
                            "timezone: not carried over: no time zone of that name", "num_retries: a number of", "max_budget: a number of",
                            "cache: true or false is wanted", "cooldown_time: a number of", "allowed_fails: a number of" } do has(r.err, part) end
  end)

  it("a name that only a pattern has, and a fallback says, becomes a model, whatever its target is called elsewhere", function()
    local r = imported [[
model_list:
  - { model_name: mine, litellm_params: { model: openai/gpt-x, rpm: 7 } }
  - { model_name: "openai/*", litellm_params: { model: "openai/*", rpm: 9 } }
  - { model_name: "openai/*", litellm_params: { model: "openai/*", api_key: os.environ/OTHER } }
router_settings: { fallbacks: [{ mine: ["openai/gpt-x", "openai/100%"] }], provider_budget_config: { ollama: { budget_limit: 5 } } }
]]
    has(r.gateway, '["openai/gpt-x"] = {\n      { provider = "openai", model = "gpt-x", name = "openai/gpt-x-2", requests_per_minute = 9')
    has(r.gateway, '{ provider = "openai_2", model = "100%", weight = 0 }')
    has(r.policy, 'ollama = { limit = 5, seconds = 3000000000 }')
  end)

  it("what is said in two places is not told as left out", function()
    local r = imported(list(deployment("m", "ollama/x", "http://127.0.0.1:1")) ..
                       "litellm_settings: { request_timeout: 10, num_retries: 3 }\nrouter_settings: { timeout: 30, num_retries: 2 }\n")
    has(r.gateway, "timeouts = { first_byte = 30, idle = 30 }")
    has(r.policy, "retries = 2")
    has_not(r.err, "request_timeout")
    has_not(r.err, "num_retries")
  end)

  it("gives deployments of one name names of their own, and makes one target of equal ones", function()
    local r = imported [[
model_list:
  - { model_name: m, litellm_params: { model: openai/x, api_key: os.environ/A, rpm: 10 } }
  - { model_name: m, litellm_params: { model: openai/x, api_key: os.environ/B, rpm: 10 } }
  - { model_name: m, litellm_params: { model: openai/x, api_key: os.environ/A, rpm: 20 } }
  - { model_name: n, litellm_params: { model: openai/x, api_key: os.environ/B, rpm: 30 } }
]]
    has(r.gateway, 'openai_2 = { base_url = "https://api.openai.com/v1", key = secret "B" }')
    has(r.gateway, 'model = "x", name = "openai/x-2", requests_per_minute = 20')
    has(r.gateway, 'model = "x", name = "openai_2/x-2", requests_per_minute = 30')
  end)

  it("no text of the file becomes code", function()
    local r = imported [==[
model_list:
  - { model_name: "x\"}, os.exit(7), {\"]] .. [[\n]=] os.exit(7) --", litellm_params: { model: openai/x } }
  - { model_name: 'a"] = 1 } os.exit(7) --', litellm_params: { model: 'openai/"..os.exit(7).."', api_key: 'os.environ/A"..os.exit(7).."' } }
  - { model_name: bad, litellm_params: { model: openai/x, api_base: 'http://h"..os.exit(7).."/v1' } }
  - model_name: '"..os.exit(7).."'
    litellm_params: { model: openai/x, organization: '"..os.exit(7).."', extra_headers: { x-title: '"..os.exit(7).."' } }
  - { model_name: good, litellm_params: { model: openai/x, temperature: '"..os.exit(7).."' } }
  - { model_name: "]]bad[[", litellm_params: { model: openai/x } }
router_settings: { fallbacks: [{ good: ['"..os.exit(7).."'] }], model_group_alias: { 'x"] = os.exit(7), ["': good } }
litellm_settings: { timezone: '"..os.exit(7).."', cache: true }
"key\n os.exit(7) --": 1
"key\u2028 os.exit(7) --": 1
]==]
    local chunk = assert(loadstring(r.gateway, "gateway.lua"))
    local touched = false
    local env = { secret = function(name) return name end, env = function(_, otherwise) return otherwise end }
    setmetatable(env, { __index = function(_, name) touched = touched or name end })
    setfenv(chunk, env)
    local config = chunk()
    assert.is_false(touched)
    assert.truthy(config.models['"..os.exit(7).."'])
    assert.equal('"..os.exit(7).."', config.models.good[1].facts.set.temperature)
    assert.truthy(config.models['x"] = os.exit(7), ["'])
    for line in r.gateway:gmatch "[^\n]+" do
      if line:find "os.exit" then assert(line:match '^%-%-' or line:match '"', line) end
    end
  end)

  it("never shows a secret that stands in the file, and gives it a name", function()
    local canaries = { "sk-canary-one-11", "sk-canary-two-22", "canary-header-33", "canary-redis-44", "sk-canary-master-55", "canary-env-66", "canary-cred-77",
                       "canary-url-88", "canary-odd-99" }
    local yaml = [[
model_list:
  - { model_name: a, litellm_params: { model: openai/x, api_key: sk-canary-one-11, extra_headers: { x-auth: canary-header-33 } } }
  - { model_name: b, litellm_params: { model: openai/x, api_key: sk-canary-two-22 } }
  - { model_name: c, litellm_params: { model: openai/x, api_key: sk-canary-one-11 } }
  - { model_name: d, litellm_params: { model: openai/x, litellm_credential_name: spare } }
  - { model_name: e, litellm_params: { model: openai/x, api_base: "https://h/v1?key=canary-url-88", aws_secret_access_key: canary-odd-99 } }
credential_list:
  - { credential_name: spare, credential_values: { api_key: canary-cred-77 } }
router_settings: { redis_host: localhost, redis_port: 6379, redis_password: canary-redis-44 }
general_settings: { master_key: sk-canary-master-55 }
environment_variables: { OPENAI_API_KEY: canary-env-66 }
]]
    local all = ""
    for _, options in ipairs { {}, { "--json" }, { "--output", "-" }, { "--output", "-", "--json" } } do
      local r = imported(yaml, options)
      all = all .. r.out .. r.err .. r.gateway .. (r.policy or "")
    end
    local r = import(yaml .. "model_list: [\n")
    all = all .. r.out .. r.err
    for _, canary in ipairs(canaries) do has_not(all, canary) end
    r = imported(yaml)
    has(r.err, "config.yaml:2: model_list[1].litellm_params.api_key: its text is not copied: put it into the environment as OPENAI_API_KEY\n")
    has(r.err, "put it into the environment as OPENAI_API_KEY_2\n")
    has(r.gateway, 'secret "HEADER_X_AUTH"')
    has(r.gateway, 'redis = secret "REDIS_URL"')
    has(r.gateway, 'hash = "' .. e2e.hash "sk-canary-master-55" .. '"')
  end)

  it("reads anchors, merged maps and included files, and says where each thing stood", function()
    local r = imported { ["config.yaml"] = [[
include: [models.yaml]
common: &common { api_key: os.environ/K, timeout: 9 }
model_list:
  - model_name: a
    litellm_params: { <<: *common, model: openai/x, timeout: 8 }
]], ["models.yaml"] = [[
model_list:
  - { model_name: b, litellm_params: { model: openai/y, odd: 1 } }
litellm_settings: { num_retries: 4 }
]] }
    has(r.gateway, 'key = secret "K", timeouts = { first_byte = 8, idle = 8 }')
    has(r.gateway, "-- models.yaml:2")
    has(r.err, "models.yaml:2: model_list[2].litellm_params.odd: not carried over")
    has(r.policy, "retries = 4")
  end)

  it("refuses what it cannot read, with file and line, and writes nothing", function()
    local r
    local function refused(files, ...)
      r = import(files)
      assert.equal(1, r.status)
      for _, part in ipairs { ... } do has(r.err, part) end
      assert.equal("", r.gateway)
    end
    refused("model_list:\n  - [\n", "config.yaml:3: is no YAML: ", "1 mistake")
    refused("a: 1\n---\nb: 2\n", "config.yaml:2: a second document begins")
    refused("", "config.yaml:1: a map with model_list is wanted here")
    refused("model_list: []\n", "config.yaml:1: no model is left that the gateway could serve")
    refused("include: [none.yaml]\n", "config.yaml:1: include: ", "none.yaml cannot be read: No such file or directory")
    refused({ ["config.yaml"] = "include: [bad.yaml]\n", ["bad.yaml"] = "x: 1\ny: ]\n" }, "bad.yaml:2: is no YAML")
    local laughs = { "a0: &a0 [x, x, x, x, x, x, x, x, x, x]" }
    for i = 1, 9 do laughs[i + 1] = ("a%d: &a%d [%s]"):format(i, i, ("*a%d, "):format(i - 1):rep(10):sub(1, -3)) end
    refused(table.concat(laughs, "\n"), "config.yaml:5: with its aliases written out it has more than 100000 values")
  end)

  it("a name that is said twice is noted", function()
    has(imported(list(deployment("m", "openai/x", "http://127.0.0.1:1/v1")) .. "litellm_settings:\n  num_retries: 1\n  num_retries: 3\n").err,
        "config.yaml:6: `num_retries` is said twice, in line 5 too: the last one counts")
  end)

  it("wants prices for limits on money, from the file or from LiteLLM's list", function()
    local yaml = "model_list:\n  - { model_name: m, litellm_params: { model: openai/x } }\nlitellm_settings: { max_budget: 1 }\n"
    local r = import(yaml)
    assert.equal(1, r.status)
    has(r.err, "config.yaml:3: litellm_settings.max_budget: needs the prices of m: ")
    local file = e2e.write(e2e.folder() .. "/prices.json", '{ "x": { "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6 } }')
    r = imported(yaml, { "--prices", file })
    has(r.gateway, ("prices = %q"):format(file))
    has(r.gateway, 'budgets = { total = { limit = 1, per = "ever" } }')
    r = imported("model_list:\n  - { model_name: 'o/*', litellm_params: { model: 'openai/*' } }\nlitellm_settings: { max_budget: 1 }\n")
    has(r.err, "config.yaml:2: o/*: with a limit on money its requests are refused (402)")
    local other = e2e.write(e2e.folder() .. "/prices.json", "{}")
    r = import(yaml, { "--prices", other })
    assert.equal(1, r.status)
    has(r.err, "has a hard limit")
    assert.equal("", r.gateway)
  end)

  it("finds prices in LiteLLM's list by base_model, and for a second key of a provider", function()
    local file = e2e.write(e2e.folder() .. "/prices.json", [[{ "azure/base": { "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
      "input_cost_per_token_above_200k_tokens": 3e-6, "cache_read_input_token_cost": 1e-7, "input_cost_per_token_flex": 5e-7,
      "output_cost_per_token_flex": 1e-6 },
      "groq/y": { "input_cost_per_token": 4e-6, "output_cost_per_token": 5e-6 } }]])
    local r = imported([[
model_list:
  - { model_name: a, litellm_params: { model: azure/dep, api_base: "https://r.openai.azure.com" }, model_info: { base_model: azure/base } }
  - { model_name: b, litellm_params: { model: groq/y } }
  - { model_name: b, litellm_params: { model: groq/y, api_key: os.environ/OTHER } }
litellm_settings: { max_budget: 5 }
]], { "--prices", file })
    local chunk = assert(loadstring(r.gateway))
    setfenv(chunk, { secret = tostring, env = function() return "http://h" end })
    local models = chunk().models
    local price = models.a[1].price
    assert.same({ 1, 2, 0.1, 200000, 3, 0.5 }, { price.input, price.output, price.cached_input, price.above[1].tokens, price.above[1].input, price.flex.input })
    assert.is_nil(models.b[1].price)
    assert.same({ "groq_2", 4, 5 }, { models.b[2].provider, models.b[2].price.input, models.b[2].price.output })
  end)

  it("periods become the gateway's, or the stricter one", function()
    local function period(duration)
      local yaml = list(deployment("m", "ollama/x", "http://127.0.0.1:1")) .. "litellm_settings: { max_budget: 3, budget_duration: " .. duration .. " }\n"
      return imported(yaml).gateway:match "total = { limit = 3, (.-) }"
    end
    assert.equal('per = "day"', period "24h")
    assert.equal('per = "week"', period "7d")
    assert.equal('per = "month"', period "1mo")
    assert.equal('per = "rolling", window = 864000', period "10d")
    assert.equal('per = "rolling", window = 60', period "5s")
    assert.equal('per = "ever"', period "90d")
  end)

  it("does not replace what is there, unless it is told to", function()
    local yaml = list(deployment("m", "openai/x", "http://127.0.0.1:1/v1"))
    local r = imported(yaml)
    local command = { e2e.lunette, "import", "litellm", r.folder .. "/config.yaml", "--output", r.folder .. "/out" }
    local status, _, err = e2e.run { unpack(command) }
    assert.equal(1, status)
    has(err, "/out/gateway.lua: is there already: --force replaces it")
    command[#command + 1] = "--force"
    assert.equal(0, (e2e.run { unpack(command) }))
    status, _, err = e2e.run { e2e.lunette, "import", "litellm", r.folder .. "/config.yaml", "--output", r.folder .. "/config.yaml" }
    assert.equal(1, status)
    has(err, "config.yaml: cannot be made: ")
  end)

  it("--json is one object with all of it", function()
    local yaml = list(deployment("m", "openai/x", "http://127.0.0.1:1/v1")) .. "litellm_settings: { callbacks: [x], num_retries: 1 }\n"
    local r = imported(yaml, { "--json", "--output", "-" })
    local json = e2e.json.decode(r.out)
    assert.equal("", r.err)
    assert.same({ "gateway.lua", "policy.lua" }, { json.files[1].name, json.files[2].name })
    has(json.files[1].text, "return {")
    assert.same({ 1, 1, 0 }, { json.models, json.targets, json.left_out })
    assert.same({ 4, "litellm_settings.callbacks: not carried over: the gateway writes a log line and metrics of its own for each request: log.requests, "
                     .. "/metrics, webhook" }, { json.notes[2].line, json.notes[2].text })
    json = e2e.json.decode(import("model_list: []\n", { "--json" }).out)
    assert.same({ 0, 1, 1 }, { #json.files, #json.refused, json.refused[1].line })
  end)

  it("wrong use is told", function()
    for _, words in ipairs { {}, { "litellm" }, { "other", "x.yaml" }, { "litellm", "a", "b" }, { "litellm", "a", "--none" } } do
      local status, _, err = e2e.run { e2e.lunette, "import", unpack(words) }
      assert.equal(2, status)
      has(err, "usage: lunette import litellm CONFIG.yaml")
    end
    assert.equal(1, (e2e.run { e2e.lunette, "import", "litellm", "/nowhere.yaml" }))
  end)
end)
