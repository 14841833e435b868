#include "script/sandbox.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "script/bundle.h"
#include "script/matcher.h"
#include "script/ostime.h"
#include "script/run.h"
#include "script/sort.h"

#define TEXT_MOST      ((size_t)1 << 20)
#define FORMAT_MOST    ((size_t)64 << 10)
#define CONCAT_MOST    ((size_t)1 << 20)
#define CONCAT_ITEMS   65536
#define DIRECTIVES     1000             /* of %99.99f each takes a microsecond */
#define FREEZE_DEEP    32

static const char frozen;               /* its address is the registry's key of the metatable */

/* ---- values that cannot be written ---- */

bool lun_sandbox_thaw(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return false;
    lua_pushlightuserdata(L, (void *)&frozen);
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool ours = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (ours) lua_getfenv(L, index);
    return ours;
}

static int frozen_index(lua_State *L)
{
    if (!lun_sandbox_thaw(L, 1)) return 0;
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int frozen_len(lua_State *L)
{
    if (!lun_sandbox_thaw(L, 1)) return 0;
    lua_pushinteger(L, (lua_Integer)lua_objlen(L, -1));
    return 1;
}

static int frozen_newindex(lua_State *L) { return luaL_error(L, "this value is read-only"); }

static void freeze(lua_State *L, int depth)
{
    if (depth > FREEZE_DEEP) luaL_error(L, "a table of over %d levels", FREEZE_DEEP);
    luaL_checkstack(L, 8, "a table of many levels");
    for (lua_pushnil(L); lua_next(L, -2);) {
        if (lua_type(L, -1) != LUA_TTABLE) {
            lua_pop(L, 1);
            continue;
        }
        freeze(L, depth + 1);
        lua_pushvalue(L, -2);           /* table, key, frozen, key */
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    *(const void **)lua_newuserdata(L, sizeof(void *)) = NULL;      /* an object of no class: bind.h */
    lua_insert(L, -2);                  /* userdata, table */
    lua_setfenv(L, -2);
    lua_pushlightuserdata(L, (void *)&frozen);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

void lun_sandbox_freeze(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TTABLE) freeze(L, 1);
}

static int thaw(lua_State *L) { return lun_sandbox_thaw(L, 1); }

/* Leaves the metatable on the stack; sandbox.lua adds __pairs. */
static void make_frozen(lua_State *L)
{
    static const luaL_Reg meta[] = { { "__index", frozen_index }, { "__len", frozen_len }, { "__newindex", frozen_newindex }, { 0 } };
    lua_pushlightuserdata(L, (void *)&frozen);
    lua_newtable(L);
    luaL_register(L, NULL, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "table");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_insert(L, -3);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

/* ---- what sandbox.lua cannot do itself ---- */

/* value, name → that field of its metatable, also behind __metatable. */
static int metafield(lua_State *L) { return luaL_getmetafield(L, 1, luaL_checkstring(L, 2)); }

static int repeat(lua_State *L)
{
    size_t n, sep, have;
    const char *s = luaL_checklstring(L, 1, &n), *between = luaL_optlstring(L, 3, "", &sep);
    lua_Integer times = luaL_checkinteger(L, 2);
    size_t unit = n + sep;
    lua_settop(L, 3);
    if (times <= 0 || !unit) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (unit > 2 * TEXT_MOST || (size_t)times > 2 * TEXT_MOST / unit || unit * (size_t)times - sep > TEXT_MOST)
        return luaL_error(L, "string.rep: result over 1 MiB");
    size_t whole = unit * (size_t)times;
    char *out = lua_newuserdata(L, whole);
    memcpy(out, s, n);
    memcpy(out + n, between, sep);
    for (have = unit; have < whole; have *= 2) memcpy(out + have, out, have < whole - have ? have : whole - have);
    lua_pushlstring(L, out, whole - sep);
    return 1;
}

static void look_at_directives(lua_State *L, const char *format, size_t n)
{
    const char *end = format + n;
    int directives = 0;
    for (const char *p = format; (p = memchr(p, '%', (size_t)(end - p))); p++) {
        if (++directives > DIRECTIVES) luaL_error(L, "string.format: over %d directives", DIRECTIVES);
        for (p++; p < end && strchr("-+ #0123456789.", *p) && *p;) p++;
        if (p < end && *p == 'p') luaL_error(L, "string.format: %%p shows addresses, which change from run to run");
        if (p >= end) return;
    }
}

/* The arguments of string.format → true when the native one may have them as they are; raises when they are too large. */
static int format_plain(lua_State *L)
{
    size_t n, sum = 0;
    const char *format = luaL_checklstring(L, 1, &n);
    bool plain = true;
    if (n > FORMAT_MOST) return luaL_error(L, "string.format: format over 64 KiB");
    look_at_directives(L, format, n);
    for (int i = lua_gettop(L); i > 1; i--) {
        int type = lua_type(L, i);
        if (type == LUA_TSTRING) sum += lua_objlen(L, i);
        else if (type != LUA_TNUMBER && type != LUA_TNIL && type != LUA_TBOOLEAN) plain = false;
    }
    if (sum > TEXT_MOST) return luaL_error(L, "string.format: arguments over 1 MiB");
    lua_pushboolean(L, plain);
    return 1;
}

/* Bytes that the items from `first` to `last` of the table at 1 can take. */
static size_t concat_size(lua_State *L, lua_Integer first, lua_Integer last, size_t sep)
{
    size_t sum = 0;
    for (lua_Integer i = first; i <= last; i++) {
        lua_rawgeti(L, 1, (int)i);
        int type = lua_type(L, -1);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            luaL_error(L, "invalid value (a %s) at index %d in table for 'concat'", lua_typename(L, type), (int)i);
        sum += sep + (type == LUA_TSTRING ? lua_objlen(L, -1) : 32);
        if (sum > CONCAT_MOST) luaL_error(L, "table.concat: result over 1 MiB");
        lua_pop(L, 1);
        if ((i & 1023) == 0) lun_vm_work(L, 1024);
    }
    return sum;
}

static int concat(lua_State *L)
{
    size_t sep, n, used = 0;
    if (lun_sandbox_thaw(L, 1)) lua_replace(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *between = luaL_optlstring(L, 2, "", &sep);
    lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, (lua_Integer)lua_objlen(L, 1));
    if (first < INT32_MIN || last > INT32_MAX - 1 || last - first >= CONCAT_ITEMS) return luaL_error(L, "table.concat: over %d items", CONCAT_ITEMS);
    char *out = lua_newuserdata(L, concat_size(L, first, last, sep) + 1);
    for (lua_Integer i = first; i <= last; i++) {
        lua_rawgeti(L, 1, (int)i);
        const char *s = lua_tolstring(L, -1, &n);
        memcpy(out + used, s, n);
        if (i < last) memcpy(out + used + n, between, sep);
        used += n + (i < last ? sep : 0);
        lua_pop(L, 1);
        if ((i & 1023) == 0) lun_vm_work(L, 1024);
    }
    lua_pushlstring(L, out, used);
    return 1;
}

static int random_number(lua_State *L)
{
    double (*random)(lua_State *) = lun_vm_of(L)->options.host.random;
    if (!random) return luaL_error(L, "math.random: there is no chance here");
    lua_pushnumber(L, random(L));
    return 1;
}

/* A number that is the same throughout a run, and another one in the next. */
static int serial(lua_State *L)
{
    struct lun_run *run = lun_vm_of(L)->run;
    lua_pushinteger(L, run ? (lua_Integer)run->serial : 0);
    return 1;
}

/* ---- require ---- */

static bool from_host(lua_State *L, const char *module, int *status)
{
    struct lun_vm *vm = lun_vm_of(L);
    struct lun_vm_source source = { 0 };
    if (vm->locked || !vm->options.host.source) return false;
    bool found = vm->options.host.source(vm->options.host.user, module, &source);
    bool told = source.error != NULL;
    if (told) lua_pushstring(L, source.error);
    else if (found) *status = lun_vm_compile(L, source.name, source.text, source.n);
    if (told) *status = LUA_ERRSYNTAX;
    free(source.name);
    free(source.text);
    free(source.error);
    return found || told;
}

/* name → its function, with the sandbox's environment; nothing when there is no such module; raises what is wrong in it. */
static int compile(lua_State *L)
{
    size_t n;
    int status = 0;
    const char *module = luaL_checklstring(L, 1, &n);
    if (strlen(module) != n || n > 200) return 0;
    const struct lun_bundle_file *f = lun_bundle_module(module, 0);
    lun_vm_check(L);
    if (f) status = lun_vm_compile(L, f->name, f->start, f->size);
    else if (!from_host(L, module, &status)) return 0;
    return status ? lua_error(L) : 1;
}

/* ---- building it ---- */

static void need(struct lun_vm *vm, int status)
{
    if (!status) return;
    fprintf(stderr, "lunette: lua/sandbox.lua: %s\n", lua_tostring(vm->L, -1));
    abort();
}

static void open_libraries(lua_State *L)
{
    static const luaL_Reg libraries[] = {
        { "", luaopen_base }, { "string", luaopen_string }, { "table", luaopen_table }, { "math", luaopen_math }, { 0 } };
    for (const luaL_Reg *l = libraries; l->func; l++) {
        lua_pushcfunction(L, l->func);
        lua_pushstring(L, l->name);
        lua_call(L, 1, 0);
    }
}

/* Nothing reaches the real globals any more; this is for the day when something does. */
static void empty_globals(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, LUA_GLOBALSINDEX);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, LUA_GLOBALSINDEX);
    }
}

static void push_natives(lua_State *L)
{
    static const luaL_Reg natives[] = {
        { "find", lun_match_find }, { "match", lun_match_match }, { "gmatch", lun_match_gmatch }, { "gsub", lun_match_gsub },
        { "seek", lun_match_seek }, { "keys", lun_sort_keys }, { "first", lun_sort_first }, { "sort_plain", lun_sort_plain },
        { "time", lun_os_time }, { "date", lun_os_date }, { "clock", lun_os_clock }, { "metafield", metafield },
        { "rep", repeat }, { "format_plain", format_plain }, { "concat", concat }, { "random", random_number },
        { "serial", serial }, { "compile", compile }, { "thaw", thaw }, { 0 } };
    lua_newtable(L);
    luaL_register(L, NULL, natives);
    make_frozen(L);
    lua_setfield(L, -2, "frozen");
}

void lun_sandbox_open(struct lun_vm *vm)
{
    lua_State *L = vm->L;
    const struct lun_bundle_file *f = lun_bundle_find("lua/sandbox.lua");
    if (!f) {
        fprintf(stderr, "lunette: lua/sandbox.lua is not in the binary\n");
        abort();
    }
    open_libraries(L);
    need(vm, luaL_loadbufferx(L, f->start, f->size, "@lua/sandbox.lua", "t"));
    push_natives(L);
    need(vm, lua_pcall(L, 1, 1, 0));
    lua_getfield(L, -1, "env");
    vm->env = luaL_ref(L, LUA_REGISTRYINDEX);
    vm->inner = luaL_ref(L, LUA_REGISTRYINDEX);
    empty_globals(L);
}

/* Calls a function of what sandbox.lua gave back: with the value on top of the stack, which it takes, if there is one. */
static void inner(struct lun_vm *vm, const char *function, int arguments)
{
    lua_State *L = vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->inner);
    lua_getfield(L, -1, function);
    lua_replace(L, -2);
    lua_insert(L, -1 - arguments);
    need(vm, lua_pcall(L, arguments, 0, 0));
}

void lun_sandbox_global(struct lun_vm *vm, const char *name)
{
    lua_pushstring(vm->L, name);
    inner(vm, "global", 2);
}

void lun_sandbox_module(struct lun_vm *vm)
{
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, vm->inner);
    lua_getfield(vm->L, -1, "lunette");
    lua_replace(vm->L, -2);
}

void lun_sandbox_lock(struct lun_vm *vm)
{
    inner(vm, "lock", 0);
    vm->locked = true;
}
