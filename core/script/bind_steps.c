/* Steps: a target and how it is to be asked. Options are checked where they are written, so that the mistake's line is told. */
#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "script/sandbox.h"

#define LONGEST (24 * 3600.0)           /* seconds */
#define FIELD_MAX 128
#define WARNING_MAX 200
#define VALUE_MAX ((size_t)64 << 10)

struct step { struct lun_box box; struct lun_step step; };

struct lun_step lun_step_of(const struct lun_target *t)
{
    return (struct lun_step){ .target = t, .connect = LUN_UNSET, .first_byte = LUN_UNSET, .idle = LUN_UNSET, .total = LUN_UNSET, .wait = LUN_UNSET };
}

/* ---- options ---- */

struct reading { lua_State *L; struct lun_mind *mind; struct lun_step *step; char *problem; };

static bool wrong(struct reading *r, const char *what, const char *expected, int index)
{
    if (lua_type(r->L, index) == LUA_TNUMBER) snprintf(r->problem, 200, "%s: expected %s, got %.14g", what, expected, lua_tonumber(r->L, index));
    else snprintf(r->problem, 200, "%s: expected %s, got %s", what, expected, lun_bind_type(r->L, index));
    return false;
}

static bool read_time(struct reading *r, const char *name, double least, lun_us *out)
{
    double s = lua_tonumber(r->L, -1);
    if (lua_type(r->L, -1) != LUA_TNUMBER || !(s >= least) || s > LONGEST) return wrong(r, name, least > 0 ? "seconds, more than 0 and at most a day" : "seconds, at most a day", -1);
    *out = lun_us_from_seconds(s);
    return true;
}

/* Fields that the gateway answers for: what is sent must be the target's model, in the form the client waits for. */
static bool is_ours(const char *name) { return !strcmp(name, "model") || !strcmp(name, "stream") || !strcmp(name, "stream_options"); }

static const char *field_name(struct reading *r, const char *what, int index)
{
    size_t n = 0;
    const char *name = lua_type(r->L, index) == LUA_TSTRING ? lua_tolstring(r->L, index, &n) : NULL;
    if (!name) wrong(r, what, "the name of a field", index);
    else if (!n || n > FIELD_MAX || strlen(name) != n || !lun_text_valid(name, n)) snprintf(r->problem, 200, "%s: a field's name has 1 to %d bytes of UTF-8", what, FIELD_MAX);
    else if (is_ours(name)) snprintf(r->problem, 200, "%s: '%s' belongs to the gateway and cannot be changed", what, name);
    else return name;
    return NULL;
}

/* Copies, within what one request's hooks may take. Inside a run lun_bind_take would raise; here it is a problem like any other. */
static char *copy(struct reading *r, const char *text, size_t n)
{
    size_t all = n + 1 + sizeof(struct lun_edit);
    if (r->mind->taken + all > LUN_BIND_TAKES) {
        snprintf(r->problem, 200, "the steps of one request may say %d KiB in all", (int)(LUN_BIND_TAKES >> 10));
        return NULL;
    }
    r->mind->taken += all;
    return lun_arena_strndup(r->mind->question->arena, text, n);
}

static bool goes_before(const struct lun_edit *e, int what, const char *field)
{
    return (int)e->what != what ? (int)e->what < what : strcmp(e->field, field) <= 0;
}

/* First what is set, then what is dropped, then what is renamed, each by its name: the order of a table's names is another one in each process. */
static bool add_edit(struct reading *r, int what, const char *field, const char *value, size_t value_n)
{
    const struct lun_edit **at = &r->step->edits;
    int n = 0;
    for (const struct lun_edit *e = *at; e; e = e->next) n++;
    if (n == LUN_EDITS) {
        snprintf(r->problem, 200, "set, drop and rename: a step changes at most %d fields", LUN_EDITS);
        return false;
    }
    while (*at && goes_before(*at, what, field)) at = (const struct lun_edit **)&(*at)->next;
    struct lun_edit *e = lun_arena_zalloc(r->mind->question->arena, sizeof *e);
    e->what = what;
    e->field = copy(r, field, strlen(field));
    e->value = e->field && value ? copy(r, value, value_n) : NULL;
    if (!e->field || (value && !e->value)) return false;
    e->next = (struct lun_edit *)*at;
    *at = e;
    return true;
}

static bool read_set(struct reading *r)
{
    lua_State *L = r->L;
    if (lua_type(L, -1) != LUA_TTABLE) return wrong(r, "set", "a table of fields and values", -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *field = field_name(r, "set", -2);
        struct lun_buf *out = lun_bind_scratch(L);
        const char *why = field ? lun_bind_encode(L, lua_gettop(L), out, VALUE_MAX) : NULL;
        if (why) snprintf(r->problem, 200, "set.%.64s: %s", field, why);
        if (!field || why || !add_edit(r, LUN_EDIT_SET, field, out->at, out->n)) { lua_pop(L, 2); return false; }
    }
    return true;
}

static bool read_drop(struct reading *r)
{
    lua_State *L = r->L;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *field = field_name(r, "drop", -1);
        return field && add_edit(r, LUN_EDIT_DROP, field, NULL, 0);
    }
    if (lua_type(L, -1) != LUA_TTABLE) return wrong(r, "drop", "a field's name or a list of them", -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *field = field_name(r, "drop", -1);
        if (!field || !add_edit(r, LUN_EDIT_DROP, field, NULL, 0)) { lua_pop(L, 2); return false; }
    }
    return true;
}

static bool read_rename(struct reading *r)
{
    lua_State *L = r->L;
    if (lua_type(L, -1) != LUA_TTABLE) return wrong(r, "rename", "a table of old names and new ones", -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *old = field_name(r, "rename", -2), *new = old ? field_name(r, "rename", -1) : NULL;
        if (!new || !add_edit(r, LUN_EDIT_RENAME, old, new, strlen(new))) { lua_pop(L, 2); return false; }
    }
    return true;
}

static bool read_warning(struct reading *r)
{
    size_t n = 0;
    const char *text = lua_type(r->L, -1) == LUA_TSTRING ? lua_tolstring(r->L, -1, &n) : NULL;
    if (!text || !n || n > WARNING_MAX || strlen(text) != n || !lun_text_valid(text, n)) {
        snprintf(r->problem, 200, "warning: expected a text of 1 to %d bytes", WARNING_MAX);
        return false;
    }
    return (r->step->warning = copy(r, text, n));
}

const struct lun_step_option lun_step_option_words[] = {
    { "connect", "number", "seconds for the connection; as the next three, by default the provider's `timeouts`" },
    { "first_byte", "number", "seconds until the first good event, or the head of a whole answer" },
    { "idle", "number", "seconds of silence in the middle" },
    { "total", "number", "seconds for all of it" },
    { "hedge_after", "number", "no first good event after so many seconds: the next step starts beside it" },
    { "wait", "number", "seconds to queue for the target: for its rate limit, and, where no later step can serve, for the end of its rest. By default none, but for the last step, for its rate limit, up to the deadline" },
    { "warning", "string", "what the client is told in `x-lunette-warning` when this step answers" },
    { "set", "table<string, any>", "top-level fields of the body and their values; with the next two at most 64 of them" },
    { "drop", "string|string[]", "top-level fields of the body to leave out, also where `set` names them" },
    { "rename", "table<string, string>", "old names of top-level fields and new ones" },
    { 0 } };
enum { OPTIONS = sizeof lun_step_option_words / sizeof *lun_step_option_words - 1 };

static bool read_option(struct reading *r, const char *name)
{
    struct lun_step *s = r->step;
    switch (name[0]) {
    case 'c': return read_time(r, name, 1e-6, &s->connect);
    case 'f': return read_time(r, name, 1e-6, &s->first_byte);
    case 'i': return read_time(r, name, 1e-6, &s->idle);
    case 't': return read_time(r, name, 1e-6, &s->total);
    case 'h': return read_time(r, name, 0, &s->hedge_after);
    case 'w': return !strcmp(name, "wait") ? read_time(r, name, 0, &s->wait) : read_warning(r);
    case 's': return read_set(r);
    case 'd': return read_drop(r);
    default:  return read_rename(r);
    }
}

static bool is_option(const char *name)
{
    for (size_t i = 0; i < OPTIONS; i++) if (!strcmp(lun_step_option_words[i].name, name)) return true;
    return false;
}

static void no_option(struct reading *r, const char *name)
{
    const char *names[OPTIONS];
    char hint[96];
    for (size_t i = 0; i < OPTIONS; i++) names[i] = lun_step_option_words[i].name;
    snprintf(r->problem, 200, "a step has no option '%.60s'%s", name, lun_bind_hint(name, names, OPTIONS, hint));
}

/* The entry on top of the stack and its key below. */
static bool read_entry(struct reading *r)
{
    const char *name = lua_type(r->L, -2) == LUA_TSTRING ? lua_tostring(r->L, -2) : NULL;
    if (name && !strcmp(name, "target")) return true;
    if (name && is_option(name)) return read_option(r, name);
    if (!name) snprintf(r->problem, 200, "a step's options have names: connect, first_byte, …; it holds a %s", lun_bind_type(r->L, -1));
    else no_option(r, name);
    return false;
}

bool lun_step_options(lua_State *L, int index, struct lun_mind *mind, struct lun_step *step, char problem[200])
{
    struct reading r = { L, mind, step, problem };
    int top = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (read_entry(&r)) continue;
        lua_settop(L, top);
        return false;
    }
    return true;
}

int lun_targets_steps(lua_State *L)
{
    struct lun_mind *mind;
    char problem[200];
    struct lun_set *s = lun_class_check(L, 1, &lun_targets_class, &mind);
    struct lun_step common = lun_step_of(NULL);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    if (!lua_isnil(L, 2) && !lun_step_options(L, 2, mind, &common, problem)) return luaL_error(L, "steps: %s", problem);
    struct lun_steps *out = lun_class_new(L, &lun_steps_class, mind, sizeof *out + (size_t)s->n * sizeof *out->item);
    for (int i = 0; i < s->n; i++) {
        out->item[i] = common;
        out->item[i].target = s->item[i];
    }
    out->n = s->n;
    return 1;
}

/* ---- joining ---- */

/* One side of `..`. */
struct side { const struct lun_set *set; const struct lun_steps *steps; const struct lun_target *target; int n; };

static struct side side_at(lua_State *L, int index, struct lun_mind **mind)
{
    struct side s = { 0 };
    if (lua_isnil(L, index)) return s;
    if (lun_class_is(L, index, &lun_steps_class)) {
        s.steps = lun_class_check(L, index, &lun_steps_class, mind);
        s.n = s.steps->n;
    } else if (lun_class_is(L, index, &lun_target_class)) {
        lun_class_check(L, index, &lun_target_class, mind);
        s.target = lun_target_at(L, index, *mind);
        s.n = 1;
    } else if (lun_class_is(L, index, &lun_targets_class)) {
        s.set = lun_class_check(L, index, &lun_targets_class, mind);
        s.n = s.set->n;
    } else luaL_error(L, "`..` joins targets and steps, not a %s", lun_bind_type(L, index));
    return s;
}

static const struct lun_target *target_of(const struct side *s, int i)
{
    return s->target ? s->target : s->set ? s->set->item[i] : s->steps->item[i].target;
}

static bool has_step(const struct lun_steps *s, const struct lun_target *t)
{
    for (int i = 0; i < s->n; i++) if (s->item[i].target == t) return true;
    return false;
}

/* A plain target that is there already is left out; a step says how, and is added even so. */
static void add_steps(struct lun_steps *out, const struct side *s)
{
    for (int i = 0; i < s->n; i++) {
        if (s->steps) out->item[out->n++] = s->steps->item[i];
        else if (!has_step(out, target_of(s, i))) out->item[out->n++] = lun_step_of(target_of(s, i));
    }
}

static void add_targets(struct lun_set *out, const struct side *s)
{
    for (int i = 0; i < s->n; i++) {
        const struct lun_target *t = target_of(s, i);
        int k = 0;
        while (k < out->n && out->own[k] != t) k++;
        if (k == out->n) out->own[out->n++] = t;
    }
}

int lun_steps_concat(lua_State *L)
{
    struct lun_mind *mind = NULL;
    struct side a = side_at(L, 1, &mind), b = side_at(L, 2, &mind);
    int n = a.n + b.n;
    lun_vm_work(L, (int64_t)a.n * b.n / 4 + n);
    if (n > 4096) return luaL_error(L, "`..`: over 4096 steps");
    if (!a.steps && !b.steps) {
        struct lun_set *out = lun_push_set(L, mind, NULL, n);
        add_targets(out, &a);
        add_targets(out, &b);
        return 1;
    }
    struct lun_steps *out = lun_class_new(L, &lun_steps_class, mind, sizeof *out + (size_t)n * sizeof *out->item);
    add_steps(out, &a);
    add_steps(out, &b);
    return 1;
}

/* ---- classes ---- */

#define GET(name) static int get_##name(lua_State *L, struct lun_mind *mind, void *self)
#define TIME(field) GET(field) { (void)mind; return lun_push_seconds(L, ((struct step *)self)->step.field, LUN_UNSET); }
TIME(connect)
TIME(first_byte)
TIME(idle)
TIME(total)
TIME(wait)
GET(hedge_after) { (void)mind; return lun_push_seconds(L, ((struct step *)self)->step.hedge_after, 0); }
GET(warning) { (void)mind; lua_pushstring(L, ((struct step *)self)->step.warning); return 1; }
GET(target)
{
    lun_push_target(L, mind, ((struct step *)self)->step.target);
    return 1;
}

static const struct lun_member step_members[] = {
    { "target", NULL, "target", "who is asked", get_target, .fixed = true },
    { "connect", NULL, "number or nil", "seconds for the connection; nil, as with the next three: the provider's `timeouts`", get_connect, .fixed = true },
    { "first_byte", NULL, "number or nil", "seconds until the first good event, or the head of a whole answer", get_first_byte, .fixed = true },
    { "idle", NULL, "number or nil", "seconds of silence in the middle", get_idle, .fixed = true },
    { "total", NULL, "number or nil", "seconds for all of it", get_total, .fixed = true },
    { "hedge_after", NULL, "number or nil", "no first good event after so many seconds: the next step starts beside it", get_hedge_after, .fixed = true },
    { "wait", NULL, "number or nil", "seconds to queue for the target: for its rate limit, and, where no later step can serve, for the end of its rest; nil: none, but for the last step, for its rate limit, up to the deadline", get_wait, .fixed = true },
    { "warning", NULL, "string or nil", "what the client is told in `x-lunette-warning` when this step answers", get_warning, .fixed = true },
    { 0 } };
const struct lun_class lun_step_class = {
    .id = LUN_CLASS_step, .name = "step", .members = step_members,
    .doc = "How one target is asked. In a list returned by `select` a step may also be a table: `{ target = t, first_byte = 2 }`, with the fields below and "
           "`set` (a table of top-level fields of the body and their values), `drop` (a name or a list of names), `rename` (old names and new ones)." };

static int item(lua_State *L, struct lun_mind *mind, void *self, double i)
{
    struct lun_steps *s = self;
    if (!(i >= 1 && i <= s->n && i == floor(i))) { lua_pushnil(L); return 1; }
    struct step *out = lun_class_new(L, &lun_step_class, mind, sizeof *out);
    out->step = s->item[(int)i - 1];
    return 1;
}

static int count(void *self) { return ((struct lun_steps *)self)->n; }

static const struct lun_member no_members[] = { { 0 } };
const struct lun_class lun_steps_class = {
    .id = LUN_CLASS_steps, .name = "steps", .members = no_members, .item = item, .count = count, .concat = lun_steps_concat,
    .lua = "---@field [integer] lunette.Step\n---@operator len: integer\n---@operator concat(lunette.Steps|lunette.Targets|lunette.Target): lunette.Steps",
    .doc = "What `targets:steps{ … }` gives: a list of steps. `#steps`, `steps[1]`, `ipairs(steps)`. `..` joins it with targets and other steps; a plain target "
           "that has a step already is left out." };

/* A step userdata's step, for answer.c. */
const struct lun_step *lun_step_at(lua_State *L, int index, const struct lun_mind *mind)
{
    struct step *s = lun_class_is(L, index, &lun_step_class);
    return s && lun_class_mine(mind, s) ? &s->step : NULL;
}
