-- Another version while requests run: taken over whole or not at all, by every way to ask for it; what is taken back, and stays so.
local e2e = require "support"

local config = [[
return {
  policy = "policy.lua", limits = { retries = false, lag = false, deadline = 20 }, health = { failures = 2, rest = 60 },
  providers = { a = { base_url = env "A" }, b = { base_url = env "B" } },
  models = { m = { { provider = "a", model = "up" }, { provider = "b", model = "up" } }, solo = { { provider = "a", model = "up" } } },
}]]

-- Whose files are not taken over before a reload is asked for.
local unwatched = config:gsub("return {", "%0 watch = false,", 1)

-- A policy that writes its name at every hook.
local function named(name, more)
  return ([[
local lunette = require "lunette"
return {
  classify = function(request) return "NAME" end,
  select = function(request, targets) lunette.note("select", "NAME") end,
  retry = function(request, attempt) lunette.note("retry", "NAME") end,
  finish = function(request, outcome) lunette.note("finish", "NAME") end, MORE
}]]):gsub("NAME", name):gsub("MORE", more or "")
end

local a, b
setup(function() a, b = e2e.puppet(), e2e.puppet() end)
before_each(function() a:clear() b:clear() end)
teardown(e2e.stop)

local function serve(files, options)
  options = options or {}
  files["policy.lua"] = files["policy.lua"] or named "one"
  local env = { A = a.url, B = b.url }
  for name, value in pairs(options.env or {}) do env[name] = value end
  return e2e.gateway { config = options.config or config, files = files, workers = options.workers or 2, env = env }
end

-- Answers one question through provider a, and gives the answer.
local function served(g, model)
  local visit = g:open { model = model or "solo" }
  a:accept():answer(200, { choices = { { index = 0, message = { role = "assistant", content = "hi" }, finish_reason = "stop" } },
                           usage = { prompt_tokens = 1, completion_tokens = 1 } })
  return visit:rest()
end

local function labels(answer) return answer.headers["x-lunette-labels"] end
local function current(g) return g:look("versions").current end
local function becomes(g, name) e2e.eventually("version " .. name .. " serves", function() return labels(served(g)) == name end) end

describe("a reload", function()
  it("is taken over by every worker before it is answered", function()
    local g = serve({}, { workers = 4, config = unwatched })
    assert.equal("one", labels(served(g)))
    local before = current(g)
    for _ = 1, 5 do
      for _, name in ipairs { "two", "one" } do
        local answer = g:reload { ["policy.lua"] = named(name) }
        assert.equal(200, answer.status)
        assert.is_true(answer.json.changed)
        for _ = 1, 12 do        -- connections are spread over the workers
          local one = served(g)
          assert.equal(name, labels(one))
          assert.equal(answer.json.version, one.headers["x-lunette-policy"])
        end
      end
    end
    assert.equal(before, current(g))
    assert.equal(11, g:look("versions").generation)
  end)

  it("of equal files changes nothing and says so", function()
    local g = serve {}
    local answer = g:reload { ["policy.lua"] = named "one" }
    assert.same({ 200, false, 1 }, { answer.status, answer.json.changed, answer.json.generation })
    assert.equal(1, g:metric 'lunette_config_reloads_total{kind="reload",result="unchanged"}')
  end)

  it("does not touch requests in flight: each ends on the version it began with, all of its hooks", function()
    local g = serve {}
    local stream = g:open { model = "m", stream = true }
    local call = a:accept()
    call:head(200)
    call:piece "first"
    stream:expect "first"
    local whole = g:open { model = "m" }
    local failing = a:accept()
    local second = g:reload { ["policy.lua"] = named "two" }.json.version
    assert.equal("two", labels(served(g)))
    failing:answer(500, {})                                     -- its retry hook runs now
    b:accept():answer(200, { choices = { { index = 0, message = { content = "from b" }, finish_reason = "stop" } } })
    call:piece(" second", "stop")
    call:event "[DONE]"
    call:finish()
    local answers = { stream:rest(), whole:rest() }
    assert.equal("first second", answers[1].text)
    assert.equal("from b", answers[2].text)
    for _, answer in ipairs(answers) do
      local line = g:line(answer)
      assert.same({ "one" }, line.labels)
      assert.same({ "one", "one" }, { line.notes.select, line.notes.finish })
      assert.not_equal(second, line.policy)
      assert.equal(line.policy, answer.headers["x-lunette-policy"])
    end
    assert.equal("one", g:line(answers[2]).notes.retry)
  end)

  it("changes everything of a configuration but what it names", function()
    local g = serve {}
    local changed = config:gsub("solo = ", "other = { { provider = \"b\", model = \"up2\" } }, solo = "):gsub("deadline = 20", "deadline = 20, body = 2048")
    local fixed = 'return { listen = "127.0.0.1:1", workers = 7, log = { audit = "a.jsonl" }, redis = "redis://127.0.0.1:1", redis_prefix = "eu",'
    local answer = g:reload { ["gateway.lua"] = changed:gsub("return {", fixed, 1) }
    assert.equal(200, answer.status)
    assert.same({ "log.audit", "redis", "redis_prefix" }, answer.json.restart)           -- listen and workers are said on the command line here
    local visit = g:open { model = "other" }
    local call = b:accept()
    assert.equal("up2", call.json.model)
    call:answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
    assert.equal("b", visit:rest().headers["x-lunette-provider"])
    assert.equal(413, g:chat({ model = "m", text = ("x"):rep(3000) }).status)
    assert.equal(404, (function() g:reload { ["gateway.lua"] = config } return g:chat({ model = "other" }).status end)())
  end)

  it("takes clients over: who is no longer one is refused, at the next request", function()
    local with = config:gsub("return {", 'return { clients = { { name = "ann", hash = "' .. e2e.hash "ann" .. '" } },', 1)
    local g = serve({}, { config = with })
    local headers = { authorization = "Bearer ann" }
    assert.equal(404, g:chat({ model = "none", headers = headers }).status)
    g:reload { ["gateway.lua"] = with:gsub(e2e.hash("ann"):gsub("%p", "%%%0"), e2e.hash "bob") }
    assert.equal(401, g:chat({ model = "none", headers = headers }).status)
  end)

  it("keeps what is known of a target by its name: an open circuit stays open", function()
    local g = serve {}
    for _ = 1, 2 do
      local visit = g:open { model = "solo" }
      a:accept():answer(500, {})
      visit:rest()
    end
    assert.equal(1, g:metric 'lunette_circuit_open{target="a/up"}')
    assert.is_true(g:reload({ ["policy.lua"] = named "two" }).json.changed)
    assert.equal(1, g:metric 'lunette_circuit_open{target="a/up"}')
    assert.equal("open", g:look("providers").providers[1].targets[1].circuit)
    assert.equal(2, g:metric 'lunette_attempts_total{target="a/up",kind="server_error"}')
  end)

  it("is asked for by SIGHUP too", function()
    local g = serve {}
    g:replace("policy.lua", named "two")
    g.process:signal(e2e.SIGHUP)
    becomes(g, "two")
  end)
end)

describe("what does not load", function()
  local g
  setup(function() g = serve {} end)

  local function refused(files, ...)
    local before = current(g)
    local answer = g:reload(files)
    assert.equal(422, answer.status)
    for _, words in ipairs { ... } do
      assert(table.concat(answer.json.errors, "\n"):find(words, 1, true), words .. " is not in " .. table.concat(answer.json.errors, "\n"))
    end
    assert.equal(before, current(g))
    assert.equal("one", labels(served(g)))
  end

  it("changes nothing and is told with file and line", function()
    refused({ ["policy.lua"] = "return {\n  select = function(" }, "policy.lua:2: ")
    refused({ ["policy.lua"] = "return {\n  slect = function() end }" }, "policy.lua:2: slect: there is no such hook (did you mean select?)")
    refused({ ["policy.lua"] = "return 5" }, "policy.lua:1: ")
    refused({ ["policy.lua"] = "local x = require 'nothing_there' return {}" }, "policy.lua:1: ", "nothing_there")
    refused({ ["policy.lua"] = "" }, "must return a table of hooks")
    refused({ ["policy.lua"] = named "one", ["gateway.lua"] = "return { providers = {} }" }, "models: is missing")
    refused({ ["gateway.lua"] = "" }, "must return a table")
    assert.is_false(g:reload({ ["gateway.lua"] = config }).json.changed)
  end)

  it("or raises, loops, or answers rubbish when it is tried, likewise", function()
    refused({ ["policy.lua"] = named("one", "judge = function(request, attempt)\n return attempt.nothing.at.all end") },
            "policy.lua:7: attempt has no field", "hook judge")
    refused({ ["policy.lua"] = "return {\n select = function() while true do end end }" }, "policy.lua:2: ", "hook select")
    refused({ ["policy.lua"] = "return { select = function() return 'm' end }" }, "policy.lua:1: ", "hook select")
    refused({ ["policy.lua"] = "return { classify = function(r) if r.stream then error 'streams are not for me' end end }" },
            "streams are not for me", "tried with a stream")
    refused({ ["policy.lua"] = "return { retry = function(r, a) if a.status == 429 then return r.text.x.y end end }" }, "hook retry", "429")
    assert.is_false(g:reload({ ["policy.lua"] = named "one" }).json.changed)
  end)

  it("is taken all the same when forced, if it loads at all", function()
    g:replace("policy.lua", "return { classify = function(r) if r.stream then error 'no' end return 'forced' end }")
    local answer = g:tell "reload?force=true"
    assert.equal(200, answer.status)
    assert.truthy(answer.json.warnings[1]:find("policy.lua:1: no", 1, true))
    assert.equal("forced", labels(served(g)))
  end)

  it("is told of what `lunette check` would remark on, taken or not", function()
    local remark = 'policy.lua:2: note: provider "aa": the configuration has no such provider'
    local text = "return { select = function(request, targets)\n  targets:provider 'aa' MORE end, classify = function() return 'remarked' end }"
    local answer = g:reload { ["policy.lua"] = text:gsub("MORE", "") }
    assert.equal(200, answer.status, answer.body)
    assert.truthy(answer.json.warnings[1]:find(remark, 1, true), answer.body)
    assert.equal("remarked", labels(served(g)))
    answer = g:reload { ["policy.lua"] = text:gsub("MORE", "error 'not taken'") }
    assert.equal(422, answer.status, answer.body)
    assert.truthy(answer.json.warnings[1]:find(remark, 1, true), answer.body)
    assert.same({}, g:reload({ ["policy.lua"] = named "one" }).json.warnings)
  end)

  it("at the start is a warning where hooks fail when they are tried: there is no better version yet", function()
    local other = serve { ["policy.lua"] = "return { select = function() error 'never' end }" }
    e2e.eventually("the log warns", function() return other.process:stderr():find("policy.lua:1: never", 1, true) end)
    assert.equal(200, served(other).status)
  end)
end)

describe("the files", function()
  local function versions(g) return #g:look("versions").versions end
  local function generation(g) return g:look("versions").generation end

  it("are watched: one written in place, one replaced, one that is required", function()
    local g = serve { ["policy.lua"] = 'local word = require "word"\nreturn { classify = function() return word end }', ["word.lua"] = 'return "one"' }
    becomes(g, "one")
    e2e.write(g.folder .. "/word.lua", 'return "two"')
    becomes(g, "two")
    g:replace("word.lua", 'return "three"')
    becomes(g, "three")
    g:replace("policy.lua", named "four")
    becomes(g, "four")
    e2e.write(g.folder .. "/gateway.lua", (config:gsub('policy = "policy.lua",', "")))
    e2e.eventually("the default policy serves", function() return current(g):find("^default@") end)
  end)

  it("of which one is broken change nothing, and mended they count", function()
    local g = serve {}
    becomes(g, "one")
    g:replace("policy.lua", "return {")
    e2e.eventually("it is refused", function() return g:metric 'lunette_config_reloads_total{kind="reload",result="refused"}' > 0 end)
    assert.truthy(g.process:stderr():find("policy.lua:1: ", 1, true))
    assert.equal("one", labels(served(g)))
    g:replace("policy.lua", named "two")
    becomes(g, "two")
  end)

  it("are not watched where the configuration says so, until it says otherwise", function()
    local g = serve({}, { env = { LUNETTE_WATCH = "false", LUNETTE_STATE = "false" } })
    local watching = g:twin { A = a.url, B = b.url, LUNETTE_STATE = "false" }
    becomes(watching, "one")
    g:replace("policy.lua", named "two")
    becomes(watching, "two")                                    -- by now the other one has been told too
    assert.equal("one", labels(served(g)))
    assert.equal(200, g:tell("reload").status)
    assert.equal("two", labels(served(g)))
  end)

  it("half-written are none: a writer that takes its time is waited for", function()
    local g = serve {}
    becomes(g, "one")
    local text = named "two"
    local f = io.open(g.folder .. "/policy.lua", "w")
    f:write(text:sub(1, #text / 2))
    f:flush()
    e2e.write(g.folder .. "/other.lua", "return {}")                -- wakes the watcher, which looks and waits
    f:write(text:sub(#text / 2 + 1))
    f:close()
    becomes(g, "two")
    assert.equal(0, g:metric 'lunette_config_reloads_total{kind="reload",result="refused"}')
  end)

  it("of a Kubernetes volume, swapped by one link, are one reload", function()
    local g = serve {}
    local volume, posix = e2e.folder(), require "posix.unistd"
    local function data(name, text)
      os.execute("mkdir -p " .. volume .. "/" .. name)
      e2e.write(volume .. "/" .. name .. "/gateway.lua", (config:gsub("deadline = 20", "deadline = " .. #text)))
      e2e.write(volume .. "/" .. name .. "/policy.lua", text)
    end
    data("..2024_a", named "one")
    posix.link("..2024_a", volume .. "/..data", true)
    posix.link("..data/gateway.lua", volume .. "/gateway.lua", true)
    posix.link("..data/policy.lua", volume .. "/policy.lua", true)
    g:stop()
    g.folder = volume
    g:restart()
    becomes(g, "one")
    for i, name in ipairs { "two", "three" } do
      data("..2024_" .. name, named(name))
      posix.link("..2024_" .. name, volume .. "/..data_tmp", true)
      os.rename(volume .. "/..data_tmp", volume .. "/..data")
      becomes(g, name)
      assert.equal(i + 1, generation(g))
    end
    assert.equal(3, versions(g))
  end)

  it("with secrets count at the next attempt, also of a request that has begun", function()
    local secrets = e2e.folder()
    e2e.write(secrets .. "/KEY_A", "old-key-a\n")
    e2e.write(secrets .. "/KEY_B", "old-key-b\n")
    local keyed = config:gsub('env "A" }', 'env "A", key = secret "KEY_A" }')
                        :gsub('env "B" }', 'env "B", key = secret "KEY_B", headers = { ["x-extra"] = secret "KEY_B" } }')
    local g = serve({}, { config = keyed, env = { CREDENTIALS_DIRECTORY = secrets } })
    local visit = g:open { model = "m" }
    local call = a:accept()
    assert.equal("Bearer old-key-a", call.headers.authorization)
    local version = current(g)
    e2e.write(secrets .. "/KEY_B", "new-key-b\n")
    e2e.eventually("it is taken over", function() return g:look("versions").generation == 2 end)
    call:answer(500, {})
    local second = b:accept()
    assert.same({ "Bearer new-key-b", "new-key-b" }, { second.headers.authorization, second.headers["x-extra"] })
    second:answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
    local answer = visit:rest()
    assert.equal(200, answer.status)
    assert.equal(version, current(g))                            -- secrets are not part of a version
    assert.is_nil(g.process:said():find("new-key", 1, true))
  end)
end)

describe("a start with files that do not load", function()
  local function mistakes(g) return g.process:stderr() end

  it("goes on with the version that served last, says so, and takes over the mended file", function()
    local g = serve {}
    g:reload { ["policy.lua"] = named "two" }
    local two = current(g)
    for _, broken in ipairs { { "policy.lua", "return {\n select = 5 }", "policy.lua:2: select: must be a function, not 5" },
                              { "gateway.lua", config .. "\n}", "gateway.lua:6: " } } do
      local whole = e2e.read(g.folder .. "/" .. broken[1])
      g.process:stop(e2e.SIGKILL)
      g:replace(broken[1], broken[2])
      g:restart()
      assert.same({ two, "two" }, { current(g), labels(served(g)) })
      assert.truthy(mistakes(g):find(broken[3], 1, true), mistakes(g))
      assert.truthy(mistakes(g):find("THE FILES CANNOT BE USED: " .. two .. ", which served last, goes on until they are mended", 1, true))
      assert.equal("the files cannot be used", g:look("versions").versions[1].why)
      assert.equal(422, g:tell("reload").status)
      g:replace(broken[1], whole)
      assert.equal(200, g:tell("reload").status)
      assert.equal("two", labels(served(g)))
    end
    g:replace("policy.lua", named "three")
    becomes(g, "three")
  end)

  it("passes over what was taken back", function()
    local g = serve {}
    g:reload { ["policy.lua"] = named "two" }
    assert.equal(200, g:tell("rollback").status)
    g.process:stop(e2e.SIGKILL)
    g:replace("policy.lua", "return {")
    g:restart()
    assert.equal("one", labels(served(g)))
  end)

  it("ends where what is wrong was said by whoever starts it", function()
    local g = serve { ["policy.lua"] = 'return { settings = { share = { default = 5, max = 100 } }, classify = function() return "one" end }' }
    g.process:stop(e2e.SIGKILL)
    for name, value in pairs { LUNETTE_SETTINGS_SHARE = "500", LUNETTE_SETTINGS_SHRAE = "50", LUNETTE_HEALTH_REST = "-1", LUNETTE_NOPE = "1" } do
      local env = { [name] = value }
      for n, v in pairs(g.env) do env[n] = v end
      local status, out, err = e2e.run({ e2e.lunette, "serve", g.folder .. "/gateway.lua" }, env)
      assert.same({ 1, "" }, { status, out })
      assert.truthy(err:find(name .. ": ", 1, true), err)
    end
  end)

  it("ends where nothing was kept", function()
    local g = serve({}, { config = config:gsub("return {", "return { state = false,", 1) })
    g.process:stop(e2e.SIGKILL)
    g:replace("policy.lua", "return {\n select = 5 }")
    local status, out, err = e2e.run({ e2e.lunette, "serve", g.folder .. "/gateway.lua" }, g.env)
    assert.same({ 1, "" }, { status, out })
    assert.truthy(err:find("policy.lua:2: select: must be a function, not 5", 1, true))
  end)
end)

describe("a rollback", function()
  it("takes the previous version back, until the file changes, and over a kill -9", function()
    local g = serve {}
    assert.equal("one", labels(served(g)))
    local one = current(g)
    local two = g:reload({ ["policy.lua"] = named "two" }).json.version
    local answer = g:tell("rollback", { why = "two is worse" }, { ["x-lunette-by"] = "ann@desk" })
    assert.same({ 200, one, two, true }, { answer.status, answer.json.version, answer.json.from, answer.json.kept })
    assert.equal("one", labels(served(g)))
    g:restart()
    assert.equal(one, current(g))
    assert.equal("one", labels(served(g)))
    assert.truthy(g.process:stderr():find(two .. " was taken back by admin ann@desk (127.0.0.1) (two is worse)", 1, true))
    local again = g:tell "reload"
    assert.equal(422, again.status)
    assert.truthy(again.json.errors[1]:find("was taken back", 1, true))
    g:replace("policy.lua", named "two")                         -- written anew, but as it was
    g.process:signal(e2e.SIGHUP)
    e2e.eventually("it is refused", function() return g:metric 'lunette_config_reloads_total{kind="reload",result="refused"}' >= 2 end)
    assert.equal("one", labels(served(g)))
    local list = g:look("versions").versions
    assert.same({ "current", "taken_back" }, { list[1].state, list[2].state })
    assert.same({ "admin ann@desk (127.0.0.1)", "two is worse" }, { list[2].taken_back_by, list[2].taken_back_why })
    assert.equal(200, g:reload({ ["policy.lua"] = named "three" }).status)
    assert.equal(200, g:reload({ ["policy.lua"] = named "two" }).status)        -- it has changed since
    assert.equal("two", labels(served(g)))
  end)

  it("stays though another file is saved, also over a restart: what it was taken back for is as it was", function()
    local g = serve {}
    local one = current(g)
    local two = g:reload({ ["policy.lua"] = named "two" }).json.version
    assert.equal(200, g:tell("rollback", { why = "two is worse" }).status)
    local gateway = e2e.read(g.folder .. "/gateway.lua")
    local answer = g:reload { ["gateway.lua"] = gateway .. "\n-- saved anew" }
    assert.equal(422, answer.status)
    assert.truthy(answer.json.errors[1]:find(two .. " was taken back", 1, true))
    assert.truthy(answer.json.errors[1]:find("and policy.lua is as it was then: it stays so until that changes", 1, true))
    assert.same({ one, "one" }, { current(g), labels(served(g)) })
    g:restart()
    assert.same({ one, "one" }, { current(g), labels(served(g)) })
    assert.equal(422, g:tell("reload").status)
    g:reload { ["policy.lua"] = named "three" }
    assert.equal("three", labels(served(g)))
    g:reload { ["policy.lua"] = named "two" }                   -- it was changed since
    assert.equal("two", labels(served(g)))
    assert.equal(200, g:tell("rollback").status)
    g:reload { ["gateway.lua"] = gateway }
    assert.equal("three", labels(served(g)))
    assert.equal(200, g:tell("reload?force=true").status)
    assert.equal("two", labels(served(g)))
  end)

  it("goes back step by step, and ends where there is no earlier version", function()
    local g = serve {}
    for _, name in ipairs { "two", "three" } do g:reload { ["policy.lua"] = named(name) } end
    assert.equal(200, g:tell("rollback").status)
    assert.equal("two", labels(served(g)))
    assert.equal(200, g:tell("rollback").status)
    assert.equal("one", labels(served(g)))
    local answer = g:tell "rollback"
    assert.same({ 409, { "there is no earlier version" } }, { answer.status, answer.json.errors })
    assert.equal(200, g:tell("reload?force=true").status)        -- the file is three's
    assert.equal("three", labels(served(g)))
  end)

  it("brings back all files of a version, though they are gone from the folder", function()
    local g = serve { ["policy.lua"] = 'local word = require "word"\nreturn { classify = function() return word end }', ["word.lua"] = 'return "one"' }
    assert.equal("one", labels(served(g)))
    g:reload { ["policy.lua"] = named "two" }
    os.remove(g.folder .. "/word.lua")
    assert.equal(200, g:tell("rollback").status)
    assert.equal("one", labels(served(g)))
    g:restart()
    assert.equal("one", labels(served(g)))
  end)

  -- One that breaks at "now".
  local function breaks(name) return (named(name):gsub('return "' .. name .. '"', 'if request.text == "now" then error "it broke" end %0')) end
  local function ask_now(g, times)
    for _ = 1, times do
      local visit = g:open { model = "solo", text = "now" }
      a:accept():answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
      assert.equal(200, visit:rest().status)
    end
  end
  local function fails_until(g, name)
    e2e.eventually("version " .. name .. " serves", function()
      ask_now(g, 5)
      return labels(served(g)) == name
    end)
  end
  -- It takes a while to be loaded.
  local function slow(name) return "for i = 1, 1e7 do local x = i * 2 end\n" .. named(name) end

  it("happens by itself where a version fails again and again, and an earlier one served well", function()
    local g = serve {}
    assert.equal("one", labels(served(g)))
    local two = g:reload({ ["policy.lua"] = breaks "two" }).json.version
    ask_now(g, 5)
    becomes(g, "one")
    local list = g:look("versions").versions
    assert.same({ two, "taken_back", "lunette", 5 }, { list[2].version, list[2].state, list[2].taken_back_by, list[2].hook_failures })
    assert.truthy(list[2].taken_back_why:find("5 failures of its hooks within 10 s, the last: policy.lua:3: it broke", 1, true))
    e2e.eventually("it is written down", function() return g.process:stderr():find("audit [^\n]*rollback") end)     -- once it is kept
    g:restart()
    assert.equal("one", labels(served(g)))
  end)

  it("is tried again where it could not be made, when the version goes on failing, and not for each failure", function()
    local secrets, since = e2e.folder(), e2e.socket.gettime()
    e2e.write(secrets .. "/KEY", "sk-1")
    local keyed = unwatched:gsub('base_url = env "A"', '%0, key = secret "KEY"')
    local g = serve({}, { config = keyed, env = { CREDENTIALS_DIRECTORY = secrets } })
    assert.equal("one", labels(served(g)))
    assert.equal(200, g:reload({ ["gateway.lua"] = unwatched, ["policy.lua"] = breaks "two" }).status)
    os.remove(secrets .. "/KEY")                                  -- which the first version needs
    ask_now(g, 5)
    e2e.eventually("the first version cannot be had", function() return g.process:stderr():find("KEY", 1, true) end)
    ask_now(g, 50)
    assert.equal("two", labels(served(g)))
    local _, tries = g.process:stderr():gsub("is taken back:", "")
    assert.is_true(tries <= 1 + (e2e.socket.gettime() - since) / 2, tries)
    e2e.write(secrets .. "/KEY", "sk-1")
    fails_until(g, "one")
  end)

  it("by itself leaves a version alone that came while the one before failed", function()
    local g = serve({}, { config = unwatched, workers = 1 })
    assert.equal("one", labels(served(g)))
    assert.equal(200, g:reload({ ["policy.lua"] = breaks "two" }).status)
    ask_now(g, 4)
    g:replace("policy.lua", slow "three")
    local reload = e2e.open(g.admin, { method = "POST", path = "/admin/reload" })
    ask_now(g, 1)
    assert.equal(200, reload:rest().status)
    assert.equal(409, g:tell("shadow", { seconds = 1 }).status)   -- one change after the other: what was to come has come
    assert.equal("three", labels(served(g)))
    assert.same({ current(g), "current" }, { g:look("versions").versions[1].version, g:look("versions").versions[1].state })
  end)

  it("that was asked for is of the version that was in force then", function()
    local g = serve({}, { config = unwatched, workers = 1 })
    assert.equal("one", labels(served(g)))
    local answer, name
    for i = 1, 20 do                                              -- as often as the reload is over before that comes
      name = "v" .. i
      g:replace("policy.lua", slow(name))
      local reload = e2e.open(g.admin, { method = "POST", path = "/admin/reload" })
      answer = g:tell "rollback"
      assert.equal(200, reload:rest().status)
      if answer.status == 409 then break end
    end
    assert.equal(409, answer.status)
    assert.matches("has come meanwhile", answer.json.errors[1])
    assert.equal(name, labels(served(g)))
  end)

  it("happens by itself where an earlier version has answered requests, though not the last one", function()
    local g = serve({}, { config = unwatched })
    assert.equal("one", labels(served(g)))
    g:reload { ["policy.lua"] = named "two" }
    g:reload { ["policy.lua"] = breaks "three" }
    ask_now(g, 5)
    becomes(g, "two")
  end)

  it("happens by itself once an earlier version has answered its first request", function()
    local g = serve({}, { config = unwatched })
    local long = g:open { model = "solo" }
    local call = a:accept()
    assert.equal(200, g:reload({ ["policy.lua"] = breaks "two" }).status)
    ask_now(g, 5)
    e2e.eventually("it is said", function() return g.process:stderr():find("No earlier version has answered requests", 1, true) end)
    call:answer(200, { choices = { { index = 0, message = { content = "x" }, finish_reason = "stop" } } })
    assert.equal("one", labels(long:rest()))
    fails_until(g, "one")
    assert.equal(1, select(2, g.process:stderr():gsub("No earlier version has answered requests", "")))
  end)

  it("does not happen to the only version there is", function()
    local g = serve { ["policy.lua"] = 'return { classify = function(r) if r.text == "now" then error "it broke" end return "only" end }' }
    ask_now(g, 6)
    e2e.eventually("it is said", function() return g.process:stderr():find("No earlier version has answered requests", 1, true) end)
    assert.equal("only", labels(served(g)))
  end)
end)

describe("versions", function()
  -- Eight of them, each with a stream under way.
  local function eight_versions()
    local g, calls, visits = serve({}, { workers = 1 }), {}, {}
    for i = 1, 8 do
      if i > 1 then assert.equal(200, g:reload({ ["policy.lua"] = named("v" .. i) }).status) end
      visits[i] = g:open { model = "solo", stream = true }
      calls[i] = a:accept()
      calls[i]:head(200)
      calls[i]:piece "x"
      visits[i]:expect "x"
    end
    return g, calls, visits
  end

  local function complete(call)
    call:piece("y", "stop")
    call:event "[DONE]"
    call:finish()
  end

  it("are eight at most with requests under way: a further one waits for the oldest", function()
    local g, calls, visits = eight_versions()
    assert.equal(8, g:look("versions").live)
    g:replace("policy.lua", named "v9")
    local waiting = e2e.open(g.admin, { method = "POST", path = "/admin/reload" })
    e2e.eventually("it waits", function() return g:metric "lunette_config_versions_live" == 8 end)
    complete(calls[1])
    assert.equal("xy", visits[1]:rest().text)
    assert.equal(200, waiting:rest().status)
    for i = 2, 8 do
      complete(calls[i])
      assert.equal("xy", visits[i]:rest().text)
    end
    e2e.eventually("one is left", function() return g:look("versions").live == 1 end)
    assert.equal(8, #g:look("versions").versions)
  end)

  it("that found no room come by themselves when there is some", function()
    local g, calls, visits = eight_versions()
    g:replace("policy.lua", named "v9")                         -- the watcher's, whom nobody waits for
    e2e.eventually("it is put off", function() return g.process:stderr():find("the files are read again when", 1, true) end)
    assert.equal(200, g:tell("rollback").status)                -- others are not held up
    assert.equal(8, g:look("versions").live)
    complete(calls[1])
    assert.equal("xy", visits[1]:rest().text)
    e2e.eventually("it has come", function() return g:look("versions").versions[1].by == "files" end)
    for i = 2, 8 do visits[i]:leave() end
    becomes(g, "v9")
  end)

  it("are counted and named in the metrics, the current one alone", function()
    local g = serve {}
    local two = g:reload({ ["policy.lua"] = named "two" }).json.version
    local text = g:metrics()
    assert.truthy(text:find('lunette_config_info{version="' .. two .. '"} 1', 1, true))
    assert.equal(1, select(2, text:gsub("lunette_config_info{", "")))
    assert.equal(2, g:metric "lunette_config_generation")
    assert.truthy(g:metric "lunette_config_last_reload_success_timestamp_seconds" > 1e9)
  end)

  it("have no memory of a folder whose state nobody can read, and say so", function()
    local g = serve {}
    g:tell("reload")
    g:stop()
    e2e.write(g.folder .. "/.lunette/state.json", "{ half")
    g:restart()
    assert.truthy(g.process:stderr():find("cannot be understood", 1, true))
    assert.equal("{ half", e2e.read(g.folder .. "/.lunette/state.json.unreadable"))
    assert.equal(200, served(g).status)
  end)

  it("of a second gateway on the same folder are not kept, which is a warning", function()
    local g = serve {}
    local status, _, said = e2e.run({ e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0" },
                                    { A = a.url, B = b.url, LUNETTE_STATE = g.folder .. "/.lunette" })
    assert.equal(1, status)                                       -- asked for by name it is a mistake
    assert.truthy(said:find("is in use by another process", 1, true))
    local twin = g:twin()
    assert.truthy(twin.process:stderr():find("settings and rollbacks will not survive a restart", 1, true))
    twin:reload { ["policy.lua"] = named "two" }
    local answer = twin:tell "rollback"
    assert.same({ 200, false }, { answer.status, answer.json.kept })
  end)
end)
