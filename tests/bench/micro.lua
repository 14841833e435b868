-- The parts of a request's work, each alone (micro.c): what `make bench-micro` prints, and what is counted by instructions.lua.
local cjson, e2e = require "cjson", require "support"

-- How often, so that each takes some tenths of a second.
local micro = { program = e2e.lunette:match "^(.*)/" .. "/tests/bench_micro",
                names = { "head", "json", "sse", "recognise", "decide", "line", "metrics", "turn" },
                times = { head = 400000, copy = 1000000, json = 100000, sse = 100000, recognise = 50000, decide = 10000, line = 100000, metrics = 300000,
                          turn = 1000, predict = 100000, predict_long = 10000 },
                runs = { head = 1000, json = 100, sse = 100, recognise = 200, decide = 200, line = 500, metrics = 500, turn = 50 } }

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- Nanoseconds of one run, the median of five, and the bytes it looks at.
function micro.measure(name)
  local times, bytes = {}, 0
  for i = 1, 5 do
    local status, out, errors = e2e.run { micro.program, name, tostring(micro.times[name]) }
    if status ~= 0 then error(errors, 0) end
    local ns, n = out:match "^%S+ (%S+) (%d+)"
    times[i], bytes = tonumber(ns), tonumber(n)
  end
  return median(times), bytes
end

-- Debian's lua-cjson on the same text.
function micro.cjson(text)
  local times = {}
  for i = 1, 5 do
    local since = os.clock()
    for _ = 1, 500 do cjson.decode(text) end
    times[i] = (os.clock() - since) / 500 * 1e9
  end
  return median(times)
end

return micro
