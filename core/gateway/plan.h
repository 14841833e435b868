/* Plans: the default one, and the check and completion of those that a policy made. Pure but for metrics. */
#ifndef LUN_GATEWAY_PLAN_H
#define LUN_GATEWAY_PLAN_H
#include "state/plan.h"
#include "state/question.h"

/* The asked model's targets (those left after `budget`), resting ones last: sticky by session, otherwise the better of two; filled in
 * like lun_plan_check's. A pinned request has one step only. Empty when the question has no target. */
void lun_plan_default(struct lun_question *, struct lun_plan *);

/* Makes a policy's plan walkable: drops what may not be used (another model when the key forbids it, targets outside
 * question->targets), fills unset clocks from the provider. Nothing left: the default plan takes its place, counted. */
void lun_plan_check(struct lun_question *, struct lun_plan *);

/* One step (a try): the same filling in. False: the request may not use that target. */
bool lun_plan_step(struct lun_question *, struct lun_step *);

/* Whether step `at` is to be passed over now: its target rests, and one of the later steps does not. */
bool lun_plan_passes(const struct lun_question *, const struct lun_plan *, int at);
#endif
