/* A worker: one event loop with its listener, connections to providers and, for each version in use, a desk. Workers share nothing but the
 * registry's facts and the snapshots. Usually a thread of its own; inside another program, the thread of that program's event base. */
#ifndef LUN_GATEWAY_WORKER_H
#define LUN_GATEWAY_WORKER_H
#include "base/log.h"
#include "base/writer.h"
#include "gateway/renewal.h"
#include "gateway/station.h"
#include "wire/server.h"

struct lun_worker;
struct lun_worker_options {             /* borrowed until free */
    struct lun_registry *registry;
    const struct lun_log *log;
    struct lun_writer *writer;          /* of the request log; NULL: none */
    struct lun_shelf *shelf;            /* answers that gateways keep together; NULL: none */
    struct lun_ring *recent;            /* the last lines of it, for who asks the admin listener; NULL: nobody can */
    struct lun_captured *captured;      /* likewise */
    struct lun_server_shared *shared;
    enum lun_policy_limits limits;
    struct event_base *base;            /* the host program's; NULL: its own, with a thread of its own */
    struct lun_keyring *keyring;        /* to begin with; a reference is taken */
    bool probes;                        /* this one brings keys back, and looks after canaries */
    void *self;                         /* handed to the functions below, all on the worker's thread */
    void (*ended)(void *self);          /* its last act; NULL: nobody is told */
    struct lun_renewal *(*renew)(void *self, struct lun_snapshot *);    /* a worn machine is to be replaced: begins a fresh kit of that version */
    void (*retire)(void *self, struct lun_kit *);   /* takes a kit that is done with; NULL: freed at once */
    void (*released)(void *self);       /* a version has no request left here; NULL: nobody is told */
    void (*canary)(void *self);         /* one has changed; NULL: nobody is told */
    void (*trouble)(void *self, const struct lun_trouble *);    /* a hook failed; NULL: nobody is told */
};

/* Everything that can fail is done here, on the caller's thread. `listener` is taken, also on failure; -1: nobody connects to it. So is the kit.
 * NULL: `error` (yours to free). */
struct lun_worker *lun_worker_new(const struct lun_worker_options *, struct lun_kit *, struct lun_tuning *, int listener, char **error);
void lun_worker_listen(struct lun_worker *, int listener);     /* on one more, which is taken; before it starts */
void lun_worker_bar(struct lun_worker *, int listener);        /* policies' own calls (lunette.http) never lead there; before it starts */
bool lun_worker_start(struct lun_worker *);     /* begins its thread; false: the system gives no thread */
void lun_worker_ready(struct lun_worker *);     /* all workers listen: readiness says so from now on. Any thread */
struct lun_reactor *lun_worker_reactor(struct lun_worker *);
bool lun_worker_is_here(const struct lun_worker *);     /* this is its thread */
/* Any thread. No new connections; busy ones have `grace` to finish, then they are cut. Called again: the sooner end counts. */
void lun_worker_drain(struct lun_worker *, lun_us grace);
void lun_worker_join(struct lun_worker *);      /* waits for the thread to end, after lun_worker_drain */
void lun_worker_free(struct lun_worker *);      /* not started, or joined. NULL is fine */
const struct lun_server_counts *lun_worker_counts(const struct lun_worker *);

/* ---- on its thread, between two events ---- */

/* A version is taken over in two steps, so that it is taken over by all workers or by none: first each makes a desk of it (or finds the one that
 * it still has, and retires the kit, which is taken in any case), then it becomes that which new requests begin with. False: `error` (yours to
 * free). */
bool lun_worker_prepare(struct lun_worker *, struct lun_kit *, struct lun_tuning *, char **error);
void lun_worker_adopt(struct lun_worker *);
void lun_worker_discard(struct lun_worker *);   /* instead of adopt */

/* A version is asked beside the current one, until that is another one or lun_worker_unshadow. The kit is one of a shadow's, and taken. */
void lun_worker_shadow(struct lun_worker *, struct lun_kit *, struct lun_tuning *);
void lun_worker_shadow_tune(struct lun_worker *, struct lun_tuning *);      /* nothing where there is none */
void lun_worker_unshadow(struct lun_worker *);                      /* likewise */

void lun_worker_tune(struct lun_worker *, struct lun_tuning *);     /* for requests that begin from now on. A reference is taken */
void lun_worker_keys(struct lun_worker *, struct lun_keyring *);    /* likewise: who may ask from now on */
struct lun_station *lun_worker_station(struct lun_worker *);        /* the one that new requests begin with; asked anew for each */
void lun_worker_each(struct lun_worker *, void (*tell)(void *self, struct lun_request *), void *self);    /* every request that is open */
#endif
