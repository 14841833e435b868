-- model_list: a deployment becomes a target, those of one model_name a model.
local addresses = require "lunette.import.addresses"
local known = require "lunette.import.providers"
local prices = require "lunette.import.prices"
local secrets = require "lunette.import.secrets"
local tree = require "lunette.import.tree"
local writer = require "lunette.import.writer"

local deployments = {}

-- Fields of the body that a deployment sets where a request does not.
local defaults = {}
for name in ([[temperature top_p top_k max_tokens max_completion_tokens presence_penalty frequency_penalty seed n reasoning_effort service_tier logprobs
  top_logprobs parallel_tool_calls stop user]]):gmatch "%S+" do defaults[name] = true end

local function scalar(node)
  if node.kind ~= "text" then return nil end
  if not node.plain then return node.text end
  if node.text == "true" or node.text == "false" then return node.text == "true" end
  return node.text:match "^%-?[%d%.]+$" and tonumber(node.text) or node.text
end

local function set_of(params)
  local fields = writer.fields()
  for i, name in ipairs(params.node.names) do
    local value = defaults[name] and scalar(params.node.items[i])
    if value ~= nil and not tree.is_nothing(params.node.items[i]) and not secrets.variable(tostring(value)) then
      params:get(name)
      fields:put(name, value)
    end
  end
  return #fields > 0 and fields or nil
end

local function facts_of(import, params, name)
  local facts = writer.fields()
  local order = params:number "order"
  local stream = params:number "stream_timeout" or import.stream_timeout
  if stream and (stream < 0.001 or stream > 86400) then stream = nil end
  facts:put("order", order):put("stream_timeout", stream):put("set", set_of(params))
  if import.accounts[name] then facts:put("account", name) end
  for _, field in ipairs(facts) do import.uses[field.name] = true end
  return #facts > 0 and facts or nil
end

local function supports_of(info)
  local can, all = {}, true
  for _, one in ipairs { { "tools", "supports_function_calling" }, { "images", "supports_vision" }, { "schema", "supports_response_schema" } } do
    if info:boolean(one[2]) == false then all = false
    else can[#can + 1] = one[1] end
  end
  return not all and writer.list(can) or nil
end

local function whole(map, name)
  local n = map:number(name, 1)
  if n and n ~= math.floor(n) then return map:tell(name, "a whole number is wanted: not carried over") end
  return n
end

-- By what a deployment is picked, as LiteLLM's simple-shuffle does: by the first of these that any of its group has.
local function weigh(group)
  local by, most
  for _, field in ipairs { "weight", "rpm", "tpm" } do
    most = 0
    for _, d in ipairs(group) do most = math.max(most, d[field] or 0) end
    by = most > 0 and field
    if by then break end
  end
  local scale = by and most > 1000000 and 1000000 / most or 1
  for _, d in ipairs(group) do d.fields.weight = by and #group > 1 and (d[by] or 0) * scale or nil end
end

local of_target = { "provider", "model", "name", "price", "requests_per_minute", "tokens_per_minute", "weight", "context", "max_output", "supports", "facts" }

local function text_of(target)
  local fields = writer.fields()
  for _, name in ipairs(of_target) do fields:put(name, target[name]) end
  return fields
end

-- Two targets of one name have to be the same, and a list has each once.
local function name_it(import, group, d)
  local base = d.fields.provider .. "/" .. d.fields.model
  local text = writer.value(text_of(d.fields))
  local name, n = base, import.last[base] or 1
  while import.targets[name] and (import.targets[name] ~= text or group[name]) do
    n = n + 1
    name = base .. "-" .. n
  end
  import.targets[name], group[name], import.last[base] = text, true, n
  if name ~= base then d.fields.name = name end
  d.name = name
end

local modes = { image_generation = true, image_edit = true, audio_transcription = true, audio_speech = true, rerank = true, moderation = true,
                video_generation = true, realtime = true, ocr = true, search = true, vector_store = true, batch = true }

-- Why the deployment as a whole cannot be; nil: it can.
local function hindrance(model_name, upstream, mode)
  if modes[mode] then return ("the gateway has no endpoint for mode %s"):format(mode) end
  if model_name == "auto" then return "`auto` is a name of the gateway's own" end
  if #model_name > 256 or not model_name:match "^[!-~][ -~]*$" or model_name:match " $" then
    return "a name of at most 256 printable ASCII characters is wanted"
  end
  if not upstream:match "^[!-~]+$" or #upstream > 200 then return "the provider's name of the model has other characters than ASCII's" end
  local star = model_name:find("*", 1, true)
  if star and star < #model_name then return "a pattern can have one *, at its end" end
  local _, stars = upstream:gsub("%*", "")
  if stars > 1 or (stars == 1 and not star) then return "its model has a * that nothing in model_name stands for" end
end

-- What stands in credential_list counts as said here, unless it is said here.
local function with_credentials(import, params)
  local name = params:text "litellm_credential_name"
  local node = name and import.credentials[name]
  if name and not node then params:tell("litellm_credential_name", "there is no such entry in credential_list") end
  if not node then return params end
  local merged = { kind = "map", file = params.node.file, line = params.node.line, names = {}, items = {}, lines = {} }
  for _, from in ipairs { params.node, node } do
    for i, one in ipairs(from.names) do
      if from == params.node or not params.at[one] then
        local n = #merged.names + 1
        merged.names[n], merged.items[n], merged.lines[n] = one, from.items[i], from.lines[i]
      end
    end
  end
  local map = tree.map(merged, params.path, params.notes)
  map:get "litellm_credential_name"
  return map
end

local function money(import, params, d)
  local limit = params:number "max_budget"
  local duration = params:text "budget_duration"
  if not limit then return end
  local seconds = prices.seconds(duration) or 3e9
  if duration and not prices.seconds(duration) then params:tell("budget_duration", "not understood: the budget is for ever") end
  import.budgeted[#import.budgeted + 1] = { deployment = d, limit = limit, seconds = seconds }
  params:tell("max_budget", "kept by the policy, from what answers have cost: the request that passes it is let through, and a restart begins anew")
end

-- The price of LiteLLM's list, where the gateway would not find it by the provider's name and the model's: of a base_model, and of a second provider of
-- that name.
local function listed(import, info, d)
  if not import.prices then return nil end
  local base = info:text "base_model"
  local price = base and import.knows.price(base)
  if base and not price then info:tell("base_model", "has no price in LiteLLM's list") end
  if not price and d.fields.provider ~= d.provider then
    price = import.knows.price(d.provider .. "/" .. d.fields.model) or import.knows.price(d.fields.model)
  end
  return price and prices.listed(price)
end

local function target_of(import, entry, params, info, d)
  d.weight, d.rpm, d.tpm = params:number "weight", params:number("rpm", 1) or d.rpm, params:number("tpm", 1) or d.tpm
  local fields = d.fields
  fields.price = prices.of(params, info, entry.free) or listed(import, info, d)
  fields.requests_per_minute = d.rpm and math.floor(d.rpm)
  fields.tokens_per_minute = d.tpm and math.floor(d.tpm)
  fields.context = whole(info, "max_input_tokens")
  local legacy = whole(info, "max_tokens")
  fields.max_output = whole(info, "max_output_tokens") or legacy
  fields.supports = supports_of(info)
  fields.facts = facts_of(import, params, d.provider)
end

local function left_out(import, item, model_name, why)
  import.notes:add(item, "%s: left out: %s", model_name, why)
  import.left = import.left + 1
end

local function group_of(import, model_name)
  local group = import.groups[model_name]
  if not group then
    group = {}
    import.groups[model_name] = group
    import.order[#import.order + 1] = model_name
  end
  return group
end

local function deployment(import, node, n)
  local path = ("model_list[%d]"):format(n)
  local item = tree.map(node, path, import.notes)
  local model_name = item:text "model_name"
  local params = item:map "litellm_params"
  if not model_name or not params.node then return left_out(import, node, path, "model_name and litellm_params are wanted") end
  params = with_credentials(import, params)
  local info, model = item:map "model_info", params:text "model"
  if not model then return left_out(import, node, model_name, "litellm_params.model is wanted") end
  local entry, name, upstream = known.of(model, params:text "custom_llm_provider")
  local why = not entry and name or hindrance(model_name, upstream, info:text "mode")
  if not why and params:get "mock_response" then why = "its answers are made up (mock_response)" end
  if why then return left_out(import, node, model_name, why) end
  local own, new = addresses.provider(import, entry, name, params)
  if not own then return left_out(import, node, model_name, new) end
  if new and entry.note then import.notes:add(node, "%s: %s", own, entry.note) end
  local d = { node = node, provider = name, rpm = item:number("rpm", 1), tpm = item:number("tpm", 1), fields = { provider = own, model = upstream } }
  target_of(import, entry, params, info, d)
  money(import, params, d)
  local group = group_of(import, model_name)
  group[#group + 1] = d
  params:rest(import.why)
  info:rest(import.why)
  item:rest(import.why)
end

function deployments.read(import, items)
  for n, node in ipairs(items) do deployment(import, node, n) end
  for _, model_name in ipairs(import.order) do
    local group = import.groups[model_name]
    weigh(group)
    for _, d in ipairs(group) do name_it(import, group, d) end
  end
end

-- The group of a pattern for one name that it stands for: `fill` is what its * is then.
function deployments.filled(import, group, fill)
  local own = {}
  for i, d in ipairs(group) do
    local fields = {}
    for name, value in pairs(d.fields) do fields[name] = value end
    fields.name, fields.model = nil, d.fields.model:gsub("%*", (fill:gsub("%%", "%%%%"))) .. ""
    own[i] = { node = d.node, provider = d.provider, fields = fields }
    name_it(import, own, own[i])
  end
  return own
end

-- The targets of a group as they stand in gateway.lua.
function deployments.written(import, group)
  local items = {}
  for i, d in ipairs(group) do
    items[i] = text_of(d.fields)
    items[i].comment = ("%s:%d"):format(import.short(d.node.file), d.node.line)
  end
  return writer.list(items)
end

return deployments
