/* What a request that has ended says about the canaries it had a group at.
 *
 * Where a canary names what is new (`provider`, `model`), the new side is its targets: a request of the new group counts as good if one of them
 * answered it, none of them having failed before; as an error if one of them failed, was judged wanting, or was to be asked and was not because it rests,
 * whoever helped out. Where it names nothing, how is decided is new: good if the client got an answer whole; an error if nobody could answer, a stream was
 * cut, or a hook of the policy failed. What is the client's affair counts for neither: it left, its request was refused (by the provider too: 400, too
 * long, filtered), its budget was spent, its rate limit or ours reached.
 *
 * What a good one took is what its client waited: for a whole answer to its end, for a stream to its first byte. */
#ifndef LUN_GATEWAY_CANARY_SAMPLE_H
#define LUN_GATEWAY_CANARY_SAMPLE_H
#include "gateway/ports.h"

enum lun_canary_result { LUN_CANARY_OK, LUN_CANARY_ERROR, LUN_CANARY_NONE };
enum lun_canary_result lun_canary_result(const struct lun_question *, const struct lun_done *, const struct lun_canary_rule *);
const char *lun_canary_group(const struct lun_grouped *);       /* "new" or "old" */
/* Counts it, at each of them. True: one is rolled back by that. */
bool lun_canary_samples(const struct lun_question *, const struct lun_done *, lun_us now);
#endif
