/* A fresh kit of a version, made aside: for a worker whose policy's machine is worn. Loading a policy may take 100 ms, which no loop can wait; until
 * the fresh one is there the worn machine serves on. */
#ifndef LUN_GATEWAY_RENEWAL_H
#define LUN_GATEWAY_RENEWAL_H
#include "gateway/builder.h"
#include "gateway/kit.h"

struct lun_renewal;
/* Begins at once. What it is given besides the snapshot, of which it holds a reference, is borrowed as long as the builder lives. Any thread. */
struct lun_renewal *lun_renewal_new(struct lun_builder *, struct lun_snapshot *, struct lun_registry *, enum lun_policy_limits, const struct lun_log *);
bool lun_renewal_is_over(const struct lun_renewal *);       /* there is a kit, or none can be made */
/* Of one that is over: the kit, which is the caller's from now on; NULL: `error` (yours to free) says why there is none. */
struct lun_kit *lun_renewal_take(struct lun_renewal *, char **error);
/* At any time, and once; a kit that nobody has taken is freed. NULL is fine. */
void lun_renewal_drop(struct lun_renewal *);
#endif
