#include "state/standing.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

struct lun_provider_record *lun_provider_record_new(void)
{
    struct lun_provider_record *r = lun_zalloc(sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

struct lun_target_record *lun_target_record_new(void)
{
    struct lun_target_record *r = lun_zalloc(sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->last_key = -1;
    return r;
}

void lun_provider_record_free(struct lun_provider_record *r)
{
    for (struct lun_key_record *k; (k = r->keys); free(k)) r->keys = k->next;
    lun_breaker_free(&r->breaker);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void lun_target_record_free(struct lun_target_record *r)
{
    for (struct lun_lane *l; (l = r->lanes); free(l)) {
        r->lanes = l->next;
        lun_limiter_free(l->limiter);
    }
    lun_breaker_free(&r->breaker);
    lun_measures_free(&r->measures);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static uint64_t fingerprint(const char *key)
{
    unsigned char hash[LUN_KEY_HASH];
    uint64_t print = 1;
    if (lun_key_hash(key, strlen(key), hash)) memcpy(&print, hash, sizeof print);
    explicit_bzero(hash, sizeof hash);
    return print | 1;
}

static struct lun_key_record *known_key(struct lun_provider_record *r, uint64_t print)
{
    struct lun_key_record *k = r->keys;
    while (k && k->fingerprint != print) k = k->next;
    return k;
}

static struct lun_key_record *key_record(struct lun_provider_record *r, uint64_t print)
{
    struct lun_key_record *k = known_key(r, print);
    if (k) return k;
    k = lun_zalloc(sizeof *k);
    k->fingerprint = print;
    k->next = r->keys;
    return r->keys = k;
}

/* For gateways to know it by. Of the key's hash a few bits. */
static void share(struct lun_shares *s, const char *target, const struct lun_lane *l)
{
    char *name = lun_printf("target %s %08x", target, (unsigned)(l->key->fingerprint >> 32));
    lun_shares_add(s, name, l->limiter);
    free(name);
}

static struct lun_lane *known_lane(struct lun_target_record *r, const struct lun_key_record *key)
{
    struct lun_lane *l = r->lanes;
    while (l && l->key != key) l = l->next;
    return l;
}

static struct lun_lane *lane(struct lun_target_record *r, struct lun_key_record *key, const char *target, struct lun_shares *s)
{
    struct lun_lane *l = known_lane(r, key);
    if (l) return l;
    l = lun_zalloc(sizeof *l);
    l->key = key;
    l->limiter = lun_limiter_new(0, 0);
    l->next = r->lanes;
    share(s, target, l);
    return r->lanes = l;
}

struct lun_provider_state *lun_provider_state_new(struct lun_arena *a, struct lun_provider_record *r, const struct lun_provider *p)
{
    struct lun_provider_state *s = lun_arena_zalloc(a, sizeof *s);
    s->record = r;
    s->n_keys = p->n_keys ? p->n_keys : 1;
    s->keys = lun_arena_zalloc(a, (size_t)s->n_keys * sizeof *s->keys);
    if (!p->n_keys) s->keys[0] = key_record(r, 0);
    for (int i = 0; i < p->n_keys; i++) s->keys[i] = key_record(r, fingerprint(p->keys[i].value));
    return s;
}

struct lun_provider_state *lun_provider_state_seen(struct lun_arena *a, struct lun_provider_record *r, const struct lun_provider *p)
{
    struct lun_provider_state *s = lun_arena_zalloc(a, sizeof *s);
    s->record = r;
    s->n_keys = p->n_keys ? p->n_keys : 1;
    s->keys = lun_arena_zalloc(a, (size_t)s->n_keys * sizeof *s->keys);
    for (int i = 0; i < s->n_keys; i++)
        if (!(s->keys[i] = known_key(r, p->n_keys ? fingerprint(p->keys[i].value) : 0))) return NULL;
    return s;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)      /* FNV-1a: it only has to notice a change */
{
    for (const unsigned char *at = bytes, *end = at + n; at < end; at++) hash = (hash ^ *at) * 0x100000001B3u;
    return hash;
}

/* What an operator may change so that what is claimed can be right after all. */
static uint64_t terms(const struct lun_target *t)
{
    uint64_t hash = mix(0xCBF29CE484222325u, &t->price, offsetof(struct lun_price, tiers));
    for (int i = 0; i < t->price.n_tiers; i++) hash = mix(mix(hash, &t->price.tiers[i].above, sizeof(int64_t)), &t->price.tiers[i].price, offsetof(struct lun_price, tiers));
    hash = mix(mix(hash, &t->context, sizeof t->context), &t->max_output, sizeof t->max_output);
    return (t->upstream ? mix(hash, t->upstream, strlen(t->upstream)) : hash) | 1;
}

struct lun_target_state *lun_target_state_new(struct lun_arena *a, struct lun_target_record *r, const struct lun_target *t, struct lun_shares *shares)
{
    struct lun_target_state *s = lun_arena_zalloc(a, sizeof *s);
    const struct lun_provider_state *p = t->provider->state;
    s->record = r;
    s->n_lanes = p->n_keys;
    s->lanes = lun_arena_zalloc(a, (size_t)s->n_lanes * sizeof *s->lanes);
    for (int i = 0; i < s->n_lanes; i++) {
        s->lanes[i] = lane(r, p->keys[i], t->name, shares);
        lun_limiter_set(s->lanes[i]->limiter, t->requests_per_minute, t->tokens_per_minute);
    }
    return s;
}

struct lun_target_state *lun_target_state_seen(struct lun_arena *a, struct lun_target_record *r, const struct lun_target *t)
{
    struct lun_target_state *s = lun_arena_zalloc(a, sizeof *s);
    const struct lun_provider_state *p = t->provider->state;
    s->record = r;
    s->n_lanes = p->n_keys;
    s->lanes = lun_arena_zalloc(a, (size_t)s->n_lanes * sizeof *s->lanes);
    for (int i = 0; i < s->n_lanes; i++) if (!(s->lanes[i] = known_lane(r, p->keys[i]))) return NULL;
    return s;
}

void lun_target_state_apply(const struct lun_target *t)
{
    struct lun_target_record *r = t->state->record;
    if (r->terms && r->terms != terms(t)) r->doubt = LUN_SUSPECT_NONE;
    r->terms = terms(t);
    for (int i = 0; i < t->state->n_lanes; i++) lun_limiter_set(t->state->lanes[i]->limiter, t->requests_per_minute, t->tokens_per_minute);
}

int lun_standing_key_after(const struct lun_target *t, int from, lun_us now)
{
    int n = t->provider->n_keys;
    for (int i = 1; i <= n; i++) {
        int key = (from + i) % n;
        if (lun_health_key_usable(t, key, now)) return key;
    }
    return -1;
}
