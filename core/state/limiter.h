/* One window and its queue, for the files of this folder. Everything takes its lock. */
#ifndef LUN_STATE_LIMITER_H
#define LUN_STATE_LIMITER_H
#include "state/limit.h"
#include "state/window.h"
#include <pthread.h>
#include <stdatomic.h>

struct lun_shares;

#define LUN_BATCH_PERCENT 70

/* In this order: turns that were granted and are about to be used, whose place nobody takes any more; those who wait; batch work that waits. */
enum { LUN_LINE_GRANTED, LUN_LINE_OTHERS, LUN_LINE_BATCH, LUN_LINES };
struct lun_line { struct lun_turn *first, *last; };
struct lun_limiter {
    pthread_mutex_t lock;
    _Atomic int64_t requests, tokens;   /* per minute; 0: no such limit */
    struct lun_window window;
    struct lun_line lines[LUN_LINES];
    struct lun_tally waiting[2];        /* in all lines; [1]: batch work */
    struct lun_shares *of;              /* NULL: the limit is this gateway's alone */
    struct lun_tally part;              /* with `of`: how much of it this gateway may use */
    bool fresh, spent;                  /* with `of`: nobody has said yet how much; others need all of theirs */
    bool lacks, moves;                  /* with `of`, since the last look: somebody waits, or was refused, for want of more; something went out */
};

bool   lun_limiter_limits(const struct lun_limiter *);
lun_us lun_limiter_peek(struct lun_limiter *, struct lun_turn *, lun_us now);       /* when its slot would come; nothing changes */
lun_us lun_limiter_take(struct lun_limiter *, struct lun_turn *, lun_us now);
void   lun_limiter_correct(struct lun_limiter *, int64_t estimated, int64_t used, lun_us now);
void   lun_limiter_told(struct lun_limiter *, int64_t requests_left, int64_t tokens_left, lun_us now);
struct lun_tally lun_limiter_left(struct lun_limiter *, lun_us now);        /* each -1 where there is no such limit */
lun_us lun_limiter_pass(struct lun_limiter *, lun_us now);      /* a request without a queue; 0: it has gone through */

/* How it stands, for who shares it out: what is in its window, what waits, what it may use; and whether it lacked or moved since the last look. */
struct lun_limiter_look { struct lun_tally limit, used, waiting, part; bool lacks, moves; };
struct lun_limiter_look lun_limiter_look(struct lun_limiter *, lun_us now);
struct lun_limiter_look lun_limiter_peep(struct lun_limiter *, lun_us now);     /* the same, and it was no look */
void lun_limiter_share(struct lun_limiter *, struct lun_shares *);      /* from now on, beginning with an LUN_SHARES_BATCHES-th; nobody waits yet */
void lun_limiter_part(struct lun_limiter *, struct lun_tally part, bool spent, lun_us now);     /* who waits moves up, or back */
struct lun_tally lun_limiter_lower(struct lun_limiter *, struct lun_tally to, lun_us now);      /* its part, but not below what is used or waits; what it is then */
#endif
