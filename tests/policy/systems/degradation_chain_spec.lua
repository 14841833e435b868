-- A3, policies/degradation_chain.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"
local t = require "lunette.test"

local function gateway(providers) return support.example("degradation_chain", providers) end

local function level_of(text) return gateway():ask(text).labels[1] end

local fails = { deepseek = 500, google = 500, openai = 500, anthropic = 500 }
local function tried(text)
  local list = {}
  for i, attempt in ipairs(gateway(fails):ask(text).attempts) do list[i] = attempt.target end
  return list
end

local COMPLEX, MODERATE, SIMPLE = "analyze and compare", "analyze", "hi"

describe("A3 complexity", function()
  for _, word in ipairs { "phân tích", "tổng hợp", "so sánh", "đánh giá", "tại sao", "vì sao", "giải thích", "báo cáo", "analyze",
                          "synthesize", "compare", "evaluate" } do
    it("knows the word " .. word, function()
      assert.equal("moderate", level_of("x " .. word .. " y"))
      local other = word == "compare" and "evaluate" or "compare"
      assert.equal("complex", level_of(word .. ", " .. other))
      assert.equal("moderate", level_of(word .. ", " .. word))
    end)
  end

  it("by length: over 150 characters is moderate, over 500 complex", function()
    assert.equal("simple", level_of(("x"):rep(150)))
    assert.equal("moderate", level_of(("x"):rep(151)))
    assert.equal("moderate", level_of(("x"):rep(500)))
    assert.equal("complex", level_of(("x"):rep(501)))
  end)

  it("counts characters, not bytes, however they are composed", function()
    assert.equal("simple", level_of(("ế"):rep(150)))
    assert.equal("simple", level_of(("e\204\130\204\129"):rep(150)))
    assert.equal("moderate", level_of(("e\204\130\204\129"):rep(151)))
  end)

  it("takes no notice of upper and lower case, in Vietnamese neither", function()
    assert.equal("moderate", level_of "PHÂN TÍCH")
    assert.equal("moderate", level_of "Đánh Giá")
    assert.equal("complex", level_of "Compare VÀ ĐÁNH GIÁ")
  end)

  it("finds words whose letters are decomposed", function()
    assert.equal("moderate", level_of "pha\204\130n ti\204\129ch")                  -- phân tích
    assert.equal("moderate", level_of "TO\204\130\204\137NG HO\204\155\204\163P")   -- TỔNG HỢP
    assert.equal("moderate", level_of "ta\204\163i sao")                            -- tại sao
  end)

  it("does not take a word for another", function()
    assert.equal("simple", level_of "phan tich")
    assert.equal("simple", level_of "bao cao")
  end)

  it("answers something for a question without text", function()
    assert.same({ "simple" }, gateway():ask({ messages = t.array {} }).labels)
    assert.same({ "simple" }, gateway():ask({ body = { model = "auto" } }).labels)
    assert.same({ "simple" }, gateway():ask({ text = "" }).labels)
    local image = { { role = "user", content = { { type = "image_url", image_url = { url = "data:image/png;base64,AAAA" } } } } }
    assert.same({ "simple" }, gateway():ask({ messages = image }).labels)
    local tool = { { role = "tool", tool_call_id = "a", content = "42" } }
    assert.same({ "simple" }, gateway():ask({ messages = tool }).labels)
  end)

  it("answers something for a message of megabytes", function()
    assert.same({ "complex" }, gateway():ask(("analyze and compare "):rep(500000)).labels)
  end)
end)

describe("A3 chain", function()
  it("a complex question tries all, in the order of priority", function()
    assert.same({ "gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2" }, tried(COMPLEX))
  end)

  it("a moderate one drops the weakest", function()
    assert.same({ "gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash" }, tried(MODERATE))
  end)

  it("a simple one takes the two cheapest, the cheapest first", function()
    assert.same({ "deepseek-v3.2", "gemini-2.5-flash" }, tried(SIMPLE))
  end)

  it("a model whose circuit is open, after 5 failures in a row, is skipped", function()
    local g = gateway { openai = 500 }
    for _ = 1, 4 do assert.equal("gpt-4.1", g:ask(COMPLEX).attempts[1].target) end
    local fifth = g:ask(COMPLEX)
    assert.equal(2, #fifth.attempts)
    assert.equal("claude-sonnet-4.5", fifth.target)
    local sixth = g:ask(COMPLEX)
    assert.equal(1, #sixth.attempts)
    assert.equal("claude-sonnet-4.5", sixth.target)
  end)

  it("an answer says its model, whether it is a fallback, the complexity and the latency", function()
    local headers = gateway({ openai = 500 }):ask(COMPLEX).headers
    assert.equal("claude-sonnet-4.5", headers["x-lunette-model"])
    assert.equal("true", headers["x-lunette-fallback"])
    assert.equal("complex", headers["x-lunette-labels"])
    assert.is_number(tonumber(headers["x-lunette-latency-ms"]))
    assert.equal("false", gateway():ask(COMPLEX).headers["x-lunette-fallback"])
  end)

  it("leaves alone who names a model", function()
    assert.equal("kimi-k2", gateway():ask({ model = "kimi-k2" }).target)
  end)

  it("asks none but the three for a moderate question, though all of them rest", function()
    local g = gateway { openai = 500, anthropic = 500, google = 500, deepseek = "weak" }
    for _ = 1, 8 do g:ask(COMPLEX) end
    local three = { ["gpt-4.1"] = true, ["claude-sonnet-4.5"] = true, ["gemini-2.5-flash"] = true }
    local answer = g:ask(MODERATE)
    assert.same({ "moderate" }, answer.labels)
    for _, attempt in ipairs(answer.attempts) do assert.is_true(three[attempt.target], attempt.target) end
  end)
end)
