-- tests/tools/fields, which `make lint` runs over policies and examples: what a policy's objects do not have is flagged, with file and line.
local function run(text, name)
  local folder = assert(io.popen("mktemp -d")):read "*l"
  local path = folder .. "/" .. (name or "policy.lua")
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local pipe = assert(io.popen(("tests/tools/fields '%s' 2>&1; echo $?"):format(path)))
  local said = pipe:read "*a"
  pipe:close()
  os.execute(("rm -rf '%s'"):format(folder))
  return said:gsub(folder:gsub("%p", "%%%0") .. "/", ""):match "^(.-)(%d+)\n$"
end

local function flagged(text, expected, name)
  local said, status = run(text, name)
  assert.equal("1", status, text)
  assert.truthy(said:find(expected, 1, true), said)
end

local function hook(name, parameters, body)
  return ('local lunette = require "lunette"\nreturn {\n  %s = function(%s)\n    %s\n  end,\n}\n'):format(name, parameters, body)
end

describe("the check of fields", function()
  it("takes a policy that names only what is there", function()
    assert.same({ "", "0" }, { run(hook("select", "r, set", [[
      if r.key.name and r.class == "batch" and r.tags.anything and r.text:lower():find "x" then lunette.note("a", set[1].price.input) end
      return set:where(function(target) return target.facts.quality end):by "latency" .. set:of("a"):healthy():steps { idle = 1 }]])) })
  end)

  it("flags a wrong field of each hook's arguments, whatever they are called", function()
    flagged(hook("classify", "request", "return request.wrods"), "policy.lua:4:12: accessing undefined field 'wrods'")
    flagged(hook("budget", "request, money", "return money.teem.left"), "policy.lua:4:12: accessing undefined field 'teem.left'")
    flagged(hook("budget", "request, money", "return money.team.lfet"), "policy.lua:4:12: accessing undefined field 'team.lfet'")
    flagged(hook("select", "r, t", "return t:off 'x'"), "policy.lua:4:12: accessing undefined field 'off'")
    flagged(hook("judge", "request, attempt", "return attempt.finish_reson"), "policy.lua:4:12: accessing undefined field 'finish_reson'")
    flagged(hook("retry", "request, attempt", "return attempt.target.nmae"), "policy.lua:4:12: accessing undefined field 'target.nmae'")
    flagged(hook("finish", "request, outcome", "return outcome.cots"), "policy.lua:4:12: accessing undefined field 'cots'")
  end)

  it("flags it in functions, through locals, in chains of calls, and in the module", function()
    flagged(hook("select", "request, targets", "return targets:where(function(target) return target.prize end)"),
            "policy.lua:4:46: accessing undefined field 'prize'")
    flagged(hook("classify", "request", "local r = request return r.wrods"), "policy.lua:4:30: indirectly accessing undefined field 'wrods'")
    flagged(hook("select", "request, targets", "return targets:of('x'):helthy()"), "policy.lua:4: no object of a policy has the method 'helthy'")
    flagged(hook("retry", "request, attempt", "return lunette.nxt()"), "policy.lua:4:12: accessing undefined field 'nxt'")
    flagged(hook("finish", "request, outcome", "lunette.store.inc('n')"), "policy.lua:4:5: accessing undefined field 'store.inc'")
  end)

  it("looks into the Lua of a page, at the page's own lines", function()
    local page = "# A page\n\nWords.\n\n```lua\nreturn {}\n```\n\n```lua\n" .. hook("classify", "request", "return request.wrods") .. "```\n"
    flagged(page, "page.md:13:12: accessing undefined field 'wrods'", "page.md")
  end)
end)
