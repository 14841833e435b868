-- Windows that move along (per = "rolling"), shared by several gateways through a real Redis that is killed, emptied, and started again.
local e2e = require "support"
local redis, shared = require "redis", require "shared_budget"

local key, ask, budgets, open, used = shared.key, shared.ask, shared.budgets, shared.open, shared.used
local spend_all, dearest_of = shared.spend_all, shared.dearest_of
local script = [[return function() return { text = "fine", usage = { input = 10, output = 10 } } end]]
-- An answer costs 0.03 USD; a hold a good deal more.
local config = [[return { redis = env "REDIS", providers = { a = { base_url = env "A" } },
  models = { m = { { provider = "a", model = "x", price = { input = 1000, output = 2000 } } } },
  clients = { { name = "app", hash = "%s", budget = { limit = %s, per = "rolling", window = %d } } } }]]


describe("a window that several gateways share", function()
  local provider, store
  before_each(function() provider, store = e2e.provider(script), redis() end)
  after_each(e2e.stop)

  local function text(limit, window) return config:format(e2e.hash(key), limit, window) end
  local function serve(limit, window, more)
    local env = { A = provider.url, REDIS = "redis://127.0.0.1:" .. store.port }
    for name, value in pairs(more or {}) do env[name] = value end
    return e2e.gateway { config = text(limit, window), workers = 2, env = env }
  end
  local function ledger(g, ...)
    local status, out, err = e2e.run({ e2e.lunette, "ledger", ..., }, { A = provider.url, REDIS = "redis://127.0.0.1:" .. store.port })
    return status, out, err
  end
  local function several(n, limit, window)
    local all = {}
    for i = 1, n do
      all[i] = serve(limit, window)
      if i == 1 then assert.equal(0, (ledger(all[1], "found", all[1].folder .. "/gateway.lua"))) end
      open(all[i])
    end
    return all
  end

  it("is spent once, whoever asks, and all of it but what the dearest needs", function()
    local all = several(3, "2", 86400)
    local answered, refused = spend_all(all)
    local spent = answered * 0.03
    assert.is_true(spent <= 2 + 1e-9, answered)
    assert.is_true(spent > 2 - dearest_of(refused[1]) - 1e-9, ("%d answered, %s"):format(answered, refused[1].body))
    for _, g in ipairs(all) do assert.equal(0, (ledger(g, "verify", g.folder .. "/gateway.lua"))) end
  end)

  -- The window's pieces are 2.5 seconds long here: what is spent below lies in some of them.
  local function next_piece()
    local was = math.floor(e2e.socket.gettime() / 2.5)
    e2e.eventually("another piece has begun", function() return math.floor(e2e.socket.gettime() / 2.5) > was end)
  end

  it("is spent once over its pieces, over FLUSHALL, kill -9 of a gateway and of Redis", function()
    local all = several(3, "3", 60)
    local began, answered = e2e.socket.gettime(), 0
    local function some(g, n)
      for _ = 1, n do
        local answer = ask(g)
        assert.is_true(answer.status == 200 or answer.status == 503, answer.body)
        if answer.status == 200 then answered = answered + 1 end
      end
    end
    for _, g in ipairs(all) do some(g, 5) end
    next_piece()
    some(all[2], 5)
    all[2].process:stop(e2e.SIGKILL)
    store:command "flushall"
    e2e.eventually("one is missing", function() return budgets(all[1]) == "waiting" end)
    all[2]:restart()
    open(all[1], all[2], all[3])
    next_piece()
    some(all[1], 5)
    store.process:stop(e2e.SIGKILL)
    store:start()
    open(all[1], all[2], all[3])
    next_piece()
    all[3]:restart()
    open(all[1], all[2], all[3])
    local more, refused = spend_all(all)
    answered = answered + more
    if e2e.socket.gettime() - began < 55 then          -- or some of it has left the window
      assert.is_true(answered * 0.03 <= 3 + 1e-9, answered)
      assert.is_true(answered * 0.03 > 3 - dearest_of(refused[1]) - 1e-9, ("%d answered, %s"):format(answered, refused[1].body))
    end
    for _, g in ipairs(all) do assert.equal(0, (ledger(g, "verify", g.folder .. "/gateway.lua"))) end
  end)

  it("shows on each gateway what all have spent of it, once it has drawn, and exports what it was charged to", function()
    local all = several(2, "5", 86400)
    local last
    for _ = 1, 4 do last = ask(all[1]) end
    assert.equal(200, last.status, last.body)
    assert.near(0.12, used(all[1]), 1e-9)
    assert.near(5 - 0.12, tonumber(last.headers["x-lunette-budget-left"]), 1e-9)
    all[1]:stop()                                       -- what it drew and did not spend is given back
    local answer = ask(all[2])
    assert.equal(200, answer.status, answer.body)
    assert.near(0.15, used(all[2]), 1e-9)
    assert.near(5 - 0.15, tonumber(answer.headers["x-lunette-budget-left"]), 1e-9)
    local out
    e2e.eventually("the row is written", function()
      local status
      status, out = ledger(all[2], "export", all[2].folder .. "/gateway.lua", "--format", "json")
      return status == 0 and #e2e.json.decode(out) == 1
    end)
    assert.truthy(out:find("rolling 86400 from ", 1, true), out)
    all[2]:restart()                                    -- of its own it knows at once; of the others' when it draws
    open(all[2])
    assert.equal(200, ask(all[2]).status)
    assert.near(0.18, used(all[2]), 1e-9)
  end)

  it("is 402 at once where others have spent all of it, and says when something comes free", function()
    local all = several(2, "1", 86400)
    spend_all { all[1] }
    ask(all[2])
    local answer = ask(all[2])
    assert.equal(402, answer.status, answer.body)
    assert.equal("key app", answer.json.error.budget)
    local year, month, day, hour, minute = answer.json.error.resets_at:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+)"
    local now = os.date "!*t"
    local resets = os.time { year = year, month = month, day = day, hour = hour, min = minute, isdst = false }
    local ahead = resets - os.time { year = now.year, month = now.month, day = now.day, hour = now.hour, min = now.min, isdst = false }
    assert.is_true(ahead > 86400 and ahead <= 86400 + 2 * 3600, answer.json.error.resets_at)
    local rest = (1 - used(all[2]))
    assert.is_true(rest >= -1e-9 and rest < 1, rest)
  end)

  it("is not drawn on by a gateway whose clock is off by more than half a piece, nor spent by one whose clock is set back", function()
    local first = serve("5", 240)                       -- a piece is 10 seconds
    assert.equal(0, (ledger(first, "found", first.folder .. "/gateway.lua")))
    open(first)
    local clock = e2e.folder() .. "/clock"
    local function wrong_by(seconds)
      local f = assert(io.open(clock, "r+") or io.open(clock, "w"))
      f:write(("%-20d"):format(seconds))
      f:close()
    end
    wrong_by(0)
    local preload = { LD_PRELOAD = e2e.lunette:match "^(.*)/" .. "/tests/wallclock.so", WALLCLOCK = clock,
                      ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":verify_asan_link_order=0" }
    local second = serve("5", 240, preload)
    open(second)
    assert.equal(200, ask(second).status)
    for _, seconds in ipairs { 3600, -3600, 16, -16 } do
      wrong_by(seconds)
      local answer = ask(second)
      assert.equal(503, answer.status, answer.body)
      assert.equal(200, ask(first).status)
    end
    e2e.eventually("the log says why", function() return second.process:stderr():find("PERIOD", 1, true) end)
    wrong_by(0)
    e2e.eventually("it draws again", function() return ask(second).status == 200 end)
    assert.equal(0, (ledger(second, "verify", second.folder .. "/gateway.lua")))
  end)
end)
