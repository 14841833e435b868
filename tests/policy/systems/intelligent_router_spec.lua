-- E2, policies/intelligent_router.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

local function gateway(providers, more) return support.example("intelligent_router", providers, more) end

local function ask(text, question)
  local q = { text = text, tags = { tier = question and question.tier }, headers = { ["x-lunette-class"] = question and question.class } }
  return gateway(question and question.providers):ask(q)
end

local function words(n) return ("word "):rep(n) end
local SIMPLE, MEDIUM, COMPLEX = "hi", "def f(x): return x", "which algorithm?"

describe("E2 complexity", function()
  it("over 500 words is complex, over 100 medium", function()
    assert.equal("simple", ask(words(100)).labels[1])
    assert.equal("medium", ask(words(101)).labels[1])
    assert.equal("medium", ask(words(500)).labels[1])
    assert.equal("complex", ask(words(501)).labels[1])
  end)

  for _, term in ipairs { "algorithm", "architecture", "optimize", "performance" } do
    it("the word " .. term .. " is complex, whatever its case", function()
      assert.equal("complex", ask("the " .. term .. " of it").labels[1])
      assert.equal("complex", ask(term:upper()).labels[1])
    end)
  end

  for name, code in pairs { ["a fence"] = "look:\n```\nx\n```", ["def"] = "what does def f mean", ["class"] = "class A: pass" } do
    it(name .. " is code, and code is medium", function() assert.equal("medium", ask(code).labels[1]) end)
  end

  it("anything else is simple", function()
    for _, text in ipairs { "hi", "", "classical music", "undefined behaviour" } do assert.equal("simple", ask(text).labels[1]) end
  end)
end)

describe("E2 tiers", function()
  it("premium goes to claude-sonnet-4.5", function()
    for _, text in ipairs { SIMPLE, MEDIUM, COMPLEX } do assert.equal("claude-sonnet-4.5", ask(text, { tier = "premium" }).target) end
  end)

  it("or, where the answer is waited for, to gpt-4.1", function()
    assert.equal("gpt-4.1", ask(SIMPLE, { tier = "premium", class = "interactive" }).target)
  end)

  it("of several targets of gpt-4.1 to the one with the lowest latency", function()
    local models, after = {}, { slow = 2, fast = 0.1, middling = 1 }
    for _, name in ipairs { "deepseek-v3.2", "gemini-2.5-flash", "claude-sonnet-4.5" } do models[name] = { "x/" .. name } end
    models["gpt-4.1"] = { "slow/g", "fast/g", "middling/g" }
    local providers = {}
    for name, seconds in pairs(after) do providers[name] = { text = "from " .. name, after = seconds } end
    local g = t.gateway { policy = "policies/intelligent_router.lua", models = models, providers = providers }
    local question = { text = "hi", tags = { tier = "premium" }, headers = { ["x-lunette-class"] = "interactive" } }
    for _ = 1, 3 do g:ask(question) end                 -- each has been asked once
    for _ = 1, 5 do assert.equal("fast", g:ask(question).provider) end
  end)

  it("free goes to deepseek-v3.2 if it is simple, else to gemini-2.5-flash", function()
    for _, tier in ipairs { "free", "unheard of" } do
      assert.equal("deepseek-v3.2", ask(SIMPLE, { tier = tier }).target)
      assert.equal("gemini-2.5-flash", ask(MEDIUM, { tier = tier }).target)
      assert.equal("gemini-2.5-flash", ask(COMPLEX, { tier = tier }).target)
    end
  end)

  it("who says nothing is free", function() assert.equal("deepseek-v3.2", ask(SIMPLE).target) end)

  local function of_client(client, tags)
    local models = {}
    for _, name in ipairs { "deepseek-v3.2", "gemini-2.5-flash", "claude-sonnet-4.5", "gpt-4.1" } do models[name] = { "x/" .. name } end
    return t.gateway({ policy = "policies/intelligent_router.lua", models = models, clients = { client } }):ask { text = "hi", tags = tags }
  end

  it("of a client it is what its entry says", function()
    assert.equal("claude-sonnet-4.5", of_client({ name = "ann", tags = { tier = "premium" } }).model)
  end)

  it("and not what it says of itself", function()
    assert.equal("deepseek-v3.2", of_client({ name = "ann" }, { tier = "premium" }).model)
    assert.equal("deepseek-v3.2", of_client({ name = "ann", tags = { tier = "free" } }, { tier = "premium" }).model)
  end)
end)

describe("E2 when a route fails", function()
  it("the cheapest model answers", function()
    assert.equal("deepseek-v3.2", ask(COMPLEX, { providers = { google = 500 } }).target)
    assert.equal("deepseek-v3.2", ask(SIMPLE, { tier = "premium", providers = { anthropic = 500 } }).target)
  end)

  it("or the next cheapest, when its provider is down too", function()
    assert.equal("kimi-k2", ask(SIMPLE, { providers = { deepseek = 500 } }).target)
    assert.equal("kimi-k2", ask(COMPLEX, { providers = { google = 500, deepseek = 500 } }).target)
  end)

  -- Dearest costs at 100,000 tokens of answer: deepseek 0.084, kimi 0.10, gemini 1.00.
  it("unless it could cost more than $0.05", function()
    local answer = gateway({ google = 500 }):ask { text = COMPLEX, max_tokens = 100000 }
    assert.equal("gemini-2.5-flash", answer.attempts[1].target)
    assert.equal(1, #answer.attempts)
  end)

  it("a simple question may cost $0.10, a medium one $0.50", function()
    local function first(text, max_tokens)
      local answer = gateway():ask { text = text, max_tokens = max_tokens }
      return answer.status == 200 and answer.target or answer.status
    end
    assert.equal("deepseek-v3.2", first(SIMPLE, 110000))        -- 0.092 + input
    assert.equal(402, first(SIMPLE, 120000))                    -- 0.101
    assert.equal("gemini-2.5-flash", first(MEDIUM, 49000))      -- 0.49 + input
    assert.equal("deepseek-v3.2", first(MEDIUM, 51000))         -- 0.51: the cheapest, 0.043
    assert.equal(402, first(MEDIUM, 70000))
  end)

  it("what has no price that is known fits no ceiling, and answers where there is none", function()
    local models = { ["deepseek-v3.2"] = { { provider = "unpriced", model = "d" }, { provider = "priced", model = "d", price = { input = 1, output = 2 } } } }
    for _, name in ipairs { "gemini-2.5-flash", "claude-sonnet-4.5", "gpt-4.1" } do models[name] = { { provider = "unpriced", model = name } } end
    local parts = { policy = "policies/intelligent_router.lua", models = models, price = false }
    local function ask_with(question) return t.gateway(parts):ask(question) end
    assert.equal("priced", ask_with({ text = SIMPLE }).provider)
    assert.equal("priced", ask_with({ text = MEDIUM, max_tokens = 20000 }).provider)     -- 0.04
    assert.equal(402, ask_with({ text = SIMPLE, max_tokens = 60000 }).status)            -- 0.12
    assert.equal("claude-sonnet-4.5", ask_with({ text = SIMPLE, tags = { tier = "premium" } }).model)
    models["deepseek-v3.2"][2] = nil
    local refused = ask_with { text = SIMPLE, max_tokens = 1 }
    assert.equal(402, refused.status)
    assert.is_truthy(refused.json.error.message:find("known to cost", 1, true))
  end)

  it("the ceiling holds for megabytes", function()
    for _, n in ipairs { 1000000, 3000000, 7000000 } do assert.equal(402, gateway():ask({ text = ("a"):rep(n) }).status) end
  end)
end)
