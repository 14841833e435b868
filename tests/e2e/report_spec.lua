-- lunette report: real traffic at providers that misbehave, and every number compared with what was sent and with the log; then what the
-- command prints, with an admin interface that the test plays.
local e2e = require "support"
local realpath = require("posix.stdlib").realpath
local program = realpath(e2e.lunette)

-- The first word of a text is the label, the others say what a provider does: "break" (500), "limit" (429 twice for each text), "dead" (all
-- of them 500), "late" (after 50 ms), "stall".
local script = [[local asked = {}
  return function(request)
    local text, name = request.text, request.model
    if text:find "dead" or (name == "one" and text:find "break") then return { status = 500 } end
    if text:find "limit" and name == "one" then
      asked[text] = (asked[text] or 0) + 1
      if asked[text] <= 2 then return { status = 429 } end
    end
    if text:find "stall" then return { stall = true } end
    return { text = "fine", after = text:find "late" and 0.05 or 0, usage = { input = 1000, output = 500 } }
  end]]

local config = [[return { policy = "p.lua",
  providers = { a = { base_url = env "A", health = false }, gone = { base_url = "http://127.0.0.1:1/v1", health = { failures = 1 } } },
  models = {
    m = { { provider = "a", model = "one", price = { input = 1, output = 2 } }, { provider = "a", model = "two", price = { input = 10, output = 20 } } },
    weak = { { provider = "gone", model = "x" }, { provider = "a", model = "three", price = { input = 4, output = 4 } } },
    opus = { { provider = "a", model = "four", price = { input = 45, output = 45 } } },
    turbo = { { provider = "a", model = "five", price = { input = 60, output = 60 } } },
    narrow = { { provider = "a", model = "six", requests_per_minute = 1 } } } }]]

local policy = [[local lunette = require "lunette"
  return { limits = { retries = false },
    classify = function(request) return request.text:match "^%a+" end,
    select = function(request, targets) return targets:asked() end,
    retry = function(request, attempt) if attempt.kind == "rate_limited" then return lunette.again(0.02) end end }]]

local function about(wanted, got, within) assert.truthy(math.abs(wanted - got) <= (within or 1e-6), ("%s, not %s"):format(got, wanted)) end

local function by(list, member)
  local found = {}
  for _, row in ipairs(list) do found[row[member]] = row end
  return found
end

describe("E3 the report of real traffic", function()
  local g, report, lines
  setup(function()
    local provider = e2e.provider(script)
    g = e2e.gateway { env = { A = provider.url }, files = { ["p.lua"] = policy }, config = config, workers = 2 }
    local function send(n, status, text, model)
      for i = 1, n do assert.equal(status, g:chat({ model = model, text = text .. " " .. i }).status) end
    end
    send(20, 200, "fast")
    send(4, 200, "normal late")
    send(5, 200, "normal break")
    send(3, 200, "deep limit")
    send(2, 502, "deep dead")
    send(3, 200, "weak", "weak")
    assert.equal(404, g:chat({ model = "nothing" }).status)
    local function leave(text, model)           -- asks, and hangs up while it waits
      local visit = g:open { text = text, model = model }
      e2e.eventually("it is under way", function() return g:metric "lunette_requests_in_flight" == 1 end)
      visit:leave()
      e2e.eventually("it is over", function() return g:metric "lunette_requests_in_flight" == 0 end)
    end
    leave "left stall"
    assert.equal(200, g:chat({ model = "narrow", text = "narrow" }).status)
    leave("narrow", "narrow")                   -- the second of this minute has no turn yet
    lines = g:log(41)
    report = g:look "report"
  end)
  teardown(e2e.stop)

  it("counts requests and what came of them", function()
    local t = report.totals
    assert.same({ 41, 36, 2, 1, 2 }, { t.requests, t.answered, t.failed, t.refused, t.left })
    about(36 / 39, t.success_rate)
    assert.same({ 11, 9, 14 }, { t.retried, t.retried_answered, t.retries })    -- break 5, limit 3 (twice each), weak 1, dead 2
    about(11 / 41, t.retry_rate)
    assert.equal(0, t.retries_denied)
    assert.equal(8, t.fallbacks)                -- break and weak
    about(8 / 36, t.fallback_rate)
    about(28 / 36, t.primary_rate)
    assert.truthy(t.retry_wait_seconds >= 6 * 0.02)
    assert.same({ 1, 0 }, { t.queued, t.hedges })
    assert.truthy(t.queue_seconds > 0)
  end)

  it("counts by label, with latencies that are those of the log", function()
    local labels = by(report.labels, "label")
    local counts = { fast = { 20, 20, 0 }, normal = { 9, 9, 0 }, deep = { 5, 3, 2 }, weak = { 3, 3, 0 }, left = { 1, 0, 0 }, narrow = { 2, 1, 0 } }
    local rows = 0
    for label, row in pairs(labels) do
      assert.same(counts[label], { row.requests, row.answered, row.failed }, label)
      local times = {}
      for _, line in ipairs(lines) do
        if line.status == 200 and line.labels and line.labels[1] == label then times[#times + 1] = line.latency_ms end
      end
      table.sort(times)
      local sum = 0
      for _, ms in ipairs(times) do sum = sum + ms end
      assert.equal(row.answered, #times)
      if #times > 0 then
        about(sum / #times, row.mean_ms, 0.002)
        local p99 = times[math.ceil(0.99 * #times)]
        about(p99, row.p99_ms, p99 * 0.02)
      else assert.equal(e2e.json.null, row.mean_ms) end
      rows = rows + 1
    end
    assert.equal(6, rows)
    about(0.6, labels.deep.success_rate)
  end)

  it("counts by stage", function()
    assert.same({ "1", 28, "2", 8 }, { report.stages[1].stage, report.stages[1].answered, report.stages[2].stage, report.stages[2].answered })
    assert.equal(2, #report.stages)
    about(28 / 36, report.stages[1].share)
  end)

  it("counts by model and target, failures by how they ended", function()
    local models, targets = by(report.models, "model"), by(report.targets, "target")
    local m, all = models.m, report.all_models
    assert.equal("m", report.models[1].model)                       -- the busiest first
    assert.same({ 48, 32, 15, 1 }, { m.attempts, m.answered, m.failed, m.cancelled })
    about(32 / 47, m.success_rate)
    assert.same({ 4, 3, 1 }, { models.weak.attempts, models.weak.answered, models.weak.failed })
    assert.same({ 53, 36 }, { all.attempts, all.answered })
    assert.same({ 32000, 16000 }, { m.tokens_input, m.tokens_output })
    assert.same({ server_error = 7, rate_limited = 6, cancelled = 1, ok = 27 }, targets["a/one"].ends)
    assert.same({ server_error = 2, ok = 5 }, targets["a/two"].ends)
    assert.same({ "open", "closed" }, { targets["gone/x"].circuit, targets["a/three"].circuit })
    assert.same({ "gone/x" }, report.open_circuits)
    assert.truthy(targets["gone/x"].rest_ms > 0)
    assert.same({ 1, 0 }, { targets["a/six"].queued, targets["a/one"].queued })
    about(report.totals.queue_seconds, targets["a/six"].queue_seconds)
  end)

  it("adds up the money exactly, and what was saved", function()
    local one, two, three = 27 * (1000 * 1 + 500 * 2) / 1e6, 5 * (1000 * 10 + 500 * 20) / 1e6, 3 * 1500 * 4 / 1e6
    local models, saving = by(report.models, "model"), report.saving
    local left = lines[#lines]
    for _, line in ipairs(lines) do if line.status == 499 and line.tokens then left = line end end
    assert.is_true(left.tokens.estimated)                           -- it was sent, and nobody told what it cost
    one = one + left.cost
    local tokens = 32 * 1500 + left.tokens.input + left.tokens.output
    about(one + two, models.m.cost_usd, 1e-9)
    about(three, models.weak.cost_usd, 1e-9)
    about(one + two + three, report.all_models.cost_usd, 1e-9)
    local premium = (tokens + 3 * 1500) * 52.5 / 1e6
    assert.same({ 30, { "a/four", "a/five" } }, { saving.above, saving.premium_targets })
    about(premium, saving.premium_usd, 1e-9)
    about(premium - one - two - three, saving.saved_usd, 1e-9)
    about((premium - one - two - three) / premium * 100, saving.saved_percent, 1e-3)
    about((tokens * 52.5 / 1e6 - one - two) / (tokens * 52.5 / 1e6) * 100, models.m.saved_percent, 1e-3)
    local cost = 0
    for _, line in ipairs(lines) do cost = cost + line.cost end
    about(cost, report.all_models.cost_usd, 1e-9)
  end)

  it("says what the metrics say", function()
    assert.equal(36, g:metric [[lunette_request_seconds_count{result="answered"}]])
    assert.equal(3, g:metric [[lunette_label_requests_total{label="deep",result="answered"}]])
    assert.equal(8, g:metric [[lunette_stage_seconds_count{stage="2"}]])
    assert.equal(14, g:metric "lunette_retries_total")
    about(report.totals.retry_wait_seconds, g:metric "lunette_retry_wait_seconds_total")
    assert.truthy(g:metrics():find('lunette_provider_state{provider="gone"} 0\n', 1, true))
    assert.equal(1, g:metric [[lunette_provider_state{provider="a"}]])
    assert.truthy(g:metric [[lunette_target_rest_seconds{target="gone/x"}]] > 0)
    assert.truthy(g:metric "process_start_time_seconds" > 1.7e9)
  end)

  it("begins anew with the process, and says since when", function()
    assert.truthy(report.since:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$")
    g:restart()
    local again = g:look "report"
    assert.equal(0, again.totals.requests)
    assert.truthy(again.since > report.since)
    assert.same({}, again.models)
  end)

  it("is shown by the command", function()
    g:chat { text = "fast" }
    local status, out, err = e2e.run({ program, "report" }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
    assert.same({ 0, "" }, { status, err })
    for _, words in ipairs { "requests  1, answered 100 %%", "m +1 +100 %%", "fast +1 +100 %%",
                             "saved %$0%.0767 %(97%.5 %%%) against the mean of a/four, a/five",
                             "circuits  all closed" } do
      assert.truthy(out:match(words), words .. " is not in\n" .. out)
    end
  end)

  it("shows what is held, spent and the limit of each budget, and keys that are out", function()
    local provider = e2e.provider [[return function(request)
      if request.headers.authorization == "Bearer wrong" then return { status = 401 } end
      return { text = "x", usage = { input = 0, output = 1000000 } } end]]
    local b = e2e.gateway { env = { A = provider.url, KEY = "wrong", OTHER = "right" }, config = [[return { budgets = { total = { limit = 10, per = "day" } },
      teams = { web = { budget = { limit = 5 } } }, clients = { { name = "app", team = "web", hash = "]] .. e2e.hash "k" .. [[" } },
      providers = { a = { base_url = env "A", key = { secret "KEY", secret "OTHER" } } },
      models = { m = { { provider = "a", model = "x", max_output = 1000000, price = { input = 0, output = 2 } } } }, limits = { output = 1000000 } }]] }
    for _ = 1, 2 do assert.equal(200, b:chat({ headers = { authorization = "Bearer k" } }).status) end
    assert.equal(10, b:metric [[lunette_budget_limit_usd{budget="total"}]])
    assert.equal(5, b:metric [[lunette_budget_limit_usd{budget="team web"}]])
    assert.equal(4, b:metric [[lunette_budget_used_usd{budget="total"}]])
    assert.equal(4, b:metric [[lunette_budget_used_usd{budget="team web"}]])
    assert.equal(0, b:metric [[lunette_budget_held_usd{budget="total"}]])
    assert.truthy(b:metrics():find('lunette_key_in_use{provider="a",key="KEY"} 0\n', 1, true))
    assert.equal(1, b:metric [[lunette_key_in_use{provider="a",key="OTHER"}]])
    assert.is_nil(b:metrics():find('budget="key app"', 1, true))         -- it has no limit
  end)
end)

describe("E3 lunette report", function()
  after_each(e2e.stop)
  local null = e2e.json.null
  local totals = { requests = 1204, answered = 1190, failed = 10, refused = 2, left = 2, success_rate = 0.99, mean_ms = 812.4, p99_ms = 3204,
                   primary_rate = 0.9123, fallbacks = 105, fallback_rate = 0.0877, retried = 77, retried_answered = 70, retry_rate = 0.064,
                   retries = 90, retries_denied = 3, retry_wait_seconds = 12.34, hedges = 4, queued = 12, queue_seconds = 0.0031 }
  local function row(fields)
    local r = { attempts = 7, answered = 6, failed = 1, cancelled = 0, success_rate = 6 / 7, mean_ms = 5.25, p99_ms = 61234, tokens_input = 1234,
                tokens_output = 45678901, cost_usd = 0.000123456, premium_usd = null, saved_usd = null, saved_percent = null }
    for name, value in pairs(fields) do r[name] = value end
    return r
  end
  local function told(fields)
    local r = { since = "2026-01-31T12:00:00.000Z", seconds = 5, version = "p.lua@a1b2c3d4e5f6", open_circuits = { "a/x", "b/y" },
                totals = totals, saving = null,
                models = { row { model = "gpt-4.1" },
                           row { model = ("m"):rep(40) .. "-the-end", success_rate = null, mean_ms = null, p99_ms = null, cost_usd = 1234.5 } },
                all_models = row { attempts = 14, cost_usd = 12.345 }, labels = {}, stages = {}, targets = {} }
    for name, value in pairs(fields or {}) do r[name] = value end
    return r
  end
  local function ask(arguments, report)
    local puppet = e2e.puppet()
    local process = e2e.start({ program, "report", unpack(arguments) }, { LUNETTE_ADMIN = "127.0.0.1:" .. puppet.port })
    local call = puppet:accept()
    local body = type(report) == "string" and report or e2e.json.encode(report)
    call:head(200, { ["content-type"] = "application/json", ["content-length"] = #body })
    call:send(body)
    call.c:close()
    assert.same({ "GET", "/admin/report" }, { call.method, call.path })
    local status = process:wait()
    return status, process.buffer, process:stderr()
  end

  it("prints what matters in lines, then a table of each kind that there is, all within a screen", function()
    local status, out, err = ask({}, told())
    assert.same({ 0, "" }, { status, err })
    assert.equal([[
p.lua@a1b2c3d4e5f6, since 2026-01-31T12:00:00.000Z
requests  1204, answered 99.0 % (failed 10, refused 2, left 2), mean 812 ms, p99 3.20 s
plans     first step 91.2 %, fallback 8.8 % (105), hedges 4
retries   90 of 77 requests (6.4 %), 70 answered in the end; waited 12.3 s, denied 3
queue     12 waited for a turn, 3.1 ms together
circuits  open: a/x, b/y
cost      $12.35; no saving is told: no target is above report.premium

model                         attempts  success    mean     p99     in    out       cost  saved
gpt-4.1                              7   85.7 %  5.2 ms  61.2 s  1.23k  45.7M  $0.000123      -
mmmmmmmmmmmmmm…mmmmm-the-end         7        -       -       -  1.23k  45.7M      $1234      -
all                                 14   85.7 %  5.2 ms  61.2 s  1.23k  45.7M     $12.35      -
]], out)
  end)

  it("tells savings, losses too", function()
    local saving = { above = 30, premium_targets = { "a/opus" }, cost_usd = 680, premium_usd = 4200, saved_usd = 3520, saved_percent = 83.81 }
    local _, out = ask({}, told { saving = saving })
    assert.truthy(out:find("cost      $12.35, saved $3520 (83.8 %) against the mean of a/opus\n", 1, true), out)
    saving.saved_usd, saving.saved_percent = -0.5, -12.5
    _, out = ask({}, told { saving = saving })
    assert.truthy(out:find("saved -$0.500 (-12.5 %)", 1, true), out)
  end)

  it("--by prints one table alone", function()
    local labels = { { label = "deep\27[31m", requests = 5, answered = 4, failed = 1, success_rate = 0.8, mean_ms = 100, p99_ms = 200 } }
    local status, out = ask({ "--by", "label" }, told { labels = labels })
    assert.equal(0, status)
    assert.equal("label         requests  success  failed    mean     p99\ndeep\\x1b[31m         5   80.0 %       1  100 ms  200 ms\n", out)
    status, out = ask({ "--by", "stage" }, told { stages = { { stage = "1", answered = 3, share = 0.9997, mean_ms = 1, p99_ms = 2 } } })
    assert.equal(0, status)
    assert.equal("stage  answered    share    mean     p99\n1             3  99.97 %  1.0 ms  2.0 ms\n", out)
    status, out = ask({ "--by", "target" }, told { targets = { row { target = "a/x", circuit = null, queued = 3 } } })
    assert.equal(0, status)
    assert.truthy(out:find("a/x     -               7   85.7 %  5.2 ms  61.2 s       3  $0.000123", 1, true), out)
  end)

  it("--json prints what came", function()
    local text = '{"since":"x",  "totals":{}}'
    local status, out = ask({ "--json" }, text)
    assert.same({ 0, text .. "\n" }, { status, out })
  end)

  it("says what --by must be: status 2", function()
    local status, out, err = e2e.run({ program, "report", "--by", "modle", "--admin", "127.0.0.1:1" })
    assert.same({ 2, "", "lunette report: --by must be model, label, stage or target, not modle (did you mean model?)\n" }, { status, out, err })
    status = e2e.run({ program, "report", "--by", "model", "--json", "--admin", "127.0.0.1:1" })
    assert.equal(2, status)
    status = e2e.run({ program, "report", "more" })
    assert.equal(2, status)
  end)

  it("prints an answer that lacks everything without a stumble", function()
    local status, out = ask({}, "{}")
    assert.equal(0, status)
    assert.truthy(out:find("requests  -, answered -", 1, true), out)
  end)
end)
