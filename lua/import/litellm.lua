-- A configuration of LiteLLM's proxy as gateway.lua and policy.lua. core/cli/import.c reads the YAML and prints what comes of it.
local deployments = require "lunette.import.deployments"
local reasons = require "lunette.import.reasons"
local routing = require "lunette.import.routing"
local secrets = require "lunette.import.secrets"
local settings = require "lunette.import.settings"
local tree = require "lunette.import.tree"
local writer = require "lunette.import.writer"

-- The values of LiteLLM's Helm chart have the configuration one level down.
local function within(root, notes)
  local map = tree.map(root, "", notes)
  local inner = not map.at.model_list and map:get "proxy_config"
  if not inner or inner.kind ~= "map" then return map end
  map:tell("proxy_config", "what stands in it is read, as LiteLLM's Helm chart has it; the rest of the file is not")
  return tree.map(inner, "", notes)
end

local function open(root, options)
  local notes = tree.notes()
  local map = within(root, notes)
  local folder = options.files[1]:match "^.*/" or ""
  local import = {
    -- How the files that are made name those that were read: as seen from the first one's folder.
    short = function(file) return file:sub(1, #folder) == folder and file:sub(#folder + 1) or file end,
    root = map, notes = notes, refused = tree.notes(), secrets = secrets.new(root), why = reasons.why,
    knows = options.knows, prices = options.prices,
    litellm = map:map "litellm_settings", router = map:map "router_settings", general = map:map "general_settings",
    environment = map:map "environment_variables",
    providers = writer.fields(), provider_of = {}, count = {},         -- what providers there are, by their settings and by name
    groups = {}, order = {}, targets = {}, last = {}, left = 0,                   -- deployments by model_name, and the names in their order
    accounts = {}, budgeted = {}, credentials = {}, aliases = {}, extra = {}, uses = {},
  }
  return import
end

local function read_credentials(import)
  for _, node in ipairs(import.root:list "credential_list") do
    local one = tree.map(node, "credential_list", import.notes)
    local name, values = one:text "credential_name", one:get "credential_values"
    if name and values and values.kind == "map" then import.credentials[name] = values end
  end
end

local function read_aliases(import)
  local aliases = import.router:map "model_group_alias"
  for alias, node in aliases:each() do
    local name = node.kind == "text" and node.text or tree.map(node, "", tree.notes()):text "model"
    if not name or not import.groups[name] then aliases:tell(alias, "not carried over: there is no such model here")
    elseif import.groups[alias] then aliases:tell(alias, "not carried over: there is a model of that name")
    elseif not alias:match "^[!-~][ -~]*$" or alias:find("*", 1, true) or alias == "auto" then
      aliases:tell(alias, "not carried over: no name that a model can have")
    else
      import.aliases[alias] = name
      import.aliases[#import.aliases + 1] = alias
    end
  end
end

-- Names first, then patterns, the narrower before the wider.
local function sort(import)
  import.sorted = {}
  for i, name in ipairs(import.order) do import.sorted[i] = { name = name, at = i, star = name:find("*", 1, true) and #name } end
  table.sort(import.sorted, function(a, b)
    if a.star and b.star and a.star ~= b.star then return a.star > b.star end
    if (not a.star) ~= (not b.star) then return not a.star end
    return a.at < b.at
  end)
  for i, one in ipairs(import.sorted) do import.sorted[i] = one.name end
end

local function models_of(import)
  local models, extra = writer.fields(), {}
  for name in pairs(import.extra) do extra[#extra + 1] = name end
  table.sort(extra)
  for _, name in ipairs(import.sorted) do
    if not name:find("*", 1, true) then models:put(name, deployments.written(import, import.groups[name])) end
  end
  for _, alias in ipairs(import.aliases) do
    local name = import.aliases[alias]
    models:put(alias, deployments.written(import, import.groups[name]), "model_group_alias of " .. name)
  end
  for _, name in ipairs(extra) do
    models:put(name, deployments.written(import, deployments.filled(import, import.extra[name].group, import.extra[name].fill)))
  end
  for _, name in ipairs(import.sorted) do
    if name:find("*", 1, true) then models:put(name, deployments.written(import, import.groups[name])) end
  end
  return models
end

local joining = [[

-- An address with a path behind it, once.
local function at(base, path)
  base = base and base:gsub("/+$", "")
  return base and base:sub(-#path) ~= path and base .. path or base
end
]]

local function head_of(import, name)
  local lines = { writer.comment(("From %s, by `lunette import litellm`."):format(name)) }
  if #import.notes > 0 then
    lines[#lines + 1] = "--"
    lines[#lines + 1] = "-- Not carried over, or not quite as it was:"
    for _, note in ipairs(import.notes) do lines[#lines + 1] = writer.comment(("  %s:%d: %s"):format(import.short(note.file), note.line, note.text)) end
  end
  return table.concat(lines, "\n") .. "\n"
end

local function gateway_of(import, policy, budgets)
  local fields, clients = writer.fields(), settings.clients(import)
  if clients then fields:put("listen", ":4000") end
  fields:put("policy", policy and "policy.lua"):put("providers", import.providers):put("models", models_of(import)):put("clients", clients)
  fields:put("health", routing.health(import)):put("budgets", budgets):put("zone", settings.zone(import))
  fields:put("limits", settings.limits(import)):put("cache", settings.cache(import)):put("redis", settings.redis(import)):put("prices", import.prices)
  return fields
end

local function rest(import)
  settings.environment(import)
  import.litellm:rest(import.why)
  import.router:rest(import.why)
  import.general:rest(import.why)
  import.root:rest(import.why)
  for name, account in pairs(import.accounts) do
    settings.need_prices(import, account.where, "provider_budget_config." .. name, function(d) return d.provider == name end)
  end
  for _, one in ipairs(import.budgeted) do
    settings.need_prices(import, one.deployment.node, "max_budget", function(d) return d == one.deployment end)
  end
end

local function by_place(files)
  local rank = {}
  for i, name in ipairs(files) do rank[name] = i end
  return function(a, b)
    if a.file ~= b.file then return (rank[a.file] or 0) < (rank[b.file] or 0) end
    if a.line ~= b.line then return a.line < b.line end
    return a.text < b.text
  end
end

-- From a tree to { gateway =, policy =, notes =, refused =, wanted =, models =, targets =, left = }. `options`: name, files (in the order in which they
-- were read), notes (of reading them), prices, knows (functions in C: sha256 of a key, zone by its name, url and redis: what is wrong with one, price of
-- LiteLLM's list).
return function(root, options)
  local import = open(root, options)
  for _, note in ipairs(options.notes) do import.notes:add(note, note.text) end
  if root.kind ~= "map" then
    import.refused:add(root, "a map with model_list is wanted here")
    return { refused = import.refused, notes = import.notes, wanted = {} }
  end
  routing.before(import)
  read_credentials(import)
  deployments.read(import, (import.root:list "model_list"))
  sort(import)
  read_aliases(import)
  local budgets = settings.budgets(import)
  local policy = routing.policy(import)
  local fields = gateway_of(import, policy, budgets)
  rest(import)
  table.sort(import.notes, by_place(options.files))
  if #import.order == 0 then import.refused:add(root, "no model is left that the gateway could serve") end
  local head = head_of(import, options.name)
  local targets = 0
  for _, name in ipairs(import.order) do targets = targets + #import.groups[name] end
  return {
    gateway = head .. (import.joins and joining or "") .. "\nreturn " .. writer.value(fields) .. "\n",
    policy = policy and writer.comment(("From %s, by `lunette import litellm`: what it says of routing."):format(options.name)) .. "\n" .. policy,
    notes = import.notes, refused = import.refused, wanted = import.secrets.wanted, models = #import.order, targets = targets, left = import.left,
  }
end
