/* Which of the targets that could have answered were left out, and why: for the log line of a request that failed, was sampled or asked to be
 * explained. Targets that were tried, or that nobody came to because an earlier one answered, are not among them. */
#ifndef LUN_GATEWAY_DROPPED_H
#define LUN_GATEWAY_DROPPED_H
#include "base/buf.h"
#include "state/question.h"

/* One more, once. `why` is static. */
void lun_dropped_note(struct lun_question *, const struct lun_target *, const char *why);

/* Adds the member "dropped":{"target":"why"} to the JSON object that `out` ends in, unless there is none: those noted, and of the targets
 * asked for those that rest by now and those that the plan does not hold. At most 64. */
void lun_dropped_put(struct lun_question *, struct lun_buf *out);
#endif
