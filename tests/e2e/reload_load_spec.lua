-- Reloads under load: nobody notices but by the version. A few seconds of what tests/stress does for minutes.
local e2e = require "support"
local under_load = require "under_load"

describe("under load, while it is reloaded again and again, a gateway", function()
  local world
  teardown(e2e.stop)

  local function unharmed(figures)
    assert.same({ failures = 0, torn = 0, mixed = 0 }, { failures = figures.failures, torn = figures.torn, mixed = figures.mixed })
    assert.is_true(figures.requests > 50 and figures.streams > 5, figures.requests .. " requests, " .. figures.streams .. " streams")
  end

  setup(function() world = under_load.start { connections = 32, streams = 16, rate = 300 } end)

  it("answers every request, and tears no stream, from two versions in turn", function()
    unharmed(world:reloading(2, 0.05, "two", 6))
    assert.is_true(#world.durations >= 5)
  end)

  it("nor from versions that are each a new one", function()
    unharmed(world:reloading(2, 0.05, "new", 6))
  end)

  it("has every hook of a request run by one version, which answer and log line name", function()
    local last, lines, retried = world:finish()
    assert.same({ 0, 0, 0 }, { last.failures, last.torn, last.mixed })
    assert.is_true(lines >= world.asked and retried > 0)
    assert.is_true(world.g:look("versions").generation > 10)
  end)

  it("is left with one version, and with the descriptors that it began with", function()
    e2e.eventually("one version is left", function() return world.g:look("versions").live == 1 end)
    e2e.eventually("the connections are closed", function() return world.g:metric "lunette_connections" == 0 end)
    local rest = world:descriptors()
    for i = 1, 20 do world:take("after" .. i) end
    e2e.eventually("one version is left", function() return world.g:look("versions").live == 1 end)
    e2e.eventually("it has as many descriptors as before", function() return world:descriptors() <= rest end)
  end)
end)
