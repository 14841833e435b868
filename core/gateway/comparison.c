#include "gateway/comparison.h"
#include "base/alloc.h"
#include "base/json.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES     8           /* kept of each kind of difference */
#define STEPS_SHOWN 8
#define ERROR_MOST  500

struct sample { char *text; };
struct trouble { int64_t n; const char *reason; char error[ERROR_MOST + 1]; };
struct lun_comparison {
    pthread_mutex_t lock;
    int64_t results[LUN_COMPARED_COUNT], kinds[LUN_DIFFERENCE_COUNT];
    struct { int64_t failed, refused; lun_us thought; } live, shadow;
    int64_t failed_alone, refused_alone, unasked;
    struct { int64_t n, unknown, live, shadow; } cost;      /* unknown: of the shadow alone */
    struct trouble troubles[LUN_HOOK_COUNT];
    struct { struct sample at[SAMPLES]; int64_t n; } samples[LUN_DIFFERENCE_COUNT];
};

const char *lun_difference_name(enum lun_difference d)
{
#define X(id, name, ...) name,
    static const char *const names[] = { LUN_DIFFERENCES(X) };
#undef X
    return names[d];
}

const char *lun_compared_name(enum lun_compared c)
{
#define X(id, name, ...) name,
    static const char *const names[] = { LUN_COMPARED(X) };
#undef X
    return names[c];
}

/* ---- two decisions ---- */

struct lun_verdict lun_verdict_of(struct lun_question *q, const struct lun_decided *d)
{
    struct lun_verdict v = { .id = q->id, .labels = q->labels, .n_labels = q->n_labels, .planned = d->plan, .by = d->by, .status = d->status, .narrowed = q->narrowed,
                             .targets = q->targets, .n_targets = q->n_targets, .failed = q->policy_failed, .expected = -1, .thought = q->thought };
    if (d->plan) v.plan = *d->plan;
    return v;
}

void lun_verdict_expect(struct lun_verdict *v, struct lun_question *q)
{
    if (v->plan.n) v->expected = lun_question_expected(q, v->plan.steps[0].target);
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

static bool same_labels(const struct lun_verdict *a, const struct lun_verdict *b)
{
    if (a->n_labels != b->n_labels) return false;
    for (int i = 0; i < a->n_labels; i++) if (strcmp(a->labels[i], b->labels[i])) return false;
    return true;
}

static bool same_budget(const struct lun_verdict *a, const struct lun_verdict *b)
{
    if (a->narrowed != b->narrowed) return false;
    if (!a->narrowed) return true;
    if (a->n_targets != b->n_targets) return false;
    for (int i = 0; i < a->n_targets; i++) if (strcmp(a->targets[i]->name, b->targets[i]->name)) return false;
    return true;
}

static bool same_edits(const struct lun_edit *a, const struct lun_edit *b)
{
    for (; a && b; a = a->next, b = b->next)
        if (a->what != b->what || strcmp(a->field, b->field) || !same_text(a->value, b->value)) return false;
    return !a && !b;
}

static bool same_step(const struct lun_step *a, const struct lun_step *b)
{
    return a->connect == b->connect && a->first_byte == b->first_byte && a->idle == b->idle && a->total == b->total && a->hedge_after == b->hedge_after
        && a->wait == b->wait && same_text(a->warning, b->warning) && same_edits(a->edits, b->edits);
}

static unsigned plans_differ(const struct lun_plan *a, const struct lun_plan *b)
{
    unsigned steps = 0;
    if (a->n && b->n && strcmp(a->steps[0].target->name, b->steps[0].target->name)) return 1 << LUN_DIFFERS_FIRST | 1 << LUN_DIFFERS_PLAN;
    if (a->n != b->n) return 1 << LUN_DIFFERS_PLAN | (!a->n || !b->n) << LUN_DIFFERS_FIRST;
    for (int i = 0; i < a->n; i++) {
        if (strcmp(a->steps[i].target->name, b->steps[i].target->name)) return 1 << LUN_DIFFERS_PLAN;
        if (!same_step(&a->steps[i], &b->steps[i])) steps = 1 << LUN_DIFFERS_STEPS;
    }
    return steps;
}

unsigned lun_verdict_differs(const struct lun_verdict *live, const struct lun_verdict *shadow)
{
    unsigned d = 0;
    if (live->planned && shadow->planned) d |= plans_differ(&live->plan, &shadow->plan);
    else if (live->planned || shadow->planned || live->by != shadow->by || live->status != shadow->status) d |= 1 << LUN_DIFFERS_REFUSED;
    if (!same_labels(live, shadow)) d |= 1 << LUN_DIFFERS_LABELS;
    if (!same_budget(live, shadow)) d |= 1 << LUN_DIFFERS_BUDGET;
    return d;
}

/* ---- counting ---- */

struct lun_comparison *lun_comparison_new(void)
{
    struct lun_comparison *c = lun_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void lun_comparison_free(struct lun_comparison *c)
{
    if (!c) return;
    for (int d = 0; d < LUN_DIFFERENCE_COUNT; d++)
        for (int i = 0; i < SAMPLES; i++) free(c->samples[d].at[i].text);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void put_usd(struct lun_buf *out, const char *name, int64_t nano) { lun_json_member_number(out, name, (double)nano / LUN_NANO_PER_USD); }

static void put_seconds(struct lun_buf *out, const char *name, lun_us t) { if (t && t != LUN_NEVER) lun_json_member_number(out, name, lun_us_to_seconds(t)); }

static void put_step(struct lun_buf *out, const struct lun_step *s)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "target", s->target->name);
    put_seconds(out, "connect", s->connect), put_seconds(out, "first_byte", s->first_byte), put_seconds(out, "idle", s->idle);
    put_seconds(out, "total", s->total), put_seconds(out, "hedge_after", s->hedge_after), put_seconds(out, "wait", s->wait);
    if (s->warning) lun_json_member_text(out, "warning", s->warning);
    int n = 0;
    for (const struct lun_edit *e = s->edits; e; e = e->next) n++;
    if (n) lun_json_member_int(out, "edits", n);
    lun_buf_putc(out, '}');
}

static void put_plan(struct lun_buf *out, const struct lun_plan *plan)
{
    lun_json_put_key(out, "plan");
    lun_buf_putc(out, '[');
    for (int i = 0; i < plan->n && i < STEPS_SHOWN; i++) {
        if (i) lun_buf_putc(out, ',');
        put_step(out, &plan->steps[i]);
    }
    lun_buf_putc(out, ']');
    if (plan->n > STEPS_SHOWN) lun_json_member_int(out, "more_steps", plan->n - STEPS_SHOWN);
}

static void put_verdict(struct lun_buf *out, const char *name, const struct lun_verdict *v)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '{');
    lun_json_member_texts(out, "labels", v->labels, v->n_labels);
    if (v->narrowed) lun_json_member_int(out, "narrowed_to", v->n_targets);
    if (v->planned) put_plan(out, &v->plan);
    else {
        lun_json_member_text(out, "refused_by", v->unknown ? "configuration" : lun_hook_name(v->by));
        lun_json_member_int(out, "status", v->status);
    }
    if (v->failed) lun_json_member_bool(out, "failed", true);
    if (v->expected >= 0) put_usd(out, "expected_cost", v->expected);
    lun_buf_putc(out, '}');
}

static void keep(struct lun_comparison *c, unsigned differs, const struct lun_verdict *live, const struct lun_verdict *shadow)
{
    struct lun_buf text = {0};
    int gravest = __builtin_ctz(differs);
    struct sample *s = &c->samples[gravest].at[c->samples[gravest].n++ % SAMPLES];
    const char *kinds[LUN_DIFFERENCE_COUNT];
    int n = 0;
    for (int d = 0; d < LUN_DIFFERENCE_COUNT; d++) if (differs & 1u << d) kinds[n++] = lun_difference_name((enum lun_difference)d);
    lun_buf_putc(&text, '{');
    lun_json_member_text(&text, "id", live->id);
    lun_json_member_texts(&text, "differs", kinds, n);
    put_verdict(&text, "live", live);
    put_verdict(&text, "shadow", shadow);
    lun_buf_putc(&text, '}');
    free(s->text);
    s->text = lun_strdup(lun_buf_text(&text));
    lun_buf_free(&text);
}

/* What both expect to pay, where both know it. */
static void add_cost(struct lun_comparison *c, const struct lun_verdict *live, const struct lun_verdict *shadow)
{
    if (live->expected < 0) return;
    if (shadow->expected < 0) { c->cost.unknown += shadow->planned; return; }
    c->cost.n++;
    c->cost.live += live->expected;
    c->cost.shadow += shadow->expected;
}

enum lun_compared lun_comparison_add(struct lun_comparison *c, const struct lun_verdict *live, const struct lun_verdict *shadow)
{
    unsigned differs = lun_verdict_differs(live, shadow);
    bool alone = shadow->failed && !live->failed;
    enum lun_compared result = alone ? LUN_COMPARED_FAILED : differs ? LUN_COMPARED_DIFFERENT : LUN_COMPARED_SAME;
    pthread_mutex_lock(&c->lock);
    c->results[result]++;
    for (int d = 0; d < LUN_DIFFERENCE_COUNT; d++) c->kinds[d] += differs >> d & 1;
    c->live.failed += live->failed, c->live.refused += !live->planned, c->live.thought += live->thought;
    c->shadow.failed += shadow->failed, c->shadow.refused += !shadow->planned, c->shadow.thought += shadow->thought;
    c->failed_alone += alone;
    c->refused_alone += !alone && !shadow->planned && live->planned;
    add_cost(c, live, shadow);
    if (differs) keep(c, differs, live, shadow);
    pthread_mutex_unlock(&c->lock);
    return result;
}

void lun_comparison_skip(struct lun_comparison *c, enum lun_compared why)
{
    pthread_mutex_lock(&c->lock);
    c->results[why]++;
    pthread_mutex_unlock(&c->lock);
}

void lun_comparison_unasked(struct lun_comparison *c, uint64_t calls)
{
    pthread_mutex_lock(&c->lock);
    c->unasked += (int64_t)calls;
    pthread_mutex_unlock(&c->lock);
}

void lun_comparison_trouble(struct lun_comparison *c, enum lun_hook hook, const char *reason, const char *error)
{
    pthread_mutex_lock(&c->lock);
    struct trouble *t = &c->troubles[hook];
    t->n++;
    t->reason = reason;
    size_t n = strnlen(error, ERROR_MOST);
    memcpy(t->error, error, n);
    t->error[n] = 0;
    pthread_mutex_unlock(&c->lock);
}

/* ---- what it comes to ---- */

static int64_t seen(const struct lun_comparison *c) { return c->results[LUN_COMPARED_SAME] + c->results[LUN_COMPARED_DIFFERENT] + c->results[LUN_COMPARED_FAILED]; }
static int64_t gone_wrong(const struct lun_comparison *c) { return c->failed_alone + c->refused_alone; }
static double share(int64_t of, int64_t n) { return n ? (double)of / (double)n : 0; }

static bool too_dear(const struct lun_comparison *c, const struct lun_comparison_bounds *b)
{
    return (double)c->cost.shadow > (double)c->cost.live * (1 + b->cost) + 0.5;
}

static void put_change(struct lun_buf *out, const struct lun_comparison *c)
{
    if (c->cost.live) lun_buf_printf(out, "%+.1f %%", 100 * ((double)c->cost.shadow / (double)c->cost.live - 1));
    else lun_buf_puts(out, c->cost.shadow ? "from nothing" : "+0.0 %");
}

static void separate(struct lun_buf *out) { if (out->n) lun_buf_puts(out, "; "); }

/* What is out of the bounds. */
static void put_faults(const struct lun_comparison *c, const struct lun_comparison_bounds *b, struct lun_buf *out)
{
    int64_t n = seen(c);
    if (n < b->requests) lun_buf_printf(out, "only %lld of %lld requests were compared", (long long)n, (long long)b->requests);
    if (share(gone_wrong(c), n) > b->errors) {
        separate(out);
        lun_buf_printf(out, "errors %.3g %% > %.3g %%", 100 * share(gone_wrong(c), n), 100 * b->errors);
    }
    if (c->cost.unknown) {
        separate(out);
        lun_buf_printf(out, "the price of what it would ask first is not known for %lld requests", (long long)c->cost.unknown);
    }
    if (!too_dear(c, b)) return;
    separate(out);
    lun_buf_puts(out, "expected cost ");
    put_change(out, c);
    lun_buf_printf(out, " > %+.3g %%", 100 * b->cost);
}

static void put_figures(const struct lun_comparison *c, struct lun_buf *out)
{
    lun_buf_printf(out, "of %lld requests %lld differ, %lld failed and %lld were refused by it alone; ", (long long)seen(c),
                   (long long)(seen(c) - c->results[LUN_COMPARED_SAME]), (long long)c->failed_alone, (long long)c->refused_alone);
    if (c->cost.n) {
        lun_buf_printf(out, "expected cost %.6g USD against %.6g (", (double)c->cost.shadow / LUN_NANO_PER_USD, (double)c->cost.live / LUN_NANO_PER_USD);
        put_change(out, c);
        lun_buf_putc(out, ')');
    } else lun_buf_puts(out, "no expected cost is known");
}

bool lun_comparison_within(struct lun_comparison *c, const struct lun_comparison_bounds *b, struct lun_buf *text)
{
    struct lun_buf faults = {0};
    pthread_mutex_lock(&c->lock);
    put_faults(c, b, &faults);
    bool good = !faults.n;
    if (!good) lun_buf_printf(text, "%s: ", lun_buf_text(&faults));
    put_figures(c, text);
    pthread_mutex_unlock(&c->lock);
    lun_buf_free(&faults);
    return good;
}

/* ---- as JSON ---- */

static void open_object(struct lun_buf *out, const char *name)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '{');
}

static void show_troubles(const struct lun_comparison *c, struct lun_buf *out)
{
    bool first = true;
    lun_json_put_key(out, "hooks");
    lun_buf_putc(out, '[');
    for (int h = 0; h < LUN_HOOK_COUNT; h++) {
        if (!c->troubles[h].n) continue;
        if (!first) lun_buf_putc(out, ',');
        first = false;
        lun_buf_putc(out, '{');
        lun_json_member_text(out, "hook", lun_hook_name((enum lun_hook)h));
        lun_json_member_int(out, "failures", c->troubles[h].n);
        lun_json_member_text(out, "reason", c->troubles[h].reason);
        lun_json_member_text(out, "error", c->troubles[h].error);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void show_figures(const struct lun_comparison *c, struct lun_buf *out)
{
    lun_json_member_int(out, "requests", seen(c));
    open_object(out, "results");
    for (int r = 0; r < LUN_COMPARED_COUNT; r++) lun_json_member_int(out, lun_compared_name((enum lun_compared)r), c->results[r]);
    lun_buf_putc(out, '}');
    open_object(out, "differences");
    for (int d = 0; d < LUN_DIFFERENCE_COUNT; d++) lun_json_member_int(out, lun_difference_name((enum lun_difference)d), c->kinds[d]);
    lun_buf_putc(out, '}');
    open_object(out, "failed");
    lun_json_member_int(out, "live", c->live.failed), lun_json_member_int(out, "shadow", c->shadow.failed), lun_json_member_int(out, "alone", c->failed_alone);
    show_troubles(c, out);
    lun_buf_putc(out, '}');
    open_object(out, "refused");
    lun_json_member_int(out, "live", c->live.refused), lun_json_member_int(out, "shadow", c->shadow.refused), lun_json_member_int(out, "alone", c->refused_alone);
    lun_buf_putc(out, '}');
    lun_json_member_number(out, "error_rate", share(gone_wrong(c), seen(c)));
    lun_json_member_int(out, "calls_unasked", c->unasked);
}

static void show_cost(const struct lun_comparison *c, struct lun_buf *out)
{
    open_object(out, "expected_cost");
    lun_json_member_int(out, "requests", c->cost.n), lun_json_member_int(out, "unknown", c->cost.unknown);
    put_usd(out, "live", c->cost.live), put_usd(out, "shadow", c->cost.shadow);
    lun_buf_putc(out, '}');
    open_object(out, "cpu_ms");
    lun_json_member_number(out, "live", (double)c->live.thought / LUN_MS), lun_json_member_number(out, "shadow", (double)c->shadow.thought / LUN_MS);
    lun_buf_putc(out, '}');
}

static void show_samples(const struct lun_comparison *c, struct lun_buf *out)
{
    bool first = true;
    lun_json_put_key(out, "samples");
    lun_buf_putc(out, '[');
    for (int d = 0; d < LUN_DIFFERENCE_COUNT; d++)
        for (int i = 0; i < SAMPLES && c->samples[d].at[i].text; i++) {
            if (!first) lun_buf_putc(out, ',');
            first = false;
            lun_buf_puts(out, c->samples[d].at[i].text);
        }
    lun_buf_putc(out, ']');
}

void lun_comparison_show(struct lun_comparison *c, struct lun_buf *out)
{
    pthread_mutex_lock(&c->lock);
    show_figures(c, out);
    show_cost(c, out);
    show_samples(c, out);
    pthread_mutex_unlock(&c->lock);
}
