/* Budgets as the admin listener shows them, as JSON: what is spent and held of each in its current period. Those of gateway.lua, of keys made at run time
 * that were not revoked, and of the values of tags that were seen. */
#ifndef LUN_GATEWAY_VIEW_BUDGET_H
#define LUN_GATEWAY_VIEW_BUDGET_H
#include "base/buf.h"
#include "state/keyring.h"

/* How many are shown where nobody says, and at most; and so many values of a tag are looked at. */
enum { LUN_BUDGETS_SHOWN = 100, LUN_BUDGETS_MOST = 1000, LUN_BUDGETS_VALUES = 10000 };

/* {"budgets":[…],"more":…}: `most` of them, those nearest to their limit first, those without one last. */
void lun_view_budgets(const struct lun_snapshot *, const struct lun_keyring *, lun_us wall, size_t most, struct lun_buf *out);
/* The word that gateway.lua has for it. */
void lun_view_period(const char *key, enum lun_period, struct lun_buf *out);
#endif
