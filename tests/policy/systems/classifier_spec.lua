-- policies/classifier.lua.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local support = require "support"

-- The classifier is google's model; it is told from a question of a client by what it is asked.
local function gateway(kind, more)
  return support.gateway({
    config = "../../../examples/policies/gateway.lua", environment = { POLICY = "policies/classifier.lua" },
    providers = { google = function(request)
      if not request.text:find("What kind of message", 1, true) then return "from google" end
      return kind
    end },
  }, more)
end

describe("classifier", function()
  for kind, model in pairs { chat = "deepseek-v3.2", code = "gpt-4.1", complaint = "claude-sonnet-4.5" } do
    it("what it calls " .. kind .. " goes to " .. model, function()
      local answer = gateway(kind):ask "my thing does not work"
      assert.same({ kind, "asked" }, answer.labels)
      assert.equal(model, answer.target)
    end)
  end

  local lost = { ["late by a second"] = { text = "code", after = 1.01 }, ["out of order"] = 500, ["talking of something else"] = "I cannot say." }
  for name, answer in pairs(lost) do
    it("keywords decide where it is " .. name, function()
      assert.same({ "complaint", "guessed" }, gateway(answer):ask("It arrived BROKEN, I want a refund").labels)
      assert.same({ "complaint", "guessed" }, gateway(answer):ask("Tôi muốn KHIẾU NẠI").labels)
      assert.same({ "code", "guessed" }, gateway(answer):ask("def f(): pass").labels)
      assert.same({ "chat", "guessed" }, gateway(answer):ask("good morning").labels)
    end)
  end

  it("is waited for one second at most", function()
    local answer = gateway({ text = "code", after = 60 }, {}):ask "good morning"
    assert.near(1.05, answer.latency, 0.01)             -- and the simulated provider's 0.05
  end)

  it("is not asked twice about the same text", function()
    local g = gateway "code"
    g:ask "what is this"
    local calls = #g:provider "google".calls
    assert.same({ "code", "asked" }, g:ask("what is this").labels)
    assert.equal(calls, #g:provider "google".calls)
    g:ask "what is that"
    assert.equal(calls + 1, #g:provider "google".calls)
  end)

  it("is not asked where the client names a model", function()
    local g = gateway "code"
    g:ask { model = "kimi-k2" }
    assert.equal(0, #g:provider "google".calls)
  end)

  it("never sees more than the beginning of a long text", function()
    local g = gateway "code"
    g:ask(("x"):rep(100000))
    assert.is_true(#g:provider "google".calls[1].body < 3000)
  end)
end)
