/* `lunette.host`: what a host program lets policies call. */
#include "script/bind.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "script/host.h"
#include "script/sandbox.h"

bool lun_host_name_valid(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++) if (n == LUN_HOST_NAME || !(isalnum((unsigned char)name[n]) || name[n] == '_') || (unsigned char)name[n] > 127) return false;
    return n && !isdigit((unsigned char)*name);
}

static void read_argument(lua_State *L, const char *name, int i, struct lunette_value *v)
{
    switch (lua_type(L, i)) {
    case LUA_TNIL:     *v = (struct lunette_value){ .type = LUNETTE_NIL }; return;
    case LUA_TBOOLEAN: *v = (struct lunette_value){ .type = LUNETTE_BOOLEAN, .boolean = lua_toboolean(L, i) }; return;
    case LUA_TNUMBER:  *v = (struct lunette_value){ .type = LUNETTE_NUMBER, .number = lua_tonumber(L, i) }; return;
    case LUA_TSTRING:
        *v = (struct lunette_value){ .type = LUNETTE_STRING };
        v->string = lua_tolstring(L, i, &v->length);
        return;
    default: luaL_error(L, "lunette.host.%s: argument %d is a %s; it takes texts, numbers, booleans and nil", name, i, lun_bind_type(L, i));
    }
}

/* All result texts are copied and let go before anything that may raise. */
static void take_texts(struct lunette_value *out, struct lun_buf *copies)
{
    for (int i = 0; i < LUNETTE_RESULTS; i++) {
        struct lunette_value *v = &out[i];
        if (v->type != LUNETTE_STRING) continue;
        if (v->string) lun_buf_add(copies, v->string, v->length);
        else v->length = 0;
        if (v->release) v->release((void *)v->string);
    }
}

static const char *push_result(lua_State *L, const struct lunette_value *v, const char *text)
{
    switch (v->type) {
    case LUNETTE_BOOLEAN: lua_pushboolean(L, v->boolean); break;
    case LUNETTE_NUMBER:  lua_pushnumber(L, v->number); break;
    case LUNETTE_STRING:  lua_pushlstring(L, text, v->length); return text + v->length;
    default:              lua_pushnil(L);
    }
    return text;
}

static int give(lua_State *L, const char *name, const struct lunette_value *out, int n, const struct lun_buf *texts)
{
    const char *text = texts->n ? texts->at : "";
    if (n == -1) {
        luaL_where(L, 1);
        lua_pushfstring(L, "lunette.host.%s: ", name);
        if (out[0].type == LUNETTE_STRING) lua_pushlstring(L, text, out[0].length);
        else lua_pushliteral(L, "it failed and did not say why");
        lua_concat(L, 3);
        return lua_error(L);
    }
    if (n < 0 || n > LUNETTE_RESULTS)
        return luaL_error(L, "lunette.host.%s: a mistake of the host program: it gave %d results, at most %d are taken", name, n, LUNETTE_RESULTS);
    luaL_checkstack(L, n, "results");
    for (int i = 0; i < n; i++) text = push_result(L, &out[i], text);
    return n;
}

static int call(lua_State *L)
{
    const struct lun_host_function *f = lua_touserdata(L, lua_upvalueindex(1));
    struct lunette_value in[LUNETTE_ARGUMENTS], out[LUNETTE_RESULTS] = {0};
    int n = lua_gettop(L);
    struct lun_mind *mind = lun_bind_mind(L, "lunette.host");
    if (n > LUNETTE_ARGUMENTS) return luaL_error(L, "lunette.host.%s: %d arguments, at most %d are taken", f->name, n, LUNETTE_ARGUMENTS);
    for (int i = 0; i < n; i++) read_argument(L, f->name, i + 1, &in[i]);
    if (mind->question->rehearsal) return lun_bind_nil(L, "rehearsal");
    if (mind->question->shadow) return lun_bind_nil(L, "shadow");
    struct lun_buf *texts = lun_bind_scratch(L);
    lun_vm_check(L);
    int results = f->call(f->user, in, n, out);
    take_texts(out, texts);
    return give(L, f->name, out, results, texts);
}

/* The same by way of the tape, where there is one. */
static int taped_call(lua_State *L)
{
    const struct lun_host_function *f = lua_touserdata(L, lua_upvalueindex(1));
    char name[LUN_HOST_NAME + 8];
    snprintf(name, sizeof name, "host.%s", f->name);
    return lun_tape_call(L, lun_vm_current(L), &(struct lun_read){ .name = name, .arguments = 1 }, call);
}

void lun_bind_host(struct lun_vm *vm, const struct lun_host_function *list, int n)
{
    lua_State *L = vm->L;
    lun_sandbox_module(vm);
    lua_newtable(L);
    for (int i = 0; i < n; i++) {
        lua_pushlightuserdata(L, (void *)&list[i]);
        lua_pushcclosure(L, taped_call, 1);
        lua_setfield(L, -2, list[i].name);
    }
    lun_sandbox_freeze(L);
    lua_setfield(L, -2, "host");
    lua_pop(L, 1);
}
