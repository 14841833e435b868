-- `lunette ledger` beside a running gateway, without the provider's keys: verify, export, reconcile.
local e2e = require "support"

local key = "sk-app"
local script = [[return function(request)
  if request.text:find "stall" then return { stall = true } end
  return { text = "fine", usage = { input = 10, output = 10 } }
end]]
-- An answer costs 0.03 USD.
local config = [[return {
  providers = { a = { base_url = env("A", "http://127.0.0.1:1/v1"), key = secret "PROVIDER_KEY" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1000, output = 2000 } } } },
  clients = { { name = "app", hash = "%s", budget = { limit = %s, per = "ever" } } }, budgets = { total = { limit = 50, per = "month" } } }]]

describe("lunette ledger", function()
  local provider
  before_each(function() provider = e2e.provider(script) end)
  after_each(e2e.stop)

  local function serve(limit)
    return e2e.gateway { config = config:format(e2e.hash(key), limit or "5"), workers = 2, env = { A = provider.url, PROVIDER_KEY = "k" } }
  end
  local function ask(g, text)
    return g:chat { text = text or "hello", headers = { authorization = "Bearer " .. key }, body = { max_tokens = 10 } }
  end
  local function ledger(g, ...)
    return e2e.run { e2e.lunette, "ledger", (...), g.folder .. "/gateway.lua", select(2, ...) }
  end
  -- What is settled is written down a moment later.
  local function written(g, rows)
    return e2e.eventually(rows .. " rows are written", function()
      local status, out = ledger(g, "export", "--json")
      local list = status == 0 and e2e.json.decode(out)
      return list and #list >= rows and list
    end)
  end
  -- A request whose cost nobody will know: asked, and then the gateway is killed.
  local function orphan(g)
    local visit = g:open { text = "stall", headers = { authorization = "Bearer " .. key }, body = { max_tokens = 10 } }
    e2e.eventually("it is under way", function() return g:metric 'lunette_budget_held_usd{budget="key app"}' > 0 end)
    g:restart()
    visit:leave()
  end

  it("verifies beside a running gateway, and finds what somebody changed", function()
    local g = serve()
    for _ = 1, 5 do assert.equal(200, ask(g).status) end
    written(g, 5)
    local status, out, err = ledger(g, "verify")
    assert.equal(0, status, out .. err)
    assert.truthy(out:find "key app +ever +0%.15 +0 +5 +5\n", out)
    assert.truthy(out:find("2 accounts verified, 0 wrong; 5 rows read", 1, true), out)
    local json = e2e.json.decode((select(2, ledger(g, "verify", "--json", "--full"))))
    assert.same({ 2, 0, 0.15 }, { json.verified, json.wrong, json.accounts[1].charged })
    assert.equal(200, ask(g).status)
    assert.equal(0, (e2e.run { "sqlite3", "-cmd", ".timeout 5000", g.folder .. "/.lunette/ledger.db", "UPDATE attempt SET cost = cost - 1 WHERE seq = 2" }))
    status, out = ledger(g, "verify")
    assert.equal(1, status)
    assert.truthy(out:find("WRONG", 1, true) and out:find("2 wrong", 1, true), out)
  end)

  it("exports what there is as CSV and as JSON", function()
    local g = serve()
    ask(g)
    orphan(g)
    written(g, 2)
    local none, empty, said = ledger(g, "export", "--budget", "key ap")
    assert.equal(0, none)
    assert.matches("^type,time,[%w_,]+%s*$", empty)
    assert.truthy(said:find('nothing counts to a budget "key ap"', 1, true))
    local status, out = ledger(g, "export", "--budget", "key app")
    assert.equal(0, status)
    local lines = {}
    for line in out:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
    assert.equal(3, #lines)
    assert.truthy(lines[1]:find "^type,time,run,seq,amount,hold,budgets,request,")
    assert.truthy(lines[2]:find "^attempt,%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z,1,1,0%.03,[%d.]+,[^,]*key app ever[^,]*,%x+,app,a/x,", lines[2])
    assert.truthy(lines[3]:find(",ORPHANED,", 1, true))
    local list = written(g, 2)
    assert.equal("SETTLED", list[1].state)
    assert.equal(10, list[1].input)
    assert.equal(list[2].hold, list[2].amount)
    assert.equal("[]", (select(2, ledger(g, "export", "--json", "--to", "2020-01-01"))))
  end)

  it("says later what an attempt cost; what is set free can be spent at once", function()
    local g = serve "2"
    orphan(g)
    assert.equal(200, ask(g).status)
    local refused
    repeat refused = ask(g) until refused.status ~= 200
    assert.equal(402, refused.status)
    local status, out = ledger(g, "reconcile")
    assert.equal(0, status)
    local attempt = out:match "\n(%d+/%d+) "
    assert.truthy(attempt, out)
    assert.equal(2, (ledger(g, "reconcile", attempt, "--cost", "0")))                           -- why?
    assert.equal(1, (ledger(g, "reconcile", "9/9", "--cost", "0", "--why", "x")))
    status, out = ledger(g, "reconcile", attempt, "--cost", "0", "--why", "the provider says that it never came")
    assert.equal(0, status)
    assert.truthy(out:find("^" .. attempt .. ": 0 USD, was 0%.%d+$"), out)
    e2e.eventually("it is free again", function() return ask(g).status == 200 end)
    assert.truthy((select(2, ledger(g, "reconcile"))):find("every cost is known", 1, true))
    status, out = ledger(g, "export")
    assert.truthy(out:find("correction,[^\n]*@[^\n]*,the provider says that it never came"), out)
    assert.equal(0, status)
    assert.equal(0, (ledger(g, "reconcile", attempt, "--cost", "0.01", "--why", '=HYPERLINK("http://x"), no')))
    assert.truthy((select(2, ledger(g, "export"))):find([[,"'=HYPERLINK(""http://x""), no"]], 1, true))
    e2e.eventually("all is written and right", function() return ledger(g, "verify") == 0 end)
  end)

  it("compares with a bill", function()
    local g = serve()
    local first, second = ask(g), ask(g)
    written(g, 2)
    local function id(answer) return answer.headers["x-lunette-request-id"] end
    local lines = 'Model,request,cost\r\n"gpt, large",%s,0.03\r\nx,%s,0.05\r\nx,%s,1\r\n'
    local bill = e2e.write(g.folder .. "/bill.csv", lines:format(id(first), id(second), ("0"):rep(32)))
    local status, out, err = ledger(g, "reconcile", "--bill", bill, "--dry-run")
    assert.equal(1, status)
    assert.truthy(out:find("1 equal, 1 to correct (0.02 USD in all), 1 not found, 0 with several attempts", 1, true), out)
    assert.truthy(err:find("line 4", 1, true), err)
    assert.near(0.06, g:metric 'lunette_budget_used_usd{budget="key app"}', 1e-9)
    assert.truthy((select(2, ledger(g, "reconcile", "--bill", bill))):find("1/2: 0.05 USD, was 0.03\n", 1, true))
    assert.truthy((select(2, ledger(g, "reconcile", "--bill", bill))):find("2 equal, 0 corrected", 1, true))
    e2e.write(bill, "request,cost\n" .. id(first) .. ",-4\n")
    local _, _, complaint = ledger(g, "reconcile", "--bill", bill)
    assert.truthy(complaint:find("line 2: no cost in USD", 1, true), complaint)
  end)

  it("does not believe one of several lines of a bill that name the same attempt", function()
    local g = serve()
    local answer = ask(g)
    written(g, 1)
    local bill = e2e.write(g.folder .. "/bill.csv", "attempt,request,cost\n1/1,,0.01\n," .. answer.headers["x-lunette-request-id"] .. ",0.02\n")
    local status, out = ledger(g, "reconcile", "--bill", bill)
    assert.equal(1, status)
    assert.truthy(out:find("0 equal, 0 corrected (0 USD in all), 0 not found, 2 with several attempts", 1, true), out)
    assert.equal(1, #written(g, 1))
  end)

  it("says what is wrong with how it is called, or with where it looks", function()
    local folder = e2e.folder()
    local function run(...) return e2e.run { e2e.lunette, "ledger", ... } end
    assert.equal(2, (run()))
    local status, _, err = run "verfy"
    assert.equal(2, status)
    assert.truthy(err:find("did you mean `verify`", 1, true))
    for _, time in ipairs { "2026-02-31", "2026-11-28T14:00:00X", " 026-11-28" } do assert.equal(2, (run("export", "--from", time))) end
    assert.equal(2, (run("export", "--format", "xml")))
    assert.equal(2, (run("reconcile", "--cost", "1")))
    status, _, err = run("verify", folder .. "/gateway.lua")
    assert.equal(1, status)
    assert.truthy(err:find("--db FILE", 1, true), err)
    local g = serve()
    e2e.write(g.folder .. "/gateway.lua", "return { models = env \"THERE\" }")                   -- what only the gateway's environment has
    status, _, err = run("verify", g.folder .. "/gateway.lua")
    assert.equal(1, status)
    assert.truthy(err:find("--db " .. g.folder .. "/.lunette/ledger.db", 1, true), err)
    assert.equal(0, (run("verify", "--db", g.folder .. "/.lunette/ledger.db")))
    status, _, err = run("verify", "--db", folder .. "/none.db")
    assert.equal(1, status)
    assert.truthy(err:find("there is no such ledger", 1, true), err)
  end)
end)
