-- bench.lua [OUT]: Lunette beside nginx and others, in turn, on the same upstream; then how its cost grows. Prints one table and writes OUT (JSON).
-- README.md says how to read it.
--   BENCH_ROUNDS (7), BENCH_SECONDS (1) of one load, BENCH_ONLY: a pattern of workloads ("chat", "growth")
local here = debug.getinfo(1, "S").source:match "^@(.*)/"
package.path = here .. "/?.lua;" .. here .. "/../e2e/?.lua;" .. package.path
local e2e, tls = require "support", require "tls"
local figures, growth, proof, rivals = require "figures", require "growth", require "proof", require "rivals"

local rounds, seconds, only = tonumber(os.getenv "BENCH_ROUNDS" or 7), tonumber(os.getenv "BENCH_SECONDS" or 1), os.getenv "BENCH_ONLY" or ""
local function say(...)
  io.stderr:write((...):format(select(2, ...)), "\n")
end

---- who is measured at what ----

local authority = tls.authority()
local certificate = authority:certificate "IP:127.0.0.1,DNS:upstream.test"
local plain, kept, new = rivals.upstream(), rivals.upstream { tls = certificate }, rivals.upstream { tls = certificate, close = true }
local bodies = { chat1k = rivals.body(1024, {}), chat20k = rivals.body(20480, {}),
                 sse = rivals.body(1024, { max_tokens = 60, more = ',"stream":true,"seed":25' }) }

local started = {}
local function gateway(who, up)
  local id = who .. up.port
  if started[id] == nil then started[id] = rivals.start(who, up, { ca = up.scheme == "https" and authority.file or nil }) or false end
  return started[id]
end

local function ratio(workload, number, who, mine, theirs) figures.add(workload .. "." .. who, mine[number] / theirs[number]) end
local function by_cpu(workload, found)
  for who, numbers in pairs(found) do if who ~= "Lunette" then ratio(workload, "cpu_us", who, found.Lunette, numbers) end end
end

-- What the upstream alone takes is taken off: of the medians, since a difference of two short times is too noisy in one round. Below a microsecond it is noise.
local function compare_latency()
  for _, p in ipairs { "p50", "p99" } do
    local function added(who) return math.max(1, figures.of("latency", who, p) - figures.of("latency", "upstream", p)) end
    figures.add(p .. ".nginx", added "Lunette" / added "nginx")
  end
end

local by_all = { "nginx", "nginx+Lua", "HAProxy", "Lunette" }
local busy = { "busy", seconds, 64 }
local workloads = {
  { name = "chat1k", up = plain, body = bodies.chat1k, shape = busy, who = by_all, compare = by_cpu },
  { name = "chat20k", up = plain, body = bodies.chat20k, shape = busy, who = by_all, compare = by_cpu },
  { name = "tls", up = kept, body = bodies.chat1k, shape = busy, who = { "nginx", "HAProxy", "Lunette" }, compare = by_cpu },
  { name = "tls_new", up = new, body = bodies.chat1k, shape = { "busy", seconds, 1 }, who = { "nginx", "Lunette" }, compare = by_cpu },
  { name = "sse", up = plain, body = bodies.sse, shape = { "streams", 200 }, who = { "nginx", "HAProxy", "Lunette" }, compare = by_cpu },
  { name = "latency", up = plain, body = bodies.chat1k, shape = { "rate", 500, 4 * seconds }, who = { "upstream", "nginx", "Lunette" } },
}

-- Each of them once, another one first in each round.
local function once(w, round)
  local found = {}
  for i = 1, #w.who do
    local who = w.who[(i + round - 2) % #w.who + 1]
    local at = who == "upstream" and { port = w.up.port } or gateway(who, w.up)
    if at then
      found[who] = rivals.load(at, w.body, unpack(w.shape))
      figures.keep(w.name, who, found[who])
    end
  end
  if w.compare then w.compare(w.name, found) end
end

local function resumed(who, connections)
  local before = new:seen()
  rivals.load(gateway(who, new), bodies.chat1k, "count", 500, connections)
  local after = new:seen()
  return (after.resumed - before.resumed) / (after.connections - before.connections)
end

-- One after the other every connection resumes; where many begin at once it is told how many do.
local function resumption()
  for _, who in ipairs { "nginx", "Lunette" } do
    local alone, together = resumed(who, 1), resumed(who, 16)
    if alone < 0.95 then error(("%s resumed only %.0f %% of its TLS connections"):format(who, alone * 100), 0) end
    figures.keep("resumed", who, { alone = alone, together = together })
    say("%s: of its TLS connections %.0f %% were resumed, of 16 that begin at once %.0f %%", who, alone * 100, together * 100)
  end
end

local function side_by_side()
  for round = 1, rounds do
    for _, w in ipairs(workloads) do if w.name:find(only) then once(w, round) end end
    say("round %d of %d", round, rounds)
  end
  if ("tls_new"):find(only) then resumption() end
  if ("latency"):find(only) then compare_latency() end
  for id, g in pairs(started) do if id:find "^Lunette" then proof.of(g, say) end end
  local mine = started["Lunette" .. plain.port]
  for _, p in ipairs(mine and { 50, 99 } or {}) do figures.add("decision.p" .. p, proof.quantile(mine, "lunette_decision_seconds", p / 100) * 1e6) end
end

local function all()
  rivals.beside()
  math.randomseed(math.floor(e2e.socket.gettime() * 1e6) % 2 ^ 31)
  if not ("growth"):find("^" .. only) or only == "" then side_by_side() end
  for _, up in ipairs { kept, new } do up.process:stop() end
  if ("growth"):find(only) then growth.measure { up = plain, body = bodies.chat1k, seconds = seconds, rounds = rounds, say = say } end
end

figures.run("bench", all)
