-- E1, E4 and E6, policies/load_balancer.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function target(name, more)
  local config = { provider = name, name = name, price = { input = 5, output = 5 } }
  for field, value in pairs(more or {}) do config[field] = value end
  return config
end

local function gateway(targets, strategy, more)
  return support.gateway({ policy = "policies/load_balancer.lua", targets = targets, settings = { strategy = strategy } }, more)
end

local function count(g, n, question)
  local times = {}
  for _ = 1, n do
    local name = g:ask(question or "hi").target
    times[name] = (times[name] or 0) + 1
  end
  return times
end

local tried = support.tried

local abc = { target "a", target "b", target "c" }

describe("E1 strategies", function()
  it("round_robin: each in turn", function()
    local g = gateway(abc, "round_robin")
    local order = {}
    for i = 1, 6 do order[i] = g:ask("hi").target end
    assert.equal("a b c a b c", table.concat(order, " "))
  end)

  it("round_robin is the default", function()
    local g = gateway(abc)
    assert.same({ a = 3, b = 3, c = 3 }, count(g, 9))
  end)

  it("weighted: in proportion to the weights", function()
    local g = gateway({ target("a", { weight = 7 }), target("b", { weight = 2 }), target("c", { weight = 1 }) }, "weighted")
    local times = count(g, 1000)
    assert.is_true(math.abs(times.a - 700) < 60 and math.abs(times.b - 200) < 50 and math.abs(times.c - 100) < 40)
  end)

  it("weighted: nothing for a weight of 0", function()
    assert.same({ b = 50 }, count(gateway({ target("a", { weight = 0 }), target "b" }, "weighted"), 50))
  end)

  it("least_latency: by the mean of the last 5", function()
    local after = { a = 1, b = 0.5, c = 2 }
    local providers = {}
    for name in pairs(after) do providers[name] = function() return { text = name, after = after[name] } end end
    local g = gateway(abc, "least_latency", { providers = providers })
    count(g, 3)                                         -- everybody once, to be known
    assert.same({ b = 5 }, count(g, 5))
    after.b = 3                                         -- mean of b: 0.5, then (4 × 0.5 + 3) / 5 = 1, then 1.5
    assert.same({ b = 1 }, count(g, 1))
    assert.same({ a = 4 }, count(g, 4, { text = "x" }))
  end)

  it("least_latency: five slow answers are forgotten after five quick ones", function()
    local seconds = 2
    local g = gateway({ target "a", target "b" }, "least_latency", {
      providers = { a = function() return { text = "a", after = seconds } end, b = { text = "b", after = 1 } },
    })
    for _ = 1, 5 do g:ask "hi" end
    assert.equal("b", g:ask("hi").target)
    seconds = 0.1
    local latency = g:target("a")
    assert.is_table(latency)
  end)

  local priced = { target("dear", { price = { input = 20, output = 20 } }), target("cheap", { price = { input = 3, output = 3 } }),
                   target("middling", { price = { input = 8, output = 8 } }) }

  it("cheapest: the cheapest under the limit", function()
    assert.same({ cheap = 5 }, count(gateway(priced, "cheapest"), 5))
  end)

  it("cheapest: the first available where none is under it", function()
    local g = gateway(priced, nil, { settings = { strategy = "cheapest", price_limit = 2 } })
    assert.same({ dear = 5 }, count(g, 5))
  end)

  it("peak_ewma: the busy and the slow get less", function()
    local providers = { a = { text = "a", after = 5 }, b = { text = "b", after = 0.1 }, c = { text = "c", after = 0.1 } }
    local g = gateway(abc, "peak_ewma", { providers = providers })
    count(g, 30)
    assert.is_true((count(g, 60).a or 0) <= 3)
  end)

  it("sticky: a conversation stays at one target", function()
    local g = gateway(abc, "sticky")
    local first = g:ask({ session = "s" }).target
    assert.same({ [first] = 10 }, count(g, 10, { session = "s" }))
  end)

  it("a failure goes to another target", function()
    for _, strategy in ipairs { "round_robin", "weighted", "least_latency", "cheapest", "peak_ewma", "sticky" } do
      local g = gateway({ target "a", target "b" }, strategy, { providers = { a = 500 } })
      for _ = 1, 4 do assert.equal("b", g:ask("hi").target) end
    end
  end)

  it("only targets with room under their requests per minute take part", function()
    for _, strategy in ipairs { "round_robin", "weighted", "least_latency", "cheapest", "peak_ewma", "sticky" } do
      local g = gateway({ target("a", { requests_per_minute = 3 }), target "b" }, strategy)
      for _ = 1, 20 do
        local answer = g:ask "hi"
        assert.equal(1, #answer.attempts)
        assert.equal(0, answer.latency)
      end
      assert.is_true(#g:provider "a".calls <= 3)
    end
  end)
end)

describe("E4 overload", function()
  for _, kind in ipairs { "connect_timeout", "pool_full" } do
    it(kind .. ": after 1, 2, 4 s, another target each time", function()
      local g = gateway({ target "a", target "b", target "c", target "d" }, "round_robin", {
        providers = { a = { fail = kind }, b = { fail = kind }, c = { fail = kind } },
      })
      local answer = g:ask "hi"
      assert.equal("a b c d", tried(answer))
      for i, at in ipairs { 0, 1, 3, 7 } do assert.equal(at, answer.attempts[i].at) end
      assert.equal(200, answer.status)
    end)
  end

  it("the same again where there is only one", function()
    local answer = gateway({ target "a" }, nil, { providers = { a = { { fail = "connect_timeout" }, "fine" } } }):ask "hi"
    assert.equal("a a", tried(answer))
    assert.equal(1, answer.latency)
  end)
end)

describe("E6 rate limiter", function()
  it("500 a minute go at once, the next waits its turn", function()
    local g = gateway { target("a", { requests_per_minute = 500 }) }
    for _ = 1, 500 do assert.equal(0, g:ask("hi").latency) end
    local answer = g:ask "hi"
    assert.equal(200, answer.status)
    assert.near(60, answer.latency, 0.001)
  end)

  it("those who wait are served in order", function()
    local g = gateway { target("a", { requests_per_minute = 2 }) }
    g:ask "hi"
    g:ask { at = 10 }
    local waiting = {}
    for i = 1, 4 do waiting[i] = g:start { at = 20 + i, text = "number " .. i } end
    local ended = {}
    for i = 1, 4 do ended[i] = waiting[i]:answer().ended end
    assert.near(60, ended[1], 0.001)
    assert.near(70, ended[2], 0.001)
    assert.near(120, ended[3], 0.001)
    assert.near(130, ended[4], 0.001)
  end)

  it("one that cannot make it before its deadline is refused at once", function()
    local g = gateway({ target("a", { requests_per_minute = 1 }) }, nil, { limits = { deadline = 30 } })
    g:ask "hi"
    local answer = g:ask "hi"
    assert.equal(429, answer.status)
    assert.equal(0, answer.latency)
  end)

  it("and one that can is not", function()
    local g = gateway({ target("a", { requests_per_minute = 1 }) }, nil, { limits = { deadline = 61 } })
    g:ask "hi"
    assert.equal(200, g:ask("hi").status)
  end)
end)

describe("bad options", function()
  local function refusal(settings) return select(2, pcall(gateway, abc, nil, { settings = settings })) end

  it("an unknown strategy is refused by name", function()
    assert.matches("strategy", tostring(refusal { strategy = "fastest_ever" }))
  end)

  it("a negative limit is refused by name", function()
    assert.matches("price_limit", tostring(refusal { price_limit = -1 }))
  end)
end)
