-- Smart router: the task says which models will do; the cheapest of these whose provider is healthy answers, then the next cheapest.
-- A client says its task with `x-lunette-task`. Change the table. `lunette set fallback=false`: when none is healthy the request is refused, not sent.
-- What was saved against the premium models (over $30): `lunette report`, and `saving` in each log line.
local lunette = require "lunette"
local savings = require "lunette.savings"
local tasks = require "lunette.tasks"

local models_for = tasks.models {
  simple_chat = { "deepseek-v3.2", "gemini-2.5-flash", "gpt-4o-mini" },
  code_generation = { "deepseek-v3.2", "gpt-4.1", "claude-sonnet-4.5" },
  complex_reasoning = { "gpt-4.1", "claude-sonnet-4.5", "claude-opus-3.5" },
  creative_writing = { "gpt-4.1", "claude-sonnet-4.5" },
  fast_response = { "gemini-2.5-flash", "gpt-4o-mini" },
  otherwise = "simple_chat",
}
local saved = savings.against { over = 30 }

return {
  settings = { fallback = { default = true } },

  classify = function(request)
    local _, task = models_for(request.task)
    return task
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local cheapest_first = targets:of((models_for(request.label))):by "price.input"
    local healthy = cheapest_first:healthy()
    if #healthy > 0 then return healthy end
    if lunette.setting "fallback" then return cheapest_first:first():steps { wait = request.deadline } end
    return lunette.refuse { status = 503, message = "No provider of a model for " .. request.label .. " is healthy." }
  end,

  finish = function(request, outcome)
    local saving = outcome.usage and saved(request.targets, outcome.usage, outcome.cost)
    if saving then
      lunette.note("saving", { usd = saving.usd, percent = saving.percent })
      if saving.usd > 0 then lunette.metric("saved_usd", saving.usd) end      -- a counter: it only grows
    end
  end,
}
