-- What is billed: by the provider's own words on what an answer took and as what it was served; and what becomes of words that cannot be true.
local t = require "lunette.test"

local function says(usage, more)
  return function(request)
    local body = { model = request.model, choices = { { index = 0, message = { role = "assistant", content = "x" }, finish_reason = "stop" } }, usage = usage }
    for name, value in pairs(more or {}) do body[name] = value end
    return { body = body }
  end
end

local function gateway(answer, price, more)
  local config = { targets = { { provider = "a", name = "a", price = price or { input = 1, output = 10 } } }, providers = { a = answer } }
  for name, value in pairs(more or {}) do config[name] = value end
  return t.gateway(config)
end

local limited = { clients = { { name = "app", budget = { limit = 1 } } } }
local function usd(tokens) return tokens / 1e6 end

describe("an answer is billed", function()
  local parts = { input = 2, output = 10, cached_input = 0.5, cache_write = 3, cache_write_1h = 4, reasoning = 20,
                  audio_input = 40, audio_output = 80, request = 0.01 }

  it("by OpenAI's word, with cached input in the prompt", function()
    local g = gateway(says { prompt_tokens = 100, completion_tokens = 50, total_tokens = 150,
                             prompt_tokens_details = { cached_tokens = 60, audio_tokens = 10 },
                             completion_tokens_details = { reasoning_tokens = 30, audio_tokens = 5 } }, parts)
    local answer = g:ask "hi"
    assert.near(0.01 + usd(30 * 2 + 60 * 0.5 + 10 * 40 + 15 * 10 + 30 * 20 + 5 * 80), answer.cost, 1e-12)
    assert.equal(10, answer.record.tokens.audio_input)
  end)

  it("by Anthropic's, with it beside the input", function()
    local g = gateway(says { input_tokens = 100, output_tokens = 50, cache_read_input_tokens = 1000, cache_creation_input_tokens = 30,
                             cache_creation = { ephemeral_5m_input_tokens = 20, ephemeral_1h_input_tokens = 10 } }, parts)
    assert.near(0.01 + usd(100 * 2 + 1000 * 0.5 + 20 * 3 + 10 * 4 + 50 * 10), g:ask("hi").cost, 1e-12)
  end)

  it("by all of its input at the price of its length", function()
    local price = { input = 1, output = 10, above = { { tokens = 1000, input = 2, output = 15 } } }
    assert.near(usd(1000 + 100), gateway(says { prompt_tokens = 1000, completion_tokens = 10 }, price):ask("hi").cost, 1e-12)
    assert.near(usd(1001 * 2 + 150), gateway(says { prompt_tokens = 1001, completion_tokens = 10 }, price):ask("hi").cost, 1e-12)
  end)
end)

describe("a class of service", function()
  local price = { input = 2, output = 10, flex = { input = 1, output = 5 }, priority = { input = 4, output = 20 } }
  local function cost(asked, answered, usage)
    local answer = says(usage or { prompt_tokens = 100, completion_tokens = 10 }, { service_tier = answered })
    return gateway(answer, price):ask({ text = "hi", service_tier = asked }).cost
  end
  local standard, flex, priority = usd(300), usd(150), usd(600)

  it("is the one that the answer names", function()
    assert.near(standard, cost("flex", "default"), 1e-12)
    assert.near(flex, cost("flex", "flex"), 1e-12)
    assert.near(priority, cost(nil, "priority"), 1e-12)
    assert.near(standard, cost("priority", "default"), 1e-12)
    assert.near(priority, cost(nil, nil, { prompt_tokens = 100, completion_tokens = 10, service_tier = "priority" }), 1e-12)
  end)

  it("that nobody names is the dearest that the request may have got", function()
    assert.near(standard, cost(nil, nil), 1e-12)
    assert.near(standard, cost("flex", nil), 1e-12)
    assert.near(priority, cost("priority", nil), 1e-12)
    assert.near(priority, cost("auto", nil), 1e-12)
    assert.near(priority, cost("default", "some new one"), 1e-12)
  end)

  it("is named in a stream by any of its events", function()
    local g = gateway({ events = { { choices = { { index = 0, delta = { content = "x" } } }, service_tier = "flex" },
                                   { choices = { { index = 0, delta = {}, finish_reason = "stop" } }, service_tier = "flex" },
                                   { choices = t.array {}, usage = { prompt_tokens = 100, completion_tokens = 10 } }, "[DONE]" } }, price)
    assert.near(flex, g:ask({ text = "hi", stream = true }).cost, 1e-12)
  end)

  it("is held at the dearest that the request could end in", function()
    local function status(limit, asked)
      return gateway(says({ prompt_tokens = 1, completion_tokens = 1 }, { service_tier = "default" }), { input = 0, output = 10, priority = { output = 20 } },
                     { clients = { { name = "app", budget = { limit = limit } } } }):ask({ text = "hi", max_tokens = 1000, service_tier = asked }).status
    end
    assert.equal(200, status(0.01, "default"))
    assert.equal(200, status(0.01, "flex"))
    assert.equal(402, status(0.019, "priority"))
    assert.equal(402, status(0.019, "auto"))
    assert.equal(402, status(0.019, nil))
    assert.equal(402, status(0.019, "some new one"))
    assert.equal(200, status(0.02, nil))
  end)

  it("that a step sets is the one that counts", function()
    local g = gateway(says({ prompt_tokens = 0, completion_tokens = 1 }), { input = 0, output = 10, priority = { output = 20 } },
                      { clients = { { name = "app", budget = { limit = 0.0101 } } },
                        policy = "return { select = function(r, targets) return { { target = targets[1], set = { service_tier = 'default' } } } end }" })
    assert.equal(200, g:ask({ text = "hi", max_tokens = 1000 }).status)
    assert.equal("default", g:provider "a".calls[1].json.service_tier)
  end)

  it("is what a policy can reckon with", function()
    local price_there = { input = 2, output = 10, cache_write_1h = 4, flex = { input = 1, output = 5 }, above = { { tokens = 100, input = 3 } } }
    local g = gateway("x", price_there, { policy = [[
      return { select = function(r, targets)
        local price, note = targets[1].price, require("lunette").note
        note("flex", price:cost { input = 100, output = 10, service_tier = "flex" })
        note("long", price:cost { input = 101 })
        note("hour", price:cost { input = 10, cache_write_1h = 10 })
        note("each", { price.cache_write_1h, price.audio_input, price.image_output })
        note("wrong", tostring(select(2, pcall(price.cost, price, { service_tier = "express" }))))
      end }]] })
    local notes = g:ask("hi").notes
    assert.near(usd(150), notes.flex, 1e-12)
    assert.near(usd(303), notes.long, 1e-12)
    assert.near(usd(40), notes.hour, 1e-12)
    assert.same({ 4, 2, 10 }, notes.each)
    assert.matches("service_tier", notes.wrong)
  end)
end)

describe("usage that cannot be true", function()
  local function told(usage, more)
    local g = gateway(says(usage), nil, more or limited)
    local answer = g:ask { text = "hi", max_tokens = 10 }
    return g, answer, answer.record.attempts[1]
  end

  it("and is no number of tokens costs the hold under a hard limit", function()
    for reason, usage in pairs { negative = { prompt_tokens = -1, completion_tokens = 5 }, not_a_count = { prompt_tokens = "1", completion_tokens = 5 },
                                 too_large = { prompt_tokens = 1, completion_tokens = 1e300 } } do
      local g, answer, attempt = told(usage)
      assert.equal(200, answer.status)
      assert.equal(reason, attempt.suspect)
      assert.is_true(attempt.cost > usd(100))                                       -- 10 tokens of output and an input that is reckoned by its bytes
      assert.equal(1, g:metric("lunette_usage_suspect_total", { target = "a", reason = reason }))
    end
  end)

  it("is as good as none without a limit: an estimate", function()
    local _, answer, attempt = told({ prompt_tokens = -1, completion_tokens = 5 }, { clients = { { name = "app" } } })
    assert.equal("negative", attempt.suspect)
    assert.is_true(answer.record.tokens.estimated and answer.cost > 0 and answer.cost < usd(100))
  end)

  it("is charged as claimed where it is a number", function()
    local cases = { output = { prompt_tokens = 1, completion_tokens = 11 }, hold = { prompt_tokens = 100000, completion_tokens = 1 },
                    parts = { prompt_tokens = 1, completion_tokens = 1, prompt_tokens_details = { cached_tokens = 5 } } }
    local costs = { output = 111, hold = 100010, parts = 16 }
    for reason, usage in pairs(cases) do
      local _, answer, attempt = told(usage)
      assert.equal(reason, attempt.suspect)
      assert.near(usd(costs[reason]), answer.cost, 1e-12)
    end
  end)

  it("is more than the context that the target has", function()
    local g = t.gateway { targets = { { provider = "a", name = "a", price = { input = 1, output = 10 }, context = 50 } },
                          providers = { a = says { prompt_tokens = 51, completion_tokens = 1 } } }
    assert.equal("context", g:ask("hi").record.attempts[1].suspect)
  end)

  it("closes that target to requests under a hard limit, and to no others", function()
    local price = { input = 1, output = 10 }
    local g = t.gateway { targets = { { provider = "a", name = "a", price = price }, { provider = "b", name = "b", price = price } },
                          providers = { a = says { prompt_tokens = 1, completion_tokens = 11 }, b = "fine" },
                          policy = "return { select = function(r, targets) return targets end }",
                          clients = { { name = "app", budget = { limit = 1 } }, { name = "free" } } }
    assert.equal("a", g:ask({ text = "hi", max_tokens = 10 }).target)
    local second = g:ask { text = "hi", max_tokens = 10 }
    assert.equal("b", second.target)
    assert.equal("skipped", second.attempts[1].kind)
    assert.matches('"a" is closed to requests under a hard limit: its provider has claimed more output than was asked for', second.attempts[1].detail, 1, true)
    assert.equal("a", g:ask({ client = "free", text = "hi" }).target)
  end)

  it("leaves 402 where there is no other target, and says why", function()
    local g = told { prompt_tokens = 1, completion_tokens = 11 }
    local answer = g:ask { text = "hi", max_tokens = 10 }
    assert.equal(402, answer.status)
    assert.matches("closed to requests under a hard limit", answer.error.message, 1, true)
    assert.equal(1, g:provider "a".requests)
  end)

  it("is not what a model did that stopped where it was told to", function()
    local g, _, attempt = told { prompt_tokens = 1, completion_tokens = 10 }
    assert.is_nil(attempt.suspect)
    assert.equal(200, g:ask({ text = "hi", max_tokens = 10 }).status)
  end)

  it("is more than was asked for only where something was asked for", function()
    local g = gateway(says { prompt_tokens = 1, completion_tokens = 11 })
    assert.equal("output", g:ask({ text = "hi", max_tokens = 10 }).record.attempts[1].suspect)
    assert.is_nil(g:ask("hi").record.attempts[1].suspect)
  end)

  it("counts all choices that were asked for", function()
    local g = gateway(says { prompt_tokens = 1, completion_tokens = 20 }, nil, limited)
    assert.is_nil(g:ask({ text = "hi", max_tokens = 10, n = 2 }).record.attempts[1].suspect)
  end)
end)

describe("a stream without a word about usage", function()
  local words = { text = ("word "):rep(40), every = 1, usage = false }
  local function left(says_so, limits)
    local g = t.gateway { targets = { { provider = "a", name = "a", price = { input = 1, output = 10 } } },
                          clients = { limits and limited.clients[1] or { name = "app" } },
                          providers = { a = { answer = words, cancel_stops_billing = says_so } } }
    local request = g:start { text = "hi", stream = true, max_tokens = 1000 }
    t.advance(10.5)
    request:leave()
    t.advance(1)
    return g:log()[1].attempts[1].cost, g:log()[1].tokens
  end

  it("costs its hold under a hard limit, also when it ends well", function()
    local g = t.gateway { targets = { { provider = "a", name = "a", price = { input = 1, output = 10 } } }, providers = { a = { text = "x", usage = false } },
                          clients = limited.clients }
    assert.is_true(g:ask({ text = "hi", stream = true, max_tokens = 1000 }).cost >= usd(10000))
  end)

  it("that is hung up on costs its hold under a hard limit", function()
    assert.is_true(left(nil, true) >= usd(10000))
    assert.is_true(left(false, true) >= usd(10000))
  end)

  it("costs what came of it where hanging up ends the bill, and says that this is an estimate", function()
    local cost, tokens = left(true, true)
    assert.is_true(cost > usd(100) and cost < usd(300))
    assert.is_true(tokens.estimated)
    assert.is_true(left(nil, false) < usd(300))
  end)

  it("that says with each event what it came to so far has said nothing final before its end", function()
    local events = {}
    for i = 1, 20 do
      events[i] = { choices = { { index = 0, delta = { content = "x" }, finish_reason = i == 20 and "stop" or nil } },
                    usage = { prompt_tokens = 1, completion_tokens = i } }
    end
    events[21] = "[DONE]"
    local function cost(seconds, more)
      local g = t.gateway { targets = { { provider = "a", name = "a", price = { input = 1, output = 10 } } }, clients = (more or limited).clients,
                            providers = { a = { answer = { events = events, every = 1 }, cancel_stops_billing = more and more.stops } } }
      local request = g:start { text = "hi", stream = true, max_tokens = 1000 }
      t.advance(seconds)
      request:leave()
      t.advance(1)
      return g:log()[1].attempts[1].cost
    end
    assert.is_true(cost(10.5) >= usd(10000))
    assert.near(usd(1 + 200), cost(30), 1e-12)
    assert.is_true(cost(10.5, { clients = limited.clients, stops = true }) < usd(150))
    assert.is_true(cost(10.5, { clients = { { name = "app" } } }) < usd(150))
  end)

  it("costs the most that it could without a limit too, where hanging up does not end the bill", function()
    assert.is_true(left(false, false) >= usd(10000))
  end)
end)
