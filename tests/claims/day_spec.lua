-- `make claims`: a day of traffic before and after, printed as claimed against reached. README.md tells what is supposed.
package.path = debug.getinfo(1, "S").source:match "^@(.*/)" .. "?.lua;" .. package.path
local day = require "day"
local model = require "model"
local report = require "report"
local scores = require "scores"

local function number(name, otherwise, least)
  local text = os.getenv(name)
  if not text or text == "" then return otherwise end
  local value = tonumber(text)
  if not value or value ~= math.floor(value) or value < least then error(name .. ": expected a whole number from " .. least .. " on, not " .. text, 0) end
  return value
end

local function text(name, otherwise)
  local value = os.getenv(name)
  return value and value ~= "" and value or otherwise
end

local function say(...) io.write(string.format(...)) io.flush() end
local percent, ms, usd = report.percent, report.ms, report.usd

local function file_of(policy) return policy:find "[/.]" and policy or "policies/" .. policy .. ".lua" end

-- What share of the answers to these kinds of questions a strong model gave.
local function strong_share(d, ...)
  local strong, all = 0, 0
  for _, kind in ipairs { ... } do
    for name, n in pairs(d.by_kind[kind] or {}) do
      all = all + n
      if model.strong[name] then strong = strong + n end
    end
  end
  return all > 0 and percent(1)(strong / all) or "-"
end

local function say_money(before, d, requests)
  local each = before.cost / before.n
  say("\nOne request cost %.4f cents before, %.4f after. ", 100 * each, 100 * d.cost / d.n)
  say("%s a month are %.0f requests a day at that price, not %.0f million: these would be %s before, %s after.\n",
      usd(model.claims.bill.before), model.claims.bill.before / 30 / each, model.claims.requests / 1e6,
      usd(each * model.claims.requests * 30), usd(d.cost / d.n * model.claims.requests * 30))
  say("Sent: %d attempts for %d requests, %d of them hedges; %d requests were answered by another than the first step.\n",
      d.attempts, requests, d.hedges, d.fallbacks)
  say("Charged for attempts that failed: $%.2f, %s of the cost.\n", d.wasted, percent(2)(d.wasted / d.cost))
end

local function say_counts(title, counts)
  local names, out = {}, {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
  for i, name in ipairs(names) do out[i] = name .. " " .. counts[name] end
  say("%s: %s\n", title, #out > 0 and table.concat(out, ", ") or "none")
end

local function row_of(name, d, m)
  return { name, m.saving and percent(2)(m.saving.value) or "-", percent(3)(m.uptime.value), ms(m.p50.value), ms(m.p99.value),
           ("%.3f"):format(d.attempts / d.n), strong_share(d, "code", "analysis"), strong_share(d, "chat", "guidance", "advice", "writing") }
end

local function say_scores(folder, policy, seed)
  say("\nQuality, by questions with known scores (1: a strong model for all):\n")
  local rows = { { "questions", "number", "weak", "strong", "routed", "to strong", "of the difference kept" } }
  for _, name in ipairs { "mmlu-dev", "gsm8k-dev" } do
    local s = scores.of(folder .. "/" .. name .. ".csv", policy, seed)
    rows[#rows + 1] = { name, tostring(s.n), percent(1)(s.weak), percent(1)(s.strong), percent(1)(s.routed), percent(1)(s.share),
                        percent(0)((s.routed - s.weak) / (s.strong - s.weak)) }
  end
  say("%s", report.columns(rows))
end

describe("a day of traffic", function()
  it("reaches what is claimed", function()
    local requests, seed = number("CLAIMS_REQUESTS", 300000, 1000), number("CLAIMS_SEED", 1, 1)
    local policy, prices = text("CLAIMS_POLICY", "intelligent_router"), text("CLAIMS_PRICES", "page")
    assert(prices == "page" or prices == "published", "CLAIMS_PRICES: expected page or published, not " .. prices)
    local started = os.clock()
    say("A day of %.0f million requests, %d of them asked; seed %d, policy %s, prices %s.\n\n", model.claims.requests / 1e6, requests, seed,
        file_of(policy), prices)
    local before = day.run { seed = seed, requests = requests, before = model.before, prices = prices }
    local after = day.run { seed = seed, requests = requests, policy = file_of(policy), prices = prices }
    local first, second = report.measure(before), report.measure(after, before)
    local lines, missed = report.table(report.rows(first, second))
    say("%s", lines)
    say_money(before, after, requests)
    say_counts("Answers by model", after.by_model)
    say_counts("Attempts by kind", after.kinds)
    say_counts("Requests that failed", after.refused)
    say("\nThe same day through other policies, which do not count:\n")
    local rows = { { "policy", "saving", "uptime", "p50", "p99", "attempts each", "hard to strong", "rest to strong" },
                   row_of("(before)", before, first), row_of(policy, after, second) }
    for name in text("CLAIMS_ALSO", "smart_router fallback_router degradation_chain"):gmatch "%S+" do
      if name ~= "none" then
        local other = day.run { seed = seed, requests = requests, policy = file_of(name), prices = prices }
        rows[#rows + 1] = row_of(name, other, report.measure(other, before))
      end
    end
    say("%s", report.columns(rows))
    if text "CLAIMS_SCORES" then say_scores(text "CLAIMS_SCORES", file_of(policy), seed) end
    say("\n%d of %d claims reached on this day (%.0f s of CPU time).\n", 5 - missed, 5, os.clock() - started)
    assert(missed == 0, missed .. " of 5 claims are not reached")
  end)
end)
