-- Policies that fail, and several in a row.
local t = require "lunette.test"

local function failing(body, more)
  local spec = { targets = { "a", "b" }, policy = "local l = require 'lunette'\nreturn { " .. body .. " }" }
  for name, value in pairs(more or {}) do spec[name] = value end
  return t.gateway(spec)
end

describe("a hook that fails", function()
  it("leaves no half of the module lunette, where it is stopped while that is loaded", function()
    for n = 1000600, 1001300, 20 do
      local g = t.gateway { targets = { "a" }, policy = ([[
        return { classify = function(request)
          if request.text == "first" then for _ = 1, %d do end end
          return tostring(type(require("lunette").chain))
        end }]]):format(n) }
      g:ask "first"
      assert.same({ "function" }, g:ask("second").labels)
    end
  end)

  local cases = {
    { "raises", "error 'no'", "error" },
    { "reads a field of nil", "local x = nil return x.y", "error" },
    { "never ends", "while true do end", "cpu" },
    { "takes too much memory", "local x = {} for i = 1, 1e7 do x[i] = { i } end", "memory" },
    { "answers rubbish", "return 42", "answer" },
    { "calls itself for ever", "local function f() return 1 + f() end return f()", nil },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. ": the default decides, and it is logged and counted", function()
      local g = failing("select = function() " .. case[2] .. " end")
      local answer = g:ask "hi"
      assert.equal(200, answer.status)
      assert.equal(1, g:metric("lunette_policy_errors_total", { hook = "select" }))
      if case[3] then assert.equal(1, g:metric("lunette_policy_errors_total", { hook = "select", reason = case[3] })) end
      assert.is_string(answer.notes.error_select)
      assert.equal(1, #g.messages)
    end)
  end

  it("is told with file and line", function()
    local g = failing "\n\nselect = function()\n error 'here' end"
    g:ask "hi"
    assert.matches("policy.lua:5: here", g.messages[1], 1, true)
  end)

  it("refuses with 503 where on_error says so", function()
    local g = failing "select = function() error 'no' end, on_error = 'refuse'"
    assert.equal(503, g:ask("hi").status)
    assert.equal(0, g:provider "a".requests + g:provider "b".requests)
  end)

  it("does not harm the next request, also after its memory is gone", function()
    local g = failing [[select = function(r)
      if r.text == "bad" then local x = {} for i = 1, 1e7 do x[i] = { i } end end
      return r.targets:named "b"
    end]]
    for _ = 1, 3 do
      g:ask "bad"
      assert.equal("b", g:ask("good").target)
    end
  end)

  it("cannot use another request's objects", function()
    local g = t.gateway { policy = [[local kept
      return { classify = function(r)
        if kept then return kept.text end
        kept = r
      end }]] }
    g:ask "secret"
    local answer = g:ask "hi"
    assert.same({}, answer.labels)
    assert.equal(1, g:metric "lunette_policy_errors_total")
    assert.is_nil(answer.body:find("secret", 1, true))
  end)

  it("cannot choose a target that is not there", function()
    local g = failing "select = function(r, targets) return { targets:named 'nobody'[1], 'b' } end"
    assert.equal(200, g:ask("hi").status)
    assert.equal(1, g:metric "lunette_policy_errors_total")
  end)
end)

describe("chain", function()
  it("tells each finish, though one before fails", function()
    local g = t.gateway { targets = { "a" }, policy = [[
      local l = require "lunette"
      return l.chain({ finish = function() error "no" end }, { finish = function() l.note("told", true) end })]] }
    local notes = g:record(g:ask("hi").id).notes
    assert.is_true(notes.told)
    assert.matches("no$", notes.error_finish)
  end)

  it("takes the first that does not answer nil, hook by hook", function()
    local g = t.gateway { targets = { "a", "b" }, policy = [[local l = require "lunette"
      local one = { select = function(r, targets) if r.text == "b" then return targets:named "b" end end }
      local two = { select = function(r, targets) return targets:named "a" end, classify = function() return "two" end }
      return l.chain(one, two)]] }
    assert.equal("b", g:ask("b").target)
    local answer = g:ask "x"
    assert.equal("a", answer.target)
    assert.same({ "two" }, answer.labels)
  end)

  it("tells all of finish", function()
    local g = t.gateway { policy = [[local l = require "lunette"
      local function told(name) return { finish = function() l.store.set(name, true) end } end
      return l.chain(told "one", told "two")]] }
    g:ask "hi"
    assert.is_true(g.store:get "one" and g.store:get "two")
  end)
end)

describe("a policy's file", function()
  it("may require others beside it", function()
    local g = t.gateway { targets = { "a", "b" }, policy = "shared/chooses_b.lua" }
    assert.equal("b", g:ask("hi").target)
    assert.matches("^chooses_b%.lua@%x+$", g:ask("hi").headers["x-lunette-policy"])
  end)

  it("that is wrong is told with file and line, all of it at once", function()
    local good, why = pcall(t.gateway, { targets = { "a" }, policy = "return {\n  selct = function() end,\n  judge = 5,\n}" })
    assert.is_false(good)
    assert.matches("policy.lua:2: selct: there is no such hook (did you mean select?)", why, 1, true)
    assert.matches("policy.lua:3: judge", why, 1, true)
  end)

  it("can ask whether the configuration has a model, at load and in hooks, and refuse itself", function()
    local policy = [[local l = require "lunette"
      if not l.has_model "large" then
        error "this policy needs a model `large`"
      end
      return { classify = function(r) return tostring(l.has_model(r.text)) end }]]
    local function label(g, name) return g:ask({ text = name, model = "large" }).labels[1] end
    local g = t.gateway { models = { large = { "a" }, ["open/*"] = { "b" } }, policy = policy }
    assert.same({ "true", "true", "true", "false", "false" },
                { label(g, "large"), label(g, "open/any"), label(g, "open/*"), label(g, "larg"), label(g, "auto") })
    local good, why = pcall(t.gateway, { models = { small = { "a" } }, policy = policy })
    assert.is_false(good)
    assert.matches("policy.lua:3: this policy needs a model `large`", why, 1, true)
  end)

  it("has settings with a default", function()
    local g = t.gateway { targets = { "a" }, policy = [[local l = require "lunette"
      return { settings = { share = { default = 5, min = 0, max = 100 } },
      classify = function() l.note("share", l.setting "share") end }]] }
    assert.equal(5, g:ask("hi").notes.share)
  end)

  it("has settings that a spec can change, within their bounds", function()
    local function share(value)
      local g = t.gateway { settings = { share = value }, policy = [[local l = require "lunette"
        return { settings = { share = { default = 5, min = 0, max = 100 } },
                 classify = function() l.note("share", l.setting "share") end }]] }
      return g:ask("hi").notes.share
    end
    assert.equal(50, share(50))
    for _, wrong in ipairs { 101, "much", "" } do
      local good, why = pcall(share, wrong)
      assert.is_false(good)
      assert.matches("settings.share: must be a number from 0 to 100", why, 1, true)
    end
    assert.has_error(function() t.gateway { settings = { other = 1 } } end)
  end)
end)
