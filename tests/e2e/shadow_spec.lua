-- Shadows: a second version beside the live one on real traffic. It decides nothing, nothing of it reaches anybody, and it is taken over only where it stayed
-- within its bounds. Times of shadows are short, or so long that the test ends them.
local e2e = require "support"
after_each(e2e.stop)

local config = [[return {
  policy = "policy.lua", watch = false, limits = { retries = false }, log = { audit = "audit.jsonl" },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { cheap = { { provider = "a", name = "cheap", price = { input = 1, output = 2 } } },
             dear = { { provider = "b", name = "dear", price = { input = 10, output = 20 } } } },
  budgets = { total = { limit = 100, per = "day" } }, MORE
}]]

local function policy(body) return 'local lunette = require "lunette"\nlocal M = {}\n' .. body .. "\nreturn M\n" end
local select_cheap = 'function M.select(request, targets) return targets:of "cheap" .. targets:of "dear" end'
local select_dear = 'function M.select(request, targets) return targets:of "dear" .. targets:of "cheap" end'
local classify = 'function M.classify(request) return request.text:find "hard" and "hard" or "easy" end'
local live = policy(classify .. "\n" .. select_cheap)

local a, b
local function serve(options)
  options = options or {}
  local answers = [[return function(request) return { text = "hi" } end]]
  a, b = e2e.provider(answers), e2e.provider(answers)
  return e2e.gateway { config = (config:gsub("MORE", options.more or "")), files = { ["policy.lua"] = options.policy or live }, workers = options.workers or 2,
                       env = { A = a.url, B = b.url } }
end

local function shadow(g) return g:look "shadow" end

-- Has the text tried as policy.lua. It lasts an hour where nothing else is said.
local function try(g, text, terms)
  if text then g:replace("policy.lua", text) end
  terms = terms or {}
  terms.seconds = terms.seconds or 3600
  return g:tell("shadow", terms, { ["x-lunette-by"] = "ann@host" })
end

local function ask(g, n, options)
  local last
  for i = 1, n do
    last = g:chat(options or { model = "auto", text = i % 2 == 0 and "hard" or "soft" })
    assert.equal(200, last.status)
  end
  return last
end

local function compared(g, n)
  return e2e.eventually(n .. " requests are compared", function() local s = shadow(g); return s.requests >= n and s end)
end
local function becomes(g, state)
  return e2e.eventually("it is " .. state, function() local s = shadow(g); return s.state == state and s end)
end
local function stop(g) return e2e.request(g.admin, { method = "DELETE", path = "/admin/shadow" }) end
local function current(g) return g:look("versions").current end

-- Another version than the live one that decides the same.
local same = live .. "-- another file\n"

describe("a shadow", function()
  it("that decides the same shows no difference, and is taken over when its time is over", function()
    local g = serve()
    local before = current(g)
    assert.equal("none", shadow(g).state)
    local told = try(g, same, { seconds = 0.5, requests = 10 })
    assert.equal(200, told.status)
    assert.same({ "running", before }, { told.json.shadow.state, told.json.shadow.live })
    assert.equal(told.json.shadow.version, g:look("versions").shadow.version)
    ask(g, 20)
    local is = becomes(g, "adopted")
    assert.same({ 20, 20, 0, 0 }, { is.requests, is.results.same, is.results.different, #is.samples })
    assert.equal(is.expected_cost.live, is.expected_cost.shadow)
    assert.equal(20, is.expected_cost.requests)
    assert.equal(told.json.shadow.version, current(g))
    local newest = g:look("versions").versions[1]
    assert.is_truthy(newest.by:find "^admin ann@host")
    assert.is_truthy(newest.why:find "of 20 requests 0 differ")
    assert.equal(20, g:metric 'lunette_shadow_requests_total{result="same"}')
  end)

  it("that chooses what is dearer is refused by its expected cost, with the figures", function()
    local g = serve()
    local before = current(g)
    try(g, policy(classify .. "\n" .. select_dear), { seconds = 0.5, requests = 10 })
    ask(g, 12)
    local is = becomes(g, "refused")
    assert.equal(before, current(g))
    assert.is_truthy(is.why:find("expected cost +900", 1, true), is.why)
    assert.is_truthy(is.why:find("> +5 %", 1, true), is.why)
    assert.same({ 12, 12, 0 }, { is.differences.first, is.differences.plan, is.differences.labels })
    local sample = is.samples[1]
    assert.same({ "first", "plan" }, sample.differs)
    assert.same({ "cheap", "dear" }, { sample.live.plan[1].target, sample.shadow.plan[1].target })
    assert.is_truthy(math.abs(sample.shadow.expected_cost / sample.live.expected_cost - 10) < 0.01)
    assert.is_truthy(g:line(sample.id), "the sample names a request of the log")
    assert.equal(8, #is.samples)
  end)
end)
