-- Failover: providers in the order in which gateway.lua lists a model's targets. One that is down (5 failures in a row, until a probe or time brings it
-- back) is passed over; when all are down, all are tried. A rate limit goes to the next provider at once; an attempt over 30 s is given up for the next.
-- Change `limit`. How many failures: `health` in gateway.lua; how a provider that is down is looked after: `probe` there.
local backoff = require "lunette.backoff"
local health = require "lunette.health"
local lunette = require "lunette"

local limit = 30                                                        -- seconds for one attempt
local wait = backoff.exponential { base = 1, max = 60, jitter = 0.5 }

return {
  limits = { attempts = 16 },

  select = function(request, targets)
    local mine = targets:asked()
    return health.up_first(mine):steps { first_byte = limit, total = limit, wait = #mine:healthy() == 0 and request.deadline or nil }
  end,

  retry = function(request, attempt)
    local asked = {}
    for _, before in ipairs(request.attempts) do asked[before.target.provider.name] = true end
    local others = request.targets:asked():where(function(target) return not asked[target.provider.name] end)
    if attempt.kind == "rate_limited" and #others == 0 and attempt.try < 8 then return lunette.again(attempt.retry_after or wait(attempt.try)) end
    return nil                                                          -- the default: the next one, unless the request is wrong
  end,
}
