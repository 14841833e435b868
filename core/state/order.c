#include "state/order.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/loop.h"
#include "state/health.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOUNDED_LOAD 1.25

struct place { const struct lun_target *target; int rank, busy; double score; };    /* lower rank first, then higher score */

static double weight(const struct lun_target *t) { return t->weight > 0 ? t->weight : 0; }

static bool before(const struct place *a, const struct place *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->score > b->score;
}

static void sort(struct place *p, int n)        /* stable */
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && before(&p[j], &p[j - 1]); j--) {
            struct place t = p[j];
            p[j] = p[j - 1];
            p[j - 1] = t;
        }
}

static double rendezvous(uint64_t session, const struct lun_target *t)
{
    return weight(t) / -log(lun_hash_unit(lun_hash_text(t->name, session)));
}

static void sticky(struct lun_question *q, struct place *p, int n)
{
    uint64_t session = lun_hash_text(q->session, 0);
    struct lun_health_view view;
    double flying = 1, weights = 0;             /* 1: the one to be placed */
    for (int i = 0; i < n; i++) {
        lun_health_look(p[i].target, q->loop->now, &view);
        p[i].busy = view.in_flight;
        if (!p[i].rank) { flying += p[i].busy; weights += weight(p[i].target); }
    }
    for (int i = 0; i < n; i++) {
        p[i].score = rendezvous(session, p[i].target);
        double share = weights > 0 ? ceil(BOUNDED_LOAD * flying * weight(p[i].target) / weights) : 1;
        if (!p[i].rank && p[i].busy >= share) p[i].rank = 1;
    }
}

/* One of p[from..to) by weight; all of weight 0: the first. */
static int draw(struct lun_question *q, const struct place *p, int from, int to, int except)
{
    double all = 0;
    int last = -1;
    for (int i = from; i < to; i++) if (i != except) all += weight(p[i].target);
    double at = lun_question_random_unit(q) * all;
    for (int i = from; i < to; i++) {
        if (i == except || (all > 0 && weight(p[i].target) <= 0)) continue;
        last = i;
        if ((at -= weight(p[i].target)) < 0 || all <= 0) break;
    }
    return last;
}

static int better_of_two(struct lun_question *q, const struct place *p, int from, int to)
{
    int a = draw(q, p, from, to, -1);
    if (to - from < 2) return a;
    int b = draw(q, p, from, to, a);
    double wa = weight(p[a].target), wb = weight(p[b].target);
    return wb > 0 && p[b].score * wa < p[a].score * wb ? b : a;
}

static void by_load(struct lun_question *q, struct place *p, int from, int to)
{
    for (int i = from; i < to; i++) p[i].score = lun_health_load(p[i].target, q->loop->now);
    for (int i = from; i + 1 < to; i++) {
        int k = better_of_two(q, p, i, to);
        struct place chosen = p[k];
        memmove(&p[i + 1], &p[i], (size_t)(k - i) * sizeof *p);
        p[i] = chosen;
    }
}

void lun_order_balanced(struct lun_question *q, const struct lun_target **targets, int n)
{
    if (n < 2) return;
    struct place *p = lun_alloc((size_t)n * sizeof *p);
    int awake = 0;
    for (int i = 0; i < n; i++) p[i] = (struct place){ .target = targets[i], .rank = lun_health_rests(targets[i], q->loop->now) ? 2 : 0 };
    if (q->session) sticky(q, p, n);
    sort(p, n);
    if (!q->session) {
        while (awake < n && !p[awake].rank) awake++;
        by_load(q, p, 0, awake);
        by_load(q, p, awake, n);
    }
    for (int i = 0; i < n; i++) targets[i] = p[i].target;
    free(p);
}
