-- A1, policies/timeout_tiers.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

local function gateway(providers, more) return support.example("timeout_tiers", providers, more) end

local slow = { text = "late", after = 100 }
local all = support.all

describe("A1 timeout tiers", function()
  for task, tier in pairs { faq = "fast", simple = "fast", normal = "normal", complex = "deep", analysis = "deep", unheard_of = "normal" } do
    it("a question of the kind " .. task .. " is in the tier " .. tier, function()
      assert.same({ tier }, gateway():ask({ task = task }).labels)
    end)
  end

  it("one that says nothing is in the tier normal", function()
    assert.same({ "normal" }, gateway():ask("hi").labels)
  end)

  for task, seconds in pairs { faq = 1, simple = 1, normal = 3, unheard_of = 3, complex = 8, analysis = 8 } do
    it(task .. " has " .. seconds .. " s, then the next model answers", function()
      local first
      local answer = gateway(all(function(request)
        first = first or request.model
        return request.model == first and slow or "in time"
      end)):ask { task = task }
      assert.equal("in time", answer.text)
      assert.equal(seconds, answer.attempts[1].took)
      assert.matches("timeout", answer.attempts[1].kind)
      assert.equal(seconds, answer.attempts[2].at)
    end)
  end

  it("an answer that came a moment before the end of its time counts", function()
    local answer = gateway(all { text = "just", after = 0.99 }):ask { task = "faq" }
    assert.equal("just", answer.text)
    assert.equal(1, #answer.attempts)
  end)

  it("a whole answer has to be whole in that time", function()
    local answer = gateway { deepseek = { text = "one", stall = true } }:ask { task = "faq" }
    assert.matches("timeout", answer.attempts[1].kind)
    assert.equal(1, answer.attempts[1].took)
  end)

  it("a stream has to begin in that time, and may then go on", function()
    local answer = gateway { deepseek = { text = "one two three four five six", every = 0.5 } }:ask { task = "faq", stream = true }
    assert.equal("one two three four five six", answer.text)
    assert.is_true(answer.latency > 2)
    assert.equal(1, gateway { deepseek = slow }:ask({ task = "faq", stream = true }).attempts[1].took)
  end)

  local recommended = {
    faq = { "deepseek-v3.2" }, talk = { "gpt-4.1", "gemini-2.5-flash" }, product_advice = { "claude-sonnet-4.5" },
    complaint_analysis = { "gpt-4.1", "claude-sonnet-4.5" }, report = { "gpt-4.1" },
  }
  for use, models in pairs(recommended) do
    it("recommends for " .. use .. " " .. table.concat(models, ", then "), function()
      local answer = gateway(all(500)):ask { task = use }
      for i, model in ipairs(models) do assert.equal(model, answer.attempts[i].target) end
    end)
  end

  it("keeps to the model that was named, with the tier's time", function()
    local answer = gateway(all(slow)):ask { model = "gpt-4.1", task = "faq" }
    assert.equal("gpt-4.1", answer.attempts[1].target)
    assert.equal(1, answer.attempts[1].took)
    assert.equal(1, #answer.attempts)
    assert.equal(502, answer.status)
  end)

  it("takes no name of a task for that of a model", function()
    local g = gateway()
    assert.is_nil(g:record(g:ask({ task = "faq" }).id).notes)
    assert.same({}, g.messages)
  end)
end)
