-- Budgets: hard limits are the core's, what to do before they are reached is the policy's.
local t = require "lunette.test"

local function million(n) return { text = "x", usage = { input = 0, output = n } } end

describe("a hard limit", function()
  it("refuses with 402 what could pass it, and says of which budget", function()
    local g = t.gateway { targets = { "a" }, clients = { { name = "app", budget = { limit = 0.01, per = "day" } } } }
    local answer = g:ask { text = "hi", max_tokens = 100000 }
    assert.equal(402, answer.status)
    assert.equal("budget_exceeded", answer.error.code)
    assert.matches("app", answer.error.budget, 1, true)
    assert.equal(0.01, answer.error.left)
    assert.equal("2026-01-06T00:00:00.000Z", answer.error.resets_at)
    assert.equal("false", answer.headers["x-should-retry"])
    assert.equal(0, g:provider "a".requests)
  end)

  it("is never passed by requests in flight together", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "x", after = 10, usage = { input = 1, output = 1000 } } },
                          clients = { { name = "app", budget = { limit = 0.0155, per = "day" } } } }
    local requests, refused = {}, 0
    for i = 1, 10 do requests[i] = g:start { text = "hi", max_tokens = 1000 } end
    for _, request in ipairs(requests) do
      if request:answer().status == 402 then refused = refused + 1 end
    end
    assert.equal(5, g:provider "a".requests)
    assert.equal(5, refused)
  end)

  it("begins anew with its period", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) },
                          clients = { { name = "app", budget = { limit = 0.003, per = "day" } } } }
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
    assert.equal(402, g:ask({ max_tokens = 1000 }).status)
    t.advance(86400)
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
  end)

  it("of a window that moves along comes free piece by piece, as long after it was spent as the window is", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) },
                          clients = { { name = "app", budget = { limit = 0.005, per = "rolling", window = 2400 } } } }
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)      -- 0.002 each; a piece is 100 seconds
    t.advance(1200)
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
    local refused = g:ask({ max_tokens = 1000 })
    assert.equal(402, refused.status)
    assert.near(0.001, refused.error.left, 1e-12)
    t.advance(1199)
    assert.equal(402, g:ask({ max_tokens = 1000 }).status)      -- what came first lies in the window still
    t.advance(101)
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
    assert.equal(402, g:ask({ max_tokens = 1000 }).status)      -- what came second too
    t.advance(1200)
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
  end)

  it("of a window says when something of it comes free, and shows a policy all of the window", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) },
                          policy = [[local l = require 'lunette'
                                      return { budget = function(_, s) l.note('spend', { used = s.key.used, left = s.key.left }) end }]],
                          clients = { { name = "app", budget = { limit = 0.003, per = "rolling", window = 2400 } } } }
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
    t.advance(600)
    local refused = g:ask({ max_tokens = 1000 })
    assert.equal(402, refused.status)
    assert.equal("2026-01-05T00:41:40.000Z", refused.error.resets_at)
    assert.near(0.002, refused.notes.spend.used, 1e-12)         -- six pieces later
    assert.near(0.001, refused.notes.spend.left, 1e-12)
    t.advance(1900)
    local after = g:ask({ max_tokens = 1000 })
    assert.equal(200, after.status)
    assert.near(0, after.notes.spend.used, 1e-12)
    assert.near(0.003, after.notes.spend.left, 1e-12)
  end)

  it("of a team counts what all of its clients spend", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) }, teams = { web = { budget = { limit = 0.003 } } },
                          clients = { { name = "one", team = "web" }, { name = "two", team = "web" }, { name = "free" } } }
    assert.equal(200, g:ask({ client = "one", max_tokens = 1000 }).status)
    assert.equal(402, g:ask({ client = "two", max_tokens = 1000 }).status)
    assert.equal(200, g:ask({ client = "free", max_tokens = 1000 }).status)
  end)

  it("of everything", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) }, budgets = { total = { limit = 0.003 } } }
    assert.equal(200, g:ask({ max_tokens = 1000 }).status)
    assert.equal(402, g:ask({ max_tokens = 1000 }).status)
  end)

  it("of one request: x-lunette-budget", function()
    local g = t.gateway { targets = { "a" } }
    assert.equal(402, g:ask({ max_tokens = 1000000, headers = { ["x-lunette-budget"] = "0.5" } }).status)
    assert.equal(200, g:ask({ max_tokens = 1000, headers = { ["x-lunette-budget"] = "0.5" } }).status)
  end)

  it("skips a step that it has no room for, and takes the next", function()
    local g = t.gateway { targets = { { provider = "dear", name = "dear", price = { input = 100, output = 100 } }, "cheap" },
                          policy = "return { select = function(r, targets) return targets end }",
                          clients = { { name = "app", budget = { limit = 0.01 } } } }
    local answer = g:ask { max_tokens = 1000 }
    assert.equal("cheap", answer.target)
    assert.equal(0, g:provider "dear".requests)
    assert.equal("skipped", answer.attempts[1].kind)
    assert.equal("1", answer.headers["x-lunette-attempts"])
  end)

  it("needs a price that is known: a model that has none is refused at load", function()
    local good, why = pcall(t.gateway, { targets = { "a" }, price = false, clients = { { name = "app", budget = { limit = 10 } } } })
    assert.is_false(good)
    assert.matches('models.m: not one of its targets has a price that is known, and the budget "key app" has a hard limit', why, 1, true)
    assert.has_no.errors(function() t.gateway { targets = { "a" }, price = false, clients = { { name = "app" } } } end)
  end)

  it("is not for a model whose price is known only once it is asked for", function()
    local g = t.gateway { models = { ["any/*"] = { { provider = "a", model = "*" } } }, price = false, clients = { { name = "app", budget = { limit = 10 } } } }
    local answer = g:ask { model = "any/thing", max_tokens = 10 }
    assert.equal(402, answer.status)
    assert.matches("is not known, so it cannot be used under a hard limit", answer.error.message, 1, true)
  end)

  it("passes over a target without a price where another has one", function()
    local g = t.gateway { targets = { { provider = "a", name = "unpriced" },
                                      { provider = "b", name = "priced", price = { input = 1, output = 2 } } }, price = false,
                          policy = "return { select = function(r, targets) return targets end }", clients = { { name = "app", budget = { limit = 10 } } } }
    assert.equal("priced", g:ask({ max_tokens = 10 }).target)
  end)

  it("refuses what buys something that nobody can reckon, and says what", function()
    local hi = { role = "user", content = "hi" }
    for name, fields in pairs {
      modalities = { modalities = { "text", "audio" }, audio = { voice = "a", format = "wav" } },
      web_search_options = { web_search_options = { search_context_size = "high" } },
      ["a tool that the provider runs itself"] = { tools = { { type = "web_search" } } },
      ["neither text nor an image"] = {
        messages = { { role = "user", content = { { type = "input_audio", input_audio = { data = "AAAA", format = "wav" } } } } } },
    } do
      local g = t.gateway { targets = { "a" }, clients = { { name = "app", budget = { limit = 1000 } }, { name = "free" } } }
      fields.max_tokens, fields.messages, fields.client = 10, fields.messages or { hi }, "app"
      local answer = g:ask(fields)
      assert.equal(402, answer.status)
      assert.matches(name, answer.error.message .. (answer.error.detail or "") .. answer.body, 1, true)
      assert.equal(0, g:provider "a".requests)
      fields.client = "free"
      assert.equal(200, g:ask(fields).status)
    end
  end)

  it("takes such a request whose policy leaves that field out", function()
    local g = t.gateway { targets = { "a" }, clients = { { name = "app", budget = { limit = 1 } } }, policy = [[
      local l = require "lunette"
      return { select = function(request, targets) return { target = targets[1], drop = { "web_search_options" } } end }]] }
    local answer = g:ask { max_tokens = 10, web_search_options = { search_context_size = "high" } }
    assert.equal(200, answer.status)
    assert.is_nil(g:provider "a".calls[1].json.web_search_options)
  end)

  it("holds for every answer that is made to choose from, and for what is predicted", function()
    local g = t.gateway { targets = { "a" }, clients = { { name = "app", budget = { limit = 0.01 } } } }
    local function status(fields)
      fields.endpoint, fields.prompt, fields.max_tokens = "completions", "hi", 1000
      return g:ask(fields).status
    end
    assert.equal(200, status { best_of = 4 })
    assert.equal(402, status { best_of = 5 })
    assert.equal(402, status { n = 1, best_of = 20 })
    assert.equal(200, g:ask { max_tokens = 10, prediction = { type = "content", content = ("x"):rep(2000) } }.status)
    assert.equal(402, g:ask { max_tokens = 10, prediction = { type = "content", content = ("x"):rep(4000) } }.status)
  end)

  it("writes a cap into a body that has none", function()
    local g = t.gateway { targets = { "a" }, limits = { output = 500 }, clients = { { name = "app", budget = { limit = 10 } } } }
    g:ask "hi"
    local sent = g:provider "a".calls[1].json
    assert.equal(500, sent.max_tokens or sent.max_completion_tokens)
  end)
end)

describe("cost", function()
  it("is what the provider counted at the target's price", function()
    local g = t.gateway { targets = { { provider = "a", name = "a", price = { input = 3, output = 15, cached_input = 0.3 } } },
                          providers = { a = { text = "x", usage = { input = 1000, output = 200, cached = 400 } } } }
    local answer = g:ask "hi"
    assert.near((600 * 3 + 400 * 0.3 + 200 * 15) / 1e6, answer.cost, 1e-12)
    assert.equal(("%.5f"):format(answer.cost), ("%.5f"):format(tonumber(answer.headers["x-lunette-cost"])))
  end)

  it("is nothing for attempts that were not billed", function()
    local g = t.gateway { targets = { "a", "b" }, providers = { a = 503, b = 503 } }
    assert.equal(0, g:ask("hi").cost)
  end)

  it("what is left stands in the head", function()
    local g = t.gateway { targets = { "a" }, providers = { a = million(1000) }, clients = { { name = "app", budget = { limit = 1 } } } }
    assert.near(0.998, tonumber(g:ask({ max_tokens = 1000 }).headers["x-lunette-budget-left"]), 1e-9)
  end)
end)

describe("a policy before the limit", function()
  it("changes to a cheaper model when little is left", function()
    local g = t.gateway { models = { strong = { "a" }, cheap = { "b" } }, providers = { a = million(100000), b = million(10) },
                          clients = { { name = "app", budget = { limit = 1 } } }, policy = [[
      local l = require "lunette"
      return { budget = function(request, spend) if spend.key.left < 0.9 then return l.degrade "cheap" end end }]] }
    assert.equal("a", g:ask({ model = "strong", max_tokens = 1000 }).target)
    assert.equal("b", g:ask({ model = "strong", max_tokens = 1000 }).target)
  end)

  it("sees what is held for others", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { text = "x", after = 10 } },
                          clients = { { name = "app", budget = { limit = 1 } } },
                          policy = "local l = require 'lunette' return { budget = function(r, spend) l.note('held', spend.key.held) end }" }
    local first = g:start { max_tokens = 1000 }
    local second = g:ask { max_tokens = 1000 }
    assert.is_true(second.notes.held > 0.002)
    first:answer()
    assert.equal(0, g:ask({ max_tokens = 1000 }).notes.held)
  end)
end)
