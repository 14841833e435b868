/* Money: accounts and holds. A hold is a bound on what a step can cost, taken from every account it counts to, all or nothing; it ends exactly
 * once: settled at a cost, released, or orphaned (charged in full because nobody knows what it did cost). The sum of holds and spend never passes
 * a limit that was in force when a hold was made; only a provider that claims more than its hold can lift the spend above it.
 *
 * A budget has an account for each of its periods (by `wall`). A hold belongs to the period it was made in and is settled there, however late.
 * Periods are remembered, so a clock that steps back never gives one period's money twice.
 *
 * A window that moves along (LUN_PER_ROLLING) has a period for each piece of it (state/period.h). What may be held in one is the limit less all that lies so
 * near that some moment's window sees both, before or after it, whatever the period was when it was held. So no window can pass the limit, wherever the clock
 * steps; with a ledger the sum of what was *granted* in them is compared, in the transaction that grants more, so that memory need not know of all; with several
 * gateways in Redis (lua/draw.lua), and one piece more counts on each side, since clocks differ.
 *
 * Without a ledger all of that is kept in memory, and the whole limit may be held. With one (state/draw.h) only what was drawn, which is on the disk
 * before it may be held; who finds too little drawn is told LATER and woken when there is more. Each hold has a slot of the journal then: its first
 * line is written before the hold is said to be taken, its second before the money is free again.
 *
 * Any thread: one mutex for all accounts of a process. Accounts are found by name and remembered (state/registry.h). */
#ifndef LUN_STATE_BUDGET_H
#define LUN_STATE_BUDGET_H
#include "base/clock.h"
#include "state/price.h"
#include "state/snapshot.h"

#define LUN_ACCOUNTS 8          /* at most this many budgets can apply to one request */

struct lun_account_view {       /* nano-USD; of the period that `wall` lies in */
    const char *name;           /* "key app", "team web", "total", "request" */
    int64_t limit;              /* -1: none */
    int64_t used, held, left;   /* left: INT64_MAX without a limit, never below 0. With several gateways: what this one knows to be left */
    double share, soft;         /* (used + held) / limit; 0 without one, 1 where the limit is 0 */
    lun_us resets_in;           /* LUN_NEVER: does not */
    lun_us ends;                /* the same by the wall clock */
    enum lun_period per; lun_us window;     /* of its rule */
};
struct lun_account;             /* a budget; which period it is in follows from `wall` */
struct lun_span;                /* one period of one account: what the ledger has a row for */
struct lun_payers;              /* a set of them */
struct lun_money_name;          /* a text that rows of the ledger refer to */

struct lun_shortage {           /* why a hold was not taken */
    int at;                     /* index of the first account that lacks money; -1: none does */
    struct lun_account_view view;       /* that account as it was found then: another look may find what has come back since */
};

enum lun_taken {
    LUN_TAKEN,
    LUN_SHORT,                  /* it does not fit, and waiting would not help */
    LUN_LATER,                  /* it may fit once more is drawn: the money's waiters are told */
    LUN_CLOSED,                 /* nothing is held under a hard limit now: lun_money_closed says why */
};

struct lun_hold {               /* zero-initialised: closed. The fields are budget.c's */
    struct lun_money *money;
    struct lun_span *spans[LUN_ACCOUNTS]; int n;
    int64_t bound;
    uint32_t slot; uint64_t seq;    /* of the journal; seq 0: none */
    bool open;
};

/* What a hold is for, as the ledger's row says. */
struct lun_bought {
    unsigned char request[16];
    struct lun_money_name *target, *version, *client;      /* client NULL: an open gateway's */
};
/* How it came out, for the same row. */
struct lun_settlement {
    int64_t cost;               /* nano-USD */
    struct lun_usage usage;
    int kind;                   /* enum lun_kind */
    bool orphaned, hedge, cancelled, suspect, stream, probe;
    bool limited;               /* a hard limit applied */
    lun_us latency;
    int64_t bound;              /* that of the hold: lun_hold_end says it */
};

/* What people should hear of, once in each period of a budget (and again after a restart, or when its rule has changed). */
enum lun_crossing {
    LUN_CROSSED_SOFT = 1,       /* what is spent has passed the soft share of the limit. Holds do not count: most of them come back */
    LUN_CROSSED_HARD = 2,       /* somebody was refused who would have fitted into the whole of it */
};
struct lun_money_watch {
    void *self;
    /* Any thread, under the lock: may only write down. The view is of that period and borrowed; its resets_in is not filled in. */
    void (*crossed)(void *self, const struct lun_account_view *, enum lun_crossing);
};

struct lun_money;               /* all accounts of a process */
struct lun_money *lun_money_new(void);
void lun_money_free(struct lun_money *);
void lun_money_watch(struct lun_money *, const struct lun_money_watch *);      /* copied; NULL: nobody watches from now on */
/* Why nothing is held under a hard limit now; NULL: it is. `text` is filled then. */
const char *lun_money_closed(struct lun_money *, char text[256]);
/* How it stands: "open", "closed", or a word of state/member.h while the limits of several gateways cannot be drawn on, and then *why (NULL is fine) is filled. */
const char *lun_money_status(struct lun_money *, char word[32], char why[256]);
/* The name, made when new; lives as long as the lun_money. */
struct lun_money_name *lun_money_name(struct lun_money *, const char *text);

/* Who is told when there is more money, or less hope. `moved` is called on any thread, under the lock: it may only post. Embedded; zero-initialised:
 * not waiting. */
struct lun_money_waiter { struct lun_money_waiter *next, **at; void (*moved)(struct lun_money_waiter *); };
void lun_money_wait(struct lun_money *, struct lun_money_waiter *);     /* again: nothing */
void lun_money_leave(struct lun_money *, struct lun_money_waiter *);    /* not waiting: nothing */

/* The account of that name, made when new; a changed rule applies from now on (another `per` begins at nothing spent). Lives
 * as long as the lun_money. Names come from the configuration: their number is not limited here. */
struct lun_account *lun_account_get(struct lun_money *, const char *name, const struct lun_budget_rule *);
struct lun_account *lun_account_find(struct lun_money *, const char *name);         /* as it is; NULL: there is none */
struct lun_account *lun_account_request(int64_t limit);         /* one request's own (x-lunette-budget), for ever; < 0: no limit. Used by
                                                                   one thread, with any lun_money. No ledger knows it */
void lun_account_free(struct lun_account *);                    /* only for those of lun_account_request, once their holds have ended */
void lun_account_look(struct lun_account *, lun_us wall, struct lun_account_view *);
bool lun_account_limited(const struct lun_account *);
/* A client was refused, for want of money in that account, what could have cost up to `bound`. */
void lun_account_refused(struct lun_account *, int64_t bound, lun_us wall);
/* Of n accounts (those of one lun_money, and a request's own), all seen at one moment: which is the first for want of which a hold of that much would be SHORT
 * now, for all that is known, and then that account as it is (NULL is fine); -1: none. Nothing is taken. */
int lun_accounts_lacking(struct lun_account *const *, int n, int64_t bound, lun_us wall, struct lun_account_view *);
/* The least that one of them has left, 0 or more; INT64_MAX: none has a limit. */
int64_t lun_accounts_left(struct lun_account *const *, int n, lun_us wall);

/* Takes a hold over n (0 to LUN_ACCOUNTS) accounts; a negative bound is 0. Not TAKEN: nothing was held, and *short_of tells why. `what` may be NULL where there is no ledger. */
enum lun_taken lun_hold_take(struct lun_hold *, struct lun_money *, struct lun_account *const *, int n, int64_t bound, lun_us wall, const struct lun_bought *what,
                             struct lun_shortage *short_of);
/* Each ends the hold; on one that is not open they do nothing. A cost above the bound is charged as claimed. */
void lun_hold_end(struct lun_hold *, const struct lun_settlement *);
void lun_hold_settle(struct lun_hold *, int64_t cost);
void lun_hold_release(struct lun_hold *);
void lun_hold_orphan(struct lun_hold *);                        /* charged in full */
#endif
