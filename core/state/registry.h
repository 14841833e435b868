/* What outlives a configuration, found by name: the states of targets, providers and clients, the accounts, the store, the
 * response cache, the quotas, the metrics. One per gateway (never global: two gateways may live in one process). */
#ifndef LUN_STATE_REGISTRY_H
#define LUN_STATE_REGISTRY_H
#include "state/budget.h"
#include "state/cache.h"
#include "state/health.h"
#include "state/keyring.h"
#include "state/limit.h"
#include "state/metrics.h"
#include "state/shares.h"
#include "state/snapshot.h"
#include "state/store.h"

struct lun_registry {
    struct lun_money *money;
    struct lun_store *store;
    struct lun_cache *cache;
    struct lun_quota *retries, *hedges;
    struct lun_metrics *metrics;
    struct lun_shares *shares;          /* of all rates, should they be had together with other gateways */
    struct lun_told_rests { void (*tell)(void *self, const struct lun_target *, int key, const struct lun_rests *); void *self; } rests;   /* any thread; NULL: nobody */
    struct lun_told_emptied { void (*tell)(void *self); void *self; } emptied;      /* that the cache was, here: any thread; NULL: nobody */
    const struct lun_zone *zone;        /* of the budgets of keys that are made at run time: that of the last snapshot bound or applied */
    struct lun_registry_names *names;
    struct lun_registry *of;            /* NULL: it lies beside none */
};
/* The canary of that name, made where there is none yet. One thread at a time, and not beside lun_registry_bind. */
struct lun_canary *lun_registry_canary(struct lun_registry *, const char *name);
/* Calls for each there is, also those that the configuration has no more. Likewise. */
void lun_registry_canaries(struct lun_registry *, void (*each)(void *self, const char *name, struct lun_canary *), void *self);
struct lun_registry *lun_registry_new(void);
void lun_registry_empty_cache(struct lun_registry *);       /* for whoever shares it too. Any thread */
/* One beside another, for a version that is only tried: what that one knows is seen as it is, what is made, counted or stored stays here. It ends before
 * that one. */
struct lun_registry *lun_registry_aside(struct lun_registry *of);
void lun_registry_free(struct lun_registry *);      /* after the last snapshot that was bound to it */

/* Fills the `state` and `account` fields of a fresh snapshot, before it is published: those known by name are found again,
 * others made. Its providers, targets, teams and clients must lie in memory that can be written to, and each target's `provider`
 * be one of its own. Limits that a reload changed apply from here on, also to who still holds the old snapshot. One thread at a
 * time. What lies in the snapshot's arena dies with it; what is known by name lives as long as the registry. */
void lun_registry_bind(struct lun_registry *, struct lun_snapshot *);
/* The same beside another one: `state` and `account` are those that it knows by name, under the limits in force there; what it does not know is made
 * here. On the thread that binds there. */
void lun_registry_bind_aside(struct lun_registry *, struct lun_snapshot *);
/* The same for a key that was made at run time, before it is in a ring that is in use. */
void lun_registry_bind_key(struct lun_registry *, struct lun_key *);
/* Puts the limits of a snapshot that was bound before into force again, where another one's have been since. Any thread, one at a time. */
void lun_registry_apply(struct lun_registry *, const struct lun_snapshot *);
/* Behind it: the budgets of keys that were made at run time, in that snapshot's zone. */
void lun_registry_apply_keys(struct lun_registry *, const struct lun_snapshot *, const struct lun_keyring *);
#endif
