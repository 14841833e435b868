/* What is measured of a target: how long it takes, how often it answers. Not thread-safe: whoever owns it has the lock. */
#ifndef LUN_STATE_MEASURES_H
#define LUN_STATE_MEASURES_H
#include "base/clock.h"
#include <stdbool.h>
#include <stdint.h>

#define LUN_RATED   100         /* attempts that the success rate is over */
#define LUN_SAMPLES 1000        /* good answers that quantiles are over */

struct lun_ewma { double is; lun_us at; };      /* microseconds; 0: nothing seen yet */
struct lun_samples { uint32_t *us; int n; uint64_t all; };      /* a ring, allocated with the first; n: filled; all: ever */

struct lun_measures {           /* zero-initialised: nothing seen */
    struct lun_ewma peak;       /* of latency: a worse one counts at once, a better one bit by bit (decay 10 s) */
    struct lun_ewma ttft;       /* of the first byte */
    struct lun_samples latency, first_byte;     /* of good answers */
    bool rated[LUN_RATED]; int n_rated, next_rated;     /* a ring: true = good */
    int64_t requests, failures; /* ever */
};

void   lun_measures_good(struct lun_measures *, lun_us latency, lun_us first_byte, lun_us now);     /* 0: there was none */
void   lun_measures_bad(struct lun_measures *);
void   lun_measures_waited(struct lun_measures *, lun_us latency, lun_us now);      /* in vain: only that it takes that long at least */
int    lun_measures_rated(const struct lun_measures *, int *good);      /* how many of the last 100, and how many of them good */
void   lun_measures_recent(const struct lun_measures *, char out[LUN_RATED + 1]);      /* these, the oldest first: '+' good, '-' bad */
lun_us lun_measures_mean(const struct lun_measures *, int last_n);
double lun_measures_load(const struct lun_measures *, int in_flight, lun_us now);
int    lun_samples_copy(const struct lun_samples *, uint32_t out[LUN_SAMPLES]);
lun_us lun_samples_quantile(uint32_t *samples, int n, double q);        /* nearest rank; moves them about */
void   lun_measures_free(struct lun_measures *);
#endif
