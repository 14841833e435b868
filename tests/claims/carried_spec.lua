-- `make claims`, second part: 50 million requests a day are 579 a second on average. Whether this gateway carries that on this machine: real sockets, the
-- policy that counts, streams of half a second, one worker. The provider and those who ask run on the same machine.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local e2e = require "support"
local model = require "model"
local report = require "report"

local provider = [[
local events = {}
for i = 1, 20 do events[i] = { choices = { { index = 0, delta = { content = "a part of it " } } } } end
events[21] = { choices = { { index = 0, delta = {}, finish_reason = "stop" } }, usage = { prompt_tokens = 1020, completion_tokens = 129, total_tokens = 1149 } }
events[22] = "[DONE]"
return function(request)
  if request.stream then return { events = events, after = 0.1, every = 0.02 } end
  return { text = "all of it at once", after = 0.1 }
end]]

local config = [[
local models = {}
for name, price in pairs { ["deepseek-v3.2"] = 0.42, ["gemini-2.5-flash"] = 2.5, ["gpt-4.1"] = 8, ["claude-sonnet-4.5"] = 15 } do
  models[name] = { { provider = "p", price = { input = price, output = 2 * price } } }
end
return { policy = "policies/POLICY.lua", providers = { p = { base_url = env "P", connections = 4096 } }, models = models }]]

local function cpu_seconds(pid)
  local user, system = e2e.read("/proc/" .. pid .. "/stat"):match "%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
  return (user + system) / 100                          -- USER_HZ
end

-- What the load reports of the time since it was last asked; its first complaints are printed.
local function figures_of(load)
  local figures, complaints = {}, 0
  load:signal(e2e.SIGUSR1)
  while true do
    local line = assert(load:line(30), "the load has ended")
    complaints = complaints + (line:find "^wrong" and 1 or 0)
    if line:find "^wrong" and complaints <= 3 then io.write(line, "\n") end
    if line:find "^report" then
      for name, value in line:gmatch "(%S+)=(%S+)" do figures[name] = tonumber(value) end
      return figures
    end
  end
end

describe("50 million requests a day", function()
  after_each(e2e.stop)

  it("are carried", function()
    local policy, seconds = os.getenv "CLAIMS_POLICY", tonumber(os.getenv "CLAIMS_SECONDS" or 10)
    if not policy or policy == "" or policy:find "[/.]" then policy = "intelligent_router" end
    local mean = model.claims.requests / 86400
    local p = e2e.provider(provider)
    local g = e2e.gateway { config = config:gsub("POLICY", policy), env = { P = p.url } }
    local rows, carried = { { "requests a second", "asked for", "carried", "failed, torn", "gateway's CPU", "p99 of whole answers", "reached" } }, {}
    for i, rate in ipairs { mean, mean * (1 + model.traffic.peak.swing) } do
      local load = e2e.start { e2e.lunette:match "^(.*)/" .. "/tests/load", tostring(g.port), "900", "800", tostring(rate), "auto" }
      load:expect "(ready)"
      e2e.socket.sleep(2)                               -- all connections ask by now
      figures_of(load)
      local from, at = cpu_seconds(g.process.pid), e2e.socket.gettime()
      e2e.socket.sleep(seconds)                         -- the time that is measured
      local cpu, past = cpu_seconds(g.process.pid) - from, e2e.socket.gettime() - at
      local figures = figures_of(load)
      load:stop(e2e.SIGTERM)
      local each = figures.requests / figures.seconds
      carried[i] = each >= 0.98 * rate and figures.failures == 0 and figures.torn == 0
      rows[#rows + 1] = { i == 1 and "50 million a day" or "its peak hour", ("%.0f"):format(rate), ("%.0f"):format(each),
                          ("%d, %d"):format(figures.failures, figures.torn), ("%.1f %% of a core"):format(100 * cpu / past),
                          ("%.1f ms (100 are the provider's)"):format(figures.p99 / 1000), carried[i] and "yes" or "NOT REACHED" }
    end
    io.write("\n", report.columns(rows))
    assert(carried[1], "579 requests a second are not carried")
  end)
end)
