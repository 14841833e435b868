-- From t.gateway{…} to a configuration that the real loader reads: a table of Lua, written down as gateway.lua; or a file.
local native, play = ...

local function copy_of(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

---- writing it down ----

local function written(value, secrets)
  local kind = type(value)
  if kind == "string" then return string.format("%q", value):gsub("\\\n", "\\n") end
  if kind == "number" then
    if value == math.huge then return "math.huge" end
    return (("%.17g"):format(value))
  end
  if kind == "boolean" then return tostring(value) end
  if kind ~= "table" then error("a configuration cannot hold a " .. kind, 0) end
  if value.secret then
    secrets[value.secret] = true
    return "secret " .. string.format("%q", value.secret)
  end
  local out, names = {}, {}
  for i = 1, #value do out[i] = (written(value[i], secrets)) end
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name
    elseif type(name) ~= "number" or name < 1 or name > #value then
      error("a configuration's table cannot have " .. tostring(name) .. " as a name", 0)
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do out[#out + 1] = "[" .. string.format("%q", name) .. "] = " .. (written(value[name], secrets)) end
  return "{ " .. table.concat(out, ", ") .. " }"
end

-- Fields of t.gateway{…} that are not settings of gateway.lua.
local ours = {}
for name in ("config settings providers models targets model seed web host environment wall price clients"):gmatch "%S+" do ours[name] = true end

local default_price = { input = 1, output = 2 }

local function target_of(what, model, times, price)
  if type(what) == "table" then
    if what.price == nil then
      what = copy_of(what)
      what.price = price
    end
    return what
  end
  local provider, upstream = what:match "^([^/]+)/(.+)$"
  if provider then return { provider = provider, model = upstream, price = price } end
  return { provider = what, model = model, name = times[what] == 1 and what or nil, price = price }
end

-- models = { m = { "a", "b/large", { provider = "c", … } } }; targets = { … } are those of one model, "m".
local function models_of(spec)
  local given, models, times, used = spec.models or { m = spec.targets or { "a" } }, {}, {}, {}
  local price = spec.price == nil and default_price or spec.price or nil
  for _, list in pairs(given) do
    for _, what in ipairs(list) do
      if type(what) == "string" then times[what] = (times[what] or 0) + 1 end
    end
  end
  for model, list in pairs(given) do
    models[model] = {}
    for i, what in ipairs(list) do
      models[model][i] = target_of(what, model, times, price)
      used[models[model][i].provider or ""] = true
    end
  end
  return models, used
end

-- `keys = 2`: so many made-up keys.
local function provider_config(name, what)
  local config = { dialect = "openai", base_url = "http://" .. name:gsub("[^%w-]", "-"):lower() .. ".spec.invalid/v1" }
  for field, value in pairs(play.is_settings(what) and what or {}) do
    if field ~= "answer" and field ~= "keys" and field ~= "key_probe" then config[field] = value end
  end
  local keys = play.is_settings(what) and what.keys or 0
  if keys > 0 then config.key = {} end
  for i = 1, keys do config.key[i] = { secret = ("%s_KEY_%d"):format(name:gsub("%W", "_"):upper(), i) } end
  return config
end

local function clients_of(list)
  local out = {}
  for i, client in ipairs(list) do
    out[i] = copy_of(client)
    out[i].key, out[i].hash = nil, client.hash or native.hash(client.key or client.name)
  end
  return out
end

-- Providers that nothing is said of answer with a greeting.
local function config_of(spec, secrets, scripts)
  local config = {}
  for name, value in pairs(spec) do
    if not ours[name] then config[name] = value end
  end
  local models, used = models_of(spec)
  config.models, config.providers = models, {}
  for name in pairs(used) do
    config.providers[name] = provider_config(name, scripts[name])
    scripts[name] = scripts[name] or {}
  end
  for name, what in pairs(spec.providers or {}) do
    if not used[name] and not spec.canaries then error("t.gateway: providers: no target is at `" .. tostring(name) .. "`", 0) end
    config.providers[name] = provider_config(name, what)
  end
  if spec.clients then config.clients = clients_of(spec.clients) end
  return "return " .. (written(config, secrets))
end

---- where files are ----

local function folder_of_spec()
  for level = 3, 20 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    local file = info.source:match "^@(.*)$"
    if file and not file:find "^lua/test" and not file:find("/busted/", 1, true) then return file:match "^(.*)/[^/]*$" or "." end
  end
  return "."
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

-- Beside the spec, else from where `lunette test` was started.
local function find_file(path, folder)
  if path:sub(1, 1) == "/" then return path end
  if exists(folder .. "/" .. path) then return folder .. "/" .. path end
  return path
end

local function is_text(policy) return policy:find("[\n{]") ~= nil or policy:find "^%s*return" ~= nil end

---- all of it ----

local function of_file(spec, options)
  options.path = find_file(spec.config, options.folder)
end

local function of_table(spec, options, secrets, scripts)
  local settings, policy = copy_of(spec), spec.policy
  if type(policy) == "string" and is_text(policy) then
    options.policy, policy = policy, "policy.lua"
  elseif type(policy) == "string" and not policy:find "^policies/" and not exists(options.folder .. "/" .. policy) then
    options.folder = "."
  end
  settings.policy = policy
  options.text = config_of(settings, secrets, scripts)
end

-- Everything a secret can be asked for with, made-up values for those that cannot be done without.
local function environment_of(given, invented)
  local list = {}
  for name, value in pairs(given) do list[#list + 1] = name .. "=" .. value end
  for name in pairs(invented) do
    if not given[name] then list[#list + 1] = name .. "=spec-" .. name end
  end
  table.sort(list)
  return list
end

-- Which ones those are the loader tells.
local function open(options, secrets, given)
  while true do
    options.environment = environment_of(given, secrets)
    local simulation, why = native.open(options)
    if simulation then return simulation end
    local more = false
    for name in why:gmatch "([%w_.-]+) is not set: set the environment variable" do
      more = more or not secrets[name]
      secrets[name] = true
    end
    if not more then return nil, (why:gsub("%s+$", "")) end
  end
end

-- The simulation, or nil and why. `scripts` gets an entry for each provider that nothing was said of.
return function(spec, options, scripts)
  local secrets = {}
  options.folder = folder_of_spec()
  if spec.config then of_file(spec, options)
  else of_table(spec, options, secrets, scripts) end
  return open(options, secrets, spec.environment or {})
end
