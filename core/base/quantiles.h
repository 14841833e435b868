/* Quantiles of what another way of choosing would have come to, from outcomes of choices that chance made: each outcome counts by its weight, as in base/estimate.h.
 * The shares are self-normalised (Hájek). An interval holds the truth 95 times in 100: it lies between the outcomes at which the share of what is below, by the
 * normal approximation, is just not yet, and just no longer, the one that is asked for (Woodruff 1952). Outcomes are kept in the buckets of base/histogram.h,
 * evenly spread within each: as exact as these. One thread. Zero-initialised it is empty and valid; nothing to free. 16 KiB each. */
#ifndef LUN_BASE_QUANTILES_H
#define LUN_BASE_QUANTILES_H
#include "base/estimate.h"
#include "base/histogram.h"

struct lun_quantiles { int64_t n; double w[LUN_HISTOGRAM_BUCKETS], ww[LUN_HISTOGRAM_BUCKETS]; };        /* sums of weights, and of their squares */

/* weight: 0 or more; an outcome of none is no outcome. Values as lun_histogram_record takes them. */
void lun_quantiles_add(struct lun_quantiles *, int64_t value, double weight);

/* The value below which a share q (above 0, below 1) of the weight lies. Of fewer than two outcomes there is none (all NaN). Where the interval reaches beyond all
 * outcomes, `high` is infinite and `low` is 0: nothing is known there. */
struct lun_interval lun_quantiles_get(const struct lun_quantiles *, double q);
#endif
