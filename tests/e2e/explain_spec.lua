-- `lunette explain` and `lunette show`: why a request would be, or was, decided as it was.
local e2e = require "support"
local cjson = require "cjson"

local config = [[
return {
  policy = "policy.lua", log = { text = true },
  providers = { fast = { base_url = env "A", key = secret "FAST", timeouts = { connect = 0.5, first_byte = 8 } },
                slow = { base_url = env "A", timeouts = { connect = 5, first_byte = 60 } } },
  models = {
    cheap  = { { provider = "fast", model = "c", price = { input = 1, output = 2 }, supports = { "tools" } } },
    strong = { { provider = "slow", model = "s", price = { input = 10, output = 20 } } },
    small  = { { provider = "slow", model = "tiny", price = { input = 1, output = 1 }, context = 50 } },
    other  = { { provider = "slow", model = "o", price = { input = 1, output = 1 } } },
  },
  clients = {
    { name = "app", team = "web", hash = env "APP", models = { "cheap", "strong", "small" },
      trust = { "task", "tags", "explain" }, budget = { limit = 5, per = "day" } },
    { name = "poor", hash = env "POOR", budget = { limit = 0.001, per = "day" } },
  },
  teams = { web = { budget = { limit = 20, per = "day" } } },
}]]
local policy = [[
local lunette = require "lunette"
return {
  settings = { long = { default = 100, min = 1, max = 1000 } },
  classify = function(request)
    if request.words > lunette.setting "long" then
      return "long"
    end
    return request.text:find "boom" and error "boom" or "short"
  end,
  budget = function(request, spend)
    if spend.key.left < 0.001 then return lunette.degrade "cheap" end
  end,
  select = function(request, targets)
    if request.task == "no" then return lunette.refuse { status = 403, message = "not this" } end
    local able = targets:can(request)
    return able:of("small") .. able:of("cheap"):steps { first_byte = 2, hedge_after = 0.8 } .. able:of("strong")
  end,
  retry = function(request, attempt)
    if attempt.kind == "rate_limited" and attempt.try < 2 then return lunette.again(1.5) end
  end,
}]]

local folder
local environment = { A = "http://127.0.0.1:1/v1", FAST = "sk-fast-key" }
setup(function()
  environment.APP, environment.POOR = e2e.hash "app", e2e.hash "poor"
  folder = e2e.folder()
  e2e.write(folder .. "/gateway.lua", config)
  e2e.write(folder .. "/policy.lua", policy)
end)
teardown(e2e.stop)

local function body(fields)
  local out = { model = "auto", max_tokens = 100, messages = { { role = "user", content = "hello" } } }
  for name, value in pairs(fields or {}) do out[name] = value end
  return cjson.encode(out)
end

-- Exit status, standard output, standard error.
local function run(text, ...)
  e2e.write(folder .. "/request.json", text)
  return e2e.run({ e2e.program(), "explain", folder .. "/gateway.lua", folder .. "/request.json", ... }, environment)
end
local function explain(text, ...)
  local status, out, errors = run(text, "--json", ...)
  return cjson.decode(out), status, errors
end

local function named(list, field, value)
  for _, item in ipairs(list) do
    if item[field] == value then return item end
  end
end
-- The case of a step that a way to fail is among.
local function case(told, step, way)
  for _, c in ipairs(told.what_if[step].cases) do
    for _, name in ipairs(c.ways) do
      if name == way then return c end
    end
  end
end
local function path(c)
  local out = {}
  for _, a in ipairs(c.attempts) do out[#out + 1] = a.target .. "@" .. a.at_ms / 1000 end
  return table.concat(out, " ")
end

describe("lunette explain", function()
  it("tells what each hook answered, on which line, and what it had looked at", function()
    local told = explain(body())
    local hooks = told.explanation.hooks
    assert.same({ "classify", "budget", "select" }, { hooks[1].hook, hooks[2].hook, hooks[3].hook })
    assert.same({ "policy.lua:4", "policy.lua:8", { labels = { "short" } } }, { hooks[1].at, hooks[1].ended_at, hooks[1].answer })
    assert.same({ name = "request.words", value = 1, at = "policy.lua:5" }, named(hooks[1].looked_at, "name", "request.words"))
    assert.same({ name = "settings.long", value = 100, at = "policy.lua:5" }, named(hooks[1].looked_at, "name", "settings.long"))
    assert.same({ name = "request.text", at = "policy.lua:8" }, named(hooks[1].looked_at, "name", "request.text"))     -- not what it says
    assert.same({ name = "key app.left", value = 5, at = "policy.lua:11" }, named(hooks[2].looked_at, "name", "key app.left"))
    assert.is_nil(hooks[2].answer)
    assert.equal("policy.lua:16", hooks[3].ended_at)
    assert.same({ "short" }, told.request.labels)
  end)

  it("tells another setting's value, and the line that it leads to", function()
    local hook = explain(body { messages = { { role = "user", content = "one two three" } } }, "--set", "long=2").explanation.hooks[1]
    assert.same({ "policy.lua:6", "long", 2 }, { hook.ended_at, hook.answer.labels[1], named(hook.looked_at, "name", "settings.long").value })
  end)

  it("tells the plan with its clocks and what each step would hold", function()
    local plan = explain(body()).explanation.plan
    assert.same({ "policy", "policy.lua:16", 2 }, { plan.by, plan.at, #plan.steps })
    local first, second = plan.steps[1], plan.steps[2]
    assert.same({ "fast/c", 0.5, 2, 0.8 }, { first.target, first.connect_s, first.first_byte_s, first.hedge_after_s })
    assert.same({ "slow/s", 5, 60, nil }, { second.target, second.connect_s, second.first_byte_s, second.hedge_after_s })
    assert.is_true(first.fits and second.fits)
    assert.is_true(math.abs(second.hold / first.hold - 10) < 1e-6)
  end)

  it("tells of every target whether it is in the plan, or which rule or line left it out", function()
    local targets = explain(body { tools = { { type = "function", ["function"] = { name = "f" } } } }).explanation.targets
    assert.equal(1, named(targets, "target", "fast/c").step)
    local tiny = named(targets, "target", "slow/tiny")
    assert.same({ "policy", "policy.lua:15" }, { tiny.by, tiny.at })
    assert.matches("^targets:can: its context takes 50 tokens, and this is about 1%d%d$", tiny.dropped)
    assert.same({ target = "slow/o", model = "other", by = "rule", dropped = 'the key "app" may not use the model "other"' },
                named(targets, "target", "slow/o"))
    targets = explain(body { model = "cheap" }, "--key", "poor").explanation.targets
    assert.same({ by = "policy", at = "policy.lua:16", dropped = "`select` did not choose it", target = "slow/o", model = "other" },
                named(targets, "target", "slow/o"))
  end)

  it("tells which step does not fit which budget, and what the client gets then", function()
    local told, status = explain(body { messages = { { role = "user", content = ("word "):rep(3000) } } }, "--key", "poor")
    local step = told.explanation.plan.steps[1]
    assert.is_false(step.fits)
    assert.truthy(step.why:find('budget "key poor" has 0.001 USD left of 0.001', 1, true))
    assert.same({ 1, 402, "budget_exceeded" }, { status, told.well.status, told.well.code })
    assert.same({ name = "key poor", used = 0, held = 0, limit = 0.001, left = 0.001, resets_in = 86400 }, told.explanation.budgets[1])
  end)

  it("tells of a target that rests that it is passed over, and of money that is spent what is left", function()
    local told = explain(body(), "--resting", "fast/c=30", "--spent", "key app=4.5", "--spent", "team web=1")
    assert.equal("it rests for 30 s more", told.explanation.plan.steps[1].rests)
    assert.same({ 1, 2 }, { #told.what_if, told.what_if[1].step })
    assert.same({ "slow/s", 4.5, 0.5 }, { told.well.target, told.explanation.budgets[1].used, told.explanation.budgets[1].left })
    assert.equal(0.5, named(told.explanation.hooks[2].looked_at, "name", "key app.left").value)
    assert.same({ degrade = { "fast/c" } }, explain(body(), "--spent", "key app=4.9995").explanation.hooks[2].answer)
    local narrowed = explain(body(), "--spent", "key app=4.9995").explanation.targets
    assert.same({ "policy", "policy.lua:11" }, { named(narrowed, "target", "slow/s").by, named(narrowed, "target", "slow/s").at })
    for option, says in pairs { ["--resting"] = 'no target "none"', ["--spent"] = 'no budget "none"' } do
      local code, _, errors = run(body(), option, "none=1")
      assert.same({ 1, true }, { code, errors:find(says, 1, true) ~= nil })
    end
  end)

  it("tells what follows each failure of each step, when, and what the client gets", function()
    local told = explain(body())
    assert.same({ 200, "fast/c", 0 }, { told.well.status, told.well.target, told.well.latency_ms })
    local refused = case(told, 1, "connect_refused")
    assert.same({ "fast/c@0 slow/s@0", 200, "slow/s", true }, { path(refused), refused.status, refused.target, refused.fallback })
    assert.same({ "fast/c@0 slow/s@0.5", 500 }, { path(case(told, 1, "connect_timeout")), case(told, 1, "connect_timeout").latency_ms })
    local silent = case(told, 1, "first_byte_timeout")
    assert.same({ "fast/c@0 slow/s@0.8", true }, { path(silent), silent.attempts[2].hedge })
    local limited = case(told, 1, "rate_limited")
    assert.same({ "fast/c@0 fast/c@1.5 slow/s@1.5", "policy.lua:19" }, { path(limited), limited.decided_at })
    local wrong = case(told, 1, "bad_request")
    assert.same({ "fast/c@0", 400, "invalid_request" }, { path(wrong), wrong.status, wrong.code })
    local both = case(told, 2, "server_error")
    assert.same({ "fast/c@0 slow/s@0", 502, "upstream_failed" }, { path(both), both.status, both.code })
    assert.same({ 502, 60000 }, { case(told, 2, "first_byte_timeout").status, case(told, 2, "first_byte_timeout").latency_ms })
  end)

  it("tells of an answer that never ends that its time is over, of a full pool that the next is asked", function()
    local told = explain(body())
    local long = case(told, 2, "total_timeout")
    assert.same({ "fast/c@0 slow/s@0", 504, "deadline_exceeded", 590000 }, { path(long), long.status, long.code, long.latency_ms })
    assert.same({ "fast/c@0 slow/s@0", 200 }, { path(case(told, 1, "pool_full")), case(told, 1, "pool_full").status })
    local stream = case(explain(body { stream = true }), 2, "total_timeout")
    assert.same({ true, 590000 }, { stream.torn, stream.latency_ms })
  end)

  it("tells what comes of it where all steps fail in the same way", function()
    local told = explain(body())
    local function all(way) return case({ what_if = { { cases = told.what_if_all } } }, 1, way) end
    assert.same({ "fast/c@0 slow/s@0", 503, "overloaded" }, { path(all "overloaded"), all("overloaded").status, all("overloaded").code })
    assert.same({ "fast/c@0 slow/s@0", 429, "rate_limited" }, { path(all "pool_full"), all("pool_full").status, all("pool_full").code })
    assert.same({ "fast/c@0 fast/c@1.5 slow/s@1.5 slow/s@3", 429 }, { path(all "rate_limited"), all("rate_limited").status })
    assert.same({ "fast/c@0 slow/s@0.5", 502, 5500 }, { path(all "connect_timeout"), all("connect_timeout").status, all("connect_timeout").latency_ms })
    assert.same({ "fast/c@0", 400 }, { path(all "bad_request"), all("bad_request").status })
    local _, out = run(body())
    assert.truthy(out:find("what if all fail in the same way", 1, true))
    assert.truthy(out:find("overloaded +slow/s +503 overloaded"), out)
  end)

  it("tells what comes of failures that were said, at their times, in place of what if", function()
    local told, status = explain(body(), "--fail", "1=503@0.3,2=timeout")
    local c = told.combined
    assert.same({ 0, nil, nil }, { status, told.what_if, told.what_if_all })
    assert.same({ { step = 1, target = "fast/c", way = "503@0.3" }, { step = 2, target = "slow/s", way = "timeout" } }, c.failing)
    assert.same({ "fast/c@0 slow/s@0.3", 502, "upstream_failed", 60300 }, { path(c), c.status, c.code, c.latency_ms })
    assert.same({ "overloaded", 300, "first_byte_timeout" }, { c.attempts[1].kind, c.attempts[1].ms, c.attempts[2].kind })
    c = explain(body(), "--fail", "1=rate_limited", "--fail", "2=ok@7").combined
    assert.same({ "fast/c@0 fast/c@1.5 slow/s@1.5", 200, 8500 }, { path(c), c.status, c.latency_ms })
    c = explain(body(), "--fail", "all=599@300").combined                     -- the clocks of the steps are first
    assert.same({ "fast/c@0 slow/s@0.8", "first_byte_timeout" }, { path(c), c.attempts[1].kind })
    local _, out = run(body(), "--fail", "1=503@0.3,2=timeout")
    for _, part in ipairs { "what if fast/c: 503@0.3, slow/s: timeout\n    at 0 s      fast/c: overloaded after 300 ms\n",
                            "    at 300 ms   slow/s: first_byte_timeout after 60 s\n    the client gets 502 upstream_failed in 60.3 s: All attempts failed" } do
      assert.truthy(out:find(part, 1, true), out)
    end
    for what, says in pairs { ["3=503"] = "it has 2", ["0=503"] = "it has 2", ["x=503"] = "it has 2", ["1=302"] = 'by "302"', ["1=tired"] = 'by "tired"',
                              ["1=503@"] = 'by "503@"', ["1=503@-1"] = 'by "503@-1"', ["1=@2"] = 'by "@2"' } do
      local code, _, errors = run(body(), "--fail", what)
      assert.same({ 1, true }, { code, errors:find(says, 1, true) ~= nil }, what .. ": " .. errors)
    end
    assert.equal(2, (run(body(), "--fail", "503")))
  end)

  it("begins with what is spent of a tag's value", function()
    local place = e2e.folder()
    e2e.write(place .. "/request.json", body { model = "m" })
    e2e.write(place .. "/gateway.lua", [[return { providers = { p = { base_url = "http://127.0.0.1:1/v1" } },
      models = { m = { { provider = "p", model = "x", price = { input = 1, output = 1 } } } },
      budgets = { tags = { tenant = { limit = 1, per = "day" } } } }]])
    local function told(...)
      local _, out = e2e.run { e2e.program(), "explain", place .. "/gateway.lua", place .. "/request.json", "--header", "x-lunette-tags: tenant=acme",
                               "--json", ... }
      return cjson.decode(out)
    end
    assert.equal(200, told("--spent", "tag tenant=acme=0.5").well.status)
    assert.same({}, told().what_if_all)                         -- one step: that is told of it alone
    local spent = told("--spent", "tag tenant=acme=0.9999999")
    assert.same({ 402, 0.9999999 }, { spent.well.status, named(spent.explanation.budgets, "name", "tag tenant=acme").used })
    assert.equal(200, told("--spent", "tag tenant=other=1").well.status)
    local code, _, errors = e2e.run { e2e.program(), "explain", place .. "/gateway.lua", place .. "/request.json", "--spent", "tag team=acme=1" }
    assert.same({ 1, true }, { code, errors:find('no budget "tag team=acme"', 1, true) ~= nil })
  end)

  it("asks for a key like those that are made at run time where there are no others", function()
    local place = e2e.folder()
    e2e.write(place .. "/request.json", body { model = "m" })
    e2e.write(place .. "/gateway.lua", [[return { providers = { p = { base_url = "http://127.0.0.1:1/v1" } }, clients = {},
      models = { m = { { provider = "p", model = "x" } } } }]])
    local status, out, errors = e2e.run { e2e.program(), "explain", place .. "/gateway.lua", place .. "/request.json", "--json" }
    assert.equal(0, status, errors)
    assert.equal("p/x", cjson.decode(out).explanation.plan.steps[1].target)
  end)

  it("tells of a stream that it is cut once the client has its first word, and not before", function()
    local told = explain(body { stream = true })
    local cut, reset = case(told, 1, "cut"), case(told, 1, "reset")
    assert.same({ "fast/c@0", true, 200 }, { path(cut), cut.torn, cut.status })
    assert.same({ "fast/c@0 slow/s@0", nil }, { path(reset), reset.torn })
    assert.same({ "fast/c@0", true }, { path(case(told, 1, "idle_timeout")), case(told, 1, "idle_timeout").torn })
  end)

  it("tells of a policy that refuses, or fails, where it did", function()
    local told, status = explain(body(), "--header", "x-lunette-task: no")
    assert.same({ 1, 403, "not this" }, { status, told.well.status, told.well.message })
    assert.same({ refuse = 403, message = "not this" }, told.explanation.hooks[3].answer)
    assert.same({ "policy.lua:14", "no" }, { told.explanation.hooks[3].ended_at, told.request.task })
    told = explain(body { messages = { { role = "user", content = "boom" } } })
    assert.equal("policy.lua:8: boom", told.explanation.hooks[1].error)
  end)

  it("is the same from run to run, and has no wall time in it", function()
    local _, first = run(body(), "--json")
    local _, second = run(body(), "--json")
    assert.equal(first, second)
    assert.is_nil(first:find(os.date "!%Y-%m-%d", 1, true))
    assert.is_nil(cjson.decode(first).request.time)
  end)

  it("fits a screen of 100 columns and 50 lines, without colour where it is no terminal", function()
    local status, out = run(body())
    local lines = 0
    for line in (out .. "\n"):gmatch "(.-)\n" do
      lines = lines + 1
      assert.is_true(#line <= 100, line)
    end
    assert.equal(0, status)
    assert.is_true(lines >= 20 and lines <= 50, lines)
    assert.is_nil(out:find "\27")
    for _, part in ipairs { "classify", "policy.lua:8", "fast/c", "slow/tiny", "connect_timeout", "the client gets", "502 upstream_failed" } do
      assert.truthy(out:find(part, 1, true), part)
    end
  end)

  -- A configuration of its own: targets that are all of the model m.
  local function elsewhere(targets, text, ...)
    local place = e2e.folder()
    e2e.write(place .. "/policy.lua", text)
    e2e.write(place .. "/request.json", body { model = "m" })
    e2e.write(place .. "/gateway.lua", [[local m = {}
      for i = 1, ]] .. targets .. [[ do m[i] = { provider = "p", model = "m" .. i, price = { input = 1, output = 1 } } end
      return { policy = "policy.lua", providers = { p = { base_url = "http://127.0.0.1:1/v1" } }, models = { m = m }, limits = { attempts = 9 } }]])
    return e2e.run { e2e.program(), "explain", place .. "/gateway.lua", place .. "/request.json", ... }
  end

  it("of many steps shows the first and the last to people, and all in JSON", function()
    local _, out = elsewhere(9, "return {}")
    local _, lines = out:gsub("\n", "\n")
    assert.is_true(lines < 50, lines)
    assert.truthy(out:find("then 7 steps more, which --json has", 1, true))
    assert.truthy(out:find("the default, in this order", 1, true))
    _, out = elsewhere(9, "return {}", "--json")
    assert.equal(9, #cjson.decode(out).what_if)
  end)

  it("tells that a judge finds an answer wanting, and on which line", function()
    local judge = [[return { judge = function(request, attempt)
      if attempt.finish_reason == "length" then return require("lunette").next() end
    end }]]
    local _, out = elsewhere(2, judge, "--json")
    local told = cjson.decode(out)
    local length = case(told, 1, "length")
    assert.same({ 200, "policy.lua:2", 2 }, { length.status, length.decided_at, #length.attempts })
    _, out = elsewhere(2, "return {}", "--json")
    assert.is_nil(case(cjson.decode(out), 1, "length"))         -- nobody minds
  end)

  it("tells what the policy is given to look at: what every model says", function()
    local asks = [[local lunette = require "lunette"
    return { classify = function(request) return (lunette.chat { model = "m", text = "what is it?", choices = { "good", "bad" } }) end }]]
    local _, out = elsewhere(1, asks, "--json", "--answer", "bad")
    local hook = cjson.decode(out).explanation.hooks[1]
    assert.same({ labels = { "bad" } }, hook.answer)
    assert.same({ name = "lunette.chat", at = "policy.lua:2" }, hook.looked_at[1])
  end)

  it("tells of a policy that does not end, and decides without it", function()
    local status, out = elsewhere(1, "return {\nclassify = function()\n  while true do end\nend }", "--json")
    local told = cjson.decode(out)
    assert.same({ 0, 200 }, { status, told.well.status })
    assert.matches("^policy.lua:3: stopped: one run may take", told.explanation.hooks[1].error)
  end)

  it("reads the request from standard input", function()
    e2e.write(folder .. "/request.json", body { model = "strong" })
    local command = ("A=%s APP=%s POOR=%s %s explain %s/gateway.lua - --short --json < %s/request.json")
      :format(environment.A, environment.APP, environment.POOR, e2e.program(), folder, folder)
    local pipe = io.popen(command)
    local told = cjson.decode(pipe:read "*a")
    pipe:close()
    assert.same({ "strong", nil }, { told.request.model, told.what_if })
  end)

  it("says of what cannot be asked what a client would be told, and of what cannot be read where it is wrong", function()
    local told, status = explain "{broken"
    assert.same({ 1, 400, "invalid_request" }, { status, told.well.status, told.well.code })
    assert.truthy(told.well.message:find("not a valid JSON object: at byte 1", 1, true))
    local code, _, errors = run(body(), "--key", "nobody")
    assert.same({ 1, true }, { code, errors:find('has no "nobody"', 1, true) ~= nil })
    code, _, errors = run("\n", "--line", "7")
    assert.same({ 1, true }, { code, errors:find("has fewer lines", 1, true) ~= nil })
    code, _, errors = run(body(), "--line", "1")
    assert.same({ 1, true }, { code, errors:find("line 1 of .* is none of a request log") ~= nil })
    e2e.write(folder .. "/bad.lua", "return { polcy = 'x' }")
    code, _, errors = e2e.run({ e2e.program(), "explain", folder .. "/bad.lua", folder .. "/request.json" })
    assert.same({ 1, true }, { code, errors:find("bad.lua:1: .*polcy") ~= nil })
    for _, wrong in ipairs { {}, { "--endpoint", "images", "x" }, { "--line", "0", "x" }, { "--header", "none", "x" }, { "a", "b", "c" } } do
      assert.equal(2, (e2e.run { e2e.program(), "explain", unpack(wrong) }))
    end
  end)
end)

describe("a real request", function()
  local provider, gateway
  setup(function()
    provider = e2e.provider [[return function(request)
      if request.model == "c" then return { status = 503 } end
      return { text = "done", headers = { ["x-request-id"] = "their-id" }, usage = { input = 3, output = 2 } }
    end]]
    gateway = e2e.gateway { config = config, files = { ["policy.lua"] = policy },
                            env = { A = provider.url, FAST = "sk-fast-key", APP = environment.APP, POOR = environment.POOR } }
  end)

  local function ask(key, headers)
    headers = headers or {}
    headers.authorization = "Bearer " .. key
    local id = gateway:chat { model = "auto", headers = headers, text = "the private words", body = { max_tokens = 100 } }.headers["x-lunette-request-id"]
    return e2e.eventually("it is over", function()
      local answer = e2e.request(gateway.admin, { path = "/admin/requests/" .. id })
      return answer.status == 200 and answer.json
    end), id
  end
  local function show(id, ...) return e2e.run { e2e.program(), "show", id, "--admin", "127.0.0.1:" .. gateway.admin, ... } end

  it("leaves the gateway so that a dry run can begin where it stands", function()
    ask("app")
    assert.equal(200, gateway:tell("settings", { long = 7 }).status)
    local before, names = {}, { A = provider.url, FAST = "sk-fast-key", APP = environment.APP, POOR = environment.POOR }
    for _, budget in ipairs(gateway:look("budgets").budgets) do before[budget.name] = budget.used end
    assert.is_true(before["key app"] > 0)
    local function now(...)
      local command = { e2e.program(), "explain", gateway.folder .. "/gateway.lua", folder .. "/request.json", "--json", "--short", ... }
      local status, out, errors = e2e.run(command, names)
      assert.equal(0, status, errors)
      return cjson.decode(out)
    end
    e2e.write(folder .. "/request.json", body())
    local admin = "127.0.0.1:" .. gateway.admin
    local told = now("--now", "--admin", admin)
    local function used(name) return named(told.explanation.budgets, "name", name).used end
    assert.same({ before["key app"], before["team web"], 7 }, { used "key app", used "team web", told.request.settings.long })
    told = now("--now", "--admin", admin, "--spent", "key app=1", "--set", "long=8")
    assert.same({ 1, 8 }, { used "key app", told.request.settings.long })
    told = now()
    assert.equal(0, used "key app")
    assert.equal(200, gateway:tell("settings", { long = 100 }).status)
  end)

  it("that was limited makes its target rest, in a dry run that begins there too", function()
    local limited = e2e.provider [[return function() return { status = 429, headers = { ["retry-after"] = "30" } } end]]
    local g = e2e.gateway { env = { A = limited.url },
                            config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } } }]] }
    g:chat { text = "hello" }
    e2e.write(folder .. "/request.json", body { model = "m" })
    local function now(...)
      local command = { e2e.program(), "explain", g.folder .. "/gateway.lua", folder .. "/request.json", "--now", "--admin", "127.0.0.1:" .. g.admin, ... }
      return e2e.run(command, { A = limited.url })
    end
    local _, out = now "--json"
    assert.matches("^it rests for %d+ s more", cjson.decode(out).explanation.plan.steps[1].rests)
    g:stop()
    local code, _, errors = now()
    assert.same({ 1, true }, { code, #errors > 20 })
    assert.equal(2, (e2e.run { e2e.program(), "explain", "--admin", "127.0.0.1:1", folder .. "/request.json" }))
  end)

  it("that asked for it, and may, is explained with the lines of its policy", function()
    local told = ask("app", { ["x-lunette-explain"] = "1" })
    local hooks = told.explanation.hooks
    assert.same({ "classify", "budget", "select", "retry" }, { hooks[1].hook, hooks[2].hook, hooks[3].hook, hooks[4].hook })
    assert.same({ "policy.lua:8", 1 }, { hooks[1].ended_at, hooks[4].attempt })
    assert.equal("policy.lua:15", named(told.explanation.targets, "target", "slow/tiny").at)
    assert.same({ "slow/s", true }, { told.request.target, told.request.fallback })
    assert.is_true(told.explanation.plan.steps[1].hold > 0)
  end)

  it("of a key that may not is told without them, and noted", function()
    local told = ask("poor", { ["x-lunette-explain"] = "1" })
    assert.is_nil(told.explanation.hooks)
    assert.is_true(told.request.notes.ignored_explain)
    assert.equal("the plan does not hold it", named(told.explanation.targets, "target", "slow/tiny").dropped)
  end)

  it("is shown with its attempts, found by the client's own id and the provider's", function()
    local _, id = ask("app", { ["x-lunette-explain"] = "1", ["x-request-id"] = "mine #1" })
    for _, name in ipairs { id, "mine #1", "their-id" } do
      local status, out = show(name)
      assert.equal(0, status)
      for _, part in ipairs { id, "the client's mine #1", "200 from slow/s (not the first step)", "fast/c: overloaded 503",
                               "slow/s: ok 200", "its id their-id", "policy.lua:8", "plan, in this order" } do
        assert.truthy(out:find(part, 1, true), part .. " is not in\n" .. out)
      end
    end
    local status, out = show(id, "--json")
    assert.same({ 0, id }, { status, cjson.decode(out).request.id })
    status, out = show "nothing-of-that-name"
    assert.same({ 1, "" }, { status, out })
    assert.equal(2, (e2e.run { e2e.program(), "show" }))
  end)

  it("tells nobody what the client wrote", function()
    local _, id = ask("app", { ["x-lunette-explain"] = "1" })
    local _, out = show(id, "--json")
    assert.is_nil(out:find("private words", 1, true))
  end)

  it("is made a request again out of its line, and what the line does not tell is said", function()
    local _, id = ask("app", { ["x-lunette-tags"] = "tier=gold", ["x-lunette-task"] = "summary" })
    local line, n = gateway:line(id), 1
    while gateway.lines[n] ~= line do n = n + 1 end
    local status, out, errors = e2e.run({ e2e.program(), "explain", gateway.folder .. "/gateway.lua", gateway.folder .. "/requests.jsonl",
                                           "--line", tostring(n), "--json" }, environment)
    local told = cjson.decode(out)
    assert.same({ 0, "auto", "app", "summary", "gold", 3 },
                { status, told.request.model, told.request.key, told.request.task, told.request.tags.tier, told.explanation.input.words })
    assert.truthy(errors:find("the line of the log does not tell: headers, earlier messages", 1, true))
    assert.same({ 100, nil }, { told.explanation.input.max_tokens, (errors:find("max_tokens", 1, true)) })
  end)

  it("is explained by a policy that has none of the settings any more that are set on the gateway, or stand in the line", function()
    local place = e2e.folder()
    e2e.write(place .. "/request.json", body { model = "cheap" })
    e2e.write(place .. "/line.json", (e2e.read(gateway.folder .. "/requests.jsonl"):match "[^\n]+":gsub("^{", '{"settings":{"long":7},')))
    e2e.write(place .. "/gateway.lua", (config:gsub("policy.lua", "bare.lua")))
    e2e.write(place .. "/bare.lua", "return { classify = function() return 'any' end }")
    for _, command in ipairs { { "request.json", "--now", "--admin", "127.0.0.1:" .. gateway.admin }, { "line.json", "--key", "app" } } do
      local words = { e2e.program(), "explain", place .. "/gateway.lua", place .. "/" .. command[1], "--short", select(2, unpack(command)) }
      local status, _, errors = e2e.run(words, environment)
      assert.equal(0, status, errors)
    end
  end)
end)
