-- Methods of `targets` that call a policy's functions. They are written in Lua so that these functions may wait. `native` is
-- from core/script/bind_targets.c; what is returned here goes into the class beside the methods written in C.
local native = ...
local at_positions, by_field, in_order = native.at_positions, native.by_field, native.in_order
local error, type = error, type

local methods = {}

function methods:where(f)
  if type(f) ~= "function" then error("where(f): expected a function of a target, got " .. type(f), 2) end
  local kept, n = {}, 0
  for i = 1, #self do
    if f(self[i]) then
      n = n + 1
      kept[n] = i
    end
  end
  return at_positions(self, kept)
end

function methods:by(key)
  if type(key) == "string" then return by_field(self, key) end
  if type(key) ~= "function" then error('by(f): expected a function of a target, or the name of a field, got ' .. type(key), 2) end
  local keys = {}
  for i = 1, #self do
    keys[i] = key(self[i])
  end
  return in_order(self, keys)
end

return methods
