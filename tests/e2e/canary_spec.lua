-- Canaries through real sockets: started by the admin interface, rolled back by a provider that misbehaves, kept over kill -9, told by `lunette canary`.
local e2e = require "support"
after_each(e2e.stop)

-- Fails for who asks it to; and once it was asked to be sick its probes get 503.
local misbehaves = [[
local sick = false
return function(request)
  if request.method == "GET" then return { status = sick and 503 or 200, text = "" } end
  if request.text == "fail" then return { status = 500 } end
  if request.text == "sick" then sick = true end
  return { text = "new" }
end
]]

local policy = [[
local lunette = require "lunette"
return { select = function(request, targets)
  local new, old = targets:named "new", targets:named "old"
  return lunette.canary("kimi", request.user) and new .. old or old
end }
]]

local function config(canary)
  return [[return {
    policy = "policy.lua", health = false, limits = { retries = false }, log = { audit = "audit.jsonl" },
    providers = { new = { base_url = env "NEW" }, old = { base_url = env "OLD" } },
    models = { m = { { provider = "old", name = "old" }, { provider = "new", name = "new" } } },
    canaries = { kimi = { provider = "new", ]] .. canary .. [[ } },
  }]]
end

local new
local function serve(canary, workers)
  new = e2e.provider(misbehaves)
  local old = e2e.provider [[return function() return { text = "old" } end]]
  return e2e.gateway { config = config(canary), files = { ["policy.lua"] = policy }, workers = workers or 2, env = { NEW = new.url, OLD = old.url } }
end

local function kimi(g) return g:look("canaries").canaries[1] end
local function ask(g, text) return g:chat { text = text or "hi", body = { user = "ann" } } end
local function until_it(g, state) return e2e.eventually("it is " .. state, function() local is = kimi(g); return is.state == state and is end) end
local function tell(g, verb, why) return g:tell("canaries/kimi", { ["do"] = verb, why = why }, { ["x-lunette-by"] = "ann@host" }) end

local function lunette(g, ...)
  return e2e.run({ e2e.lunette, "canary", ... }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin })
end

describe("D2 a canary", function()
  it("is started by the admin interface, passes its stages, and is watched on", function()
    local g = serve "start = false, stages = { 50, 100 }, every = 0.2, samples = 1, p99 = false"
    assert.same({ "waiting", 0 }, { kimi(g).state, kimi(g).share })
    local told = tell(g, "start", "try it")
    assert.equal(200, told.status)
    local is = told.json.canary
    assert.same({ "running", 50, 1, "try it", true }, { is.state, is.share, is.stage, is.why, told.json.kept })
    assert.is_truthy(is.by:find("^admin ann@host"))
    local user = 0
    e2e.eventually("it has passed", function()
      user = user + 1
      local answer = g:chat { body = { user = "u" .. user } }
      assert.equal(200, answer.status)
      return kimi(g).state == "watching"
    end)
    assert.equal(100, kimi(g).share)
    local line = g:line(ask(g))
    assert.same({ kimi = "new" }, line.canaries)
    assert.equal("new", line.target)
    assert.equal(1, g:metric [[lunette_canary_share_ratio{canary="kimi"}]])
    assert.equal(1, g:metric [[lunette_canary_state{canary="kimi",state="watching"}]])
    assert.is_true(g:metric [[lunette_canary_requests_total{canary="kimi",group="new",result="ok"}]] > 0)
  end)

  it("is rolled back on all workers by requests that fail, though others helped out; and says why", function()
    local g = serve("stages = { 100 }, every = 20, samples = 10, p99 = false", 4)
    assert.equal("new", g:line(ask(g)).target)
    -- what fails at once could still be made up for: it takes a hundredth of `every` until it cannot
    assert.equal(200, tell(g, "promote").status)
    e2e.eventually("it is rolled back", function()
      assert.equal(200, ask(g, "fail").status)
      return kimi(g).state == "rolled_back"
    end)
    for _ = 1, 12 do assert.same({ kimi = "old" }, g:line(ask(g)).canaries) end
    assert.is_truthy(kimi(g).why:find "^errors %d+%.?%d* %% of %d+ > 1 %%$", kimi(g).why)
    e2e.eventually("it is in the log", function()
      return g.process:said():find("canary kimi: watching at 100 % -> rolled_back at 0 % (lunette): errors", 1, true)
    end)
    e2e.eventually("it is in the audit log", function()
      return e2e.read(g.folder .. "/audit.jsonl"):find('"what":"canary","name":"kimi","why":"errors', 1, true)
    end)
    assert.equal(1, g:metric [[lunette_canary_rollbacks_total{canary="kimi"}]])
  end)

  it("is rolled back when its provider's probe does not answer 200, and stays so over kill -9 and reloads until asked", function()
    local g = serve "stages = { 100 }, every = 0.3, samples = 1000000, p99 = false"
    ask(g, "sick")
    until_it(g, "rolled_back")
    e2e.eventually("it is told, and so it is kept", function() return g.process:said():find("probe of new answered 503", 1, true) end)
    g:restart()
    assert.same({ "rolled_back", 0, "probe of new answered 503", "lunette" }, { kimi(g).state, kimi(g).share, kimi(g).why, kimi(g).by })
    assert.equal(200, g:reload { ["policy.lua"] = policy .. "-- another version\n" }.status)
    assert.equal("rolled_back", kimi(g).state)
    assert.same({ kimi = "old" }, g:line(ask(g)).canaries)
    assert.equal(200, tell(g, "start").status)
    until_it(g, "rolled_back")          -- it is still sick
  end)

  it("keeps its stage over kill -9", function()
    local g = serve "stages = { 20, 100 }, every = 3600, samples = 1, p99 = false"
    assert.equal(20, kimi(g).share)
    assert.equal(200, tell(g, "promote", "sure of it").status)
    g:restart()
    assert.same({ "watching", 100, "sure of it" }, { kimi(g).state, kimi(g).share, kimi(g).why })
    assert.equal("new", g:line(ask(g)).target)
  end)

  it("goes on over reloads with its probes under way, and takes other stages over", function()
    local slow = [[return function(request) return { text = "new", after = request.method == "GET" and 0.05 or 0 } end]]
    new = e2e.provider(slow)
    local old = e2e.provider [[return function() return { text = "old" } end]]
    local text = config "stages = { %d, 100 }, every = 0.3, samples = 1000000, p99 = false"
    local g = e2e.gateway { config = text:format(10), files = { ["policy.lua"] = policy }, workers = 4, env = { NEW = new.url, OLD = old.url } }
    for share = 11, 30 do
      assert.equal(200, g:reload { ["gateway.lua"] = text:format(share) }.status)
      assert.same({ "running", share }, { kimi(g).state, kimi(g).share })
      assert.equal(200, ask(g).status)
    end
    e2e.eventually("the latest version's probe was answered", function() return kimi(g).probe_status == 200 end)
    assert.equal(200, g:reload { ["gateway.lua"] = (text:format(30):gsub("canaries", "--")) }.status)
    assert.same({}, g:look("canaries").canaries)
    assert.equal(404, tell(g, "start").status)
    assert.is_nil(g:line(ask(g)).canaries)
    assert.equal(200, g:reload { ["gateway.lua"] = text:format(40) }.status)
    assert.same({ "running", 40 }, { kimi(g).state, kimi(g).share })       -- it is remembered by its name
  end)

  it("is asked what makes sense, by name", function()
    local g = serve "start = false"
    assert.equal(404, g:tell("canaries/kim", { ["do"] = "start" }).status)
    assert.equal(404, g:tell("canaries/" .. ("k"):rep(200), { ["do"] = "start" }).status)
    assert.equal(404, g:tell("canaries/", { ["do"] = "start" }).status)
    assert.equal(404, g:tell("canaries/kimi/x", { ["do"] = "start" }).status)
    assert.equal(422, g:tell("canaries/kimi", { ["do"] = "fly" }).status)
    assert.equal(422, g:tell("canaries/kimi", { ["do"] = 5 }).status)
    assert.equal(422, g:tell("canaries/kimi", {}).status)
    assert.equal(400, g:tell("canaries/kimi", "{").status)
    local told = tell(g, "pause")
    assert.same({ 409, { "kimi: only one that is running can be paused (waiting)" } }, { told.status, told.json.errors })
    assert.equal(405, e2e.request(g.admin, { path = "/admin/canaries/kimi" }).status)
    assert.equal("waiting", kimi(g).state)
  end)

  it("whose state is not understood begins anew, and says so", function()
    local g = serve "start = false"
    local text
    e2e.eventually("it is written down", function()
      text = e2e.read(g.folder .. "/.lunette/state.json")
      return text:find('"kimi"', 1, true)
    end)
    g.process:stop()
    local spoilt, n = text:gsub('"canaries":%b{}', '"canaries":{"kimi":{"state":"flying"}}')
    assert.equal(1, n)
    e2e.write(g.folder .. "/.lunette/state.json", spoilt)
    g:restart()
    assert.equal("waiting", kimi(g).state)
    assert.is_truthy(g.process:said():find("what was kept of the canary kimi cannot be understood", 1, true))
  end)
end)

describe("D2 lunette canary", function()
  it("shows, starts and rolls back", function()
    local g = serve "start = false, every = 3600"
    local status, out = lunette(g)
    assert.equal(0, status)
    assert.is_truthy(out:find "canary%s+state%s+new%s+stage%s+samples")
    assert.is_truthy(out:find "kimi%s+waiting%s+0 %%%s+0 of 5")
    status, out = lunette(g, "kimi", "start", "--why", "let us see")
    assert.equal(0, status)
    assert.is_truthy(out:find "kimi%s+running%s+5 %%%s+1 of 5.+let us see")
    assert.equal(0, (lunette(g, "kimi")))
    assert.equal(0, (lunette(g, "kimi", "rollback")))
    status, out = lunette(g, "kimi")
    assert.equal(1, status)
    assert.is_truthy(out:find "kimi%s+rolled_back%s+0 %%.+asked for")
    status, out = lunette(g, "kimi", "--json")
    assert.same({ 1, "rolled_back" }, { status, e2e.json.decode(out).canaries[1].state })
  end)

  it("refuses what cannot be", function()
    local g = serve "start = false"
    local status, _, why = lunette(g, "kimi", "fly")
    assert.same({ 2, true }, { status, why:find("start, pause, resume, promote or rollback", 1, true) ~= nil })
    assert.equal(2, (lunette(g, "kimi/../x", "start")))
    assert.equal(2, (lunette(g, "kimi", "start", "again")))
    assert.equal(2, (lunette(g, "kimi", "--why", "x")))
    status, _, why = lunette(g, "kim")
    assert.same({ 1, true }, { status, why:find("no canary `kim`", 1, true) ~= nil })
    status, _, why = lunette(g, "kimi", "pause")
    assert.same({ 1, true }, { status, why:find("only one that is running can be paused", 1, true) ~= nil })
  end)
end)
