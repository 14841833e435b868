/* What went out in the last 60 seconds: requests and tokens, all of them and those of batch work. A use leaves the window exactly 60 s
 * after it was made. Not thread-safe: whoever owns it has the lock. */
#ifndef LUN_STATE_WINDOW_H
#define LUN_STATE_WINDOW_H
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>

#define LUN_WINDOW (60 * LUN_SECOND)

struct lun_tally { int64_t requests, tokens; };
struct lun_use { lun_us at; struct lun_tally of; bool batch; };

struct lun_window {             /* zero-initialised: empty and valid */
    struct lun_use *uses;       /* a ring, oldest first */
    size_t first, n, room;      /* room: 0 or a power of two */
    struct lun_tally all, batch;        /* sums over the uses */
    lun_us now;                 /* never goes back, though the clocks of threads differ by a little */
};

void lun_window_advance(struct lun_window *, lun_us now);       /* lets go of what is older */
void lun_window_add(struct lun_window *, struct lun_tally, bool batch);         /* at its `now` */
struct lun_use *lun_window_at(const struct lun_window *, size_t i);     /* the i-th, oldest first; borrowed until add or advance */
bool lun_window_correct(struct lun_window *, int64_t estimated, int64_t used);  /* the oldest use of that many tokens. False: it has left */
lun_us lun_window_frees(const struct lun_window *, int64_t requests);   /* when that many requests more than now will have left */
void lun_window_free(struct lun_window *);

static inline void lun_tally_add(struct lun_tally *t, struct lun_tally of) { t->requests += of.requests; t->tokens += of.tokens; }
static inline void lun_tally_take(struct lun_tally *t, struct lun_tally of) { t->requests -= of.requests; t->tokens -= of.tokens; }
#endif
