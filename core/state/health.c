#include "state/health.h"
#include "state/standing.h"

#define A_DAY (86400 * LUN_SECOND)

static struct lun_target_record *record_of(const struct lun_target *t)           { return t->state->record; }
static struct lun_provider_record *provider_record(const struct lun_provider *p) { return p->state->record; }
static const struct lun_health_rules *rules_of(const struct lun_target *t)       { return &t->provider->health; }

static lun_us later(lun_us a, lun_us b) { return a > b ? a : b; }
static lun_us within_a_day(lun_us wait)   { return wait > A_DAY ? A_DAY : later(wait, 0); }

/* How long that is, or 0 where it rests nearly so long already. */
static lun_us rest(_Atomic lun_us *at, lun_us now, lun_us wait)
{
    lun_us old = atomic_load_explicit(at, memory_order_relaxed), until = now + wait;
    while (old < until && !atomic_compare_exchange_weak_explicit(at, &old, until, memory_order_relaxed, memory_order_relaxed)) continue;
    return until - later(old, now) > wait / 8 ? wait : 0;
}

static lun_us resting(_Atomic lun_us *at, lun_us now)
{
    lun_us until = atomic_load_explicit(at, memory_order_relaxed);
    return until > now ? until : 0;
}

static struct lun_lane *lane_of(const struct lun_target *t, int key)
{
    if (!t->provider->n_keys) return t->state->lanes[0];
    return key >= 0 && key < t->state->n_lanes ? t->state->lanes[key] : NULL;
}

static lun_us lane_until(struct lun_lane *l, lun_us now)
{
    if (atomic_load_explicit(&l->key->out, memory_order_relaxed)) return LUN_NEVER;
    return later(resting(&l->rests_until, now), resting(&l->key->rests_until, now));
}

static lun_us keys_until(const struct lun_target *t, lun_us now)
{
    lun_us earliest = LUN_NEVER;
    for (int i = 0; earliest && i < t->state->n_lanes; i++) {
        lun_us until = lane_until(t->state->lanes[i], now);
        if (until < earliest) earliest = until;
    }
    return earliest;
}

/* But for circuits. */
static lun_us waits_until(const struct lun_target *t, lun_us now)
{
    return later(resting(&provider_record(t->provider)->cooling_until, now), keys_until(t, now));
}

/* But for its own circuit: of what needs no lock of the target. */
static lun_us others_until(const struct lun_target *t, lun_us now) { return later(waits_until(t, now), lun_standing_down_until(t->provider, now)); }

/* A policy asks it of each of its targets: most circuits are closed, and those are told without the lock. */
lun_us lun_health_rests_until(const struct lun_target *t, lun_us now)
{
    struct lun_target_record *r = record_of(t);
    if (rules_of(t)->off) return 0;
    if (lun_breaker_closed(&r->breaker)) return others_until(t, now);
    pthread_mutex_lock(&r->lock);
    lun_us until = later(others_until(t, now), lun_breaker_until(&r->breaker, rules_of(t), now));
    pthread_mutex_unlock(&r->lock);
    return until;
}

lun_us lun_health_barred_until(const struct lun_target *t, lun_us now)
{
    if (rules_of(t)->off) return 0;
    return (lun_breaker_closed(&record_of(t)->breaker) ? others_until : waits_until)(t, now);
}

bool lun_health_rests(const struct lun_target *t, lun_us now) { return lun_health_rests_until(t, now) != 0; }

/* But for its own circuit. The provider's says last whether it goes: what it lets through it counts. */
static bool begin_by_others(const struct lun_target *t, lun_us now, bool insist)
{
    return (insist || !waits_until(t, now)) && lun_standing_down_begin(t->provider, now, insist);
}

static bool begin_by_circuit(const struct lun_target *t, lun_us now, bool insist)
{
    struct lun_target_record *r = record_of(t);
    pthread_mutex_lock(&r->lock);
    bool go = (insist || !lun_breaker_until(&r->breaker, rules_of(t), now)) && begin_by_others(t, now, insist);
    if (go) lun_breaker_begin(&r->breaker, now);
    pthread_mutex_unlock(&r->lock);
    return go;
}

/* A closed circuit counts nobody in: no lock. */
bool lun_health_begin(const struct lun_target *t, lun_us now, bool insist)
{
    struct lun_target_record *r = record_of(t);
    if (!rules_of(t)->off && !(lun_breaker_closed(&r->breaker) ? begin_by_others : begin_by_circuit)(t, now, insist)) return false;
    atomic_fetch_add_explicit(&r->in_flight, 1, memory_order_relaxed);
    return true;
}

/* What an attempt's kind says of the target at all; of the circuit only those that break say something. */
static enum lun_verdict verdict(enum lun_kind kind)
{
    switch (kind) {
    case LUN_KIND_OK: return LUN_VERDICT_GOOD;
    case LUN_KIND_CANCELLED: case LUN_KIND_SKIPPED: case LUN_KIND_BAD_REQUEST: case LUN_KIND_FILTERED: case LUN_KIND_TOO_LONG:
    case LUN_KIND_NOT_FOUND: return LUN_VERDICT_NEITHER;
    default: return LUN_VERDICT_BAD;
    }
}

static void measure(struct lun_measures *m, const struct lun_report *report, lun_us now)
{
    m->requests++;
    switch (verdict(report->kind)) {
    case LUN_VERDICT_GOOD: lun_measures_good(m, report->latency, report->first_byte, now); break;
    case LUN_VERDICT_BAD:  lun_measures_bad(m); break;
    case LUN_VERDICT_NEITHER: break;
    }
    if (report->kind == LUN_KIND_FIRST_BYTE_TIMEOUT || report->kind == LUN_KIND_IDLE_TIMEOUT || report->kind == LUN_KIND_TOTAL_TIMEOUT)
        lun_measures_waited(m, report->latency, now);
}

static lun_us began(const struct lun_report *report, lun_us now) { return report->began ? report->began : now - later(report->latency, 0); }

static void break_or_mend(const struct lun_target *t, const struct lun_report *report, lun_us now)
{
    atomic_int *row = &provider_record(t->provider)->failures;
    enum lun_verdict v = report->kind == LUN_KIND_OK ? LUN_VERDICT_GOOD : lun_kind_breaks(report->kind) ? LUN_VERDICT_BAD : LUN_VERDICT_NEITHER;
    lun_breaker_end(&record_of(t)->breaker, rules_of(t), v, report->who, began(report, now), now);
    lun_standing_down_end(t->provider, report->kind == LUN_KIND_RATE_LIMITED ? LUN_VERDICT_BAD : v, report->who, began(report, now), now);
    if (v == LUN_VERDICT_GOOD) atomic_store_explicit(row, 0, memory_order_relaxed);
    if (v == LUN_VERDICT_BAD) atomic_fetch_add_explicit(row, 1, memory_order_relaxed);
}

/* One that was under way already when the last was made is of the same burst: it says nothing new. */
static lun_us next_backoff(struct lun_lane *l, lun_us began, lun_us now)
{
    if (l->backoff && began < l->backed_off) return l->backoff;
    lun_us wait = l->backoff ? 2 * l->backoff : LUN_HEALTH_BACKOFF;
    l->backed_off = now;
    return l->backoff = wait < LUN_HEALTH_BACKOFF_MOST ? wait : LUN_HEALTH_BACKOFF_MOST;
}

static void refuse_key(const struct lun_target *t, struct lun_lane *l, int status, lun_us now)
{
    if (status == 401 && t->provider->n_keys) atomic_store_explicit(&l->key->out, true, memory_order_relaxed);
    else rest(&l->rests_until, now, LUN_HEALTH_AUTH_REST);
}

static struct lun_rests cool(const struct lun_target *t, const struct lun_report *report, lun_us now)
{
    struct lun_rests rests = {0};
    struct lun_lane *l = lane_of(t, report->key);
    lun_us said = within_a_day(report->retry_after);
    lun_us wait = said || !l || report->kind != LUN_KIND_RATE_LIMITED ? said : next_backoff(l, began(report, now), now);
    bool busy = report->kind == LUN_KIND_RATE_LIMITED || report->kind == LUN_KIND_OVERLOADED;
    if (busy && wait && rules_of(t)->cooling_provider) rests.provider = rest(&provider_record(t->provider)->cooling_until, now, wait);
    if (!l) return rests;
    switch (report->kind) {
    case LUN_KIND_OK:           l->backoff = 0; break;
    case LUN_KIND_RATE_LIMITED: case LUN_KIND_OVERLOADED: rests.lane = rest(&l->rests_until, now, wait); break;
    case LUN_KIND_QUOTA:        rests.key = rest(&l->key->rests_until, now, said ? said : LUN_HEALTH_QUOTA_REST); break;
    case LUN_KIND_AUTH:         refuse_key(t, l, report->status, now); break;
    default: break;
    }
    return rests;
}

struct lun_rests lun_health_end(const struct lun_target *t, const struct lun_report *report, lun_us now)
{
    struct lun_target_record *r = record_of(t);
    struct lun_rests rests = {0};
    pthread_mutex_lock(&r->lock);
    atomic_fetch_sub_explicit(&r->in_flight, 1, memory_order_relaxed);
    measure(&r->measures, report, now);
    if (!rules_of(t)->off) {
        break_or_mend(t, report, now);
        rests = cool(t, report, now);
    }
    pthread_mutex_unlock(&r->lock);
    return rests;
}

void lun_health_rest(const struct lun_target *t, int key, const struct lun_rests *rests, lun_us now)
{
    struct lun_lane *l = lane_of(t, key);
    if (rules_of(t)->off) return;
    if (rests->provider) rest(&provider_record(t->provider)->cooling_until, now, within_a_day(rests->provider));
    if (l && rests->lane) rest(&l->rests_until, now, within_a_day(rests->lane));
    if (l && rests->key) rest(&l->key->rests_until, now, within_a_day(rests->key));
}

bool lun_health_key_usable(const struct lun_target *t, int key, lun_us now)
{
    struct lun_lane *l = lane_of(t, key);
    return l && (rules_of(t)->off || !lane_until(l, now));
}

int lun_health_key_next(const struct lun_target *t, lun_us now)
{
    atomic_int *last = &record_of(t)->last_key;
    int from = atomic_load_explicit(last, memory_order_relaxed), key;
    do key = lun_standing_key_after(t, from, now);
    while (key >= 0 && !atomic_compare_exchange_weak_explicit(last, &from, key, memory_order_relaxed, memory_order_relaxed));
    return key;
}

static struct lun_key_record *key_of(const struct lun_provider *p, int key) { return key >= 0 && key < p->n_keys ? p->state->keys[key] : NULL; }

void lun_health_key_out(const struct lun_provider *p, int key)
{
    struct lun_key_record *k = key_of(p, key);
    if (k) atomic_store_explicit(&k->out, true, memory_order_relaxed);
}

void lun_health_key_back(const struct lun_provider *p, int key)
{
    struct lun_key_record *k = key_of(p, key);
    if (k) atomic_store_explicit(&k->out, false, memory_order_relaxed);
}

bool lun_health_key_is_out(const struct lun_provider *p, int key)
{
    struct lun_key_record *k = key_of(p, key);
    return k && atomic_load_explicit(&k->out, memory_order_relaxed);
}
