/* The values of a tag that has a budget: each has an account of its own, "tag tenant=acme". A client could make up values without end, so their number is
 * bounded: when it is reached, all further ones share the account "tag tenant=(other)". Every account has the tag's limit, so none is ever passed.
 *
 * Any thread. Values are remembered as long as the process lives, as accounts are. */
#ifndef LUN_STATE_TAG_VALUES_H
#define LUN_STATE_TAG_VALUES_H
#include "state/budget.h"

struct lun_tag_values;
struct lun_tag_values *lun_tag_values_new(struct lun_money *, const char *tag);
/* Values that have an account in `of` have the same one here, whatever the rules; others are made here, as `of` knows nothing of them. Freed before `of`. */
struct lun_tag_values *lun_tag_values_aside(struct lun_money *, const char *tag, struct lun_tag_values *of);
void lun_tag_values_free(struct lun_tag_values *);
/* A rule for all of its accounts, and the bound of their number. Values that have an account keep it. */
void lun_tag_values_apply(struct lun_tag_values *, const struct lun_tag_budget *);
/* The account of a value that is good (state/charge.h), made when new. */
struct lun_account *lun_tag_values_account(struct lun_tag_values *, const char *value);
/* How many have an account of their own; *bound: how many may. */
int lun_tag_values_count(struct lun_tag_values *, int *bound);
/* Up to `most` of its accounts, in no order, that of all further values first. How many there are. */
size_t lun_tag_values_list(struct lun_tag_values *, struct lun_account **out, size_t most);
#endif
