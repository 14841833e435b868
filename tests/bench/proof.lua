-- That what was measured did its work: the policy answered each request, the log has a line for each, the budget was charged for each.
local e2e = require "support"

local proof = {}

-- All series of a metric: { { labels = text, value = number } … }.
local function series(g, name)
  local list = {}
  for line in g:metrics():gmatch "[^\n]+" do
    local labels, value = line:match("^" .. name .. "({[^}]*}) (%S+)$")
    if not labels then labels, value = "{}", line:match("^" .. name .. " (%S+)$") end
    if value then list[#list + 1] = { labels = labels, value = tonumber(value) } end
  end
  return list
end

local function sum(g, name, pattern)
  local total = 0
  for _, s in ipairs(series(g, name)) do if s.labels:find(pattern or "", 1, true) then total = total + s.value end end
  return total
end

-- A quantile of a histogram, between the bounds of its bucket as if all were spread evenly in it.
function proof.quantile(g, name, q)
  local below, floor = 0, 0
  local count = sum(g, name .. "_count")
  for _, s in ipairs(series(g, name .. "_bucket")) do
    local bound = tonumber(s.labels:match 'le="([^"]+)"') or math.huge
    if s.value >= q * count then return floor + (bound - floor) * (q * count - below) / (s.value - below) end
    below, floor = s.value, bound
  end
end

local function expect(good, what, ...)
  if not good then error("this was not measured fairly: " .. what:format(...), 0) end
end

local function lines_of(g)
  g.process:signal(e2e.SIGUSR1)
  local pipe = io.popen("wc -l <'" .. g.folder .. "/requests.jsonl'")
  local n = pipe:read "*n"
  pipe:close()
  return n
end

-- A whole answer costs 200 tokens of input and 60 of output at 0.1 and 0.4 USD a million; so does a stream, whose usage the client is not told.
local COST = (200 * 0.1 + 60 * 0.4) / 1e6

function proof.of(g, say)
  local answered = sum(g, "lunette_requests_total", 'status="200"')
  local labelled = sum(g, "lunette_label_requests_total", 'label="chat",result="answered"')
  local used, other = sum(g, "lunette_budget_used_usd", '"total"'), sum(g, "lunette_requests_total") - answered
  expect(labelled == answered, "%d of %d requests have the label of the policy", labelled, answered)
  expect(sum(g, "lunette_policy_errors_total") == 0, "the policy failed")
  expect(other == 0, "%d requests were not answered with 200", other)
  expect(math.abs(used / (answered * COST) - 1) < 0.01, "%.6f USD were charged for %d requests", used, answered)
  expect(sum(g, "lunette_log_dropped_total") == 0, "lines of the log were dropped")
  e2e.eventually("the log has a line for each request", function() return lines_of(g) == answered + other end)
  say("Lunette answered %d requests: each has the policy's label and a line in the log, %.6f USD are charged, %d rows are in the ledger", answered, used,
      sum(g, "lunette_ledger_rows_total"))
end

return proof
