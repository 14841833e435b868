-- D1, policies/fallback_router.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function gateway(providers, more) return support.example("fallback_router", providers, more) end

local tried = support.tried

local late = { text = "late", after = 1000 }
local all_late = { deepseek = late, moonshot = late, openai = late }

describe("D1 strategies", function()
  local strategies = {
    high_quality = { "legal", "medical", "complex_reasoning" },
    balanced = { "code", "analysis", "writing" },
    low_cost = { "summarize", "classify", "extract", "unheard_of" },
  }
  for strategy, tasks in pairs(strategies) do
    for _, task in ipairs(tasks) do
      it(task .. " is " .. strategy, function() assert.same({ strategy }, gateway():ask({ task = task }).labels) end)
    end
  end

  it("no task is low_cost", function() assert.same({ "low_cost" }, gateway():ask("hi").labels) end)

  it("a budget over $0.05 is high_quality, whatever the task", function()
    local function strategy(usd) return gateway():ask({ task = "summarize", headers = { ["x-lunette-budget"] = usd } }).labels[1] end
    assert.equal("low_cost", strategy "0.05")
    assert.equal("high_quality", strategy "0.0501")
    assert.equal("high_quality", strategy "1")
  end)
end)

describe("D1 stages", function()
  it("the primary answers as long as it can", function()
    for _, task in ipairs { "legal", "code", "summarize" } do assert.equal("deepseek-v3", tried(gateway():ask { task = task })) end
  end)

  it("high_quality: 3, 4 and 5 s, and the third stage is gpt-4.1", function()
    local answer = gateway(all_late):ask { task = "legal" }
    assert.equal("deepseek-v3 kimi-k2 gpt-4.1", tried(answer))
    assert.equal(3, answer.attempts[1].took)
    assert.equal(4, answer.attempts[2].took)
    assert.equal(5, answer.attempts[3].took)
    assert.equal(12, answer.latency)
  end)

  it("the others have two stages", function()
    assert.equal("deepseek-v3 kimi-k2", tried(gateway(all_late):ask { task = "code" }))
    assert.equal("deepseek-v3 kimi-k2", tried(gateway(all_late):ask { task = "summarize" }))
  end)

  it("429 is retried at the same model after 1, 2, 4 s, then the next one is asked", function()
    local answer = gateway({ deepseek = 429 }):ask { task = "code" }
    assert.equal("deepseek-v3 deepseek-v3 deepseek-v3 deepseek-v3 kimi-k2", tried(answer))
    for i, at in ipairs { 0, 1, 3, 7, 7 } do assert.near(at, answer.attempts[i].at, 1e-6) end
  end)

  for name, failure in pairs { ["500"] = 500, ["503"] = 503, ["404"] = 404, ["a broken connection"] = { fail = "reset" } } do
    it(name .. " goes on to the next at once", function()
      local answer = gateway({ deepseek = failure }):ask { task = "code" }
      assert.equal("deepseek-v3 kimi-k2", tried(answer))
      assert.equal(answer.attempts[1].took, answer.attempts[2].at)
    end)
  end

  it("what is wrong with the request is wrong everywhere", function()
    assert.equal("deepseek-v3", tried(gateway({ deepseek = 400 }):ask { task = "code" }))
  end)

  it("an answer of the last stage warns of its cost, no other does", function()
    local answer = gateway({ deepseek = 500, moonshot = 500 }):ask { task = "legal" }
    assert.equal("gpt-4.1", answer.target)
    assert.matches("^cost: ", answer.headers["x-lunette-warning"])
    assert.is_nil(gateway({ deepseek = 500 }):ask({ task = "legal" }).headers["x-lunette-warning"])
    assert.is_nil(gateway():ask({ task = "legal" }).headers["x-lunette-warning"])
  end)

  it("the primary's time can be set", function()
    assert.equal(1.5, gateway(all_late, { settings = { fallback_after = 1.5 } }):ask({ task = "code" }).attempts[1].took)
  end)
end)

describe("D3 settings by environment", function()
  local function from(environment, providers) return support.example("fallback_router", providers, { environment = environment }) end

  it("the fallback threshold is 3000 ms unless the environment says otherwise", function()
    assert.equal(3, from({}, all_late):ask({ task = "code" }).attempts[1].took)
    assert.equal(1.5, from({ LUNETTE_SETTINGS_FALLBACK_AFTER = "1.5" }, all_late):ask({ task = "code" }).attempts[1].took)
  end)

  it("a circuit opens after 5 failures for 60 s unless the environment says otherwise", function()
    local function times(environment)
      local broken = true
      local g = from(environment, { deepseek = function() return broken and 500 or "well again" end })
      local failures = 0
      repeat
        failures = failures + 1
        local answer = g:ask { task = "code", at = failures * 0.1 }
      until answer.attempts[1].target ~= "deepseek-v3"
      broken = false
      local at = 1
      while g:ask({ task = "code", at = at }).target ~= "deepseek-v3" do at = at + 1 end
      return failures - 1, at
    end
    assert.same({ 5, 61 }, { times {} })
    assert.same({ 2, 8 }, { times { LUNETTE_HEALTH_FAILURES = "2", LUNETTE_HEALTH_REST = "7" } })
  end)

  it("what makes no sense is refused by name", function()
    assert.matches("LUNETTE_SETTINGS_FALLBACK_AFTER", tostring(select(2, pcall(from, { LUNETTE_SETTINGS_FALLBACK_AFTER = "-3" }))))
    assert.matches("LUNETTE_SETTINGS_FALLBACK_AFER", tostring(select(2, pcall(from, { LUNETTE_SETTINGS_FALLBACK_AFER = "3" }))))
    assert.matches("LUNETTE_HEALTH_FAILURES", tostring(select(2, pcall(from, { LUNETTE_HEALTH_FAILURES = "0" }))))
  end)
end)
