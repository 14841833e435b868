-- Gateways that spend the money of a provider with books of its own (tests/stress/biller.c), asked by many clients at once (tests/stress/buyers.c):
-- what the short specs (money_*_spec.lua) and the long ones (make stress-money) share. All amounts are nano-USD, whole numbers below 2^53.
--
--   local world = money.start { keys = 12, teams = 3, tenants = 4, limits = { ["key k1"] = 5e9, total = 100e9 }, biller = { lie = 20 }, gateways = 1 }
--       (per = 'per = "rolling", window = 3600': what all budgets are; else "ever")
--   world:buy { requests = 10000, connections = 512 }     -- starts them; world.buyers is the process
--   local report = world:bought()                          -- waits for their end: what buyers.c reports
--   local books = world:books()                            -- what the provider really charged, per budget: { total = …, ["key k1"] = …, … }
--   local spent = world:spent(world.gateways[1])           -- what a gateway says: budget → { limit, used, held }
local e2e = require "support"
local redis = require "redis"

local money = {}
local World = {}
World.__index = World

local built = e2e.lunette:match "^(.*)/" .. "/tests/"
local UNLIMITED = 4e15          -- a limit that nothing here comes near to

-- Prices in nano-USD per million tokens: input, input that was cached, output. The second is dearer in all.
money.prices = { a = { 421700000, 42170000, 1259300000 }, b = { 530100000, 53100000, 1770000000 } }
money.prompt, money.output = 2000, 400      -- bytes and tokens, at most

-- More than any question of the buyers can cost: every byte of the prompt and of what is round it a token, at the dearest prices.
function money.dearest(prompt, output)
  local b = money.prices.b
  return math.ceil((((prompt or money.prompt) + 800) * b[1] + (output or money.output) * b[3]) / 1e6)
end

local function usd(nano) return ("%d.%09d"):format(math.floor(nano / 1e9), nano % 1e9) end

local function price(name)
  local p = money.prices[name]
  return ("{ input = %s, cached_input = %s, output = %s }"):format(usd(p[1]), usd(p[2]), usd(p[3]))
end

local hashes = {}
local function hash(key)
  hashes[key] = hashes[key] or e2e.hash(key)
  return hashes[key]
end


-- The configuration with these limits; a budget without one has a limit that is never reached, one whose limit is false is none. With `rolling`, seconds, the
-- budgets of keys and the total are windows, those of teams are not.
function World:config(limits, i)
  local out, o = {}, self.options
  local function budget(limit, window)
    local per = window and ('per = "rolling", window = %d'):format(window) or o.per or 'per = "ever"'
    return limit == false and "nil" or ("{ limit = %s, %s }"):format(usd(limit or UNLIMITED), per)
  end
  local function put(text) out[#out + 1] = text end
  put(('return { policy = "policy.lua", state = "%s/state%d", health = false,'):format(self.folder, i))
  put(("limits = { attempts = 4, retries = %s, hedges = 0.05, output = %d, deadline = 20, lag = false },"):format(tostring(o.retries or 0.5), money.output))
  put "providers = {"
  for name in pairs(money.prices) do
    put((' %s = { base_url = "http://127.0.0.1:%d/%s/v1", connections = 1024,'):format(name, self.biller_port, name))
    put "  timeouts = { connect = 2, first_byte = 0.5, idle = 0.5, total = 2 } },"
  end
  put "},"
  put(('models = { m = { { provider = "a", model = "up", price = %s }, { provider = "b", model = "up", price = %s } },'):format(price "a", price "b"))
  put(('one = { { provider = "a", model = "up", name = "one", price = %s } } },'):format(price "a"))
  put "teams = {"
  for t = 0, o.teams - 1 do put((" t%d = { budget = %s },"):format(t, budget(limits["team t" .. t]))) end
  put "}, clients = {"
  for k = 1, o.keys do
    put((' { name = "k%d", team = "t%d", hash = "%s", budget = %s },'):format(k, k % o.teams, hash("key-" .. k), budget(limits["key k" .. k], o.rolling)))
  end
  local tenants = o.tenants and 'tags = { tenant = { from = "header:x-tenant", ' .. budget(limits["tag tenant"]):match "{(.*)" .. " }" or ""
  put("}, budgets = { total = " .. budget(limits.total, o.rolling) .. ", " .. tenants .. " },")
  if o.one_ledger then put(('ledger = "%s/ledger.db",'):format(self.folder)) end
  put((o.more or "") .. "}")
  return table.concat(out, "\n")
end

local policy = [[return { select = function(request, targets) return targets:asked():steps { hedge_after = 0.1 } end }]]
local plain = [[return {}]]

-- Where the buyers look for gateways; all at once or none.
function World:open_doors(closed)
  local text = {}
  for i = 1, 8 do
    local port = not closed and self.gateways[i] and not self.gateways[i].process.ended and self.gateways[i].port or 0
    text[i] = string.char(port % 256, math.floor(port / 256), 0, 0)
  end
  local f = assert(io.open(self.folder .. "/ports", "r+"))
  f:write(table.concat(text))
  f:close()
end

function World:start_biller()
  local command = { built .. "biller", self.folder .. "/books", "seed=" .. self.seed, "port=" .. (self.biller_port or 0) }
  for name, value in pairs(self.options.biller or {}) do command[#command + 1] = name .. "=" .. value end
  for name, p in pairs(money.prices) do command[#command + 1] = ("%s=%d,%d,%d"):format(name, p[1], p[2], p[3]) end
  self.biller = e2e.start(command)
  self.biller_port = tonumber(self.biller:expect "listening on http://127%.0%.0%.1:(%d+)")
end

function World:start_gateway(i)
  local o = self.options
  local env = { LUNETTE_LOG_REQUESTS = "false", LUNETTE_WATCH = "false" }
  if o.powercut then
    env.LD_PRELOAD, env.LUNETTE_BOOT_ID = built .. "powercut.so", "boot-0"
    env.POWERCUT, env.POWERCUT_OF = self.folder .. "/kept" .. i, self.folder .. "/state" .. i
    env.ASAN_OPTIONS = (os.getenv "ASAN_OPTIONS" or "") .. ":verify_asan_link_order=0"
    os.execute("mkdir -p " .. env.POWERCUT)
  end
  if o.rolling then
    env.LD_PRELOAD = (env.LD_PRELOAD and env.LD_PRELOAD .. ":" or "") .. built .. "wallclock.so"
    env.WALLCLOCK, env.ASAN_OPTIONS = self.folder .. "/clock", (os.getenv "ASAN_OPTIONS" or "") .. ":verify_asan_link_order=0"
  end
  local files = { ["policy.lua"] = o.hedges == false and plain or policy }
  self.gateways[i] = e2e.gateway { config = self:config(self.limits, i), files = files, workers = o.workers or 2, env = env }
  self.gateways[i].state, self.gateways[i].number = self.folder .. "/state" .. i, i
  self.gateways[i].ledger = (o.one_ledger and self.folder or self.gateways[i].state) .. "/ledger.db"
end

function money.start(options)
  local self = setmetatable({ options = options, folder = e2e.folder(), gateways = {}, limits = options.limits or {} }, World)
  self.seed = tonumber(os.getenv "STRESS_MONEY_SEED") or 1
  options.keys, options.teams = options.keys or 8, options.teams or 2
  e2e.write(self.folder .. "/ports", ("\0"):rep(32))
  e2e.write(self.folder .. "/records", "")
  self:advance(0)
  self:start_biller()
  for i = 1, options.gateways or 1 do self:start_gateway(i) end
  self:open_doors()
  return self
end

-- The wall clocks of all gateways are so many seconds later, from now on and after each start.
function World:advance(seconds)
  self.later = (self.later or 0) + seconds
  local f = assert(io.open(self.folder .. "/clock", "r+") or io.open(self.folder .. "/clock", "w"))
  f:write(("%-20d"):format(self.later))
  f:close()
end

-- Other limits, taken over by every gateway; `later`: when it starts again.
function World:limit(limits, later)
  self.limits = limits
  for i, g in ipairs(self.gateways) do
    g:replace("gateway.lua", self:config(limits, i))
    local answer = later and { status = 200 } or g:tell "reload"
    if answer.status ~= 200 then error("a reload was answered with " .. answer.status .. ": " .. answer.body) end
  end
end

function World:buy(with)
  local command = { built .. "buyers", self.folder .. "/ports", self.folder .. "/books", "keys=" .. self.options.keys, "teams=" .. self.options.teams,
                    "tenants=" .. (self.options.tenants or 0), "prompt=" .. money.prompt, "output=" .. money.output, "dearest=" .. money.dearest(),
                    "seed=" .. self.seed, "records=" .. self.folder .. "/records" }
  for name, value in pairs(with) do command[#command + 1] = name .. "=" .. tostring(value) end
  self.buyers = e2e.start(command)
  self.buyers:expect "(ready)"
end

-- What the buyers have seen until now; with `wait`, once they have ended.
function World:report(wait)
  local wrong = {}
  if not wait then self.buyers:signal(e2e.SIGUSR1) end
  while true do
    local line = assert(self.buyers:line(wait or 30), "the buyers have ended")
    if line:find "^wrong" then wrong[#wrong + 1] = line end
    local text = line:match "^report (.*)"
    if text then
      if wrong[1] then error(table.concat(wrong, "\n"), 2) end
      return e2e.json.decode(text)
    end
  end
end

function World:bought(limit)
  local report = self:report(limit or 3600)
  self.buyers:wait()
  return report
end

-- Lets the buyers ask nothing more; their report.
function World:enough()
  self.buyers:signal(e2e.SIGTERM)
  return self:bought(60)
end

-- Sums of what is known per key: of the key, of its team, of its tenant, of all.
function World:per_budget(by_key)
  local sums, o = { total = 0 }, self.options
  local function add(name, n) sums[name] = (sums[name] or 0) + n end
  for i = 1, o.keys do
    local n = by_key(i) or 0
    add("key k" .. i, n)
    add("team t" .. i % o.teams, n)
    if o.tenants then add("tag tenant=v" .. i % o.tenants, n) end
    add("total", n)
  end
  return sums
end

-- All tenants have the same one. False: none.
function World:limit_of(name)
  local limit = self.limits[name:match "^tag tenant" or name]
  return limit == nil and UNLIMITED or limit
end

-- The provider's books, per budget: what it really charged, and `owed`: what it claims, or all that it may have charged where it told nothing, which
-- is the least that somebody under a limit has to reckon with. Then all that `biller sums` says.
function World:books()
  local status, text = e2e.run { built .. "biller", self.folder .. "/books", "sums" }
  assert(status == 0)
  local sums = e2e.json.decode(text)
  local function of(what) return self:per_budget(function(i) return sums.keys[tostring(i)] and sums.keys[tostring(i)][what] end) end
  return { charged = of "charged", owed = of "owed" }, sums
end

local function to_nano(text) return math.floor(tonumber(text) * 1e9 + 0.5) end

-- What a gateway says of its budgets.
function World:spent(g)
  local budgets = {}
  for what, name, value in g:metrics():gmatch 'lunette_budget_(%a+)_usd{budget="([^"]*)"} (%S+)' do
    budgets[name] = budgets[name] or {}
    budgets[name][what] = to_nano(value)
  end
  return budgets
end

-- Once nothing is under way any more: the same, with nothing held.
function World:settled(g)
  return e2e.eventually("nothing is held any more", function()
    if g:metric "lunette_requests_in_flight" > 0 then return false end
    local budgets = self:spent(g)
    for _, b in pairs(budgets) do if b.held ~= 0 then return false end end
    return budgets
  end)
end

-- The promise: what was really charged ≤ what the gateway says is spent ≤ the limit, for every budget. `spent`: budget → { used =, limit = }; of a tag's only
-- the ledger tells, no metric.
function World:check(spent, books)
  for name, charged in pairs(books.charged) do
    local limit, owed, b = self:limit_of(name), books.owed[name] or 0, spent[name]
    if not b and name:find "^tag" then b = { used = owed } end
    if not b then error("nobody knows the budget " .. name, 2) end
    if b.limit and b.limit ~= limit then error(("%s has a limit of %d and says %d"):format(name, limit, b.limit), 2) end
    if charged > limit then error(("%s: the provider charged %d, which is %d above the limit"):format(name, charged, charged - limit), 2) end
    if b.used > limit then error(("%s: %d is spent, which is %d above the limit"):format(name, b.used, b.used - limit), 2) end
    if charged > b.used then error(("%s: the provider charged %d, and %d is spent"):format(name, charged, b.used), 2) end
    if owed > b.used then error(("%s: the provider may have charged %d, and %d is spent"):format(name, owed, b.used), 2) end
  end
end

-- The half of it that needs no gateway.
function World:check_charged()
  for name, charged in pairs(self:books().charged) do
    local limit = self:limit_of(name)
    if limit and charged > limit then error(("%s: the provider charged %d, which is %d above the limit"):format(name, charged, charged - limit), 2) end
  end
end

-- What the ledger says of itself, beside a gateway that runs or has ended.
function World:verify(g)
  local process, out = e2e.start { e2e.lunette, "ledger", "verify", g.folder .. "/gateway.lua", "--full" }, {}
  for line in function() return process:line(600) end do out[#out + 1] = line end
  local text = table.concat(out, "\n")
  if process:wait() ~= 0 then error("ledger verify: exit status " .. process.status .. "\n" .. text .. process:stderr(), 2) end
  return text
end

---- to the nano-USD ----

-- What a question to `one` can cost at most with so many tokens of output, its input being so many.
local function bound(input, output) return math.ceil((input * money.prices.a[1] + output * money.prices.a[3]) / 1e6) end

function World:ask_one(g, i, output)
  return g:chat { model = "one", text = "hello", headers = { authorization = "Bearer key-" .. i }, body = { max_tokens = output, user = "k" .. i } }
end

-- What a question for so much output can cost at most, by the words of its refusal.
function World:refused_price(g, i, name, left, output)
  local answer = self:ask_one(g, i, output)
  assert(answer.status == 402 and answer.json.error.budget == name and to_nano(answer.json.error.left) == left, answer.body)
  return to_nano(answer.json.error.message:match "can cost up to (%d+%.?%d*)")
end

-- Sets a limit that leaves so much of a budget; gives the largest max_tokens of key i that this pays: found by the price of one that is a little too
-- large, since its own digits count too.
function World:leave(g, i, name, left)
  local limits, prices = {}, money.prices.a
  for other, limit in pairs(self.limits) do limits[other] = limit end
  for _, other in ipairs { "key k" .. i, "team t" .. i % self.options.teams, "tag tenant", "total" } do limits[other] = nil end
  limits[name] = self:settled(g)[name].used + left
  self:limit(limits)
  local function most_by(output)
    local dear = self:refused_price(g, i, name, left, output)
    local input = math.floor((dear * 1e6 - output * prices[3]) / prices[1])
    assert(bound(input, output) == dear)
    return math.floor((left * 1e6 - input * prices[1]) / prices[3]), input
  end
  local most, input = most_by(most_by(1000000) + 20)
  assert(bound(input, most) <= left and bound(input, most + 1) > left)
  return most
end

---- Redis ----

function money.redis()
  local r = redis()
  -- The end of its file was not on the disk yet: a share of it is gone.
  function r.lose_tail(self, share)
    local _, name = e2e.run { "sh", "-c", "ls -t " .. self.folder .. "/appendonlydir/*.incr.aof | head -1" }
    local f = assert(io.open(name, "r"))
    local size = f:seek "end"
    f:close()
    e2e.run { "truncate", "-s", tostring(math.floor(size * (1 - share))), name }
  end
  return r
end

-- The gateways share their budgets from now on: the first founds them.
function World:found()
  local status, out, errors = e2e.run { e2e.lunette, "ledger", "found", self.gateways[1].folder .. "/gateway.lua" }
  if status ~= 0 then error(out .. errors, 2) end
  self:shared()
end

-- Waits until all of them draw on what they share.
function World:shared()
  for _, g in ipairs(self.gateways) do
    e2e.eventually("gateway " .. g.number .. " draws", function() return g:request({ method = "GET", path = "/health/readiness" }).json.budgets == nil end)
  end
end

---- sudden ends ----

-- kill -9 (or another signal), when nobody asks anew: a port that is free again could be anybody's.
function World:kill(g, signal)
  self:open_doors "closed"
  g.process:stop(signal or e2e.SIGKILL)
end

-- Starts it again on its folder; gives the time from there to the first 200 of /health/readiness. Given `within` it is killed so many seconds after its
-- beginning, ready or not: false then.
function World:revive(g, within)
  local began = e2e.socket.gettime()
  local command = { e2e.lunette, "serve", g.folder .. "/gateway.lua", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", tostring(g.workers) }
  g.process = e2e.start(command, g.env)
  if within then
    money.pause(within)
    g.process:stop(e2e.SIGKILL)
    return false
  end
  local port, admin = g.process:expect "listening on http://127%.0%.0%.1:(%d+), metrics on http://127%.0%.0%.1:(%d+)"
  g.port, g.admin = tonumber(port), tonumber(admin)
  e2e.eventually("it is ready", function() return g:request({ method = "GET", path = "/health/readiness" }).status == 200 end)
  local took, said = e2e.socket.gettime() - began, g.process:stderr()
  if said:find("charged above what was granted", 1, true) then error(said, 2) end
  self:open_doors()
  return took
end

-- The power goes: like a kill, but on the disk is what was synced, and of the journal any earlier image of each page; the machine starts anew. Gives how
-- many bytes are other ones than those that the process had left.
function World:cut(g)
  self:kill(g)
  self.cuts = (self.cuts or 0) + 1
  g.env.LUNETTE_BOOT_ID = "boot-" .. self.cuts
  local status, out, errors = e2e.run { "sh", "-c", ([[set -e; cd %s; rm -f *-shm; kept=%s
    [ -f $kept/$(stat -c %%i ledger.db) ] || { echo "powercut.so kept nothing" >&2; exit 1; }
    for f in ledger.db* journal.* making-journal.*; do [ -f $f ] || continue; old=$kept/$(stat -c %%i $f)
      if [ -f $old ]; then cmp -l $old $f 2>/dev/null | wc -l || true; cp $old $f; else rm $f; echo 1; fi; done]]):format(g.state, g.env.POWERCUT) }
  assert(status == 0, errors)
  local sum = 0
  for n in out:gmatch "%d+" do sum = sum + tonumber(n) end
  return sum
end

-- Runs SQL beside a gateway on its ledger (as `l`) and on what the buyers know (`answer`: request, cost, key); gives the lines of the result, split at |.
function World:query(g, sql)
  local script = ([[
CREATE TEMP TABLE answer(request TEXT PRIMARY KEY, cost INTEGER, key INTEGER);
.mode csv
.import %s/records answer
.mode list
.timeout 10000
ATTACH 'file:%s?mode=ro' AS l;
%s
]]):format(self.folder, g.ledger, sql)
  local process, lines = e2e.start { "sh", "-c", "exec sqlite3 -bail :memory: <'" .. e2e.write(self.folder .. "/query", script) .. "'" }, {}
  for line in function() return process:line(600) end do
    lines[#lines + 1] = {}
    for field in (line .. "|"):gmatch "([^|]*)|" do table.insert(lines[#lines], tonumber(field) or field) end
  end
  if process:wait() ~= 0 then error(process:stderr(), 2) end
  return lines
end

-- What the rows of the ledger amount to, budget → { used = }. What a power cut left unexplained is among it.
function World:rows(g)
  local sums = {}
  for _, line in ipairs(self:query(g, [[
    SELECT budget, sum(n) FROM (SELECT account, sum(cost) AS n FROM l.attempt JOIN l.payer USING(payers) GROUP BY account
      UNION ALL SELECT account, amount FROM l.rest) JOIN l.account ON id = account GROUP BY budget;]])) do sums[line[1]] = { used = line[2] } end
  return sums
end

-- Answers that a client has received whole, and those among them that are not in the ledger at their cost. Rows come a moment behind the answers: while some
-- are missing it looks again.
function World:answers(g)
  local due, line = e2e.socket.gettime() + e2e.limit
  repeat
    line = self:query(g, [[
      CREATE TEMP TABLE paid(id TEXT PRIMARY KEY, total INTEGER) WITHOUT ROWID;
      INSERT INTO paid SELECT lower(hex(request)), sum(cost) FROM l.attempt GROUP BY request;
      SELECT count(*), count(*) FILTER (WHERE total IS NULL), count(*) FILTER (WHERE total <> cost), min(request) FILTER (WHERE total IS NOT cost) FROM answer
        LEFT JOIN paid ON id = request;]])[1]
  until (line[2] == 0 and line[3] == 0) or e2e.socket.gettime() > due
  return { n = line[1], missing = line[2], different = line[3], example = line[4] }
end

-- A provider that does nothing wrong but to claim more than it charged.
money.well_behaved = { whole = 80, lie = 20, silent = 0, slow = 0, cut = 0, reset = 0, never = 0, error = 0, bad = 0, busy = 0, overloaded = 0, hangup = 0 }

function money.pause(seconds) e2e.socket.select(nil, nil, seconds) end
return money
