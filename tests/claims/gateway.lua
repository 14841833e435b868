-- The gateway of the experiment: `before` (one model, passed through) and after. Prices in USD per million tokens.
local page = {
  ["gpt-4.1"] = { 8, 24 }, ["gpt-4o-mini"] = { 8, 8 }, ["claude-sonnet-4.5"] = { 15, 75 }, ["claude-opus-3.5"] = { 45, 45 },
  ["gemini-2.5-flash"] = { 2.50, 10 }, ["deepseek-v3.2"] = { 0.42, 0.84 }, ["deepseek-v3"] = { 0.42, 0.84 }, ["kimi-k2"] = { 0.50, 1.00 },
}
local published = {
  ["gpt-4.1"] = { 2, 8 }, ["gpt-4o-mini"] = { 0.15, 0.60 }, ["claude-sonnet-4.5"] = { 3, 15 }, ["claude-opus-3.5"] = { 15, 75 },
  ["gemini-2.5-flash"] = { 0.30, 2.50 }, ["deepseek-v3.2"] = { 0.28, 0.42 }, ["deepseek-v3"] = { 0.28, 0.42 }, ["kimi-k2"] = { 0.60, 2.25 },
}
local at = {
  openai = { "gpt-4.1", "gpt-4o-mini" }, anthropic = { "claude-sonnet-4.5", "claude-opus-3.5" }, google = { "gemini-2.5-flash" },
  deepseek = { "deepseek-v3.2", "deepseek-v3" }, moonshot = { "kimi-k2" },
}
local prices = env("CLAIMS_PRICES", "page") == "published" and published or page
local before = env "CLAIMS_BEFORE"
local policy = env "CLAIMS_POLICY"
local cache = tonumber(env("CLAIMS_CACHE", ""))          -- seconds

local providers, models = {}, {}
for provider, names in pairs(at) do
  for _, name in ipairs(names) do
    if not before or name == before then
      providers[provider] = {
        base_url = "http://" .. provider .. ".invalid/v1",
        -- Before: what a client of its own would wait. After: as in the manual's example.
        timeouts = before and { first_byte = 30, idle = 30, total = 120 } or { connect = 0.5, first_byte = 8, idle = 30, total = 120 },
      }
      models[name] = { { provider = provider, model = name, price = { input = prices[name][1], output = prices[name][2] } } }
    end
  end
end

return {
  policy = policy,
  providers = providers,
  models = models,
  limits = before and { attempts = 1, retries = false, lag = false } or { lag = false },
  health = not before and {} or false,
  cache = cache and not before and { ttl = cache, size = "4GiB" } or false,
}
