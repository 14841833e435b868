-- Prices and periods: USD per token become USD per million of them, and LiteLLM's durations budgets' periods.
local writer = require "lunette.import.writer"

local prices = {}

local per_token = { { "input", "input_cost_per_token" }, { "output", "output_cost_per_token" }, { "cached_input", "cache_read_input_token_cost" },
                    { "cache_write", "cache_creation_input_token_cost" }, { "reasoning", "output_cost_per_reasoning_token" },
                    { "audio_input", "input_cost_per_audio_token" }, { "audio_output", "output_cost_per_audio_token" } }

-- The price of a deployment, from its litellm_params or its model_info; nil: none is said. `free`: it costs nothing unless one is said.
function prices.of(params, info, free)
  local usd, said = {}, false
  for _, one in ipairs(per_token) do
    local n = params:number(one[2]) or info:number(one[2])
    if n and n > 1 then params.notes:add(params.node, "%s: over 1 USD a token: not carried over", one[2])
    else usd[one[1]], said = n, said or n ~= nil end
  end
  if not said and not free then return nil end
  local fields = writer.fields():put("input", (usd.input or 0) * 1e6):put("output", (usd.output or 0) * 1e6)
  for i = 3, #per_token do fields:put(per_token[i][1], usd[per_token[i][1]] and usd[per_token[i][1]] * 1e6) end
  return fields
end

local parts = { "tokens", "input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output", "image_input",
                "image_output", "request" }

-- A price as LiteLLM's list has it, as fields in a fixed order.
function prices.listed(price)
  local fields = writer.fields()
  for _, name in ipairs(parts) do fields:put(name, price[name]) end
  local above = {}
  for i, tier in ipairs(price.above or {}) do above[i] = prices.listed(tier) end
  fields:put("above", #above > 0 and writer.list(above) or nil)
  for _, name in ipairs { "flex", "priority", "batch" } do fields:put(name, price[name] and prices.listed(price[name])) end
  return fields
end

local units = { s = 1, m = 60, h = 3600, d = 86400, w = 604800, mo = 2592000, y = 31536000 }

-- "30d" as seconds; nil: not understood.
function prices.seconds(duration)
  local n, unit = (duration or ""):match "^%s*(%d+)%s*(%a+)%s*$"
  return n and units[unit] and tonumber(n) >= 1 and #n < 8 and tonumber(n) * units[unit] or nil
end

local calendar = { [3600] = "hour", [86400] = "day", [604800] = "week", [2592000] = "month" }

-- A duration as a period: per, window. Where no period is as long the stricter one is meant, and the third value says so.
function prices.period(duration)
  if not duration then return "ever" end
  local seconds = prices.seconds(duration)
  if not seconds then return "ever", nil, "is not understood: the budget is for ever" end
  if calendar[seconds] then return calendar[seconds] end
  if seconds < 60 then return "rolling", 60, "is shorter than a budget's period can be: 60 seconds" end
  if seconds > 2678400 then return "ever", nil, "is longer than a budget's period can be: for ever, the stricter" end
  return "rolling", seconds
end

return prices
