-- A dialect that nobody speaks, to show all that one is made of: where to send, how the key goes, what is asked, what is answered,
-- what a stream's events mean, and what errors look like.
--
--   POST /talk { "voice": model, "lines": [ { "by": "user", "words": "hi" } ], "most": 100, "bit_by_bit": true }
--   { "said": "hello", "why": "end" | "full", "counted": { "heard": 3, "spoken": 1 } }
--   event: bit     data: { "words": "hel" }
--   event: over    data: { "why": "end", "counted": { … } }
--   { "problem": { "what": "busy", "words": "come back later" } }
local reasons = { ["end"] = "stop", full = "length" }
local codes = { busy = "overloaded", long = "context_length_exceeded" }

local function usage_of(counted)
  if not counted then return nil end
  return { prompt_tokens = counted.heard, completion_tokens = counted.spoken, total_tokens = counted.heard + counted.spoken }
end

local function error_of(problem)
  return { error = { message = problem.words, type = problem.what, code = codes[problem.what] or problem.what } }
end

local function request(body, call)
  local lines = {}
  for i, message in ipairs(body.messages) do lines[i] = { by = message.role, words = message.content } end
  return { path = "/talk", headers = { ["X-Talk-Version"] = "2" },
           body = { voice = call.model, lines = lines, most = body.max_tokens, bit_by_bit = call.stream or nil } }
end

local function answer(body, call)
  if body.problem then return error_of(body.problem) end
  return { id = "echo-1", object = "chat.completion", model = call.model, usage = usage_of(body.counted),
           choices = { { index = 0, message = { role = "assistant", content = body.said }, finish_reason = reasons[body.why] } } }
end

local function event(e, call)
  local function chunk(delta, why)
    return { id = "echo-1", object = "chat.completion.chunk", model = call.model,
             choices = { { index = 0, delta = delta, finish_reason = reasons[why] } } }
  end
  if type(e.data) ~= "table" then error("an event is no JSON object") end
  if e.data.problem then return { error_of(e.data.problem) } end
  if e.type == "bit" then return { chunk { content = e.data.words } } end
  if e.type ~= "over" then return {} end
  local last = chunk({ content = "" }, e.data.why)
  last.usage = usage_of(e.data.counted)
  return { last, "[DONE]" }
end

return { auth = { header = "x-talk-key", prefix = "" }, request = request, answer = answer, event = event }
