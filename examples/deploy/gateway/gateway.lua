-- The gateway of compose.yaml. What differs from one installation to another comes from the environment (gateway.env): see README.md. Every other
-- setting can be overridden there too: LUNETTE_HEALTH_FAILURES=3 is health.failures, LUNETTE_POLICY another policy.
-- SIMULATED=yes: nobody is asked, a Lua file plays the providers. Otherwise each needs its key, and what is missing is told by name.
local simulated = env("SIMULATED", "") == "yes"

local function provider(variable, base_url)
  if simulated then return { script = "simulated.lua" } end
  return { base_url = base_url, key = secret(variable) }
end

return {
  listen = "0.0.0.0:4000",
  admin = { "0.0.0.0:4001", hosts = { "gateway" } },    -- metrics and changes; compose.yaml does not publish it. The name is that of its service
  admin_token = secret "LUNETTE_ADMIN_TOKEN",
  state = "/var/lib/lunette",

  -- deepseek-v3, then kimi-k2, and gpt-4.1 for what is worth it. Three seconds for the first: LUNETTE_SETTINGS_FALLBACK_AFTER.
  policy = "policies/fallback_router.lua",

  providers = {
    deepseek = provider("DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
    moonshot = provider("MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    openai = provider("OPENAI_API_KEY", "https://api.openai.com/v1"),
  },

  models = {                                            -- USD per million tokens
    ["deepseek-v3"] = { { provider = "deepseek", model = "deepseek-chat", price = { input = 0.42, output = 0.84 }, context = 128000, max_output = 8192 } },
    ["kimi-k2"] = { { provider = "moonshot", model = "kimi-k2-0905-preview", price = { input = 0.50, output = 1.00 }, context = 256000, max_output = 16384 } },
    ["gpt-4.1"] = { { provider = "openai", model = "gpt-4.1", price = { input = 8, output = 24 }, context = 1000000, max_output = 32768 } },
  },

  health = { failures = 5, rest = 60 },                 -- LUNETTE_HEALTH_FAILURES, LUNETTE_HEALTH_REST
  clients = { { name = "app", hash = env "APP_KEY_HASH", trust = { "task", "tags", "budget" } } },
  budgets = { total = { limit = 50, per = "day", soft = 0.8 } },        -- LUNETTE_BUDGETS_TOTAL_LIMIT
  -- cache = { size = "64MiB", ttl = 300 },             equal requests are answered once
  report = { premium = 20 },                            -- what is saved is told against gpt-4.1
  log = { requests = "-" },                             -- `docker compose logs gateway`
}
