-- others.lua [OUT]: Lunette beside gateways of npm and PyPI that were installed into build/others: a 1 KB request, and the memory of each. Those that are
-- not there are left out.
local here = debug.getinfo(1, "S").source:match "^@(.*)/"
package.path = here .. "/?.lua;" .. here .. "/../e2e/?.lua;" .. package.path
local e2e, figures, proof, rivals = require "support", require "figures", require "proof", require "rivals"

local rounds, seconds = tonumber(os.getenv "BENCH_ROUNDS" or 5), tonumber(os.getenv "BENCH_SECONDS" or 2)
local installed = e2e.program():match "^(.*)/" .. "/others/"
local function say(text, ...) io.stderr:write(text:format(...), "\n") end
local function there(name) return io.open(installed .. name .. "/ready") ~= nil end

---- who ----

local others = {}

function others.Portkey(up)
  if not there "portkey" then return end
  local port = rivals.a_port()
  local g = rivals.running({ "node", installed .. "portkey/node_modules/@portkey-ai/gateway/build/start-server.js", "--port=" .. port, "--headless" }, port,
                           { NODE_ENV = "production" }, 60)
  g.env = { LOAD_HEADER = ('x-portkey-config: {"provider":"openai","api_key":"sk-upstream","custom_host":"http://127.0.0.1:%d/v1"}'):format(up.port) }
  return g
end

local litellm = [[
model_list:
  - model_name: auto
    litellm_params: { model: openai/bench-small, api_base: "http://127.0.0.1:PORT/v1", api_key: sk-upstream }
litellm_settings: { telemetry: false, request_timeout: 60, num_retries: 0 }
general_settings: { master_key: sk-bench }
]]

function others.LiteLLM(up)
  if not there "litellm" then return end
  local folder, port = e2e.folder(), rivals.a_port()
  e2e.write(folder .. "/config.yaml", (litellm:gsub("PORT", up.port)))
  local command = { installed .. "litellm/bin/litellm", "--config", folder .. "/config.yaml", "--host", "127.0.0.1",
                    "--port", tostring(port), "--num_workers", "1" }
  return rivals.running(command, port, { LITELLM_LOG = "ERROR", LITELLM_MODE = "PRODUCTION",
                                         LITELLM_LOCAL_MODEL_COST_MAP = "True", DISABLE_ADMIN_UI = "True" }, 180)
end

---- measuring ----

local function megabytes(g)
  local sum = 0
  for pid in g.pids:gmatch "%d+" do sum = sum + (tonumber(e2e.read("/proc/" .. pid .. "/status"):match "VmRSS:%s+(%d+)") or 0) end
  return sum / 1024
end

local function all()
  rivals.beside()
  math.randomseed(math.floor(e2e.socket.gettime() * 1e6) % 2 ^ 31)
  local up, body, gateways = rivals.upstream(), rivals.body(1024, {}), {}
  gateways.Lunette = rivals.apart(rivals.lunette, up, {})
  for who, start in pairs(others) do
    gateways[who] = rivals.apart(start, up)
    if not gateways[who] then say("%s is not installed: left out", who) end
  end
  for _, g in pairs(gateways) do rivals.load(g, body, "count", 200, 8) end        -- warm
  for round = 1, rounds do
    local found = {}
    for who, g in pairs(gateways) do
      found[who] = rivals.load(g, body, "busy", seconds, 64)
      figures.keep("chat1k", who, found[who])
    end
    for who in pairs(others) do if found[who] then figures.add("others." .. who, found[who].cpu_us / found.Lunette.cpu_us) end end
    say("round %d of %d", round, rounds)
  end
  proof.of(gateways.Lunette, say)
  for who, g in pairs(gateways) do say("%s: %.0f MB", who, megabytes(g)) end
end

figures.run("others", all)
