/* How the facts that outlive a configuration hang together; for the files of this folder only. A *record* is found by name and lives as
 * long as the registry; a *state* (what a snapshot's `state` fields point to) lies in the snapshot's arena and says which records its
 * targets and keys have. So a reload that swaps keys about moves nothing: what is known of a key follows its text, by a fingerprint.
 *
 * Records are found and made by one thread at a time (lun_registry_bind); lists only grow, at their head. */
#ifndef LUN_STATE_STANDING_H
#define LUN_STATE_STANDING_H
#include "state/breaker.h"
#include "state/limit.h"
#include "state/measures.h"
#include "state/shares.h"
#include <pthread.h>
#include <stdatomic.h>

struct lun_key_record {         /* a key of a provider, at all of its targets */
    struct lun_key_record *next;
    uint64_t fingerprint;       /* 0: the provider has no keys */
    atomic_bool out, told_out;
    atomic_bool checked;        /* the provider was asked about it, whatever came of it */
    _Atomic lun_us rests_until;
};
struct lun_provider_record {
    pthread_mutex_t lock;       /* of the breaker; taken inside of a target's */
    struct lun_breaker breaker; /* over all of its targets; fed only where it is probed */
    _Atomic lun_us probed_at;   /* when its last probe was over; 0: none was */
    atomic_int probe_result, probe_status;
    atomic_bool told_down;
    struct lun_key_record *keys;
    atomic_int failures;        /* in a row, over all of its targets */
    atomic_int calls;           /* under way: lun_limit_calls */
    _Atomic lun_us cooling_until;
};
struct lun_lane {               /* a target with one of the keys: the window of its rates, and its own rest */
    struct lun_lane *next;
    struct lun_key_record *key;
    struct lun_limiter *limiter;
    _Atomic lun_us rests_until;
    lun_us backoff, backed_off; /* the last wait that nobody said, and since when; under the target's lock */
};
struct lun_target_record {
    struct lun_lane *lanes;
    atomic_int last_key;        /* that was taken: the next one is behind it */
    atomic_int in_flight;
    atomic_int doubt;           /* enum lun_suspect: why its word on usage is not believed (doubt.h) */
    atomic_bool told_doubt;
    uint64_t terms;             /* a hash of what that word is measured by; only for who binds */
    pthread_mutex_t lock;       /* of what follows */
    struct lun_breaker breaker;
    struct lun_measures measures;
};

struct lun_provider_state { struct lun_provider_record *record; struct lun_key_record **keys; int n_keys; };
struct lun_target_state { struct lun_target_record *record; struct lun_lane **lanes; int n_lanes; };    /* as many as keys, or one without */

struct lun_client_state { struct lun_limiter *limiter; };      /* a record itself: nothing in it depends on the snapshot */

struct lun_provider_record *lun_provider_record_new(void);
struct lun_target_record *lun_target_record_new(void);
void lun_provider_record_free(struct lun_provider_record *);
void lun_target_record_free(struct lun_target_record *);

/* Make the states of one snapshot, in its arena. The provider's comes first; the target's also sets the rates of its lanes. */
struct lun_provider_state *lun_provider_state_new(struct lun_arena *, struct lun_provider_record *, const struct lun_provider *);
void lun_target_state_apply(const struct lun_target *);      /* its limits are in force from now on */
struct lun_target_state *lun_target_state_new(struct lun_arena *, struct lun_target_record *, const struct lun_target *, struct lun_shares *);

/* The same of a snapshot that is only tried: nothing is made in a record or changed there. NULL: something of it is not known there yet, a key. */
struct lun_provider_state *lun_provider_state_seen(struct lun_arena *, struct lun_provider_record *, const struct lun_provider *);
struct lun_target_state *lun_target_state_seen(struct lun_arena *, struct lun_target_record *, const struct lun_target *);

/* The circuit of a provider as a whole, for lun_health_rests_until, _begin and _end. Nothing, where it is not probed. _begin asks and counts in one step, as
 * others come at the same time, for other targets too; false: it lets nobody through, and nothing was counted. */
lun_us lun_standing_down_until(const struct lun_provider *, lun_us now);
bool lun_standing_down_begin(const struct lun_provider *, lun_us now, bool insist);
void lun_standing_down_end(const struct lun_provider *, enum lun_verdict, uint64_t who, lun_us began, lun_us now);

/* The usable key that comes after the one taken last, trying `n` of them from there on; -1: none. */
int lun_standing_key_after(const struct lun_target *, int from, lun_us now);
#endif
