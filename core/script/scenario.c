#include "script/scenario.h"
#include "base/alloc.h"
#include "script/bind.h"
#include "script/bundle.h"
#include "script/sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lun_scenario {
    struct lun_vm *vm;
    int play;                           /* registry: function(request, n) */
    int count;
    uint64_t random;
    lun_us (*wall)(void *); void *wall_self;
};

static lun_us wall_of(void *self)
{
    struct lun_scenario *s = self;
    return s->wall ? s->wall(s->wall_self) : lun_clock_wall();
}

/* The same at every start: a script that draws repeats. */
static double draw(lua_State *L)
{
    struct lun_scenario *s = lun_vm_user(L);
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(s->random >> 11) * 0x1p-53;
}

static bool load_wrapper(struct lun_scenario *s, int script, struct lun_vm_error *error)
{
    const struct lun_bundle_file *file = lun_bundle_find("lua/scenario.lua");
    lua_State *L = s->vm->L;
    lun_sandbox_module(s->vm);
    int wrap = lun_vm_load(s->vm, "lua/scenario.lua", file->start, file->size, 1, error);
    if (wrap == LUA_NOREF) return false;
    struct lun_run *run = lun_run_new(s->vm, NULL, NULL);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, wrap);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, script);
    bool good = lun_run_go(run, 1) == LUN_RUN_DONE;
    if (good) {
        lua_settop(run->L, 1);
        lua_xmove(run->L, L, 1);
        s->play = luaL_ref(L, LUA_REGISTRYINDEX);
    } else *error = run->error;
    lun_run_free(run);
    luaL_unref(L, LUA_REGISTRYINDEX, wrap);
    return good;
}

static bool load(struct lun_scenario *s, const char *name, const char *text, size_t n, struct lun_vm_error *error)
{
    int script = lun_vm_load(s->vm, name, text, n, 0, error);
    if (script == LUA_NOREF) return false;
    lua_rawgeti(s->vm->L, LUA_REGISTRYINDEX, script);
    bool function = lua_type(s->vm->L, -1) == LUA_TFUNCTION;
    lua_pop(s->vm->L, 1);
    if (!function) {
        snprintf(error->text, sizeof error->text, "%s: it has to return a function(request, n)", name);
        return false;
    }
    return load_wrapper(s, script, error);
}

struct lun_scenario *lun_scenario_new(const char *name, const char *text, size_t n, lun_us (*wall)(void *), void *wall_self, char **error)
{
    struct lun_scenario *s = lun_zalloc(sizeof *s);
    struct lun_vm_error why = {0};
    *s = (struct lun_scenario){ .wall = wall, .wall_self = wall_self, .random = 42 };
    s->vm = lun_vm_new(&(struct lun_vm_options){ .cpu = LUN_CPU_CLOCK, .limits = { .run_cpu = LUN_SECOND }, .host = { .wall = wall_of, .random = draw, .user = s } });
    lun_bind_open(s->vm, NULL);
    if (load(s, name, text, n, &why)) return s;
    *error = lun_strdup(why.text);
    lun_scenario_free(s);
    return NULL;
}

void lun_scenario_free(struct lun_scenario *s)
{
    if (!s) return;
    lun_vm_free(s->vm);
    free(s);
}


/* ---- asking it ---- */

static void set_text(lua_State *L, const char *name, const char *text, size_t n)
{
    lua_pushlstring(L, text ? text : "", n);
    lua_setfield(L, -2, name);
}

void lun_scene_push(lua_State *L, const struct lun_scene_request *r)
{
    luaL_checkstack(L, 8, "a request");
    lua_newtable(L);
    set_text(L, "method", r->method, strlen(r->method));
    set_text(L, "path", r->path, strlen(r->path));
    set_text(L, "body", r->body, r->n);
    lua_newtable(L);
    for (int i = 0; i < r->n_headers; i++) set_text(L, r->headers[i].name, r->headers[i].value, strlen(r->headers[i].value));
    lua_setfield(L, -2, "headers");
}

/* ---- reading what it said: plain tables made by lua/scenario.lua out of whatever the script gave, so types are looked at, raw ---- */

struct reading { lua_State *L; int at; struct lun_arena *arena; };

static int get(const struct reading *r, const char *name)       /* pushes */
{
    lua_pushstring(r->L, name);
    lua_rawget(r->L, r->at);
    return lua_type(r->L, -1);
}

static double number(const struct reading *r, const char *name, double otherwise)
{
    double value = get(r, name) == LUA_TNUMBER ? lua_tonumber(r->L, -1) : otherwise;
    lua_pop(r->L, 1);
    return value;
}

static bool truth(const struct reading *r, const char *name)
{
    get(r, name);
    bool value = lua_toboolean(r->L, -1);
    lua_pop(r->L, 1);
    return value;
}

static struct lun_slice slice(const struct reading *r)
{
    size_t n = 0;
    const char *text = lua_type(r->L, -1) == LUA_TSTRING ? lua_tolstring(r->L, -1, &n) : "";
    return (struct lun_slice){ lun_arena_strndup(r->arena, text, n), n };
}

static struct lun_slice *list(const struct reading *r, const char *name, int *n)
{
    *n = get(r, name) == LUA_TTABLE ? (int)lua_objlen(r->L, -1) : 0;
    struct lun_slice *out = lun_arena_alloc(r->arena, (size_t)(*n + 1) * sizeof *out);
    for (int i = 0; i < *n; i++) {
        lua_rawgeti(r->L, -1, i + 1);
        out[i] = slice(r);
        lua_pop(r->L, 1);
    }
    lua_pop(r->L, 1);
    return out;
}

static const char *word(const struct reading *r, const char *name)
{
    const char *text = get(r, name) == LUA_TSTRING ? slice(r).at : NULL;
    lua_pop(r->L, 1);
    return text;
}

static enum lun_kind kind_named(const char *name)
{
    for (int k = 1; name && k < LUN_KIND_COUNT; k++) if (!strcmp(lun_kind_name((enum lun_kind)k), name)) return (enum lun_kind)k;
    return name ? LUN_KIND_RESET : LUN_KIND_OK;
}

static enum lun_cut cut_named(const char *name)
{
    return !name ? LUN_CUT_NONE : !strcmp(name, "fin") ? LUN_CUT_FIN : !strcmp(name, "rst") ? LUN_CUT_RST : LUN_CUT_CHUNK;
}

static struct lun_slice joined(const struct lun_scene *scene, struct lun_arena *arena)
{
    if (scene->n_pieces == 1) return scene->pieces[0];
    size_t n = 0;
    for (int i = 0; i < scene->n_pieces; i++) n += scene->pieces[i].n;
    char *at = lun_arena_alloc(arena, n + 1), *to = at;
    for (int i = 0; i < scene->n_pieces; to += scene->pieces[i++].n) memcpy(to, scene->pieces[i].at, scene->pieces[i].n);
    return (struct lun_slice){ at, n };
}

static const struct lun_pair *read_headers(const struct reading *r, int *n)
{
    int n_values;
    struct lun_slice *names = list(r, "names", n), *values = list(r, "values", &n_values);
    struct lun_pair *headers = lun_arena_alloc(r->arena, (size_t)(*n + 1) * sizeof *headers);
    for (int i = 0; i < *n; i++) headers[i] = (struct lun_pair){ names[i].at, i < n_values ? values[i].at : "" };
    return headers;
}

void lun_scene_read(lua_State *L, int index, struct lun_arena *arena, struct lun_scene *scene)
{
    const struct reading from = { L, index, arena }, *r = &from;
    double stall = number(r, "stall", 0);
    scene->headers = read_headers(r, &scene->n_headers);
    scene->pieces = list(r, "pieces", &scene->n_pieces);
    scene->all = joined(scene, arena);
    scene->status = (int)number(r, "status", 200);
    scene->after = lun_us_from_seconds(number(r, "after", 0));
    scene->every = lun_us_from_seconds(number(r, "every", 0));
    scene->cut_at = (int64_t)number(r, "cut_at", -1);
    scene->stall = stall < 0 ? LUN_NEVER : lun_us_from_seconds(stall);
    scene->stream = truth(r, "stream");
    scene->headless = truth(r, "headless");
    scene->close = truth(r, "close");
    scene->cut = cut_named(word(r, "cut"));
    scene->fail = kind_named(word(r, "fail"));
}

bool lun_scenario_play(struct lun_scenario *s, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    struct lun_run *run = lun_run_new(s->vm, NULL, NULL);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, s->play);
    lun_scene_push(run->L, request);
    lua_pushinteger(run->L, ++s->count);
    *scene = (struct lun_scene){0};
    bool good = lun_run_go(run, 2) == LUN_RUN_DONE && lua_type(run->L, 1) == LUA_TTABLE;
    if (good) lun_scene_read(run->L, 1, arena, scene);
    else *error = lun_arena_strdup(arena, run->error.text[0] ? run->error.text : "the script waited, or did not answer");
    lun_run_free(run);
    return good;
}

size_t lun_scene_cut_at(const struct lun_scene *scene)
{
    if (scene->cut == LUN_CUT_NONE) return scene->all.n;
    if (scene->cut_at >= 0 && (size_t)scene->cut_at < scene->all.n) return (size_t)scene->cut_at;
    return scene->cut_at >= 0 ? scene->all.n : scene->all.n / 2;
}

/* ---- those of a snapshot ---- */

struct lun_scenarios { struct lun_scenario **by_provider; int n; };

struct lun_scenarios *lun_scenarios_new(const struct lun_snapshot *snapshot, lun_us (*wall)(void *), void *wall_self, char **error)
{
    struct lun_scenarios *all = lun_zalloc(sizeof *all);
    all->n = snapshot->n_providers;
    all->by_provider = lun_zalloc((size_t)(all->n + 1) * sizeof *all->by_provider);
    for (int i = 0; i < all->n; i++) {
        const struct lun_provider *p = &snapshot->providers[i];
        if (!p->script || (all->by_provider[i] = lun_scenario_new(p->script_name, p->script, strlen(p->script), wall, wall_self, error))) continue;
        lun_scenarios_free(all);
        return NULL;
    }
    return all;
}

void lun_scenarios_free(struct lun_scenarios *all)
{
    if (!all) return;
    for (int i = 0; i < all->n; i++) lun_scenario_free(all->by_provider[i]);
    free(all->by_provider);
    free(all);
}

static bool play_one(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    struct lun_scenarios *all = self;
    struct lun_scenario *s = all->by_provider[request->provider->index];
    *error = NULL;
    return s && lun_scenario_play(s, request, arena, scene, error);
}

struct lun_scenes lun_scenarios_scenes(struct lun_scenarios *all) { return (struct lun_scenes){ all, play_one }; }
