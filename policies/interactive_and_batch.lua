-- Interactive beside batch: who waits for an answer gets it from the better of two targets by load, and when that is silent for 0.8 s the next is asked beside
-- it, the first good answer wins. Batch work is never hedged, takes the cheapest target, and queues for its rate limit behind everybody else, up to
-- its own deadline.
-- The class is that of the client's entry in gateway.lua (`class = "batch"`), or of `x-lunette-class` where that is trusted. Change the seconds.
local lunette = require "lunette"

local function batch(request, targets)
  local cheapest_first = targets:by "price.input"
  return cheapest_first:first():steps { wait = request.deadline } .. cheapest_first
end

local function interactive(request, targets)
  return targets:balanced(request):steps { first_byte = 10, hedge_after = lunette.setting "hedge_after" }
end

return {
  settings = { hedge_after = { default = 0.8, min = 0.05, max = 60 } },

  classify = function(request) return request.class == "batch" and "batch" or "interactive" end,

  select = function(request, targets)
    local mine = targets:asked():can(request)
    return request.label == "batch" and batch(request, mine) or interactive(request, mine)
  end,
}
