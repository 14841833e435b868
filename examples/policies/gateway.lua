-- A gateway to try the policies that come along, one at a time:
--   POLICY=policies/smart_router.lua build/lunette serve examples/policies/gateway.lua
-- Every provider is a simulated one (that of quickstart), unless its key is in the environment; DEEPSEEK_URL=… asks another address.
local lunette = require "lunette"

local function provider(name, base_url)
  local NAME = name:upper()
  local key = lunette.has_secret(NAME .. "_API_KEY") and secret(NAME .. "_API_KEY") or nil
  local url = env(NAME .. "_URL") or (key and base_url)
  return { base_url = url, script = not url and "../quickstart/simulated.lua" or nil, key = key }
end

-- A model of one provider under its own name, 500 requests a minute. Prices in USD per million tokens, of input and output.
local function model(by, name, input, output, quality)
  return { provider = by, model = name, name = name, price = { input = input, output = output }, requests_per_minute = 500,
           facts = { quality = quality } }
end

return {
  listen = "127.0.0.1:4000",
  admin = "127.0.0.1:4001",
  policy = env("POLICY", "policies/smart_router.lua"),

  providers = {
    deepseek = provider("deepseek", "https://api.deepseek.com/v1"),
    moonshot = provider("moonshot", "https://api.moonshot.ai/v1"),
    google = provider("google", "https://generativelanguage.googleapis.com/v1beta/openai"),
    openai = provider("openai", "https://api.openai.com/v1"),
    anthropic = provider("anthropic", "https://api.anthropic.com/v1"),
  },

  models = {
    ["deepseek-v3.2"] = { model("deepseek", "deepseek-v3.2", 0.42, 0.84, 0.70) },
    ["deepseek-v3"] = { model("deepseek", "deepseek-v3", 0.42, 0.84, 0.68) },
    ["kimi-k2"] = { model("moonshot", "kimi-k2", 0.50, 1.00, 0.72) },
    ["gemini-2.5-flash"] = { model("google", "gemini-2.5-flash", 2.50, 10, 0.75) },
    ["gpt-4o-mini"] = { model("openai", "gpt-4o-mini", 8, 8, 0.72) },
    ["gpt-4.1"] = { model("openai", "gpt-4.1", 8, 24, 0.85) },
    ["gpt-4-turbo"] = { model("openai", "gpt-4-turbo", 60, 60, 0.80) },
    ["claude-sonnet-4.5"] = { model("anthropic", "claude-sonnet-4.5", 15, 75, 0.92) },
    ["claude-opus-3.5"] = { model("anthropic", "claude-opus-3.5", 45, 45, 0.93) },
  },

  -- For policies/canary.lua and policies/canary_policy.lua: `lunette canary kimi-k2 start`.
  canaries = {
    ["kimi-k2"] = { provider = "moonshot", model = "kimi-k2", start = false },
    router = { probe = false, start = false },
  },

  log = { requests = "-" },
}
