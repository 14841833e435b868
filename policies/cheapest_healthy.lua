-- Cheapest healthy: of the targets that can do what is asked and are good enough, the cheapest that is healthy answers; the others follow by price.
-- How good a target is stands in its `facts = { quality = 0.8 }` in gateway.lua; one that says nothing counts as 0. Change the floors: the default one while it
-- runs (`lunette set quality=0.6`), those of tasks here.
local lunette = require "lunette"

local floors = { legal = 0.9, medical = 0.9, code = 0.8, translate = 0.5 }

return {
  settings = { quality = { default = 0.7, min = 0, max = 1 } },

  select = function(request, targets)
    local floor = floors[request.task or ""] or lunette.setting "quality"
    local good = targets:asked():can(request):where(function(target) return (target.facts.quality or 0) >= floor end)
    if #good == 0 then
      return lunette.refuse { status = 422, message = "No model here can do this at a quality of " .. floor .. " or more." }
    end
    local cheapest_first = good:by(function(target) return (target:expected_cost(request)) end)
    return cheapest_first:healthy() .. cheapest_first
  end,
}
