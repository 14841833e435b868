#include "state/measures.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DECAY   (10.0 * (double)LUN_SECOND)
#define UNKNOWN 1e6             /* seconds: what one under way weighs where nobody has come back yet */

static double weight(lun_us from, lun_us to) { return exp(-(double)(to > from ? to - from : 0) / DECAY); }

static void note(struct lun_ewma *e, lun_us us, bool peak, lun_us now)
{
    double x = (double)us, w = weight(e->at, now);
    e->is = e->is <= 0 || (peak && x >= e->is) ? x : e->is * w + x * (1 - w);
    e->at = now;
}

static void sample(struct lun_samples *s, lun_us us)
{
    if (!s->us) s->us = lun_alloc(LUN_SAMPLES * sizeof *s->us);
    s->us[s->all++ % LUN_SAMPLES] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (s->n < LUN_SAMPLES) s->n++;
}

static void rate(struct lun_measures *m, bool good)
{
    m->rated[m->next_rated] = good;
    m->next_rated = (m->next_rated + 1) % LUN_RATED;
    if (m->n_rated < LUN_RATED) m->n_rated++;
}

void lun_measures_good(struct lun_measures *m, lun_us latency, lun_us first_byte, lun_us now)
{
    rate(m, true);
    if (latency > 0) {
        note(&m->peak, latency, true, now);
        sample(&m->latency, latency);
    }
    if (first_byte > 0) {
        note(&m->ttft, first_byte, false, now);
        sample(&m->first_byte, first_byte);
    }
}

void lun_measures_bad(struct lun_measures *m)
{
    rate(m, false);
    m->failures++;
}

void lun_measures_waited(struct lun_measures *m, lun_us latency, lun_us now)
{
    if (latency > 0) note(&m->peak, latency, true, now);
}

int lun_measures_rated(const struct lun_measures *m, int *good)
{
    *good = 0;
    for (int i = 0; i < m->n_rated; i++) *good += m->rated[i];
    return m->n_rated;
}

void lun_measures_recent(const struct lun_measures *m, char out[LUN_RATED + 1])
{
    int first = m->next_rated - m->n_rated + LUN_RATED;
    for (int i = 0; i < m->n_rated; i++) out[i] = m->rated[(first + i) % LUN_RATED] ? '+' : '-';
    out[m->n_rated] = '\0';
}

lun_us lun_measures_mean(const struct lun_measures *m, int last_n)
{
    const struct lun_samples *s = &m->latency;
    lun_us sum = 0;
    int n = last_n > LUN_RATED ? LUN_RATED : last_n;
    if (n > s->n) n = s->n;
    if (n <= 0) return 0;
    for (int i = 1; i <= n; i++) sum += s->us[(s->all - (uint64_t)i) % LUN_SAMPLES];
    return sum / n;
}

/* A peak fades only while nothing is under way: then one goes and looks again, and no herd follows it. */
double lun_measures_load(const struct lun_measures *m, int in_flight, lun_us now)
{
    if (m->peak.is <= 0) return in_flight > 0 ? UNKNOWN * (in_flight + 1) : 0;
    double seconds = m->peak.is / (double)LUN_SECOND;
    return in_flight > 0 ? seconds * (in_flight + 1) : seconds * weight(m->peak.at, now);
}

int lun_samples_copy(const struct lun_samples *s, uint32_t out[LUN_SAMPLES])
{
    if (s->n) memcpy(out, s->us, (size_t)s->n * sizeof *out);
    return s->n;
}

static int split(uint32_t *a, int low, int high)
{
    uint32_t pivot = a[low + (high - low) / 2];
    int i = low - 1, j = high + 1;
    for (;;) {
        while (a[++i] < pivot) continue;
        while (a[--j] > pivot) continue;
        if (i >= j) return j;
        uint32_t swap = a[i];
        a[i] = a[j];
        a[j] = swap;
    }
}

lun_us lun_samples_quantile(uint32_t *a, int n, double q)
{
    if (n <= 0) return 0;
    int rank = q > 0 ? (int)ceil((q < 1 ? q : 1) * n) - 1 : 0, low = 0, high = n - 1;
    while (low < high) {
        int middle = split(a, low, high);
        if (rank <= middle) high = middle;
        else low = middle + 1;
    }
    return a[rank];
}

void lun_measures_free(struct lun_measures *m)
{
    free(m->latency.us);
    free(m->first_byte.us);
}
