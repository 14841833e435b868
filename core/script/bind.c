#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/text.h"
#include "script/sandbox.h"

#define SCRATCH_KEPT ((size_t)1 << 20)
#define OBJECTS      64

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

static int free_bound(lua_State *L)
{
    struct lun_bound *b = lua_touserdata(L, 1);
    lun_vm_of(L)->bound = NULL;
    lun_buf_free(&b->scratch);
    lun_buf_free(&b->name);
    free(b->own);
    b->own = NULL;
    return 0;
}

struct lun_bound *lun_bind_make(lua_State *L)
{
    struct lun_bound *b = lua_newuserdata(L, sizeof *b);
    memset(b, 0, sizeof *b);
    lua_newtable(L);
    lua_pushcfunction(L, free_bound);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_ref(L, LUA_REGISTRYINDEX);
    return lun_vm_of(L)->bound = b;
}

struct lun_bound *lun_bind_bound(lua_State *L) { return lun_vm_of(L)->bound; }

struct lun_buf *lun_bind_scratch(lua_State *L)
{
    struct lun_buf *b = &lun_bind_bound(L)->scratch;
    if (b->room > SCRATCH_KEPT) lun_buf_free(b);
    b->n = 0;
    return b;
}

/* ---- words ---- */

const char *lun_bind_type(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA) return lua_type(L, index) == LUA_TLIGHTUSERDATA ? "null" : luaL_typename(L, index);
    const struct lun_class *c = lun_class_of(L, index);
    if (c) return c->name;
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

static uint64_t bit(int key) { return (uint64_t)1 << (key < OBJECTS ? key : OBJECTS - 1); }

bool lun_bind_kept(lua_State *L, const struct lun_mind *mind, int key)
{
    if (!(mind->kept & bit(key))) return false;
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
        lua_createtable(L, LUN_KEPT, 0);
        mind->objects = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    mind->kept |= bit(key);
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->objects);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, key);
    lua_pop(L, 1);
}

/* Most requests keep nothing but two small objects, which may lie where they are: the table is for the next one. */
void lun_bind_let_go(lua_State *L, struct lun_mind *mind, bool again)
{
    if (mind->objects == LUA_NOREF || (again && !(mind->kept & ~(bit(LUN_KEPT_REQUEST) | bit(LUN_KEPT_TARGETS))))) return;
    luaL_unref(L, LUA_REGISTRYINDEX, mind->objects);
    mind->objects = LUA_NOREF;
}

/* ---- what is the machine's own ---- */

static void give(struct lun_mind *mind, int key)
{
    int n = key / 64 + 1;
    if (n > mind->n_given) {
        uint64_t *more = lun_arena_zalloc(mind->question->arena, 2 * (size_t)n * sizeof *more);
        if (mind->n_given) memcpy(more, mind->given, (size_t)mind->n_given * sizeof *more);
        mind->given = more;
        mind->n_given = 2 * n;
    }
    mind->given[key / 64] |= (uint64_t)1 << key % 64;
}

void *lun_bind_own(lua_State *L, int key, const void *of)
{
    const struct lun_bound *b = lun_bind_bound(L);
    return key < b->n_own && b->own[key].of == of ? b->own[key].self : NULL;
}

bool lun_bind_give(lua_State *L, struct lun_mind *mind, int key, const void *of)
{
    if (!lun_bind_own(L, key, of)) return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, lun_bind_bound(L)->own[key].ref);
    give(mind, key);
    return true;
}

static void make_room(struct lun_bound *b, int key)
{
    int n = 2 * (key + 1);
    if (key < b->n_own) return;
    b->own = lun_realloc(b->own, (size_t)n * sizeof *b->own);
    for (; b->n_own < n; b->n_own++) b->own[b->n_own] = (struct lun_own){ .ref = LUA_NOREF };
}

void lun_bind_give_new(lua_State *L, struct lun_mind *mind, int key, const void *of)
{
    struct lun_bound *b = lun_bind_bound(L);
    struct lun_box_own *self = lua_touserdata(L, -1);
    self->box.serial = LUN_SERIAL_OWN;
    self->key = key;
    lua_pushvalue(L, -1);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    make_room(b, key);
    luaL_unref(L, LUA_REGISTRYINDEX, b->own[key].ref);
    b->own[key] = (struct lun_own){ of, self, ref };
    give(mind, key);
}

/* ---- values ---- */

int lun_push_seconds(lua_State *L, lun_us time, lun_us unknown)
{
    if (time == LUN_NEVER) lua_pushnumber(L, HUGE_VAL);
    else if (time == unknown) lua_pushnil(L);
    else lua_pushnumber(L, lun_us_to_seconds(time));
    return 1;
}

double lun_usd(int64_t nano)
{
    return nano < 0 ? NAN : nano == INT64_MAX ? HUGE_VAL : (double)nano / LUN_NANO_PER_USD;
}

int lun_push_known(lua_State *L, double number)
{
    if (isnan(number)) lua_pushnil(L);
    else lua_pushnumber(L, number);
    return 1;
}

int lun_push_usd(lua_State *L, int64_t nano) { return lun_push_known(L, lun_usd(nano)); }

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
