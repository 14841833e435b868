#include "state/recovery.h"
#include <math.h>
#include <stdlib.h>

#define DECIMALS 1e6

static int order(double a, double b) { return (a < b) - (a > b); }

static int first_the_highest(const void *one, const void *other)
{
    const struct lun_routed *a = one, *b = other;
    int by = order(a->score, b->score);
    if (!by) by = order(a->strong, b->strong);
    return by ? by : order(a->weak, b->weak);
}

void lun_recovery_sort(struct lun_routed *r, size_t n)
{
    if (n) qsort(r, n, sizeof *r, first_the_highest);
}

void lun_recovery_ends(const struct lun_routed *r, size_t n, double *weak, double *strong)
{
    *weak = *strong = 0;
    for (size_t i = 0; i < n; i++) *weak += r[i].weak, *strong += r[i].strong;
    *weak /= (double)n, *strong /= (double)n;
}

/* The end of those that have the score of the i-th; adds what they gain. */
static size_t equals(const struct lun_routed *r, size_t n, size_t i, double *gain)
{
    size_t end = i;
    for (; end < n && r[end].score == r[i].score; end++) *gain += r[end].strong - r[end].weak;
    return end;
}

static double whole_gain(const struct lun_routed *r, size_t n)
{
    double gain = 0;
    for (size_t i = 0; i < n; ) i = equals(r, n, i, &gain);
    return gain;
}

double lun_recovery_apgr(const struct lun_routed *r, size_t n)
{
    double gain = 0, area = 0;
    for (size_t i = 0, end; i < n; i = end) {
        double before = gain;
        end = equals(r, n, i, &gain);
        area += (double)(end - i) * (before + gain) / 2;
    }
    return area / gain / (double)n;
}

/* The delta method on a ratio of a U-statistic to a mean. A question counts by what it gains, times the share of those behind it, and by what it stands behind. */
struct lun_interval lun_recovery_apgr_interval(const struct lun_routed *r, size_t n)
{
    double apgr = lun_recovery_apgr(r, n), whole = whole_gain(r, n), before = 0, squares = 0;
    for (size_t i = 0, end; i < n; i = end) {
        double gain = 0;
        end = equals(r, n, i, &gain);
        double behind = 1 - (double)(i + end) / 2 / (double)n, above = before + gain / 2;
        for (size_t k = i; k < end; k++) {
            double off = (double)n * (r[k].strong - r[k].weak) * (behind - apgr) + above - apgr * whole;
            squares += off * off;
        }
        before += gain;
    }
    return lun_interval_around(apgr, sqrt(squares) / fabs(whole) / (double)n);
}

double lun_recovery_cpt(const struct lun_routed *r, size_t n, double pgr)
{
    double gain = 0, wanted = pgr * whole_gain(r, n);
    if (wanted <= 0) return 0;
    for (size_t i = 0, end; i < n; i = end) {
        double before = gain;
        end = equals(r, n, i, &gain);
        if (gain >= wanted) return ((double)i + (double)(end - i) * (wanted - before) / (gain - before)) / (double)n;
    }
    return 1;
}

struct lun_recovery_at lun_recovery_at(const struct lun_routed *r, size_t n, double threshold)
{
    double gain = 0, quality = 0;
    size_t above = 0;
    for (; above < n && r[above].score > threshold; above++) {
        gain += r[above].strong - r[above].weak;
        quality += r[above].strong;
    }
    for (size_t i = above; i < n; i++) quality += r[i].weak;
    return (struct lun_recovery_at){ threshold, (double)above / (double)n, quality / (double)n, gain / whole_gain(r, n) };
}

double lun_recovery_threshold(const struct lun_routed *r, size_t n, double share)
{
    size_t above = (size_t)(share * (double)n);
    if (above >= n) return (floor(r[n - 1].score * DECIMALS) - 1) / DECIMALS;
    return ceil(r[above].score * DECIMALS) / DECIMALS;
}
