-- What Redis runs for the budgets that several gateways share: every message of theirs is one call of this script, on one hash, KEYS[1]. It knows
-- accounts, and what each member has of them; no requests. Who it hears and what it answers: core/state/member.h. Nothing is written
-- before all of it is known: then in one HSET, so that a Redis without memory changes nothing.
--
-- Fields: run, nonce (the epoch: a member's random text, and the Redis process that it was said to), open, members, vouched, needed, registered, gone (who
-- was forgotten or has left, and still counts), leaving (who is to be gone once all others have that on their disks), heard (who has asked what these
-- have), ready (who has it on his disk), new (whom another one's word must vouch for), sure (who has said that it is on his own disk that he is vouched for:
-- while there is one, a Redis that has lost all finds somebody to begin an epoch) as lists with a space at each end of a name; round (of these lists:
-- what is said of an earlier one does not count); lost (the process that knows nothing of an epoch, and the moment when it was first asked: the round until
-- one begins); demand (accounts that somebody found too little of, and when); for a member s:ID the last message,
-- r:ID its answer; for an account g:ACCOUNT:ID what a member has of it, l:ACCOUNT:ID the limit it goes by, e:ACCOUNT when its period ends (ms),
-- p:BUDGET what its periods are; before: accounts of periods that began until then (ms) are full: one of the forgotten had an unknown part; over: of those
-- that ended until then (ms) parts may have been forgotten, and none is drawn on any more.
--
-- Of a window that moves along each piece is an account, BUDGET@rolling+WINDOW+STARTS+LENGTH (µs, ms, ms); what is drawn of one is compared with all that lies
-- so near that some moment sees both. w:BUDGET lists the accounts that may: its pieces, and what was told of other periods. A piece goes, for all members,
-- once it is far behind; d:BUDGET is the end of the last that went (ms), and nothing is granted any more in a piece that it would count beside.
local key, op, nonce, me, seq = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local at = 5                                    -- the next argument
local function argument() at = at + 1 return ARGV[at - 1] end
local function number(text) return tonumber(text or "0") or 0 end
local function text(n) return string.format("%.0f", n) end
local function get(field) return redis.call("HGET", key, field) or "" end

local run = string.match(redis.call("INFO", "server"), "run_id:(%x+)")
local clock = redis.call("TIME")
local now = math.floor(tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000)

local function has(list, name) return string.find(list, " " .. name .. " ", 1, true) ~= nil end
local function add(list, name) return has(list, name) and list or (list == "" and " " or list) .. name .. " " end
local function join(list, other)
  for name in string.gmatch(other, "%S+") do list = add(list, name) end
  return list
end
local function without(list, other)
  local left = ""
  for name in string.gmatch(list, "%S+") do if not has(other, name) then left = add(left, name) end end
  return left
end

local stored = redis.call("HMGET", key, "run", "nonce", "open", "members", "vouched", "needed", "registered", "gone", "demand", "before",
                          "leaving", "heard", "ready", "new", "round", "sure", "lost", "over")
local function field(i) return stored[i] or "" end
local h = { run = field(1), nonce = field(2), open = field(3) == "1", members = field(4), vouched = field(5), needed = field(6), registered = field(7),
            gone = field(8), demand = field(9), before = number(field(10)),
            leaving = field(11), heard = field(12), ready = field(13), new = field(14), round = number(field(15)), sure = field(16),
            over = number(field(18)) }
local lost = h.run ~= run
local writes, drops = {}, {}
local function set(name, value) writes[#writes + 1] = name writes[#writes + 1] = value end

-- How far a piece is from those that do not count beside it: its window, in whole pieces, and one piece more, since the clocks by which members say in which
-- piece they are may differ: by half a piece from this one's. Not a piece: nil.
local pieces = {}
local function budget_of(account) return string.match(account, "^(.*)@[^@]*$") or account end
local function piece(account, of)
  if pieces[account] == nil then
    local budget = of or budget_of(account)
    local window, starts, length = string.match(account, "^@rolling%+(%d+)%+(%d+)%+(%d+)$", #budget + 1)
    starts, length = number(starts), number(length)
    pieces[account] = window ~= nil and { budget = budget, starts = starts, ends = starts + length, length = length,
                                          counts = (math.ceil(number(window) / 1000 / length) + 1) * length }
  end
  return pieces[account] or nil
end

local lists, passes, changed = {}, {}, {}
local function list_of(budget)
  lists[budget] = lists[budget] or get("w:" .. budget)
  return lists[budget]
end
local function passed(budget)
  passes[budget] = passes[budget] or number(get("d:" .. budget))
  return passes[budget]
end
local function is_passed(account)
  local p = piece(account)
  return p ~= nil and p.ends <= passed(p.budget)
end
local function list(account)
  local budget = budget_of(account)
  if has(list_of(budget), account) then return false end
  lists[budget], changed[budget] = add(list_of(budget), account), true
  return true
end

local function save()
  set("run", run) set("nonce", h.nonce) set("open", h.open and "1" or "0") set("members", h.members) set("vouched", h.vouched)
  set("needed", h.needed) set("registered", h.registered) set("gone", h.gone) set("before", text(h.before))
  set("leaving", h.leaving) set("heard", h.heard) set("ready", h.ready) set("new", h.new) set("round", text(h.round))
  set("sure", h.sure)
end

-- Who begins an epoch answers to this round, which goes with all else when Redis is emptied. So what began one, or was to, begins none when it comes again or
-- late: who has said it may be new by now, and those who could vouch for him would be new in his epoch.
if lost then
  local process, moment = string.match(field(17), "^(%x+):(%d+)$")
  if process ~= run then
    moment = clock[1] .. string.format("%06d", clock[2])
    redis.call("HSET", key, "lost", run .. ":" .. moment)
  end
  h.round = number(moment)
end

-- A new epoch: nothing is known of what anybody has until he has said so himself. Its name has this moment in it, so that it never was another's: what was
-- said in an earlier one must not count in it. Who is gone says nothing any more: what he had stays; but who is a member for anybody is one.
local function begin(fresh, members)
  local before = h.nonce ~= "" and h.members or ""
  members = join(join("", before), members)
  local gone = without(h.gone, members)
  fresh = string.sub(fresh, 1, 16) .. clock[1] .. string.format("%06d", clock[2])
  local all = redis.call("HGETALL", key)
  lists = setmetatable({}, { __index = function() return "" end })
  for i = 1, #all, 2 do
    local account, name = string.match(all[i], "^g:(.*):([^:]*)$")
    if name and has(gone, name) then list(account)
    elseif string.find(all[i], ":", 1, true) and not string.find(all[i], "^d:") then drops[#drops + 1] = all[i] end
  end
  drops[#drops + 1] = "demand" drops[#drops + 1] = "lost"
  h = { run = run, nonce = fresh, open = false, members = members, vouched = "", registered = "", gone = gone, demand = "", before = h.before,
        leaving = "", heard = "", ready = "", new = "", round = 1, sure = "", over = h.over }
  h.needed = h.members
  lost = false
  save()
end

local function change()
  h.round, h.ready = h.round + 1, ""
  if h.leaving == "" then h.heard = "" end
end
local function lists_as_text() return h.members .. "/" .. h.gone .. "/" .. text(h.before) end
local function open_if_all_registered() if not h.open and without(h.needed, h.registered) == "" then h.open = true end end
local function unready() return h.leaving == "" and "" or without(without(h.members, h.leaving), h.ready) end

-- Nothing more is granted to him; a member he is until all others are ready.
local function begin_to_leave(name)
  h.leaving, h.vouched, h.new = add(h.leaving, name), without(h.vouched, " " .. name .. " "), add(h.new, name)
  h.sure = without(h.sure, " " .. name .. " ")
  change()
end

local function let_go_if_all_are_ready()
  if h.leaving == "" or unready() ~= "" then return end
  h.members, h.needed, h.registered = without(h.members, h.leaving), without(h.needed, h.leaving), without(h.registered, h.leaving)
  h.gone, h.new, h.leaving = join(h.gone, h.leaving), without(h.new, h.leaving), ""
  change()
  open_if_all_registered()
end

local function write()
  for budget in pairs(changed) do set("w:" .. budget, lists[budget]) end
  local stays, goes = {}, {}
  for i = 1, #writes, 2 do stays[writes[i]] = true end
  for _, name in ipairs(drops) do if not stays[name] then goes[#goes + 1] = name end end
  for i = 1, #writes, 4000 do redis.call("HSET", key, unpack(writes, i, math.min(i + 3999, #writes))) end
  for i = 1, #goes, 4000 do redis.call("HDEL", key, unpack(goes, i, math.min(i + 3999, #goes))) end
end

local function answer(status, more)
  local missing, due = without(h.needed, h.registered), {}
  for account, when in string.gmatch(h.demand, "(%S+)=(%d+)") do
    if now - number(when) <= 500 then due[#due + 1] = account end
  end
  local head = { status, lost and "" or h.nonce, h.open and "1" or "0", h.members, h.vouched, missing, h.gone, text(now), text(h.before),
                 table.concat(due, " "), text(h.round), h.leaving, unready(), h.sure }
  for _, item in ipairs(more or {}) do head[#head + 1] = item end
  return head
end

-- What all members, and those who are gone, have of an account together; and the lowest limit that one of them goes by.
local function total(account, except)
  local fields, names = {}, {}
  for name in string.gmatch(join(h.members, h.gone), "%S+") do
    names[#names + 1] = name
    fields[#fields + 1] = "g:" .. account .. ":" .. name
    fields[#fields + 1] = "l:" .. account .. ":" .. name
  end
  local sum, least = 0, nil
  local found = #fields > 0 and redis.call("HMGET", key, unpack(fields)) or {}
  for i, name in ipairs(names) do
    if name ~= except then
      sum = sum + number(found[2 * i - 1])
      local limit = has(h.members, name) and found[2 * i]
      if limit and (not least or number(limit) < least) then least = number(limit) end
    end
  end
  return sum, least
end

-- ---- windows that move along ----

-- The latest that anybody says, 0 being never: it may have become one meanwhile. A piece's name says it.
local function ends_at(account, ends)
  local was = get("e:" .. account)
  if not piece(account) and was ~= "0" and (ends == "0" or number(ends) > number(was)) then set("e:" .. account, ends) end
end

-- Whether what is told of an account may have to count in a window: if its budget is one, or nobody has drawn on it yet.
local function may_count(account)
  local per = get("p:" .. budget_of(account))
  return piece(account) or per == "" or number(string.match(per, "^%d+/(%d+)/")) > 0
end

local function is_over(account, ends) return not piece(account) and ends ~= "0" and number(ends) <= h.over end

local function over(moment)
  if moment > h.over then h.over = moment set("over", text(moment)) end
end

-- Of an account that ended long ago `me` says nothing any more; with the last one's part goes all of it. Not while it may count in a window.
local function forget(account)
  local ends, fields = get("e:" .. account), {}
  if piece(account) or may_count(account) or ends == "" or ends == "0" or number(ends) > now then return end
  over(number(ends))
  drops[#drops + 1] = "g:" .. account .. ":" .. me
  drops[#drops + 1] = "l:" .. account .. ":" .. me
  for name in string.gmatch(join(h.members, h.gone), "%S+") do if name ~= me then fields[#fields + 1] = "g:" .. account .. ":" .. name end end
  for _, g in ipairs(#fields > 0 and redis.call("HMGET", key, unpack(fields)) or {}) do if g then return end end
  drops[#drops + 1] = "e:" .. account
  local budget = budget_of(account)
  if has(list_of(budget), account) then lists[budget], changed[budget] = without(list_of(budget), " " .. account .. " "), true end
end

-- Of another period it is known when it ends (0: it does not), if anybody here has a part of it; what only the gone had was spent before this epoch began.
local function counts_beside(p, account)
  local other = piece(account, p.budget)
  if other then return other.ends > p.starts - p.counts and other.starts < p.ends + p.counts end
  local ends = get("e:" .. account)
  if ends == "" then ends = number(string.sub(h.nonce, 17)) / 1000 + 2 * p.length end
  return ends == "0" or number(ends) > p.starts - p.counts
end

-- What counts beside a piece: all that others have of it, all that `me` has (`mine`: by this message), and the first end of what the others have.
local function beside(p, account, mine)
  local fields, of, names, others, own, first = {}, {}, {}, 0, 0, 0
  for name in string.gmatch(join(h.members, h.gone), "%S+") do names[#names + 1] = name end
  for other in string.gmatch(list_of(p.budget), "%S+") do
    if other ~= account and counts_beside(p, other) then
      for i = 1, #names do fields[#fields + 1], of[#of + 1] = "g:" .. other .. ":" .. names[i], other end
    end
  end
  for from = 1, #fields, 4000 do
    for i, part in ipairs(redis.call("HMGET", key, unpack(fields, from, math.min(from + 3999, #fields)))) do
      local nth = from + i - 1
      local g, ends = number(part), (piece(of[nth]) or p).ends
      if names[(nth - 1) % #names + 1] == me then own = own + (mine[of[nth]] or g)
      else
        others = others + g
        if g > 0 and (first == 0 or ends < first) then first = ends end
      end
    end
  end
  return others, own, first
end

-- Pieces that ended until then go, for all; and none is drawn on any more that they would count beside, nor that one of `told` would (ms, or nil).
local function drop(budget, until_then, told)
  local latest, left, names = math.max(passed(budget), told or 0), "", join(h.members, h.gone)
  for account in string.gmatch(list_of(budget), "%S+") do
    local p = piece(account, budget)
    if not p or p.ends > until_then then left = add(left, account)
    else
      latest = math.max(latest, p.ends)
      for name in string.gmatch(names, "%S+") do
        drops[#drops + 1] = "g:" .. account .. ":" .. name
        drops[#drops + 1] = "l:" .. account .. ":" .. name
      end
    end
  end
  if latest == passed(budget) then return end
  lists[budget], changed[budget], passes[budget] = left, true, latest
  set("d:" .. budget, text(latest))
end

-- Why a piece may not be drawn on whatever is left of the limit; nil: it may. A forgotten one's unknown part may lie in any that it could have been in.
local function bars(p)
  local may_differ = math.floor(p.length / 2)
  if now + may_differ < p.starts or now - may_differ >= p.ends or p.starts - p.counts < passed(p.budget) then return "PERIOD" end
  if h.before > 0 and p.starts - p.counts - 2 * p.length <= h.before then return "FORGOTTEN" end
end

if op == "look" then return answer(lost and "LOST" or "OK") end

if op == "found" then           -- once, by an operator's word: nothing was ever here
  if lost and h.nonce == "" and number(argument()) == h.round then
    begin(nonce, me)
    h.vouched = add("", me)
    save() write()
  end
  return answer(lost and "LOST" or "OK")
end

if op == "open" then
  local round, members = number(argument()), argument()
  if lost and round == h.round then begin(nonce, members) write() end
  return answer(lost and "LOST" or "OK")
end

if lost then return answer("LOST") end
if nonce ~= h.nonce then return answer("OTHER") end

-- What changes the lists, or vouches for what is on a disk, is said of this round of them; of another one it changes nothing, and is said again.
local round_ops = { join = true, stay = true, vouch = true, forget = true, ready = true }
if round_ops[op] and number(argument()) ~= h.round then return answer("LATE") end

if op == "join" then            -- who is new, or comes back: another one's word is needed, whatever is on his own disk
  if not has(h.members, me) or has(h.leaving, me) then
    h.members, h.gone, h.leaving = add(h.members, me), without(h.gone, " " .. me .. " "), without(h.leaving, " " .. me .. " ")
    h.vouched, h.registered, h.new = without(h.vouched, " " .. me .. " "), without(h.registered, " " .. me .. " "), add(h.new, me)
    if not h.open then h.needed = add(h.needed, me) end
    h.sure = without(h.sure, " " .. me .. " ")
    change() save() write()
  end
  return answer("OK")
end

if op == "stay" then            -- who is leaving and has come back (or is alive after all), before anybody may have let go of him on his disk
  if not has(h.leaving, me) or h.heard ~= "" then return answer("HEARD") end
  h.leaving = without(h.leaving, " " .. me .. " ")
  if argument() == "1" then h.vouched, h.new, h.sure = add(h.vouched, me), without(h.new, " " .. me .. " "), add(h.sure, me) end
  change() save() write()
  return answer("OK")
end

if op == "vouch" then           -- `me` has these names on its disk, and that it is vouched for itself
  local names = argument()
  if has(h.vouched, me) then
    h.sure = add(h.sure, me)
    for name in string.gmatch(names, "%S+") do
      if has(h.members, name) and not has(h.leaving, name) then h.vouched, h.new = add(h.vouched, name), without(h.new, " " .. name .. " ") end
    end
    save() write()
  end
  return answer("OK")
end

-- An operator's word. The gone one's part stays; where it is not known, all of the present periods is taken to be. Whom nobody's disk knows cannot say it: the
-- gone one, alive after all, would begin an epoch without him.
if op == "forget" then
  local name = argument()
  if name == me or has(h.leaving, me) or not has(h.members, name) then return answer(has(h.gone, name) and "OK" or "UNKNOWN") end
  if not has(h.vouched, me) then return answer("UNVOUCHED") end
  if not has(h.leaving, name) then
    if not h.open and not has(h.registered, name) then h.before = now end
    begin_to_leave(name) save() write()
  end
  return answer("OK")
end

if op == "parts" then           -- of those who are gone or leaving, for whoever writes them down: ID ACCOUNT AMOUNT …
  local out, all, whose = {}, redis.call("HGETALL", key), join(h.gone, h.leaving)
  for i = 1, #all, 2 do
    local account, name = string.match(all[i], "^g:(.*):([^:]*)$")
    if account and has(whose, name) then out[#out + 1] = name out[#out + 1] = account out[#out + 1] = all[i + 1] end
  end
  if h.leaving ~= "" and not has(h.heard, me) then h.heard = add(h.heard, me) save() write() end
  return answer("OK", out)
end

if op == "ready" then           -- `me` has all members of this round on its disk, and those who leave as gone, with what they had
  if not has(h.registered, me) then return answer("UNKNOWN") end
  if not has(h.leaving, me) then
    h.ready = add(h.ready, me)
    let_go_if_all_are_ready() save() write()
  end
  return answer("OK")
end

if not has(h.members, me) then return answer("UNKNOWN") end
local last = number(get("s:" .. me))
if seq < last then return answer("STALE") end

if op == "register" then
  local fresh, members, vouches, gone, before, round = argument(), argument(), argument() == "1", argument(), number(argument()), number(argument())
  local ended = number(argument())
  local registered, accounts = has(h.registered, me), number(argument())
  if seq > last then
    local mine = {}
    over(ended)
    for i = 1, accounts do
      mine[i] = { account = argument(), g = number(argument()), limit = argument(), ends = argument() }
      if h.open and registered and mine[i].g > number(get("g:" .. mine[i].account .. ":" .. me)) and not is_passed(mine[i].account)
         and not is_over(mine[i].account, mine[i].ends) then
        begin(fresh, add(members, me)) write()          -- Redis is older than that disk
        return answer("OTHER")
      end
    end
    local parts = number(argument())
    for _ = 1, parts do
      local name, account, g = argument(), argument(), argument()
      if not has(h.members, name) and number(g) >= number(get("g:" .. account .. ":" .. name)) and not is_passed(account) then
        set("g:" .. account .. ":" .. name, g) list(account)
      end
    end
    for _, a in ipairs(mine) do
      if not is_passed(a.account) then
        set("g:" .. a.account .. ":" .. me, text(a.g)) list(a.account)
        ends_at(a.account, a.ends)
        if a.limit ~= "-1" then set("l:" .. a.account .. ":" .. me, a.limit) else drops[#drops + 1] = "l:" .. a.account .. ":" .. me end
      end
    end
    local as_it_was = lists_as_text()
    if not h.open then          -- who is a member for anybody is one, whoever has let go of him: he may have come back since
      h.members, h.needed = join(h.members, members), join(h.needed, members)
    end
    h.gone = without(join(h.gone, gone), h.members)
    if before > h.before then h.before = before end
    for _ = 1, number(argument()) do            -- what this one does not tell of any more
      local budget, until_then = argument(), number(argument())
      drop(budget, until_then, until_then)
    end
    h.registered = add(h.registered, me)
    h.sure = without(h.sure, " " .. me .. " ")
    if vouches and not has(h.new, me) then
      h.vouched = add(h.vouched, me)
      if round == h.round then h.sure = add(h.sure, me) end     -- said earlier, and heard late, it may be otherwise on his disk by now
      for name in string.gmatch(members, "%S+") do if has(h.members, name) and not has(h.new, name) then h.vouched = add(h.vouched, name) end end
    end
    if has(h.leaving, me) or lists_as_text() ~= as_it_was then change() end          -- what others have noted, of him or of them, may be less
    open_if_all_registered()
    set("s:" .. me, text(seq)) set("r:" .. me, "")
    save() write()
  end
  return answer("OK")
end

if op == "leave" then           -- stopped in order, with nothing left but charges: if there is one who can hold them, and begin an epoch
  if seq > last then
    if not has(h.leaving, me) then
      if without(h.sure, " " .. me .. " ") == "" then return answer("ALONE") end
      begin_to_leave(me)
    end
    set("s:" .. me, text(seq)) set("r:" .. me, "")
    save() write()
  end
  return answer("OK")
end

-- draw: NL { account g limit ends } … lowered or claimed, always; g "over": it ended long ago, and may be forgotten. NG { N { account more limit starts ends
-- per } … } … all or nothing each. Of each account of a group: what `me` has, what all have that is compared with the limit, and of a window what others have
-- of it, when the first of that ends, and d:BUDGET.
if op == "draw" then
  if not has(h.registered, me) then return answer("UNKNOWN") end
  local kept = get("r:" .. me)
  local result = {}
  if seq == last then
    for item in string.gmatch(kept, "%S+") do result[#result + 1] = item end
    return answer("OK", result)
  end
  local mine, had, limits, ends, refused = {}, {}, {}, {}, {}
  local function of(account)
    had[account] = had[account] or number(get("g:" .. account .. ":" .. me))
    return mine[account] or had[account]
  end
  for _ = 1, number(argument()) do
    local account, g, limit, till = argument(), argument(), argument(), argument()
    if g == "over" then forget(account)
    else
      mine[account], limits[account], ends[account] = number(g), limit, till
      if may_count(account) and not is_passed(account) then list(account) end
    end
  end
  for _ = 1, number(argument()) do
    local group, fits, why = {}, h.open and has(h.vouched, me), h.open and "UNVOUCHED" or "CLOSED"
    for i = 1, number(argument()) do
      local a = { account = argument(), more = number(argument()), limit = argument(), starts = number(argument()), ends = argument(), per = argument() }
      group[i], mine[a.account] = a, of(a.account)
      limits[a.account], ends[a.account] = a.limit, a.ends
      local others, least = total(a.account, me)
      local limit = number(a.limit)
      if least and least < limit then limit = least end
      a.piece, a.sum, a.abroad, a.first = piece(a.account), others + of(a.account), 0, 0
      if a.piece then
        local also, own, first = beside(a.piece, a.account, mine)
        a.abroad, a.sum, a.first = others + also, a.sum + also + own, others > 0 and first == 0 and a.piece.ends or first
      end
      local budget = budget_of(a.account)
      local per = get("p:" .. budget)
      local bar = a.piece and bars(a.piece)
      if fits and per ~= "" and per ~= a.per then fits, why = false, "DIFFERS" end
      if fits and bar then fits, why = false, bar end
      local shut = not a.piece and (now < a.starts or (a.ends ~= "0" and now >= number(a.ends)) or is_over(a.account, a.ends))
      if fits and shut then fits, why = false, "PERIOD" end
      if fits and not a.piece and h.before > 0 and a.starts <= h.before then fits, why = false, "FORGOTTEN" end
      if fits and a.sum + a.more > limit then fits, why, refused[a.account] = false, "SHORT", true end
      if per == "" then set("p:" .. budget, a.per) end
    end
    result[#result + 1] = fits and "YES" or why
    for _, a in ipairs(group) do
      if fits then mine[a.account] = mine[a.account] + a.more a.sum = a.sum + a.more end
      if fits and a.piece then list(a.account) end
      if fits and a.piece and had[a.account] == 0 then drop(a.piece.budget, a.piece.starts - 2 * a.piece.counts) end
      for _, n in ipairs { mine[a.account], a.sum, a.abroad, a.first, a.piece and passed(a.piece.budget) or 0 } do result[#result + 1] = text(n) end
    end
  end
  for account, g in pairs(mine) do
    if not piece(account) or has(list_of(piece(account).budget), account) then
      set("g:" .. account .. ":" .. me, text(g))
      if ends[account] then ends_at(account, ends[account]) end
      if limits[account] and limits[account] ~= "-1" then set("l:" .. account .. ":" .. me, limits[account]) end
    end
  end
  local demand = {}
  for account, when in string.gmatch(h.demand, "(%S+)=(%d+)") do
    if now - number(when) <= 500 and not refused[account] then demand[#demand + 1] = account .. "=" .. when end
  end
  for account in pairs(refused) do demand[#demand + 1] = account .. "=" .. text(now) end
  set("demand", table.concat(demand, " "))
  set("s:" .. me, text(seq)) set("r:" .. me, table.concat(result, " "))
  write()
  return answer("OK", result)
end
return answer("UNKNOWN")
