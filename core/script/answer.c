/* What a hook returned → what it decided. Runs outside of the machine's limits: it reads raw, calls nothing of the policy's, and its loops
 * are bounded. What is not understood is a problem with a message, never a guess. */
#include "script/bind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"

#define LABELS   16
#define LABEL    64                     /* bytes */
#define ENTRIES  1024                   /* of all lists that were returned, inside one another */
#define LISTS    32                     /* of these */
#define PROBLEM  400

struct reading {
    lua_State *L;
    struct lun_mind *mind;
    enum lun_hook hook;
    struct lun_answer *answer;
    char *problem;
    int steps_room, entries, lists;
};

static const char *const expected[LUN_HOOK_COUNT] = {
    [LUN_HOOK_CLASSIFY] = "nil, a label, a list of labels or refuse{…}",
    [LUN_HOOK_BUDGET]   = "nil, degrade(…) or refuse{…}",
    [LUN_HOOK_SELECT]   = "nil, targets, a target, steps, a list of them or refuse{…}",
    [LUN_HOOK_JUDGE]    = "nil, next() or refuse{…}",
    [LUN_HOOK_RETRY]    = "nil, again(delay), next(delay), try(target, delay) or stop()",
    [LUN_HOOK_FINISH]   = "nothing",
};

static bool wrong(struct reading *r, const char *what)
{
    snprintf(r->problem, PROBLEM, "%s returned %s; expected %s", lun_hook_name(r->hook), what, expected[r->hook]);
    return false;
}

static bool wrong_type(struct reading *r, int index) { return wrong(r, lun_bind_type(r->L, index)); }

static bool foreign(struct reading *r, const char *what)
{
    snprintf(r->problem, PROBLEM, "%s returned %s of another request", lun_hook_name(r->hook), what);
    return false;
}

static void *room(struct reading *r, size_t n) { return lun_arena_zalloc(r->mind->question->arena, n); }

/* ---- labels ---- */

static bool fits_header(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == ',') return false;
    return lun_text_valid(text, n);
}

static bool add_label(struct reading *r, int index)
{
    struct lun_answer *a = r->answer;
    size_t n;
    if (lua_type(r->L, index) != LUA_TSTRING) return wrong_type(r, index);
    const char *text = lua_tolstring(r->L, index, &n);
    if (!n || n > LABEL || !fits_header(text, n)) return wrong(r, "a label that is empty, over 64 bytes long, or holds a comma or a control character");
    if (a->n_labels == LABELS) return wrong(r, "more than 16 labels");
    for (int i = 0; i < a->n_labels; i++) if (!strcmp(a->labels[i], text)) return true;
    a->labels[a->n_labels++] = lun_arena_strndup(r->mind->question->arena, text, n);
    return true;
}

/* The largest position in a table that is a list with holes perhaps; 0: empty; -1: too many entries; -2: it has names. */
static int extent(lua_State *L, int index)
{
    int entries = 0;
    double most = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        double k = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (k < 1 || k != floor(k) || ++entries > ENTRIES || k > ENTRIES) {
            lua_pop(L, 2);
            return k < 1 || k != floor(k) ? -2 : -1;
        }
        if (k > most) most = k;
    }
    return (int)most;
}

static bool read_labels(struct reading *r, int index)
{
    r->answer->labels = room(r, LABELS * sizeof *r->answer->labels);
    if (lua_type(r->L, index) == LUA_TSTRING) return add_label(r, index);
    if (lua_type(r->L, index) != LUA_TTABLE) return wrong_type(r, index);
    int n = extent(r->L, index);
    if (n < 0) return wrong(r, n == -1 ? "a list that is too long" : "a table with names in it");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(r->L, index, i);
        bool good = lua_isnil(r->L, -1) || add_label(r, -1);
        lua_pop(r->L, 1);
        if (!good) return false;
    }
    return true;
}

/* ---- plans ---- */

static bool is_known(const struct reading *r, const struct lun_target *t) { return lun_question_may(r->mind->question, t); }

static void make_room(struct reading *r, int n)
{
    struct lun_plan *p = &r->answer->plan;
    if (n <= r->steps_room) return;
    struct lun_step *more = room(r, (size_t)n * sizeof *more);
    if (p->n) memcpy(more, p->steps, (size_t)p->n * sizeof *more);
    p->steps = more;
    r->steps_room = n;
}

/* A plan longer than LUN_STEPS is cut, and that is noted. */
static bool add_step(struct reading *r, struct lun_step step)
{
    struct lun_plan *p = &r->answer->plan;
    if (!is_known(r, step.target)) {
        snprintf(r->problem, PROBLEM, "%s returned target '%.100s', which this request may not use: it is not among its targets", lun_hook_name(r->hook), step.target->name);
        return false;
    }
    if (p->n == LUN_STEPS) lun_question_note(r->mind->question, "plan_cut", "true");
    else {
        if (p->n == r->steps_room) make_room(r, p->n ? 2 * p->n : 4);
        p->steps[p->n++] = step;
    }
    return true;
}

static int least(int a, int b) { return a < b ? a : b; }

static bool add_set(struct reading *r, const struct lun_set *s)
{
    if (!r->answer->plan.n) make_room(r, least(s->n, LUN_STEPS));
    for (int i = 0; i < s->n; i++) if (!add_step(r, lun_step_of(s->item[i]))) return false;
    return true;
}

static bool add_steps(struct reading *r, const struct lun_steps *s)
{
    if (!r->answer->plan.n) make_room(r, least(s->n, LUN_STEPS));
    for (int i = 0; i < s->n; i++) if (!add_step(r, s->item[i])) return false;
    return true;
}

/* A target, or a set of exactly one. NULL: neither; the problem is told. */
static const struct lun_target *one_target(struct reading *r, int index)
{
    struct lun_set *s = lun_class_is(r->L, index, &lun_targets_class);
    const struct lun_target *t = lun_target_at(r->L, index, r->mind);
    if (t) return t;
    if (lun_class_is(r->L, index, &lun_target_class)) foreign(r, "a target");
    else if (s && !lun_class_mine(r->mind, s)) foreign(r, "targets");
    else if (s && s->n == 1) return s->item[0];
    else if (s) snprintf(r->problem, PROBLEM, "%s returned a step whose target is a set of %d: take one of it, targets[1]", lun_hook_name(r->hook), s->n);
    else snprintf(r->problem, PROBLEM, "%s returned a step whose target is a %s", lun_hook_name(r->hook), lun_bind_type(r->L, index));
    return NULL;
}

static bool add_table(struct reading *r, int index)
{
    char problem[200];
    struct lun_step step = lun_step_of(NULL);
    lua_pushliteral(r->L, "target");
    lua_rawget(r->L, index);
    step.target = one_target(r, lua_gettop(r->L));
    lua_pop(r->L, 1);
    if (!step.target) return false;
    if (lun_step_options(r->L, index, r->mind, &step, problem)) return add_step(r, step);
    snprintf(r->problem, PROBLEM, "%s returned a step for '%.60s' that is wrong: %s", lun_hook_name(r->hook), step.target->name, problem);
    return false;
}

static bool is_step_table(lua_State *L, int index)
{
    lua_pushliteral(L, "target");
    lua_rawget(L, index);
    bool yes = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return yes;
}

static bool add_list(struct reading *r, int index, int depth);

static bool add_value(struct reading *r, int index, int depth)
{
    lua_State *L = r->L;
    void *self;
    if (lua_isnil(L, index)) return true;
    if (lua_type(L, index) == LUA_TTABLE) return is_step_table(L, index) ? add_table(r, index) : add_list(r, index, depth + 1);
    if (lun_class_is(L, index, &lun_target_class)) {
        const struct lun_target *t = lun_target_at(L, index, r->mind);
        return t ? add_step(r, lun_step_of(t)) : foreign(r, "a target");
    }
    if ((self = lun_class_is(L, index, &lun_targets_class))) return lun_class_mine(r->mind, self) ? add_set(r, self) : foreign(r, "targets");
    if ((self = lun_class_is(L, index, &lun_steps_class))) return lun_class_mine(r->mind, self) ? add_steps(r, self) : foreign(r, "steps");
    if (lun_class_is(L, index, &lun_step_class)) {
        const struct lun_step *s = lun_step_at(L, index, r->mind);
        return s ? add_step(r, *s) : foreign(r, "a step");
    }
    if (lua_type(L, index) != LUA_TSTRING) return wrong_type(r, index);
    snprintf(r->problem, PROBLEM, "select returned the text '%.60s'; expected targets: targets:of \"%.60s\" gives those of a model", lua_tostring(L, index), lua_tostring(L, index));
    return false;
}

static bool add_list(struct reading *r, int index, int depth)
{
    if (depth > 3) return wrong(r, "lists too deep inside one another");
    if (r->lists++ == LISTS) return wrong(r, "more than 32 lists inside one another");
    int n = extent(r->L, index);
    if (n == -2) return wrong(r, "a table that is neither a list nor a step (it has no `target`)");
    if (n == -1 || (r->entries += n) > ENTRIES) return wrong(r, "a list that is too long");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(r->L, index, i);
        bool good = add_value(r, lua_gettop(r->L), depth);
        lua_pop(r->L, 1);
        if (!good) return false;
    }
    return true;
}

static bool read_plan(struct reading *r, int index)
{
    r->answer->verb = LUN_PLAN;
    return add_value(r, index, 0);
}

/* ---- decisions ---- */

static bool may(enum lun_hook hook, enum lun_verb verb)
{
    switch (verb) {
    case LUN_AGAIN: case LUN_TRY: case LUN_STOP: return hook == LUN_HOOK_RETRY;
    case LUN_NEXT: return hook == LUN_HOOK_RETRY || hook == LUN_HOOK_JUDGE;
    case LUN_REFUSE: return hook != LUN_HOOK_RETRY && hook != LUN_HOOK_FINISH;
    case LUN_DEGRADE: return hook == LUN_HOOK_BUDGET;
    default: return false;
    }
}

static const char *verb_name(enum lun_verb verb)
{
    switch (verb) {
    case LUN_AGAIN: return "again(…)";
    case LUN_NEXT: return "next()";
    case LUN_TRY: return "try(…)";
    case LUN_STOP: return "stop()";
    case LUN_REFUSE: return "refuse{…}";
    default: return "degrade(…)";
    }
}

static int default_status(enum lun_hook hook) { return hook == LUN_HOOK_BUDGET ? 402 : hook == LUN_HOOK_JUDGE ? 502 : 403; }

static bool read_degrade(struct reading *r, const struct lun_decision *d)
{
    r->answer->n_targets = d->n;
    r->answer->targets = room(r, (size_t)(d->n + 1) * sizeof *r->answer->targets);
    memcpy(r->answer->targets, d->item, (size_t)d->n * sizeof *d->item);
    for (int i = 0; i < d->n; i++)
        if (!is_known(r, d->item[i])) return wrong(r, "degrade(…) with a target that this request may not use");
    return true;
}

static bool read_decision(struct reading *r, const struct lun_decision *d)
{
    struct lun_answer *a = r->answer;
    if (!may(r->hook, d->verb)) return wrong(r, verb_name(d->verb));
    if (!lun_class_mine(r->mind, d)) return foreign(r, verb_name(d->verb));
    if (d->verb == LUN_NEXT && d->delay && r->hook == LUN_HOOK_JUDGE) return wrong(r, "next(delay), but only `retry` can wait");
    a->verb = d->verb;
    a->delay = d->delay;
    if (d->verb == LUN_TRY) {
        if (!is_known(r, d->target)) return wrong(r, "try(…) of a target that this request may not use");
        a->step = lun_step_of(d->target);
    }
    if (d->verb == LUN_REFUSE) {
        a->status = d->status ? d->status : default_status(r->hook);
        a->message = d->message[0] ? lun_arena_strdup(r->mind->question->arena, d->message) : NULL;
    }
    return d->verb != LUN_DEGRADE || read_degrade(r, d);
}

bool lun_decision_read(lua_State *L, int index, struct lun_mind *mind, enum lun_hook hook, struct lun_answer *answer, char problem[400])
{
    struct reading r = { .L = L, .mind = mind, .hook = hook, .answer = answer, .problem = problem };
    *answer = (struct lun_answer){ 0 };
    if (lua_isnoneornil(L, index) || hook == LUN_HOOK_FINISH) return true;
    if (!lua_checkstack(L, 40)) return wrong(&r, "more values than can be read");
    const struct lun_decision *d = lun_class_is(L, index, &lun_decision_class);
    bool good = d ? read_decision(&r, d)
              : hook == LUN_HOOK_CLASSIFY ? read_labels(&r, index)
              : hook == LUN_HOOK_SELECT ? read_plan(&r, index)
              : wrong_type(&r, index);
    if (!good) *answer = (struct lun_answer){ 0 };
    return good;
}
