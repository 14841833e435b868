-- C1: 5 failures in a row and a provider is down; every 30 s it is probed, and comes back by itself, with no request risked on it. C3: keys.
local t = require "lunette.test"

local failures = { ["429"] = 429, ["500"] = 500, ["503"] = 503, ["a network error"] = { fail = "connect_refused" },
                   ["a name that is not found"] = { fail = "dns" } }

-- `first` answers as first.says; `second` always well.
local function gateway(first, more)
  first.probe = first.probe or {}
  first.answer = first.answer or function() return first.says end
  local spec = { policy = "policies/failover.lua", targets = { "first", "second" }, providers = { first = first }, limits = { retries = false } }
  for name, value in pairs(more or {}) do spec[name] = value end
  local says = first.says
  first.says = nil
  first.answer = function(_) return says end
  local g = t.gateway(spec)
  return g, function(what) says = what end
end

local function probed(g, result) return g:metric("lunette_probes_total", { provider = "first", result = result }) end

-- Five questions, of which none is answered by the first.
local function fall(g)
  for i = 1, 5 do
    if i > 1 then g:advance(1.5 ^ (i + 4)) end                  -- longer than a rate limit rests
    assert.equal("second", g:ask("hi").target)
  end
end

describe("C1 a provider that is down", function()
  for name, failure in pairs(failures) do
    it("after 5 times " .. name .. " is probed 30 s later, and every 30 s, and not asked before", function()
      local g, says = gateway { says = failure }
      fall(g)
      assert.equal(5, g:provider "first".requests)
      local down = g:now()
      g:advance(29.999)
      assert.equal(0, g:provider "first".probes)
      g:advance(0.001)
      assert.equal(1, g:provider "first".probes)
      for n = 2, 10 do
        assert.equal("second", g:ask("hi").target)
        g:advance(30)
        assert.equal(n, g:provider "first".probes)
      end
      assert.equal(5, g:provider "first".requests)
      says "well again"
      g:advance(30)
      assert.equal(down + 330, g:now())
      assert.equal("well again", g:ask("hi").text)
      assert.equal(1, probed(g, "good"))
      assert.equal(10, probed(g, "failed"))
    end)
  end

  it("is not down after 4, and any success begins the count anew", function()
    local g, says = gateway { says = 500 }
    for _ = 1, 4 do g:ask "hi" end
    says "fine"
    g:ask "hi"
    says(500)
    for _ = 1, 4 do g:ask "hi" end
    says "fine"
    assert.equal("first", g:ask("hi").target)
    g:advance(300)
    assert.equal(0, g:provider "first".probes)
  end)

  it("counts over all of its targets", function()
    local g = gateway({ says = 500 }, { targets = { "first/a", "first/b", "second" } })
    for _ = 1, 3 do g:ask "hi" end                              -- 2, 2, and the fifth: the other target is not asked any more
    assert.equal(5, g:provider "first".requests)
    g:ask "hi"
    assert.equal(5, g:provider "first".requests)
  end)

  it("is asked all the same when all are down, and one good answer brings it back", function()
    local g, says = gateway({ says = 500 }, { targets = { "first" } })
    for _ = 1, 5 do g:ask "hi" end
    assert.equal(502, g:ask("hi").status)
    assert.equal(6, g:provider "first".requests)
    says "well again"
    assert.equal("well again", g:ask("hi").text)
    g:advance(300)
    assert.equal(0, g:provider "first".probes)
  end)

  it("says its state to policies", function()
    local g, says = gateway({ says = 500 }, { policy = [[return { classify = function(request)
      return request.targets and request.targets:provider "first"[1].provider.state or "?" end,
      select = function(_, targets) return targets:asked() end }]] })
    assert.same({ "healthy" }, g:ask("hi").labels)
    for _ = 1, 4 do g:ask "hi" end
    assert.same({ "down" }, g:ask("hi").labels)
    says "well"
    g:advance(30)
    assert.same({ "healthy" }, g:ask("hi").labels)
  end)

  it("that cannot be told by its probe is left to its rest, and one request tries", function()
    local g, says = gateway { says = 500, key_probe = 404 }
    fall(g)
    g:advance(59)
    assert.equal("second", g:ask("hi").target)
    says "well"
    g:advance(1)
    assert.equal("first", g:ask("hi").target)
    assert.is_true(probed(g, "unclear") >= 1)
  end)

  it("that does not answer its probe is still down", function()
    local g = gateway { says = 500, key_probe = { after = 3600, status = 200 } }
    fall(g)
    g:advance(200)
    assert.equal("second", g:ask("hi").target)
    assert.equal(5, g:provider "first".probes)                  -- 30 s, and 10 s of waiting, each
    assert.equal(5, probed(g, "failed"))
  end)

  it("says so in the log, once, and when it is back", function()
    local g, says = gateway { says = 500 }
    fall(g)
    g:advance(100)
    says "well"
    g:advance(30)
    local down, back = 0, 0
    for _, line in ipairs(g.messages) do
      if line:find("provider first is down: it failed 5 times in a row; it is probed every 30 s", 1, true) then down = down + 1 end
      if line:find("provider first is back: its probe was answered (200)", 1, true) then back = back + 1 end
    end
    assert.same({ 1, 1 }, { down, back })
  end)
end)

describe("C1 a probe by completion", function()
  it("asks the cheapest model for at most 5 tokens, and is billed to the total", function()
    local g, says = gateway({ says = 500, probe = { with = "completion" } }, {
      targets = { { provider = "first", model = "dear", price = { input = 10, output = 20 } },
                  { provider = "first", model = "cheap", price = { input = 1, output = 2 } }, "second" } })
    for _ = 1, 3 do g:ask "hi" end
    local asked, before = g:provider "first".requests, g:metric("lunette_cost_usd_total", { target = "first/cheap" })
    says { text = "pong", usage = { input = 8, output = 2 } }
    g:advance(30)
    local calls = g:provider "first".calls
    assert.equal(asked + 1, #calls)
    local body = calls[#calls].json
    assert.equal("cheap", body.model)
    assert.equal(5, body.max_tokens)
    local cost = g:metric("lunette_cost_usd_total", { target = "first/cheap" }) - before
    assert.equal("first/dear", g:ask("hi").target)
    assert.is_true(math.abs(cost - (8 * 1 + 2 * 2) / 1e6) < 1e-12)
    assert.equal(0, g:provider "first".probes)
  end)

  it("that the total has no money for is not sent", function()
    local g = gateway({ says = 503, probe = { with = "completion" } }, { budgets = { total = { limit = 0.004 } }, targets = {
      { provider = "first", name = "first", price = { input = 0, output = 1000 } },
      { provider = "second", name = "second", price = { input = 0, output = 0 } } } })
    for _ = 1, 5 do assert.equal("second", g:ask({ text = "hi", max_tokens = 1 }).target) end
    assert.equal(5, g:provider "first".requests)
    g:advance(30)
    assert.equal(5, g:provider "first".requests)
    assert.equal(1, probed(g, "unpaid"))
  end)

  it("says nothing of the target's latency and attempts", function()
    local g, says = gateway { says = 500, probe = { with = "completion" } }
    fall(g)
    says { text = "pong", after = 5 }
    g:advance(36)
    assert.equal(5, g:metric("lunette_attempts_total", { target = "first" }))
    assert.equal(0, g:target("first").latency or 0)
  end)
end)

describe("C3 a key that is refused", function()
  it("is out at once, never asked with again, said by its name, and back when GET /models takes it", function()
    local accepts = false
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 2, key_probe = function() return accepts and 200 or 401 end, answer = function(request)
      return request.headers.authorization == "Bearer spec-A_KEY_1" and not accepts and 401 or "fine" end } } }
    for _ = 1, 6 do assert.equal("fine", g:ask("hi").text) end
    assert.equal(7, g:provider "a".requests)
    g:advance(30)
    assert.equal(1, g:provider "a".probes)
    accepts = true
    g:advance(30)
    for _ = 1, 2 do g:ask "hi" end
    local said = table.concat(g.messages, "\n")
    assert.truthy(said:find("provider a does not accept the key A_KEY_1 (401)", 1, true))
    assert.truthy(said:find("provider a takes the key A_KEY_1 again", 1, true))
    assert.is_nil(said:find("spec-A_KEY", 1, true))
  end)

  it("is out before the first request, with check_keys", function()
    local g = t.gateway { targets = { "a" }, providers = { a = { keys = 2, check_keys = true,
      key_probe = function(request) return request.headers.authorization == "Bearer spec-A_KEY_1" and 401 or 200 end,
      answer = function(request)
        assert.equal("Bearer spec-A_KEY_2", request.headers.authorization)
        return "fine"
      end } } }
    g:advance(0.001)
    for _ = 1, 4 do assert.equal("fine", g:ask("hi").text) end
    assert.equal(2, g:provider "a".probes)
  end)
end)
