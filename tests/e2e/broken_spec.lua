-- Broken versions of a good configuration, each made from it by a random change: none is taken over, whatever is wrong with it, and the good one
-- serves all along. What is broken is said by `lunette check`, which must agree with what a reload does. STRESS_MUTANTS: how many (150).
local e2e = require "support"
local spoil = require "spoil"

local many = tonumber(os.getenv "STRESS_MUTANTS") or 150
local seed = tonumber(os.getenv "STRESS_SEED") or 20240607
local kept = 20 * 1024      -- KiB: `serve` lets malloc keep 16 MiB of what was freed, which comes at any one mutant; small leaks are the sanitizers' to find

describe("a broken version", function()
  teardown(e2e.stop)

  local function serve(env) return e2e.gateway { config = spoil.good["gateway.lua"], files = spoil.good, workers = 2, watched = true, env = env } end
  local function labels(g, mutant)
    local answer = g:chat { model = "m" }
    if answer.status ~= 200 then error(mutant.what .. ": a request was answered with " .. answer.status .. ": " .. answer.body) end
    return answer.headers["x-lunette-labels"], answer.headers["x-lunette-policy"]
  end

  local function figure(g, pattern) return tonumber(e2e.read("/proc/" .. g.process.pid .. "/status"):match(pattern)) end
  local function descriptors(g)
    local pipe = io.popen("ls /proc/" .. g.process.pid .. "/fd | wc -l")
    local n = tonumber(pipe:read "*l")
    pipe:close()
    return n
  end

  -- Whether check finds it fine, and what it says.
  local function checked(g)
    local status, out, errors = e2e.run({ e2e.lunette, "check", g.folder .. "/gateway.lua" }, g.env)
    return status == 0, status, out .. errors
  end

  it("is never taken over on demand, what check says of it is true, and nothing is left of it", function()
    local g, random, taken, halfway = serve { LUNETTE_WATCH = "false" }, spoil.new(seed), 0, nil
    local version = g:look("versions").current
    for i = 1, many do
      local mutant = random:next()
      mutant.put(g.folder)
      local answer = g:tell "reload"
      local fine, status, said = checked(g)
      if status ~= 0 and status ~= 1 then error(mutant.what .. ": check ended with " .. status .. ": " .. said) end
      if (answer.status == 200) ~= fine then
        error(mutant.what .. ": check ended with " .. status .. ", a reload with " .. answer.status .. ": " .. said .. answer.body)
      end
      if answer.status ~= 200 then
        if answer.status ~= 422 then error(mutant.what .. ": a reload was answered with " .. answer.status) end
        assert.is_true(#answer.json.errors > 0, mutant.what)
        assert.same({ "good", version }, { labels(g, mutant) })
      elseif answer.json.changed then taken = taken + 1 end
      spoil.restore(g.folder)
      assert.equal(200, g:tell("reload").status)
      local _, now = labels(g, mutant)
      assert.equal(version, now)
      if os.getenv "STRESS_FIGURES" and i % 50 == 0 then print(i, figure(g, "VmRSS:%s+(%d+)"), descriptors(g)) end
      if i == math.ceil(many / 2) then halfway = { figure(g, "VmRSS:%s+(%d+)"), descriptors(g) } end
    end
    local growth = figure(g, "VmRSS:%s+(%d+)") - halfway[1]
    if os.getenv "STRESS_FIGURES" then print(many .. " mutants, " .. taken .. " good by accident; memory grew by " .. growth .. " KiB in the second half") end
    assert.is_true(taken < many / 2, taken .. " of " .. many .. " were not broken at all")
    if not e2e.lunette:find("build-", 1, true) then assert.is_true(growth < kept, "memory grew by " .. growth .. " KiB") end
    e2e.eventually("it has as many descriptors as before", function() return descriptors(g) <= halfway[2] end)
  end)

  it("nor by who watches the files", function()
    local g, random = serve {}, spoil.new(seed + 1)
    local version = g:look("versions").current
    local function tries()
      local n = 0
      for _, result in ipairs { "changed", "unchanged", "refused" } do
        n = n + g:metric('lunette_config_reloads_total{kind="reload",result="' .. result .. '"}')
      end
      return n
    end
    labels(g, { what = "at first" })
    for _ = 1, math.ceil(many / 10) do
      local mutant, before = random:next(), tries()
      mutant.put(g.folder)
      e2e.eventually(mutant.what .. " is noticed", function() return tries() > before end)
      local fine, _, said = checked(g)
      local mark, now = labels(g, mutant)
      if not fine then assert.same({ "good", version }, { mark, now }) end
      if fine and now == version then assert.equal(200, g:tell("reload").status, mutant.what .. said) end
      before = tries()
      spoil.restore(g.folder)
      e2e.eventually("the good one is noticed after " .. mutant.what, function() return tries() > before end)
      e2e.eventually("the good one serves", function() return select(2, labels(g, mutant)) == version end)
    end
  end)
end)
