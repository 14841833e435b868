/* The spans of time that a budget holds for: hours, days, weeks from Monday and months, as clocks and calendars in its zone have them; and windows
 * that move along. Pure.
 *
 * A day of 23 or 25 hours is one day; a day that a zone left out is none, with no money. Days, weeks and months begin when clocks first show them,
 * and where clocks are set back over midnight the day that had begun goes on. An hour is a clock's hour at one distance from UTC: one that occurs
 * twice is two, and one in the middle of which clocks are changed ends there. */
#ifndef LUN_STATE_PERIOD_H
#define LUN_STATE_PERIOD_H
#include "base/clock.h"
#include "state/snapshot.h"

lun_us lun_period_start(const struct lun_budget_rule *, lun_us wall);   /* of the one that `wall` lies in; LUN_PER_EVER: 0 */
lun_us lun_period_end(const struct lun_budget_rule *, lun_us wall);     /* where the next begins; LUN_PER_EVER: LUN_NEVER */
/* A window that moves along is kept in pieces, each a period of its own: a 24th of it, in UTC. What was held in one counts until all of it has left the
 * window: so long after its end, a whole number of pieces; one more where several gateways share it, whose clocks may differ by a piece. 0: not a window. */
lun_us lun_period_counts(const struct lun_budget_rule *);
/* What ledger and Redis call it, with the budget's name: its date there. "2026-11-28T14+01:00" (hour), "2026-11-28", "2026-W48" (ISO 8601), "2026-11",
 * "ever", "rolling 3600 from 2026-11-28T14:05:00.000Z". */
#define LUN_PERIOD_LABEL 64
lun_us lun_period_window(const char *label);    /* how far back the window looks that such a label is of; 0: it is none's */
void lun_period_label(const struct lun_budget_rule *, lun_us wall, char out[LUN_PERIOD_LABEL]);
#endif
