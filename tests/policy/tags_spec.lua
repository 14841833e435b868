-- Budgets by tag: each value of a declared tag has a limit of its own, whoever asks.
local t = require "lunette.test"

local function million(n) return { text = "x", usage = { input = 0, output = n } } end

-- A request of 1000 tokens costs 0.002 USD here, so that each value has money for one.
local function gateway(tag, more)
  local spec = { targets = { "a" }, providers = { a = million(1000) }, budgets = { tags = { tenant = tag } } }
  tag.limit, tag.per = tag.limit or 0.003, tag.per or "day"
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

local function ask(g, tenant, more)
  local request = { max_tokens = 1000, headers = { ["x-tenant"] = tenant } }
  for name, value in pairs(more or {}) do request[name] = value end
  return g:ask(request)
end

describe("a budget by tag", function()
  it("is one for each value", function()
    local g = gateway { from = "header:X-Tenant" }
    assert.equal(200, ask(g, "acme").status)
    assert.equal(402, ask(g, "acme").status)
    assert.equal(200, ask(g, "other").status)
    t.advance(86400)
    assert.equal(200, ask(g, "acme").status)
  end)

  it("tells in its 402 which one, what is left and when it begins anew", function()
    local g = gateway { from = "header:x-tenant" }
    ask(g, "acme")
    local answer = ask(g, "acme")
    assert.equal("budget_exceeded", answer.error.code)
    assert.equal("tag tenant=acme", answer.error.budget)
    assert.near(0.001, answer.error.left, 1e-9)
    assert.equal("2026-01-06T00:00:00.000Z", answer.error.resets_at)
    assert.matches('budget "tag tenant=acme" has 0.001 USD left of 0.003', answer.error.message, 1, true)
  end)

  it("does not hold for who has no value, unless it must have one", function()
    local g = gateway { from = "header:x-tenant" }
    for _ = 1, 3 do assert.equal(200, ask(g, nil).status) end
    local strict = gateway { from = "header:x-tenant", required = true }
    local answer = ask(strict, nil)
    assert.equal(400, answer.status)
    assert.equal("x-tenant", answer.error.param)
    assert.matches("Every request is charged to a `tenant` here, and this one has none: it has to be said in the header x-tenant.",
                   answer.error.message, 1, true)
    assert.equal(200, ask(strict, "acme").status)
  end)

  it("is found in metadata, or among the tags", function()
    local g = gateway { from = "metadata" }
    local function of(tenant) return g:ask({ max_tokens = 1000, metadata = { tenant = tenant } }).status end
    assert.equal(200, of "acme")
    assert.equal(402, of "acme")
    assert.equal(200, of "other")
    g = gateway { from = "metadata:customer_id" }
    assert.equal(200, g:ask({ max_tokens = 1000, metadata = { customer_id = "acme" } }).status)
    assert.equal(402, g:ask({ max_tokens = 1000, metadata = { customer_id = "acme" } }).status)
    g = gateway {}
    assert.equal(200, g:ask({ max_tokens = 1000, headers = { ["x-lunette-tags"] = "tenant=acme" } }).status)
    assert.equal(402, g:ask({ max_tokens = 1000, metadata = { tags = { tenant = "acme" } } }).status)
  end)

  it("stands among the request's tags, for policies and the log", function()
    local g = gateway({ from = "header:x-tenant" }, { policy = "return { classify = function(r) return r.tags.tenant end }" })
    local answer = ask(g, "acme")
    assert.same({ "acme" }, answer.labels)
    assert.equal("acme", answer.record.tags.tenant)
  end)

  it("refuses values that are none", function()
    local g = gateway { from = "header:x-tenant" }
    for _, value in ipairs { "(other)", "a b", "\"", "a,b", ("x"):rep(129), "é" } do assert.equal(400, ask(g, value).status) end
    assert.equal(200, ask(g, ("x"):rep(128)).status)
  end)
end)

describe("whose word counts for a tag with a budget", function()
  local clients = { { name = "proxy" }, { name = "app", trust = {} }, { name = "own", tags = { tenant = "acme" } } }

  it("that of a key trusted with tags; another's is ignored and noted", function()
    local g = gateway({ from = "header:x-tenant" }, { clients = clients })
    assert.equal(200, ask(g, "acme", { client = "proxy" }).status)
    assert.equal(402, ask(g, "acme", { client = "proxy" }).status)
    local answer = ask(g, "acme", { client = "app" })
    assert.equal(200, answer.status)
    assert.is_true(answer.record.notes.ignored_tenant)
    local strict = gateway({ from = "header:x-tenant", required = true }, { clients = clients })
    answer = ask(strict, "acme", { client = "app" })
    assert.equal(400, answer.status)
    assert.matches("not trusted with", answer.error.message, 1, true)
  end)

  it("the key's own tag before what the request says", function()
    local g = gateway({ from = "header:x-tenant" }, { clients = clients })
    assert.equal(200, ask(g, "other", { client = "own" }).status)
    assert.equal(402, ask(g, "other", { client = "own" }).status)
    assert.equal("tag tenant=acme", ask(g, "other", { client = "own" }).error.budget)
  end)

  it("only where the tag is said to be found: not among other tags", function()
    local g = gateway { from = "header:x-tenant", required = true }
    local answer = g:ask { max_tokens = 1000, headers = { ["x-lunette-tags"] = "tenant=mine" }, metadata = { tenant = "mine", tags = { tenant = "mine" } } }
    assert.equal(400, answer.status)
    answer = gateway({ from = "header:x-tenant" }):ask { headers = { ["x-lunette-tags"] = "tenant=mine, region=eu" } }
    assert.same({ region = "eu" }, answer.record.tags)
    answer = ask(g, "acme", { metadata = { tags = { tenant = "mine", region = "eu" } } })
    assert.equal("acme", answer.record.tags.tenant)
    assert.equal("eu", answer.record.tags.region)
  end)

  it("the policy's before all", function()
    local policy = [[local l = require "lunette"
      return { classify = function(r) local before = r.tags.tenant l.charge { tenant = "house" } return { r.tags.tenant, before } end }]]
    local g = gateway({ from = "header:x-tenant" }, { policy = policy, clients = clients })
    local answer = ask(g, "acme", { client = "own" })
    assert.same({ "house", "acme" }, answer.labels)
    assert.equal("house", answer.record.tags.tenant)
    assert.equal("house", answer.record.notes.charge_tenant)
    assert.equal("tag tenant=house", ask(g, "other", { client = "app" }).error.budget)
  end)

  it("nobody's but the policy's, where it is from = \"policy\"", function()
    local g = gateway({ from = "policy", required = true }, { policy = [[local l = require "lunette"
      return { budget = function(r) if r.user then l.charge { tenant = r.user } end end }]] })
    assert.equal(400, g:ask({ max_tokens = 1000, headers = { ["x-lunette-tags"] = "tenant=mine" } }).status)
    assert.equal(200, g:ask({ max_tokens = 1000, user = "ann" }).status)
    assert.equal("tag tenant=ann", g:ask({ max_tokens = 1000, user = "ann" }).error.budget)
  end)

  it("a charge that cannot be is the hook's failure", function()
    local function failure(call, hook)
      local g = gateway({}, { policy = "local l = require 'lunette' return { " .. (hook or "budget") .. " = function(r, targets) " .. call .. " end }" })
      local answer = g:ask "hi"
      return answer.record.notes and answer.record.notes["error_" .. (hook or "budget")] or ""
    end
    assert.matches("budgets.tags has no tag 'tennant' %(did you mean 'tenant'%?%)", failure "l.charge { tennant = 'a' }")
    assert.matches("the value of 'tenant' has to be 1 to 128 letters", failure "l.charge { tenant = 'a b' }", 1, true)
    assert.matches("the value of 'tenant' has to be", failure "l.charge { tenant = 5 }", 1, true)
    assert.matches("is for classify and budget", failure("l.charge { tenant = 'a' }", "select"), 1, true)
  end)
end)

describe("spend of a tag", function()
  it("is that of the request's value. Without one nothing is used and nothing limited", function()
    local g = gateway({ from = "header:x-tenant", limit = 0.004, soft = 0.5 }, { policy = [[local l = require "lunette"
      return { budget = function(r, spend)
        local s = spend.tenant
        l.note("seen", { used = s.used, limit = s.limit or "none", share = s.share, soft = s.soft or "none", left = s.left == math.huge and "huge" or s.left })
        if s.soft and s.share >= s.soft then return l.refuse { status = 429, message = "slow down" } end
      end }]] })
    local answer = ask(g, "acme")
    assert.same({ used = 0, limit = 0.004, share = 0, soft = 0.5, left = 0.004 }, answer.record.notes.seen)
    answer = ask(g, "acme")
    assert.equal(429, answer.status)
    assert.near(0.002, answer.record.notes.seen.used, 1e-9)
    assert.same({ used = 0, limit = "none", share = 0, soft = "none", left = "huge" }, ask(g, nil).record.notes.seen)
  end)

  it("of a tag that has no budget is a mistake that names the near one", function()
    local g = gateway({}, { policy = "return { budget = function(r, spend) return spend.tennant end }" })
    assert.matches("tennant", g:ask("hi").record.notes.error_budget, 1, true)
  end)
end)

describe("values without end", function()
  it("share one account once there are as many as may have their own", function()
    local g = gateway { from = "header:x-tenant", values = 2 }
    assert.equal(200, ask(g, "one").status)
    assert.equal(200, ask(g, "two").status)
    assert.equal(200, ask(g, "three").status)
    local answer = ask(g, "four")
    assert.equal(402, answer.status)
    assert.equal("tag tenant=(other)", answer.error.budget)
    assert.equal("tag tenant=one", ask(g, "one").error.budget)
  end)
end)

describe("a policy's own question", function()
  it("is charged as the request that asks it", function()
    local g = gateway({ from = "header:x-tenant" }, { policy = [[local l = require "lunette"
      return { classify = function() l.chat { model = "m", text = "x", max_tokens = 1000 } end }]], models = { m = { "a" } }, targets = false })
    assert.equal(402, ask(g, "acme").status)
  end)
end)

describe("the zone of budgets", function()
  it("says where their days begin", function()
    local g = gateway({ from = "header:x-tenant" }, { zone = "Asia/Kolkata" })
    ask(g, "acme")
    assert.equal("2026-01-05T18:30:00.000Z", ask(g, "acme").error.resets_at)
  end)
end)
