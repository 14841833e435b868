#include "gateway/replays.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

enum { LATELY = 64 };

/* Requests in a heap, the least key first; among equal ones in the order of the log. */
struct heap { struct waits { lun_us key; int64_t order; struct lun_logged *logged; size_t bytes; } *at; int n, room; size_t bytes; };

struct lun_replays {
    struct { struct lun_snapshot *snapshot; struct lun_replay_options options; struct lun_replay *replay; } tried[LUN_REPLAYS_MOST];
    int n;
    struct lun_outcomes *outcomes;
    struct heap coming, ending;         /* by arrival, those that are not asked yet; by end, those whose end is not known yet */
    int64_t requests, lines;
    lun_us ends[LATELY]; int n_ends;    /* of the last lines */
};
typedef struct lun_replays replays;

/* ---- heap ---- */

static bool before(const struct waits *a, const struct waits *b) { return a->key != b->key ? a->key < b->key : a->order < b->order; }

static void swap(struct waits *a, struct waits *b)
{
    struct waits w = *a;
    *a = *b;
    *b = w;
}

static void push(struct heap *h, struct waits w)
{
    if (h->n == h->room) h->at = lun_realloc(h->at, (size_t)(h->room = h->room ? 2 * h->room : 64) * sizeof *h->at);
    int i = h->n++;
    h->at[i] = w;
    h->bytes += w.bytes;
    for (int up; i && before(&h->at[i], &h->at[up = (i - 1) / 2]); i = up) swap(&h->at[i], &h->at[up]);
}

static struct waits pop(struct heap *h)
{
    struct waits first = h->at[0];
    h->at[0] = h->at[--h->n];
    h->bytes -= first.bytes;
    for (int i = 0, least; ; i = least) {
        least = i;
        for (int c = 2 * i + 1; c <= 2 * i + 2 && c < h->n; c++) if (before(&h->at[c], &h->at[least])) least = c;
        if (least == i) return first;
        swap(&h->at[i], &h->at[least]);
    }
}

static void free_heap(struct heap *h)
{
    for (int i = 0; i < h->n; i++) lun_logged_unref(h->at[i].logged);
    free(h->at);
}

/* ---- taking ---- */

static void learn_until(replays *r, lun_us wall)
{
    while (r->ending.n && (r->ending.at[0].key <= wall || r->ending.n > LUN_REPLAYS_WINDOW)) {
        struct lun_logged *g = pop(&r->ending).logged;
        lun_outcomes_learn(r->outcomes, g);
        lun_logged_unref(g);
    }
}

static bool open_all(replays *r, lun_us wall, char **error)
{
    for (int i = 0; i < r->n; i++) {
        if (r->tried[i].replay) continue;
        r->tried[i].replay = lun_replay_new(r->tried[i].snapshot, wall, &r->tried[i].options, error);
        r->tried[i].snapshot = NULL;
        if (!r->tried[i].replay) return false;
    }
    return true;
}

static bool never_rests(char **error, const struct lun_logged *g)
{
    *error = lun_printf("line %lld (request %s): something happens again and again in one instant", (long long)g->line, g->id);
    return false;
}

/* The one that came first is asked. */
static bool next(replays *r, char **error)
{
    struct waits w = pop(&r->coming);
    bool good = open_all(r, w.logged->time, error);
    if (good) learn_until(r, w.logged->time);
    for (int i = 0; good && i < r->n; i++) good = lun_replay_ask(r->tried[i].replay, w.logged) || never_rests(error, w.logged);
    push(&r->ending, (struct waits){ w.logged->time + w.logged->latency, w.order, w.logged, 0 });
    return good;
}

/* A log tells arrivals to the millisecond. Who arrived in the same one in which a line above says that another ended is taken to have come after it: so one
 * client's requests stay one after the other, however quick they are. */
static void refine(replays *r, struct lun_logged *g)
{
    lun_us time = g->time;
    for (int i = 0; i < LATELY && i < r->n_ends; i++) if (r->ends[i] > time && r->ends[i] < g->time + LUN_MS) time = r->ends[i];
    g->time = time;
    r->ends[r->n_ends++ % LATELY] = time + g->latency;
    if (r->n_ends == 2 * LATELY) r->n_ends = LATELY;
}

bool lun_replays_take(replays *r, struct lun_logged *g, size_t n, char **error)
{
    bool inner = g->inner;
    refine(r, g);
    push(&r->coming, (struct waits){ g->time, r->lines++, g, n });
    r->requests += !inner;
    while (r->coming.n > LUN_REPLAYS_WINDOW || r->coming.bytes > LUN_REPLAYS_BYTES) if (!next(r, error)) return false;
    return true;
}

bool lun_replays_end(replays *r, char **error)
{
    bool good = true;
    while (good && r->coming.n) good = next(r, error);
    for (int i = 0; good && i < r->n && r->tried[i].replay; i++)
        if (!lun_replay_end(r->tried[i].replay)) {
            *error = lun_strdup("after the last request: something never ends");
            good = false;
        }
    return good;
}

/* ---- life ---- */

replays *lun_replays_new(void)
{
    replays *r = lun_zalloc(sizeof *r);
    r->outcomes = lun_outcomes_new();
    return r;
}

void lun_replays_add(replays *r, struct lun_snapshot *snapshot, const struct lun_replay_options *options)
{
    r->tried[r->n].snapshot = snapshot;
    r->tried[r->n].options = *options;
    r->tried[r->n++].options.outcomes = r->outcomes;
}

void lun_replays_free(replays *r)
{
    if (!r) return;
    for (int i = 0; i < r->n; i++) {
        lun_replay_free(r->tried[i].replay);
        if (r->tried[i].snapshot) lun_snapshot_unref(r->tried[i].snapshot);
    }
    free_heap(&r->coming);
    free_heap(&r->ending);
    lun_outcomes_free(r->outcomes);
    free(r);
}

int64_t lun_replays_requests(const replays *r)                         { return r->requests; }
const struct lun_replay *lun_replays_get(const replays *r, int i)      { return r->tried[i].replay; }
