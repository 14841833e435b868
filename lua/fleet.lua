-- What Redis runs for several gateways beside their budgets (lua/draw.lua): the rates that they have together, and the news that they tell each other (keys,
-- versions that were taken back). Every message is one call of this script; who it hears, and what it answers: core/gateway/fleet.h.
--
-- KEYS[1], a hash: run, nonce (the epoch: Redis' process, and what it is called), born (ms), members (a list with a space at each end of a name), demand
-- (limits that somebody lacks some of, and when), count (of news so far); for news of that name f:NAME its number and text, and n:NUMBER its name.
-- KEYS[1]:ID, a hash for each gateway that lives by itself for a while after its last message: seq (of that), r:LIMIT what it has of it, requests and tokens.
--
-- begin, more: what a gateway has, all of it, in one message or several, between which it keeps what Redis knew it to have; tell: what it wants to have
-- from now on, absolute. Less is always granted; more as far as all others together leave it, but not in the first moments of an epoch: before, all who
-- live have said what they have.
local LIVES, SETTLES, PAGE, LOOKS = 70, 500, 131072, 5000         -- s, ms, bytes, news
local key, op, me, seq, nonce, since = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local at = 5
local function argument() at = at + 1 return ARGV[at] end
local function number(text) return tonumber(text or "0") or 0 end
local function text(n) return string.format("%.0f", n) end

local run = string.match(redis.call("INFO", "server"), "run_id:(%x+)")
local clock = redis.call("TIME")
local now = math.floor(tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000)
local stored = redis.call("HMGET", key, "run", "nonce", "born", "members", "demand", "count")
local born, count = number(stored[3]), number(stored[6])
if stored[1] ~= run then                        -- news stay: who has not heard them yet may be the only one
  born = now
  stored[2] = redis.sha1hex(run .. me .. text(now))
  redis.call("HSET", key, "run", run, "nonce", stored[2], "born", text(born), "demand", "", "count", text(count))
end

local mine = key .. ":" .. me
local known = redis.call("EXISTS", mine) == 1
local members, others = " ", {}
for name in string.gmatch(stored[4] or "", "%S+") do
  if name ~= me and redis.call("EXISTS", key .. ":" .. name) == 1 then
    members = members .. name .. " "
    others[#others + 1] = key .. ":" .. name
  end
end
members = members .. me .. " "

local function answer(status, upto, demand, more)
  local all = { status, stored[2], text(#others + 1), text(upto), text(count), text(#demand) }
  for _, list in ipairs { demand, more } do for _, item in ipairs(list) do all[#all + 1] = item end end
  return all
end

if nonce ~= stored[2] or since > count or (op ~= "begin" and not known) then return answer("NEW", 0, {}, {}) end
if known and seq <= number(redis.call("HGET", mine, "seq")) then return answer("STALE", since, {}, {}) end
redis.call("HSET", mine, "seq", text(seq))
redis.call("EXPIRE", mine, LIVES)
if members ~= stored[4] then redis.call("HSET", key, "members", members) end

-- ---- rates ----

local function of(hash, limit)
  local requests, tokens = string.match(redis.call("HGET", hash, "r:" .. limit) or "", "^(%d+) (%d+)$")
  return number(requests), number(tokens)
end

local parts, lacking, demand = {}, {}, {}
local function part(has, want, limit, taken)
  if want <= has or limit == 0 then return want end
  if op == "tell" and now - born < SETTLES then return has end
  return math.max(has, math.min(want, limit - taken))
end
for _ = 1, number(argument()) do
  local name, requests, tokens = argument(), number(argument()), number(argument())
  local most_requests, most_tokens, lacks = number(argument()), number(argument()), argument()
  local has_requests, has_tokens = of(mine, name)
  local taken_requests, taken_tokens = 0, 0
  for _, other in ipairs(others) do
    local r, t = of(other, name)
    taken_requests, taken_tokens = taken_requests + r, taken_tokens + t
  end
  local r, t = part(has_requests, requests, most_requests, taken_requests), part(has_tokens, tokens, most_tokens, taken_tokens)
  if lacks == "1" and (r < requests or t < tokens) then lacking[name] = true end
  redis.call("HSET", mine, "r:" .. name, text(r) .. " " .. text(t))
  parts[#parts + 1] = text(r)
  parts[#parts + 1] = text(t)
end

-- Who lacks, and since when; of each limit what was said last counts. Names may have spaces, = and %: they are written as in a URL.
local function written(name) return (string.gsub(name, "[%s=%%]", function(c) return string.format("%%%02x", string.byte(c)) end)) end
local function plain_of(name) return (string.gsub(name, "%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)) end
local still = {}
for who, name, when in string.gmatch(stored[5] or "", "(%S+)=(%S+)=(%d+)") do
  local plain = plain_of(name)
  if now - number(when) <= 2 * SETTLES and not (who == me and lacking[plain]) then
    still[#still + 1] = who .. "=" .. name .. "=" .. when
    if who ~= me then demand[#demand + 1] = plain end
  end
end
for name in pairs(lacking) do still[#still + 1] = me .. "=" .. written(name) .. "=" .. text(now) end
local said = table.concat(still, " ")
if said ~= (stored[5] or "") then redis.call("HSET", key, "demand", said) end

-- ---- news ----

local own = {}
for _ = 1, number(argument()) do
  local name, what = argument(), argument()
  local old, before = string.match(redis.call("HGET", key, "f:" .. name) or "", "^(%d+) (.*)$")
  if before ~= what then
    count = count + 1
    if old then redis.call("HDEL", key, "n:" .. old) end
    redis.call("HSET", key, "f:" .. name, text(count) .. " " .. what, "n:" .. text(count), name, "count", text(count))
  end
  own[name] = what
end

local upto, bytes = since, 0
while upto < count and bytes < PAGE and upto - since < LOOKS do
  upto = upto + 1
  local name = redis.call("HGET", key, "n:" .. text(upto))
  local what = name and string.match(redis.call("HGET", key, "f:" .. name) or "", "^%d+ (.*)$")
  if what and #what <= PAGE and own[name] ~= what then          -- none of ours is so long
    parts[#parts + 1] = name
    parts[#parts + 1] = what
    bytes = bytes + #what
  end
end
return answer("OK", upto, demand, parts)
