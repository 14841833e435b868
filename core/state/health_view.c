#include "state/health.h"
#include "state/standing.h"
#include <assert.h>
#include <string.h>

const char *lun_circuit_name(enum lun_circuit c)
{
    return c == LUN_CIRCUIT_OPEN ? "open" : c == LUN_CIRCUIT_HALF_OPEN ? "half_open" : "closed";
}

const char *lun_provider_health_name(enum lun_provider_health h)
{
    return h == LUN_DOWN ? "down" : h == LUN_DEGRADED ? "degraded" : "healthy";
}

static double share(int good, int n) { return n ? (double)good / n : 1; }

void lun_health_look(const struct lun_target *t, lun_us now, struct lun_health_view *v)
{
    struct lun_target_record *r = t->state->record;
    lun_us until = lun_health_rests_until(t, now);
    int good;
    pthread_mutex_lock(&r->lock);
    const struct lun_measures *m = &r->measures;
    *v = (struct lun_health_view){
        .circuit = t->provider->health.off ? LUN_CIRCUIT_CLOSED : lun_breaker_now(&r->breaker, now),
        .in_flight = r->in_flight, .failures_in_a_row = r->breaker.row, .rests_until = until,
        .latency = (lun_us)m->peak.is, .ttft = (lun_us)m->ttft.is, .requests = m->requests, .failures = m->failures,
    };
    int n = lun_measures_rated(m, &good);
    pthread_mutex_unlock(&r->lock);
    v->success_rate = share(good, n);
    v->healthy = !until;
}

static_assert(LUN_HEALTH_RECENT == LUN_RATED + 1, "as many as are rated");

void lun_health_recent(const struct lun_target *t, char out[LUN_HEALTH_RECENT])
{
    struct lun_target_record *r = t->state->record;
    pthread_mutex_lock(&r->lock);
    lun_measures_recent(&r->measures, out);
    pthread_mutex_unlock(&r->lock);
}

lun_us lun_health_mean_latency(const struct lun_target *t, int last_n)
{
    struct lun_target_record *r = t->state->record;
    pthread_mutex_lock(&r->lock);
    lun_us mean = lun_measures_mean(&r->measures, last_n);
    pthread_mutex_unlock(&r->lock);
    return mean;
}

lun_us lun_health_quantile(const struct lun_target *t, bool first_byte, double q)
{
    struct lun_target_record *r = t->state->record;
    uint32_t samples[LUN_SAMPLES];
    pthread_mutex_lock(&r->lock);
    int n = lun_samples_copy(first_byte ? &r->measures.first_byte : &r->measures.latency, samples);
    pthread_mutex_unlock(&r->lock);
    return lun_samples_quantile(samples, n, q);
}

double lun_health_load(const struct lun_target *t, lun_us now)
{
    struct lun_target_record *r = t->state->record;
    pthread_mutex_lock(&r->lock);
    double load = lun_measures_load(&r->measures, r->in_flight, now);
    pthread_mutex_unlock(&r->lock);
    return load;
}

static bool belongs(const struct lun_target *t, const struct lun_provider *p) { return t->provider == p || !strcmp(t->provider->name, p->name); }

enum lun_provider_health lun_health_provider(const struct lun_snapshot *s, const struct lun_provider *p, lun_us now)
{
    int all = 0, rest = 0;
    for (int i = 0; i < s->n_targets; i++) {
        if (!belongs(&s->targets[i], p)) continue;
        all++;
        rest += lun_health_rests(&s->targets[i], now);
    }
    if (rest && rest == all) return LUN_DOWN;
    return rest || lun_health_down_since(s, p) ? LUN_DEGRADED : LUN_HEALTHY;
}

void lun_health_provider_look(const struct lun_snapshot *s, const struct lun_provider *p, lun_us now, struct lun_provider_view *v)
{
    int good = 0, rated = 0, known = 0, g;
    double latency = 0;
    for (int i = 0; i < s->n_targets; i++) {
        if (!belongs(&s->targets[i], p)) continue;
        struct lun_target_record *r = s->targets[i].state->record;
        pthread_mutex_lock(&r->lock);
        rated += lun_measures_rated(&r->measures, &g);
        good += g;
        known += r->measures.peak.is > 0;
        latency += r->measures.peak.is;
        pthread_mutex_unlock(&r->lock);
    }
    lun_us cooling = p->state->record->cooling_until;
    *v = (struct lun_provider_view){
        .state = lun_health_provider(s, p, now), .failures = p->state->record->failures, .cooling_until = cooling > now ? cooling : 0,
        .latency = known ? (lun_us)(latency / known) : 0, .success_rate = share(good, rated),
    };
}
