-- Fallback router: a cheap primary model, a backup, and a strong last one that only questions which are worth it reach. Task and budget choose the
-- strategy. A rate limit is waited out at the same model (1, 2, 4 s); any other failure goes on to the next model.
-- Change the groups of tasks, the stages and their seconds; `fallback_after` can be set while it runs (LUNETTE_SETTINGS_FALLBACK_AFTER at the start).
local backoff = require "lunette.backoff"
local lunette = require "lunette"
local options = require "lunette.options"
local tasks = require "lunette.tasks"
local tiers = require "lunette.tiers"

local group_of = tasks.groups {
  high_quality = { "legal", "medical", "complex_reasoning" },
  balanced = { "code", "analysis", "writing" },
  low_cost = { "summarize", "classify", "extract" },
  otherwise = "low_cost",
}
local dear = 0.05                               -- USD: a request that may cost more than this is worth the best

local primary, backup, last = "deepseek-v3", "kimi-k2", "gpt-4.1"
options.read("fallback_router", { stages = { primary, backup, last } }, { stages = { "models" } })

return {
  settings = { fallback_after = { default = 3, min = 0.1, max = 600 } },        -- seconds that the primary has
  limits = { attempts = 12 },

  classify = function(request)
    if (request.budget or 0) > dear then return "high_quality" end
    return group_of(request.task)
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local plan = targets:of(primary):steps(tiers.clocks(lunette.setting "fallback_after", request)) .. targets:of(backup):steps(tiers.clocks(4, request))
    if request.label ~= "high_quality" then return plan end
    local options_of_last = tiers.clocks(5, request)
    options_of_last.warning = "cost: answered by " .. last .. ", the last and dearest stage"
    return plan .. targets:of(last):steps(options_of_last)
  end,

  retry = backoff.by_status { retries = 3, [429] = backoff.ladder { 1, 2, 4 } },
}
