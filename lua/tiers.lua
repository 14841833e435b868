-- Tiers: groups that questions or users are put into by a word, and what follows from the tier.
local options = require "lunette.options"

local error, ipairs, pairs, type = error, ipairs, pairs, type

local tiers = {}

local TIER = { seconds = { "seconds", min = 0.001, required = true }, tasks = { "texts" } }

local function read_tiers(given)
  local seconds, of = {}, {}
  for name, tier in pairs(given) do
    if name ~= "connect" and name ~= "otherwise" then
      local o = options.read("tiers.timeouts: " .. name, tier, TIER, nil, 2)
      seconds[name] = o.seconds
      for _, task in ipairs(o.tasks or {}) do
        if of[task] then error("tiers.timeouts: the task '" .. task .. "' is in two tiers", 3) end
        of[task] = name
      end
    end
  end
  return seconds, of
end

-- The clocks of a step that has so many seconds: a whole answer must be there in that time; a stream must begin.
function tiers.clocks(seconds, request)
  return { first_byte = seconds, total = not request.stream and seconds or nil }
end

-- timeouts { fast = { seconds = 1, tasks = { "faq" } }, slow = { seconds = 8 }, connect = 0.5, otherwise = "slow" }: two functions. The first gives
-- the tier of a task; the second, of a tier and a request, the clocks of a step.
function tiers.timeouts(given)
  if type(given) ~= "table" then error("tiers.timeouts: a table of tiers is wanted", 2) end
  local o = options.read("tiers.timeouts", { connect = given.connect, otherwise = given.otherwise }, {
    connect = { "seconds", min = 0.001 }, otherwise = { "text", required = true },
  })
  local seconds, of = read_tiers(given)
  if not seconds[o.otherwise] then error("tiers.timeouts: otherwise = '" .. o.otherwise .. "' is none of the tiers", 2) end
  local function tier(task) return of[task or ""] or o.otherwise end
  local function clocks(name, request)
    local step = tiers.clocks(seconds[name] or seconds[o.otherwise], request)
    step.connect = o.connect
    return step
  end
  return tier, clocks
end

-- user { "free", "premium", tag = "tier" }: a function of a request that gives its user's tier, the first of the list where none of them is said. On a
-- gateway with `clients` the tag of the client's own entry counts, which it cannot choose; on an open one, that of the request.
function tiers.user(given)
  local o = options.read("tiers.user", given, { tag = { "text", default = "tier" } }, { "text" })
  if #o == 0 then error("tiers.user: a list of tiers is wanted", 2) end
  local known = {}
  for _, name in ipairs(o) do known[name] = true end
  return function(request)
    local tags = request.key.name and request.key.tags or request.tags
    local said = tags[o.tag]
    return known[said or ""] and said or o[1]
  end
end

return tiers
