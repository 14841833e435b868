/* `lunette.predict`: what a router that `lunette train` made says of a request. Nothing of the model is kept from one call to the next: its weights are read where
 * they lie in the table's text, so a table that is changed is another model at once, and whatever it holds can only be a bad model or none. */
#include "script/bind.h"
#include <math.h>
#include "script/sandbox.h"
#include "state/router.h"

#define MODEL "predict(model, request): the model is what a file of `lunette train` returns"

static double number_in(lua_State *L, int table, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, table);
    double n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    if (!isfinite(n)) luaL_error(L, MODEL "; its `%s` is no number", name);
    lua_pop(L, 1);
    return n;
}

/* The text of its weights stays on the stack. */
static struct lun_router router_at(lua_State *L, int table)
{
    size_t n = 0;
    double format = number_in(L, table, "format");
    if (format != LUN_ROUTER_FORMAT) luaL_error(L, "predict: the model is of format %f, and this program reads %d: train it again", format, LUN_ROUTER_FORMAT);
    struct lun_router r = { .scale = number_in(L, table, "scale"), .base = number_in(L, table, "base") };
    lua_pushliteral(L, "weights");
    lua_rawget(L, table);
    if (lua_type(L, -1) == LUA_TSTRING) r.weights = lua_tolstring(L, -1, &n);
    if (n != LUN_ROUTER_SIZE) luaL_error(L, MODEL "; its `weights` are no text of %d bytes", LUN_ROUTER_SIZE);
    return r;
}

static const char *text_at(lua_State *L, int index, size_t *n)
{
    struct lun_mind *mind;
    if (lua_type(L, index) == LUA_TSTRING) return lua_tolstring(L, index, n);
    lun_class_check(L, index, &lun_request_class, &mind);
    return lun_question_text(mind->question, n);
}

int lun_predict_function(lua_State *L)
{
    size_t n = 0;
    lua_settop(L, 2);
    if (lun_sandbox_thaw(L, 1)) lua_replace(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE) return luaL_error(L, MODEL ", not %s", lun_bind_type(L, 1));
    struct lun_router r = router_at(L, 1);
    const char *text = text_at(L, 2, &n);
    if (!text || !n) return lun_bind_nil(L, "no_text");
    lun_vm_work(L, 1 + (int64_t)((n < LUN_ROUTER_LOOKED_AT ? n : LUN_ROUTER_LOOKED_AT) >> 3));
    lua_pushnumber(L, lun_router_gain(&r, text, n));
    return 1;
}
