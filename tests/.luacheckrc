-- For all Lua files of the tree: luacheck --quiet --config tests/.luacheckrc lua policies tests examples (make lint).
std = "luajit"
max_line_length = 160
exclude_files = { "lua/meta" }  -- for editors, never run
unused_args = false             -- a hook's arguments are its interface

-- What sandboxed files may name (core/script/sandbox.h); the rest of Lua is not there.
stds.sandbox = {
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawlen", "require", "select", "setmetatable",
    "tonumber", "tostring", "type", "unpack", "xpcall", "_G", "_VERSION",
    math = { other_fields = true }, os = { fields = { "clock", "date", "difftime", "time" } },
    string = { fields = { "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper" } },
    table = { fields = { "concat", "insert", "remove", "sort" } },
  },
}
-- gateway.lua has a few more.
stds.gateway = { read_globals = { "secret", "env", "lunette" } }
stds.busted_spec = {
  read_globals = {
    "describe", "context", "insulate", "expose", "it", "spec", "test", "pending", "setup", "teardown", "lazy_setup", "lazy_teardown",
    "strict_setup", "strict_teardown", "before_each", "after_each", "finally", "spy", "stub", "mock", "match", "async", "done",
    assert = { other_fields = true },
  },
}

-- What a script that runs in Redis has.
stds.redis = { read_globals = { "redis", "KEYS", "ARGV" } }

files["lua/draw.lua"] = { std = "luajit+redis" }
files["lua/fleet.lua"] = { std = "luajit+redis" }
files["lua/shelf.lua"] = { std = "luajit+redis" }
files["policies"] = { std = "sandbox" }
files["examples"] = { std = "sandbox+gateway" }
files["**/gateway.lua"] = { std = "sandbox+gateway" }
files["**/shared/*.lua"] = { std = "sandbox+gateway" }
files["**/*_spec.lua"] = { std = "luajit+busted_spec" }
files["examples/**/*_spec.lua"] = { std = "luajit+busted_spec" }
files["tests/e2e/fault_matrix.lua"] = { std = "luajit+busted_spec" }
