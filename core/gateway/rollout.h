/* Looks after the canaries of a configuration: whether a stage is over or fails, and that the provider that must be well is asked by GET (its
 * `probe.path`, else /models), six times a stage. One per gateway, on one thread: the clock of stages is its loop's. What is known of them is in state/canary.h. */
#ifndef LUN_GATEWAY_ROLLOUT_H
#define LUN_GATEWAY_ROLLOUT_H
#include "base/log.h"
#include "gateway/probe_call.h"
#include "state/canary.h"

struct lun_rollout;
/* What the ways name is borrowed until free. `moved` is told on the loop's thread when one has changed; NULL: nobody is. NULL: there are no canaries to
 * look after. A provider that cannot be reached from here is not asked, and what is to be asked of it does not pass. */
struct lun_rollout *lun_rollout_new(const struct lun_probe_ways *, void (*moved)(void *self), void *self);
bool lun_rollout_asks(const struct lun_rollout *);      /* a probe is under way; NULL: none is */
void lun_rollout_free(struct lun_rollout *);        /* NULL is fine */

/* What came of one, in the process log (a rollback that came by itself: a warning) and in metrics. Rolled back: the response cache is emptied. */
void lun_rollout_tell(const struct lun_log *, struct lun_registry *, const char *name, const struct lun_canary_event *);
#endif
