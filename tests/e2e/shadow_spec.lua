-- Shadows: a second version beside the live one on real traffic. It decides nothing, nothing of it reaches anybody, and it is taken over only where it stayed
-- within its bounds. A shadow lasts an hour here, and the test says when that is over; where its time itself is looked at, one request of it is enough.
local e2e = require "support"
local sanitized = e2e.lunette:find "build%-"          -- its memory is another one's
after_each(e2e.stop)

local config = [[return {
  policy = "policy.lua", watch = false, limits = { retries = false }, log = { audit = "audit.jsonl" },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { cheap = { { provider = "a", name = "cheap", price = { input = 1, output = 2 } } },
             dear = { { provider = "b", name = "dear", price = { input = 10, output = 20 } } } },
  budgets = { total = { limit = 100, per = "day" } }, MORE
}]]

local function policy(body) return 'local lunette = require "lunette"\nlocal M = {}\n' .. body .. "\nreturn M\n" end
local select_cheap = 'function M.select(request, targets) return targets:of "cheap" .. targets:of "dear" end'
local select_dear = 'function M.select(request, targets) return targets:of "dear" .. targets:of "cheap" end'
local classify = 'function M.classify(request) return request.text:find "hard" and "hard" or "easy" end'
local live = policy(classify .. "\n" .. select_cheap)

local a, b
local function serve(options)
  options = options or {}
  local answers = [[return function(request) return request.text == "wait" and { stall = true } or { text = "hi" } end]]
  a, b = e2e.provider(answers), e2e.provider(answers)
  return e2e.gateway { config = (config:gsub("MORE", options.more or "")), files = { ["policy.lua"] = options.policy or live }, workers = options.workers or 2,
                       env = { A = a.url, B = b.url } }
end

local function shadow(g) return g:look "shadow" end

-- Has the text tried as policy.lua. It lasts an hour where nothing else is said.
local function try(g, text, terms)
  if text then g:replace("policy.lua", text) end
  terms = terms or {}
  terms.seconds = terms.seconds or 3600
  return g:tell("shadow", terms, { ["x-lunette-by"] = "ann@host" })
end

-- The same where it begins.
local function begin(g, text, terms)
  local answer = try(g, text, terms)
  assert.same({ 200, "running" }, { answer.status, answer.status == 200 and answer.json.shadow.state or answer.json.errors[1] })
  return answer.json.shadow
end

local function ask(g, n, options)
  local last
  for i = 1, n do
    last = g:chat(options or { model = "auto", text = i % 2 == 0 and "hard" or "soft" })
    assert.equal(200, last.status)
  end
  return last
end

local function compared(g, n)
  return e2e.eventually(n .. " requests are compared", function() local s = shadow(g); return s.requests >= n and s end)
end
local function becomes(g, state)
  return e2e.eventually("it is " .. state, function() local s = shadow(g); return s.state == state and s end)
end
local function stop(g) return e2e.request(g.admin, { method = "DELETE", path = "/admin/shadow" }) end
local function finish(g) return g:tell "shadow/finish" end
local function current(g) return g:look("versions").current end

-- Another version than the live one that decides the same.
local same = live .. "-- another file\n"

describe("a shadow", function()
  it("that decides the same shows no difference, and is taken over when its time is over", function()
    local g = serve()
    local before = current(g)
    assert.equal("none", shadow(g).state)
    local begun = begin(g, same, { seconds = 1, requests = 1 })
    assert.equal(before, begun.live)
    assert.equal(begun.version, g:look("versions").shadow.version)
    local asked = 0
    local is = e2e.eventually("it is adopted", function()
      ask(g, 1)
      asked = asked + 1
      local now = shadow(g)
      return now.state == "adopted" and now
    end)
    assert.is_truthy(is.requests >= 1 and is.requests <= asked)
    assert.same({ is.requests, 0, 0 }, { is.results.same, is.results.different, #is.samples })
    assert.equal(is.expected_cost.live, is.expected_cost.shadow)
    assert.equal(is.requests, is.expected_cost.requests)
    assert.equal(begun.version, current(g))
    local newest = g:look("versions").versions[1]
    assert.is_truthy(newest.by:find "^admin ann@host")
    assert.is_truthy(newest.why:find("of " .. is.requests .. " requests 0 differ", 1, true), newest.why)
    assert.equal(is.requests, g:metric 'lunette_shadow_requests_total{result="same"}')
  end)

  it("that chooses what is dearer is refused by its expected cost, with the figures", function()
    local g = serve()
    local before = current(g)
    begin(g, policy(classify .. "\n" .. select_dear), { requests = 10 })
    ask(g, 12)
    compared(g, 12)
    local told = finish(g)
    local is = shadow(g)
    assert.same({ 422, "refused" }, { told.status, is.state })
    assert.equal(is.version .. " is not taken over: " .. is.why, told.json.errors[1])
    assert.equal(before, current(g))
    assert.is_truthy(is.why:find("expected cost +900", 1, true), is.why)
    assert.is_truthy(is.why:find("> +5 %", 1, true), is.why)
    assert.same({ 12, 12, 0 }, { is.differences.first, is.differences.plan, is.differences.labels })
    local sample = is.samples[1]
    assert.same({ "first", "plan" }, sample.differs)
    assert.same({ "cheap", "dear" }, { sample.live.plan[1].target, sample.shadow.plan[1].target })
    assert.is_truthy(math.abs(sample.shadow.expected_cost / sample.live.expected_cost - 10) < 0.01)
    assert.is_truthy(g:line(sample.id), "the sample names a request of the log")
    assert.equal(8, #is.samples)
    assert.equal(0, b:count(), "nobody has asked what the shadow would have")
    assert.equal(12, g:metric 'lunette_shadow_requests_total{result="different"}')
    assert.equal(1, g:metric 'lunette_config_reloads_total{kind="shadow",result="refused"}')
  end)

  it("one of whose hooks fails on some requests is refused by its errors, and says which hook, where and how often", function()
    local g = serve()
    local fails = 'function M.select(request, targets) if request.label == "hard" then error "no such luck" end return targets:of "cheap" .. targets end'
    begin(g, policy(classify .. "\n" .. fails), { requests = 10 })
    ask(g, 20)
    compared(g, 20)
    finish(g)
    local is = shadow(g)
    assert.is_truthy(is.why:find("errors 50 % > 1 %", 1, true), is.why)
    assert.same({ 10, 0, 10, 10 }, { is.failed.alone, is.failed.live, is.failed.shadow, is.results.failed })
    assert.same({ "select", 10, "error" }, { is.failed.hooks[1].hook, is.failed.hooks[1].failures, is.failed.hooks[1].reason })
    assert.is_truthy(is.failed.hooks[1].error:find("policy.lua:4: no such luck", 1, true), is.failed.hooks[1].error)
    assert.equal(0, g:look("versions").versions[1].hook_failures, "the live version's hooks have not failed")
    assert.equal(0, g:metric 'lunette_policy_errors_total{hook="select",reason="error"}')
  end)

  it("that refuses requests which the live version answers is refused by its errors too", function()
    local g = serve()
    begin(g, policy(classify .. '\nfunction M.budget() return lunette.refuse { status = 402, message = "no" } end\n' .. select_cheap), { requests = 5 })
    ask(g, 6)
    compared(g, 6)
    finish(g)
    local is = shadow(g)
    assert.is_truthy(is.why:find("errors 100 %", 1, true), is.why)
    assert.same({ "budget", 402 }, { is.samples[1].shadow.refused_by, is.samples[1].shadow.status })
  end)

  it("of which too few requests were seen is refused", function()
    local g = serve()
    begin(g, same, { seconds = 0.2 })
    assert.is_truthy(becomes(g, "refused").why:find("only 0 of 100 requests were compared", 1, true))
    assert.equal(409, finish(g).status)
  end)

  it("that runs out of processor time is ended at once", function()
    local g = serve { workers = 1 }
    begin(g, policy(classify .. '\nfunction M.select(request) while request.text == "loop" do end end'))
    e2e.eventually("it has ended", function() ask(g, 1, { model = "auto", text = "loop" }) return shadow(g).state == "refused" end)
    assert.is_truthy(shadow(g).why:find("run out of processor time", 1, true))
  end)

  it("reaches nobody: no provider, ledger, budget, store, log line, health or other metric", function()
    local stores = policy [[
function M.classify(request) return tostring(lunette.store.get "key") end
function M.select(request, targets) return targets:of "cheap" .. targets:of "dear" end
function M.finish(request, outcome) lunette.store.set("key", "live") end]]
    local meddles = policy [[
function M.classify(request)
  lunette.store.set("key", "shadow") lunette.log "from the shadow" lunette.note("from", "the shadow") lunette.metric "from_the_shadow"
  lunette.chat { model = "dear", text = "hi" }
  lunette.http { url = "http://127.0.0.1:1/" }
  return "shadow"
end
function M.select(request, targets) return targets:of "dear" end
function M.finish() lunette.store.set("key", "shadow") end]]
    local g = serve { policy = stores }
    ask(g, 1)
    local function used() return g:metric 'lunette_budget_used_usd{budget="total"}' end
    local each = used()
    begin(g, meddles)
    ask(g, 10)
    local is = compared(g, 10)
    assert.same({ 20, 10 }, { is.calls_unasked, is.differences.labels })
    assert.same({ 11, 0 }, { a:count(), b:count() })
    assert.is_truthy(math.abs(used() - 11 * each) < 1e-9)
    local last = ask(g, 1)
    assert.equal("live", last.headers["x-lunette-labels"])
    for _, line in ipairs(g:log(12)) do assert.is_nil(e2e.json.encode(line):find("shadow", 1, true)) end
    assert.equal(12, #g.lines)
    local metrics = g:metrics()
    assert.is_nil(metrics:find("from_the_shadow", 1, true))
    assert.is_nil(metrics:find('label="shadow"', 1, true))
    assert.equal(12, g:metric 'lunette_requests_total{model="auto",status="200"}')
    stop(g)
    g:stop()
    assert.is_nil(g.process:said():find("from the shadow", 1, true))
    local _, out = e2e.run({ e2e.lunette, "ledger", "export", g.folder .. "/gateway.lua", "--format", "json" }, g.env)
    assert.equal(12, #e2e.json.decode(out))
  end)

  it("is asked about a part of the requests, where that was said", function()
    local g = serve()
    begin(g, same, { share = 0.3 })
    ask(g, 100)
    e2e.eventually("some are compared", function() return shadow(g).requests > 5 end)
    assert.is_truthy(shadow(g).requests < 60)
    assert.equal(422, try(g, nil, { share = 0 }).status)
  end)

  it("sees spend, health, keys and chance as the live version does", function()
    local text = policy [[
function M.classify(request) return { tostring(request.key), lunette.random() < 0.5 and "heads" or "tails" } end
function M.budget(request, spend) if spend.key.used > 0.000001 then return lunette.degrade "cheap" end end
function M.select(request, targets) return lunette.pick(targets) .. targets end]]
    local g = serve { policy = text, more = 'clients = { { name = "app", hash = "' .. e2e.hash "sk-app" .. '", budget = { limit = 5, per = "day" } } },' }
    assert.equal(200, try(g, text .. "-- anew").status)
    local made = e2e.request(g.admin, { method = "POST", path = "/admin/keys", body = { name = "made", budget = { limit = 1, per = "day" } } }).json.text
    for i = 1, 40 do g:chat { model = "auto", headers = { authorization = "Bearer " .. (i % 2 == 0 and "sk-app" or made) } } end
    local is = compared(g, 40)
    assert.equal(0, is.failed.live)
    assert.is_true(is.results.same >= 38, e2e.json.encode(is))          -- the first of each key may be charged by the time that it is asked about it
  end)

  it("has the settings that are set, also those set meanwhile", function()
    local settings = 'M.settings = { share = { default = 10, min = 0, max = 100 } }\n'
    local text = policy(settings .. 'function M.classify() return tostring(lunette.setting "share") end\n' .. select_cheap)
    local g = serve { policy = text }
    g:tell("settings", { share = 20 })
    begin(g, text .. "-- anew")
    ask(g, 2)
    compared(g, 2)
    g:tell("settings", { share = 30 })
    assert.equal("30", ask(g, 2).headers["x-lunette-labels"])
    assert.equal(4, compared(g, 4).results.same)
  end)

  it("goes along with a canary, whose groups it sees and whose samples it leaves alone", function()
    local text = policy 'function M.select(request, targets) return lunette.canary("kimi", request.user) and targets:of "dear" or targets:of "cheap" end'
    local g = serve { policy = text, more = 'canaries = { kimi = { model = "dear", probe = false, start = false, stages = { 50, 100 }, every = 3600 } },' }
    g:tell("canaries/kimi", { ["do"] = "start" })
    begin(g, text .. "-- anew")
    for i = 1, 30 do g:chat { model = "auto", body = { user = "u" .. i } } end
    local is = compared(g, 30)
    assert.equal(30, is.results.same)
    assert.equal(b:count(), g:look("canaries").canaries[1].samples)
  end)
end)

describe("other changes and a shadow", function()
  it("it can be stopped, and nothing has changed", function()
    local g = serve()
    local before = current(g)
    assert.equal(409, stop(g).status)
    begin(g, same)
    ask(g, 3)
    compared(g, 3)
    local told = e2e.request(g.admin, { method = "DELETE", path = "/admin/shadow", body = { why = "enough" } })
    assert.same({ 200, "stopped", "enough", 3 }, { told.status, told.json.shadow.state, told.json.shadow.why, told.json.shadow.requests })
    ask(g, 3)
    assert.same({ "stopped", 3, before }, { shadow(g).state, shadow(g).requests, current(g) })
    assert.equal(409, stop(g).status)
  end)

  it("a reload that brings another version ends it and says so; one that brings none does not", function()
    local g = serve()
    begin(g, same)
    local other = live .. "-- a third\n"
    local answer = g:reload { ["policy.lua"] = live }
    assert.same({ 200, false, "running" }, { answer.status, answer.json.changed, shadow(g).state })
    answer = g:reload { ["policy.lua"] = other }
    assert.is_true(answer.json.changed)
    assert.is_truthy(answer.json.warnings[1]:find("the shadow .- has ended with that"))
    assert.equal("replaced", shadow(g).state)
    assert.equal(answer.json.version, current(g))
    assert.is_nil(g:look("versions").shadow)
    ask(g, 4)
    assert.equal(0, shadow(g).requests)
    assert.equal(200, try(g, same).status)
    assert.equal(200, g:tell("rollback").status)
    assert.equal("replaced", shadow(g).state)
  end)

  it("there is one at a time; and none of what is in force, does not load, or fails when it is tried", function()
    local g = serve()
    local answer = try(g)
    assert.equal(409, answer.status)
    assert.is_truthy(answer.json.errors[1]:find("the files hold the version that is in force", 1, true))
    assert.equal(422, try(g, "return {").status)
    assert.equal(422, try(g, policy 'function M.select() error "always" end').status)
    assert.equal("none", shadow(g).state)
    assert.equal(200, try(g, same).status)
    answer = try(g, live .. "-- a third\n")
    assert.equal(409, answer.status)
    assert.is_truthy(answer.json.errors[1]:find("there is a shadow already", 1, true))
  end)

  it("what was tried is taken over, not what the files hold by then", function()
    local g = serve()
    local version = begin(g, same, { requests = 1 }).version
    ask(g, 5)
    compared(g, 5)
    g:replace("policy.lua", policy "M.classify = 5")
    local answer = finish(g)
    assert.same({ 200, "adopted", version }, { answer.status, shadow(g).state, answer.json.version })
    assert.is_truthy(answer.json.warnings[1]:find("the files have changed since the shadow began", 1, true))
  end)

  it("nor is anything taken over later, where there was no room for what was tried", function()
    local g, waiting = serve(), {}
    local function in_flight(n) return function() return g:metric "lunette_requests_in_flight" == n end end
    for i = 1, 8 do
      assert.equal(200, g:reload({ ["policy.lua"] = live .. "-- " .. i .. "\n" }).status)
      waiting[i] = g:open { model = "auto", text = "wait" }
      e2e.eventually("it is under way", in_flight(i))
    end
    local before = current(g)
    begin(g, policy(classify .. "\n" .. select_dear), { seconds = 0.2, requests = 1, cost = 100 })
    ask(g, 2)
    assert.matches("still have requests under way: the last request", becomes(g, "refused").why)
    g:replace("policy.lua", policy "-- half of it\n")
    waiting[1]:leave()
    e2e.eventually("there is room", function() return g:look("versions").live == 7 end)
    assert.equal(409, stop(g).status)                            -- one change after the other: what was to come has come
    assert.equal(before, current(g))
  end)

  it("one that was taken over can be gone back from, and is kept over a restart", function()
    local g = serve()
    local before = current(g)
    begin(g, policy(classify .. "\n" .. select_dear), { requests = 1, cost = 100 })
    ask(g, 5)
    compared(g, 5)
    assert.equal(200, finish(g).status)
    ask(g, 1)
    assert.equal(1, b:count())
    assert.equal(200, g:tell("rollback", { why = "after all" }).status)
    assert.equal(before, current(g))
    g:restart()
    assert.same({ before, "none" }, { current(g), shadow(g).state })
  end)

  it("a gateway that is stopped meanwhile ends as quickly as any", function()
    local g = serve()
    begin(g, policy(classify .. "\nfunction M.budget() lunette.sleep(60) end\n" .. select_cheap))
    ask(g, 10)
    assert.equal(0, g:stop())
    assert.is_truthy(g.process:said():find("shadow .-: stopped %(lunette%): the gateway is stopping"))
  end)

  it("nor does one that is stopped while a shadow begins, ends or is taken over", function()
    for i, path in ipairs { "shadow", "shadow/finish", "shadow", "shadow/finish" } do
      local g = serve()
      if path == "shadow/finish" then begin(g, same, { requests = 1 }) else g:replace("policy.lua", same) end
      if i > 2 then ask(g, 3) end
      local c = e2e.connect(g.admin)
      c:send(e2e.bytes { method = "POST", path = "/admin/" .. path, body = { seconds = 3600 } })
      g.process:signal(e2e.SIGTERM)
      assert.equal(0, g.process:wait())
      c:close()
    end
  end)

  it("a file that is saved, where files are watched, ends it too", function()
    local g = serve()
    local text = e2e.read(g.folder .. "/gateway.lua")
    begin(g, same)
    g:replace("gateway.lua", (text:gsub("watch = false, ", "")))
    assert.equal(200, g:reload().status)
    assert.equal("replaced", shadow(g).state)
    g:replace("policy.lua", live .. "-- a third\n")
    e2e.eventually("it is taken over", function() return g:look("versions").versions[1].by == "files" end)
    local answer = try(g)
    assert.equal(409, answer.status)
    assert.is_truthy(answer.json.errors[1]:find("say `watch = false` to try one first", 1, true))
  end)

  it("who began it, and what became of it, is in the audit log", function()
    local g = serve()
    local version = begin(g, same, { seconds = 0.2, requests = 5 }).version
    becomes(g, "refused")
    local lines = e2e.eventually("both lines are there", function()
      local found = {}
      for line in e2e.read(g.folder .. "/audit.jsonl"):gmatch "[^\n]+" do
        local json = e2e.json.decode(line)
        if json.what == "shadow" then found[#found + 1] = json end
      end
      return #found == 2 and found
    end)
    for i, state in ipairs { "running", "refused" } do
      assert.same({ version = version, state = state }, lines[i].after)
      assert.is_truthy(lines[i].by:find "^admin ann@host")
    end
    assert.is_truthy(lines[2].why:find("only 0 of 5", 1, true))
  end)

  it("many of them leave no memory behind", function()
    local g = serve { watched = true }
    local function round(i)
      begin(g, live .. "-- " .. i .. "\n")
      ask(g, 4)
      compared(g, 4)
      stop(g)
    end
    for i = 1, 10 do round(i) end
    local before = g:rss()
    for i = 11, 40 do round(i) end
    assert.is_truthy(sanitized or g:rss() < before + 2000, ("%d kB, then %d kB"):format(before, g:rss()))
  end)
end)

describe("lunette reload --shadow", function()
  local function lunette(g, ...) return e2e.run({ e2e.lunette, ... }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin }) end

  it("waits for the outcome and prints it; the exit status says whether it was taken over", function()
    local g = serve()
    g:replace("policy.lua", same)
    local waiting = e2e.start({ e2e.lunette, "reload", "--shadow", "10m", "--min-requests", "5", "--max-errors", "0%", "--max-cost", "+5%" },
                              { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
    assert.same({ 600, { errors = 0, cost = 0.05, requests = 5 } }, { becomes(g, "running").seconds, shadow(g).bounds })
    ask(g, 6)
    compared(g, 6)
    assert.equal(0, (lunette(g, "shadow", "finish")))
    assert.is_truthy(waiting:expect "^(policy.lua@%x+ beside policy.lua@%x+: adopted .*)")
    assert.is_truthy(waiting:expect("(of 6 requests 0 differ.*)"))
    assert.equal(0, waiting:wait())
    assert.equal("", waiting:stderr(), "no progress where nobody looks")
    g:replace("policy.lua", policy(classify .. "\n" .. select_dear))
    local status, out = lunette(g, "reload", "--shadow", "0.2s", "--min-requests", "1")
    assert.equal(1, status)
    assert.is_truthy(out:find("refused", 1, true) and out:find("only 0 of 1 requests", 1, true), out)
  end)

  it("shows on a terminal how it does meanwhile", function()
    local g = serve()
    g:replace("policy.lua", same)
    local terminal = e2e.start({ "script", "-qec", e2e.lunette .. " reload --shadow 1h", "/dev/null" }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
    e2e.eventually("it shows how much is left", function() return terminal:said():find "%d+ min %d+ s left: 0 same, 0 different, 0 failed" end)
    stop(g)
    assert.equal(1, terminal:wait())
    assert.is_truthy(terminal:said():find(": stopped", 1, true), terminal:said())
  end)

  it("does not wait where it is told not to, and ^C leaves the shadow running", function()
    local g = serve()
    g:replace("policy.lua", same)
    local status, out = lunette(g, "reload", "--shadow", "1h", "--no-wait", "--share", "50%")
    assert.equal(0, status)
    assert.is_truthy(out:find("is asked beside policy.lua@%x+ for 60 min 0 s; `lunette shadow` shows how it does"), out)
    assert.same({ 3600, 0.5 }, { shadow(g).seconds, shadow(g).share })
    assert.equal(0, (lunette(g, "shadow", "stop")))
    local waiting = e2e.start({ e2e.lunette, "reload", "--shadow", "1h" }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
    becomes(g, "running")
    e2e.eventually("it waits", function()
      waiting:signal(e2e.SIGINT)
      return waiting:stderr():find("the shadow goes on", 1, true)
    end)
    assert.equal(1, waiting:wait())
    assert.equal("running", shadow(g).state)
  end)

  it("says what is wrong with what was asked, and asks nobody", function()
    for _, wrong in ipairs { { "--shadow", "soon" }, { "--shadow", "0" }, { "--share", "0.5" }, { "--shadow", "1m", "--max-errors", "few" },
                             { "--shadow", "1m", "--min-requests", "0" }, { "--no-wait" } } do
      local status, _, said = e2e.run({ e2e.lunette, "reload", unpack(wrong) }, { LUNETTE_ADMIN = "127.0.0.1:1" })
      assert.equal(2, status)
      assert.is_truthy(said:find "^lunette reload: %-%-", said)
    end
  end)

  it("lunette shadow shows it as text and as JSON, and lunette versions that there is one", function()
    local g = serve()
    local status, out = lunette(g, "shadow")
    assert.same({ 0, "There is no shadow, and was none." }, { status, out })
    begin(g, policy(classify .. "\n" .. select_dear))
    local id = ask(g, 3).headers["x-lunette-request-id"]
    compared(g, 3)
    status, out = lunette(g, "shadow")
    assert.equal(0, status)
    assert.is_truthy(out:find("running", 1, true) and out:find("0 same, 3 different, 0 failed", 1, true), out)
    assert.is_truthy(out:find(id .. "  first, plan  %a+: cheap .. dear  %a+: dear .. cheap"), out)
    local _, json = lunette(g, "shadow", "--json")
    assert.equal(3, e2e.json.decode(json).results.different)
    local _, versions = lunette(g, "versions")
    assert.is_truthy(versions:find("shadow of the current: policy.lua@%x+, since .- by admin ann@host"), versions)
    status, out = lunette(g, "shadow", "stop", "--why", "seen enough")
    assert.equal(0, status)
    assert.is_truthy(out:find("stopped", 1, true) and out:find("seen enough", 1, true), out)
    assert.equal(1, (lunette(g, "shadow", "stop")))
    assert.equal(2, (lunette(g, "shadow", "begin")))
  end)
end)
