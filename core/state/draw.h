/* Between the money in memory and what keeps it on the disk: a bookkeeper, one thread, that carries what was opened, drawn and settled to a ledger, and
 * says what came of it. Nothing here blocks but on the money's mutex.
 *
 * The bookkeeper's turn: lun_draw_begin collects what there is to do; it is written and on the disk; lun_draw_done tells what of it now holds. Between
 * the two the money goes on: holds are taken and end.
 *
 *   base      what others have taken of an account: earlier runs, other processes and gateways, corrections
 *   granted   what this run was granted, on the disk; what it has charged is part of it
 *   allot     what may be held and spent of that: <= granted, once a give-back is under way
 *   gone      spent + held, here: <= allot
 */
#ifndef LUN_STATE_DRAW_H
#define LUN_STATE_DRAW_H
#include "state/budget.h"
#include "state/period.h"

struct lun_draw_line {          /* a hold, when it is taken */
    uint64_t seq;
    int64_t hold;
    lun_us at;                  /* wall */
    unsigned char request[16];
    uint32_t target, version, client, payers;   /* client 0: none */
};
struct lun_draw_books {
    void *self;
    uint32_t slots;                                                                             /* of the journal */
    uint64_t seq;                                                                               /* the last one used */
    void (*dispatched)(void *self, uint32_t slot, const struct lun_draw_line *);                /* any thread, no lock; the slot is the caller's alone */
    void (*settled)(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *);    /* likewise */
    /* any thread, under the lock: there is work; may only post. Urgent: somebody waits, or soon will; or a quarter of the slots have rows to be written */
    void (*wake)(void *self, bool urgent);
};
/* From now on nothing is held that is not on the disk. Before the first hold. */
void lun_draw_attach(struct lun_money *, const struct lun_draw_books *);
/* Several gateways, or processes, draw on the same limits: what is left here is not all that is left. Any time. */
void lun_draw_share(struct lun_money *, bool shared);
/* Hard-limited holds are refused with that reason until it is NULL again; what is not limited goes on, without a slot if need be. Copied. */
void lun_draw_close(struct lun_money *, const char *why);

/* Something of the ledger that memory has a number for once it is on the disk. */
struct lun_draw_name { struct lun_money_name *name; const char *text; uint32_t id; };
struct lun_draw_span {
    struct lun_span *span;
    const char *budget; lun_us starts, ends;    /* wall; ends LUN_NEVER: does not */
    struct lun_budget_rule rule; char label[LUN_PERIOD_LABEL];  /* its periods, and what this one is called */
    int64_t limit;                              /* -1: none */
    uint32_t id;                                /* 0: to be opened */
    bool looked;                                /* not opened, if the ledger has none: only what counts beside it is asked for */
    char per[48];                               /* what its periods are, as text, to compare with others' */
    int64_t beside;                             /* of a window: what all that counts beside this piece has of the limit, on the disk */
    int64_t elsewhere; lun_us elsewhere_ends;   /* of that, what memory does not know (lun_draw_beside) once all spans are written; its first end, LUN_NEVER: none */
    int64_t abroad;                             /* of a window: what other gateways have of it, as far as is known */
    int64_t base, used, granted;                /* as known; on return of an opened one: what the ledger says (used: charged by this run before) */
    int64_t want;                               /* granted is to be this; below `granted`: it is given back; -1: nothing to do */
    bool opened;                                /* lun_draw_opened has given it its number */
    bool forced;                                /* more was charged than granted: whatever the limit says */
    int64_t need;                               /* the least that would help somebody who waits; 0: nobody does */
};
struct lun_draw_payers { struct lun_payers *payers; uint32_t id; int n; struct lun_span *spans[LUN_ACCOUNTS]; uint32_t accounts[LUN_ACCOUNTS]; };

/* Who waits: the dearest of them needs so much on each of these accounts. lack: what of that is not drawn yet; all: what all who wait for it lack together. */
struct lun_draw_group { int n; struct lun_span *spans[LUN_ACCOUNTS]; int64_t need, lack[LUN_ACCOUNTS], all[LUN_ACCOUNTS]; };
struct lun_draw_account { const char *budget; struct lun_account *account; lun_us counts; };       /* counts: lun_period_counts */

struct lun_draw_work {          /* arrays are the bookkeeper's to reuse: zero-initialise once, free with lun_draw_work_free */
    struct lun_draw_account *accounts; size_t n_accounts, room_accounts;       /* new ones: lun_draw_found tells what the ledger knows of them already */
    struct lun_draw_name *names; size_t n_names, room_names;
    struct lun_draw_span *spans; size_t n_spans, room_spans;
    struct lun_draw_payers *payers; size_t n_payers, room_payers;      /* to be made; `accounts` are filled in by lun_draw_accounts */
    struct lun_draw_group *groups; size_t n_groups, room_groups;
    uint32_t *slots; size_t n_slots, room_slots;       /* settled: their rows are to be written */
};
/* Collects what there is to do. False: nothing. `wall`: now. */
bool lun_draw_begin(struct lun_money *, struct lun_draw_work *, lun_us wall);
/* Whether memory counts the account of that number beside that piece of a window, once this work is done. */
bool lun_draw_beside(struct lun_money *, const struct lun_draw_work *, const struct lun_span *, uint32_t id);
/* What is wanted becomes what may be granted, beyond what is: base and beside are what the disk says in this transaction. Spans that lun_draw_first says are
 * written first: they give back what others want. */
void lun_draw_fit(struct lun_draw_span *);
bool lun_draw_first(const struct lun_draw_span *);
/* A span without a number has been found in the ledger, or put there: what it says of it, and so what is to be drawn. */
void lun_draw_opened(struct lun_draw_span *, uint32_t id, int64_t base, int64_t used, int64_t granted);
/* What the ledger knows of a period of a new account; nothing where it is not that of `wall`, or is there already. Of a window: the piece of `wall` is opened. */
void lun_draw_found(struct lun_money *, struct lun_account *, const char *label, lun_us wall, uint32_t id, int64_t base, int64_t used, int64_t granted);
/* Fills in the accounts' numbers, once the work's spans have theirs. False: one has none; another turn brings it again. */
bool lun_draw_accounts(const struct lun_draw_work *, struct lun_draw_payers *);
/* All of it is on the disk, with the numbers and figures written into it: money may be held, slots are free, who waits is told. */
void lun_draw_done(struct lun_money *, const struct lun_draw_work *);
/* None of it is: the next lun_draw_begin collects it again. */
void lun_draw_failed(struct lun_money *, const struct lun_draw_work *);
/* Several gateways: this run now has that much of it, on the disk. */
void lun_draw_granted(struct lun_money *, struct lun_span *, int64_t granted, int64_t base);
/* Several gateways: there is not so much to be had just now. Remembered until something comes back. */
void lun_draw_refused(struct lun_money *, struct lun_span *, int64_t need, int64_t base);
/* What others have taken of a span has changed: a correction, another process or gateway. Tells who waits if it is less. */
void lun_draw_base(struct lun_money *, struct lun_span *, int64_t base);
/* Several gateways: what the others have of a window, as it was just told, and the first end of what that is. */
void lun_draw_abroad(struct lun_money *, struct lun_span *, int64_t abroad, lun_us ends);
/* Several gateways: that piece of a window is over by the clock that they go by: nothing is held in it any more, though this one's own clock may have stopped. */
void lun_draw_late(struct lun_money *, struct lun_span *);
/* Calls for every span that has a number, under the lock: only to write down what is seen. Spans go in lun_draw_sweep alone. */
void lun_draw_each(struct lun_money *, void (*each)(void *self, struct lun_span *, uint32_t id, int64_t base), void *self);
bool lun_draw_is_window(struct lun_money *, const char *budget);       /* one that moves along, as its rule is now */
/* Gives back what is not gone: all of it, or what is more than will soon be wanted. lun_draw_begin collects it. */
void lun_draw_give_back(struct lun_money *, bool all);
/* The same of one. */
void lun_draw_return(struct lun_money *, struct lun_span *);
/* Once in a while: forgets spans whose period is over, of which nothing is held and whose rest was given back; collects the rest of others. `gone` (may be
 * NULL) is called with the mark of each that has one, under the lock. */
void lun_draw_sweep(struct lun_money *, lun_us wall, void (*gone)(void *self, void *mark), void *self);
/* The bookkeeper's own, on its thread alone. */
void *lun_draw_mark(const struct lun_span *);
void lun_draw_set_mark(struct lun_span *, void *);
/* How it stands with those who share, for whoever is refused meanwhile: a word, and a sentence (copied); "" and NULL: all is well. */
void lun_draw_status(struct lun_money *, const char *word, const char *why);
void lun_draw_work_free(struct lun_draw_work *);
#endif
