-- How building blocks read what a policy gives them. What makes no sense is refused when the policy is loaded: by its name, with the line of the
-- policy that says it. Each block names its options once, with what they must be.
local lunette = require "lunette"

local error, ipairs, pairs, type, tostring = error, ipairs, pairs, type, tostring
local floor, huge = math.floor, math.huge
local concat, format = table.concat, string.format

local options = {}

local function shown(v)
  if type(v) == "string" then return format("%q", v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  return "a " .. type(v)
end

local function bounds(rule)
  if rule.min and rule.max then return format(" from %g to %g", rule.min, rule.max) end
  if rule.min then return format(", %g or more", rule.min) end
  return ""
end

local function is_number(v, rule)
  return type(v) == "number" and v == v and v < huge and v >= (rule.min or -huge) and v <= (rule.max or huge)
end

-- Of each kind: what is wrong with a value, as it follows "is to be "; nil: nothing.
local kinds = {}

function kinds.number(v, rule)
  if not is_number(v, rule) then return "a number" .. bounds(rule) end
end

function kinds.count(v, rule)
  if not is_number(v, rule) or v ~= floor(v) or v < 0 then return "a whole number" .. bounds(rule) end
end

function kinds.seconds(v, rule)
  if not is_number(v, { min = rule.min or 0, max = rule.max or 86400 }) then return "a number of seconds" .. bounds(rule) end
end

function kinds.share(v)
  if not is_number(v, { min = 0, max = 1 }) then return "a share from 0 to 1" end
end

kinds["boolean"] = function(v)
  if type(v) ~= "boolean" then return "true or false" end
end

kinds["function"] = function(v)
  if type(v) ~= "function" then return "a function" end
end

function kinds.text(v)
  if type(v) ~= "string" or v == "" then return "a text" end
end

function kinds.texts(v)
  if type(v) ~= "table" or #v == 0 then return "a list of texts" end
  for _, text in ipairs(v) do
    if kinds.text(text) then return "a list of texts" end
  end
end

function kinds.choice(v, rule)
  for _, choice in ipairs(rule.of) do
    if v == choice then return nil end
  end
  return "one of " .. concat(rule.of, ", ")
end

function kinds.model(v)
  if kinds.text(v) then return "the name of a model" end
  if not lunette.has_model(v) then return "a name in `models` of gateway.lua" end
end

function kinds.canary(v)
  if kinds.text(v) then return "the name of a canary" end
  if not lunette.has_canary(v) then return "a name in `canaries` of gateway.lua" end
end

kinds["table"] = function(v)
  if type(v) ~= "table" then return "a table" end
end

function kinds.policy(v)
  if type(v) ~= "table" then return "a policy, a table of hooks" end
end

function kinds.models(v)
  if type(v) ~= "table" or #v == 0 then return "a list of names of models" end
  for _, model in ipairs(v) do
    local problem = kinds.model(model)
    if problem then return problem, model end
  end
end

local function known_names(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = tostring(name) end
  return concat(names, ", ")
end

-- What is wrong with a value under a rule { kind, … }, as a sentence that begins with its name; nil: nothing.
function options.problem(name, v, rule)
  local must, culprit = kinds[rule[1]](v, rule)
  if must then return format("%s is to be %s, got %s", name, must, shown(culprit == nil and v or culprit)) end
end

-- A copy of what was given, with defaults. `known`: { name = { kind, min =, max =, of =, default = } }; an option with no default may be left out,
-- unless it is `required`. `list`: the rule for the items of its list, if it has one. Raises at the line `level` above the caller (1).
function options.read(what, given, known, list, level)
  local read = {}
  local function refuse(problem) error(what .. ": " .. problem, (level or 1) + 3) end
  if given == nil then given = {} end
  if type(given) ~= "table" then refuse("a table of options is wanted, got " .. shown(given)) end
  for name, v in pairs(given) do
    local rule = known[name] or (list and type(name) == "number" and list)
    if not rule then refuse(format("there is no option %s; there are %s", shown(name), known_names(known))) end
    local problem = options.problem(type(name) == "number" and "number " .. name or name, v, rule)
    if problem then refuse(problem) end
    read[name] = v
  end
  for name, rule in pairs(known) do
    if read[name] == nil then read[name] = rule.default end
    if read[name] == nil and rule.required then refuse(name .. " is missing") end
  end
  return read
end

return options
