-- What rows of the systems report, counted while their policies run: A1, A2, A3, C2, D1, E3, E6. How it is reckoned out: tests/unit/test_report.c.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

local gateway = support.example

local all = support.all

-- The mean of a histogram, in seconds.
local function mean(g, name, labels) return g:metric(name .. "_sum", labels) / g:metric(name .. "_count", labels) end

describe("A1 reports by tier", function()
  it("requests, success rate and mean latency", function()
    local g = gateway("timeout_tiers", all(function(request)
      if request.text == "fails" then return 400 end
      return { text = "fine", after = request.text == "slow" and 0.75 or 0.25 }
    end))
    for _, text in ipairs { "quick", "slow", "quick", "slow" } do g:ask { task = "faq", text = text } end
    g:ask { task = "analysis", text = "quick" }
    g:ask { task = "analysis", text = "fails" }
    assert.equal(4, g:metric("lunette_label_requests_total", { label = "fast", result = "answered" }))
    assert.near(0.5, mean(g, "lunette_label_seconds", { label = "fast" }), 1e-9)
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "deep", result = "answered" }))
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "deep", result = "failed" }))
    assert.near(0.25, mean(g, "lunette_label_seconds", { label = "deep" }), 1e-9)
    assert.equal(0, g:metric("lunette_label_requests_total", { label = "normal" }))
  end)
end)

describe("A2 reports", function()
  it("requests, succeeded, retried, failed for good, and the time spent waiting", function()
    local g = gateway("retry_manager", { openai = { "x", 503, 503, "x", 500, 500, 500, 500, 401 } })
    local waited = 0
    for _ = 1, 4 do
      local answer = g:ask { model = "gpt-4.1" }
      for i = 2, #answer.attempts do waited = waited + answer.attempts[i].at - answer.attempts[i - 1].at - answer.attempts[i - 1].took end
    end
    assert.equal(4, g:metric "lunette_request_seconds_count")
    assert.equal(2, g:metric("lunette_request_seconds_count", { result = "answered" }))
    assert.equal(2, g:metric("lunette_request_seconds_count", { result = "failed" }))
    assert.equal(1, g:metric("lunette_retried_requests_total", { result = "answered" }))
    assert.equal(1, g:metric("lunette_retried_requests_total", { result = "failed" }))
    assert.equal(2 + 3, g:metric "lunette_retries_total")
    assert.is_true(waited > 0)
    assert.near(waited, g:metric "lunette_retry_wait_seconds_total", 1e-3)
  end)
end)

describe("A3 reports", function()
  it("use and mean latency by model, the complexity, and whether a fallback happened", function()
    local g = gateway("degradation_chain", { openai = 500, anthropic = { text = "x", after = 0.5 }, google = "x", deepseek = "x" })
    g:ask "Phân tích và so sánh"
    g:ask "hi"
    local model = "gen_ai_request_model"
    assert.equal(1, g:metric("gen_ai_server_request_duration_count", { [model] = "gpt-4.1", error_type = "server_error" }))
    assert.equal(1, g:metric("gen_ai_server_request_duration_count", { [model] = "claude-sonnet-4.5", error_type = "" }))
    assert.near(0.5, mean(g, "gen_ai_server_request_duration", { [model] = "claude-sonnet-4.5", error_type = "" }), 1e-9)
    assert.equal(1, g:metric("gen_ai_server_request_duration_count", { [model] = "deepseek-v3.2" }))
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "complex" }))
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "simple" }))
    assert.equal(1, g:metric "lunette_fallbacks_total")
  end)
end)

describe("C2 reports", function()
  it("the saving against the mean of the premium models for the tokens used", function()
    local prices = { ["deepseek-v3.2"] = 0.42, ["gemini-2.5-flash"] = 2.50, ["gpt-4o-mini"] = 8, ["gpt-4.1"] = 8, ["claude-sonnet-4.5"] = 15,
                     ["claude-opus-3.5"] = 45, ["gpt-4-turbo"] = 60 }
    local models, providers = {}, {}
    for name, price in pairs(prices) do
      models[name] = { { provider = name, name = name, price = { input = price, output = price } } }
      providers[name] = { text = "x", usage = { input = 700000, output = 300000 } }
    end
    local g = t.gateway { policy = "policies/smart_router.lua", models = models, providers = providers }
    assert.equal("deepseek-v3.2", g:ask({ task = "simple_chat" }).target)
    local premium, paid = g:metric "lunette_premium_cost_usd_total", g:metric "lunette_cost_usd_total"
    assert.near((45 + 60) / 2, premium, 1e-9)                       -- a million tokens
    assert.near(52.08, premium - paid, 1e-9)
    assert.near(99.2, (premium - paid) / premium * 100, 1e-9)
  end)
end)

describe("D1 reports", function()
  it("successes by stage, failures, the hit rate of the primary, the fallback rate and the mean latency", function()
    local g = gateway("fallback_router", { deepseek = { "x", "x", 500, 500, 500 }, moonshot = { "x", 500, 500 }, openai = { { text = "x", after = 2 } } })
    for _, task in ipairs { "summarize", "code", "classify", "legal", "extract" } do g:ask { task = task } end
    local function stage(n) return g:metric("lunette_stage_seconds_count", { stage = tostring(n) }) end
    assert.same({ 2, 1, 1 }, { stage(1), stage(2), stage(3) })      -- hit rate 2 of 4, fallback rate 2 of 4
    assert.equal(1, g:metric("lunette_request_seconds_count", { result = "failed" }))
    assert.near(2 / 4, mean(g, "lunette_request_seconds", { result = "answered" }), 1e-9)
    assert.near(2, mean(g, "lunette_stage_seconds", { stage = "3" }), 1e-9)
  end)
end)

describe("E3 reports by model", function()
  it("requests, mean latency, success and cost", function()
    local g = t.gateway { policy = "policies/load_balancer.lua", models = { m = { { provider = "a", price = { input = 2, output = 4 } } } },
                          providers = { a = { { text = "x", after = 1, usage = { input = 1000, output = 500 } },
                                              { text = "x", after = 2, usage = { input = 1000, output = 500 } }, 400 } } }
    for _ = 1, 3 do g:ask "hi" end
    local model = "gen_ai_request_model"
    assert.equal(3, g:metric("gen_ai_server_request_duration_count", { [model] = "m" }))
    assert.equal(2, g:metric("gen_ai_server_request_duration_count", { [model] = "m", error_type = "" }))
    assert.near(1.5, mean(g, "gen_ai_server_request_duration", { [model] = "m", error_type = "" }), 1e-9)
    assert.near(2 * 0.004, g:metric("lunette_cost_usd_total", { model = "m" }), 1e-12)
  end)
end)

describe("E6 reports", function()
  it("how many waited for their turn, and how long", function()
    local g = t.gateway { models = { m = { { provider = "a", requests_per_minute = 2 } } }, providers = { a = "x" } }
    local waiting = {}
    for i = 1, 4 do waiting[i] = g:start "hi" end
    for i = 1, 4 do assert.equal(200, waiting[i]:answer().status) end
    assert.equal(2, g:metric("lunette_queue_seconds_count", { target = "a/m" }))
    assert.near(120, g:metric("lunette_queue_seconds_sum", { target = "a/m" }), 0.1)
  end)
end)
