-- Canary: questions for the model `old` (and for `auto`) go to the model `new` instead, for as many users as the canary's stage says: 5, 15, 30, 50 and
-- 100 %, 60 s each. Who is new stays so. Where the new model fails the old one answers, and the canary is charged with it: over 1 % errors, p99 over
-- 500 ms or a probe that does not answer 200, and everybody is back at the old one, until `lunette canary kimi-k2 start`.
-- Change the two models here, and what the stages are in gateway.lua: canaries = { ["kimi-k2"] = { provider = "moonshot", model = "kimi-k2" } }
local canary = require "lunette.canary"

local old, new = "deepseek-v3.2", "kimi-k2"

local order = canary.models {
  canary = "kimi-k2", old = old, new = new,
  who = function(request) return request.user or request.key.name or request.session end,       -- who is to stay on one side
}

return {
  select = function(request, targets)
    if request.model ~= old and request.model ~= "auto" then return nil end
    return order(request, targets)
  end,
}
