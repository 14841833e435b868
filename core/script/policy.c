#include "script/policy.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "script/bind.h"
#include "script/cpu.h"
#include "script/policy_table.h"
#include "script/sandbox.h"
#include "script/tracing.h"

#define BUCKETS    1024
#define SPARES     64                   /* minds that are kept for the next request, with their table */
#define ERROR_MOST 500
#define STEPS_PER_US 200
#define UNKNOWN_MOST 16

struct lun_policy {
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    struct lun_vm *vm;                  /* NULL: a policy without hooks */
    struct lun_policy_table table;
    struct lun_limits limits;
    const struct lun_log *log;
    uint64_t serial, slice;
    int spares;
    uint64_t unknown[UNKNOWN_MOST];     /* hashes of names that were warned of */
    int n_unknown;
    struct lun_mind *minds[BUCKETS], *spare;
};

struct lun_registry *lun_policy_registry(const struct lun_policy *p) { return p->registry; }
const struct lun_log *lun_policy_log(const struct lun_policy *p) { return p->log; }
void lun_policy_log_to(struct lun_policy *p, const struct lun_log *log) { p->log = log; }
void lun_policy_rest(struct lun_policy *p) { if (p->vm) lun_vm_rest(p->vm); }
bool lun_policy_worn(const struct lun_policy *p) { return p->vm && lun_vm_worn(p->vm); }
const struct lun_limits *lun_policy_limits_of(const struct lun_policy *p) { return &p->limits; }
bool lun_policy_has(const struct lun_policy *p, enum lun_hook hook) { return p->vm && p->table.hooks[hook] != LUA_NOREF; }

/* ---- what the machine asks ---- */

static struct lun_mind *running(struct lun_policy *p) { return p->vm && p->vm->run ? p->vm->run->user : NULL; }

static lun_us wall(void *user)
{
    struct lun_mind *mind = running(user);
    return mind ? (lun_us)lun_tape_number(mind->run->L, mind, "os.time", (double)lun_question_wall(mind->question)) : lun_clock_wall();
}

static lun_us now(void *user)
{
    struct lun_mind *mind = running(user);
    return mind ? (lun_us)lun_tape_number(mind->run->L, mind, "os.clock", (double)mind->question->loop->now) : lun_clock_now();
}

static double chance(lua_State *L)
{
    struct lun_mind *mind = lun_bind_mind(L, "math.random");
    return lun_tape_number(L, mind, "random", lun_question_random_unit(mind->question));
}

/* What the policy required was read when the snapshot was made. */
static bool source(void *user, const char *module, struct lun_vm_source *out)
{
    struct lun_policy *p = user;
    for (int i = 0; i < p->snapshot->n_parts; i++) {
        const struct lun_part *part = &p->snapshot->parts[i];
        if (part->kind != LUN_PART_POLICY_MODULE || strcmp(part->module, module)) continue;
        out->name = lun_strdup(part->file.name);
        out->text = lun_strndup(part->file.text, part->file.n);
        out->n = part->file.n;
        return true;
    }
    return false;
}

/* ---- opening ---- */

static struct lun_vm *machine(struct lun_policy *p, enum lun_policy_limits limits)
{
    static const enum lun_vm_cpu cpu[] = { [LUN_BY_SIGNAL] = LUN_CPU_SIGNAL, [LUN_BY_CLOCK] = LUN_CPU_CLOCK, [LUN_BY_COUNT] = LUN_CPU_STEPS };
    struct lun_vm_options options = { .cpu = cpu[limits], .host = { .wall = wall, .now = now, .random = chance, .source = source, .user = p } };
    struct lun_vm *vm = lun_vm_new(&options);
    lun_bind_open(vm, p->snapshot);
    lun_bind_host(vm, p->snapshot->host, p->snapshot->n_host);
    return vm;
}

static void push_plain(lua_State *L, const struct lun_plain *v)
{
    switch (v->type) {
    case LUN_PLAIN_NUMBER: lua_pushnumber(L, v->number); break;
    case LUN_PLAIN_BOOL:   lua_pushboolean(L, v->yes); break;
    case LUN_PLAIN_TEXT:   lua_pushstring(L, v->text); break;
    }
}

/* What the environment says of a setting stands instead of the default that the file returned. */
static void apply_environment(struct lun_policy *p)
{
    lua_State *L = p->vm->L;
    if (p->table.settings == LUA_NOREF) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->table.settings);
    for (int i = 0; i < p->snapshot->n_settings; i++) {
        const struct lun_policy_setting *s = &p->snapshot->settings[i];
        if (!s->from) continue;
        lua_pushstring(L, s->name);
        push_plain(L, &s->initial);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

static bool load(struct lun_policy *p, struct lun_buf *problems)
{
    const struct lun_file *f = &p->snapshot->policy;
    struct lun_vm_error error;
    int ref = lun_vm_load(p->vm, f->name, f->text, f->n, 0, &error);
    if (ref == LUA_NOREF) {
        lun_buf_puts(problems, error.text);
        return false;
    }
    lua_rawgeti(p->vm->L, LUA_REGISTRYINDEX, ref);
    bool good = lun_policy_table_read(p->vm->L, f->name, &p->table, problems);
    if (good) apply_environment(p);
    lua_settop(p->vm->L, 0);
    luaL_unref(p->vm->L, LUA_REGISTRYINDEX, ref);
    lun_sandbox_lock(p->vm);
    return good;
}

static void apply_limits(struct lun_policy *p)
{
    p->limits = p->snapshot->limits;
    if (p->table.attempts && !p->limits.attempts_given) p->limits.attempts = p->table.attempts;
    if (p->table.retries_said && !p->limits.retries_given) p->limits.retries = p->table.retries;
}

struct lun_policy *lun_policy_open(struct lun_snapshot *snapshot, struct lun_registry *registry, enum lun_policy_limits limits, char **error)
{
    struct lun_policy *p = lun_zalloc(sizeof *p);
    struct lun_buf problems = { 0 };
    *p = (struct lun_policy){ .snapshot = lun_snapshot_ref(snapshot), .registry = registry };
    if (snapshot->policy.text) {
        p->vm = machine(p, limits);
        if (!load(p, &problems)) {
            *error = lun_strdup(lun_buf_text(&problems));
            lun_buf_free(&problems);
            lun_policy_close(p);
            return NULL;
        }
    }
    apply_limits(p);
    return p;
}

/* ---- minds: one per request that had a thought ---- */

static struct lun_mind **bucket(struct lun_policy *p, const struct lun_question *q)
{
    uint64_t h = (uint64_t)(uintptr_t)q * 0x9E3779B97F4A7C15u;
    struct lun_mind **at = &p->minds[h >> 54];
    while (*at && (*at)->question != q) at = &(*at)->next;
    return at;
}

static struct lun_tape *tape_for(struct lun_question *q)
{
    if (!q->snapshot->log_replay || q->rehearsal || q->shadow) return NULL;
    struct lun_tape *t = lun_arena_zalloc(q->arena, sizeof *t);
    *t = (struct lun_tape){ .out = &q->tape, .texts = q->snapshot->log_text, .targets = q->snapshot->all, .n_targets = q->snapshot->n_all };
    return t;
}

static struct lun_mind *mind_of(struct lun_policy *p, struct lun_question *q)
{
    struct lun_mind **at = bucket(p, q);
    if (*at) return *at;
    struct lun_mind *mind = p->spare;
    int objects = mind ? mind->objects : LUA_NOREF;
    if (mind) {
        p->spare = mind->next;
        p->spares--;
    } else mind = lun_alloc(sizeof *mind);
    *mind = (struct lun_mind){ .policy = p, .question = q, .serial = ++p->serial, .objects = objects, .tape = tape_for(q) };
    return *at = mind;
}

static void drop(struct lun_mind **at)
{
    struct lun_mind *mind = *at;
    struct lun_policy *p = mind->policy;
    *at = mind->next;
    lun_run_free(mind->run);
    if (p->vm) lun_bind_let_go(p->vm->L, mind, p->spares < SPARES);
    if (p->spares == SPARES) {
        free(mind);
        return;
    }
    mind->next = p->spare;
    p->spare = mind;
    p->spares++;
}

void lun_policy_play(struct lun_policy *p, struct lun_question *q, struct lun_tape *tape) { mind_of(p, q)->tape = tape; }

void lun_policy_forget(struct lun_policy *p, struct lun_question *q)
{
    struct lun_mind **at = bucket(p, q);
    if (*at) drop(at);
}

void lun_policy_close(struct lun_policy *p)
{
    if (!p) return;
    for (int i = 0; i < BUCKETS; i++) while (p->minds[i]) drop(&p->minds[i]);
    for (struct lun_mind *m; (m = p->spare); free(m)) p->spare = m->next;
    lun_vm_free(p->vm);
    lun_snapshot_unref(p->snapshot);
    free(p);
}

/* ---- thoughts ---- */

static const char *reason_of(enum lun_failure failure)
{
    switch (failure) {
    case LUN_FAILURE_CPU: return "cpu";
    case LUN_FAILURE_MEMORY: return "memory";
    case LUN_FAILURE_STACK: return "stack";
    default: return "error";
    }
}

static void fail(struct lun_mind *mind, const char *reason, const char *text)
{
    struct lun_thought *t = &mind->thought;
    t->state = LUN_THOUGHT_FAILED;
    t->answer = (struct lun_answer){ 0 };
    t->reason = reason;
    char *copy = lun_arena_strndup(mind->question->arena, text, strnlen(text, ERROR_MOST));
    for (char *c = copy; *c; c++) if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    t->error = copy;
}

/* "support.lua:12: " of the hook's first line. */
static void place(const struct lun_mind *mind, char *out, size_t room)
{
    lua_State *L = mind->policy->vm->L;
    lua_Debug at;
    lua_rawgeti(L, LUA_REGISTRYINDEX, mind->policy->table.hooks[mind->hook]);
    lua_getinfo(L, ">S", &at);
    snprintf(out, room, "%s:%d: ", at.short_src, at.linedefined);
}

static void read_answer(struct lun_mind *mind)
{
    char problem[400], text[600], where[128];
    if (lun_decision_read(mind->run->L, 1, mind, mind->hook, &mind->thought.answer, problem)) {
        mind->thought.state = LUN_THOUGHT_DONE;
        return;
    }
    place(mind, where, sizeof where);
    snprintf(text, sizeof text, "%s%s", where, problem);
    fail(mind, "answer", text);
}

/* A mistake that a function of ours tells after a tail call, or a stop that was noticed when all was over: where the policy made it is lost, but
 * not in which hook. */
static void read_error(struct lun_mind *mind)
{
    const struct lun_vm_error *e = &mind->run->error;
    char text[700], where[128];
    bool lost = e->lost || !strncmp(e->text, "stopped: ", 9);
    if (lost) place(mind, where, sizeof where);
    snprintf(text, sizeof text, "%s%s", lost ? where : "", e->text);
    fail(mind, reason_of(e->failure), text);
}

static lun_us cpu_of(const struct lun_run_account *a) { return a->cpu + a->steps / STEPS_PER_US; }

static void go(struct lun_mind *mind, int n)
{
    lun_us before = cpu_of(&mind->account);
    mind->slice = ++mind->policy->slice;
    mind->policy->vm->follow = lun_traced(mind);
    enum lun_run_state state = lun_run_go(mind->run, n);
    mind->thought.cpu += cpu_of(&mind->account) - before;
    switch (state) {
    case LUN_RUN_DONE: read_answer(mind); break;
    case LUN_RUN_WISHED:
        mind->thought.state = LUN_THOUGHT_WISHES;
        mind->thought.wish = mind->wish;
        lun_tracing_wished(mind->run->L, mind);
        if (mind->tape) lun_tape_wish(mind);
        break;
    default: read_error(mind);
    }
    lun_tracing_done(mind, mind->policy->vm->line);
    if (mind->tape && mind->thought.state != LUN_THOUGHT_WISHES) lun_tape_answer(mind);
}

/* Pushes what the hook is given beside the request; gives how many. */
static int push_about(lua_State *L, struct lun_mind *mind)
{
    switch (mind->hook) {
    case LUN_HOOK_BUDGET: lun_push_spend(L, mind); return 1;
    case LUN_HOOK_SELECT: lun_push_targets(L, mind); return 1;
    case LUN_HOOK_JUDGE: case LUN_HOOK_RETRY:
        if (!mind->about) return 0;
        lun_push_attempt(L, mind, mind->about);
        return 1;
    case LUN_HOOK_FINISH: lun_push_outcome(L, mind); return 1;
    default: return 0;
    }
}

static void begin_trace(const struct lun_mind *mind)
{
    char where[128];
    place(mind, where, sizeof where);
    where[strlen(where) - 2] = 0;       /* its ": " */
    lun_trace_begin(mind->question->trace, mind->hook, mind->about ? mind->about->number : 0, where);
}

struct lun_thought *lun_policy_think(struct lun_policy *p, struct lun_question *q, enum lun_hook hook, const struct lun_trial *about,
                                     const struct lun_outcome *outcome)
{
    struct lun_mind *mind = mind_of(p, q);
    mind->thought = (struct lun_thought){ .state = LUN_THOUGHT_DONE };
    mind->hook = hook;
    mind->about = about;
    mind->outcome = outcome;
    if (!lun_policy_has(p, hook)) return &mind->thought;
    if (q->trace) begin_trace(mind);
    lun_run_free(mind->run);            /* of a thought that was never ended */
    mind->run = lun_run_new(p->vm, &mind->account, mind);
    if (mind->tape) lun_tape_hook(mind);
    lua_rawgeti(mind->run->L, LUA_REGISTRYINDEX, p->table.hooks[hook]);
    lun_push_request(mind->run->L, mind);
    go(mind, 1 + push_about(mind->run->L, mind));
    return &mind->thought;
}

static struct lun_mind *mind_with(struct lun_thought *t) { return (struct lun_mind *)((char *)t - offsetof(struct lun_mind, thought)); }

/* What a request of a log asks others is answered by that log, if it can. */
static bool recalled(struct lun_mind *mind, int *results)
{
    struct lun_question *q = mind->question;
    if (!q->before || mind->wish.kind == LUN_WISH_SLEEP) return false;
    if (lun_tape_recalls(mind, q->before->tape, results)) return true;
    lun_question_miss(q, LUN_UNSAID_WISH);
    return false;
}

void lun_thought_fulfil(struct lun_thought *t, const struct lun_wish_result *result)
{
    struct lun_mind *mind = mind_with(t);
    lua_settop(mind->run->L, 0);
    int n = 0;
    if (!recalled(mind, &n) && result) n = lun_wish_push(mind->run->L, &mind->wish, result);
    go(mind, mind->tape ? lun_tape_granted(mind, n) : n);
}

void lun_thought_give_up(struct lun_thought *t)
{
    struct lun_mind *mind = mind_with(t);
    char text[256], where[128];
    lun_cpu_place_theirs(mind->run->L, where, sizeof where);
    if (!where[0]) place(mind, where, sizeof where);
    snprintf(text, sizeof text, "%sstopped: it has waited for half of the time that its request had left", where);
    fail(mind, "time", text);
    if (mind->tape) lun_tape_answer(mind);
    lun_tracing_done(mind, "");
}

void lun_thought_end(struct lun_thought *t)
{
    struct lun_mind *mind = mind_with(t);
    if (mind->tape) lun_tape_drop(mind);
    lun_run_free(mind->run);
    mind->run = NULL;
    mind->outcome = NULL;
}

/* ---- settings ---- */

bool lun_policy_setting(struct lun_policy *p, lua_State *L, const struct lun_tuning *tuning, const char *name)
{
    const struct lun_plain *tuned = lun_tuning_get(tuning, name);
    if (p->table.settings == LUA_NOREF) return false;
    if (tuned) {
        push_plain(L, tuned);
        return true;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->table.settings);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    return !lua_isnil(L, -1);
}

static bool first_time(struct lun_policy *p, enum lun_named what, const char *name)
{
    uint64_t hash = lun_hash_text(name, what);
    for (int i = 0; i < p->n_unknown; i++) if (p->unknown[i] == hash) return false;
    if (p->n_unknown == UNKNOWN_MOST) return false;
    p->unknown[p->n_unknown++] = hash;
    return true;
}

static void note_unknown(struct lun_question *q, enum lun_named what, const char *name)
{
    struct lun_buf json = { 0 };
    char key[32];
    snprintf(key, sizeof key, "unknown_%s", lun_named_word(what));
    for (int i = 0; i < q->n_notes; i++) if (!strcmp(q->notes[i].name, key)) return;
    lun_json_put_string(&json, name, lun_text_clip(name, strlen(name), 200));
    lun_question_note(q, key, lun_buf_text(&json));
    lun_buf_free(&json);
}

void lun_policy_unknown(struct lun_mind *mind, enum lun_named what, const char *name)
{
    struct lun_policy *p = mind->policy;
    note_unknown(mind->question, what, name);
    if (!first_time(p, what, name)) return;
    const char *near = lun_configured_nearest(p->snapshot, what, name);
    lun_log(p->log, LUN_LOG_WARN, "policy: %s \"%.*s\": the configuration has no such %s%s%s%s", lun_named_method(what), (int)lun_text_clip(name, strlen(name), 200), name,
            lun_named_word(what), near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

void lun_policy_suggest(struct lun_policy *p, lua_State *L, const char *name, char out[96])
{
    const char *names[64];
    size_t n = 0;
    int top = lua_gettop(L);
    out[0] = 0;
    if (p->table.settings == LUA_NOREF) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->table.settings);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (n == 64) { lua_pop(L, 2); break; }
        names[n++] = lua_tostring(L, -2);
    }
    lua_settop(L, top);
    lun_bind_hint(name, names, n, out);
}
