-- router_settings, and what of litellm_settings is about routing: retries, fallbacks, the strategy. It becomes policy.lua.
local prices = require "lunette.import.prices"
local providers = require "lunette.import.providers"
local tree = require "lunette.import.tree"
local writer = require "lunette.import.writer"

local routing = {}

---- what is said in one of two places ----

-- router_settings stands before litellm_settings, as in LiteLLM.
local function either(import, method, name, ...)
  local value = import.router[method](import.router, name, ...)
  local other = import.litellm[method](import.litellm, name, ...)
  if value == nil then return other end
  return value
end

---- before the models are read ----

local function seconds(map, name)
  local n = map:number(name)
  if n and (n < 0.001 or n > 86400) then return map:tell(name, "not carried over: seconds from 0.001 to 86400 are wanted") end
  return n
end

local function read_accounts(import)
  local config = import.router:map "provider_budget_config"
  for name in config:each() do
    local one = config:map(name)
    local limit, period = one:number "budget_limit" or one:number "max_budget", one:text "time_period" or one:text "budget_duration"
    if not providers.of(name .. "/x") then config:tell(name, "not carried over: no such provider is carried over")
    elseif limit then
      import.accounts[name] = { limit = limit, seconds = prices.seconds(period) or 3e9, where = config:where(name) }
      config:tell(name, "kept by the policy, from what answers have cost: the request that passes it is let through, and a restart begins anew")
      if period and not prices.seconds(period) then one:tell("time_period", "not understood: the budget is for ever") end
    end
    one:rest(import.why)
  end
end

-- What deployments take where they say nothing themselves.
function routing.before(import)
  local own, all = seconds(import.router, "timeout"), seconds(import.litellm, "request_timeout")
  import.timeout = own or all
  import.stream_timeout = seconds(import.router, "stream_timeout")
  read_accounts(import)
end

---- fallbacks ----

-- Whether the gateway will know that model. One that only a pattern fits gets an entry of its own, so that a policy can name it.
local function exists(import, name)
  if import.groups[name] or import.extra[name] then return true end
  if import.aliases[name] then return true end
  for _, model_name in ipairs(import.sorted) do
    local star = model_name:find("*", 1, true)
    if star and name:sub(1, star - 1) == model_name:sub(1, star - 1) and not name:find "[^ -~]" then
      import.extra[name] = { group = import.groups[model_name], fill = name:sub(star) }
      return true
    end
  end
  return false
end

local function names_of(import, node, path)
  local list, seen = {}, {}
  for _, item in ipairs(node.kind == "list" and node.items or { node }) do
    local name = item.kind == "text" and item.text
    for i, field in ipairs(item.names or {}) do
      if field == "model" and item.items[i].kind == "text" then name = item.items[i].text end
    end
    if not name then import.notes:add(item, "%s: not carried over: the name of a model is wanted", path)
    elseif not exists(import, name) then import.notes:add(item, "%s: %s is left out: there is no such model here", path, name)
    elseif not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  return list
end

local function add_chain(import, chains, name, node, path)
  local list = names_of(import, node, path)
  if #list == 0 then return end
  if name ~= "*" and not exists(import, name) then
    import.notes:add(node, "%s: not carried over: there is no model %s here", path, name)
  elseif not chains[name] then
    chains[name] = list
    chains[#chains + 1] = name
  end
end

-- [{ model: [others] }, …], or the same as one map.
local function chains_of(import, name)
  local chains = {}
  for _, map in ipairs { import.router, import.litellm } do
    local node = map:get(name)
    for _, item in ipairs(node and (node.kind == "list" and node.items or { node }) or {}) do
      local one = tree.map(item, map:path_of(name), import.notes)
      for model, list in one:each() do add_chain(import, chains, model, list, map:path_of(name)) end
    end
    if #chains > 0 then return chains end
  end
  return chains
end

-- An alias has the chain of what it stands for, unless it has its own.
local function with_aliases(import, chains)
  for _, alias in ipairs(import.aliases) do
    local real = import.aliases[alias]
    if chains[real] and not chains[alias] then
      chains[alias] = chains[real]
      chains[#chains + 1] = alias
    end
  end
  return chains
end

local function chains_written(chains)
  local fields = writer.fields()
  for _, name in ipairs(chains) do
    if name ~= "*" then fields:put(name, writer.list(chains[name])) end
  end
  return #fields > 0 and fields or nil
end

local function otherwise(import, chains)
  if chains["*"] then return writer.list(chains["*"]) end
  for _, map in ipairs { import.router, import.litellm } do
    local node = map:get "default_fallbacks"
    local list = node and names_of(import, node, map:path_of "default_fallbacks") or {}
    if #list > 0 then return writer.list(list) end
  end
end

---- retries ----

local kinds = {
  AuthenticationErrorRetries = { "auth" }, RateLimitErrorRetries = { "rate_limited", "quota" }, ContentPolicyViolationErrorRetries = { "filtered" },
  TimeoutErrorRetries = { "connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout" },
  InternalServerErrorRetries = { "server_error", "overloaded" },
}

local function count(map, name)
  local n = map:number(name)
  if n and (n ~= math.floor(n) or n > 50) then return map:tell(name, "not carried over: a whole number up to 50 is wanted") end
  return n
end

local function retries_of(import)
  local policy, fields = import.router:map "retry_policy", writer.fields()
  for name in policy:each() do
    local n = count(policy, name)
    if n and not kinds[name] then policy:tell(name, "not carried over: such an error is not tried again here") end
    for _, kind in ipairs(n and kinds[name] or {}) do fields:put(kind, n) end
  end
  return #fields > 0 and fields or nil
end

local function wait_of(import)
  local least = either(import, "number", "retry_after")
  if not least or least == 0 or least > 3600 then return nil end
  import.uses.lunette = true
  local form = "function(tries) return math.max(%s, lunette.backoff(tries, { base = 0.5, max = 8, jitter = 0.25 })) end"
  return writer.raw(form:format(writer.number(least)))
end

---- the strategy ----

local strategies = {
  ["simple-shuffle"] = { uses = "strategies", order = "strategies.weighted(targets)" },
  ["least-busy"] = { uses = "strategies", order = 'strategies.weighted(targets):by "in_flight"' },
  ["usage-based-routing"] = { uses = "used", order = "used.least(targets)", finish = "used.count" },
  ["latency-based-routing"] = { uses = "strategies", before = "local fastest = strategies.least_latency { last = 10 }\n", order = "fastest(targets)" },
  ["cost-based-routing"] = {
    before = "local function price(target) return (target.price.input or math.huge) + (target.price.output or math.huge) end\n", order = "targets:by(price)" },
}
strategies["usage-based-routing-v2"] = strategies["usage-based-routing"]

local function strategy_of(import)
  local name = either(import, "text", "routing_strategy") or "simple-shuffle"
  local strategy = strategies[name]
  if not strategy then
    local said = import.router.at.routing_strategy and import.router or import.litellm
    said:tell("routing_strategy", "it is none of the known ones: simple-shuffle stands in for it")
    strategy = strategies["simple-shuffle"]
  end
  import.uses[strategy.uses or "price"] = true
  return strategy, name
end

local function order_text(import, strategy, name)
  local order = strategy.order .. (import.uses.order and ":by(function(target) return target.facts.order end)" or "")
  return ("%s-- routing_strategy: %s\nlocal function order(targets)\n  return %s\nend\n"):format(strategy.before or "", name, order)
end

---- the file ----

-- What a deployment says of how it is asked: stands in the target's facts.
local step_text = [[

-- What gateway.lua says of a target in `facts`: how long a stream may be silent, and fields of the body that a request does not say itself.
local function step(target, request)
  local seconds, set = request.stream and target.facts.stream_timeout or nil, {}
  for name, value in pairs(target.facts.set or {}) do
    if request:param(name) == nil then set[name] = value end
  end
  return { target = target, first_byte = seconds, idle = seconds, set = set }
end
]]

local function money_text(import)
  local accounts, any = writer.fields(), false
  for name, account in pairs(import.accounts) do
    accounts:put(name, writer.fields():put("limit", account.limit):put("seconds", account.seconds))
    any = true
  end
  for _, one in ipairs(import.budgeted) do
    accounts:put(one.deployment.name, writer.fields():put("limit", one.limit):put("seconds", one.seconds))
    any = true
  end
  if not any then return "" end
  table.sort(accounts, function(a, b) return a.name < b.name end)
  import.uses.used, import.uses.money = true, true
  return ("\n-- What may be spent in so many seconds, from the first that is spent.\nlocal money = used.money {\n  accounts = %s,\n"
          .. "  of = function(target) return { target.facts.account or \"\", target.name } end,\n}\n"):format(writer.value(accounts, "  "))
end

local function finish_text(import, strategy)
  local money = import.uses.money
  if money and strategy.finish then
    return ("policy.finish = function(request, outcome)\n  %s(request, outcome)\n  money.finish(request, outcome)\nend\n"):format(strategy.finish)
  end
  return money and "policy.finish = money.finish\n" or strategy.finish and "policy.finish = " .. strategy.finish .. "\n" or ""
end

-- Who pays, where a limit for each end user is charged by the `user` of the body. What a tag's value cannot be is charged by its hash.
local user_text = [[policy.classify = function(request)
  local user = request.user
  if user and (#user > 128 or not user:match "^[%w_%-%.:@/+=~]+$") then user = "hash:" .. lunette.hash(user) end
  if user then lunette.charge { end_user = user } end
end
]]

local function options_of(import)
  local o, code = writer.fields(), writer.code
  local chains = with_aliases(import, chains_of(import, "fallbacks"))
  local said = either(import, "number", "num_retries")
  o:put("of", chains_written(chains)):put("otherwise", otherwise(import, chains))
  o:put("too_long", chains_written(with_aliases(import, chains_of(import, "context_window_fallbacks"))))
  o:put("filtered", chains_written(with_aliases(import, chains_of(import, "content_policy_fallbacks"))))
  if #o > 0 then o:put("wrong", true) end
  o:put("most", count(import.router, "max_fallbacks"))
  o:put("order", code "order"):put("retries", math.min(math.floor(said or 2), 50)):put("retries_of", retries_of(import)):put("wait", wait_of(import))
  if either(import, "boolean", "enable_pre_call_checks") then o:put("fits", true) end
  if import.uses.money then o:put("left", code "money.left") end
  if import.uses.stream_timeout or import.uses.set then o:put("step", code "step") end
  return o, said
end

local function several(import)
  for _, name in ipairs(import.order) do
    if #import.groups[name] > 1 then return true end
  end
  return false
end

-- The text of policy.lua, or nil: nothing needs one. Looks at all that it knows of the settings in any case.
function routing.policy(import)
  local strategy, name = strategy_of(import)
  local money = money_text(import)
  local o, said = options_of(import)
  import.router:get "num_retries"
  import.tries = (said or 2) + 1
  local plain = not said and #o == 2 and money == "" and not several(import) and not import.uses.end_user
  if plain then return nil end
  local lines = {}
  for _, block in ipairs { "fallbacks", "strategies", "used" } do
    if block == "fallbacks" or import.uses[block] then lines[#lines + 1] = ("local %s = require \"lunette.%s\"\n"):format(block, block) end
  end
  if import.uses.lunette or import.uses.end_user then table.insert(lines, 2, 'local lunette = require "lunette"\n') end
  local step = (import.uses.stream_timeout or import.uses.set) and step_text or ""
  return table.concat(lines) .. "\n" .. order_text(import, strategy, name) .. step .. money
         .. "\nlocal policy = fallbacks.policy " .. writer.value(o) .. "\n" .. finish_text(import, strategy)
         .. (import.uses.end_user and user_text or "") .. "\nreturn policy\n"
end

---- health ----

function routing.health(import)
  if either(import, "boolean", "disable_cooldowns") then return false end
  local fails, rest = either(import, "number", "allowed_fails"), either(import, "number", "cooldown_time")
  if not fails and not rest then return nil end
  return writer.fields():put("failures", math.min(math.floor(fails or 3) + 1, 100000)):put("rest", math.min(rest or 5, 86400))
end

return routing
