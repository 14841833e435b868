/* Money: accounts, holds, and the seam to where money comes from. A hold is a bound on what a step can cost, taken from
 * every account it counts to, all or nothing; it ends exactly once: settled at a cost, released, or orphaned (charged in full
 * because nobody knows what it did cost). The sum of holds and spend never passes a limit.
 *
 * Any thread: one mutex for all accounts of a process. Accounts are found by name and remembered (state/registry.h). */
#ifndef LUN_STATE_BUDGET_H
#define LUN_STATE_BUDGET_H
#include "base/clock.h"
#include "state/snapshot.h"

#define LUN_ACCOUNTS 8          /* at most this many budgets can apply to one request */

struct lun_account_view {       /* nano-USD */
    const char *name;           /* "key app", "team web", "total", "request" */
    int64_t limit;              /* -1: none */
    int64_t used, held, left;   /* left: INT64_MAX without a limit */
    double share, soft;         /* (used + held) / limit; 0 without one */
    lun_us resets_in;           /* LUN_NEVER: does not */
};
struct lun_account;             /* a budget; which period it is in follows from `wall` */

/* Where money comes from. The one that stands keeps accounts in memory; a ledger on disk takes its place behind the same
 * functions. */
struct lun_source {
    void *self;
    /* All or nothing. False: `short_of` names the account that lacks money (index), or -1: could serve later. */
    bool (*take)(void *self, struct lun_account *const *, int n, int64_t bound, lun_us wall, int *short_of);
    void (*give)(void *self, struct lun_account *const *, int n, int64_t bound, int64_t cost, lun_us wall);  /* ends a hold at that cost */
};

struct lun_money;               /* all accounts of a process */
struct lun_money *lun_money_new(void);
void lun_money_free(struct lun_money *);
struct lun_source *lun_money_source(struct lun_money *);        /* the one in memory; borrowed */

/* The account of that name, made when new; a changed rule applies from now on. Lives as long as the lun_money. */
struct lun_account *lun_account_get(struct lun_money *, const char *name, const struct lun_budget_rule *);
struct lun_account *lun_account_request(int64_t limit);         /* one request's own (x-lunette-budget); -1: no limit. */
void lun_account_free(struct lun_account *);                    /* only for those of lun_account_request */
void lun_account_look(struct lun_account *, lun_us wall, struct lun_account_view *);
bool lun_account_limited(const struct lun_account *);

struct lun_hold { struct lun_source *source; struct lun_account *accounts[LUN_ACCOUNTS]; int n; int64_t bound; bool open; };
bool lun_hold_take(struct lun_hold *, struct lun_source *, struct lun_account *const *, int n, int64_t bound, lun_us wall, int *short_of);
void lun_hold_settle(struct lun_hold *, int64_t cost, lun_us wall);     /* a cost above the bound is charged as claimed */
void lun_hold_release(struct lun_hold *, lun_us wall);
void lun_hold_orphan(struct lun_hold *, lun_us wall);                   /* charged in full */
#endif
