-- Each hook: when it is asked, what it may answer, what follows.
local t = require "lunette.test"

local function with(policy, more)
  local spec = { policy = policy, targets = { "a", "b" } }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("classify", function()
  it("gives a label that select, header and log see", function()
    local g = with [[
      return {
        classify = function(request) return request.words > 3 and "long" or "short" end,
        select = function(request, targets) return request.label == "long" and targets:named "b" or targets:named "a" end,
      }]]
    local answer = g:ask "one two three four five"
    assert.equal("b", answer.target)
    assert.equal("long", answer.headers["x-lunette-labels"])
    assert.same({ "long" }, answer.labels)
    assert.equal("a", g:ask("short").target)
  end)

  it("gives a list of labels", function()
    local g = with [[return { classify = function() return { "x", "y" } end }]]
    assert.same({ "x", "y" }, g:ask("hi").labels)
  end)

  it("sees who asks and what they say of themselves", function()
    local g = with([[
      local lunette = require "lunette"
      return { classify = function(r)
        lunette.note("seen", { r.key.name, r.key.team, r.task, r.tags.tier, r.session, r.user, r.endpoint, r.text, r.stream })
      end }]], { clients = { { name = "app", team = "web" } }, teams = { web = {} } })
    local answer = g:ask { text = "hello", task = "chat", tags = { tier = "gold" }, session = "s1", user = "u1" }
    assert.same({ "app", "web", "chat", "gold", "s1", "u1", "chat", "hello", false }, answer.notes.seen)
  end)

  it("refuses", function()
    local g = with [[local l = require "lunette" return { classify = function() return l.refuse { status = 418, message = "no tea" } end }]]
    local answer = g:ask "hi"
    assert.equal(418, answer.status)
    assert.equal("no tea", answer.error.message)
    assert.equal(0, g:provider "a".requests)
  end)
end)

describe("budget", function()
  it("refuses with 402", function()
    local g = with [[local l = require "lunette" return { budget = function() return l.refuse { message = "not today" } end }]]
    local answer = g:ask "hi"
    assert.equal(402, answer.status)
    assert.equal("budget_exceeded", answer.error.code)
    assert.equal("not today", answer.error.message)
  end)

  it("degrades to the models named", function()
    local g = t.gateway { models = { cheap = { "a" }, dear = { "b" } }, policy = [[
      local l = require "lunette"
      return {
        budget = function() return l.degrade "cheap" end,
        select = function(request, targets) return targets end,
      }]] }
    assert.equal("a", g:ask({ model = "dear" }).target)
  end)

  it("degrades to the targets that a function chooses", function()
    local g = with [[local l = require "lunette" return { budget = function() return l.degrade(function(x) return x.name == "b" end) end }]]
    assert.equal("b", g:ask("hi").target)
  end)

  it("is told what is spent, held and left", function()
    local g = with([[
      local l = require "lunette"
      return { budget = function(request, spend)
        l.note("key", { used = spend.key.used, limit = spend.key.limit, left = spend.key.left, share = spend.key.share })
        l.note("open", { limit = spend.total.limit == nil, left = spend.total.left == math.huge, share = spend.total.share })
      end }]], { clients = { { name = "app", budget = { limit = 5, per = "day" } } } })
    local first = g:ask { text = "hi", max_tokens = 10 }
    assert.same({ used = 0, limit = 5, left = 5, share = 0 }, first.notes.key)
    assert.same({ limit = true, left = true, share = 0 }, first.notes.open)
    local second = g:ask { text = "hi", max_tokens = 10 }
    assert.near(first.cost, second.notes.key.used, 1e-12)
    assert.near(5 - first.cost, second.notes.key.left, 1e-9)
  end)
end)

describe("select", function()
  local cases = {
    { "a set", "targets:named 'b'", "b" },
    { "a target", "targets[2]", "b" },
    { "a list of targets", "{ targets[2], targets[1] }", "b" },
    { "a list of steps", "{ { target = targets[2], first_byte = 1 }, targets[1] }", "b" },
    { "steps of a set", "targets:named('b'):steps { first_byte = 1 } .. targets:named 'a'", "b" },
  }
  for _, case in ipairs(cases) do
    it("may answer " .. case[1], function()
      local g = with("return { select = function(request, targets) return " .. case[2] .. " end }")
      assert.equal(case[3], g:ask("hi").target)
    end)
  end

  it("skips steps that are nil", function()
    local g = with "return { select = function(request, targets) return { nil, targets[2] } end }"
    assert.equal("b", g:ask("hi").target)
  end)

  it("is followed in its order", function()
    local g = with("return { select = function(r, targets) return { targets[2], targets[1] } end }", { providers = { b = 503 } })
    local answer = g:ask "hi"
    assert.equal("a", answer.target)
    assert.same({ "b", "a" }, { answer.attempts[1].target, answer.attempts[2].target })
  end)

  it("answers an empty plan: the default plan, counted", function()
    local g = with "return { select = function(request, targets) return {} end }"
    local answer = g:ask "hi"
    assert.equal(200, answer.status)
    assert.equal(1, g:metric "lunette_plan_empty_total")
    assert.is_true(answer.notes.plan_empty)
  end)

  it("answers nil: the default plan, not counted", function()
    local g = with "return { select = function() end }"
    assert.equal(200, g:ask("hi").status)
    assert.equal(0, g:metric "lunette_plan_empty_total")
  end)

  it("may choose another model, which the headers tell", function()
    local g = t.gateway { models = { small = { "a" }, large = { "b" } },
                          policy = "return { select = function(r, targets) return targets:of 'large' end }" }
    local answer = g:ask { model = "small" }
    assert.equal("large", answer.headers["x-lunette-model"])
    assert.equal("b", answer.headers["x-lunette-target"])
  end)

  it("may not for a key with substitute = false", function()
    local g = t.gateway { models = { small = { "a" }, large = { "b" } }, clients = { { name = "strict", substitute = false } },
                          policy = "return { select = function(r, targets) return targets:of 'large' end }" }
    assert.equal("a", g:ask({ model = "small" }).target)
  end)
end)

describe("judge", function()
  local next_if_cut = [[local l = require "lunette" return {
    select = function(r, targets) return targets end,
    judge = function(request, attempt) if attempt.finish_reason == "length" then return l.next() end end }]]

  it("sends a whole answer that is not good enough to the next step", function()
    local g = with(next_if_cut, { providers = { a = { text = "half", finish_reason = "length" }, b = "whole" } })
    local answer = g:ask "hi"
    assert.equal("whole", answer.text)
    assert.equal("b", answer.target)
  end)

  it("pays for the answer that it rejected too", function()
    local g = with(next_if_cut, { providers = { a = { text = "half", finish_reason = "length", usage = { input = 1000, output = 1000 } },
                                                b = { text = "whole", usage = { input = 1000, output = 1000 } } } })
    assert.near(0.006, g:ask("hi").cost, 1e-12)
  end)

  it("refuses with 502", function()
    local g = with [[local l = require "lunette" return { judge = function() return l.refuse { message = "not good" } end }]]
    local answer = g:ask "hi"
    assert.equal(502, answer.status)
    assert.equal("not good", answer.error.message)
  end)

  it("reads the text and the body", function()
    local g = with([[local l = require "lunette"
                     return { judge = function(r, a) l.note("read", { a.text, a:body().model, a.target.name }) end }]],
                   { targets = { "a" }, providers = { a = { text = "well", model = "x-1" } } })
    assert.same({ "well", "x-1", "a" }, g:ask("hi").notes.read)
  end)

  it("is not asked about a stream", function()
    local g = with [[local l = require "lunette" return { judge = function() return l.refuse { message = "no" } end }]]
    assert.equal(200, g:ask({ stream = true }).status)
  end)
end)

describe("retry", function()
  local in_order = "select = function(r, targets) return targets end,"
  local function retry(body, more)
    return with("local l = require 'lunette' return { " .. in_order .. " retry = function(request, attempt) " .. body .. " end }", more)
  end

  it("again(delay): the same target, that much later", function()
    local g = retry("return l.again(2)", { providers = { a = { 500, "fine" } } })
    local answer = g:ask "hi"
    assert.equal("a", answer.target)
    assert.equal(2, answer.attempts[2].at)
    assert.equal(2, answer.latency)
  end)

  it("again(): who was chosen first has answered, that is no fallback", function()
    local answer = retry("return l.again()", { providers = { a = { 500, "fine" } } }):ask "hi"
    assert.same({ "false", false }, { answer.headers["x-lunette-fallback"], answer.fallback })
    answer = retry("return l.next()", { providers = { a = 500 } }):ask "hi"
    assert.same({ "true", true }, { answer.headers["x-lunette-fallback"], answer.fallback })
  end)

  it("next(delay): the next step, that much later", function()
    local answer = retry("return l.next(2)", { providers = { a = 500 } }):ask "hi"
    assert.equal("b", answer.target)
    assert.equal(2, answer.latency)
  end)

  it("next(): the next step, though the default would stop", function()
    local g = retry("return l.next()", { providers = { a = 400 } })
    assert.equal("b", g:ask("hi").target)
  end)

  it("try(target): whichever it names", function()
    local g = retry("return l.try(request.targets:named('c')[1], 0.5)", { targets = { "a", "b", "c" }, providers = { a = 500 } })
    local answer = g:ask "hi"
    assert.equal("c", answer.target)
    assert.equal(0.5, answer.attempts[2].at)
  end)

  it("stop(): gives up with what failed", function()
    local g = retry("return l.stop()", { providers = { a = 500 } })
    local answer = g:ask "hi"
    assert.equal(502, answer.status)
    assert.equal(0, g:provider "b".requests)
    assert.matches("a", answer.error.message, 1, true)
  end)

  it("is told what the attempt came to", function()
    local g = retry([[local a = attempt
                      l.note("told", { a.kind, a.status, a.target.name, a.number, a.try, a.retry_after, a.billed })]],
                    { providers = { a = { status = 429, headers = { ["retry-after"] = "7" } } } })
    assert.same({ "rate_limited", 429, "a", 1, 1, 7, "no" }, g:ask("hi").notes.told)
  end)

  it("is asked no more once all attempts are used", function()
    local g = retry([[l.note("asked", attempt.number) return l.again()]], { providers = { a = 500 }, limits = { retries = false } })
    local answer = g:ask "hi"
    assert.equal(4, #answer.attempts)
    assert.equal(3, answer.notes.asked)
  end)
end)

describe("finish", function()
  it("can still read what it was told after it has waited", function()
    local g = with([[
      local lunette = require "lunette"
      local function seen(o) return { o.status, o.latency, o.cost, o.cached, o.fallback, o.target.name, o.usage.input } end
      return { finish = function(_, outcome)
        lunette.note("before", seen(outcome))
        lunette.http { url = "http://audit.example/", body = "{}" }
        lunette.note("after", seen(outcome))
      end }]], { web = function() return { status = 200, body = "" } end })
    local id = g:ask("hi").id
    g:advance(1)
    local notes = g:record(id).notes
    assert.equal(200, notes.before[1])
    assert.same(notes.before, notes.after)
  end)

  it("is told what came of it", function()
    local g = with([[local l = require "lunette" return {
      select = function(r, targets) return targets end,
      finish = function(request, outcome)
        local o = outcome
        l.store.set("last", { o.status, o.target.name, #o.attempts, o.fallback, o.latency, o.usage.output })
      end }]], { providers = { a = 503, b = { text = "yes", after = 2, usage = { input = 3, output = 4 } } } })
    g:ask "hi"
    assert.same({ 200, "b", 2, true, 2, 4 }, g.store:get "last")
  end)

  it("is told how long it waited: before delayed retries and in queues, not while a provider was asked", function()
    local g = t.gateway {
      targets = { { name = "a", provider = "a", requests_per_minute = 1 }, "b" }, providers = { b = { status = 500, after = 4 } },
      policy = [[local l = require "lunette" return {
        select = function(r, targets) return r.text == "first" and targets:named "a" or targets:named "b" .. targets:named "a" end,
        retry = function(r, attempt) l.note("failed", attempt.waited) return l.next(5) end,
        finish = function(r, o) l.note("waited", { o.waited, o.attempts[1].waited, o.attempts[2] and o.attempts[2].waited }) end }]] }
    local first, second = g:ask "first", g:ask { text = "second", at = 20 }
    local queued = second.attempts[2].waited
    assert.is_true(queued > 25 and queued <= 31)
    assert.same({ 0, { 5 + queued, 0, queued } }, { second.notes.failed, second.notes.waited })
    assert.same({ 5 + queued, 9 + queued, 0 }, { second.waited, second.latency, second.record.overhead_ms })
    assert.same({ 0, 0, nil }, { first.waited, first.attempts[1].waited, first.record.waited_ms })
  end)

  it("is told how long it waited until its client left", function()
    local g = t.gateway { providers = { a = 500 }, policy = [[local l = require "lunette" return {
      retry = function() return l.again(100) end, finish = function(r, outcome) l.note("waited", outcome.waited) end }]] }
    local visit = g:start "hi"
    t.advance(30)
    visit:leave()
    assert.equal(30, visit:answer().notes.waited)
  end)

  it("is told of a client that left: 499", function()
    local g = with([[local l = require "lunette" return { finish = function(request, outcome) l.store.set("status", outcome.status) end }]],
                   { targets = { "a" }, providers = { a = { stall = true, text = "x" } } })
    local request = g:start "hi"
    t.advance(3)
    request:leave()
    assert.equal(499, g.store:get "status")
  end)

  it("does not keep the client waiting", function()
    local g = with [[local l = require "lunette" return { finish = function() l.sleep(3) l.store.set("done", true) end }]]
    local answer = g:ask "hi"
    assert.equal(0, answer.latency)
    assert.is_nil(g.store:get "done")
    t.advance(3)
    assert.is_true(g.store:get "done")
  end)

  it("is dropped after ten seconds", function()
    local g = with [[local l = require "lunette" return { finish = function() l.sleep(11) l.store.set("done", true) end }]]
    g:ask "hi"
    t.advance(10)
    assert.equal(1, #g:log())
    t.advance(60)
    assert.is_nil(g.store:get "done")
  end)
end)
