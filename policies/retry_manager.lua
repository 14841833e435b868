-- Retry manager: what is done about a failure follows from its status. Passing trouble is tried again at the same target after 1, 2, 4 s; a rate
-- limit after 5, 10, 20 s, or when the provider says; what is wrong with the request is never tried again. Waits vary by ± 50 %.
-- Change the table. `lunette set fallback=true`: instead of waiting, another model is asked. What came of it: `lunette report`.
local backoff = require "lunette.backoff"
local health = require "lunette.health"
local lunette = require "lunette"

local function rules(passing, busy)
  return backoff.by_status {
    retries = 3,
    [408] = passing, [500] = passing, [502] = passing, [504] = passing, [503] = passing, network = passing,
    [429] = busy,
    [400] = "stop", [401] = "stop", [403] = "stop", [404] = "stop", [422] = "stop",
  }
end

local wait = rules(
  backoff.exponential { base = 1, max = 30, jitter = 0.5 },
  backoff.exponential { base = 5, max = 30, jitter = 0.5 })
local fall_back = rules("next", "next")

return {
  settings = { fallback = { default = false } },
  limits = { attempts = 4 },

  select = function(request, targets)
    local mine = targets:asked()
    return health.patient(lunette.setting "fallback" and mine .. targets or mine, request.deadline)
  end,

  retry = function(request, attempt)
    local decide = lunette.setting "fallback" and fall_back or wait
    return decide(request, attempt)
  end,
}
