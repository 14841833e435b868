-- Good files made into broken ones, in many ways; the same ways for the same seed.
--
--   local spoil = require("spoil").new(seed)
--   local mutant = spoil:next()        -- { what = "policy.lua: cut at byte 12", put = function(folder) … end }
--
-- `put` leaves the folder with the good files but for what is broken. Some mutants are good by accident.
local stat, unistd = require "posix.sys.stat", require "posix.unistd"

local spoil = {}
local Spoil = {}
Spoil.__index = Spoil

spoil.good = {
  ["gateway.lua"] = [[
return {
  policy = "policy.lua", keepalive = 15, limits = { attempts = 3, retries = 0.2, deadline = 20 },
  health = { failures = 5, rest = 30 },
  providers = {
    a = { script = "provider.lua", timeouts = { connect = 1, first_byte = 5 } },
    b = { base_url = "http://127.0.0.1:9/v1" },
  },
  models = {
    m = { { provider = "a", model = "up", price = { input = 1.5, output = 2 }, requests_per_minute = 100000 } },
    n = { { provider = "a", name = "second", model = "up2" }, { provider = "b", weight = 2 } },
  },
}
]],
  ["policy.lua"] = [[
local lunette, shared = require "lunette", require "shared"
return {
  settings = { share = { default = 5, min = 0, max = 100 } },
  classify = function(request)
    if request.has_code then return { "good", "code" } end
    return "good"
  end,
  budget = function(request, spend) if spend.total.left < 0 then return lunette.refuse { message = "no" } end end,
  select = function(request, targets)
    local able = targets:can(request)
    if lunette.setting "share" > 50 then return able:first(shared.first) end
    return able:steps { first_byte = 4 }
  end,
  judge = function(request, attempt) if attempt.finish_reason == "length" then return lunette.next() end end,
  retry = function(request, attempt) if attempt.status == 429 then return lunette.again(shared.wait(attempt.try)) end end,
  finish = function(request, outcome) lunette.note("status", outcome.status) end,
}
]],
  ["shared.lua"] = [[
local function wait(n) return 0.01 * 2 ^ n end
return { first = 1, wait = wait, words = { "one", "two" } }
]],
  ["provider.lua"] = 'return function(request, n) return { text = "hi" } end\n',
}
local names = { "gateway.lua", "policy.lua", "policy.lua", "shared.lua" }

function Spoil:number(from, to)         -- a generator of its own, so that a seed means the same everywhere
  self.state = (self.state * 16807) % 2147483647
  return from + self.state % (to - from + 1)
end

function Spoil:one_of(list) return list[self:number(1, #list)] end

---- texts ----

local function tokens(text)
  local list, at = {}, 1
  while at <= #text do
    local token = text:match("^[%w_]+", at) or text:match("^%s+", at) or text:match('^"[^"\n]*"', at) or text:sub(at, at)
    list[#list + 1] = token
    at = at + #token
  end
  return list
end

-- The place of one token that is none of blanks, of this kind.
function Spoil:place(list, pattern)
  for _ = 1, 200 do
    local i = self:number(1, #list)
    if list[i]:find(pattern) then return i end
  end
  return 1
end

local ways = {
  { "cut", function(self, text) return text:sub(1, self:number(0, #text - 1)) end },
  { "without its beginning", function(self, text) return text:sub(self:number(2, #text)) end },
  { "bytes changed", function(self, text)
    for _ = 1, self:number(1, 4) do
      local i = self:number(1, #text)
      text = text:sub(1, i - 1) .. string.char(self:number(0, 255)) .. text:sub(i + 1)
    end
    return text
  end },
  { "a piece removed", function(self, text) local i = self:number(1, #text) return text:sub(1, i) .. text:sub(i + self:number(2, 30)) end },
  { "a piece doubled", function(self, text) local i = self:number(1, #text) return text:sub(1, i + 20) .. text:sub(i) end },
  { "a token removed", function(self, text) local t = tokens(text) t[self:place(t, "%S")] = "" return table.concat(t) end },
  { "a token doubled", function(self, text) local t = tokens(text) local i = self:place(t, "%S") t[i] = t[i] .. " " .. t[i] return table.concat(t) end },
  { "tokens swapped", function(self, text)
    local t = tokens(text)
    local i, j = self:place(t, "%S"), self:place(t, "%S")
    t[i], t[j] = t[j], t[i]
    return table.concat(t)
  end },
  { "a name misspelt", function(self, text)
    local t = tokens(text)
    local i = self:place(t, "^%a%a%a")
    local k = self:number(1, #t[i] - 1)
    t[i] = t[i]:sub(1, k - 1) .. t[i]:sub(k + 1, k + 1) .. t[i]:sub(k, k) .. t[i]:sub(k + 2)
    return table.concat(t)
  end },
  { "a value of the wrong type", function(self, text)
    local t = tokens(text)
    t[self:place(t, self:one_of { "^%d", '^"', "^%a+$" })] = self:one_of { '"text"', "true", "nil", "{}", "{ 1, 2 }", "function() end", "5", "0/0", "1/0" }
    return table.concat(t)
  end },
  { "a value negative", function(self, text) local t = tokens(text) local i = self:place(t, "^%d") t[i] = "-" .. t[i] return table.concat(t) end },
  { "a value huge", function(self, text) local t = tokens(text) t[self:place(t, "^%d")] = "1e300" return table.concat(t) end },
  { "not UTF-8", function(self, text) local t = tokens(text) local i = self:place(t, '^"') t[i] = '"\255\192\128"' return table.concat(t) end },
  { "a byte 0", function(self, text) local i = self:number(0, #text) return text:sub(1, i) .. "\0" .. text:sub(i + 1) end },
  { "a number instead", function() return "return 5" end },
  { "empty", function() return "" end },
  { "blanks alone", function() return "\n \n" end },
  { "bytecode", function() return string.dump(function() return {} end) end },
  { "another language", function() return "<?xml version='1.0'?><a/>" end },
  { "of 2 MiB", function(_, text) return text .. "--" .. ("x"):rep(2 * 1024 * 1024) end },
  { "of 2 MiB of brackets", function() return "return " .. ("{"):rep(2 * 1024 * 1024) end },
  { "deep", function() return "return " .. ("{"):rep(5000) .. ("}"):rep(5000) end },
  { "with an endless loop", function(_, text) return "while true do end\n" .. text end },
  { "that eats memory", function(_, text) return "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end\n" .. text end },
  { "that raises", function(_, text) return "error {}\n" .. text end },
  { "that requires itself", function(_, text) return "require 'policy' require 'shared'\n" .. text end },
}

---- hooks ----

local hooks = { "classify", "budget", "select", "judge", "retry", "finish" }
local bodies = {
  "error 'no'", "error {}", "error(nil)", "while true do end", "local function f() return 1 + f() end f()", "local function f(n) f(n + 1) f(n) end f(1)",
  "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", "local s = 'x' while true do s = s .. s end", "return 5", "return {}",
  "return function() end",
  "return 'no such thing'", "return { 'a', 5, {} }", "return request", "return nil + 1", "return request.nothing", "request.model = 'x'",
  "lunette.sleep(1e9)", "lunette.sleep(-1)",
  "while true do pcall(error, 'again') end", "return (('a'):rep(30)):find(('a-'):rep(20) .. 'b')", "x = 5", "lunette.store.set(nil)",
  "return lunette.again(-1)", "return lunette.try('none')",
  "return setmetatable({}, { __index = function(t, k) return t[k] end }).x", "for i = 1, 1e7 do lunette.note('n' .. i, i) end", "lunette.chat {}",
  "return lunette.refuse { status = 1 }",
  "return 'a\255\\0b'", "return ('x'):rep(1e6)", "goto nowhere", "return lunette", "require 'nothing'", "lunette.setting 'nothing'", "os.exit(1)",
  "local f = load and load('x') return f()",
}

function Spoil:hook()
  local hook, body = self:one_of(hooks), self:one_of(bodies)
  local text = spoil.good["policy.lua"]:gsub("\n}\n$", "\n  " .. hook .. " = function(request) " .. body:gsub("%%", "%%%%") .. " end,\n}\n")
  return { what = "hook " .. hook .. ": " .. body, files = { ["policy.lua"] = text } }
end

---- what is no file ----

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local instead = {
  { "missing", function() end },
  { "a directory", function(path) stat.mkdir(path) end },
  { "a FIFO", function(path) stat.mkfifo(path, 384) end },
  { "a link to itself", function(path) unistd.link(path:match "[^/]+$", path, true) end },
  { "a link to nothing", function(path) unistd.link("nothing/there", path, true) end },
  { "a link to /dev/zero", function(path) unistd.link("/dev/zero", path, true) end },
  { "a link to /dev/null", function(path) unistd.link("/dev/null", path, true) end },
  { "a link to /dev/tty", function(path) unistd.link("/dev/tty", path, true) end },
  { "a socket", function(path) local s = require "socket.unix"() s:bind(path) s:close() end },
  { "not to be read", function(path) write(path, "return {}") stat.chmod(path, 0) end },
}

function Spoil:no_file()
  local name, way = self:one_of(names), self:one_of(instead)
  return { what = name .. ": " .. way[1], name = name, make = way[2] }
end

function Spoil:text()
  local name, way = self:one_of(names), self:one_of(ways)
  return { what = name .. ": " .. way[1], files = { [name] = way[2](self, spoil.good[name]) } }
end

---- mutants ----

local function clear(path) os.execute("rm -rf '" .. path .. "'") end

function spoil.restore(folder, but)
  for name, text in pairs(spoil.good) do
    if name ~= but then
      local there = stat.lstat(folder .. "/" .. name)
      if there and stat.S_ISREG(there.st_mode) == 0 then clear(folder .. "/" .. name) end
      write(folder .. "/" .. name .. ".new", text)
      assert(os.rename(folder .. "/" .. name .. ".new", folder .. "/" .. name))
    end
  end
end

function Spoil:next()
  local kind = self:number(1, 10)
  local mutant = kind == 1 and self:no_file() or kind <= 4 and self:hook() or self:text()
  self.n = self.n + 1
  mutant.what = "mutant " .. self.n .. ", " .. mutant.what
  function mutant.put(folder)
    spoil.restore(folder, mutant.name)
    if mutant.make then
      clear(folder .. "/" .. mutant.name)
      mutant.make(folder .. "/" .. mutant.name)
    end
    for name, text in pairs(mutant.files or {}) do
      write(folder .. "/" .. name .. ".new", text)
      assert(os.rename(folder .. "/" .. name .. ".new", folder .. "/" .. name))
    end
  end
  return mutant
end

function spoil.new(seed) return setmetatable({ state = seed, n = 0 }, Spoil) end

return spoil
