-- Whether the cheap model is good enough, as a router has it that was trained on scores: `lunette train scores.csv` writes router.lua. Above the threshold the
-- strong one is asked: train's table says where to set it.
local lunette, router = require "lunette", require "router"

return {
  settings = { threshold = { default = 0.3, min = -1, max = 1 } },

  classify = function(request)
    local gain = lunette.predict(router, request)
    lunette.note("gain", gain)
    return (gain or 1) > lunette.setting "threshold" and "hard" or "easy"
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end      -- a model was named: the default plan
    local small, large = targets:of "small", targets:of "large"
    return request.label == "hard" and large .. small or small .. large
  end,
}
