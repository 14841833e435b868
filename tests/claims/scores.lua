-- What routing does to the quality of answers: questions of which it is known whether a weak and a strong model answer them right (prompt,weak,strong),
-- asked through the gateway on a day without failures. Who answers decides which of the two scores counts.
local t = require "lunette.test"
local chance = require "chance"
local model = require "model"

local scores = {}

-- The rows of a CSV file (RFC 4180), as lists of texts.
function scores.rows(text)
  local rows, row, at = {}, {}, 1
  while at <= #text do
    local field
    if text:sub(at, at) == '"' then
      local from = at + 1
      at = from
      while true do
        at = text:find('"', at, true) or error("a quoted field does not end", 0)
        if text:sub(at + 1, at + 1) ~= '"' then break end
        at = at + 2
      end
      field = text:sub(from, at - 1):gsub('""', '"')
      at = at + 1
    else
      field = text:match("^[^,\r\n]*", at)
      at = at + #field
    end
    row[#row + 1] = field
    local separator = text:match("^\r?\n", at)
    if separator or at > #text then
      rows[#rows + 1], row = row, {}
      at = at + #(separator or "")
    else at = at + 1 end
  end
  return rows
end

-- A number: the 1 or 0 of such a file.
local function right(text, path) return tonumber(text) or error(path .. ": expected the columns prompt,weak,strong", 0) end

local function read(path)
  local file = assert(io.open(path))
  local rows, list = scores.rows(file:read "*a"), {}
  file:close()
  for i = 2, #rows do list[#list + 1] = { text = rows[i][1], weak = right(rows[i][2], path), strong = right(rows[i][3], path) } end
  return list
end

-- Asks all questions of a file: { n, weak, strong, routed (mean scores), share (answered by a strong model) }.
function scores.of(path, policy, seed)
  local list, draw = read(path), chance.new(seed, "tiers of scores")
  local gateway = t.gateway { config = debug.getinfo(1, "S").source:match "^@(.*/)" .. "gateway.lua", seed = seed,
                              environment = { CLAIMS_POLICY = policy, CLAIMS_PRICES = "page" },
                              providers = { openai = "x", anthropic = "x", google = "x", deepseek = "x", moonshot = "x" } }
  local sum, premium = { n = #list, weak = 0, strong = 0, routed = 0, share = 0 }, model.traffic.premium
  for _, question in ipairs(list) do
    local tier = draw:uniform() < premium.users * premium.asks / (premium.users * premium.asks + 1 - premium.users) and "premium" or "free"
    local answer = gateway:ask { text = question.text, tags = { tier = tier } }
    local strong = model.strong[answer.model] or false
    sum.weak, sum.strong = sum.weak + question.weak, sum.strong + question.strong
    sum.routed, sum.share = sum.routed + (strong and question.strong or question.weak), sum.share + (strong and 1 or 0)
  end
  for _, name in ipairs { "weak", "strong", "routed", "share" } do sum[name] = sum[name] / sum.n end
  return sum
end

return scores
