-- `require "lunette.test"` in a spec that `lunette test` runs: gateways without sockets, on a clock that moves only when it is told to. The
-- policy runs in the sandbox it runs in live; providers are functions of the spec. tests/policy/README.md tells it from the beginning.
--
--   local t = require "lunette.test"
--   local g = t.gateway { policy = "policy.lua", targets = { "a", "b" }, providers = { a = 429, b = "hello" } }
--   local answer = g:ask "hi"           -- answer.status, .target, .text, .attempts …
--   t.advance(30)
local native = ...
if type(native) ~= "table" or not native.open then error('require "lunette.test" works in specs that `lunette test` runs, nowhere else', 0) end
local t = {}

---- JSON ----

local encode
local list_mark = {}
t.null = native.json_decode "[null]"[1]
function t.array(list) return setmetatable(list or {}, list_mark) end

local function number_text(value)
  local text = string.format("%.14g", value)
  return tonumber(text) == value and text or string.format("%.17g", value)
end

local function encode_list(list)
  local out = {}
  for i = 1, #list do out[i] = encode(list[i]) end
  return "[" .. table.concat(out, ",") .. "]"
end

local function encode_object(object)
  local names, out = {}, {}
  for name in pairs(object) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for i, name in ipairs(names) do out[i] = native.json_quote(name) .. ":" .. encode(object[name]) end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if value == nil or value == t.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return number_text(value) end
  if kind == "string" then return native.json_quote(value) end
  if kind ~= "table" then error("JSON has no form for a " .. kind, 0) end
  if value[1] ~= nil or getmetatable(value) == list_mark then return encode_list(value) end
  return encode_object(value)
end

t.encode, t.decode = encode, native.json_decode

local scenario = native.scenario { json = { encode = encode, decode = native.json_decode, array = t.array, null = t.null } }

---- what a provider answers ----

local answer_fields = {}
for name in ("status headers after text finish_reason usage model body events every keep cut cut_at stall fail"):gmatch "%S+" do answer_fields[name] = true end

-- Whether a table of `providers` says more about the provider than its answer.
local function is_settings(value)
  return type(value) == "table" and (value.answer ~= nil or value.keys ~= nil)
end

local function answer_in(value)
  if is_settings(value) then return value.answer or {} end
  return value
end

-- Every way to say what a provider does becomes a function(request, n).
local function script_of(what, name)
  local kind = type(what)
  if kind == "function" then return what end
  if kind == "string" then return function() return { text = what } end end
  if kind == "number" then return function() return { status = what, body = { error = { message = name .. " says " .. what } } } end end
  if kind ~= "table" then error("providers." .. name .. ": expected a text, a status, an answer, a list of them or a function(request, n), not a " .. kind, 0) end
  if what[1] == nil then return function() return what end end
  local list = {}
  for i = 1, #what do list[i] = script_of(what[i], name) end
  return function(request, n) return list[n < #list and n or #list](request, n) end
end

local function completed(answer, name)
  if type(answer) == "string" or type(answer) == "number" then answer = script_of(answer, name)() end
  if type(answer) == "table" and not answer.body and not answer.text and not answer.events and not answer.cut and not answer.fail then
    local copy = {}
    for field, value in pairs(answer) do copy[field] = value end
    local status = answer.status or 200
    if status < 300 then copy.text = "hello from " .. name
    else copy.body = { error = { message = name .. " says " .. status } } end
    return copy
  end
  return answer
end

---- configuration: a table of Lua, written down as gateway.lua ----

local function written(value, secrets)
  local kind = type(value)
  if kind == "string" then return string.format("%q", value):gsub("\\\n", "\\n") end
  if kind == "number" then
    if value == math.huge then return "math.huge" end
    return number_text(value)
  end
  if kind == "boolean" then return tostring(value) end
  if kind ~= "table" then error("a configuration cannot hold a " .. kind, 0) end
  if value.secret then
    secrets[value.secret] = true
    return "secret " .. string.format("%q", value.secret)
  end
  local out, names = {}, {}
  for i = 1, #value do out[i] = (written(value[i], secrets)) end
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name
    elseif type(name) ~= "number" or name < 1 or name > #value then error("a configuration's table cannot have " .. tostring(name) .. " as a name", 0) end
  end
  table.sort(names)
  for _, name in ipairs(names) do out[#out + 1] = "[" .. string.format("%q", name) .. "] = " .. (written(value[name], secrets)) end
  return "{ " .. table.concat(out, ", ") .. " }"
end

-- Fields of t.gateway{…} that are not settings of gateway.lua.
local ours = {}
for name in ("policy config providers models targets model seed web environment wall price clients"):gmatch "%S+" do ours[name] = true end

local default_price = { input = 1, output = 2 }

local function copy_of(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

local function target_of(what, model, times, price)
  if type(what) == "table" then
    if what.price == nil then
      what = copy_of(what)
      what.price = price
    end
    return what
  end
  local provider, upstream = what:match "^([^/]+)/(.+)$"
  if provider then return { provider = provider, model = upstream, price = price } end
  return { provider = what, model = model, name = times[what] == 1 and what or nil, price = price }
end

-- models = { m = { "a", "b/large", { provider = "c", … } } }; targets = { … } are those of one model, "m".
local function models_of(spec)
  local given, models, times, used = spec.models or { m = spec.targets or { "a" } }, {}, {}, {}
  local price = spec.price == nil and default_price or spec.price or nil
  for _, list in pairs(given) do
    for _, what in ipairs(list) do
      if type(what) == "string" then times[what] = (times[what] or 0) + 1 end
    end
  end
  for model, list in pairs(given) do
    models[model] = {}
    for i, what in ipairs(list) do
      models[model][i] = target_of(what, model, times, price)
      used[models[model][i].provider or ""] = true
    end
  end
  return models, used
end

-- `keys = 2`: so many made-up keys.
local function provider_config(name, what)
  local config = { dialect = "openai", base_url = "http://" .. name:gsub("[^%w-]", "-"):lower() .. ".spec.invalid/v1" }
  for field, value in pairs(is_settings(what) and what or {}) do
    if field ~= "answer" and field ~= "keys" then config[field] = value end
  end
  local keys = is_settings(what) and what.keys or 0
  if keys > 0 then config.key = {} end
  for i = 1, keys do config.key[i] = { secret = ("%s_KEY_%d"):format(name:gsub("%W", "_"):upper(), i) } end
  return config
end

local function clients_of(list)
  local out = {}
  for i, client in ipairs(list) do
    out[i] = copy_of(client)
    out[i].key, out[i].hash = nil, client.hash or native.hash(client.key or client.name)
  end
  return out
end

-- Providers that nothing is said of answer with a greeting.
local function config_of(spec, secrets, scripts)
  local config = {}
  for name, value in pairs(spec) do
    if not ours[name] then config[name] = value end
  end
  local models, used = models_of(spec)
  config.models, config.providers = models, {}
  for name in pairs(used) do
    config.providers[name] = provider_config(name, scripts[name])
    scripts[name] = scripts[name] or {}
  end
  for name, what in pairs(spec.providers or {}) do config.providers[name] = provider_config(name, what) end
  if spec.clients then config.clients = clients_of(spec.clients) end
  return "return " .. (written(config, secrets))
end

---- where files are ----

local function folder_of_spec()
  for level = 3, 20 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    local file = info.source:match "^@(.*)$"
    if file and file ~= "lua/test.lua" and not file:find("/busted/", 1, true) then return file:match "^(.*)/[^/]*$" or "." end
  end
  return "."
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

-- Beside the spec, else from where `lunette test` was started.
local function find_file(path, folder)
  if path:sub(1, 1) == "/" then return path end
  if exists(folder .. "/" .. path) then return folder .. "/" .. path end
  return path
end

local function is_text(policy) return policy:find("[\n{]") ~= nil or policy:find "^%s*return" ~= nil end

---- answers ----

local function parse_block(block, event)
  local data, comments = {}, {}
  for line in (block .. "\n"):gmatch "(.-)\r?\n" do
    if line:sub(1, 1) == ":" then comments[#comments + 1] = line:sub(2)
    elseif line:find "^data:" then data[#data + 1] = line:match "^data: ?(.*)$"
    elseif line:find "^event:" then event.type = line:match "^event: ?(.*)$" end
  end
  if #comments > 0 then event.comment = table.concat(comments, "\n") end
  if #data > 0 then
    event.data = table.concat(data, "\n")
    event.json = native.json_decode(event.data)
  end
  return event
end

-- An event is there when its blank line is; a comment line when it ends (it has no blank line behind it).
local function events_of(pieces, started)
  local events, rest = {}, ""
  for _, piece in ipairs(pieces) do
    local at = piece.at - started
    rest = rest .. piece.bytes
    while rest ~= "" do
      local comment, after_comment = rest:match "^(:[^\n]*)\n()"
      if comment then
        events[#events + 1] = { at = at, comment = comment:sub(2) }
        rest = rest:sub(after_comment):gsub("^\n", "")
      else
        local block, after = rest:match "^(.-)\r?\n\r?\n()"
        if not block then break end
        events[#events + 1] = parse_block(block, { at = at })
        rest = rest:sub(after)
      end
    end
  end
  return events, rest
end

local function text_of_choice(choice)
  if type(choice) ~= "table" then return nil end
  local said = choice.delta or choice.message
  if type(said) == "table" then return type(said.content) == "string" and said.content or nil end
  return choice.text
end

local function read_choices(answer, json)
  local choice = type(json) == "table" and type(json.choices) == "table" and json.choices[1]
  if not choice then return end
  local text = text_of_choice(choice)
  if text then answer.text = (answer.text or "") .. text end
  if type(choice.finish_reason) == "string" then answer.finish_reason = choice.finish_reason end
end

local function read_content(answer, seen)
  if (seen.headers["content-type"] or ""):find("event-stream", 1, true) then
    answer.events, answer.rest = events_of(seen.pieces, seen.started)
    for _, event in ipairs(answer.events) do
      read_choices(answer, event.json)
      if type(event.json) == "table" and event.json.error then answer.error = event.json.error end
      if event.data == "[DONE]" then answer.done = true end
    end
  else
    answer.json = native.json_decode(seen.body)
    read_choices(answer, answer.json)
    if type(answer.json) == "table" then answer.error = answer.json.error end
  end
end

local function seconds(ms) return ms and tonumber(("%.6f"):format(ms / 1000)) end

local function attempts_of(record)
  local out = {}
  for i, a in ipairs(record.attempts) do
    out[i] = { number = i, target = a.target, kind = a.kind, status = a.status, at = seconds(a.at_ms), took = seconds(a.ms), ttft = seconds(a.ttft_ms),
               key = (a.key or 0) + 1, hedge = a.hedge or false, billed = a.billed, detail = a.detail, cost = a.cost }
  end
  return out
end

-- What only the request's log line tells. It is there once `finish` is over, mostly at once.
local from_record = {
  target = function(r) return r.target end, labels = function(r) return r.labels or {} end, attempts = attempts_of,
  notes = function(r) return r.notes or {} end, cost = function(r) return r.cost end, usage = function(r) return r.tokens end,
  policy = function(r) return r.policy end, code = function(r) return r.code end, fallback = function(r) return r.fallback or false end,
  model = function(r, g) return r.target and g:target(r.target).model end,
  provider = function(r, g) return r.target and g:target(r.target).provider end,
}

local answer_class = {}
function answer_class.__index(answer, name)
  local gateway, id = rawget(answer, "gateway"), rawget(answer, "id")
  local record = gateway:record(id)
  if name == "record" then return record end
  return record and from_record[name] and from_record[name](record, gateway)
end

local function answer_of(gateway, handle)
  local seen = gateway.simulation:look(handle)
  local answer = setmetatable({ gateway = gateway, id = seen.id, status = seen.headed and seen.status or nil, headers = seen.headers, trailers = seen.trailers,
    body = seen.body, clean = seen.clean, left = seen.left, ended = seen.ended_at, started = seen.started }, answer_class)
  answer.latency = seen.ended and seconds((seen.ended_at - seen.started) * 1000) or nil
  for _, piece in ipairs(seen.pieces) do piece.at = piece.at end
  if seen.headed then answer.first_byte = seconds((seen.head_at - seen.started) * 1000) end
  read_content(answer, seen)
  for _, event in ipairs(answer.events or {}) do event.at = seconds(event.at * 1000) end
  return answer
end

---- requests in flight ----

local request_class = {}
request_class.__index = request_class

-- "file:line: " of the spec that called us.
local function where()
  for level = 3, 20 do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.source ~= "@lua/test.lua" and info.currentline > 0 then return info.short_src .. ":" .. info.currentline .. ": " end
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
  if not good then fail "the request does not end: nothing is left that could end it, or something happens again and again at one moment" end
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

---- asking ----

local ask_fields = {}
for name in ("at body client endpoint headers input key max_tokens messages model prompt stream system tags task text user session tools"):gmatch "%S+" do
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
  return encode(body)
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
  if type(by) ~= "number" or not (by >= 0) then error("advance(seconds): expected a number, 0 or more", 2) end
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
    local record = assert(native.json_decode(self.lines[i]))
    self.decoded[i] = record
    self.by_id[record.id or ""] = record
  end
  return self.by_id[id]
end

function gateway_class:log()
  self:record ""
  return self.decoded
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
  self.played[name] = self.played[name] or { requests = 0, calls = {} }
  return self.played[name]
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
  local value, json = self.simulation:store_get(key)
  if json then return native.json_decode(value) end
  return value
end
function store_class:set(key, value, ttl)
  if type(value) == "table" then return self.simulation:store_set(key, encode(value), ttl, true) end
  return self.simulation:store_set(key, value, ttl)
end

---- making one ----

local function player(gateway, scripts)
  local plays = {}
  for name, what in pairs(scripts) do
    local script = script_of(answer_in(what), name)
    plays[name] = scenario(function(request, n) return completed(script(request, n), name) end)
  end
  return function(name, request)
    local seen = gateway:provider(name)
    seen.requests = seen.requests + 1
    request.at = gateway:now()
    seen.calls[seen.requests] = request
    if not plays[name] then
      if gateway.simulation:has_script(name) then return nil end
      gateway.blamed = gateway.blamed or { missing = "the provider `" .. name .. "` was called, and the spec does not say what it answers (providers." .. name .. ")" }
      return nil
    end
    local good, scene = xpcall(function() return plays[name](request, seen.requests) end, function(why)
      gateway.blamed = gateway.blamed or why
    end)
    return good and scene or nil
  end
end

local function fetcher(gateway, web)
  return function(request)
    gateway.fetched[#gateway.fetched + 1] = request
    request.json = native.json_decode(request.body)
    local good, said = xpcall(function()
      local said = type(web) == "function" and web(request) or type(web) == "table" and web[request.url] or web
      if type(said) == "string" then said = { body = said } end
      if type(said) == "number" then said = { status = said } end
      if type(said) ~= "table" then error("web: expected { status =, body = }, a text or a status for " .. request.url .. ", got " .. type(said), 0) end
      said = copy_of(said)
      if type(said.body) == "table" then said.body = encode(said.body) end
      return said
    end, function(why) gateway.blamed = gateway.blamed or why end)
    return good and said or nil
  end
end

-- Secrets that the configuration cannot do without get a made-up value.
local function open(options, secrets)
  local invented = {}
  for name in pairs(secrets) do invented[name] = true end
  for _ = 1, 20 do
    local environment = {}
    for name, value in pairs(options.given or {}) do environment[#environment + 1] = name .. "=" .. value end
    for name in pairs(invented) do
      if not (options.given or {})[name] then environment[#environment + 1] = name .. "=spec-" .. name end
    end
    table.sort(environment)
    options.environment = environment
    local simulation, why = native.open(options)
    if simulation then return simulation end
    local more = false
    for name in why:gmatch "([%w_.-]+) is not set: set the environment variable" do
      more = more or not invented[name]
      invented[name] = true
    end
    if not more then return nil, why end
  end
end

-- Names of ours only a spec can have wrong; those of the configuration the loader tells.
local function check(spec)
  if type(spec) ~= "table" then error("t.gateway{…}: expected a table, not a " .. type(spec), 3) end
  if spec.config and (spec.models or spec.targets) then error("t.gateway{ config = … }: its models are those of the file", 3) end
  for name, what in pairs(spec.providers or {}) do
    if type(what) == "table" and not is_settings(what) and what[1] == nil then
      for field in pairs(what) do
        if not answer_fields[field] then
          error(("t.gateway: providers.%s: an answer has no field `%s` (settings of the provider stand beside `answer`)"):format(name, tostring(field)), 3)
        end
      end
    end
  end
end

function t.gateway(spec)
  check(spec)
  local folder, secrets, scripts = folder_of_spec(), {}, copy_of(spec.providers or {})
  local gateway = setmetatable({ lines = {}, messages = {}, decoded = {}, by_id = {}, played = {}, fetched = {}, keys = {} }, gateway_class)
  local options = { folder = folder, seed = spec.seed or 1, wall = spec.wall, lines = gateway.lines, messages = gateway.messages, given = spec.environment }
  if spec.config then
    options.path = find_file(spec.config, folder)
    gateway.model = spec.model or "auto"
  else
    local settings = copy_of(spec)
    if type(spec.policy) == "string" and is_text(spec.policy) then options.policy, settings.policy = spec.policy, nil end
    local text = config_of(settings, secrets, scripts)
    if options.policy then text = text:gsub("}$", ', policy = "policy.lua" }')
    elseif type(spec.policy) == "string" then
      local path = find_file(spec.policy, folder)
      local beside = path == folder .. "/" .. spec.policy or spec.policy:find "^policies/" ~= nil
      options.folder = beside and folder or "."
      text = text:gsub("}$", function() return (", policy = %q }"):format(spec.policy) end)
    end
    options.text = text
    gateway.model = spec.models and "auto" or "m"
  end
  for _, client in ipairs(spec.clients or {}) do
    gateway.keys[client.name] = client.key or client.name
    gateway.key = gateway.key or gateway.keys[client.name]
  end
  options.play = player(gateway, scripts)
  if spec.web then options.fetch = fetcher(gateway, spec.web) end
  local simulation, why = open(options, secrets)
  if not simulation then error("t.gateway: the configuration is not right\n" .. why, 2) end
  gateway.simulation = simulation
  gateway.store = setmetatable({ simulation = simulation }, store_class)
  latest = gateway
  return gateway
end

return t
