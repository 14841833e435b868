-- B1, policies/exponential_backoff.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

local function ask(openai, more)
  local parts = { environment = { LUNETTE_PROVIDERS_OPENAI_TIMEOUTS_FIRST_BYTE = "2" } }
  for name, value in pairs(more or {}) do parts[name] = value end
  return support.example("exponential_backoff", { openai = openai }, parts):ask { model = "gpt-4.1" }
end

local waits = support.waits

describe("B1 exponential back-off", function()
  it("waits 1, 2, 4, 8, 16 s, ± 0.5 s, five times", function()
    for seed = 1, 20 do
      local list = waits(ask(503, { seed = seed }))
      assert.equal(5, #list)
      for i, wait in ipairs(list) do assert.is_true(math.abs(wait - 2 ^ (i - 1)) <= 0.5 + 1e-6, "wait " .. i .. " is " .. wait) end
    end
  end)

  it("waits differ", function()
    assert.not_equal(waits(ask({ 500, "fine" }, { seed = 1 }))[1], waits(ask({ 500, "fine" }, { seed = 2 }))[1])
  end)

  it("never waits longer than 60 s", function()
    local backoff = [[
      local backoff = require "lunette.backoff"
      local wait = backoff.exponential { base = 1, max = 60, jitter_seconds = 0.5 }
      return { classify = function() return tostring(wait(7)), tostring(wait(40)) end }]]
    for seed = 1, 20 do
      local wait = tonumber(t.gateway({ policy = backoff, seed = seed }):ask("hi").labels[1])
      assert.is_true(wait >= 59.5 and wait <= 60.5)
    end
  end)

  for _, status in ipairs { 429, 500, 501, 502, 503, 504, 520, 529 } do
    it(status .. " is tried again", function()
      local answer = ask { status, "fine" }
      assert.equal("fine", answer.text)
      assert.equal(2, #answer.attempts)
    end)
  end

  for _, fail in ipairs { "dns", "tls", "connect_refused", "connect_timeout", "reset" } do
    it(fail .. " is tried again", function()
      assert.equal("fine", ask({ { fail = fail }, "fine" }).text)
    end)
  end

  it("a time-out is tried again", function()
    local answer = ask { { text = "late", after = 50 }, "fine" }
    assert.equal("fine", answer.text)
    assert.equal("first_byte_timeout", answer.attempts[1].kind)
  end)

  it("an answer that was cut is tried again", function()
    assert.equal("fine", ask({ { text = "half of it", cut = "fin" }, "fine" }).text)
  end)

  for _, status in ipairs { 400, 401, 402, 403, 404, 405, 409, 413, 418, 422, 451, 499 } do
    it(status .. " is never tried again", function()
      assert.equal(1, #ask({ status, "fine" }).attempts)
    end)
  end

  it("credit that is used up is not waited for", function()
    local used_up = { status = 429, body = { error = { code = "insufficient_quota", type = "insufficient_quota", message = "You exceeded your quota" } } }
    assert.equal(1, #ask({ used_up, "fine" }).attempts)
  end)

  it("the sixth failure is final", function()
    local answer = ask(500)
    assert.equal(6, #answer.attempts)
    assert.equal(502, answer.status)
  end)
end)
