/* Classes of read-only userdata, made from their tables of members. */
#include "script/bind.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "script/bundle.h"
#include "script/tracing.h"

const struct lun_class *const lun_classes[] = {
#define X(name) [LUN_CLASS_##name] = &lun_##name##_class,
    LUN_CLASSES(X)
#undef X
    [LUN_CLASS_COUNT] = NULL };

static size_t names_of(const struct lun_class *c, const char *names[64])
{
    size_t n = 0;
    for (const struct lun_member *m = c->members; m->name && n < 64; m++) names[n++] = m->name;
    return n;
}

static int no_member(lua_State *L, const struct lun_class *c)
{
    const char *names[64];
    char hint[96], name[64];
    const char *wanted = lun_bind_shown(L, 2, name);
    lun_bind_hint(wanted, names, names_of(c, names), hint);
    if (c == &lun_targets_class && !hint[0]) {
        lun_bind_hint(wanted, names, names_of(&lun_target_class, names), hint);
        if (hint[0]) return luaL_error(L, "targets has no field '%s'; it is a set: take one of it, targets[1].%s", wanted, wanted);
    }
    return luaL_error(L, "%s has no field '%s'%s", c->name, wanted, hint);
}

/* ---- classes ---- */

static void push_meta(lua_State *L, const struct lun_class *c) { lua_rawgeti(L, LUA_REGISTRYINDEX, lun_bind_bound(L)->meta[c->id]); }

void *lun_class_is(lua_State *L, int index, const struct lun_class *c)
{
    struct lun_box *self = lua_touserdata(L, index);
    return self && self->class == c ? self : NULL;
}

const struct lun_class *lun_class_of(lua_State *L, int index)
{
    const struct lun_box *self = lua_touserdata(L, index);
    for (const struct lun_class *const *c = lun_classes; self && *c; c++) if (*c == self->class) return *c;
    return NULL;
}

static bool was_given(const struct lun_mind *mind, int key) { return key / 64 < mind->n_given && mind->given[key / 64] >> key % 64 & 1; }

bool lun_class_mine(const struct lun_mind *mind, const void *self)
{
    const struct lun_box *box = self;
    if (box->serial == LUN_SERIAL_OWN) return was_given(mind, ((const struct lun_box_own *)self)->key);
    return !box->serial || box->serial == mind->serial;
}

/* Also where no hook runs. */
static bool usable(const struct lun_mind *now, const struct lun_box *self) { return !self->serial || (now && lun_class_mine(now, self)); }

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
    if (!usable(now, self)) foreign(L, c, now);
    if (mind) *mind = now;
    return self;
}

void *lun_class_new(lua_State *L, const struct lun_class *c, const struct lun_mind *mind, size_t size)
{
    struct lun_box *self = lua_newuserdata(L, size);
    memset(self, 0, size);
    *self = (struct lun_box){ c, mind ? mind->serial : 0 };
    push_meta(L, c);
    lua_setmetatable(L, -2);
    return self;
}

/* Of a key that is no member's name. */
static int further(lua_State *L, const struct lun_class *c, struct lun_mind *now, void *self)
{
    int type = lua_type(L, 2);
    if (c->item && type == LUA_TNUMBER) return c->item(L, now, self, lua_tonumber(L, 2));
    if (c->named && type == LUA_TSTRING && c->named(L, now, lua_tostring(L, 2))) return 1;
    return no_member(L, c);
}

int lun_class_read(lua_State *L, struct lun_mind *mind, void *self, const struct lun_member *m)
{
    int n;
    struct lun_read r = { .of = ((struct lun_box *)self)->class, .self = self, .name = m->name, .says = m->says };
    if (!mind || !mind->tape || m->fixed) return m->get(L, mind, self);
    if (lun_tape_fed(L, mind, &r, &n)) return n;
    n = m->get(L, mind, self);
    lun_tape_keep(L, mind, &r, n);
    return n;
}

bool lun_class_says(lua_State *L, int results) { return results > 0 && !lua_isnil(L, -results); }

/* Of what a request is, whose it is, and what it may spend, who asks why it was decided so is told. */
static void trace(lua_State *L, const struct lun_mind *now, struct lun_box *self, const struct lun_member *m)
{
    enum lun_class_id id = self->class->id;
    if (id == LUN_CLASS_budget) lun_tracing_read(L, now, lun_budget_called(self), m->name);
    else if (id == LUN_CLASS_request || id == LUN_CLASS_key) lun_tracing_read(L, now, self->class->name, m->name);
}

/* The only thing that Lua calls for an access, and only for what lun_class_new made: nothing else has these metatables, and no policy sees them.
 * Upvalue: the members of the class by name. What is no field's name (further) follows from what the object is. */
static inline __attribute__((always_inline)) int look_up(lua_State *L, bool taped)
{
    struct lun_box *self = lua_touserdata(L, 1);
    struct lun_mind *now = lun_vm_current(L);
    if (!usable(now, self)) return foreign(L, self->class, now);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    const struct lun_member *m = lua_touserdata(L, -1);
    if (m) {
        int n = taped ? lun_class_read(L, now, self, m) : m->get(L, now, self);
        if (n && lun_traced(now)) trace(L, now, self, m);
        return n;
    }
    return lua_isnil(L, -1) ? further(L, self->class, now, self) : 1;
}

static int member(lua_State *L)       { return look_up(L, false); }
static int taped_member(lua_State *L) { return look_up(L, true); }

/* A method in C. Upvalues: the class, the member. */
static int taped_method(lua_State *L)
{
    const struct lun_member *m = lua_touserdata(L, lua_upvalueindex(2));
    struct lun_read r = { .of = lua_touserdata(L, lua_upvalueindex(1)), .name = m->name, .arguments = 2, .says = m->says };
    struct lun_mind *mind = lun_vm_current(L);
    r.self = lun_class_is(L, 1, r.of);
    return r.self && usable(mind, r.self) ? lun_tape_call(L, mind, &r, m->call) : m->call(L);     /* which says what is wrong */
}

const struct lun_member *lun_class_field(const struct lun_class *c, const char *name, size_t n)
{
    for (const struct lun_member *m = c->members; m->name; m++)
        if (m->get && strlen(m->name) == n && !memcmp(m->name, name, n)) return m;
    return NULL;
}

static int is_read_only(lua_State *L)
{
    const struct lun_class *c = lua_touserdata(L, lua_upvalueindex(1));
    char name[64];
    return luaL_error(L, "%s is read-only: '%s' cannot be set", c->name, lun_bind_shown(L, 2, name));
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

static void push_taped(lua_State *L, const struct lun_class *c, const struct lun_member *m)
{
    lua_pushlightuserdata(L, (void *)c);
    lua_pushlightuserdata(L, (void *)m);
    lua_pushcclosure(L, taped_method, 2);
}

/* Members by name: what is computed as the member itself, methods as functions. `methods` at the top of the stack, or nil, has those of Lua. */
static void push_members(lua_State *L, const struct lun_class *c, int methods, bool taped)
{
    lua_newtable(L);
    for (const struct lun_member *m = c->members; m->name; m++) {
        if (m->get) lua_pushlightuserdata(L, (void *)m);
        else if (m->call && (!taped || m->fixed)) lua_pushcfunction(L, m->call);
        else if (m->call) push_taped(L, c, m);
        else lua_getfield(L, methods, m->name);
        lua_setfield(L, -2, m->name);
    }
}

static void make_class(lua_State *L, const struct lun_class *c, int methods, bool taped)
{
    push_meta(L, c);
    push_members(L, c, methods, taped);
    lua_pushcclosure(L, taped ? taped_member : member, 1);
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

void lun_class_open(struct lun_vm *vm, bool taped)
{
    lua_State *L = vm->L;
    struct lun_bound *b = lun_bind_make(L);
    int ref = load_methods(vm);
    for (int i = 0; i < LUN_CLASS_COUNT; i++) {
        lua_newtable(L);
        b->meta[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    for (const struct lun_class *const *c = lun_classes; *c; c++) make_class(L, *c, lua_gettop(L), taped);
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
}
