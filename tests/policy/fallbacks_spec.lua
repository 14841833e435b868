-- lua/fallbacks.lua and lua/used.lua: other models behind a model, and what targets have used.
local t = require "lunette.test"

local function tried(answer)
  local list = {}
  for i, attempt in ipairs(answer.attempts) do list[i] = attempt.target end
  return table.concat(list, " ")
end

-- Models m, n, o, p; those of m are a and b.
local function gateway(options, providers, more)
  local parts = { policy = ('local fallbacks = require "lunette.fallbacks"\nreturn fallbacks.policy { %s }'):format(options), model = "m",
                  models = { m = { "a", "b" }, n = { "c" }, o = { "d" }, p = { "e" } }, providers = {} }
  for _, name in ipairs { "a", "b", "c", "d", "e" } do parts.providers[name] = providers[name] or "from " .. name end
  for name, value in pairs(more or {}) do parts[name] = value end
  return t.gateway(parts)
end

describe("fallbacks", function()
  it("are asked in their order when a model's own targets have failed", function()
    local g = gateway('of = { m = { "o", "n" } }, retries = 1', { a = 500, b = 500, d = 503 })
    local answer = g:ask "hi"
    assert.equal("a b d d c", tried(answer))
    assert.equal("from c", answer.text)
    assert.is_true(answer.fallback)
  end)

  it("have fallbacks of their own, and nothing is asked twice", function()
    local g = gateway('of = { m = { "n", "p" }, n = { "o", "m" } }', { a = 500, c = 500, d = 500, e = 500 })
    assert.equal("a c d e", tried(g:ask "hi"))
  end)

  it("end at `most`", function()
    local g = gateway('of = { m = { "n" }, n = { "o" }, o = { "p" } }, most = 2', { a = 500, c = 500, d = 500 })
    assert.equal("a c d", tried(g:ask "hi"))
  end)

  it("stand in for models that have none, where `otherwise` says so", function()
    local g = gateway('of = { n = { "o" } }, otherwise = { "p" }', { a = 500, c = 500, d = 500 })
    assert.equal("a e", tried(g:ask "hi"))
    assert.equal("c d e", tried(g:ask { text = "hi", model = "n", at = 70 }))
  end)

  it("are not asked after a wrong request", function()
    local g = gateway('of = { m = { "n" } }, retries = 3', { a = 400 })
    local answer = g:ask "hi"
    assert.equal("a", tried(answer))
    assert.equal(400, answer.status)
  end)

  it("are asked after a wrong request where that is wanted, and nobody else of the model is", function()
    local g = gateway('of = { m = { "n", "o" } }, retries = 3, wrong = true', { a = 400, c = 400 })
    assert.equal("a c d", tried(g:ask "hi"))
    g = gateway('of = { m = { "n" } }, retries = 3, wrong = true', { a = 400, c = 400 })
    local answer = g:ask "hi"
    assert.equal("a c", tried(answer))
    assert.equal(400, answer.status)
    assert.equal("e", tried(gateway('of = { m = { "n" } }, wrong = true', { e = 400 }):ask { text = "hi", model = "p" }))
  end)

  it("are asked after a rate limit at once, and waited for where there is nobody else", function()
    local g = gateway('of = { n = { "o" } }, retries = 2', { c = 429, e = { 429, 429, "late" } })
    local answer = g:ask { text = "hi", model = "n" }
    assert.equal("c d", tried(answer))
    assert.equal(0, answer.waited)
    answer = g:ask { text = "hi", model = "p" }
    assert.equal("e e e", tried(answer))
    assert.is_true(answer.waited >= 0.375 + 0.75 and answer.waited <= 0.625 + 1.25)
  end)

  it("a model's only target is tried again, with back-off, before the next model is", function()
    local g = gateway('of = { n = { "o" } }, retries = 2', { c = 500 })
    local answer = g:ask { text = "hi", model = "n" }
    assert.equal("c c c d", tried(answer))
    assert.is_true(answer.waited >= 0.375 + 0.75)
  end)

  it("a kind of end has its own number of tries", function()
    local g = gateway('of = { n = { "o" } }, retries = 1, retries_of = { rate_limited = 3, server_error = 0 }', { c = { 500, 429 } })
    assert.equal("c d", tried(g:ask { text = "hi", model = "n" }))
    assert.equal("c c c c d", tried(g:ask { text = "hi", model = "n", at = 70 }))
  end)

  it("a key that was refused is not tried again", function()
    local g = gateway('of = { n = { "o" } }, retries = 5', { c = 401 })
    assert.equal("c d", tried(g:ask { text = "hi", model = "n" }))
  end)

  local too_long = { status = 400, body = { error = { message = "maximum context length", code = "context_length_exceeded" } } }
  local filtered = { status = 400, body = { error = { message = "refused", code = "content_filter" } } }

  it("go elsewhere after an input that is too long, or a content filter", function()
    local options = 'of = { m = { "n" } }, too_long = { m = { "o", "p" } }, filtered = { m = { "p" } }, retries = 1'
    assert.equal("a d", tried(gateway(options, { a = too_long }):ask "hi"))
    assert.equal("a d e", tried(gateway(options, { a = too_long, d = 500 }):ask "hi"))
    assert.equal("a e", tried(gateway(options, { a = filtered }):ask "hi"))
    local answer = gateway(options, { a = too_long, d = 500, e = 500 }):ask "hi"
    assert.equal("a d e", tried(answer))
    assert.equal(502, answer.status)
  end)

  it("an input that is known not to fit goes to them first", function()
    local models = { m = { { provider = "a", model = "x", context = 100 } }, n = { "b", "c" }, o = { "d" }, p = { "e" } }
    local g = gateway('fits = true, too_long = { m = { "o" } }', {}, { models = models })
    assert.equal("d", g:ask(("word "):rep(400)).provider)
    assert.equal("a", g:ask("hi").provider)
  end)

  it("an order says who is first, and what rests is last", function()
    local g = gateway('order = function(targets) return targets:by(function(target) return -target.name:byte() end) end, retries = 1', { b = { 429, "well" } })
    assert.equal("b a", tried(g:ask "hi"))
    assert.equal("a", tried(g:ask "hi"))
  end)

  it("a step may say how a target is asked", function()
    local g = gateway('step = function(target) return { target = target, set = { temperature = 0.2 } } end', {})
    g:ask "hi"
    assert.equal(0.2, g:provider "a".calls[1].json.temperature)
  end)

  it("hundreds of targets of one model are not too many for a draw", function()
    local targets = {}
    for i = 1, 300 do targets[i] = { provider = "p", model = "x", name = "t" .. i } end
    local policy = [[local strategies = require "lunette.strategies"
      return require("lunette.fallbacks").policy { order = strategies.weighted, retries = 1 }]]
    assert.equal("fine", t.gateway({ policy = policy, targets = targets, providers = { p = "fine" } }):ask("hi").text)
  end)

  it("names of models that are not there are refused at load", function()
    local good, why = pcall(gateway, 'of = { m = { "none" } }', {})
    assert.is_false(good)
    assert.matches('of%["m"%] is to be a name in `models` of gateway.lua, got "none"', tostring(why))
  end)
end)

describe("what is used", function()
  local function ask_all(g, n)
    local list = {}
    for i = 1, n do list[i] = g:ask("hi").provider end
    return table.concat(list, " ")
  end

  it("the one that has used the fewest tokens of this minute is asked first", function()
    local policy = [[local used = require "lunette.used"
      return { select = function(_, targets) return used.least(targets:asked()) end, finish = used.count }]]
    local function of(n) return { text = "hi", usage = { input = n, output = n } } end
    local g = t.gateway { policy = policy, targets = { "a", "b" }, providers = { a = of(100), b = of(40) } }
    assert.equal("a b b b a", ask_all(g, 5))
    t.advance(61)
    assert.equal("a", ask_all(g, 1))
  end)

  it("who has spent what it may is left out, until its time is over", function()
    local policy = [[local fallbacks, used = require "lunette.fallbacks", require "lunette.used"
      local money = used.money { accounts = { a = { limit = 0.001, seconds = 60 }, b = { limit = 0.002, seconds = 60 } } }
      local policy = fallbacks.policy { left = money.left }
      policy.finish = money.finish
      return policy]]
    local answer = { text = "hi", usage = { input = 500, output = 250 } }           -- at 1 and 2 USD per million: 0.001 USD
    local g = t.gateway { policy = policy, targets = { "a", "b" }, providers = { a = answer, b = answer } }
    assert.equal("a b b", ask_all(g, 3))
    local refused = g:ask "hi"
    assert.equal(429, refused.status)
    t.advance(61)
    assert.equal("a", ask_all(g, 1))
  end)
end)
