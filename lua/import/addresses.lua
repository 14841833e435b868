-- Where a deployment is: what all deployments at one address, with one key, the same headers and clocks share becomes a provider.
local secrets = require "lunette.import.secrets"
local writer = require "lunette.import.writer"

local addresses = {}

---- addresses ----

local function ended(base, behind)
  base = base:gsub("/+$", "")
  if not behind or base:sub(-#behind) == behind then return base end
  if behind == "/openai/v1" then base = base:gsub("/openai/?.*$", "") end
  return base .. behind
end

-- An api_base that is said, as a value; nil and why not.
local function said_base(import, entry, text)
  local name = secrets.variable(text)
  if name then
    import.secrets:want(name, "url")
    import.joins = import.joins or entry.behind ~= nil
    return entry.behind and writer.code("at(env(%s), %s)", name, entry.behind) or writer.code("env(%s)", name)
  end
  if entry.own then return nil, "another address than the provider's own, whose OpenAI-compatible interface is not known" end
  local base = ended(text, entry.behind)
  local problem = import.knows.url(base)
  if problem then return nil, "its api_base " .. problem end
  return base
end

local function base_of(import, entry, params)
  local text = params:text "api_base" or params:text "base_url"
  if text and text ~= "" then return said_base(import, entry, text) end
  if entry.base then return entry.base end
  if not entry.base_from then return nil, "it is asked where an api_base says, and there is none" end
  import.secrets:want(entry.base_from, "url")
  import.joins = import.joins or entry.behind ~= nil
  return entry.behind and writer.code("at(env(%s), %s)", entry.base_from, entry.behind) or writer.code("env(%s)", entry.base_from)
end

---- one provider ----

local function key_of(import, entry, params)
  local text = params:text "api_key"
  local said = params:get("api_base", "base_url")
  local own = not said or said.text == ""
  local name
  if text then
    name = import.secrets:name(params, "api_key", text, entry.key)
  elseif own and not entry.optional then
    name = import.secrets:want(entry.key)
  elseif not entry.optional then
    params:tell(params.at.api_base and "api_base" or "base_url", "no api_key is said: none is sent there")
  end
  return name and writer.code("secret %s", name)
end

-- Headers whose values are no secret.
local open_headers = { ["anthropic-beta"] = true, ["anthropic-version"] = true, ["openai-beta"] = true, ["http-referer"] = true, ["x-title"] = true,
                       ["user-agent"] = true, ["accept"] = true, ["openai-organization"] = true, ["openai-project"] = true }

local function header_value(import, headers, name, text)
  if open_headers[name:lower()] and not secrets.variable(text) and text:match "^[ -~]*$" then return text end
  local secret = import.secrets:name(headers, name, text, "HEADER_" .. name:upper():gsub("%W", "_"))
  return secret and writer.code("secret %s", secret)
end

local function headers_of(import, params)
  local fields = writer.fields()
  local organization = params:text "organization"
  if organization then
    local name = secrets.variable(organization)
    if name then import.secrets:want(name, "text") end
    fields:put("openai-organization", name and writer.code("env(%s)", name) or organization:match "^[ -~]*$" and organization or nil)
  end
  local headers = params:map "extra_headers"
  for name, node in headers:each() do
    if node.kind ~= "text" or not name:match "^[%w%-_]+$" then headers:tell(name, "not carried over: it is no header")
    else fields:put(name, header_value(import, headers, name, node.text)) end
  end
  return #fields > 0 and fields or nil
end

-- LiteLLM's `timeout` is how long nothing may come, as httpx has it.
local function timeouts_of(import, params)
  local seconds = params:number "timeout" or import.timeout
  if not seconds then return nil end
  if seconds < 0.001 or seconds > 86400 then return params:tell("timeout", "not carried over: seconds from 0.001 to 86400 are wanted") end
  local fields = writer.fields()
  if seconds < 5 then fields:put("connect", seconds) end
  fields:put("first_byte", seconds):put("idle", seconds)
  if seconds > 600 then fields:put("total", seconds) end
  import.longest = math.max(import.longest or 0, seconds)
  return fields
end

-- The name of the provider with these settings: one that is there, or a new one.
local function provider_named(import, name, fields)
  local text = writer.value(fields)
  local there = import.provider_of[name .. " " .. text]
  if there then return there end
  import.count[name] = (import.count[name] or 0) + 1
  local own = import.count[name] == 1 and name or name .. "_" .. import.count[name]
  import.provider_of[name .. " " .. text] = own
  import.providers:put(own, fields)
  return own, true
end

-- The name of the provider that a deployment is at, and whether it is new; nil and why there can be none. `entry` and `name` are those of providers.of.
function addresses.provider(import, entry, name, params)
  local base, why = base_of(import, entry, params)
  if not base then return nil, why end
  local fields = writer.fields():put("base_url", base):put("key", key_of(import, entry, params))
  fields:put("headers", headers_of(import, params)):put("timeouts", timeouts_of(import, params))
  return provider_named(import, name, fields)
end

return addresses
