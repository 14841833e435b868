-- What a step of a plan may say: clocks, hedges, waiting for a turn, changes to the body.
local t = require "lunette.test"

local function steps(options, more)
  local plan = "targets:named('a'):steps {" .. options .. "} .. targets:named 'b'"
  local spec = { targets = { "a", "b" }, policy = "return { select = function(r, targets) return " .. plan .. " end }" }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("the clocks of a step", function()
  it("first_byte: no head of a whole answer in time", function()
    local g = steps("first_byte = 2", { providers = { a = { text = "late", after = 5 } } })
    local answer = g:ask "hi"
    assert.equal("b", answer.target)
    assert.equal("first_byte_timeout", answer.attempts[1].kind)
    assert.equal(2, answer.attempts[1].took)
  end)

  it("first_byte: pings do not stop it in a stream", function()
    local ping = { raw = ": ping\n\n" }
    local g = steps("first_byte = 2", { providers = { a = { events = { ping, ping, ping, ping, ping, ping }, every = 0.5 } } })
    local answer = g:ask { stream = true }
    assert.equal("b", answer.target)
    assert.equal("first_byte_timeout", answer.attempts[1].kind)
  end)

  it("idle: silence in the middle of a stream is an error that does not end clean", function()
    local one = { choices = { { index = 0, delta = { content = "one" } } } }
    local g = steps("idle = 3", { providers = { a = { events = { one }, stall = true } } })
    local answer = g:ask { stream = true }
    assert.equal("one", answer.text)
    assert.equal(3, answer.latency)
    assert.is_false(answer.clean)
    assert.is_nil(answer.done)
    assert.equal("idle_timeout", answer.attempts[1].kind)
    assert.is_string(answer.error.message)
  end)

  it("idle: silence in the middle of a whole answer goes on to the next step", function()
    local g = steps("idle = 3", { providers = { a = { text = "one", stall = true } } })
    local answer = g:ask "hi"
    assert.equal("b", answer.target)
    assert.equal("idle_timeout", answer.attempts[1].kind)
  end)

  it("total: all of it", function()
    local g = steps("total = 4", { providers = { a = { text = "one two three four five six", every = 1 } } })
    local answer = g:ask { stream = true }
    assert.equal(4, answer.latency)
    assert.equal("total_timeout", answer.attempts[1].kind)
    assert.is_false(answer.clean)
  end)

  it("are the provider's where the step says nothing", function()
    local g = steps("", { providers = { a = { answer = { text = "late", after = 5 }, timeouts = { first_byte = 1.5 } } } })
    assert.equal(1.5, g:ask("hi").attempts[1].took)
  end)
end)

describe("hedge_after", function()
  local hedged = "hedge_after = 0.8"

  it("starts the next step beside one that is silent, and the first good event wins", function()
    local g = steps(hedged, { providers = { a = { text = "slow", after = 5 }, b = { text = "quick", after = 0.1 } } })
    local answer = g:ask { stream = true }
    assert.equal("quick", answer.text)
    assert.near(0.9, answer.latency, 1e-9)
    assert.equal("cancelled", answer.attempts[1].kind)
    assert.is_true(answer.attempts[2].hedge)
    assert.equal(0.8, answer.attempts[2].at)
    assert.equal(1, g:metric "lunette_hedges_total")
  end)

  it("does not count the loser as a failure", function()
    local g = steps(hedged, { providers = { a = { text = "slow", after = 5 } } })
    for _ = 1, 6 do
      local answer = g:ask { stream = true }
      assert.same({ "a", "b" }, { answer.attempts[1].target, answer.target })
    end
  end)

  it("is not needed when the first answers in time", function()
    local g = steps(hedged, { providers = { a = { text = "quick", after = 0.5 } } })
    assert.equal("a", g:ask({ stream = true }).target)
    assert.equal(0, g:provider "b".requests)
  end)

  it("lets the first win that was first good, though it began first", function()
    local g = steps(hedged, { providers = { a = { text = "first", after = 1 }, b = { text = "second", after = 1 } } })
    local answer = g:ask { stream = true }
    assert.equal("first", answer.text)
    assert.equal("cancelled", answer.attempts[2].kind)
  end)

  it("of whole answers takes the first that judge finds good", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = { text = "good", after = 3 }, b = { text = "bad", after = 1 } },
                          policy = [[
      local l = require "lunette"
      return {
        select = function(r, targets) return targets:named "a":steps { hedge_after = 0.5 } .. targets:named "b" end,
        judge = function(r, attempt) if attempt.text == "bad" then return l.next() end end,
      }]] }
    local answer = g:ask "hi"
    assert.equal("good", answer.text)
    assert.equal(3, answer.latency)
  end)

  it("is no reason to ask a target that rests", function()
    local limited = { status = 429, headers = { ["retry-after"] = "60" } }
    local g = steps(hedged, { providers = { a = { text = "slow", after = 5 }, b = { limited, "x" } } })
    g:ask { stream = true }
    assert.equal(1, g:provider "b".requests)
    assert.equal("slow", g:ask({ stream = true }).text)
    assert.equal(1, g:provider "b".requests)
  end)

  it("never has more than two in flight", function()
    local function slow(text) return { text = text, after = 9 } end
    local g = t.gateway { targets = { "a", "b", "c" }, providers = { a = slow "a", b = slow "b", c = slow "c" },
                          policy = "return { select = function(r, targets) return targets:steps { hedge_after = 1 } end }" }
    g:start { stream = true }
    t.advance(8)
    assert.same({ 1, 1, 0 }, { g:provider "a".requests, g:provider "b".requests, g:provider "c".requests })
  end)

  it("can be forbidden: limits.hedges = 0", function()
    local g = steps(hedged, { limits = { hedges = 0 }, providers = { a = { text = "slow", after = 5 } } })
    assert.equal("slow", g:ask({ stream = true }).text)
    assert.equal(0, g:provider "b".requests)
  end)

  it("is bounded: at least ten a minute, then a share of the requests", function()
    local g = steps(hedged, { limits = { hedges = 0.01 }, providers = { a = { text = "slow", after = 5 }, b = { text = "quick" } } })
    local hedges = 0
    for _ = 1, 14 do hedges = hedges + (#g:ask({ stream = true }).attempts - 1) end
    assert.equal(10, hedges)
  end)
end)

describe("wait", function()
  local function limited(options)
    return t.gateway { targets = { { provider = "a", name = "a", requests_per_minute = 1 }, "b" },
                       policy = [[return { select = function(r, targets)
                         return targets:named("a"):steps {]] .. options .. [[} .. targets:named "b"
                       end }]] }
  end

  it("0, as by default but for the last: a full window sends on at once", function()
    local g = limited ""
    assert.equal("a", g:ask("hi").target)
    local second = g:ask "hi"
    assert.equal("b", second.target)
    assert.equal(0, second.latency)
    assert.equal("pool_full", second.attempts[1].kind)
  end)

  it("queues for its turn as long as it says", function()
    local g = limited "wait = 90"
    g:ask "hi"
    local second = g:ask "hi"
    assert.equal("a", second.target)
    assert.is_true(second.latency > 10 and second.latency <= 61)
  end)

  local busy = { { status = 429, headers = { ["retry-after"] = "20" } }, "well again" }

  it("waits for the end of a rest, where no later step can serve", function()
    local g = t.gateway { targets = { "a" }, providers = { a = busy },
                          policy = "return { select = function(r, targets) return targets:steps { wait = 30 } end }" }
    assert.equal(429, g:ask("hi").status)
    local second = g:ask { at = 5 }
    assert.equal("well again", second.text)
    assert.near(15, second.latency, 0.001)
  end)

  it("not when it would be too long", function()
    local g = t.gateway { targets = { "a" }, providers = { a = busy },
                          policy = "return { select = function(r, targets) return targets:steps { wait = 10 } end }" }
    g:ask "hi"
    local second = g:ask { at = 5 }
    assert.equal(429, second.status)
    assert.equal(0, second.latency)
    assert.equal("15", second.headers["retry-after"])
  end)

  it("nor when a later step can serve", function()
    local g = steps("wait = 30", { providers = { a = busy } })
    g:ask "hi"
    local second = g:ask { at = 5 }
    assert.equal("b", second.target)
    assert.equal(0, second.latency)
  end)

  it("one whose circuit is open is asked all the same when nobody else can serve", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { 500, 500, 500, 500, 500, "well again" } }, health = { rest = 60 },
                          policy = "return { select = function(r, targets) return targets:steps { wait = 100 } end }" }
    for _ = 1, 5 do g:ask "hi" end
    local answer = g:ask "hi"
    assert.equal("well again", answer.text)
    assert.equal(0, answer.latency)
  end)

  it("a client that leaves meanwhile leaves nothing behind", function()
    local g = t.gateway { targets = { "a" }, providers = { a = busy },
                          policy = "return { select = function(r, targets) return targets:steps { wait = 30 } end }" }
    g:ask "hi"
    local second = g:start { at = 5 }
    t.advance(3)
    second:leave()
    t.advance(60)
    assert.equal(1, #g:provider "a".calls)
    assert.equal("well again", g:ask("hi").text)
  end)

  it("the last step queues up to the deadline", function()
    local g = t.gateway { targets = { { provider = "a", name = "a", requests_per_minute = 1 } } }
    g:ask "hi"
    local second = g:ask "hi"
    assert.equal(200, second.status)
    assert.is_true(second.latency > 10 and second.latency <= 61)
  end)
end)

describe("warning", function()
  local dear = "{ targets[1] .. targets[2]:steps { warning = 'dear: costs 20 × the first' } }"
  local function gateway(first)
    return t.gateway { targets = { "a", "b" }, providers = { a = first },
                       policy = "return { select = function(r, targets) return " .. dear .. " end }" }
  end

  it("is told to the client of the step that answered, and to the log", function()
    local answer = gateway(500):ask "hi"
    assert.equal("dear: costs 20 ?? the first", answer.headers["x-lunette-warning"])
    assert.equal("dear: costs 20 × the first", answer.record.warning)
    assert.equal("dear: costs 20 ?? the first", gateway(500):ask({ stream = true }).headers["x-lunette-warning"])
  end)

  it("is not told where another answered", function()
    local answer = gateway("fine"):ask "hi"
    assert.is_nil(answer.headers["x-lunette-warning"])
    assert.is_nil(answer.record.warning)
  end)
end)

describe("set, drop, rename", function()
  local function seen(options, body)
    local g = steps(options)
    g:ask { body = body }
    return g:provider "a".calls[1].json
  end

  it("change top-level fields of the body", function()
    local json = seen("set = { temperature = 0.5, stop = { 'x' } }, drop = { 'user' }, rename = { max_tokens = 'max_completion_tokens' }",
                      { user = "u", max_tokens = 7, temperature = 1 })
    assert.equal(0.5, json.temperature)
    assert.same({ "x" }, json.stop)
    assert.is_nil(json.user)
    assert.is_nil(json.max_tokens)
    assert.equal(7, json.max_completion_tokens)
  end)

  it("leave every other byte as it was", function()
    local g = t.gateway { targets = { "a" },
                          policy = "return { select = function(r, targets) return targets:steps { set = { top_p = 1 } } end }" }
    local body = '{ "model" : "m",\n\t"messages":[ {"role":"user","content":"h\\u00e9"} ] , "x":1.0e0}'
    g:ask { body = body }
    local sent = g:provider "a".calls[1].body
    assert.equal(body, (sent:gsub('"top_p":1,', ""):gsub(',"top_p":1', ""):gsub('"top_p":1', "")))
    assert.matches('"top_p":1', sent, 1, true)
  end)
end)
