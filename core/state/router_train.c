#include "state/router_train.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/ridge.h"
#include <stdlib.h>
#include <string.h>

enum { PARTS = 5, TRIED = 8000 /* lessons that penalties are tried on, at most: the best does not hang on their number */ };
#define LARGEST 256.0                   /* penalty; the next is half of it, and so on as long as it gets better … */
#define LEAST   0.25                    /* … down to that */

/* ---- lessons ---- */

static void make_room(struct lun_lessons *l)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 1024;
        l->lesson = lun_realloc(l->lesson, l->room * sizeof *l->lesson);
        l->from = lun_realloc(l->from, (l->room + 1) * sizeof *l->from);
    }
    if (!l->n) l->from[0] = 0;
    if (l->feature_room - l->from[l->n] >= LUN_ROUTER_FEATURES) return;
    l->feature_room = 2 * l->feature_room + LUN_ROUTER_FEATURES;
    l->feature = lun_realloc(l->feature, l->feature_room * sizeof *l->feature);
}

bool lun_lessons_add(struct lun_lessons *l, const char *text, size_t n, double weak, double strong)
{
    if (l->n == LUN_LESSONS_MOST || (l->n && l->from[l->n] > LUN_LESSONS_FEATURES)) return false;
    make_room(l);
    size_t from = l->from[l->n];
    l->lesson[l->n++] = (struct lun_lesson){ (float)weak, (float)strong, (uint32_t)(lun_hash(text, n, 0) >> 32), n < UINT32_MAX ? (uint32_t)n : UINT32_MAX };
    l->from[l->n] = from + lun_router_features(text, n, l->feature + from);
    return true;
}

void lun_lessons_free(struct lun_lessons *l)
{
    free(l->lesson), free(l->from), free(l->feature);
    *l = (struct lun_lessons){0};
}

bool lun_lesson_held_out(const struct lun_lesson *l) { return l->group % PARTS == 0; }
static unsigned part_of(const struct lun_lesson *l) { return l->group / PARTS % PARTS; }
static double gain(const struct lun_lesson *l) { return (double)l->strong - (double)l->weak; }

/* ---- learning ---- */

struct learning {
    const struct lun_lessons *l;
    uint32_t *row, *some; size_t n;     /* all that are learned from; room for a part of them */
    double *target, base;
};

static struct lun_ridge ridge_of(const struct learning *g, const uint32_t *row, size_t n)
{
    return (struct lun_ridge){ .feature = g->l->feature, .from = g->l->from, .target = g->target, .row = row, .n = n, .width = LUN_ROUTER_PLACES };
}

/* Those of a part, or of all others, among those that penalties are tried on. */
static size_t choose(struct learning *g, unsigned part, bool others)
{
    size_t tried = g->n < TRIED ? g->n : TRIED, n = 0;
    for (size_t i = 0; i < tried; i++) {
        uint32_t row = g->row[i * g->n / tried];
        if ((part_of(&g->l->lesson[row]) == part) != others) g->some[n++] = row;
    }
    return n;
}

/* How wrong the other parts are about one: the sum of squares. */
static double mistakes_of(struct learning *g, unsigned part, double penalty, double *weights)
{
    struct lun_ridge r = ridge_of(g, g->some, choose(g, part, true));
    double sum = 0;
    lun_ridge_fit(&r, penalty, weights);
    size_t n = choose(g, part, false);
    for (size_t i = 0; i < n; i++) {
        double off = g->target[g->some[i]] - lun_ridge_says(&r, g->some[i], weights);
        sum += off * off;
    }
    return sum;
}

static double best_penalty(struct learning *g)
{
    double *weights = lun_zalloc((size_t)PARTS * LUN_ROUTER_PLACES * sizeof *weights), best = LARGEST, least = -1;
    for (double penalty = LARGEST; penalty >= LEAST; penalty /= 2) {
        double sum = 0;
        for (unsigned part = 0; part < PARTS; part++) sum += mistakes_of(g, part, penalty, weights + part * LUN_ROUTER_PLACES);
        if (least >= 0 && sum >= least) break;
        best = penalty, least = sum;
    }
    free(weights);
    return best;
}

static void learn(struct learning *g, struct lun_training *t)
{
    double *weights = lun_zalloc(LUN_ROUTER_PLACES * sizeof *weights);
    struct lun_ridge r = ridge_of(g, g->row, g->n);
    t->penalty = best_penalty(g);
    t->n = g->n;
    lun_ridge_fit(&r, t->penalty, weights);
    t->router = (struct lun_router){ .weights = t->text, .scale = lun_router_pack(weights, t->text), .base = g->base };
    free(weights);
}

/* Which lessons, and how far each is from their mean. Why not, where there is nothing to learn. */
static const char *look_at_lessons(struct learning *g, bool hold_out)
{
    const struct lun_lesson *lesson = g->l->lesson;
    bool differ = false, vary = false;
    for (size_t i = 0; i < g->l->n; i++) if (!hold_out || !lun_lesson_held_out(&lesson[i])) g->row[g->n++] = (uint32_t)i;
    if (g->n < LUN_LESSONS_LEAST) return "too few rows to learn from: 20 at least";
    for (size_t i = 0; i < g->n; i++) {
        double d = gain(&lesson[g->row[i]]);
        g->base += d / (double)g->n;
        differ |= d != 0;
        vary |= d != gain(&lesson[g->row[0]]);
    }
    for (size_t i = 0; i < g->n; i++) g->target[g->row[i]] = gain(&lesson[g->row[i]]) - g->base;
    return !differ ? "in no row do `weak` and `strong` differ: there is nothing to learn" : !vary ? "in all rows `weak` and `strong` differ by the same: there is nothing to choose" : NULL;
}

struct lun_training *lun_router_train(const struct lun_lessons *l, bool hold_out, const char **why)
{
    size_t room = l->n + 1;
    struct learning g = { .l = l, .row = lun_alloc(room * sizeof *g.row), .some = lun_alloc(room * sizeof *g.some), .target = lun_alloc(room * sizeof *g.target) };
    struct lun_training *t = NULL;
    *why = look_at_lessons(&g, hold_out);
    if (!*why) learn(&g, t = lun_alloc(sizeof *t));
    free(g.row), free(g.some), free(g.target);
    return t;
}

size_t lun_router_try(const struct lun_router *r, const struct lun_lessons *l, bool held_out, struct lun_routed *out)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct lun_lesson *lesson = &l->lesson[i];
        if (held_out && !lun_lesson_held_out(lesson)) continue;
        double score = r ? lun_router_gain_of(r, l->feature + l->from[i], l->from[i + 1] - l->from[i]) : lesson->bytes;
        out[n++] = (struct lun_routed){ score, (double)lesson->weak, (double)lesson->strong };
    }
    lun_recovery_sort(out, n);
    return n;
}
