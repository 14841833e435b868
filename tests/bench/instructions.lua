-- instructions.lua [keep]: instructions that a request executes outside the kernel, by callgrind, beside those in instructions.txt; exit status 1 where
-- one is more than 5 % above.
-- keep: writes them there. Each is what N more of the same cost, so that starting and ending cancel out.
local here = debug.getinfo(1, "S").source:match "^@(.*)/"
package.path = here .. "/?.lua;" .. here .. "/../e2e/?.lua;" .. package.path
local e2e, micro, rivals = require "support", require "micro", require "rivals"

local MORE = 0.05
local path = here .. "/instructions.txt"
io.stdout:setvbuf "line"
e2e.limit = 60                                                  -- under valgrind everything takes fifty times as long

---- counting ----

-- Makes e2e start the program under callgrind, which writes a file for each thread.
local function under_callgrind()
  local folder = e2e.folder()
  local command = 'valgrind -q --fair-sched=try --tool=callgrind --separate-threads=yes --callgrind-out-file="$BENCH_OUT" ' .. e2e.program()
  local program = e2e.write(folder .. "/lunette", '#!/bin/sh\nexec ' .. command .. ' "$@"\n')
  os.execute("chmod 755 " .. program)
  e2e.lunette = program
end

-- What each thread executed, by its number.
local function threads(out)
  local list = {}
  for n = 1, 16 do
    local total = e2e.read(("%s-%02d"):format(out, n)):match "\ntotals: (%d+)"
    list[n] = tonumber(total) or 0
  end
  return list
end

local function begin(up, models)
  local out = e2e.folder() .. "/callgrind"
  local g = rivals.lunette(up, { env = { BENCH_OUT = out, LUNETTE_LIMITS_LAG = "false", BENCH_MODELS = models } })
  g.out, g.pids = out, nil
  return g
end

-- Two gateways at once, one with twice as much to do. Gives what that costs the worker (which has the most of it) and the others.
local function difference(up, n, load, models)
  local once, twice = begin(up, models), begin(up, models)
  local loads = { load(once, 1), load(twice, 2) }
  for _, process in ipairs(loads) do rivals.finish(process) end
  once:stop()
  twice:stop()
  local before, worker, others = threads(once.out), 0, 0
  for i, total in ipairs(threads(twice.out)) do
    local more = (total - before[i]) / n
    worker, others = math.max(worker, more), others + more
  end
  return worker, others - worker
end

-- Under valgrind, beside others, the gateway may find itself overloaded and refuse: then once more.
local function again(f, ...)
  local good, worker, others = pcall(f, ...)
  if good then return worker, others end
  return f(...)
end

local function requests(up, size, fields, models)
  return difference(up, 300, function(g, times) return rivals.begin(g, rivals.body(size, fields or {}), "count", 300 * times, 1) end, models)
end

-- Of eight streams each event, slow enough that each is read by itself.
local function events(up)
  return difference(up, 8 * 150, function(g, times)
    return rivals.begin(g, rivals.body(1024, { max_tokens = 150 * times, more = ',"stream":true,"seed":30' }), "streams", 8)
  end)
end

local function of_micro(name, n)
  local function total(times)
    local out = e2e.folder() .. "/callgrind"
    local status, _, errors = e2e.run { "valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" .. out, micro.program, name, tostring(n * times) }
    if status ~= 0 then error(errors, 0) end
    return tonumber(e2e.read(out):match "\ntotals: (%d+)")
  end
  return (total(2) - total(1)) / n
end

---- comparing ----

local function kept()
  local list = {}
  for name, value in e2e.read(path):gmatch "([%w_]+) +(%d+)\n" do list[name] = tonumber(value) end
  return list
end

local worse, lines, before, only = 0, {}, kept(), os.getenv "BENCH_ONLY" or ""

-- measure: gives what it costs, and a note. What BENCH_ONLY leaves out stays as it is kept.
local function tell(name, measure)
  if not name:find(only) then
    if before[name] then lines[#lines + 1] = ("%-12s %.0f\n"):format(name, before[name]) end
    return
  end
  local value, note = measure()
  local was = before[name]
  local change = was and value / was - 1
  if change and change > MORE then worse = worse + 1 end
  local beside = was and ("kept %9.0f  %+.1f %%"):format(was, change * 100) or "not kept"
  print(("%-12s %9.0f  %s%s"):format(name, value, beside, change and change > MORE and "  WORSE" or note or ""))
  lines[#lines + 1] = ("%-12s %.0f\n"):format(name, value)
end

local function all()
  local program = e2e.lunette
  under_callgrind()
  local up = rivals.upstream()
  for _, size in ipairs { 1, 20 } do
    tell(("chat%dk"):format(size), function()
      local worker, others = again(requests, up, size * 1024)
      return worker, ("  (and %.0f in the other threads)"):format(others)
    end)
  end
  tell("models", function() return (again(requests, up, 1024, { model = "model100" }, "200")) end)
  tell("event", function() return (again(events, up)) end)
  e2e.lunette = program
  for _, name in ipairs(micro.names) do tell(name, function() return of_micro(name, micro.runs[name]) end) end
end

local good, problem = xpcall(all, function(e) return tostring(e) .. (os.getenv "BENCH_TRACE" and debug.traceback() or "") end)
e2e.stop()
if not good then io.stderr:write("instructions: ", problem, "\n") os.exit(1) end
if arg[1] == "keep" then
  local f = assert(io.open(path, "w"))
  f:write("# Instructions outside the kernel, of a request, an event, or one run of a micro-benchmark: `make bench-instructions`.\n", table.concat(lines))
  f:close()
  print("kept in " .. path)
elseif worse > 0 then
  print(worse .. " more than 5 % above what is kept. If that is right: make bench-instructions KEEP=1")
  os.exit(1)
end
