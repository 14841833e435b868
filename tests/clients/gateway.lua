-- The gateway that the SDKs talk to: two scripted providers over real sockets, keys required.
local function target(provider, model) return { provider = provider, model = model, price = { input = 1, output = 2 } } end

return {
  listen = "127.0.0.1:0",
  admin = false,
  providers = {
    first = { base_url = env("FIRST_URL") },
    second = { base_url = env("SECOND_URL") },
  },
  models = {
    good = { target("first", "good") },
    failover = { target("first", "overloaded"), target("second", "good") },
    overloaded = { target("first", "overloaded") },
    limited = { target("first", "limited") },
    wrong = { target("first", "wrong") },
    cut = { target("first", "cut") },
    late = { target("first", "late") },
    private = { target("first", "good") },
    poor = { target("first", "good") },
  },
  clients = {
    -- the key is sk-test-lunette
    { name = "app", hash = "sha256:d2db830e677ede06e23ca261df56ac0c63d97c86e282db16fb5d094ddabbfd2d",
      models = { "good", "failover", "overloaded", "limited", "wrong", "cut", "late" } },
    -- the key is sk-test-poor
    { name = "poor", hash = "sha256:90cd83ebd8385ad28ba6e61ba86dbd6248f478389227ab9720361b9f42fb5c10",
      models = { "poor" }, budget = { limit = 0.000001, per = "day" } },
  },
  limits = { deadline = 2 },
}
