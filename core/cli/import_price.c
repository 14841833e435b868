#include "cli/import_price.h"
#include <lauxlib.h>
#include <string.h>

#define X(id, name) name,
static const char *const services[] = { LUN_SERVICES(X) };
#undef X

static void put(lua_State *L, const char *name, int64_t nano)
{
    if (nano == LUN_UNPRICED) return;
    lua_pushnumber(L, (double)nano / (double)LUN_NANO_PER_USD);
    lua_setfield(L, -2, name);
}

/* Into the table on top. */
static void put_parts(lua_State *L, const struct lun_price *p)
{
#define X(part, otherwise) put(L, #part, p->part);
    LUN_PRICE_PARTS(X)
#undef X
}

/* Pushes the field of the table on top, made if it is not there. */
static void into(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name);
}

static void put_tier(lua_State *L, const struct lun_price_tier *t)
{
    int top = lua_gettop(L);
    if (t->service) into(L, services[t->service]);
    if (t->above) {
        into(L, "above");
        lua_newtable(L);
        lua_pushnumber(L, (double)t->above);
        lua_setfield(L, -2, "tokens");
    }
    put_parts(L, &t->price);
    if (t->above) lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    lua_settop(L, top);
}

void lun_import_price_push(lua_State *L, const struct lun_price_file *file, const char *name)
{
    const struct lun_price_entry *e = file ? lun_price_file_find(file, name) : NULL;
    luaL_checkstack(L, 8, "prices");
    if (!e || !lun_price_known(&e->price)) { lua_pushnil(L); return; }
    lua_newtable(L);
    put_parts(L, &e->price);
    for (int i = 0; i < e->price.n_tiers; i++) put_tier(L, &e->price.tiers[i]);
}
