/* How targets, keys and providers are: circuits, cooling, keys taken out, latency, what is in flight. One state per target
 * and per provider, found by name (state/registry.h), shared by all workers and kept over reloads.
 *
 * Thread rules: every function may be called from any thread; state is guarded by a short mutex per target (numbers that
 * are only read: relaxed atomics). Time is passed in, so that all of it runs on a virtual clock. */
#ifndef LUN_STATE_HEALTH_H
#define LUN_STATE_HEALTH_H
#include "base/clock.h"
#include "state/outcome.h"
#include "state/snapshot.h"

enum lun_circuit { LUN_CIRCUIT_CLOSED, LUN_CIRCUIT_OPEN, LUN_CIRCUIT_HALF_OPEN };
enum lun_provider_health { LUN_HEALTHY, LUN_DEGRADED, LUN_DOWN };   /* derived: no target rests / some / all */

struct lun_report {             /* what an attempt came to */
    enum lun_kind kind;
    int status;                 /* of the provider's answer; 0: none */
    int key;                    /* which of the provider's keys was used; -1: none was sent */
    lun_us retry_after;         /* from Retry-After and its relatives; 0: not said */
    lun_us latency, first_byte; /* from sending to the end, to the first good event or the head; 0: there was none */
    uint64_t who;               /* a client, as a number (hash of its name); 0: an open gateway. One client's failures
                                   count at most twice toward opening a circuit */
};

/* An attempt begins: counts it in flight. False: the target rests (circuit open and no place for a probe, cooling, all
 * its keys out) and nothing was counted. `insist` (again, try: obeyed as said; last resort) begins it all the same.
 * An attempt that is let through a half-open circuit is its probe: its report closes or re-opens it. */
bool lun_health_begin(const struct lun_target *, lun_us now, bool insist);
void lun_health_end(const struct lun_target *, const struct lun_report *, lun_us now);     /* exactly once per begin */

/* Whether it could be asked now, without counting anything. */
bool lun_health_rests(const struct lun_target *, lun_us now);
lun_us lun_health_rests_until(const struct lun_target *, lun_us now);   /* 0: does not rest; LUN_NEVER: until somebody acts */

/* Keys. usable: neither out, nor resting for this target. They are taken in turn (round robin over the usable ones). */
bool lun_health_key_usable(const struct lun_target *, int key, lun_us now);
int  lun_health_key_next(const struct lun_target *, lun_us now);        /* -1: none is usable, or the provider has none */
void lun_health_key_out(const struct lun_provider *, int key);          /* a 401: out until lun_health_key_back */
void lun_health_key_back(const struct lun_provider *, int key);
bool lun_health_key_is_out(const struct lun_provider *, int key);

/* What policies, metrics and the balanced order read. Rates are over the last 100 attempts, 1 when there was none. */
struct lun_health_view {
    enum lun_circuit circuit; bool healthy;     /* healthy: closed circuit, not resting */
    int in_flight; int failures_in_a_row;
    lun_us latency;             /* peak EWMA (decay 10 s) of latency; 0: unknown */
    lun_us ttft;                /* EWMA of the first byte */
    double success_rate;
    lun_us rests_until;
    int64_t requests, failures; /* ever */
};
void   lun_health_look(const struct lun_target *, lun_us now, struct lun_health_view *);
lun_us lun_health_mean_latency(const struct lun_target *, int last_n);  /* of the last n good ones (at most 100); 0: none */
lun_us lun_health_quantile(const struct lun_target *, bool first_byte, double q);   /* over the last 1,000 or so; 0: none */
double lun_health_load(const struct lun_target *, lun_us now);          /* peak EWMA × (in flight + 1): less is better */

enum lun_provider_health lun_health_provider(const struct lun_snapshot *, const struct lun_provider *, lun_us now);
struct lun_provider_view { enum lun_provider_health state; int failures; lun_us cooling_until, latency; double success_rate; };
void lun_health_provider_look(const struct lun_snapshot *, const struct lun_provider *, lun_us now, struct lun_provider_view *);

/* The wait a provider asked for, out of its answer's headers: retry-after-ms, Retry-After (seconds or an HTTP date),
 * x-ratelimit-reset-requests / -tokens ("1s", "6m0s", "20ms", seconds, or a Unix time), the largest that applies to
 * this status. Absurd ones (negative, over a day) are cut to 0 and one day. 0: not said. `wall` for dates. */
lun_us lun_retry_after(const struct lun_pair *headers, int n, lun_us wall);
#endif
