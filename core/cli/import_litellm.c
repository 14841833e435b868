#include "cli/import_litellm.h"
#include "base/file.h"
#include "cli/import_price.h"
#include "cli/yaml.h"
#include "gateway/rehearsal.h"
#include "script/endpoint.h"
#include "script/load.h"
#include "script/vm.h"
#include "state/redis_address.h"
#include "state/zone.h"
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct lun_import *to;
    struct lun_mistakes *mistakes, notes;       /* notes: of YAML itself */
    const char *files[LUN_IMPORT_INCLUDES + 1]; int n_files;
    bool alone;                                 /* nothing may be included */
};

/* ---- the file, and what it includes ---- */

static struct lun_yaml *read_text(struct reading *r, const char *name, const char *text, size_t n)
{
    r->files[r->n_files++] = lun_arena_strdup(&r->to->arena, name);
    return lun_yaml_read(name, text, n, &r->to->arena, r->mistakes, &r->notes);
}

/* `from`: the line that includes it; NULL: it is the first. */
static struct lun_yaml *read_file(struct reading *r, const char *path, const struct lun_yaml *from)
{
    const char *why;
    size_t n;
    char *text = lun_file_slurp(path, &n, &why);
    if (!text) {
        if (from) lun_mistakes_add(r->mistakes, from->file, from->line, "include: %s cannot be read: %s", path, why);
        else lun_mistakes_add(r->mistakes, path, 0, "cannot be read: %s", why);
        return NULL;
    }
    struct lun_yaml *v = read_text(r, path, text, n);
    explicit_bzero(text, n);                    /* keys may stand in it */
    free(text);
    return v;
}

/* As LiteLLM does it: lists are added to those of the same name, anything else takes the place of what is there. */
static void lay_over(struct reading *r, struct lun_yaml *root, const struct lun_yaml *more)
{
    for (int i = 0; i < more->n_items; i++) {
        struct lun_yaml *there = lun_yaml_get(root, more->names[i]), *item = more->items[i];
        if (there && there->kind == LUN_YAML_LIST && item->kind == LUN_YAML_LIST) lun_yaml_extend(there, item, &r->to->arena);
        else lun_yaml_set(root, more->names[i], more->lines[i], item, &r->to->arena);
    }
}

static void include_one(struct reading *r, struct lun_yaml *root, const struct lun_yaml *name)
{
    char *folder = lun_folder_of(root->file);
    if (name->kind != LUN_YAML_TEXT || !name->n) lun_mistakes_add(r->mistakes, name->file, name->line, "include: the name of a file is wanted");
    else if (r->n_files > LUN_IMPORT_INCLUDES) lun_mistakes_add(r->mistakes, name->file, name->line, "include: more than %d files", LUN_IMPORT_INCLUDES);
    else {
        const char *path = *name->text == '/' || !strcmp(folder, ".") ? name->text : lun_arena_printf(&r->to->arena, "%s/%s", folder, name->text);
        struct lun_yaml *more = read_file(r, path, name);
        if (more && more->kind == LUN_YAML_MAP) lay_over(r, root, more);
        else if (more) lun_mistakes_add(r->mistakes, more->file, more->line, "a map is wanted here");
    }
    free(folder);
}

/* What an included file includes is not followed, as LiteLLM does not. */
static bool include_all(struct reading *r, struct lun_yaml *root)
{
    const struct lun_yaml *list = lun_yaml_get(root, "include");
    if (!list || list->kind != LUN_YAML_LIST) return true;
    if (r->alone) lun_mistakes_add(r->mistakes, list->file, list->line, "include: there are no files here");
    for (int i = 0, n = list->n_items; i < n && !r->mistakes->n; i++) include_one(r, root, list->items[i]);
    return !r->mistakes->n;
}

/* ---- the tree, in Lua ---- */

static void put_text(lua_State *L, const char *name, const char *text) { lua_pushstring(L, text); lua_setfield(L, -2, name); }
static void put_number(lua_State *L, const char *name, int n)          { lua_pushinteger(L, n); lua_setfield(L, -2, name); }

static void push(lua_State *L, const struct lun_yaml *v);

static void push_items(lua_State *L, const struct lun_yaml *v)
{
    lua_createtable(L, v->n_items, 0);
    for (int i = 0; i < v->n_items; i++) push(L, v->items[i]), lua_rawseti(L, -2, i + 1);
    lua_setfield(L, -2, "items");
}

static void push_names(lua_State *L, const struct lun_yaml *v)
{
    lua_createtable(L, v->n_items, 0);
    for (int i = 0; i < v->n_items; i++) lua_pushstring(L, v->names[i]), lua_rawseti(L, -2, i + 1);
    lua_setfield(L, -2, "names");
    lua_createtable(L, v->n_items, 0);
    for (int i = 0; i < v->n_items; i++) lua_pushinteger(L, v->lines[i]), lua_rawseti(L, -2, i + 1);
    lua_setfield(L, -2, "lines");
}

static void push(lua_State *L, const struct lun_yaml *v)
{
    static const char *const kinds[] = { [LUN_YAML_TEXT] = "text", [LUN_YAML_LIST] = "list", [LUN_YAML_MAP] = "map" };
    luaL_checkstack(L, 8, "YAML");
    lua_createtable(L, 0, 8);
    put_text(L, "kind", kinds[v->kind]);
    put_text(L, "file", v->file);
    put_number(L, "line", v->line);
    if (v->kind == LUN_YAML_TEXT) {
        put_text(L, "text", v->text);
        lua_pushboolean(L, v->plain), lua_setfield(L, -2, "plain");
    } else push_items(L, v);
    if (v->kind == LUN_YAML_MAP) push_names(L, v);
}

/* ---- what is told to it, and what it gives ---- */

static int sha256(lua_State *L)
{
    unsigned char hash[LUN_KEY_HASH];
    char text[LUN_KEY_HASH_TEXT];
    size_t n;
    const char *key = luaL_checklstring(L, 1, &n);
    if (!lun_key_hash(key, n, hash)) return 0;
    lun_key_hash_text(hash, text);
    lua_pushstring(L, text);
    return 1;
}

static int zone(lua_State *L)
{
    const struct lun_zone *found;
    const char *why;
    lua_pushboolean(L, lun_zone_find(luaL_checkstring(L, 1), &found, &why));
    return 1;
}

static int url(lua_State *L)
{
    lua_pushstring(L, lun_endpoint_problem(luaL_checkstring(L, 1), "http|https", true));
    return 1;
}

static int redis(lua_State *L)
{
    struct lun_redis_address address;
    lua_pushstring(L, lun_redis_address_read(&address, luaL_checkstring(L, 1)));
    return 1;
}

static int price(lua_State *L)
{
    lun_import_price_push(L, lua_touserdata(L, lua_upvalueindex(1)), luaL_checkstring(L, 1));
    return 1;
}

static const luaL_Reg knows[] = { { "sha256", sha256 }, { "zone", zone }, { "url", url }, { "redis", redis }, { "price", price }, { NULL, NULL } };

static void push_knows(lua_State *L, struct lun_price_file *prices)
{
    lua_createtable(L, 0, 5);
    for (const luaL_Reg *k = knows; k->name; k++) {
        lua_pushlightuserdata(L, prices);
        lua_pushcclosure(L, k->func, 1);
        lua_setfield(L, -2, k->name);
    }
    lua_setfield(L, -2, "knows");
}

static void push_notes(lua_State *L, struct lun_mistakes *notes)
{
    lua_createtable(L, notes->n, 0);
    for (int i = 0; i < notes->n; i++) {
        lua_createtable(L, 0, 3);
        put_text(L, "file", notes->items[i].file);
        put_number(L, "line", notes->items[i].line);
        put_text(L, "text", notes->items[i].what);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "notes");
}

static void push_options(lua_State *L, struct reading *r, const char *prices, struct lun_price_file *list)
{
    lua_newtable(L);
    const char *slash = strrchr(r->files[0], '/');
    put_text(L, "name", slash ? slash + 1 : r->files[0]);
    if (prices) put_text(L, "prices", prices);
    push_knows(L, list);
    push_notes(L, &r->notes);
    lua_createtable(L, r->n_files, 0);
    for (int i = 0; i < r->n_files; i++) lua_pushstring(L, r->files[i]), lua_rawseti(L, -2, i + 1);
    lua_setfield(L, -2, "files");
}

static const char *text_at(lua_State *L, const char *name, struct lun_arena *arena)
{
    lua_getfield(L, -1, name);
    const char *text = lun_arena_strdup(arena, lua_tostring(L, -1));
    lua_pop(L, 1);
    return text;
}

static int number_at(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

static void take_notes(lua_State *L, const char *name, struct lun_import_notes *to, struct lun_arena *arena)
{
    lua_getfield(L, -1, name);
    to->n = (int)lua_objlen(L, -1);
    to->at = lun_arena_alloc(arena, ((size_t)to->n + 1) * sizeof *to->at);
    for (int i = 0; i < to->n; i++) {
        lua_rawgeti(L, -1, i + 1);
        to->at[i] = (struct lun_import_note){ text_at(L, "file", arena), number_at(L, "line"), text_at(L, "text", arena) };
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void take_variables(lua_State *L, struct lun_import *to)
{
    lua_getfield(L, -1, "wanted");
    to->n_variables = (int)lua_objlen(L, -1);
    to->variables = lun_arena_alloc(&to->arena, ((size_t)to->n_variables + 1) * sizeof *to->variables);
    for (int i = 0; i < to->n_variables; i++) {
        lua_rawgeti(L, -1, i + 1);
        to->variables[i] = (struct lun_import_variable){ text_at(L, "name", &to->arena), text_at(L, "kind", &to->arena) };
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void take(lua_State *L, struct lun_import *to)
{
    take_notes(L, "notes", &to->notes, &to->arena);
    take_notes(L, "refused", &to->refused, &to->arena);
    take_variables(L, to);
    to->gateway = text_at(L, "gateway", &to->arena);
    to->policy = text_at(L, "policy", &to->arena);
    to->models = number_at(L, "models");
    to->targets = number_at(L, "targets");
    to->left = number_at(L, "left");
}

/* LiteLLM's list. True as well where none is named: then it is empty. */
static bool read_prices(struct reading *r, const char *path, struct lun_price_file *list)
{
    const char *why;
    size_t n;
    struct lun_json_error error;
    char *text = path ? lun_file_slurp_most(path, LUN_FILE_LARGEST, &n, &why) : NULL;
    if (!path) return true;
    if (!text) return lun_mistakes_add(r->mistakes, path, 0, "cannot be read: %s", why), false;
    const char *kept = lun_arena_strndup(&r->to->arena, text, n);
    free(text);
    if (lun_price_file_read(kept, n, &r->to->arena, list, &error)) return true;
    lun_mistakes_add(r->mistakes, path, 0, "is no file of prices: at byte %zu: %s", error.at, error.what);
    return false;
}

static bool map(struct reading *r, const struct lun_yaml *root, const char *prices)
{
    static const char chunk[] = "return require 'lunette.import.litellm' (...)";
    struct lun_vm *vm = lun_vm_new(&(struct lun_vm_options){ .open = true, .cpu = LUN_CPU_CLOCK });
    struct lun_vm_error error;
    struct lun_price_file list = {0};
    if (!read_prices(r, prices, &list)) { lun_vm_free(vm); return false; }
    push(vm->L, root);
    push_options(vm->L, r, prices, &list);
    int ref = lun_vm_load(vm, "import", chunk, sizeof chunk - 1, 2, &error);
    if (ref == LUA_NOREF) lun_mistakes_add(r->mistakes, root->file, 0, "could not be carried over: %s", error.text);
    else {
        lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
        take(vm->L, r->to);
        lua_pop(vm->L, 1);
    }
    lun_vm_free(vm);
    return ref != LUA_NOREF;
}

static bool carry_over(struct reading *r, struct lun_yaml *root, const char *prices)
{
    bool good = root && include_all(r, root) && map(r, root, prices) && !r->to->refused.n;
    lun_mistakes_free(&r->notes);
    return good;
}

bool lun_import_litellm(const char *path, const char *prices, struct lun_import *to, struct lun_mistakes *mistakes)
{
    struct reading r = { .to = to, .mistakes = mistakes };
    *to = (struct lun_import){0};
    return carry_over(&r, read_file(&r, path, NULL), prices);
}

bool lun_import_litellm_text(const char *name, const char *text, size_t n, struct lun_import *to, struct lun_mistakes *mistakes)
{
    struct reading r = { .to = to, .mistakes = mistakes, .alone = true };
    *to = (struct lun_import){0};
    return carry_over(&r, read_text(&r, name, text, n), NULL);
}

void lun_import_free(struct lun_import *import) { lun_arena_free(&import->arena); }

/* ---- whether it is fine ---- */

/* What a variable of that kind may look like. A secret needs nothing: it is enough that it is named. */
static const char *stand_in(const char *kind)
{
    static const char *const all[][2] = { { "url", "https://stand-in.invalid/v1" }, { "host", "stand-in.invalid" }, { "port", "6379" }, { "text", "stand-in" },
        { "hash", "sha256:0000000000000000000000000000000000000000000000000000000000000000" } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) if (!strcmp(kind, all[i][0])) return all[i][1];
    return NULL;
}

static const char *const *environment(struct lun_import *import)
{
    const char **list = lun_arena_zalloc(&import->arena, ((size_t)import->n_variables + 1) * sizeof *list);
    for (int i = 0, n = 0; i < import->n_variables; i++) {
        const char *value = stand_in(import->variables[i].kind);
        if (value) list[n++] = lun_arena_printf(&import->arena, "%s=%s", import->variables[i].name, value);
    }
    return list;
}

static void hook_is_wrong(void *self, const char *what) { lun_mistakes_add(self, "policy.lua", 0, "%s", what); }

bool lun_import_check(struct lun_import *import, struct lun_mistakes *mistakes)
{
    struct lun_file policy = { "policy.lua", import->policy, import->policy ? strlen(import->policy) : 0 };
    struct lun_load_options options = { .environment = environment(import), .secrets_folder = "/nonexistent", .no_secrets = true, .cpu = LUN_CPU_CLOCK, .files = &policy,
                                        .n_files = import->policy != NULL };
    struct lun_snapshot *s = lun_load_text("gateway.lua", import->gateway, strlen(import->gateway), ".", &options, mistakes);
    bool good = s && lun_rehearse(s, NULL, hook_is_wrong, mistakes);
    lun_snapshot_unref(s);
    return good;
}
