/* What happened between two looks at GET /admin/report?spread=1: rates, success, latencies and spend of that time, by what the report has lists of. */
#ifndef LUN_CLI_PACE_H
#define LUN_CLI_PACE_H
#include "base/buf.h"
#include "base/json.h"

/* A JSON object, appended: `seconds`, `since_start`, `totals`, `all_models`, and `models`, `labels`, `stages`, `targets` with an object for each that the later
 * look has: its name, and `per_second failed_per_second success_rate p50_ms p99_ms tokens_per_second usd_per_hour`, null where nothing was; of targets
 * `circuit rest_ms` too; `ends`: how attempts ended that failed, `kind per_second`, the most frequent first. `then` {0}, or of a process that was
 * another: the time since it started. */
void lun_pace_put(struct lun_buf *out, struct lun_json now, struct lun_json then);
#endif
