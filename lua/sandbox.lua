-- The part of the sandbox that is written in Lua: everything that calls a policy's functions, so that these may wait.
-- It runs once per machine, with Lua's own libraries as globals and `native` from core/script/sandbox.c, and gives back
-- what C needs. No function here may use a global later: there are none by then.
local native = ...

local assert, error, getmetatable, pcall, rawequal = assert, error, getmetatable, pcall, rawequal
local rawget, rawset, select, setmetatable, type, unpack = rawget, rawset, select, setmetatable, type, unpack
local tonumber0, tostring0 = tonumber, tostring
local byte, sub, format0, floor = string.byte, string.sub, string.format, math.floor
local keys_of, metafield, concat, sort_plain = native.keys, native.metafield, native.concat, native.sort_plain
local seek, gsub0, format_plain = native.seek, native.gsub, native.format_plain
local random, serial, compile, thaw = native.random, native.serial, native.compile, native.thaw

local MOST_TEXT = 1048576
local MOST_SORTED = 4096
local MOST_DIGITS = 1000

---- base ----

-- Native tostring names addresses, which differ from run to run.
local function tostring(v)
  local kind = type(v)
  if kind == "string" then return v end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring0(v) end
  local by = metafield(v, "__tostring")
  if by then
    local text = by(v)
    if type(text) ~= "string" then error("'__tostring' must return a string", 2) end
    return text
  end
  local name = metafield(v, "__name")
  return type(name) == "string" and name or kind
end

local function tonumber(v, base)
  if type(v) == "string" and #v > MOST_DIGITS then return nil end
  if base == nil then return tonumber0(v) end
  return tonumber0(v, base)
end

-- The native xpcall runs its handler where no limit reaches it; here the stack is unwound first.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, handler((...))
end
local function xpcall(f, handler, ...)
  return handled(handler, pcall(f, ...))
end

local function pairs(t)
  local by = metafield(t, "__pairs")
  if by then return by(t) end
  if type(t) ~= "table" then error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ")", 2) end
  local keys, i = keys_of(t), 0
  return function()
    while true do
      i = i + 1
      local key = keys[i]
      if key == nil then return nil end
      local v = rawget(t, key)
      if v ~= nil then return key, v end
    end
  end
end

local function step(t, i)
  i = i + 1
  local v = t[i]
  if v ~= nil then return i, v end
end
local function ipairs(t)
  local kind = type(t)
  if kind ~= "table" and kind ~= "userdata" then
    error("bad argument #1 to 'ipairs' (table expected, got " .. kind .. ")", 2)
  end
  return step, t, 0
end

local function rawlen(v)
  local kind = type(v)
  if kind ~= "table" and kind ~= "string" then error("bad argument #1 to 'rawlen' (table or string expected)", 2) end
  return #v
end

---- string ----

local function bounded(name, f)
  return function(s)
    if type(s) == "string" and #s > MOST_TEXT then error("string." .. name .. ": over 1 MiB", 2) end
    return f(s)
  end
end

local function told(...)
  local all, n = { ... }, select("#", ...)
  for i = 1, n do
    local kind = type(all[i])
    if kind ~= "number" and kind ~= "boolean" and kind ~= "nil" then all[i] = tostring(all[i]) end
  end
  return unpack(all, 1, n)
end

local function format(f, ...)
  if format_plain(f, ...) then return format0(f, ...) end
  return format0(f, told(...))
end

-- One match of seek's and what stands in its place; nil when there was none.
local function replaced(by, is_function, from, to, ...)
  if not from then return nil end
  if is_function then return from, to, (by(...)) end
  return from, to, by[(...)]
end

local function gsub(s, pattern, by, most)
  local kind = type(by)
  if kind == "string" or kind == "number" then return gsub0(s, pattern, by, most) end
  if kind ~= "table" and kind ~= "function" then
    error("bad argument #3 to 'gsub' (string/function/table expected, got " .. kind .. ")", 2)
  end
  local out, n, count, at = {}, 0, 0, 1
  s, pattern = sub(s, 1), sub(pattern, 1)
  local size, anchored = #s, byte(pattern) == 94
  most = most or size + 1
  while count < most do
    local from, to, text = replaced(by, kind == "function", seek(s, pattern, at))
    if not from then break end
    count = count + 1
    if text == nil or text == false then
      text = sub(s, from, to)
    elseif type(text) ~= "string" and type(text) ~= "number" then
      error("invalid replacement value (a " .. type(text) .. ")", 2)
    end
    out[n + 1], out[n + 2], out[n + 3] = sub(s, at, from - 1), text, ""
    if to >= from then
      at = to + 1
    else
      out[n + 3] = sub(s, from, from)
      at = from + 1
    end
    n = n + 3
    if n >= 4096 then out, n = { concat(out, "", 1, n) }, 1 end
    if anchored or at > size + 1 then break end
  end
  out[n + 1] = sub(s, at)
  return concat(out, "", 1, n + 1), count
end

---- table ----

local function insert(t, at, ...)
  local n = #t
  if select("#", ...) == 0 then
    t[n + 1] = at
    return
  end
  if type(at) ~= "number" then
    error("bad argument #2 to 'insert' (number expected, got " .. type(at) .. ")", 2)
  end
  at = floor(at)
  for i = n, at, -1 do t[i + 1] = t[i] end
  t[at] = (...)
end

local function remove(t, at)
  local n = #t
  if at == nil then at = n end
  if n == 0 or at < 1 or at > n then return nil end
  local v = t[at]
  for i = at, n - 1 do t[i] = t[i + 1] end
  t[n] = nil
  return v
end

local function less_than(a, b) return a < b end

-- a[low .. high] by insertion, stable.
local function sort_few(a, low, high, less)
  for i = low + 1, high do
    local v, j = a[i], i - 1
    while j >= low and less(v, a[j]) do
      a[j + 1] = a[j]
      j = j - 1
    end
    a[j + 1] = v
  end
end

-- a[low .. high] and a[high + 1 .. last], both sorted, into b.
local function merge(a, b, low, high, last, less)
  local i, j = low, high + 1
  for k = low, last do
    if j > last or (i <= high and not less(a[j], a[i])) then
      b[k] = a[i]
      i = i + 1
    else
      b[k] = a[j]
      j = j + 1
    end
  end
end

local function merge_sort(a, n, less)
  local width, b = 8, {}
  for low = 1, n, width do sort_few(a, low, low + width - 1 < n and low + width - 1 or n, less) end
  while width < n do
    for low = 1, n, 2 * width do
      local high, last = low + width - 1, low + 2 * width - 1
      if high > n then high = n end
      if last > n then last = n end
      merge(a, b, low, high, last, less)
    end
    a, b, width = b, a, 2 * width
  end
  return a
end

-- Works on a copy: what the comparing function does to t meanwhile cannot hurt.
local function sort(t, less)
  local n, a = #t, {}
  if n > MOST_SORTED then error("table.sort: over " .. MOST_SORTED .. " items", 2) end
  for i = 1, n do a[i] = t[i] end
  if less ~= nil or not sort_plain(a, n) then a = merge_sort(a, n, less or less_than) end
  for i = 1, n do t[i] = a[i] end
end

---- math ----

local function chance(low, high)
  local r = random()
  if low == nil then return r end
  if high == nil then low, high = 1, low end
  low, high = floor(low), floor(high)
  if low > high then error("bad argument to 'random' (interval is empty)", 2) end
  return low + floor(r * (high - low + 1))
end

---- what policies see ----

-- An empty table in front of `t`: reads go through, writes raise, `pairs` works.
local function read_only(t, name)
  return setmetatable({}, {
    __index = t,
    __newindex = function(_, key)
      error("cannot set " .. name .. "." .. tostring(key) .. ": it is read-only", 2)
    end,
    __pairs = function() return pairs(t) end,
    __metatable = false,
  })
end

local strings = {
  byte = byte, char = string.char, len = string.len, sub = sub,
  find = native.find, format = format, gmatch = native.gmatch, gsub = gsub, match = native.match, rep = native.rep,
  lower = bounded("lower", string.lower), upper = bounded("upper", string.upper),
  reverse = bounded("reverse", string.reverse),
}

local maths = { random = chance }
for _, name in ipairs { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod",
  "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "sin", "sinh", "sqrt", "tan",
  "tanh" } do
  maths[name] = assert(math[name])
end

local lunette = {}
local globals = {
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = native.first, pairs = pairs,
  pcall = pcall, rawequal = rawequal, rawlen = rawlen, select = select, setmetatable = setmetatable,
  tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall, _VERSION = _VERSION,
  math = read_only(maths, "math"),
  os = read_only({ clock = native.clock, date = native.date, time = native.time,
    difftime = function(a, b) return a - (b or 0) end }, "os"),
  string = read_only(strings, "string"),
  table = read_only({ concat = concat, insert = insert, remove = remove, sort = sort }, "table"),
}

local of_strings = getmetatable("")
of_strings.__index = strings
of_strings.__metatable = false

native.frozen.__pairs = function(u) return pairs(thaw(u)) end

---- require ----

local loaded, loading = { lunette = read_only(lunette, "lunette") }, {}
local extended = false

local function run(name, ...)
  local chunk = compile(name)
  if not chunk then return false end
  if loading[name] == serial() then error("require '" .. name .. "': it requires itself", 3) end
  loading[name] = serial()
  local ok, value = pcall(chunk, ...)
  loading[name] = nil
  if not ok then error(value, 0) end
  return true, value
end

function globals.require(name)
  if type(name) ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
  end
  if name == "lunette" and not extended then
    run(name, lunette)
    extended = true
  end
  if loaded[name] ~= nil then return loaded[name] end
  local found, value = run(name, name)
  if not found then error("require '" .. name .. "': there is no such module here", 2) end
  loaded[name] = value == nil or value
  return loaded[name]
end

---- globals ----

local own, locked = {}, false

local env = setmetatable({}, {
  __index = globals,
  __newindex = function(_, key, v)
    if locked then
      error("global '" .. tostring(key) .. "' cannot be set after loading: use a local, or lunette.store", 2)
    end
    if own[key] then error("'" .. tostring(key) .. "' is a name of the language: it cannot be set", 2) end
    globals[key] = v
  end,
  __pairs = function() return pairs(globals) end,
  __metatable = false,
})
globals._G = env
for _, name in ipairs(keys_of(globals)) do own[name] = true end

return {
  env = env,
  lunette = lunette,
  global = function(v, name)
    own[name] = true
    rawset(globals, name, v)
  end,
  lock = function() locked = true end,
}
