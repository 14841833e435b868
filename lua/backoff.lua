-- Back-off: how long to wait before the next try, and whether there is one.
local lunette = require "lunette"
local options = require "lunette.options"

local error, max, min, pairs, type = error, math.max, math.min, pairs, type

local backoff = {}

local JITTER = { jitter = { "share" }, jitter_seconds = { "seconds" } }

-- exponential { base = 1, max = 60, jitter = 0.5 }: a function of the tries so far (from 1) that gives seconds: base × 2^(tries−1), at most max,
-- ± 50 %. `jitter_seconds = 0.5`: ± 0.5 s. Without either: exact.
function backoff.exponential(given)
  local o = options.read("backoff.exponential", given, {
    base = { "seconds", default = 1 }, max = { "seconds", default = 60 }, jitter = JITTER.jitter, jitter_seconds = JITTER.jitter_seconds,
  })
  if o.max < o.base then error("backoff.exponential: max is to be base or more", 2) end
  return function(tries) return lunette.backoff(tries, o) end
end

-- ladder { 5, 10, 20, jitter = 0.5 }: these seconds in order; after the last one it stays there.
function backoff.ladder(given)
  local o = options.read("backoff.ladder", given, JITTER, { "seconds" })
  if #o == 0 then error("backoff.ladder: a list of seconds is wanted", 2) end
  return function(tries)
    local wait = o[min(tries, #o)]
    local around = o.jitter and wait * o.jitter or o.jitter_seconds or 0
    return around == 0 and wait or max(0, wait + around * (2 * lunette.random() - 1))
  end
end

-- What a `network` rule is about: nothing came, or it broke off.
local network = {
  connect_refused = true, dns = true, tls = true, connect_timeout = true, pool_full = true, reset = true, cut = true,
  first_byte_timeout = true, idle_timeout = true, total_timeout = true,
}

local function is_rule(v) return type(v) == "function" or v == "next" or v == "stop" end

local function check_rule(name, v)
  local status = type(name) == "number" and name >= 400 and name <= 599
  if not status and name ~= "4xx" and name ~= "5xx" and name ~= "network" then
    return "there is no rule for '" .. name .. "': rules are for a status from 400 to 599, \"4xx\", \"5xx\" or network"
  end
  if not is_rule(v) then return "the rule for " .. name .. ' is to be a back-off, "next" or "stop"' end
end

-- The status that stands for an error which came as an event of a stream, whose own status is 200.
local said = { rate_limited = 429, server_error = 500, overloaded = 503 }

local function rule_for(rules, attempt)
  local status = attempt.status
  if status and status < 400 then status = said[attempt.kind] end
  if network[attempt.kind] then return rules.network end
  if attempt.kind == "quota" or not status or status < 400 then return nil end      -- used up is not busy: waiting does not help
  return rules[status] or rules[status < 500 and "4xx" or "5xx"]
end

-- by_status { [429] = slow, ["5xx"] = quick, ["4xx"] = "stop", network = quick, retries = 3 }: a hook `retry`.
-- A back-off: the same target again, after what it gives or what the provider asked for, whichever is longer, at most `retries` times on
-- one target; then, and with "next", the next step of the plan. A status stands before its class. What no rule is for: nil, the default.
function backoff.by_status(given)
  if type(given) ~= "table" then error("backoff.by_status: a table of rules is wanted", 2) end
  local rules, retries = {}, given.retries
  for name, v in pairs(given) do
    local problem = name ~= "retries" and check_rule(name, v)
    if problem then error("backoff.by_status: " .. problem, 2) end
    rules[name] = v
  end
  local problem = options.problem("retries", retries, { "count", min = 0 })
  if problem then error("backoff.by_status: " .. problem, 2) end
  return function(_, attempt)
    local rule = rule_for(rules, attempt)
    if rule == nil then return nil end
    if rule == "stop" then return lunette.stop() end
    if rule == "next" or attempt.try > retries then return lunette.next() end
    return lunette.again(max(rule(attempt.try), attempt.retry_after or 0))
  end
end

return backoff
