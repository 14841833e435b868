-- The module that all other specs stand on.
local t = require "lunette.test"

describe("providers of a spec", function()
  local function said(what)
    local g = t.gateway { targets = { "a" }, providers = { a = what } }
    return g:ask("hi"), g
  end

  it("may be a text, a status, an answer, a list of them, a function, or nothing", function()
    assert.equal("yes", said("yes").text)
    assert.equal(500, said(500).attempts[1].status)
    assert.equal("a", said({ text = "a" }).text)
    assert.equal("from", said(function() return "from" end).text)
    assert.matches("hello", said(nil).text)
    assert.equal("x", said({ answer = "x", timeouts = { total = 5 } }).text)
  end)

  it("a list is gone through, and its last is repeated", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { "one", function() return "two" end, { text = "three" } } } }
    local texts = {}
    for i = 1, 5 do texts[i] = g:ask("hi").text end
    assert.same({ "one", "two", "three", "three", "three" }, texts)
  end)

  it("see the request, and how many they had", function()
    local seen, count
    local g = t.gateway { targets = { "a/upstream-name" }, providers = { a = function(request, n)
      seen, count = request, n
      return "x"
    end } }
    t.advance(2)
    g:ask { text = "what?", stream = true }
    assert.same({ "POST", "/chat/completions", "upstream-name", "what?", true, 2, 1 },
                { seen.method, seen.path, seen.model, seen.text, seen.stream, seen.at, count })
    assert.equal(seen, g:provider "a".calls[1])
  end)

  it("that fail, fail the spec with their own place", function()
    local g = t.gateway { targets = { "a" }, providers = { a = function() error "oops" end } }
    local good, why = pcall(g.ask, g, "hi")
    assert.is_false(good)
    assert.matches("lunette_test_spec.lua:%d+: oops", why)
  end)

  it("may hold assertions", function()
    local g = t.gateway { targets = { "a" }, providers = { a = function(request) assert.equal("x", request.text) end } }
    assert.has_error(function() g:ask "y" end)
  end)

  it("cannot ask the gateway that asks them", function()
    local g
    g = t.gateway { targets = { "a" }, providers = { a = function() return g:ask "again" end } }
    local good, why = pcall(g.ask, g, "hi")
    assert.is_false(good)
    assert.matches("at work", why)
  end)

  it("with a field that is none are refused", function()
    local good, why = pcall(t.gateway, { providers = { a = { txt = "x" } } })
    assert.is_false(good)
    assert.matches("txt", why, 1, true)
  end)
end)

describe("a gateway of a spec", function()
  it("has one target, a, where nothing is said", function()
    local answer = t.gateway({}):ask()
    assert.same({ 200, "a", "m", "a" }, { answer.status, answer.target, answer.model, answer.provider })
  end)

  it("has targets by provider/model in several models", function()
    local g = t.gateway { models = { small = { "p/s", "q/s" }, large = { "p/l" } } }
    assert.equal("p/l", g:ask({ model = "large" }).target)
    assert.equal("l", g:provider "p".calls[1].model)
  end)

  it("takes any setting of gateway.lua, and tells what is wrong with it", function()
    local good, why = pcall(t.gateway, { limits = { attempst = 3 } })
    assert.is_false(good)
    assert.matches("did you mean attempts", why, 1, true)
  end)

  it("loads a file, and plays the providers named", function()
    local g = t.gateway { config = "shared/gateway.lua", providers = { one = 503, two = "from the spec" } }
    local answer = g:ask { model = "main" }
    assert.equal("from the spec", answer.text)
    assert.equal("Bearer spec-TWO_KEY", g:provider "two".calls[1].headers.authorization)
  end)

  it("has a policy's settings from `environment`, unless `settings` says them", function()
    local policy = [[local lunette = require "lunette"
      return { settings = { share = { default = 5 }, mode = { default = "a", choices = { "a", "b" } } },
               classify = function() return lunette.setting "share" .. lunette.setting "mode" end }]]
    local environment = { LUNETTE_SETTINGS_SHARE = "15", LUNETTE_SETTINGS_MODE = "b" }
    assert.same({ "15b" }, t.gateway({ policy = policy, environment = environment }):ask("hi").labels)
    assert.same({ "20b" }, t.gateway({ policy = policy, environment = environment, settings = { share = 20 } }):ask("hi").labels)
    local good, why = pcall(t.gateway, { policy = policy, environment = { LUNETTE_SETTINGS_MODE = "c" } })
    assert.is_false(good)
    assert.matches('LUNETTE_SETTINGS_MODE: must be "a" or "b", not "c"', why, 1, true)
    good, why = pcall(t.gateway, { policy = policy, settings = { mode = "c" } })
    assert.is_false(good)
    assert.matches('settings.mode: must be "a" or "b"', why, 1, true)
  end)

  it("does not see the environment that the specs run in", function()
    local g = t.gateway { config = "shared/gateway.lua", environment = { STAGE = "test", TWO_KEY = "given" },
                          providers = { one = 503, two = "x" } }
    local answer = g:ask { model = "main" }
    assert.equal("Bearer given", g:provider "two".calls[1].headers.authorization)
    assert.same({ "test" }, answer.labels)
  end)

  it("of a file says which provider the spec forgot", function()
    local g = t.gateway { config = "shared/gateway.lua", providers = { one = 503 } }
    local good, why = pcall(g.ask, g, { model = "main" })
    assert.is_false(good)
    assert.matches("lunette_test_spec.lua:%d+: the provider `two` was called", why)
  end)

  it("starts each clock anew, on a Monday", function()
    local g = t.gateway {}
    t.advance(100)
    assert.same({ 100, 1767571300 }, { g:now(), g:wall() })
    assert.equal(0, t.gateway({}):now())
    assert.equal(0, t.now())
    assert.equal(100, g:now())
    assert.equal(946684800, t.gateway({ wall = 946684800 }):wall())
  end)
end)

describe("asking", function()
  it("moves the clock to the end of the answer", function()
    local g = t.gateway { providers = { a = { text = "x", after = 7 } } }
    local answer = g:ask "hi"
    assert.same({ 0, 7, 7 }, { answer.started, answer.ended, t.now() })
  end)

  it("may begin later", function()
    local g = t.gateway {}
    assert.equal(12, g:ask({ at = 12 }).started)
    assert.has_error(function() g:ask { at = 5 } end)
  end)

  it("may go on beside others", function()
    local g = t.gateway { providers = { a = { text = "x", after = 5 } } }
    local one = g:start "one"
    t.advance(2)
    local two = g:start "two"
    assert.is_false(one:done() or two:done())
    t.advance(3)
    assert.is_true(one:done())
    assert.is_false(two:done())
    assert.equal(7, two:answer().ended)
    assert.equal(5, one:answer().latency)
  end)

  it("is released once it has ended, in any order, and its log line taken: memory does not grow with a day's requests", function()
    local g = t.gateway { providers = { a = { text = "x", after = 1 } } }
    local first, second, third = g:start "first", g:start "second", g:start "third"
    assert.has_error(function() second:release() end, "the request has not ended")
    t.advance(1)
    second:release()
    first:release()
    assert.equal(3, #g:take_log())
    assert.equal(0, #g:take_log())
    assert.equal(0, #g:log())
    g:ask "fourth"
    assert.equal("x", third:so_far().text)
    third:release()
    assert.equal(1, #g:take_log())
  end)

  it("in other endpoints", function()
    local g = t.gateway {}
    assert.equal("embedding", g:ask({ input = "x" }).json.data[1].object)
    assert.equal("text_completion", g:ask({ prompt = "x" }).json.object)
  end)

  it("with a body byte for byte", function()
    local g = t.gateway {}
    assert.equal(400, g:ask({ body = "{" }).status)
    assert.equal("invalid_request", g:ask({ body = "{}" }).error.code)
  end)

  it("refuses a provider that no target is at: a misspelt one would answer with a greeting", function()
    local good, why = pcall(t.gateway, { targets = { "a" }, providers = { aa = 503 } })
    assert.is_false(good)
    assert.matches("no target is at `aa`", why, 1, true)
  end)

  it("passes fields that are no words of ours into the body", function()
    local g = t.gateway {}
    g:ask { temperature = 0.1, tools = { { type = "function" } }, metadata = t.null }
    assert.same({ 0.1, { { type = "function" } } }, { g:provider "a".calls[1].json.temperature, g:provider "a".calls[1].json.tools })
    assert.matches('"metadata":null', g:provider "a".calls[1].body, 1, true)
  end)
end)
