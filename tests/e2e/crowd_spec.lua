-- More than there is room or time for: load above what a worker can do, crowds of idle clients, clients that are slow on purpose or never read. Good traffic
-- goes on beside them. The short forms; the long ones with their figures: make stress.
local e2e = require "support"
local crowd = require "crowd"
local tls = require "tls"
local sanitized = e2e.lunette:find "build%-"          -- its memory is another one's

local config = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } },
  policy = "policy.lua", limits = { lag = %s } }]]
local plain = [[return { providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "x" } } }, %s }]]
-- Two listeners' worth of the same: over TLS too.
local secure = [[listen = { "127.0.0.1:0", tls = { certificate = "public.pem", key = "public.key" } }, ]]
local function certificate()
  local cert = tls.authority():certificate "IP:127.0.0.1"
  return { ["public.pem"] = e2e.read(cert.file), ["public.key"] = e2e.read(cert.key) }
end
-- So many questions over TLS, `beside` of them at once: a list of "STATUS RETRY-AFTER".
local function ask_over_tls(g, n, beside)
  local status, out, why = e2e.run { "curl", "-sSk", "-Z", "--parallel-immediate", "--parallel-max", tostring(beside), "--max-time", "30", "-o", "/dev/null",
    "-w", "%{http_code} %header{retry-after}\n", "-H", "content-type: application/json", "-d", '{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    ("https://127.0.0.1:%d/v1/chat/completions?n=[1-%d]"):format(g.port, n) }
  assert.equal(0, status, why)
  local list = {}
  for line in out:gmatch "[^\n]+" do list[#list + 1] = line end
  assert.equal(n, #list)
  return list
end

-- Some milliseconds of work for each question.
local policy = [[return { classify = function(request) local n = 0 for i = 1, 400000 do n = n + i % 7 end return "worked" end }]]

describe("a worker that is asked for more than it can do", function()
  local provider
  before_each(function() provider = e2e.provider [[return function() return { text = "fine", usage = { input = 1, output = 1 } } end]] end)
  after_each(e2e.stop)

  local function serve(lag, over_tls)
    local files = over_tls and certificate() or {}
    files["policy.lua"] = policy
    return e2e.gateway { config = config:format(lag):gsub("{", over_tls and "{ " .. secure or "{", 1), files = files, env = { A = provider.url } }
  end
  -- So many at once; how many were answered with which status.
  local function wave(g, n)
    local open, counts = {}, {}
    for i = 1, n do open[i] = g:open {} end
    for i = 1, n do
      local answer = open[i]:rest()
      counts[answer.status] = (counts[answer.status] or 0) + 1
      if answer.status == 503 then
        assert.equal("1", answer.headers["retry-after"])
        assert.equal("true", answer.headers["x-should-retry"])
        assert.equal("overloaded", answer.json.error.code)
        assert.truthy(answer.headers["x-lunette-request-id"])
      end
    end
    return counts
  end

  it("refuses a part of it at once, with 503 and retry-after, and answers the rest", function()
    local g = serve "0.005"
    local counts = wave(g, 200)
    assert.is_true((counts[503] or 0) > 0 and (counts[200] or 0) > 0, ("%d answered, %d refused"):format(counts[200] or 0, counts[503] or 0))
    assert.equal(200, counts[200] + counts[503])
    assert.equal(counts[200], provider:count())                       -- who is refused costs no call
    assert.equal(counts[503], g:metric 'lunette_refused_total{status="503"}')
  end)

  it("does so over TLS too", function()
    local g = serve("0.005", true)
    local answered, refused = 0, 0
    for _, line in ipairs(ask_over_tls(g, 200, 200)) do
      if line == "503 1" then refused = refused + 1 else assert.equal("200 ", line) answered = answered + 1 end
    end
    assert.is_true(refused > 0 and answered > 0, ("%d answered, %d refused"):format(answered, refused))
    assert.equal(answered, provider:count())
  end)

  -- Each is answered by the policy, in the turn of the loop that has all of them.
  it("does so where one connection sends them ahead", function()
    local g = e2e.gateway { config = config:format "0.01", env = { A = provider.url }, files = { ["policy.lua"] = policy:gsub("^return {",
      "%0 select = function() return require('lunette').refuse { status = 422, message = 'no' } end,") } }
    local body = { model = "m", messages = { { role = "user", content = "hi" } } }
    local c, counts = g:connect(), {}
    c:send(e2e.bytes { path = "/v1/chat/completions", body = body }:rep(100))
    for _ = 1, 100 do
      local status = e2e.receive(c).status
      counts[status] = (counts[status] or 0) + 1
    end
    assert.is_true((counts[422] or 0) > 0 and (counts[503] or 0) > 0, ("%d answered, %d refused"):format(counts[422] or 0, counts[503] or 0))
    assert.equal(100, counts[422] + counts[503])
  end)

  it("refuses nobody when they come one after the other", function()
    local g = serve "0.1"
    for _ = 1, 40 do assert.equal(200, g:chat {}.status) end
  end)

  it("refuses nobody where that is turned off", function()
    local g = serve "false"
    assert.same({ [200] = 60 }, wave(g, 60))
  end)
end)

-- A provider of streams that are longer than the system takes for a client that does not read, and do not end.
local function endless()
  return e2e.provider [[
    local piece, events = { choices = { { index = 0, delta = { content = ("x"):rep(16000) } } } }, {}
    for i = 1, 64 do events[i] = piece end
    return function(request) return request.stream and { events = events, stall = true } or { text = "fine" } end]]
end
local function alone(g) e2e.eventually("they are gone", function() return g:metric "lunette_connections" == 0 end) end

for _, over_tls in ipairs { false, true } do
  describe("a crowd of clients" .. (over_tls and " over TLS" or ""), function()
    local p, g
    teardown(e2e.stop)

    local function serve(more)
      return e2e.gateway { env = { A = p.url }, config = plain:format((over_tls and secure or "") .. more), files = over_tls and certificate() or {} }
    end
    setup(function()
      p = endless()
      g = serve "limits = { lag = false },"              -- so many at once are more than a busy machine can do
    end)

    local function served(by)
      if over_tls then for _, line in ipairs(ask_over_tls(by, 20, 1)) do assert.equal("200 ", line) end
      else for _ = 1, 20 do assert.equal(200, by:chat({}).status) end end
    end

    -- What they have heard by the time that others were served. (Who reads slowly has not yet heard how it begins.)
    for posture, heard in pairs { idle = 200, deaf = 200, heads = false, bodies = false, reading = 200, ranges = 200 } do
      it(("that is %s takes nothing from others, stays, and leaves nothing behind"):format(posture), function()
        local all = crowd.around(g, 200, posture, { tls = over_tls })
        served(g)
        local report = all:leave()
        assert.equal(200, report.open)
        for name, n in pairs(report) do
          if name:find "^s%d" then assert.is_true(name == "s" .. tostring(heard) and (n >= 200 or posture == "reading"), name .. "=" .. n) end
        end
        alone(g)
        served(g)
      end)
    end

    it("that reads a few bytes each second is ended, as it takes less than 16 KiB in `limits.stall`, and nobody else is", function()
      local strict = serve "limits = { stall = 1, lag = false }"
      local all = crowd.around(strict, 100, "reading", { tls = over_tls })
      served(strict)
      local report = all:gone(20)
      assert.equal(100, report.closed + report.reset)
      served(strict)
      alone(strict)
    end)
  end)
end

describe("a crowd of clients", function()
  local p, g
  teardown(e2e.stop)

  setup(function()
    p = endless()
    g = e2e.gateway { env = { A = p.url }, config = plain:format "" }
  end)

  it("that never reads holds its provider up, and costs the gateway 256 KiB each at most", function()
    local before = crowd.rss(g)
    local deaf = crowd.around(g, 200, "deaf")
    local settled, since                                    -- until the provider gets rid of nothing more
    e2e.eventually("all is held", function()
      local unsent = p:seen().unsent
      if unsent ~= settled then settled, since = unsent, 0 end
      since = since + 1
      return unsent > 0 and since > 10
    end)
    local each = (crowd.rss(g) - before) / 200
    if not sanitized then assert.is_true(each <= 256, each .. " KiB each") end
    for _ = 1, 20 do assert.equal(200, g:chat({}).status) end
    assert.equal(200, deaf:leave().open)
    alone(g)
  end)
end)

describe("more clients than there is room for", function()
  after_each(e2e.stop)

  it("are told so, and there is room again when some have gone", function()
    local p = e2e.provider [[return function() return { text = "fine" } end]]
    local g = e2e.gateway { env = { A = p.url }, config = plain:format "limits = { connections = 50 }" }
    local slow = crowd.around(g, 50, "heads")
    local refused = g:chat {}
    assert.equal(503, refused.status)
    assert.equal("overloaded", refused.json.error.code)
    assert.truthy(refused.headers["x-lunette-request-id"])
    slow:leave()
    e2e.eventually("there is room", function() return g:chat({}).status == 200 end)
  end)
end)

-- The lowest descriptor that a process does not have.
local function next_descriptor(g)
  local taken, n, pipe = {}, 0, io.popen("ls /proc/" .. g.process.pid .. "/fd")
  for name in pipe:lines() do taken[tonumber(name)] = true end
  pipe:close()
  while taken[n] do n = n + 1 end
  return n
end

describe("a gateway that has no descriptor left", function()
  local quiet = "state = false, watch = false"              -- nothing comes and goes by itself
  after_each(e2e.stop)

  -- Its limit is lowered while it runs: as if all others were taken.
  local function allow(g, n) assert.equal(0, os.execute(("prlimit --pid %d --nofile=%d:"):format(g.process.pid, n))) end
  local function starve(g) allow(g, next_descriptor(g)) end
  local function feed(g) allow(g, 1000) end

  it("finishes what it has, lets others wait, and goes on by itself", function()
    local puppet = e2e.puppet()
    local g = e2e.gateway { env = { A = puppet.url }, config = plain:format(quiet) }
    local open = g:open { stream = true }
    local call = puppet:accept()
    call:head()
    call:piece "first"
    open:expect "first"
    starve(g)
    local waiting = g:open {}                               -- the kernel takes it
    call:piece("last", "stop")
    call:event "[DONE]"
    call:finish()
    open:expect "[DONE]"                                    -- and stays open: nobody makes room
    feed(g)
    puppet:accept():answer(200, { choices = { { index = 0, message = { role = "assistant", content = "late" }, finish_reason = "stop" } } })
    assert.equal(200, waiting:rest().status)
    assert.equal("", g.process:stderr())
  end)

  it("names a provider that it has no socket for, and asks it once there is one", function()
    local p = e2e.provider [[return function() return { text = "fine" } end]]
    local g = e2e.gateway { env = { A = p.url }, config = plain:format(quiet) }
    local c = g:connect()
    starve(g)
    local function ask()
      c:send(e2e.bytes { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = "hello" } } } })
      return e2e.receive(c)
    end
    local answer = ask()
    local line = g:line(answer)
    feed(g)
    assert.equal("pool_full", line.attempts[1].kind)
    assert.truthy(line.attempts[1].detail:find("no socket", 1, true), line.attempts[1].detail)
    assert.equal(429, answer.status)
    assert.equal(200, ask().status)
  end)
end)

describe("a gateway that has no descriptor left, beside its clients,", function()
  after_each(e2e.stop)

  it("writes its log and its books, and refuses a reload with the reason", function()
    local p = e2e.provider [[return function() return { text = "fine", usage = { input = 5, output = 10 } } end]]
    local g = e2e.gateway { env = { A = p.url }, config = [[return { providers = { a = { base_url = env "A" } }, budgets = { total = { limit = 5 } },
      watch = false, models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } } } } }]] }
    local c, admin = g:connect(), e2e.connect(g.admin)
    local function say(to, options)
      to:send(e2e.bytes(options))
      return e2e.receive(to)
    end
    local function ask() return say(c, { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = "hello" } } } }) end
    assert.equal(200, ask().status)                         -- whose connection to the provider is kept
    say(admin, { path = "/admin/versions" })
    local refused = e2e.eventually("nothing of its beginning is under way", function()
      os.execute(("prlimit --pid %d --nofile=%d:"):format(g.process.pid, next_descriptor(g)))
      local answer = say(admin, { method = "POST", path = "/admin/reload" })
      return answer.status ~= 200 and answer
    end)
    assert.truthy(refused.body:find "[Tt]oo many open files", refused.body)
    local ids = {}
    for i = 1, 5 do
      local answer = ask()
      assert.equal(200, answer.status)
      ids[i] = answer.headers["x-lunette-request-id"]
    end
    os.execute(("prlimit --pid %d --nofile=1000:"):format(g.process.pid))
    assert.equal(200, say(admin, { method = "POST", path = "/admin/reload" }).status)
    for _, id in ipairs(ids) do assert.equal(200, g:line(id).status) end
    assert.equal(0, g:metric 'lunette_log_dropped_total')
    local spent = g:metric 'lunette_budget_used_usd{budget="total"}'
    assert.is_true(math.abs(spent - 6 * 15e-6) < 1e-9, spent)
    g:stop()
    local status, out, why = e2e.run({ e2e.lunette, "ledger", "verify", g.folder .. "/gateway.lua" }, { A = "http://127.0.0.1:1/v1" })
    assert.equal(0, status, out .. why)
  end)
end)

describe("a gateway that had no descriptor left when something changed", function()
  after_each(e2e.stop)

  local function say(to, options)
    to:send(e2e.bytes(options))
    return e2e.receive(to)
  end
  -- Says it until it is told that there was no descriptor for it.
  local function until_starved(g, what, ask)
    return e2e.eventually(what, function()
      os.execute(("prlimit --pid %d --nofile=%d:"):format(g.process.pid, next_descriptor(g)))
      local answer = ask()
      return answer.body:find "[Tt]oo many open files" and answer
    end)
  end
  local function feed(g) os.execute(("prlimit --pid %d --nofile=1000:"):format(g.process.pid)) end

  it("writes its folder `state` as soon as there is one again, though nothing else changes", function()
    local g = e2e.gateway { config = [[return { providers = { a = { script = "s.lua" } },
      models = { m = { { provider = "a" } } }, policy = "p.lua", watch = false }]],
      files = { ["s.lua"] = "return function() return { text = 'fine' } end",
                ["p.lua"] = "return { settings = { share = { default = 5, min = 0, max = 100 } } }" } }
    local admin, n = e2e.connect(g.admin), 10
    local text = say(admin, { method = "POST", path = "/admin/keys", body = { name = "app" } }).json.text
    assert.truthy(text)
    local answer = until_starved(g, "a setting is not kept", function()
      n = n + 1
      return say(admin, { method = "POST", path = "/admin/settings", body = { share = n } })
    end)
    assert.same({ 200, false }, { answer.status, answer.json.kept })
    local revoked = say(admin, { method = "DELETE", path = "/admin/keys/app" })
    assert.equal(503, revoked.status)                       -- it has ended, and would not have after a restart
    feed(g)
    e2e.eventually("all is kept", function()
      return e2e.read(g.folder .. "/.lunette/state.json"):find('"share":' .. n, 1, true)
        and e2e.read(g.folder .. "/.lunette/keys.json"):find('"revoked":', 1, true)
    end)
    e2e.eventually("it says so", function() return g.process:stderr():find("what could not be kept over a restart is kept now", 1, true) end)
    g:restart()
    assert.equal(401, g:chat({ headers = { authorization = "Bearer " .. text } }).status)
  end)

  it("tells the webhook once there is one", function()
    local hook = e2e.puppet()
    local p = e2e.provider [[return function() return { text = "fine", usage = { input = 0, output = 1000 } } end]]
    local g = e2e.gateway { env = { A = p.url, HOOK = "http://127.0.0.1:" .. hook.port .. "/" }, config = [[return { providers = { a = { base_url = env "A" } },
      models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } } } }, watch = false, webhook = { url = secret "HOOK" },
      budgets = { total = { limit = 1, soft = 0.0015 } } }]] }
    local c = g:connect()
    local function ask()
      return say(c, { path = "/v1/chat/completions", body = { model = "m", max_tokens = 1000, messages = { { role = "user", content = "hi" } } } })
    end
    assert.equal(200, ask().status)                         -- whose connection to the provider is kept
    e2e.eventually("nothing of its beginning is under way", function() return g:metric "lunette_ledger_rows_total" == 1 end)
    os.execute(("prlimit --pid %d --nofile=%d:"):format(g.process.pid, next_descriptor(g)))
    assert.equal(200, ask().status)
    e2e.eventually("it is told of in vain", function() return g.process:stderr():find("was not taken", 1, true) end)
    feed(g)
    assert.equal("budget.soft", hook:accept().json.type)
  end)
end)

describe("a full disk", function()
  local mount
  after_each(function()
    if mount then os.execute("umount -l '" .. mount .. "' 2>/dev/null") end
    e2e.stop()
  end)

  it("of the request log drops lines, which are counted, stops nobody, and is written again when there is room", function()
    mount = e2e.folder()
    if os.execute("mount -t tmpfs -o size=64k lunette-test '" .. mount .. "' 2>/dev/null") ~= 0 then pending "may not mount a disk of its own here" return end
    local p = e2e.provider [[return function() return { text = "fine" } end]]
    local g = e2e.gateway { env = { A = p.url, LUNETTE_LOG_REQUESTS = mount .. "/requests.jsonl" }, config = plain:format "" }
    os.execute("dd if=/dev/zero of='" .. mount .. "/filler' bs=4k 2>/dev/null")
    e2e.eventually("lines are dropped", function()
      assert.equal(200, g:chat({}).status)
      return g:metric "lunette_log_dropped_total" > 0
    end)
    os.remove(mount .. "/filler")
    local last, dropped
    e2e.eventually("lines are written", function()
      local now = g:metric "lunette_log_dropped_total"
      if now ~= dropped then last, dropped = g:chat({}).headers["x-lunette-request-id"], now end      -- it may have been among them; more would fill the disk
      g.process:signal(e2e.SIGUSR1)
      return e2e.read(mount .. "/requests.jsonl"):find(last, 1, true)
    end)
    for line in e2e.read(mount .. "/requests.jsonl"):gmatch "([^\n]+)\n" do e2e.json.decode(line) end
  end)
end)

describe("a wall clock that steps", function()
  local DAY = 86400
  local p, clock
  after_each(e2e.stop)

  -- config: more lines of it.
  local function serve(more, files)
    p = e2e.provider [[return function() return { text = "fine", usage = { input = 5, output = 1000 } } end]]
    clock = e2e.write(e2e.folder() .. "/clock", ("%-20d"):format(0))
    local here = crowd.tests:match "^/" and "" or require "posix.unistd".getcwd() .. "/"
    return e2e.gateway { files = files, env = { A = p.url, LD_PRELOAD = here .. crowd.tests .. "wallclock.so", WALLCLOCK = clock,
                                 ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":verify_asan_link_order=0" },
      config = [[return { providers = { a = { base_url = env "A" } }, ]] .. (more or "") .. [[
        models = { m = { { provider = "a", model = "x", price = { input = 1, output = 1 } } } } }]] }
  end
  local function step(seconds)
    local f = io.open(clock, "r+")
    f:write(("%-20d"):format(seconds))
    f:close()
  end

  for name, by in pairs { forward = DAY, back = -DAY } do
    it("a day " .. name .. " refuses nobody, and stops no clock", function()
      local g = serve()
      assert.equal(200, g:chat({}).status)
      step(by)
      for _ = 1, 20 do assert.equal(200, g:chat({}).status) end
      local answer = g:chat {}
      local line = g:line(answer)
      assert.is_true(line.latency_ms < 10000, line.latency_ms)
      assert.equal(os.date("!%Y-%m-%d", os.time() + by), line.time:sub(1, 10))
      assert.truthy(answer.headers.date:find(os.date("!%d %b %Y", os.time() + by), 1, true), answer.headers.date)
      assert.equal(200, g:reload().status)
      assert.equal(0, g:stop())
    end)
  end

  it("ends a key when it says so, and no sooner", function()
    local g = serve()
    local made = e2e.request(g.admin, { method = "POST", path = "/admin/keys", body = { name = "app", expires = DAY / 2 } })
    assert.equal(200, made.status, made.body)
    local function ask() return g:chat({ headers = { authorization = "Bearer " .. made.json.text } }).status end
    local function state() return e2e.request(g.admin, { path = "/admin/keys/app" }).json.key.state end
    assert.same({ 200, "valid" }, { ask(), state() })
    step(DAY)
    assert.same({ 401, "expired" }, { ask(), state() })
    step(-DAY)
    assert.same({ 200, "valid" }, { ask(), state() })
    step(0)
    assert.same({ 200, "valid" }, { ask(), state() })
  end)

  it("takes over no certificate that has expired by it, and the one that was good goes on", function()
    local g = serve(secure, certificate())                   -- two days long
    local function reload(more)
      e2e.write(g.folder .. "/gateway.lua", (e2e.read(g.folder .. "/gateway.lua"):gsub("%-%-.*", "") .. "-- " .. more))
      return g:tell "reload"
    end
    assert.equal(200, reload("one").status)
    step(3 * DAY)
    local refused = reload "two"
    assert.equal(422, refused.status)
    assert.truthy(refused.body:find("has expired", 1, true), refused.body)
    assert.same({ "200 " }, ask_over_tls(g, 1, 1))
    step(-DAY)                                               -- not valid yet
    assert.equal(422, reload("three").status)
    assert.same({ "200 " }, ask_over_tls(g, 1, 1))
    step(0)
    assert.equal(200, reload("four").status)
    assert.same({ "200 " }, ask_over_tls(g, 1, 1))
  end)

  it("back gives the money of a day not twice", function()
    local g = serve [[budgets = { total = { limit = 0.02, per = "day" } },]]
    local function spend()
      local n = 0
      for _ = 1, 30 do if g:chat({ body = { max_tokens = 1000 } }).status == 200 then n = n + 1 end end
      return n
    end
    local first = spend()    assert.is_true(first > 0 and first < 30, first)
    step(-DAY)
    spend()                                                 -- yesterday's own money: never had
    step(0)
    assert.equal(0, spend())
    step(DAY)
    assert.is_true(spend() > 0)
    step(0)
    assert.equal(0, spend())
  end)
end)
