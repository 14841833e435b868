-- Several gateways, one set of budgets: real gateways on a real Redis that is killed, emptied, filled up and restored to an earlier state.
local e2e = require "support"
local redis, shared = require "redis", require "shared_budget"

local key, ask, budgets, open, used = shared.key, shared.ask, shared.budgets, shared.open, shared.used
local spend_all, dearest_of = shared.spend_all, shared.dearest_of
local script = [[return function(request)
  if request.text:find "slow" then return { text = "fine", after = 0.2, usage = { input = 10, output = 10 } } end
  return { text = "fine", usage = { input = 10, output = 10 } }
end]]
-- An answer costs 0.03 USD; a hold a good deal more.
local config = [[return { redis = env "REDIS", providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1000, output = 2000 } } } },
  clients = { { name = "app", hash = "%s", budget = { limit = %s, per = "ever" } }, { name = "free", hash = "%s" } } }]]

local function said(g) return g.process:stderr() end

describe("several gateways on one Redis", function()
  local provider, store
  before_each(function() provider, store = e2e.provider(script), redis() end)
  after_each(e2e.stop)

  local function serve(limit)
    local g = e2e.gateway { config = config:format(e2e.hash(key), limit or "5", e2e.hash "sk-free"), workers = 2,
                            env = { A = provider.url, REDIS = "redis://127.0.0.1:" .. store.port } }
    return g
  end
  local function ledger(g, ...)
    local status, out, err = e2e.run({ e2e.lunette, "ledger", ..., }, { A = provider.url, REDIS = "redis://127.0.0.1:" .. store.port })
    return status, out .. err, g
  end
  local function found(g)
    assert.equal(0, (ledger(g, "found", g.folder .. "/gateway.lua")))
    open(g)
  end
  local function several(n, limit)
    local all = {}
    for i = 1, n do
      all[i] = serve(limit)
      if i == 1 then found(all[1]) end
      open(all[i])
    end
    return all
  end

  it("is nothing that begins by itself: an empty Redis is not taken for a new one", function()
    local g = serve()
    e2e.eventually("it says so", function() return budgets(g) == "empty" end)
    local answer = ask(g)
    assert.equal(503, answer.status)
    assert.truthy(answer.json.error.message:find("lunette ledger found", 1, true), answer.json.error.message)
    assert.equal(200, ask(g, "hello", "sk-free").status)       -- what is not limited goes on
    found(g)
    assert.equal(200, ask(g).status)
    assert.equal(1, (ledger(g, "found", g.folder .. "/gateway.lua")))
  end)

  it("spends a limit once, whoever asks, and all of it but what the dearest needs", function()
    local all = several(3)
    local answered = spend_all(all)
    local spent = answered * 0.03
    assert.is_true(spent <= 5 + 1e-9, answered)
    local dearest = dearest_of(ask(all[1]))
    assert.is_true(spent > 5 - dearest - 1e-9, ("%d answered, %s left, the dearest is %s"):format(answered, 5 - spent, dearest))
    local last = ask(all[2])
    assert.equal("key app", last.json.error.budget)
    for _, g in ipairs(all) do assert.equal(0, (ledger(g, "verify", g.folder .. "/gateway.lua"))) end
  end)

  it("shows on each what it knows: its own spending and holds, with what it knows the others to have; of what has no limit its own alone", function()
    local all = several(2)
    local function shown(g, name)
      for _, b in ipairs(g:look("budgets").budgets) do if b.name == name then return b end end
    end
    local function near(a, b) assert.is_true(math.abs(a - b) < 1e-6, ("%s, and not %s"):format(b, a)) end
    for i, n in ipairs { 3, 5 } do
      for _ = 1, n do assert.equal(200, ask(all[i]).status) end
      near(n * 0.03, shown(all[i], "total").used)
    end
    local visit = all[1]:open { text = "slow", headers = { authorization = "Bearer " .. key }, body = { max_tokens = 10 } }
    e2e.eventually("it is held", function() return shown(all[1], "key app").held > 0 end)
    assert.equal(0, shown(all[2], "key app").held)
    for _, g in ipairs(all) do
      local b = shown(g, "key app")
      near(5, b.used + b.held + b.left)
      near((b.used + b.held) / 5, b.share)
      assert.is_true(b.used >= shown(g, "total").used - 1e-9)
    end
    assert.equal(200, visit:rest().status)
    local spent = 0.03 * (9 + spend_all(all))
    near(spent, shown(all[1], "total").used + shown(all[2], "total").used)
    for _, g in ipairs(all) do                                  -- where no more can be drawn they all know the same
      local b = shown(g, "key app")
      assert.same({ 5, 0 }, { b.limit, b.held })
      near(spent, b.used)
      near(5 - spent, b.left)
    end
  end)

  it("refuses an exhausted key at once after the first wait", function()
    local all = several(2, "1")
    spend_all(all)
    local before = e2e.socket.gettime()
    for _ = 1, 10 do assert.equal(402, ask(all[1]).status) end
    assert.is_true(e2e.socket.gettime() - before < 2)
  end)

  it("goes on with what was drawn while Redis is gone, spends no more than that, and draws again when it is back", function()
    local all = several(2)
    for _ = 1, 5 do assert.equal(200, ask(all[1]).status) end
    store.process:stop()
    e2e.eventually("it is noticed", function() return budgets(all[1]) == "apart" and budgets(all[2]) == "apart" end)
    local answered, status = 5
    repeat
      status = ask(all[1]).status
      if status == 200 then answered = answered + 1 end
    until status ~= 200 or answered > 300
    assert.is_true(answered * 0.03 <= 5)
    assert.equal(503, status)
    store:start()
    open(all[1], all[2])                                -- each has registered what it holds
    assert.equal(200, ask(all[2]).status)
    answered = answered + 1 + spend_all(all)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)

  it("waits for every member after FLUSHALL, and names who is missing", function()
    local all = several(2)
    assert.equal(200, ask(all[1]).status)
    assert.equal(200, ask(all[2]).status)
    all[2].process:stop()
    store:command "flushall"
    e2e.eventually("one is missing", function() return budgets(all[1]) == "waiting" end)
    e2e.eventually("it is named", function()
      local state = all[1]:look "ledger"
      return state.sharing == "waiting" and state.missing:find "%x+"
    end)
    all[2]:restart()
    open(all[1], all[2])
    local answered = 2 + spend_all(all)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)

  it("forgets a gateway by an operator's word alone, and keeps what it held charged", function()
    local all = several(2)
    for _ = 1, 3 do assert.equal(200, ask(all[2]).status) end
    all[2].process:stop()
    store:command "flushall"
    e2e.eventually("one is missing", function() return budgets(all[1]) == "waiting" end)
    local missing = e2e.eventually("it is named", function() return all[1]:look("ledger").missing:match "%x+" end)
    assert.equal(1, (ledger(all[1], "forget", "nobody", all[1].folder .. "/gateway.lua")))
    assert.equal(0, (ledger(all[1], "forget", missing, all[1].folder .. "/gateway.lua")))
    open(all[1])
    local answer = ask(all[1])                          -- nobody knows how much that one held: all that was left
    assert.is_true(answer.status == 402 or answer.status == 503 or answer.status == 200)
    assert.truthy(said(all[1]):find("forgotten", 1, true))
  end)

  local function name_of(g) return e2e.eventually("it says its name", function() return g:look("ledger").gateway end) end
  -- As g sees it: nobody but these is a member, and nobody is about to leave.
  local function only(g, ...)
    local names = 0
    for _, name in ipairs { ... } do names = names + 1 assert.equal("string", type(name)) end
    local wanted = { ... }
    e2e.eventually("only these are members: " .. table.concat(wanted, " "), function()
      local state, n = g:look "ledger", 0
      for name in state.members:gmatch "%S+" do
        local is = false
        for _, one in ipairs(wanted) do is = is or one == name end
        if not is then return false end
        n = n + 1
      end
      return n == names and state.leaving == ""
    end)
  end
  local function times_open(g) return select(2, said(g):gsub("budgets are drawn on", "")) end

  it("forgets a gateway once all the others have that on their disks, and names those who do not", function()
    local all = several(3)
    local first, second, third = name_of(all[1]), name_of(all[2]), name_of(all[3])
    assert.equal(200, ask(all[2]).status)
    all[2].process:stop()
    all[3].process:stop()
    local status, text = ledger(all[1], "forget", second, all[1].folder .. "/gateway.lua")
    assert.equal(0, status, text)
    assert.truthy(text:find("unready", 1, true), text)
    e2e.eventually("the third is waited for", function()
      local state = all[1]:look "ledger"
      return state.leaving == " " .. second .. " " and state.unready == " " .. third .. " "
    end)
    assert.truthy(all[1]:look("ledger").members:find(second, 1, true))
    all[3]:restart()
    only(all[1], first, third)
    all[2]:restart()                                    -- it was not lost: it is new, and what it has counts
    open(all[2], all[3])
    only(all[1], first, second, third)
    local answered = 1 + spend_all(all)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)

  it("lets a gateway leave that is stopped in order: nobody waits for it, what it has spent stays charged, and it comes back as the same", function()
    local all = several(2)
    local first, second = name_of(all[1]), name_of(all[2])
    for _ = 1, 3 do assert.equal(200, ask(all[2]).status) end
    all[2]:stop()
    only(all[1], first)
    local before = times_open(all[1])
    store:command "flushall"
    e2e.eventually("it goes on alone", function() return times_open(all[1]) > before end)
    local answered = 3 + spend_all { all[1] }
    local dearest = dearest_of(ask(all[1]))
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
    assert.is_true(answered * 0.03 > 5 - dearest - 1e-9, answered)
    all[2]:restart()
    open(all[2])
    assert.equal(second, name_of(all[2]))
    only(all[1], first, second)
    assert.equal(402, ask(all[2]).status)
  end)

  it("stays a member when it is the last one that is stopped", function()
    local all = several(1)
    assert.equal(200, ask(all[1]).status)
    all[1]:stop()
    store:command "flushall"
    all[1]:restart()
    open(all[1])
    local answered = 1 + spend_all(all)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)

  it("changes nothing in a Redis without memory, and says what is wrong", function()
    local all = several(1)
    assert.equal(200, ask(all[1]).status)
    store:command("config", "set", "maxmemory", "1")
    local status
    for _ = 1, 200 do
      status = ask(all[1]).status
      if status ~= 200 then break end
    end
    assert.is_true(status == 503 or status == 402, status)
    e2e.eventually("the log names it", function() return said(all[1]):find("memory", 1, true) end)
    store:command("config", "set", "maxmemory", "0")
    open(all[1])
    e2e.eventually("it draws again", function() return ask(all[1]).status == 200 end)
  end)

  it("gives back at a stop what it has not spent", function()
    local all = several(2)
    assert.equal(200, ask(all[2]).status)
    all[2]:stop()
    local answered = 1 + spend_all { all[1] }
    local dearest = dearest_of(ask(all[1]))
    assert.is_true(answered * 0.03 > 5 - dearest - 1e-9, answered)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)

  it("counts what was spent over kill -9 of a gateway", function()
    local all = several(2)
    for _ = 1, 10 do assert.equal(200, ask(all[2]).status) end
    all[2]:restart()
    open(all[2])
    assert.near(0.3, used(all[2]) - 0, 0.31)
    local answered = 10 + spend_all(all)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
  end)
end)
