-- What of `lunette` is written in Lua, because it calls a policy's functions (which may wait) or is plainer so. Runs once per
-- machine, at the first `require "lunette"`, and is given the table that this shows, with `native` from core/script in it.
local lunette = ...
local native = lunette.native

local error, ipairs, pairs, pcall, select, type = error, ipairs, pairs, pcall, select, type
local concat = table.concat
local find, gsub, lower = string.find, string.gsub, string.lower

---- degrade(models… | f) ----

function lunette.degrade(what, ...)
  local targets = native.all_targets()
  if type(what) == "function" then return native.degrade_to(targets:where(what)) end
  if type(what) ~= "string" and type(what) ~= "table" then
    error("degrade: expected names of models, or a function of a target, got " .. type(what), 2)
  end
  return native.degrade_to(targets:of(what, ...))
end

---- chat ----

local function words(text)
  return " " .. gsub(gsub(lower(text), "[^%w\128-\255_+#-]+", " "), "^ ?(.-) ?$", "%1") .. " "
end

local function bare(text) return (gsub(lower(text), "^%s*(.-)%s*$", "%1")) end

-- The only one that fits; nil also where there are several.
local function only(choices, fits)
  local found
  for _, choice in ipairs(choices) do
    if fits(words(choice)) then
      if found then return nil end
      found = choice
    end
  end
  return found
end

-- The choice that is the whole answer; or else the only one that is its words, or that stands in it as a word.
local function chosen(text, choices)
  local said, whole = words(text), bare(text)
  for _, choice in ipairs(choices) do
    if bare(choice) == whole then return choice end
  end
  if said == "  " then return nil end                                   -- nothing but signs
  return only(choices, function(its) return its == said end) or only(choices, function(its) return find(said, its, 1, true) end)
end

local function check_choices(choices)
  if type(choices) ~= "table" or #choices == 0 then error("chat: choices is to be a list of texts", 3) end
  for _, choice in ipairs(choices) do
    if type(choice) ~= "string" or choice == "" then error("chat: choices is to be a list of texts", 3) end
  end
end

function lunette.chat(options)
  if type(options) ~= "table" then error("chat{…}: expected a table of options, got " .. type(options), 2) end
  local choices = options.choices
  if choices == nil then return native.chat(options) end
  check_choices(choices)
  local text, why = native.chat(options, "Answer with exactly one of the following and nothing else: " .. concat(choices, ", "))
  if not text then return nil, why end
  local choice = chosen(text, choices)
  if not choice then return nil, "no_choice" end
  return choice
end

---- chain(policy, …) ----

local function first_of(hooks)
  return function(request, about)
    for i = 1, #hooks do
      local answer = hooks[i](request, about)
      if answer ~= nil then return answer end
    end
  end
end

local function all_of(hooks)
  return function(request, about)
    local why
    for i = 1, #hooks do
      local good, problem = pcall(hooks[i], request, about)
      if not good and why == nil then why = problem end
    end
    if why ~= nil then error(why, 0) end
  end
end

local function is_hook(name)
  for _, hook in ipairs(native.hooks) do
    if hook == name then return true end
  end
  return false
end

local function merge(into, from, what)
  for name, value in pairs(from) do
    if what == "setting" and into[name] ~= nil and into[name] ~= value then
      error("chain: two of the policies have a setting '" .. name .. "'", 5)
    end
    if into[name] == nil then into[name] = value end
  end
end

local function add_table(chained, name, value, what)
  if type(value) ~= "table" then
    chained[name] = value           -- whoever loads it says what is wrong
    return
  end
  chained[name] = chained[name] or {}
  merge(chained[name], value, what)
end

local function add_policy(chained, hooks, policy)
  for name, value in pairs(policy) do
    if is_hook(name) and type(value) == "function" then
      hooks[name] = hooks[name] or {}
      hooks[name][#hooks[name] + 1] = value
    elseif name == "settings" then
      add_table(chained, name, value, "setting")
    elseif name == "limits" then
      add_table(chained, name, value, "limit")
    elseif chained[name] == nil then
      chained[name] = value
    end
  end
end

function lunette.chain(...)
  local chained, hooks = {}, {}
  for i = 1, select("#", ...) do
    local policy = select(i, ...)
    if type(policy) ~= "table" then error("chain: argument " .. i .. " is to be a policy (a table of hooks), got " .. type(policy), 2) end
    add_policy(chained, hooks, policy)
  end
  for name, list in pairs(hooks) do
    if chained[name] == nil then
      chained[name] = (#list == 1 and list[1]) or (name == "finish" and all_of(list)) or first_of(list)
    end
  end
  return chained
end

lunette.native = nil             -- last: a run that is stopped in here begins anew
