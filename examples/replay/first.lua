-- Chance chooses, and notes how likely its choice was: that is what estimates are made of. Who fails is followed by the other.
local lunette = require "lunette"
return {
  select = function(request, targets)
    local first = lunette.pick({ "strong", "cheap" }, { 0.7, 0.3 })
    return targets:of(first) .. targets:of(first == "strong" and "cheap" or "strong")
  end,
}
