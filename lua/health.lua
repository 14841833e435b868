-- Rules about who is fit to be asked. Circuits, rests and probes are the gateway's; these say what a policy makes of them.
local health = {}

local function is_up(target) return target.provider.state ~= "down" end
local function has_room(target) return target.requests_left > 0 and target.tokens_left > 0 end

-- Those whose provider is not down.
function health.up(targets) return targets:where(is_up) end

-- Those whose provider is not down, then, at last, all the others too.
function health.up_first(targets) return health.up(targets) .. targets end

-- The same targets, of which the last is waited for, up to so many seconds, where it rests and nobody before it can serve; where all of them rest,
-- whoever is back first.
function health.patient(targets, seconds)
  local n = #targets
  if #targets:healthy() == 0 then return targets:steps { wait = seconds } end
  return targets:first(n - 1) .. targets[n]:steps { wait = seconds }
end

-- Whether a target has room under its rate limits now; those that have.
health.has_room = has_room
function health.with_room(targets) return targets:where(has_room) end

return health
