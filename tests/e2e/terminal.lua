-- A program in a terminal of its own (a pseudo-terminal), and what it draws there.
--
--   local t = terminal.start({ "lunette", "top" }, { rows = 30, columns = 100 })
--   t:shows "requests"               -- waits for these words in what is drawn; gives all that is drawn
--   t:type "q"
--   t:size(20, 60)
--   t.all                            -- every byte that it wrote
local e2e = require "support"
local stdlib, unistd, fcntl = require "posix.stdlib", require "posix.unistd", require "posix.fcntl"
local poll = require("posix.poll").rpoll

local terminal = {}
local Terminal = {}
Terminal.__index = Terminal

local function stty(t, words)
  local pipe = io.popen("stty -F " .. t.name .. " " .. words)
  local said = pipe:read "*a"
  pipe:close()
  return said
end

-- options: rows, columns, env.
function terminal.start(command, options)
  local master = stdlib.openpt(fcntl.O_RDWR + fcntl.O_NOCTTY)
  assert(stdlib.grantpt(master) and stdlib.unlockpt(master))
  local t = setmetatable({ fd = master, name = stdlib.ptsname(master), all = "" }, Terminal)
  t.spare = unistd.dup(master)          -- so that its settings can be looked at when the program has ended
  t.slave = fcntl.open(t.name, fcntl.O_RDWR + fcntl.O_NOCTTY)
  t:size(options.rows, options.columns)
  t.settings = stty(t, "-g")
  local errors = e2e.folder() .. "/stderr"
  e2e.write(errors, "")
  local pid = assert(unistd.fork())
  if pid == 0 then
    unistd.setpid("s")
    local slave = fcntl.open(t.name, fcntl.O_RDWR)
    for fd = 0, 2 do unistd.dup2(slave, fd) end
    for fd = 3, 255 do unistd.close(fd) end
    for name, value in pairs(options.env or {}) do stdlib.setenv(name, value) end
    local program = table.remove(command, 1)
    unistd.execp(program, command)
    unistd._exit(127)
  end
  t.process = e2e.adopt(pid, master, errors)
  return t
end

function Terminal:type(text) unistd.write(self.fd, text) end
function Terminal:size(rows, columns) stty(self, ("rows %d columns %d"):format(rows, columns)) end

-- Takes what has been written, waiting for some of it.
function Terminal:read(seconds)
  if poll(self.fd, math.ceil(seconds * 1000)) ~= 1 then return false end
  local bytes = unistd.read(self.fd, 65536)
  self.all = self.all .. (bytes or "")
  return bytes and bytes ~= ""
end

-- What is on the screen: what was written since the cursor was last sent home, without the sequences.
function Terminal:drawn()
  local from = 1
  for at in self.all:gmatch "()\27%[H" do from = at end
  return (self.all:sub(from):gsub("\27%[[%d;?]*%a", ""):gsub("\r", ""))
end

function Terminal:shows(words)
  local due = e2e.socket.gettime() + e2e.limit
  while not self:drawn():find(words, 1, true) do
    local left = due - e2e.socket.gettime()
    if left <= 0 or not self:read(left) then error("the terminal never shows " .. words .. ", but: " .. self:drawn(), 2) end
  end
  return self:drawn()
end

-- Waits for its end: the exit status. Whether the terminal is as it was before.
function Terminal:wait()
  local status = self.process:wait()
  self.all = self.all .. table.concat(self.process.lines, "\n") .. self.process.buffer
  local restored = stty(self, "-g") == self.settings
  unistd.close(self.spare)
  unistd.close(self.slave)
  return status, restored
end

return terminal
