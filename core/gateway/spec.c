#include "gateway/spec.h"
#include "base/alloc.h"
#include "gateway/spec_parts.h"
#include "script/bundle.h"
#include "script/load.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256                /* entries of a list of texts, headers or environment */
#define NAME LUN_SPEC_CLASS

/* ---- out of the simulation ---- */

/* Pushes one of the options. They are the userdata's environment, and that is the first argument of whatever moves the clock. */
void lun_spec_push(struct lun_spec *s, const char *name)
{
    luaL_checkstack(s->L, 12, "a simulation");
    lua_getfenv(s->L, 1);
    lua_getfield(s->L, -1, name);
    lua_remove(s->L, -2);
}

static void append(struct lun_spec *s, const char *list, const char *text, size_t n)
{
    if (!s->L) return;
    lun_spec_push(s, list);
    lua_pushlstring(s->L, text, n);
    lua_rawseti(s->L, -2, (int)lua_objlen(s->L, -2) + 1);
    lua_pop(s->L, 1);
}

static void take_line(void *self, const char *text, size_t n) { append(self, "lines", text, n); }

static void take_message(void *self, enum lun_log_level level, const char *text, size_t n)
{
    (void)level;
    append(self, "messages", text, n);
}

static bool play(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    struct lun_spec *s = self;
    lua_State *L = s->L;
    int top = lua_gettop(L);
    lun_spec_push(s, "play");
    lua_pushstring(L, request->provider->name);
    lun_scene_push(L, request);
    bool called = !lua_pcall(L, 2, 1, 0), good = called && lua_type(L, -1) == LUA_TTABLE;
    if (good) lun_scene_read(L, lua_gettop(L), arena, scene);
    else if (!called) *error = lun_arena_strdup(arena, lua_isstring(L, -1) ? lua_tostring(L, -1) : "the spec's function failed");
    lua_settop(L, top);
    return good;
}

static void push_wish(lua_State *L, const struct lun_wish *wish)
{
    lua_newtable(L);
    lua_pushstring(L, wish->http.url), lua_setfield(L, -2, "url");
    lua_pushstring(L, wish->http.method), lua_setfield(L, -2, "method");
    lua_pushnumber(L, lun_us_to_seconds(wish->http.timeout)), lua_setfield(L, -2, "timeout");
    lua_pushlstring(L, wish->http.body ? wish->http.body : "", wish->http.body_n), lua_setfield(L, -2, "body");
    lua_newtable(L);
    for (int i = 0; i < wish->http.n_headers; i++) lua_pushstring(L, wish->http.headers[i].value), lua_setfield(L, -2, wish->http.headers[i].name);
    lua_setfield(L, -2, "headers");
}

/* A field of the table on top, as text in the arena; NULL: it is none. */
static const char *text_in(lua_State *L, const char *name, struct lun_arena *arena, size_t *n)
{
    lua_getfield(L, -1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, n) : NULL;
    if (text) text = lun_arena_strndup(arena, text, *n);
    lua_pop(L, 1);
    return text;
}

static double number_in(lua_State *L, const char *name, double otherwise)
{
    lua_getfield(L, -1, name);
    double value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

static void read_web_headers(lua_State *L, struct lun_arena *arena, struct lun_wish_result *r)
{
    struct lun_pair *headers = lun_arena_alloc(arena, MOST * sizeof *headers);
    lua_getfield(L, -1, "headers");
    if (lua_type(L, -1) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, -2) && r->n_headers < MOST; lua_pop(L, 1))
            if (lua_type(L, -2) == LUA_TSTRING && lua_isstring(L, -1))
                headers[r->n_headers++] = (struct lun_pair){ lun_arena_strdup(arena, lua_tostring(L, -2)), lun_arena_strdup(arena, lua_tostring(L, -1)) };
    r->headers = headers;
    lua_pop(L, 1);
}

static void fetch(void *self, const struct lun_wish *wish, struct lun_arena *arena, struct lun_simulated_fetch *said)
{
    struct lun_spec *s = self;
    lua_State *L = s->L;
    int top = lua_gettop(L);
    size_t n = 0;
    lun_spec_push(s, "fetch");
    push_wish(L, wish);
    said->result.error = "the spec's web did not answer";
    if (!lua_pcall(L, 1, 1, 0) && lua_type(L, -1) == LUA_TTABLE) {
        said->result.status = (int)number_in(L, "status", 200);
        said->after = lun_us_from_seconds(number_in(L, "after", 0));
        said->result.error = text_in(L, "error", arena, &n);
        said->result.body = text_in(L, "body", arena, &n);
        said->result.body_n = said->result.body ? n : 0;
        read_web_headers(L, arena, &said->result);
    }
    lua_settop(L, top);
}

/* ---- making one ---- */

static const char *option(lua_State *L, const char *name)      /* stays in the table, so is not collected */
{
    lua_getfield(L, 1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

static size_t length(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    size_t n = lua_objlen(L, -1);
    lua_pop(L, 1);
    return n;
}

static void read_environment(lua_State *L, const char *out[MOST])
{
    lua_getfield(L, 1, "environment");
    int n = lua_type(L, -1) == LUA_TTABLE ? (int)lua_objlen(L, -1) : 0;
    for (int i = 0; i < n && i < MOST - 1; i++) {
        lua_rawgeti(L, -1, i + 1);
        out[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static struct lun_snapshot *load(lua_State *L, struct lun_mistakes *mistakes)
{
    const char *environment[MOST] = { NULL };
    const char *path = option(L, "path"), *policy = option(L, "policy");
    struct lun_file text = { "policy.lua", policy, policy ? length(L, "policy") : 0 };
    struct lun_load_options options = { .environment = environment, .secrets_folder = "/nonexistent", .cpu = LUN_CPU_STEPS, .files = &text, .n_files = policy ? 1 : 0 };
    read_environment(L, environment);
    if (path) return lun_load(path, &options, mistakes);
    return lun_load_text("gateway.lua", option(L, "text"), length(L, "text"), option(L, "folder"), &options, mistakes);
}

static int give_up(lua_State *L, struct lun_mistakes *mistakes, char *error)
{
    struct lun_buf text = {0};
    lun_mistakes_print(mistakes, &text);
    if (error) lun_buf_puts(&text, error);
    lua_pushnil(L);
    lua_pushlstring(L, text.n ? text.at : "", text.n);
    lun_buf_free(&text);
    lun_mistakes_free(mistakes);
    free(error);
    return 2;
}

static struct lun_spec *new_spec(lua_State *L)
{
    struct lun_spec *s = lua_newuserdata(L, sizeof *s);
    memset(s, 0, sizeof *s);
    luaL_getmetatable(L, NAME);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    lua_setfenv(L, -2);
    s->log = (struct lun_log){ .take = take_message, .host = s };
    return s;
}

/* settings = { name, text, … } */
static int read_settings(lua_State *L, struct lun_spec *s)
{
    int n = 0;
    lua_getfield(L, 1, "settings");
    for (int i = 1; lua_type(L, -1) == LUA_TTABLE && i < (int)lua_objlen(L, -1) && n < LUN_SPEC_SETTINGS; i += 2) {
        lua_rawgeti(L, -1, i), lua_rawgeti(L, -2, i + 1);
        s->settings[n++] = (struct lun_pair){ luaL_checkstring(L, -2), luaL_checkstring(L, -1) };
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    return n;
}

/* open{ path= | text=, folder=, policy=, environment=, settings=, wall=, seed=, play=, fetch=, host=, lines=, messages= } → simulation, or nil and why */
static int open_simulation(lua_State *L)
{
    struct lun_mistakes mistakes = {0};
    char *error = NULL;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct lun_spec *s = new_spec(L);
    struct lun_snapshot *snapshot = load(L, &mistakes);
    if (!snapshot) return give_up(L, &mistakes, NULL);
    lun_spec_host(s, L, snapshot);
    lua_pushvalue(L, 1);
    struct lun_simulation_options options = {
        .wall = lun_us_from_seconds(number_in(L, "wall", 0)), .seed = (uint64_t)number_in(L, "seed", 1), .scenes = { s, play },
        .settings = s->settings, .line = take_line, .line_self = s, .log = &s->log };
    lua_pop(L, 1);
    options.n_settings = read_settings(L, s);
    lua_getfield(L, 1, "fetch");
    if (lua_isfunction(L, -1)) options.fetch = fetch, options.fetch_self = s;
    lua_pop(L, 1);
    s->simulation = lun_simulation_new(snapshot, &options, &error);
    return s->simulation ? (lun_mistakes_free(&mistakes), 1) : give_up(L, &mistakes, error);
}

static int collect(lua_State *L)
{
    struct lun_spec *s = luaL_checkudata(L, 1, NAME);
    s->L = NULL;
    lun_simulation_free(s->simulation);
    s->simulation = NULL;
    return 0;
}

/* ---- asking it ---- */

struct lun_spec *lun_spec_check(lua_State *L)
{
    struct lun_spec *s = luaL_checkudata(L, 1, NAME);
    if (!s->simulation) luaL_error(L, "this gateway could not be made");
    return s;
}

/* The clock is moved by one at a time: not by a provider's function while it is asked. */
static struct lun_simulation *enter(lua_State *L, struct lun_spec **s)
{
    *s = lun_spec_check(L);
    if ((*s)->L) luaL_error(L, "the gateway is at work: a provider's function may look at it, but not ask it or move its clock");
    (*s)->L = L;
    return (*s)->simulation;
}

struct lun_simulated_answer *lun_spec_answer(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 2);
}

/* simulation:ask(endpoint, key or nil, body, { name, value, … }) → answer */
static int ask(lua_State *L)
{
    struct lun_spec *s;
    size_t n;
    const char *endpoint = luaL_checkstring(L, 2), *key = luaL_optstring(L, 3, NULL), *body = luaL_checklstring(L, 4, &n);
    struct lun_pair headers[MOST];
    struct lun_simulated_request request = { .headers = headers, .key = key, .body = body, .n = n };
    luaL_checktype(L, 5, LUA_TTABLE);
    for (int e = 0; e < LUN_ENDPOINT_COUNT; e++) if (!strcmp(endpoint, lun_endpoint_name((enum lun_endpoint)e))) request.endpoint = (enum lun_endpoint)e;
    for (int i = 1; i < (int)lua_objlen(L, 5) && request.n_headers < MOST; i += 2) {
        lua_rawgeti(L, 5, i), lua_rawgeti(L, 5, i + 1);
        headers[request.n_headers++] = (struct lun_pair){ luaL_checkstring(L, -2), luaL_checkstring(L, -1) };
        lua_pop(L, 2);
    }
    struct lun_simulation *simulation = enter(L, &s);
    lua_pushlightuserdata(L, lun_simulation_ask(simulation, &request));
    s->L = NULL;
    return 1;
}

static int await(lua_State *L)
{
    struct lun_spec *s;
    struct lun_simulated_answer *a = lun_spec_answer(L);
    lua_pushboolean(L, lun_simulation_await(enter(L, &s), a));
    s->L = NULL;
    return 1;
}

static int advance(lua_State *L)
{
    struct lun_spec *s;
    lun_us by = lun_us_from_seconds(luaL_checknumber(L, 2));
    lua_pushboolean(L, lun_simulation_advance(enter(L, &s), by));
    s->L = NULL;
    return 1;
}

static int leave(lua_State *L)
{
    struct lun_spec *s;
    struct lun_simulated_answer *a = lun_spec_answer(L);
    lun_simulation_leave(enter(L, &s), a);
    s->L = NULL;
    return 0;
}

/* simulation:release(answer) → whether it had ended; then it is gone, and its name with it */
static int release(lua_State *L)
{
    struct lun_spec *s;
    struct lun_simulated_answer *a = lun_spec_answer(L);
    lua_pushboolean(L, lun_simulation_release(enter(L, &s), a));
    s->L = NULL;
    return 1;
}

static int hold(lua_State *L)
{
    struct lun_spec *s;
    struct lun_simulated_answer *a = lun_spec_answer(L);
    bool paused = lua_toboolean(L, 3);
    lun_simulation_pause(enter(L, &s), a, paused);
    s->L = NULL;
    return 0;
}

/* ---- the module ---- */

static int hash(lua_State *L)           /* of a client's key, as `clients` wants it */
{
    size_t n;
    unsigned char sum[LUN_KEY_HASH];
    char text[LUN_KEY_HASH_TEXT];
    const char *key = luaL_checklstring(L, 1, &n);
    if (!lun_key_hash(key, n, sum)) return luaL_error(L, "libcrypto has no SHA-256");
    lun_key_hash_text(sum, text);
    return lua_pushstring(L, text), 1;
}

static const luaL_Reg methods[] = { { "ask", ask }, { "await", await }, { "advance", advance }, { "leave", leave }, { "release", release }, { "pause", hold }, { NULL, NULL } };
static const luaL_Reg functions[] = {
    { "open", open_simulation }, { "hash", hash }, { "json_decode", lun_spec_json_decode }, { "json_quote", lun_spec_json_quote }, { NULL, NULL } };

/* part(name) → the function that lua/<name>.lua is; further parts of lunette.test */
static int part(lua_State *L)
{
    const char *name = lua_pushfstring(L, "lua/%s.lua", luaL_checkstring(L, 1)), *chunk = lua_pushfstring(L, "@%s", name);
    const struct lun_bundle_file *file = lun_bundle_find(name);
    if (!file) return luaL_error(L, "%s is not in this binary", name);
    return luaL_loadbuffer(L, file->start, file->size, chunk) ? lua_error(L) : 1;
}

static int loader(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, part);
    lua_pushliteral(L, "test");
    lua_call(L, 1, 1);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushcfunction(L, part);
    lua_setfield(L, -2, "part");
    lua_call(L, 1, 1);
    return 1;
}

void lun_spec_open(lua_State *L)
{
    luaL_newmetatable(L, NAME);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    luaL_register(L, NULL, lun_spec_looks);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, loader);
    lua_setfield(L, -2, "lunette.test");
    lua_pop(L, 2);
}
