-- general_settings, and what of litellm_settings is not about routing: who may ask, money, the cache, sizes, Redis.
local prices = require "lunette.import.prices"
local secrets = require "lunette.import.secrets"
local writer = require "lunette.import.writer"

local settings = {}

---- who may ask ----

-- The gateway knows keys by their hashes. Of a key in the file the hash is made here; of one in the environment whoever has it makes it.
function settings.clients(import)
  local text = import.general:text "master_key"
  if not text or text == "" then return nil end
  local name = secrets.variable(text)
  if name then
    local variable = import.secrets:want(name .. "_HASH", "hash")
    import.general:tell("master_key", "the gateway keeps hashes of keys: set %s to what this prints: printf %%s \"$%s\" | sha256sum "
                        .. "| sed 's/^/sha256:/;s/ .*//'", variable, name)
    return writer.code('{ env %s and { name = "master", hash = env(%s) } or false }', variable, variable)
  end
  local hash = import.knows.sha256(text)
  if not hash then return import.general:tell("master_key", "not carried over: it is too long to be a key") end
  import.general:tell("master_key", "its hash is kept, not its text; it opens what clients ask, and not the admin listener, which is on loopback")
  return writer.list { writer.fields():put("name", "master"):put("hash", hash) }
end

---- money ----

-- Models none of whose deployments (those for which `counts` is true, if it is given) have a price.
local function unpriced(import, counts)
  local list = {}
  for _, name in ipairs(import.order) do
    local priced, any = false, false
    for _, d in ipairs(import.groups[name]) do
      if not counts or counts(d) then priced, any = priced or d.fields.price ~= nil, true end
    end
    if any and not priced and not name:find("*", 1, true) then list[#list + 1] = name end
  end
  return list
end

-- A limit on money needs prices. LiteLLM has a list of its own; here a file says them.
function settings.need_prices(import, where, what, counts)
  local list = unpriced(import, counts)
  if import.prices or #list == 0 then return end
  local names = table.concat(list, ", ")
  import.refused:add(where, "%s: needs the prices of %s: say input_cost_per_token and output_cost_per_token there, or --prices FILE with LiteLLM's list, "
                     .. "model_prices_and_context_window.json (in its package: model_prices_and_context_window_backup.json)", what, names)
end

local function budget(import, map, limit, duration)
  local per, window, why = prices.period((map:text(duration)))
  if why then map:tell(duration, why) end
  return writer.fields():put("limit", math.min(limit, 9000000)):put("per", per):put("window", window)
end

-- A limit for each end user: a tag whose value is a header's, or, said by the policy, the `user` of the body.
local function user_budget(import)
  local limit, header = import.litellm:number "max_end_user_budget", import.general:text "user_header_name"
  if not limit then return nil end
  settings.need_prices(import, import.litellm:where "max_end_user_budget", "litellm_settings.max_end_user_budget")
  local fields = budget(import, import.litellm, limit, "budget_duration")
  if header and not header:match "^[%w%-]+$" then return import.general:tell("user_header_name", "not carried over: it is no header") end
  import.uses.end_user = not header or nil
  return writer.fields():put("end_user", fields:put("from", header and "header:" .. header:lower() or "policy"))
end

-- What stands for many models has no price of its own, and is refused where there is a limit.
local function tell_patterns(import)
  for _, name in ipairs(import.order) do
    for _, d in ipairs(name:find("*", 1, true) and import.groups[name] or {}) do
      if not d.fields.price then
        import.notes:add(d.node, "%s: with a limit on money its requests are refused (402): nobody knows what they cost. Say input_cost_per_token", name)
      end
    end
  end
end

function settings.budgets(import)
  local fields, limit = writer.fields(), import.litellm:number "max_budget"
  if limit then
    settings.need_prices(import, import.litellm:where "max_budget", "litellm_settings.max_budget")
    fields:put("total", budget(import, import.litellm, limit, "budget_duration"))
  end
  fields:put("tags", user_budget(import))
  if #fields == 0 then return nil end
  tell_patterns(import)
  return fields
end

---- cache ----

local kept = { ["local"] = true, redis = true }

function settings.cache(import)
  local on, params = import.litellm:boolean "cache", import.litellm:map "cache_params"
  local kind, ttl, mode = params:text "type" or "local", params:number "ttl", params:text "mode"
  for _, name in ipairs { "host", "port", "password", "url", "redis_url", "namespace" } do params:get(name) end         -- one note is about all of these
  params:rest(import.why)
  if not on then return nil end
  if mode == "default_off" then return params:tell("mode", "not carried over, and so no cache: it is for all requests or for none") end
  if not kept[kind] and not params.at.type then return nil end
  if not kept[kind] then
    import.litellm:tell("cache_params", "a cache of this type is not there: answers to equal requests are kept in memory") end
  if kind == "redis" then params:tell("type", "kept in the memory of each gateway; with `redis` and `cache = { redis = true }` in Redis too") end
  if ttl and (ttl <= 0 or ttl > 31622400) then ttl = nil end
  return writer.fields():put("ttl", ttl or 600):put("shared", true)
end

---- Redis ----

-- Lua for a part of the address, and what it may look like; nil: there is none.
local function part(import, name, kind, otherwise)
  local text = import.router:text(name)
  local variable = text and secrets.variable(text)
  if not variable then return (text or otherwise) and writer.quote(text or otherwise), text or otherwise end
  import.secrets:want(variable, kind)
  return (otherwise and writer.code("env(%s, %s)", variable, otherwise) or writer.code("env(%s)", variable)).text, otherwise or "host"
end

local function by_url(import, name, why)
  local variable = import.secrets:want(name, "redis")
  if why then import.router:tell(why, "set %s to redis://:PASSWORD@HOST:PORT/DB, as the host and the password are now", variable) end
  return writer.code("secret %s", variable)
end

function settings.redis(import)
  local url, password, ssl = import.router:text "redis_url", import.router:text "redis_password", import.router:boolean "redis_ssl"
  import.router:get "redis_username"
  if url then return by_url(import, import.secrets:name(import.router, "redis_url", url, "REDIS_URL") or "REDIS_URL") end
  if import.router:get "redis_host" and password and not password:match "^%s*$" then
    for _, name in ipairs { "redis_host", "redis_port", "redis_db" } do import.router:get(name) end
    return by_url(import, "REDIS_URL", "redis_password")
  end
  local host, like = part(import, "redis_host", "host")
  local port, like_port = part(import, "redis_port", "port", "6379")
  local db, scheme = import.router:number "redis_db", ssl and "rediss://" or "redis://"
  local path = db and ("/%d"):format(db) or ""
  if not host then return nil end
  local problem = import.knows.redis(scheme .. like .. ":" .. like_port .. path)
  if problem then return import.router:tell("redis_host", "not carried over: the address of Redis %s", problem) end
  local text = ("%s .. %s .. \":\" .. %s .. %s"):format(writer.quote(scheme), host, port, writer.quote(path))
  return writer.raw((text:gsub(' %.%. ""$', ""):gsub('" %.%. "', "")))       -- neighbours that are both literals; neither has quotes in it
end

---- sizes and times ----

local function size(map, name)
  local n = map:number(name)
  if n and (n < 1 or n > 1048576) then return map:tell(name, "not carried over: megabytes are wanted") end
  return n and ("%dMiB"):format(math.ceil(n))
end

function settings.limits(import)
  local fields = writer.fields()
  fields:put("body", size(import.general, "max_request_size_mb")):put("answer", size(import.general, "max_response_size_mb"))
  local deadline = (import.longest or 0) * import.tries
  if deadline > 590 then fields:put("deadline", math.min(deadline, 86400)) end
  return #fields > 0 and fields or nil
end

function settings.zone(import)
  local name = import.litellm:text "timezone"
  if name and not import.knows.zone(name) then return import.litellm:tell("timezone", "not carried over: no time zone of that name is known here") end
  return name
end

-- Variables that the file sets for LiteLLM: those that are asked for here have to be in the gateway's environment.
function settings.environment(import)
  for name in import.environment:each() do
    import.environment:tell(name, "not carried over: set it in the environment of the gateway, if it is asked for; what stands here is not copied")
  end
end

return settings
