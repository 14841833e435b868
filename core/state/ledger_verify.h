/* A ledger's figures against its rows: every budget's recomputed, and what must always hold of a row. */
#ifndef LUN_STATE_LEDGER_VERIFY_H
#define LUN_STATE_LEDGER_VERIFY_H
#include "state/ledger.h"

struct lun_verified {                   /* an account; nano-USD; texts are borrowed for the call */
    const char *budget, *period;
    int64_t limit;                      /* -1: none */
    int64_t charged, counted;           /* as stored, and as the rows, rests and corrections come to */
    int64_t orphaned;                   /* of that: attempts that nobody knows the cost of, and rests after a power cut, as far as not reconciled */
    int64_t rows;
    bool wrong;
};
struct lun_verification {
    int64_t accounts, wrong;            /* wrong: accounts whose figures do not hold */
    int64_t problems;                   /* all else that was told */
    int64_t rows;                       /* read one by one; the others are summed in closed months */
};
struct lun_verify {
    bool full;                          /* from the first row; else from the last closed month on, whose sums are believed */
    void *self;
    void (*account)(void *self, const struct lun_verified *);       /* each, by budget and start */
    void (*problem)(void *self, const char *what);                  /* a sentence for people */
};
/* Reads one state of the ledger, however long that takes, and holds up no writer. False: it could not be read to its end (lun_ledger_error). */
bool lun_ledger_verify(struct lun_ledger *, const struct lun_verify *, struct lun_verification *);
#endif
