-- Canaries: a new model in place of an old one, or a new version of a policy in place of the old, for as many requests as the canary's stage says. Which
-- stages there are, how long each lasts and what may fail is said by `canaries` in gateway.lua.
local lunette = require "lunette"
local options = require "lunette.options"

local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local format = string.format

local canary = {}

local hooks = { "classify", "budget", "select", "judge", "retry", "finish" }

-- Who is to stay on one side: the user, else the client's key, else the conversation; nil: it is left to chance.
function canary.who(request) return request.user or request.key.name or request.session end

-- models { canary = "kimi-k2", old = "deepseek-v3.2", new = "kimi-k2", who = function(request) … end }: a function of a request and its targets that
-- gives those of the new model with the old behind them, or of the old alone.
function canary.models(given)
  local o = options.read("canary.models", given, {
    canary = { "canary", required = true }, old = { "model", required = true }, new = { "model", required = true },
    who = { "function", default = canary.who },
  })
  if o.old == o.new then error("canary.models: old and new are the same model, '" .. o.old .. "'", 2) end
  return function(request, targets)
    local old = targets:of(o.old)
    if not lunette.canary(o.canary, o.who(request)) then return old end
    return targets:of(o.new) .. old
  end
end

---- two policies ----

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for name, value in pairs(a) do
    if not same(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

-- What holds for all requests of a policy can differ between the two no more than the requests' limits can.
local function merge(what, old, new)
  if old == nil and new == nil then return nil end
  local both = {}
  for name, value in pairs(old or {}) do both[name] = value end
  for name, value in pairs(new or {}) do
    if both[name] ~= nil and not same(both[name], value) then
      error(format("canary.between: %s.%s differs between the two policies", what, tostring(name)), 3)
    end
    both[name] = value
  end
  return both
end

-- between { canary = "router", old = require "old", new = require "new", who = function(request) … end }: one policy, whose hooks are those of the new
-- one for requests that are new, else those of the old. A hook of the new one that fails counts as an error of the canary. Settings of either can be
-- set; one that both have must be the same in both.
function canary.between(given)
  local o = options.read("canary.between", given, {
    canary = { "canary", required = true }, old = { "policy", required = true }, new = { "policy", required = true },
    who = { "function", default = canary.who },
  })
  local policy = { settings = merge("settings", o.old.settings, o.new.settings), limits = merge("limits", o.old.limits, o.new.limits) }
  if o.old.on_error ~= o.new.on_error then error("canary.between: on_error differs between the two policies", 2) end
  policy.on_error = o.old.on_error
  for _, name in ipairs(hooks) do
    local old, new = o.old[name], o.new[name]
    if old or new then
      policy[name] = function(request, about)
        local hook = old
        if lunette.canary(o.canary, o.who(request)) then hook = new end
        if hook then return hook(request, about) end
        return nil
      end
    end
  end
  return policy
end

return canary
