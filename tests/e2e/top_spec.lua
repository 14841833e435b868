-- lunette top: its figures against what was sent; in a terminal: what it draws, keys, sizes, what it leaves behind; a gateway that goes away and comes back.
local e2e = require "support"
local terminal = require "terminal"

local config = [[return { policy = "p.lua",
  providers = { a = { base_url = env "A" }, gone = { base_url = "http://127.0.0.1:1/v1", health = { failures = 1 } } },
  models = { fast = { { provider = "a", model = "small", price = { input = 1, output = 2 } } },
             weak = { { provider = "gone", model = "big", price = { input = 1, output = 1 } } },
             slow = { { provider = "a", model = "late", price = { input = 1, output = 2 } } } },
  budgets = { total = { limit = 0.01, per = "day" } } }]]

local provider, g
setup(function()
  provider = e2e.provider [[return function(request)
    return { text = "x", after = request.model == "late" and 0.2 or 0, usage = { input = 500, output = 500 } }
  end]]
  g = e2e.gateway { env = { A = provider.url }, workers = 2, files = { ["p.lua"] = "return { classify = function() return 'plain' end }" }, config = config }
end)
teardown(e2e.stop)

local function ask(model, status) assert.equal(status or 200, g:chat({ model = model, body = { max_tokens = 500 } }).status) end
local function admin() return "127.0.0.1:" .. g.admin end
local function start(rows, columns, ...)
  return terminal.start({ e2e.program(), "top", "--admin", admin(), "--interval", "0.1", ... }, { rows = rows, columns = columns })
end

describe("lunette top", function()
  it("prints once what happened in an interval, where the output is no terminal", function()
    ask "fast"
    local status, out = e2e.run { e2e.program(), "top", "--admin", admin(), "--interval", "0.1" }
    assert.equal(0, status)
    for _, words in ipairs { "requests  ", "spend     ", "budgets   total", "providers all healthy", "errors    none",
                             "\nmodel ", "\nlabel ", "\nstage ", "\ntarget ",
                             "\nbudget ", "\nprovider " } do
      assert.truthy(out:find(words, 1, true), words .. "\n" .. out)
    end
    assert.is_nil(out:find "\27")
  end)

  it("draws, live, what is asked and what comes of it", function()
    local t = start(40, 130)
    t:shows "requests  "
    for _ = 1, 3 do ask "fast" end
    ask "slow"
    ask("weak", 502)
    t:shows "providers gone: down"
    assert.truthy(t:shows("slow"):find("m models  l labels", 1, true))
    t:shows "budgets   total"
    t:type "t"
    t:shows "gone/big  open"
    t:type "b"
    t:shows "resets in"
    t:type "l"
    t:shows "plain"
    t:type "q"
    assert.same({ 0, true }, { t:wait() })
    assert.truthy(t.all:find("\27[?1049h", 1, true) < t.all:find("\27[?1049l", 1, true))
    assert.truthy(t.all:find "\27%[%?25h\27%[%?1049l$")
  end)

  it("sorts by the column that is chosen, and the other way round", function()
    local t = start(40, 130)
    t:shows "▾a second"
    local function order(words)
      t:shows(words)
      local names = {}
      for name in t:drawn():match("q: end\n.*$"):gmatch "\n(%l+) +[%d.]+ " do names[#names + 1] = name end
      return table.concat(names, " ")
    end
    t:type "\27[D"
    e2e.eventually("by name", function() return order "▾model" == "fast slow weak" end)
    t:type "r"
    e2e.eventually("and back", function() return order "▴model" == "weak slow fast" end)
    t:type "q"
    assert.same({ 0, true }, { t:wait() })
  end)

  it("fits the terminal, whatever its size becomes", function()
    local t = start(12, 40)
    local function fits(rows, columns)
      local lines = 0
      for line in (t:drawn() .. "\n"):gmatch "([^\n]*)\n" do
        lines = lines + 1
        local points = select(2, line:gsub("[^\128-\191]", ""))
        assert.truthy(points <= columns, line)
      end
      assert.truthy(lines <= rows, t:drawn())
    end
    t:shows "providers"
    fits(12, 40)
    t:size(30, 120)
    t:shows "q: end"                    -- which has room now
    fits(30, 120)
    t:size(5, 20)
    e2e.eventually("it is small", function()
      t:read(1)
      return not t:drawn():find("models", 1, true)
    end)
    fits(5, 20)
    t:type "q"
    assert.same({ 0, true }, { t:wait() })
  end)

  it("puts the terminal back when a signal ends it", function()
    for _, signal in ipairs { e2e.SIGTERM, e2e.SIGINT, e2e.SIGHUP } do
      local t = start(24, 80)
      t:shows "requests  "
      t.process:signal(signal)
      assert.same({ -signal, true }, { t:wait() })
      assert.truthy(t.all:find "\27%[%?25h\27%[%?1049l$")
    end
  end)

  it("says that the gateway does not answer, and goes on when it does", function()
    local t = start(24, 120)
    t:shows "requests  "
    g.process:stop()
    t:shows "asking again"
    assert.truthy(t:drawn():find("no gateway answers at " .. admin(), 1, true))
    local again = e2e.start({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", admin(),
                              "--workers", "1" }, g.env)
    again:expect "metrics on (%S+)"
    e2e.eventually("it goes on", function()
      t:read(1)
      return not t:drawn():find("asking again", 1, true)
    end)
    t:shows "up 0 s"
    t:type "q"
    assert.same({ 0, true }, { t:wait() })
  end)

  it("ends at once, though the gateway says nothing", function()
    local puppet = e2e.puppet()
    local t = terminal.start({ e2e.program(), "top", "--admin", "127.0.0.1:" .. puppet.port }, { rows = 24, columns = 80 })
    puppet:accept()
    t:type "q"
    assert.same({ 0, true }, { t:wait() })
  end)

  it("refuses what it does not know, and a terminal is no condition", function()
    for _, words in ipairs { { "--interval", "0" }, { "--interval", "x" }, { "--interval", "4000" }, { "more" }, { "--nothing" } } do
      assert.equal(2, (e2e.run { e2e.program(), "top", unpack(words) }))
    end
    local status, out, err = e2e.run { e2e.program(), "top", "--once", "--admin", "127.0.0.1:1" }
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("no gateway answers at 127.0.0.1:1", 1, true))
  end)
end)
