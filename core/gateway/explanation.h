/* Why a request was decided as it was, as a JSON object: hooks with what they looked at and the lines on which they ended, as far as they were traced; every
 * target with the step that it became, or the rule or line that left it out; the plan with its clocks and holds; the budgets. As things stand when it is
 * asked for: what rests, and what is left. No message text, no secret. */
#ifndef LUN_GATEWAY_EXPLANATION_H
#define LUN_GATEWAY_EXPLANATION_H
#include "base/buf.h"
#include "state/question.h"

/* So many at most; how many more there are is said. Few where nobody has asked: an explanation shares its memory with those of others. */
enum { LUN_EXPLAINED_TARGETS = 256, LUN_EXPLAINED_UNASKED = 16 };

void lun_explanation_put(struct lun_question *, struct lun_buf *out);
#endif
