-- Every hook live: a policy decides, real providers see it, the client and the log tell of it.
local e2e = require "support"

local config = [[
local function target(name) return { provider = name, model = "up", price = { input = 1000, output = 1000 } } end
return {
  policy = "policy.lua", health = false, limits = { retries = false, lag = false, deadline = tonumber(env("DEADLINE", "5")) },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" }, s = { base_url = env "S" } },
  models = { m = { target "a", target "b" }, back = { target "b", target "a" }, s = { target "s" }, solo = { target "a" } },
}]]

-- Says back what it was asked, ends as the text says.
local echo = [[
return function(request)
  if request.text == "fail" then return { status = 500 } end
  local finish = request.text == "long" and "length" or nil
  return { text = "from s: " .. request.text, finish_reason = finish, usage = { input = 10, output = 5 } }
end]]

local a, b, s

setup(function() a, b, s = e2e.puppet(), e2e.puppet(), e2e.provider(echo) end)
before_each(function() a:clear() b:clear() end)
teardown(e2e.stop)

local function serve(policy, options)
  options = options or {}
  return e2e.gateway { config = config:gsub("health = false,", "%0 " .. (options.more or ""), 1), files = { ["policy.lua"] = policy },
                       workers = options.workers, env = { A = a.url, B = b.url, S = s.url, DEADLINE = options.deadline } }
end

local function whole(text, finish)
  return { id = "x", object = "chat.completion", model = "up", usage = { prompt_tokens = 1, completion_tokens = 1 },
           choices = { { index = 0, message = { role = "assistant", content = text }, finish_reason = finish or "stop" } } }
end

local function policy(hooks) return "local lunette = require 'lunette'\nreturn {\n" .. hooks .. "\n}" end

describe("classify", function()
  local g
  setup(function()
    g = serve(policy [[classify = function(request)
      if request.text == "secret" then return lunette.refuse { message = "we do not talk about that" } end
      return request.text == "one" and "single" or { request.has_code and "code" or "prose", "second" }
    end]])
  end)

  it("gives labels, which the answer's head and the log say", function()
    local answer = g:chat { model = "s", text = "one" }
    assert.equal("single", answer.headers["x-lunette-labels"])
    assert.same({ "single" }, g:line(answer).labels)
    answer = g:chat { model = "s", text = "fix this:\n```c\nint x = 5;\nreturn x;\n```", stream = true }
    assert.equal("code,second", answer.headers["x-lunette-labels"])
    assert.same({ "code", "second" }, g:line(answer).labels)
  end)

  it("refuses", function()
    local answer = g:chat { model = "s", text = "secret" }
    assert.equal(403, answer.status)
    assert.equal("we do not talk about that", answer.error.message)
    assert.equal(0, #g:line(answer).attempts)
  end)
end)

describe("budget", function()
  it("sees what is spent, narrows the targets, refuses", function()
    local g = serve(policy [[budget = function(request, spend)
      lunette.note("spend", { spend.request.left, spend.request.share, spend.total.left == math.huge })
      if request.text == "much" then return lunette.degrade "s" end
      if request.text == "too much" then return lunette.refuse { message = "no money" } end
    end]])
    local answer = g:chat { model = "m", text = "much", headers = { ["x-lunette-budget"] = "30" }, body = { max_tokens = 10 } }
    assert.equal("s/up", answer.headers["x-lunette-target"])
    assert.equal("s", answer.headers["x-lunette-model"])
    assert.same({ 30, 0, true }, g:line(answer).notes.spend)
    answer = g:chat { model = "m", text = "too much", headers = { ["x-lunette-budget"] = "30" } }
    assert.equal(402, answer.status)
    assert.equal("budget_exceeded", answer.code)
    assert.equal("no money", answer.error.message)
    assert.equal("false", answer.headers["x-should-retry"])
  end)
end)

describe("select", function()
  local g
  setup(function()
    g = serve(policy [[select = function(request, targets)
      local t = request.text
      if t == "edit" then
        return { { target = targets:named "a/up"[1], set = { temperature = 0, extra = { 1, "two" } }, drop = { "user", "seed" },
                   rename = { max_tokens = "max_completion_tokens" } } }
      elseif t == "one" then return targets:named "s/up"[1]
      elseif t == "order" then return targets:of "back"
      elseif t == "asked" then return targets:asked()
      elseif t == "impatient" then return targets:named "a/up":steps { first_byte = 0.2 } .. targets:named "s/up"
      elseif t == "empty" then return {} end
    end]])
  end)

  it("sets, drops and renames what the provider sees of the body", function()
    local visit = g:open { text = "edit", body = { temperature = 1, user = "u", max_tokens = 7, seed = 5, top_p = 0.5 } }
    local call = a:accept()
    call:answer(200, whole "hi")
    assert.equal(200, visit:rest().status)
    call.json.messages, call.json.model = nil, nil
    assert.same({ temperature = 0, extra = { 1, "two" }, max_completion_tokens = 7, top_p = 0.5 }, call.json)
  end)

  it("gives one target of another model", function()
    local answer = g:chat { text = "one" }
    assert.equal("s/up", answer.headers["x-lunette-target"])
    assert.equal("s", answer.headers["x-lunette-model"])
  end)

  it("finds a target that several models list in each of them, at its place there", function()
    for _, text in ipairs { "order", "asked" } do
      local visit = g:open { model = "back", text = text }
      b:accept():answer(500, {})
      a:accept():answer(200, whole "from a")
      local answer = visit:rest()
      assert.equal("from a", answer.text)
      assert.equal("back", answer.headers["x-lunette-model"])
    end
  end)

  it("gives a step its own clock", function()
    local visit = g:open { text = "impatient" }
    local call = a:accept()
    local answer = visit:rest()
    assert.equal("from s: impatient", answer.text)
    assert.equal("first_byte_timeout", g:line(answer).attempts[1].kind)
    assert.is_true(call:gone())
  end)

  it("that gives nothing leaves it to the default, and is counted", function()
    local answer = g:chat { model = "s", text = "empty" }
    assert.equal(200, answer.status)
    assert.equal(1, g:metric "lunette_plan_empty_total")
  end)
end)

describe("a hedge", function()
  local g
  setup(function()
    g = serve(policy [[
      select = function(request, targets) return targets:named "a/up":steps { hedge_after = 0.1 } .. targets:named "b/up" end,
      judge = function(request, attempt) if attempt.text == "poor" then return lunette.next() end end,
      classify = function() lunette.note("a", lunette.store.get "a/up") end,
      finish = function(request)
        local t = request.targets:named "a/up"[1]
        lunette.store.set("a/up", { failures = t.failures, rate = t.success_rate, flying = t.in_flight })
      end]])
  end)

  it("is not started when the first one answers in time", function()
    local visit = g:open {}
    a:accept():answer(200, whole "at once")
    local answer = visit:rest()
    assert.equal("1", answer.headers["x-lunette-attempts"])
    assert.is_true(b:quiet())
  end)

  for _, stream in ipairs { false, true } do
    local how = stream and ", streaming" or ""
    local function good(call, text)
      if not stream then return call:answer(200, whole(text)) end
      call:head()
      call:piece(text, "stop")
      call:event "[DONE]"
      call:finish()
    end

    it("wins, and the first one is cancelled at once and not counted as a failure" .. how, function()
      local visit = g:open { stream = stream }
      local slow, quick = a:accept(), b:accept()
      good(quick, "from b")
      local answer = visit:rest()
      assert.equal("from b", answer.text)
      assert.equal("b/up", answer.headers["x-lunette-target"])
      assert.equal("true", answer.headers["x-lunette-fallback"])
      assert.is_true(slow:gone())
      local attempts = g:line(answer).attempts
      assert.equal("cancelled", attempts[1].kind)
      assert.equal("ok", attempts[2].kind)
      assert.is_true(attempts[2].hedge)
    end)

    it("loses when the first one answers after all" .. how, function()
      local visit = g:open { stream = stream }
      local first, hedge = a:accept(), b:accept()
      good(first, "from a")
      local answer = visit:rest()
      assert.equal("from a", answer.text)
      assert.equal("false", answer.headers["x-lunette-fallback"])
      assert.is_true(hedge:gone())
      assert.equal("cancelled", g:line(answer).attempts[2].kind)
    end)
  end

  it("whose answer is found wanting does not win: the other one is waited for", function()
    local visit = g:open {}
    local first, hedge = a:accept(), b:accept()
    hedge:answer(200, whole "poor")
    first:answer(200, whole "from a")
    assert.equal("from a", visit:rest().text)
  end)

  it("that lost has not harmed its target", function()
    assert.equal(0, g:metric [[lunette_attempts_total{target="a/up",kind="first_byte_timeout"}]])
    assert.equal(2, g:metric [[lunette_attempts_total{target="a/up",kind="cancelled"}]])
    assert.equal(5, g:metric [[lunette_hedges_total{target="b/up"}]])
    local visit = g:open {}
    a:accept():answer(200, whole "at once")
    assert.same({ failures = 0, rate = 1, flying = 0 }, g:line(visit:rest()).notes.a)
  end)
end)

describe("judge", function()
  local g
  setup(function()
    g = serve(policy [[
      select = function(request, targets) return targets:named("s/up", "b/up") end,
      judge = function(request, attempt)
        if attempt.finish_reason == "length" then return lunette.next() end
        if attempt.text:find "bad" then return lunette.refuse { message = "not good enough" } end
      end]])
  end)

  it("goes on to the next when an answer was cut short", function()
    local visit = g:open { text = "long" }
    b:accept():answer(200, whole "whole from b")
    local answer = visit:rest()
    assert.equal("whole from b", answer.text)
    assert.equal("2", answer.headers["x-lunette-attempts"])
    local first = g:line(answer).attempts[1]
    assert.equal("ok", first.kind)
    assert.is_truthy(first.cost)
  end)

  it("refuses", function()
    local answer = g:chat { text = "bad" }
    assert.equal(502, answer.status)
    assert.equal("not good enough", answer.error.message)
  end)

  it("is not asked about streams that have begun", function()
    assert.equal("from s: bad", g:chat { text = "bad", stream = true }.text)
  end)
end)

describe("retry", function()
  local g
  setup(function()
    g = serve(policy [[
      select = function(request, targets) return targets:named("a/up", "b/up") end,
      retry = function(request, attempt)
        lunette.note("kind" .. attempt.number, attempt.kind)
        local what = request.text
        if what == "again" and attempt.try < 3 then return lunette.again(attempt.retry_after or 0.05) end
        if what == "next" then return lunette.next() end
        if what == "try" then return lunette.try("s/up") end
        if what == "stop" then return lunette.stop() end
      end]])
  end)

  it("again: the same target, until it answers", function()
    local visit = g:open { text = "again" }
    a:accept():answer(429, {}, { ["retry-after-ms"] = "20" })
    a:accept():answer(500, {})
    a:accept():answer(200, whole "at last")
    local answer = visit:rest()
    assert.equal("at last", answer.text)
    assert.equal("3", answer.headers["x-lunette-attempts"])
    assert.same({ kind1 = "rate_limited", kind2 = "server_error" }, g:line(answer).notes)
  end)

  it("next: the next step, also where the default would stop", function()
    local visit = g:open { text = "next" }
    a:accept():answer(400, { error = { message = "no" } })
    b:accept():answer(200, whole "from b")
    assert.equal("from b", visit:rest().text)
  end)

  it("try: another target, not of the plan", function()
    local visit = g:open { text = "try" }
    a:accept():answer(500, {})
    assert.equal("from s: try", visit:rest().text)
  end)

  it("stop: the client gets the failure", function()
    local visit = g:open { text = "stop" }
    a:accept():answer(503, {})
    local answer = visit:rest()
    assert.equal(503, answer.status)
    assert.equal(1, #g:line(answer).attempts)
    assert.is_true(b:quiet())
  end)

  it("nil: the default, which goes on or stops by the kind", function()
    local visit = g:open { text = "default" }
    a:accept():answer(500, {})
    b:accept():answer(400, { error = { message = "your fault" } })
    local answer = visit:rest()
    assert.equal(400, answer.status)
    assert.matches("your fault", answer.error.message)
  end)
end)

describe("finish", function()
  it("is told how it ended, after the client has its answer", function()
    local g = serve(policy [[
      classify = function(request) lunette.note("before", lunette.store.get "last") end,
      finish = function(request, outcome)
        lunette.store.set("last", { outcome.status, outcome.target and outcome.target.name or "none", #outcome.attempts, outcome.cost,
                                    outcome.usage and outcome.usage.output or 0, outcome.latency > 0 })
        lunette.log("finished", outcome.status)
        lunette.metric("finished", 2)
      end]])
    local answer = g:chat { model = "s", text = "one" }
    assert.same({ 200, "s/up", 1, 0.015, 5, true }, g:line(g:chat { model = "s", text = "fail" }).notes.before)
    assert.same({ 502, "none", 1, 0, 0, true }, g:line(g:chat { model = "s", text = "two" }).notes.before)
    assert.equal(200, answer.status)
    assert.matches("policy.lua:%d+: finished 200", g.process:stderr())
    assert.matches("policy.lua:%d+: finished 502", g.process:stderr())
    assert.equal(6, g:metric "lunette_policy_finished")
  end)
end)

describe("a wish", function()
  it("to sleep holds up nobody else on the same thread", function()
    local g = serve(policy [[classify = function(request) if request.text == "sleep" then lunette.sleep(0.5) return "slept" end end]])
    local sleeper = g:open { model = "s", text = "sleep" }
    for _ = 1, 3 do assert.equal(200, g:chat({ model = "s" }).status) end
    assert.equal("slept", sleeper:rest().headers["x-lunette-labels"])
    local lines = g:log(4)
    assert.equal("slept", lines[4].labels[1])
  end)

  it("for the web is fulfilled by it", function()
    local g = serve(policy [[classify = function(request)
      local answer, why = lunette.http { url = request.text, method = "POST", headers = { ["x-flag"] = "1" }, body = "q=1", timeout = 2 }
      lunette.note("web", answer and { answer.status, answer.body } or why)
      return answer and answer.body or "none"
    end]])
    local visit = g:open { model = "s", text = a.url .. "/flags?x=1" }
    local call = a:accept()
    assert.equal("POST", call.method)
    assert.equal("/v1/flags?x=1", call.path)
    assert.equal("1", call.headers["x-flag"])
    assert.equal("q=1", call.body)
    call:answer(201, "blue", { ["content-type"] = "text/plain" })
    local answer = visit:rest()
    assert.equal("blue", answer.headers["x-lunette-labels"])
    assert.same({ 201, "blue" }, g:line(answer).notes.web)
    answer = g:chat { model = "s", text = "http://127.0.0.1:1/" }
    assert.equal(200, answer.status)
    assert.equal("string", type(g:line(answer).notes.web))
  end)

  it("for the web asks only whom the configuration allows, and follows nobody elsewhere", function()
    local asks = policy [[classify = function(request)
      local answer, why = lunette.http { url = request.text }
      lunette.note("web", answer and { answer.status, answer.headers.location } or why)
    end]]
    local g = serve(asks)
    local visit = g:open { model = "s", text = a.url }
    a:accept():answer(302, "", { location = b.url })
    assert.same({ 302, b.url }, g:line(visit:rest()).notes.web)
    assert.is_true(b:quiet())
    g = serve(asks, { more = ('http = { allow = { "*.example", "127.0.0.1:%d" } },'):format(b.port) })
    assert.truthy(g:line(g:chat { model = "s", text = a.url }).notes.error_classify:find("none of http.allow", 1, true))
    visit = g:open { model = "s", text = b.url }
    b:accept():answer(200, "")
    assert.same({ 200 }, g:line(visit:rest()).notes.web)
    assert.is_true(a:quiet())
  end)

  it("for the web never leads to the gateway's own admin interface, by whatever address", function()
    local g = serve(policy [[classify = function(request)
      local answer, why = lunette.http { url = request.text, headers = { ["content-type"] = "application/json" }, body = '{"name":"minted"}', method = "POST" }
      lunette.note("web", answer and answer.status or why)
    end]])
    for _, host in ipairs { "127.0.0.1", "localhost", "0.0.0.0", "127.1.2.3", "[::ffff:127.0.0.1]", "[::1]" } do
      local said = g:line(g:chat { model = "s", text = ("http://%s:%d/admin/keys"):format(host, g.admin) }).notes.web
      assert.equal("string", type(said), host)
    end
    assert.same({}, g:look("keys").keys)
  end)

  it("for the web is dropped when the client leaves", function()
    local g = serve(policy [[classify = function(request) lunette.http { url = request.text } end]])
    local visit = g:open { model = "s", text = a.url }
    local call = a:accept()
    visit:leave()
    assert.is_true(call:gone())
    assert.equal(499, g:log(1)[1].status)
  end)

  it("for a chat asks a model, is logged by itself, and is cancelled with the client", function()
    local g = serve(policy [[classify = function(request)
      return (lunette.chat { model = "solo", text = "easy or hard?", choices = { "easy", "hard" }, timeout = 3 })
    end]])
    local visit = g:open { model = "s" }
    a:accept():answer(200, whole "Hard.")
    local answer = visit:rest()
    assert.equal("hard", answer.headers["x-lunette-labels"])
    local line = g:line(answer)
    local lines = g:log(2)
    local chat = lines[1] == line and lines[2] or lines[1]
    assert.equal(answer.headers["x-lunette-request-id"], chat.notes["for"])
    visit = g:open { model = "s" }
    local call = a:accept()
    visit:leave()
    assert.is_true(call:gone())
  end)

  it("of the store is the same for all workers", function()
    local g = serve("local lunette = require 'lunette'\nlocal me\n" .. [[return { classify = function()
      me = me or lunette.store.incr "machines"
      lunette.note("n", lunette.store.incr "n")
      lunette.note("machine", me)
    end }]], { workers = 2 })
    local visits, seen, machines = {}, {}, {}
    for i = 1, 40 do visits[i] = g:open { model = "s" } end
    for i = 1, 40 do
      local notes = g:line(visits[i]:rest()).notes
      seen[notes.n], machines[notes.machine] = true, true
    end
    assert.equal(40, #seen)
    assert.same({ true, true }, machines)
  end)
end)

describe("a hook that fails", function()
  local bad = {
    { "raises", "error 'here it is'", "error" },
    { "reads a field of nil", "local x = nil return x.y", "error" },
    { "loops", "while true do end", "cpu" },
    { "loops within pcall", "while true do pcall(function() while true do end end) end", "cpu" },
    { "eats memory", "local x = 'x' while true do x = x .. x end", "memory", "cpu" },
    { "answers rubbish", "return 42", "answer" },
    { "waits for ever in small steps", "while true do lunette.sleep(0) end", "time" },
    { "sleeps beyond the deadline, again and again", "while true do lunette.sleep(1000) end", "time" },
  }
  local g, hooks
  setup(function()
    local out = {}
    for _, hook in ipairs { "classify", "budget", "select", "judge", "retry", "finish" } do
      out[#out + 1] = hook .. " = function(request)\nlocal what = request.headers['x-" .. hook .. "']"
      for i, case in ipairs(bad) do out[#out + 1] = ("if what == '%d' then %s end"):format(i, case[2]) end
      out[#out + 1] = "end,"
    end
    hooks = policy(table.concat(out, "\n"))
    g = serve(hooks, { deadline = "1.2" })
  end)

  -- Which of two limits is passed first can depend on the machine.
  local function errors(hook, reason, other)
    local n = g:metric(([[lunette_policy_errors_total{hook="%s",reason="%s"}]]):format(hook, reason))
    return n + (other and g:metric(([[lunette_policy_errors_total{hook="%s",reason="%s"}]]):format(hook, other)) or 0)
  end

  for i, case in ipairs(bad) do
    it("because it " .. case[1] .. ": the default decides, neighbours are served, it is logged and counted", function()
      local before, victims = {}, {}
      for _, hook in ipairs { "classify", "select", "judge" } do
        before[hook] = errors(hook, case[3], case[4])
        victims[hook] = g:open { model = "s", text = "victim", headers = { ["x-" .. hook] = tostring(i) } }
      end
      for _ = 1, 3 do assert.equal("from s: neighbour", g:chat({ model = "s", text = "neighbour" }).text) end
      for hook, victim in pairs(victims) do
        local answer = victim:rest()
        assert.equal("from s: victim", answer.text, answer.body)
        assert.equal(before[hook] + 1, errors(hook, case[3], case[4]))
        assert.matches("policy%.lua:%d+: ", g:line(answer).notes["error_" .. hook])
        assert.matches("hook " .. hook .. ": [^\n]*policy%.lua:%d+: ", g.process:stderr())
      end
    end)
  end

  it("retry and finish too", function()
    local answer = g:chat { model = "s", text = "fail", headers = { ["x-retry"] = "1", ["x-finish"] = "3" } }
    assert.equal(502, answer.status)
    assert.matches("policy.lua:%d+: here it is", g:line(answer).notes.error_retry)
    assert.equal(1, errors("retry", "error"))
    assert.equal(1, errors("finish", "cpu"))
  end)

  it("many at once: each is stopped by the CPU time that it took, and neighbours on the same thread are served", function()
    local patient, victims, neighbours = serve(hooks, { deadline = "60" }), {}, {}
    for i = 1, 20 do
      victims[i] = patient:open { model = "s", headers = { ["x-classify"] = "3" } }
      neighbours[i] = patient:open { model = "s" }
    end
    for i = 1, 20 do
      assert.equal(200, neighbours[i]:rest().status)
      assert.equal(200, victims[i]:rest().status)
    end
    assert.equal(20, patient:metric 'lunette_policy_errors_total{hook="classify",reason="cpu"}')
  end)

  it("refuses instead, where on_error says so", function()
    local strict = serve(policy [[on_error = "refuse", select = function() error "no" end]])
    local answer = strict:chat { model = "s" }
    assert.equal(503, answer.status)
    assert.equal(0, #strict:line(answer).attempts)
  end)
end)
