-- Two models that exist only here; policy.lua says which of them is good enough.
return {
  listen = "127.0.0.1:4000",
  admin = "127.0.0.1:4001",
  policy = "policy.lua",
  providers = { simulated = { script = "provider.lua" } },
  models = {                            -- prices in US dollars per million tokens
    small = { { provider = "simulated", model = "small-1", price = { input = 0.4, output = 1.6 } } },
    large = { { provider = "simulated", model = "large-1", price = { input = 4, output = 16 } } },
  },
}
