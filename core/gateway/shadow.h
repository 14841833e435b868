/* A shadow: a version that is asked beside the one that decides, about the same requests, and decides nothing. Each worker has a desk of it. When it is
 * decided who answers a request, the request is put down there, and a later turn of the loop asks the shadow's `classify`, `budget` and `select` with the
 * same facts, time and chance. Nothing of that is seen outside but the comparison: what it counts, stores and makes lies in a registry aside.
 *
 * It has at most a quarter of a worker's time. Who would have to wait for too long is left out, and counted. */
#ifndef LUN_GATEWAY_SHADOW_H
#define LUN_GATEWAY_SHADOW_H
#include "gateway/comparison.h"
#include "gateway/station.h"
#include "state/registry.h"
#include <stdatomic.h>

struct lun_kit;
struct lun_shadow {
    atomic_int references;
    struct lun_registry *live, *aside;
    struct lun_snapshot *snapshot;          /* with a reference */
    struct lun_comparison *comparison;
    double share;                           /* of the requests that are compared */
    /* Its hooks have run out of time or memory again and again; any worker's thread. NULL: nobody is told. */
    void (*sick)(void *self); void *self;
};
/* One reference. The snapshot's is taken; it is not bound yet. */
struct lun_shadow *lun_shadow_new(struct lun_registry *live, struct lun_snapshot *);
struct lun_shadow *lun_shadow_ref(struct lun_shadow *);
void lun_shadow_unref(struct lun_shadow *);             /* any thread. NULL is fine */
/* Its machines for one worker, on any thread. NULL: `error` (yours to free). */
struct lun_kit *lun_shadow_kit(struct lun_shadow *, enum lun_policy_limits, char **error);

/* ---- on one worker's thread ---- */

struct lun_shadow_desk;
/* `like`: the loop, the time and the memory it works with. The kit is taken; `retire` takes it back. */
struct lun_shadow_desk *lun_shadow_desk_new(struct lun_kit *, const struct lun_station *like, struct lun_tuning *, void (*retire)(void *self, struct lun_kit *), void *self);
void lun_shadow_desk_watch(struct lun_shadow_desk *, struct lun_station *);     /* what is decided there from now on is put down */
void lun_shadow_desk_ignore(struct lun_station *);                              /* no more */
void lun_shadow_desk_tune(struct lun_shadow_desk *, struct lun_tuning *);       /* a reference is taken */
/* Nothing more is put down; no station watches it. What is under way ends in the next drain of the loop, and with it the desk. */
void lun_shadow_desk_end(struct lun_shadow_desk *);
#endif
