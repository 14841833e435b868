-- Canary between two versions of a policy: as many users as the canary's stage says are routed by the new one, the others by the old. It goes back to the
-- old one for all when over 1 % of its requests end without an answer or with a hook that failed, or p99 is over 500 ms; and stays there until
-- `lunette canary router start`.
-- Change the two policies: put each into a file of its own beside this one, and say old = require "old", new = require "new".
-- In gateway.lua: canaries = { router = { probe = false } }, or probe = "NAME" of a provider that must be well all along.
local canary = require "lunette.canary"
local health = require "lunette.health"
local strategies = require "lunette.strategies"

local fastest = strategies.least_latency { last = 5 }

local old = {                                                           -- in the order of gateway.lua
  select = function(_, targets) return health.up_first(targets:asked()) end,
}

local new = {                                                           -- whoever was fastest lately, and a second one beside a slow one
  classify = function(request) return request.stream and "stream" or "whole" end,
  select = function(_, targets) return fastest(health.up_first(targets:asked())):steps { hedge_after = 2 } end,
}

return canary.between { canary = "router", old = old, new = new }
