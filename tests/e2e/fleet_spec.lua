-- Several gateways on one Redis, beside their budgets: rates that they have together, keys and rollbacks that one of them is told and all of them heed.
local e2e = require "support"
local redis = require "redis"

local script = [[return function(request) return { text = "fine", usage = { input = 10, output = 10 } } end]]
local config = [[return { redis = env "REDIS", ledger = false, limits = { lag = false }, providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "x", requests_per_minute = %s } } }, policy = "policy.lua",
  clients = { { name = "app", hash = "%s", requests_per_minute = %d } } }]]
local policy = "return { select = function(request, targets) return targets:steps { wait = 0 } end } -- %s"

local function state(g) return g:request({ path = "/health/readiness" }).json.fleet or "open" end
local function fleet(g) return g:look "fleet" end
local function ask(g, key) return g:chat { headers = { authorization = "Bearer " .. (key or "sk-app") } } end

describe("several gateways on one Redis", function()
  local provider, store
  before_each(function() provider, store = e2e.provider(script), redis() end)
  after_each(e2e.stop)

  local function together(all)
    for i, g in ipairs(all) do
      e2e.eventually("gateway " .. i .. " knows of all, it is " .. state(g), function() return state(g) == "open" and fleet(g).gateways == #all end)
    end
    return all
  end
  -- A target without a rate, unless one is said: who has just come has no part of it yet, and `wait = 0` refuses what the client's rate was taken for.
  local function serve(limits)
    limits = limits or {}
    return e2e.gateway { config = config:format(tostring(limits.target), e2e.hash "sk-app", limits.client or 100000),
                         files = { ["policy.lua"] = policy:format "one" }, workers = 2, env = { A = provider.url, REDIS = store.url } }
  end
  local function several(n, limits)
    local all = {}
    for i = 1, n do all[i] = serve(limits) end
    return together(all)
  end
  -- Asks one after the other until that many were let in; then nobody is any more.
  local function fill(all, most)
    local answered = 0
    local function ask_all() for _, g in ipairs(all) do if ask(g).status == 200 then answered = answered + 1 end end end
    e2e.eventually("all of the limit is had", function() ask_all() return answered >= most end)
    for _ = 1, 10 do ask_all() end
    assert.equal(most, answered)
  end

  -- A message of lua/fleet.lua as a gateway sends it; the lines of its answer.
  local function say(...)
    local lines = {}
    for line in store:command("eval", e2e.read "lua/fleet.lua", "1", "lunette:{lunette}:fleet", ...):gmatch "[^\n]+" do lines[#lines + 1] = line end
    return lines
  end

  describe("what Redis runs", function()
    it("keeps what a gateway has while that one says it again, in more than one message", function()
      local nonce = say("tell", "a", "1", "", "0", "0", "0")[2]
      assert.equal("OK", say("begin", "a", "2", nonce, "0", "2", "key x", "10", "0", "10", "0", "0", "key y", "10", "0", "10", "0", "0", "0")[1])
      say("begin", "a", "3", nonce, "0", "1", "key x", "10", "0", "10", "0", "0", "0")      -- "key y" is in the next one
      local other = say("begin", "b", "1", nonce, "0", "1", "key y", "5", "0", "10", "0", "0", "0")
      assert.same({ "OK", "0" }, { other[1], other[#other - 1] })
      local rest = say("more", "a", "4", nonce, "0", "1", "key y", "10", "0", "10", "0", "0", "0")
      assert.same({ "OK", "10" }, { rest[1], rest[#rest - 1] })
    end)

    it("tells of a limit that somebody lacks, whatever its name holds", function()
      local name = "target a=1/b %20 c"
      local nonce = say("tell", "a", "1", "", "0", "0", "0")[2]
      say("begin", "a", "2", nonce, "0", "1", name, "10", "0", "10", "0", "0", "0")
      say("begin", "b", "1", nonce, "0", "1", name, "5", "0", "10", "0", "1", "0")
      local heard = say("tell", "a", "3", nonce, "0", "0", "0")
      assert.same({ "1", name }, { heard[6], heard[7] })
    end)
  end)

  describe("rates", function()
    it("let in a client's requests per minute once, whichever of them is asked, and all of them", function()
      local all = several(3, { client = 30 })
      fill(all, 30)
      assert.equal(429, ask(all[1]).status)
    end)

    it("are had by the one that needs them", function()
      local all = several(3, { client = 30 })
      fill({ all[2] }, 30)
    end)

    it("send a target its requests per minute once", function()
      local all = several(2, { target = 20 })
      fill(all, 20)
      assert.equal(20, provider:count())
    end)

    it("are asked of a Redis that is away when there is one again, and until then each goes by what it has", function()
      local all = several(2, { client = 30 })
      fill(all, 30)
      store.process:stop()
      for _, g in ipairs(all) do e2e.eventually("it is noticed", function() return state(g) == "apart" end) end
      assert.truthy(fleet(all[1]).why:find("redis://127.0.0.1", 1, true))
      for _ = 1, 10 do for _, g in ipairs(all) do assert.equal(429, ask(g).status) end end
      store:start()
      together(all)
      for _ = 1, 10 do for _, g in ipairs(all) do assert.equal(429, ask(g).status) end end
    end)

    it("are as they were after FLUSHALL", function()
      local all = several(2, { client = 30 })
      fill(all, 30)
      store:command "flushall"
      together { serve { client = 30 }, unpack(all) }
      for _ = 1, 10 do for _, g in ipairs(all) do assert.equal(429, ask(g).status) end end
    end)

    it("are this gateway's alone where no Redis has ever answered", function()
      store.process:stop()
      fill({ serve { client = 30 } }, 30)
    end)

    it("are free for others when a gateway stops, but for what it has used", function()
      local all = several(2, { client = 30 })
      for _ = 1, 5 do e2e.eventually("it is let in", function() return ask(all[1]).status == 200 end) end
      all[1]:stop()
      fill({ all[2] }, 25)
    end)
  end)

  describe("keys", function()
    local function make(g, name)
      local made = g:tell("keys", { name = name })
      assert.equal(200, made.status, made.body)
      return made.json.text
    end
    local function valid(g, key) return function() return ask(g, key).status == 200 end end
    local function invalid(g, key) return function() return ask(g, key).status == 401 end end
    local function revoke(g, name) assert.equal(200, e2e.request(g.admin, { method = "DELETE", path = "/admin/keys/" .. name }).status) end

    it("that one makes, the others know; that one revokes, nobody lets in", function()
      local all = several(3)
      local key = make(all[1], "team-a")
      for _, g in ipairs(all) do e2e.eventually("it is known", valid(g, key)) end
      revoke(all[3], "team-a")
      for _, g in ipairs(all) do e2e.eventually("it is revoked", invalid(g, key)) end
      local before = provider:count()
      for _, g in ipairs(all) do assert.equal(401, ask(g, key).status) end
      assert.equal(before, provider:count())             -- who is not let in costs no call
    end)

    it("are heard by who comes later, and by who was away", function()
      local all = several(2)
      local key, other = make(all[1], "team-a"), make(all[1], "team-b")
      e2e.eventually("it is known", valid(all[2], key))
      e2e.eventually("it is known", valid(all[2], other))
      all[2].process:stop()
      revoke(all[1], "team-a")
      all[1]:stop()                                       -- only Redis knows
      all[2]:restart()
      e2e.eventually("it is revoked", invalid(all[2], key))
      assert.equal(200, ask(all[2], other).status)
      local third = serve {}
      e2e.eventually("it is known", valid(third, other))
      assert.equal(401, ask(third, key).status)
    end)

    it("that were revoked while Redis was away are revoked for all when it is back, and survive its FLUSHALL", function()
      local all = several(2)
      local key, other = make(all[1], "team-a"), make(all[2], "team-b")
      e2e.eventually("it is known", valid(all[2], key))
      e2e.eventually("it is known", valid(all[1], other))
      store.process:stop()
      revoke(all[1], "team-a")
      assert.equal(401, ask(all[1], key).status)
      assert.equal(200, ask(all[2], key).status)
      store:start()
      e2e.eventually("it is revoked", invalid(all[2], key))
      store:command "flushall"
      local third = serve {}
      e2e.eventually("it is known", valid(third, other))
      e2e.eventually("and the other not", invalid(third, key))
    end)

    it("that somebody has put into Redis by hand and no gateway makes are not taken, and nothing is lost by them", function()
      local all = several(2)
      local key = make(all[1], "team-a")
      e2e.eventually("it is known", valid(all[2], key))
      local hash = e2e.hash(key)
      local function forge(name, text)
        store:command("eval", [[local n = ("%d"):format(redis.call("hget", KEYS[1], "count") + 1)
          return redis.call("hset", KEYS[1], "f:key " .. ARGV[1], n .. " " .. ARGV[2], "n:" .. n, "key " .. ARGV[1], "count", n)]],
          "1", "lunette:{lunette}:fleet", name, text)             -- at once: a gateway may tell something meanwhile
      end
      local form = '{"name":"%s","life":%s,"version":%s,"made":1,"changed":1,"hash":"%s","hint":"%s","fields":{}}'
      forge("double", form:format("double", "1", "1", hash, "sk-x"))
      forge("large", form:format("large", "1", "9223372036854775807", e2e.hash "other", "sk-x"))
      forge("wrong", form:format("another", "1", "1", e2e.hash "third", "sk-x"))
      forge("bell", form:format("bell", "1", "1", e2e.hash "fourth", "\\u001b[31m"))
      forge("long", "")
      store:command("eval", "return redis.call('hset', KEYS[1], 'f:key long', '999 ' .. string.rep('x', 2000000))", "1", "lunette:{lunette}:fleet")
      forge("none", "nothing")
      local last = make(all[1], "team-b")                 -- what comes behind them is heard
      for _, g in ipairs(all) do
        e2e.eventually("it is known", valid(g, last))
        e2e.eventually("all of it was heard", function() return g.process:stderr():find("what it tells of key none", 1, true) end)
        local names = {}
        for _, k in ipairs(g:look("keys").keys) do names[#names + 1] = k.name end
        table.sort(names)
        assert.same({ "app", "team-a", "team-b" }, names)
        g:restart()
        e2e.eventually("it is known still", valid(g, key))
      end
    end)

    it("are in nothing that Redis keeps", function()
      local all = several(2)
      local key = make(all[1], "team-a")
      e2e.eventually("it is known", valid(all[2], key))
      local _, kept = e2e.run { "sh", "-c", "cat " .. store.folder .. "/appendonlydir/*.incr.aof" }
      assert.truthy(kept:find("team-a", 1, true))
      assert.falsy(kept:find(key, 1, true))
    end)
  end)

  describe("what rests", function()
    local both = [[return { redis = env "REDIS", redis_cooling = %s, ledger = false, health = { failures = 1000 },
      providers = { a = { base_url = env "A", key = secret "KEY" }, b = { base_url = env "B" } },
      models = { m = { { provider = "a", model = "x" }, { provider = "a", model = "y" }, { provider = "b", model = "x" } } }, policy = "policy.lua" }]]
    local first
    local function serve_both(cooling)
      return e2e.gateway { config = both:format(tostring(cooling)), files = { ["policy.lua"] = policy:format "one" }, workers = 2,
                           env = { A = first.url, B = provider.url, REDIS = store.url, KEY = "sk-provider" } }
    end
    local function two(cooling) return together { serve_both(cooling), serve_both(cooling) } end
    local function rests(g) return g:metric 'lunette_target_rest_seconds{target="a/x"}' or 0 end
    local answers = { ["429"] = [[return { status = 429, headers = { ["retry-after"] = "600" } }]],
                      ["503"] = [[return { status = 503, headers = { ["retry-after"] = "600" } }]],
                      ["used-up quota"] = [[return { status = 429, body = { error = { code = "insufficient_quota", message = "no" } } }]] }

    for what, text in pairs(answers) do
      it("after a " .. what .. " for one of them rests for all, as long as was said, and is not asked", function()
        first = e2e.provider("return function(request) if request.model == 'x' then " .. text .. " end return { text = 'fine' } end")
        local all = two(true)
        assert.equal(200, ask(all[1]).status)
        e2e.eventually("the other knows", function() return rests(all[2]) > 0 end)
        assert.is_true(rests(all[2]) <= 600)
        for _ = 1, 3 do assert.equal(200, ask(all[2]).status) end
        assert.equal(what == "used-up quota" and 1 or 5, first:count())     -- the same key serves the other model, unless it is used up
        assert.is_nil(all[2].process:stderr():find("cannot be understood", 1, true))
        local third = together { serve_both(true), unpack(all) }[1]
        e2e.eventually("so does who comes later", function() return rests(third) > 0 end)
        local _, kept = e2e.run { "sh", "-c", "cat " .. store.folder .. "/appendonlydir/*.incr.aof" }
        assert.truthy(kept:find("rests a/x KEY", 1, true))
        assert.falsy(kept:find("sk-provider", 1, true))
      end)
    end

    it("while Redis is away waits once for each of them, however often it rested: what is told then is told at once", function()
      first = e2e.provider [[return function(request)
        return request.model == "x" and { status = 429, headers = { ["retry-after-ms"] = "10" } } or { text = "fine" }
      end]]
      local g = together { serve_both(true) }[1]
      local function count() return tonumber(store:command("hget", "lunette:{lunette}:fleet", "count"):match "%d+") or 0 end
      local before = count()
      store.process:stop()
      e2e.eventually("Redis is away", function() return state(g) ~= "open" end)
      for _ = 1, 60 do
        ask(g)
        e2e.socket.sleep(0.02)
      end
      store:start()
      together { g }
      e2e.request(g.admin, { method = "DELETE", path = "/admin/cache" })
      e2e.eventually("it was told", function() return count() > before end)
      e2e.socket.sleep(0.5)
      assert.is_true(count() - before <= 4)
    end)

    it("is each one's own unless redis_cooling says otherwise", function()
      first = e2e.provider("return function(request) if request.model == 'x' then " .. answers["429"] .. " end return { text = 'fine' } end")
      local all = two(false)
      for _, g in ipairs(all) do assert.equal(200, ask(g).status) end
      assert.equal(4, first:count())
      assert.equal("0", store:command("eval", "return tostring(redis.call('hexists', KEYS[1], 'f:rests a/x KEY'))", "1", "lunette:{lunette}:fleet"):match "%d+")
    end)
  end)

  describe("versions", function()
    local function version(g) return g:look("versions").current end
    local function reload(g, text)
      g:replace("policy.lua", policy:format(text))
      assert.equal(200, g:tell("reload").status)
      return version(g)
    end

    it("that one takes back are left by all, and are not taken again", function()
      local all = several(2)
      local one, two = version(all[1]), nil
      for _, g in ipairs(all) do two = reload(g, "two") end
      assert.not_equal(one, two)
      assert.equal(200, all[1]:tell("rollback", { why = "it is slow" }).status)
      for _, g in ipairs(all) do e2e.eventually("it is left", function() return version(g) == one end) end
      local refused = all[2]:tell "reload"
      assert.equal(422, refused.status, refused.body)
      assert.truthy(refused.body:find("another gateway", 1, true))
      assert.truthy(refused.body:find("it is slow", 1, true))
      assert.equal(200, all[2]:tell("reload?force=true").status)       -- and then it is in force again
      assert.equal(two, version(all[2]))
    end)

    it("that were taken back before a gateway had them are refused there too", function()
      local all = several(2)
      reload(all[1], "two")
      assert.equal(200, all[1]:tell("rollback", { why = "it is slow" }).status)
      e2e.eventually("it is known", function() return #all[2]:look("versions").versions == 2 end)
      all[2]:replace("policy.lua", policy:format "two")
      local refused = all[2]:tell "reload"
      assert.equal(422, refused.status, refused.body)
    end)
  end)
end)
