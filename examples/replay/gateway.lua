-- What runs today: two models of a simulated provider, seven of ten questions go to the strong one.
return {
  listen = "127.0.0.1:4000",
  admin = "127.0.0.1:4001",
  policy = "first.lua",
  providers = { simulated = { script = "provider.lua" } },
  models = {                            -- prices in US dollars per million tokens
    cheap = { { provider = "simulated", model = "cheap-1", price = { input = 0.4, output = 1.6 } } },
    strong = { { provider = "simulated", model = "strong-1", price = { input = 5, output = 25 } } },
  },
  limits = { retries = 1 },             -- every request may be tried once more
  log = { requests = "log.jsonl", text = true },
}
