-- What README.md here explains. Nobody is called, so there need be no keys.
return {
  policy = "policy.lua",
  providers = {
    deepseek = { base_url = "https://api.deepseek.com/v1", key = secret "DEEPSEEK_API_KEY", timeouts = { connect = 0.5, first_byte = 8 } },
    openai   = { base_url = "https://api.openai.com/v1", key = secret "OPENAI_API_KEY", timeouts = { connect = 0.5, first_byte = 20 } },
    ["local"] = { base_url = "http://127.0.0.1:8080/v1" },
  },
  models = {                                          -- prices in US dollars per million tokens
    ["deepseek-v3.2"] = { { provider = "deepseek", model = "deepseek-chat", price = { input = 0.42, output = 0.84 }, context = 128000 } },
    ["gpt-4.1"]       = { { provider = "openai", model = "gpt-4.1", price = { input = 2, output = 8 }, context = 1000000 } },
    tiny              = { { provider = "local", model = "tiny", price = { input = 0, output = 0 }, context = 512 } },
  },
  clients = { { name = "app", hash = "sha256:" .. ("0"):rep(64), budget = { limit = 5, per = "day" } } },
}
