/* A whole gateway: registry, snapshot, workers, admin listener. Nothing here is global; two of them may live in one process. */
#ifndef LUN_GATEWAY_GATEWAY_H
#define LUN_GATEWAY_GATEWAY_H
#include "base/log.h"
#include "script/policy.h"
#include "wire/listen.h"
#include "wire/reactor.h"

struct lun_gateway;
struct lun_gateway_options { const struct lun_log *log; enum lun_policy_limits limits; };    /* log: borrowed */

/* Binds the snapshot to a fresh registry, opens listeners and log, makes the workers. NULL: `error` (yours to free) says what happened and
 * what to do. The snapshot's reference is taken, also on failure. */
struct lun_gateway *lun_gateway_new(struct lun_snapshot *, const struct lun_gateway_options *, char **error);
const char *lun_gateway_address(const struct lun_gateway *);        /* where it listens: "127.0.0.1:4000" */
const char *lun_gateway_admin_address(const struct lun_gateway *);  /* NULL: nowhere */
int lun_gateway_workers(const struct lun_gateway *);
struct lun_reactor *lun_gateway_reactor(struct lun_gateway *);      /* the one that lun_gateway_run turns: for signals */

/* Starts the workers and serves until lun_gateway_stop; on the calling thread runs what is not a worker's (admin, signals). False: could
 * not be started. */
bool lun_gateway_run(struct lun_gateway *);
/* On the thread of lun_gateway_run: no new connections, those open have `grace` to finish. Called again: at once. */
void lun_gateway_stop(struct lun_gateway *, lun_us grace);
void lun_gateway_reopen_log(struct lun_gateway *);                  /* after log rotation */
void lun_gateway_free(struct lun_gateway *);                        /* not while running; NULL is fine */
#endif
