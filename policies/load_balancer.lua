-- Load balancer: spreads requests over the targets of the model asked for (of all models, for `auto`) by a strategy that can be changed while it runs:
-- `lunette set strategy=least_latency`. Only targets with room under their rate limits take part; when none has room, the request waits its turn, up to
-- its deadline. Who fails is followed by another; after a connect time-out or a full pool the next is asked 1, 2, 4 s later.
-- Change the numbers here, `requests_per_minute` and `weight` of targets in gateway.lua. `price_limit`: USD per million tokens of input, for `cheapest`.
local backoff = require "lunette.backoff"
local health = require "lunette.health"
local lunette = require "lunette"
local strategies = require "lunette.strategies"

local strategy = {
  round_robin = strategies.round_robin,
  weighted = strategies.weighted,
  least_latency = strategies.least_latency { last = 5 },
  cheapest = strategies.cheapest { limit = function() return lunette.setting "price_limit" end },
  peak_ewma = strategies.peak_ewma,
  sticky = strategies.sticky,
}
local overload = backoff.ladder { 1, 2, 4 }

return {
  settings = {
    strategy = { default = "round_robin", choices = { "round_robin", "weighted", "least_latency", "cheapest", "peak_ewma", "sticky" } },
    price_limit = { default = 10, min = 0 },
  },

  select = function(request, targets)
    local mine = targets:asked()
    local order = strategy[lunette.setting "strategy"]
    local well = mine:healthy()
    local free, full = health.with_room(well), well:where(function(target) return not health.has_room(target) end)
    if #free > 0 then return order(free, request) .. full:steps { wait = request.deadline } .. mine end
    return order(mine, request):steps { wait = request.deadline }
  end,

  retry = function(request, attempt)
    local overloaded = attempt.kind == "connect_timeout" or attempt.kind == "pool_full" and health.has_room(attempt.target)
    if not overloaded then return nil end
    local times, tries, mine = 0, {}, request.targets:asked()
    for _, before in ipairs(request.attempts) do
      if before.kind == "connect_timeout" or before.kind == "pool_full" then times = times + 1 end
      tries[before.target.name] = (tries[before.target.name] or 0) + 1
    end
    local wait = overload(times)
    if #mine == 1 then return lunette.again(wait) end
    if mine:where(function(target) return not tries[target.name] end)[1] then return lunette.next(wait) end
    local others = mine:where(function(target) return target.name ~= attempt.target.name end)
    return lunette.try(others:by(function(target) return tries[target.name] end)[1], wait)
  end,
}
