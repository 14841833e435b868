-- D6, policies/rate_limits.lua. What the headers of each provider mean is in tests/unit/test_health.c.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function gateway(providers, more)
  return support.gateway({ policy = "policies/rate_limits.lua", targets = { "a", "b" }, providers = providers }, more)
end

local function limited(headers) return { status = 429, headers = headers } end

describe("D6 rate limits", function()
  it("another that can serve is asked at once", function()
    local answer = gateway({ a = 429 }):ask "hi"
    assert.equal("b", answer.target)
    assert.equal(0, answer.latency)
  end)

  local forms = {
    ["retry-after in seconds"] = { ["retry-after"] = "20" },
    ["retry-after as a date"] = { ["retry-after"] = "Mon, 05 Jan 2026 00:00:20 GMT" },
    ["retry-after-ms"] = { ["retry-after-ms"] = "20000" },
    ["x-ratelimit-reset-requests"] = { ["x-ratelimit-remaining-requests"] = "0", ["x-ratelimit-reset-requests"] = "20s" },
    ["x-ratelimit-reset-tokens"] = { ["x-ratelimit-remaining-tokens"] = "0", ["x-ratelimit-reset-tokens"] = "20s" },
  }
  for name, headers in pairs(forms) do
    it(name .. ": until then it gets no traffic", function()
      local g = gateway { a = { limited(headers), "well again" } }
      g:ask "hi"
      for at = 1, 19 do assert.equal("b", g:ask({ at = at }).target) end
      assert.equal(1, #g:provider "a".calls)
      assert.equal("a", g:ask({ at = 20.001 }).target)
    end)

    it(name .. ": is waited for where nobody else can serve", function()
      local answer = gateway({ a = { limited(headers), "well again" } }, { targets = { "a" } }):ask "hi"
      assert.equal("well again", answer.text)
      assert.near(20, answer.latency, 0.001)
    end)
  end

  it("without a word from it the waits double, ± 50 %, five tries in all", function()
    local answer = gateway({ a = 429 }, { targets = { "a" } }):ask "hi"
    assert.equal(5, #answer.attempts)
    assert.equal(429, answer.status)
    for i = 2, 5 do
      local wait, mean = answer.attempts[i].at - answer.attempts[i - 1].at, 2 ^ (i - 2)
      assert.is_true(wait >= 0.5 * mean and wait <= 1.5 * mean)
    end
  end)

  it("with cooling = \"provider\" all of that provider's models rest", function()
    local g = gateway({ a = limited { ["retry-after"] = "20" } }, {
      models = { m = { "a/m", "b/m" }, n = { "a/n", "b/n" } }, health = { cooling = "provider" },
    })
    g:ask { model = "m" }
    for at = 1, 4 do assert.equal("b", g:ask({ model = "n", at = at }).provider) end
    assert.equal(1, #g:provider "a".calls)
  end)

  it("only rate limits are waited out", function()
    local answer = gateway({ a = 500 }, { targets = { "a" } }):ask "hi"
    assert.equal(1, #answer.attempts)
  end)
end)
