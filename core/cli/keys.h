/* What `lunette check --keys` prints. */
#ifndef LUN_CLI_KEYS_H
#define LUN_CLI_KEYS_H
#include "base/buf.h"
#include "state/registry.h"

/* Asks all providers about all keys (waits for it), which binds the snapshot to the registry, and adds a table, or JSON, to `out`. False: one is refused, or nobody could be asked. */
bool lun_keys_print(struct lun_snapshot *, struct lun_registry *, bool json, struct lun_buf *out);
#endif
