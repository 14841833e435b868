-- Cooling, circuits and keys.
local t = require "lunette.test"

local in_order = "return { select = function(r, targets) return targets end }"

-- Seconds until the target that was told off is asked again, looked for in steps.
local function rests_for(headers, status, body)
  local g = t.gateway { targets = { "a", "b" }, policy = in_order, limits = { retries = false },
                        providers = { a = { { status = status or 429, headers = headers, body = body or { error = { message = "wait" } } },
                                            "back" } } }
  g:ask "hi"
  local function asked_at(seconds)
    t.advance(seconds - t.now())
    return g:ask("hi").target == "a"
  end
  for seconds = 0.5, 400, 0.5 do
    if asked_at(seconds) then return seconds end
  end
end

describe("cooling after 429", function()
  local wall = 1767571200
  local cases = {
    { "Retry-After in seconds", { ["Retry-After"] = "12" }, 12 },
    { "Retry-After with a fraction", { ["retry-after"] = "2.5" }, 2.5 },
    { "Retry-After as a date", { ["retry-after"] = "Mon, 05 Jan 2026 00:00:20 GMT" }, 20 },
    { "Retry-After as an RFC 850 date", { ["retry-after"] = "Monday, 05-Jan-26 00:00:20 GMT" }, 20 },
    { "Retry-After as asctime writes it", { ["retry-after"] = "Mon Jan  5 00:00:20 2026" }, 20 },
    { "retry-after-ms, which wins", { ["retry-after-ms"] = "1500", ["retry-after"] = "90" }, 1.5 },
    { "x-ratelimit-reset-requests", { ["x-ratelimit-reset-requests"] = "6s" }, 6 },
    { "x-ratelimit-reset-tokens of minutes", { ["x-ratelimit-reset-tokens"] = "1m30s" }, 90 },
    { "the longer of two resets", { ["x-ratelimit-reset-requests"] = "6s", ["x-ratelimit-reset-tokens"] = "20ms" }, 6 },
    { "only the reset of what is used up", { ["x-ratelimit-reset-requests"] = "60s", ["x-ratelimit-remaining-requests"] = "5",
                                              ["x-ratelimit-reset-tokens"] = "3s", ["x-ratelimit-remaining-tokens"] = "0" }, 3 },
    { "x-ratelimit-reset as Unix time", { ["x-ratelimit-reset"] = tostring(wall + 25) }, 25 },
    { "x-ratelimit-reset as Unix time in ms", { ["x-ratelimit-reset"] = tostring((wall + 25) * 1000) }, 25 },
    { "nothing said: a second", {}, 1 },
    { "what cannot be read: a second", { ["retry-after"] = "soon" }, 1 },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. ": " .. case[3] .. " s", function() assert.equal(case[3], rests_for(case[2])) end)
  end

  it("doubles where nothing is said, until an answer is good", function()
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, limits = { retries = false },
                          providers = { a = { 429, 429, 429, "back", 429, "back" } } }
    local asked = {}
    for i = 0, 100 do
      local before = g:provider "a".requests
      g:ask "hi"
      if g:provider "a".requests > before then asked[#asked + 1] = i / 4 end
      t.advance(0.25)
    end
    assert.same({ 0, 1, 3, 7, 7.25, 8.25 }, { asked[1], asked[2], asked[3], asked[4], asked[5], asked[6] })
  end)

  it("a 503 with a wait rests as said", function() assert.equal(8, rests_for({ ["retry-after"] = "8" }, 503)) end)
  it("a used-up quota rests five minutes", function()
    assert.equal(300, rests_for({}, 429, { error = { code = "insufficient_quota", message = "pay" } }))
  end)

  it("rests the target alone, unless cooling = \"provider\"", function()
    local function asked(health)
      local g = t.gateway { targets = { "p/one", "p/two", "q" }, policy = in_order, health = health,
                            providers = { p = { { status = 429, headers = { ["retry-after"] = "30" } }, "fine" } } }
      g:ask "hi"
      return g:ask("hi").target
    end
    assert.equal("p/two", asked(nil))
    assert.equal("q", asked { cooling = "provider" })
  end)

  it("again() and try() are obeyed though the target rests", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = { { status = 429, headers = { ["retry-after"] = "60" } }, "fine" } },
                          policy = [[local l = require "lunette" return {
                            select = function(r, targets) return targets end, retry = function() return l.again(1) end }]] }
    assert.equal("a", g:ask("hi").target)
  end)
end)

describe("a circuit", function()
  local function gateway(more)
    local spec = { targets = { "a", "b" }, policy = in_order, limits = { retries = false }, providers = { a = 500 } }
    for name, value in pairs(more or {}) do spec[name] = value end
    return t.gateway(spec)
  end

  it("opens after five failures in a row", function()
    local g = gateway()
    for _ = 1, 10 do assert.equal("b", g:ask("hi").target) end
    assert.equal(5, g:provider "a".requests)
  end)

  it("lets one probe through after its rest, and closes when that is good", function()
    local g = gateway { providers = { a = { 500, 500, 500, 500, 500, "back" } } }
    for _ = 1, 6 do g:ask "hi" end
    t.advance(59)
    assert.equal("b", g:ask("hi").target)
    t.advance(1)
    assert.equal("a", g:ask("hi").target)
    assert.equal("a", g:ask("hi").target)
  end)

  it("opens again when the probe fails", function()
    local g = gateway()
    for _ = 1, 6 do g:ask "hi" end
    t.advance(60)
    for _ = 1, 5 do g:ask "hi" end
    assert.equal(6, g:provider "a".requests)
  end)

  it("lets half_open probes through at once and no more", function()
    local g = gateway { providers = { a = { 500, 500, 500, 500, 500, { text = "slow", after = 5 } } } }
    for _ = 1, 5 do g:ask "hi" end
    t.advance(60)
    for _ = 1, 4 do g:start "hi" end
    assert.equal(6, g:provider "a".requests)
    assert.equal(4 - 1 + 5, g:provider "b".requests)
  end)

  it("is what the configuration says of it", function()
    local g = gateway { health = { failures = 2, rest = 5 } }
    for _ = 1, 4 do g:ask "hi" end
    assert.equal(2, g:provider "a".requests)
    t.advance(5)
    g:ask "hi"
    assert.equal(3, g:provider "a".requests)
  end)

  it("is not opened by one client alone, where there are clients", function()
    local g = gateway { clients = { { name = "bad" }, { name = "good" }, { name = "third" } } }
    for _ = 1, 10 do g:ask { client = "bad" } end
    assert.equal(10, g:provider "a".requests)
    for _ = 1, 2 do g:ask { client = "good" } end
    g:ask { client = "third" }
    assert.equal(13, g:provider "a".requests)
    g:ask { client = "third" }
    assert.equal(13, g:provider "a".requests)
  end)

  it("does not exist with health = false", function()
    local g = gateway { health = false }
    for _ = 1, 12 do g:ask "hi" end
    assert.equal(12, g:provider "a".requests)
  end)

  it("is no reason to refuse where nobody else can serve", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { 500, 500, 500, 500, 500, "back" } } }
    for _ = 1, 5 do g:ask "hi" end
    assert.equal(200, g:ask("hi").status)
  end)

  it("does not make the client wait where nobody else can serve: it would be asked all the same", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { 503, 503, 503, 503, 503, 503, "back" } },
                          policy = [[local l = require "lunette"
                            return { select = function(r, targets) l.note("circuit", targets[1].circuit) end }]] }
    for _ = 1, 6 do assert.equal("1", g:ask("hi").headers["retry-after"]) end
    t.advance(1)
    local answer = g:ask "hi"
    assert.same({ 200, "open" }, { answer.status, answer.notes.circuit })
  end)

  it("does not hide what the provider itself has said: after a 429 it is left alone for as long as that says", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { 503, 503, 503, 503, 503, { status = 429, headers = { ["retry-after"] = "20" } }, "back" } } }
    for _ = 1, 5 do g:ask "hi" end
    assert.equal("20", g:ask("hi").headers["retry-after"])
    t.advance(5)
    local answer = g:ask "hi"
    assert.same({ 429, "15", 6 }, { answer.status, answer.headers["retry-after"], g:provider "a".requests })
    t.advance(15)
    assert.equal(200, g:ask("hi").status)
  end)

  it("and its provider's word: a step that may wait waits for the end of that alone", function()
    local g = t.gateway { targets = { "a" }, policy = [[return { select = function(r, targets) return targets:steps { wait = 30 } end }]],
                          providers = { a = { 503, 503, 503, 503, 503, { status = 429, headers = { ["retry-after"] = "20" } }, "back" } } }
    for _ = 1, 6 do g:ask "hi" end
    local answer = g:ask "hi"
    assert.same({ 200, 20 }, { answer.status, answer.latency })
  end)

  it("is seen by policies", function()
    local g = gateway { policy = [[local l = require "lunette" return {
      select = function(r, targets) return targets end,
      finish = function(r)
        local a = r.targets:named("a")[1]
        l.store.set("a", { a.circuit, a.healthy, a.provider.state, #r.targets:healthy() })
      end }]] }
    g:ask "hi"
    assert.same({ "closed", true, "healthy", 2 }, g.store:get "a")
    for _ = 1, 4 do g:ask "hi" end
    assert.same({ "open", false, "down", 1 }, g.store:get "a")
    t.advance(60)
  end)
end)

describe("a policy that takes only healthy targets", function()
  local policy = 'return { select = function(_, targets) return targets:healthy() end }'

  it("gives one that is over its rest a trial, and has it back when that is good", function()
    local g = t.gateway { targets = { "a", "b" }, policy = policy, providers = { a = { 500, 500, 500, 500, 500, "well again" }, b = "b" } }
    for _ = 1, 6 do g:ask "hi" end
    assert.equal(5, g:provider "a".requests)
    t.advance(60)
    assert.equal("a", g:ask("hi").target)
    assert.equal("a", g:ask("hi").target)
  end)

  it("loses no request by a trial that fails, and none goes beside it", function()
    local g = t.gateway { targets = { "a", "b" }, policy = policy, providers = { a = { answer = { status = 500, after = 1 } }, b = "b" } }
    for _ = 1, 6 do g:ask "hi" end
    t.advance(60)
    local trial, beside = g:start "hi", g:start "hi"
    assert.equal(6, g:provider "a".requests)
    assert.equal("b", beside:answer().target)
    assert.same({ 200, "b" }, { trial:answer().status, trial:answer().target })
    g:ask "hi"
    assert.equal(6, g:provider "a".requests)
  end)
end)

describe("several keys", function()
  local function key_of(call) return call.headers.authorization end

  it("a request that waits for the turn of a key that goes out is sent with another", function()
    for nth = 1, 2 do
      local seen, good = {}, true
      local g = t.gateway { models = { slow = { { provider = "p", model = "slow", requests_per_minute = 1 } }, other = { "p/other" } },
        providers = { p = { keys = 2, key_probe = 401, answer = function(request)
          local key = key_of(request)
          if good then seen[#seen + 1] = key end
          return not good and key == seen[nth] and 401 or key
        end } } }
      g:ask { model = "slow", text = "1" }
      g:ask { model = "slow", text = "2" }
      local waiting = g:start { model = "slow", text = "3" }
      good = false
      for i = 1, 2 do assert.equal(200, g:ask { model = "other", text = "finds out " .. i }.status) end
      g:advance(130)
      local answer = waiting:answer()
      assert.equal(200, answer.status)
      assert.not_equal(seen[nth], answer.text)
      assert.equal(1, #answer.attempts)
    end
  end)

  it("are used in turn", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { answer = "x", keys = 3 } } }
    for _ = 1, 6 do g:ask "hi" end
    local calls, seen = g:provider "a".calls, {}
    for i = 1, 3 do
      seen[key_of(calls[i])] = true
      assert.equal(key_of(calls[i]), key_of(calls[i + 3]))
    end
    local n = 0
    for _ in pairs(seen) do n = n + 1 end
    assert.equal(3, n)
  end)

  it("a 401 takes its key out, and the request goes on with another", function()
    local bad
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 2, answer = function(request)
      bad = bad or key_of(request)
      return key_of(request) == bad and 401 or "fine"
    end } } }
    local first = g:ask "hi"
    assert.equal(200, first.status)
    assert.equal("auth", first.attempts[1].kind)
    for _ = 1, 5 do
      t.advance(3600)
      assert.equal(1, #g:ask("hi").attempts)
    end
  end)

  it("a key that was taken out is back when GET /models accepts it", function()
    local good = false
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, providers = {
      a = { keys = 1, answer = function() return good and "fine" or 401 end, key_probe = function() return good and 200 or 401 end } } }
    assert.equal("b", g:ask("hi").target)
    t.advance(31)
    assert.equal("b", g:ask("hi").target)
    good = true
    t.advance(30)
    assert.equal("a", g:ask("hi").target)
    assert.same({ 2, 2 }, { g:provider "a".requests, g:provider "a".probes })
  end)

  it("a used-up quota rests its key, and the request goes on with another", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 2, answer = { 402, "fine" } } } }
    local answer = g:ask "hi"
    assert.equal(200, answer.status)
    assert.same({ "quota", "ok" }, { answer.attempts[1].kind, answer.attempts[2].kind })
  end)

  it("with all of them out the target is not asked", function()
    local g = t.gateway { targets = { "a", "b" }, policy = in_order, providers = { a = { keys = 2, answer = 401 } } }
    g:ask "hi"
    g:ask "hi"
    local before = g:provider "a".requests
    assert.equal(2, before)
    t.advance(86400)
    assert.equal("b", g:ask("hi").target)
    assert.equal(before, g:provider "a".requests)
  end)

  it("a 429 rests only its own key", function()
    local first
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 2, answer = function(request)
      first = first or key_of(request)
      return key_of(request) == first and { status = 429, headers = { ["retry-after"] = "60" } } or "fine"
    end } } }
    g:ask "hi"
    for _ = 1, 5 do assert.equal(200, g:ask("hi").status) end
  end)

  it("never show in an error, header or log line", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 1, answer = function(request)
      return { status = 500, body = { error = { message = "you sent " .. request.headers.authorization } } }
    end } } }
    local answer = g:ask "hi"
    assert.matches("^Bearer spec%-A_KEY_1$", g:provider "a".calls[1].headers.authorization)
    assert.is_nil((answer.body .. table.concat(g.lines)):find("spec-A_KEY_1", 1, true))
  end)
end)
