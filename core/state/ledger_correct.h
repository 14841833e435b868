/* Later changes to what is in a ledger: what an attempt really cost, once somebody knows. Nothing is overwritten: each change is a row of its own, with
 * who and why, and the accounts' figures follow it in the same transaction. A gateway that runs sees it within moments (lun_ledger_changed).
 *
 * After a power cut the whole of what was granted stays charged, whatever its rows say: there a change to an attempt, as far as its hold goes, moves
 * money between its row and the rest of each account, and only a change to the rest sets money free. */
#ifndef LUN_STATE_LEDGER_CORRECT_H
#define LUN_STATE_LEDGER_CORRECT_H
#include "state/ledger.h"
#include <stddef.h>

struct lun_uncertain {                  /* something that is charged and nobody knows; texts are borrowed for the call */
    uint32_t run;
    uint64_t seq;                       /* of an attempt; 0: the rest of an account */
    uint32_t account;                   /* of a rest */
    lun_us at;
    int64_t charged;
    const char *what;                   /* of an attempt its target; of a rest the budget and its period */
    char request[33];                   /* of an attempt: hexadecimal; else "" */
};
/* ORPHANED attempts without a correction, and rests that are not 0; oldest first. False: could not be read. */
bool lun_ledger_uncertain(struct lun_ledger *, void (*each)(void *self, const struct lun_uncertain *), void *self);

struct lun_correction {
    uint32_t run; uint64_t seq;         /* an attempt; or seq 0 and */
    uint32_t account;                   /* the rest of an account in that run */
    int64_t cost;                       /* what it is to be, nano-USD */
    const char *by, *why;               /* neither empty */
};
enum lun_corrected {
    LUN_CORRECTED,
    LUN_CORRECTED_NOTHING,              /* it is that already, and known: no row is written. (An ORPHANED one that comes out at its hold is written.) */
    LUN_CORRECTED_UNKNOWN,              /* there is no such attempt or rest */
    LUN_CORRECTED_FAILED,               /* lun_ledger_error; see the result of commit */
};
/* Between begin and commit, of a ledger opened to write. *was: what it was charged until now. */
enum lun_corrected lun_ledger_correct(struct lun_ledger *, const struct lun_correction *, lun_us wall, int64_t *was);

/* The attempt of a request that has only one that was charged: *seq 0: there is none; *many: there are several. `request`: 16 bytes. Reads all rows, at
 * most once a call: give all of a bill at once. */
struct lun_asked { unsigned char request[16]; uint32_t run; uint64_t seq; int64_t charged; bool many; };
bool lun_ledger_find_requests(struct lun_ledger *, struct lun_asked *, size_t n);      /* sorts them by request; doubles are `many` */
#endif
