-- What Redis runs for the answers that several gateways keep together (core/gateway/shelf.h). Not for policies.
--
-- KEYS[1]: the name of an answer. find: its bytes, if there are any and not more than ARGV[2]. keep: ARGV[2] are its bytes, ARGV[3] the time at which they
-- are too old, in microseconds of Redis' clock. Both are answered with that clock first, by which all gateways tell how old an answer is.
--
-- What lies here takes no more than three quarters of `maxmemory`: the rest is for budgets, which cannot do without (lua/draw.lua).
local clock = redis.call("TIME")
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local time = string.format("%.0f", now)
if ARGV[1] == "find" then return { time, redis.call("STRLEN", KEYS[1]) <= tonumber(ARGV[2]) and redis.call("GET", KEYS[1]) } end

local memory = redis.call("INFO", "memory")
local used, most = tonumber(string.match(memory, "used_memory:(%d+)")), tonumber(string.match(memory, "maxmemory:(%d+)"))
if most and used and most > 0 and used + #ARGV[2] > most / 4 * 3 then return { time, "FULL" } end
local left = math.floor((tonumber(ARGV[3]) - now) / 1000)
if left < 1 then return { time, "OLD" } end
redis.call("SET", KEYS[1], ARGV[2], "PX", string.format("%.0f", left))
return { time, "KEPT" }
