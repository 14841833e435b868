-- A crowd of clients in one posture (tests/stress/crowd.c) around a gateway, and what that costs it: what the short specs (crowd_spec.lua) and the long ones
-- (tests/stress/crowd_spec.lua) share.
--
--   local deaf = crowd.around(g, 1000, "deaf")      -- returns when all stand so
--   crowd.around(g, 1000, "deaf", { limit = 60, tls = true })      -- seconds for it; over TLS
--   local report = deaf:report()                    -- connections open closed reset first last s200 …: numbers
--   deaf:gone()                                     -- waits until the gateway has ended all of them; reports
--   deaf:leave()                                    -- they go; reports
local e2e = require "support"

local crowd = { tests = e2e.lunette:match "^(.*)/" .. "/tests/" }
local Crowd = {}
Crowd.__index = Crowd

function crowd.around(g, n, posture, options)
  local self, o = setmetatable({}, Crowd), options or {}
  self.process = e2e.start { crowd.tests .. "crowd", tostring(g.port), tostring(n), posture, "m", o.tls and "tls" }
  self.process:expect("(ready)", o.limit or 30)
  return self
end

local function numbers(process)
  local list, found = process:expect "^report (.*)", {}
  for name, value in list:gmatch "(%S+)=(%S+)" do found[name] = tonumber(value) end
  return found
end

function Crowd:report()
  self.process:signal(e2e.SIGUSR1)
  return numbers(self.process)
end

function Crowd:gone(limit)
  self.process:expect("^(gone)", limit)
  return self:report()
end

function Crowd:leave()
  self.process:signal(e2e.SIGTERM)
  local found = numbers(self.process)
  self.process:wait()
  return found
end

---- what it costs the gateway ----

local function of_status(g, name) return tonumber(e2e.read("/proc/" .. g.process.pid .. "/status"):match(name .. ":%s+(%d+)")) end

function crowd.rss(g) return of_status(g, "VmRSS") end                                  -- KiB
function crowd.peak(g) return of_status(g, "VmHWM") end                                 -- the most since forget_peak
function crowd.forget_peak(g) e2e.write("/proc/" .. g.process.pid .. "/clear_refs", "5") end
-- Seconds of CPU time, to the nanosecond of the scheduler, over all its threads.
function crowd.cpu(g)
  local sum, pipe = 0, io.popen("cat /proc/" .. g.process.pid .. "/task/*/schedstat")
  for line in pipe:lines() do sum = sum + tonumber(line:match "^%d+") end
  pipe:close()
  return sum / 1e9
end

return crowd
