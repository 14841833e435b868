-- The program is replaced while it serves: another process on the same listening sockets, no connection refused, none reset; or the old one goes on.
-- And listening sockets that were open before the program began.
local e2e = require "support"
local unistd, signal, fcntl, stdlib = require "posix.unistd", require "posix.signal", require "posix.fcntl", require "posix.stdlib"

local script = [[return function(request) return { text = "fine", usage = { input = 100, output = 1 } } end]]
local config = [[return { providers = { a = { base_url = env "A" }, p = { base_url = env "P" } },
  models = { m = { { provider = "a", model = "x" } }, slow = { { provider = "p", model = "x" } } }%s }]]

describe("an upgrade", function()
  local provider, puppet, heirs
  before_each(function() provider, puppet, heirs = e2e.provider(script), e2e.puppet(), {} end)
  after_each(function()
    for _, pid in ipairs(heirs) do signal.kill(pid, signal.SIGKILL) end
    e2e.stop()
  end)

  local function serve(workers, more)
    return e2e.gateway { config = config:format(more or ""), files = { ["policy.lua"] = "return {}" }, workers = workers,
                         env = { A = provider.url, P = puppet.url } }
  end
  -- Also while one of its threads is: its files are open until then.
  local function is_alive(pid)
    local state, rest = e2e.read("/proc/" .. pid .. "/stat"):match "%) (%S)(.*)"
    local fields = {}
    for field in (rest or ""):gmatch "%S+" do fields[#fields + 1] = field end
    return state ~= nil and (not state:match "[ZX]" or tonumber(fields[17]) > 1)
  end

  -- Asks the process that serves now (`of`: where its errors go) to hand over, and waits until another one has; its process id.
  local function upgrade(g, pid)
    local taken = 0
    for _ in g.process:stderr():gmatch "has taken over" do taken = taken + 1 end
    signal.kill(pid, signal.SIGUSR2)
    e2e.eventually("another process takes over: " .. g.process:stderr(), function()
      local n = 0
      for _ in g.process:stderr():gmatch "has taken over" do n = n + 1 end
      return n > taken
    end)
    local heir
    for found in g.process:stderr():gmatch "process (%d+) has taken over" do heir = tonumber(found) end
    heirs[#heirs + 1] = heir
    return heir
  end

  -- A stream whose first piece is there; the provider's side of it.
  local function begin_stream(g)
    local stream = g:open { model = "slow", stream = true }
    local call = puppet:accept()
    call:head(200, { ["content-type"] = "text/event-stream" })
    call:piece "one"
    stream:expect "one"
    return stream, call
  end

  it("refuses no connection and resets none, again and again", function()
    local g = serve(3)
    local pid, answered = g.process.pid, 0
    local function wave()
      local open = {}
      for i = 1, 20 do open[i] = g:open { text = "hello", headers = { connection = "close" } } end
      for i = 1, 20 do
        local answer = open[i]:rest()
        assert.equal(200, answer.status, answer.body)
        answered = answered + 1
      end
    end
    for _ = 1, 5 do
      wave()
      signal.kill(pid, signal.SIGUSR2)
      local before = select(2, g.process:stderr():gsub("has taken over", ""))
      e2e.eventually("another process takes over", function()
        wave()
        return select(2, g.process:stderr():gsub("has taken over", "")) > before
      end)
      for found in g.process:stderr():gmatch "process (%d+) has taken over" do pid = tonumber(found) end
      heirs[#heirs + 1] = pid
      wave()
    end
    assert.equal(0, g.process:wait())                   -- the first has ended by itself
    assert.equal(answered, provider:count())
    assert.equal(200, g:request({ path = "/health/readiness" }).status)
  end)

  it("lets the old process finish what it began, and no longer", function()
    local g = serve(2)
    local stream, call = begin_stream(g)
    local heir = upgrade(g, g.process.pid)
    assert.is_true(is_alive(g.process.pid))
    assert.equal(200, g:chat {}.status)
    assert.is_true(is_alive(heir))
    call:piece("three", "stop")
    call:event "[DONE]"
    call:finish()
    local answer = stream:rest()
    assert.truthy(answer.body:find("three", 1, true))
    assert.truthy(answer.body:find("[DONE]", 1, true))
    assert.equal(0, g.process:wait())
  end)

  it("is by the new process alone from then on, for admin too", function()
    local g = serve(1)
    assert.equal(200, g:chat {}.status)
    begin_stream(g)                                     -- so that the old one is there still
    upgrade(g, g.process.pid)
    assert.is_true(is_alive(g.process.pid))
    for _ = 1, 5 do assert.equal(0, g:metric 'lunette_requests_total{model="m",policy="gateway.lua",status="200"}') end     -- it has answered none yet
  end)

  it("ends a shadow: the process that goes says so, and the one that comes knows of none", function()
    local g = serve(1, ", watch = false")
    g:replace("gateway.lua", config:format ", watch = false, keepalive = 20")
    assert.equal(200, g:tell("shadow", { seconds = 3600 }).status)
    local stream, call = begin_stream(g)                -- on the old one, with its shadow beside it
    upgrade(g, g.process.pid)
    e2e.eventually("the old one says so", function() return g.process:stderr():find "shadow .-: stopped %(lunette%): the gateway is stopping" end)
    assert.equal("none", g:look("shadow").state)
    call:piece "two"
    stream:expect "two"
  end)

  it("to a program that cannot be used leaves the old one where it is", function()
    local g = serve(2, ", state = false")                -- nor is there a version that served before
    g:replace("gateway.lua", "return { nonsense = true }")
    g.process:signal(signal.SIGUSR2)
    e2e.eventually("it is told", function() return g.process:stderr():find "was not ready" end)
    assert.truthy(g.process:stderr():find("ended with status 1", 1, true))
    assert.equal(200, g:chat {}.status)
    g:replace("gateway.lua", config:format ", state = false")
    upgrade(g, g.process.pid)                           -- and then it works
    assert.equal(200, g:chat {}.status)
  end)

  -- One whose program on the disk has become a script by now, which writes its process id into the file `marker` and goes on with `command`.
  local function serve_and_replace(command)
    local g = serve(1)
    local copy = g.folder .. "/lunette"
    os.execute("cp '" .. e2e.lunette .. "' '" .. copy .. "'")
    g.process:stop()
    g.process = e2e.start({ copy, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" }, g.env)
    g.port, g.admin = g.process:expect "listening on http://127%.0%.0%.1:(%d+), metrics on http://127%.0%.0%.1:(%d+)"
    e2e.write(copy .. ".new", ("#!/bin/sh\necho $$ >%s/marker\nexec %s\n"):format(g.folder, command))
    os.execute("chmod +x '" .. copy .. ".new' && mv '" .. copy .. ".new' '" .. copy .. "'")
    return g
  end
  local function marker(g)
    local file = io.open(g.folder .. "/marker")
    local pid = file and file:read "*n"
    if file then file:close() end
    return pid
  end

  it("starts what is on the disk by now", function()
    local g = serve_and_replace(e2e.lunette .. ' "$@"')
    assert.equal(upgrade(g, g.process.pid), marker(g))
    assert.equal(200, g:chat {}.status)
  end)

  it("to a program that neither says that it is ready nor ends is given up, and holds nobody up", function()
    local g = serve_and_replace [[lua5.1 -e 'local u = require "posix.unistd" for i = 3, 200 do u.close(i) end u.sleep(1000)']]
    g.process:signal(signal.SIGUSR2)
    e2e.eventually("it is told", function()
      assert.equal(200, g:chat {}.status)
      return g.process:stderr():find "was not ready"
    end)
    assert.truthy(g.process:stderr():find("was not ready (it was ended by signal 9)", 1, true), g.process:stderr())
    heirs[#heirs + 1] = marker(g)
    assert.is_false(is_alive(marker(g)))
  end)

  it("is given up when the old process is asked to end before: the new one ends too", function()
    local g = serve_and_replace "sleep 60"
    g.process:signal(signal.SIGUSR2)
    e2e.eventually("the new process is there", function() return marker(g) end)
    local heir = marker(g)
    heirs[#heirs + 1] = heir
    g.process:signal(signal.SIGTERM)
    assert.equal(0, g.process:wait())
    e2e.eventually("the new process has ended", function() return signal.kill(heir, 0) ~= 0 or not is_alive(heir) end)
  end)

  it("tells systemd which process serves, and that one ends because it was asked to", function()
    local watcher, path = require "socket.unix".dgram(), e2e.folder() .. "/notify"
    assert(watcher:bind(path))
    watcher:settimeout(e2e.limit)
    local g = e2e.gateway { config = config:format "", env = { A = provider.url, P = puppet.url, NOTIFY_SOCKET = path } }
    assert.equal("READY=1\nMAINPID=" .. g.process.pid, watcher:receive(1000))
    local heir = upgrade(g, g.process.pid)
    assert.equal("READY=1\nMAINPID=" .. heir, watcher:receive(1000))
    signal.kill(heir, signal.SIGTERM)
    assert.equal("STOPPING=1", watcher:receive(1000))
    watcher:close()
  end)

  it("takes over every socket, also with fewer or more workers", function()
    local g = serve(nil, ", workers = 3")
    g.process:stop()
    for _, workers in ipairs { { 4, 1 }, { 1, 4 } } do
      g:replace("gateway.lua", config:format(", workers = " .. workers[1]))
      g.process = e2e.start({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" }, g.env)
      g.port, g.admin = g.process:expect "listening on http://127%.0%.0%.1:(%d+), metrics on http://127%.0%.0%.1:(%d+)"
      g:replace("gateway.lua", config:format(", workers = " .. workers[2]))
      upgrade(g, g.process.pid)
      for _ = 1, 40 do assert.equal(200, g:chat {}.status) end
      assert.equal(0, g.process:wait())
    end
  end)

  it("hands on the folder `state`: keys and versions are known there, and what is made there is kept", function()
    local g = serve(2, [[, policy = "policy.lua" ]])
    local function make(name)
      local made = g:tell("keys", { name = name })
      assert.equal(200, made.status, made.body)
      return made.json.text
    end
    local function ask(key) return g:chat { headers = { authorization = "Bearer " .. key } }.status end
    local first = make "first"
    local heir = upgrade(g, g.process.pid)
    assert.equal(200, ask(first))
    local second = make "second"
    local third = upgrade(g, heir)
    assert.equal(0, g.process:wait())
    e2e.eventually("the second has ended", function() return not is_alive(heir) end)
    assert.equal(200, ask(second))
    signal.kill(third, signal.SIGKILL)
    e2e.eventually("the third has ended", function() return not is_alive(third) end)
    g:restart()
    for _, key in ipairs { first, second } do assert.equal(200, ask(key)) end
    assert.falsy(g.process:stderr():find("cannot be used", 1, true))
  end)

  for _, per in ipairs { '"ever"', '"rolling", window = 86400' } do it("keeps what was spent, and spends a limit once, per " .. per, function()
    local g = e2e.gateway { workers = 2, env = { A = provider.url }, config = ([[return { providers = { a = { base_url = env "A" } },
      models = { m = { { provider = "a", model = "x", price = { input = 1000, output = 1000 } } } },
      clients = { { name = "app", hash = "%s", budget = { limit = 10, per = %s } } } }]]):format(e2e.hash "sk-app", per) }
    local answered, pid = 0, g.process.pid
    local function ask() return g:chat { headers = { authorization = "Bearer sk-app" }, body = { max_tokens = 1 } }.status end
    for i = 1, 3 do
      for _ = 1, 20 do if ask() == 200 then answered = answered + 1 end end
      if i < 3 then pid = upgrade(g, pid) end
    end
    repeat
      local status = ask()
      if status == 200 then answered = answered + 1 end
    until status ~= 200
    assert.is_true(answered * 0.101 <= 10, answered)
    assert.is_true(answered > 60, answered)
    assert.equal(answered, provider:count())
    e2e.eventually("all of it is known here", function()
      return math.abs(answered * 0.101 - g:metric 'lunette_budget_used_usd{budget="key app"}') < 1e-9
    end)
  end) end
end)

describe("listening sockets that are there already", function()
  local provider
  before_each(function() provider = e2e.provider(script) end)
  after_each(e2e.stop)

  -- What systemd does: opens the sockets, puts them from descriptor 3 on, tells of them in the environment.
  local function activate(names, datagrams, address)
    local folder, ports, fds, sockets = e2e.folder(), {}, {}, {}
    e2e.write(folder .. "/gateway.lua", config:format "")
    for i in ipairs(names) do
      sockets[i] = datagrams and e2e.socket.udp() or assert(e2e.socket.bind(address or "127.0.0.1", 0))
      if datagrams then assert(sockets[i]:setsockname("127.0.0.1", 0)) end
      fds[i], ports[i] = sockets[i]:getfd(), tonumber((select(2, sockets[i]:getsockname())))
    end
    local launcher = ([[
      local unistd, stdlib = require "posix.unistd", require "posix.stdlib"
      stdlib.setenv("LISTEN_PID", tostring(unistd.getpid()))
      unistd.execp(%q, { [0] = %q, "serve", %q, "--workers", "2" })]]):format(e2e.lunette, e2e.lunette, folder .. "/gateway.lua")
    local reading, writing = unistd.pipe()
    local errors = folder .. "/stderr"
    local pid = assert(unistd.fork())
    if pid == 0 then
      local to = fcntl.open(errors, fcntl.O_WRONLY + fcntl.O_CREAT, 384)
      unistd.dup2(writing, 1)
      unistd.dup2(to, 2)
      local high = {}
      for i, fd in ipairs(fds) do high[i] = fcntl.fcntl(fd, fcntl.F_DUPFD, 100) end
      for i, fd in ipairs(high) do unistd.dup2(fd, 2 + i) end
      for fd = 3 + #fds, 255 do unistd.close(fd) end
      stdlib.setenv("A", provider.url)
      stdlib.setenv("P", provider.url)
      stdlib.setenv("LISTEN_FDS", tostring(#fds))
      stdlib.setenv("LISTEN_FDNAMES", table.concat(names, ":"))
      unistd.execp("lua5.1", { "-e", launcher })
      unistd._exit(127)
    end
    unistd.close(writing)
    for _, one in ipairs(sockets) do one:close() end
    return e2e.adopt(pid, reading, errors), ports
  end

  it("are used: those named admin for admin, all others for clients", function()
    local process, ports = activate { "lunette.socket", "admin", "lunette-second.socket" }
    process:expect "listening on http://127%.0%.0%.1:(%d+)"
    for _, port in ipairs { ports[1], ports[3] } do
      for _ = 1, 10 do
        local answer = e2e.request(port, { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = "hello" } } } })
        assert.equal(200, answer.status, answer.body)
      end
      assert.equal(404, e2e.request(port, { path = "/metrics" }).status)
    end
    assert.equal(200, e2e.request(ports[2], { path = "/metrics" }).status)
    assert.equal(0, process:stop(signal.SIGTERM))
  end)

  it("of which the number cannot be read are refused", function()
    local launcher = ([[local unistd, stdlib = require "posix.unistd", require "posix.stdlib"
      stdlib.setenv("LISTEN_PID", tostring(unistd.getpid()))
      unistd.execp(%q, { [0] = %q, "serve" })]]):format(e2e.lunette, e2e.lunette)
    for _, n in ipairs { "abc", "-1", "99999999", "" } do
      local status, _, err = e2e.run({ "lua5.1", "-e", launcher }, { LISTEN_FDS = n })
      assert.equal(1, status)
      assert.truthy(err:find("LISTEN_FDS is no number of sockets", 1, true), err)
    end
  end)

  it("that others can reach are refused where anyone could ask", function()
    local process = activate({ "lunette.socket" }, false, "0.0.0.0")
    assert.equal(1, process:wait())
    assert.truthy(process:stderr():find("which was handed over, can be reached from other machines", 1, true), process:stderr())
  end)

  it("that are none are refused by name", function()
    local process = activate({ "lunette.socket" }, true)
    assert.equal(1, process:wait())
    assert.truthy(process:stderr():find("descriptor 3 (lunette.socket), which LISTEN_FDS hands over, is no listening socket", 1, true), process:stderr())
  end)
end)
