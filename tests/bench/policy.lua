-- The measured policy: words say what kind of question it is, and the kind says which of eight targets are asked, the cheapest first.
local lunette = require "lunette"

local hard = lunette.keywords { "prove", "derive", "step by step", "analyze", "refactor", "phân tích" }
local polite = lunette.keywords { "please", "thanks", "hello", "he said" }

return {
  classify = function(request)
    local text = request.text
    if hard(text) >= 2 or request.has_code then return "hard" end
    return polite(text) > 0 and "chat" or "plain"
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return targets:asked():healthy():by "price.input" end
    local small, large = targets:of "small":healthy():by "price.input", targets:of "large":healthy():by "price.input"
    return request.label == "hard" and large .. small or small .. large
  end,
}
