-- policies/interactive_and_batch.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function gateway(providers, more)
  return support.gateway({
    policy = "policies/interactive_and_batch.lua", providers = providers,
    targets = { { provider = "cheap", name = "cheap", price = { input = 1, output = 1 }, requests_per_minute = 10 },
                { provider = "dear", name = "dear", price = { input = 9, output = 9 }, requests_per_minute = 10 } },
    clients = { { name = "ann" }, { name = "nightly", class = "batch" } },
  }, more)
end

describe("interactive", function()
  it("a second target is asked after 0.8 s of silence, and the first good answer wins", function()
    local slow = { text = "slow", after = 5 }
    local calls = 0
    local function first_is_slow() calls = calls + 1 return calls == 1 and slow or "quick" end
    local answer = gateway({ cheap = first_is_slow, dear = first_is_slow }):ask { client = "ann" }
    assert.equal("quick", answer.text)
    assert.equal(0.8, answer.latency)
    assert.is_true(answer.attempts[2].hedge)
  end)

  it("nobody else is asked before that", function()
    local soon = { text = "soon", after = 0.79 }
    assert.equal(1, #gateway({ cheap = soon, dear = soon }):ask({ client = "ann" }).attempts)
  end)
end)

describe("batch", function()
  it("goes to the cheapest and is never asked twice at once", function()
    local answer = gateway({ cheap = { text = "slow", after = 9 } }):ask { client = "nightly" }
    assert.equal("cheap", answer.target)
    assert.equal(9, answer.latency)
    assert.equal(1, #answer.attempts)
  end)

  it("takes at most 70 % of the window and queues for the rest, rather than go to the dear one", function()
    local g = gateway()
    for _ = 1, 7 do assert.equal(0, g:ask({ client = "nightly" }).latency) end
    local eighth = g:ask { client = "nightly" }
    assert.equal("cheap", eighth.target)
    assert.is_true(eighth.latency > 50 and eighth.latency <= 60.001)
  end)

  it("lets interactive questions go first", function()
    local g = gateway()
    for _ = 1, 7 do g:ask { client = "nightly" } end
    local waiting = g:start { client = "nightly" }
    for _ = 1, 3 do assert.equal(0, g:ask({ client = "ann" }).latency) end
    assert.is_false(waiting:done())
    assert.equal(200, waiting:answer().status)
  end)

  it("goes on to the next target when its turn would come after its deadline", function()
    local g = gateway(nil, { limits = { deadline = 20 } })
    for _ = 1, 7 do g:ask { client = "nightly" } end
    local answer = g:ask { client = "nightly" }
    assert.equal("pool_full", answer.attempts[1].kind)
    assert.equal("dear", answer.target)
    assert.equal(0, answer.latency)
  end)
end)
