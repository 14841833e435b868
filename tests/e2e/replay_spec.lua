-- lunette replay: a policy tried on a log that a real gateway wrote, and what is said of logs and policies that are not good.
local e2e, cjson = require "support", require "cjson"

local script = [[local n = 0
  return function(request)
    n = n + 1
    if n % 7 == 0 then return { status = 500 } end
    if n % 11 == 0 then return { cut = "rst" } end
    return { text = "as you like", usage = { input = 100 + n, output = 10 * (n % 5), cached = n % 3 } }
  end]]

local config = [[return { policy = "p.lua", providers = { a = { base_url = env("A", "http://127.0.0.1:1/v1") } }, log = { text = true },
  models = { small = { { provider = "a", model = "small", price = { input = 1, output = 2, cached_input = 0.5 } } },
             large = { { provider = "a", model = "large", price = { input = 10, output = 30 } } } } }]]

local picks = [[local lunette = require "lunette"
  return { select = function(request, targets)
    local first = lunette.pick({ "small", "large" }, { 0.6, 0.4 })
    return targets:of(first) .. targets
  end }]]
local by_text = [[return { select = function(request, targets) return targets:of(request.text:find "hard" and "large" or "small") end }]]

local function copy(log) return table.concat(log, "\n") .. "\n" end

describe("replay", function()
  local folder, log, lines
  local function path(name) return folder .. "/" .. name end
  local function replay(...) return e2e.run { e2e.lunette, "replay", ... } end
  local function json(...)
    local status, out, err = replay(...)
    return e2e.json.decode(out), status, err, out
  end
  -- A configuration with another policy, beside the first; gives its path.
  local function other(name, policy, text)
    e2e.write(path(name .. "_policy.lua"), policy)
    return e2e.write(path(name .. ".lua"), ((text or config):gsub('"p.lua"', ('"%s_policy.lua"'):format(name))))
  end

  setup(function()
    local provider = e2e.provider(script)
    local g = e2e.gateway { env = { A = provider.url }, config = config, files = { ["p.lua"] = picks }, workers = 2 }
    for i = 1, 60 do g:chat { model = "auto", text = (i % 3 == 0 and "hard " or "easy ") .. i, stream = i % 4 == 0 } end
    g:log(60)
    folder, lines = g.folder, {}
    g.process:stop(15)
    log = path "requests.jsonl"
    for line in e2e.read(log):gmatch "[^\n]+" do lines[#lines + 1] = line end
  end)
  teardown(e2e.stop)

  it("brings the same policy to what the log came to: cost, success, retries, choices", function()
    local report, status, err = json(path "gateway.lua", log, "--json")
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(60, report.requests)
    assert.equal(60, report.policy.outcomes.as_logged)
    local cost, answered, large = 0, 0, 0
    for _, text in ipairs(lines) do
      local line = e2e.json.decode(text)
      cost, answered = cost + line.cost, answered + (line.status == 200 and not line.torn and 1 or 0)
      large = large + (line.target == "a/large" and 1 or 0)
    end
    for _, figures in ipairs { report.really, report.policy.figures } do
      assert.truthy(math.abs(cost - figures.cost_usd) < 1e-12)
      assert.equal(answered, figures.answered)
      assert.equal(large, figures.choices.large)
      assert.truthy(figures.retries > 0)
    end
    assert.same(report.really.choices, report.policy.figures.choices)
    for _, name in ipairs { "requests", "answered", "cost_usd", "retries", "budget_refusals", "policy_failures" } do
      assert.equal(0, report.policy.to_really[name])
    end
  end)

  it("says the same from run to run, from a file as from standard input", function()
    local against = other("by_text", by_text)
    local _, _, _, one = json(path "gateway.lua", log, "--against", against, "--json")
    local _, _, _, two = json(path "gateway.lua", log, "--against", against, "--json")
    assert.equal(one, two)
    local piped = io.popen(("'%s' replay '%s' - --against '%s' --json <'%s'"):format(e2e.lunette, path "gateway.lua", against, log))
    local three = piped:read "*a"
    piped:close()
    assert.equal(one, (three:gsub("\n$", "")))
  end)

  it("tells a policy that goes another way as an estimate, beside what really happened and another one", function()
    local report, status = json(other("by_text", by_text), log, "--against", path "gateway.lua", "--json")
    assert.equal(0, status)
    local policy, outcomes = report.policy, report.policy.outcomes
    assert.truthy(outcomes.estimated > 0)
    assert.equal(60, outcomes.estimated + outcomes.as_logged)
    assert.equal(0, outcomes.text_missing)
    assert.equal(60, policy.estimates.requests)
    for _, name in ipairs { "cost_usd", "latency_ms", "success" } do
      for _, kind in ipairs { "ips", "snips", "doubly_robust" } do
        local e = policy.estimates[name][kind]
        assert.truthy(e.low <= e.value and e.value <= e.high, name .. " " .. kind)
      end
    end
    for _, name in ipairs { "p50_ms", "p95_ms", "p99_ms" } do
      local e = policy.estimates[name]
      assert.truthy(e.really > 0 and e.snips.low <= e.snips.value, name)
      if e.snips.high ~= cjson.null then assert.truthy(e.snips.value <= e.snips.high, name) end       -- null: beyond all that was seen
    end
    assert.truthy(math.abs(policy.figures.cost_usd - report.against.figures.cost_usd - policy.to_against.cost_usd) < 1e-12)
    local _, text = replay(path "by_text.lua", log, "--against", path "gateway.lua")
    assert.truthy(text:match "^%s+really%s+this policy%s+difference%s+against%s+difference\n")
    assert.truthy(text:find("in part ESTIMATES", 1, true))
    assert.truthy(text:find("doubly robust", 1, true))
  end)

  it("counts what is no line of a log, and goes on", function()
    local bad = { "nonsense", lines[1], "{\"version\":2,\"rows\":[]}", lines[2], "[]", lines[3]:sub(1, 90) }
    local report, status, err = json(path "gateway.lua", e2e.write(path "bad.jsonl", table.concat(bad, "\n")), "--json")
    assert.equal(0, status)
    assert.equal(2, report.requests)
    assert.same({ 6, 2, 2, 1, 1 }, { report.log.lines, report.log.read, report.log.broken, report.log.other, report.log.cut })
    assert.truthy(err:find("2 lines left out, the first is line 1: no JSON object", 1, true))
    assert.truthy(err:find("1 line left out, the first is line 6: the last one, cut in the middle", 1, true))
  end)

  it("takes times that go back as they stand, and says so", function()
    local later = lines[2]:gsub('"time":"20', '"time":"21')
    local report, status, err = json(path "gateway.lua", e2e.write(path "back.jsonl", copy { lines[1], later, lines[3], lines[4] }), "--json")
    assert.equal(0, status)
    assert.equal(2, report.log.backwards)
    assert.equal(4, report.requests)
    assert.truthy(err:find("the first is line 3: it ended over a second before one above it", 1, true))
  end)

  it("has nothing to say of an empty log, and cannot read one that is not there", function()
    local report, status = json(path "gateway.lua", e2e.write(path "empty.jsonl", ""), "--json")
    assert.equal(1, status)
    assert.equal(0, report.requests)
    local _, text = replay(path "gateway.lua", path "empty.jsonl")
    assert.equal("There is no request in it.", text)
    local missing, _, err = replay(path "gateway.lua", path "nowhere.jsonl")
    assert.equal(1, missing)
    assert.truthy(err:find("nowhere.jsonl: No such file or directory", 1, true))
    assert.equal(1, (replay(path "nowhere.lua", log)))
    assert.equal(2, (replay()))
    assert.equal(2, (replay("--nonsense", log)))
  end)

  it("says for how many requests a policy wants a text that the log does not have, and exits 1", function()
    local without = {}
    for i, line in ipairs(lines) do without[i] = i <= 50 and line:gsub(',"text":"[^"]*"', "") or line end
    local report, status, err = json(other("by_text", by_text), e2e.write(path "silent.jsonl", copy(without)), "--json")
    assert.equal(1, status)
    assert.equal(50, report.policy.outcomes.text_missing)
    assert.truthy(err:find("wants to know the text of 50 requests", 1, true))
  end)

  it("tells which requests a policy fails on, where, and how many", function()
    local fails = other("fails", "return {\nselect = function(request, targets)\n  if request.text:find 'hard' then error 'too hard' end\nend }")
    local report, status, err = json(fails, log, "--json")
    assert.equal(1, status)
    assert.equal(20, report.policy.figures.policy_failures)
    local first = e2e.json.decode(lines[3])
    assert.truthy(err:find(("line 3 (request %s): \"fails_policy.lua:3: too hard\""):format(first.id), 1, true), err)
    assert.truthy(err:find("20 requests in which a hook failed", 1, true))
  end)

  it("does so with keys, their rates and budgets, and providers that fail", function()
    local provider = e2e.provider [[local n = 0
      return function(request)
        n = n + 1
        if n % 9 == 0 then return { status = 500 } end
        return { text = "fine", usage = { input = 10, output = 40 } }
      end]]
    local keys = [[return { policy = "p.lua", providers = { a = { base_url = env "A" } },
      clients = { { name = "one", hash = env "ONE", requests_per_minute = 25, tags = { tier = "gold" } }, { name = "two", hash = env "TWO", team = "t" } },
      teams = { t = { budget = { limit = 0.02, per = "day" } } },
      models = { small = { { provider = "a", model = "small", price = { input = 1, output = 2 } } },
                 large = { { provider = "a", model = "large", price = { input = 10, output = 30 } } } } }]]
    local by_tag = [[return { select = function(request, targets)
      return targets:of(request.tags.tier == "gold" and "large" or "small") .. targets:of "large"
    end }]]
    local g = e2e.gateway { env = { A = provider.url, ONE = e2e.hash "k1", TWO = e2e.hash "k2" }, config = keys, files = { ["p.lua"] = by_tag } }
    local function ask(i, model, key)
      g:chat { model = model, text = "hello " .. i, stream = i % 5 == 0, headers = { authorization = "Bearer " .. key }, body = { max_tokens = 50 } }
    end
    for i = 1, 60 do ask(i, "auto", i % 2 == 0 and "k1" or "k2") end
    for i = 1, 60 do ask(i, "large", "k2") end
    ask(1, "nothing", "k1")
    g:log(121)
    local status, out, err = e2e.run({ e2e.lunette, "replay", g.folder .. "/gateway.lua", g.folder .. "/requests.jsonl", "--json" }, g.env)
    assert.equal(0, status, err)
    local report = e2e.json.decode(out)
    local really, here = report.really, report.policy.figures
    assert.truthy(really.budget_refusals > 10 and really.retries > 3 and really.answered < 100)
    for _, name in ipairs { "requests", "answered", "cost_usd", "retries", "budget_refusals" } do assert.equal(really[name], here[name], name) end
    assert.same(really.choices, here.choices)
  end)

  it("takes what lunette.chat brought, and settings, from a log that has them", function()
    local provider = e2e.provider [[return function(request) return { text = request.text:find "which" and "large" or "fine" } end]]
    local asks = [[local lunette = require "lunette"
      return { settings = { ask = { default = false } }, select = function(request, targets)
        local name = lunette.setting "ask" and lunette.chat { model = "small", text = "which?", timeout = 5 } or "small"
        return targets:of(name)
      end }]]
    local g = e2e.gateway { env = { A = provider.url }, config = config:gsub("text = true", "text = true, replay = true"), files = { ["p.lua"] = asks } }
    local function gateway_log() return g.folder .. "/requests.jsonl" end
    for i = 1, 3 do assert.equal(200, g:chat({ model = "auto", text = "hello " .. i }).status) end
    assert.equal(200, g:tell("settings", { ask = true }).status)
    for i = 4, 6 do assert.equal(200, g:chat({ model = "auto", text = "hello " .. i }).status) end
    g:log(9)                                                    -- three of them of its own questions
    local report, status, err = json(g.folder .. "/gateway.lua", gateway_log(), "--json")
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(6, report.requests)
    assert.same({ small = 3, large = 3 }, report.really.choices)
    assert.same(report.really.choices, report.policy.figures.choices)
    local outcomes = report.policy.outcomes
    assert.same({ 6, 3, 0 }, { outcomes.as_logged, outcomes.inner, outcomes.calls_missing })
    local without = e2e.read(gateway_log()):gsub('"replay":[^\n]*\n', '"end":1}\n')
    report, status = json(g.folder .. "/gateway.lua", e2e.write(path "untaped.jsonl", without), "--json")
    assert.equal(0, status)
    assert.equal(3, report.policy.outcomes.calls_missing)
    assert.same({ small = 6 }, report.policy.figures.choices)
  end)

  it("makes up the requests of a described traffic, the same from run to run", function()
    local traffic = e2e.write(path "traffic.lua", [[return { requests = 2000, seed = 3,
      mix = { { weight = 2, text = "easy one" }, { weight = 1, text = "hard one" } },
      targets = { ["a/small"] = { failures = 0.1, latency = { median = 0.1 } }, ["a/large"] = { latency = { median = 0.5 } } } }]])
    local report, status, err, one = json(other("by_text", by_text), "--synthetic", traffic, "--against", path "gateway.lua", "--json")
    local _, _, _, two = json(path "by_text.lua", "--synthetic", traffic, "--against", path "gateway.lua", "--json")
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(one, two)
    assert.equal(2000, report.requests)
    assert.falsy(report.really)
    local figures = report.policy.figures
    assert.truthy(math.abs(figures.choices.large - 667) < 85)            -- four deviations of a third of them
    assert.truthy(figures.answered > 1800 and figures.answered < 2000)
    assert.truthy(figures.p95_ms > 490 and figures.p95_ms < 510)
    local _, text = replay(path "by_text.lua", "--synthetic", traffic)
    assert.truthy(text:match "^%s+this policy\n")
  end)

  it("refuses a description that is wrong, or says nothing of a target", function()
    local wrong = e2e.write(path "wrong.lua", "return { mix = { {} }, targets = { ['a/small'] = { speed = 1 } } }")
    local status, _, err = replay(path "gateway.lua", "--synthetic", wrong)
    assert.equal(1, status)
    assert.truthy(err:find("speed: there is no such setting", 1, true), err)
    status, _, err = replay(path "gateway.lua", "--synthetic", e2e.write(path "half.lua", "return { mix = { {} }, targets = { ['a/small'] = {} } }"))
    assert.equal(1, status)
    assert.truthy(err:find("says nothing of `a/large`", 1, true), err)
    assert.equal(2, (replay(path "gateway.lua", log, "--synthetic", path "half.lua")))
    assert.equal(2, (replay(path "gateway.lua", "--synthetic", path "half.lua", "--verify")))
  end)

  it("reads a log of any length with bounded memory", function()
    if e2e.lunette:find "build%-" then return end               -- a sanitizer's memory is another one's
    local long = lines[1]:gsub('"text":"[^"]*"', function() return '"text":"' .. ("word "):rep(1600) .. '"' end)
    e2e.write(path "long.line", long .. "\n")
    local status, out, err = e2e.run { "sh", "-c", ("ulimit -v 200000; yes \"$(cat '%s')\" | head -n 30000 | '%s' replay '%s' - --json"):format(
      path "long.line", e2e.program(), path "gateway.lua") }
    assert.equal(0, status, err)
    assert.equal(30000, e2e.json.decode(out).requests)          -- 240 MB of it
  end)
end)
