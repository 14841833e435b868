/* The spans of time that a budget holds for, in UTC: hours, days, weeks from Monday, months. Pure. */
#ifndef LUN_STATE_PERIOD_H
#define LUN_STATE_PERIOD_H
#include "base/clock.h"
#include "state/snapshot.h"

lun_us lun_period_start(enum lun_period, lun_us wall);  /* of the one that `wall` lies in; LUN_PER_EVER: 0 */
lun_us lun_period_end(enum lun_period, lun_us wall);    /* where the next begins; LUN_PER_EVER: LUN_NEVER */
#define LUN_PERIOD_LABEL 64
void lun_period_label(enum lun_period, lun_us wall, char out[LUN_PERIOD_LABEL]);     /* what the ledger calls it: "2026-11-28" */
#endif
