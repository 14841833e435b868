/* One or more policies tried on the same log, side by side. Lines of a log stand in the order in which requests ended; here they are put into the order in which
 * they came, as far as that can be seen within LUN_REPLAYS_WINDOW of them, and what came of each is known from its end on, as it was then. */
#ifndef LUN_GATEWAY_REPLAYS_H
#define LUN_GATEWAY_REPLAYS_H
#include "gateway/replay.h"

enum { LUN_REPLAYS_WINDOW = 2048, LUN_REPLAYS_BYTES = 16 << 20, LUN_REPLAYS_MOST = 2 };    /* requests that wait, and bytes of their lines; policies */

struct lun_replays;
struct lun_replays *lun_replays_new(void);
void lun_replays_free(struct lun_replays *);        /* NULL is fine */
/* Another policy, before the first request. The snapshot must be fresh; its reference is taken. Options but `outcomes` as of a replay. */
void lun_replays_add(struct lun_replays *, struct lun_snapshot *, const struct lun_replay_options *);
/* The request's reference is taken, n: bytes of its line. False: *error (yours to free). */
bool lun_replays_take(struct lun_replays *, struct lun_logged *, size_t n, char **error);
bool lun_replays_end(struct lun_replays *, char **error);           /* there are no more */
int64_t lun_replays_requests(const struct lun_replays *);
const struct lun_replay *lun_replays_get(const struct lun_replays *, int i);    /* in the order in which they were added; NULL: no request came */
#endif
