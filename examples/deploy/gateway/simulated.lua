-- A provider that exists only here. It says what it was asked, and which model was meant to answer.
-- `lunette provider examples/quickstart/simulated.lua` serves the same over HTTP.
return function(request)
  local text = request.text or ""
  if text:find("fail", 1, true) then
    return { status = 503, body = { error = { message = "you asked me to fail", type = "server_error" } } }
  end
  return { text = "[simulated] " .. (request.model or "?") .. " heard: " .. text, after = 0.05, every = 0.02 }
end
