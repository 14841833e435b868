-- From what a provider's script answers to what is put on the wire. The script is `function(request, n) return {…} end`:
-- `request` has method path headers body json model stream messages (the last user text is request.text), `n` counts the
-- requests this script has got. The answer, all optional:
--
--   status   200                 headers  a table                 after  seconds before the head
--   text     "Hello": a whole OpenAI answer, or its stream when the request wants one, is made of it; with `finish_reason`
--            ("stop"), `usage` { input =, output =, cached = } (counted from the texts when absent; false: none), `every`
--   body     a string as it is, or a table that becomes JSON; also the body of an error
--   events   for a stream: tables become `data: {…}`, strings `data: …` ("[DONE]" among them), { raw = "…" } goes as it is;
--            { event = "name", data = … } has a type
--   every    seconds between events               keep   false: closes the connection after a clean end
--   cut      "fin" | "rst" | "chunk" (half a chunk, then FIN): instead of the clean end; of a whole body half is sent, or
--            cut_at bytes; cut = "rst" without status, body, text or events: before any head
--   stall    true: at the end of what is given, says nothing more and keeps the connection; a number: so many seconds,
--            then the clean end. A whole body stalls after its head
--   fail     a kind ("dns", "tls", "connect_refused" …): what cannot be shown on a socket that was accepted; there it is a
--            reset before the head
local lunette = ...
local encode = lunette.json.encode
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local byte, char, floor, gmatch, sub = string.byte, string.char, math.floor, string.gmatch, string.sub
local concat = table.concat

local known = { status = true, headers = true, after = true, text = true, finish_reason = true, usage = true, model = true, body = true,
                events = true, every = true, keep = true, cut = true, cut_at = true, stall = true, fail = true }

local function data(value, event)
  local text = type(value) == "table" and encode(value) or tostring(value)
  return (event and "event: " .. event .. "\n" or "") .. "data: " .. text .. "\n\n"
end

local function event_bytes(event)
  if type(event) == "table" and event.raw then return event.raw end
  if type(event) == "table" and event.event then return data(event.data or {}, event.event) end
  return data(event)
end

local function tokens(text) return floor((#text + 3) / 4) end

-- A model stops where it was told to.
local function capped(n, request)
  local json = type(request.json) == "table" and request.json or {}
  local most = json.max_completion_tokens or json.max_tokens
  return type(most) == "number" and most < n and most or n
end

local function usage_of(answer, request)
  if answer.usage == false then return nil end
  local given = answer.usage or {}
  local input, output = given.input or tokens(request.body or ""), given.output or capped(tokens(answer.text or ""), request)
  return { prompt_tokens = input, completion_tokens = output, total_tokens = input + output,
           prompt_tokens_details = given.cached and { cached_tokens = given.cached } or nil }
end

local function head_of(object, request, n, answer)
  return { id = (object == "text_completion" and "cmpl-" or "chatcmpl-") .. n, object = object, created = 1700000000 + n,
           model = answer.model or request.model or "scripted" }
end

-- Words with the blanks behind them: what a model would stream.
local function pieces_of(text)
  local list = {}
  for word in gmatch(text, "%S*%s*") do
    if word ~= "" then list[#list + 1] = word end
  end
  return list
end

local function stream_of(answer, request, n)
  local events, chat = {}, request.path ~= "/completions"
  local function chunk(delta, finish)
    local e = head_of(chat and "chat.completion.chunk" or "text_completion", request, n, answer)
    local choice = { index = 0, finish_reason = finish or lunette.json.null }
    if chat then choice.delta = delta else choice.text = delta.content or "" end
    e.choices = { choice }
    events[#events + 1] = e
  end
  if chat then chunk { role = "assistant", content = "" } end
  for _, piece in ipairs(pieces_of(answer.text)) do chunk { content = piece } end
  chunk({}, answer.finish_reason or "stop")
  local usage, wanted = usage_of(answer, request), request.json and request.json.stream_options
  if usage and wanted and wanted.include_usage then
    local e = head_of(chat and "chat.completion.chunk" or "text_completion", request, n, answer)
    e.choices, e.usage = lunette.json.array {}, usage
    events[#events + 1] = e
  end
  events[#events + 1] = "[DONE]"
  return events
end

-- What is cut or falls silent does so in the middle of its text, or after `cut_at` events.
local function middle(answer, events)
  if not answer.cut and answer.stall ~= true then return events end
  local out = {}
  for i = 1, math.min(#events, answer.cut_at or floor(#events / 2)) do out[i] = events[i] end
  return out
end

local function whole_of(answer, request, n)
  if request.path == "/completions" then
    local body = head_of("text_completion", request, n, answer)
    body.choices = { { index = 0, text = answer.text, finish_reason = answer.finish_reason or "stop" } }
    body.usage = usage_of(answer, request)
    return body
  end
  local body = head_of("chat.completion", request, n, answer)
  body.choices = { { index = 0, message = { role = "assistant", content = answer.text }, finish_reason = answer.finish_reason or "stop" } }
  body.usage = usage_of(answer, request)
  return body
end

---- embeddings: eight numbers out of the text's bytes, as a list or as base64 of little-endian floats ----

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = byte(bytes, i, i + 2)
    local v = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local d = floor(v / 64 ^ k) % 64 + 1
      out[#out + 1] = sub(alphabet, d, d)
    end
    if not b then out[#out - 1] = "=" end
    if not c then out[#out] = "=" end
  end
  return concat(out)
end

-- k/128 for whole k from 1 to 127, as IEEE 754 single: one bit pattern, found by halving.
local function single(k)
  local exponent, value = 127, k / 128
  while value < 1 do value, exponent = value * 2, exponent - 1 end
  local mantissa = floor((value - 1) * 8388608)
  return char(mantissa % 256, floor(mantissa / 256) % 256, floor(mantissa / 65536) % 128 + exponent % 2 * 128, floor(exponent / 2))
end

local function vector(text, as_base64)
  local sums = {}
  for i = 1, 8 do sums[i] = i end
  for i = 1, #text do
    local at = i % 8 + 1
    sums[at] = (sums[at] * 31 + byte(text, i)) % 127
  end
  local bytes = {}
  for i = 1, 8 do
    local k = sums[i] % 127 + 1
    sums[i], bytes[i] = k / 128, single(k)
  end
  return as_base64 and base64(concat(bytes)) or sums
end

local function embeddings(answer, request)
  local json = request.json or {}
  local input = type(json.input) == "string" and { json.input } or json.input or {}
  local list = {}
  for i = 1, #input do
    local text = input[i]
    local vector_of = vector(type(text) == "string" and text or encode(text), json.encoding_format == "base64")
    list[i] = { object = "embedding", index = i - 1, embedding = vector_of }
  end
  local used = tokens(request.body or "")
  return { object = "list", data = list, model = answer.model or request.model, usage = { prompt_tokens = used, total_tokens = used } }
end

---- all of it ----

local function last_text(json)
  local text
  for _, message in ipairs(type(json) == "table" and type(json.messages) == "table" and json.messages or {}) do
    if type(message) == "table" and message.role == "user" then text = message.content end
  end
  if type(text) == "string" then return text end
  local parts = {}
  for _, part in ipairs(type(text) == "table" and text or {}) do
    if type(part) == "table" and type(part.text) == "string" then parts[#parts + 1] = part.text end
  end
  return concat(parts, "\n")
end

local function check(answer)
  if type(answer) ~= "table" then error("a provider's script is to return a table, not " .. type(answer), 0) end
  for name in pairs(answer) do
    if not known[name] then error("a provider's answer has no field `" .. tostring(name) .. "`", 0) end
  end
end

local function finish(answer, out)
  local cut = answer.cut
  if cut and not (cut == "fin" or cut == "rst" or cut == "chunk") then error("cut is to be fin, rst or chunk", 0) end
  out.cut, out.cut_at, out.fail, out.close = answer.cut, answer.cut_at, answer.fail, answer.keep == false
  out.stall = answer.stall == true and -1 or answer.stall or nil
  out.after, out.every, out.status = answer.after or 0, answer.every or 0, answer.status or 200
  return out
end

return function(script)
  return function(request, n)
    request.json = lunette.json.decode(request.body)
    request.model = type(request.json) == "table" and request.json.model or nil
    request.stream = type(request.json) == "table" and request.json.stream == true
    request.text = last_text(request.json)
    local answer = script(request, n)
    check(answer)
    local out = { pieces = {}, names = {}, values = {} }
    local events = answer.events
    if not events and answer.text and request.stream and not answer.body then events = middle(answer, stream_of(answer, request, n)) end
    local body = answer.body
    if events then
      for i = 1, #events do out.pieces[i] = event_bytes(events[i]) end
      out.stream = true
    else
      if body == nil and answer.text then
        body = request.path == "/embeddings" and embeddings(answer, request) or whole_of(answer, request, n)
      end
      if type(body) == "table" then body = encode(body) end
      out.pieces[1] = body
    end
    local headers, typed = answer.headers or {}, false
    for name, value in pairs(headers) do
      local list = type(value) == "table" and value or { value }
      for i = 1, #list do
        out.names[#out.names + 1], out.values[#out.values + 1] = name, tostring(list[i])
      end
      typed = typed or name:lower() == "content-type"
    end
    if not typed then
      out.names[#out.names + 1], out.values[#out.values + 1] = "content-type", events and "text/event-stream" or "application/json"
    end
    out.headless = answer.cut == "rst" and not answer.status and not events and not body
    return finish(answer, out)
  end
end
