-- What policy.lua promises, on simulated time: `lunette test examples/quickstart`, or `lunette test` in this folder.
local t = require "lunette.test"

local long = ("word "):rep(101)

-- The whole of gateway.lua as it stands, with providers that answer what a test needs.
local function gateway(providers)
  return t.gateway { config = "gateway.lua", providers = providers }
end

describe("auto", function()
  it("sends short questions to the fast model", function()
    local answer = gateway():ask "What is a lunette?"
    assert.equal("fast", answer.model)
    assert.same({ "easy" }, answer.labels)
    assert.matches("^%[simulated%] small heard: What is a lunette%?", answer.text)
  end)

  it("sends long questions to the strong one", function()
    local answer = gateway():ask(long)
    assert.equal("strong", answer.model)
    assert.same({ "hard" }, answer.labels)
  end)

  it("sends code to the strong one", function()
    assert.equal("strong", gateway():ask("```c\nint main(void) { return 0; }\n```").model)
  end)

  it("goes to the other model when all of the first fail", function()
    local function refuse_small(request)
      return request.model == "small" and 500 or "from " .. request.model
    end
    local answer = gateway({ simulated = refuse_small, spare = refuse_small }):ask "hi"
    assert.equal("from large", answer.text)
    assert.equal("true", answer.headers["x-lunette-fallback"])
  end)

  it("changes providers when one is overloaded, at once", function()
    local answer = gateway({ simulated = 503 }):ask "hi"
    assert.equal("spare", answer.provider)
    assert.equal("fast", answer.model)
    assert.is_true(answer.latency < 0.1)
  end)
end)

describe("a model that was named", function()
  it("answers, whatever the question", function()
    assert.equal("fast", gateway():ask({ model = "fast", text = long }).model)
  end)

  it("is not replaced by another when it fails", function()
    local g = gateway { simulated = 503, spare = 503 }
    assert.equal(503, g:ask({ model = "fast" }).status)
  end)
end)

describe("with keys in the environment", function()
  it("the real providers take the place of the simulated", function()
    local g = t.gateway { config = "gateway.lua", environment = { OPENAI_API_KEY = "sk-1", DEEPSEEK_API_KEY = "sk-2" },
                          providers = { openai = "from openai", deepseek = 503 } }
    local answer = g:ask "hi"
    assert.equal("from openai", answer.text)
    assert.equal("deepseek", g:target(answer.attempts[1].target).provider)
    assert.equal("Bearer sk-1", g:provider "openai".calls[1].headers.authorization)
  end)
end)
