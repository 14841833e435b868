-- JSON for specs: names in byte order, so that what is written repeats. null is nothing in tables with names, and `null` in lists.
local native = ...

local encode
local list_mark = {}
local null = native.json_decode "[null]"[1]

local function number_text(value)
  local text = string.format("%.14g", value)
  return tonumber(text) == value and text or string.format("%.17g", value)
end

local function encode_list(list)
  local out = {}
  for i = 1, #list do out[i] = encode(list[i]) end
  return "[" .. table.concat(out, ",") .. "]"
end

local function encode_object(object)
  local names, out = {}, {}
  for name in pairs(object) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for i, name in ipairs(names) do out[i] = native.json_quote(name) .. ":" .. encode(object[name]) end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if value == nil or value == null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return number_text(value) end
  if kind == "string" then return native.json_quote(value) end
  if kind ~= "table" then error("JSON has no form for a " .. kind, 0) end
  if value[1] ~= nil or getmetatable(value) == list_mark then return encode_list(value) end
  return encode_object(value)
end

return {
  encode = encode, decode = native.json_decode, null = null,
  array = function(list) return setmetatable(list or {}, list_mark) end,      -- an empty list is written as []
}
