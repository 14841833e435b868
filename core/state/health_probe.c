#include "state/health.h"
#include "state/standing.h"
#include <string.h>

static struct lun_provider_record *record_of(const struct lun_provider *p) { return p->state->record; }
static bool belongs(const struct lun_target *t, const struct lun_provider *p) { return t->provider == p || !strcmp(t->provider->name, p->name); }

const char *lun_probe_result_name(enum lun_probe_result r)
{
#define X(id, name, text) name,
    static const char *const names[] = { LUN_PROBE_RESULTS(X) };
#undef X
    return names[r];
}

/* ---- a provider's own circuit ---- */

lun_us lun_standing_down_until(const struct lun_provider *p, lun_us now)
{
    struct lun_provider_record *r = record_of(p);
    if (!p->probe.every) return 0;
    pthread_mutex_lock(&r->lock);
    lun_us until = lun_breaker_until(&r->breaker, &p->health, now);
    pthread_mutex_unlock(&r->lock);
    return until;
}

bool lun_standing_down_begin(const struct lun_provider *p, lun_us now, bool insist)
{
    struct lun_provider_record *r = record_of(p);
    if (!p->probe.every) return true;
    pthread_mutex_lock(&r->lock);
    bool go = insist || !lun_breaker_until(&r->breaker, &p->health, now);
    if (go) lun_breaker_begin(&r->breaker, now);
    pthread_mutex_unlock(&r->lock);
    return go;
}

void lun_standing_down_end(const struct lun_provider *p, enum lun_verdict v, uint64_t who, lun_us began, lun_us now)
{
    struct lun_provider_record *r = record_of(p);
    if (!p->probe.every) return;
    pthread_mutex_lock(&r->lock);
    lun_breaker_end(&r->breaker, &p->health, v, who, began, now);
    pthread_mutex_unlock(&r->lock);
}

/* ---- down, and back ---- */

/* When a circuit opened, or was last made to wait; 0: it is closed. */
static lun_us opened(pthread_mutex_t *lock, const struct lun_breaker *b)
{
    pthread_mutex_lock(lock);
    lun_us at = b->is == LUN_CIRCUIT_CLOSED ? 0 : b->changed;
    pthread_mutex_unlock(lock);
    return at;
}

/* The last of its targets' circuits to open; 0: one is closed, or there are none. */
static lun_us all_opened(const struct lun_snapshot *s, const struct lun_provider *p)
{
    lun_us last = 0;
    for (int i = 0; i < s->n_targets; i++) {
        if (!belongs(&s->targets[i], p)) continue;
        struct lun_target_record *r = s->targets[i].state->record;
        lun_us at = opened(&r->lock, &r->breaker);
        if (!at) return 0;
        if (at > last) last = at;
    }
    return last;
}

lun_us lun_health_down_since(const struct lun_snapshot *s, const struct lun_provider *p)
{
    if (p->health.off) return 0;
    lun_us own = p->probe.every ? opened(&record_of(p)->lock, &record_of(p)->breaker) : 0, all = all_opened(s, p);
    return !own || (all && all < own) ? all : own;
}

static void mend(pthread_mutex_t *lock, struct lun_breaker *b, lun_us began, lun_us now)
{
    pthread_mutex_lock(lock);
    lun_breaker_mend(b, began, now);
    pthread_mutex_unlock(lock);
}

static void extend(pthread_mutex_t *lock, struct lun_breaker *b, lun_us until)
{
    pthread_mutex_lock(lock);
    lun_breaker_extend(b, until);
    pthread_mutex_unlock(lock);
}

void lun_health_probed(const struct lun_snapshot *s, const struct lun_provider *p, enum lun_probe_result result, int status, lun_us began, lun_us now)
{
    struct lun_provider_record *r = record_of(p);
    bool good = result == LUN_PROBE_GOOD, bad = result == LUN_PROBE_FAILED || result == LUN_PROBE_REFUSED;
    atomic_store_explicit(&r->probe_status, status, memory_order_relaxed);
    atomic_store_explicit(&r->probe_result, (int)result, memory_order_relaxed);
    atomic_store_explicit(&r->probed_at, now, memory_order_relaxed);
    if (good) mend(&r->lock, &r->breaker, began, now), atomic_store_explicit(&r->failures, 0, memory_order_relaxed);
    if (bad) extend(&r->lock, &r->breaker, now + p->health.rest);
    for (int i = 0; i < s->n_targets; i++) {
        if (!belongs(&s->targets[i], p)) continue;
        struct lun_target_record *t = s->targets[i].state->record;
        if (good) mend(&t->lock, &t->breaker, began, now);
        if (bad) extend(&t->lock, &t->breaker, now + p->health.rest);
    }
}

struct lun_probe_view lun_health_last_probe(const struct lun_provider *p)
{
    struct lun_provider_record *r = record_of(p);
    return (struct lun_probe_view){ atomic_load_explicit(&r->probed_at, memory_order_relaxed),
        (enum lun_probe_result)atomic_load_explicit(&r->probe_result, memory_order_relaxed), atomic_load_explicit(&r->probe_status, memory_order_relaxed) };
}

bool lun_health_key_checked(const struct lun_provider *p, int key, bool mark)
{
    struct lun_key_record *k = p->state->keys[key];
    return mark ? atomic_exchange_explicit(&k->checked, true, memory_order_relaxed) : atomic_load_explicit(&k->checked, memory_order_relaxed);
}

static int news(atomic_bool *told, bool is)
{
    bool was = atomic_exchange_explicit(told, is, memory_order_relaxed);
    return is - was;
}

int lun_health_down_news(const struct lun_snapshot *s, const struct lun_provider *p) { return news(&record_of(p)->told_down, lun_health_down_since(s, p)); }

int lun_health_key_news(const struct lun_provider *p, int key)
{
    struct lun_key_record *k = p->state->keys[key];
    return news(&k->told_out, atomic_load_explicit(&k->out, memory_order_relaxed));
}
