/* What `lunette check --keys` prints. */
#ifndef LUN_CLI_KEYS_H
#define LUN_CLI_KEYS_H
#include "base/buf.h"
#include "state/snapshot.h"

/* Asks all providers about all keys (waits for it), and adds a table, or JSON, to `out`. False: one is refused, or nobody could be asked. */
bool lun_keys_print(struct lun_snapshot *, bool json, struct lun_buf *out);
#endif
