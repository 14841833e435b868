-- What a hook can wait for, and what it can keep.
local t = require "lunette.test"

local function hook(body, more)
  local spec = { targets = { "a" }, policy = "local l = require 'lunette' return { classify = function(request) " .. body .. " end }" }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("sleep", function()
  it("waits on the clock, and others are served meanwhile", function()
    local g = hook "if request.text == 'slow' then l.sleep(5) end"
    local slow = g:start "slow"
    assert.equal(0, g:ask("quick").latency)
    assert.is_false(slow:done())
    assert.equal(5, slow:answer().latency)
  end)

  it("is left with the client", function()
    local g = hook "l.sleep(5) l.store.set('woke', true)"
    local request = g:start "hi"
    t.advance(1)
    request:leave()
    t.advance(60)
    assert.is_nil(g.store:get "woke")
    assert.equal(499, g:log()[1].status)
  end)

  it("works inside where, by, sort and gsub with a function", function()
    local g = t.gateway { targets = { "a", "b" }, policy = [[
      local l = require "lunette"
      return { select = function(request, targets)
        local text = ("x"):gsub("x", function() l.sleep(1) return "b" end)
        local list = { 2, 1 }
        table.sort(list, function(x, y) l.sleep(1) return x < y end)
        return targets:where(function(target) l.sleep(1) return target.name == text end):by(function() l.sleep(1) return 1 end)
      end }]] }
    local answer = g:ask "hi"
    assert.equal("b", answer.target)
    assert.is_true(answer.latency >= 5)
  end)
end)

describe("http", function()
  it("brings what the web answers", function()
    local g = hook([[local answer = l.http { url = "http://flags.example/x", method = "POST", body = "q", headers = { ["x-a"] = "1" } }
                     l.note("got", { answer.status, answer.body, answer.headers["x-b"] })]],
                   { web = function(request)
                     return { status = 201, headers = { ["x-b"] = "2" }, after = 2,
                              body = request.method .. request.url .. request.body .. request.headers["x-a"] }
                   end })
    local answer = g:ask "hi"
    assert.same({ 201, "POSThttp://flags.example/xq1", "2" }, answer.notes.got)
    assert.equal(2, answer.latency)
    assert.equal(1, #g.fetched)
  end)

  it("answers nil and why after its time-out", function()
    local g = hook([[local answer, why = l.http { url = "http://flags.example/", timeout = 3 } l.note("got", { answer == nil, why })]],
                   { web = function() return { body = "late", after = 60 } end })
    local answer = g:ask "hi"
    assert.same({ true, "timeout" }, answer.notes.got)
    assert.equal(3, answer.latency)
  end)

  it("answers nil and why when it cannot be reached", function()
    local g = hook([[local answer, why = l.http { url = "http://flags.example/" } l.note("got", { answer == nil, why })]],
                   { web = function() return { error = "connect_refused" } end })
    assert.same({ true, "connect_refused" }, g:ask("hi").notes.got)
  end)
end)

describe("chat", function()
  -- What the model says, and the choice that it means.
  for said, meant in pairs { ["C++"] = "c++", c = "c", ["C#"] = "c#", ["It is C++."] = "c++", ["It is c."] = "c", [" C++\n"] = "c++", ["<"] = "<", [">"] = ">",
                             ["!"] = "none", Yes = "none" } do
    it("gives the choice that '" .. said .. "' is", function()
      local g = hook("return l.chat { model = 'm', text = 'which?', choices = { 'c', 'c++', 'c#', '<', '>' } } or 'none'",
                     { models = { m = { "a" } }, providers = { a = said } })
      assert.same({ meant }, g:ask("hi").labels)
    end)
  end

  local models = { main = { "a" }, judge = { "j" } }
  local function chat(options, more)
    local spec = { models = models }
    for name, value in pairs(more or {}) do spec[name] = value end
    return hook("local text, why = l.chat {" .. options .. "} l.note('said', { text or 'nil', why or 'nil' })", spec)
  end

  it("asks a model of the configuration and gives its text", function()
    local g = chat("model = 'judge', text = 'which?'", { providers = { j = { text = "this one", after = 1 } } })
    local answer = g:ask { model = "main" }
    assert.same({ "this one", "nil" }, answer.notes.said)
    assert.equal(1, answer.latency)
    assert.equal("a", answer.target)
    assert.equal("which?", g:provider "j".calls[1].text)
  end)

  it("with choices gives the one that was answered", function()
    local g = chat("model = 'judge', text = 'which?', choices = { 'easy', 'hard' }",
                   { providers = { j = { "I think: Hard.", "who knows" } } })
    assert.same({ "hard", "nil" }, g:ask({ model = "main" }).notes.said)
    assert.same({ "nil", "no_choice" }, g:ask({ model = "main" }).notes.said)
  end)

  it("gives nil and why when nobody answers, and the request goes on", function()
    local g = chat("model = 'judge', text = 'x'", { providers = { j = 500 } })
    local answer = g:ask { model = "main" }
    assert.equal("nil", answer.notes.said[1])
    assert.equal(200, answer.status)
  end)

  it("gives nil after its time-out", function()
    local g = chat("model = 'judge', text = 'x', timeout = 2", { providers = { j = { text = "late", after = 9 } } })
    local answer = g:ask { model = "main" }
    assert.equal("nil", answer.notes.said[1])
    assert.equal(2, answer.latency)
  end)

  it("is billed to the key that asks, runs no hooks, and has a log line of its own", function()
    local g = chat("model = 'judge', text = 'x'", { clients = { { name = "app", budget = { limit = 1 } } },
                   providers = { j = { text = "y", usage = { input = 0, output = 1000 } },
                                 a = { text = "z", usage = { input = 0, output = 0 } } } })
    local answer = g:ask { model = "main", max_tokens = 10 }
    assert.equal(2, #g:log())
    local line = g:log()[1]
    assert.equal("judge", line.model)
    assert.equal(answer.id, line.notes["for"])
    assert.is_nil(line.notes.said)
    assert.near(0.998, tonumber(answer.headers["x-lunette-budget-left"]), 1e-9)
  end)

  it("is given up with the client", function()
    local g = chat("model = 'judge', text = 'x'", { providers = { j = { text = "late", after = 9 } } })
    local request = g:start { model = "main" }
    t.advance(1)
    request:leave()
    local lines = {}
    for _, line in ipairs(g:log()) do lines[line.model] = line end
    assert.equal(499, lines.main.status)
    assert.equal("cancelled", lines.judge.attempts[1].kind)
  end)
end)

describe("store", function()
  it("keeps values between requests, for their time", function()
    local g = hook [[
      l.note("before", { l.store.get("n") or "none", l.store.get("t") or "none" })
      l.store.incr("n")
      l.store.set("t", "kept", 10)]]
    assert.same({ "none", "none" }, g:ask("hi").notes.before)
    t.advance(9)
    assert.same({ 1, "kept" }, g:ask("hi").notes.before)
    t.advance(11)
    assert.same({ 2, "none" }, g:ask("hi").notes.before)
  end)

  it("can be prepared and read by a spec", function()
    local g = hook "l.store.set('out', l.store.get('in'))"
    for _, value in ipairs { "text", 5, true, { a = { 1, 2 } } } do
      g.store:set("in", value)
      g:ask "hi"
      assert.same(value, g.store:get "out")
    end
  end)
end)

describe("telling", function()
  it("log, note and metric", function()
    local g = hook "l.log('saw', request.text, 5) l.note('k', { a = 1 }) l.metric('seen', 2)"
    assert.same({ a = 1 }, g:ask("hi").notes.k)
    assert.matches("policy.lua:1: saw hi 5", g.messages[1], 1, true)
    g:ask "hi"
    assert.equal(4, g:metric "lunette_policy_seen")
  end)

  it("now is the clock of the simulation", function()
    local g = hook "l.note('now', l.now()) l.note('date', os.date('!%Y-%m-%d %H:%M:%S', l.now()))"
    t.advance(90)
    local notes = g:ask("hi").notes
    assert.equal(1767571290, notes.now)
    assert.equal("2026-01-05 00:01:30", notes.date)
  end)
end)
