-- More than there is room or time for: load above what a worker can do, crowds of idle clients, clients that are slow on purpose or never read. Good traffic
-- goes on beside them. The short forms; the long ones with their figures: make stress.
local e2e = require "support"

local config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } },
  policy = "policy.lua", limits = { lag = %s } }]]
-- Some milliseconds of work for each question.
local policy = [[return { classify = function(request) local n = 0 for i = 1, 400000 do n = n + i % 7 end return "worked" end }]]

describe("a worker that is asked for more than it can do", function()
  local provider
  before_each(function() provider = e2e.provider [[return function() return { text = "fine", usage = { input = 1, output = 1 } } end]] end)
  after_each(e2e.stop)

  local function serve(lag) return e2e.gateway { config = config:format(lag), files = { ["policy.lua"] = policy }, env = { A = provider.url } } end
  -- So many at once; how many were answered with which status.
  local function wave(g, n)
    local open, counts = {}, {}
    for i = 1, n do open[i] = g:open {} end
    for i = 1, n do
      local answer = open[i]:rest()
      counts[answer.status] = (counts[answer.status] or 0) + 1
      if answer.status == 503 then
        assert.equal("1", answer.headers["retry-after"])
        assert.equal("true", answer.headers["x-should-retry"])
        assert.equal("overloaded", answer.json.error.code)
      end
    end
    return counts
  end

  it("refuses a part of it at once, with 503 and retry-after, and answers the rest", function()
    local g = serve "0.001"
    local counts = wave(g, 60)
    assert.is_true((counts[503] or 0) > 0 and (counts[200] or 0) > 0, ("%s answered, %s refused"):format(counts[200], counts[503]))
    assert.equal(60, counts[200] + counts[503])
    assert.equal(counts[200], provider:count())                       -- who is refused costs no call
    assert.equal(counts[503], g:metric 'lunette_refused_total{status="503"}')
  end)

  it("refuses nobody when they come one after the other", function()
    local g = serve "0.1"
    for _ = 1, 40 do assert.equal(200, g:chat {}.status) end
  end)

  it("refuses nobody where that is turned off", function()
    local g = serve "false"
    assert.same({ [200] = 60 }, wave(g, 60))
  end)
end)
