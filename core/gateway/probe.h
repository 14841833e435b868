/* Brings keys back: a key that a provider did not accept (401) is out for all of its targets; every 30 s the provider is asked for GET /models
 * with it, and takes it in again with a 2xx. One per gateway. (Wider probes, of providers that are down, will stand beside it.) */
#ifndef LUN_GATEWAY_PROBE_H
#define LUN_GATEWAY_PROBE_H
#include "base/log.h"
#include "gateway/carrier.h"

#define LUN_PROBE_EVERY (30 * LUN_SECOND)

struct lun_probe;
/* All borrowed until free. A carrier may be NULL: its providers are not probed. */
struct lun_probe *lun_probe_new(struct lun_loop *, const struct lun_snapshot *, const struct lun_carrier *network, const struct lun_carrier *script,
                                const struct lun_log *);
void lun_probe_free(struct lun_probe *);        /* NULL is fine */
#endif
