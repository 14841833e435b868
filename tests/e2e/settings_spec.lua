-- A policy's settings, changed while requests run: by the admin interface and by `lunette set`; bounds, the log line, the audit line, a restart.
local e2e = require "support"

local config = [[
return {
  policy = "policy.lua", limits = { retries = false }, log = { audit = "audit.jsonl" },
  providers = { a = { base_url = env "A" } }, models = { m = { { provider = "a", model = "up" } } },
}]]
local policy = [[
local lunette = require "lunette"
return {
  settings = { share = { default = 5, min = 0, max = 100 }, mode = { default = "fast" }, on = { default = true }, free = { default = 1 } },
  classify = function(request)
    lunette.note("share", lunette.setting "share")
    return lunette.setting "mode" .. "/" .. tostring(lunette.setting "on")
  end,
  finish = function() lunette.note("end", lunette.setting "share") end,
}]]

local a
setup(function() a = e2e.puppet() end)
before_each(function() a:clear() end)
teardown(e2e.stop)

local function serve(files, options)
  files = files or {}
  files["policy.lua"] = files["policy.lua"] or policy
  return e2e.gateway { config = config, files = files, workers = options and options.workers or 2, env = { A = a.url } }
end

local function answer(call)
  call:answer(200, { choices = { { index = 0, message = { role = "assistant", content = "hi" }, finish_reason = "stop" } } })
end

local function served(g)
  local visit = g:open { model = "m" }
  answer(a:accept())
  return visit:rest()
end

local function share(g)
  local line = g:line(served(g))
  return line.notes.share, line
end

local function setting(g, name)
  for _, one in ipairs(g:look("settings").settings) do if one.name == name then return one end end
end

local function audit(g)
  local lines = {}
  e2e.eventually("the audit log is written", function()
    lines = {}
    for line in e2e.read(g.folder .. "/audit.jsonl"):gmatch "([^\n]+)\n" do lines[#lines + 1] = e2e.json.decode(line) end
    return lines[1]
  end)
  return lines
end

describe("a setting", function()
  it("is shown with its value, default and bounds", function()
    local g = serve()
    assert.same({ name = "share", value = 5, default = 5, min = 0, max = 100 }, setting(g, "share"))
    assert.same({ name = "mode", value = "fast", default = "fast" }, setting(g, "mode"))
    assert.same({ name = "on", value = true, default = true }, setting(g, "on"))
    assert.same({ name = "free", value = 1, default = 1 }, setting(g, "free"))
  end)

  it("is changed on every worker before it is answered, without another version", function()
    local g = serve(nil, { workers = 4 })
    local before = g:look("versions").generation
    for value = 10, 13 do
      local told = g:tell("settings", { share = value, mode = "m" .. value })
      assert.equal(200, told.status)
      for _ = 1, 8 do
        local now, line = share(g)
        assert.equal(value, now)
        assert.same({ share = value, mode = "m" .. value }, line.settings)
        assert.same({ "m" .. value .. "/true" }, line.labels)
      end
    end
    assert.equal(before, g:look("versions").generation)
  end)

  it("does not change for a request that has begun: its hooks and its log line agree", function()
    local g = serve()
    g:tell("settings", { share = 7 })
    local visit = g:open { model = "m" }
    local call = a:accept()
    g:tell("settings", { share = 8 })
    answer(call)
    local line = g:line(visit:rest())
    assert.same({ 7, 7, 7 }, { line.notes.share, line.notes["end"], line.settings.share })
    assert.equal(8, (share(g)))
  end)

  it("out of bounds, of another type or unknown is refused, all or none", function()
    local g = serve()
    local function refused(body, ...)
      local told = g:tell("settings", body)
      assert.equal(422, told.status)
      assert.same({ ... }, told.json.errors)
    end
    refused({ share = 101, mode = "slow" }, "share: must be a number from 0 to 100")
    refused({ share = "15" }, "share: must be a number from 0 to 100")
    refused({ on = "yes" }, "on: must be true or false")
    refused({ shore = 1 }, "shore: the policy has no such setting")
    refused('{"share":5,"share":6}', "share: is said twice")
    refused({ mode = { 1 } }, "mode: must be a number, a text, true, false, or null for its default")
    refused({}, "an object of settings and their values is wanted: {\"share\":15}")
    assert.equal("fast", setting(g, "mode").value)
    local _, line = share(g)
    assert.is_nil(line.settings)
  end)

  it("goes back to its default by null, and is then not in the log line", function()
    local g = serve()
    g:tell("settings", { share = 7, mode = "slow" })
    local told = g:tell("settings", '{"share":null}')
    assert.same({ { name = "share", before = 7, value = 5 } }, told.json.settings)
    local now, line = share(g)
    assert.equal(5, now)
    assert.same({ mode = "slow" }, line.settings)
  end)

  it("survives kill -9, a reload, and a version that does not have it", function()
    local g = serve()
    local told = g:tell("settings", { share = 33, on = false })
    assert.is_true(told.json.kept)
    g:restart()
    assert.equal(33, (share(g)))
    assert.is_false(setting(g, "on").value)
    assert.equal(200, g:reload({ ["policy.lua"] = (policy:gsub("max = 100", "max = 50")) }).status)
    assert.equal(33, (share(g)))
    assert.equal(200, g:reload({ ["policy.lua"] = "return {}" }).status)
    assert.same({}, g:look("settings").settings)
    assert.equal(200, g:reload({ ["policy.lua"] = policy }).status)
    assert.equal(33, (share(g)))
  end)

  it("that does not fit a new version has its default there, with a warning, and comes back with the old one", function()
    local g = serve()
    g:tell("settings", { share = 90 })
    local told = g:reload { ["policy.lua"] = (policy:gsub("max = 100", "max = 50")) }
    assert.same({ "setting share: what it was set to does not fit any more (must be a number from 0 to 50); its default holds" }, told.json.warnings)
    assert.equal(5, (share(g)))
    g:tell "rollback"
    assert.equal(90, (share(g)))
  end)

  local strategies = [[
local lunette = require "lunette"
return {
  settings = { strategy = { default = "round_robin", choices = { "round_robin", "weighted" } } },
  classify = function() return lunette.setting "strategy" end,
}]]

  local function label(g) return g:line(served(g)).labels[1] end

  it("with choices is one of them: shown, refused with the nearest, back to its default where a version lacks the choice", function()
    local g = serve { ["policy.lua"] = strategies }
    assert.same({ name = "strategy", value = "round_robin", default = "round_robin", choices = { "round_robin", "weighted" } }, setting(g, "strategy"))
    local told = g:tell("settings", { strategy = "weihgted" })
    assert.equal(422, told.status)
    assert.same({ 'strategy: must be "round_robin" or "weighted" (did you mean weighted?)' }, told.json.errors)
    assert.equal(422, g:tell("settings", { strategy = 5 }).status)
    assert.equal("round_robin", label(g))
    assert.equal(200, g:tell("settings", { strategy = "weighted" }).status)
    assert.equal("weighted", label(g))
    told = g:reload { ["policy.lua"] = (strategies:gsub('"weighted"', '"cheapest"')) }
    assert.same({ 'setting strategy: what it was set to does not fit any more (must be "round_robin" or "cheapest"); its default holds' }, told.json.warnings)
    assert.equal("round_robin", label(g))
    assert.equal(200, g:reload({ ["policy.lua"] = strategies .. "-- again" }).status)
    assert.equal("weighted", label(g))
    g:restart()
    assert.equal("weighted", label(g))
  end)

  it("has its default from the environment, and `lunette set` wins over it, also after a restart", function()
    local environment = { A = a.url, LUNETTE_SETTINGS_SHARE = "15", LUNETTE_SETTINGS_MODE = "slow" }
    local g = e2e.gateway { config = config, files = { ["policy.lua"] = policy }, workers = 2, env = environment }
    assert.same({ name = "share", value = 15, default = 15, min = 0, max = 100, from = "LUNETTE_SETTINGS_SHARE" }, setting(g, "share"))
    local now, line = share(g)
    assert.equal(15, now)
    assert.same({ "slow/true" }, line.labels)
    g:tell("settings", { share = 40 })
    assert.equal(40, (share(g)))
    g:restart()
    assert.equal(40, (share(g)))
    g:tell("settings", '{"share":null}')
    assert.equal(15, (share(g)))
    assert.equal(200, g:reload({ ["policy.lua"] = policy .. "-- two" }).status)
    assert.equal(15, (share(g)))
  end)

  it("of the environment that an earlier version does not take does not keep it from coming back", function()
    for _, before in ipairs { "return {}", (policy:gsub("max = 100", "max = 10")) } do
      local g = serve { ["policy.lua"] = before }
      local first = g:look("versions").current
      e2e.eventually("it is kept", function()
        local file = io.open(g.folder .. "/.lunette/state.json")
        return file and file:close()
      end)
      g.process:stop(e2e.SIGKILL)
      g:replace("policy.lua", policy)
      g:restart(nil, { A = a.url, LUNETTE_SETTINGS_SHARE = "15", LUNETTE_LOG_REQUESTS = g.folder .. "/requests.jsonl" })
      assert.equal(15, setting(g, "share").value)
      assert.equal(200, g:tell("rollback").status)
      assert.equal(first, g:look("versions").current)
      assert.equal(before ~= "return {}" and 5 or nil, (setting(g, "share") or {}).value)
    end
  end)

  it("leaves an audit line: who, what, before, after", function()
    local g = serve()
    g:tell("settings", { share = 15 }, { ["x-lunette-by"] = "ann@desk\"}" })
    g:tell("settings", { share = 20 })
    g:reload { ["policy.lua"] = policy .. "-- two" }
    e2e.eventually("three lines", function() return #audit(g) == 3 end)
    local lines = audit(g)
    assert.same({ "admin ann@desk} (127.0.0.1)", "set", "share", 5, 15 }, { lines[1].by, lines[1].what, lines[1].name, lines[1].before, lines[1].after })
    assert.same({ 15, 20 }, { lines[2].before, lines[2].after })
    assert.same({ "reload", g:look("versions").current }, { lines[3].what, lines[3].after })
    assert.truthy(lines[1].time:match "^%d%d%d%d%-%d%d%-%d%dT")
    assert.truthy(g.process:stderr():find('audit {"time":', 1, true))
  end)
end)

describe("lunette set, reload and rollback", function()
  local function run(g, ...) return e2e.run({ e2e.lunette, ... }, { LUNETTE_ADMIN = "127.0.0.1:" .. g.admin }) end

  it("show choices and refuse others", function()
    local g = serve { ["policy.lua"] = 'return { settings = { mode = { default = "a", choices = { "a", "bright" } } } }' }
    local status, out = run(g, "set")
    assert.equal(0, status)
    assert.truthy(out:find("mode +a +a +a, bright$"))
    local refused, none, err = run(g, "set", "mode=brigth")
    assert.same({ 1, "" }, { refused, none })
    assert.truthy(err:find('mode: must be "a" or "bright" (did you mean bright?)', 1, true))
  end)

  it("work on a running gateway", function()
    local g = serve()
    local status, out = run(g, "set")
    assert.equal(0, status)
    assert.truthy(out:find("share +5 +5 +0 to 100"))
    assert.truthy(out:find "^name +value +default +allowed\n")
    status, out = run(g, "set", "share=15", "mode=slow")
    assert.equal(0, status)
    assert.truthy(out:find("share", 1, true) and out:find("15", 1, true) and out:find("slow", 1, true))
    assert.equal(15, (share(g)))
    local err
    status, out, err = run(g, "set", "share=500")
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("share: must be a number from 0 to 100", 1, true))
    assert.equal(0, (run(g, "set", "share=")))
    assert.equal(5, setting(g, "share").value)
    g:replace("policy.lua", policy .. "\n-- two")
    status, out = run(g, "reload")
    assert.equal(0, status)
    assert.truthy(out:find(g:look("versions").current, 1, true) and out:find("generation 2", 1, true))
    assert.truthy(g:look("versions").versions[1].by:find "^admin .+@.+ %(127%.0%.0%.1%)$")
    g:replace("policy.lua", "return { clasify = 1 }")
    status, out, err = run(g, "reload")
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("policy.lua:1: clasify: there is no such hook (did you mean classify?)", 1, true))
    g:replace("policy.lua", 'local lunette = require "lunette"\nlocal a = {}\nreturn lunette.chain(a, 5)')
    status, out, err = run(g, "reload")
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("policy.lua:3: chain: argument 2 is to be a policy", 1, true))
    status, out = run(g, "rollback", "--why", "two was a try")
    assert.equal(0, status)
    assert.truthy(out:find(g:look("versions").current, 1, true))
    status, out = run(g, "versions")
    assert.equal(0, status)
    assert.truthy(out:find "^version +state +generation +taken +requests +hook failures +by +why\npolicy%.lua@%x+ +current +3 ")
    assert.truthy(out:find "taken_back .*taken back by admin .*: two was a try$")
  end)
end)
