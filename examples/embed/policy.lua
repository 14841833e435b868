-- Who pays for gold gets the large model, and so does everybody for a long question. Whose plan it is, only the program knows: it lends `plan_of`.
local lunette = require "lunette"
local plan_of = lunette.host.plan_of or function() end          -- `lunette check` has no program

return {
  settings = { long = { default = 20, min = 1, max = 1000 } },  -- words

  classify = function(request)
    local plan = plan_of(request.user or "")                    -- nil too when a reload tries the hooks
    return { plan or "free", request.words > lunette.setting "long" and "long" or "short" }
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local small, large = targets:of("small"), targets:of("large")
    if request.labels[1] == "gold" or request.labels[2] == "long" then return large .. small end
    return small:steps { wait = 1, set = { temperature = 0 } } .. large
  end,
}
