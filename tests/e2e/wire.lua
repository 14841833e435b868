-- HTTP/1.1 with every byte in sight: a client that reads piece by piece, and a provider that the test itself plays. support.lua
-- passes all of it on.
local cjson = require "cjson"
local socket = require "socket"
local sys = require "posix.sys.socket"

local wire = { limit = 30 }             -- seconds, of any wait: what is right is there long before, on a busy machine too
local held = {}                 -- what close_all() closes

local function hold(c)
  held[#held + 1] = c
  return c
end

function wire.close_all()
  for _, c in ipairs(held) do c:close() end
  held = {}
end

-- Bytes that the kernel takes for us before it holds the other side up.
function wire.window(c, bytes) assert(sys.setsockopt(c:getfd(), sys.SOL_SOCKET, sys.SO_RCVBUF, bytes)) end

-- A connection to a port on 127.0.0.1. window: see above.
function wire.connect(port, window)
  local c = hold(assert(socket.tcp4()))
  c:settimeout(wire.limit)
  if window then wire.window(c, window) end
  assert(c:connect("127.0.0.1", port))
  c:setoption("tcp-nodelay", true)
  return c
end

-- The base URL of a port whose queue is full: the kernel drops what knocks.
function wire.deaf()
  local s = hold(socket.tcp4())
  s:bind("127.0.0.1", 0)
  s:listen(0)
  local _, port = s:getsockname()
  for _ = 1, 3 do
    local c = hold(socket.tcp4())
    c:settimeout(0)
    c:connect("127.0.0.1", port)
  end
  return "http://127.0.0.1:" .. port .. "/v1"
end

-- Resets instead of closing.
function wire.reset(c)
  c:setoption("linger", { on = true, timeout = 0 })
  c:close()
end

-- The bytes of a request. options: method, path, headers (a list of { name, value } or a table), body (a table becomes JSON), version.
function wire.bytes(options)
  local body = type(options.body) == "table" and cjson.encode(options.body) or options.body
  local out = { (options.method or (body and "POST" or "GET")) .. " " .. (options.path or "/") .. " HTTP/" .. (options.version or "1.1")
                .. "\r\nhost: 127.0.0.1\r\n" }
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

---- answers ----

local function read_fields(c, answer)
  while true do
    local line, why = c:receive "*l"
    if not line then return nil, why end
    if line == "" then return answer end
    local name, value = line:match "^(.-):%s*(.-)%s*$"
    answer.headers[name:lower()] = value
    answer.list[#answer.list + 1] = { name, value }
  end
end

local function read_head(c)
  local line, why = c:receive "*l"
  if not line then return nil, why end
  local version, status = line:match "^HTTP/(1%.[01]) (%d+)"
  return read_fields(c, { version = version, status = tonumber(status), headers = {}, list = {}, events = {}, chunks = {}, body = "" })
end

local function read_trailers(c, answer)
  local fields = read_fields(c, { headers = {}, list = {} })
  if fields and fields.list[1] then answer.trailers = fields.headers end
end

-- One chunk; "" for the last; nil and why when the connection ended instead.
local function read_chunk(c, answer)
  local size, why = c:receive "*l"
  if not size then return nil, why end
  local n = tonumber(size, 16)
  if n == 0 then
    read_trailers(c, answer)
    answer.clean = true
    return ""
  end
  local bytes, failed, partial = c:receive(n)
  answer.chunks[#answer.chunks + 1] = bytes or partial
  if not bytes then return nil, failed end
  c:receive "*l"
  return bytes
end

local function read_body(c, answer)
  if answer.headers["transfer-encoding"] == "chunked" then
    local bytes
    repeat bytes, answer.why = read_chunk(c, answer) until not bytes or bytes == ""
    answer.body = table.concat(answer.chunks)
    return
  end
  local n = tonumber(answer.headers["content-length"])
  if n == 0 then answer.clean = true return end
  local bytes, failed, partial = c:receive(n or "*a")
  answer.body, answer.clean, answer.why = bytes or partial or "", bytes ~= nil, failed
end

-- What an event's lines say: its data, decoded where it is JSON.
local function data_of(event)
  local data = {}
  for line in event:gmatch "[^\n]+" do data[#data + 1] = line:match "^data: ?(.*)$" end
  if not data[1] then return nil end
  data = table.concat(data, "\n")
  local good, json = pcall(cjson.decode, data)
  return good and json or data
end

local function read_events(answer)
  local text, at = answer.body:find("\r", 1, true) and answer.body:gsub("\r\n?", "\n") or answer.body, 1
  while at <= #text do
    local last, behind = text:find("\n\n", at, true)
    answer.events[#answer.events + 1] = data_of(text:sub(at, (last or #text + 1) - 1))
    at = (behind or #text) + 1
  end
end

-- What an answer says, once its body is there: events, json, error, code, text (of a chat).
local function understand(answer)
  if (answer.headers["content-type"] or ""):find "^text/event" then read_events(answer) end
  local good, json = pcall(cjson.decode, answer.body)
  answer.json = good and type(json) == "table" and json or nil
  local last = answer.events[#answer.events]
  answer.error = (answer.json or type(last) == "table" and last or {}).error
  answer.code = type(answer.error) == "table" and answer.error.code or nil
  local choice = answer.json and type(answer.json.choices) == "table" and answer.json.choices[1]
  answer.text = choice and choice.message and choice.message.content
  if answer.events[1] then
    local parts = {}
    for _, e in ipairs(answer.events) do
      local part = type(e) == "table" and type(e.choices) == "table" and e.choices[1]
      local content = part and part.delta and part.delta.content
      if type(content) == "string" then parts[#parts + 1] = content end
    end
    answer.text = table.concat(parts)
  end
  return answer
end

-- Reads one whole answer. answer.clean: it ended as its framing says. options: head_only (to HEAD), interim (a 100 is an answer too).
function wire.receive(c, options)
  options = options or {}
  local answer, why
  repeat
    answer, why = read_head(c)
    if not answer then return nil, why end
  until answer.status ~= 100 or options.interim
  if options.head_only or answer.status == 100 then answer.clean = true else read_body(c, answer) end
  return understand(answer)
end

-- Reads answers until the connection ends: a list, and why it ended ("closed"; "timeout" when it did not).
function wire.receive_all(c)
  local list = {}
  while true do
    local answer, why = wire.receive(c)
    if not answer then return list, why end
    list[#list + 1] = answer
  end
end

---- a request and its answer, piece by piece ----

local Visit = {}
Visit.__index = Visit

-- Sends a request on a connection of its own (options as for wire.bytes, and window as for wire.connect); does not wait.
function wire.open(port, options)
  local visit = setmetatable({ c = wire.connect(port, options.window), head_only = options.method == "HEAD" }, Visit)
  assert(visit.c:send(wire.bytes(options)))
  return visit
end

function Visit:head()
  if not self.answer then self.answer = assert(read_head(self.c)) end
  return self.answer
end

-- The next chunk; "" for the last; nil and why when the connection ended instead.
function Visit:chunk() return read_chunk(self.c, self:head()) end

-- Reads on until the body holds these words; gives what there is of it.
function Visit:expect(words)
  while true do
    local body = table.concat(self:head().chunks)
    if body:find(words, 1, true) then return body end
    local bytes, why = self:chunk()
    if not bytes or bytes == "" then error("the answer ended (" .. (why or "clean") .. ") without " .. words .. ": " .. body, 2) end
  end
end

-- All the rest: the whole answer, as of wire.receive. One that never began has status 0.
function Visit:rest()
  local why
  if not self.answer then self.answer, why = read_head(self.c) end
  if not self.answer then return { status = 0, why = why, headers = {}, events = {}, chunks = {}, body = "" } end
  if self.head_only then self.answer.clean = true
  elseif self.answer.clean then self.answer.body = table.concat(self.answer.chunks)
  else read_body(self.c, self.answer) end
  self.c:close()
  return understand(self.answer)
end

function Visit:leave() self.c:close() end
function Visit:reset() wire.reset(self.c) end

-- One request on a connection of its own, and its whole answer.
function wire.request(port, options) return wire.open(port, options):rest() end

---- a provider that the test plays ----

local Puppet, Call = {}, {}
Puppet.__index, Call.__index = Puppet, Call

-- Listens on 127.0.0.1: port, url. Nothing happens at it but what the test says.
function wire.puppet()
  local listener = hold(assert(socket.bind("127.0.0.1", 0)))
  local _, port = listener:getsockname()
  local url = "http://127.0.0.1:" .. port .. "/v1"
  return setmetatable({ listener = listener, port = port, url = url, open = {}, all = {}, connections = 0 }, Puppet)
end

local function read_request(puppet, c)
  local line = c:receive "*l"
  if not line then return nil end
  local method, path = line:match "^(%S+) (%S+) HTTP/1%.1"
  local call = read_fields(c, { c = c, puppet = puppet, method = method, path = path, headers = {}, list = {} })
  local length = tonumber(call.headers["content-length"]) or 0
  call.body = length > 0 and c:receive(length) or ""        -- receive(0) waits for a byte
  local good, json = pcall(cjson.decode, call.body)
  call.json = good and json or nil
  return setmetatable(call, Call)
end

-- Waits for the next request, on a new connection or on one whose call has finished. call: method path headers body json, connection
-- (a number, counted from 1).
function Puppet:accept()
  local due = socket.gettime() + wire.limit
  while true do
    local list = { self.listener }
    for c in pairs(self.open) do list[#list + 1] = c end
    local ready = socket.select(list, nil, math.max(0, due - socket.gettime()))
    if not ready[1] then error("no request came", 2) end
    local c = ready[1]
    if c == self.listener then
      c = hold(assert(c:accept()))
      c:settimeout(wire.limit)
      c:setoption("tcp-nodelay", true)
      self.connections = self.connections + 1
      self.open[c], self.all[c] = self.connections, true
    else
      local number = self.open[c]
      local call = read_request(self, c)
      self.open[c] = nil
      if call then
        call.connection = number
        return call
      end
      c:close()
    end
  end
end

-- Closes whatever is open, and forgets who knocked: for the next test.
function Puppet:clear()
  for c in pairs(self.all) do c:close() end
  self.all, self.open = {}, {}
  while not self:quiet() do self.listener:accept():close() end
end

-- No request has come and none is on its way in.
function Puppet:quiet()
  return #socket.select({ self.listener }, nil, 0) == 0
end

-- The head of an answer: a stream in chunks, unless headers say a content-length.
function Call:head(status, headers)
  local list, sized = {}, false
  for name, value in pairs(headers or {}) do
    list[#list + 1] = name .. ": " .. value .. "\r\n"
    sized = sized or name:lower() == "content-length"
  end
  if not sized then list[#list + 1] = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n" end
  self:send("HTTP/1.1 " .. (status or 200) .. " Because\r\n" .. table.concat(list) .. "\r\n")
end

function Call:send(bytes) return self.c:send(bytes) end
function Call:chunk(bytes) return self:send(("%x\r\n%s\r\n"):format(#bytes, bytes)) end

-- An event: a table or text as its data, and its type if any.
function Call:event(data, kind)
  data = type(data) == "table" and cjson.encode(data) or data
  return self:chunk((kind and "event: " .. kind .. "\n" or "") .. "data: " .. data .. "\n\n")
end

-- A piece of a chat's answer; with finish the last one.
function Call:piece(text, finish)
  return self:event { id = "c", object = "chat.completion.chunk", model = "up",
                      choices = { { index = 0, delta = { content = text }, finish_reason = finish or cjson.null } } }
end

-- A whole answer.
function Call:answer(status, body, headers)
  body = type(body) == "table" and cjson.encode(body) or body or ""
  headers = headers or {}
  headers["content-length"] = #body
  headers["content-type"] = headers["content-type"] or "application/json"
  self:head(status, headers)
  self:send(body)
  self.puppet.open[self.c] = self.connection
end

-- The last chunk; the connection waits for its next request.
function Call:finish()
  self:send "0\r\n\r\n"
  self.puppet.open[self.c] = self.connection
end

function Call:close() self.c:close() end
function Call:reset() wire.reset(self.c) end

-- Waits until the other side has closed.
function Call:gone()
  local bytes, why = self.c:receive(1)
  return not bytes and why ~= "timeout"
end

return wire
