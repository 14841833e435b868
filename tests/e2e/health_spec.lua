-- What the gateway remembers of providers: keys, circuits, rests, the retry budget; and whom it asks when no policy says so.
local e2e = require "support"

local in_order = [[return { select = function(request, targets) return targets:asked() end }]]

local function ok(text) return ("return function() return { text = %q } end"):format(text) end

local function serve(config, env, policy)
  return e2e.gateway { config = config, files = { ["policy.lua"] = policy or in_order }, env = env }
end

after_each(e2e.stop)

describe("a provider with several keys", function()
  local config = [[return { policy = "policy.lua",
    providers = { a = { base_url = env "A", key = { secret "K1", secret "K2" } }, b = { base_url = env "B" } },
    models = { x = { { provider = "a" }, { provider = "b" } }, y = { { provider = "a" }, { provider = "b" } },
               lone = { { provider = "a" } } } }]]

  local function begin(script)
    local a, b = e2e.provider(script), e2e.provider(ok "from b")
    return serve(config, { A = a.url, B = b.url, K1 = "key-one-1111", K2 = "key-two-2222" }), a
  end

  local function used(a)
    local count = {}
    for _, request in ipairs(a:seen().last) do
      local key = request.headers.authorization
      count[key] = (count[key] or 0) + 1
    end
    return count
  end

  it("uses them in turn", function()
    local g, a = begin(ok "from a")
    for _ = 1, 6 do assert.equal("from a", g:chat({ model = "x" }).text) end
    assert.same({ ["Bearer key-one-1111"] = 3, ["Bearer key-two-2222"] = 3 }, used(a))
  end)

  it("takes one out that gets a 401: the same request goes on with the other, and nobody uses it again", function()
    local g, a = begin [[return function(request)
      if request.headers.authorization == "Bearer key-one-1111" then return { status = 401, body = { error = { message = "who?" } } } end
      return { text = "from a" }
    end]]
    for _ = 1, 6 do assert.equal("from a", g:chat({ model = "x" }).text) end
    for _ = 1, 2 do assert.equal("from a", g:chat({ model = "y" }).text) end
    assert.same({ ["Bearer key-one-1111"] = 1, ["Bearer key-two-2222"] = 8 }, used(a))
    assert.equal(1, g:metric [[lunette_attempts_total{target="a/x",kind="auth"}]])
    assert.is_nil(g.process:said():find("key-one", 1, true))
  end)

  it("is passed over when none is left", function()
    local g, a = begin [[return function(request) return { status = 401 } end]]
    for _ = 1, 3 do assert.equal("from b", g:chat({ model = "x" }).text) end
    assert.equal(2, a:count())
    local answer = g:chat { model = "lone" }
    assert.equal(502, answer.status)
    assert.equal(2, a:count())
  end)

  it("takes out one key for one model only after a 403", function()
    local g, a = begin [[return function(request)
      if request.model == "x" then return { status = 403 } end
      return { text = "from a" }
    end]]
    for _ = 1, 4 do assert.equal("from b", g:chat({ model = "x" }).text) end
    for _ = 1, 4 do assert.equal("from a", g:chat({ model = "y" }).text) end
    assert.equal(2 + 4, a:count())
    assert.same({ ["Bearer key-one-1111"] = 3, ["Bearer key-two-2222"] = 3 }, used(a))
  end)

  it("lets one whose quota is used up rest", function()
    local g, a = begin [[return function(request)
      local first = request.headers.authorization == "Bearer key-one-1111"
      if first then return { status = 429, body = { error = { code = "insufficient_quota" } } } end
      return { text = "from a" }
    end]]
    for _ = 1, 6 do assert.equal("from a", g:chat({ model = "x" }).text) end
    assert.equal(1, used(a)["Bearer key-one-1111"])
  end)
end)

describe("a circuit", function()
  local config = [[return { policy = "policy.lua", health = { failures = 3, rest = 0.5 }, limits = { retries = false },
    providers = { a = { base_url = env "A" }, b = { base_url = env "B" } }, CLIENTS
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" } } } }]]
  local a, g

  local function begin(clients)
    a = e2e.puppet()
    g = serve((config:gsub("CLIENTS", function() return clients or "" end)), { A = a.url, B = e2e.provider(ok "from b").url })
  end

  local function circuit(value)
    e2e.eventually("the circuit is " .. value, function() return g:metric [[lunette_circuit_open{target="a/x"}]] == value end)
  end

  local function fail(headers)
    local visit = g:open { headers = headers }
    a:accept():answer(500, {})
    assert.equal("from b", visit:rest().text)
  end

  it("opens after so many failures in a row: nobody asks there any more", function()
    begin()
    for _ = 1, 3 do fail() end
    circuit(1)
    local answer = g:chat {}
    assert.equal("from b", answer.text)
    assert.equal("1", answer.headers["x-lunette-attempts"])
    assert.is_true(a:quiet())
  end)

  it("lets one through when it has rested, and closes when that one is answered", function()
    begin()
    for _ = 1, 3 do fail() end
    circuit(0.5)
    local probe = g:open {}
    local call = a:accept()
    for _ = 1, 3 do assert.equal("from b", g:chat({}).text) end
    assert.is_true(a:quiet())
    call:answer(200, { choices = { { message = { content = "from a" } } } })
    assert.equal("from a", probe:rest().text)
    circuit(0)
    local visit = g:open {}
    a:accept():answer(200, { choices = { { message = { content = "again" } } } })
    assert.equal("again", visit:rest().text)
  end)

  it("opens again when that one fails", function()
    begin()
    for _ = 1, 3 do fail() end
    circuit(0.5)
    fail()
    circuit(1)
    assert.equal("from b", g:chat({}).text)
    assert.is_true(a:quiet())
  end)

  it("is not opened by one client alone", function()
    -- sha256 of "one" and of "two"
    begin [[clients = {
      { name = "one", hash = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed" },
      { name = "two", hash = "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3" } },]]
    for _ = 1, 4 do fail { authorization = "Bearer one" } end
    circuit(0)
    fail { authorization = "Bearer two" }
    circuit(1)
  end)
end)

describe("one client whose requests always fail", function()
  -- sha256 of "one" and of "two"
  local config = [[return { policy = "policy.lua", limits = { retries = false },
    providers = { a = { base_url = env "A", key = { secret "K1" } }, b = { base_url = env "B" } },
    clients = { { name = "one", hash = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed" },
                { name = "two", hash = "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3" } },
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" } } } }]]
  local script = [[return function(request)
    if request.text == "500" then return { status = 500 } end
    if request.text == "502" then return { status = 502, body = "<html>no</html>" } end
    if request.text == "400" then return { status = 400, body = { error = { message = "no" } } } end
    if request.text == "404" then return { status = 404 } end
    if request.text == "reset" then return { cut = "rst" } end
    if request.text == "cut" then return { text = "a long enough text", cut = "fin" } end
    if request.text == "nonsense" then return { body = "nonsense" } end
    if request.text == "filtered" then return { status = 400, body = { error = { code = "content_filter" } } } end
    return { text = "from a" }
  end]]

  for _, how in ipairs { "500", "502", "400", "404", "reset", "cut", "nonsense", "filtered" } do
    it("(" .. how .. ") opens no circuit and retires no key for the others", function()
      local g = serve(config, { A = e2e.provider(script).url, B = e2e.provider(ok "from b").url, K1 = "key-one-1111" })
      for i = 1, 20 do
        local answer = g:chat { text = how, headers = { authorization = "Bearer one" }, stream = i % 2 == 0 }
        assert.equal("a/x", g:line(answer).attempts[1].target)
      end
      for _ = 1, 3 do assert.equal("from a", g:chat({ headers = { authorization = "Bearer two" } }).text) end
      local a = g:look("providers").providers[1]
      assert.same({ "a", true, "closed" }, { a.name, a.keys[1].in_use, a.targets[1].circuit })
    end)
  end
end)

describe("a provider that says how long it wants to be left alone", function()
  local config = [[return { policy = "policy.lua", limits = { retries = false }, HEALTH
    providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" } }, lone = { { provider = "a", model = "x" } },
               y = { { provider = "a", model = "y" }, { provider = "b", model = "y" } } } }]]
  local function script(headers, status)
    return ([[return function(request, n)
      if n == 1 then return { status = %d, headers = { %s } } end
      return { text = "from a" }
    end]]):format(status or 429, headers)
  end
  local function begin(headers, health, status)
    local a = e2e.provider(script(headers, status))
    return serve((config:gsub("HEALTH", health or "")), { A = a.url, B = e2e.provider(ok "from b").url }), a
  end

  for name, headers in pairs { ["retry-after"] = [=[["retry-after"] = "1"]=], ["retry-after-ms"] = [=[["retry-after-ms"] = "400"]=],
                               ["x-ratelimit-reset-requests"] = [=[["x-ratelimit-reset-requests"] = "400ms"]=] } do
    it("by " .. name .. " is left alone, and asked again when the time has come", function()
      local g, a = begin(headers)
      assert.equal("from b", g:chat({}).text)
      assert.equal("from b", g:chat({}).text)
      assert.equal(1, a:count())
      e2e.eventually("a is asked again", function() return g:chat({}).text == "from a" end)
      assert.equal(2, a:count())
    end)
  end

  it("is left alone by a 503 too", function()
    local g, a = begin([=[["retry-after"] = "5"]=], nil, 503)
    for _ = 1, 3 do assert.equal("from b", g:chat({}).text) end
    assert.equal(1, a:count())
  end)

  it("rests with this target alone, or with all its targets where cooling says so", function()
    local g = begin [=[["retry-after"] = "9"]=]
    assert.equal("from b", g:chat({}).text)
    assert.equal("from a", g:chat({ model = "y" }).text)
    local strict, a = begin([=[["retry-after"] = "9"]=], [[health = { cooling = "provider" },]])
    assert.equal("from b", strict:chat({}).text)
    assert.equal("from b", strict:chat({ model = "y" }).text)
    assert.equal(1, a:count())
  end)

  it("is the reason for a 429 with its retry-after where nobody else can answer", function()
    local g, a = begin [=[["retry-after"] = "9"]=]
    local answer = g:chat { model = "lone" }
    assert.equal(429, answer.status)
    assert.equal("rate_limited", answer.code)
    assert.equal("true", answer.headers["x-should-retry"])
    answer = g:chat { model = "lone" }
    assert.equal(429, answer.status)
    local wait = tonumber(answer.headers["retry-after"])
    assert.is_true(wait > 0 and wait <= 9)
    assert.equal(1, a:count())
  end)
end)

describe("retries", function()
  local config = [[return { policy = "policy.lua", health = false, LIMITS
    providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" } } } }]]

  it("have a budget: ten are always allowed, what is beyond is denied and counted", function()
    local a = e2e.provider "return function() return { status = 500 } end"
    local g = serve((config:gsub("LIMITS", "")), { A = a.url, B = e2e.provider(ok "from b").url })
    for _ = 1, 10 do assert.equal("from b", g:chat({}).text) end
    for i = 1, 2 do
      local answer = g:chat {}
      assert.equal(502, answer.status)
      assert.equal(1, #g:line(answer).attempts)
      assert.equal(i, g:metric "lunette_retries_denied_total")
    end
    assert.equal(10, g:metric [[lunette_fallbacks_total{model="m"}]])
  end)

  -- Circuits, rests and the budget of retries as they are where nothing is said.
  for how, script in pairs { ["answers 500"] = "{ status = 500 }", ["is overloaded"] = "{ status = 503 }", ["hangs up"] = [[{ cut = "rst" }]] } do
    it("are a fifth of the requests at most where every provider " .. how, function()
      local three = [[return { providers = { a = { base_url = env "A" }, b = { base_url = env "A" }, c = { base_url = env "A" } },
        models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" }, { provider = "c", model = "x" } } } }]]
      local a = e2e.provider("return function() return " .. script .. " end")
      local g = e2e.gateway { config = three, env = { A = a.url } }
      for i = 1, 200 do assert.is_true(g:chat({ stream = i % 2 == 0 }).status >= 500) end
      local asked = a:count()
      assert.is_true(asked >= 200 and asked <= 240, asked .. " attempts of 200 requests")
    end)
  end

  it("are no more than `attempts` says", function()
    local a = e2e.provider "return function() return { status = 500 } end"
    local g = serve((config:gsub("LIMITS", "limits = { attempts = 3, retries = false },")), { A = a.url, B = a.url },
      [[local lunette = require "lunette" return { retry = function() return lunette.again(0) end }]])
    assert.equal(502, g:chat({}).status)
    assert.equal(3, a:count())
  end)
end)

describe("without a policy", function()
  local config = [[return {
    providers = { a = { base_url = env "A" }, b = { base_url = env "B" }, c = { base_url = env "C" } },
    models = { m = { { provider = "a", model = "x" }, { provider = "b", model = "x" }, { provider = "c", model = "x" } } } }]]

  local function asked(g, options)
    local answer = g:chat(options)
    assert.equal(200, answer.status)
    assert.matches("^default@%x+$", answer.headers["x-lunette-policy"])
    return answer.headers["x-lunette-target"]
  end

  it("a session stays with its target, however it is named; different ones are spread", function()
    local env = { A = e2e.provider(ok "a").url, B = e2e.provider(ok "b").url, C = e2e.provider(ok "c").url }
    local g = e2e.gateway { config = config, env = env }
    local ways = {
      function(s) return { headers = { ["x-session-id"] = s } } end,
      function(s) return { body = { prompt_cache_key = s } } end,
      function(s) return { body = { metadata = { session_id = s } } } end,
      function(s) return { text = s, body = { seed = 1 } } end,            -- what it begins with
    }
    for _, way in ipairs(ways) do
      local targets, n = {}, 0
      for i = 1, 12 do
        local target = asked(g, way("session " .. i))
        assert.equal(target, asked(g, way("session " .. i)))
        if not targets[target] then targets[target], n = true, n + 1 end
      end
      assert.is_true(n >= 2)
    end
  end)
end)
