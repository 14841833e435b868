-- Good policies made into ones that go wrong while they serve: a body that does harm, in a wrapping that hides or spreads it, in one of the hooks. They
-- do so for requests whose text begins with "wrong" alone, so that no trial before a reload finds it. The same ones for the same seed.
--
--   local mutant = require("unruly").new(seed):next()       -- { what =, hook =, text = "…policy.lua…", plain =, ends = { cpu = true, … }, well = false }
--
-- `plain` is the same policy doing so for every request. `ends`: the reasons that its failures may have; `well`: it may be that nothing fails.
local unruly = {}
local Unruly = {}
Unruly.__index = Unruly

local hooks = { "classify", "budget", "select", "judge", "retry", "finish" }
local good = { classify = 'return "good"', select = "return about:asked()" }

---- what does harm ----

local LONG = "local s = ('x'):rep(2^20) "
local bodies = {
  cpu = {
    "while true do end", "repeat until false", "for i = 1, 1e15 do end", "::a:: goto a", "local function f() return f() end return f()",
    "while true do pcall(error, 'again') end", "while true do pcall(function() while true do end end) end",
    "return pcall(pcall, function() while true do end end)",
    "return ('a'):rep(30000):find(('a?'):rep(20) .. ('a'):rep(20) .. 'b')", "return ('a'):rep(3000):gsub('(.-)(.-)(.-)%1%2%3b', 'x')",
    "for x in ('a'):rep(3000):gmatch('.-.-.-b') do end", "return ('('):rep(1e5):find('%b()')", "return ('a'):rep(2000):match(('a*'):rep(10) .. 'b')",
    LONG .. "while true do s:upper() end", LONG .. "while true do s:find('xy', 1, true) end", LONG .. "while true do lunette.hash(s) end",
    LONG .. "local t = {} for i = 1, 7000 do t[i] = s end return request.targets:of(unpack(t))", LONG .. "while true do pcall(lunette.setting, s) end",
    "while true do ('%99s%99s'):format('a', 'b') end", "local t = {} for i = 1, 30000 do t[i] = i + 0.1 end while true do table.concat(t) end",
    "local t = {} for i = 1, 7000 do t[i] = i end while true do select('#', unpack(t)) end", "local s = ('x'):rep(7000) while true do s:byte(1, -1) end",
    "table.sort({ 3, 2, 1 }, function() while true do end end)", "return ('abc'):gsub('.', function() while true do end end)",
    "for i in ipairs(setmetatable({}, { __index = function(t, i) return i end })) do end", "for x in function() return 1 end do end",
    "for k in pairs(setmetatable({}, { __pairs = function() return function() return 1 end end })) do end",
    "local m = { __eq = function() while true do end end } return setmetatable({}, m) == setmetatable({}, m)",
    "return -setmetatable({}, { __unm = function() while true do end end })", "setmetatable({}, { __newindex = function() while true do end end }).x = 1",
    "return setmetatable({}, { __concat = function() while true do end end }) .. 'x'",
    "return tostring(setmetatable({}, { __tostring = function() while true do end end }))",
    "return request.targets:where(function() while true do end end)", "return request.targets:by(function() while true do end end)",
    "while true do lunette.json.decode(('['):rep(60) .. ('1,'):rep(20000) .. '1' .. (']'):rep(60)) end", "while true do os.date('%c') end",
    "local t = {} for i = 1, 60 do t = { t, t } end while true do lunette.json.encode(t) end", "while true do tonumber(('1'):rep(900)) end",
    "return xpcall(error, function() while true do end end)", "return xpcall(function() while true do end end, function() while true do end end)",
    "while true do request.targets:asked():healthy():can(request):balanced() end", "while true do local x = request.text .. request.words end",
  },
  memory = {
    "local t = {} for i = 1, 1e9 do t[i] = { i } end", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
    LONG .. "local a = s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s return #a",
    "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", "local t = {} for i = 1, 2^22 do t[i] = i end",
    "local t = {} while true do t = { t, {}, {} } end",
    "while true do kept[#kept + 1] = ('x'):rep(2^20 - #kept) end",
    "local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = { i } end end) end",
    "local t = {} for i = 1, 1e9 do t['k' .. i] = i end", "local t = {} while true do t[#t + 1] = request.targets:first(1) end",
  },
  stack = {
    "local function f() return 1 + f() end return f()", "local function f(n) f(n + 1) f(n) end f(1)",
    "local t = {} setmetatable(t, { __index = function(t, k) return t[k .. 'x'] .. '' end }) return t.x",
    "local t = {} setmetatable(t, { __tostring = function(t) return tostring(t) .. 'x' end }) return tostring(t)",
    "local function f() return (('x'):gsub('x', f)) end return f()",
    "local function f() table.sort({ 2, 1 }, f) return true end return f()", "local function f(...) return f(..., ...) .. 'x' end return f(1, 2, 3)",
    "local function f() return #request.targets:where(f) end return f()",
    "local m = {} m.__lt = function(a, b) return not (a < b) end local t = setmetatable({}, m) return t < t",
  },
  error = {
    "error 'no'", "error {}", "error(nil)", "error(setmetatable({}, { __tostring = function() while true do end end }))", "error(('x'):rep(2^20))",
    "error('\\27[2J\\n\\0')",
    "return nil + 1", "local x = nil return x.y", "local x = {} x()", "return io.open('/etc/passwd'):read '*a'", "os.execute 'true'", "os.exit(1)",
    "os.remove 'gateway.lua'",
    "return os.getenv 'A_KEY'", "return debug.getregistry()", "return debug.sethook()", "return require 'ffi'", "return require 'jit'",
    "return require '../secret'", "return package.loaded",
    "return load '\\27LJ\\2'", "return loadstring 'return 1' ()", "return string.dump(function() end):len()", "return getfenv(0).x", "setfenv(1, {})",
    "rawset(_G, 'x', 1)", "x = 1", "_G.pairs = nil",
    "string.rep = nil", "getmetatable('').__index = nil", "setmetatable('', {})", "setmetatable(request, {})", "request.model = 'x'",
    "return newproxy(true)", "collectgarbage 'stop'", "jit.on()", "print(1)",
    "return dofile 'policy.lua'", "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
    "return ('x'):rep(1e10)", "return table.concat({}, '', 1, 1e9)",
    "return ('%99999d'):format(1)", "return unpack({}, 1, 1e7)", "return string.char(-1)", "return select(-2^31, 1)", "lunette.sleep(-1)",
    "lunette.sleep(0/0)", "lunette.again(-1)", "lunette.chat {}",
    "lunette.http { url = 'file:///etc/passwd' }", "lunette.http { url = 'http://x/', headers = { host = 'y' } }", "lunette.setting 'nothing'",
    "lunette.try 'none'", "return request.nothing", "return request.targets.secret",
    "return request.targets[1].provider.key.text", "if not kept.one then kept.one = request error 'kept' end error('leaked ' .. kept.one.text)",
    "if not kept.all then kept.all = request.targets error 'kept' end error('leaked ' .. #kept.all)", "return xpcall(error, error, 'x') .. {}",
    "return ('a'):find(('('):rep(1e5))", "return next({ 1 }, 1)", "return math.random(2, 1)", "return lunette.native.degrade_to()",
    "return require 'lunette.sandbox'",
    "return request.message({}, 1)", "for k in pairs(request) do end",
  },
  answer = {
    "return function() end", "return request", "return 42", "return lunette", "local t = {} t[1] = t return t",
    "local t = {} for i = 1, 5000 do t[i] = 'x' end return t", "return ('x'):rep(2^20)",
    "local t, u = {}, {} for i = 1, 1024 do t[i] = request.targets[1] end for i = 1, 1024 do u[i] = t end return u", "return { { target = 'nobody' } }",
    "return setmetatable({ x = 1 }, { __index = request.targets })",
    "return { 'a', 5, {} }", "return true", "return 'a,b\\n'", "return 0/0",
  },
}
local classes = { "cpu", "cpu", "memory", "stack", "error", "error", "answer" }

-- What a body's harm may end as: which of two limits comes first can depend on the machine. `answer`: hooks that are not heard cannot answer wrongly.
local ends = {
  cpu = { cpu = true, memory = true },
  memory = { memory = true, cpu = true },
  stack = { stack = true, error = true, cpu = true, memory = true },
  error = { error = true, stack = true },
  answer = { answer = true, error = true, cpu = true },
}

---- how it is hidden ----

-- `tame`: errors are caught, so that it may end well, or with an answer that is none.
local wrappings = {
  { "as it is", "%s" },
  { "under pcall", "pcall(function() %s end) return 'alive'", tame = true },
  { "under pcall of pcall", "return (pcall(pcall, pcall, function() %s end))", tame = true },
  { "with a handler that loops", "return xpcall(function() %s end, function() while true do end end)", tame = true },
  { "with a handler that raises", "return xpcall(function() %s end, error) and 'alive'", tame = true },
  { "in __index", "return setmetatable({}, { __index = function() %s end }).x" },
  { "in __call of __index", "return setmetatable({}, { __index = setmetatable({}, { __index = function() %s end }) }).x" },
  { "in __tostring", "return tostring(setmetatable({}, { __tostring = function() %s end }))" },
  { "in a comparison", "table.sort({ 3, 1, 2 }, function() %s end) return 'alive'", tame = true },
  { "in a replacement", "return (('ab'):gsub('.', function() %s end))" },
  { "in an iterator", "for _ in function() %s end do end return 'alive'", tame = true },
  { "deep down", "local function f(n) if n > 50 then return (function() %s end)() end return (f(n + 1)) end return f(0)" },
  { "in a filter", "request.targets:where(function() %s end) return 'alive'", tame = true },
  { "after a wait", "lunette.sleep(0) %s" },
  { "after a wait under pcall", "pcall(function() lunette.sleep(0) %s end) return 'alive'", tame = true },
  { "while it is collected", "for i = 1, 1000 do kept.waste = setmetatable({ i }, { __gc = function() while true do end end }) end %s" },
}

---- mutants ----

function Unruly:number(to)
  self.state = (self.state * 16807) % 2147483647
  return 1 + self.state % to
end

function Unruly:one_of(list) return list[self:number(#list)] end

local function hook_text(name, wrong)
  local form = "  %s = function(request, about)\n    if request.text:sub(1, 5) == 'wrong' then\n      %s\n    end\n    %s\n  end,\n"
  return form:format(name, wrong, good[name] or "")
end

local function policy(hook, wrong)
  local out = { 'local lunette = require "lunette"\nlocal kept = {}\nreturn {\n' }
  for name in pairs(good) do if name ~= hook then out[#out + 1] = ("  %s = function(request, about) %s end,\n"):format(name, good[name]) end end
  table.sort(out, function(a, b) return a:sub(1, 5) == "local" or (b:sub(1, 5) ~= "local" and a < b) end)
  out[#out + 1] = hook_text(hook, wrong)
  out[#out + 1] = "}\n"
  return table.concat(out)
end

function Unruly:next()
  local class, hook, wrapping = self:one_of(classes), self:one_of(hooks), self:one_of(wrappings)
  local body = self:one_of(bodies[class])
  self.n = self.n + 1
  local mutant = { class = class, hook = hook, ends = {}, what = ("mutant %d, %s, %s: %s"):format(self.n, hook, wrapping[1], body) }
  for reason in pairs(ends[class]) do mutant.ends[reason] = true end
  mutant.well = (wrapping.tame or class == "answer" or class == "stack") and class ~= "cpu" and class ~= "memory"
  if class ~= "cpu" then mutant.ends.answer, mutant.ends.error = true, true end
  if body:find("2^20", 1, true) then mutant.ends.memory = true end        -- with its place before it, it may be more than an instruction may ask for at once
  if wrapping[1]:find "loops" then mutant.ends.cpu = true end
  if wrapping[1]:find "iterator" then mutant.ends.cpu, mutant.ends.memory = true, true end        -- what it gives is no end
  local wrong = (wrapping[2]:gsub("%%s", (body:gsub("%%", "%%%%"))))
  mutant.text, mutant.plain = policy(hook, wrong), policy(hook, wrong):gsub("if request%.text:sub%(1, 5%) == 'wrong'", "if request")
  return mutant
end

function unruly.new(seed) return setmetatable({ state = seed, n = 0 }, Unruly) end

unruly.good = policy("finish", "return")

return unruly
