/* Something that every worker has to do once, between two of its events, and whoever sent them is told when all of them have: taking over a
 * version, new settings, a count of what is open. */
#ifndef LUN_GATEWAY_ERRAND_H
#define LUN_GATEWAY_ERRAND_H
#include "gateway/worker.h"
#include <stdatomic.h>

struct lun_errand {                     /* embed it; set the first two. One journey at a time */
    void (*visit)(struct lun_errand *, struct lun_worker *, int index);     /* on each worker's thread, at the same time */
    void (*done)(struct lun_errand *);  /* once, on the thread of `home`; may send it again, or free it */
    struct lun_reactor *home;
    atomic_int left;
    struct lun_post back;
    struct lun_stop *stops;
};
/* From home's thread. A worker that has ended is never visited, and then `done` is not called: lun_errand_drop when all have ended. */
void lun_errand_send(struct lun_errand *, struct lun_reactor *home, struct lun_worker *const *, int n);
void lun_errand_drop(struct lun_errand *);      /* no worker runs any more */
#endif
