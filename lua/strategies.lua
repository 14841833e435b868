-- Strategies: in which order targets that will all do are asked. Each is a function of targets and the request that gives all of them, the one to
-- ask first in front; whoever fails is followed by the next.
local lunette = require "lunette"
local options = require "lunette.options"

local type, huge = type, math.huge

local strategies = {}

-- One after the other, over all workers.
function strategies.round_robin(targets, request)
  local n = #targets
  if n < 2 then return targets end
  local turn = (lunette.store.incr("strategies.round_robin/" .. request.model) - 1) % n + 1
  local order = targets[turn]
  for i = 1, n - 1 do order = order .. targets[(turn + i - 1) % n + 1] end
  return order
end

-- By chance, in proportion to `weight`; the others by weight. Of more than 256, as many as can be drawn from, the first so many take part in the draw.
function strategies.weighted(targets)
  local first = lunette.pick(#targets > 256 and targets:first(256) or targets)
  local rest = targets:by(function(target) return -target.weight end)
  return first and first .. rest or rest
end

-- least_latency { last = 5 }: by the mean of the last 5 answers. Who has not answered yet comes first, to be known; unless it has just failed.
function strategies.least_latency(given)
  local o = options.read("strategies.least_latency", given, { last = { "count", min = 1, max = 100, default = 5 } })
  return function(targets)
    return targets:by(function(target)
      return target:mean_latency(o.last) or (target.failures > 0 and huge or 0)
    end)
  end
end

local function price(target) return target.price.input or huge end

-- cheapest { limit = 10 }: by price, of those that cost at most 10 USD per million tokens of input; if none does, the first that there is. A function
-- in place of the number is asked each time.
function strategies.cheapest(given)
  local ask = type(given) == "table" and type(given.limit) == "function" and given.limit
  local o = options.read("strategies.cheapest", given, { limit = { ask and "function" or "number", min = 0, default = huge } })
  return function(targets)
    local limit = ask and ask() or o.limit
    local able = targets:where(function(target) return price(target) <= limit end):by(price)
    return #able > 0 and able .. targets:by(price) or targets
  end
end

-- By load: of two by chance the one with less latency × attempts under way (peak EWMA), which does not herd as "the fastest of all" does.
function strategies.peak_ewma(targets)
  if #targets < 2 then return targets end
  local function load(target) return (target.latency or 0) * (target.in_flight + 1) end
  local i = lunette.random(#targets)
  local j = lunette.random(#targets - 1)
  if j >= i then j = j + 1 end
  local one, other = targets[i], targets[j]
  if load(other) < load(one) then one, other = other, one end
  return one .. other .. targets
end

-- Each conversation at one target, for the provider's prompt cache, as long as that is not busier than the others.
function strategies.sticky(targets, request) return targets:balanced(request) end

return strategies
