-- Two models, played by a script, so that this can be tried without a key. No address: the program asks in process.
return {
  policy = "policy.lua",
  providers = { desk = { dialect = "openai", script = "provider.lua" } },
  models = {                            -- prices in US dollars per million tokens
    small = { { provider = "desk", model = "small-1", price = { input = 0.2, output = 0.4 } } },
    large = { { provider = "desk", model = "large-1", price = { input = 2, output = 8 } } },
  },
}
