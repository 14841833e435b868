-- A configuration in YAML as core/cli/import.c hands it over, looked at name by name. What nobody has looked at by the end is told: so nothing of a file is
-- passed over in silence.
--
-- A node is { kind = "text" | "list" | "map", file =, line =, text =, plain =, items =, names =, lines = }.
local tree = {}

local nothing = { [""] = true, ["~"] = true, null = true, Null = true, NULL = true }
local truth = { ["true"] = true, yes = true, on = true, ["false"] = false, no = false, off = false }

function tree.is_nothing(node) return not node or (node.kind == "text" and node.plain and nothing[node.text]) or false end

-- Notes: what is told at the end, each with file and line. Names of the file may be in them: control characters are not let through to a terminal.
local Notes = {}
Notes.__index = Notes

function tree.notes() return setmetatable({}, Notes) end

function Notes:add(node, text, ...)
  text = select("#", ...) > 0 and text:format(...) or text
  self[#self + 1] = { file = node.file, line = node.line, text = text:gsub("[%c\127]", "?"):gsub("\194[\128-\159]", "?") .. "" }
end

-- A map that is read. `path` is how notes call it: "router_settings"; `place` is where it would stand, if there is none.
local Map = {}
Map.__index = Map

function tree.map(node, path, notes, place)
  local map = setmetatable({ node = node, path = path, notes = notes, place = node or place, read = {}, at = {} }, Map)
  if node and node.kind == "map" then
    for i, name in ipairs(node.names) do map.at[name] = i end
  elseif not tree.is_nothing(node) then
    notes:add(node, "%s: a map is wanted here: not carried over", path)
  end
  return map
end

function Map:path_of(name) return self.path == "" and name or self.path .. "." .. name end

-- The value of a name, without what says nothing (null); looked at from now on. Names said in two ways: the first that is there.
function Map:get(...)
  local found
  for _, name in ipairs { ... } do
    local i = self.at[name]
    self.read[name] = true
    if i and not found and not tree.is_nothing(self.node.items[i]) then found = self.node.items[i] end
  end
  return found
end

-- Where a name is said, for notes.
function Map:where(name)
  local i = self.at[name]
  return { file = i and self.node.items[i].file or self.place.file, line = i and self.node.lines[i] or self.place.line }
end

function Map:tell(name, text, ...)
  self.notes:add(self:where(name), self:path_of(name) .. ": " .. (select("#", ...) > 0 and text:format(...) or text))
end

local function unfit(map, name, what)
  map:tell(name, "%s is wanted: not carried over", what)
  return nil
end

function Map:text(name)
  local node = self:get(name)
  if node and node.kind ~= "text" then return unfit(self, name, "a text") end
  return node and node.text, node
end

-- A number of `least` or more. PyYAML takes 1e-6 for a text, and LiteLLM makes a number of it all the same.
function Map:number(name, least)
  local node = self:get(name)
  if not node then return nil end
  local n = node.kind == "text" and node.text:match "^[%d%+%-%._eE]+$" and tonumber((node.text:gsub("_", "")))
  if not n or n < (least or 0) or n >= 1e18 then return unfit(self, name, ("a number of %d or more"):format(least or 0)) end
  return n, node
end

function Map:boolean(name)
  local node = self:get(name)
  if not node then return nil end
  local value = node.kind == "text" and truth[node.text:lower()]
  if value == nil then return unfit(self, name, "true or false") end
  return value
end

function Map:map(name)
  local node = self:get(name)
  return tree.map(node, self:path_of(name), self.notes, self.place), node
end

function Map:list(name)
  local node = self:get(name)
  if node and node.kind ~= "list" then return unfit(self, name, "a list") or {} end
  return node and node.items or {}, node
end

-- Names and values in the order of the file; all of them count as looked at.
function Map:each()
  local i, node = 0, self.node
  return function()
    i = i + 1
    if not node or node.kind ~= "map" or not node.names[i] then return nil end
    self.read[node.names[i]] = true
    return node.names[i], node.items[i]
  end
end

-- Tells of what nobody has looked at; `why` is a function of a name that gives a reason or nil.
function Map:rest(why)
  if not self.node or self.node.kind ~= "map" then return end
  for i, name in ipairs(self.node.names) do
    if not self.read[name] and not tree.is_nothing(self.node.items[i]) then
      self:tell(name, "not carried over: %s", why(name, self.path) or "it is not known here")
    end
  end
end

return tree
