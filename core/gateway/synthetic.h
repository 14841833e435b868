/* Requests and endings out of a description of traffic (script/traffic.h), in the place of a log: for replays of policies. All of it comes from the seed: the
 * same request comes to the same at the same target and try, whoever sends it there; rates are kept for each policy by itself. One thread. */
#ifndef LUN_GATEWAY_SYNTHETIC_H
#define LUN_GATEWAY_SYNTHETIC_H
#include "gateway/logged.h"
#include "script/traffic.h"

struct lun_synthetic;
struct lun_synthetic *lun_synthetic_new(const struct lun_traffic *);       /* borrowed */
void lun_synthetic_free(struct lun_synthetic *);                           /* NULL is fine */
struct lun_logged *lun_synthetic_next(struct lun_synthetic *);             /* yours; NULL: there are no more */

/* How a call ends, for lun_replay_options.tell. Its `self` is a struct lun_synthetic_rates, one for each policy; free what is in it with the function. False: of that
 * target nothing is said. */
struct lun_synthetic_rates { const struct lun_traffic *traffic; struct { double left; lun_us at; } *of; };
bool lun_synthetic_tell(void *self, const struct lun_call *, const struct lun_logged *, struct lun_ending *);
void lun_synthetic_rates_free(struct lun_synthetic_rates *);
#endif
