-- What `auto` means: short questions go to the fast model, long ones and code to the strong one; whoever fails is followed by the
-- other. Change it, save it, and see `x-lunette-labels` and `x-lunette-model` in the head of the next answer.
local lunette = require "lunette"

return {
  settings = { long = { default = 100, min = 1, max = 100000 } },       -- words; `lunette set long=20` changes it while it runs

  classify = function(request)
    if request.has_code or request.words > lunette.setting "long" then return "hard" end
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
