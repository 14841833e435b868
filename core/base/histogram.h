/* How a quantity is distributed: counts in buckets of fixed bounds, after the idea of HdrHistogram (Gil Tene). Up to 64 each
 * value has a bucket of its own; above, each power of two is cut into 32, so that a bucket is at most 1/32 (3.1 %) of its
 * value wide, and a quantile, told from the middle of its bucket, is off by at most 1.6 %. Values are microseconds as a rule,
 * but any counts do (tokens, bytes).
 *
 * Any number of threads may record and read at once without a lock: each count is one relaxed atomic addition. A reader sees
 * each count as it was at some moment during the reading, not all at the same one. Zero-initialised it is empty and valid;
 * nothing to free. 8.2 KiB each. */
#ifndef LUN_BASE_HISTOGRAM_H
#define LUN_BASE_HISTOGRAM_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { LUN_HISTOGRAM_BITS = 36, LUN_HISTOGRAM_PARTS = 32,
       LUN_HISTOGRAM_BUCKETS = (LUN_HISTOGRAM_BITS - 4) * LUN_HISTOGRAM_PARTS };

struct lun_histogram { _Atomic uint64_t sum, bucket[LUN_HISTOGRAM_BUCKETS]; };

/* Negative values count as 0; those from 2^36 (19 hours of microseconds) on as 2^36 - 1, in their bucket and in the sum. */
void lun_histogram_record(struct lun_histogram *, int64_t value);

uint64_t lun_histogram_count(const struct lun_histogram *);
uint64_t lun_histogram_sum(const struct lun_histogram *);

/* The value below which a share `q` (0 to 1) of all lies: the smallest bucket that, with those below it, holds at least q of
 * the count, told by its middle. 0 when nothing was recorded. */
int64_t lun_histogram_quantile(const struct lun_histogram *, double q);

/* For an exposition with bounds of its own, rising: out[i] becomes the count of values <= bounds[i]. Where a bound divides a
 * bucket, the bucket counts to it if its middle does. Returns the count of all, never less than the last of out, for the
 * bound +Inf: one reading, so that the figures agree among themselves. */
uint64_t lun_histogram_cumulate(const struct lun_histogram *, const int64_t *bounds, size_t n, uint64_t *out);

/* Adds all of `from`, say that of another worker. */
void lun_histogram_add(struct lun_histogram *, const struct lun_histogram *from);

/* Which bucket a value falls into, and the least value of a bucket (of LUN_HISTOGRAM_BUCKETS: where the last one ends). */
size_t  lun_histogram_index(int64_t value);
int64_t lun_histogram_floor(size_t index);
#endif
