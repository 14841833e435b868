#include "gateway/spec_parts.h"
#include "state/store.h"
#include <string.h>

/* ---- answers ---- */

static void set_time(lua_State *L, const char *name, lun_us t) { lua_pushnumber(L, (double)t / 1e6), lua_setfield(L, -2, name); }
static void set_truth(lua_State *L, const char *name, bool yes) { lua_pushboolean(L, yes), lua_setfield(L, -2, name); }

static void set_pairs(lua_State *L, const char *name, const struct lun_pair *pairs, int n)
{
    lua_newtable(L);
    for (int i = 0; i < n; i++) lua_pushstring(L, pairs[i].value), lua_setfield(L, -2, pairs[i].name);
    lua_setfield(L, -2, name);
}

/* simulation:look(answer) → what there is of it by now */
static int look(lua_State *L)
{
    const struct lun_simulated_answer *a = lun_spec_answer(L);
    lun_spec_check(L);
    lua_newtable(L);
    lua_pushstring(L, a->id), lua_setfield(L, -2, "id");
    set_truth(L, "headed", a->headed), set_truth(L, "ended", a->ended), set_truth(L, "clean", a->clean), set_truth(L, "left", a->left);
    set_time(L, "started", a->started), set_time(L, "head_at", a->head_at), set_time(L, "ended_at", a->ended_at);
    lua_pushinteger(L, a->status), lua_setfield(L, -2, "status");
    lua_pushlstring(L, a->bytes.n ? a->bytes.at : "", a->bytes.n), lua_setfield(L, -2, "body");
    set_pairs(L, "headers", a->headers, a->n_headers);
    set_pairs(L, "trailers", a->trailers, a->n_trailers);
    lua_createtable(L, a->n_pieces, 0);
    for (int i = 0; i < a->n_pieces; i++) {
        lua_createtable(L, 0, 2);
        set_time(L, "at", a->pieces[i].at);
        lua_pushlstring(L, a->bytes.at + a->pieces[i].from, a->pieces[i].n), lua_setfield(L, -2, "bytes");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "pieces");
    return 1;
}

static int now(lua_State *L)  { return lua_pushnumber(L, (double)lun_simulation_now(lun_spec_check(L)->simulation) / 1e6), 1; }
static int wall(lua_State *L) { return lua_pushnumber(L, (double)lun_simulation_wall(lun_spec_check(L)->simulation) / 1e6), 1; }

static int metrics(lua_State *L)
{
    struct lun_buf out = {0};
    lun_metrics_write(lun_simulation_registry(lun_spec_check(L)->simulation)->metrics, &out);
    lua_pushlstring(L, out.n ? out.at : "", out.n);
    lun_buf_free(&out);
    return 1;
}

/* simulation:targets() → { { name =, model =, provider = }, … }, version */
static int targets(lua_State *L)
{
    const struct lun_snapshot *s = lun_simulation_snapshot(lun_spec_check(L)->simulation);
    lua_createtable(L, s->n_targets, 0);
    for (int i = 0; i < s->n_targets; i++) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, s->targets[i].name), lua_setfield(L, -2, "name");
        lua_pushstring(L, s->targets[i].model), lua_setfield(L, -2, "model");
        lua_pushstring(L, s->targets[i].provider->name), lua_setfield(L, -2, "provider");
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushstring(L, s->version);
    return 2;
}

static const struct lun_provider *provider_named(lua_State *L)
{
    const struct lun_snapshot *s = lun_simulation_snapshot(lun_spec_check(L)->simulation);
    const char *name = luaL_checkstring(L, 2);
    for (int i = 0; i < s->n_providers; i++) if (!strcmp(s->providers[i].name, name)) return &s->providers[i];
    return NULL;
}

static int has_provider(lua_State *L) { return lua_pushboolean(L, provider_named(L) != NULL), 1; }
static int has_script(lua_State *L)
{
    const struct lun_provider *p = provider_named(L);
    return lua_pushboolean(L, p && p->script), 1;
}

/* ---- the store ---- */

static int store_get(lua_State *L)
{
    struct lun_simulation *s = lun_spec_check(L)->simulation;
    size_t n;
    char type;
    double number;
    const char *key = luaL_checklstring(L, 2, &n);
    struct lun_buf out = {0};
    if (!lun_store_get(lun_simulation_registry(s)->store, key, n, lun_simulation_loop_time(s), &type, &out)) return lua_pushnil(L), 1;
    if (type == 'n') memcpy(&number, out.at, sizeof number), lua_pushnumber(L, number);
    else if (type == 'b') lua_pushboolean(L, out.n && *out.at == '1');
    else lua_pushlstring(L, out.n ? out.at : "", out.n);
    lua_pushboolean(L, type == 'j');
    lun_buf_free(&out);
    return 2;                           /* value, whether it is JSON text */
}

static int store_set(lua_State *L)
{
    struct lun_simulation *s = lun_spec_check(L)->simulation;
    size_t n, value_n = 1;
    const char *key = luaL_checklstring(L, 2, &n), *value;
    double number = lua_tonumber(L, 3);
    char type = lua_type(L, 3) == LUA_TNUMBER ? 'n' : lua_type(L, 3) == LUA_TBOOLEAN ? 'b' : lua_toboolean(L, 5) ? 'j' : 's';
    lun_us ttl = lun_us_from_seconds(luaL_optnumber(L, 4, 0));
    if (type == 'n') value = (const char *)&number, value_n = sizeof number;
    else if (type == 'b') value = lua_toboolean(L, 3) ? "1" : "0";
    else value = luaL_checklstring(L, 3, &value_n);
    lua_pushboolean(L, lun_store_set(lun_simulation_registry(s)->store, key, n, type, value, value_n, ttl, lun_simulation_loop_time(s)));
    return 1;
}

static const struct lun_canary_rule *canary_at(lua_State *L, struct lun_simulation *s)
{
    const char *name = luaL_checkstring(L, 2);
    const struct lun_canary_rule *c = lun_snapshot_canary(lun_simulation_snapshot(s), name);
    if (!c) luaL_error(L, "there is no canary %s", name);
    return c;
}

/* simulation:canary(name) → what there is to see of it */
static int canary(lua_State *L)
{
    struct lun_simulation *s = lun_spec_check(L)->simulation;
    struct lun_canary_view v;
    lun_canary_view(canary_at(L, s)->state, lun_simulation_loop_time(s), &v);
    lua_newtable(L);
    lua_pushstring(L, lun_canary_state_name(v.state)), lua_setfield(L, -2, "state");
    lua_pushinteger(L, v.stage), lua_setfield(L, -2, "stage");
    lua_pushnumber(L, v.share), lua_setfield(L, -2, "share");
    lua_pushnumber(L, (double)v.samples), lua_setfield(L, -2, "samples");
    lua_pushnumber(L, (double)v.errors), lua_setfield(L, -2, "errors");
    set_time(L, "p99", v.p99);
    lua_pushstring(L, v.by), lua_setfield(L, -2, "by");
    lua_pushstring(L, v.why), lua_setfield(L, -2, "why");
    return 1;
}

/* simulation:canary_do(name, verb, why) → true, or nil and why not */
static int canary_do(lua_State *L)
{
    struct lun_simulation *s = lun_spec_check(L)->simulation;
    const char *verb = luaL_checkstring(L, 3), *why = luaL_optstring(L, 4, "");
    enum lun_canary_verb v = LUN_CANARY_DO_START;
    char problem[120];
    if (!lun_canary_verb_find(verb, &v)) return luaL_error(L, "nothing of a canary is called %s", verb);
    if (lun_simulation_canary(s, canary_at(L, s), v, "spec", why, problem)) return lua_pushboolean(L, true), 1;
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
}

const luaL_Reg lun_spec_looks[] = {
    { "canary", canary }, { "canary_do", canary_do },
    { "look", look }, { "now", now }, { "wall", wall }, { "metrics", metrics }, { "targets", targets }, { "has_provider", has_provider },
    { "has_script", has_script }, { "store_get", store_get }, { "store_set", store_set }, { NULL, NULL } };
