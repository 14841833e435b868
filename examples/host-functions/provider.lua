-- A provider that exists only here.
return function(request)
  return { text = request.model .. " heard: " .. request.text }
end
