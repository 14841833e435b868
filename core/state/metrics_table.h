/* How metrics lie in memory; for metrics.c and metrics_text.c only. Series are only ever added, so that reading needs no lock. */
#ifndef LUN_STATE_METRICS_TABLE_H
#define LUN_STATE_METRICS_TABLE_H
#include "state/metrics.h"
#include "state/names.h"
#include <pthread.h>
#include <stdatomic.h>

#define LUN_METRIC_SLOTS  256
#define LUN_METRIC_RECENT 64    /* a power of two */

/* Upper ends of a histogram's buckets, without +Inf. `fine`: quantiles are told of it, so a lun_histogram of microseconds is kept beside them. */
struct lun_bounds { const double *at; size_t n; bool fine; };
struct lun_metric_what { const char *name; enum lun_metric_type type; const char *labels, *help; };

struct lun_series {
    struct lun_series *next;
    uint64_t hash;
    char *labels;               /* the values, one after another, each with its NUL */
    _Atomic double value;       /* of a histogram: the sum */
    struct lun_histogram *fine; /* NULL: none is kept */
    _Atomic uint64_t buckets[]; /* of a histogram: one for each bound, one for what is above; not cumulative */
};
/* recent: by the addresses of labels, which are mostly those of names that stay; what is found there is only taken if its labels say the same. It spares their hash. */
struct lun_family { _Atomic(struct lun_series *) slots[LUN_METRIC_SLOTS], recent[LUN_METRIC_RECENT]; int n, n_labels; };
struct lun_policy_metric { struct lun_policy_metric *next; double sum; char name[]; };

struct lun_metrics {
    pthread_mutex_t lock;       /* of adding a series, and of what policies count */
    struct lun_family families[LUN_METRIC_COUNT];
    struct lun_names policy_names;
    struct lun_policy_metric *policy, *last_policy;
};

struct lun_series *lun_metrics_series(struct lun_metrics *, enum lun_metric, const char *const *labels);     /* made if there is none */
void lun_series_add(struct lun_series *, enum lun_metric, double);

const struct lun_metric_what *lun_metric_what(enum lun_metric);
const struct lun_bounds *lun_metric_bounds(enum lun_metric);
#endif
