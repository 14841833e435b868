#include "base/alloc.h"
#include "state/metrics_table.h"
#include <stdlib.h>
#include <string.h>

#define LABELS 4
#define TRIES  4                /* places that one can be in; where all are taken, it is looked up each time */
#define MOST   (1 << 16)

struct found { enum lun_metric id; const char *labels[LABELS]; struct lun_series *series; };       /* never changed, so that it is read without a lock */
struct lun_metrics_kept { struct lun_metrics *metrics; size_t room; _Atomic(struct found *) places[]; };

struct lun_metrics_kept *lun_metrics_kept_new(struct lun_metrics *m, int targets)
{
    size_t room = 64, wanted = (size_t)targets * 16;
    while (room < wanted && room < MOST) room *= 2;
    struct lun_metrics_kept *k = lun_zalloc(sizeof *k + room * sizeof *k->places);
    k->metrics = m;
    k->room = room;
    return k;
}

void lun_metrics_kept_free(struct lun_metrics_kept *k)
{
    for (size_t i = 0; k && i < k->room; i++) free(k->places[i]);
    free(k);
}

static size_t first_place(const struct lun_metrics_kept *k, enum lun_metric id, const char *const *labels, int n)
{
    uint64_t at = (uint64_t)id + 1;
    for (int i = 0; i < n; i++) at = (at ^ (uintptr_t)labels[i]) * 0x9E3779B97F4A7C15u;
    return at >> 32 & (k->room - 1);
}

static bool is_it(const struct found *f, enum lun_metric id, const char *const *labels, int n)
{
    if (f->id != id) return false;
    for (int i = 0; i < n; i++) if (f->labels[i] != labels[i]) return false;
    return true;
}

static struct found *make(enum lun_metric id, const char *const *labels, int n, struct lun_series *series)
{
    struct found *f = lun_zalloc(sizeof *f);
    f->id = id, f->series = series;
    if (n) memcpy(f->labels, labels, (size_t)n * sizeof *labels);
    return f;
}

/* In the first free place; one that another thread has taken meanwhile is as good as taken. */
static struct lun_series *keep(struct lun_metrics_kept *k, size_t at, enum lun_metric id, const char *const *labels, int n)
{
    struct found *f = make(id, labels, n, lun_metrics_series(k->metrics, id, labels));
    struct lun_series *series = f->series;
    for (int i = 0; i < TRIES; i++) {
        struct found *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&k->places[(at + (size_t)i) & (k->room - 1)], &none, f, memory_order_release, memory_order_relaxed)) return series;
    }
    free(f);
    return series;
}

static struct lun_series *series_of(struct lun_metrics_kept *k, enum lun_metric id, const char *const *labels)
{
    int n = k->metrics->families[id].n_labels;
    size_t at = first_place(k, id, labels, n);
    for (int i = 0; i < TRIES; i++) {
        const struct found *f = atomic_load_explicit(&k->places[(at + (size_t)i) & (k->room - 1)], memory_order_acquire);
        if (!f) return keep(k, at, id, labels, n);
        if (is_it(f, id, labels, n)) return f->series;
    }
    return lun_metrics_series(k->metrics, id, labels);
}

void lun_metrics_kept_add(struct lun_metrics_kept *k, enum lun_metric id, const char *const *labels, double x) { lun_series_add(series_of(k, id, labels), id, x); }
