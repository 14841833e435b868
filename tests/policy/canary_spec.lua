-- Canaries, held to the numbers of D2: stages of 5, 15, 30, 50 and 100 % of 60 s each, sticky; a probe that answers 200, at most 1 % errors and 500 ms
-- at p99, else back to 0 %, with the reason, until asked; watched on after 100 %.
local t = require "lunette.test"

local policy = [[
  local lunette = require "lunette"
  return { select = function(request, targets)
    local new, old = targets:provider "new", targets:provider "old"
    return lunette.canary("kimi", request.user) and new .. old or old
  end }
]]

local function gateway(canary, providers, more)
  canary.provider = canary.provider == nil and "new" or canary.provider or nil
  local spec = { policy = policy, targets = { "old", "new" }, providers = providers or { old = "old", new = "new" }, health = false,
                 limits = { retries = false }, canaries = { kimi = canary } }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

-- n requests of the new group, each from a user who is new at 5 % already.
local function new_users(g, n)
  local users, i = {}, 0
  while #users < n do
    i = i + 1
    local answer = g:ask { user = "u" .. i }
    if (answer.record.canaries or {}).kimi == "new" then users[#users + 1] = "u" .. i end
  end
  return users
end

local function ask(g, users, times)
  for i = 1, times do g:ask { user = users[(i - 1) % #users + 1] } end
end

local function group_of(g, user) return g:ask { user = user }.record.canaries.kimi end

describe("D2 a canary's stages", function()
  it("are 5, 15, 30, 50 and 100 %, of 60 s each, and it is watched after the last", function()
    local g = gateway { samples = 1 }
    for stage, share in ipairs { 5, 15, 30, 50, 100 } do
      local is = g:canary "kimi"
      assert.same({ "running", stage, share }, { is.state, is.stage, is.share })
      new_users(g, 1)
      g:advance(stage * 60 - 0.5 - g:now())
      assert.equal(share, g:canary "kimi".share)
      g:advance(1)
    end
    assert.same({ "watching", 100 }, { g:canary "kimi".state, g:canary "kimi".share })
    g:advance(3600)
    assert.same({ "watching", 100 }, { g:canary "kimi".state, g:canary "kimi".share })
  end)

  it("give as many percent of users to the new side as they say, and who is new stays so", function()
    local g, new = gateway { samples = 1, p99 = false, errors = false }, {}
    for stage, share in ipairs { 5, 15, 30, 50, 100 } do
      local n = 0
      for i = 1, 1000 do
        local is = group_of(g, "user" .. i) == "new"
        assert.is_true(is or not new[i], "a user was new and is so no more")
        new[i] = is
        n = n + (is and 1 or 0)
      end
      assert.is_true(math.abs(n - share * 10) <= 40, ("%d of 1000 at %d %%"):format(n, share))
      g:advance(stage * 60 + 0.5 - g:now())
    end
  end)

  it("without who it is by chance, with its probability in the log line", function()
    local g = gateway({ stages = { 50, 100 } }, nil, { policy = policy:gsub(", request.user", "") })
    local new = 0
    for _ = 1, 200 do
      local record = g:ask().record
      assert.equal(0.5, record.notes.canary_kimi.probability)
      if record.canaries.kimi == "new" then new = new + 1 end
    end
    assert.is_true(new > 70 and new < 130)
  end)

  it("wait for enough samples, 100 by default, and do not pass without", function()
    local g = gateway {}
    local users = new_users(g, 1)
    ask(g, users, 98)
    g:advance(600)
    assert.same({ "running", 1, 99 }, { g:canary "kimi".state, g:canary "kimi".stage, g:canary "kimi".samples })
    ask(g, users, 1)
    g:advance(1.1)
    assert.same({ "running", 2, 0 }, { g:canary "kimi".state, g:canary "kimi".stage, g:canary "kimi".samples })
  end)

  it("and times and limits are configuration", function()
    local g = gateway { stages = { 20, 40 }, every = 6, samples = 1 }
    assert.equal(20, g:canary "kimi".share)
    new_users(g, 1)
    g:advance(6.1)
    assert.equal(40, g:canary "kimi".share)
    new_users(g, 1)
    g:advance(6.1)
    assert.same({ "watching", 40 }, { g:canary "kimi".state, g:canary "kimi".share })
  end)

  it("what may not be is refused by name", function()
    for problem, canary in pairs {
      ["canaries.kimi.stages%[2%]: must be more than the stage before it %(30%), not 5"] = { stages = { 30, 5 } },
      ["canaries.kimi.stages%[1%]: must be over 0 and up to 100 percent, not 101"] = { stages = { 101 } },
      ["canaries.kimi.stages%[1%]: must be over 0 and up to 100 percent, not 0"] = { stages = { 0, 5 } },
      ["canaries.kimi.stages: has no stage"] = { stages = {} },
      ["canaries.kimi.errors: must be a number from 0 to 1 or false, not %-0.5"] = { errors = -0.5 },
      ["canaries.kimi.p99: must be a number of seconds over 0"] = { p99 = -1 },
      ["canaries.kimi.every: must be"] = { every = 0 },
      ["canaries.kimi.samples: must be a whole number"] = { samples = 0 },
      ["canaries.kimi.probe: there is no provider \"nwe\" %(did you mean new%?%)"] = { probe = "nwe" },
      ["canaries.kimi.model: there is no model \"mm\""] = { model = "mm" },
      ["canaries.kimi.stage: there is no such setting %(did you mean stages%?%)"] = { stage = { 5 } },
      ["canaries.kimi.probe: is missing"] = { provider = false },
    } do
      local good, why = pcall(gateway, canary)
      assert.is_false(good)
      assert.is_truthy(why:find(problem), why)
    end
  end)
end)

describe("D2 a canary rolls back", function()
  local function providers(answer)
    local is = { answer = "new" }
    return { old = "old", new = answer or function() return is.answer end }, is
  end

  it("when over 1 % of its samples fail, though another provider helped out; not at 1 %", function()
    local who, is = providers()
    local g = gateway({}, who)
    local users = new_users(g, 1)
    is.answer = 500
    assert.equal("old", g:ask { user = users[1] }.target)
    is.answer = "new"
    ask(g, users, 98)
    g:advance(60.5)
    assert.same({ "running", 2 }, { g:canary "kimi".state, g:canary "kimi".stage })
    assert.is_truthy(g:canary "kimi".why:find("5 % passed: errors 1 % of 100", 1, true))
    is.answer = 500
    ask(g, users, 2)
    is.answer = "new"
    ask(g, users, 98)
    g:advance(60.5)
    assert.same({ "rolled_back", 0, "lunette", "errors 2 % of 100 > 1 %" },
      { g:canary "kimi".state, g:canary "kimi".share, g:canary "kimi".by, g:canary "kimi".why })
    assert.equal("old", group_of(g, users[1]))
    assert.is_truthy(table.concat(g.messages, "\n"):find("canary kimi: running at 15 %% %-> rolled_back at 0 %% %(lunette%): errors 2 %% of 100 > 1 %%"))
    assert.equal(1, g:metric("lunette_canary_rollbacks_total", { canary = "kimi" }))
    assert.equal(3, g:metric("lunette_canary_requests_total", { canary = "kimi", group = "new", result = "error" }))
  end)

  it("as soon as the rest of the stage cannot make up for it, at once for all", function()
    local who, is = providers()
    local g = gateway({}, who)
    local users = new_users(g, 1)
    is.answer = 503
    g:advance(30)
    ask(g, users, 1)
    assert.equal("running", g:canary "kimi".state)
    ask(g, users, 1)
    assert.same({ "rolled_back", 30 }, { g:canary "kimi".state, g:now() })
  end)

  it("when p99 is over 500 ms; not at 500 ms, and one of 100 may be slower", function()
    local who, is = providers()
    local g = gateway({ stages = { 100 } }, who)
    is.answer = { text = "new", after = 0.5 }
    for _ = 1, 99 do g:ask { user = "a" } end
    is.answer = { text = "new", after = 2 }
    g:ask { user = "a" }
    g:advance(60)
    assert.equal("watching", g:canary "kimi".state)
    is.answer = { text = "new", after = 0.501 }
    for _ = 1, 120 do g:ask { user = "a" } end
    assert.equal("rolled_back", g:canary "kimi".state)
    assert.is_truthy(g:canary "kimi".why:find "^p99 5%d%d.* ms of %d+ > 500 ms$", g:canary "kimi".why)
  end)

  it("of a stream, the first byte counts", function()
    local who = providers(function() return { text = "one two three", every = 1 } end)
    local g = gateway({ stages = { 100 }, samples = 3, every = 30 }, who)
    for _ = 1, 10 do assert.is_true(g:ask { user = "a", stream = true }.latency >= 1) end
    g:advance(1)
    assert.equal("watching", g:canary "kimi".state)
  end)

  it("when the probe does not answer 200", function()
    local status = 200
    local g = gateway({}, { old = "old", new = { answer = "new", key_probe = function() return status end } })
    g:advance(30)
    assert.equal("running", g:canary "kimi".state)
    assert.is_true(g:provider "new".probes >= 3)
    status = 503
    g:advance(11)
    assert.same({ "rolled_back", "probe of new answered 503" }, { g:canary "kimi".state, g:canary "kimi".why })
    local asked = g:provider "new".probes
    g:advance(600)
    assert.equal(asked, g:provider "new".probes)
  end)

  it("and no stage passes before the probe has answered", function()
    local g = gateway({ samples = 1, every = 5 }, { old = "old", new = { answer = "new", key_probe = { after = 8, text = "" } } })
    new_users(g, 1)
    g:advance(6)
    assert.equal(1, g:canary "kimi".stage)
    g:advance(3)
    assert.equal(2, g:canary "kimi".stage)
  end)

  it("while it is watched at 100 %, by the last 60 s alone", function()
    local who, is = providers()
    local g = gateway({ stages = { 100 }, samples = 10 }, who)
    for _ = 1, 20 do g:ask { user = "a" } end
    g:advance(60.5)
    assert.equal("watching", g:canary "kimi".state)
    for _ = 1, 50 do g:ask { user = "a" } end
    g:advance(300)
    assert.equal(0, g:canary "kimi".samples)
    is.answer = 500
    g:ask { user = "a" }
    assert.same({ "rolled_back", 0 }, { g:canary "kimi".state, g:canary "kimi".share })
    assert.equal("errors 100 % of 1 > 1 %", g:canary "kimi".why)
  end)

  it("when its targets rest, so that only others answer", function()
    local who, is = providers()
    local g = gateway({ samples = 1000, stages = { 100 } }, who, { health = { failures = 3 } })
    is.answer = 500
    for _ = 1, 11 do assert.equal("old", g:ask { user = "a" }.target) end
    assert.equal(3, g:provider "new".requests)
    g:advance(1.1)
    assert.same({ "rolled_back", "errors 100 % of 11 > 1 %" }, { g:canary "kimi".state, g:canary "kimi".why })
  end)

  it("not for what is the client's affair", function()
    local who, is = providers()
    local g = gateway({ stages = { 100 }, samples = 1 }, who)
    for _, answer in ipairs { 400, 422, { status = 400, body = { error = { code = "context_length_exceeded" } } },
                              { status = 400, body = { error = { code = "content_filter" } } } } do
      is.answer = answer
      g:ask { user = "a" }
    end
    is.answer = { text = "late", after = 5 }
    local left = g:start { user = "a" }
    g:advance(1)
    left:leave()
    assert.same({ "running", 0, 0 }, { g:canary "kimi".state, g:canary "kimi".samples, g:canary "kimi".errors })
    assert.equal(5, g:metric("lunette_canary_requests_total", { group = "new", result = "none" }))
  end)

  it("and stays there until asked", function()
    local who, is = providers()
    local g = gateway({ samples = 1 }, who)
    is.answer = 500
    new_users(g, 1)
    g:advance(1.1)
    assert.equal("rolled_back", g:canary "kimi".state)
    is.answer = "new"
    g:advance(86400)
    assert.same({ "rolled_back", 0 }, { g:canary "kimi".state, g:canary "kimi".share })
    assert.is_true(g:canary("kimi", "start", "it was mended"))
    assert.same({ "running", 5, "it was mended" }, { g:canary "kimi".state, g:canary "kimi".share, g:canary "kimi".why })
  end)

  it("what began before it was started anew does not count", function()
    local who, is = providers()
    local g = gateway({ samples = 1, stages = { 100 } }, who)
    is.answer = { status = 500, after = 1 }
    local late = g:start { user = "a" }
    assert.is_true(g:canary("kimi", "rollback"))
    is.answer = "new"
    assert.is_true(g:canary("kimi", "start"))
    late:answer()
    assert.same({ "running", 0 }, { g:canary "kimi".state, g:canary "kimi".errors })
  end)
end)

describe("D2 what can be asked of a canary", function()
  it("it does not start by itself with start = false", function()
    local g = gateway { start = false, samples = 1 }
    g:advance(600)
    assert.same({ "waiting", 0 }, { g:canary "kimi".state, g:canary "kimi".share })
    assert.equal("old", group_of(g, "a"))
    assert.is_true(g:canary("kimi", "start"))
    assert.same({ nil, "it has been started (running)" }, { g:canary("kimi", "start") })
    assert.equal(5, g:canary "kimi".share)
  end)

  it("paused it stays in its stage, but fails as before", function()
    local bad = false
    local g = gateway({ samples = 1 }, { old = "old", new = function() return bad and 500 or "new" end })
    assert.is_true(g:canary("kimi", "pause"))
    local users = new_users(g, 1)
    g:advance(600)
    assert.same({ "paused", 5 }, { g:canary "kimi".state, g:canary "kimi".share })
    assert.is_true(g:canary("kimi", "resume"))
    g:advance(1.1)
    assert.equal(15, g:canary "kimi".share)
    assert.is_true(g:canary("kimi", "pause"))
    bad = true
    ask(g, users, 1)
    g:advance(1.1)
    assert.equal("rolled_back", g:canary "kimi".state)
    assert.same({ nil, "only one that is running can be paused (rolled_back)" }, { g:canary("kimi", "pause") })
  end)

  it("promoted it gets all at once, and is watched", function()
    local g = gateway {}
    assert.is_true(g:canary("kimi", "promote"))
    assert.same({ "watching", 100 }, { g:canary "kimi".state, g:canary "kimi".share })
    assert.is_true(g:canary("kimi", "rollback", "no good"))
    assert.same({ "rolled_back", 0, "spec", "no good" }, { g:canary "kimi".state, g:canary "kimi".share, g:canary "kimi".by, g:canary "kimi".why })
    assert.equal(0, g:metric "lunette_canary_rollbacks_total")
  end)
end)

describe("D2 lunette.canary", function()
  it("says the same all through a request, whoever is named", function()
    local g = gateway({ stages = { 50 } }, nil, { policy = [[
      local lunette = require "lunette"
      return { select = function(request, targets)
        local first = lunette.canary("kimi", request.user)
        for i = 1, 20 do assert(lunette.canary("kimi", "u" .. i) == first) end
      end }
    ]] })
    for i = 1, 20 do assert.equal(200, g:ask { user = "x" .. i }.status) end
    assert.same({}, g.messages[2] and { g.messages[2] } or {})
  end)

  it("an unknown one is nil and a reason; lunette.has_canary tells while the file is loaded", function()
    local g = gateway({}, nil, { policy = [[
      local lunette = require "lunette"
      local has, has_not = lunette.has_canary "kimi", lunette.has_canary "kimmi"
      return { select = function()
        local is, why = lunette.canary("kimmi", "a")
        lunette.note("is", { tostring(is), why, has, has_not })
      end }
    ]] })
    assert.same({ "nil", "unknown_canary", true, false }, g:ask().notes.is)
  end)
end)

describe("D2 an answer from the cache", function()
  it("says nothing about a canary", function()
    local g = gateway({ stages = { 100 } }, nil, { cache = {}, clients = { { name = "ann" } } })
    for _ = 1, 10 do assert.equal("new", g:ask { user = "a", temperature = 0 }.text) end
    local asked = g:provider "new".requests
    assert.is_true(asked < 5)                       -- the others were answered by the cache
    assert.equal(asked, g:canary "kimi".samples)
    assert.equal(asked, g:metric("lunette_canary_requests_total", { group = "new", result = "ok" }))
  end)

  it("is not given on once the canary is rolled back", function()
    local g = gateway({ stages = { 100 } }, nil, { cache = {}, clients = { { name = "ann" } } })
    for _ = 1, 3 do assert.equal("new", g:ask { user = "a", temperature = 0 }.text) end
    assert.is_true(g:canary("kimi", "rollback"))
    g:advance(1)
    local answer = g:ask { user = "a", temperature = 0 }
    assert.same({ "old", "miss" }, { answer.text, answer.record.cache })
  end)

  it("is no sample either where classify has asked for the canary, before it is looked up", function()
    local asks_early = [[
      local lunette = require "lunette"
      return { classify = function(request) return lunette.canary("kimi", "someone") and "new" or "old" end,
               select = function(request, targets) return targets:provider(request.label) end }
    ]]
    for _, provider in ipairs { "new", false } do
      local g = gateway({ stages = { 100 }, samples = 5, probe = false, provider = provider }, nil,
                        { policy = asks_early, cache = {}, clients = { { name = "ann" } } })
      for _ = 1, 10 do assert.equal("new", g:ask { temperature = 0 }.text) end
      assert.equal(1, g:provider "new".requests)
      assert.equal(1, g:canary "kimi".samples)
      assert.equal(9, g:metric("lunette_canary_requests_total", { group = "new", result = "none" }))
    end
  end)

  it("is rolled back where its new side hangs and another that was started beside it answers", function()
    local g = t.gateway { targets = { "old", "new" }, health = false, limits = { retries = false, hedges = 1 },
      providers = { old = function() return { text = "old", after = 0.1 } end, new = function() return { text = "new", after = 300 } end },
      canaries = { kimi = { provider = "new", samples = 10, stages = { 50, 100 } } }, policy = [[
        local lunette = require "lunette"
        return { select = function(request, targets)
          local new, old = targets:provider "new", targets:provider "old"
          return lunette.canary("kimi", request.user) and (new .. old):steps { hedge_after = 0.3 } or old
        end }]] }
    for i = 1, 300 do g:ask { user = "u" .. i } end
    g:advance(600)
    assert.equal("rolled_back", g:canary "kimi".state)
  end)
end)
