-- Rate limits of providers: one that says 429 is left alone for as long as it says (Retry-After, retry-after-ms, x-ratelimit-reset-*); meanwhile whoever else
-- serves the model is asked, at once. When nobody else can, the request waits that long and tries again, without a word from the provider after
-- 1, 2, 4, 8 s (at most 60) ± 50 %, five tries in all.
-- Change the back-off and `limits`. `health = { cooling = "provider" }` in gateway.lua: a 429 of one model lets all of that provider's rest.
local backoff = require "lunette.backoff"
local health = require "lunette.health"
local lunette = require "lunette"

local wait = backoff.exponential { base = 1, max = 60, jitter = 0.5 }

-- Who of those that were asked is to be back first, and in how many seconds.
local function soonest(request, attempt)
  local last = {}
  for _, before in ipairs(request.attempts) do last[before.target.name] = before end
  local target, seconds = attempt.target, attempt.retry_after or wait(attempt.try)
  for _, before in pairs(last) do
    if before.kind == "rate_limited" and (before.retry_after or seconds) < seconds then target, seconds = before.target, before.retry_after end
  end
  return target, seconds
end

return {
  limits = { attempts = 5 },

  select = function(request, targets)
    local mine = targets:asked()
    return health.patient(mine:healthy() .. mine, request.deadline)
  end,

  retry = function(request, attempt)
    if attempt.kind ~= "rate_limited" then return nil end
    local others = request.targets:asked():healthy():where(function(target) return target.name ~= attempt.target.name end)
    if #others > 0 then return lunette.try(others[1]) end
    return lunette.try(soonest(request, attempt))
  end,
}
