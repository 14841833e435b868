-- Model degradation: how hard a question looks decides how far down the chain of models it may go. A hard one may be answered by any, the best first;
-- a middling one not by the weakest; a simple one goes to the two cheapest, the cheapest first. A model whose circuit is open is skipped.
-- Change the words, the lengths, and `chain`, which is in the order of priority.
local complexity = require "lunette.complexity"
local options = require "lunette.options"

local level = complexity.levels {
  keywords = { "phân tích", "tổng hợp", "so sánh", "đánh giá", "tại sao", "vì sao", "giải thích", "báo cáo",
               "analyze", "synthesize", "compare", "evaluate" },
  { "complex", keywords = 2, over_chars = 500 },
  { "moderate", keywords = 1, over_chars = 150 },
  otherwise = "simple",
}

local chain = { "gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2" }
options.read("degradation_chain", { chain = chain }, { chain = { "models" } })
local weakest = chain[#chain]

-- All targets of the two cheapest models.
local function two_cheapest(targets)
  local cheapest_first = targets:by "price.input"
  local first = cheapest_first[1] and cheapest_first[1].model
  local others = cheapest_first:where(function(target) return target.model ~= first end)
  local second = others[1] and others[1].model
  return cheapest_first:where(function(target) return target.model == first or target.model == second end)
end

return {
  classify = function(request) return level(request) end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local models = targets:of(chain)
    if request.label == "moderate" then models = models:where(function(target) return target.model ~= weakest end) end
    local able = models:healthy()
    if #able == 0 then able = models end
    if request.label == "complex" or request.label == "moderate" then return able end
    return two_cheapest(able)
  end,
}
