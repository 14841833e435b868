-- What was spent is remembered: over restarts, kill -9 and full disks. With real processes, sockets and files.
local e2e = require "support"

local key, free_key = "sk-app", "sk-free"
local script = [[return function(request)
  if request.text:find "stall" then return { stall = true } end
  if request.text:find "silent" then return { body = '{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}' } end
  return { text = "fine", usage = { input = 10, output = 10 } }
end]]

-- 10 + 10 tokens at 1,000 and 2,000 USD a million cost 0.03 USD; with max_tokens = 10 a hold is some 0.65.
local config = [[return { %s
  providers = { a = { base_url = env "A", timeouts = { first_byte = 30 } } },
  models = { m = { { provider = "a", model = "x", price = { input = 1000, output = 2000 } } } },
  clients = { { name = "app", team = "web", hash = "%s", budget = { limit = %s, per = "ever" } }, { name = "free", hash = "%s" } },
  teams = { web = { budget = { limit = 100, per = "ever" } } }, budgets = { total = %s } }]]

local function text(limit, more, total)
  return config:format(more or "", e2e.hash(key), limit or "5", e2e.hash(free_key), total or "nil")
end

local function ask(g, what, who)
  return g:chat { text = what or "hello", headers = { authorization = "Bearer " .. (who or key) }, body = { max_tokens = 10 } }
end

local function used(g, budget) return g:metric(('lunette_budget_used_usd{budget="%s"}'):format(budget or "key app")) end

local function verify(g)
  local status, out, err = e2e.run({ e2e.lunette, "ledger", "verify", g.folder .. "/gateway.lua" }, { A = "http://127.0.0.1:1/v1" })
  assert.equal(0, status, out .. err)
end

describe("the ledger", function()
  local provider
  before_each(function() provider = e2e.provider(script) end)
  after_each(e2e.stop)
  local function serve(options)
    options = options or {}
    return e2e.gateway { config = text(options.limit, options.more, options.total), files = options.files, workers = 2,
                         env = { A = provider.url, LUNETTE_BOOT_ID = options.boot } }
  end

  it("remembers what was spent over a restart and over kill -9", function()
    local g = serve()
    for _ = 1, 10 do assert.equal(200, ask(g).status) end
    assert.near(0.3, used(g), 1e-9)
    g:restart(e2e.SIGTERM)
    assert.near(0.3, used(g), 1e-9)             -- before the first request too
    assert.equal(200, ask(g).status)
    g:restart()
    assert.near(0.33, used(g), 1e-9)
    assert.near(0.33, used(g, "team web"), 1e-9)
    verify(g)
  end)

  it("remembers a window that moves along over kill -9, in pieces that no reload gives twice", function()
    local function window(per) return (text("0.8"):gsub('limit = 0.8, per = "ever"', "limit = 0.8, " .. per)) end
    local g = e2e.gateway { config = window 'per = "rolling", window = 86400', workers = 2, env = { A = provider.url } }
    for _ = 1, 4 do assert.equal(200, ask(g).status) end
    assert.near(0.12, used(g), 1e-9)
    g:restart()
    e2e.eventually("the window is known", function() return math.abs(used(g) - 0.12) < 1e-9 end)
    assert.equal(200, ask(g).status)
    assert.equal(402, ask(g).status)                -- a hold of 0.65 has no room beside 0.15
    g:reload { ["gateway.lua"] = window 'per = "rolling", window = 43200' }
    assert.equal(402, ask(g).status)
    g:restart()
    assert.equal(402, ask(g).status)
    verify(g)
  end)

  it("opens nothing for a window that is only looked at, and shows all of it, with what an earlier run spent there", function()
    local short = (text("5"):gsub('per = "ever"', 'per = "rolling", window = 60'))     -- a piece is 2.5 seconds
    local g = e2e.gateway { config = short, env = { A = provider.url } }
    local function accounts()
      local _, out = e2e.run { "sqlite3", "-readonly", "-cmd", ".timeout 5000", g.folder .. "/.lunette/ledger.db", "SELECT count(*) FROM account" }
      return tonumber(out)
    end
    assert.equal(200, ask(g).status)
    local before = e2e.eventually("its account is there", function() local n = accounts() return n and n > 0 and n end)
    g:restart()
    e2e.eventually("the window is known", function() return used(g) > 0.02 end)
    local known = accounts()
    assert.is_true(known <= before + 2)                    -- the key's and the team's, once a start
    local was = os.time()
    e2e.eventually("pieces have gone by", function() return used(g) and os.time() > was + 5 end)
    assert.near(0.03, used(g), 1e-9)
    assert.equal(known, accounts())
    verify(g)
  end)

  it("counts in a window what was spent before its budget was one", function()
    local function per(what) return (text("0.8"):gsub('limit = 0.8, per = "ever"', "limit = 0.8, " .. what)) end
    local g = e2e.gateway { config = per 'per = "ever"', workers = 2, env = { A = provider.url } }
    for _ = 1, 5 do assert.equal(200, ask(g).status) end
    g:reload { ["gateway.lua"] = per 'per = "rolling", window = 86400' }
    assert.equal(402, ask(g).status)
    g:restart()
    assert.equal(402, ask(g).status)
    verify(g)
  end)

  it("has a row for each attempt: who, what, when, at what cost, by which version", function()
    local g = serve()
    local answer = ask(g)
    local rows = e2e.eventually("the row is there", function()
      local status, out = e2e.run({ e2e.lunette, "ledger", "export", g.folder .. "/gateway.lua", "--format", "json" }, { A = provider.url })
      local list = status == 0 and e2e.json.decode(out)
      return list and #list == 1 and list
    end)
    local row = rows[1]
    assert.same({ answer.headers["x-lunette-request-id"], "app", "a/x", answer.headers["x-lunette-policy"], "SETTLED", "ok", 10, 10 },
                { row.request, row.client, row.target, row.version, row.state, row.kind, row.input or row.tokens.input, row.output or row.tokens.output })
    assert.near(0.03, row.amount, 1e-12)
  end)

  it("keeps a used-up key used up, at no cost upstream", function()
    local g = serve { limit = "0.5" }
    local asked, last = 0
    repeat last = ask(g); asked = asked + 1 until last.status ~= 200 or asked > 30
    assert.equal(402, last.status)
    local before = provider:count()
    g:restart()
    local answer = ask(g)
    assert.equal(402, answer.status)
    assert.equal("budget_exceeded", answer.json.error.code)
    assert.equal("key app", answer.json.error.budget)
    assert.equal(before, provider:count())
    assert.equal(200, ask(g, "hello", free_key).status)
  end)

  it("charges in full what was under way at a kill -9", function()
    local g = serve()
    local visit = g:open { text = "stall", headers = { authorization = "Bearer " .. key }, body = { max_tokens = 10 } }
    e2e.eventually("it reached the provider", function() return provider:count() == 1 end)
    local held = g:metric 'lunette_budget_held_usd{budget="key app"}'
    assert.is_true(held > 0.02)
    g:restart()
    assert.near(held, used(g), 1e-9)
    assert.equal(0, g:metric 'lunette_budget_held_usd{budget="key app"}')
    visit:leave()
    verify(g)
  end)

  it("takes another boot for a power cut: what was drawn stays charged, and no more than that", function()
    local g = serve { boot = "11111111-1111-1111-1111-111111111111" }
    for _ = 1, 5 do assert.equal(200, ask(g).status) end
    g:restart(e2e.SIGKILL, { A = provider.url, LUNETTE_BOOT_ID = "22222222-2222-2222-2222-222222222222" })
    local after = used(g)
    assert.is_true(after >= 0.15 - 1e-9 and after < 3, after)
    assert.truthy(g.process:said():find("power cut", 1, true))
    verify(g)
    assert.equal(200, ask(g).status)
  end)

  it("charges what says nothing of its usage at its hold", function()
    local g = serve()
    local answer = ask(g, "silent")
    assert.equal(200, answer.status)
    assert.is_true(used(g) > 0.02)
    assert.near(tonumber(answer.headers["x-lunette-cost"]), used(g), 1e-9)
    g:restart()
    assert.is_true(used(g) > 0.02)
  end)

  it("shows a policy what earlier runs have spent, in the first request too", function()
    local policy = [[return { budget = function(request, spend) require "lunette".note("seen", spend.key.used) end }]]
    local g = serve { more = 'policy = "p.lua",', files = { ["p.lua"] = policy } }
    for _ = 1, 3 do ask(g) end
    g:restart()
    assert.near(0.09, g:line(ask(g)).notes.seen, 1e-9)
  end)

  it("lets a limit that a reload brings count what was spent before", function()
    local g = serve()
    for _ = 1, 4 do assert.equal(200, ask(g, "hello", free_key).status) end
    local limited = text("5"):gsub('{ name = "free"', '{ name = "free", budget = { limit = 0.13, per = "ever" }')
    assert.equal(200, g:reload { ["gateway.lua"] = limited }.status)
    assert.equal(402, ask(g, "hello", free_key).status)
    g:restart()
    assert.equal(402, ask(g, "hello", free_key).status)
  end)

  it("never begins anew where one is damaged, or gone", function()
    local g = serve()
    ask(g)
    g.process:stop(e2e.SIGTERM)
    local path = g.folder .. "/.lunette/ledger.db"
    local good = e2e.read(path)
    local function refused()
      local command = { e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" }
      local status, _, err = e2e.run(command, { A = provider.url })
      assert.equal(1, status)
      assert.truthy(err:find("ledger.db", 1, true), err)
    end
    e2e.write(path, "this is no database at all, however long it goes on " .. ("x"):rep(4096))
    refused()
    e2e.write(path, good:sub(1, 2000))
    refused()
    os.remove(path)
    refused()
    e2e.write(path, good)
    g:restart(e2e.SIGTERM)
    assert.near(0.03, used(g), 1e-9)
  end)

  it("with ledger = false begins anew, and says nothing of one", function()
    local g = serve { more = "ledger = false," }
    assert.equal(200, ask(g).status)
    g:restart()
    assert.equal(0, used(g))
    assert.equal("", e2e.read(g.folder .. "/.lunette/ledger.db"))
  end)

  it("is kept where the configuration says", function()
    local g = serve { more = 'ledger = "money.db",' }
    assert.equal(200, ask(g).status)
    assert.truthy(e2e.read(g.folder .. "/money.db"):find "^SQLite format 3")
    g:restart()
    assert.near(0.03, used(g), 1e-9)
  end)

  it("is shared by a process that takes over from another: the limit is spent once, and what a dead one leaves is found", function()
    local folder = e2e.folder()
    local more = ('ledger = "%s/ledger.db",'):format(folder)
    local one, two = serve { more = more }, serve { more = more }
    for _ = 1, 20 do
      assert.equal(200, ask(one).status)
      assert.equal(200, ask(two).status)
    end
    e2e.eventually("each has seen all of it", function() return used(one) > 1.199 and used(two) > 1.199 end)
    one.process:stop(e2e.SIGKILL)
    local answered, last = 40
    repeat
      last = ask(two)
      if last.status == 200 then answered = answered + 1 end
    until last.status ~= 200 or answered > 400
    assert.equal(402, last.status)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
    local dearest = tonumber(last.json.error.message:match "can cost up to ([%d.]+%d)")
    e2e.eventually("what the dead one had drawn is there", function()
      local answer = ask(two)
      if answer.status == 200 then answered = answered + 1 end
      return 5 - answered * 0.03 < dearest
    end)
    assert.is_true(answered * 0.03 <= 5 + 1e-9, answered)
    verify(two)
  end)

  it("refuses what is limited while its disk is full, with the reason, and lets the rest go on", function()
    local mount = e2e.folder()
    if os.execute("mount -t tmpfs -o size=12m lunette-test '" .. mount .. "' 2>/dev/null") ~= 0 then pending "may not mount a disk of its own here" return end
    local good, why = pcall(function()
      local g = serve { more = ('ledger = "%s/ledger.db",'):format(mount) }
      assert.equal(200, ask(g).status)
      os.execute("dd if=/dev/zero of='" .. mount .. "/filler' bs=4k 2>/dev/null")
      local refused = e2e.eventually("the disk is full", function()
        local answer = ask(g)
        return answer.status ~= 200 and answer
      end)
      assert.equal(503, refused.status)
      assert.truthy(refused.json.error.message:find("full", 1, true), refused.json.error.message)
      assert.equal("closed", g:request({ path = "/health/readiness" }).json.budgets)
      assert.equal(0, g:metric "lunette_ledger_open")
      for _ = 1, 3 do assert.equal(200, ask(g, "hello", free_key).status) end
      os.remove(mount .. "/filler")
      e2e.eventually("it goes on by itself", function() return ask(g).status == 200 end)
      assert.is_nil(g:request({ path = "/health/readiness" }).json.budgets)
      g:stop()
      verify(g)
    end)
    os.execute("umount -l '" .. mount .. "'")
    if not good then error(why, 0) end
  end)

  -- A port that takes no connection and refuses none: more wait for it already than it has room for.
  local function silent_port()
    local listener, waiting = assert(e2e.socket.tcp4()), {}
    assert(listener:bind("127.0.0.1", 0))
    assert(listener:listen(0))
    local _, port = listener:getsockname()
    for i = 1, 4 do
      waiting[i] = e2e.socket.tcp4()
      waiting[i]:settimeout(0)
      waiting[i]:connect("127.0.0.1", port)
    end
    return port, function()
      listener:close()
      for _, c in ipairs(waiting) do c:close() end
    end
  end

  for _, transport in ipairs { "direct", "curl" } do
    it("charges nothing for what was cancelled before there was a connection, by " .. transport, function()
      local port, close = silent_port()
      local slow = 'silent = { base_url = "http://127.0.0.1:' .. port .. '/v1", transport = "' .. transport .. '" }, a = { base_url'
      local two = 'm = { { provider = "silent", model = "x", price = { input = 1000, output = 2000 } }, { provider = "a", model = "x"'
      local config_of_two = text("5", 'policy = "policy.lua", limits = { hedges = 1 },'):gsub("a = { base_url", slow, 1)
      local g = e2e.gateway { workers = 1, env = { A = provider.url }, config = config_of_two:gsub('m = { { provider = "a", model = "x"', two, 1),
        files = { ["policy.lua"] = [[return { select = function(request, targets)
          return targets:provider "silent":steps { hedge_after = 0.1 } .. targets:provider "a"
        end }]] } }
      assert.equal(200, ask(g).status)
      local attempt = g:log(1)[1].attempts[1]
      assert.same({ "silent/x", "cancelled", "no" }, { attempt.target, attempt.kind, attempt.billed })
      assert.is_nil(attempt.cost)
      assert.near(0.03, used(g), 1e-9)
      close()
    end)
  end
end)
