-- Intelligent router: how hard the question is and what the user pays for decide the model. Each route has a ceiling on what the answer can cost;
-- where it would be passed, and when the route fails, the cheapest model that fits $0.05 answers, then the next cheapest.
-- A user's tier is the tag `tier` of the client's entry in gateway.lua (on an open gateway: of `x-lunette-tags`). Change the words, the routes, the ceilings.
-- Where the answer is waited for (class `interactive`) premium users get the fastest target of gpt-4.1.
local complexity = require "lunette.complexity"
local lunette = require "lunette"
local options = require "lunette.options"
local strategies = require "lunette.strategies"
local tiers = require "lunette.tiers"

local level = complexity.levels {
  keywords = { "algorithm", "architecture", "optimize", "performance" },
  code = { "```", "def ", "class " },
  { "complex", keywords = 1, over_words = 500 },
  { "medium", code = true, over_words = 100 },
  otherwise = "simple",
}
local tier_of = tiers.user { "free", "premium" }
local fastest = strategies.least_latency { last = 5 }

local routes = {
  premium = { model = "claude-sonnet-4.5", order = strategies.sticky },
  premium_fast = { model = "gpt-4.1", order = fastest },
  simple = { model = "deepseek-v3.2", ceiling = 0.10, order = strategies.sticky },
  medium = { model = "gemini-2.5-flash", ceiling = 0.50, order = strategies.sticky },
  complex = { model = "gemini-2.5-flash", order = strategies.peak_ewma },                    -- balanced
}
for name, route in pairs(routes) do
  options.read("intelligent_router: " .. name, route, {
    model = { "model", required = true }, ceiling = { "number", min = 0 }, order = { "function", required = true },
  })
end

-- Those that cannot cost more than the ceiling, in USD, as far as their price is known; all, where there is no ceiling.
local function within(targets, ceiling, request)
  if not ceiling then return targets end
  return targets:where(function(target) return (target:max_cost(request) or math.huge) <= ceiling end)
end

return {
  classify = function(request) return { level(request), tier_of(request) } end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local name = request.label
    if tier_of(request) == "premium" then name = request.class == "interactive" and "premium_fast" or "premium" end
    local route = routes[name]
    local chosen = within(targets:of(route.model), route.ceiling, request)
    local last = within(targets, 0.05, request):by "price.input"
    if #chosen + #last == 0 then
      return lunette.refuse {
        status = 402, message = "No model is known to cost at most what a " .. name .. " question may: ask for fewer tokens (max_tokens).",
      }
    end
    return route.order(chosen, request) .. last
  end,
}
