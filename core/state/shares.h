/* Rates that several gateways have together: of each limit every gateway has a part, and goes by it as if there were no other, so no request waits for
 * anybody's answer. The sum of the parts is at most the limit, and what a gateway has sent in the last 60 s is at most its part; so what all of them
 * have sent in any 60 s is at most the limit.
 *
 * Parts are drawn in batches before they run short, and what is not needed is given back where another gateway lacks it. Less is in force here before
 * others are told of it, more only once they know. Somebody else carries the words (gateway/fleet.h); without a word for a second this gateway goes by the
 * whole limit, as if it were alone, until it hears of others; one that has heard keeps the parts it has.
 *
 * Any thread, unless it says otherwise. */
#ifndef LUN_STATE_SHARES_H
#define LUN_STATE_SHARES_H
#include "base/clock.h"
#include "state/window.h"
#include <stdbool.h>
#include <stddef.h>

#define LUN_SHARES_POLL (200 * LUN_MS)
enum { LUN_SHARES_BATCHES = 8 };       /* a batch is so large a part of a limit */

struct lun_limiter;
struct lun_shares;
struct lun_share;               /* one limit; lives as long as the shares */

struct lun_shares *lun_shares_new(void);
void lun_shares_free(struct lun_shares *);      /* before the limiters */
void lun_shares_add(struct lun_shares *, const char *name, struct lun_limiter *);       /* name: the same on all gateways; copied. Nobody waits there yet */
/* From now on what was added, or will be, is had together with others. `wake` may only post: somebody lacks a part. Once, before there is traffic. */
void lun_shares_begin(struct lun_shares *, void (*wake)(void *self), void *self);
const char *lun_shares_trouble(const struct lun_shares *);      /* a word for why parts are not drawn now; NULL: they are, or nothing is shared. Static */
void lun_shares_lack(struct lun_shares *);      /* a limiter's word, under its lock */

/* ---- for who carries the words: one thread ---- */

struct lun_share_word { struct lun_share *share; const char *name; struct lun_tally limit, want; bool lacks; };     /* want: absolute; 0 where there is no limit;
                                                   lacks: somebody waits for it. Name borrowed */
/* What there is to tell with so many gateways alive, at most `room`; what had no room comes first with the next. Less than before is in force here already. */
size_t lun_shares_words(struct lun_shares *, int gateways, struct lun_share_word *, size_t room, lun_us now);
/* What it has of each limit, from the `*at`-th on, which moves on; 0: that was all. */
size_t lun_shares_register(struct lun_shares *, size_t *at, struct lun_share_word *, size_t room, lun_us now);
void lun_shares_answer(struct lun_share *, const struct lun_share_word *, struct lun_tally part, lun_us now);        /* what all know now of that word */
void lun_shares_wanted(struct lun_shares *, const char *name, lun_us now);     /* another gateway lacks some of it */
void lun_shares_yield(struct lun_shares *);     /* nothing is needed any more: all that is unused is given back with the next words, whoever was refused a moment ago */
void lun_shares_alone(struct lun_shares *, lun_us now);         /* nobody has ever answered */
void lun_shares_say(struct lun_shares *, const char *trouble);  /* static; NULL: none */
/* Calls for each that has a limit. */
void lun_shares_each(struct lun_shares *, void (*each)(void *self, const char *name, struct lun_tally limit, struct lun_tally part, struct lun_tally used), void *self, lun_us now);
#endif
