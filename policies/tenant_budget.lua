-- Tenant budget: each team (`teams` in gateway.lua) has a budget. From 80 % of it on its questions go to the cheap model, from 95 % only short ones do; the
-- hard limit is the gateway's and needs no policy.
-- Change the shares while it runs: `lunette set degrade_at=0.7`; and which model is `cheap`.
local lunette = require "lunette"
local options = require "lunette.options"

local cheap = "deepseek-v3.2"
options.read("tenant_budget", { cheap = cheap }, { cheap = { "model" } })

return {
  settings = {
    degrade_at = { default = 0.80, min = 0, max = 1 },
    refuse_at = { default = 0.95, min = 0, max = 1 },
    short = { default = 1000, min = 0 },                                -- tokens of input
  },

  budget = function(request, spend)
    local share = spend.team.share
    if share < lunette.setting "degrade_at" then return nil end
    lunette.note("team_share", share)
    if share >= lunette.setting "refuse_at" and request.tokens > lunette.setting "short" then
      return lunette.refuse { message = "The budget of team " .. (request.key.team or "?") .. " is nearly spent: only short questions until it is renewed." }
    end
    return lunette.degrade(cheap)
  end,
}
