#include "state/limit.h"
#include "state/limiter.h"
#include "state/standing.h"

static struct lun_limiter *limiter_of(const struct lun_target *t, int key)
{
    int lane = t->provider->n_keys ? key : 0;
    return lane >= 0 && lane < t->state->n_lanes && lun_limiter_limits(t->state->lanes[lane]->limiter) ? t->state->lanes[lane]->limiter : NULL;
}

bool lun_turn_counts(const struct lun_target *t) { return limiter_of(t, 0); }

static lun_us take(struct lun_limiter *l, struct lun_turn *turn, int key, lun_us now)
{
    turn->key = key;
    turn->limiter = NULL;
    turn->due = now;
    turn->where = 0;
    return l ? lun_limiter_take(l, turn, now) : now;
}

static int best_key(const struct lun_target *t, struct lun_turn *turn, lun_us now)
{
    int last = t->state->record->last_key, best = -1, key;
    lun_us earliest = LUN_NEVER;
    for (int i = 1, n = t->provider->n_keys; i <= n && earliest > now; i++) {
        key = (last + i) % n;
        if (!lun_health_key_usable(t, key, now)) continue;
        struct lun_limiter *l = limiter_of(t, key);
        lun_us due = l ? lun_limiter_peek(l, turn, now) : now;
        if (best < 0 || due < earliest) earliest = due, best = key;
    }
    return best;
}

lun_us lun_turn_take(const struct lun_target *t, struct lun_turn *turn, lun_us now)
{
    if (!t->provider->n_keys) return take(limiter_of(t, 0), turn, -1, now);
    int key = limiter_of(t, 0) ? best_key(t, turn, now) : lun_health_key_next(t, now);      /* the lanes of a target have equal limits */
    if (key < 0) {
        take(NULL, turn, -1, LUN_NEVER);
        return LUN_NEVER;
    }
    t->state->record->last_key = key;
    return take(limiter_of(t, key), turn, key, now);
}

void lun_turn_correct(const struct lun_target *t, int key, int64_t estimated, int64_t used, lun_us now)
{
    struct lun_limiter *l = limiter_of(t, key);
    if (l) lun_limiter_correct(l, estimated < 0 ? 0 : estimated, used < 0 ? 0 : used, now);
}

void lun_limit_told(const struct lun_target *t, int key, int64_t requests_left, int64_t tokens_left, lun_us now)
{
    struct lun_limiter *l = limiter_of(t, key);
    if (l) lun_limiter_told(l, requests_left, tokens_left, now);
}

static struct lun_tally left(const struct lun_target *t, lun_us now)
{
    struct lun_tally all = { -1, -1 };
    for (int i = 0; i < t->state->n_lanes; i++) {
        struct lun_tally one = lun_limiter_left(t->state->lanes[i]->limiter, now);
        if (one.requests >= 0) all.requests = one.requests + (all.requests > 0 ? all.requests : 0);
        if (one.tokens >= 0) all.tokens = one.tokens + (all.tokens > 0 ? all.tokens : 0);
    }
    return all;
}

int64_t lun_limit_requests_left(const struct lun_target *t, lun_us now) { return left(t, now).requests; }
int64_t lun_limit_tokens_left(const struct lun_target *t, lun_us now)   { return left(t, now).tokens; }

atomic_int *lun_limit_calls(const struct lun_provider *p) { return &p->state->record->calls; }

lun_us lun_limit_client(const struct lun_client_rule *c, lun_us now)
{
    return c->requests_per_minute > 0 ? lun_limiter_pass(c->state->limiter, now) : 0;
}
