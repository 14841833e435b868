-- Runs specs with busted, for `lunette test`: options are files (or folders), tap, filters. Gives how many passed and failed, or nil
-- and why nothing could be run.
local options = ...
local good, core = pcall(require, "busted.core")
if not good then return nil, "busted is not there, which runs specs: apt-get install lua-busted (Debian, Ubuntu)" end

local busted = core()
require "busted"(busted)
local base = require "busted.outputHandlers.base"()
local passed, failed, pending, number = 0, 0, 0, 0
local failures, started = {}, os.clock()

local function say(...) io.stdout:write(...) end
local function commented(text) return (tostring(text):gsub("\n", "\n# ")) end

local function told(element, parent, message)
  return { name = base.getFullName(element), message = message, file = parent and parent.name }
end

local function tap_line(ok, name) say(ok and "ok " or "not ok ", number, " - ", name, "\n") end

local function report(f)
  if options.tap then say("# ", commented(f.message), "\n")
  else say("\n", f.name, "\n  ", (tostring(f.message):gsub("\n", "\n  ")), "\n") end
end

local function on_end(element, _, status)
  number = number + 1
  local name = base.getFullName(element)
  if status == "success" then passed = passed + 1
  elseif status == "pending" then pending = pending + 1
  else failed = failed + 1 end
  if options.tap then
    tap_line(status == "success" or status == "pending", status == "pending" and "# SKIP " .. name or name)
    if failures.last then report(failures.last) end
  else say(status == "success" and "." or status == "pending" and "-" or "F") end
  failures.last = nil
  io.stdout:flush()
  return nil, true
end

local function on_failure(element, parent, message)
  local f = told(element, parent, message)
  failures[#failures + 1], failures.last = f, f
  if element.descriptor == "it" then return nil, true end
  failed, number = failed + 1, number + 1               -- a file that does not load, a before_each that fails
  f.name = element.descriptor == "file" and element.name or f.name or "?"
  if options.tap then
    tap_line(false, tostring(f.name))
    report(f)
  else say "F" end
  failures.last = nil
  return nil, true
end

busted.subscribe({ "test", "end" }, on_end)
busted.subscribe({ "failure" }, on_failure)
busted.subscribe({ "error" }, on_failure)
require "busted.languages.en"
require "busted.luajit"()
require "busted.modules.filter_loader"()(busted, { tags = {}, excludeTags = {}, filter = options.filters, filterOut = {} })
local load_files, _, find_files = require "busted.modules.test_file_loader"(busted, { "lua" })
local patterns, how = { "_spec%.lua$" }, { excludes = {}, recursive = true }
if #find_files(options.files, patterns, how) == 0 then return nil, "there is no *_spec.lua in " .. table.concat(options.files, ", ") end
load_files(options.files, patterns, how)
require "busted.execute"(busted)(1, { seed = 1 })

if options.tap then
  say("1..", number, "\n")
else
  say "\n"
  for _, f in ipairs(failures) do report(f) end
  local more = pending > 0 and ", " .. pending .. " pending" or ""
  say(("%s%d passed, %d failed%s (%.2f s)\n"):format(#failures > 0 and "\n" or "", passed, failed, more, os.clock() - started))
end
io.stdout:flush()
if number == 0 then return nil, #options.filters > 0 and "no test fits the filter" or "there is no test in what was named" end
return passed, failed
