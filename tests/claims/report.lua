-- From the figures of two days, one before and one after, to claimed against reached.
local model = require "model"

local report = {}
local z = 1.96                                  -- of 95 %

---- figures with their error ----

-- A share of n and where it lies with 95 % (Wilson): value, low, high.
function report.share(hits, n)
  local p, q = hits / n, z * z / n
  local middle, half = (p + q / 2) / (1 + q), z * math.sqrt(p * (1 - p) / n + q / (4 * n)) / (1 + q)
  return { value = p, low = math.max(0, middle - half), high = math.min(1, middle + half) }
end

-- The q-quantile of a sorted list, by its rank, and those of the ranks 95 % round it.
function report.quantile(sorted, q)
  local n = #sorted
  local half = z * math.sqrt(n * q * (1 - q))
  local function at(rank) return sorted[math.max(1, math.min(n, math.ceil(rank)))] end
  return { value = at(n * q), low = at(n * q - half), high = at(n * q + half) }
end

-- 1 - Σ after / Σ before, of pairs (the same request before and after).
function report.saving(before, after)
  local n, a, b, aa, bb, ab = #before, 0, 0, 0, 0, 0
  for i = 1, n do a, b = a + after[i], b + before[i] end
  local ratio, mean_a, mean_b = a / b, a / n, b / n
  for i = 1, n do
    local da, db = after[i] - mean_a, before[i] - mean_b
    aa, bb, ab = aa + da * da, bb + db * db, ab + da * db
  end
  local half = z * math.sqrt(math.max(0, aa + ratio * ratio * bb - 2 * ratio * ab) / (n - 1) / n) / mean_b
  return { value = 1 - ratio, low = 1 - ratio - half, high = 1 - ratio + half }
end

local function sorted(list)
  local copy = {}
  for i = 1, #list do copy[i] = list[i] end
  table.sort(copy)
  return copy
end

-- What is claimed of, measured on one day. `before`: the day that the saving is against; nil: none.
function report.measure(day, before)
  local latencies = sorted(day.latencies)
  return { uptime = report.share(day.answered, day.n), p50 = report.quantile(latencies, 0.50), p99 = report.quantile(latencies, 0.99),
           saving = before and report.saving(before.costs, day.costs) }
end

---- claimed against reached ----

local function percent(digits) return function(x) return ("%." .. digits .. "f %%"):format(100 * x) end end
local function ms(x) return ("%.1f ms"):format(1000 * x) end
local function usd(x)
  local text, more = ("%.0f"):format(x), 1
  while more > 0 do text, more = text:gsub("^(%d+)(%d%d%d)", "%1,%2") end
  return "$" .. text
end
report.percent, report.ms, report.usd = percent, ms, usd

local function told(figure, write) return ("%s (%s to %s)"):format(write(figure.value), write(figure.low), write(figure.high)) end

local function row(name, claimed, before, after, reached) return { name = name, claimed = claimed, before = before, after = after, reached = reached } end

-- A latency is to be as many times lower as claimed: what is claimed, times measured / claimed before.
local function latency_row(name, claim, before, after)
  local most = before.value * claim.after / claim.before
  return row(name, ("%s -> %s or less"):format(ms(claim.before), ms(claim.after)), told(before, ms), told(after, ms), after.high <= most)
end

-- The rows of the table. Reached is what the worse end of the figure's error reaches.
function report.rows(before, after)
  local claims, s = model.claims, after.saving
  local function bill(saving) return claims.bill.before * (1 - saving) end
  local bills = { value = bill(s.value), low = bill(s.high), high = bill(s.low) }
  return {
    row("cost reduction", percent(0)(claims.saving) .. " or more", "-", told(s, percent(2)), s.low >= claims.saving),
    row("bill a month", usd(claims.bill.before) .. " -> " .. usd(claims.bill.after) .. " or less", usd(claims.bill.before), told(bills, usd),
        bills.high <= claims.bill.after),
    row("uptime", percent(1)(claims.uptime.before) .. " -> " .. percent(2)(claims.uptime.after) .. " or more",
        told(before.uptime, percent(2)), told(after.uptime, percent(3)), after.uptime.low >= claims.uptime.after),
    latency_row("first byte, p50", claims.p50, before.p50, after.p50),
    latency_row("first byte, p99", claims.p99, before.p99, after.p99),
  }
end

---- printing ----

-- Lines of equal columns out of rows of texts, the first of them their names.
function report.columns(rows)
  local width, lines = {}, {}
  for _, cells in ipairs(rows) do
    for i, text in ipairs(cells) do width[i] = math.max(width[i] or 0, #text) end
  end
  for _, cells in ipairs(rows) do
    local out = {}
    for i, text in ipairs(cells) do out[i] = text .. (" "):rep(width[i] - #text) end
    lines[#lines + 1] = (table.concat(out, "  "):gsub("%s+$", ""))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The table as text, and how many claims are not reached.
function report.table(rows)
  local cells, missed = { { "claim", "claimed", "before", "after", "reached" } }, 0
  for _, r in ipairs(rows) do
    cells[#cells + 1] = { r.name, r.claimed, r.before, r.after, r.reached and "yes" or "NOT REACHED" }
    if not r.reached then missed = missed + 1 end
  end
  return report.columns(cells), missed
end

return report
