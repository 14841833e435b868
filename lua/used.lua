-- What targets have used lately: tokens of the last minute, money of a period. Counted by the policy itself, in the store: from the answers that came, so
-- not what is under way, and gone with the store. Hard limits are the gateway's: `budgets`, `tokens_per_minute`.
local lunette = require "lunette"
local options = require "lunette.options"

local error, ipairs, pairs = error, ipairs, pairs

local used = {}

local function tokens_of(target) return lunette.store.get("used.tokens/" .. target.name) or 0 end

-- Those with room under their rate limits first, the one that has used the fewest tokens in this minute in front: an order, as in `strategies`.
function used.least(targets)
  local free = targets:where(function(target) return target.requests_left > 0 and target.tokens_left > 0 end)
  return free:by(tokens_of) .. targets:by(tokens_of)
end

-- A hook `finish` that counts them.
function used.count(_, outcome)
  local usage, target = outcome.usage, outcome.target
  if usage and target then lunette.store.incr("used.tokens/" .. target.name, usage.input + usage.output, 60) end
end

local function key_of(account) return "used.money/" .. account end

local function own(target)
  local provider, name = target.provider.name, target.name
  return provider == name and { name } or { provider, name }
end

-- money { accounts = { openai = { limit = 100, seconds = 86400 } }, of = function(target) return { … } end }: what may be spent of an account in so many
-- seconds from the first that is spent; `of` gives the accounts of a target (its provider's name and its own). Gives `left`, a function of targets that
-- gives those with something left in all of theirs, and `finish`, a hook. The request that passes a limit is still let through: what it cost is known when
-- it is over.
function used.money(given)
  local o = options.read("used.money", given, { accounts = { "table", required = true }, of = { "function", default = own } })
  for name, account in pairs(o.accounts) do
    local problem = options.problem(name .. ".limit", account.limit, { "number", min = 0 })
                    or options.problem(name .. ".seconds", account.seconds, { "number", min = 1 })
    if problem then error("used.money: " .. problem, 2) end
  end
  local money = {}
  function money.left(targets)
    return targets:where(function(target)
      for _, name in ipairs(o.of(target)) do
        local account = o.accounts[name]
        if account and (lunette.store.get(key_of(name)) or 0) >= account.limit then return false end
      end
      return true
    end)
  end
  function money.finish(_, outcome)
    for _, attempt in ipairs(outcome.attempts) do
      for _, name in ipairs(attempt.cost > 0 and o.of(attempt.target) or {}) do
        if o.accounts[name] then lunette.store.incr(key_of(name), attempt.cost, o.accounts[name].seconds) end
      end
    end
  end
  return money
end

return used
