-- A day's requests: when each arrives, who asks, what. The same for the same seed, whoever answers.
local chance = require "chance"
local model = require "model"

local traffic = {}
local day = 86400

---- when ----

-- The share of a day's requests that has come by `at` (seconds); its rate swings round the mean as a sine.
local function arrived(at)
  local turn, swing = 2 * math.pi / day, model.traffic.peak.swing
  local phase = (model.traffic.peak.at / 24 - 0.25) * day
  return at / day - swing / (2 * math.pi) * (math.cos(turn * (at - phase)) - math.cos(turn * phase))
end

-- The second by which this share of them has come.
function traffic.when(share)
  local low, high = 0, day
  for _ = 1, 40 do
    local middle = (low + high) / 2
    if arrived(middle) < share then low = middle else high = middle end
  end
  return high
end

---- what ----

local words = {
  vi = [[tôi muốn hỏi về đơn hàng của mình hôm qua vẫn chưa giao cho khách ở thành phố xin cho biết khi nào có thể nhận được hàng cảm ơn bạn rất nhiều
    chúng tôi cần thêm thông tin cửa hàng gần nhà sản phẩm mới giá bao nhiêu tháng này còn không làm ơn giúp em với anh chị nhé]],
  en = [[i would like to know about my order from yesterday which has not come yet to our customer in the city please say when we can have it thank you very
    much for the help with the new product in a shop near home this month and also what else could be done by us today]],
}
local keywords = {
  vi = { "phân tích", "tổng hợp", "so sánh", "đánh giá", "tại sao", "vì sao", "giải thích", "báo cáo" },
  en = { "analyze", "synthesize", "compare", "evaluate" },
}
local terms = { "algorithm", "architecture", "optimize", "performance" }
local code = "```python\ndef total(rows):\n    return sum(row.price for row in rows)\n```\n"

for language, text in pairs(words) do
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  words[language] = list
end

local function text_of(kind, language, draw)
  local out, pool, keys = {}, words[language], keywords[language]
  local n = math.max(2, math.floor(kind.words * math.exp(model.words_sigma * draw:normal()) + 0.5))
  local level, first = draw:uniform(), draw:index(#keys)
  if level < kind.one + kind.two then out[#out + 1] = keys[first] end
  if level < kind.two then out[#out + 1] = keys[first % #keys + 1] end
  if draw:uniform() < kind.term then out[#out + 1] = terms[draw:index(#terms)] end
  while #out < n do out[#out + 1] = pool[draw:index(#pool)] end
  local fence = draw:uniform() < kind.fence
  return (fence and code or "") .. table.concat(out, " ")
end

local function tokens(of, times, draw)
  return math.max(1, math.min(of.most, math.floor(of.median * times * math.exp(of.sigma * draw:normal()) + 0.5)))
end

local function question(number, draw)
  local kind = draw:pick(model.kinds)
  local text = text_of(kind, draw:uniform() < model.traffic.vietnamese and "vi" or "en", draw)
  return { number = number, kind = kind, text = text, input = tokens(model.traffic.input, 1, draw),
           output = tokens(model.traffic.output, kind.output, draw) }
end

---- who ----

local function premium_share()
  local p = model.traffic.premium
  return p.users * p.asks / (p.users * p.asks + 1 - p.users)
end

-- Users of one tier ask equally often.
local function asker(draw)
  local premium = draw:uniform() < premium_share()
  local n = math.floor(model.traffic.users * model.traffic.premium.users)
  return premium and "premium" or "free", premium and draw:index(n) or n + draw:index(model.traffic.users - n)
end

---- all of it ----

-- n requests of a day: a function that gives them in order, { at =, question =, tier =, user = }, and one that gives a question by its `number`, which is
-- that of the first request that asked it. Questions are not kept but drawn again: a day of them is more than LuaJIT likes to hold.
function traffic.day(seed, n)
  local clock, content, who = chance.new(seed, "arrivals"), chance.new(seed, "questions"), chance.new(seed, "users")
  local share, i, different, states = 0, 0, {}, {}
  local function question_of(number) return question(number, content:at(states[number])) end
  return function()
    if i == n then return nil end
    share = 1 - (1 - share) * clock:uniform() ^ (1 / (n - i))          -- the next smallest of what is left of n draws
    i = i + 1
    states[i] = false
    local asked
    if #different > 0 and content:uniform() < model.traffic.repeats then asked = question_of(different[content:index(#different)])
    else
      different[#different + 1], states[i] = i, content.state
      asked = question(i, content)
    end
    local tier, user = asker(who)
    return { at = traffic.when(share), question = asked, tier = tier, user = user }
  end, question_of
end

return traffic
