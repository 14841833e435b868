-- What `auto` means: short questions go to the fast model, long ones and code to the strong one; whoever fails is followed by the
-- other. Change it, restart, and see `x-lunette-labels` and `x-lunette-model` in the answer's head.
local lunette = require "lunette"

return {
  classify = function(request)
    if request.has_code or request.words > 100 then return "hard" end
    return "easy"
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end      -- a model was named: the default plan
    local fast, strong = targets:of("fast"):balanced(request), targets:of("strong"):balanced(request)
    return request.label == "hard" and strong .. fast or fast .. strong
  end,

  retry = function(request, attempt)
    if attempt.kind == "overloaded" then return lunette.next() end
  end,
}
