-- What the measured gateway runs by: eight targets of two kinds, a client's key, hard limits with their ledger, metrics, a line of log for each request.
--   BENCH_UPSTREAM  the provider: http://127.0.0.1:PORT/v1     BENCH_CA      the certificates to trust, where it speaks TLS
--   BENCH_MODELS    so many more models of four targets each   BENCH_CLIENTS so many more clients with a key each
local upstream, ca = env "BENCH_UPSTREAM", env("BENCH_CA", "")
local more_models, more_clients = tonumber(env("BENCH_MODELS", "0")), tonumber(env("BENCH_CLIENTS", "0"))

local providers, models = {}, { small = {}, large = {} }

local function provider(name)
  providers[name] = { base_url = upstream, key = secret "BENCH_KEY", ca = ca ~= "" and ca or nil, connections = 20000 }
  return name
end

for i = 1, 4 do
  models.small[i] = { provider = provider("small" .. i), model = "bench-small", price = { input = 0.1 * i, output = 0.4 * i } }
  models.large[i] = { provider = provider("large" .. i), model = "bench-large", price = { input = 2 * i, output = 8 * i } }
end
for i = 1, more_models do
  local list = {}
  for n = 1, 4 do list[n] = { provider = "small" .. n, model = "bench-" .. i, price = { input = 0.1 * n, output = 0.4 * n } } end
  models["model" .. i] = list
end

local clients = { { name = "bench", team = "bench", hash = "sha256:c00397de4384b5bbaf14c02fe1ec7020d28d1eeab6a722c576c84b6678c41c29" } }
for i = 1, more_clients do clients[i + 1] = { name = "client" .. i, hash = ("sha256:%064x"):format(i) } end

return {
  policy = "policy.lua",
  providers = providers,
  models = models,
  teams = { bench = { budget = { limit = 1000000, per = "month" } } },
  clients = clients,
  budgets = { total = { limit = 9000000, per = "month" } },
  limits = { connections = 20000 },
}
