#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/loop.h"
#include "base/text.h"
#include "script/bundle.h"
#include "script/sandbox.h"

#define SCRATCH_KEPT ((size_t)1 << 20)

const struct lun_class *const lun_classes[] = {
    &lun_request_class, &lun_key_class, &lun_targets_class, &lun_target_class, &lun_provider_class, &lun_price_class, &lun_steps_class, &lun_step_class,
    &lun_spend_class, &lun_budget_class, &lun_attempt_class, &lun_outcome_class, &lun_decision_class, NULL };

/* ---- the running request ---- */

struct lun_mind *lun_bind_mind(lua_State *L, const char *what)
{
    struct lun_mind *mind = lun_vm_current(L);
    if (!mind) luaL_error(L, "%s can be used only inside a hook, for there it belongs to a request", what);
    return mind;
}

void lun_bind_take(lua_State *L, struct lun_mind *mind, size_t n)
{
    if (n > LUN_BIND_TAKES || mind->taken + n > LUN_BIND_TAKES)
        luaL_error(L, "the hooks of one request may say %d KiB in all (steps, notes)", (int)(LUN_BIND_TAKES >> 10));
    mind->taken += n;
}

/* ---- memory that an error's jump does not lose ---- */

static const char scratch;              /* its address is the registry's key */

static int free_scratch(lua_State *L)
{
    struct lun_buf *b = lua_touserdata(L, 1);
    if (b) lun_buf_free(b);
    return 0;
}

static void make_scratch(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch);
    memset(lua_newuserdata(L, sizeof(struct lun_buf)), 0, sizeof(struct lun_buf));
    lua_newtable(L);
    lua_pushcfunction(L, free_scratch);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

struct lun_buf *lun_bind_scratch(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct lun_buf *b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (b->room > SCRATCH_KEPT) lun_buf_free(b);
    b->n = 0;
    return b;
}

/* ---- words ---- */

const char *lun_bind_type(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA) return lua_type(L, index) == LUA_TLIGHTUSERDATA ? "null" : luaL_typename(L, index);
    for (const struct lun_class *const *c = lun_classes; *c; c++)
        if (lun_class_is(L, index, *c)) return (*c)->name;
    if (!lun_sandbox_thaw(L, index)) return "something else";
    lua_pop(L, 1);
    return "table";
}

const char *lun_bind_hint(const char *name, const char *const *list, size_t n, char out[96])
{
    const char *near = lun_text_nearest(name, list, n);
    out[0] = 0;
    if (near) snprintf(out, 96, " (did you mean '%.64s'?)", near);
    return out;
}

static size_t names_of(const struct lun_class *c, const char *names[64])
{
    size_t n = 0;
    for (const struct lun_member *m = c->members; m->name && n < 64; m++) names[n++] = m->name;
    return n;
}

/* A name as a message can show it. */
static const char *shown(lua_State *L, int index, char out[64])
{
    size_t n = 0;
    if (lua_type(L, index) == LUA_TNUMBER) { snprintf(out, 64, "%.14g", lua_tonumber(L, index)); return out; }
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    if (!text) return lua_typename(L, lua_type(L, index));
    n = lun_text_clip(text, n, 60);
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)text[i] < 32 ? '?' : text[i];
    out[n] = 0;
    return out;
}

static int no_member(lua_State *L, const struct lun_class *c)
{
    const char *names[64];
    char hint[96], name[64];
    const char *wanted = shown(L, 2, name);
    lun_bind_hint(wanted, names, names_of(c, names), hint);
    if (c == &lun_targets_class && !hint[0]) {
        lun_bind_hint(wanted, names, names_of(&lun_target_class, names), hint);
        if (hint[0]) return luaL_error(L, "targets has no field '%s'; it is a set: take one of it, targets[1].%s", wanted, wanted);
    }
    return luaL_error(L, "%s has no field '%s'%s", c->name, wanted, hint);
}

/* ---- classes ---- */

static void push_meta(lua_State *L, const struct lun_class *c)
{
    lua_pushlightuserdata(L, (void *)c);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

void *lun_class_is(lua_State *L, int index, const struct lun_class *c)
{
    void *self = lua_touserdata(L, index);
    if (!self || !lua_getmetatable(L, index)) return NULL;
    push_meta(L, c);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? self : NULL;
}

bool lun_class_mine(const struct lun_mind *mind, const void *self)
{
    const struct lun_box *box = self;
    return !box->serial || box->serial == mind->serial;
}

static int foreign(lua_State *L, const struct lun_class *c, const struct lun_mind *now)
{
    if (!now) return luaL_error(L, "%s can be used only inside a hook of its request", c->name);
    return luaL_error(L, "this %s belongs to another request: the objects a hook is given are of use only in the hooks of that request "
                         "(what is to last goes into lunette.store)", c->name);
}

void *lun_class_check(lua_State *L, int index, const struct lun_class *c, struct lun_mind **mind)
{
    struct lun_box *self = lun_class_is(L, index, c);
    struct lun_mind *now = lun_vm_current(L);
    if (!self) luaL_error(L, "expected a %s, got %s%s", c->name, lun_bind_type(L, index), index == 1 ? " (call methods with a colon)" : "");
    if (self->serial && (!now || self->serial != now->serial)) foreign(L, c, now);
    if (mind) *mind = now;
    return self;
}

void *lun_class_new(lua_State *L, const struct lun_class *c, const struct lun_mind *mind, size_t size)
{
    struct lun_box *self = lua_newuserdata(L, size);
    memset(self, 0, size);
    self->serial = mind ? mind->serial : 0;
    push_meta(L, c);
    lua_setmetatable(L, -2);
    return self;
}

/* Upvalues: the class, its metatable, its members by name. */
static int member(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    struct lun_mind *now = lun_vm_current(L);
    struct lun_box *self = lua_touserdata(L, 1);
    bool same = self && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(2));
    if (!same || (self->serial && (!now || self->serial != now->serial))) lun_class_check(L, 1, c, &now);
    if (c->item && lua_type(L, 2) == LUA_TNUMBER) return c->item(L, now, self, lua_tonumber(L, 2));
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(3));
    const struct lun_member *m = lua_touserdata(L, -1);
    if (m) return m->get(L, now, self);
    return lua_isnil(L, -1) ? no_member(L, c) : 1;
}

static int is_read_only(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    char name[64];
    return luaL_error(L, "%s is read-only: '%s' cannot be set", c->name, shown(L, 2, name));
}

static int count(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushinteger(L, c->count(lun_class_check(L, 1, c, NULL)));
    return 1;
}

static int as_text(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    void *self = lun_class_check(L, 1, c, NULL);
    struct lun_buf *out = lun_bind_scratch(L);
    c->text(out, self);
    lua_pushlstring(L, out->at ? out->at : "", out->n);
    return 1;
}

static int next_item(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    struct lun_mind *mind;
    void *self = lun_class_check(L, 1, c, &mind);
    double i = lua_tonumber(L, 2) + 1;
    lua_pushnumber(L, i);
    return c->item(L, mind, self, i) && !lua_isnil(L, -1) ? 2 : 0;
}

static int each_item(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(2));      /* next_item */
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

static void set_closure(lua_State *L, const struct lun_class *c, const char *name, lua_CFunction f)
{
    lua_pushlightuserdata(L, (void *)c);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

/* Members by name: what is computed as the member itself, methods as functions. `methods` at the top of the stack, or nil, has those of Lua. */
static void push_members(lua_State *L, const struct lun_class *c, int methods)
{
    lua_newtable(L);
    for (const struct lun_member *m = c->members; m->name; m++) {
        if (m->get) lua_pushlightuserdata(L, (void *)m);
        else if (m->call) lua_pushcfunction(L, m->call);
        else lua_getfield(L, methods, m->name);
        lua_setfield(L, -2, m->name);
    }
}

static void make_class(lua_State *L, const struct lun_class *c, int methods)
{
    push_meta(L, c);
    lua_pushlightuserdata(L, (void *)c);
    lua_pushvalue(L, -2);
    push_members(L, c, methods);
    lua_pushcclosure(L, member, 3);
    lua_setfield(L, -2, "__index");
    set_closure(L, c, "__newindex", is_read_only);
    if (c->count) set_closure(L, c, "__len", count);
    if (c->text) set_closure(L, c, "__tostring", as_text);
    if (c->concat) set_closure(L, c, "__concat", c->concat);
    if (c->item) {
        lua_pushlightuserdata(L, (void *)c);
        lua_pushlightuserdata(L, (void *)c);
        lua_pushcclosure(L, next_item, 1);
        lua_pushcclosure(L, each_item, 2);
        lua_setfield(L, -2, "__pairs");
    }
    lua_pushstring(L, c->name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

static int load_methods(struct lun_vm *vm)
{
    const struct lun_bundle_file *f = lun_bundle_find("lua/targets.lua");
    struct lun_vm_error error = { 0 };
    lun_targets_helpers(vm->L);
    int ref = f ? lun_vm_load(vm, f->name, f->start, f->size, 1, &error) : LUA_NOREF;
    if (ref == LUA_NOREF) {
        fprintf(stderr, "lunette: lua/targets.lua: %s\n", f ? error.text : "is not in the binary");
        abort();
    }
    return ref;
}

void lun_class_open(struct lun_vm *vm)
{
    lua_State *L = vm->L;
    make_scratch(L);
    int ref = load_methods(vm);
    for (const struct lun_class *const *c = lun_classes; *c; c++) {
        lua_pushlightuserdata(L, (void *)*c);
        lua_newtable(L);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    for (const struct lun_class *const *c = lun_classes; *c; c++) make_class(L, *c, lua_gettop(L));
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

/* ---- what is kept for a request ---- */

bool lun_bind_kept(lua_State *L, const struct lun_mind *mind, int key)
{
    if (mind->objects == LUA_NOREF) return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->objects);
    lua_rawgeti(L, -1, key);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

void lun_bind_keep(lua_State *L, struct lun_mind *mind, int key)
{
    if (mind->objects == LUA_NOREF) {
        lua_createtable(L, 8, 8);
        mind->objects = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->objects);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, key);
    lua_pop(L, 1);
}

/* ---- values ---- */

int lun_push_seconds(lua_State *L, lun_us time, lun_us unknown)
{
    if (time == LUN_NEVER) lua_pushnumber(L, HUGE_VAL);
    else if (time == unknown) lua_pushnil(L);
    else lua_pushnumber(L, lun_us_to_seconds(time));
    return 1;
}

int lun_push_usd(lua_State *L, int64_t nano)
{
    if (nano < 0) lua_pushnil(L);
    else if (nano == INT64_MAX) lua_pushnumber(L, HUGE_VAL);
    else lua_pushnumber(L, (double)nano / LUN_NANO_PER_USD);
    return 1;
}

int lun_push_text(lua_State *L, const char *text)
{
    if (text) lua_pushstring(L, text);
    else lua_pushnil(L);
    return 1;
}

int lun_push_pairs(lua_State *L, const struct lun_pair *pairs, int n)
{
    lua_createtable(L, 0, n);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, pairs[i].name);
        lua_pushstring(L, pairs[i].value ? pairs[i].value : "");
        lua_rawset(L, -3);
    }
    lun_sandbox_freeze(L);
    return 1;
}

/* ---- the reference ---- */

/* One row; a bar inside of it would end the cell. */
static void put_row(struct lun_buf *out, const char *before, const char *name, const char *arguments, const char *type, const char *doc)
{
    struct lun_buf row = { 0 };
    lun_buf_printf(&row, "`%s%s%s` \n %s \n %s \n", before, name, arguments ? arguments : "", type, doc);
    lun_buf_puts(out, "| ");
    for (size_t i = 0; i < row.n; i++)
        if (row.at[i] == '|') lun_buf_puts(out, "\\|");
        else lun_buf_putc(out, row.at[i] == '\n' ? '|' : row.at[i]);
    lun_buf_putc(out, '\n');
    lun_buf_free(&row);
}

void lun_bind_reference(struct lun_buf *out)
{
    for (const struct lun_class *const *c = lun_classes; *c; c++) {
        lun_buf_printf(out, "### %s\n\n%s\n", (*c)->name, (*c)->doc);
        if ((*c)->members->name) lun_buf_puts(out, "\n| name | is | meaning |\n|---|---|---|\n");
        for (const struct lun_member *m = (*c)->members; m->name; m++) put_row(out, m->arguments ? ":" : "", m->name, m->arguments, m->type, m->doc);
        lun_buf_puts(out, "\n");
    }
    lun_buf_puts(out, "### Functions\n\nAll of them are fields of `require \"lunette\"`. What can go wrong returns `nil` and a reason; misuse raises.\n\n"
                      "| function | gives | meaning |\n|---|---|---|\n");
    for (const struct lun_function *f = lun_functions; f->name; f++) put_row(out, "lunette.", f->name, f->arguments, f->result, f->doc);
}
