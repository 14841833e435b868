/* Looks after providers that are down and keys that are out; one per gateway, on one of its workers.
 *   A provider with `probe` that is down (state/health.h) is asked `every` seconds after it went down and after each probe. A good answer closes
 *   all of its circuits: traffic returns at once. One that says 401 takes that key out and is sent again with the next. A failed one has open
 *   circuits rest on, so that no client's request is risked; only where probes can tell nothing (UNCLEAR, UNPAID) does `rest` run out.
 *   A key that was refused (401) is out for all of the provider's targets; every 30 s GET /models asks whether it is taken again. Likewise at once
 *   about a key that was never asked about, with `check_keys`.
 * What happens is a line of the process log, once: down, back, a key out, a key taken again. */
#ifndef LUN_GATEWAY_PROBE_H
#define LUN_GATEWAY_PROBE_H
#include "base/log.h"
#include "gateway/probe_call.h"

#define LUN_PROBE_EVERY (30 * LUN_SECOND)       /* keys */
#define LUN_PROBE_LOOK  LUN_SECOND              /* how often it looks who is down */

struct lun_probe;
/* The ways are copied, what they name is borrowed. `keys_due`: when keys are asked about next, 0: not decided; it is the caller's, so that who takes over from
 * another goes on where that one was: machines may be replaced more often than keys are due. */
struct lun_probe *lun_probe_new(const struct lun_probe_ways *, const struct lun_log *, lun_us *keys_due);
bool lun_probe_asks(const struct lun_probe *);   /* a call is under way; NULL: none is */
void lun_probe_free(struct lun_probe *);        /* NULL is fine */
#endif
