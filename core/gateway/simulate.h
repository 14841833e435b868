/* A gateway without sockets, on a clock that moves only when it is told to: the real walk, policy machine, health, limits and budgets, with
 * key probes and canaries, scripted providers behind it and requests handed in from memory. Everything repeats: same configuration, seed and requests, same answers
 * at the same microsecond. An hour of retries takes a millisecond.
 *
 * The wall clock starts where it is told and moves with the other; CPU time of hooks is counted in instructions. One thread. Nothing here
 * may be called from inside `scenes` or `fetch`: they only answer. */
#ifndef LUN_GATEWAY_SIMULATE_H
#define LUN_GATEWAY_SIMULATE_H
#include "base/buf.h"
#include "base/log.h"
#include "gateway/ports.h"
#include "script/policy.h"
#include "script/scenario.h"

struct lun_trouble;             /* gateway/station.h */

#define LUN_SIMULATION_WALL ((lun_us)1767571200 * LUN_SECOND)   /* 2026-01-05T00:00:00Z, a Monday */

struct lun_simulation;
struct lun_station;
struct lun_simulated_fetch { struct lun_wish_result result; lun_us after; };    /* texts in the arena; later than the wish's time-out: "timeout" */
struct lun_simulation_options {
    lun_us wall;                /* at the start; 0: LUN_SIMULATION_WALL */
    uint64_t seed;              /* of all that is drawn; 0 counts as 1 */
    struct lun_scenes scenes;   /* asked first, for every provider; then the provider's own script. `play` NULL: only that */
    /* What lunette.http brings. NULL: nothing, an error. */
    void (*fetch)(void *self, const struct lun_wish *, struct lun_arena *, struct lun_simulated_fetch *); void *fetch_self;
    void (*line)(void *self, const char *text, size_t n); void *line_self;  /* takes each line of the request log; NULL: nobody */
    const struct lun_pair *settings; int n_settings;        /* of the policy: other values than the defaults. Borrowed until free */
    void (*trouble)(void *self, const struct lun_trouble *); void *trouble_self;    /* told when a hook has failed; NULL: nobody */
    const struct lun_upstream_port *upstream; void *upstream_self;         /* takes every call in the place of scenes, and no provider is probed; NULL: scenes */
    bool rehearsal;             /* functions of the host program are not called, and no provider is probed */
    const struct lun_log *log;  /* the process log, lunette.log in it; NULL: none. Borrowed */
};

/* The snapshot must be fresh: it is bound to a registry of the simulation's own. Its reference is taken, also on failure. NULL: `error`
 * (yours to free). */
struct lun_simulation *lun_simulation_new(struct lun_snapshot *, const struct lun_simulation_options *, char **error);
/* Clients that still wait leave. `scenes`, `fetch`, `line` and `log` are not called any more. NULL is fine. */
void lun_simulation_free(struct lun_simulation *);
struct lun_registry *lun_simulation_registry(struct lun_simulation *);      /* money, store, metrics: to look at, or to prepare */
const struct lun_snapshot *lun_simulation_snapshot(const struct lun_simulation *);

/* For clients of another kind than lun_simulation_ask's (gateway/inquire.h): they ask here, and what they woke runs when the clock is moved,
 * by 0 at least. They are over before lun_simulation_free. */
struct lun_station *lun_simulation_station(struct lun_simulation *);
void lun_simulation_fresh(struct lun_simulation *);     /* such a client calls this before each question: a policy's machine that is worn out is replaced */

/* Asks for something of a canary, of its snapshot, as the admin interface does. False: `problem` says why that cannot be. */
bool lun_simulation_canary(struct lun_simulation *, const struct lun_canary_rule *, enum lun_canary_verb, const char *by, const char *why, char problem[120]);

/* ---- time ---- */

lun_us lun_simulation_now(const struct lun_simulation *);       /* since its start */
lun_us lun_simulation_wall(const struct lun_simulation *);      /* since 1970 */
lun_us lun_simulation_loop_time(const struct lun_simulation *); /* what the store and registry functions take as `now` */
/* Moves the clock by that much; everything that is due meanwhile happens at its own moment. False: it never comes to rest, something
 * happens again and again in one instant; the clock stands there. */
bool lun_simulation_advance(struct lun_simulation *, lun_us by);

/* ---- asking ---- */

struct lun_simulated_piece { lun_us at; size_t from, n; };      /* of `bytes`; at: since the simulation's start */
struct lun_simulated_answer {           /* the simulation's, until it is freed or this one released */
    char id[33];                        /* as in the request log; "" where the request had no question (an unknown path or key) */
    bool headed, ended, clean, left;    /* clean: the end was not torn */
    int status;
    const struct lun_pair *headers; int n_headers;
    const struct lun_pair *trailers; int n_trailers;
    struct lun_buf bytes;
    struct lun_simulated_piece *pieces; int n_pieces;           /* as they were said */
    lun_us started, head_at, ended_at;  /* since the simulation's start */
};
struct lun_simulated_request {
    enum lun_endpoint endpoint;
    const struct lun_pair *headers; int n_headers;  /* names in lower case */
    const char *key;                    /* NULL: none is shown */
    const struct lun_client_rule *client;           /* not NULL: who asks, whatever key is shown, at any rate */
    const char *body; size_t n;
    bool decided;                       /* it is over once there is a plan: nothing is sent */
};
/* A request arrives. The clock stands still: what can happen at once has happened on return. All is copied. */
struct lun_simulated_answer *lun_simulation_ask(struct lun_simulation *, const struct lun_simulated_request *);
/* Moves the clock until the answer has ended. False: it never does (as lun_simulation_advance), or not within two days. */
bool lun_simulation_await(struct lun_simulation *, struct lun_simulated_answer *);
void lun_simulation_leave(struct lun_simulation *, struct lun_simulated_answer *);              /* the client hangs up; after the end: nothing */
bool lun_simulation_release(struct lun_simulation *, struct lun_simulated_answer *);            /* frees what has ended, for days of traffic; false: it has not */
void lun_simulation_pause(struct lun_simulation *, struct lun_simulated_answer *, bool paused); /* its buffer is full, or has room again */
#endif
