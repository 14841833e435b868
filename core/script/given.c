#include "script/given.h"
#include "script/sandbox.h"
#include <lauxlib.h>
#include <string.h>

enum { DEEP = 32 };

static const char opaque;       /* its address is the registry's key of a secret's metatable */

static struct lun_secrets *secrets(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

const void *lun_given_secret(lua_State *L, int index, void *unused)
{
    (void)unused;
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    lua_pushlightuserdata(L, (void *)&opaque);
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool ours = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return ours ? *(const struct lun_found **)lua_touserdata(L, index) : NULL;
}

static const char *name_argument(lua_State *L, const char *function)
{
    size_t n;
    if (lua_type(L, 1) != LUA_TSTRING) luaL_error(L, "%s: the name of a variable is wanted, as text", function);
    const char *name = lua_tolstring(L, 1, &n);
    if (!n || n > 128 || strlen(name) != n) luaL_error(L, "%s: a name of 1 to 128 characters is wanted", function);
    return name;
}

static int secret(lua_State *L)
{
    const struct lun_found *found = lun_secrets_find(secrets(L), name_argument(L, "secret"));
    const struct lun_found **box = lua_newuserdata(L, sizeof *box);
    *box = found;
    lua_pushlightuserdata(L, (void *)&opaque);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return 1;
}

static int secret_text(lua_State *L)
{
    const struct lun_found *found = lun_given_secret(L, 1, NULL);
    if (!found) return luaL_error(L, "a secret is wanted");
    lua_pushfstring(L, "secret \"%s\"", found->name);
    return 1;
}

static int has_secret(lua_State *L)
{
    lua_pushboolean(L, lun_secrets_find(secrets(L), name_argument(L, "lunette.has_secret"))->value != NULL);
    return 1;
}

static int env(lua_State *L)
{
    const char *text = lun_secrets_variable(secrets(L), name_argument(L, "env"));
    lua_settop(L, 2);
    if (text && *text) lua_pushstring(L, text);
    return 1;
}

/* Tables with names only; an empty one too. */
static bool named(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) return false;
    lua_rawgeti(L, index, 1);
    bool list = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return !list;
}

static void lay(lua_State *L, int from, int depth);

/* Pushes a copy of what is on top: of tables down to the last, of all else the value itself. */
static void copy(lua_State *L, int depth)
{
    if (lua_type(L, -1) != LUA_TTABLE) { lua_pushvalue(L, -1); return; }
    lua_newtable(L);
    lay(L, lua_gettop(L) - 1, depth + 1);
}

/* Lays the table at `from` over the one on top. */
static void lay(lua_State *L, int from, int depth)
{
    int onto = lua_gettop(L);
    if (depth > DEEP) luaL_error(L, "lunette.merge: more than %d tables inside one another", DEEP);
    luaL_checkstack(L, 8, "lunette.merge");
    lun_vm_check(L);
    for (lua_pushnil(L); lua_next(L, from); lua_settop(L, onto + 1)) {      /* key, value */
        lun_vm_work(L, 20);
        lua_pushvalue(L, -2);
        lua_rawget(L, onto);                                                /* key, value, what is there */
        if (named(L, -1) && named(L, -2)) {
            lay(L, lua_gettop(L) - 1, depth + 1);
            continue;
        }
        lua_pop(L, 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);                                                  /* key, key, value */
        copy(L, depth);
        lua_replace(L, -2);
        lua_rawset(L, onto);
    }
}

static int merge(lua_State *L)
{
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        if (lua_type(L, i) != LUA_TTABLE) return luaL_error(L, "lunette.merge: argument %d is no table", i);
    lua_newtable(L);
    for (int i = 1; i <= n; i++) lay(L, i, 1);
    return 1;
}

const struct lun_given lun_given_functions[] = {
    { "secret", " \"NAME\"", "(name: string): lunette.Secret", "a secret: the environment variable NAME, else the file `$CREDENTIALS_DIRECTORY/NAME` (systemd), else "
      "`/run/secrets/NAME` (containers), without the blanks around it. The file can pass it on and not read it; no log or table shows it", secret },
    { "env", "(\"NAME\", default)", "(name: string, default?: any): any", "an environment variable as text; the default (or nil) where it is not set or empty. Not for keys: "
      "what belongs to a secret takes `secret` alone", env },
    { "lunette.has_secret", " \"NAME\"", "(name: string): boolean", "whether `secret \"NAME\"` would be found, and is no placeholder such as `changeme`", has_secret },
    { "lunette.merge", "(a, b, …)", "(...: table): table", "a new table: what stands further right wins, tables with names are merged, lists replaced", merge },
    { 0 } };

static void make_opaque(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&opaque);
    lua_newtable(L);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "secret");
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, secret_text);
    lua_setfield(L, -2, "__tostring");
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void lun_given_open(struct lun_vm *vm, struct lun_secrets *s)
{
    make_opaque(vm->L);
    lun_sandbox_module(vm);
    for (const struct lun_given *g = lun_given_functions; g->name; g++) {
        const char *point = strchr(g->name, '.');
        lua_pushlightuserdata(vm->L, s);
        lua_pushcclosure(vm->L, g->call, 1);
        if (point) lua_setfield(vm->L, -2, point + 1);
        else lun_sandbox_global(vm, g->name);
    }
    lun_sandbox_global(vm, "lunette");
}
