/* A circuit breaker, by itself: opens after so many failures in a row, rests, lets probes through, closes or opens again.
 *
 * What began before the circuit last opened or closed says nothing about it: an answer that was long under way neither closes an open
 * circuit nor opens one that has just been closed. Not thread-safe: whoever owns it has the lock. */
#ifndef LUN_STATE_BREAKER_H
#define LUN_STATE_BREAKER_H
#include "base/clock.h"
#include "state/health.h"
#include <stdatomic.h>

enum lun_verdict { LUN_VERDICT_NEITHER, LUN_VERDICT_GOOD, LUN_VERDICT_BAD };

struct lun_breaker {            /* zero-initialised: closed */
    _Atomic(enum lun_circuit) is;
    lun_us until;               /* open: when a probe may go */
    lun_us changed, half_since; /* when it last opened or closed; became half open */
    int probes;                 /* under way */
    int row;                    /* failures in a row that count */
    struct lun_culprit *culprits; int n_culprits, room;     /* clients that they come from */
};

enum lun_circuit lun_breaker_now(const struct lun_breaker *, lun_us now);
/* Whether it is closed, so that _until would say 0: the only one that needs no lock. */
static inline bool lun_breaker_closed(const struct lun_breaker *b) { return atomic_load_explicit(&b->is, memory_order_relaxed) == LUN_CIRCUIT_CLOSED; }
lun_us lun_breaker_until(const struct lun_breaker *, const struct lun_health_rules *, lun_us now);  /* 0: lets one through now. With every place
                                                                                        for a probe taken: a second from now, as a guess */
void lun_breaker_begin(struct lun_breaker *, lun_us now);       /* something goes, let through or insisted on */
void lun_breaker_end(struct lun_breaker *, const struct lun_health_rules *, enum lun_verdict, uint64_t who, lun_us began, lun_us now);
void lun_breaker_mend(struct lun_breaker *, lun_us began, lun_us now);  /* something that went at `began` and was not counted was good: closes it,
                                                                   unless it has changed since */
void lun_breaker_extend(struct lun_breaker *, lun_us until);    /* open: rests until then at least */
void lun_breaker_free(struct lun_breaker *);
#endif
