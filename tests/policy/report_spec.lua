-- What is counted for the report: by label, stage, retries and their waits, queues, savings. Exact, because the clock moves only when told to.
local t = require "lunette.test"

local function policy(retry)
  return ([[local lunette = require "lunette"
    return {
      classify = function(request) return { "all", (request.text:match "^%a+") } end,
      select = function(request, targets) return targets:asked() end,
      retry = function(request, attempt) RETRY end,
    }]]):gsub("RETRY", retry)
end

describe("E3 the metrics of the report", function()
  it("count by each label, with its result and the latency of what was answered", function()
    local g = t.gateway { policy = policy "", targets = { "a" }, providers = { a = { { text = "x", after = 1 }, { text = "x", after = 3 }, 500 } } }
    g:ask "faq one"
    g:ask "deep two"
    g:ask "faq three"
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "faq", result = "answered" }))
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "faq", result = "failed" }))
    assert.equal(1, g:metric("lunette_label_requests_total", { label = "deep" }))
    assert.equal(3, g:metric("lunette_label_requests_total", { label = "all" }))
    assert.equal(1, g:metric("lunette_label_seconds_sum", { label = "faq" }))
    assert.equal(4, g:metric("lunette_label_seconds_sum", { label = "all" }))
    assert.equal(2, g:metric("lunette_label_seconds_count", { label = "all" }))
  end)

  it("count answers by the step that gave them, whatever came before", function()
    local g = t.gateway { policy = policy "", targets = { "a", "b", "c" }, providers = { a = { 500, 500, "x" }, b = { 500, "x" }, c = "x" } }
    for _ = 1, 3 do g:ask "hi" end
    for stage = 1, 3 do assert.equal(1, g:metric("lunette_stage_seconds_count", { stage = tostring(stage) })) end
    assert.equal(2, g:metric "lunette_fallbacks_total")
  end)

  it("call a stage that retry() chose by its place in the plan, else other", function()
    local g = t.gateway { policy = [[local lunette = require "lunette"
        return {
          select = function(request, targets) return targets:named "a" .. targets:named "b" end,
          retry = function(request, attempt) return lunette.try(request.text) end,
        }]], targets = { "a", "b", "c" }, providers = { a = 500, b = "x", c = "x" } }
    assert.equal("b", g:ask("b").target)
    assert.equal("c", g:ask("c").target)
    assert.equal(1, g:metric("lunette_stage_seconds_count", { stage = "2" }))
    assert.equal(1, g:metric("lunette_stage_seconds_count", { stage = "other" }))
  end)

  it("count retries, what became of them, and the time they waited", function()
    local g = t.gateway { policy = policy "return lunette.again(2 ^ (attempt.try - 1))", targets = { "a" },
                          providers = { a = { 429, 429, 429, "x", "x", 500, 500, 500, 500 } }, limits = { retries = false } }
    assert.equal(200, g:ask("one").status)                            -- waits 1, 2 and 4 s
    assert.equal(200, g:ask("two").status)
    assert.equal(7, g:metric "lunette_retry_wait_seconds_total")
    assert.equal(502, g:ask("three").status)                          -- and again
    assert.equal(14, g:metric "lunette_retry_wait_seconds_total")
    assert.equal(6, g:metric "lunette_retries_total")
    assert.equal(1, g:metric("lunette_retried_requests_total", { result = "answered" }))
    assert.equal(1, g:metric("lunette_retried_requests_total", { result = "failed" }))
    assert.equal(3, g:metric "lunette_request_seconds_count")
  end)

  it("count of a wait what has passed of it when the client leaves", function()
    local g = t.gateway { policy = policy "return lunette.again(100)", targets = { "a" }, providers = { a = 500 } }
    local visit = g:start "one"
    t.advance(30)
    visit:leave()
    t.advance(1)
    assert.equal(30, g:metric "lunette_retry_wait_seconds_total")
    assert.equal(1, g:metric("lunette_request_seconds_count", { result = "left" }))
  end)

  it("count who queued at a rate limit and how long, not who did not have to", function()
    local g = t.gateway { models = { m = { { provider = "a", requests_per_minute = 1 } } }, providers = { a = "x" } }
    g:ask "one"
    assert.equal(0, g:metric "lunette_queue_seconds_count")
    local visit = g:start "two"
    t.advance(61)
    assert.equal(200, visit:answer().status)
    assert.equal(1, g:metric("lunette_queue_seconds_count", { target = "a/m" }))
    assert.truthy(math.abs(g:metric "lunette_queue_seconds_sum" - 60) < 0.01)
  end)

  it("say what the tokens would have cost at the mean of the premium models", function()
    local models = { small = { { provider = "a", price = { input = 0.42, output = 0.42 } } },
                     opus = { { provider = "a", price = { input = 45, output = 45 } } }, turbo = { { provider = "a", price = { input = 60, output = 60 } } } }
    local usage = { text = "x", usage = { input = 600000, output = 400000 } }
    local g = t.gateway { models = models, providers = { a = usage } }
    g:ask { model = "small", text = "hi" }
    assert.truthy(math.abs(g:metric "lunette_premium_cost_usd_total" - 52.5) < 1e-9)
    assert.truthy(math.abs(g:metric "lunette_cost_usd_total" - 0.42) < 1e-9)
    g = t.gateway { models = models, providers = { a = usage }, report = { premium = 50 } }
    g:ask { model = "small", text = "hi" }
    assert.truthy(math.abs(g:metric "lunette_premium_cost_usd_total" - 60) < 1e-9)
    g = t.gateway { models = models, providers = { a = usage }, report = { premium = 100 } }      -- none
    g:ask { model = "small", text = "hi" }
    assert.truthy(math.abs(g:metric "lunette_premium_cost_usd_total" - 0.42) < 1e-9)
  end)

  it("count a policy's own question by target and model, not as a client's", function()
    local g = t.gateway { policy = [[local lunette = require "lunette"
        return { classify = function(request)
          local said = lunette.chat { model = "small", text = request.text }
          return said and said.text or "unknown"
        end }]], models = { small = { "a" }, large = { "b" } }, providers = { a = "hard", b = "x" } }
    g:ask { model = "large", text = "hi" }
    assert.equal(1, g:metric("lunette_target_seconds_count", { target = "a" }))
    assert.equal(1, g:metric "lunette_request_seconds_count")
    assert.equal(1, g:metric "lunette_stage_seconds_count")
  end)
end)
