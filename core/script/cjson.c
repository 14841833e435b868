#include "script/cjson.h"
#include "script/bind.h"

static int decode(lua_State *L)
{
    size_t n;
    struct lun_json value;
    struct lun_json_error error;
    const char *text = luaL_checklstring(L, 1, &n);
    if (!lun_json_check(text, n, &value, &error)) return luaL_error(L, "cjson.decode: at byte %d: %s", (int)error.at, error.what);
    return lun_push_json_whole(L, value) ? 1 : luaL_error(L, "cjson.decode: too deep");
}

static int encode(lua_State *L)
{
    struct lun_buf *out = lun_bind_scratch(L);
    luaL_checkany(L, 1);
    const char *why = lun_bind_encode_whole(L, 1, out);
    if (why) return luaL_error(L, "cjson.encode: the value %s", why);
    lua_pushlstring(L, out->at, out->n);
    return 1;
}

int lun_cjson_open(lua_State *L)
{
    static const luaL_Reg functions[] = { { "decode", decode }, { "encode", encode }, { NULL, NULL } };
    lun_bind_make(L);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
