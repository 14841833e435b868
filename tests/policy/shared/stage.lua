return {
  classify = function(request) return request.targets[1].facts.stage end,
  select = function(_, targets) return targets end,
}
