#include "base/histogram.h"

enum { PART_BITS = 5 };
_Static_assert(1 << PART_BITS == LUN_HISTOGRAM_PARTS, "parts are a power of two");

static int64_t clamp(int64_t value)
{
    const int64_t most = (1LL << LUN_HISTOGRAM_BITS) - 1;
    return value < 0 ? 0 : value > most ? most : value;
}

size_t lun_histogram_index(int64_t value)
{
    uint64_t v = (uint64_t)clamp(value);
    if (v < 2 * LUN_HISTOGRAM_PARTS) return v;
    int shift = 63 - __builtin_clzll(v) - PART_BITS;
    return (size_t)shift * LUN_HISTOGRAM_PARTS + (v >> shift);
}

int64_t lun_histogram_floor(size_t index)
{
    if (index < 2 * LUN_HISTOGRAM_PARTS) return (int64_t)index;
    size_t shift = index / LUN_HISTOGRAM_PARTS - 1;
    return (int64_t)(index % LUN_HISTOGRAM_PARTS + LUN_HISTOGRAM_PARTS) << shift;
}

static int64_t middle(size_t index)
{
    return lun_histogram_floor(index) + (lun_histogram_floor(index + 1) - lun_histogram_floor(index)) / 2;
}

static uint64_t load(const _Atomic uint64_t *p) { return atomic_load_explicit(p, memory_order_relaxed); }

void lun_histogram_record(struct lun_histogram *h, int64_t value)
{
    value = clamp(value);
    atomic_fetch_add_explicit(&h->bucket[lun_histogram_index(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, (uint64_t)value, memory_order_relaxed);
}

uint64_t lun_histogram_count(const struct lun_histogram *h)
{
    uint64_t count = 0;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) count += load(&h->bucket[i]);
    return count;
}

uint64_t lun_histogram_sum(const struct lun_histogram *h) { return load(&h->sum); }

int64_t lun_histogram_quantile(const struct lun_histogram *h, double q)
{
    uint64_t seen = 0, count = lun_histogram_count(h);
    double wanted = q * (double)count;
    size_t last = 0;
    if (!count) return 0;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        uint64_t here = load(&h->bucket[i]);
        if (!here) continue;
        seen += here, last = i;
        if ((double)seen >= wanted) break;
    }
    return middle(last);
}

uint64_t lun_histogram_cumulate(const struct lun_histogram *h, const int64_t *bounds, size_t n, uint64_t *out)
{
    uint64_t seen = 0;
    size_t bound = 0;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        for (; bound < n && bounds[bound] < middle(i); bound++) out[bound] = seen;
        seen += load(&h->bucket[i]);
    }
    for (; bound < n; bound++) out[bound] = seen;
    return seen;
}

void lun_histogram_add(struct lun_histogram *h, const struct lun_histogram *from)
{
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        uint64_t here = load(&from->bucket[i]);
        if (here) atomic_fetch_add_explicit(&h->bucket[i], here, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&h->sum, load(&from->sum), memory_order_relaxed);
}
