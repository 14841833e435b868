-- What `make install` puts on a machine, and what a C program gets of it: the names of lunette.h and no others, shared or static.
local e2e = require "support"

local build = e2e.lunette:match "^(.*)/[^/]*$"
local sanitized = build:find "build%-"          -- such a library needs the sanitizer's own in the program: not looked at
local root

local function run(...)
  local status, out, err = e2e.run { ... }
  assert(status == 0, (table.concat({ ... }, " ") .. "\n" .. out .. err):sub(1, 2000))
  return out
end

local function make(target) return run("make", "-s", target, "BUILD=" .. build, "DESTDIR=" .. root, "PREFIX=/opt/lunette") end
local function installed(path) return root .. "/opt/lunette/" .. path end

-- Compiler and linker flags as a user would get them.
local function flags(...)
  local out = run("env", "PKG_CONFIG_PATH=" .. installed "lib/pkgconfig", "pkg-config", "--define-variable=libdir=" .. installed "lib",
    "--define-variable=includedir=" .. installed "include", ...)
  local list = {}
  for flag in out:gmatch "%S+" do list[#list + 1] = flag end
  return list
end

local function compile(name, source, more, ...)
  local file, program = e2e.write(root .. "/" .. name .. ".c", source), root .. "/" .. name
  local command = { "gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-o", program, file }
  for _, flag in ipairs(more) do command[#command + 1] = flag end
  for _, flag in ipairs { ... } do command[#command + 1] = flag end
  run(unpack(command))
  return program
end

-- Functions that lunette.h declares.
local function public()
  local text, names = e2e.read "core/lunette.h":gsub("/%*.-%*/", ""), {}
  for name in text:gmatch "[%s%*](lun_[%w_]+)%(" do names[name] = true end
  return names
end

local function names_in(out)
  local names = {}
  for name in out:gmatch "[^\n]* [TBDRWVi] (%S+)" do names[name] = true end
  return names
end

local hello = [[
#include <lunette.h>
#include <stdio.h>
#include <string.h>
int main(void) { struct lunette_options options; memset(&options, 0, sizeof options); options.size = sizeof options; puts(lun_version()); return 0; }
]]

-- Loads the library for itself alone, and asks it.
local loads = [[
#include <dlfcn.h>
#include <event2/event.h>
#include <lunette.h>
#include <stdio.h>
#include <string.h>
#define LIST(X) X(lun_version) X(lun_open_string) X(lun_attach) X(lun_ask) X(lun_stop) X(lun_free)
#define X(name) static __typeof__(name) *the_##name;
LIST(X)
#undef X
static struct lunette *l;
static bool on_bytes(void *user, const char *bytes, size_t n) { (void)user; printf("%.*s\n", (int)n, bytes); return true; }
static void on_end(void *user, bool clean, const struct lunette_header *h, size_t n)
{
    (void)user, (void)h, (void)n;
    puts(clean ? "complete" : "torn");
    the_lun_stop(l, 5);
}
static const char text[] = "return { providers = { a = { dialect = 'openai', script = 'a.lua' } }, models = { m = { { provider = 'a', model = 'a-1' } } } }";
static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
int main(int n, char **a)
{
    struct lunette_query query;
    struct lunette_callbacks callbacks;
    char *error = NULL;
    void *library = n == 3 ? dlopen(a[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    struct event_base *base = event_base_new();
    if (!library) { puts(dlerror()); return 1; }
#define X(name) if (!(*(void **)&the_##name = dlsym(library, #name))) return 2;
    LIST(X)
    puts(the_lun_version());
    l = the_lun_open_string("mine.lua", text, a[2], NULL, &error);
    if (!l || !the_lun_attach(l, base, &error)) { puts(error); return 3; }
    memset(&query, 0, sizeof query), memset(&callbacks, 0, sizeof callbacks);
    query.size = sizeof query, query.body = body, query.length = strlen(body);
    callbacks.size = sizeof callbacks, callbacks.bytes = on_bytes, callbacks.end = on_end;
    if (!the_lun_ask(l, &query, &callbacks, NULL)) return 4;
    event_base_dispatch(base);
    the_lun_free(l);
    event_base_free(base);
    return dlclose(library);
}
]]

describe("make install", function()
  setup(function()
    if sanitized then return end
    root = e2e.folder()
    make "install"
  end)
  teardown(e2e.stop)

  it("is hardened: nothing in the program can be written and executed, its tables are read-only once it is loaded, its copies are checked", function()
    if sanitized then return end
    for _, file in ipairs { "bin/lunette", "lib/liblunette.so.0" } do
      local segments, dynamic, names = run("readelf", "-lW", installed(file)), run("readelf", "-d", installed(file)), run("nm", "-D", installed(file))
      assert.matches("GNU_STACK[^\n]* RW ", segments)
      assert.truthy(segments:find("GNU_RELRO", 1, true))
      assert.is_nil(segments:find("RWE", 1, true))
      assert.truthy(dynamic:find("BIND_NOW", 1, true))
      for _, name in ipairs { "__stack_chk_fail", "__memcpy_chk", "__snprintf_chk" } do assert(names:find(name, 1, true), file .. ": " .. name) end
    end
    assert.truthy(run("readelf", "-d", installed "bin/lunette"):find("PIE", 1, true))
  end)

  it("puts every file where it belongs", function()
    if sanitized then return end
    for _, path in ipairs { "bin/lunette", "lib/liblunette.so.0", "lib/liblunette.so", "lib/liblunette.a", "lib/pkgconfig/lunette.pc",
                            "lib/pkgconfig/lunette-static.pc", "include/lunette.h", "share/man/man1/lunette.1" } do
      assert(io.open(installed(path)), path)
    end
    assert.equal(select(2, e2e.run { e2e.lunette, "--version" }), run(installed "bin/lunette", "--version"))
  end)

  it("comes with a man page that names each command and option", function()
    if sanitized then return end
    local page = e2e.read(installed "share/man/man1/lunette.1"):gsub("\\", "")
    for command in select(2, e2e.run { e2e.lunette, "--help" }):gmatch "\n  lunette (%l+)" do
      assert(page:find("\n.SS " .. command .. "\n", 1, true), command)
      for option in select(2, e2e.run { e2e.lunette, command, "--help" }):gmatch "%-%-%l+" do assert(page:find(option, 1, true), command .. " " .. option) end
    end
  end)

  it("lets a C program link the shared library, or dlopen it for itself alone and ask it", function()
    if sanitized then return end
    local version = e2e.read(installed "lib/pkgconfig/lunette.pc"):match "Version: (%S+)"
    local program = compile("shared", hello, flags("--cflags", "--libs", "lunette"))
    assert.equal(version, run("env", "LD_LIBRARY_PATH=" .. installed "lib", program))
    program = compile("loads", loads, flags("--cflags", "lunette"), "-ldl", "-levent")
    e2e.write(root .. "/a.lua", 'return function(request) return { text = "you said " .. request.text } end')
    local said = run(program, installed "lib/liblunette.so.0", root)
    assert.equal(version, said:match "^[^\n]*")
    assert.truthy(said:find('"content":"you said hello"', 1, true), said)
    assert.truthy(said:find "complete%s*$", said)
  end)

  it("lets a C program link the static library beside names of its own", function()
    if sanitized then return end
    local own = hello:gsub("int main", "int lun_vm_new(void); int lun_vm_new(void) { return 1; }\nint main")
    local program = compile("static", own, flags("--cflags", "--libs", "lunette-static"))
    assert.truthy(run(program):find "^%d+%.%d+%.%d+$")
  end)

  it("shows no name of the library but those of lunette.h", function()
    if sanitized then return end
    local declared = public()
    assert.truthy(declared.lun_open and declared.lun_ask and declared.lun_version)
    for what, out in pairs { shared = run("nm", "-D", "--defined-only", installed "lib/liblunette.so.0"),
                             static = run("nm", "-g", "--defined-only", installed "lib/liblunette.a") } do
      local shown = names_in(out)
      assert(shown.lun_version, what)
      for name in pairs(shown) do assert(declared[name], what .. " shows " .. name) end
      if shown.lun_open then for name in pairs(declared) do assert(shown[name], what .. " lacks " .. name) end end
    end
  end)

  it("is a header for C++ too", function()
    if sanitized then return end
    local file = e2e.write(root .. "/header.cc", "#include <lunette.h>\nint main() { return !lun_version(); }\n")
    if e2e.run { "g++", "--version" } == 127 then return end
    run("g++", "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I" .. installed "include", file)
  end)

  it("is undone by make uninstall", function()
    if sanitized then return end
    make "uninstall"
    assert.equal("", run("find", installed "", "(", "-type", "f", "-o", "-type", "l", ")"))
  end)
end)
