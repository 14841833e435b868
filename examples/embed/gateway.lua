-- A gateway inside a program: nobody connects to it, so it has no address. Its providers are scripts, so it needs no network.
return {
  policy = "policy.lua",
  providers = {
    near = { dialect = "openai", script = "provider.lua" },
    far = { dialect = "openai", script = "provider.lua" },
  },
  models = {                            -- prices in US dollars per million tokens
    small = { { provider = "near", model = "small-1", price = { input = 0.2, output = 0.4 } } },
    large = { { provider = "far", model = "large-1", price = { input = 2, output = 8 } } },
  },
}
