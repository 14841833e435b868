-- House code round a dialect: decodes and encodes, so that a dialect's file sees tables only. A dialect is a file that returns
--
--   { auth   = { header = "x-api-key", prefix = "" },          -- how the key is sent; default: authorization, "Bearer "
--     request = function(body, call) return { path = "/…", headers = { … }, body = { … } } end,
--     answer  = function(body, call) return { … } end,         -- a whole answer; also an error's, call.status tells
--     event   = function(event, call) return { … } end }       -- a list of events: tables, "[DONE]", or nothing
--
-- body, answers and events on our side are OpenAI's; call has endpoint, model (the provider's name), stream, status once there is
-- one, and may be written to: it lives as long as the call. event has `type`, `data` (a table where it is JSON, else text). An error
-- is a table with `error = { message =, type =, code = }`. What is only passed on had better stay the table that it came in: numbers that Lua
-- has no form for (9007199254740993, 1.0) come out of it as they were, and are the nearest there is in another.
local cjson = require "cjson"
local dialects = {}

local function decoded(text)
  local good, value = pcall(cjson.decode, text)
  if good and type(value) == "table" then return value end
  return nil
end

local function load(name, dialect)
  if type(dialect) ~= "table" then error(name .. ": it has to return a table", 0) end
  for _, field in ipairs { "request", "answer", "event" } do
    if type(dialect[field]) ~= "function" then error(name .. ": the function `" .. field .. "` is missing", 0) end
  end
  dialects[#dialects + 1] = dialect
  return #dialects
end

-- What begins a call: its state, then path, body, name and prefix of the key's header, and headers as name, value, name, value …
local function begin(index, text, endpoint, model, stream)
  local dialect = dialects[index]
  local call = { dialect = dialect, endpoint = endpoint, model = model, stream = stream }
  local letter = dialect.request(decoded(text), call)
  if type(letter) ~= "table" then error("request: no letter", 0) end
  local auth, list = dialect.auth or {}, {}
  for header, value in pairs(letter.headers or {}) do
    list[#list + 1], list[#list + 2] = header:lower(), tostring(value)
  end
  local prefix = auth.prefix or (auth.header and "" or "Bearer ")
  return call, letter.path, cjson.encode(letter.body), auth.header or "authorization", prefix, unpack(list)
end

local function answer(call, status, text)
  local body = decoded(text)
  if not body then return text end
  call.status = status
  return cjson.encode(call.dialect.answer(body, call))
end

local function event(call, kind, text)
  local list = call.dialect.event({ type = kind, data = decoded(text) or text }, call) or {}
  local out = {}
  for _, one in ipairs(list) do
    out[#out + 1] = "data: " .. (type(one) == "table" and cjson.encode(one) or tostring(one)) .. "\n\n"
  end
  return table.concat(out)
end

return { load = load, begin = begin, answer = answer, event = event }
