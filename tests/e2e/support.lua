-- What end-to-end specs share: real processes on ports that the system chooses, and a client that shows every byte.
--
--   local e2e = require "support"
--   local p = e2e.provider [[return function(request, n) return { text = "hi" } end]]
--   local g = e2e.gateway { config = [[return { providers = { a = { base_url = env "A" } }, … }]], env = { A = p.url } }
--   local answer = g:chat { model = "m", text = "hello" }
--   local visit = g:open { model = "m", stream = true }     -- the same, piece by piece: wire.lua
--   local puppet = e2e.puppet()                             -- a provider in the test's own hands: wire.lua
--
-- Everything started is ended, by its id, by e2e.stop() (call it in after_each or teardown). Nothing here sleeps: it waits for a line, a
-- connection, an end; each wait has a limit after which the test fails.
local cjson = require "cjson"
local socket = require "socket"
local wire = require "wire"
local stdlib, unistd, signal, fcntl = require "posix.stdlib", require "posix.unistd", require "posix.signal", require "posix.fcntl"
local poll, wait = require("posix.poll").rpoll, require "posix.sys.wait"

local e2e = { lunette = os.getenv "LUNETTE" or "build/lunette", json = cjson, socket = socket, limit = wire.limit }
for name, f in pairs(wire) do e2e[name] = f end
local running, folders = {}, {}

-- Asks again and again until f() is neither nil nor false, and gives that. For what only shows by looking: a counter, a file.
function e2e.eventually(what, f)
  local due = socket.gettime() + e2e.limit
  while true do
    local found = f()
    if found then return found end
    if socket.gettime() > due then error("it never came to this: " .. what, 2) end
    socket.select(nil, nil, 0.01)
  end
end

---- files ----

-- A folder of its own, removed by stop().
function e2e.folder()
  local path = assert(stdlib.mkdtemp "/tmp/lunette-e2e-XXXXXX")
  folders[#folders + 1] = path
  return path
end

function e2e.write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  return path
end

function e2e.read(path)
  local f = io.open(path, "r")
  if not f then return "" end
  local text = f:read "*a"
  f:close()
  return text
end

---- processes ----

local Process = {}
Process.__index = Process

-- A child process, as start() gives one: `reading` is where its output comes from, `errors` the file of its errors.
function e2e.adopt(pid, reading, errors)
  local process = setmetatable({ pid = pid, fd = reading, buffer = "", errors = errors, lines = {} }, Process)
  running[#running + 1] = process
  return process
end

-- Starts a program: { "name", "arg", … }, with env added. Its output is read line by line; its errors go to a file.
function e2e.start(command, env)
  local folder = e2e.folder()
  local reading, writing = unistd.pipe()
  local pid = assert(unistd.fork())
  if pid == 0 then
    unistd.dup2(writing, 1)
    local errors = fcntl.open(folder .. "/stderr", fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, 384)
    unistd.dup2(errors, 2)
    for fd = 3, 255 do unistd.close(fd) end
    for name, value in pairs(env or {}) do stdlib.setenv(name, value) end
    local program = table.remove(command, 1)
    unistd.execp(program, command)
    unistd._exit(127)
  end
  unistd.close(writing)
  return e2e.adopt(pid, reading, folder .. "/stderr")
end

-- The next line of its output, or nil at its end.
function Process:line(limit)
  local due = socket.gettime() + (limit or e2e.limit)
  while true do
    local line, rest = self.buffer:match "^(.-)\n(.*)$"
    if line then
      self.buffer = rest
      self.lines[#self.lines + 1] = line
      return line
    end
    local left = due - socket.gettime()
    if left <= 0 or poll(self.fd, math.ceil(left * 1000)) ~= 1 then
      error("no line came from process " .. self.pid .. ". It said: " .. self:stderr(), 2)
    end
    local bytes = unistd.read(self.fd, 65536)
    if not bytes or bytes == "" then return nil end
    self.buffer = self.buffer .. bytes
  end
end

-- Reads lines until one holds the pattern; gives its captures.
function Process:expect(pattern, limit)
  while true do
    local line = self:line(limit)
    if not line then error("process " .. self.pid .. " ended before it said " .. pattern .. ". It said: " .. self:stderr(), 2) end
    local found = { line:match(pattern) }
    if found[1] then return unpack(found) end
  end
end

function Process:stderr() return e2e.read(self.errors) end
function Process:signal(number) signal.kill(self.pid, number) end

-- All that it has written up to now, errors too.
function Process:said()
  while not self.ended and poll(self.fd, 0) == 1 do
    local bytes = unistd.read(self.fd, 65536)
    if not bytes or bytes == "" then break end
    self.buffer = self.buffer .. bytes
  end
  return table.concat(self.lines, "\n") .. "\n" .. self.buffer .. self:stderr()
end

-- Waits for its end; gives the exit status (or -signal). One that does not end in time is ended.
function Process:wait()
  if self.ended then return self.status end
  local due = socket.gettime() + e2e.limit
  local pid, how, status = wait.wait(self.pid, wait.WNOHANG)
  while pid == 0 do
    socket.select(nil, nil, 0.002)
    if socket.gettime() > due then signal.kill(self.pid, signal.SIGKILL) end
    pid, how, status = wait.wait(self.pid, wait.WNOHANG)
  end
  self:said()
  self.ended, self.status = true, how == "exited" and status or -(status or 0)
  unistd.close(self.fd)
  return self.status
end

-- Ends it now. `ends_by`: the signal for one that has others to end.
function Process:stop(number)
  if self.ended then return self.status end
  signal.kill(self.pid, number or self.ends_by or signal.SIGKILL)
  return self:wait()
end

-- Runs a command to its end: exit status, what it printed, what it said on stderr.
function e2e.run(command, env)
  local process = e2e.start(command, env)
  local out = {}
  while true do
    local line = process:line()
    if not line then break end
    out[#out + 1] = line
  end
  if process.buffer ~= "" then out[#out + 1] = process.buffer end
  return process:wait(), table.concat(out, "\n"), process:stderr()
end

-- With a program built with a sanitizer what it found fails the test; with E2E_END=term programs end by themselves, so that leaks are found.
local function sanitized(process)
  local said = process:stderr()
  return (said:find("Sanitizer", 1, true) or said:find("runtime error:", 1, true)) and said
end

function e2e.stop()
  local found
  for i = #running, 1, -1 do
    running[i]:stop(os.getenv "E2E_END" == "term" and signal.SIGTERM or nil)
    found = found or sanitized(running[i])
  end
  running = {}
  for _, path in ipairs(folders) do os.execute("rm -rf '" .. path .. "'") end
  folders = {}
  wire.close_all()
  if found then error(found, 2) end
end

-- A key as `clients` holds it.
function e2e.hash(key)
  local pipe = assert(io.popen("printf %s '" .. key .. "' | sha256sum"))
  local text = pipe:read "*a"
  pipe:close()
  return "sha256:" .. text:match "^%x+"
end

---- the two programs ----

-- The path of lunette, whatever folder one is in.
function e2e.program() return e2e.lunette:sub(1, 1) == "/" and e2e.lunette or unistd.getcwd() .. "/" .. e2e.lunette end

local Provider, Gateway = {}, {}
Provider.__index, Gateway.__index = Provider, Gateway

-- A scripted provider (text of its script): port, url. p:seen() is what happened to it: { requests, connections, left, unsent, last = {
-- { method, path, connection, headers, body, json } … } } (core/gateway/provider.h).
function e2e.provider(script, options)
  options = options or {}
  local path = e2e.write(e2e.folder() .. "/provider.lua", script)
  local p = setmetatable({}, Provider)
  p.process = e2e.start({ e2e.lunette, "provider", path, "--listen", "127.0.0.1:" .. (options.port or 0) })
  p.port = tonumber(p.process:expect "listening on http://127%.0%.0%.1:(%d+)")
  p.url = "http://127.0.0.1:" .. p.port .. "/v1"
  return p
end

function Provider:seen()
  local seen = e2e.request(self.port, { path = "/__provider" }).json
  for _, request in ipairs(seen.last) do
    local good, json = pcall(cjson.decode, request.body)
    request.json = good and json or nil
  end
  return seen
end

function Provider:count() return self:seen().requests end
function Provider:stop() self.process:stop() end

local function start_gateway(g, env)
  g.env = env
  g.process = e2e.start({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                          "--workers", tostring(g.workers), g.watched and "--core-dumps" }, env)
  local port, admin = g.process:expect "listening on https?://127%.0%.0%.1:(%d+), metrics on https?://127%.0%.0%.1:(%d+)"
  g.port, g.admin = tonumber(port), tonumber(admin)
end

-- A gateway. options: config (text of gateway.lua), files = { ["policy.lua"] = text }, env, workers, watched (the
-- test looks at it in /proc). listen and admin are chosen by the
-- system whatever the file says. g.port, g.admin, g.folder, g.process.
function e2e.gateway(options)
  local g = setmetatable({ folder = e2e.folder(), lines = {}, log_read = 0 }, Gateway)
  e2e.write(g.folder .. "/gateway.lua", options.config)
  for name, text in pairs(options.files or {}) do
    local sub = name:match "^(.*)/"
    if sub then os.execute("mkdir -p '" .. g.folder .. "/" .. sub .. "'") end
    e2e.write(g.folder .. "/" .. name, text)
  end
  local env = { LUNETTE_LOG_REQUESTS = g.folder .. "/requests.jsonl" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  g.workers, g.watched = options.workers or 1, options.watched
  start_gateway(g, env)
  return g
end

function Gateway:request(options) return e2e.request(self.port, options) end
function Gateway:connect() return e2e.connect(self.port) end

-- A question for /v1/chat/completions: { model =, text = | messages =, stream =, headers =, body = { more fields } }.
local function chat(options)
  local body = { model = options.model or "m", messages = options.messages or { { role = "user", content = options.text or "hello" } } }
  for name, value in pairs(options.body or {}) do body[name] = value end
  if options.stream then body.stream = true end
  return { path = "/v1/chat/completions", headers = options.headers, body = body, version = options.version }
end

function Gateway:chat(options) return self:open(options):rest() end
function Gateway:open(options) return wire.open(self.port, chat(options)) end       -- does not wait for the answer

function Gateway:metrics() return e2e.request(self.admin, { path = "/metrics" }).body end

function Gateway:rss() return tonumber(e2e.read("/proc/" .. self.process.pid .. "/status"):match "VmRSS:%s+(%d+)") end      -- KiB

-- The value of one series, as it stands in /metrics ("lunette_attempts_total{target=\"a/m\",kind=\"ok\"}"); 0 when it is not there.
function Gateway:metric(series)
  for line in self:metrics():gmatch "[^\n]+" do
    if line:sub(1, #series + 1) == series .. " " then return tonumber(line:sub(#series + 2)) end
  end
  return 0
end

-- Reads what has been added to the request log: self.lines, and by id. SIGUSR1 (open it anew) has it written at once, what would wait a
-- little for company.
local function read_log(g)
  if not g.process.ended then g.process:signal(signal.SIGUSR1) end
  local f = io.open(g.folder .. "/requests.jsonl", "r")
  if not f then return end
  if f:seek "end" < g.log_read then g.log_read = 0 end          -- another file
  f:seek("set", g.log_read)
  for line in f:read("*a"):gmatch "([^\n]*)\n" do
    g.log_read = g.log_read + #line + 1
    local json = cjson.decode(line)
    g.lines[#g.lines + 1], g.lines[json.id] = json, json
  end
  f:close()
end

-- The request log, decoded, once it holds n lines.
function Gateway:log(n)
  return e2e.eventually("the request log has " .. (n or 1) .. " lines", function()
    read_log(self)
    return #self.lines >= (n or 1) and self.lines
  end)
end

-- Its line about one answer (or about an id).
function Gateway:line(answer)
  local id = type(answer) == "string" and answer or answer.headers["x-lunette-request-id"]
  if not id then error("the answer has no x-lunette-request-id", 2) end
  return e2e.eventually("request " .. id .. " is in the log", function()
    if not self.lines[id] then read_log(self) end
    return self.lines[id]
  end)
end

-- The admin interface: GET path, or POST with a body (a table, or text); the answer, decoded in .json.
function Gateway:look(path) return e2e.request(self.admin, { path = "/admin/" .. path }).json end
function Gateway:tell(path, body, headers)
  return e2e.request(self.admin, { method = "POST", path = "/admin/" .. path, body = body, headers = headers })
end

-- A file of its folder anew (written beside and renamed, as editors do), without waiting for what comes of it.
function Gateway:replace(name, text)
  e2e.write(self.folder .. "/" .. name .. ".new", text)
  assert(os.rename(self.folder .. "/" .. name .. ".new", self.folder .. "/" .. name))
end

-- The same, taken over: gives the answer to the reload.
function Gateway:reload(files)
  for name, text in pairs(files or {}) do self:replace(name, text) end
  return self:tell "reload"
end

-- A second process on the same folder; the first runs on.
function Gateway:twin(env)
  local twin = setmetatable({ folder = self.folder, lines = {}, log_read = 0, workers = self.workers }, Gateway)
  start_gateway(twin, env or self.env)
  return twin
end

-- Ends it (SIGKILL, unless said otherwise) and starts it again on the same folder.
function Gateway:restart(number, env)
  self.process:stop(number or signal.SIGKILL)
  start_gateway(self, env or self.env)
end

function Gateway:stop() return self.process:stop(signal.SIGTERM) end

e2e.SIGTERM, e2e.SIGINT, e2e.SIGKILL, e2e.SIGUSR1, e2e.SIGHUP = signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR1, signal.SIGHUP
e2e.SIGABRT, e2e.SIGSTOP, e2e.SIGCONT = signal.SIGABRT, signal.SIGSTOP, signal.SIGCONT
return e2e
