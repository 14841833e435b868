-- Long questions go to the strong model, which has room for them, all others to the cheap one first.
return {
  select = function(request, targets)
    local cheap, strong = targets:of "cheap", targets:of "strong"
    if request.words > 40 then return strong .. cheap end
    return cheap .. strong
  end,
}
