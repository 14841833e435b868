-- The fault matrix: every row of faults.lua, asked for whole and as a stream, before and behind the first word, with and without another target.
-- What the client gets, whether it counts against the target, what it costs and who is asked next are seen from all sides: the answer, the log,
-- the metrics, the admin interface, the ledger.
-- Called with the transport: fault_matrix "direct".
local transport = ...
local e2e = require "support"
local faults = require "faults"
local tls = require "tls"

local forms = { "whole", "stream", "late" }

---- the cases: a row in one form, with or without another target ----

local cases = {}

local function add(row, place, form, how, kind)
  local case = { row = row, place = place, form = form, how = how, kind = kind, name = "c" .. #cases + 1, stream = form ~= "whole",
                 patient = how == "at the deadline" }
  case.what = row[1] .. ", " .. form .. ", " .. how
  case.expected = faults.kinds[kind]
  cases[#cases + 1] = case
end

local function add_row(row, place, behind)
  for _, form in ipairs(forms) do
    local wanted = row.only and row.only:find(form) or not row.only and (form ~= "late" or behind)
    for _, how in ipairs { "alone", "with another" } do
      if wanted then add(row, place, form, how, row[form] or row[2]) end
    end
  end
end

for _, row in ipairs(faults.connection) do add_row(row, "connection") end
for _, row in ipairs(faults.head_rows) do add_row(row, "head") end
for _, row in ipairs(faults.body_rows) do add_row(row, "body", true) end
for _, row in ipairs(faults.status_rows) do add_row(row, "head") end
for i = 1, #cases do            -- who never ends is ended by the request's deadline, where no other clock is set
  local case = cases[i]
  if case.kind:find "timeout" and case.how == "alone" then add(case.row, case.place, case.form, "at the deadline", "cancelled") end
end

---- the gateways: one with the rows' clocks, one whose only clock is the deadline ----

local config = [[
local price = { input = 1000, output = 2000 }
local providers, models = { good = { base_url = env "GOOD", transport = env "TRANSPORT" } }, {}
local function provider(name, url, timeouts, ca) providers[name] = { base_url = url, timeouts = timeouts, ca = ca, transport = env "TRANSPORT" } end
local function case(name, provider, alone)
  models[name] = { { provider = provider, model = "x", name = name, price = price },
                   not alone and { provider = "good", model = "x", name = "good", price = price } }
end
CASES
return {
  policy = "policy.lua", providers = providers, models = models, health = { failures = 1, rest = 3600 },
  limits = { retries = false, answer = "64KiB", deadline = tonumber(env "DEADLINE") }, budgets = { total = { limit = 1000000, per = "ever" } },
}]]
local policy = [[return { select = function(request, targets) return targets:asked() end }]]

local urls, ca, puppet, knocks, trap, taken
local gateways = {}

-- Each case has a target of its own. They share providers, but for those whose quota is used up: that rests all of a provider's targets.
local function case_lines(patient)
  local list, known, n = {}, {}, 0
  for _, case in ipairs(cases) do
    if case.patient == patient then
      local row = case.row
      local url = case.place == "connection" and (urls[row.url] or row.url) or puppet.url
      local settings = ("%q, { %s }, %s"):format(url, not patient and row.timeouts or "", row.ca and 'env "CA"' or "nil")
      local own = case.kind == "quota" and case.name or ""
      if not known[settings .. own] then
        n = n + 1
        known[settings .. own] = "p" .. n
        list[#list + 1] = ("provider(%q, %s)"):format("p" .. n, settings)
      end
      list[#list + 1] = ("case(%q, %q, %s)"):format(case.name, known[settings .. own], tostring(case.how ~= "with another"))
    end
  end
  return table.concat(list, "\n")
end

local function start(name, patient, deadline)
  local lines = case_lines(patient)
  for _, case in ipairs(cases) do if case.patient == patient then case.gateway = name end end
  gateways[name] = e2e.gateway { config = (config:gsub("CASES", function() return lines end)), files = { ["policy.lua"] = policy },
                                 env = { GOOD = urls.good, DEADLINE = deadline, CA = ca.file, TRANSPORT = transport } }
end

-- A port that refuses: it is taken, and nobody listens.
local function refused()
  taken = e2e.socket.tcp4()
  taken:bind("127.0.0.1", 0)
  local _, port = taken:getsockname()
  return "http://127.0.0.1:" .. port .. "/v1"
end

local function start_all()
  ca = tls.authority()
  puppet, knocks, trap = e2e.puppet(), e2e.puppet(), e2e.puppet()
  faults.trap = trap.url
  local good = e2e.provider [[return function() return { text = "from good", usage = { input = 10, output = 10 } } end]]
  local front = tls.nginx { cert = ca:certificate "IP:127.0.0.1", to = good.port }
  urls = { good = good.url, refused = refused(), deaf = e2e.deaf(), tls = "https://127.0.0.1:" .. front.port .. "/v1",
           misnamed = "https://localhost:" .. front.port .. "/v1", plain = "https" .. good.url:sub(5), knock = knocks.url,
           handshake = "https" .. knocks.url:sub(5) }
  start("hurried", false, "60")
  start("patient", true, "1.5")
end

---- what happens in a case ----

local dripping, waiting = {}, {}

-- The connection as it comes, with what was said on it first.
local function knock()
  local c = knocks.listener:accept()
  c:settimeout(0)
  e2e.socket.select({ c }, nil, e2e.limit)
  if not c.unread then c:receive(65536) end
  return setmetatable({ c = c }, { __index = { close = function(self) self.c:close() end, reset = function(self) e2e.reset(self.c) end } })
end

local function act(case)
  local row = case.row
  if case.place == "connection" then
    if not row.act then return end
    local call = knock()
    case.call = call
    row.act(call)
    return
  end
  local call = puppet:accept()
  case.call = call
  if case.place == "body" then call:send(faults.head(case.form)) end
  if case.form == "late" then
    call:send(faults.first)
    case.visit:expect "word "
  end
  row[3](call, case.form)
  if call.drip then dripping[#dripping + 1] = call end
end

local function finish(case)
  case.answer = case.visit:rest()
  if case.call then case.call.c:close() end
end

local function run(case)
  case.visit = gateways[case.gateway]:open { model = case.name, stream = case.stream, body = { max_tokens = 10 } }
  act(case)
  if case.row.slow then waiting[#waiting + 1] = case else finish(case) end
end

-- A problem of one case is its own.
local function try(f, case)
  local good, why = pcall(f, case)
  if not good then case.problem = case.problem or why end
end

-- A word from each of them, and a look who has hung up, until all have.
local function drip()
  while #dripping > 0 do
    local list = {}
    for _, call in ipairs(dripping) do list[#list + 1] = call.c end
    e2e.socket.select(list, nil, 0.02)
    for i = #dripping, 1, -1 do
      local call = dripping[i]
      call.c:settimeout(0)
      local _, why = call:send(call.drip)
      if why and why ~= "timeout" then table.remove(dripping, i) end
    end
  end
end

---- what is seen of it ----

local rows, targets, metrics = {}, {}, {}

local function ledger(g, ...)
  local command = { e2e.lunette, "ledger", (...), g.folder .. "/gateway.lua", select(2, ...) }
  local status, out, err = e2e.run(command, g.env)
  assert.equal(0, status, out .. err)
  return out
end

-- All that the gateway knows when everything has ended; and then it ends too.
local function look(name)
  local g = gateways[name]
  local said = e2e.eventually("nothing is under way any more", function()
    local report = g:look "providers"
    for _, p in ipairs(report.providers) do
      for _, t in ipairs(p.targets) do if t.in_flight ~= 0 then return nil end end
    end
    return report
  end)
  for _, p in ipairs(said.providers) do
    for _, t in ipairs(p.targets) do if t.name ~= "good" then targets[t.name] = t end end
  end
  metrics[name] = g:metrics()
  g.held, g.used = g:metric 'lunette_budget_held_usd{budget="total"}', g:metric 'lunette_budget_used_usd{budget="total"}'
  g.process:said()              -- a full pipe would hold its end up
  g.status, g.charged = g:stop(), 0
  for _, row in ipairs(e2e.json.decode(ledger(g, "export", "--format", "json"))) do
    rows[row.request] = rows[row.request] or {}
    table.insert(rows[row.request], row)
    g.charged = g.charged + row.amount
  end
end

local function play()
  for _, case in ipairs(cases) do if case.row.slow then try(run, case) end end
  for _, case in ipairs(cases) do if not case.row.slow then try(run, case) end end
  drip()
  for _, case in ipairs(waiting) do try(finish, case) end
  look "hurried"
  look "patient"
end

---- what is promised ----

local function valid_utf8(text)
  for _, form in ipairs { "[\240-\244][\128-\191][\128-\191][\128-\191]", "[\224-\239][\128-\191][\128-\191]", "[\194-\223][\128-\191]" } do
    text = text:gsub(form, "")
  end
  return not text:find "[\128-\255]"
end

local function no_clean_end(answer)
  assert.is_nil(answer.clean)
  assert.is_nil(answer.body:find("[DONE]", 1, true))
end

local function check_events(answer, broken)
  for i, e in ipairs(answer.events) do
    assert.is_true(type(e) == "table" or e == "[DONE]", "no event: " .. tostring(e))
    assert.is_true((type(e) == "table" and e.error ~= nil) == (broken and i == #answer.events or false))
  end
end

local function check_good(answer, from)
  assert.equal(200, answer.status, answer.body)
  assert.is_true(answer.clean)
  assert.is_nil(answer.error)
  assert.is_nil(answer.body:find("hidden", 1, true))
  if answer.events[1] then assert.equal("[DONE]", answer.events[#answer.events]) end
  if from then assert.equal(from, answer.text) end
end

local function check_error(answer, expected)
  assert.equal(expected.status, answer.status, answer.body)
  assert.equal(expected.code, answer.code)
  assert.equal("application/json", answer.headers["content-type"])
  assert.is_true(answer.clean)
end

local function check_cut(answer, expected)
  assert.equal(200, answer.status)
  assert.equal("word ", answer.text:sub(1, 5))
  assert.equal(expected.code, answer.code)
  no_clean_end(answer)
  check_events(answer, true)
end

local function goes_on(case) return case.how == "with another" and case.form ~= "late" and case.expected.goes_on end

local function check_client(case)
  local answer, expected = case.answer, case.expected
  assert.is_true(case.row.raw or valid_utf8(answer.body))
  if case.kind == "ok" then
    check_good(answer)
    check_events(answer)
  elseif goes_on(case) then check_good(answer, "from good")
  elseif case.form == "late" then check_cut(answer, expected)
  else check_error(answer, expected) end
end

local function is_kind(case, kind) return kind == case.kind or (kind == case.row.or_else and case.form ~= "late") end

-- What its first attempt costs. Once a provider has spoken nobody can say that it cost nothing.
local function bill_of(case)
  if case.kind == "ok" and case.row.usage == false then return "hold" end
  if case.kind == "cancelled" and case.row[2] == "connect_timeout" then return "free" end         -- there was no connection yet
  return case.form == "late" and case.expected.bill == "free" and "hold" or case.expected.bill
end

local function check_log(case, line)
  local first = line.attempts[1]
  assert.equal(case.name, first.target)
  assert.is_true(is_kind(case, first.kind), first.kind .. " instead of " .. case.kind .. ": " .. tostring(first.detail))
  assert.equal(goes_on(case) and 2 or 1, #line.attempts)
  if goes_on(case) then
    assert.same({ "good", "ok" }, { line.attempts[2].target, line.attempts[2].kind })
    assert.is_true(line.fallback)
  end
  if case.kind ~= "ok" then assert.equal(({ free = "no", hold = "maybe" })[bill_of(case)], first.billed) end
  assert.equal(case.form == "late" and case.kind ~= "ok" or nil, line.torn)
  assert.equal(case.answer.status, line.status)
  local series = ('lunette_attempts_total{target="%s",kind="%s"} 1\n'):format(first.target, first.kind)
  assert.is_truthy(metrics[case.gateway]:find(series, 1, true), "no " .. series)
end

local function check_health(case)
  local t, health = targets[case.name], case.expected.health
  assert.equal(health == "counts" and "open" or "closed", t.circuit)
  local rests = t.rests_ms ~= nil or t.rests ~= nil
  if case.kind ~= "rate_limited" then assert.equal(health == "counts" or health == "rests", rests)         -- its second may be over
  elseif case.answer.status == 429 then assert.equal("1", case.answer.headers["retry-after"]) end
end

local function check_money(case, line)
  local bill, list, sum = bill_of(case), rows[line.id] or {}, 0
  for _, row in ipairs(list) do sum = sum + row.amount end
  local first = list[1]
  assert.equal(#line.attempts, #list)
  assert.equal(({ free = "SETTLED", hold = "ORPHANED", usage = "SETTLED" })[bill], first.state)
  assert.near(({ free = 0, hold = first.hold, usage = 0.03 })[bill], first.amount, 1e-9)
  assert.is_true(first.hold > 0.03)
  assert.is_true(is_kind(case, first.kind))
  if list[2] then assert.same({ "SETTLED", "good" }, { list[2].state, list[2].target }) end
  assert.near(line.cost or 0, sum, 1e-9)
  local told = case.answer.headers["x-lunette-cost"]
  if told then assert.near(tonumber(told), sum, 1e-9) end
end

local function check(case)
  if case.problem then error(case.what .. ": " .. case.problem, 0) end
  local line = gateways[case.gateway]:line(case.answer)
  for _, look_at in ipairs { check_client, check_log, check_health, check_money } do
    local good, why = pcall(look_at, case, line)
    if not good then error(case.what .. ": " .. tostring(type(why) == "table" and why.message or why), 0) end
  end
end

describe("a provider that is asked by " .. transport .. " and that", function()
  setup(function()
    start_all()
    play()
  end)
  teardown(function()
    taken:close()
    e2e.stop()
  end)

  for _, case in ipairs(cases) do
    it(case.what .. ", is " .. case.kind, function() check(case) end)
  end

  it("redirects is not followed", function() assert.is_true(trap:quiet()) end)

  it("fails in any way leaves nothing held: what was spent is what the ledger's rows say", function()
    for _, g in pairs(gateways) do
      assert.equal(0, g.held)
      assert.near(g.charged, g.used, 1e-6)
      assert.equal(0, g.status)
      ledger(g, "verify")
    end
  end)
end)

---- Retry-After ----

describe("a provider that wants to be left alone", function()
  local waits, resting, g = {}, {}, nil

  local function ask(wait, status)
    local case = { name = "w" .. #waits + 1, said = wait[1], seconds = wait[2], about = wait.about, status = status }
    waits[#waits + 1] = case
  end
  for _, wait in ipairs(faults.waits) do
    ask(wait, 429)
    ask(wait, 503)
  end
  ask({ "retry-after: 9" }, 500)
  ask({ "retry-after: 9" }, 400)

  setup(function()
    local p, list = e2e.puppet(), {}
    for _, case in ipairs(waits) do list[#list + 1] = ("models[%q] = { { provider = \"p\", model = \"x\", name = %q } }"):format(case.name, case.name) end
    g = e2e.gateway { config = "local models = {}\n" .. table.concat(list, "\n") .. [[
      return { providers = { p = { base_url = env "P", transport = env "TRANSPORT" } }, models = models, limits = { retries = false } }]],
                      env = { P = p.url, TRANSPORT = transport } }
    for _, case in ipairs(waits) do
      local visit = g:open { model = case.name }
      p:accept():answer(case.status, {}, { ["x-a"] = "b\r\n" .. case.said })
      case.answer = visit:rest()
    end
    for _, t in ipairs(g:look("providers").providers[1].targets) do resting[t.name] = t end
  end)
  teardown(e2e.stop)

  -- The client is told the time in whole seconds, rounded up; one that was said as a date is a little nearer by then.
  local function check_wait(case)
    local busy, told, t = case.status == 429 or case.status == 503, case.answer.headers["retry-after"], resting[case.name]
    local seconds = busy and case.seconds or case.status == 429 and 1
    assert.equal(({ [500] = 502 })[case.status] or case.status, case.answer.status)
    if not busy then assert.is_nil(told)
    elseif case.about then assert.is_true(tonumber(told) <= seconds and tonumber(told) > seconds - 60, told)
    else assert.equal(tostring(math.ceil(seconds or 1)), told) end
    assert.equal("closed", t.circuit)
    if not seconds then assert.is_nil(t.rests_ms)
    elseif seconds >= 90 then assert.is_true(t.rests_ms > 0 and t.rests_ms <= seconds * 1000) end
  end

  for _, case in ipairs(waits) do
    it("and says " .. case.said:gsub("\r\n", ", "):sub(1, 100) .. " with " .. case.status, function() check_wait(case) end)
  end
end)
