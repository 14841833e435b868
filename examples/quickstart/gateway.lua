-- The first gateway: `make run` starts it. Without any key its two providers are simulated ones: a Lua file each, played by
-- the gateway itself, whose answers begin with [simulated]. A key in the environment brings the real provider in:
--   OPENAI_API_KEY=… DEEPSEEK_API_KEY=… make run
local lunette = require "lunette"

local providers, fast, strong = {}, {}, {}

local function join(name, variable, base_url, list, target)
  if not lunette.has_secret(variable) then return end
  providers[name] = { dialect = "openai", base_url = base_url, key = secret(variable) }
  target.provider = name
  list[#list + 1] = target
end

-- Prices in US dollars per million tokens.
join("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1", fast,
     { model = "deepseek-chat", price = { input = 0.42, output = 0.84 }, context = 128000 })
join("openai", "OPENAI_API_KEY", "https://api.openai.com/v1", strong,
     { model = "gpt-4.1", price = { input = 8, output = 24 }, context = 1000000 })

if not next(providers) then
  providers.simulated = { dialect = "openai", script = "simulated.lua" }
  providers.spare = { dialect = "openai", script = "simulated.lua" }
  fast[1] = { provider = "simulated", model = "small", price = { input = 0.42, output = 0.84 } }
  fast[2] = { provider = "spare", model = "small", price = { input = 0.50, output = 1.00 } }
  strong[1] = { provider = "simulated", model = "large", price = { input = 8, output = 24 } }
  strong[2] = { provider = "spare", model = "large", price = { input = 10, output = 30 } }
end

local models = {}
if #fast > 0 then models.fast = fast end
if #strong > 0 then models.strong = strong end

return {
  listen = "127.0.0.1:4000",
  admin = "127.0.0.1:4001",
  policy = "policy.lua",
  providers = providers,
  models = models,
  log = { requests = "-" },         -- one JSON line per request, on standard output
}
