-- How many system calls a request costs: counted by tests/stress/calls.c in the program, one request after the other on a connection that is kept, to a
-- provider whose connection is kept too. A request alone wakes the gateway twice; many at once share that (`make bench`).
local e2e = require "support"
local tests = e2e.program():match "^(.*)/" .. "/tests/"

-- The most that each may come to. What lowers one of them lowers the number here. `waits`: epoll_wait.
local MOST = { socket = 4.15, poll = 0, epoll_ctl = 0.05, waits = 2.1, others = 0.05 }
local KIND = { read = "socket", write = "socket", readv = "socket", writev = "socket", recv = "socket", send = "socket", recvmsg = "socket", sendmsg = "socket",
               recvfrom = "socket", sendto = "socket", poll = "poll", epoll_ctl = "epoll_ctl", epoll_wait = "waits" }

describe("system calls", function()
  local g, c, counts
  setup(function()
    local p = e2e.provider [[return function() return { text = "fine", usage = { input = 5, output = 10 } } end]]
    counts = e2e.folder() .. "/calls"
    g = e2e.gateway { env = { A = p.url, LD_PRELOAD = tests .. "calls.so", CALLS = counts, LUNETTE_LOG_REQUESTS = "false",
                              ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":verify_asan_link_order=0" },
      config = [[return { providers = { a = { base_url = env "A" } }, ledger = false, models = { m = { { provider = "a", model = "x" } } } }]] }
    c = g:connect()
  end)
  teardown(e2e.stop)

  local function ask(n)
    local bytes = e2e.bytes { path = "/v1/chat/completions", body = { model = "m", messages = { { role = "user", content = ("x"):rep(960) } } } }
    for _ = 1, n do
      c:send(bytes)
      local answer = assert(e2e.receive(c))
      assert.equal(200, answer.status, answer.body)
    end
  end

  local function counted()
    local sum = {}
    for name, n in e2e.read(counts):gmatch "(%S+) +(%d+)\n" do
      local kind = KIND[name] or "others"
      sum[kind] = (sum[kind] or 0) + tonumber(n)
    end
    return sum
  end

  it("are few for a plain 1 KB request", function()
    ask(20)
    local before = counted()
    ask(300)
    local after, said = counted(), {}
    for kind, most in pairs(MOST) do
      local each = ((after[kind] or 0) - (before[kind] or 0)) / 300
      said[#said + 1] = ("%s %.2f"):format(kind, each)
      assert.is_true(each <= most, ("%.2f of kind %s for a request, at most %.2f are right"):format(each, kind, most))
    end
    table.sort(said)
    print("  a request: " .. table.concat(said, ", "))
    assert.is_true(after.socket - before.socket >= 4 * 300, "not all are counted")      -- read and written on both sides
  end)
end)
