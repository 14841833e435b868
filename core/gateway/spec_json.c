#include "base/json.h"
#include "gateway/spec.h"
#include <lauxlib.h>

static void push(lua_State *L, struct lun_json value);

static void push_string(lua_State *L, struct lun_json value)
{
    struct lun_buf text = {0};
    lun_json_string(value, false, &text);
    lua_pushlstring(L, text.n ? text.at : "", text.n);
    lun_buf_free(&text);
}

static void push_members(lua_State *L, struct lun_json value)
{
    lua_newtable(L);
    for (struct lun_json_each e = lun_json_each(value); lun_json_next(&e); ) {
        if (e.object && lun_json_type(e.value) == LUN_JSON_NULL) continue;
        if (e.object) push_string(L, e.key);
        else lua_pushinteger(L, (lua_Integer)e.index + 1);
        push(L, e.value);
        lua_rawset(L, -3);
    }
}

static void push(lua_State *L, struct lun_json value)
{
    double number = 0;
    luaL_checkstack(L, 6, "JSON");
    switch (lun_json_type(value)) {
    case LUN_JSON_TRUE: case LUN_JSON_FALSE: lua_pushboolean(L, lun_json_true(value)); return;
    case LUN_JSON_NUMBER: lun_json_double(value, &number); lua_pushnumber(L, number); return;
    case LUN_JSON_STRING: push_string(L, value); return;
    case LUN_JSON_ARRAY: case LUN_JSON_OBJECT: push_members(L, value); return;
    default: lua_pushlightuserdata(L, NULL);
    }
}

int lun_spec_json_decode(lua_State *L)
{
    size_t n;
    struct lun_json value;
    struct lun_json_error error;
    const char *text = luaL_checklstring(L, 1, &n);
    if (lun_json_check(text, n, &value, &error)) {
        push(L, value);
        return 1;
    }
    lua_pushnil(L);
    lua_pushfstring(L, "at byte %d: %s", (int)error.at, error.what);
    return 2;
}

int lun_spec_json_quote(lua_State *L)
{
    size_t n;
    struct lun_buf out = {0};
    const char *text = luaL_checklstring(L, 1, &n);
    lun_json_put_string(&out, text, n);
    lua_pushlstring(L, out.at, out.n);
    lun_buf_free(&out);
    return 1;
}
