#include "gateway/outcomes.h"
#include "base/alloc.h"
#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

enum { LAST = 256, ROWS = 1024 };       /* outcomes that are kept of a target; targets, of which later ones share a row */

struct mean { int64_t n; double sum[LUN_MEASURE_COUNT]; };
struct row {
    char *target;
    struct lun_ending last[LAST]; int64_t input[LAST], seen;    /* input: tokens of its request, as far as they are known; 0: they are not */
    int64_t answers, output;            /* attempts that answered and told their tokens, and those of output */
    struct mean mean;
};
struct lun_outcomes {
    struct row *row[ROWS];
    struct mean none, all;
};

static const char *const names[] = {
#define X(id, name) name,
    LUN_MEASURES(X)
#undef X
};
const char *lun_measure_name(enum lun_measure m) { return names[m]; }

struct lun_came_to lun_came_to(int64_t cost, lun_us latency, bool success)
{
    return (struct lun_came_to){ { [LUN_MEASURE_COST] = (double)cost / 1e9, [LUN_MEASURE_LATENCY] = (double)latency / 1e3, [LUN_MEASURE_SUCCESS] = success } };
}

struct lun_outcomes *lun_outcomes_new(void) { return lun_zalloc(sizeof(struct lun_outcomes)); }

void lun_outcomes_free(struct lun_outcomes *o)
{
    for (int i = 0; o && i < ROWS; i++) {
        if (o->row[i]) free(o->row[i]->target);
        free(o->row[i]);
    }
    free(o);
}

/* Where that target's row is, or would be. */
static size_t place(const struct lun_outcomes *o, const char *target)
{
    size_t at = lun_hash_text(target, 0) % ROWS;
    for (int i = 0; i < ROWS && o->row[at] && strcmp(o->row[at]->target, target); i++) at = (at + 1) % ROWS;
    return at;
}

static struct row *row_of(struct lun_outcomes *o, const char *target)
{
    struct row **r = &o->row[place(o, target)];
    if (*r) return *r;
    *r = lun_zalloc(sizeof **r);
    (*r)->target = lun_strdup(target);
    return *r;
}

/* ---- learning ---- */

static void add(struct mean *m, const struct lun_came_to *c)
{
    m->n++;
    for (int i = 0; i < LUN_MEASURE_COUNT; i++) m->sum[i] += c->of[i];
}

void lun_outcomes_learn(struct lun_outcomes *o, const struct lun_logged *g)
{
    struct lun_came_to c = lun_came_to(g->cost, g->latency, lun_logged_answered(g));
    if (g->undecided) return;
    if (!g->inner) add(&o->all, &c);
    if (!g->inner) add(g->n_attempts ? &row_of(o, g->attempts[0].target)->mean : &o->none, &c);
    for (int i = 0; i < g->n_attempts; i++) {
        const struct lun_logged_attempt *a = &g->attempts[i];
        if (!a->sent || a->outcome.kind == LUN_KIND_CANCELLED) continue;        /* how that would have ended nobody knows */
        struct row *r = row_of(o, a->target);
        r->input[r->seen % LAST] = g->usage.known ? g->usage.input : 0;
        r->last[r->seen++ % LAST] = a->outcome;
        if (!a->outcome.usage.known) continue;
        r->answers++;
        r->output += a->outcome.usage.output;
    }
}

/* ---- telling ---- */

/* How many tokens the answer would have had there: as many as it had, more or fewer by as much as answers of the two differ on average. */
static int64_t output_at(const struct lun_outcomes *o, const struct row *there, const struct lun_logged *g)
{
    const struct row *here = g->target ? o->row[place(o, g->target)] : NULL;
    double n = (double)g->usage.output;
    if (!here || !here->answers || !there->answers || !here->output) return g->usage.output;
    n *= (double)there->output / (double)there->answers / ((double)here->output / (double)here->answers);
    return (int64_t)(n + 0.5);
}

static bool alike(int64_t a, int64_t b) { return a && b && a <= 2 * b && b <= 2 * a; }

/* How an attempt ends hangs on how long its request is: one of those that are up to twice as long, or half; of all, where there are none such. */
static const struct lun_ending *pick(const struct row *r, int64_t input, uint64_t random)
{
    int n = r->seen < LAST ? (int)r->seen : LAST, like = 0;
    for (int i = 0; i < n; i++) like += alike(r->input[i], input);
    if (!like) return &r->last[random % (uint64_t)n];
    int which = (int)(random % (uint64_t)like), at = 0;
    for (;; at++) if (alike(r->input[at], input) && !which--) return &r->last[at];
}

bool lun_outcomes_draw(const struct lun_outcomes *o, const char *target, const struct lun_logged *g, uint64_t random, struct lun_ending *out)
{
    const struct row *r = o->row[place(o, target)];
    if (!r || !r->seen) return false;
    *out = *pick(r, g->usage.known ? g->usage.input : 0, random);
    if (out->kind != LUN_KIND_OK || !g->usage.known) return true;
    out->usage = g->usage;
    out->usage.output = output_at(o, r, g);
    if (out->usage.reasoning > out->usage.output) out->usage.reasoning = out->usage.output;
    return true;
}

struct lun_came_to lun_outcomes_expect(const struct lun_outcomes *o, const char *target)
{
    const struct row *r = target ? o->row[place(o, target)] : NULL;
    const struct mean *m = target ? r ? &r->mean : &o->all : &o->none;
    struct lun_came_to c = {0};
    if (!m->n) m = &o->all;
    for (int i = 0; m->n && i < LUN_MEASURE_COUNT; i++) c.of[i] = m->sum[i] / (double)m->n;
    return c;
}
