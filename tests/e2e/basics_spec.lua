local e2e = require "support"

describe("a gateway with one provider", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function(request) return { text = "hello " .. request.text } end]]
    gateway = e2e.gateway {
      env = { A = provider.url },
      config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } } }]],
    }
  end)
  teardown(e2e.stop)

  it("answers, and says who did", function()
    local answer = gateway:chat { text = "you" }
    assert.equal(200, answer.status)
    assert.equal("hello you", answer.json.choices[1].message.content)
    assert.equal("a/up", answer.headers["x-lunette-target"])
    assert.equal("up", answer.json.model)
  end)

  it("streams to a clean end", function()
    local answer = gateway:chat { text = "you", stream = true }
    assert.is_true(answer.clean)
    assert.equal("[DONE]", answer.events[#answer.events])
  end)

  it("writes one line per request", function()
    assert.equal("ok", gateway:log(2)[1].attempts[1].kind)
  end)

  it("counts in /metrics", function()
    assert.equal(2, gateway:metric [[lunette_attempts_total{target="a/up",kind="ok"}]])
  end)

  it("ends on SIGTERM with status 0", function()
    assert.equal(0, gateway:stop())
  end)
end)
