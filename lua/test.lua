-- `require "lunette.test"` in a spec that `lunette test` runs: gateways without sockets, on a clock that moves only when it is told to. The
-- policy runs in the sandbox it runs in live; providers are functions of the spec. tests/policy/README.md tells it from the beginning.
--
--   local t = require "lunette.test"
--   local g = t.gateway { policy = "policy.lua", targets = { "a", "b" }, providers = { a = 429, b = "hello" } }
--   local answer = g:ask "hi"           -- answer.status, .target, .text, .attempts …
--   t.advance(30)
local native = ...
if type(native) ~= "table" or not native.open then
  error('require "lunette.test" works in specs that `lunette test` runs, nowhere else', 0)
end
local json = native.part "test/json" (native)
local play = native.part "test/play" (native, json)
local open = native.part "test/config" (native, play)
local answer_of = native.part "test/answer" (json)
local t = { encode = json.encode, decode = json.decode, array = json.array, null = json.null }

local function copy_of(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

---- requests in flight ----

local request_class = {}
request_class.__index = request_class

-- "file:line: " of the spec that called us.
local function where()
  for level = 3, 20 do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if not info.source:find "^@lua/test" and info.currentline > 0 then return info.short_src .. ":" .. info.currentline .. ": " end
  end
  return ""
end

local function fail(text) error(where() .. text, 0) end

-- A function of the spec that failed while it was asked: that is the spec's failure.
local function blame(gateway)
  local why = gateway.blamed
  gateway.blamed = nil
  if type(why) == "table" and why.missing then fail(why.missing) end
  if why then error(why, 0) end
end

function request_class:done()
  return self.gateway.simulation:look(self.handle).ended
end

-- As far as it has come.
function request_class:so_far() return answer_of(self.gateway, self.handle) end

function request_class:answer()
  local good = self.gateway.simulation:await(self.handle)
  blame(self.gateway)
  if not good then fail "the request does not end" end
  return answer_of(self.gateway, self.handle)
end

function request_class:leave()
  self.gateway.simulation:leave(self.handle)
  blame(self.gateway)
  return answer_of(self.gateway, self.handle)
end

function request_class:pause()
  self.gateway.simulation:pause(self.handle, true)
  blame(self.gateway)
end

function request_class:resume()
  self.gateway.simulation:pause(self.handle, false)
  blame(self.gateway)
end

-- Frees what it saw; its answer can be read no more.
function request_class:release()
  if not self.gateway.simulation:release(self.handle) then fail "the request has not ended" end
  self.handle = nil
end

---- asking ----

local ask_fields = {}
for name in ("at body client endpoint headers input key max_tokens messages model prompt session stream system tags task text tools user")
  :gmatch "%S+" do
  ask_fields[name] = true
end

local function endpoint_of(what)
  return what.endpoint or (what.input and "embeddings") or (what.prompt and "completions") or "chat"
end

-- Fields of `what` that are not words of ours go into the body as they are.
local function body_of(what, model)
  if type(what.body) == "string" then return what.body end
  local body = copy_of(what.body or {})
  for name, value in pairs(what) do
    if not ask_fields[name] then body[name] = value end
  end
  for name in ("input max_tokens prompt stream user tools"):gmatch "%S+" do
    if what[name] ~= nil then body[name] = what[name] end
  end
  if body.model == nil then body.model = what.model or model end
  if endpoint_of(what) == "chat" and body.messages == nil then
    body.messages = what.messages or { { role = "user", content = what.text or "hi" } }
    if what.system and not what.messages then table.insert(body.messages, 1, { role = "system", content = what.system }) end
  end
  return json.encode(body)
end

local function headers_of(what)
  local given, list = {}, {}
  for name, value in pairs(what.headers or {}) do given[name:lower()] = tostring(value) end
  if what.task then given["x-lunette-task"] = what.task end
  if what.session then given["x-session-id"] = what.session end
  if what.tags then
    local tags = {}
    for name, value in pairs(what.tags) do tags[#tags + 1] = name .. "=" .. value end
    table.sort(tags)
    given["x-lunette-tags"] = table.concat(tags, ", ")
  end
  local names = {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do list[#list + 1], list[#list + 2] = name, given[name] end
  return list
end

local gateway_class = {}
gateway_class.__index = gateway_class

function gateway_class:start(what)
  if type(what) == "string" then what = { text = what } end
  what = what or {}
  if type(what) ~= "table" then error("g:start{…}: expected a table or a text, not a " .. type(what), 2) end
  if what.at then
    if what.at < self:now() then error("g:start{ at = " .. what.at .. " }: it is " .. self:now() .. " already", 2) end
    self:advance(what.at - self:now())
  end
  local key = what.key or what.client and (self.keys[what.client] or error("there is no client " .. tostring(what.client), 2)) or self.key
  local handle = self.simulation:ask(endpoint_of(what), key, body_of(what, self.model), headers_of(what))
  blame(self)
  return setmetatable({ gateway = self, handle = handle }, request_class)
end

function gateway_class:ask(what) return self:start(what):answer() end

---- time ----

function gateway_class:now() return self.simulation:now() end
function gateway_class:wall() return self.simulation:wall() end
function gateway_class:advance(by)
  if type(by) ~= "number" or by < 0 or by ~= by then error("advance(seconds): expected a number, 0 or more", 2) end
  local good = self.simulation:advance(by)
  blame(self)
  if not good then fail "the clock does not move: something happens again and again at one moment" end
end

local latest
local function current() return latest or error("there is no gateway yet: t.gateway{…} makes one, and with it a clock", 3) end
function t.advance(by) return current():advance(by) end
function t.now() return current():now() end

---- looking ----

-- The log line of a request, decoded; nil: not yet.
function gateway_class:record(id)
  for i = #self.decoded + 1, #self.lines do
    local record = assert(json.decode(self.lines[i]))
    self.decoded[i] = record
    self.by_id[record.id or ""] = record
  end
  return self.by_id[id]
end

function gateway_class:log()
  self:record ""
  return self.decoded
end

-- The log lines since the last time, which are then forgotten.
function gateway_class:take_log()
  local taken = self:log()
  self.decoded, self.by_id = {}, {}
  for i = #self.lines, 1, -1 do self.lines[i] = nil end
  return taken
end

function gateway_class:target(name)
  for _, target in ipairs((self.simulation:targets())) do
    if target.name == name then return target end
  end
  error("there is no target " .. tostring(name), 2)
end

function gateway_class:version() return (select(2, self.simulation:targets())) end

function gateway_class:provider(name)
  if not self.simulation:has_provider(name) then error("there is no provider " .. tostring(name), 2) end
  self.played[name] = self.played[name] or { requests = 0, calls = {}, probes = 0 }
  return self.played[name]
end

-- What there is to see of a canary; with a verb (`start pause resume promote rollback`) that is done: true, or nil and why it cannot be.
function gateway_class:canary(name, verb, why)
  if not verb then return self.simulation:canary(name) end
  return self.simulation:canary_do(name, verb, why)
end

-- "lunette_attempts_total", { target = "a" }: the sum over all series that have these labels; histograms: how many.
function gateway_class:metric(name, labels)
  local sum = 0
  for line in self.simulation:metrics():gmatch "[^\n]+" do
    local series, value = line:match "^(.-) ([^ ]+)$"
    local own = series and line:sub(1, 1) ~= "#" and series:match "^[^{]+"
    local fits = own == name or own == name .. "_count"
    for label, wanted in pairs(labels or {}) do
      fits = fits and series:find(label .. '="' .. wanted .. '"', 1, true) ~= nil
    end
    if fits then sum = sum + tonumber(value) end
  end
  return sum
end

local store_class = {}
store_class.__index = store_class
function store_class:get(key)
  local value, is_json = self.simulation:store_get(key)
  if is_json then return json.decode(value) end
  return value
end
function store_class:set(key, value, ttl)
  if type(value) == "table" then return self.simulation:store_set(key, json.encode(value), ttl, true) end
  return self.simulation:store_set(key, value, ttl)
end

---- making one ----

local beside_config = {}        -- what can be said beside `config`
for name in ("config environment host model providers seed settings wall web"):gmatch "%S+" do beside_config[name] = true end

local function check(spec)
  if type(spec) ~= "table" then error("t.gateway{…}: expected a table, not a " .. type(spec), 3) end
  for name in pairs(spec) do
    if spec.config and not beside_config[name] then error("t.gateway{ config = … }: `" .. tostring(name) .. "` is the file's affair", 3) end
  end
  for name, what in pairs(spec.host or {}) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or type(what) ~= "function" then
      error("t.gateway: host: expected functions by name, as in { classify = function(text) … end }", 3)
    end
  end
  for name, what in pairs(spec.providers or {}) do
    local wrong = play.wrong_field(what)
    if wrong then
      local hint = "settings of the provider stand beside `answer = …`"
      error(("t.gateway: providers.%s: an answer has no field `%s` (%s)"):format(name, wrong, hint), 3)
    end
  end
end

local function new_gateway(spec)
  local gateway = setmetatable({ lines = {}, messages = {}, decoded = {}, by_id = {}, played = {}, fetched = {}, keys = {} }, gateway_class)
  gateway.model = spec.model or (spec.models or spec.config) and "auto" or "m"
  for _, client in ipairs(spec.clients or {}) do
    gateway.keys[client.name] = client.key or client.name
    gateway.key = gateway.key or gateway.keys[client.name]
  end
  return gateway
end

function t.gateway(spec)
  check(spec)
  local gateway, scripts = new_gateway(spec), copy_of(spec.providers or {})
  local options = { seed = spec.seed or 1, wall = spec.wall, lines = gateway.lines, messages = gateway.messages }
  options.settings = {}
  for name, value in pairs(spec.settings or {}) do
    options.settings[#options.settings + 1] = name
    options.settings[#options.settings + 1] = tostring(value)
  end
  options.play = play.player(gateway, scripts)
  options.host = spec.host
  if spec.web then options.fetch = play.fetcher(gateway, spec.web) end
  local simulation, why = open(spec, options, scripts)
  if not simulation then error("t.gateway: the configuration is not right\n" .. why, 2) end
  gateway.simulation = simulation
  gateway.store = setmetatable({ simulation = simulation }, store_class)
  latest = gateway
  return gateway
end

return t
