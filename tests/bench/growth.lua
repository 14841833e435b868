-- How the cost of a 1 KB request grows with what is beside it, and what starts and reloads take.
local e2e, crowd, figures, rivals = require "support", require "crowd", require "figures", require "rivals"

local growth = {}
local at                                                        -- up, body, seconds, rounds, say

local function lunette(env, workers, anywhere)
  local start = anywhere and rivals.anywhere or rivals.apart
  return start(rivals.lunette, at.up, { env = env, workers = workers })
end
local function cost(g, body) return rivals.load(g, body or at.body, "busy", at.seconds, 64).cpu_us end

-- In turn with and without, so that what else the machine does falls on both.
local function compare(id, without, with)
  for _ = 1, at.rounds do
    local before = without()
    figures.add(id, with() / before)
  end
  at.say("%s done", id)
end

-- Those that were beside it are gone from the gateway too, or their end would count to what comes next.
local function alone(g) e2e.eventually("nobody is connected any more", function() return g:metric "lunette_connections" == 0 end) end

-- What a request costs beside what `begin` gives, until `stop` ends that.
local function beside(id, begin, stop)
  local g = lunette()
  compare(id, function() return cost(g) end, function()
    local others = begin(g)
    local found = cost(g)
    stop(others)
    alone(g)
    return found
  end)
  g:stop()
end

local function streams_that_wait() return rivals.body(1024, { max_tokens = 100, more = ',"stream":true,"seed":600000' }) end

local function beside_streams()
  local body = streams_that_wait()
  beside("growth.streams", function(g) return rivals.open(g, body, 1000) end, function(streams) streams:stop() end)
end

local function beside_idle()
  beside("growth.idle", function(g) return crowd.around(g, 10000, "idle", { limit = 60 }) end, function(idle) idle:leave() end)
end

-- few, many: the models that are asked for.
local function configured(id, env, few, many)
  local small, large = lunette(), lunette(env)
  local body, other = rivals.body(1024, { model = few }), rivals.body(1024, { model = many })
  compare(id, function() return cost(small, body) end, function() return cost(large, other) end)
  small:stop()
  large:stop()
end

local function two_workers()
  local one, two = lunette(nil, 1, true), lunette(nil, 2, true)
  for _ = 1, at.rounds do
    local before = cost(one)
    figures.add("growth.workers", 2 * before / cost(two))
  end
  at.say("growth.workers done")
  one:stop()
  two:stop()
end

---- memory ----

local function mib(g) return crowd.rss(g) / 1024 end

local function memory()
  local g = lunette()
  figures.add("memory.idle", mib(g))
  rivals.load(g, at.body, "busy", 2 * at.seconds, 64)
  figures.add("memory.busy", mib(g))
  g:stop()
  g = lunette()
  local open = rivals.open(g, streams_that_wait(), 1000)
  figures.add("memory.streams", mib(g))
  open:stop()
  g:stop()
end

---- system calls, by what tests/stress/calls.c counts ----

local function counted(path)
  local sum = 0
  for n in e2e.read(path):gmatch "%S+ +(%d+)\n" do sum = sum + tonumber(n) end
  return sum
end

local function calls()
  local path = e2e.folder() .. "/calls"
  local g = lunette { LD_PRELOAD = e2e.program():match "^(.*)/" .. "/tests/calls.so", CALLS = path }
  rivals.load(g, at.body, "count", 500, 64)
  for _ = 1, at.rounds do
    local before = counted(path)
    rivals.load(g, at.body, "count", 2000, 64)
    figures.add("calls", (counted(path) - before) / 2000)
  end
  g:stop()
end

---- starts and reloads ----

local function start()
  local g = lunette { BENCH_MODELS = "248" }                    -- with the eight of gateway.lua: 1,000 targets
  for _ = 1, at.rounds do
    g.process:stop(e2e.SIGTERM)
    local since = e2e.socket.gettime()
    g:restart()
    rivals.greeted(g)
    e2e.eventually("it is ready", function() return g:request { path = "/health/readiness" }.status == 200 end)
    figures.add("start", (e2e.socket.gettime() - since) * 1000)
  end
  g:stop()
end

local function other_version(g, n) g:replace("policy.lua", e2e.read(rivals.here .. "/policy.lua") .. "-- " .. n .. "\n") end

local function reload(g, n)
  other_version(g, n)
  local since = e2e.socket.gettime()
  local answer = g:tell "reload"
  if answer.status ~= 200 then error("a reload was refused: " .. answer.body, 0) end
  return (e2e.socket.gettime() - since) * 1000
end

local function reloads()
  local g, n = lunette { LUNETTE_WATCH = "false" }, 0
  local function again()
    n = n + 1
    return reload(g, n)
  end
  for _ = 1, at.rounds do figures.add("reload", again()) end
  for _ = 1, at.rounds do
    local without = rivals.load(g, at.body, "rate", 500, 2 * at.seconds).p99
    figures.add("reload.p99", rivals.meanwhile(g, at.body, 2 * at.seconds, 0.2, again).p99 / without)
  end
  g:stop()
end

function growth.measure(options)
  at = options
  memory()
  calls()
  start()
  reloads()
  beside_streams()
  beside_idle()
  configured("growth.models", { BENCH_MODELS = "1000" }, "small", "model500")
  configured("growth.keys", { BENCH_CLIENTS = "10000" }, "auto", "auto")
  two_workers()
end

return growth
