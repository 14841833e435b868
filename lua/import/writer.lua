-- Lua as text, out of values. Whatever a text holds, it is one literal; whatever a comment holds, it is one line.
--
-- A value is a text, a number, true or false; Lua by writer.code and writer.raw; writer.list { … }; or writer.fields() with names in the order in which they
-- were put in.
local writer = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until while]]):gmatch "%a+" do
  keywords[word] = true
end

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

function writer.quote(text)
  return '"' .. text:gsub('[%c\\"\127]', function(c) return escapes[c] or ("\\%03d"):format(c:byte()) end) .. '"'
end

-- Line ends of other alphabets too (U+0085, U+2028, U+2029): an editor may show what follows as code.
function writer.comment(text)
  return "-- " .. text:gsub("[%c\127]", " "):gsub("\194\133", " "):gsub("\226\128[\168\169]", " ")
end

function writer.number(n) return n == math.floor(n) and math.abs(n) < 1e15 and ("%d"):format(n) or ("%.10g"):format(n) end

local Code, List, Fields = {}, {}, {}
Fields.__index = Fields

-- Lua in one of our own forms, its %s filled with quoted texts.
function writer.code(form, ...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = writer.quote((select(i, ...))) end
  return writer.raw(form:format(unpack(parts)))
end

-- Lua as it is: whoever calls has quoted what is the file's.
function writer.raw(text) return setmetatable({ text = text }, Code) end

function writer.list(items) return setmetatable({ items = items }, List) end
function writer.fields() return setmetatable({}, Fields) end

-- A field; nil is none. `comment` stands behind it, or behind an item of a list.
function Fields:put(name, value, comment)
  if value ~= nil then self[#self + 1] = { name = name, value = value, comment = comment } end
  return self
end

local function name_of(name)
  return name:match "^[%a_][%w_]*$" and not keywords[name] and name or "[" .. writer.quote(name) .. "]"
end

local function parts_of(value)
  local parts = {}
  if getmetatable(value) == List then
    for i, item in ipairs(value.items) do parts[i] = { value = item, comment = type(item) == "table" and item.comment or nil } end
  else
    for i, field in ipairs(value) do parts[i] = { name = name_of(field.name) .. " = ", value = field.value, comment = field.comment } end
  end
  return parts
end

local WIDTH = 140
local write

local function in_one_line(parts)
  local texts = {}
  for i, part in ipairs(parts) do
    if part.comment then return nil end
    texts[i] = (part.name or "") .. write(part.value, "")
    if texts[i]:find("\n", 1, true) then return nil end
  end
  return #texts == 0 and "{}" or "{ " .. table.concat(texts, ", ") .. " }"
end

function write(value, indent)
  if type(value) == "string" then return writer.quote(value) end
  if type(value) == "number" then return writer.number(value) end
  if type(value) == "boolean" then return tostring(value) end
  if getmetatable(value) == Code then return value.text end
  local parts = parts_of(value)
  local line = in_one_line(parts)
  if line and #indent + #line < WIDTH then return line end
  local lines, inner = { "{" }, indent .. "  "
  for _, part in ipairs(parts) do
    local comment = part.comment and "   " .. writer.comment(part.comment) or ""
    lines[#lines + 1] = inner .. (part.name or "") .. write(part.value, inner) .. "," .. comment
  end
  lines[#lines + 1] = indent .. "}"
  return table.concat(lines, "\n")
end

function writer.value(value, indent) return write(value, indent or "") end

return writer
