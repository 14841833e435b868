/* Questions of a host program, asked from memory: what lun_ask and lun_decide of lunette.h are made of. The client port over callbacks.
 *
 * All of it on the station's thread, between enter and leave of its reactor. Nothing is told inside lun_inquire and lun_inquire_decision:
 * callbacks run in the drain of the loop that follows (a caller who is no event callback uses lun_reactor_leave_later). Callbacks may call
 * everything here but lun_inquiries_end, and lun_inquire_cancel of calls that have been told their end. */
#ifndef LUN_GATEWAY_INQUIRE_H
#define LUN_GATEWAY_INQUIRE_H
#include "gateway/station.h"
#include "lunette.h"

/* Those of one thread that are not over. Zero-initialise. */
struct lun_inquiries {
    struct lunette_call *first;
    bool closed;                /* nothing new: refused with 503, "stopping" */
    bool ended;                 /* by lun_inquiries_end: from now on asking gives NULL and tells nothing */
};

/* As lun_ask: what is wrong is told as an answer. Query and callbacks are copied. The call is freed after its `end`, or by cancelling it. */
struct lunette_call *lun_inquire(struct lun_inquiries *, struct lun_station *, const struct lunette_query *, const struct lunette_callbacks *, void *user);

/* As lun_decide. */
struct lunette_call *lun_inquire_decision(struct lun_inquiries *, struct lun_station *, const struct lunette_query *,
                                          void (*done)(void *user, const struct lunette_decision *), void *user);

/* As lun_cancel: nothing is told any more. Also inside one of its own callbacks. */
void lun_inquire_cancel(struct lunette_call *);

struct lun_station *lun_inquire_station(const struct lunette_call *);     /* the one that it was asked at */

/* All that are left leave their walks and are told, inside this call, that they ended torn (a decision: 503). The walks end in the next drain. */
void lun_inquiries_end(struct lun_inquiries *);

/* A query that outlives its caller's, for lun_ask_post: one block, to be freed with free(). */
struct lunette_query *lun_query_copy(const struct lunette_query *);
#endif
