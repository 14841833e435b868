/* A worker: one thread with its event loop, listener, connections to providers and policy machine. Workers share nothing but the
 * registry's facts and the snapshot. */
#ifndef LUN_GATEWAY_WORKER_H
#define LUN_GATEWAY_WORKER_H
#include "base/log.h"
#include "base/writer.h"
#include "script/policy.h"
#include "wire/server.h"

struct lun_worker;
struct lun_worker_options {             /* borrowed until free */
    struct lun_registry *registry;
    const struct lun_log *log;
    struct lun_writer *writer;          /* of the request log; NULL: none */
    struct lun_server_shared *shared;
    enum lun_policy_limits limits;
    bool probes;                        /* this one brings keys back */
    void (*ended)(void *self); void *self;      /* told on the worker's thread, as its last act; NULL: nobody */
};

/* Everything that can fail is done here, on the caller's thread. `listener` is taken, also on failure. NULL: `error` (yours to free). */
struct lun_worker *lun_worker_new(const struct lun_worker_options *, struct lun_snapshot *, int listener, char **error);
bool lun_worker_start(struct lun_worker *);     /* begins its thread; false: the system gives no thread */
void lun_worker_ready(struct lun_worker *);     /* all workers listen: readiness says so from now on. Any thread */

/* Any thread. No new connections; busy ones have `grace` to finish, then they are cut. */
void lun_worker_drain(struct lun_worker *, lun_us grace);
void lun_worker_join(struct lun_worker *);      /* waits for the thread to end, after lun_worker_drain */
void lun_worker_free(struct lun_worker *);      /* not started, or joined. NULL is fine */
const struct lun_server_counts *lun_worker_counts(const struct lun_worker *);
#endif
