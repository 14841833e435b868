#include "state/canary.h"
#include "base/alloc.h"
#include "base/histogram.h"
#include "base/text.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATEST 253402300799000000LL     /* the end of the year 9999 */
#define SLICES     6                    /* of a watch's window */
#define WHOLE      1000000u             /* a share of 100 % */
#define SHARE_BITS 20
#define SHARE_MASK ((1u << SHARE_BITS) - 1)

struct slice { int64_t n, errors, slow; struct lun_histogram latency; };
struct lun_canary {
    _Atomic uint64_t drawn;             /* run and share, for who draws */
    pthread_mutex_t lock;               /* of all below */
    struct lun_canary_rule rule;        /* a copy; of what it points to only whether it is there */
    enum lun_canary_state state;
    bool begun;                         /* looked at once, or known from an earlier run */
    bool away;                          /* the configuration says nothing of it */
    int stage;                          /* from 0 */
    lun_us since;                       /* this stage; 0: from the next look on */
    struct slice slices[SLICES]; int64_t slice;     /* stages use the first; watches one after the other: the present one's number */
    bool asking, stale; lun_us asked; int probe;       /* probe: of this stage, -1: none yet; stale: what is being asked was begun in an earlier rollout */
    lun_us at;
    char by[96], why[200];
    struct { enum lun_canary_state state; double share; } told;
};

static const char *const state_names[] = {
#define X(id, name, doc) name,
    LUN_CANARY_STATES(X)
#undef X
};
static const char *const verb_names[] = {
#define X(id, name, doc) name,
    LUN_CANARY_VERBS(X)
#undef X
};

const char *lun_canary_state_name(enum lun_canary_state s) { return state_names[s]; }
const char *lun_canary_verb_name(enum lun_canary_verb v)   { return verb_names[v]; }

static int name_index(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++) if (!strcmp(names[i], name)) return i;
    return -1;
}

bool lun_canary_verb_find(const char *name, enum lun_canary_verb *verb)
{
    int i = name_index(verb_names, LUN_CANARY_VERB_COUNT, name);
    if (i >= 0) *verb = (enum lun_canary_verb)i;
    return i >= 0;
}

struct lun_canary *lun_canary_new(void)
{
    struct lun_canary *c = lun_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->probe = -1;
    return c;
}

void lun_canary_free(struct lun_canary *c)
{
    if (!c) return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- who is new ---- */

static bool is_active(const struct lun_canary *c) { return c->state == LUN_CANARY_RUNNING || c->state == LUN_CANARY_PAUSED || c->state == LUN_CANARY_WATCHING; }
static double share_of(const struct lun_canary *c) { return is_active(c) && c->rule.n_stages ? c->rule.stages[c->stage] : 0; }

static void publish(struct lun_canary *c, bool new_run)
{
    uint64_t run = atomic_load(&c->drawn) >> SHARE_BITS;
    atomic_store(&c->drawn, (run + new_run) << SHARE_BITS | (uint64_t)(share_of(c) / 100 * WHOLE + 0.5));
}

bool lun_canary_draw(const struct lun_canary *c, double place, uint64_t *run)
{
    uint64_t drawn = atomic_load_explicit(&c->drawn, memory_order_relaxed);
    *run = drawn >> SHARE_BITS;
    return place * WHOLE < (double)(drawn & SHARE_MASK);
}

double lun_canary_share(const struct lun_canary *c)
{
    return (double)(atomic_load_explicit(&c->drawn, memory_order_relaxed) & SHARE_MASK) * 100 / WHOLE;
}

/* ---- changing ---- */

static void say(char *to, size_t room, const char *text)
{
    if (!text) text = "";
    snprintf(to, room, "%.*s", (int)lun_text_clip(text, strlen(text), room - 1), text);
}

static void clear(struct lun_canary *c)
{
    memset(c->slices, 0, sizeof c->slices);
    c->slice = 0;
    c->probe = -1;
    c->asked = 0;
}

static void become(struct lun_canary *c, enum lun_canary_state state, const char *by, const char *why)
{
    c->state = state;
    say(c->by, sizeof c->by, by);
    say(c->why, sizeof c->why, why);
}

/* Another stage, or the watch of the last one. */
static void enter(struct lun_canary *c, enum lun_canary_state state, int stage, lun_us now, const char *by, const char *why)
{
    bool new_run = !is_active(c);
    become(c, state, by, why);
    c->stage = stage;
    c->since = now;
    clear(c);
    c->stale |= new_run && c->asking;
    publish(c, new_run);
}

static void roll_back(struct lun_canary *c, const char *by, const char *why)
{
    become(c, LUN_CANARY_ROLLED_BACK, by, why);
    publish(c, false);
}

/* Slower than what is allowed by now, of the good ones there were. */
static void recount(struct lun_canary *c)
{
    uint64_t within;
    for (int i = 0; i < SLICES; i++) {
        uint64_t all = lun_histogram_cumulate(&c->slices[i].latency, &c->rule.p99, 1, &within);
        c->slices[i].slow = (int64_t)(all - within);
    }
}

/* What was measured while it had another share, or before it was away, says nothing of this stage. */
void lun_canary_apply(struct lun_canary *c, const struct lun_canary_rule *rule)
{
    pthread_mutex_lock(&c->lock);
    double share = share_of(c);
    bool told = c->told.state == c->state && c->told.share >= share && c->told.share <= share;
    bool first = !c->rule.n_stages;     /* what is known of an earlier run is no news */
    lun_us p99 = c->rule.p99;
    c->rule = *rule;
    if (c->stage >= rule->n_stages || c->state == LUN_CANARY_WATCHING) c->stage = rule->n_stages - 1;
    if (p99 != rule->p99) recount(c);
    if (is_active(c) && (c->away || share < share_of(c) || share > share_of(c))) clear(c), c->since = 0;
    c->away = false;
    publish(c, false);
    if (first || told) c->told.state = c->state, c->told.share = share_of(c);       /* it is the reload's news */
    pthread_mutex_unlock(&c->lock);
}

void lun_canary_leave(struct lun_canary *c)
{
    pthread_mutex_lock(&c->lock);
    c->away = true;
    pthread_mutex_unlock(&c->lock);
}

/* ---- measuring ---- */

struct sums { int64_t n, errors, slow; };

static struct sums add_up(const struct lun_canary *c)
{
    struct sums s = {0};
    for (int i = 0; i < SLICES; i++) s.n += c->slices[i].n, s.errors += c->slices[i].errors, s.slow += c->slices[i].slow;
    return s;
}

static lun_us p99_of(const struct lun_canary *c)
{
    struct lun_histogram all = {0};
    for (int i = 0; i < SLICES; i++) if (c->slices[i].n) lun_histogram_add(&all, &c->slices[i].latency);
    return lun_histogram_quantile(&all, 0.99);
}

/* A watch looks back as long as a stage lasts: what is older falls out, a slice at a time. */
static struct slice *slice_at(struct lun_canary *c, lun_us now)
{
    int64_t wanted = c->state == LUN_CANARY_WATCHING && now > c->since ? (now - c->since) * SLICES / c->rule.every : 0;
    if (wanted - c->slice > SLICES) c->slice = wanted - SLICES;
    if (c->slice - wanted >= SLICES) {           /* a stage lasts longer than it did: slices are numbered anew */
        memset(c->slices, 0, sizeof c->slices);
        c->slice = wanted;
    }
    while (c->slice < wanted) memset(&c->slices[++c->slice % SLICES], 0, sizeof *c->slices);
    return &c->slices[c->slice % SLICES];
}

/* How many there will have been when the stage is over, at the pace so far: enough of them at least. */
static double expected(const struct lun_canary *c, int64_t n, lun_us now)
{
    lun_us lasts = now > c->since ? now - c->since : 1;
    double all = lasts < c->rule.every ? (double)n * (double)c->rule.every / (double)lasts : (double)n;
    return all > c->rule.samples ? all : c->rule.samples;
}

static void say_ms(char out[32], lun_us t) { snprintf(out, 32, "%.10g ms", (double)((t + 50) / 100) / 10); }

/* Whether the stage cannot pass any more, even if all goes well from here on; and why. p99 by nearest rank: of n answers floor(n / 100) may be slower. */
static bool fails(struct lun_canary *c, lun_us now, char why[200])
{
    const struct lun_canary_rule *r = &c->rule;
    char is[32], limit[32];
    struct sums s = add_up(c);
    if (r->errors >= 0 && (double)s.errors > r->errors * expected(c, s.n, now) + 1e-9) {
        snprintf(why, 200, "errors %.3g %% of %lld > %.3g %%", 100.0 * (double)s.errors / (double)s.n, (long long)s.n, 100 * r->errors);
        return true;
    }
    if (!r->p99 || s.slow <= (int64_t)(expected(c, s.n - s.errors, now) / 100)) return false;
    lun_us p99 = p99_of(c);
    say_ms(is, p99 > r->p99 ? p99 : r->p99 + 100);
    say_ms(limit, r->p99);
    snprintf(why, 200, "p99 %s of %lld > %s", is, (long long)(s.n - s.errors), limit);
    return true;
}

static bool rolls_back(struct lun_canary *c, lun_us now)
{
    char why[200];
    if (!c->since || !fails(c, now, why)) return false;
    roll_back(c, "lunette", why);
    return true;
}

bool lun_canary_count(struct lun_canary *c, uint64_t run, bool good, lun_us latency, lun_us now)
{
    bool back = false;
    pthread_mutex_lock(&c->lock);
    if (is_active(c) && run == atomic_load_explicit(&c->drawn, memory_order_relaxed) >> SHARE_BITS) {
        if (!c->since) c->since = now;
        struct slice *s = slice_at(c, now);
        s->n++;
        s->errors += !good;
        s->slow += good && latency > c->rule.p99;
        if (good) lun_histogram_record(&s->latency, latency);
        back = rolls_back(c, now);
    }
    pthread_mutex_unlock(&c->lock);
    return back;
}

/* ---- probes ---- */

bool lun_canary_wants_probe(struct lun_canary *c, lun_us now)
{
    pthread_mutex_lock(&c->lock);
    bool due = c->rule.probe && is_active(c) && !c->asking && (!c->asked || now - c->asked >= c->rule.every / SLICES);
    if (due) c->asking = true, c->asked = now;
    pthread_mutex_unlock(&c->lock);
    return due;
}

bool lun_canary_probed(struct lun_canary *c, const char *who, int status)
{
    char why[200];
    pthread_mutex_lock(&c->lock);
    bool bad = is_active(c) && status != 200 && !c->stale;
    if (!c->stale) c->probe = status;
    c->asking = c->stale = false;
    if (status) snprintf(why, sizeof why, "probe of %.100s answered %d", who, status);
    else snprintf(why, sizeof why, "probe of %.100s got no answer", who);
    if (bad) roll_back(c, "lunette", why);
    pthread_mutex_unlock(&c->lock);
    return bad;
}

void lun_canary_unprobed(struct lun_canary *c)
{
    pthread_mutex_lock(&c->lock);
    c->asking = c->stale = false;
    c->asked = 0;
    pthread_mutex_unlock(&c->lock);
}

/* ---- stages ---- */

static void say_passed(const struct lun_canary *c, char why[200])
{
    struct sums s = add_up(c);
    char p99[32];
    say_ms(p99, p99_of(c));
    snprintf(why, 200, "%.10g %% passed: errors %.3g %% of %lld, p99 %s", share_of(c), s.n ? 100.0 * (double)s.errors / (double)s.n : 0, (long long)s.n, p99);
}

static bool passes(const struct lun_canary *c, lun_us now)
{
    return c->state == LUN_CANARY_RUNNING && now - c->since >= c->rule.every && add_up(c).n >= c->rule.samples && (!c->rule.probe || c->probe == 200);
}

static bool go_on(struct lun_canary *c, lun_us now)
{
    char why[200];
    bool last = c->stage == c->rule.n_stages - 1;
    if (!passes(c, now)) return false;
    say_passed(c, why);
    enter(c, last ? LUN_CANARY_WATCHING : LUN_CANARY_RUNNING, last ? c->stage : c->stage + 1, now, "lunette", why);
    return true;
}

bool lun_canary_look(struct lun_canary *c, lun_us now)
{
    bool moved = false;
    pthread_mutex_lock(&c->lock);
    bool first = !c->begun;
    c->begun = true;
    if (first && c->state == LUN_CANARY_WAITING && c->rule.start) {
        enter(c, LUN_CANARY_RUNNING, 0, now, "lunette", "the configuration starts it");
        moved = true;
    } else if (is_active(c)) {
        if (!c->since) c->since = now;
        slice_at(c, now);
        moved = rolls_back(c, now) || go_on(c, now);
    }
    pthread_mutex_unlock(&c->lock);
    return moved;
}

lun_us lun_canary_pace(const struct lun_canary_rule *r)
{
    lun_us pace = r->every / 60;
    return pace < 5 * LUN_MS ? 5 * LUN_MS : pace > LUN_SECOND ? LUN_SECOND : pace;
}

/* ---- asked ---- */

static const char *problem_of(const struct lun_canary *c, enum lun_canary_verb verb)
{
    switch (verb) {
    case LUN_CANARY_DO_START:    return is_active(c) ? "it has been started" : NULL;
    case LUN_CANARY_DO_PAUSE:    return c->state != LUN_CANARY_RUNNING ? "only one that is running can be paused" : NULL;
    case LUN_CANARY_DO_RESUME:   return c->state != LUN_CANARY_PAUSED ? "it is not paused" : NULL;
    case LUN_CANARY_DO_PROMOTE:  return c->state == LUN_CANARY_WATCHING ? "it has got all there is" : NULL;
    case LUN_CANARY_DO_ROLLBACK: return c->state == LUN_CANARY_ROLLED_BACK ? "it is rolled back" : NULL;
    case LUN_CANARY_VERB_COUNT:  break;
    }
    return "there is no such thing to do";
}

static void carry_out(struct lun_canary *c, enum lun_canary_verb verb, const char *by, const char *why, lun_us now)
{
    switch (verb) {
    case LUN_CANARY_DO_START:    enter(c, LUN_CANARY_RUNNING, 0, now, by, why); break;
    case LUN_CANARY_DO_PAUSE:    become(c, LUN_CANARY_PAUSED, by, why); break;
    case LUN_CANARY_DO_RESUME:   become(c, LUN_CANARY_RUNNING, by, why); break;
    case LUN_CANARY_DO_PROMOTE:  enter(c, LUN_CANARY_WATCHING, c->rule.n_stages - 1, now, by, why); break;
    case LUN_CANARY_DO_ROLLBACK: roll_back(c, by, why); break;
    case LUN_CANARY_VERB_COUNT:  break;
    }
}

bool lun_canary_do(struct lun_canary *c, enum lun_canary_verb verb, const char *by, const char *why, lun_us now, char problem[120])
{
    pthread_mutex_lock(&c->lock);
    const char *wrong = problem_of(c, verb);
    if (wrong) snprintf(problem, 120, "%s (%s)", wrong, state_names[c->state]);
    else carry_out(c, verb, by, why && *why ? why : "asked for", now);
    c->begun |= !wrong;
    pthread_mutex_unlock(&c->lock);
    return !wrong;
}

/* ---- looking ---- */

void lun_canary_view(struct lun_canary *c, lun_us now, struct lun_canary_view *v)
{
    pthread_mutex_lock(&c->lock);
    bool active = is_active(c);
    if (active) slice_at(c, now);
    struct sums s = add_up(c);
    *v = (struct lun_canary_view){ .state = c->state, .stage = active ? c->stage + 1 : 0, .stages = c->rule.n_stages, .share = share_of(c),
        .lasts = active && c->since && now > c->since ? now - c->since : 0, .samples = s.n, .errors = s.errors, .enough = c->rule.samples, .p99 = p99_of(c),
        .probe = c->probe, .at = c->at };
    memcpy(v->by, c->by, sizeof v->by);
    memcpy(v->why, c->why, sizeof v->why);
    pthread_mutex_unlock(&c->lock);
}

bool lun_canary_event(struct lun_canary *c, lun_us wall, struct lun_canary_event *e)
{
    pthread_mutex_lock(&c->lock);
    double share = share_of(c);
    *e = (struct lun_canary_event){ .from = c->told.state, .to = c->state, .share_before = c->told.share, .share = share };
    memcpy(e->by, c->by, sizeof e->by);
    memcpy(e->why, c->why, sizeof e->why);
    bool moved = c->told.state != c->state || c->told.share < share || c->told.share > share;
    if (moved) c->at = wall;
    c->told.state = c->state, c->told.share = share;
    pthread_mutex_unlock(&c->lock);
    return moved;
}

/* ---- keeping ---- */

void lun_canary_write(struct lun_canary *c, struct lun_buf *out)
{
    pthread_mutex_lock(&c->lock);
    lun_buf_printf(out, "{\"state\":\"%s\",\"stage\":%d,\"at\":%lld", state_names[c->state], c->stage, (long long)c->at);
    lun_json_member_text(out, "by", c->by);
    lun_json_member_text(out, "why", c->why);
    lun_buf_putc(out, '}');
    pthread_mutex_unlock(&c->lock);
}

static void read_text(struct lun_json object, const char *name, char *to, size_t room)
{
    struct lun_buf text = {0};
    if (lun_json_string(lun_json_get(object, name), true, &text)) say(to, room, lun_buf_text(&text));
    lun_buf_free(&text);
}

bool lun_canary_read(struct lun_canary *c, struct lun_json object)
{
    char name[32] = "";
    int64_t stage = 0, at = 0;
    read_text(object, "state", name, sizeof name);
    int state = name_index(state_names, LUN_CANARY_STATE_COUNT, name);
    if (state < 0 || !lun_json_int(lun_json_get(object, "stage"), &stage) || stage < 0 || stage >= LUN_CANARY_STAGES) return false;
    lun_json_int(lun_json_get(object, "at"), &at);
    if (at < 0 || at > LATEST) at = 0;
    pthread_mutex_lock(&c->lock);
    c->state = (enum lun_canary_state)state;
    c->stage = (int)stage;
    c->at = at;
    c->begun = true;
    read_text(object, "by", c->by, sizeof c->by);
    read_text(object, "why", c->why, sizeof c->why);
    if (c->rule.n_stages && c->stage >= c->rule.n_stages) c->stage = c->rule.n_stages - 1;
    c->told.state = c->state, c->told.share = share_of(c);
    publish(c, false);
    pthread_mutex_unlock(&c->lock);
    return true;
}
