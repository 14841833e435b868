-- Exponential back-off: rate limits, server errors, broken connections and time-outs are tried again at the same target, up to 5 times, after
-- 1, 2, 4, 8, 16 s (at most 60), ± 0.5 s. Any other 4xx is final.
-- Change the numbers; where several targets could answer, `"next"` in place of `wait` goes there instead.
local backoff = require "lunette.backoff"
local health = require "lunette.health"

local wait = backoff.exponential { base = 1, max = 60, jitter_seconds = 0.5 }

return {
  limits = { attempts = 6 },
  select = function(request, targets) return health.patient(targets:asked(), request.deadline) end,
  retry = backoff.by_status { retries = 5, [429] = wait, ["5xx"] = wait, network = wait, ["4xx"] = "stop" },
}
