local lunette, router = require "lunette", require "router"

return {
  settings = { threshold = { default = 0.1, min = 0, max = 1 } },
  classify = function(request)
    local gain, why = lunette.predict(router, request)
    lunette.note("gain", gain or why)
    return gain and (gain > lunette.setting "threshold" and "hard" or "easy")
  end,
  select = function(request, targets) return request.label == "hard" and targets:named "b" or targets:named "a" end,
}
