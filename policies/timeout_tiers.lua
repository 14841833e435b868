-- Timeout tiers: the kind of question decides how long a model may take. Who takes longer is not waited for: the next model is asked.
-- A client says the kind with `x-lunette-task`. Change the seconds and the tasks of `tiers`, and which models `use` recommends for what.
-- What came of it, by tier: `lunette report --by label`.
local tasks = require "lunette.tasks"
local tiers = require "lunette.tiers"

local tier_of, clocks = tiers.timeouts {
  fast = { seconds = 1, tasks = { "faq", "simple" } },
  normal = { seconds = 3, tasks = { "normal" } },
  deep = { seconds = 8, tasks = { "complex", "analysis", "complaint_analysis", "report" } },
  otherwise = "normal",
  connect = 0.5,
}

local use = tasks.models {
  faq = { "deepseek-v3.2" },
  talk = { "gpt-4.1", "gemini-2.5-flash" },
  product_advice = { "claude-sonnet-4.5" },
  complaint_analysis = { "gpt-4.1", "claude-sonnet-4.5" },
  report = { "gpt-4.1" },
  otherwise = "talk",
}

return {
  classify = function(request) return tier_of(request.task) end,

  select = function(request, targets)
    local order = targets:asked()
    if request.model == "auto" then order = targets:of((use(request.task))) .. targets end
    return order:steps(clocks(request.label, request))
  end,
}
