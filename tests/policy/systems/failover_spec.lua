-- C1 and C4, policies/failover.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function gateway(providers, more)
  return support.gateway({ policy = "policies/failover.lua", targets = { "first", "second", "third" }, providers = providers }, more)
end

local tried = support.tried

describe("C1 failover", function()
  it("asks providers in their order", function()
    assert.equal("first", tried(gateway():ask "hi"))
    assert.equal("first second third", tried(gateway({ first = 500, second = 500 }):ask "hi"))
  end)

  local failures = { ["429"] = 429, ["500"] = 500, ["503"] = 503, ["a network error"] = { fail = "connect_refused" },
                     ["a broken connection"] = { fail = "reset" }, ["a time-out"] = { text = "late", after = 1000 } }
  for name, failure in pairs(failures) do
    it(name .. " goes to the next", function()
      assert.equal("first second", tried(gateway({ first = failure }):ask "hi"))
    end)
  end

  for _, failure in ipairs { "500", "503", "a network error", "a broken connection", "a time-out" } do
    it("five in a row of " .. failure .. " and it is down: not asked any more", function()
      local g = gateway { first = failures[failure] }
      for _ = 1, 5 do assert.equal("first second", tried(g:ask "hi")) end
      assert.equal("second", tried(g:ask "hi"))
      assert.equal(5, #g:provider "first".calls)
    end)
  end

  it("four are not enough", function()
    local g = gateway { first = { 500, 500, 500, 500, "fine", 500 } }
    for _ = 1, 4 do g:ask "hi" end
    assert.equal("first", g:ask("hi").target)
  end)

  it("any success begins the count anew", function()
    local g = gateway { first = { 500, 500, 500, 500, "fine", 500, 500, 500, 500, "fine" } }
    for _ = 1, 9 do g:ask "hi" end
    assert.equal("first", g:ask("hi").target)
  end)

  it("a wrong request is no failure of the provider, and goes nowhere else", function()
    local g = gateway { first = 400 }
    for _ = 1, 7 do assert.equal("first", tried(g:ask "hi")) end
  end)

  it("when all are down, all are tried", function()
    local g = gateway { first = 500, second = 500, third = 500 }
    for i = 1, 5 do g:ask { at = i } end
    local answer = g:ask { at = 20 }                    -- past the 10 s of the retry budget
    assert.equal("first second third", tried(answer))
    assert.equal(502, answer.status)
  end)

  it("and one of them that is well again answers", function()
    local well = false
    local g = gateway { first = 500, second = function() return well and "well again" or 500 end, third = 500 }
    for i = 1, 5 do g:ask { at = i } end
    well = true
    assert.equal("well again", g:ask({ at = 20 }).text)
    assert.equal("second", tried(g:ask "hi"))
  end)
end)

describe("C4 rate limits and time-outs", function()
  it("a 429 goes to another provider of the model at once", function()
    local answer = gateway({ first = 429 }):ask "hi"
    assert.equal("second", answer.target)
    assert.equal(0, answer.latency)
  end)

  it("and backs off where nobody else has the model", function()
    local answer = gateway({ first = { 429, 429, "fine" } }, { targets = { "first" } }):ask "hi"
    assert.equal("fine", answer.text)
    assert.is_true(answer.latency >= 0.5 + 1 and answer.latency <= 1.5 + 3)
  end)

  it("as long as the provider says", function()
    local answer = gateway({ first = { { status = 429, headers = { ["retry-after"] = "7" } }, "fine" } }, { targets = { "first" } }):ask "hi"
    assert.equal(7, answer.latency)
  end)

  it("an attempt is given up after 30 s, and the next provider asked", function()
    local answer = gateway({ first = { text = "late", after = 31 } }):ask "hi"
    assert.equal("second", answer.target)
    assert.equal(30, answer.attempts[1].took)
    assert.equal("first", gateway({ first = { text = "just", after = 29.9 } }):ask("hi").target)
  end)

  it("a stream that never ends is too", function()
    local answer = gateway({ first = { text = ("word "):rep(100), every = 1 } }):ask { stream = true }
    assert.equal(30, answer.latency)
    assert.is_false(answer.clean)
  end)
end)
