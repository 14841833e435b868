/* Failures of the hooks of the version in use, over all workers: too many of them in a short time mean that the version is not fit to decide.
 * Any thread. */
#ifndef LUN_GATEWAY_TROUBLES_H
#define LUN_GATEWAY_TROUBLES_H
#include "gateway/station.h"
#include <pthread.h>

#define LUN_TROUBLES_WINDOW (10 * LUN_SECOND)
#define LUN_TROUBLES_PAUSE  (2 * LUN_SECOND)
enum { LUN_TROUBLES_TIMEOUTS = 3, LUN_TROUBLES_FAILURES = 5 };      /* within that window */

struct lun_troubles {
    pthread_mutex_t lock;
    const struct lun_snapshot *of;      /* the version in use: failures of others do not count */
    lun_us failures[LUN_TROUBLES_FAILURES], timeouts[LUN_TROUBLES_TIMEOUTS]; unsigned n_failures, n_timeouts;
    char why[600];                      /* once there are too many: how many, and the last one's message */
    bool told;
    lun_us from;                        /* failures before do not count */
};
void lun_troubles_init(struct lun_troubles *);
void lun_troubles_destroy(struct lun_troubles *);
void lun_troubles_watch(struct lun_troubles *, const struct lun_snapshot *);    /* from now on this version, from zero */
/* The same version from zero, and from then on: nothing could be done about it, and what is tried again is not tried for each failure. */
void lun_troubles_pause(struct lun_troubles *, lun_us until);
/* True: that was one too many; once per version that is watched. */
bool lun_troubles_add(struct lun_troubles *, const struct lun_trouble *, lun_us now);
#endif
