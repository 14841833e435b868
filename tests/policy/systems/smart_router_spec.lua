-- C2, policies/smart_router.lua, at the prices of the row: one price for input and output.
local t = require "lunette.test"

local prices = {
  ["deepseek-v3.2"] = 0.42, ["gemini-2.5-flash"] = 2.50, ["gpt-4o-mini"] = 8.00, ["gpt-4.1"] = 8.00, ["claude-sonnet-4.5"] = 15.00,
  ["claude-opus-3.5"] = 45.00, ["gpt-4-turbo"] = 60.00,
}

-- Each model at a provider of its own name.
local function gateway(providers, settings)
  local models = {}
  for name, price in pairs(prices) do models[name] = { { provider = name, name = name, price = { input = price, output = price } } } end
  return t.gateway { policy = "policies/smart_router.lua", models = models, providers = providers, settings = settings }
end

local table_of_tasks = {
  simple_chat = { "deepseek-v3.2", "gemini-2.5-flash", "gpt-4o-mini" },
  code_generation = { "deepseek-v3.2", "gpt-4.1", "claude-sonnet-4.5" },
  complex_reasoning = { "gpt-4.1", "claude-sonnet-4.5", "claude-opus-3.5" },
  creative_writing = { "gpt-4.1", "claude-sonnet-4.5" },
  fast_response = { "gemini-2.5-flash", "gpt-4o-mini" },
}

local function failing(models)
  local providers = {}
  for _, name in ipairs(models) do providers[name] = 500 end
  return providers
end

describe("C2 smart router", function()
  for task, models in pairs(table_of_tasks) do
    it(task .. " goes to " .. table.concat(models, ", then "), function()
      local answer = gateway(failing(models)):ask { task = task }
      assert.same({ task }, answer.labels)
      local tried = {}
      for i, attempt in ipairs(answer.attempts) do tried[i] = attempt.target end
      assert.same(models, tried)
    end)

    it(task .. ": the cheapest answers", function()
      assert.equal(models[1], gateway():ask({ task = task }).target)
    end)
  end

  it("an unknown task is simple_chat, and so is none", function()
    assert.same({ "simple_chat" }, gateway():ask({ task = "astrology" }).labels)
    assert.same({ "simple_chat" }, gateway():ask("hi").labels)
    assert.equal("deepseek-v3.2", gateway():ask("hi").target)
  end)

  it("names no model that is none", function()
    local g = gateway()
    for task in pairs(table_of_tasks) do g:ask { task = task } end
    assert.same({}, g.messages)
  end)

  it("one whose provider is not healthy is not picked", function()
    local g = gateway { ["deepseek-v3.2"] = 500 }
    for _ = 1, 5 do g:ask "hi" end
    local answer = g:ask "hi"
    assert.equal("gemini-2.5-flash", answer.target)
    assert.equal(1, #answer.attempts)
    assert.is_false(answer.fallback or false)
  end)

  local function exhausted(settings)
    local g = gateway(failing { "gemini-2.5-flash", "gpt-4o-mini" }, settings)
    for _ = 1, 5 do g:ask { task = "fast_response" } end
    return g
  end

  it("when none is healthy the cheapest is asked anyway", function()
    local answer = exhausted():ask { task = "fast_response" }
    assert.equal(1, #answer.attempts)
    assert.equal("gemini-2.5-flash", answer.attempts[1].target)
  end)

  it("unless fallback is off", function()
    local answer = exhausted({ fallback = false }):ask { task = "fast_response" }
    assert.equal(503, answer.status)
    assert.matches("fast_response", answer.error.message)
    assert.equal(0, #(answer.attempts or {}))
  end)

  it("says what was saved against the mean of the premium models (45 and 60: 52.50)", function()
    local g = gateway { ["deepseek-v3.2"] = { text = "x", usage = { input = 600000, output = 400000 } } }
    local saving = g:ask("hi").notes.saving
    assert.near(52.5 - 0.42, saving.usd, 1e-9)
    assert.near(100 * (1 - 0.42 / 52.5), saving.percent, 1e-6)
    assert.near(52.08, g:metric "lunette_policy_saved_usd", 1e-9)
  end)

  it("leaves alone who names a model", function()
    assert.equal("gpt-4-turbo", gateway():ask({ model = "gpt-4-turbo", task = "simple_chat" }).target)
  end)
end)
