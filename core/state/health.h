/* How targets, keys and providers are: circuits, cooling, keys taken out, latency, what is in flight. One state per target
 * and per provider, found by name (state/registry.h), shared by all workers and kept over reloads; what is known of a key
 * follows its text, not its place in the list. Targets must be those of a snapshot that lun_registry_bind has seen.
 *
 * What follows from an attempt's kind (nothing of it under `health = false`; waits are cut to one day):
 *   kinds of lun_kind_breaks     count toward the circuit: `failures` in a row open it, after `rest` probes are let through
 *   ok                           closes it, ends the row, ends the key's back-off
 *   rate_limited                 (target, key) rests as said, else 1 s, doubling to 60 s until an answer is good; attempts that were under way
 *                                together count once
 *   overloaded, with a wait said (target, key) rests as said
 *   quota                        the key rests at all targets of the provider, as said, else 5 min
 *   auth with 401                the key is out at all targets of the provider, until lun_health_key_back
 *   auth otherwise, or no key    (target, key) rests 10 min
 *   with cooling_provider, these waits of rate_limited and overloaded rest all targets of the provider, whichever the key
 *   with `probe`, five of the kinds above or rate_limited in a row over all of a provider's targets let all of them rest: it is down
 *   cancelled skipped bad_request filtered too_long not_found    neither good nor bad: the target is as it was
 * A target all of whose keys rest or are out rests until the earliest of them comes back.
 *
 * Thread rules: every function may be called from any thread; state is guarded by a short mutex per target (numbers that
 * are only read: relaxed atomics). Time is passed in, so that all of it runs on a virtual clock. */
#ifndef LUN_STATE_HEALTH_H
#define LUN_STATE_HEALTH_H
#include "base/clock.h"
#include "state/outcome.h"
#include "state/snapshot.h"

enum lun_circuit { LUN_CIRCUIT_CLOSED, LUN_CIRCUIT_OPEN, LUN_CIRCUIT_HALF_OPEN };
enum lun_provider_health { LUN_HEALTHY, LUN_DEGRADED, LUN_DOWN };   /* derived: no target rests / some do, or its own circuit is half open / all */

const char *lun_circuit_name(enum lun_circuit);                     /* "closed", "open", "half_open"; static */
const char *lun_provider_health_name(enum lun_provider_health);     /* "healthy", "degraded", "down"; static */

struct lun_report {             /* what an attempt came to */
    enum lun_kind kind;
    int status;                 /* of the provider's answer; 0: none */
    int key;                    /* which of the provider's keys was used; -1: none was sent */
    lun_us retry_after;         /* from Retry-After and its relatives; 0: not said */
    lun_us latency, first_byte; /* from sending to the end, to the first good event or the head; 0: there was none */
    lun_us began;               /* the `now` that lun_health_begin was told; 0: now − latency. What began before a circuit last
                                   changed says nothing about it */
    uint64_t who;               /* a client, as a number (hash of its name); 0: an open gateway. One client's failures
                                   count at most twice toward opening a circuit */
};

/* An attempt begins: counts it in flight. False: the target rests (circuit open and no place for a probe, cooling, all
 * its keys out) and nothing was counted. `insist` (again, try: obeyed as said; last resort) begins it all the same.
 * An attempt that is let through a half-open circuit is its probe: its report closes or re-opens it. */
#define LUN_HEALTH_QUOTA_REST   (300 * LUN_SECOND)
#define LUN_HEALTH_AUTH_REST    (600 * LUN_SECOND)
#define LUN_HEALTH_BACKOFF      LUN_SECOND
#define LUN_HEALTH_BACKOFF_MOST (60 * LUN_SECOND)
bool lun_health_begin(const struct lun_target *, lun_us now, bool insist);
/* What has to rest, and how long from now on: that key for the target, that key everywhere, the provider. 0: it does not. */
struct lun_rests { lun_us lane, key, provider; };
/* Exactly once per begin. What rests now for an eighth longer, or more, than it would have: rate_limited, overloaded and quota, for whoever tells others. */
struct lun_rests lun_health_end(const struct lun_target *, const struct lun_report *, lun_us now);
/* The same because somebody else says so. Cut to a day; `key` as in the report, one that is not there means none. */
void lun_health_rest(const struct lun_target *, int key, const struct lun_rests *, lun_us now);

/* Whether it could be asked now, without counting anything. */
bool lun_health_rests(const struct lun_target *, lun_us now);
lun_us lun_health_rests_until(const struct lun_target *, lun_us now);   /* 0: does not rest; LUN_NEVER: until somebody acts. While the
                                                                   probes of a half-open circuit are out: a second from now */
/* The same of what bars it even where no other can serve: its provider's own word. An open circuit, which is our guess, does not: it is asked all the same. */
lun_us lun_health_barred_until(const struct lun_target *, lun_us now);

/* Keys, by their place in provider->keys. usable: neither out, nor resting for this target or everywhere. They are taken in
 * turn (round robin over the usable ones). A place that is not there is never usable; -1 is, where the provider has no keys. */
bool lun_health_key_usable(const struct lun_target *, int key, lun_us now);
int  lun_health_key_next(const struct lun_target *, lun_us now);        /* -1: none is usable, or the provider has none */
void lun_health_key_out(const struct lun_provider *, int key);          /* a 401: out until lun_health_key_back */
void lun_health_key_back(const struct lun_provider *, int key);
bool lun_health_key_is_out(const struct lun_provider *, int key);

/* What policies, metrics and the balanced order read. Rates are over the last 100 attempts, 1 when there was none. */
struct lun_health_view {
    enum lun_circuit circuit; bool healthy;     /* healthy: does not rest; a half-open circuit is while it has a place for
                                                   a probe, or who takes only healthy ones would never give it one */
    int in_flight; int failures_in_a_row;
    lun_us latency;             /* peak EWMA (decay 10 s) of good answers and of time-outs; 0: unknown */
    lun_us ttft;                /* EWMA of the first byte */
    double success_rate;
    lun_us rests_until;
    int64_t requests, failures; /* ever: attempts that ended; those of them that failed */
};
void   lun_health_look(const struct lun_target *, lun_us now, struct lun_health_view *);
/* The outcomes that its success rate is over, the oldest first: `+` good, `-` bad. */
enum { LUN_HEALTH_RECENT = 101 };   /* with its end */
void   lun_health_recent(const struct lun_target *, char out[LUN_HEALTH_RECENT]);
lun_us lun_health_mean_latency(const struct lun_target *, int last_n);  /* of the last n good ones (at most 100); 0: none */
lun_us lun_health_quantile(const struct lun_target *, bool first_byte, double q);   /* over the last 1,000 or so; 0: none */
/* Peak EWMA in seconds × (in flight + 1): less is better. A peak fades while nothing is in flight. Where no answer has come yet
 * it is 0, and very much once one is under way, so that one goes and looks and no herd follows. */
double lun_health_load(const struct lun_target *, lun_us now);

/* ---- probes (gateway/probe.h): questions of the gateway's own, which count toward no latency, rate or row of a target ---- */

/*  id, name, what it means */
#define LUN_PROBE_RESULTS(X) \
    X(NONE,    "none",    "was not probed yet") \
    X(GOOD,    "good",    "it answered well") \
    X(FAILED,  "failed",  "no connection, no answer in time, 408, 429 or 5xx: still down") \
    X(REFUSED, "refused", "401: it did not accept the key") \
    X(UNCLEAR, "unclear", "another status: says nothing of whether it is back") \
    X(UNPAID,  "unpaid",  "the completion does not fit the budget `total`, and was not sent")
#define X(id, ...) LUN_PROBE_##id,
enum lun_probe_result { LUN_PROBE_RESULTS(X) LUN_PROBE_RESULT_COUNT };
#undef X
const char *lun_probe_result_name(enum lun_probe_result);

/* Since when a provider is down: its own circuit, or that of each of its targets, is not closed. 0: it is not (never, with `health = false`). */
lun_us lun_health_down_since(const struct lun_snapshot *, const struct lun_provider *);
/* What a probe that went at `began` came to. GOOD closes all circuits that are not younger; FAILED and REFUSED have those that are open rest
 * for `health.rest` from now on; the others leave it to the circuits' own rest. */
void lun_health_probed(const struct lun_snapshot *, const struct lun_provider *, enum lun_probe_result, int status, lun_us began, lun_us now);
struct lun_probe_view { lun_us at; enum lun_probe_result result; int status; };    /* at 0: none was; status 0: no answer */
struct lun_probe_view lun_health_last_probe(const struct lun_provider *);
/* What has changed since it was last asked, for whoever says so: 1 went down, or out; -1 is back; 0 nothing. One thread at a time. */
int lun_health_down_news(const struct lun_snapshot *, const struct lun_provider *);
int lun_health_key_news(const struct lun_provider *, int key);
/* Whether a provider was ever asked about that key; marks that it was. */
bool lun_health_key_checked(const struct lun_provider *, int key, bool mark);

enum lun_provider_health lun_health_provider(const struct lun_snapshot *, const struct lun_provider *, lun_us now);
struct lun_provider_view {
    enum lun_provider_health state;
    int failures;               /* in a row, over all of its targets */
    lun_us cooling_until;       /* 0: is not cooling */
    lun_us latency;             /* mean of its targets' peak EWMAs, those known; 0: none is */
    double success_rate;        /* over the last 100 attempts of each of its targets; 1 when there was none */
};
void lun_health_provider_look(const struct lun_snapshot *, const struct lun_provider *, lun_us now, struct lun_provider_view *);

/* The wait a provider asked for, out of the headers of an answer that failed, in this order: retry-after-ms; Retry-After (RFC 9110:
 * seconds, also with a fraction, or one of the three forms of an HTTP date); the largest of x-ratelimit-reset, x-ratelimit-reset-* (requests,
 * tokens and what else there is), anthropic-ratelimit-*-reset and ratelimit-reset ("1s", "6m0s", "20ms", seconds, a Unix time in seconds or
 * milliseconds, or a time as in RFC 3339), without those whose relative with `remaining` instead of `reset` says that something is left. Absurd ones (negative, over a day) are cut to 0 and one day; what cannot be
 * read is passed over. 0: not said. `wall` for dates. Names of headers in any case. */
lun_us lun_retry_after(const struct lun_pair *headers, int n, lun_us wall);
#endif
