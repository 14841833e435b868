-- A2, policies/retry_manager.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function ask(openai, more) return support.example("retry_manager", { openai = openai }, more):ask { model = "gpt-4.1" } end

local waits = support.waits

local function assert_within(expected, answer)
  local list = waits(answer)
  assert.equal(#expected, #list)
  for i, wait in ipairs(list) do
    assert.is_true(wait >= 0.5 * expected[i] - 1e-6 and wait <= 1.5 * expected[i] + 1e-6, "wait " .. i .. " is " .. wait)
  end
end

describe("A2 retry manager", function()
  for _, status in ipairs { 408, 500, 502, 503, 504 } do
    it(status .. " is tried again after 1, 2, 4 s, three times", function()
      local answer = ask(status)
      assert.equal(4, #answer.attempts)
      assert_within({ 1, 2, 4 }, answer)
    end)
  end

  it("429 climbs 5, 10, 20 s", function()
    local answer = ask(429)
    assert.equal(4, #answer.attempts)
    assert_within({ 5, 10, 20 }, answer)
  end)

  it("503 and 429 wait as long as the provider says, if that is longer", function()
    for _, status in ipairs { 429, 503 } do
      local answer = ask { { status = status, headers = { ["retry-after"] = "17" } }, "fine" }
      assert.equal("fine", answer.text)
      assert.equal(17, waits(answer)[1])
    end
  end)

  for _, status in ipairs { 400, 401, 403, 404, 422 } do
    it(status .. " is never tried again", function()
      local answer = ask { answer = status, keys = 2 }
      assert.equal(1, #answer.attempts)
    end)
  end

  it("time-outs and broken connections are tried again like 504", function()
    for _, fail in ipairs { "reset", "connect_refused", "connect_timeout" } do
      local answer = ask { { fail = fail }, "fine" }
      assert.equal("fine", answer.text)
      assert_within({ 1 }, answer)
    end
  end)

  it("waits vary from 50 % to 150 %", function()
    local least, most = math.huge, 0
    for seed = 1, 60 do
      local wait = waits(ask({ 500, "fine" }, { seed = seed }))[1]
      least, most = math.min(least, wait), math.max(most, wait)
    end
    assert.is_true(least >= 0.5 and least < 0.6)
    assert.is_true(most <= 1.5 and most > 1.4)
  end)

  it("what a second try mends is a success", function()
    local answer = ask { 500, 429, "fine" }
    assert.equal(200, answer.status)
    assert.equal("fine", answer.text)
    assert.is_false(answer.fallback or false)
  end)

  it("can fall back to another model instead", function()
    local answer = ask(500, { settings = { fallback = true } })
    assert.equal(200, answer.status)
    assert.not_equal("openai", answer.provider)
    for _, wait in ipairs(waits(answer)) do assert.equal(0, wait) end
  end)

  it("falling back does not forgive a wrong request", function()
    assert.equal(1, #ask(400, { settings = { fallback = true } }).attempts)
  end)
end)
