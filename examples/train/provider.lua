-- It says which model was asked.
return function(request)
  return { text = request.model .. " answers" }
end
