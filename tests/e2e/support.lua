-- What end-to-end specs share: real processes on ports that the system chooses, and a client that shows every byte.
--
--   local e2e = require "support"
--   local p = e2e.provider [[return function(request, n) return { text = "hi" } end]]
--   local g = e2e.gateway { config = [[return { providers = { a = { base_url = env "A" } }, … }]], env = { A = p.url } }
--   local answer = g:chat { model = "m", text = "hello" }
--
-- Everything started is ended, by its id, by e2e.stop() (call it in after_each or teardown). Nothing here sleeps: it waits for a line, a
-- connection, an end; each wait has a limit after which the test fails.
local cjson = require "cjson"
local socket = require "socket"
local posix = { fork = require("posix.unistd").fork, exec = require("posix.unistd").execp, pipe = require("posix.unistd").pipe,
                dup2 = require("posix.unistd").dup2, close = require("posix.unistd").close, read = require("posix.unistd").read,
                _exit = require("posix.unistd")._exit, kill = require("posix.signal").kill, wait = require("posix.sys.wait").wait,
                setenv = require("posix.stdlib").setenv, mkdtemp = require("posix.stdlib").mkdtemp, poll = require("posix.poll").rpoll,
                SIGTERM = require("posix.signal").SIGTERM, SIGKILL = require("posix.signal").SIGKILL, open = require("posix.fcntl").open,
                O_WRONLY = require("posix.fcntl").O_WRONLY, O_CREAT = require("posix.fcntl").O_CREAT, O_APPEND = require("posix.fcntl").O_APPEND }

local e2e = { lunette = os.getenv "LUNETTE" or "build/lunette", json = cjson, socket = socket, limit = 10 }
local running, folders = {}, {}

---- files ----

-- A folder of its own, removed by stop().
function e2e.folder()
  local path = assert(posix.mkdtemp "/tmp/lunette-e2e-XXXXXX")
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

-- Starts a program: { "name", "arg", … }, with env added. Its output is read line by line; its errors go to a file.
function e2e.start(command, env)
  local folder = e2e.folder()
  local reading, writing = posix.pipe()
  local pid = assert(posix.fork())
  if pid == 0 then
    posix.dup2(writing, 1)
    local errors = posix.open(folder .. "/stderr", posix.O_WRONLY + posix.O_CREAT + posix.O_APPEND, 384)
    posix.dup2(errors, 2)
    for fd = 3, 255 do posix.close(fd) end
    for name, value in pairs(env or {}) do posix.setenv(name, value) end
    local program = table.remove(command, 1)
    posix.exec(program, command)
    posix._exit(127)
  end
  posix.close(writing)
  local process = setmetatable({ pid = pid, fd = reading, buffer = "", errors = folder .. "/stderr", lines = {} }, Process)
  running[#running + 1] = process
  return process
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
    if left <= 0 or posix.poll(self.fd, math.ceil(left * 1000)) ~= 1 then
      error("no line came from process " .. self.pid .. ". It said: " .. self:stderr(), 2)
    end
    local bytes = posix.read(self.fd, 65536)
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
function Process:signal(number) posix.kill(self.pid, number) end

-- Waits for its end; gives the exit status (or -signal).
function Process:wait()
  if self.ended then return self.status end
  local _, how, status = posix.wait(self.pid)
  self.ended, self.status = true, how == "exited" and status or -status
  posix.close(self.fd)
  return self.status
end

-- Ends it now.
function Process:stop(signal)
  if self.ended then return self.status end
  posix.kill(self.pid, signal or posix.SIGKILL)
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

function e2e.stop()
  for i = #running, 1, -1 do running[i]:stop() end
  running = {}
  for _, path in ipairs(folders) do os.execute("rm -rf '" .. path .. "'") end
  folders = {}
end

---- HTTP, every byte of it ----

-- A connection to a port on 127.0.0.1.
function e2e.connect(port)
  local c = assert(socket.tcp())
  c:settimeout(e2e.limit)
  assert(c:connect("127.0.0.1", port))
  c:setoption("tcp-nodelay", true)
  return c
end

-- Resets instead of closing.
function e2e.reset(c)
  c:setoption("linger", { on = true, timeout = 0 })
  c:close()
end

local function read_line(c)
  local line, why = c:receive "*l"
  return line, why
end

local function read_head(c)
  local line, why = read_line(c)
  if not line then return nil, why end
  local answer = { status = tonumber(line:match "^HTTP/1%.1 (%d+)"), headers = {}, list = {}, events = {}, chunks = {}, body = "" }
  while true do
    line, why = read_line(c)
    if not line then return nil, why end
    if line == "" then return answer end
    local name, value = line:match "^(.-):%s*(.-)%s*$"
    answer.headers[name:lower()] = value
    answer.list[#answer.list + 1] = { name, value }
  end
end

-- One chunk; "" for the last; nil and why when the connection ended instead.
local function read_chunk(c, answer)
  local size, why = read_line(c)
  if not size then return nil, why end
  local n = tonumber(size, 16)
  if n == 0 then
    while true do
      local line = read_line(c)
      if not line or line == "" then break end
      local name, value = line:match "^(.-):%s*(.-)$"
      answer.trailers = answer.trailers or {}
      if name then answer.trailers[name:lower()] = value end
    end
    return ""
  end
  local bytes, failed, partial = c:receive(n)
  if not bytes then
    answer.body = answer.body .. (partial or "")
    return nil, failed
  end
  read_line(c)
  return bytes
end

-- Reads one whole answer. answer.clean: it ended as its framing says. on_chunk(bytes, answer), for streams: true stops the reading.
function e2e.receive(c, options)
  options = options or {}
  local answer, why
  repeat
    answer, why = read_head(c)
    if not answer then return nil, why end
  until answer.status ~= 100 or options.interim
  if options.head_only or answer.status == 100 then
    answer.clean = true
  elseif answer.headers["transfer-encoding"] == "chunked" then
    while true do
      local bytes, failed = read_chunk(c, answer)
      if not bytes then answer.why = failed break end
      if bytes == "" then answer.clean = true break end
      answer.body = answer.body .. bytes
      answer.chunks[#answer.chunks + 1] = { at = socket.gettime(), bytes = bytes }
      if options.on_chunk and options.on_chunk(bytes, answer) then return answer end
    end
  elseif answer.headers["content-length"] then
    local n = tonumber(answer.headers["content-length"])
    local bytes, failed, partial = c:receive(n)
    answer.body, answer.clean, answer.why = bytes or partial or "", bytes ~= nil or n == 0, failed
    if n == 0 then answer.body = "" end
  else
    local bytes, failed, partial = c:receive "*a"
    answer.body, answer.clean, answer.why = bytes or partial, bytes ~= nil, failed
  end
  for event in (answer.body .. (answer.clean and "" or "\n\n")):gmatch "(.-)\n\n" do
    local data = event:match "data: (.*)$"
    if data then answer.events[#answer.events + 1] = data ~= "[DONE]" and select(2, pcall(cjson.decode, data)) or data end
  end
  local good, json = pcall(cjson.decode, answer.body)
  answer.json = good and type(json) == "table" and json or nil
  answer.error = answer.json and answer.json.error
  answer.code = type(answer.error) == "table" and answer.error.code or nil
  return answer
end

-- The bytes of a request. options: method, path, headers (a list of { name, value } or a table), body (a table becomes JSON).
function e2e.bytes(options)
  local body = type(options.body) == "table" and cjson.encode(options.body) or options.body
  local out = { (options.method or (body and "POST" or "GET")) .. " " .. (options.path or "/") .. " HTTP/1.1\r\nhost: 127.0.0.1\r\n" }
  local typed = false
  for name, value in pairs(options.headers or {}) do
    if type(name) == "number" then name, value = value[1], value[2] end
    typed = typed or name:lower() == "content-type"
    out[#out + 1] = name .. ": " .. value .. "\r\n"
  end
  if body and not typed then out[#out + 1] = "content-type: application/json\r\n" end
  if body then out[#out + 1] = "content-length: " .. #body .. "\r\n" end
  return table.concat(out) .. "\r\n" .. (body or "")
end

-- One request on a connection of its own.
function e2e.request(port, options)
  local c = e2e.connect(port)
  assert(c:send(e2e.bytes(options)))
  local answer, why = e2e.receive(c, { on_chunk = options.on_chunk, head_only = options.method == "HEAD" })
  c:close()
  return answer or { status = 0, why = why, headers = {}, events = {}, body = "" }
end

---- the two programs ----

local Provider, Gateway = {}, {}
Provider.__index, Gateway.__index = Provider, Gateway

-- A scripted provider (text of its script): port, url; p:seen() is what it got: { requests = n, last = { { method, path, headers, body } … } }.
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

-- A gateway. options: config (text of gateway.lua), files = { ["policy.lua"] = text }, env, arguments. listen and admin are chosen by the system
-- whatever the file says. g.port, g.admin, g.folder, g.process.
function e2e.gateway(options)
  local g = setmetatable({ folder = e2e.folder() }, Gateway)
  e2e.write(g.folder .. "/gateway.lua", options.config)
  for name, text in pairs(options.files or {}) do
    local sub = name:match "^(.*)/"
    if sub then os.execute("mkdir -p '" .. g.folder .. "/" .. sub .. "'") end
    e2e.write(g.folder .. "/" .. name, text)
  end
  local env = { LUNETTE_LOG_REQUESTS = g.folder .. "/requests.jsonl" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local command = { e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                    "--workers", tostring(options.workers or 1) }
  g.process = e2e.start(command, env)
  local port, admin = g.process:expect "listening on http://127%.0%.0%.1:(%d+), metrics on http://127%.0%.0%.1:(%d+)"
  g.port, g.admin = tonumber(port), tonumber(admin)
  return g
end

function Gateway:request(options) return e2e.request(self.port, options) end
function Gateway:connect() return e2e.connect(self.port) end

-- POST /v1/chat/completions: { model =, text = | messages =, stream =, headers =, …more fields of the body }.
function Gateway:chat(options)
  local body = { model = options.model or "m", messages = options.messages or { { role = "user", content = options.text or "hello" } } }
  for name, value in pairs(options.body or {}) do body[name] = value end
  if options.stream then body.stream = true end
  return self:request { path = "/v1/chat/completions", headers = options.headers, body = body, on_chunk = options.on_chunk }
end

function Gateway:metrics() return e2e.request(self.admin, { path = "/metrics" }).body end

-- The value of one series, as it stands in /metrics ("lunette_attempts_total{target=\"a/m\",kind=\"ok\"}"); 0 when it is not there.
function Gateway:metric(series)
  for line in self:metrics():gmatch "[^\n]+" do
    if line:sub(1, #series + 1) == series .. " " then return tonumber(line:sub(#series + 2)) end
  end
  return 0
end

-- The request log, decoded, once it holds n lines.
function Gateway:log(n)
  local due = socket.gettime() + e2e.limit
  while true do
    local lines = {}
    for line in e2e.read(self.folder .. "/requests.jsonl"):gmatch "[^\n]+" do lines[#lines + 1] = cjson.decode(line) end
    if #lines >= (n or 1) then return lines end
    if socket.gettime() > due then error("the log has " .. #lines .. " lines, not " .. (n or 1), 2) end
    socket.select(nil, nil, 0.01)       -- the writer's thread has a clock of its own (100 ms)
  end
end

function Gateway:stop() return self.process:stop(posix.SIGTERM) end

e2e.SIGTERM, e2e.SIGKILL = posix.SIGTERM, posix.SIGKILL
return e2e
