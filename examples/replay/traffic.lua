-- A day of questions that nobody has asked yet, for `lunette replay --synthetic`: one in ten is long, fewer come at night, and the cheap model
-- is down for half an hour.
local long = "A question, and all that has to be known of it:" .. (" more"):rep(50)
return {
  seed = 1,
  requests = 20000,
  arrivals = { per_hour = { 200, 100, 100, 100, 100, 200, 500, 1000, 2000, 2000, 2000, 2000,
                            1500, 2000, 2000, 2000, 1500, 1000, 500, 500, 500, 500, 300, 200 } },
  mix = {
    { weight = 9, text = "What is it?", input = { median = 60, p99 = 300 }, output = { median = 40, p99 = 200 } },
    { weight = 1, text = long, stream = true, input = { median = 500, p99 = 2000 }, output = { median = 100, p99 = 400 } },
  },
  targets = {
    ["simulated/cheap-1"] = { latency = { median = 0.4, p99 = 2 }, failures = 0.02, kind = "overloaded", episodes = { { from = 36000, to = 37800 } } },
    ["simulated/strong-1"] = { latency = { median = 1.5, p99 = 9 }, failures = 0.005, requests_per_minute = 60 },
  },
}
