-- Classifier: a small model says what kind of question it is. It has one second; when it is late, fails, or says something else, keywords decide instead.
-- Change the kinds, the words, and which models answer which kind. What the small model said of a text is kept for a day.
local complexity = require "lunette.complexity"
local lunette = require "lunette"
local options = require "lunette.options"
local tasks = require "lunette.tasks"

local classifier, limit = "gemini-2.5-flash", 1
options.read("classifier", { classifier = classifier }, { classifier = { "model" } })

local by_keywords = complexity.levels {
  keywords = { "refund", "broken", "complaint", "unhappy", "khiếu nại", "hoàn tiền", "hỏng" },
  code = { "```", "def ", "class ", "function" },
  { "complaint", keywords = 1 },
  { "code", code = true },
  otherwise = "chat",
}
local models_for = tasks.models {
  chat = { "deepseek-v3.2", "gemini-2.5-flash" },
  code = { "gpt-4.1", "claude-sonnet-4.5" },
  complaint = { "claude-sonnet-4.5", "gpt-4.1" },
  otherwise = "chat",
}

local function ask(request)
  local key = "classifier/" .. lunette.hash(request.text)
  local kind = lunette.store.get(key)
  if kind then return kind end
  kind = lunette.chat { model = classifier, timeout = limit, max_tokens = 5, choices = { "chat", "code", "complaint" },
                        text = "What kind of message is this?\n\n" .. request.text:sub(1, 2000) }
  if kind then lunette.store.set(key, kind, 86400) end
  return kind
end

return {
  classify = function(request)
    if request.model ~= "auto" then return nil end
    local kind = ask(request)
    return { kind or by_keywords(request), kind and "asked" or "guessed" }
  end,

  select = function(request, targets)
    if request.model == "auto" then return targets:of((models_for(request.label))) end
  end,
}
