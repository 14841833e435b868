#include "base/quantiles.h"
#include <math.h>

void lun_quantiles_add(struct lun_quantiles *h, int64_t value, double weight)
{
    size_t i = lun_histogram_index(value);
    if (!(weight > 0)) return;
    h->n++;
    h->w[i] += weight;
    h->ww[i] += weight * weight;
}

static double sum(const double *of)
{
    double all = 0;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) all += of[i];
    return all;
}

/* Where so much weight is below. `squares`: of what is. */
static double where(const struct lun_quantiles *h, double wanted, double *squares)
{
    double below = 0, at = 0;
    *squares = 0;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        if (h->w[i] <= 0) continue;
        double part = fmin((wanted - below) / h->w[i], 1);
        at = (double)lun_histogram_floor(i) + part * (double)(lun_histogram_floor(i + 1) - lun_histogram_floor(i));
        *squares += part * h->ww[i];
        if (part < 1) break;
        below += h->w[i];
    }
    return at;
}

struct lun_interval lun_quantiles_get(const struct lun_quantiles *h, double q)
{
    double all = sum(h->w), squares, ignored;
    if (h->n < 2) return lun_interval_around(NAN, NAN);
    double value = where(h, q * all, &squares), above = sum(h->ww) - squares;
    double variance = (1 - q) * (1 - q) * squares + q * q * above;                  /* of weight × (whether it is below − q) */
    struct lun_interval share = lun_interval_around(q, sqrt(variance > 0 ? variance : 0) / all);
    return (struct lun_interval){ value, share.low > 0 ? where(h, share.low * all, &ignored) : 0, share.high < 1 ? where(h, share.high * all, &ignored) : INFINITY };
}
