-- Figures by name: collected over rounds, and shown beside what is aimed at.
local cjson, e2e = require "cjson", require "support"
local targets = require "targets"

local figures = { values = {}, raw = {} }

function figures.median(list)
  local sorted = {}
  for i, value in ipairs(list) do sorted[i] = value end
  table.sort(sorted)
  local n = #sorted
  if n == 0 then return nil end
  return n % 2 == 1 and sorted[(n + 1) / 2] or (sorted[n / 2] + sorted[n / 2 + 1]) / 2
end

-- Measures, ends what was started, and prints and writes what was found; exit status 1 where it could not be measured.
function figures.run(name, measure)
  local good, problem = xpcall(measure, function(e) return tostring(e) .. (os.getenv "BENCH_TRACE" and debug.traceback() or "") end)
  e2e.stop()
  if not good then
    io.stderr:write(name, ": ", problem, "\n")
    os.exit(1)
  end
  print(figures.costs())
  print()
  print(figures.table())
  if arg[1] then figures.write(arg[1]) end
end

-- Another value of a figure; what counts is the median of them.
function figures.add(id, value)
  local list = figures.values[id] or {}
  list[#list + 1], figures.values[id] = value, list
end

-- What one gateway was measured at, kept for the JSON.
function figures.keep(workload, who, numbers)
  figures.raw[workload] = figures.raw[workload] or {}
  local list = figures.raw[workload][who] or {}
  list[#list + 1], figures.raw[workload][who] = numbers, list
end

-- The median of one number of a gateway at a workload.
function figures.of(workload, who, name)
  local list = {}
  for i, numbers in ipairs((figures.raw[workload] or {})[who] or {}) do list[i] = numbers[name] end
  return figures.median(list)
end

local function short(value) return value and (value >= 100 and "%.0f" or value >= 10 and "%.1f" or "%.2f"):format(value) or "-" end

local function reached(row, value)
  if not row.must then return "" end
  local function within(bound) return row.least and value >= bound or not row.least and value <= bound end
  return within(row.want) and "want" or within(row.must) and "must" or "no"
end

function figures.table()
  local rows = { { "what", "compared with", "must", "want", "measured", "least-most", "reached" } }
  for _, row in ipairs(targets) do
    local list = figures.values[row.id]
    if list then
      local value, sign = figures.median(list), row.least and ">= " or "<= "
      rows[#rows + 1] = { row.what, row.of or "", row.must and sign .. short(row.must) or "", row.want and sign .. short(row.want) or "", short(value),
                          short(math.min(unpack(list))) .. "-" .. short(math.max(unpack(list))), reached(row, value) }
    end
  end
  local width, lines = {}, {}
  for _, row in ipairs(rows) do for i, cell in ipairs(row) do width[i] = math.max(width[i] or 0, #cell) end end
  for n, row in ipairs(rows) do
    for i, cell in ipairs(row) do row[i] = cell .. (" "):rep(width[i] - #cell) end
    lines[#lines + 1] = "| " .. table.concat(row, " | ") .. " |"
    if n == 1 then lines[2] = lines[1]:gsub("[^|]", "-") end
  end
  return table.concat(lines, "\n")
end

-- What each gateway took for a request (an event of `sse`), in microseconds of CPU.
function figures.costs()
  local lines = {}
  for workload, by in pairs(figures.raw) do
    local list = {}
    for who in pairs(by) do
      local cpu = figures.of(workload, who, "cpu_us")
      if cpu and cpu > 0 then list[#list + 1] = ("%s %s"):format(who, short(cpu)) end
    end
    table.sort(list)
    if #list > 0 then lines[#lines + 1] = workload .. ": " .. table.concat(list, ", ") end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

function figures.write(path)
  local found = { figures = {}, raw = figures.raw }
  for _, row in ipairs(targets) do
    local list = figures.values[row.id]
    if list then
      local value = figures.median(list)
      found.figures[row.id] = { value = value, all = list, must = row.must, want = row.want, reached = reached(row, value) }
    end
  end
  local f = assert(io.open(path, "w"))
  f:write(cjson.encode(found), "\n")
  f:close()
end

return figures
