-- What rates, waits and time-outs do, sentence by sentence of the rows E6, E4, D6 and C4: queues at a rate limit, overload, providers that ask to
-- be left alone, attempts that take too long.
local t = require "lunette.test"

local in_order = "return { select = function(r, targets) return targets end }"

local function limited(rate, more)
  local spec = { targets = { { name = "a", provider = "a", requests_per_minute = rate } } }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

-- Texts of the requests that the provider has seen, in order.
local function order(g, name)
  local texts = {}
  for i, call in ipairs(g:provider(name or "a").calls) do texts[i] = call.text end
  return texts
end

local batch = { ["x-lunette-class"] = "batch" }

describe("E6: a rate limit of a target", function()
  it("E6: lets 500 requests a minute go at once, the 501st waits until the window slides, and is not refused", function()
    local g = limited(500)
    for i = 1, 501 do g:start("q" .. i) end
    assert.equal(500, g:provider "a".requests)
    t.advance(59.999)
    assert.equal(500, g:provider "a".requests)
    t.advance(0.001)
    assert.equal(501, g:provider "a".requests)
    local last = g:log()[501]
    assert.same({ 200, 60000, 60000, "ok" }, { last.status, last.waited_ms, last.attempts[1].waited_ms, last.attempts[1].kind })
  end)

  it("E6: slides: what went out 60 s ago makes room, what went out later does not", function()
    local g = limited(4)
    for _ = 1, 2 do g:start "early" end
    t.advance(30)
    for _ = 1, 5 do g:start "late" end
    assert.equal(4, g:provider "a".requests)
    t.advance(29.9)
    assert.equal(4, g:provider "a".requests)
    t.advance(0.1)
    assert.equal(6, g:provider "a".requests)
    t.advance(29.9)
    assert.equal(6, g:provider "a".requests)
    t.advance(0.1)
    assert.equal(7, g:provider "a".requests)
  end)

  it("E6: is not there where none is said", function()
    local g = t.gateway { targets = { "a" } }
    for _ = 1, 2000 do g:start "hi" end
    assert.equal(2000, g:provider "a".requests)
  end)

  it("E6: lets those who wait go in the order in which they came", function()
    local g = limited(2)
    for i = 1, 7 do g:start("q" .. i) end
    t.advance(200)
    assert.same({ "q1", "q2", "q3", "q4", "q5", "q6", "q7" }, order(g))
  end)

  it("E6: lets interactive requests go before batch work that waited longer", function()
    local g = limited(2)
    for i = 1, 2 do g:start("first" .. i) end
    for i = 1, 2 do g:start { text = "batch" .. i, headers = batch } end
    for i = 1, 2 do g:start("quick" .. i) end
    t.advance(200)
    assert.same({ "first1", "first2", "quick1", "quick2", "batch1", "batch2" }, order(g))
  end)

  it("E6: leaves batch work at most 70 % of a window, so that others find room at once", function()
    local g = limited(10)
    for i = 1, 10 do g:start { text = "batch" .. i, headers = batch } end
    assert.equal(7, g:provider "a".requests)
    for i = 1, 4 do g:start("quick" .. i) end
    assert.equal(10, g:provider "a".requests)
    t.advance(60)
    local seen = { unpack(order(g), 8) }
    assert.same({ "quick1", "quick2", "quick3" }, { unpack(seen, 1, 3) })
    table.sort(seen)                        -- the last four have room in the same moment
    assert.same({ "batch10", "batch8", "batch9", "quick1", "quick2", "quick3", "quick4" }, seen)
  end)

  it("E6: lets the keys of clients take turns, however much one of them asks", function()
    local g = limited(1, { clients = { { name = "greedy" }, { name = "modest" }, { name = "rare" } }, limits = { deadline = 3600 } })
    for i = 1, 4 do g:start { text = "greedy" .. i, client = "greedy" } end
    for i = 1, 2 do g:start { text = "modest" .. i, client = "modest" } end
    g:start { text = "rare1", client = "rare" }
    t.advance(600)
    local seen = order(g)
    assert.same({ "greedy1", "greedy2", "modest1", "rare1", "greedy3", "modest2", "greedy4" }, seen)
  end)

  it("E6: lets who waits go as long as its deadline allows, and refuses at once who cannot make it, with when it could have", function()
    local g = limited(1, { limits = { deadline = 61 } })
    g:ask "first"
    local waits = g:start "second"
    local refused = g:ask "third"           -- its turn would come after 120 s
    assert.same({ 429, 0, "120", "true", "rate_limited" },
                { refused.status, refused.latency, refused.headers["retry-after"], refused.headers["x-should-retry"], refused.error.code })
    assert.same({ "pool_full", "no" }, { refused.attempts[1].kind, refused.attempts[1].billed })
    assert.is_false(waits:done())
    assert.same({ 200, 60 }, { waits:answer().status, waits:answer().latency })
    t.advance(10)
    refused = limited(1, { limits = { deadline = 30 } })
    refused:ask "first"
    t.advance(12.5)
    assert.equal("48", refused:ask("second").headers["retry-after"])
  end)

  it("E6: refuses who finds at its turn that others went before it and the next comes too late", function()
    local g = limited(1, { limits = { deadline = 90 } })
    g:ask "first"
    local work = g:start { text = "work", headers = batch }
    g:start "quick"
    local answer = work:answer()
    t.advance(1)
    assert.same({ 429, 60, "60" }, { answer.status, answer.latency, answer.headers["retry-after"] })
    assert.same({ "first", "quick" }, order(g))
  end)

  it("E6: gives the place of who leaves to those behind", function()
    local g = limited(1)
    g:ask "first"
    local second, third = g:start "second", g:start "third"
    t.advance(10)
    second:leave()
    assert.equal(60, third:answer().latency)
    assert.same({ "first", "third" }, order(g))
  end)

  it("E6: can be waited for as long as the step says, and then the next step has it", function()
    local policy = [[return { select = function(r, targets) return targets:named("a"):steps { wait = 70 } .. targets:named "b" end }]]
    local g = t.gateway { targets = { { name = "a", provider = "a", requests_per_minute = 1 }, "b" }, policy = policy }
    assert.equal("a", g:ask("first").target)
    local second, third = g:start "second", g:ask "third"
    assert.same({ "b", 0, "pool_full" }, { third.target, third.latency, third.attempts[1].kind })
    assert.same({ "a", 60 }, { second:answer().target, second:answer().latency })
  end)

  it("E6: sends what has no turn there to who has room, all of it: that is no retry, of which there is a budget", function()
    local g = t.gateway { targets = { { name = "a", provider = "a", requests_per_minute = 20 }, "b" }, policy = in_order }
    for _ = 1, 200 do assert.equal(200, g:ask("hi").status) end
    assert.same({ 20, 180, 0 }, { g:provider "a".requests, g:provider "b".requests, g:metric "lunette_retries_denied_total" })
  end)

  it("E6: passes over as many as have no turn, and finds the one that has; what a policy insists on counts", function()
    local targets = {}
    for i = 1, 8 do targets[i] = { name = "t" .. i, provider = "t" .. i, requests_per_minute = 1 } end
    local g = t.gateway { targets = targets, policy = in_order }
    for i = 1, 8 do
      local answer = g:ask "hi"
      assert.same({ 200, "t" .. i, i }, { answer.status, answer.target, #answer.attempts })
    end
    g = limited(1, { policy = [[return { select = function(r, targets) return targets:steps { wait = 0 } end,
      retry = function() return require("lunette").again(0) end }]] })
    g:ask "hi"
    assert.same({ 429, 5 }, { g:ask("hi").status, #g:log()[2].attempts })
  end)

  it("E6: is of each key of the provider", function()
    local g = t.gateway { targets = { { name = "a", provider = "a", requests_per_minute = 5 } }, providers = { a = { answer = "x", keys = 2 } } }
    for _ = 1, 11 do g:start "hi" end
    assert.equal(10, g:provider "a".requests)
  end)
end)

describe("E4: overload", function()
  local policy = [[local l = require "lunette"
    local busy = { connect_timeout = true, pool_full = true }
    return { limits = { attempts = 5, retries = false },
      select = function(r, targets) return targets end,
      retry = function(r, attempt)
        if busy[attempt.kind] then return l.next(l.backoff(attempt.number, { base = 1 })) end
      end }]]

  it("E4: a connect timeout or a full pool is retried after 1, 2, 4 s, on another target each time", function()
    local late = { fail = "connect_timeout", after = 0.5 }
    local g = t.gateway { targets = { "a", "b", "c", "d" }, policy = policy,
                          providers = { a = late, b = { fail = "pool_full" }, c = late } }
    local answer, seen, from = g:ask "hi", {}, 0
    for i, attempt in ipairs(answer.attempts) do
      seen[i] = { attempt.target, attempt.kind, attempt.at - from }
      from = attempt.at + attempt.took
    end
    assert.same({ { "a", "connect_timeout", 0 }, { "b", "pool_full", 1 }, { "c", "connect_timeout", 2 }, { "d", "ok", 4 } }, seen)
    assert.same({ 200, 8, 7, true }, { answer.status, answer.latency, answer.waited, answer.fallback })
  end)

  it("E4: neither is billed; a connect timeout counts against the target, a full pool does not", function()
    local look = [[finish = function(r) l.note("circuits", { r.targets:named("a")[1].circuit, r.targets:named("b")[1].circuit }) end, retry =]]
    local g = t.gateway { targets = { "a", "b", "c" }, policy = (policy:gsub("retry =", look)), health = { failures = 1 },
                          providers = { a = { fail = "connect_timeout" }, b = { fail = "pool_full" } } }
    local answer = g:ask "hi"
    assert.same({ "no", "no" }, { answer.attempts[1].billed, answer.attempts[2].billed })
    assert.same({ "open", "closed" }, answer.notes.circuits)
  end)
end)

describe("D6: a provider that asks to be left alone", function()
  local wall = 1767571200         -- of the clock's beginning
  local waits = {
    { "Retry-After in seconds", { ["retry-after"] = "7" }, 7 },
    { "Retry-After as a date", { ["retry-after"] = "Mon, 05 Jan 2026 00:00:07 GMT" }, 7 },
    { "retry-after-ms", { ["retry-after-ms"] = "2500" }, 2.5 },
    { "OpenAI's x-ratelimit-reset-requests", { ["x-ratelimit-reset-requests"] = "1s" }, 1 },
    { "OpenAI's x-ratelimit-reset-tokens", { ["x-ratelimit-reset-tokens"] = "6m0s" }, 360 },
    { "Groq's fractions", { ["x-ratelimit-reset-tokens"] = "7.66s" }, 7.66 },
    { "Cerebras' seconds of a day", { ["x-ratelimit-reset-requests-day"] = "330.5", ["x-ratelimit-remaining-requests-day"] = "0" }, 330.5 },
    { "OpenRouter's epoch in ms", { ["x-ratelimit-reset"] = tostring((wall + 9) * 1000) }, 9 },
    { "an epoch in seconds", { ["x-ratelimit-reset"] = tostring(wall + 9) }, 9 },
    { "Anthropic's time of day", { ["anthropic-ratelimit-tokens-reset"] = "2026-01-05T00:00:11Z", ["anthropic-ratelimit-tokens-remaining"] = "0" }, 11 },
    { "the draft of the IETF", { ["ratelimit-reset"] = "13" }, 13 },
    { "nothing: a second", {}, 1 },
  }
  for _, case in ipairs(waits) do
    it("D6: by " .. case[1] .. " gets no traffic until then, any of its models, while another serves", function()
      local g = t.gateway { targets = { "p/one", "p/two", "q" }, policy = in_order, health = { cooling = "provider" },
                            providers = { p = { { status = 429, headers = case[2] }, "back" } } }
      local answer = g:ask "hi"
      assert.same({ "q", 0 }, { answer.target, answer.latency })
      t.advance(case[3] - 0.001)
      assert.equal("q", g:ask("hi").target)
      assert.equal(1, g:provider "p".requests)
      t.advance(0.001)
      assert.equal("p/one", g:ask("hi").target)
    end)
  end

  it("D6: is what the client is told to wait where nobody else serves, and is not asked again", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { { status = 429, headers = { ["retry-after"] = "20" } }, "back" } } }
    assert.equal("20", g:ask("hi").headers["retry-after"])
    t.advance(5)
    local answer = g:ask "hi"
    assert.same({ 429, "15", 1 }, { answer.status, answer.headers["retry-after"], g:provider "a".requests })
    t.advance(15)
    assert.equal(200, g:ask("hi").status)
  end)

  local handler = [[local l = require "lunette"
    return { limits = { attempts = 5, retries = false }, select = function(r, targets) return targets end,
      retry = function(r, attempt)
        if attempt.kind ~= "rate_limited" then return l.stop() end
        return l.again(attempt.retry_after or l.backoff(attempt.try, { base = 1, jitter = 0.5 }))
      end }]]

  it("D6: says how long a policy waits before it tries again", function()
    local g = t.gateway { targets = { "a" }, policy = handler, providers = { a = {
      { status = 429, headers = { ["retry-after"] = "3" } }, { status = 429, headers = { ["x-ratelimit-reset-requests"] = "1m2s" } }, "fine" } } }
    local answer = g:ask "hi"
    assert.same({ 200, 0, 3, 65 }, { answer.status, answer.attempts[1].at, answer.attempts[2].at, answer.attempts[3].at })
  end)

  it("D6: and says nothing is tried up to 5 times, after 1, 2, 4, 8 s, give or take half", function()
    local factors = {}
    for seed = 1, 20 do
      local g = t.gateway { targets = { "a" }, policy = handler, seed = seed, providers = { a = 429 } }
      local answer = g:ask "hi"
      assert.same({ 429, 5, 5 }, { answer.status, #answer.attempts, g:provider "a".requests })
      for i = 2, 5 do
        local factor = (answer.attempts[i].at - answer.attempts[i - 1].at) / 2 ^ (i - 2)
        assert.is_true(factor >= 0.5 and factor <= 1.5)
        factors[#factors + 1] = factor
      end
    end
    table.sort(factors)
    assert.is_true(factors[1] < 0.7 and factors[#factors] > 1.3)         -- they are spread, not all the same
  end)

  it("D6: many requests at once that it refuses make it rest as long as one", function()
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, limits = { retries = false },
                          providers = { a = function() return { status = 429, after = 1 } end } }
    for _ = 1, 30 do g:start "hi" end
    t.advance(1)
    assert.equal(30, g:provider "a".requests)
    t.advance(0.999)
    assert.equal("b", g:ask("hi").target)
    t.advance(0.001)
    g:ask "hi"
    assert.equal(31, g:provider "a".requests)
  end)
end)

describe("C4: a rate limit or a time-out", function()
  it("C4: a 429 goes to another provider of the model at once, and the first rests", function()
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, providers = { a = { 429, "back" } } }
    local answer = g:ask "hi"
    assert.same({ 200, "b", 0, "rate_limited" }, { answer.status, answer.target, answer.latency, answer.attempts[1].kind })
    answer = g:ask "hi"
    assert.same({ "b", 1 }, { answer.target, #answer.attempts })
    t.advance(1)
    assert.equal("a", g:ask("hi").target)
  end)

  it("C4: so it does without a policy", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 429, b = 429 } }
    assert.same({ "rate_limited", "rate_limited" }, { g:ask("hi").attempts[1].kind, g:log()[1].attempts[2].kind })
    local one = t.gateway { targets = { "a", "b" }, providers = { a = 429 } }
    for _ = 1, 5 do assert.equal("b", one:ask("hi").target) end
  end)

  local cases = {
    { "30 s that the provider's `timeouts.total` says", { answer = { text = "late", after = 31 }, timeouts = { total = 30 } }, "" },
    { "30 s that its step says", { text = "late", after = 31 }, ":steps { total = 30 }" },
    { "30 s, though its head and half of the answer are there", { text = "late", stall = true }, ":steps { total = 30, idle = 60 }" },
  }
  for _, case in ipairs(cases) do
    it("C4: an attempt over " .. case[1] .. " is abandoned and goes to the next provider", function()
      local g = t.gateway { targets = { "a", "b" }, providers = { a = case[2], b = { text = "in time", after = 2 } },
                            policy = "return { select = function(r, targets) return targets:named('a')" .. case[3] .. " .. targets:named('b') end }" }
      local answer = g:ask "hi"
      assert.same({ 200, "in time", 32 }, { answer.status, answer.text, answer.latency })
      assert.same({ "total_timeout", 30, "maybe" }, { answer.attempts[1].kind, answer.attempts[1].took, answer.attempts[1].billed })
    end)
  end

  it("C4: one that answers in 29.9 s is not", function()
    local just = { answer = { text = "just", after = 29.9 }, timeouts = { total = 30 } }
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, providers = { a = just } }
    assert.equal("just", g:ask("hi").text)
  end)

  it("C4: a stream that has not begun in 30 s goes to the next provider", function()
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, keepalive = false,
                          providers = { a = { answer = { text = "late", after = 40 }, timeouts = { total = 30 } }, b = "in time" } }
    local answer = g:ask { text = "hi", stream = true }
    assert.same({ "in time", true, 30 }, { answer.text, answer.clean, answer.latency })
  end)
end)
