-- The cheap model has no room for long questions, is overloaded once in a while, and is quick; the strong one takes its time.
return function(request, n)
  local words = select(2, request.text:gsub("%S+", ""))
  if request.model == "cheap-1" then
    if words > 40 then return { status = 400, after = 0.01, body = { error = { code = "context_length_exceeded", message = "The question is too long." } } } end
    if n % 23 == 0 then return { status = 503, after = 0.02 } end
    return { text = "A short answer.", after = 0.03 + n % 5 / 100, usage = { input = 20 + words, output = 40 + n % 9 } }
  end
  return { text = "A thorough answer.", after = 0.08 + n % 7 / 50, usage = { input = 20 + words, output = 60 + n % 31 } }
end
