-- GET /admin/events: what is told to who listens, how many may, when it ends.
local e2e = require "support"

local config = [[return { policy = "p.lua", %s
  providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", price = { input = 1, output = 2 } } } },
  budgets = { total = { limit = 5, per = "day" } } }]]

local provider
setup(function() provider = e2e.provider [[return function() return { text = "x", usage = { input = 1000, output = 1000 } } end]] end)
teardown(e2e.stop)

local function serve(more, env)
  env = env or {}
  env.A = provider.url
  return e2e.gateway { env = env, workers = 2, files = { ["p.lua"] = "return {}" }, config = config:format(more or "") }
end

local function listen(g, headers) return e2e.open(g.admin, { path = "/admin/events", headers = headers }) end

-- The next event that somebody is told, decoded; nil where they have ended.
local function event(visit)
  local text = visit.text or ""
  while not text:find("\n\n", 1, true) do
    local bytes = visit:chunk()
    if not bytes or bytes == "" then return nil end
    text = text .. bytes
  end
  local data, rest = text:match "^data: (.-)\n\n(.*)$"
  visit.text = rest
  return e2e.json.decode(data)
end

describe("who listens to /admin/events", function()
  it("is told at once, and then again and again, what the other paths answer", function()
    local g = serve()
    local visit = listen(g)
    local first = event(visit)
    assert.same({ 200, "text/event-stream", "no-store" }, { visit:head().status, visit:head().headers["content-type"], visit:head().headers["cache-control"] })
    assert.same({ 0, "a", "total" }, { first.report.totals.requests, first.providers.providers[1].name, first.budgets.budgets[1].name })
    assert.equal(g:look("versions").current, first.versions.current)
    assert.equal(200, g:chat({}).status)
    local look
    repeat look = event(visit) until not look or look.report.totals.requests == 1
    assert.same({ "+", 0.003, 1 }, { look.providers.providers[1].targets[1].recent, look.budgets.budgets[1].used, look.report.totals.spread[2] })
  end)

  it("is one of 16: another is refused, until one of them has left", function()
    local g = serve()
    local visits = {}
    for i = 1, 16 do
      visits[i] = listen(g)
      assert.truthy(event(visits[i]))
    end
    local answer = listen(g):rest()
    assert.same({ 503, "16 listen already: this path has so many at most" }, { answer.status, answer.json.errors[1] })
    visits[3]:leave()
    local another
    e2e.eventually("there is room again", function()
      another = listen(g)
      return another:head().status == 200
    end)
    assert.truthy(event(another))
    assert.truthy(event(visits[16]))
  end)

  it("is let go of when another version is taken over, and comes again to that one", function()
    local g = serve()
    local visit = listen(g)
    assert.truthy(event(visit))
    local taken = g:reload({ ["p.lua"] = "return { classify = function() return 'x' end }" }).json.version
    local look
    repeat look = event(visit) until not look
    assert.is_true(visit:rest().clean)
    assert.equal(taken, event(listen(g)).versions.current)
  end)

  it("is let go of when the admin token is another one", function()
    local secrets = e2e.folder()
    e2e.write(secrets .. "/ADMIN", "token-number-one")
    local g = serve('admin_token = secret "ADMIN",', { CREDENTIALS_DIRECTORY = secrets })
    assert.equal(401, listen(g):rest().status)
    local visit = listen(g, { authorization = "Bearer token-number-one" })
    assert.truthy(event(visit))
    e2e.write(secrets .. "/ADMIN", "token-number-two")
    local look
    repeat look = event(visit) until not look
    assert.equal(401, listen(g, { authorization = "Bearer token-number-one" }):rest().status)
  end)

  if os.getenv "E2E_MINUTE" then        -- ten seconds after what the system holds for him is full
    it("is let go of when he does not take what he is told, and others are not", function()
      local targets = {}
      for i = 1, 120 do targets[i] = ('{ provider = "a", model = "%d-%s", price = { input = 1, output = 1 } }'):format(i, ("x"):rep(250)) end
      local many = config:gsub("models = {", function() return "models = { many = { " .. table.concat(targets, ", ") .. " }," end)
      local g = e2e.gateway { env = { A = provider.url }, files = { ["p.lua"] = "return {}" }, config = many:format "" }
      local deaf, good = e2e.open(g.admin, { path = "/admin/events", window = 4096 }), listen(g)
      local others = {}
      for i = 1, 14 do others[i] = e2e.open(g.admin, { path = "/admin/events" }) end
      local another
      repeat
        assert.truthy(event(good))
        for _, visit in ipairs(others) do assert.truthy(event(visit)) end
        another = listen(g)
      until another:head().status == 200
      local bytes, why
      repeat bytes, why = deaf:chunk() until not bytes
      assert.truthy(why)                -- cut, not ended
    end)
  end

  it("holds up neither a HEAD nor the end of the gateway", function()
    local g = serve()
    assert.equal(200, e2e.request(g.admin, { method = "HEAD", path = "/admin/events" }).status)
    local visit = listen(g)
    assert.truthy(event(visit))
    assert.equal(0, g:stop())
    repeat local bytes = visit:chunk() until not bytes or bytes == ""
  end)
end)
