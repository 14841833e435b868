/* What budget.c and draw.c share: accounts, their periods, what is drawn. For these alone; all of it under the money's lock. */
#ifndef LUN_STATE_MONEY_H
#define LUN_STATE_MONEY_H
#include "state/draw.h"
#include "state/names.h"
#include <pthread.h>

struct lun_span {
    struct lun_span *next;              /* of its account */
    struct lun_account *of;
    struct lun_budget_rule rule;        /* as it was when it was opened; its limit is the account's */
    lun_us start, end;
    int64_t used, held; int holds;      /* here: by holds that ended, by those that have not */
    unsigned crossed, told;             /* enum lun_crossing: who watches was told; and of this span itself */
    lun_us last;                        /* just after the latest hold that began here */
    /* with a ledger */
    uint32_t id;                        /* 0: not on the disk yet */
    int64_t base, granted, allot;
    int64_t elsewhere; lun_us elsewhere_ends;       /* of a window: what the ledger knows to count beside and memory does not; the first end of these */
    int64_t abroad; lun_us abroad_ends, abroad_till;        /* of a window: what other gateways have of it, as last told; its first end; none of it ends later */
    bool late;                          /* of a window: over by the clock that several gateways go by, whatever this one's says */
    int64_t biggest;                    /* the largest hold on it: what is drawn at once follows from it */
    int64_t wanted;                     /* by those who were told LATER since the last turn, together */
    int64_t least;                      /* and the smallest of them; 0: nobody */
    int64_t refused;                    /* a hold of so much or more has no hope for now; 0: all have */
    bool looked;                        /* opened only to be looked at: the ledger is asked, and gets no row */
    bool listed;                        /* in the money's list of spans with work */
    bool give_back, trim;               /* what is not gone; what is more than a few chunks */
    bool dead;                          /* about to be freed */
    void *mark;
    struct lun_span *next_work;
};

struct lun_account {
    struct lun_money *money;            /* NULL: a request's own */
    char *name;
    _Atomic int64_t limit;
    struct lun_budget_rule rule;        /* but for the limit */
    int64_t soft_at;                    /* spending that much is told; INT64_MAX: none is */
    struct lun_span *spans; int n;
    lun_us forgotten;                   /* no period that began then or before is opened any more; 0: none was forgotten */
    struct lun_account *next_work;
};

struct lun_payers {
    struct lun_payers *next;
    uint64_t hash;
    uint32_t id;                        /* 0: not on the disk yet */
    struct lun_payers *next_work;
    int64_t need; struct lun_payers *next_need;     /* the dearest of those who were told LATER since the last turn; 0: nobody was */
    int n; struct lun_span *spans[LUN_ACCOUNTS];
};
struct lun_money_name { struct lun_money_name *next_work; _Atomic uint32_t id; char text[]; };

struct lun_money {
    pthread_mutex_t lock;
    struct lun_names accounts, names;
    struct lun_money_watch watch;
    struct lun_draw_books books; bool kept;             /* kept: there is a ledger */
    bool shared;
    char closed[256];                                   /* "": it is not */
    char status[32], stuck[256];                        /* of those who share; "": all is well */
    uint64_t seq;
    uint32_t *free_slots; size_t n_free;
    uint32_t *ended; size_t n_ended;                    /* slots whose holds have ended */
    struct lun_payers **payers; size_t n_payers, room_payers;      /* by hash; room is 0 or a power of two */
    struct lun_account *work_accounts;                  /* that nobody has looked for in the ledger yet */
    struct lun_span *work; struct lun_payers *work_payers, *needy; struct lun_money_name *work_names;
    int woken;                                          /* 1: the bookkeeper knows that there is work, 2: that it is urgent */
    struct lun_money_waiter *waiters;
};

void lun_money_list(struct lun_money *, struct lun_span *);     /* there is something to do about it, at the next turn */
void lun_money_work(struct lun_money *, struct lun_span *);     /* the same; the bookkeeper is woken */
void lun_money_wake(struct lun_money *, bool urgent);   /* the bookkeeper */
void lun_money_tell(struct lun_money *);                /* all who wait */
int64_t lun_draw_low(const struct lun_span *);          /* less than that at hand: more is drawn before anybody has to wait */
struct lun_span *lun_span_open(struct lun_account *, lun_us wall);       /* that of `wall`, made when new */
int64_t lun_span_gone(const struct lun_span *);
bool lun_span_counts(const struct lun_span *, const struct lun_span *other);     /* of a window that moves along: whether `other` is to be counted beside */
int64_t lun_span_beside(const struct lun_span *);       /* what these, used and held, come to; 0: it is no window */
void lun_span_ask_back(struct lun_span *);              /* what these were granted and do not need is collected by the next turn */
int64_t lun_span_left(const struct lun_span *);         /* of the limit, for all that is known; >= 0 */
int64_t lun_span_rest(const struct lun_span *);         /* what others leave of its limit, which there is: this process may have all of it. Below 0: less than nothing */
struct lun_payers *lun_payers_find(struct lun_money *, struct lun_span *const *, int n);    /* made when new */
void lun_payers_need(struct lun_money *, struct lun_payers *, int64_t bound);   /* somebody waits for so much on all of them */
void lun_payers_forget(struct lun_money *, bool (*dead)(const struct lun_payers *));
#endif
