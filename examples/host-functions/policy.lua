-- The program's own classifier says what a question is about and how sure it is; the policy says what to make of that. Where the classifier is not
-- there (`lunette check`, the trial run of a reload) or fails, it is "unknown", which the large model answers.
local lunette = require "lunette"
local ask_host = lunette.host.classify or function() end

return {
  settings = { sure = { default = 0.6, min = 0, max = 1 } },

  classify = function(request)
    local good, label, confidence = pcall(ask_host, request.text)
    if not good then lunette.log("the classifier failed: " .. tostring(label)) end
    if not good or not label or confidence < lunette.setting "sure" then return "unknown" end
    lunette.note("confidence", confidence)
    return label
  end,

  select = function(request, targets)
    if request.model ~= "auto" then return nil end
    local small, large = targets:of("small"), targets:of("large")
    return request.label == "smalltalk" and small .. large or large
  end,
}
