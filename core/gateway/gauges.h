/* Metrics that are states, not events: looked up when somebody asks. Only on the thread that writes the metrics. */
#ifndef LUN_GATEWAY_GAUGES_H
#define LUN_GATEWAY_GAUGES_H
#include "state/registry.h"

/* Circuits, rests, providers, keys, canaries and budgets, as they are `now` (loop time) and at `wall`. */
void lun_gauges_set(struct lun_metrics *, const struct lun_snapshot *, const struct lun_keyring *, lun_us now, lun_us wall);
#endif
