local lunette = require "lunette"

return {
  settings = { long = { default = 100, min = 1, max = 100000 } },       -- words

  classify = function(request)
    if request.has_code or request.words > lunette.setting "long" then return "hard" end
    return "easy"
  end,

  select = function(request, targets)
    local able = targets:can(request)
    local cheap, strong = able:of "deepseek-v3.2", able:of "gpt-4.1"
    if request.label == "hard" then return strong .. cheap end
    return able:of "tiny" .. cheap:steps { first_byte = 2, hedge_after = 0.8 } .. strong
  end,

  retry = function(request, attempt)
    if attempt.kind == "rate_limited" and attempt.try == 1 then return lunette.again(1) end
  end,
}
