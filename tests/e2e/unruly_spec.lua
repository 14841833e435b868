-- Policies that go wrong while they serve, each made from a good one by a random change that no trial before the reload can find: what is asked beside
-- is answered as if nothing had been, what they spoil is decided by default, and after a few failures the version before is back. STRESS_UNRULY: how
-- many (200). STRESS_FIGURES=1 prints how long hooks and those who waited beside took, and fails where a hook kept its thread for more than 50 ms.
local e2e = require "support"
local sanitized = e2e.lunette:find "build%-"
local unruly = require "unruly"

local many = tonumber(os.getenv "STRESS_UNRULY") or 200
local seed = tonumber(os.getenv "STRESS_SEED") or 20240607
local figures = os.getenv "STRESS_FIGURES"
local secret = "sk-planted-4f1c9a7be2"

local config = [[
return {
  policy = "policy.lua", limits = { retries = false, deadline = 20 }, health = false, watch = false,
  providers = { a = { base_url = env "URL", key = secret "A_KEY" }, b = { base_url = env "URL", key = secret "A_KEY" } },
  models = { m = { { provider = "a", model = "first" }, { provider = "b", model = "second" } } },
}]]
-- The first target fails where `retry` is to be asked; the second never does.
local provider = [[return function(request, n)
  if request.text == "wrong, and fail" and request.json.model == "first" then return { status = 500 } end
  return { text = "you said " .. request.text }
end]]

describe("a policy that goes wrong while it serves", function()
  local g, p
  teardown(e2e.stop)
  setup(function()
    p = e2e.provider(provider)
    g = e2e.gateway { config = config, files = { ["policy.lua"] = unruly.good }, workers = 1, env = { URL = p.url, A_KEY = secret } }
  end)

  -- Failures of hooks so far: all of them, and by reason.
  local function failures()
    local by, all = {}, 0
    for reason, n in g:metrics():gmatch 'lunette_policy_errors_total{hook="[^"]*",reason="([^"]*)"} (%d+)' do
      by[reason] = (by[reason] or 0) + tonumber(n)
      all = all + tonumber(n)
    end
    return all, by
  end

  local function current() return g:look("versions").current end
  local function found(version)
    for _, v in ipairs(g:look("versions").versions) do if v.version == version then return v end end
  end

  local function answered(visit, text, mutant)
    local answer = visit:rest()
    if answer.status ~= 200 or answer.text ~= "you said " .. text then
      error(mutant.what .. ": '" .. text .. "' was answered with " .. answer.status .. ": " .. answer.body, 2)
    end
    return answer
  end

  -- Wrong and good ones in turn, all at once on one thread: gives the longest that a good one took, in ms.
  local function ask(mutant)
    local text, wrong, beside, longest = mutant.hook == "retry" and "wrong, and fail" or "wrong", {}, {}, 0
    for i = 1, 5 do wrong[i], beside[i] = g:open { text = text }, g:open { text = "good " .. i } end
    for i = 1, 5 do
      local answer = answered(beside[i], "good " .. i, mutant)
      local label = answer.headers["x-lunette-labels"]
      if label ~= "good" then error(mutant.what .. ": a good request has the label " .. tostring(label)) end
      longest = math.max(longest, tonumber(answer.headers["x-lunette-latency-ms"]))
      answered(wrong[i], text, mutant)
    end
    return longest
  end

  -- With a sanitizer everything may take longer than a run may.
  local function check_reasons(mutant, before, after)
    for reason, n in pairs(after) do
      local may = mutant.ends[reason] or (sanitized and reason == "cpu")
      if n > (before[reason] or 0) and not may then error(mutant.what .. ": it failed with '" .. reason .. "'") end
    end
  end

  -- After three time-outs or five failures the good one is back; gives whether it went so.
  local function ends(mutant, version, good, before)
    local all
    if not mutant.well then e2e.eventually(mutant.what .. " fails", function() return failures() > before end) end
    local came, back = pcall(e2e.eventually, mutant.what .. " is taken out, or fails less than that", function()
      all = failures() - before
      return current() == good and "back" or mutant.well and all < 5 and "well"
    end)
    if not came then error(("%s\n%d failures\n%s\n%s"):format(back, all, e2e.json.encode(g:look "versions"), g.process:said())) end
    if back ~= "back" then return false end
    local v = found(version)
    if v.state ~= "taken_back" or v.taken_back_by ~= "lunette" then error(mutant.what .. ": it is not marked as taken back") end
    assert.matches("of its hooks within 10 s", v.taken_back_why, mutant.what)
    assert.matches("policy%.lua:%d+: ", v.taken_back_why, mutant.what)
    return true
  end

  it("harms nobody else, is decided for by default, and is taken out", function()
    local random, good, out, longest, worst = unruly.new(seed), current(), 0, {}, ""
    assert.equal("good", g:chat({ text = "good" }).headers["x-lunette-labels"])
    for i = 1, many do
      local mutant = random:next()
      local before, by = failures()
      local answer = g:reload { ["policy.lua"] = mutant.text }
      if answer.status ~= 200 or not answer.json.changed then error(mutant.what .. ": it is not taken over: " .. answer.body) end
      longest[i] = ask(mutant)
      if longest[i] >= math.max(unpack(longest)) then worst = mutant.what end
      if ends(mutant, answer.json.version, good, before) then out = out + 1 end
      local _, after = failures()
      check_reasons(mutant, by, after)
      assert.is_true(g:reload({ ["policy.lua"] = unruly.good }).status == 200)
      assert.equal(good, current(), mutant.what)
    end
    assert.is_true(out > many / 2, "only " .. out .. " of " .. many .. " were taken out")
    if figures then
      table.sort(longest)
      print(("%d policies, %d taken out; the good ones beside five wrong ones: median %d, longest %d ms (%s)"):format(many, out,
        longest[math.ceil(many / 2)], longest[many], worst))
    end
  end)

  it("is not taken over at all where a trial can find it", function()
    local random, good, refused = unruly.new(seed + 1), current(), 0
    for _ = 1, math.ceil(many / 5) do
      local mutant = random:next()
      local answer = g:reload { ["policy.lua"] = mutant.plain }
      if answer.status == 422 then
        assert.matches("policy%.lua:%d+: ", answer.json.errors[1], mutant.what)
        refused = refused + 1
      elseif not mutant.well then error(mutant.what .. ": it is taken over") end
      assert.equal(200, g:reload({ ["policy.lua"] = unruly.good }).status)
      assert.equal(good, current())
    end
    assert.is_true(refused > many / 10, "only " .. refused .. " were refused")
  end)

  it("shows no secret and no other request's text, wherever one looks", function()
    local all = table.concat({ g.process:said(), g:metrics(), e2e.read(g.folder .. "/requests.jsonl"), e2e.json.encode(g:look "versions") }, "\n")
    assert.is_nil(all:find("planted", 1, true))
    assert.is_nil(all:find("leaked ", 1, true))
    assert.is_nil(all:find("root:", 1, true))
  end)

  if figures then
    it("keeps its thread for a few ms at most", function()
      local all, within = g:metrics(), {}
      for hook in pairs { classify = 1, budget = 1, select = 1, judge = 1, retry = 1, finish = 1 } do
        for le, n in all:gmatch('lunette_policy_seconds_bucket{hook="' .. hook .. '",le="([^"]*)"} (%d+)') do within[le] = (within[le] or 0) + tonumber(n) end
      end
      local count = within["+Inf"]
      print(("%d hooks; over 5 ms of CPU time: %d, over 10 ms: %d, over 50 ms: %d"):format(count,
        count - within["0.005"], count - within["0.01"], count - within["0.05"]))
      assert.equal(count, within["0.05"])
    end)
  end
end)
