-- A gateway with two workers and 64 connections, reloaded every 50 ms: what its clients notice, in figures. STRESS_ROUNDS (6), STRESS_SECONDS (5).
local e2e = require "support"
local under_load = require "under_load"

local rounds, seconds, every = tonumber(os.getenv "STRESS_ROUNDS") or 6, tonumber(os.getenv "STRESS_SECONDS") or 5, 0.05

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- Over the last half of the rounds, in KiB a reload: what is more at the end, and no more than what came while reloading. One stall of the machine
-- is a crowd of requests, which memory keeps; it is no reload's.
local function growth(before, after, reloads)
  local first, came = math.ceil(#after / 2), 0
  for round = first + 1, #after do came = came + after[round] - before[round] end
  return math.min(came, after[#after] - after[first]) / (reloads * (#after - first) / #after)
end

local function show(what, figures, world)
  print(("%-22s %6d requests %5d streams %2d failures %2d torn %2d mixed  p50 %5d p99 %5d us  %6d KiB"):format(what, figures.requests, figures.streams,
    figures.failures, figures.torn, figures.mixed, figures.p50, figures.p99, world:rss()))
end

describe("a gateway that is reloaded every 50 ms under load", function()
  local world
  teardown(e2e.stop)

  setup(function()
    world = under_load.start { connections = 64, streams = 16, rate = 800 }
    os.execute "chrt --idle -p 0 $PPID"       -- this process is to disturb nothing; what it has started is not touched
    world:quiet(2, every)
  end)

  -- Quiet and reloading in turn, either first as often; the median of the ratios of neighbours, since the machine's own pace drifts, and how memory grew.
  local function compare(mode)
    local p50, p99, before, after = { quiet = {}, [mode] = {} }, { quiet = {}, [mode] = {} }, {}, {}
    world.durations = {}
    for round = 1, rounds do
      local order = round % 2 == 0 and { mode, "quiet" } or { "quiet", mode }
      for _, what in ipairs(order) do
        if what == mode then before[round] = world:rss() end
        local figures = what == mode and world:reloading(seconds, every, mode) or world:quiet(seconds, every)
        if what == mode then after[round] = world:rss() end
        p50[what][round], p99[what][round] = figures.p50, figures.p99
        show("round " .. round .. ", " .. what, figures, world)
        assert.same({ 0, 0, 0 }, { figures.failures, figures.torn, figures.mixed })
      end
    end
    local durations, sum = world.durations, 0
    table.sort(durations)
    for _, duration in ipairs(durations) do sum = sum + duration end
    local grown = growth(before, after, #durations)
    local function ratio(of)
      local ratios = {}
      for round = 1, rounds do ratios[round] = of[mode][round] / of.quiet[round] end
      return median(ratios)
    end
    print(("%s: %d reloads, mean %.1f, median %.1f, p99 %.1f ms; reloading / quiet: p50 %.2f, p99 %.2f; memory grew by %.2f KiB a reload"):format(mode,
      #durations, 1000 * sum / #durations, 1000 * median(durations), 1000 * durations[math.ceil(#durations * 0.99)], ratio(p50), ratio(p99), grown))
    return ratio(p99), grown
  end

  local function unnoticed(mode)
    local ratio, grown = compare(mode)
    assert.is_true(ratio <= 1.1, "p99 is " .. ratio .. " times as long as without reloads")
    assert.is_true(grown <= 1, "memory grew by " .. grown .. " KiB a reload over the last half")
  end

  it("serves as fast as before, from two versions in turn", function() unnoticed "two" end)
  it("serves as fast as before, from versions that are each a new one", function() unnoticed "new" end)

  it("has every hook of a request run by one version, which answer and log line name", function()
    local last, lines, retried = world:finish()
    print(world.asked .. " requests, " .. lines .. " lines of the log, " .. retried .. " of them with a retry: none of two versions")
    assert.same({ 0, 0, 0 }, { last.failures, last.torn, last.mixed })
    assert.is_true(lines >= world.asked and retried > 0)
  end)
end)
