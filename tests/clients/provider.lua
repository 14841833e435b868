-- What a provider does is chosen by the model's name.
local function failure(status, message, code, headers)
  return { status = status, headers = headers, body = { error = { message = message, type = "error", code = code } } }
end

return function(request, n)
  if request.method == "GET" then return { body = { object = "list", data = {} } } end
  local model = request.model
  if model == "overloaded" then return failure(503, "too many people ask", "overloaded") end
  if model == "limited" then return failure(429, "slow down", "rate_limit_exceeded", { ["retry-after-ms"] = "150" }) end
  if model == "wrong" then return failure(400, "temperature must be at most 2", "invalid_value") end
  if model == "late" then return { text = "too late", after = 30 } end
  if model == "cut" then
    return { events = { { choices = { { index = 0, delta = { content = "half of " } } } } }, cut = "fin" }
  end
  if request.json.tools then
    return { body = { id = "chatcmpl-tool", object = "chat.completion", created = 1, model = model, choices = { {
      index = 0, finish_reason = "tool_calls", message = { role = "assistant", tool_calls = { {
        id = "call_1", type = "function", ["function"] = { name = "weather", arguments = '{"city":"Huế"}' } } } } } },
      usage = { prompt_tokens = 5, completion_tokens = 7, total_tokens = 12 } } }
  end
  return { text = "Hello from " .. model .. ", you said: " .. (request.text or ""), headers = { ["x-request-id"] = "req_" .. n } }
end
