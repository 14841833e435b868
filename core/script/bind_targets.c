/* `targets`: immutable, ordered sets of targets, and what narrows and orders them. `where` and `by` call a policy's functions and are
 * therefore written in Lua (lua/targets.lua); they come back here with positions and keys. */
#include "script/bind.h"
#include <math.h>
#include <string.h>
#include "base/loop.h"
#include "script/configured.h"
#include "script/sandbox.h"
#include "script/tracing.h"
#include "state/order.h"

#define FEW  16
#define WORK 256        /* between looks at what a run may take */

static struct lun_set *set_at(lua_State *L, int index, struct lun_mind **mind) { return lun_class_check(L, index, &lun_targets_class, mind); }

struct lun_set *lun_push_set(lua_State *L, struct lun_mind *mind, const struct lun_target *const *items, int n)
{
    struct lun_set *s = lun_class_new(L, &lun_targets_class, mind, sizeof *s + (size_t)n * sizeof *s->own);
    s->item = s->own;
    if (items) {
        memcpy(s->own, items, (size_t)n * sizeof *items);
        s->n = n;
    }
    return s;
}

struct lun_set *lun_push_set_of(lua_State *L, struct lun_mind *mind, const struct lun_target *const *items, int n)
{
    struct lun_set *s = lun_push_set(L, mind, NULL, 0);
    s->item = items, s->n = n;
    return s;
}

/* All that the request may use. */
static bool is_whole(const struct lun_question *q, const struct lun_set *s)
{
    return s->n == q->n_targets && (s->item == q->targets || !memcmp(s->item, q->targets, (size_t)s->n * sizeof *s->item));
}

void lun_push_targets(lua_State *L, struct lun_mind *mind)
{
    struct lun_question *q = mind->question;
    if (lun_bind_kept(L, mind, LUN_KEPT_TARGETS)) {
        struct lun_set *s = lua_touserdata(L, -1);
        if (is_whole(q, s)) return;
        lua_pop(L, 1);                  /* narrowed by the budget hook */
    }
    lun_push_set_of(L, mind, q->targets, q->n_targets);
    lun_bind_keep(L, mind, LUN_KEPT_TARGETS);
}

static bool has(const struct lun_set *s, const struct lun_target *t)
{
    for (int i = 0; i < s->n; i++) if (s->item[i] == t) return true;
    return false;
}

/* ---- filters: the same set without some ---- */

typedef bool keeps(struct lun_mind *, const struct lun_target *, const void *about);

static int filtered(lua_State *L, struct lun_mind *mind, const struct lun_set *s, keeps *keep, const void *about, const char *by)
{
    struct lun_set *out = lun_push_set(L, mind, NULL, s->n);
    for (int i = 0; i < s->n; i++) if (keep(mind, s->item[i], about)) out->own[out->n++] = s->item[i];
    lun_tracing_narrowed(L, mind, s, out, by);
    return 1;
}

static bool is_asked(struct lun_mind *mind, const struct lun_target *t, const void *about)
{
    const struct lun_question *q = mind->question;
    (void)about;
    for (int i = 0; i < q->n_asked; i++) if (q->asked[i] == t) return true;
    return false;
}

/* Nobody has put it into another order yet. */
static bool as_configured(const struct lun_question *q, const struct lun_set *s)
{
    int i = s->item == q->targets ? s->n : 0;
    for (int j = 0; j < q->n_targets && i < s->n; j++) i += q->targets[j] == s->item[i];
    return i == s->n;
}

/* A target can stand in the lists of several models, at another place in each. */
static void add_in_order(const struct lun_question *q, const struct lun_set *s, struct lun_set *out, const struct lun_target *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if ((is_whole(q, s) ? lun_question_may(q, list[i]) : has(s, list[i])) && !has(out, list[i])) out->own[out->n++] = list[i];
}

static int targets_asked(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    const struct lun_question *q = mind->question;
    if (is_whole(q, s)) {
        lun_tracing_narrowed(L, mind, s, lun_push_set_of(L, mind, q->asked, q->n_asked), "asked");
        return 1;
    }
    if (!as_configured(q, s)) return filtered(L, mind, s, is_asked, NULL, "asked");
    struct lun_set *out = lun_push_set(L, mind, NULL, s->n);
    add_in_order(q, s, out, q->asked, q->n_asked);
    lun_tracing_narrowed(L, mind, s, out, "asked");
    return 1;
}

static bool is_healthy(struct lun_mind *mind, const struct lun_target *t, const void *about)
{
    (void)about;
    return !lun_health_rests_until(t, mind->question->loop->now);
}

static int targets_healthy(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    return filtered(L, mind, s, is_healthy, NULL, "healthy");
}

struct need { unsigned supports; int64_t tokens, output; };

static bool can(struct lun_mind *mind, const struct lun_target *t, const void *about)
{
    const struct need *need = about;
    (void)mind;
    if (t->supports_given && (t->supports & need->supports) != need->supports) return false;
    if (t->context && need->tokens + need->output > t->context) return false;
    return !t->max_output || need->output <= t->max_output;
}

static int targets_can(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    struct lun_question *q = mind->question;
    if (!lua_isnoneornil(L, 2)) lun_class_check(L, 2, &lun_request_class, NULL);
    struct need need = { .tokens = lun_question_tokens(q), .output = q->max_tokens > 0 ? q->max_tokens : 0,
                         .supports = (q->has_tools ? LUN_SUPPORTS_TOOLS : 0) | (q->has_image ? LUN_SUPPORTS_IMAGES : 0) | (q->has_schema ? LUN_SUPPORTS_SCHEMA : 0) };
    return filtered(L, mind, s, can, &need, "can");
}

/* ---- by name: in the order of the names, each as often as the set has it ---- */

struct wanted { const char *name; const struct lun_model *model; };
typedef bool named(const struct lun_target *, const struct wanted *);

static bool by_model(const struct lun_target *t, const struct wanted *w)
{
    for (int i = 0; w->model && i < w->model->n_targets; i++) if (w->model->targets[i] == t) return true;
    return !strcmp(t->model, w->name);
}
static bool by_name(const struct lun_target *t, const struct wanted *w) { return !strcmp(t->name, w->name); }
static bool by_provider(const struct lun_target *t, const struct wanted *w) { return !strcmp(t->provider->name, w->name); }

/* By its name; a pattern's too, by the name that was asked for. */
static const struct lun_model *model_called(const struct lun_question *q, const char *name)
{
    const struct lun_snapshot *s = q->snapshot;
    if (q->entry && q->model && !strcmp(q->model, name)) return q->entry;
    return lun_snapshot_entry(s, name);
}

static named *const fits_by[LUN_NAMED_COUNT] = { [LUN_NAMED_MODEL] = by_model, [LUN_NAMED_TARGET] = by_name, [LUN_NAMED_PROVIDER] = by_provider };

/* Gives how many it has looked at. */
static int add_named(struct lun_mind *mind, const struct lun_set *s, struct lun_set *out, enum lun_named what, const char *name)
{
    struct wanted w = { name, what == LUN_NAMED_MODEL ? model_called(mind->question, name) : NULL };
    int before = out->n;
    if (w.model && as_configured(mind->question, s)) {
        add_in_order(mind->question, s, out, w.model->targets, w.model->n_targets);
        return is_whole(mind->question, s) ? w.model->n_targets : s->n;
    }
    for (int i = 0; i < s->n; i++)
        if (fits_by[what](s->item[i], &w) && !has(out, s->item[i])) out->own[out->n++] = s->item[i];
    if (out->n == before && !w.model && !lun_configured(mind->question->snapshot, what, name)) lun_policy_unknown(mind, what, name);
    return s->n;
}

/* The name on top of the stack. It can be long, and the same one be said often: what it takes to look it up is counted. */
static void add_top(lua_State *L, struct lun_mind *mind, const struct lun_set *s, struct lun_set *out, enum lun_named what)
{
    int looked = add_named(mind, s, out, what, lua_tostring(L, -1));
    lun_vm_work(L, looked + (int64_t)(lua_objlen(L, -1) >> 2));
}

/* How many the names from 2 on can give at most, without a look at each target where they are models of the configuration. */
static int most_named(lua_State *L, const struct lun_mind *mind, const struct lun_set *s, enum lun_named what)
{
    int most = 0, last = lua_gettop(L);
    if (what != LUN_NAMED_MODEL || !is_whole(mind->question, s)) return s->n;
    for (int i = 2; i <= last && most < s->n; i++) {
        const struct lun_model *m = lua_type(L, i) == LUA_TSTRING ? model_called(mind->question, lua_tostring(L, i)) : NULL;
        most += m ? m->n_targets : s->n;
    }
    return most < s->n ? most : s->n;
}

/* Arguments from 2 on: names, or lists of names. */
static int of_names(lua_State *L, enum lun_named what)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    int last = lua_gettop(L);
    struct lun_set *out = lun_push_set(L, mind, NULL, most_named(L, mind, s, what));
    if (last < 2) return luaL_error(L, "%s(…): expected at least one name", lun_named_method(what));
    for (int i = 2; i <= last; i++) {
        if (lua_type(L, i) == LUA_TSTRING) {
            lua_pushvalue(L, i);
            add_top(L, mind, s, out, what);
            lua_pop(L, 1);
            continue;
        }
        if (lua_type(L, i) != LUA_TTABLE) return luaL_error(L, "%s(…): expected names, got %s", lun_named_method(what), lun_bind_type(L, i));
        for (int k = 1; lua_rawgeti(L, i, k), !lua_isnil(L, -1); k++) {
            if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "%s(…): expected a list of names, it holds a %s", lun_named_method(what), lun_bind_type(L, -1));
            add_top(L, mind, s, out, what);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return 1;
}

static int targets_of(lua_State *L)       { return of_names(L, LUN_NAMED_MODEL); }
static int targets_named(lua_State *L)    { return of_names(L, LUN_NAMED_TARGET); }
static int targets_provider(lua_State *L) { return of_names(L, LUN_NAMED_PROVIDER); }

/* ---- orders ---- */

static int targets_first(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    double n = luaL_optnumber(L, 2, 1);
    if (!(n >= 0)) return luaL_error(L, "first(n): expected how many");
    lun_tracing_narrowed(L, mind, s, lun_push_set(L, mind, s->item, n < s->n ? (int)n : s->n), "first");
    return 1;
}

static int targets_balanced(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    if (!lua_isnoneornil(L, 2)) lun_class_check(L, 2, &lun_request_class, NULL);
    struct lun_set *out = lun_push_set(L, mind, s->item, s->n);
    lun_order_balanced(mind->question, out->own, out->n);
    lun_vm_work(L, (int64_t)s->n * 100);
    return 1;
}

/* targets, list of positions → those, in that order. For lua/targets.lua. */
static int at_positions(lua_State *L)
{
    struct lun_mind *mind;
    struct lun_set *s = set_at(L, 1, &mind);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct lun_set *out = lun_push_set(L, mind, NULL, s->n);
    for (int k = 1; k <= s->n; k++) {
        lua_rawgeti(L, 2, k);
        int at = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (at < 1 || at > s->n) break;
        out->own[out->n++] = s->item[at - 1];
    }
    lun_tracing_narrowed(L, mind, s, out, "where");
    return 1;
}

/* Numbers in order, then texts in byte order, then nil and NaN. */
struct ranked { int kind; double number; const char *text; const struct lun_target *target; };

static bool precedes(const struct ranked *a, const struct ranked *b)
{
    if (a->kind != b->kind) return a->kind < b->kind;
    return a->kind == 0 ? a->number < b->number : a->kind == 1 && strcmp(a->text, b->text) < 0;
}

static struct ranked rank_number(double number, const struct lun_target *t)
{
    return (struct ranked){ .kind = isnan(number) ? 2 : 0, .number = number, .target = t };
}

static struct ranked rank(lua_State *L, const struct lun_target *t)
{
    struct ranked r = { .kind = 2, .target = t };
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER: return rank_number(lua_tonumber(L, -1), t);
    case LUA_TSTRING: r.text = lua_tostring(L, -1); r.kind = 1; break;
    case LUA_TBOOLEAN: r.number = lua_toboolean(L, -1) ? 0 : 1; r.kind = 0; break;
    case LUA_TNIL: break;
    default: luaL_error(L, "by(…): for target '%s' it gave a %s; expected a number, a text or nil", t->name, lun_bind_type(L, -1));
    }
    return r;
}

/* What is being put in order: few of it on the stack of C, more in a userdata on that of Lua. */
struct ranking { struct ranked *r, few[FEW]; int n; };

static void begin_ranking(lua_State *L, struct ranking *a, int most)
{
    a->r = most <= FEW ? a->few : lua_newuserdata(L, (size_t)most * sizeof *a->r);
    a->n = 0;
}

/* Equal ones keep their order. */
static void add_ranked(struct ranking *a, struct ranked one)
{
    int k = a->n++;
    for (; k > 0 && precedes(&one, &a->r[k - 1]); k--) a->r[k] = a->r[k - 1];
    a->r[k] = one;
}

static int push_ranking(lua_State *L, struct lun_mind *mind, const struct ranking *a)
{
    struct lun_set *out = lun_push_set(L, mind, NULL, a->n);
    for (int i = 0; i < a->n; i++) out->own[out->n++] = a->r[i].target;
    return 1;
}

/* targets, list of keys → in the order of the keys. For lua/targets.lua, which keeps the keys alive. */
static int in_order(lua_State *L)
{
    struct lun_mind *mind;
    struct ranking a;
    struct lun_set *s = set_at(L, 1, &mind);
    luaL_checktype(L, 2, LUA_TTABLE);
    begin_ranking(L, &a, s->n);
    for (int i = 0; i < s->n; i++) {
        lua_rawgeti(L, 2, i + 1);
        add_ranked(&a, rank(L, s->item[i]));
        lua_pop(L, 1);
        lun_vm_work(L, a.n);
    }
    return push_ranking(L, mind, &a);
}

/* "price.input": the members on the way that are read without Lua, and what is left of the path for Lua to read. */
struct path { const struct lun_member *way[2]; int n; const char *rest, *end; };

/* The next name, which `at` is moved past; its length, 0: there is none. */
static size_t next_name(const char **at, const char *end, const char **name)
{
    const char *from = *at;
    while (from < end && *from == '.') from++;
    const char *to = memchr(from, '.', (size_t)(end - from));
    *at = to ? to : end;
    *name = from;
    return (size_t)(*at - from);
}

static struct path path_of(const char *text, size_t n)
{
    struct path p = { .rest = text, .end = text + n };
    const struct lun_class *c = &lun_target_class;
    for (const char *name; c && p.n < 2; c = p.way[p.n++]->of) {
        const char *after = p.rest;
        size_t size = next_name(&after, p.end, &name);
        if (!size || !(p.way[p.n] = lun_class_field(c, name, size))) break;
        p.rest = after;
    }
    return p;
}

/* A policy says the same one in each request. */
static struct path path_again(lua_State *L, const char *text, size_t n)
{
    struct lun_path *seen = &lun_bind_bound(L)->path;
    if (seen->n == n && !memcmp(seen->text, text, n)) return (struct path){ { seen->way[0], seen->way[1] }, seen->n_way, text + seen->rest, text + n };
    struct path p = path_of(text, n);
    if (n > sizeof seen->text) return p;
    *seen = (struct lun_path){ .n = n, .way = { p.way[0], p.way[1] }, .n_way = p.n, .rest = (size_t)(p.rest - text) };
    memcpy(seen->text, text, n);
    return p;
}

/* The object that the last member of the way is read from. */
static void *last_self(lua_State *L, struct lun_mind *mind, const struct lun_target *t, const struct path *p)
{
    void *self = lun_target_self(L, mind, t);
    for (int i = 0; i < p->n - 1; i++) self = p->way[i]->part(L, mind, self);
    return self;
}

/* Pushes what a path leads to from a target: nil where something on the way is. */
static void push_end(lua_State *L, struct lun_mind *mind, const struct lun_target *t, const struct path *p)
{
    const char *at = p->rest, *name;
    if (p->n) lun_class_read(L, mind, last_self(L, mind, t, p), p->way[p->n - 1]);
    else lun_push_target(L, mind, t);
    for (size_t n; at < p->end && !lua_isnil(L, -1) && (n = next_name(&at, p->end, &name)); lua_replace(L, -2)) {
        lun_vm_check(L);
        lua_pushlstring(L, name, n);
        lua_gettable(L, -2);
    }
}

/* The text on top of the stack, in a table at 3. */
static void keep_text(lua_State *L, int i)
{
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, 3, i);
}

static void add_end(lua_State *L, struct lun_mind *mind, struct ranking *a, int i, const struct lun_target *t, const struct path *p)
{
    push_end(L, mind, t, p);
    struct ranked one = rank(L, t);
    if (one.text) keep_text(L, i + 1);
    add_ranked(a, one);
    lua_pop(L, 1);
}

/* targets, "price.input" → in the order of that field. For lua/targets.lua. */
static int by_field(lua_State *L)
{
    struct lun_mind *mind;
    struct ranking a;
    size_t n;
    struct lun_set *s = set_at(L, 1, &mind);
    const char *path = luaL_checklstring(L, 2, &n);
    struct path p = path_again(L, path, n);
    double (*number)(void *) = p.n && p.rest == p.end ? p.way[p.n - 1]->number : NULL;
    int64_t work = 0;
    lua_settop(L, 3);
    begin_ranking(L, &a, s->n);
    for (int i = 0; i < s->n; i++) {
        if (number) add_ranked(&a, rank_number(number(last_self(L, mind, s->item[i], &p)), s->item[i]));
        else add_end(L, mind, &a, i, s->item[i], &p);
        work += a.n + 10 + (p.end - p.rest) / 16;
        if (work > WORK) work = (lun_vm_work(L, work), 0);
    }
    return push_ranking(L, mind, &a);
}

/* ---- class ---- */

static int item(lua_State *L, struct lun_mind *mind, void *self, double i)
{
    struct lun_set *s = self;
    if (i >= 1 && i <= s->n && i == floor(i)) lun_push_target(L, mind, s->item[(int)i - 1]);
    else lua_pushnil(L);
    return 1;
}

static int count(void *self) { return ((struct lun_set *)self)->n; }

static void text(struct lun_buf *out, void *self)
{
    struct lun_set *s = self;
    lun_buf_puts(out, "targets(");
    for (int i = 0; i < s->n && out->n < 1000; i++) lun_buf_printf(out, "%s%s", i ? ", " : "", s->item[i]->name);
    lun_buf_putc(out, ')');
}

static const struct lun_member members[] = {
    { "asked", "()", "targets", "those of the model the client named (all, for `auto`)", NULL, targets_asked,
      .lua = "(): lunette.Targets" },
    { "of", "(model, …)", "targets", "those of these models, in the order of the names. One that no entry of `models` has is noted in the log line, and warned of once", NULL, targets_of,
      .lua = "(...: string|string[]): lunette.Targets", .fixed = true },
    { "named", "(name, …)", "targets", "those of these names of their own", NULL, targets_named,
      .lua = "(...: string|string[]): lunette.Targets", .fixed = true },
    { "provider", "(name, …)", "targets", "those of these providers", NULL, targets_provider,
      .lua = "(...: string|string[]): lunette.Targets", .fixed = true },
    { "can", "(request)", "targets", "those whose context takes the input and `max_tokens`, and that support the tools, images and schema asked for", NULL, targets_can,
      .lua = "(request?: lunette.Request): lunette.Targets" },
    { "healthy", "()", "targets", "those that do not rest and whose circuit is not open. One whose circuit was open is among them again when its rest is over, for one request at a time (`health.half_open`) until an answer is good", NULL, targets_healthy,
      .lua = "(): lunette.Targets" },
    { "where", "(f)", "targets", "those for which `f(target)` is true; f may wait",
      .lua = "(f: fun(target: lunette.Target): any): lunette.Targets" },
    { "by", "(f)", "targets", "in ascending order of `f(target)`, or of a field: `by \"latency\"`, `by \"price.input\"`. Equal ones keep their order, nil comes last",
      .lua = "(f: string|(fun(target: lunette.Target): any)): lunette.Targets" },
    { "first", "(n)", "targets", "the first n; 1 when not given", NULL, targets_first,
      .lua = "(n?: number): lunette.Targets", .fixed = true },
    { "balanced", "(request)", "targets", "spread: sticky by `request.session` while its target has room, otherwise the better of two by load; resting ones last", NULL, targets_balanced,
      .lua = "(request?: lunette.Request): lunette.Targets" },
    { "steps", "{ … }", "steps", "a step for each, with these options (below)", NULL, lun_targets_steps,
      .lua = "(options: lunette.StepOptions): lunette.Steps", .fixed = true },
    { 0 } };

const struct lun_class lun_targets_class = {
    .id = LUN_CLASS_targets, .name = "targets", .members = members, .item = item, .count = count, .concat = lun_steps_concat, .text = text,
    .lua = "---@field [integer] lunette.Target\n---@operator len: integer\n---@operator concat(lunette.Targets|lunette.Target): lunette.Targets\n"
           "---@operator concat(lunette.Steps): lunette.Steps",
    .doc = "An ordered set that is never changed: each method gives a new one. `#targets`, `targets[1]`, `ipairs(targets)`; `a .. b` joins two, without doubles." };

/* What lua/targets.lua is given. */
void lun_targets_helpers(lua_State *L)
{
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, at_positions);
    lua_setfield(L, -2, "at_positions");
    lua_pushcfunction(L, in_order);
    lua_setfield(L, -2, "in_order");
    lua_pushcfunction(L, by_field);
    lua_setfield(L, -2, "by_field");
}
