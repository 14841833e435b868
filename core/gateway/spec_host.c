/* `lunette.host` in specs: functions of the spec stand in for those of a host program. */
#include "base/alloc.h"
#include "base/arena.h"
#include "gateway/spec_parts.h"
#include "script/host.h"
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };             /* functions; further ones are nil */
struct stub { struct lun_spec *spec; const char *name; };

static int fail(struct lunette_value *results, const char *why)
{
    results[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = lun_strdup(why), .length = strlen(why), .release = free };
    return -1;
}

static void push_value(lua_State *L, const struct lunette_value *v)
{
    switch (v->type) {
    case LUNETTE_BOOLEAN: lua_pushboolean(L, v->boolean); break;
    case LUNETTE_NUMBER:  lua_pushnumber(L, v->number); break;
    case LUNETTE_STRING:  lua_pushlstring(L, v->string, v->length); break;
    default:              lua_pushnil(L);
    }
}

static bool read_value(lua_State *L, int i, struct lunette_value *v)
{
    size_t n;
    const char *text;
    switch (lua_type(L, i)) {
    case LUA_TNIL:     return true;
    case LUA_TBOOLEAN: return *v = (struct lunette_value){ .type = LUNETTE_BOOLEAN, .boolean = lua_toboolean(L, i) }, true;
    case LUA_TNUMBER:  return *v = (struct lunette_value){ .type = LUNETTE_NUMBER, .number = lua_tonumber(L, i) }, true;
    case LUA_TSTRING:
        text = lua_tolstring(L, i, &n);
        return *v = (struct lunette_value){ .type = LUNETTE_STRING, .string = lun_memdup(text, n + 1), .length = n, .release = free }, true;
    default:           return false;
    }
}

static int read_results(lua_State *L, int from, struct lunette_value *results)
{
    int n = lua_gettop(L) - from, read = 0;
    if (n > LUNETTE_RESULTS) return n;
    while (read < n && read_value(L, from + 1 + read, &results[read])) read++;
    if (read == n) return n;
    for (int i = 0; i < read; i++) if (results[i].release) free((void *)results[i].string);
    memset(results, 0, LUNETTE_RESULTS * sizeof *results);
    return fail(results, "the spec's function gave something that is no text, number, boolean or nil");
}

static int call(void *user, const struct lunette_value *arguments, int n, struct lunette_value *results)
{
    struct stub *stub = user;
    lua_State *L = stub->spec->L;
    if (!L) return fail(results, "the spec is over");
    int top = lua_gettop(L), given;
    lun_spec_push(stub->spec, "host");
    lua_getfield(L, -1, stub->name);
    luaL_checkstack(L, n, "arguments");
    for (int i = 0; i < n; i++) push_value(L, &arguments[i]);
    if (lua_pcall(L, n, LUA_MULTRET, 0)) given = fail(results, lua_isstring(L, -1) ? lua_tostring(L, -1) : "the spec's function failed");
    else given = read_results(L, top + 1, results);
    lua_settop(L, top);
    return given;
}

void lun_spec_host(struct lun_spec *s, lua_State *L, struct lun_snapshot *snapshot)
{
    struct lun_arena *arena = &snapshot->arena;
    struct lun_host_function *list = lun_arena_zalloc(arena, MOST * sizeof *list);
    lua_getfield(L, 1, "host");
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            if (snapshot->n_host == MOST || lua_type(L, -2) != LUA_TSTRING || !lun_host_name_valid(lua_tostring(L, -2))) continue;
            struct stub *stub = lun_arena_alloc(arena, sizeof *stub);
            *stub = (struct stub){ s, lun_arena_strdup(arena, lua_tostring(L, -2)) };
            list[snapshot->n_host++] = (struct lun_host_function){ stub->name, call, stub };
        }
    lua_pop(L, 1);
    snapshot->host = list;
}
