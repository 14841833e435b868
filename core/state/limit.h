/* Rates: requests and tokens per minute over a sliding window of 60 s, per target and key and per client. Each who comes is
 * given the time of its slot on arrival; who leaves frees it, and those behind move up.
 *
 * The order of those who wait: batch work behind all other; within these two classes clients take turns; of one client the
 * first to come is the first to go. Nobody small overtakes somebody large, so nobody starves within a class. Batch work has at
 * most 70 % of a window, so that the rest always finds some of it. A turn of more tokens than the limit goes when the window is
 * empty.
 *
 * A slot's time is what will be if nobody comes before it in that order; so it can move to a later time too. Of that nobody is
 * told: who finds at its time that lun_turn_granted says no, reads lun_turn_due again, which is then later than `now`.
 *
 * Any thread. Time is passed in. A turn is embedded in what waits; it is in the limiter's list from take to use or leave. */
#ifndef LUN_STATE_LIMIT_H
#define LUN_STATE_LIMIT_H
#include "base/clock.h"
#include "state/snapshot.h"
#include <stdatomic.h>

struct lun_limiter;             /* one window; NULL is one without a limit */
struct lun_limiter *lun_limiter_new(int64_t requests_per_minute, int64_t tokens_per_minute);    /* 0: no such limit */
void lun_limiter_set(struct lun_limiter *, int64_t requests_per_minute, int64_t tokens_per_minute);     /* a reload changed it */
void lun_limiter_free(struct lun_limiter *);    /* nobody waits any more */

struct lun_turn {
    /* set by the caller before take */
    bool batch;                 /* batch work gets at most 70 % of a window */
    uint64_t who;               /* the client's number: within a class, clients take turns */
    int64_t tokens;             /* estimated, input and output */
    void (*moved)(struct lun_turn *);   /* `due` has moved to an earlier time. Any thread, under the limiter's lock: it may only
                                   post to its own thread. NULL: nobody is told */
    /* the limiter's; readable by the owner */
    struct lun_limiter *limiter;
    int key;                    /* which of the provider's keys the turn is for */
    lun_us due;                 /* when its slot comes (atomic; read with lun_turn_due) */
    struct lun_turn *next, *previous;
    int where;                  /* in which of the limiter's lines, from 1; 0: in none */
    uint64_t round;             /* of its class, in which clients take turns */
    lun_us planned;
};

/* A turn at a target: over its usable keys the one whose slot comes first (equal: in turn). The time of the slot; `now`
 * or before: go. LUN_NEVER: no key is usable, and nothing was taken. Exactly one of use and leave must follow. The key may become
 * unusable while its turn is waited for: ask lun_health_key_usable before use; if it is, leave and take again. */
lun_us lun_turn_take(const struct lun_target *, struct lun_turn *, lun_us now);
bool   lun_turn_counts(const struct lun_target *);              /* there is a limit: what a turn there says of its tokens is of any use */
lun_us lun_turn_due(const struct lun_turn *);
bool   lun_turn_granted(struct lun_turn *, lun_us now);         /* its time has come and it is its turn, those before it reckoned in. From
                                                                   then on, until use or leave, nobody goes before it */
void   lun_turn_use(struct lun_turn *, lun_us now);             /* it is sent: counts in the window for 60 s from now, also when it was
                                                                   not granted (insisted on) */
void   lun_turn_leave(struct lun_turn *, lun_us now);           /* leaves the queue, or gives back a turn not used; nothing after use */
/* Tokens, once known: `estimated` is what the turn said. Nothing when it left the window already. */
void   lun_turn_correct(const struct lun_target *, int key, int64_t estimated, int64_t used, lun_us now);

/* A provider's own word (x-ratelimit-remaining-*): what it says is left, when it is less than we think; holds for 60 s. -1: not
 * said. Where no such rate is configured it is not looked at. */
void lun_limit_told(const struct lun_target *, int key, int64_t requests_left, int64_t tokens_left, lun_us now);
int64_t lun_limit_requests_left(const struct lun_target *, lun_us now); /* over all keys; -1: no limit */
int64_t lun_limit_tokens_left(const struct lun_target *, lun_us now);

/* Calls to a provider that are under way, over all workers: what its `connections` bounds. Whoever makes one counts it. */
atomic_int *lun_limit_calls(const struct lun_provider *);

/* A client's own requests per minute: no queue. 0: go (counted); otherwise how long until the next would be let in. */
lun_us lun_limit_client(const struct lun_client_rule *, lun_us now);

/* Retry and hedge budgets: shares of recent requests, over the whole process. The window slides in tenths. Any thread. */
struct lun_quota;
struct lun_quota *lun_quota_new(lun_us window, int at_least);   /* retries: 10 s, 10; hedges: 60 s, 10 */
void lun_quota_request(struct lun_quota *, lun_us now);         /* one more request came */
bool lun_quota_take(struct lun_quota *, double share, lun_us now);      /* one more retry, if it fits: within the
                                                                   share, or the first `at_least`. Negative share: always; 0: never */
void lun_quota_free(struct lun_quota *);
#endif
