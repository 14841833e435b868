-- A gateway under load while it is reloaded: what the short spec (reload_load_spec.lua) and the long one (tests/stress) share.
--
--   local world = under_load.start { connections = 64, streams = 16, rate = 800 }
--   local figures = world:quiet(5, 0.05)               -- seconds in which files are written and not taken: what tests/stress/load.c reports of them
--   local figures = world:reloading(5, 0.05, "new", 6) -- a reload every 0.05 s, 6 at least: "two" versions in turn, or each one "new"
--   world:finish()                                     -- ends the load and checks every answer and every line of the log
--
-- Each version writes its mark at every hook, half of them through a module that it requires.
local e2e = require "support"

local under_load = {}
local World = {}
World.__index = World

local config = [[
return {
  policy = "policy.lua", limits = { retries = false, deadline = 20, lag = false },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { m = { { provider = "a", model = "up" }, { provider = "b", model = "up" } } },
}]]

-- One answer in fifty of a is an error, so that retry is asked too.
local failing = [[
return function(request, n)
  if n % 50 == 0 then return { status = 500, body = { error = { message = "no" } } } end
  return { text = "one two three four five six seven eight", every = 0.03 }
end]]
local serving = [[return function(request, n) return { text = "one two three four five six seven eight", every = 0.03 } end]]

local policy = [[
local lunette, shared = require "lunette", require "shared"
return {
  classify = function(request) return "MARK" end,
  budget = function(request, spend) lunette.note("budget", shared) end,
  select = function(request, targets) lunette.note("select", "MARK") return targets:named "a/up" .. targets:named "b/up" end,
  judge = function(request, attempt) lunette.note("judge", shared) end,
  retry = function(request, attempt) lunette.note("retry", "MARK") return lunette.next() end,
  finish = function(request, outcome) lunette.note("finish", shared) end,
}]]

function under_load.files(mark)
  return { ["policy.lua"] = (policy:gsub("MARK", mark)), ["shared.lua"] = 'return "' .. mark .. '"' }
end

-- options: connections, streams, rate (questions a second in all), workers.
function under_load.start(options)
  local self = setmetatable({ marks = {}, versions = {}, durations = {}, n = 0, asked = 0, connections = options.connections }, World)
  self.a, self.b = e2e.provider(failing), e2e.provider(serving)
  self.g = e2e.gateway { config = config, watched = true, files = under_load.files "first", workers = options.workers or 2,
                         env = { A = self.a.url, B = self.b.url, LUNETTE_WATCH = "false" } }
  self.marks[self.g:look("versions").current] = "first"
  self.load = e2e.start { e2e.lunette:match "^(.*)/" .. "/tests/load", tostring(self.g.port), tostring(options.connections), tostring(options.streams),
                          tostring(options.rate) }
  self.load:expect "(ready)"
  return self
end

-- Reads what the load says until its next report; gives that as a table of numbers.
function World:report(signal)
  self.load:signal(signal or e2e.SIGUSR1)
  while true do
    local line = assert(self.load:line(30), "the load has ended")
    local version, mark = line:match "^pair (%S+) (%S*)"
    if version then self.versions[version] = mark end
    if line:find "^wrong" then self.wrong = (self.wrong or "") .. line .. "\n" end
    if line:find "^report" then
      local figures = {}
      for name, value in line:gmatch "(%S+)=(%S+)" do figures[name] = tonumber(value) end
      self.asked = self.asked + figures.requests
      return figures
    end
  end
end

function World:write(mark)
  for name, text in pairs(under_load.files(mark)) do self.g:replace(name, text) end
end

-- Reloads to a version with this mark; gives the answer.
function World:take(mark)
  self:write(mark)
  local before = e2e.socket.gettime()
  local answer = self.g:tell "reload"
  self.durations[#self.durations + 1] = e2e.socket.gettime() - before
  if answer.status ~= 200 then error("a reload was answered with " .. answer.status .. ": " .. answer.body) end
  self.marks[answer.json.version] = mark
  return answer.json
end

function World:rss() return self.g:rss() end
function World:descriptors()
  local n, pipe = 0, io.popen("ls /proc/" .. self.g.process.pid .. "/fd")
  for _ in pipe:lines() do n = n + 1 end
  pipe:close()
  return n
end

-- Does something again and again while the load goes on, `least` times at least, however slow the machine is; gives what the load reports of that time.
local function phase(self, seconds, every, act, least)
  self:report()
  local due = e2e.socket.gettime()
  local stop, enough = due + seconds, self.n + (least or 0)
  while due < stop or (self.n < enough and due < stop + e2e.limit) do
    self.n = self.n + 1
    act()
    due = due + every
    local left = due - e2e.socket.gettime()
    if left > 0 then e2e.socket.select(nil, nil, left) else due = due - left end
  end
  return self:report()
end

-- All that a reload costs the one who asks for it, without the reload.
function World:quiet(seconds, every)
  return phase(self, seconds, every, function()
    self:write("quiet" .. self.n)
    self.g:look "versions"
  end)
end

function World:reloading(seconds, every, mode, least)
  return phase(self, seconds, every, function() self:take(mode == "two" and (self.n % 2 == 0 and "even" or "odd") or "new" .. self.n) end, least)
end

-- The lines of the log agree in themselves and with the versions; gives how many there are, and how many of them asked retry.
function World:check_log()
  local n, retried = 0, 0
  for line in io.lines(self.g.folder .. "/requests.jsonl") do
    local entry = e2e.json.decode(line)
    local mark, notes = self.marks[entry.policy], entry.notes
    n = n + 1
    if not mark then error("nobody knows " .. entry.policy) end
    if notes.retry then retried = retried + 1 end
    local good = entry.labels[1] == mark and notes.budget == mark and notes.select == mark and notes.finish == mark
                 and (notes.judge or mark) == mark and (notes.retry or mark) == mark
    if not good then error("not of one version (" .. mark .. "): " .. line) end
  end
  return n, retried
end

-- Ends the load. Every answer came from the hooks of the version that it names, whole, and so says the log. Gives the last report, the lines of
-- the log, and how many of them asked retry.
function World:finish()
  local last = self:report(e2e.SIGTERM)
  self.load:wait()
  for version, mark in pairs(self.versions) do
    if self.marks[version] ~= mark then error(version .. " answered with the labels " .. mark .. ", and is " .. tostring(self.marks[version])) end
  end
  if self.wrong then error(self.wrong) end
  self.g.process:signal(e2e.SIGUSR1)            -- has the log written at once
  e2e.eventually("all lines are in the log", function()
    local _, lines = e2e.read(self.g.folder .. "/requests.jsonl"):gsub("\n", "")
    return lines >= self.asked
  end)
  return last, self:check_log()
end

return under_load
