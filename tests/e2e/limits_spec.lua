-- The rows E6, E4, D6 and C4 through real sockets, once each: queues at a rate limit, overload, providers that ask to be left alone, attempts that
-- take too long. tests/policy/systems/limits_spec.lua holds them to every number.
local e2e = require "support"

local function hello(text, usage)
  return { choices = { { index = 0, message = { role = "assistant", content = text }, finish_reason = "stop" } },
           usage = { prompt_tokens = usage or 5, completion_tokens = usage or 5, total_tokens = 2 * (usage or 5) } }
end

-- The requests under way that wait at a target, or are sent.
local function under_way(g, n)
  return e2e.eventually(n .. " requests have got to a target", function()
    local count = 0
    for _, one in ipairs(g:look("requests").requests) do if one.attempts > 0 then count = count + 1 end end
    return count == n
  end)
end

after_each(e2e.stop)

describe("E6: a rate limit of a target", function()
  local config = [[return { providers = { a = { base_url = env "A" } }, limits = { deadline = DEADLINE },
    models = { m = { { provider = "a", model = "x", RATE } } } }]]
  local function begin(rate, deadline, workers)
    local a = e2e.puppet()
    local text = config:gsub("RATE", rate):gsub("DEADLINE", deadline)
    return e2e.gateway { config = text, workers = workers or 2, env = { A = a.url } }, a
  end

  it("E6: holds over two workers: the seventh of six a minute waits, and is not refused while it can still make it", function()
    local g, a = begin("requests_per_minute = 6", 100)
    local visits, calls = {}, {}
    for i = 1, 8 do visits[i] = g:open { text = "q" .. i } end
    under_way(g, 8)
    for i = 1, 6 do calls[i] = a:accept() end
    for _, call in ipairs(calls) do call:answer(200, hello "hi") end
    e2e.eventually("six are answered", function() return #g:log() == 6 end)
    under_way(g, 2)
    assert.is_true(a:quiet())
    for _, line in ipairs(g:log(6)) do assert.same({ 200, 1 }, { line.status, #line.attempts }) end
    for i = 1, 8 do visits[i]:leave() end
    e2e.eventually("two have left", function() return #g:log(8) == 8 end)
    for i = 7, 8 do assert.same({ 499, true }, { g:log()[i].status, (g:log()[i].waited_ms or 0) > 0 }) end
    assert.is_true(a:quiet())
  end)

  it("E6: refuses at once who cannot make it, with when its turn would have come", function()
    local g, a = begin("requests_per_minute = 1", 30)
    local first = g:open {}
    a:accept():answer(200, hello "hi")
    assert.equal(200, first:rest().status)
    for _ = 1, 4 do
      local answer = g:chat {}
      assert.same({ 429, "rate_limited", "true" }, { answer.status, answer.code, answer.headers["x-should-retry"] })
      local wait = tonumber(answer.headers["retry-after"])
      assert.is_true(wait > 30 and wait <= 60)
      assert.equal("pool_full", g:line(answer).attempts[1].kind)
    end
    assert.is_true(a:quiet())
  end)

  it("E6: lets who waits go in order, interactive before batch, over two workers, as the window makes room", function()
    local g, a = begin("tokens_per_minute = 1000", 3000)
    local function ask(text, class) return g:open { text = text, body = { max_tokens = 600 }, headers = { ["x-lunette-class"] = class } } end
    local visits, seen = {}, {}
    for i, one in ipairs { { "first" }, { "work 1", "batch" }, { "work 2", "batch" }, { "quick 1" }, { "quick 2" }, { "quick 3" } } do
      visits[i] = ask(one[1], one[2])
      under_way(g, i)
    end
    for i = 1, 6 do
      local call = a:accept()
      seen[i] = call.json.messages[1].content
      assert.is_true(a:quiet())
      call:answer(200, hello(seen[i]))              -- ten tokens instead of six hundred: there is room again
    end
    assert.same({ "first", "quick 1", "quick 2", "quick 3", "work 1", "work 2" }, seen)
    for _, visit in ipairs(visits) do assert.equal(200, visit:rest().status) end
    for _, line in ipairs(g:log(6)) do assert.equal(line.attempts[1].waited_ms, line.waited_ms) end
  end)

  it("E6: lets the keys of clients take turns, and gives the place of who leaves to the next", function()
    local keys, clients = { "greedy", "modest" }, {}
    for i, key in ipairs(keys) do clients[i] = ('{ name = "%s", hash = "%s" }'):format(key, e2e.hash(key)) end
    local a = e2e.puppet()
    local text = config:gsub("RATE", "tokens_per_minute = 1000"):gsub("DEADLINE", 3000)
                       :gsub("^return {", "%0 clients = { " .. table.concat(clients, ", ") .. " },")
    local g = e2e.gateway { config = text, workers = 2, env = { A = a.url } }
    local function ask(text_, key)
      return g:open { text = text_, body = { max_tokens = 900 }, headers = { authorization = "Bearer " .. key } }
    end
    local visits, seen = {}, {}
    for i, one in ipairs { { "g1", 1 }, { "g2", 1 }, { "g3", 1 }, { "g4", 1 }, { "m1", 2 }, { "m2", 2 } } do
      visits[i] = ask(one[1], keys[one[2]])
      under_way(g, i)
    end
    visits[3]:leave()
    under_way(g, 5)
    for i = 1, 5 do
      local call = a:accept()
      seen[i] = call.json.messages[1].content
      call:answer(200, hello(seen[i]))
    end
    assert.same({ "g1", "g2", "m1", "m2", "g4" }, seen)
  end)

  if os.getenv "E2E_MINUTE" then            -- takes one: `E2E_MINUTE=1`
    it("E6: lets the 501st of 500 a minute go when the window has slid", function()
      local provider = e2e.provider [[return function() return { text = "hi" } end]]
      local text = config:gsub("RATE", "requests_per_minute = 500"):gsub("DEADLINE", 100)
      local g = e2e.gateway { config = text, workers = 2, env = { A = provider.url } }
      for _ = 1, 500 do assert.equal(200, g:chat({}).status) end
      local last = g:open {}
      under_way(g, 1)
      assert.equal(500, provider:count())
      last.c:settimeout(100)
      local answer = last:rest()
      assert.equal(200, answer.status)
      local line = g:line(answer)
      assert.is_true(line.waited_ms > 1000 and line.waited_ms <= 60000)
    end)
  end
end)

describe("E4: overload", function()
  local config = [[return { policy = "policy.lua", health = false,
    providers = { deaf = { base_url = env "DEAF", timeouts = { connect = 0.1 } }, full = { base_url = env "FULL", connections = 1 },
                  good = { base_url = env "GOOD" } },
    models = { m = { { provider = "deaf", model = "x" }, { provider = "full", model = "x" }, { provider = "good", model = "x" } },
               taken = { { provider = "full", model = "y" } } } }]]
  local policy = [[local l = require "lunette"
    local busy = { connect_timeout = true, pool_full = true }
    return { settings = { base = { default = 1, min = 0 } }, limits = { retries = false },
      select = function(r, targets) return targets:asked() end,
      retry = function(r, attempt)
        if busy[attempt.kind] then return l.next(l.backoff(attempt.number, { base = l.setting "base" })) end
      end }]]

  it("E4: a connect timeout and a full pool, over two workers, are retried later, each time longer and on another target", function()
    local full = e2e.puppet()
    local g = e2e.gateway { config = config, files = { ["policy.lua"] = policy }, workers = 2, env = { LUNETTE_SETTINGS_BASE = "0.1",
                            DEAF = e2e.deaf(), FULL = full.url, GOOD = e2e.provider([[return function() return { text = "from good" } end]]).url } }
    local occupant = g:open { model = "taken" }
    local call = full:accept()
    local visits = {}
    for i = 1, 6 do visits[i] = g:open {} end
    for _, visit in ipairs(visits) do
      local answer = visit:rest()
      assert.equal("from good", answer.text)
      local line = g:line(answer)
      local one, two, three = unpack(line.attempts)
      assert.same({ "deaf/x", "connect_timeout", "no" }, { one.target, one.kind, one.billed })
      assert.same({ "full/x", "pool_full", "no" }, { two.target, two.kind, two.billed })
      assert.same({ "good/x", "ok" }, { three.target, three.kind })
      assert.is_true(one.ms >= 100 and two.at_ms >= one.at_ms + one.ms + 100 and three.at_ms >= two.at_ms + two.ms + 200)
      assert.is_true(line.waited_ms >= 300)
    end
    assert.is_true(full:quiet())
    call:answer(200, hello "done")
    assert.equal("done", occupant:rest().text)
    local visit = g:open { model = "taken" }                -- there is room again
    full:accept():answer(200, hello "again")
    assert.equal("again", visit:rest().text)
  end)
end)

describe("D6: a provider that asks to be left alone", function()
  local config = [[return { policy = "policy.lua", limits = { retries = false }, health = { cooling = "provider" },
    providers = { p = { base_url = env "P" }, q = { base_url = env "Q" } },
    models = { one = { { provider = "p", model = "one" }, { provider = "q", model = "one" } },
               two = { { provider = "p", model = "two" }, { provider = "q", model = "two" } },
               lone = { { provider = "p", model = "lone" } } } }]]
  local in_order = [[return { select = function(r, targets) return targets:asked() end }]]
  local forms = {
    ["Retry-After in seconds"] = [=[["retry-after"] = "1"]=],
    ["Retry-After as a date"] = [=[["retry-after"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 2)]=],
    ["retry-after-ms"] = [=[["retry-after-ms"] = "700"]=],
    ["x-ratelimit-reset-tokens with units"] = [=[["x-ratelimit-reset-tokens"] = "0m0.7s"]=],
    ["x-ratelimit-reset as an epoch in ms"] = [=[["x-ratelimit-reset"] = ("%d"):format((os.time() + 2) * 1000)]=],
    ["anthropic-ratelimit-requests-reset"] = [=[["anthropic-ratelimit-requests-reset"] = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 2)]=],
    ["nothing but its 429"] = "",
  }
  local function begin(headers, policy)
    local p = e2e.provider(([[return function(request, n)
      if n == 1 then return { status = 429, headers = { %s } } end
      return { text = "from p" }
    end]]):format(headers))
    local q = e2e.provider [[return function() return { text = "from q" } end]]
    local g = e2e.gateway { config = config, files = { ["policy.lua"] = policy or in_order }, env = { P = p.url, Q = q.url }, workers = 2 }
    return g, p
  end

  for name, headers in pairs(forms) do
    it("D6: by " .. name .. " gets no traffic, whichever of its models, while another serves, and some again when the time has come", function()
      local g, p = begin(headers)
      local answer = g:chat { model = "one" }
      assert.same({ "from q", "rate_limited" }, { answer.text, g:line(answer).attempts[1].kind })
      answer = g:chat { model = "two" }
      assert.same({ "from q", "1", 1 }, { answer.text, answer.headers["x-lunette-attempts"], p:count() })
      e2e.eventually("p is asked again", function() return g:chat({ model = "two" }).text == "from p" end)
      assert.equal(2, p:count())
    end)
  end

  it("D6: is waited for as long as it says by a policy that tries again", function()
    local g, p = begin([=[["retry-after-ms"] = "400"]=], [[local l = require "lunette"
      return { retry = function(r, attempt) return l.again(attempt.retry_after or l.backoff(attempt.try)) end }]])
    local answer = g:chat { model = "lone" }
    assert.same({ "from p", 2 }, { answer.text, p:count() })
    local line = g:line(answer)
    assert.is_true(line.attempts[2].at_ms >= line.attempts[1].at_ms + line.attempts[1].ms + 400)
    assert.is_true(line.waited_ms >= 400 and line.overhead_ms < line.latency_ms - 400)
  end)
end)

describe("C4: a rate limit or a time-out", function()
  local config = [[return { policy = "policy.lua", providers = { a = { base_url = env "A", timeouts = { total = 0.3 } }, b = { base_url = env "B" } },
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" } } } }]]
  local function begin(policy)
    local a = e2e.puppet()
    local b = e2e.provider [[return function() return { text = "from b" } end]]
    return e2e.gateway { config = config, env = { A = a.url, B = b.url }, files = { ["policy.lua"] = "return { select = function(r, targets) return "
                         .. (policy or "targets:asked()") .. " end }" } }, a
  end

  it("C4: a 429 goes to another provider at once, and the first is left alone", function()
    local g, a = begin()
    local visit = g:open {}
    a:accept():answer(429, { error = { message = "slower" } }, { ["retry-after"] = "60" })
    local answer = visit:rest()
    assert.equal("from b", answer.text)
    local line = g:line(answer)
    assert.same({ "rate_limited", "ok", nil }, { line.attempts[1].kind, line.attempts[2].kind, line.waited_ms })
    assert.equal("from b", g:chat({}).text)
    assert.is_true(a:quiet())
  end)

  for name, policy in pairs { ["its provider's timeouts.total"] = "targets:asked()",
                              ["its step's total"] = "targets:named('a/x'):steps { total = 0.2 } .. targets:named('b/x')" } do
    for _, stream in ipairs { false, true } do
      it("C4: an attempt over " .. name .. " is abandoned and goes to the next provider" .. (stream and ", streaming" or ""), function()
        local g, a = begin(policy)
        local visit = g:open { stream = stream }
        local call = a:accept()
        local answer = visit:rest()
        assert.same({ "from b", true }, { answer.text, answer.clean })
        assert.is_true(call:gone())
        local line = g:line(answer)
        assert.same({ "total_timeout", "ok" }, { line.attempts[1].kind, line.attempts[2].kind })
        assert.is_true(line.attempts[1].ms >= (policy:find "0.2" and 200 or 300))
      end)
    end
  end
end)
