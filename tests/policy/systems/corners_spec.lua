-- Corners of the systems that several targets, several failures or a stream make: each a promise of its row that once did not hold there.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"
local function lim(n) return { status = 429, headers = { ["retry-after"] = tostring(n) } } end

describe("in a corner,", function()
  it("D6 waits for whoever is back first", function()
    for _, deadline in ipairs { 600, 30 } do
      local g = t.gateway { policy = "policies/rate_limits.lua", targets = { "a", "b" }, providers = { a = { lim(20), "A" }, b = { lim(60), "B" } },
                            limits = { deadline = deadline } }
      local first = g:start "hi"
      local second = g:ask { at = 1 }
      assert.same({ "A", 19 }, { second.text, second.latency })
      assert.same({ "A", 20 }, { first:answer().text, first:answer().latency })
    end
  end)

  it("B1, A2, D1: an error event at the start of a stream is as its status", function()
    local function event(type)
      return { headers = { ["content-type"] = "text/event-stream" }, events = { '{"error":{"type":"' .. type .. '","message":"x"}}' } }
    end
    for _, type in ipairs { "rate_limit_error", "server_error", "overloaded_error" } do
      for _, policy in ipairs { "exponential_backoff", "retry_manager" } do
        local answer = support.example(policy, { openai = { event(type), "fine" } }):ask { model = "gpt-4.1", stream = true }
        assert.equal("fine", answer.text)
      end
    end
    local answer = support.example("fallback_router", { deepseek = { event "rate_limit_error", "fine" } }):ask { stream = true }
    assert.equal("deepseek-v3 deepseek-v3", support.tried(answer))
    assert.equal(1, answer.attempts[2].at)
  end)

  it("E4 two targets take turns", function()
    for _, kind in ipairs { "connect_timeout", "pool_full" } do
      local providers = { a = { fail = kind }, b = { { fail = kind }, "fine" } }
      local answer = t.gateway({ policy = "policies/load_balancer.lua", targets = { "a", "b" }, providers = providers }):ask "hi"
      assert.equal("a b a b", support.tried(answer))
      assert.same({ 1, 2, 4 }, support.waits(answer))
      assert.equal("fine", answer.text)
    end
  end)

  it("E4 another failure before is no overload", function()
    local providers = { a = 500, b = { fail = "connect_timeout" } }
    local answer = t.gateway({ policy = "policies/load_balancer.lua", targets = { "a", "b", "c" }, providers = providers }):ask "hi"
    assert.same({ 0, 1 }, support.waits(answer))
  end)

  it("C4 backs off where all others are limited too", function()
    local answer = t.gateway({ policy = "policies/failover.lua", targets = { "a", "b" }, providers = { a = 429, b = { 429, "fine" } } }):ask "hi"
    assert.equal("a b b", support.tried(answer))
    assert.equal("fine", answer.text)
  end)

  it("C1 at last all of them", function()
    local targets, providers = {}, { p10 = "fine" }
    for i = 1, 10 do
      targets[i] = "p" .. i
      providers["p" .. i] = providers["p" .. i] or 500
    end
    assert.equal("p10", t.gateway({ policy = "policies/failover.lua", targets = targets, providers = providers }):ask("hi").target)
  end)

  it("A3 the two cheapest models, whatever targets they have", function()
    local models = {}
    local function target(name, price) return { provider = name, name = name, price = { input = price, output = price } } end
    for name, price in pairs { ["gpt-4.1"] = 8, ["claude-sonnet-4.5"] = 15, ["gemini-2.5-flash"] = 2.5 } do models[name] = { target(name, price) } end
    models["deepseek-v3.2"] = { target("d1", 0.42), target("d2", 0.42) }
    local providers = { d1 = 500, d2 = 500, ["gemini-2.5-flash"] = 500 }
    local answer = t.gateway({ policy = "policies/degradation_chain.lua", models = models, providers = providers }):ask "hi"
    assert.equal("d1 d2 gemini-2.5-flash", support.tried(answer))
  end)

  it("C2 the counter of what was saved never falls", function()
    local g = support.example("smart_router", { openai = { text = "x", usage = { input = 1000000, output = 1000000 } } })
    g:ask { model = "gpt-4-turbo" }
    assert.equal(0, g:metric "lunette_policy_saved_usd" or 0)
  end)

  it("E6 who can make it at any target is not refused because another failed", function()
    local function target(name, price, rate) return { provider = name, name = name, requests_per_minute = rate, price = { input = price, output = price } } end
    local g = t.gateway { policy = "policies/load_balancer.lua", targets = { target("a", 1, 1), target("b", 2, 1), target("c", 3) },
                          settings = { strategy = "cheapest" }, limits = { deadline = 40 }, providers = { c = { "C", 500 } } }
    for i, at in ipairs { 0, 30, 31 } do assert.equal(({ "a", "b", "c" })[i], g:ask({ at = at }).target) end
    local answer = g:ask { at = 31 }
    assert.same({ 200, 29 }, { answer.status, answer.latency })
  end)

  it("C2 the cheapest anyway, also where all of them were rate limited", function()
    local g = support.example("smart_router", support.all { lim(5), "fine" })
    g:ask "hi"
    local answer = g:ask "hi"
    assert.same({ "deepseek-v3.2", 5 }, { answer.target, answer.latency })
  end)

  it("C4 a request that finds all of them limited backs off too", function()
    local g = t.gateway { policy = "policies/failover.lua", targets = { "a", "b" }, providers = { a = { lim(5), "A" }, b = { lim(7), "B" } } }
    g:start "hi"
    local answer = g:ask { at = 1 }
    assert.same({ "A", 4 }, { answer.text, answer.latency })
  end)
end)
