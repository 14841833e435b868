-- Crowds around a gateway of one worker, in figures: what each client costs, what others notice, when who is slow is ended, what a large request takes.
-- STRESS_IDLE (10000), STRESS_DEAF (1000), STRESS_SLOW (500).
local e2e = require "support"
local crowd = require "crowd"

local idle, deaf, slow = tonumber(os.getenv "STRESS_IDLE") or 10000, tonumber(os.getenv "STRESS_DEAF") or 1000, tonumber(os.getenv "STRESS_SLOW") or 500
local config = [[return { providers = { a = { base_url = env "A", connections = 4000 } },
  models = { m = { { provider = "a", model = "x" } }, streamed = { { provider = "a", model = "streamed" } } },
  limits = { connections = 20000, body = "64MiB" } }]]
local provider = [[
  local piece, events = { choices = { { index = 0, delta = { content = ("x"):rep(16000) } } } }, {}
  for i = 1, 64 do events[i] = piece end
  return function(request) return (request.stream or request.body:find("streamed", 1, true)) and { events = events, stall = true } or { text = "fine" } end]]

local p, g
local function serve()
  p = e2e.provider(provider)
  g = e2e.gateway { env = { A = p.url }, config = config, watched = true }
  g:chat {}
end

-- Good traffic for so many seconds: what the load says of it, and the gateway's CPU time for each request, in microseconds.
local function traffic(seconds)
  local load = e2e.start { crowd.tests .. "load", tostring(g.port), "16", "0", "400" }
  load:expect "(ready)"
  local before, found = crowd.cpu(g), {}
  e2e.socket.select(nil, nil, seconds)
  load:signal(e2e.SIGTERM)
  for name, value in load:expect("^report (.*)"):gmatch "(%S+)=(%S+)" do found[name] = tonumber(value) end
  load:wait()
  found.cpu = 1e6 * (crowd.cpu(g) - before) / found.requests
  assert.equal(0, found.failures)
  return found
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- With and without a crowd in turn: the medians of the ratios of p99 and of the CPU time of a request.
local function compare(n, posture)
  local p99, cpu = {}, {}
  for round = 1, 3 do
    local without = traffic(3)
    local all = crowd.around(g, n, posture, { limit = 60 })
    local with = traffic(3)
    all:leave()
    p99[round], cpu[round] = with.p99 / without.p99, with.cpu / without.cpu
  end
  print(("%5d %-8s beside them: p99 %.2f, CPU of a request %.2f times what it is without"):format(n, posture, median(p99), median(cpu)))
  return median(p99), median(cpu)
end

local function alone() e2e.eventually("they are gone", function() return g:metric "lunette_connections" == 0 end) end

-- KiB of the gateway before, with and some seconds after a crowd; and the part of a CPU that it takes while nobody asks.
local function cost(n, posture)
  local before = crowd.rss(g)
  local all = crowd.around(g, n, posture, { limit = 60 })
  e2e.socket.select(nil, nil, 2)
  local with, cpu = crowd.rss(g), crowd.cpu(g)
  e2e.socket.select(nil, nil, 3)
  cpu = (crowd.cpu(g) - cpu) / 3
  assert.equal(n, all:leave().open)
  alone()
  e2e.socket.select(nil, nil, 12)               -- two looks of its allocator
  local after = crowd.rss(g)
  print(("%5d %-8s %.1f KiB each; %d KiB before, %d with, %d after; %.4f of a CPU while nobody asks"):format(n, posture, (with - before) / n,
    before, with, after, cpu))
  return (with - before) / n, after - before, cpu
end

describe("a crowd", function()
  after_each(e2e.stop)
  before_each(serve)

  it("that is idle costs a few KiB each, no CPU, and nothing of others' requests", function()
    local each, _, cpu = cost(idle, "idle")
    assert.is_true(each <= 8, each)
    assert.is_true(cpu <= 0.01, cpu)
    local _, request = compare(idle, "idle")
    assert.is_true(request <= 1.1, request)
  end)

  it("that never reads costs at most 256 KiB each, and goes with them", function()
    local each, left, cpu = cost(deaf, "deaf")
    assert.is_true(each <= 256, each)
    assert.is_true(left <= 64 * 1024, left)
    assert.is_true(cpu <= 0.02, cpu)
  end)

  for _, posture in ipairs { "heads", "bodies", "reading", "ranges" } do
    it("of slow senders (" .. posture .. ") leaves good traffic as it is", function() compare(slow, posture) end)
  end

  it("of slow heads is ended by its clock, and its places are free again", function()
    local report = crowd.around(g, slow, "heads"):gone(20)
    print(("%d slow heads: ended after %.1f to %.1f s, %d of them by 408"):format(slow, report.first, report.last, report.s408 or 0))
    assert.equal(slow, report.s408)
    assert.equal(slow, report.closed + report.reset)
    assert.is_true(report.first >= 9 and report.last <= 17, report.last)        -- 10 s, and 5 for who does not close
    alone()
  end)

  it("of slow bodies is ended by its clock, and its places are free again", function()
    local report = crowd.around(g, slow, "bodies"):gone(320)
    print(("%d slow bodies: ended after %.1f to %.1f s, %d of them by 408"):format(slow, report.first, report.last, report.s408 or 0))
    assert.equal(slow, report.s408)
    alone()
  end)
end)

describe("a large request", function()
  after_each(e2e.stop)
  before_each(serve)

  local function text(n) return ("word "):rep(n / 5) end
  local forms = {
    { "one message", "/v1/chat/completions", function(n) return { model = "m", messages = { { role = "user", content = text(n) } } } end },
    { "many messages", "/v1/chat/completions", function(n)
      local list = {}
      for i = 1, n / 140 do list[i] = { role = i % 2 == 1 and "user" or "assistant", content = text(100) } end
      return { model = "m", messages = list }
    end },
    { "a stream", "/v1/chat/completions", function(n)
      return { model = "streamed", stream = true, messages = { { role = "user", content = text(n) } } }
    end, true },
    { "deep", "/v1/chat/completions", function(n)
      return ('{"model":"m","messages":[{"role":"user","content":"x"}],"metadata2":[%s1]}'):format(((("["):rep(100) .. ("]"):rep(100) .. ",")):rep(n / 201))
    end },
    { "completions", "/v1/completions", function(n) return { model = "m", prompt = text(n) } end },
    { "embeddings", "/v1/embeddings", function(n) return { model = "m", input = text(n) } end },
  }
  for _, form in ipairs(forms) do
    it("takes at most 10 times its size and 1 MiB: " .. form[1], function()
      for _, size in ipairs { 1, 10, 30 } do
        local body = form[3](size * 1e6)
        body = type(body) == "string" and body or e2e.json.encode(body)
        e2e.socket.select(nil, nil, 0.1)
        crowd.forget_peak(g)
        local before = crowd.rss(g)
        local visit = e2e.open(g.port, { path = form[2], body = body })
        assert.equal(200, visit:head().status)
        if not form[4] then visit:rest() end
        local grown = crowd.peak(g) - before
        visit:leave()
        print(("%-14s %5.1f MB: %6.1f MiB more at its peak, %.1f times its size"):format(form[1], #body / 1e6, grown / 1024, grown * 1024 / #body))
        assert.is_true(grown * 1024 <= 10 * #body + 1024 * 1024, grown)
      end
    end)
  end
end)
