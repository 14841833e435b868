-- What a client saw of an answer, and what the request's log line tells of it.
local json = ...

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
    event.json = json.decode(event.data)
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

local function read_choices(answer, said)
  local choice = type(said) == "table" and type(said.choices) == "table" and said.choices[1]
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
    answer.json = json.decode(seen.body)
    read_choices(answer, answer.json)
    if type(answer.json) == "table" then answer.error = answer.json.error end
  end
end

local function seconds(ms) return ms and tonumber(("%.6f"):format(ms / 1000)) end

local function attempts_of(record)
  local out = {}
  for i, a in ipairs(record.attempts) do
    out[i] = { number = i, target = a.target, kind = a.kind, status = a.status, key = (a.key or 0) + 1, hedge = a.hedge or false,
               at = seconds(a.at_ms), took = seconds(a.ms), ttft = seconds(a.ttft_ms), waited = seconds(a.waited_ms) or 0,
               billed = a.billed, detail = a.detail, cost = a.cost }
  end
  return out
end

-- What only the request's log line tells. It is there once `finish` is over, mostly at once.
local from_record = {
  target = function(r) return r.target end, labels = function(r) return r.labels or {} end, attempts = attempts_of,
  notes = function(r) return r.notes or {} end, cost = function(r) return r.cost end, usage = function(r) return r.tokens end,
  policy = function(r) return r.policy end, code = function(r) return r.code end, fallback = function(r) return r.fallback or false end,
  waited = function(r) return seconds(r.waited_ms) or 0 end,
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
  local answer = setmetatable({ gateway = gateway, id = seen.id, headers = seen.headers, trailers = seen.trailers, body = seen.body,
                                clean = seen.clean, left = seen.left, started = seen.started }, answer_class)
  if seen.headed then answer.status, answer.first_byte = seen.status, seconds((seen.head_at - seen.started) * 1000) end
  if seen.ended then answer.ended, answer.latency = seen.ended_at, seconds((seen.ended_at - seen.started) * 1000) end
  read_content(answer, seen)
  for _, event in ipairs(answer.events or {}) do event.at = seconds(event.at * 1000) end
  return answer
end

return answer_of
