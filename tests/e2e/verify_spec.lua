-- What hooks read while they are live, fed back to them: `lunette replay --verify` says that they decide the same, or shows what differs, or why that
-- cannot be said.
local e2e = require "support"
local terminal = require "terminal"

local config = [[
local function target(name) return { provider = name, model = "up", price = { input = 1, output = 2 } } end
return {
  policy = "policy.lua", limits = { retries = false, hedges = 1, lag = false }, log = { replay = true, text = env("TEXT", "no") == "yes" },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { m = { target "a", target "b" }, judge = { target "b" } },
}]]

-- Fails every third time, is slow at times, and says how it would classify.
local moody = [[
local n = 0
return function(request)
  if request.method == "GET" then return { body = { data = {} } } end
  n = n + 1
  if request.text:find "kind of" then return { text = "easy" } end
  if n % 3 == 0 then return { status = n % 2 == 0 and 429 or 500, headers = { ["retry-after"] = "0" } } end
  if n % 7 == 0 then return { cut = "rst" } end
  return { text = "one two three", after = n % 5 == 0 and 0.06 or nil, finish_reason = n % 4 == 0 and "length" or nil }
end]]

local policy = [[
local lunette = require "lunette"
return {
  settings = { share = { default = 50, min = 0, max = 100 } },
  classify = function(request)
    local seen = lunette.store.incr("seen " .. (request.user or "nobody"))
    lunette.note("seen", seen)
    local kind = lunette.chat { model = "judge", text = "kind of " .. request.words, choices = { "easy", "hard" } }
    local web = lunette.http { url = (request.headers["x-web"] or "http://127.0.0.1:1/"), timeout = 1 }
    lunette.sleep(0.001)
    return { kind or "none", lunette.split("trial", request.user, { new = lunette.setting "share", old = 50 }), web and "web" or "alone" }
  end,
  budget = function(request, spend) if spend.total.used > 1 then return lunette.degrade "judge" end end,
  select = function(request, targets)
    local able = targets:healthy():by "in_flight"
    if able[1] and able[1].success_rate < 0.01 then return able end
    local first = lunette.pick(able) or targets[1]
    local steps = first:steps { hedge_after = 0.02 + lunette.random() / 100, set = { user = request.key.name } }
    return steps .. targets:by(function(t) return -(t.latency or 0) end)
  end,
  judge = function(request, attempt)
    lunette.store.set("last", { attempt.finish_reason, attempt.elapsed })
    if attempt.finish_reason == "length" then return lunette.next() end
  end,
  retry = function(request, attempt)
    if attempt.kind == "rate_limited" then return lunette.again(lunette.backoff(attempt.try, { base = 0.001, jitter = "full" })) end
    if attempt.number > 3 then return lunette.stop() end
  end,
  finish = function(request, outcome) lunette.metric("status_" .. outcome.status, outcome.latency + #outcome.attempts + os.time()) end,
}]]

local a, b, web
setup(function()
  a, b = e2e.provider(moody), e2e.provider(moody)
  web = e2e.provider [[return function() return { body = { good = true } } end]]
end)
teardown(e2e.stop)

local function serve(text, env)
  env = env or {}
  env.A, env.B = a.url, b.url
  local g = e2e.gateway { config = config, files = { ["policy.lua"] = text or policy }, env = env, workers = 2 }
  g.settings = env
  return g
end

-- So many at once, of every kind; the last of them leaves before its answer is there.
local function crowd(g, n)
  local visits = {}
  for i = 1, n do
    visits[i] = g:open { model = i % 4 == 0 and "auto" or "m", stream = i % 3 == 0, text = ("word "):rep(i % 9 + 1),
                         body = { user = i % 2 == 0 and "u" .. i % 5 or nil }, headers = i % 2 == 0 and { ["x-web"] = web.url } or nil }
  end
  visits[n]:leave()
  for i = 1, n - 1 do visits[i]:rest() end
end

local function verify(g, log, more)
  local command = { e2e.lunette, "replay", g.folder .. "/gateway.lua", log or g.folder .. "/requests.jsonl", "--verify" }
  for _, argument in ipairs(more or {}) do command[#command + 1] = argument end
  return e2e.run(command, g.settings)
end

local function numbers(out)
  local same, all = out:match "(%d+) of (%d+) decisions the same$"
  return tonumber(same), tonumber(all)
end

describe("what hooks read", function()
  local g, log
  setup(function()
    g = serve()
    crowd(g, 40)
    assert.equal(200, g:tell("settings", { share = 90 }).status)
    crowd(g, 40)
    g:stop()
    log = e2e.read(g.folder .. "/requests.jsonl")
  end)

  it("makes them decide the same again, all of them, and the same from run to run", function()
    local status, out = verify(g)
    local same, all = numbers(out)
    assert.equal(all, same, out)
    assert.is_true(all > 300, out)
    assert.equal(0, status)
    assert.equal(out, select(2, verify(g)))
  end)

  it("is one object with --json, without wall time", function()
    local status, out = verify(g, nil, { "--json" })
    local found = e2e.json.decode(out)
    assert.equal(0, status)
    assert.equal(found.decisions, found.same)
    assert.equal(0, found.different + found.needs_text + found.other_version)
    assert.equal(e2e.json.null, found.first_difference)
    assert.is_nil(out:find "time")
  end)

  it("can come from standard input", function()
    local command = ("A=%s B=%s %s replay %s/gateway.lua - --verify < %s/requests.jsonl"):format(a.url, b.url, e2e.lunette, g.folder, g.folder)
    local pipe = assert(io.popen(command))
    local out = pipe:read "*a"
    pipe:close()
    local same, all = numbers((out:gsub("\n$", "")))
    assert.equal(all, same)
  end)

  it("shows on a terminal how much of a long log was read, and nowhere else", function()
    local path = e2e.write(e2e.folder() .. "/log", log:rep(math.ceil(9e6 / #log)))
    local t = terminal.start({ e2e.program(), "replay", g.folder .. "/gateway.lua", path, "--verify" }, { rows = 24, columns = 100, env = g.settings })
    assert.equal(0, (t:wait()))
    local first, read, second, more = t.all:match "^\r%[(#+) +%] (%d+) requests\r%[(#+) +%] (%d+) requests\r\27%[K"
    assert.is_truthy(first, t.all)
    assert.is_true(#first >= 10 and #second > #first and #second < 40, t.all)
    assert.is_true(tonumber(more) > tonumber(read))
    assert.matches("%d+ of %d+ decisions the same", t.all)
    local status, _, errors = verify(g, path)
    assert.equal(0, status, errors)
    assert.is_nil(errors:find("[\r#]"), errors)          -- on a slow machine the same lines again are late ones, which it says
  end)

  it("shows where another policy decides otherwise: the request, the hook, both decisions; exit 1", function()
    local other = e2e.folder()
    e2e.write(other .. "/gateway.lua", config)
    e2e.write(other .. "/policy.lua", (policy:gsub("hedge_after = 0%.02", "hedge_after = 0.03")))
    local status, out = verify({ folder = other, settings = g.settings }, g.folder .. "/requests.jsonl")
    local same, all = numbers(out)
    assert.equal(1, status)
    assert.is_true(same < all and same > 0)
    assert.matches("the first difference: request %x+ %(line %d+%), hook select, in what it decided\n  the log has  {\"plan\".-\n  now          {\"plan\"", out)
    assert.matches("decided by another version of the policy", out)
    e2e.write(other .. "/policy.lua", (policy:gsub("spend.total.used > 1", "spend.key.used > 1")))
    status, out = verify({ folder = other, settings = g.settings }, g.folder .. "/requests.jsonl")
    assert.equal(1, status)
    assert.matches("hook budget, in what it read\n  the log has  budget.used total\n  now          policy.lua:%d+: budget.used key\n", out)
  end)

  it("says of a policy that fails which request, which line, and how often", function()
    local other = e2e.folder()
    e2e.write(other .. "/gateway.lua", config)
    e2e.write(other .. "/policy.lua", (policy:gsub('if spend.total.used > 1 then', 'if spend.total.used .. {} then')))
    local status, out = verify({ folder = other, settings = g.settings }, g.folder .. "/requests.jsonl")
    assert.equal(1, status)
    assert.matches("%d+ decisions come of a hook that fails\n", out)
    assert.matches("the first failure: request %x+ %(line %d+%), hook budget\n  policy.lua:%d+: attempt to concatenate", out)
  end)

  it("that was tampered with is noticed", function()
    local path = e2e.folder() .. "/log"
    for from, to in pairs { ['"old"'] = '"new"', ['(%["request.words",)%d+'] = "%1100", ['"verb":"again"'] = '"verb":"next"' } do
      e2e.write(path, (log:gsub(from, to)))
      local status, out = verify(g, path)
      assert.equal(1, status, from .. " was not noticed: " .. out)
    end
  end)

  it("of broken, foreign and cut lines is counted, and the others are compared", function()
    local path = e2e.folder() .. "/log"
    local all = select(2, numbers((select(2, verify(g)))))
    e2e.write(path, "{nothing\n" .. '{"a":1}\n' .. log .. log:sub(1, 300))
    local status, out, errors = verify(g, path)
    assert.equal(0, status)
    assert.equal(all .. " of " .. all .. " decisions the same", out:match "[^\n]+$")
    assert.matches("1 line left out, the first is line 1: no JSON object", errors)
    assert.matches("1 line left out, the first is line 2:", errors)
    assert.matches("cut in the middle", errors)
  end)
end)

describe("what was said", function()
  local asks = [[local lunette = require "lunette"
    return { select = function(request, targets) return targets end, judge = function(request, attempt) lunette.note("answer", attempt.text) end,
             classify = function(request) return request.text:find "pineapple" and "fruit" or "none" end }]]

  it("is not in a log without log.text; it says for how many requests that is so, and exits 1", function()
    local g = serve(asks)
    for _ = 1, 3 do g:chat { text = "pineapple" } end
    g:log(3)
    local status, out = verify(g)
    assert.equal(1, status)
    assert.is_nil(e2e.read(g.folder .. "/requests.jsonl"):find "pineapple")
    assert.matches("\n3 of them need what was said, and it is not in the log", out)
  end)

  it("comes back to the hooks with log.text", function()
    local g = serve(asks, { TEXT = "yes" })
    for _ = 1, 3 do g:chat { text = "pineapple" } end
    g:log(3)
    local status, out = verify(g)
    assert.equal(0, status, out)
  end)
end)

describe("a log without what hooks read", function()
  it("has nothing to compare, and that is not fine", function()
    local g = serve(nil, { LUNETTE_LOG_REPLAY = "false" })
    g:chat { text = "hello" }
    g:log(1)
    assert.is_nil(e2e.read(g.folder .. "/requests.jsonl"):find '"replay"')
    local status, out = verify(g)
    assert.equal(1, status)
    assert.matches("nothing to compare", out)
    assert.matches("\n0 of 0 decisions the same$", out)
  end)
end)

describe("secrets", function()
  it("of clients are not in what hooks read, whatever they read", function()
    local g = serve [[return { classify = function(request)
      local all = {}
      for name, value in pairs(request.headers) do all[#all + 1] = name .. value end
      return #all > 0 and "some" or "none"
    end }]]
    local secret = "sk-canary-of-a-client-91c4"
    for _, name in ipairs { "authorization", "x-api-key", "api-key", "cookie", "proxy-authorization", "x-goog-api-key" } do
      g:chat { text = "hello", headers = { [name] = name == "cookie" and "sid=" .. secret or "Bearer " .. secret, ["x-plain"] = "seen" } }
    end
    g:log(6)
    local log = e2e.read(g.folder .. "/requests.jsonl")
    assert.is_truthy(log:find('"x-plain","seen"', 1, true))
    assert.is_nil(log:find(secret, 1, true))
    assert.equal(0, (verify(g)))
  end)
end)

describe("each policy that comes along", function()
  local given = e2e.read "examples/policies/gateway.lua"
  local script = [[
  local n = 0
  return function(request)
    if request.method == "GET" then return { body = { data = {} } } end
    n = n + 1
    if n % 16 == 0 then return { status = ({ 429, 500, 503 })[n % 3 + 1], headers = { ["retry-after"] = "1" } } end
    if n % 19 == 0 then return { cut = "rst" } end
    return { text = n % 2 == 0 and "hard" or "an answer", after = n % 4 == 0 and 0.02 or nil, finish_reason = n % 13 == 0 and "length" or nil }
  end]]
  local names, gateways, tasks = {}, {}, { "faq", "legal", "code", "translation" }
  for path in io.popen("ls policies/*.lua"):lines() do names[#names + 1] = path end

  local function question(i)
    return { model = i % 5 == 0 and "gpt-4.1" or "auto", stream = i % 3 == 0, body = { user = "u" .. i % 4 },
             text = ("Please analyze this step by step. "):rep(i % 6) .. "```python\nprint(" .. i .. ")\n```",
             headers = { ["x-lunette-task"] = tasks[i % 4 + 1], ["x-lunette-tags"] = "tenant=t" .. i % 3 .. ", tier=premium",
                         ["x-lunette-class"] = i % 2 == 0 and "batch" or nil } }
  end

  -- All at once: what a policy waits for, the others wait for at the same time.
  setup(function()
    local provider, visits = e2e.provider(script), {}
    for _, path in ipairs(names) do
      local env = { POLICY = path, LUNETTE_LOG_REPLAY = "true", LUNETTE_LOG_TEXT = "true", LUNETTE_LIMITS_LAG = "false" }
      for _, name in ipairs { "DEEPSEEK", "MOONSHOT", "GOOGLE", "OPENAI", "ANTHROPIC" } do env[name .. "_URL"] = provider.url end
      gateways[path] = e2e.gateway { config = given, env = env, workers = 2 }
      gateways[path].settings = env
      for i = 1, 32 do visits[#visits + 1] = gateways[path]:open(question(i)) end
    end
    for _, visit in ipairs(visits) do visit:rest() end
  end)

  for _, path in ipairs(names) do
    it("decides the same again as under load: " .. path:match "([%w_]+)%.lua", function()
      gateways[path]:log(32)
      local status, out = verify(gateways[path])
      local same, all = numbers(out)
      assert.equal(0, status, out)
      assert.equal(all, same)
      assert.is_true(all >= 32, out)
    end)
  end
end)
