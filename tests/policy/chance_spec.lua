-- What is drawn: logged with its probability, and the same again for the same seed.
local t = require "lunette.test"

local function drawn(seed, body, n, ask)
  local g = t.gateway { seed = seed, targets = { "a" },
                        policy = "local l = require 'lunette' return { classify = function(request) " .. body .. " end }" }
  local out = {}
  for i = 1, n or 20 do out[i] = g:ask(ask and ask(i) or "hi").notes end
  return out
end

describe("chance", function()
  for name, body in pairs {
    random = "l.note('x', l.random())", ["random(n)"] = "l.note('x', l.random(1000))", ["math.random"] = "l.note('x', math.random(1000))",
    pick = "l.pick { 'x', 'y', 'z' }", split = "l.split('s', nil, { x = 1, y = 1 })",
    backoff = "l.note('x', l.backoff(3, { jitter = 'full' }))",
  } do
    it(name .. " repeats with its seed and differs with another", function()
      assert.same(drawn(7, body), drawn(7, body))
      assert.is_false(require "pl.tablex".deepcompare(drawn(7, body), drawn(8, body)))
    end)
  end

  it("ids of requests repeat too, and no two are equal", function()
    local function ids()
      local g, out = t.gateway { seed = 3 }, {}
      for i = 1, 50 do
        local id = g:ask("hi").id
        assert.is_nil(out[id])
        out[i], out[id] = id, true
      end
      return out
    end
    assert.same(ids(), ids())
  end)

  it("has names that are cut between characters", function()
    local g = t.gateway { targets = { "a" }, policy = [[
      local lunette = require "lunette"
      return { classify = function() lunette.split("thử nghiệm giao diện mới cho người dùng ở Hà Nội", nil, { a = 1, b = 1 }) end }]] }
    g:ask "hi"
    assert.is_nil(g.lines[#g.lines]:find("\239\191\189", 1, true))       -- U+FFFD
  end)

  it("pick goes by weights and notes what was chosen, and how likely that was", function()
    local n = 0
    for _, notes in ipairs(drawn(1, "l.pick({ 'x', 'y' }, { 3, 1 })", 400)) do
      local x = notes.pick.chosen == "x"
      assert.equal(x and 0.75 or 0.25, notes.pick.probability)
      n = n + (x and 1 or 0)
    end
    assert.is_true(n > 260 and n < 340)
  end)

  it("split is sticky by who, in proportion, and notes the probability", function()
    local function user(i) return { user = "u" .. i } end
    local body = "l.note('group', l.split('trial', request.user, { new = 20, old = 80 }))"
    local one, two = drawn(1, body, 300, user), drawn(2, body, 300, user)
    local new = 0
    for i = 1, 300 do
      assert.equal(one[i].group, two[i].group)
      assert.equal(one[i].group == "new" and 0.2 or 0.8, one[i].split_trial.probability)
      new = new + (one[i].group == "new" and 1 or 0)
    end
    assert.is_true(new > 35 and new < 85)
  end)

  it("split with another salt divides differently", function()
    local function user(i) return { user = "u" .. i } end
    local one = drawn(1, "l.note('group', l.split('one', request.user, { 1, 1 }))", 40, user)
    local two = drawn(1, "l.note('group', l.split('two', request.user, { 1, 1 }))", 40, user)
    local same = 0
    for i = 1, 40 do same = same + (one[i].group == two[i].group and 1 or 0) end
    assert.is_true(same > 5 and same < 35)
  end)

  it("backoff doubles up to its most", function()
    local notes = drawn(1, [[local o = { base = 1, max = 10 } l.note('x', { l.backoff(1, o), l.backoff(2, o), l.backoff(9, o) })]], 1)
    assert.same({ 1, 2, 10 }, notes[1].x)
  end)

  it("a whole run repeats to the microsecond", function()
    local function run()
      local n = 0
      local g = t.gateway { seed = 11, targets = { "a", "b", "c" }, limits = { retries = false },
                            policy = [[local l = require "lunette"
                              return { retry = function(r, a) return l.again(l.backoff(a.try, { jitter = "full" })) end }]],
                            providers = { a = function() n = n + 1 return n % 3 == 0 and 500 or { text = "a", after = 0.3 } end } }
      for i = 1, 30 do g:ask { session = "s" .. i } end
      return table.concat(g.lines, "\n")
    end
    assert.equal(run(), run())
  end)
end)
