-- What holds where a policy says nothing.
local t = require "lunette.test"

local in_order = "return { select = function(r, targets) return targets end }"

local function count(g, n, ask)
  local by = {}
  for i = 1, n do
    local target = g:ask(type(ask) == "function" and ask(i) or ask).target
    by[target] = (by[target] or 0) + 1
  end
  return by
end

describe("the default plan", function()
  it("goes on to another target when the first says 429", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 429, b = "hello" } }
    for i = 1, 20 do
      local answer = g:ask { session = "s" .. i }
      assert.equal(200, answer.status)
      assert.equal("b", answer.target)
    end
  end)

  it("is sticky by session", function()
    local g = t.gateway { targets = { "a", "b", "c", "d" } }
    local first = g:ask({ session = "one" }).target
    for _ = 1, 10 do assert.equal(first, g:ask({ session = "one" }).target) end
  end)

  it("spreads sessions over all targets", function()
    local g = t.gateway { targets = { "a", "b", "c", "d" } }
    local by = count(g, 80, function(i) return { session = "s" .. i } end)
    for _, name in ipairs { "a", "b", "c", "d" } do assert.is_true((by[name] or 0) > 5, name) end
  end)

  it("knows a session again by how the conversation began", function()
    local g = t.gateway { targets = { "a", "b", "c", "d" } }
    local opening = { { role = "system", content = "be brief" }, { role = "user", content = "first" } }
    local first = g:ask({ messages = opening }).target
    local longer = { opening[1], opening[2], { role = "assistant", content = "yes" }, { role = "user", content = "more" } }
    assert.equal(first, g:ask({ messages = longer }).target)
  end)

  it("moves only the sessions of a target that is taken away", function()
    local four, three = t.gateway { targets = { "a", "b", "c", "d" } }, t.gateway { targets = { "a", "b", "c" } }
    for i = 1, 40 do
      local before = four:ask({ session = "s" .. i }).target
      if before ~= "d" then assert.equal(before, three:ask({ session = "s" .. i }).target) end
    end
  end)

  it("without a session takes the better of two: less latency, less in flight", function()
    local g = t.gateway { targets = { "slow", "quick" },
                          providers = { slow = { text = "x", after = 4 }, quick = { text = "x", after = 0.1 } } }
    local by = count(g, 30, { endpoint = "embeddings", input = "text" })
    assert.is_true(by.quick > 25)
  end)

  it("asks only for targets of the model that was named", function()
    local g = t.gateway { models = { small = { "a" }, large = { "b" } }, providers = { a = 503 } }
    local answer = g:ask { model = "small" }
    assert.equal(503, answer.status)
    assert.equal(0, g:provider "b".requests)
  end)

  it("puts those that rest last, and does not ask them while another can serve", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = { status = 429, headers = { ["retry-after"] = "30" } } } }
    local i = 0
    repeat
      i = i + 1
      g:ask { session = "s" .. i }
    until g:provider "a".requests == 1
    for n = 1, 20 do g:ask { session = "t" .. n } end
    assert.equal(1, g:provider "a".requests)
    t.advance(30)
    for n = 1, 20 do g:ask { session = "t" .. n } end
    assert.is_true(g:provider "a".requests > 1)
  end)

  it("pins a request with previous_response_id: it never falls over silently", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 500, b = 500 } }
    local answer = g:ask { previous_response_id = "resp_1" }
    assert.equal(502, answer.status)
    assert.equal(1, #answer.attempts)
  end)
end)

-- kind, scene of the first provider, status the client gets, whether the second is asked
local rules = {
  { "connect_refused", { fail = "connect_refused" }, 200 },
  { "dns", { fail = "dns" }, 200 },
  { "tls", { fail = "tls" }, 200 },
  { "connect_timeout", { fail = "connect_timeout" }, 200 },
  { "reset", { cut = "rst" }, 200 },
  { "cut", { text = "half of this", cut = "fin" }, 200 },
  { "bad_answer", { body = "<html>" }, 200 },
  { "rate_limited", { status = 429 }, 200 },
  { "overloaded", { status = 503 }, 200 },
  { "overloaded", { status = 529 }, 200 },
  { "server_error", { status = 500 }, 200 },
  { "auth", { status = 401 }, 200 },
  { "auth", { status = 403 }, 200 },
  { "quota", { status = 402 }, 200 },
  { "quota", { status = 429, body = { error = { code = "insufficient_quota", message = "pay" } } }, 200 },
  { "not_found", { status = 404 }, 200 },
  { "too_long", { status = 400, body = { error = { code = "context_length_exceeded", message = "too long" } } }, 200 },
  { "filtered", { status = 400, body = { error = { code = "content_filter", message = "no" } } }, 200 },
  { "bad_request", { status = 400, body = { error = { message = "wrong `n`" } } }, 400 },
  { "bad_request", { status = 422, body = { error = { message = "wrong `n`" } } }, 400 },
}

describe("the default rule", function()
  for i, case in ipairs(rules) do
    local kind, scene, status = case[1], case[2], case[3]
    it(("%d: after %s %s"):format(i, kind, status == 200 and "the next step" or "it stops"), function()
      local g = t.gateway { targets = { "a", "b" }, providers = { a = scene }, policy = in_order }
      local answer = g:ask "hi"
      assert.equal(kind, answer.attempts[1].kind)
      assert.equal(status, answer.status)
      assert.equal(status == 200 and 1 or 0, g:provider "b".requests)
      assert.equal(0, answer.latency)
    end)
  end

  it("never sends again to a target what it will refuse again", function()
    local g = t.gateway { targets = { "a" }, providers = { a = 404 },
                          policy = "return { select = function(r, x) return { x[1], x[1], x[1] } end }" }
    local answer = g:ask "hi"
    assert.equal(1, #answer.attempts)
    assert.equal(502, answer.status)
  end)

  it("says what was tried and why each attempt failed", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 500, b = { cut = "rst" } } }
    local answer = g:ask "hi"
    assert.equal(502, answer.status)
    assert.equal("upstream_failed", answer.error.code)
    assert.equal("false", answer.headers["x-should-retry"])
    for _, name in ipairs { "a", "b" } do assert.matches(name, answer.error.message, 1, true) end
  end)

  it("answers 429 with the smallest retry-after when all are rate limited", function()
    local function limited(s) return { status = 429, headers = { ["retry-after"] = s } } end
    local g = t.gateway { targets = { "a", "b" }, providers = { a = limited "20", b = limited "7" } }
    local answer = g:ask "hi"
    assert.equal(429, answer.status)
    assert.equal("7", answer.headers["retry-after"])
    assert.equal("true", answer.headers["x-should-retry"])
    t.advance(2)
    answer = g:ask "hi"
    assert.equal(429, answer.status)
    assert.equal("5", answer.headers["retry-after"])
    assert.equal(1, g:provider "a".requests)
  end)
end)

describe("limits", function()
  it("attempts: four in a request", function()
    local g = t.gateway { targets = { "a", "b", "c", "d", "e", "f" }, limits = { retries = false },
                          providers = { a = 500, b = 500, c = 500, d = 500, e = 500, f = 500 } }
    assert.equal(4, #g:ask("hi").attempts)
  end)

  it("attempts: a policy may say another number, and gateway.lua wins over it", function()
    local spec = { targets = { "a", "b", "c" }, providers = { a = 500, b = 500, c = 500 }, policy = "return { limits = { attempts = 2 } }" }
    assert.equal(2, #t.gateway(spec):ask("hi").attempts)
    spec.limits = { attempts = 3 }
    assert.equal(3, #t.gateway(spec):ask("hi").attempts)
  end)

  it("retries: at least ten in ten seconds, then a share of the requests", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 500, b = 500 }, health = false }
    local attempts = 0
    for _ = 1, 30 do attempts = attempts + #g:ask("hi").attempts end
    assert.equal(30 + 10, attempts)
    assert.is_true(g:metric "lunette_retries_denied_total" > 0)
    t.advance(11)
    assert.equal(2, #g:ask("hi").attempts)
  end)

  it("retries = false: only attempts bounds them", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 500, b = 500 }, health = false, limits = { retries = false } }
    for _ = 1, 30 do assert.equal(2, #g:ask("hi").attempts) end
  end)

  it("deadline: 504, whatever is under way", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "x", after = 50 } }, limits = { deadline = 20 } }
    local answer = g:ask "hi"
    assert.equal(504, answer.status)
    assert.equal("deadline_exceeded", answer.error.code)
    assert.equal(20, answer.latency)
    assert.equal("cancelled", answer.attempts[1].kind)
  end)

  it("deadline: of waiting hooks too", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "x", after = 15 } }, limits = { deadline = 20 },
                          policy = "local l = require 'lunette' return { classify = function() l.sleep(9) end }" }
    local answer = g:ask "hi"
    assert.equal(504, answer.status)
    assert.equal(20, answer.latency)
  end)

  it("deadline: no wait of a hook outlasts it, so that the default can still decide", function()
    local waits = { ["l.sleep(3600)"] = 0, ["while true do l.sleep(3600) end"] = 0,
                    ["while true do l.sleep(2) end"] = 10, ["while true do l.sleep(0) end"] = 0,
                    ["l.http { url = 'http://slow.example/', timeout = 600 }"] = 10,
                    ["l.chat { model = 'slow', text = 'x', timeout = 600 }"] = 10 }
    for wait, latency in pairs(waits) do
      local g = t.gateway { models = { m = { "a" }, slow = { "s" } }, providers = { s = { text = "x", after = 600 } },
                            limits = { deadline = 20 }, web = function() return { body = "late", after = 600 } end,
                            policy = "local l = require 'lunette' return { classify = function() " .. wait .. " end }" }
      local answer = g:ask { model = "m" }
      assert.equal(200, answer.status, wait)
      assert.near(latency, answer.latency, 2.1, wait)
    end
  end)

  it("deadline: of a stream after content it is an error event", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "one two three four", every = 4 } }, limits = { deadline = 9 } }
    local answer = g:ask { stream = true }
    assert.equal("one ", answer.text:sub(1, 4))
    assert.equal("deadline_exceeded", answer.error.code)
    assert.is_false(answer.clean)
  end)

  it("requests per minute of a key: 429 before anything is asked", function()
    local g = t.gateway { targets = { "a" }, clients = { { name = "app", requests_per_minute = 2 }, { name = "other" } } }
    assert.equal(200, g:ask("hi").status)
    assert.equal(200, g:ask("hi").status)
    local third = g:ask "hi"
    assert.equal(429, third.status)
    assert.equal("rate_limited", third.error.code)
    assert.equal(200, g:ask({ client = "other" }).status)
    t.advance(61)
    assert.equal(200, g:ask("hi").status)
  end)
end)

describe("who may ask", function()
  it("an unknown key is refused with 401", function()
    local g = t.gateway { targets = { "a" }, clients = { { name = "app", key = "k-1" } } }
    assert.equal(200, g:ask({ key = "k-1" }).status)
    local answer = g:ask { key = "k-2" }
    assert.equal(401, answer.status)
    assert.equal("invalid_key", answer.error.code)
  end)

  it("a key that may not use a model is refused with 403", function()
    local g = t.gateway { models = { small = { "a" }, large = { "b" } }, clients = { { name = "app", models = { "small" } } } }
    assert.equal(200, g:ask({ model = "small" }).status)
    assert.equal(403, g:ask({ model = "large" }).status)
    assert.equal("a", g:ask({ model = "auto" }).target)
  end)

  it("a model that is not there is refused with 404 and the nearest name", function()
    local g = t.gateway { models = { small = { "a" } } }
    local answer = g:ask { model = "smal" }
    assert.equal(404, answer.status)
    assert.matches("small", answer.error.message, 1, true)
  end)

  it("a client says of itself only what it is trusted with", function()
    local policy = [[local l = require "lunette"
      return { classify = function(r) l.note("seen", { r.task or "none", r.class or "none" }) end }]]
    local g = t.gateway { targets = { "a" }, policy = policy, clients = { { name = "app", trust = { "class" } } } }
    local answer = g:ask { task = "code", headers = { ["x-lunette-class"] = "batch" } }
    assert.same({ "none", "batch" }, answer.notes.seen)
    assert.is_true(answer.notes.ignored_task)
  end)
end)
