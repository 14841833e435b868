/* Which values of the tags that have budgets (budgets.tags) a request is charged to. What it is charged to stands among its tags too, so policies, logs and the
 * cache's keys see it. */
#ifndef LUN_STATE_CHARGE_H
#define LUN_STATE_CHARGE_H
#include "state/question.h"

/* What a value must be: what an account's name, a log and a header can hold without doubt. */
#define LUN_CHARGE_VALUE "1 to 128 letters, digits and characters out of _ - . : @ / + = ~"
bool lun_charge_value_good(const char *value);

const struct lun_tag_budget *lun_charge_tag(const struct lun_question *, const char *name);    /* NULL: that tag has no budget */
/* From now on it is charged to that value, which is good and copied; NULL: to none. Not once something is held. */
void lun_charge_set(struct lun_question *, const struct lun_tag_budget *, const char *value);
/* NULL: it is charged to no value of that tag. */
struct lun_account *lun_charge_account(struct lun_question *, const struct lun_tag_budget *);
/* The first tag that it must have a value of and has none; NULL: there is none. */
const struct lun_tag_budget *lun_charge_missing(const struct lun_question *);
/* Another question's, made by one of its hooks, is charged as it is itself. */
void lun_charge_inherit(struct lun_question *, const struct lun_question *from);
#endif
