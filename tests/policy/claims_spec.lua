-- The machinery of `make claims` (tests/claims): that the day is what its README says, that it repeats, and that what is not reached is said. Whether
-- the claims come out is not asked here.
local folder = debug.getinfo(1, "S").source:match "^@(.*/)" .. "../claims/"
package.path = folder .. "?.lua;" .. package.path
local chance = require "chance"
local day = require "day"
local model = require "model"
local providers = require "providers"
local report = require "report"
local scores = require "scores"
local traffic = require "traffic"

local function near(wanted, got, by) assert.is_true(math.abs(wanted - got) <= by, ("%s is not %s ± %s"):format(got, wanted, by)) end

-- A file with this text, gone when the test is over.
local function file(text)
  local path = os.tmpname()
  local out = assert(io.open(path, "w"))
  out:write(text)
  out:close()
  finally(function() os.remove(path) end)
  return path
end

local function only(name) return file('return { select = function(_, targets) return targets:of "' .. name .. '" end }') end

describe("chance", function()
  it("repeats for the same seed and name, and for no other", function()
    local function first(seed, name) return chance.new(seed, name):uniform() end
    assert.equal(first(1, "a"), first(1, "a"))
    assert.not_equal(first(1, "a"), first(2, "a"))
    assert.not_equal(first(1, "a"), first(1, "b"))
  end)

  it("is even, normal, in proportion", function()
    local draw, sum, square, picked = chance.new(1, "x"), 0, 0, 0
    for _ = 1, 20000 do
      local x = draw:normal()
      sum, square = sum + x, square + x * x
      picked = picked + (draw:pick { { share = 1 }, { share = 3, hit = 1 } }.hit or 0)
    end
    near(0, sum / 20000, 0.03)
    near(1, square / 20000, 0.03)
    near(0.75, picked / 20000, 0.01)
  end)

  it("divides into parts of 1", function()
    local sum, parts = 0, chance.new(1, "x"):parts(7)
    for _, part in ipairs(parts) do sum = sum + part end
    assert.equal(7, #parts)
    near(1, sum, 1e-9)
  end)
end)

describe("the traffic", function()
  local function all(seed, n)
    local list, next_one = {}, traffic.day(seed, n)
    for asked in next_one do list[#list + 1] = asked end
    return list
  end

  it("has as many requests as wanted, in order, most of them in the afternoon", function()
    local list, before, afternoon, night = all(1, 20000), 0, 0, 0
    assert.equal(20000, #list)
    for _, asked in ipairs(list) do
      assert.is_true(asked.at >= before and asked.at <= 86400)
      before = asked.at
      if asked.at >= 14 * 3600 and asked.at < 16 * 3600 then afternoon = afternoon + 1 end
      if asked.at >= 2 * 3600 and asked.at < 4 * 3600 then night = night + 1 end
    end
    near(1.6 / 0.4, afternoon / night, 0.5)
  end)

  it("is made of kinds, tiers and repeats as written down", function()
    local list, kinds, premium, repeats, seen = all(2, 20000), {}, 0, 0, {}
    for _, asked in ipairs(list) do
      local q = asked.question
      kinds[q.kind.name] = (kinds[q.kind.name] or 0) + 1
      if asked.tier == "premium" then premium = premium + 1 end
      if seen[q.number] then
        repeats = repeats + 1
        assert.equal(seen[q.number], q.text)
      end
      seen[q.number] = q.text
    end
    for _, kind in ipairs(model.kinds) do near(kind.share, kinds[kind.name] / 20000, 0.02) end
    near(0.151, premium / 20000, 0.01)
    near(model.traffic.repeats, repeats / 20000, 0.01)
  end)

  it("has hard questions that a policy can tell by their words, in both languages", function()
    local found = { vi = 0, en = 0 }
    for _, asked in ipairs(all(3, 4000)) do
      if asked.question.kind.name == "analysis" then
        if asked.question.text:find "phân tích" then found.vi = found.vi + 1 end
        if asked.question.text:find "analyze" then found.en = found.en + 1 end
      end
    end
    assert.is_true(found.vi > 10 and found.en > 10)
  end)
end)

describe("a provider", function()
  local question = { number = 1, input = 1000, output = 100 }

  local function spell(provider, kind)
    for _, s in ipairs(provider.spells) do
      if s.kind == kind then return s end
    end
  end

  it("begins to answer as fast as written down: p50, p99", function()
    local mu, sigma = providers.fit(0.180, 0.420)
    local p, list = providers.day(4).google, {}
    p.spells, p.fits.x = { { kind = "slow", from = 0, to = 0.5 } }, { mu = mu, sigma = sigma }
    model.models.x = { rate = 100 }
    finally(function() model.models.x = nil end)
    for i = 1, 40000 do list[i] = p:answer(question, 1, i % 200 == 0 and p.spells[1] or nil, "x").after end
    table.sort(list)
    near(0.180, list[20000], 0.002)
    near(0.420, list[39600], 0.012)
  end)

  it("answers nothing in an outage", function()
    local p = providers.day(5).openai
    local outage = spell(p, "outage")
    for _ = 1, 500 do
      local scene = p:play(question, outage.from + 0.001, "gpt-4.1")
      assert.is_nil(scene.events)
      assert.is_true((scene.status or 500) >= 500)
    end
  end)

  it("fails half of the calls in a brown-out, and answers 429 while it limits", function()
    local p, failed, limited = providers.day(5).openai, 0, 0
    for _ = 1, 4000 do
      if not p:play(question, spell(p, "brownout").from, "gpt-4.1").events then failed = failed + 1 end
      if p:play(question, spell(p, "limited").from, "gpt-4.1").status == 429 then limited = limited + 1 end
    end
    near(0.5, failed / 4000, 0.03)
    near(0.6, limited / 4000, 0.03)
  end)

  it("tears the stream that is under way when an outage begins, and resets who waits", function()
    local p = providers.day(5).openai
    local outage, torn, reset = spell(p, "outage"), 0, 0
    for _ = 1, 300 do
      local scene = p:answer({ number = 1, input = 10, output = 2000 }, outage.from - 1, nil, "gpt-4.1")
      assert.equal("rst", scene.cut)
      assert.is_true(#scene.events < 5)
      torn = torn + 1
      scene = p:answer(question, outage.from - 0.05, nil, "gpt-4.1")
      if not scene.events then reset = reset + 1 end
    end
    assert.is_true(torn == 300 and reset > 200)
  end)

  it("has 3.8 % of failures in a day, however they fall", function()
    for seed = 1, 3 do
      local p, failed, n = providers.day(seed).openai, 0, 20000
      for i = 1, n do
        local scene = p:play(question, traffic.when((i - 0.5) / n), "gpt-4.1")
        if scene.cut or not scene.events then failed = failed + 1 end
      end
      near(0.038, failed / n, 0.004)
    end
  end)
end)

describe("a day", function()
  local before

  it("before has the claims' before: uptime, p50 and p99", function()
    before = day.run { seed = 1, requests = 6000, before = model.before }
    local m = report.measure(before)
    near(model.claims.uptime.before, m.uptime.value, 0.01)
    near(model.claims.p50.before, m.p50.value, 0.006)
    near(model.claims.p99.before, m.p99.value, 0.05)
  end)

  it("costs what tokens and prices say", function()
    local d = day.run { seed = 6, requests = 1000, before = model.before }
    local next_one, n, sum = traffic.day(6, 1000), 0, 0
    for asked in next_one do
      n = n + 1
      if d.costs[n] > 0 then sum = sum + (8 * asked.question.input + 24 * asked.question.output) / 1e6 end
    end
    near(sum, d.cost, sum * 0.001)                      -- but for a torn stream
  end)

  it("repeats to the last digit for the same seed, and for no other", function()
    local policy = only "deepseek-v3.2"
    local function run(seed) return day.run { seed = seed, requests = 1000, policy = policy } end
    local one, two, other = run(1), run(1), run(2)
    assert.same(one.costs, two.costs)
    assert.same(one.latencies, two.latencies)
    assert.same(one.kinds, two.kinds)
    assert.not_same(one.costs, other.costs)
  end)

  it("counts a torn stream as failed, an answer of a second provider as answered", function()
    local policy = file [[return { select = function(_, targets) return targets:of("gpt-4.1", "gemini-2.5-flash", "claude-sonnet-4.5") end }]]
    local d = day.run { seed = 1, requests = 6000, policy = policy }
    assert.is_true(d.answered > before.answered)
    assert.is_true(d.fallbacks > 0 and d.attempts > d.n)
    assert.equal(d.n - d.answered, (function()
      local n = 0
      for _, times in pairs(d.refused) do n = n + times end
      return n
    end)())
    assert.is_true(d.kinds.cut == nil or d.kinds.cut <= d.refused.upstream_failed)
  end)

  it("has other prices on demand", function()
    local policy = only "gpt-4.1"
    local page, published = day.run { seed = 1, requests = 500, policy = policy }, day.run { seed = 1, requests = 500, policy = policy, prices = "published" }
    near(0.3, published.cost / page.cost, 0.05)
  end)
end)

describe("the report", function()
  it("says how sure a share is (Wilson's interval)", function()
    local s = report.share(962, 1000)
    near(0.962, s.value, 1e-9)
    near(0.9483, s.low, 1e-4)
    near(0.9722, s.high, 1e-4)
    near(1, report.share(100, 100).high, 1e-9)
    near(0.963, report.share(100, 100).low, 1e-3)
  end)

  it("says how sure a quantile is, by ranks", function()
    local list = {}
    for i = 1, 10000 do list[i] = i end
    assert.same({ value = 9900, low = 9881, high = 9920 }, report.quantile(list, 0.99))
  end)

  it("says what was saved on the same requests", function()
    local before, after = {}, {}
    for i = 1, 1000 do before[i], after[i] = i, i / 4 end
    local s = report.saving(before, after)
    near(0.75, s.value, 1e-9)
    near(0.75, s.low, 1e-6)
    after[1000] = 1000
    assert.is_true(report.saving(before, after).low < report.saving(before, after).value)
  end)

  local function exactly(x) return { value = x, low = x, high = x } end
  local function rows(uptime, p50, p99, saving)
    return report.rows({ uptime = exactly(0.962), p50 = exactly(0.18), p99 = exactly(0.42) },
                       { uptime = uptime, p50 = exactly(p50), p99 = exactly(p99), saving = exactly(saving) })
  end

  it("counts what is not reached, and prints it as that", function()
    local text, missed = report.table(rows(exactly(0.9997), 0.065, 0.180, 0.85))
    assert.equal(0, missed)
    assert.is_nil(text:find "NOT")
    text, missed = report.table(rows(exactly(0.9996), 0.066, 0.181, 0.849))
    assert.equal(4, missed)                             -- the bill is still paid: $4,200 to $680 is 83.8 %
    assert.equal(4, select(2, text:gsub("NOT REACHED", "")))
    assert.equal(5, select(2, report.table(rows(exactly(0.9996), 0.066, 0.181, 0.838))))
  end)

  it("takes the worse end of what is not sure", function()
    local _, missed = report.table(rows({ value = 0.9998, low = 0.9996, high = 0.9999 }, 0.065, 0.180, 0.85))
    assert.equal(1, missed)
  end)
end)

describe("quality", function()
  it("reads CSV", function()
    assert.same({ { "a", 'b "c"\nd', "" }, { "1", "2,3", "4" } }, scores.rows('a,"b ""c""\nd",\r\n1,"2,3",4'))
    assert.has_error(function() scores.rows('"a') end)
  end)

  it("is the score of whoever answers", function()
    local data = file "prompt,weak,strong\nwhy,0,1\nhow,1,1\nwho,0,1\nwhen,1,0\n"
    local strong, weak = scores.of(data, only "claude-sonnet-4.5", 1), scores.of(data, only "deepseek-v3.2", 1)
    assert.same({ 0.75, 1 }, { strong.routed, strong.share })
    assert.same({ 0.5, 0 }, { weak.routed, weak.share })
    assert.same({ 4, 0.5, 0.75 }, { weak.n, weak.weak, weak.strong })
  end)
end)

describe("make claims", function()
  -- What it prints with these variables, and its exit status. $PPID is this program.
  local function run(variables)
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local status = os.execute(("%s \"$(readlink /proc/$PPID/exe)\" test %sday_spec.lua >%s 2>&1"):format(variables, folder, path))
    local out = assert(io.open(path))
    local text = out:read "*a"
    out:close()
    return text, status == true and 0 or status == nil and 1 or status
  end

  it("prints what is not reached and ends with a status that is not 0", function()
    local text, status = run("CLAIMS_ALSO=none CLAIMS_SCORES= CLAIMS_REQUESTS=1000 CLAIMS_POLICY=" .. only "gpt-4.1")
    assert.not_equal(0, status)
    assert.matches("uptime +96.2 %% %-> 99.97 %% or more.-NOT REACHED", text)
    assert.matches("cost reduction +85 %% or more.-NOT REACHED", text)
    assert.matches("of 5 claims are not reached", text)
  end)

  it("refuses by name what makes no sense", function()
    for _, variable in ipairs { "CLAIMS_REQUESTS=ten", "CLAIMS_SEED=0.5", "CLAIMS_PRICES=mine", "CLAIMS_POLICY=nobody" } do
      local text, status = run("CLAIMS_ALSO=none CLAIMS_REQUESTS=1000 " .. variable)
      assert.not_equal(0, status)
      assert.matches(variable:match "=(.*)", text, 1, true)
    end
  end)
end)
