/* A whole gateway: registry, configuration and its changes, workers, admin listener. Nothing here is global; two of them may live in one process. */
#ifndef LUN_GATEWAY_GATEWAY_H
#define LUN_GATEWAY_GATEWAY_H
#include "base/log.h"
#include "gateway/changes.h"
#include "wire/handed.h"
#include "wire/listen.h"
#include "wire/reactor.h"

struct lun_gateway;
struct lun_gateway_options {
    const struct lun_log *log;          /* borrowed, as is the source, until free */
    const struct lun_config_source *source;
    enum lun_policy_limits limits;
    struct lun_handed *handed;          /* what is there already, of which it takes what it needs; NULL: nothing */
    bool listen;                        /* for clients and for admin, as the configuration says; false: nobody connects */
    bool watch;                         /* reloads by itself when a file changes */
    struct event_base *base;            /* a host program's, whose thread turns it: one worker, no threads. NULL: threads of its own */
    int workers;                        /* 0: as the configuration says */
    void (*ended)(void *self); void *self;      /* with `base`: told when it has stopped */
};

/* Loads the configuration, opens listeners and log, makes the workers. NULL: `mistakes` has what is wrong with the configuration, or `error`
 * (yours to free) says what else happened and what to do. */
struct lun_gateway *lun_gateway_new(const struct lun_gateway_options *, struct lun_mistakes *mistakes, char **error);
const char *lun_gateway_address(const struct lun_gateway *);        /* where it listens: "127.0.0.1:4000"; "" : nowhere */
const char *lun_gateway_admin_address(const struct lun_gateway *);  /* NULL: nowhere */
int lun_gateway_workers(const struct lun_gateway *);
struct lun_worker *lun_gateway_worker(const struct lun_gateway *, int index);
struct lun_reactor *lun_gateway_reactor(struct lun_gateway *);      /* the one that lun_gateway_run turns: for signals */
struct lun_changes *lun_gateway_changes(struct lun_gateway *);
bool lun_gateway_is_open(const struct lun_gateway *);           /* whoever asks needs no key */
const struct lun_snapshot *lun_gateway_snapshot(const struct lun_gateway *);   /* the current one; borrowed until the loop's next turn */

/* Starts the workers and serves until lun_gateway_stop; on the calling thread runs what is not a worker's (admin, signals). False: could
 * not be started. Not with a host's base. */
bool lun_gateway_run(struct lun_gateway *);
/* On the thread of lun_gateway_run, or of the host's base: no new connections, those open have `grace` to finish. Called again: the sooner end counts. */
void lun_gateway_stop(struct lun_gateway *, lun_us grace);
/* Starts another process on the same listening sockets and folder `state` (wire/handed.h), which says on `ready` that it serves. -1: errno. On the thread of
 * lun_gateway_run, while its changes are held, before it is stopped. */
pid_t lun_gateway_hand_over(struct lun_gateway *, char *const *argv, int ready);
/* The other process is ready: this one takes no new connections, for admin neither, and ends when those that are open have finished what they began: at
 * the latest when the last request's deadline has passed. */
void lun_gateway_retire(struct lun_gateway *);
void lun_gateway_reopen_log(struct lun_gateway *);                  /* after log rotation */
void lun_gateway_free(struct lun_gateway *);                        /* not while running; NULL is fine */
#endif
