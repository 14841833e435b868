-- `lunette train`: scores in, a router and figures out; what a gateway then says of a question is what training saw.
local e2e = require "support"

local PLACES, LINE = 32768, 128

-- Questions of two kinds, one of which the cheap model cannot answer, among words that say nothing.
local function questions(first, last, invert)
  local rows = {}
  for i = first, last do
    local hard = i * 7 % 3 == 0
    local thing, of = string.char(97 + i % 26):rep(3), string.char(97 + i % 23):rep(2)
    local prompt = ("please %s the %s thing of %s, number %d"):format(hard and "prove" or "translate", thing, of, i)
    rows[#rows + 1] = { prompt = prompt, weak = (hard ~= (invert or false)) and 0 or 1, strong = 1 }
  end
  return rows
end

local function csv(rows)
  local out = { "prompt,weak,strong" }
  for _, row in ipairs(rows) do out[#out + 1] = ('"%s",%s,%s'):format(row.prompt:gsub('"', '""'), row.weak, row.strong) end
  return table.concat(out, "\n") .. "\n"
end

describe("lunette train", function()
  local folder
  before_each(function() folder = e2e.folder() end)
  after_each(e2e.stop)

  local function file(name, text) return e2e.write(folder .. "/" .. name, text) end
  local function train(scores, ...)
    return e2e.run { e2e.lunette, "train", scores, "--output", folder .. "/router.lua", ... }
  end
  local function figures(scores, ...)
    local status, out, err = train(scores, "--json", ...)
    assert.same({ 0, "" }, { status, err }, out)
    return e2e.json.decode(out)
  end

  it("measures on a fifth of the questions, which it did not learn from, and writes plain data", function()
    local seen = figures(file("scores.csv", csv(questions(1, 600))))
    assert.same({ 600, 600 }, { seen.rows, seen.learned + seen.tested })
    assert.truthy(seen.tested > 60 and seen.tested < 180)
    assert.equal(1, seen.strong)
    assert.truthy(math.abs(seen.apgr - (1 + seen.weak) / 2) < 1e-9)     -- all of the hard ones first: as good as can be
    assert.truthy(math.abs(seen.cpt50 - (1 - seen.weak) / 2) < 1e-9)
    local chance = seen.baselines.chance
    assert.same({ 0.5, 0.5 }, { chance.apgr, chance.cpt50 })
    assert.truthy(math.abs(chance.cpt80 - 0.8) < 1e-9)
    assert.truthy(seen.baselines.length.apgr < 0.7)
    assert.truthy(seen.apgr_low < seen.apgr and seen.apgr < seen.apgr_high and seen.apgr_high - seen.apgr_low < 0.15)
    local router = assert(setfenv(loadfile(folder .. "/router.lua"), {}))()
    assert.equal(2, router.format)
    assert.equal(PLACES / LINE * (LINE + 1), #router.weights)
    assert.truthy(router.thresholds[10] >= router.thresholds[90])
  end)

  it("says where to set the threshold", function()
    local seen = figures(file("scores.csv", csv(questions(1, 600))), "--ratio", "20")
    local first, last = seen.curve[1], seen.curve[#seen.curve]
    assert.truthy(#seen.curve >= 4)
    assert.same({ 0, 0, seen.weak, 0.05 }, { first.strong_share, first.pgr, first.quality, first.relative_cost })
    assert.same({ 1, 1, seen.strong, 1 }, { last.strong_share, last.pgr, last.quality, last.relative_cost })
    for i = 2, #seen.curve do
      assert.truthy(seen.curve[i].threshold < seen.curve[i - 1].threshold)
      assert.truthy(seen.curve[i].strong_share > seen.curve[i - 1].strong_share)
    end
    local _, out = train(file("scores.csv", csv(questions(1, 600))))
    assert.truthy(out:find("measured on " .. seen.tested .. " others, a fifth by the hash of their texts", 1, true), out)
    assert.truthy(out:find("this router", 1, true) and out:find("by chance +0%.500 +50%.0 %% +80%.0 %%"), out)
    assert.truthy(out:find(("%.6f"):format(seen.curve[2].threshold), 1, true), out)
  end)

  it("measures on another file where one is said, and learns from all rows", function()
    local scores = file("scores.csv", csv(questions(1, 300)))
    local alike = figures(scores, "--test", file("alike.csv", csv(questions(301, 600))))
    assert.same({ 300, 300, 300, folder .. "/alike.csv" }, { alike.rows, alike.learned, alike.tested, alike.test })
    assert.truthy(alike.apgr > 0.8)
    local opposite = figures(scores, "--test", file("opposite.csv", csv(questions(301, 600, true))))
    assert.truthy(opposite.apgr < 0.5)
    assert.truthy(math.abs(opposite.weak - (1 - alike.weak)) < 1e-9)
  end)

  it("gives the same router and the same figures for the same questions, however the file writes them", function()
    local rows = questions(1, 300)
    local plain = file("plain.csv", csv(rows))
    local function both(path)
      local status, out = train(path, "--json")
      assert.equal(0, status)
      return e2e.read(folder .. "/router.lua") .. out
    end
    local first = both(plain)
    assert.truthy(#first > PLACES)
    assert.equal(first, both(plain))
    local other = { "\239\187\191source,strong,prompt,note,weak" }
    for i, row in ipairs(rows) do
      local strong, weak = i % 2 == 0 and "True" or "1.0", row.weak == 1 and "1e0" or " FALSE "
      other[#other + 1] = ('made,%s,"%s","a ""note"",\r\nof two lines",%s'):format(strong, row.prompt, weak)
    end
    assert.equal(first, both(file("other.csv", table.concat(other, "\r\n"))))
  end)

  it("makes a router of which a gateway says what training saw", function()
    local provider = e2e.provider [[return function() return { text = "fine" } end]]
    local seen = figures(file("scores.csv", csv(questions(1, 600))))
    local g = e2e.gateway { env = { A = provider.url }, config = [[return { policy = "policy.lua", providers = { a = { base_url = env "A" } },
        models = { m = { { provider = "a", model = "up" } } } }]],
      files = { ["router.lua"] = e2e.read(folder .. "/router.lua"), ["policy.lua"] = [[
        local lunette, router = require "lunette", require "router"
        return { classify = function(request)
          lunette.note("gain", lunette.predict(router, request))
          return lunette.predict(router, request) > 0.5 and "hard" or "easy"
        end }]] } }
    local above = 0
    for i = 601, 640 do
      local row = questions(i, i)[1]
      local answer = g:chat { text = row.prompt }
      assert.equal(200, answer.status)
      assert.equal(row.weak == 0 and "hard" or "easy", answer.headers["x-lunette-labels"], row.prompt)
      local gain = g:line(answer).notes.gain
      assert.truthy(gain > -1.5 and gain < 1.5)
      if gain > seen.curve[3].threshold then above = above + 1 end
    end
    assert.truthy(above >= 1 and above <= 14, above)          -- a fifth of them, about
  end)

  it("tells what is wrong with a file, with the line, and writes nothing", function()
    local good = csv(questions(1, 100))
    local function refused(text, what)
      local path = file("bad.csv", text)
      local status, out, err = train(path)
      assert.same({ 1, "" }, { status, out }, what)
      assert.equal(path .. what, err:gsub("\n$", ""))
      assert.equal("", e2e.read(folder .. "/router.lua"))
    end
    refused("", ": it is empty")
    refused("prompt,weak,strong\n", ": no rows")
    refused("question,weak,strong\na,0,1\n", ":1: there is no column `prompt`: the first line names the columns, `prompt`, `weak` and `strong` among them")
    refused("prompt,weak\na,0\n", ":1: there is no column `strong`: the first line names the columns, `prompt`, `weak` and `strong` among them")
    refused("prompt,weak,strong,weak\na,0,1,1\n", ":1: the column `weak` is there twice")
    refused(good .. "a,0\n", ":102: 2 cells, and the first line names 3 columns")
    refused(good .. '\n\n"two\nlines",0,often\n', ':104: `strong` is "often": 0, 1, false, true or a number between is wanted')
    for _, number in ipairs { "2", "-1", "1.5", "nan", "inf", "0x1", "", "1 1", "1e", "truely" } do
      refused(good .. "a," .. number .. ",1\n", ':102: `weak` is "' .. number .. '": 0, 1, false, true or a number between is wanted')
    end
    refused(good .. ",0,1\n", ":102: `prompt` is empty")
    refused(good .. '"a,0,1\nb,0,1\n', ":102: a quote is opened that is not closed")
    refused(good .. 'a"b,0,1\n', ":102: a quote in a cell that does not begin with one")
    refused(good .. "\"a\nb\195\",0,1\n", ":103: it is not UTF-8")
    refused(good .. "a,0,1\rb,0,1\n", ":102: a carriage return without a line feed behind it")
    refused(good .. ("x"):rep(1100000) .. ",0,1\n", ":102: a row that is too long")
    refused((good:gsub(",0,1\n", ",1,1\n")), ": in no row do `weak` and `strong` differ: there is nothing to learn")
    refused((good:gsub(",1,1\n", ",0,1\n")), ": in all rows `weak` and `strong` differ by the same: there is nothing to choose")
    refused(csv(questions(1, 20)), ": too few rows to learn from: 20 at least")
    local function fails(what, ...)
      local status, _, err = e2e.run { e2e.lunette, "train", ... }
      assert.same({ 1, folder .. what .. "\n" }, { status, err })
    end
    fails("/none.csv: No such file or directory", folder .. "/none.csv")
    local scores, worse = file("scores.csv", good), file("worse.csv", "prompt,weak,strong\na,1,0\nb,1,1\n")
    fails("/worse.csv: among the questions measured on the strong model is no better than the weak one: there is no gap to recover", scores, "--test", worse)
    fails("/none/router.lua cannot be written: No such file or directory", scores, "--output", folder .. "/none/router.lua")
  end)

  it("says how it is used", function()
    for _, arguments in ipairs { {}, { "a.csv", "b.csv" }, { "a.csv", "--tset", "b.csv" }, { "a.csv", "--ratio", "0.5" }, { "a.csv", "--ratio", "ten" } } do
      local status, out, err = e2e.run { e2e.lunette, "train", unpack(arguments) }
      assert.same({ 2, "" }, { status, out })
      assert.truthy(#err > 20)
    end
    local status, out = e2e.run { e2e.lunette, "train", "--help" }
    assert.equal(0, status)
    assert.truthy(out:find("usage: lunette train", 1, true))
  end)
end)
