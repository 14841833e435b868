-- Failover: providers in the order in which gateway.lua lists a model's targets. One that is down (5 failures in a row, until a probe or time brings it
-- back) is passed over; when all are down, all are tried. A rate limit goes to the next provider at once; an attempt over 30 s is given up for the next.
-- Change `limit`. How many failures: `health` in gateway.lua; how a provider that is down is looked after: `probe` there.
local backoff = require "lunette.backoff"
local health = require "lunette.health"
local lunette = require "lunette"

local limit = 30                                                        -- seconds for one attempt
local wait = backoff.exponential { base = 1, max = 60, jitter = 0.5 }

return {
  limits = { attempts = 8 },

  select = function(_, targets)
    return health.up_first(targets:asked()):steps { first_byte = limit, total = limit }
  end,

  retry = function(request, attempt)
    local others = request.targets:asked():where(function(target) return target.provider.name ~= attempt.target.provider.name end)
    if attempt.kind == "rate_limited" and #others == 0 then return lunette.again(attempt.retry_after or wait(attempt.try)) end
    return nil                                                          -- the default: the next one, unless the request is wrong
  end,
}
