/* What `lunette check` prints of the file of prices. */
#ifndef LUN_CLI_PRICES_H
#define LUN_CLI_PRICES_H
#include "base/buf.h"
#include "state/snapshot.h"

/* Adds a line on how many entries there are and what was not understood, by field; nothing where the configuration has no such file. */
void lun_prices_summary(const struct lun_snapshot *, struct lun_buf *out);
/* Adds all that was not understood, as a table or as JSON. */
void lun_prices_print(const struct lun_snapshot *, bool json, struct lun_buf *out);
#endif
