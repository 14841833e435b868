-- A gateway.lua as a user would have one, for specs that load it whole.
return {
  policy = "stage.lua",
  providers = {
    one = { dialect = "openai", base_url = "https://one.example/v1", key = secret "ONE_KEY" },
    two = { dialect = "openai", base_url = "https://two.example/v1", key = secret "TWO_KEY",
            headers = { ["x-stage"] = env("STAGE", "dev") } },
  },
  models = { main = { { provider = "one", model = "m1", facts = { stage = env("STAGE", "dev") } }, { provider = "two", model = "m2" } } },
}
