/* Money: accounts, holds, and the seam to where money comes from. A hold is a bound on what a step can cost, taken from
 * every account it counts to, all or nothing; it ends exactly once: settled at a cost, released, or orphaned (charged in full
 * because nobody knows what it did cost). The sum of holds and spend never passes a limit that was in force when a hold was
 * made; only a provider that claims more than its hold can lift the spend above it.
 *
 * A budget has an account for each of its periods (UTC, by `wall`). A hold belongs to the period it was made in and is
 * settled there, however late. Periods are remembered, so a clock that steps back never gives one period's money twice.
 *
 * Any thread: one mutex for all accounts of a process. Accounts are found by name and remembered (state/registry.h). */
#ifndef LUN_STATE_BUDGET_H
#define LUN_STATE_BUDGET_H
#include "base/clock.h"
#include "state/snapshot.h"

#define LUN_ACCOUNTS 8          /* at most this many budgets can apply to one request */

struct lun_account_view {       /* nano-USD; of the period that `wall` lies in */
    const char *name;           /* "key app", "team web", "total", "request" */
    int64_t limit;              /* -1: none */
    int64_t used, held, left;   /* left: INT64_MAX without a limit, never below 0 */
    double share, soft;         /* (used + held) / limit; 0 without one, 1 where the limit is 0 */
    lun_us resets_in;           /* LUN_NEVER: does not */
};
struct lun_account;             /* a budget; which period it is in follows from `wall` */
struct lun_span;                /* one period of one account */

struct lun_hold {               /* zero-initialised: closed. The fields are the source's and lun_hold's */
    struct lun_source *source;
    struct lun_account *accounts[LUN_ACCOUNTS]; struct lun_span *spans[LUN_ACCOUNTS]; int n;
    int64_t bound;
    bool open;
};

/* Where money comes from. The one that stands keeps accounts in memory; a ledger on disk takes its place behind the same
 * functions. */
struct lun_source {
    void *self;
    /* All or nothing, for the hold's accounts and bound; fills in its spans. False: `short_of` is the index of the first
     * account that lacks money, or -1: could serve later. */
    bool (*take)(void *self, struct lun_hold *, lun_us wall, int *short_of);
    void (*give)(void *self, struct lun_hold *, int64_t cost, lun_us wall);     /* ends a hold at that cost */
};

struct lun_money;               /* all accounts of a process */
struct lun_money *lun_money_new(void);
void lun_money_free(struct lun_money *);
struct lun_source *lun_money_source(struct lun_money *);        /* the one in memory; borrowed */

/* The account of that name, made when new; a changed rule applies from now on (another `per` begins at nothing spent). Lives
 * as long as the lun_money. Names come from the configuration: their number is not limited here. */
struct lun_account *lun_account_get(struct lun_money *, const char *name, const struct lun_budget_rule *);
struct lun_account *lun_account_request(int64_t limit);         /* one request's own (x-lunette-budget), for ever; < 0: no limit. Used by
                                                                   one thread, with any lun_money's source */
void lun_account_free(struct lun_account *);                    /* only for those of lun_account_request, once their holds have ended */
void lun_account_look(struct lun_account *, lun_us wall, struct lun_account_view *);
bool lun_account_limited(const struct lun_account *);

/* Takes a hold over n (0 to LUN_ACCOUNTS) accounts; a negative bound is 0. False: nothing was held; *short_of as above. */
bool lun_hold_take(struct lun_hold *, struct lun_source *, struct lun_account *const *, int n, int64_t bound, lun_us wall, int *short_of);
/* Each ends the hold; on one that is not open they do nothing. */
void lun_hold_settle(struct lun_hold *, int64_t cost, lun_us wall);     /* a cost above the bound is charged as claimed */
void lun_hold_release(struct lun_hold *, lun_us wall);
void lun_hold_orphan(struct lun_hold *, lun_us wall);                   /* charged in full */
#endif
