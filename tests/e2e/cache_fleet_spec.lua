-- The response cache that several gateways keep together in a Redis: what one of them was answered, the others have; and nobody is worse off for whatever
-- becomes of that Redis or of what lies in it.
local e2e = require "support"
local redis = require "redis"

local script = [[return function(request, n)
  return { text = "answer " .. n .. ("."):rep(tonumber(request.text:match "^long (%d+)") or 0), usage = { input = 10, output = 10 } }
end]]
local config = [[return { redis = env "REDIS", ledger = false, cache = { %s }, providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } } } }, policy = "policy.lua", %s }]]

local function state(g) return (g:look("cache").redis or {}).state end
local function was(answer) return answer.headers["x-lunette-cache"] end
local function looks(g, result) return g:metric(('lunette_cache_redis_looks_total{result="%s"}'):format(result)) or 0 end
local function puts(g, result) return g:metric(('lunette_cache_redis_puts_total{result="%s"}'):format(result)) or 0 end
local function open(g) e2e.eventually("its Redis can be asked, it is " .. tostring(state(g)), function() return state(g) == "open" end) return g end
local function kept(g, n) e2e.eventually(n .. " answers are kept", function() return puts(g, "kept") == n end) end
local function said(g) return g.process:said() end
local function times(text, what) return select(2, text:gsub(what, "")) end

describe("D4 one response cache of several gateways", function()
  local provider, store
  before_each(function() provider, store = e2e.provider(script), redis() end)
  after_each(e2e.stop)

  -- A Redis that is stopped or slow is to be noticed by its silence, on a machine that others use too: so they wait long here, where nothing else is said.
  local function serve(cache, options)
    options = options or {}
    return e2e.gateway { config = config:format(cache or "redis = true, redis_wait = 5", options.more or ""),
                         files = { ["policy.lua"] = options.policy or "return {}" }, workers = 2, env = { A = options.url or provider.url, REDIS = store.url } }
  end
  local function two(...) return open(serve(...)), open(serve(...)) end
  local function keys()
    local all = {}
    for key in store:command("--scan", "--pattern", "lunette:{lunette}:cache:*:*"):gmatch "[^\n]+" do all[#all + 1] = key end
    return all
  end
  local function only_key()
    local all = keys()
    assert.equal(1, #all)
    return all[1]
  end

  it("has a question that one of them was asked answered by the others, byte for byte, without a call and without a cost", function()
    local one, other = two()
    local first = one:chat { text = "hello" }
    assert.equal("miss", was(first))
    kept(one, 1)
    local second = other:chat { text = "hello" }
    assert.equal("hit", was(second))
    assert.equal(first.body, second.body)
    assert.equal("0", second.headers["x-lunette-cost"])
    assert.equal("a/x", second.headers["x-lunette-target"])
    assert.equal(1, provider:count())
    assert.equal("hit", other:line(second).cache)
    assert.equal(0, other:line(second).cost)
    assert.equal(1, looks(one, "miss"))
    assert.equal(1, looks(other, "hit"))
    assert.equal("hit", was(other:chat { text = "hello" }))     -- it is there by now
    assert.equal(1, looks(other, "hit"))
    assert.equal(1, other:look("cache").entries)
    assert.equal(1, other:metric "lunette_cache_redis_open")
  end)

  it("gives streams as streams and as whole answers, and the other way round", function()
    local one, other = two()
    local stream = one:chat { text = "a", stream = true }
    local whole = one:chat { text = "b" }
    kept(one, 2)
    assert.same({ "hit", stream.text }, { was(other:chat { text = "a" }), other:chat({ text = "a" }).text })
    local again = other:chat { text = "b", stream = true }
    assert.same({ "hit", whole.text, true }, { was(again), again.text, again.clean })
    assert.equal(stream.text, open(serve()):chat({ text = "a", stream = true }).text)
    assert.equal(2, provider:count())
  end)

  it("keeps apart what clients, other files and other settings keep apart", function()
    local clients = ([[clients = { { name = "a", hash = "%s" }, { name = "b", hash = "%s" } }]]):format(e2e.hash "sk-a", e2e.hash "sk-b")
    local one, other = two(nil, { more = clients })
    local function ask(g, key) return was(g:chat { headers = { authorization = "Bearer " .. key } }) end
    assert.equal("miss", ask(one, "sk-a"))
    kept(one, 1)
    assert.equal("miss", ask(other, "sk-b"))
    assert.equal("hit", ask(other, "sk-a"))
    local third = open(serve(nil, { more = clients, policy = "return {} -- another" }))
    assert.equal("miss", ask(third, "sk-a"))
    local elsewhere = open(serve(nil, { more = clients, url = e2e.provider(script).url }))       -- the same files; what the environment says is another
    assert.equal("miss", ask(elsewhere, "sk-a"))
  end)

  it("asks once for many who ask at once, and they all have what another gateway was answered", function()
    local one, other = two()
    one:chat { text = "q" }
    kept(one, 1)
    local visits = {}
    for i = 1, 20 do visits[i] = other:open { text = "q" } end
    for _, visit in ipairs(visits) do assert.equal("answer 1", visit:rest().text) end
    assert.equal(1, provider:count())
  end)

  it("heeds what clients say of it: no-store, bypass and no-cache do not look, no-cache puts, max-age looks at the age", function()
    local one, other = two()
    one:chat {}
    kept(one, 1)
    assert.equal("bypass", was(other:chat { headers = { ["cache-control"] = "no-store" } }))
    assert.equal("bypass", was(other:chat { headers = { ["x-lunette-cache"] = "bypass" } }))
    assert.equal(0, looks(other, "hit") + looks(other, "miss"))
    local fresh = other:chat { headers = { ["cache-control"] = "no-cache" } }
    assert.equal("refresh", was(fresh))
    kept(other, 1)
    assert.equal(fresh.body, open(serve()):chat({}).body)
    assert.equal("hit", was(open(serve()):chat { headers = { ["cache-control"] = "max-age=100" } }))
  end)

  -- What lies there is changed by somebody who makes the checksum (bytes 9 to 12) right again.
  local forge = [[
    local text, table_of = redis.call("GET", KEYS[1]), {}
    CHANGE
    for i = 0, 255 do
      local c = i
      for _ = 1, 8 do c = bit.band(c, 1) == 1 and bit.bxor(bit.rshift(c, 1), 0x82f63b78) or bit.rshift(c, 1) end
      table_of[i] = c
    end
    local crc = bit.bnot(0)
    for i = 13, #text do crc = bit.bxor(bit.rshift(crc, 8), table_of[bit.band(bit.bxor(crc, text:byte(i)), 255)]) end
    crc = bit.bnot(crc)
    if crc < 0 then crc = crc + 2^32 end
    redis.call("SET", KEYS[1], text:sub(1, 8) .. struct.pack("<I4", crc) .. text:sub(13), "KEEPTTL")]]
  -- … who makes it older, as if time had passed: bytes 17 to 24 are the time.
  local age = forge:gsub("CHANGE", [[text = text:sub(1, 16) .. struct.pack("<i8", struct.unpack("<i8", text, 17) - ARGV[1] * 1000000) .. text:sub(25)]])
  local replace = forge:gsub("CHANGE", [[text = text:gsub(ARGV[1], ARGV[2])]])

  it("never takes an answer for younger than it is, and lets who waits for a younger one have it", function()
    local one, other = two "redis = true, redis_wait = 5, ttl = 300"
    local first = one:chat {}
    kept(one, 1)
    local left = tonumber(store:command("pttl", only_key()))
    assert.is_true(left > 0 and left <= 300000)
    store:command("eval", age, "1", only_key(), "100")
    local function ask(g, most) return g:chat { headers = { ["cache-control"] = most and "max-age=" .. most } } end
    assert.equal("hit", was(ask(other, 200)))
    assert.equal(first.body, ask(other).body)
    local third = open(serve "redis = true, redis_wait = 5, ttl = 300")
    assert.equal("miss", was(ask(third, 100)))
    assert.equal(1, looks(third, "old"))
    kept(third, 1)
    store:command("eval", age, "1", only_key(), "300")
    assert.equal("miss", was(ask(other, 99)))                    -- here the first one is as old as it was there
    kept(other, 1)
    store:command("eval", age, "1", only_key(), "300")
    assert.equal("miss", was(ask(open(serve "redis = true, redis_wait = 5, ttl = 300"))))
  end)

  it("is emptied on all of them by one, also of what is under way, and for who comes later", function()
    local one, other = two()
    one:chat { text = "a" }
    kept(one, 1)
    assert.equal("hit", was(other:chat { text = "a" }))
    assert.equal(200, e2e.request(one.admin, { method = "DELETE", path = "/admin/cache" }).status)
    e2e.eventually("the other one has heard", function() return other:look("cache").entries == 0 end)
    assert.equal("miss", was(other:chat { text = "a" }))
    kept(other, 1)
    assert.equal("hit", was(one:chat { text = "a" }))
    assert.equal("hit", was(open(serve()):chat { text = "a" }))
    assert.equal(2, provider:count())
    store:command "flushall"
    e2e.eventually("Redis has heard of it again", function() return store:command("hget", "lunette:{lunette}:fleet", "f:cache"):match "%d" end)
  end)

  it("does not keep an answer that was under way when it was emptied by another", function()
    local a = e2e.puppet()
    local one, other = open(serve(nil, { url = a.url })), open(serve(nil, { url = a.url }))
    local visit = one:open { text = "a" }
    local call = a:accept()
    assert.equal(200, e2e.request(other.admin, { method = "DELETE", path = "/admin/cache" }).status)
    e2e.eventually("it has heard", function() return said(one):find("was emptied by another gateway", 1, true) end)
    call:answer(200, { id = "c", object = "chat.completion", created = 5, model = "x", usage = { prompt_tokens = 3, completion_tokens = 2, total_tokens = 5 },
                       choices = { { index = 0, message = { role = "assistant", content = "late" }, finish_reason = "stop" } } })
    assert.equal("late", visit:rest().text)
    assert.same({}, keys())
    assert.equal(0, one:look("cache").entries)
  end)

  it("costs a budget nothing", function()
    local clients = ([[clients = { { name = "app", hash = "%s", budget = { limit = 5 } } }]]):format(e2e.hash "sk-app")
    local one, other = two(nil, { more = clients })
    local function ask(g) return g:chat { headers = { authorization = "Bearer sk-app" } } end
    local function used(g) return g:metric 'lunette_budget_used_usd{budget="key app"}' end
    assert.equal("miss", was(ask(one)))
    kept(one, 1)
    assert.equal("hit", was(ask(other)))
    assert.is_true(used(one) > 0)
    assert.equal(0, used(other))
    assert.equal(0, other:metric 'lunette_budget_held_usd{budget="key app"}')
  end)

  it("is left by a reload at once, and begun with by a restart, which the reload says", function()
    local function with(cache) return { ["gateway.lua"] = config:format(cache, "") } end
    local g = open(serve())
    g:chat { text = "a" }
    assert.equal(200, g:reload(with "").status)
    assert.equal("miss", was(g:chat { text = "b" }))
    assert.equal("hit", was(g:chat { text = "b" }))
    assert.equal(1, looks(g, "miss"))
    local off = serve ""
    assert.is_nil(off:look("cache").redis)
    local result = off:reload(with "redis = true")
    assert.same({ 200, { "cache.redis" } }, { result.status, result.json.restart })
    assert.equal("miss", was(off:chat { text = "a" }))
    off:restart()
    open(off)
    off:chat { text = "a" }
    kept(off, 1)
  end)

  it("takes what lies there for nothing where it is no answer, says so once, and puts its own in its place", function()
    local one, other = two()
    local spoil = [[local text = redis.call("GET", KEYS[1]) redis.call("SET", KEYS[1], text:sub(1, ARGV[1]) .. ARGV[2] .. text:sub(ARGV[1] + ARGV[3] + 1))]]
    local ways = { { "0", "", "1" }, { "0", "", "100000" }, { "0", "no answer", "100000" }, { "16", "xxxxxxxx", "8" }, { "150", "\1", "1" },
                   { "200", "", "100000" }, { "100000", "x", "0" } }
    local known = {}
    local function new_key()
      for _, key in ipairs(keys()) do if not known[key] then known[key] = true return key end end
    end
    for i, way in ipairs(ways) do
      one:chat { text = "a" .. i }
      kept(one, i)
      store:command("eval", spoil, "1", new_key(), unpack(way))
      assert.equal("miss", was(other:chat { text = "a" .. i }))
      assert.equal(i, looks(other, "damaged"))
      kept(other, i)
    end
    assert.equal(1, times(said(other), "none: who else writes there"))
    one:chat { text = "another type" }
    kept(one, #ways + 1)
    local key = new_key()
    store:command("del", key)
    store:command("hset", key, "not", "a text")
    assert.equal("miss", was(other:chat { text = "another type" }))
    assert.equal(1, looks(other, "refused"))
    kept(other, #ways + 1)
    for _, change in ipairs { { "data: {", "data: [" }, { '"finish_reason":', "\n\ndata: [DONE]\n\n" }, { "^(........)........", "%1" }, { "a/x", "a\rx" } } do
      local before = looks(other, "damaged")
      one:chat { text = change[2], stream = true }
      e2e.eventually("it is kept", function() key = new_key() return key end)
      store:command("eval", replace, "1", key, unpack(change))
      local answer = other:chat { text = change[2], stream = true }
      assert.same({ "miss", true, before + 1 }, { was(answer), answer.clean, looks(other, "damaged") })
    end
    local third = open(serve())
    assert.equal("hit", was(third:chat { text = "another type" }))
    for i = 1, #ways do assert.equal("hit", was(third:chat { text = "a" .. i })) end
  end)

  it("does not keep what is too large", function()
    local one, other = two "redis = true, redis_wait = 5, answer = 2000"
    one:chat { text = "long 3000" }
    one:chat { text = "short" }
    kept(one, 1)
    assert.equal("hit", was(other:chat { text = "short" }))
    assert.equal("miss", was(other:chat { text = "long 3000" }))
    store:command("eval", [[redis.call("SET", KEYS[1], ("x"):rep(100000))]], "1", only_key())
    assert.equal("miss", was(open(serve "redis = true, redis_wait = 5, answer = 2000"):chat { text = "short" }))      -- nor fetched
  end)

  it("goes on without a Redis that is killed, and with it when it is back", function()
    local one, other = two()
    one:chat { text = "a" }
    kept(one, 1)
    store.process:stop()
    for _, g in ipairs { one, other } do e2e.eventually("it is noticed", function() return state(g) == "away" end) end
    assert.equal("miss", was(other:chat { text = "a" }))
    assert.equal(1, looks(other, "away"))
    assert.equal(0, other:metric "lunette_cache_redis_open")
    assert.truthy(other:look("cache").redis.why:find("redis://127.0.0.1", 1, true))
    store:start()
    open(one) open(other)
    other:chat { text = "b" }
    kept(other, 1)
    assert.equal("hit", was(one:chat { text = "b" }))
    assert.equal(1, times(said(other), "cache: redis://[^\n]*\n"))
  end)

  it("waits for a Redis that is stuck no longer than it was told, and then not at all", function()
    local one, other = two "redis = true, redis_wait = 0.05"
    one:chat { text = "a" }
    kept(one, 1)
    store.process:signal(e2e.SIGSTOP)
    local answer = other:chat { text = "a" }
    assert.same({ 200, "miss" }, { answer.status, was(answer) })
    e2e.eventually("it is away", function() return state(other) == "away" end)
    assert.equal(1, looks(other, "late") + looks(other, "refused"))
    for i = 1, 5 do assert.equal("miss", was(other:chat { text = "b" .. i })) end
    assert.equal(5, looks(other, "away"))
    store.process:signal(e2e.SIGCONT)
    open(other)
  end)

  it("answers all who ask, whatever becomes of Redis while they do", function()
    local one, other = two "redis = true, redis_wait = 0.05, ttl = 1000"
    local junk = [[for _, key in ipairs(redis.call("KEYS", "lunette:{lunette}:cache:*")) do redis.call("SET", key, "junk") end]]
    local trouble = {
      function() end,
      function() store:command("eval", junk, "0") end,
      function() store.process:signal(e2e.SIGSTOP) end,
      function() store.process:signal(e2e.SIGCONT) end,
      function() e2e.request(one.admin, { method = "DELETE", path = "/admin/cache" }) end,
      function() store:command "flushall" end,
      function() store.process:stop() end,
      function() store:start() end,
      function() e2e.request(other.admin, { method = "DELETE", path = "/admin/cache" }) end,
    }
    for round, happens in ipairs(trouble) do
      local visits = {}
      for i = 1, 40 do
        if i == 15 then happens() end
        visits[i] = (i % 2 == 0 and one or other):open { text = ("question %d %d"):format(math.floor(round / 3), i % 7), stream = i % 3 == 0 }
        if i % 11 == 0 then visits[i]:reset() end
      end
      for i, visit in ipairs(visits) do
        local answer = i % 11 ~= 0 and visit:rest()
        if answer then assert.same({ 200, true }, { answer.status, answer.text:match "^answer %d+$" ~= nil }) end
      end
    end
    open(one) open(other)
    for _, g in ipairs { one, other } do
      e2e.eventually("nobody asks or waits", function() local c = g:look "cache" return c.asking == 0 and c.waiting == 0 end)
    end
  end)

  it("leaves the last quarter of Redis' memory to budgets, and finds what is there in one that is full", function()
    local one, other = two()
    one:chat { text = "a" }
    kept(one, 1)
    local used = tonumber(store:command("info", "memory"):match "used_memory:(%d+)")
    store:command("config", "set", "maxmemory", tostring(math.floor(used * 1.2)))
    assert.equal("miss", was(one:chat { text = "b" }))
    e2e.eventually("it is not kept", function() return puts(one, "full") == 1 end)
    assert.equal("hit", was(other:chat { text = "a" }))
    assert.equal(1, times(said(one), "maxmemory"))
    store:command("config", "set", "maxmemory", "1")
    assert.equal("miss", was(one:chat { text = "c" }))
    e2e.eventually("it is not kept", function() return puts(one, "full") == 2 end)
    store:command("config", "set", "maxmemory", "0")
    assert.equal("miss", was(one:chat { text = "d" }))
    kept(one, 2)
  end)

  it("is away where Redis is a replica, or asks for a password, and says why once", function()
    store:command("replicaof", "127.0.0.1", "1")
    local g = serve()
    e2e.eventually("it says so", function() return said(g):find("cache: redis://127.0.0.1:%d+ is a replica") end)
    assert.equal("away", state(g))
    assert.equal("miss", was(g:chat {}))
    store:command("replicaof", "no", "one")
    open(g)
    assert.equal(1, times(said(g), "cache: [^\n]*replica"))
  end)

  it("is refused at load where there is no Redis to keep it in", function()
    local folder = e2e.folder()
    e2e.write(folder .. "/gateway.lua", [[return { cache = { redis = true }, providers = {}, models = {} }]])
    local status, out, err = e2e.run { e2e.program(), "check", folder .. "/gateway.lua" }
    assert.equal(1, status)
    assert.truthy((out .. err):find("gateway.lua:1: cache.redis: needs a Redis", 1, true), out .. err)
  end)
end)
