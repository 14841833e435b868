-- Fallbacks: when a model's own targets have failed, those of other models are asked, in an order that is written down by name; after an input that is
-- too long, or a content filter, other models than after a failure.
local lunette = require "lunette"
local options = require "lunette.options"

local error, ipairs, max, min, pairs, type = error, ipairs, math.max, math.min, pairs, type
local format = string.format

local fallbacks = {}

local function check_chains(name, chains)
  for model, list in pairs(chains) do
    local problem = options.problem(format("%s[%q]", name, model), list, { "models" })
    if problem then error("fallbacks.policy: " .. problem, 4) end
  end
end

-- The models behind one, in order, each once: its own list, and behind each of that list those of its own. At most `most`.
local function chain_of(o, model)
  local chain, seen = {}, { [model] = true }
  local function walk(name)
    for _, other in ipairs(o.of[name] or o.otherwise or {}) do
      if #chain == o.most then return end
      if not seen[other] then
        seen[other] = true
        chain[#chain + 1] = other
        walk(other)
      end
    end
  end
  walk(model)
  return chain
end

local function has(targets, target)
  for i = 1, #targets do
    if targets[i].name == target.name then return true end
  end
  return false
end

-- How many attempts of the request were at one of these, and how many of these were asked.
local function asked(request, targets)
  local attempts, different, seen = 0, 0, {}
  for _, attempt in ipairs(request.attempts) do
    local name = attempt.target.name
    if has(targets, attempt.target) then
      attempts = attempts + 1
      different = different + (seen[name] and 0 or 1)
      seen[name] = true
    end
  end
  return attempts, different
end

-- Kinds of ends after which the same target is not asked again without being told to; the others of its model are.
local once = { auth = true, quota = true, not_found = true, too_long = true, filtered = true, bad_request = true }

local function ordered(o, targets, request)
  local well = targets:healthy()
  if o.fits then well = well:can(request) .. well end
  return #well > 0 and o.order(well, request) .. targets or o.order(targets, request)
end

-- Of a model's targets as many as there are tries.
local function tries_of(o)
  local tries = o.retries
  for _, n in pairs(o.retries_of) do tries = max(tries, n) end
  return tries + 1
end

local function groups(o, request)
  local list = { request.targets:asked() }
  for _, model in ipairs(chain_of(o, request.model)) do list[#list + 1] = request.targets:of(model) end
  return list
end

-- The models to go to instead of the plan, because of an attempt that ended in such a way; nil: there are none.
local function detour(o, request)
  for _, attempt in ipairs(request.attempts) do
    local other = attempt.kind == "too_long" and o.too_long or attempt.kind == "filtered" and o.filtered
    local chain = other and other[request.model] or (o.wrong and attempt.kind == "bad_request" and chain_of(o, request.model))
    if chain and #chain > 0 then return chain end
  end
end

local function follow(o, request, chain)
  for _, model in ipairs(chain) do
    local targets = request.targets:of(model)
    if #targets > 0 and asked(request, targets) == 0 then return lunette.try(ordered(o, targets, request)[1]) end
  end
  return lunette.stop()
end

local function wait_for(o, attempt, n)
  local told = attempt.retry_after
  return told and told <= o.patience and told or o.wait(n)
end

-- Asked again: nothing but the same target is left of its model, and there are tries left.
local function again(o, request, attempt, group)
  local attempts, different = asked(request, group)
  local own = o.retries_of[attempt.kind]
  local left = attempts <= (own or (once[attempt.kind] and 0 or o.retries))
  if not left or different < min(#group, tries_of(o)) then return nil end
  if attempt.kind == "rate_limited" and not own and #chain_of(o, request.model) > 0 then return nil end
  return lunette.again(wait_for(o, attempt, attempts))
end

local function retry(o, request, attempt)
  local chain = detour(o, request)
  for _, group in ipairs(groups(o, request)) do
    local decision = not chain and has(group, attempt.target) and again(o, request, attempt, group)
    if decision then return decision end
  end
  if chain then return follow(o, request, chain) end
end

-- A list of steps out of targets, where something is said of how they are asked.
local function as_steps(o, plan, request)
  local steps = {}
  for i = 1, #plan do steps[i] = o.step(plan[i], request) or plan[i] end
  return steps
end

local function select(o, request, targets)
  if request.model == "auto" then return nil end                        -- no model's list: the default plan over all of them
  local plan, tries = targets:first(0), tries_of(o)
  local function add(group)
    if o.left then group = o.left(group) end
    if #group > 0 then plan = plan .. ordered(o, group, request):first(tries) end
  end
  local long = o.fits and o.too_long[request.model]
  if long and #targets:asked():can(request) == 0 then
    for _, model in ipairs(long) do add(targets:of(model)) end
  end
  for _, group in ipairs(groups(o, request)) do add(group) end
  if #plan == 0 and o.left then return lunette.refuse { status = 429, message = "What may be spent is spent, at all providers of this model." } end
  return o.step and as_steps(o, plan, request) or plan
end

-- So many attempts as the longest chain can take.
local function attempts_of(o)
  local longest = #chain_of(o, "")
  for model in pairs(o.of) do longest = max(longest, #chain_of(o, model)) end
  for _, chains in ipairs { o.too_long, o.filtered } do
    for _, list in pairs(chains) do longest = max(longest, #list) end
  end
  return min(100, (longest + 1) * tries_of(o))
end

local function second(n) return lunette.backoff(n, { base = 0.5, max = 8, jitter = 0.25 }) end

-- policy { of = { ["gpt-4.1"] = { "claude-sonnet-4.5", "deepseek-v3.2" } } }: a policy with the hooks `select` and `retry`, and `limits`.
--   of            the models behind a model, by its name; behind each of them come its own
--   otherwise     the models behind those that `of` does not name
--   too_long      as `of`: where to go, instead of on with the plan, when the input is too long for a model; filtered: when a content filter refused
--   wrong         true: a request that was refused as wrong goes on to the models of `of`, of which one may take it; else it stops
--   most          how many models are asked behind the first (5)
--   order         in which order a model's targets are asked: a function of targets and the request, as in `strategies`; as listed
--   retries       how often a model's targets are asked beyond the first time: each of them once, then the last one again (0)
--   retries_of    the same by kind of end: { rate_limited = 3 }; a key that was refused, say, is not tried again without it
--   wait          seconds before the same target is asked again: a function of the attempts so far (0.5, 1, 2, … 8 s ± 25 %)
--   patience      what the provider says of that holds, up to so many seconds (60)
--   fits          targets whose context takes the request come first, and where none does, those of `too_long`
--   left          a function of targets that gives those that may be used
--   step          a function of a target and the request that gives a step, or nil: as it is
-- Of `auto` it says nothing. A rate limit goes on to the next model at once, where there is one.
function fallbacks.policy(given)
  local o = options.read("fallbacks.policy", given, {
    of = { "table", default = {} }, otherwise = { "models" }, too_long = { "table", default = {} }, filtered = { "table", default = {} },
    wrong = { "boolean", default = false }, most = { "count", min = 0, max = 100, default = 5 },
    order = { "function", default = function(targets) return targets end },
    retries = { "count", min = 0, max = 50, default = 0 }, retries_of = { "table", default = {} }, wait = { "function", default = second },
    patience = { "seconds", default = 60 }, fits = { "boolean", default = false }, left = { "function" }, step = { "function" },
  })
  for _, name in ipairs { "of", "too_long", "filtered" } do check_chains(name, o[name]) end
  for kind, n in pairs(o.retries_of) do
    local problem = type(kind) == "string" and options.problem("retries_of." .. kind, n, { "count", min = 0, max = 50 })
    if problem then error("fallbacks.policy: " .. problem, 2) end
  end
  return {
    limits = { attempts = attempts_of(o), retries = false },
    select = function(request, targets) return select(o, request, targets) end,
    retry = function(request, attempt) return retry(o, request, attempt) end,
  }
end

return fallbacks
