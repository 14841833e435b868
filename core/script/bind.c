#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "script/sandbox.h"

#define SCRATCH_KEPT ((size_t)1 << 20)

/* ---- the running request ---- */

struct lun_mind *lun_bind_mind(lua_State *L, const char *what)
{
    struct lun_mind *mind = lun_vm_current(L);
    if (!mind) luaL_error(L, "%s can be used only inside a hook, for there it belongs to a request", what);
    return mind;
}

void lun_bind_take(lua_State *L, struct lun_mind *mind, size_t n)
{
    if (n > LUN_BIND_TAKES || mind->taken + n > LUN_BIND_TAKES)
        luaL_error(L, "the hooks of one request may say %d KiB in all (steps, notes)", (int)(LUN_BIND_TAKES >> 10));
    mind->taken += n;
}

/* ---- memory that an error's jump does not lose ---- */

static const char scratch;              /* its address is the registry's key */

static int free_scratch(lua_State *L)
{
    struct lun_buf *b = lua_touserdata(L, 1);
    if (b) lun_buf_free(b);
    return 0;
}

void lun_bind_make_scratch(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch);
    memset(lua_newuserdata(L, sizeof(struct lun_buf)), 0, sizeof(struct lun_buf));
    lua_newtable(L);
    lua_pushcfunction(L, free_scratch);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

struct lun_buf *lun_bind_scratch(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct lun_buf *b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (b->room > SCRATCH_KEPT) lun_buf_free(b);
    b->n = 0;
    return b;
}

/* ---- words ---- */

const char *lun_bind_type(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA) return lua_type(L, index) == LUA_TLIGHTUSERDATA ? "null" : luaL_typename(L, index);
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        if (lun_class_is(L, index, *c)) return (*c)->name;
    if (!lun_sandbox_thaw(L, index)) return "something else";
    lua_pop(L, 1);
    return "table";
}

const char *lun_bind_hint(const char *name, const char *const *list, size_t n, char out[96])
{
    const char *near = lun_text_nearest(name, list, n);
    out[0] = 0;
    if (near) snprintf(out, 96, " (did you mean '%.64s'?)", near);
    return out;
}

/* ---- names and reasons ---- */

const char *lun_bind_shown(lua_State *L, int index, char out[64])
{
    size_t n = 0;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    if (lua_type(L, index) == LUA_TNUMBER) snprintf(out, 64, "%.14g", lua_tonumber(L, index));
    else if (!text) snprintf(out, 64, "%s", lun_bind_type(L, index));
    else {
        n = lun_text_clip(text, n, 60);
        for (size_t i = 0; i < n; i++) out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
        out[n] = 0;
    }
    return out;
}

void lun_bind_names(lua_State *L, int index, const char *what, const char *const *names, size_t n)
{
    char hint[96], name[64];
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        size_t i = 0;
        lun_bind_shown(L, -2, name);
        while (i < n && strcmp(names[i], name)) i++;
        if (i == n) luaL_error(L, "%s has no option '%s'%s", what, name, lun_bind_hint(name, names, n, hint));
    }
}

int lun_bind_nil(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* ---- what is kept for a request ---- */

bool lun_bind_kept(lua_State *L, const struct lun_mind *mind, int key)
{
    if (mind->objects == LUA_NOREF) return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->objects);
    lua_rawgeti(L, -1, key);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

void lun_bind_keep(lua_State *L, struct lun_mind *mind, int key)
{
    if (mind->objects == LUA_NOREF) {
        lua_createtable(L, 8, 8);
        mind->objects = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->objects);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, key);
    lua_pop(L, 1);
}

/* ---- values ---- */

int lun_push_seconds(lua_State *L, lun_us time, lun_us unknown)
{
    if (time == LUN_NEVER) lua_pushnumber(L, HUGE_VAL);
    else if (time == unknown) lua_pushnil(L);
    else lua_pushnumber(L, lun_us_to_seconds(time));
    return 1;
}

int lun_push_usd(lua_State *L, int64_t nano)
{
    if (nano < 0) lua_pushnil(L);
    else if (nano == INT64_MAX) lua_pushnumber(L, HUGE_VAL);
    else lua_pushnumber(L, (double)nano / LUN_NANO_PER_USD);
    return 1;
}

int lun_push_text(lua_State *L, const char *text)
{
    if (text) lua_pushstring(L, text);
    else lua_pushnil(L);
    return 1;
}

int lun_push_pairs(lua_State *L, const struct lun_pair *pairs, int n)
{
    lua_createtable(L, 0, n);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, pairs[i].name);
        lua_pushstring(L, pairs[i].value ? pairs[i].value : "");
        lua_rawset(L, -3);
    }
    lun_sandbox_freeze(L);
    return 1;
}
