-- The response cache on real sockets: one question of many clients on two workers reaches the provider once, whatever becomes of the first client.
local e2e = require "support"

local function config(cache, more)
  return ([[return { cache = %s, policy = "policy.lua", limits = { retries = false }, providers = { a = { base_url = env "A" } },
    models = { m = { { provider = "a", model = "up", price = { input = 1, output = 1 } } } }, %s }]]):format(cache, more or "")
end

local a
before_each(function() a = e2e.puppet() end)
after_each(e2e.stop)

local function serve(cache, more, policy)
  return e2e.gateway { config = config(cache or "{}", more), files = { ["policy.lua"] = policy or "return {}" }, workers = 2, env = { A = a.url } }
end

local function whole(text)
  return { id = "c", object = "chat.completion", created = 5, model = "up", usage = { prompt_tokens = 3, completion_tokens = 2, total_tokens = 5 },
           choices = { { index = 0, message = { role = "assistant", content = text }, finish_reason = "stop" } } }
end

local function cache(answer) return answer.headers["x-lunette-cache"] end
local function waiting(g, n) e2e.eventually(n .. " requests wait", function() return g:look("cache").waiting == n end) end

-- n clients with the same question, all but the first waiting; and the call that came of it.
local function crowd(g, n, options)
  local visits = { g:open(options or {}) }
  local call = a:accept()
  for i = 2, n do visits[i] = g:open(options or {}) end
  waiting(g, n - 1)
  return visits, call
end

describe("D4 the response cache", function()
  it("answers a question again without the provider, byte for byte, and says so", function()
    local g = serve()
    local first = g:open {}
    a:accept():answer(200, whole "hi", { ["x-request-id"] = "up-1" })
    first = first:rest()
    assert.equal("miss", cache(first))
    for _ = 1, 10 do
      local answer = g:chat {}
      assert.equal("hit", cache(answer))
      assert.equal(first.body, answer.body)
      assert.equal("0", answer.headers["x-lunette-cost"])
      assert.equal("up-1", answer.headers["x-request-id"])
      assert.equal("a/up", answer.headers["x-lunette-target"])
    end
    assert.is_true(a:quiet())
    local line = g:line(g:chat {})
    assert.equal("hit", line.cache)
    assert.equal(0, line.cost)
    assert.equal(11, g:metric 'lunette_cache_requests_total{result="hit"}')
    assert.equal(1, g:metric 'lunette_cache_requests_total{result="miss"}')
    assert.equal(1, g:metric "lunette_cache_entries")
    local shown = g:look "cache"
    assert.equal(1, shown.entries)
    assert.equal(300, shown.ttl)
    assert.equal(64 * 1024 * 1024, shown.size)
    assert.equal(shown.bytes, g:metric "lunette_cache_bytes")
  end)

  -- Which worker takes a connection is the system's choice: until both have. Each counts those that it has finished.
  it("asks once for many who ask at once, on both workers", function()
    local g = serve(nil, nil, "local l, n = require 'lunette', 0 return { finish = function() n = n + 1 l.note('nth', n) end }")
    local asked, both = 0
    repeat
      asked = asked + 1
      local visits, call = crowd(g, 40, { text = "question " .. asked })
      assert.is_true(a:quiet())
      call:answer(200, whole "for all")
      local cost, most = 0, 0
      for i, visit in ipairs(visits) do
        local answer = visit:rest()
        assert.equal(200, answer.status)
        assert.equal("for all", answer.text)
        assert.equal(i == 1 and "miss" or "shared", cache(answer))
        cost = cost + g:line(answer).cost
        most = math.max(most, g:line(answer).notes.nth)
      end
      assert.equal(asked, g:metric 'lunette_attempts_total{target="a/up",kind="ok"}')
      assert.is_true(math.abs(cost - 5e-6) < 1e-12)
      assert.equal(39 * asked, g:metric "lunette_cache_waits_total")
      assert.is_true(a:quiet())
      both = most < 40 * asked
    until both or asked == 20
    assert.is_true(both)
  end)

  it("gives a stream to all who wait for it, and to who wants it whole", function()
    local g = serve()
    local visits, call = crowd(g, 8, { stream = true })
    visits[9] = g:open {}
    waiting(g, 8)
    call:head()
    call:piece "one "
    assert.matches("one ", visits[1]:expect "one ", 1, true)
    call:piece("two", "stop")
    call:event "[DONE]"
    call:finish()
    for i = 1, 8 do
      local answer = visits[i]:rest()
      assert.equal("one two", answer.text)
      assert.is_true(answer.clean)
      assert.equal("[DONE]", answer.events[#answer.events])
      assert.equal("text/event-stream; charset=utf-8", answer.headers["content-type"])
    end
    local answer = visits[9]:rest()
    assert.equal("one two", answer.text)
    assert.equal("application/json", answer.headers["content-type"])
    assert.equal("hit", cache(g:chat { stream = true }))
    assert.is_true(a:quiet())
  end)

  it("has the next one ask when the first one's client is gone, and nobody when all are", function()
    local g = serve()
    local visits, call = crowd(g, 20)
    visits[1]:reset()
    assert.is_true(call:gone())
    local second = a:accept()
    waiting(g, 18)
    visits[10]:leave()                                  -- one who waits
    waiting(g, 17)
    second:answer(200, whole "after all")
    for i = 2, 20 do
      if i ~= 10 then assert.equal("after all", visits[i]:rest().text) end
    end
    assert.is_true(a:quiet())
    visits, call = crowd(g, 5, { text = "another" })
    for i = 5, 1, -1 do visits[i]:reset() end
    assert.is_true(call:gone())
    e2e.eventually("nobody asks or waits", function()
      local shown = g:look "cache"
      return shown.asking == 0 and shown.waiting == 0
    end)
    e2e.eventually("no request is under way", function() return g:metric "lunette_requests_in_flight" == 0 end)
  end)

  it("does not let all ask at once when the provider fails", function()
    local g = serve()
    local visits, call = crowd(g, 8)
    call:answer(400, { error = { message = "no" } })
    assert.equal(400, visits[1]:rest().status)
    call = a:accept()
    assert.is_true(a:quiet())
    call:answer(400, { error = { message = "no" } })
    local calls = { a:accept(), a:accept() }
    waiting(g, 4)
    calls[1]:answer(400, { error = { message = "no" } })
    calls[2]:answer(200, whole "at last")
    local good = 0
    for i = 2, 8 do good = good + (visits[i]:rest().status == 200 and 1 or 0) end
    assert.equal(5, good)
    assert.is_true(a:quiet())
  end)

  it("keeps apart who has a key of his own", function()
    local g = serve("{}", ('clients = { { name = "ann", hash = "%s" }, { name = "bob", hash = "%s" } }'):format(e2e.hash "ann-key", e2e.hash "bob-key"))
    local function ask(who, text)
      local visit = g:open { headers = { authorization = "Bearer " .. who } }
      if text then a:accept():answer(200, whole(text)) end
      return visit:rest()
    end
    assert.equal("ann's", ask("ann-key", "ann's").text)
    assert.equal("bob's", ask("bob-key", "bob's").text)
    assert.equal("ann's", ask("ann-key").text)
    assert.equal("bob's", ask("bob-key").text)
    assert.equal(401, ask("nobody").status)
  end)

  it("honours what the client says of it", function()
    local g = serve()
    local function ask(headers, text)
      local visit = g:open { headers = headers }
      if text then a:accept():answer(200, whole(text)) end
      local answer = visit:rest()
      return cache(answer), answer.text
    end
    assert.same({ "bypass", "1" }, { ask({ ["x-lunette-cache"] = "bypass" }, "1") })
    assert.same({ "bypass", "2" }, { ask({ ["Cache-Control"] = "no-store" }, "2") })
    assert.same({ "miss", "3" }, { ask({}, "3") })
    assert.same({ "refresh", "4" }, { ask({ ["Cache-Control"] = "no-cache" }, "4") })
    assert.same({ "hit", "4" }, { ask {} })
    assert.same({ "refresh", "5" }, { ask({ { "cache-control", "max-age=100" }, { "cache-control", "no-cache" } }, "5") })
    assert.same({ "hit", "5" }, { ask { ["cache-control"] = "max-age=100" } })
  end)

  it("is emptied by the admin interface, and what is under way then is not kept", function()
    local g = serve()
    local visit = g:open {}
    a:accept():answer(200, whole "before")
    visit:rest()
    local under_way = g:open { text = "other" }
    local call = a:accept()
    local answer = e2e.request(g.admin, { method = "DELETE", path = "/admin/cache" })
    assert.equal(200, answer.status)
    assert.equal(0, answer.json.entries)
    assert.equal(1, answer.json.asking)
    call:answer(200, whole "other")
    assert.equal("other", under_way:rest().text)
    assert.equal(0, g:look("cache").entries)
    visit = g:open {}
    a:accept():answer(200, whole "after")
    assert.equal("after", visit:rest().text)
    assert.equal("GET, HEAD, DELETE", e2e.request(g.admin, { method = "POST", path = "/admin/cache" }).headers.allow)
    assert.equal(403, e2e.request(g.admin, { method = "DELETE", path = "/admin/cache", headers = { origin = "http://evil.example" } }).status)
    assert.matches("the response cache was emptied by admin", g.process:said(), 1, true)
  end)

  it("outlives reloads: what another version decided is not given, and is again when that one is back", function()
    local g = serve()
    local function ask(text)
      local visit = g:open {}
      if text then a:accept():answer(200, whole(text)) end
      local answer = visit:rest()
      return cache(answer), answer.text
    end
    ask "of one"
    assert.equal(200, g:reload({ ["policy.lua"] = "return { classify = function() return 'x' end }" }).status)
    assert.same({ "miss", "of two" }, { ask "of two" })
    assert.equal(2, g:look("cache").entries)
    assert.equal(200, g:tell("rollback").status)
    assert.same({ "hit", "of one" }, { ask() })
    assert.equal(200, g:reload({ ["gateway.lua"] = config '{ size = "64KiB", ttl = 7 }', ["policy.lua"] = "return {}" }).status)
    local shown = g:look "cache"
    assert.equal(65536, shown.size)
    assert.equal(7, shown.ttl)
    assert.equal(200, g:reload({ ["gateway.lua"] = config "false" }).status)
    assert.equal(0, g:look("cache").entries)
    local visit = g:open {}
    a:accept():answer(200, whole "none")
    assert.is_nil(cache(visit:rest()))
  end)

  it("is no larger than it may be, however many different answers there are", function()
    local provider = e2e.provider [[return function(request, n) return { text = request.text .. (" word"):rep(400) } end]]
    local g = e2e.gateway { config = config '{ size = "256KiB" }', files = { ["policy.lua"] = "return {}" }, workers = 2, env = { A = provider.url } }
    for i = 1, 300 do g:chat { text = "question " .. i } end
    local shown = g:look "cache"
    assert.is_true(shown.bytes <= 256 * 1024 and shown.bytes > 200 * 1024)
    assert.is_true(shown.evictions > 150)
    assert.equal("hit", cache(g:chat { text = "question 300" }))
    assert.equal("miss", cache(g:chat { text = "question 1" }))
    assert.equal(shown.evictions + 1, g:metric "lunette_cache_evictions_total")
  end)

  it("forgets nobody when the gateway is drained with some waiting", function()
    local g = serve()
    local visits, call = crowd(g, 12)
    g.process:signal(e2e.SIGTERM)
    call:answer(200, whole "last words")
    for _, visit in ipairs(visits) do assert.equal("last words", visit:rest().text) end
    assert.equal(0, g.process:wait())
  end)
end)
