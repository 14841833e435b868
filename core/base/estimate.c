#include "base/estimate.h"
#include <math.h>

#define NORMAL_95 1.959964      /* of a normal distribution's deviations, 95 % lie within so many on both sides */

static void count(struct lun_moments *m, int64_t n, double x)   /* Welford 1962 */
{
    double from = x - m->mean;
    m->mean += from / (double)n;
    m->square += from * (x - m->mean);
}

void lun_estimate_add(struct lun_estimate *e, double weight, double outcome, double then, double now)
{
    double wo = weight * outcome;
    e->n++;
    count(&e->weighted, e->n, wo);
    count(&e->robust, e->n, now + weight * (outcome - then));
    e->outcome += outcome;
    e->w += weight;
    e->ww += weight * weight;
    e->wo += wo;
    e->wwo += weight * wo;
    e->wwoo += wo * wo;
}

struct lun_interval lun_interval_around(double value, double deviation)
{
    return (struct lun_interval){ value, value - NORMAL_95 * deviation, value + NORMAL_95 * deviation };
}

static struct lun_interval of_mean(const struct lun_moments *m, int64_t n)
{
    if (n < 2) return lun_interval_around(NAN, NAN);
    return lun_interval_around(m->mean, sqrt(m->square / (double)(n - 1) / (double)n));
}

struct lun_interval lun_estimate_weighted(const struct lun_estimate *e) { return of_mean(&e->weighted, e->n); }
struct lun_interval lun_estimate_robust(const struct lun_estimate *e)   { return of_mean(&e->robust, e->n); }

struct lun_interval lun_estimate_normed(const struct lun_estimate *e)
{
    if (e->n < 2 || e->w <= 0) return lun_interval_around(NAN, NAN);
    double value = e->wo / e->w, square = e->wwoo - 2 * value * e->wwo + value * value * e->ww;    /* of weight × (outcome − value): the delta method */
    return lun_interval_around(value, sqrt(square > 0 ? square : 0) / e->w);
}

double lun_estimate_size(const struct lun_estimate *e)    { return e->ww > 0 ? e->w * e->w / e->ww : 0; }
double lun_estimate_outcome(const struct lun_estimate *e) { return e->n ? e->outcome / (double)e->n : 0; }
