/* What a hostile policy may try (attacks.h), each in a process of its own, on a small stack, under an alarm; and what an honest one
 * may rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/alloc.h"
#include "script/cpu.h"
#include "script/run.h"
#include "script/sandbox.h"
#include "attacks.h"

#define COUNT(a) (sizeof (a) / sizeof *(a))

/* ---- a host ---- */

static int wait_(lua_State *L) { return lun_vm_wish(L, lua_gettop(L)); }

/* A function of C that calls back, as those of a host may. */
static int apply(lua_State *L)
{
    lun_vm_check(L);
    lua_settop(L, 1);
    lua_call(L, 0, 1);
    return 1;
}

static int thing_key;

static void check_thing(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TUSERDATA || !lua_getmetatable(L, 1)) luaL_error(L, "request expected");
    lua_pushlightuserdata(L, &thing_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_rawequal(L, -1, -2)) luaL_error(L, "request expected");
    if (!lun_vm_current(L)) luaL_error(L, "this request is not at hand");
    lua_pop(L, 2);
}

static int twice(lua_State *L)
{
    check_thing(L);
    lua_pushinteger(L, 84);
    return 1;
}

static void push_facts(lua_State *L)
{
    lua_newtable(L);
    lua_pushinteger(L, 7);
    lua_setfield(L, -2, "quality");
    lua_newtable(L);
    for (int i = 1; i <= 3; i++) {
        lua_pushinteger(L, 10 * i);
        lua_rawseti(L, -2, i);
    }
    lua_setfield(L, -2, "list");
    lun_sandbox_freeze(L);
}

static int thing_index(lua_State *L)
{
    check_thing(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (lua_type(L, 2) == LUA_TNUMBER) {
        if (lua_tonumber(L, 2) > 3) return 0;
        lua_pushvalue(L, 2);
    }
    else if (!strcmp(name, "words")) lua_pushinteger(L, 42);
    else if (!strcmp(name, "twice")) lua_pushcfunction(L, twice);
    else if (!strcmp(name, "facts")) push_facts(L);
    else return 0;
    return 1;
}

static int thing_newindex(lua_State *L) { return luaL_error(L, "read-only"); }

static int thing_len(lua_State *L)
{
    check_thing(L);
    lua_pushinteger(L, 3);
    return 1;
}

static void push_thing(lua_State *L)
{
    lua_newuserdata(L, 8);
    lua_pushlightuserdata(L, &thing_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

static double half(lua_State *L)
{
    (void)L;
    return 0.5;
}

static lun_us noon(void *user)
{
    (void)user;
    return 1767268800 * LUN_SECOND;     /* 2026-01-01 12:00:00 */
}

static bool source(void *user, const char *name, struct lun_vm_source *out)
{
    static const struct { const char *name, *text; } files[] = {
        { "words", "return { n = 3 }" },
        { "broken", "local x = = 1" },
        { "raising", "error 'not today'" },
        { "self", "return require 'self'" },
        { "shared", "shared_value = 5" },
    };
    (void)user;
    for (size_t i = 0; i < COUNT(files); i++)
        if (!strcmp(files[i].name, name)) {
            *out = (struct lun_vm_source){ lun_printf("%s.lua", name), lun_strdup(files[i].text), strlen(files[i].text), NULL };
            return true;
        }
    if (!strcmp(name, "forbidden")) out->error = lun_strdup("require 'forbidden': outside of the folder");
    return false;
}

static void add_host(struct lun_vm *vm)
{
    static const luaL_Reg meta[] = { { "__index", thing_index }, { "__newindex", thing_newindex }, { "__len", thing_len }, { 0 } };
    lua_State *L = vm->L;
    lua_pushlightuserdata(L, &thing_key);
    lua_newtable(L);
    luaL_register(L, NULL, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);
    lun_sandbox_module(vm);
    lua_pushcfunction(L, wait_);
    lua_setfield(L, -2, "wait");
    lua_pushcfunction(L, apply);
    lua_setfield(L, -2, "apply");
    lua_pop(L, 1);
}

static struct lun_vm *new_vm(enum lun_vm_cpu cpu)
{
    struct lun_vm_options options = { .cpu = cpu, .host = { .random = half, .wall = noon, .now = noon, .source = source } };
    struct lun_vm *vm = lun_vm_new(&options);
    add_host(vm);
    return vm;
}

static int load(struct lun_vm *vm, const char *body, struct lun_vm_error *error)
{
    char *text = lun_printf("local lunette = require 'lunette' return function(request)\n%s\nend", body);
    int ref = lun_vm_load(vm, "hook.lua", text, strlen(text), 0, error);
    free(text);
    return ref;
}

/* ---- running ---- */

struct outcome { enum lun_failure failure; char text[512]; int waits; };

static void note(struct lun_run *run, struct outcome *out)
{
    out->failure = run->state == LUN_RUN_FAILED ? run->error.failure : LUN_FAILURE_NONE;
    if (out->failure) snprintf(out->text, sizeof out->text, "%s", run->error.text);
    else if (run->state == LUN_RUN_WISHED) strcpy(out->text, "still waiting");
    else if (lua_type(run->L, 1) == LUA_TSTRING || lua_type(run->L, 1) == LUA_TNUMBER) snprintf(out->text, sizeof out->text, "%s", lua_tostring(run->L, 1));
    else snprintf(out->text, sizeof out->text, "%s", lua_type(run->L, 1) == LUA_TBOOLEAN ? lua_toboolean(run->L, 1) ? "true" : "false" : luaL_typename(run->L, 1));
}

/* Runs the function `ref`; a wish is answered at once with what was wished. */
static struct outcome run_hook(struct lun_vm *vm, int ref)
{
    struct lun_run_account account = { 0 };
    struct lun_run *run = lun_run_new(vm, &account, &account);
    struct outcome out = { 0 };
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, ref);
    push_thing(run->L);
    enum lun_run_state state = lun_run_go(run, 1);
    while (state == LUN_RUN_WISHED && out.waits++ < 2000) state = lun_run_go(run, lua_gettop(run->L));
    note(run, &out);
    lun_run_free(run);
    return out;
}

/* A failed load is the outcome. */
static struct outcome run_text(struct lun_vm *vm, const char *body)
{
    struct lun_vm_error error;
    struct outcome out = { 0 };
    int ref = load(vm, body, &error);
    if (ref != LUA_NOREF) {
        lun_sandbox_lock(vm);
        out = run_hook(vm, ref);
        luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
        return out;
    }
    out.failure = error.failure;
    memcpy(out.text, error.text, sizeof out.text);
    return out;
}

#define INNOCENT \
    "local t, s = {}, '' for i = 1, 60 do t[i] = (i * 37) % 61 end " \
    "table.sort(t, function(a, b) if a == 30 then lunette.wait() end return a < b end) " \
    "for i, v in ipairs(t) do if i ~= v then s = s .. '!' end end " \
    "for k, v in pairs { b = 2, a = 1, 5 } do s = s .. tostring(k) .. v end " \
    "s = s .. ('hello'):gsub('l', function(c) return lunette.wait(c:upper()) end) " \
    "return s .. ('%3d'):format(request:twice()) .. tostring(pcall(error, 'x')) .. #request .. math.floor(2.5) .. ('x'):rep(3)"
#define INNOCENT_GIVES "15a1b2heLLo 84false32xxx"

/* ---- attacks ---- */

static struct { struct lun_vm *vm; const struct attack *attack; int hook, control; bool good; } job;

static bool as_said(const struct attack *a, const struct outcome *got)
{
    bool kind = got->failure ? (a->fails >> got->failure) & 1 : !a->fails || (a->fails & 1);
    if (!kind) return false;
    if (!a->gives) return true;
    return a->fails ? strstr(got->text, a->gives) != NULL : !strcmp(got->text, a->gives);
}

static bool innocent_runs(struct lun_vm *vm, int ref)
{
    struct outcome got = run_hook(vm, ref);
    if (!got.failure && !strcmp(got.text, INNOCENT_GIVES)) return true;
    fprintf(stderr, "afterwards an innocent hook gave %s: %s\n", lun_failure_name(got.failure), got.text);
    return false;
}

/* With all the time it wants. */
static bool calm(struct lun_vm *vm, int control)
{
    struct lun_vm_limits limits = vm->options.limits;
    vm->options.limits.run_cpu = vm->options.limits.request_cpu = LUN_SECOND;
    bool good = innocent_runs(vm, control);
    vm->options.limits = limits;
    return good;
}

static void *attack_and_control(void *unused)
{
    struct outcome got = run_hook(job.vm, job.hook);
    job.good = as_said(job.attack, &got);
    if (!job.good) fprintf(stderr, "attack '%s' gave %s: %s\n", job.attack->name, lun_failure_name(got.failure), got.text);
    if (job.good) job.good = calm(job.vm, job.control);
    return unused;
}

static bool on_small_stack(void *(*f)(void *))
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    return !pthread_create(&thread, &attr, f, NULL) && !pthread_join(thread, NULL);
}

/* Made here, used on another thread, closed here. */
static int attack_child(const struct attack *a, enum lun_vm_cpu cpu)
{
    struct lun_vm_error error;
    alarm(10);
    job.vm = new_vm(cpu);
    job.attack = a;
    if (!(a->fails & CPU)) job.vm->options.limits.run_cpu = job.vm->options.limits.request_cpu = LUN_SECOND;
    job.hook = load(job.vm, a->source, &error);
    if (job.hook == LUA_NOREF) {
        fprintf(stderr, "attack '%s' does not load: %s\n", a->name, error.text);
        return 1;
    }
    job.control = load(job.vm, INNOCENT, &error);
    lun_sandbox_lock(job.vm);
    if (!on_small_stack(attack_and_control)) return 1;
    int64_t lost = lun_vm_free(job.vm);
    if (lost) fprintf(stderr, "after attack '%s' %lld bytes were not given back\n", a->name, (long long)lost);
    return !job.good || lost;
}

static int in_child(int (*f)(const struct attack *, enum lun_vm_cpu), const struct attack *a, enum lun_vm_cpu cpu)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (!child) _exit(f(a, cpu));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFSIGNALED(status)) print_message("'%s' ended by signal %d%s\n", a->name, WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (hung)" : "");
    return status;
}

static void all_attacks(enum lun_vm_cpu cpu)
{
    int bad = 0;
    for (size_t i = 0; i < COUNT(attacks); i++) bad += in_child(attack_child, &attacks[i], cpu) != 0;
    assert_int_equal(bad, 0);
}

static void attacks_come_to_nothing_under_the_timer_signal(void **state)
{
    (void)state;
    all_attacks(LUN_CPU_SIGNAL);
}

static void attacks_come_to_nothing_under_the_clock(void **state)
{
    (void)state;
    all_attacks(LUN_CPU_CLOCK);
}

static void there_are_enough_attacks(void **state)
{
    (void)state;
    assert_true(COUNT(attacks) >= 60);
}

/* ---- what is loaded ---- */

static struct outcome load_text(const char *text, size_t n)
{
    struct lun_vm *vm = new_vm(LUN_CPU_SIGNAL);
    struct outcome out = { 0 };
    struct lun_vm_error error = { 0 };
    if (lun_vm_load(vm, "policy.lua", text, n, 0, &error) == LUA_NOREF) {
        out.failure = error.failure;
        memcpy(out.text, error.text, sizeof out.text);
    }
    assert_int_equal(lun_vm_free(vm), 0);
    return out;
}

static void expect_load(const char *text, size_t n, enum lun_failure failure, const char *says)
{
    struct outcome out = load_text(text, n);
    if (out.failure != failure || !strstr(out.text, says)) print_message("got %s: %s\n", lun_failure_name(out.failure), out.text);
    assert_int_equal(out.failure, failure);
    assert_non_null(strstr(out.text, says));
}

static int keep(lua_State *L, const void *p, size_t n, void *to)
{
    (void)L;
    luaL_addlstring(to, p, n);
    return 0;
}

static void bytecode_is_refused(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_Buffer b;
    size_t n;
    (void)state;
    luaL_loadstring(L, "return 1");
    lua_State *L2 = luaL_newstate();
    luaL_buffinit(L2, &b);
    lua_dump(L, keep, &b);
    luaL_pushresult(&b);
    const char *code = lua_tolstring(L2, -1, &n);
    expect_load(code, n, LUN_FAILURE_ERROR, "policy.lua:1: not a text");
    lua_close(L);
    lua_close(L2);
}

static void what_cannot_be_read_names_file_and_line(void **state)
{
    (void)state;
    expect_load("\n\nlocal x = = 1", 15, LUN_FAILURE_ERROR, "policy.lua:3: ");
    expect_load("x", 1, LUN_FAILURE_ERROR, "policy.lua:1: ");
}

static void texts_that_nest_without_end_are_refused(void **state)
{
    static const char *const open[] = { "(", "{", "do ", "a=", "function()", "not ", "x.", "if x then ", "a..", "[[", "- " };
    (void)state;
    for (size_t i = 0; i < COUNT(open); i++) {
        size_t one = strlen(open[i]), n = one * 80000 < 1000000 ? 80000 : 1000000 / one;
        char *text = lun_alloc(n * one);
        for (size_t k = 0; k < n; k++) memcpy(text + k * one, open[i], one);
        expect_load(text, n * one, LUN_FAILURE_ERROR, "policy.lua:1: ");
        free(text);
    }
}

static void a_text_over_1_mib_is_refused(void **state)
{
    char *text = lun_alloc((1 << 20) + 1);
    (void)state;
    memset(text, ' ', (1 << 20) + 1);
    expect_load(text, (1 << 20) + 1, LUN_FAILURE_ERROR, "over 1 MiB");
    expect_load(text, 1 << 20, LUN_FAILURE_NONE, "");
    free(text);
}

static void a_file_that_loops_is_stopped(void **state)
{
    (void)state;
    expect_load("while true do end", 17, LUN_FAILURE_CPU, "policy.lua:1: stopped: loading a file may take 100 ms");
}

static void a_file_cannot_wait(void **state)
{
    static const char text[] = "require('lunette').wait()";
    (void)state;
    expect_load(text, sizeof text - 1, LUN_FAILURE_ERROR, "nothing can wait");
}

/* ---- what an honest policy may rely on ---- */

struct promise { const char *gives, *source; };

static void keeps(const struct promise *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct lun_vm *vm = new_vm(LUN_CPU_STEPS);
        struct outcome out = run_text(vm, p[i].source);
        if (out.failure || strcmp(out.text, p[i].gives)) print_message("%s\n  gave %s: %s\n", p[i].source, lun_failure_name(out.failure), out.text);
        assert_int_equal(out.failure, LUN_FAILURE_NONE);
        assert_string_equal(out.text, p[i].gives);
        assert_int_equal(lun_vm_free(vm), 0);
    }
}

static void functions_may_wait_inside_callbacks(void **state)
{
    static const struct promise promises[] = {
        { "1 2 3", "local t = { 3, 1, 2 } table.sort(t, function(a, b) return lunette.wait(a < b) end) return table.concat(t, ' ')" },
        { "<a><b>2", "local s, n = ('ab'):gsub('%a', function(c) return lunette.wait('<' .. c .. '>') end) return s .. n" },
        { "A", "return (('a'):gsub('a', setmetatable({}, { __index = function(_, k) return lunette.wait(k:upper()) end })))" },
        { "5", "local ok, v = pcall(function() return lunette.wait(5) end) return v" },
        { "6", "local ok, v = xpcall(function() error(6, 0) end, function(e) return lunette.wait(e) end) return v" },
        { "7", "local ok, v = xpcall(function(x) return lunette.wait(x) end, error, 7) return v" },
        { "3", "local n = 0 for v in function() n = lunette.wait(n + 1) return n < 4 and n or nil end do end return n - 1" },
        { "x", "return tostring(setmetatable({}, { __tostring = function() return lunette.wait('x') end }))" },
        { "[x]", "return ('[%s]'):format(setmetatable({}, { __tostring = function() return lunette.wait('x') end }))" },
        { "9", "return setmetatable({}, { __index = function() return lunette.wait(9) end }).x" },
        { "ab", "local s = '' for k in pairs(setmetatable({}, { __pairs = function() return lunette.wait(pairs { a = 1, b = 1 }) end })) do s = s .. k end return s" },
        { "nil false 1", "local a, b, c = lunette.wait(nil, false, 1) return tostring(a) .. ' ' .. tostring(b) .. ' ' .. c" },
    };
    (void)state;
    keeps(promises, COUNT(promises));
}

static void order_is_the_same_everywhere(void **state)
{
    static const struct promise promises[] = {
        { "1 2 3 10 a b true ", "local s = '' for k in pairs { b = 1, a = 1, [10] = 1, [true] = 1, 1, 2, 3 } do s = s .. tostring(k) .. ' ' end return s" },
        { "-1 0.5 1 2 ", "local s = '' for k in pairs { [2] = 1, [0.5] = 1, [-1] = 1, [1] = 1 } do s = s .. k .. ' ' end return s" },
        { "a aa ab b ", "local s = '' for k in pairs { b = 1, ab = 1, aa = 1, a = 1 } do s = s .. k .. ' ' end return s" },
        { "false true ", "local s = '' for k in pairs { [true] = 1, [false] = 1 } do s = s .. tostring(k) .. ' ' end return s" },
        { "500", "local t, n, last = {}, 0, '' for i = 1, 500 do t['k' .. i] = i end for k in pairs(t) do if k > last then n = n + 1 end last = k end return n" },
        { "500", "local t, n, last = {}, 0, -1 for i = 1, 500 do t[i * 7919 % 503] = i end for k in pairs(t) do if k > last then n = n + 1 end last = k end return n" },
        { "a b ", "local t, s = { a = 1, b = 1, c = 1 }, '' for k in pairs(t) do s = s .. k .. ' ' t.c = nil t.d = 1 end return s" },
        { "nil", "return tostring(next {})" },
        { "a1", "local k, v = next { b = 2, a = 1 } return k .. v" },
        { "1a1b2a2b", "local t = { { 2, 'a' }, { 1, 'a' }, { 2, 'b' }, { 1, 'b' } } table.sort(t, function(a, b) return a[1] < b[1] end) "
                      "local s = '' for _, v in ipairs(t) do s = s .. v[1] .. v[2] end return s" },
        { "1 2 3 10", "local t = { 10, 3, 2, 1 } table.sort(t) return table.concat(t, ' ')" },
        { "10 2 b", "local t = { 'b', '2', '10' } table.sort(t) return table.concat(t, ' ')" },
        { "true", "local t = {} for i = 1, 1000 do t[i] = i * 7919 % 1009 end table.sort(t, function(a, b) return a > b end) "
                  "for i = 2, 1000 do if t[i - 1] < t[i] then return 'false' end end return 'true'" },
        { "false", "return tostring(pcall(table.sort, { 1, 'a', {} }))" },
    };
    (void)state;
    keeps(promises, COUNT(promises));
}

static void the_rest_is_lua_5_1(void **state)
{
    static const struct promise promises[] = {
        { "1:2:3", "return table.concat({ 1, 2, 3 }, ':')" },
        { "2-3", "return table.concat({ 1, 2, 3, 4 }, '-', 2, 3)" },
        { "", "return table.concat({ 1 }, ',', 3)" },
        { "a,b,c", "local t = { 'a', 'c' } table.insert(t, 2, 'b') return table.concat(t, ',')" },
        { "a,b", "local t = { 'a' } table.insert(t, 'b') return table.concat(t, ',')" },
        { "b,ac", "local t = { 'a', 'b', 'c' } local x = table.remove(t, 2) local y = x .. ',' .. table.concat(t) return y" },
        { "c2", "local t = { 'a', 'b', 'c' } return table.remove(t) .. #t" },
        { "nil", "return tostring(table.remove {})" },
        { "xyxyx", "return ('x'):rep(3, 'y')" },
        { "", "return ('x'):rep(0) .. ('x'):rep(-1) .. (''):rep(5)" },
        { "00000abababa", "return ('0'):rep(5) .. ('ab'):rep(3) .. 'a'" },
        { "ABC abc cba 3", "return ('aBc'):upper() .. ' ' .. ('aBc'):lower() .. ' ' .. ('abc'):reverse() .. ' ' .. ('abc'):len()" },
        { "x  7|1.50|\"q\"|%", "return ('%s%3d|%.2f|%q|%%'):format('x', 7, 1.5, 'q')" },
        { "nil true", "return ('%s %s'):format(nil, true)" },
        { "15 255 nil 0.5", "return tonumber('15') .. ' ' .. tonumber('ff', 16) .. ' ' .. tostring(tonumber('x')) .. ' ' .. tonumber(' .5 ')" },
        { "false boom", "local ok, e = pcall(error, 'boom', 0) return tostring(ok) .. ' ' .. e" },
        { "hook.lua:2: boom", "local ok, e = pcall(function() error('boom') end) return e" },
        { "false [e]", "local ok, e = xpcall(function() error('e', 0) end, function(m) return '[' .. m .. ']' end) return tostring(ok) .. ' ' .. e" },
        { "true 1 2", "local ok, a, b = xpcall(function(...) return ... end, error, 1, 2) return tostring(ok) .. ' ' .. a .. ' ' .. b" },
        { "nil", "return tostring(absent_name)" },
        { "3", "return select('#', 1, nil, 3)" },
        { "k=v;a=b;", "local s = '' for k, v in ('k=v, a=b'):gmatch('(%w+)=(%w+)') do s = s .. k .. '=' .. v .. ';' end return s" },
        { "one two", "local t = setmetatable({}, { __index = function(_, i) return ({ 'one', 'two' })[i] end }) local s = {} for i, v in ipairs(t) do s[i] = v end return table.concat(s, ' ')" },
        { "1 2 3 ", "local s = '' for i, v in ipairs(request) do s = s .. v .. ' ' end return s" },
        { "3", "return #request" },
        { "true", "return tostring(_G._G == _G and _G.string == string)" },
        { "byte char find format gmatch gsub len lower match rep reverse sub upper ", "local s = '' for k in pairs(string) do s = s .. k .. ' ' end return s" },
        { "0.5 6 15", "return math.random() .. ' ' .. math.random(10) .. ' ' .. math.random(10, 20)" },
        { "2026-01-01 12:00:00", "return os.date('%Y-%m-%d %H:%M:%S')" },
        { "1970-01-02", "return os.date('!%Y-%m-%d', 86400)" },
        { "1767268800", "return ('%d'):format(os.time())" },
        { "1767268800", "return ('%d'):format(os.time { year = 2026, month = 1, day = 1 })" },
        { "Thursday 5", "return os.date('%A') .. ' ' .. os.date('*t').wday" },
        { "1767268800", "return ('%d'):format(os.clock())" },
    };
    (void)state;
    keeps(promises, COUNT(promises));
}

static void frozen_tables_read_like_tables(void **state)
{
    static const struct promise promises[] = {
        { "7", "return request.facts.quality" },
        { "20", "return request.facts.list[2]" },
        { "3", "return #request.facts.list" },
        { "10,20,30", "return table.concat(request.facts.list, ',')" },
        { "102030", "local s = '' for i, v in ipairs(request.facts.list) do s = s .. v end return s" },
        { "list quality ", "local s = '' for k in pairs(request.facts) do s = s .. k .. ' ' end return s" },
        { "list", "return (next(request.facts))" },
        { "table", "return tostring(request.facts)" },
        { "nil", "return tostring(request.facts.absent)" },
        { "false", "return tostring(getmetatable(request.facts))" },
    };
    (void)state;
    keeps(promises, COUNT(promises));
}

static void require_finds_what_the_host_has(void **state)
{
    struct lun_vm *vm = new_vm(LUN_CPU_SIGNAL);
    struct lun_vm_error error;
    (void)state;
    assert_int_not_equal(load(vm, "return require('words').n", &error), LUA_NOREF);
    static const struct { const char *text, *says; } broken[] = {
        { "require 'broken'", "broken.lua:1: " },
        { "require 'raising'", "raising.lua:1: not today" },
        { "require 'self'", "requires itself" },
        { "require 'absent'", "policy.lua:1: require 'absent': there is no such module" },
        { "require 'forbidden'", "outside of the folder" },
    };
    for (size_t i = 0; i < COUNT(broken); i++) expect_load(broken[i].text, strlen(broken[i].text), LUN_FAILURE_ERROR, broken[i].says);
    assert_int_equal(lun_vm_free(vm), 0);
}

static void what_was_required_while_loading_is_there_afterwards(void **state)
{
    struct lun_vm *vm = new_vm(LUN_CPU_SIGNAL);
    struct lun_vm_error error;
    static const char text[] = "require 'words' require 'shared' return shared_value";
    (void)state;
    int ref = lun_vm_load(vm, "policy.lua", text, sizeof text - 1, 0, &error);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
    assert_int_equal(lua_tointeger(vm->L, -1), 5);
    lua_pop(vm->L, 1);
    struct outcome out = run_text(vm, "return require('words').n + shared_value");
    assert_string_equal(out.text, "8");
    out = run_text(vm, "return require 'broken'");
    assert_non_null(strstr(out.text, "no such module"));
    assert_int_equal(lun_vm_free(vm), 0);
}

static void globals_of_the_host_can_be_read_and_not_set(void **state)
{
    struct lun_vm *vm = new_vm(LUN_CPU_SIGNAL);
    (void)state;
    lua_pushinteger(vm->L, 12);
    lun_sandbox_global(vm, "dozen");
    struct outcome out = run_text(vm, "return dozen");
    assert_string_equal(out.text, "12");
    assert_int_equal(lua_gettop(vm->L), 0);
    assert_int_equal(lun_vm_free(vm), 0);
    vm = new_vm(LUN_CPU_SIGNAL);
    lua_pushinteger(vm->L, 12);
    lun_sandbox_global(vm, "dozen");
    struct lun_vm_error error;
    assert_int_equal(lun_vm_load(vm, "x.lua", "dozen = 13", 10, 0, &error), LUA_NOREF);
    assert_non_null(strstr(error.text, "x.lua:1: 'dozen'"));
    assert_int_equal(lun_vm_free(vm), 0);
}

/* ---- many at once ---- */

static timer_t fast_timer(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG, .sigev_value.sival_ptr = lun_cpu_ticker() };
    struct itimerspec every = { { 0, 100000 }, { 0, 100000 } };
    timer_t timer;
    event._sigev_un._tid = gettid();
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    timer_settime(timer, 0, &every, NULL);
    return timer;
}

static uint64_t seed = 2463534242u;

static size_t chance(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % n;
}

/* Attacks in any order in one machine, a signal each 100 us, 100 us for each run, a control run after each sixteenth. */
static int storm(const struct attack *unused, enum lun_vm_cpu cpu)
{
    struct lun_vm *vm = NULL;
    int refs[COUNT(attacks)], control = 0;
    long runs = 0, bad = 0, stopped = 0;
    (void)unused;
    alarm(30);
    for (lun_us end = lun_clock_cpu() + LUN_SECOND; lun_clock_cpu() < end; runs++) {
        if (!vm || lun_vm_worn(vm)) {
            struct lun_vm_error error;
            bad += lun_vm_free(vm) != 0;
            vm = new_vm(cpu);
            for (size_t i = 0; i < COUNT(attacks); i++) refs[i] = load(vm, attacks[i].source, &error);
            control = load(vm, INNOCENT, &error);
            lun_sandbox_lock(vm);
            vm->options.limits.run_cpu = 100;
            calm(vm, control);
            if (!runs) fast_timer();
        }
        stopped += run_hook(vm, refs[chance(COUNT(attacks))]).failure == LUN_FAILURE_CPU;
        if (runs % 16 == 0) bad += !calm(vm, control);
    }
    bad += lun_vm_free(vm) != 0;
#ifndef __SANITIZE_THREAD__
    bad += lun_cpu_ticks() < 1000;
#endif
    if (getenv("SHOW")) fprintf(stderr, "storm: %ld runs, %ld stopped, %lu ticks\n", runs, stopped, lun_cpu_ticks());
    return bad || !stopped;
}

static void a_storm_of_signals_breaks_nothing(void **state)
{
    static const struct attack name = { .name = "storm" };
    (void)state;
    assert_int_equal(in_child(storm, &name, LUN_CPU_SIGNAL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_enough_attacks),
        cmocka_unit_test(attacks_come_to_nothing_under_the_timer_signal),
        cmocka_unit_test(attacks_come_to_nothing_under_the_clock),
        cmocka_unit_test(a_storm_of_signals_breaks_nothing),
        cmocka_unit_test(bytecode_is_refused),
        cmocka_unit_test(what_cannot_be_read_names_file_and_line),
        cmocka_unit_test(texts_that_nest_without_end_are_refused),
        cmocka_unit_test(a_text_over_1_mib_is_refused),
        cmocka_unit_test(a_file_that_loops_is_stopped),
        cmocka_unit_test(a_file_cannot_wait),
        cmocka_unit_test(functions_may_wait_inside_callbacks),
        cmocka_unit_test(order_is_the_same_everywhere),
        cmocka_unit_test(the_rest_is_lua_5_1),
        cmocka_unit_test(frozen_tables_read_like_tables),
        cmocka_unit_test(require_finds_what_the_host_has),
        cmocka_unit_test(what_was_required_while_loading_is_there_afterwards),
        cmocka_unit_test(globals_of_the_host_can_be_read_and_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
