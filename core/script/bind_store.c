/* `lunette.store`: values by name, kept in C with the letter of their type. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include "base/loop.h"
#include "state/store.h"

#define KEY_MOST   1024                 /* bytes */
#define VALUE_MOST ((size_t)64 << 10)

static const char *store_key(lua_State *L, size_t *n)
{
    const char *key = luaL_checklstring(L, 1, n);
    if (!*n) luaL_error(L, "store: the key is empty");
    return key;
}

static struct lun_store *store_of(lua_State *L, struct lun_mind **mind)
{
    *mind = lun_bind_mind(L, "lunette.store");
    return lun_policy_registry((*mind)->policy)->store;
}

static lun_us ttl_at(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) return 0;
    double ttl = luaL_checknumber(L, index);
    if (!(ttl > 0)) luaL_error(L, "store: a time to live is a number of seconds, more than 0");
    return lun_us_from_seconds(ttl);
}

static int push_stored(lua_State *L, char type, const struct lun_buf *value)
{
    struct lun_json json;
    const char *why;
    double n;
    switch (type) {
    case 'n': memcpy(&n, value->at, sizeof n); lua_pushnumber(L, n); return 1;
    case 'b': lua_pushboolean(L, value->n && value->at[0] == '1'); return 1;
    case 's': lua_pushlstring(L, value->n ? value->at : "", value->n); return 1;
    }
    lua_pushlstring(L, value->at, value->n);        /* decoding uses the scratch memory that holds it */
    const char *text = lua_tostring(L, -1);
    if (lun_json_check(text, lua_objlen(L, -1), &json, NULL) && lun_push_json(L, json, &why)) return 1;
    return lun_bind_nil(L, "unreadable");
}

int lun_store_get_function(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    size_t n;
    char type;
    const char *key = store_key(L, &n);
    struct lun_buf *out = lun_bind_scratch(L);
    if (!lun_store_get(store, key, n, mind->question->loop->now, &type, out)) { lua_pushnil(L); return 1; }
    return push_stored(L, type, out);
}

static int put_stored(lua_State *L, struct lun_store *store, struct lun_mind *mind, char type, const void *value, size_t n, lun_us ttl)
{
    size_t key_n;
    const char *key = store_key(L, &key_n);
    if (key_n > KEY_MOST) return lun_bind_nil(L, "key_too_long");
    if (n > VALUE_MOST || !lun_store_set(store, key, key_n, type, value, n, ttl, mind->question->loop->now)) return lun_bind_nil(L, "too_large");
    lua_pushboolean(L, 1);
    return 1;
}

int lun_store_set_function(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    lun_us ttl = ttl_at(L, 3);
    size_t n;
    const char *text = store_key(L, &n), *why;
    double number;
    struct lun_buf *out;
    luaL_checkany(L, 2);
    switch (lua_type(L, 2)) {
    case LUA_TNIL: lun_store_remove(store, text, n); lua_pushboolean(L, 1); return 1;
    case LUA_TNUMBER: number = lua_tonumber(L, 2); return put_stored(L, store, mind, 'n', &number, sizeof number, ttl);
    case LUA_TBOOLEAN: return put_stored(L, store, mind, 'b', lua_toboolean(L, 2) ? "1" : "0", 1, ttl);
    case LUA_TSTRING: text = lua_tolstring(L, 2, &n); return put_stored(L, store, mind, 's', text, n, ttl);
    }
    why = lun_bind_encode(L, 2, out = lun_bind_scratch(L), VALUE_MOST);
    if (why && !strcmp(why, "is too large")) return lun_bind_nil(L, "too_large");
    if (why) return luaL_error(L, "store.set: the value %s", why);
    return put_stored(L, store, mind, 'j', out->at, out->n, ttl);
}

int lun_store_incr_function(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_store *store = store_of(L, &mind);
    size_t n;
    const char *key = store_key(L, &n);
    double by = luaL_optnumber(L, 2, 1), value;
    if (!isfinite(by)) return luaL_error(L, "store.incr: by how much? NaN and infinity are no amounts");
    if (n > KEY_MOST) return lun_bind_nil(L, "key_too_long");
    if (!lun_store_incr(store, key, n, by, ttl_at(L, 3), mind->question->loop->now, &value)) return lun_bind_nil(L, "not_a_number");
    lua_pushnumber(L, value);
    return 1;
}
