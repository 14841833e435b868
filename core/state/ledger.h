/* The ledger: what every attempt cost, and how much of each account each run of a gateway may spend, in an SQLite file that survives a power cut
 * (write-ahead log, fsync at each commit). Append-only: one row per attempt, a correction row for each later change. The tables are described in
 * core/state/LEDGER.md; what is guaranteed, in /README.md.
 *
 * An *account* is a budget in one period. *Payers* are a set of accounts that an attempt counts to. A *run* is one start of a process on this ledger. A
 * *part* is what a run has of an account: `granted`, what it may spend there in all (on disk before it is spent), and `charged`, what its rows come to. A row
 * that costs more than was held comes in one transaction with a grant that covers it. What of an account is *taken* is the sum over its parts of
 * granted where the run is open (charged, if that is more), charged where it is closed; and all corrections. Money is nano-USD.
 *
 * Several processes may have one ledger open (an upgrade; `lunette ledger`): writers take turns, nothing is remembered between transactions, so a
 * change by another process is always seen. Not for network file systems.
 *
 * A ledger belongs to one thread. All calls may block on the disk, and up to LUN_LEDGER_WAIT for another process. */
#ifndef LUN_STATE_LEDGER_H
#define LUN_STATE_LEDGER_H
#include "base/clock.h"
#include "state/journal.h"
#include <stdbool.h>
#include <stdint.h>

#define LUN_LEDGER_WAIT (2 * LUN_SECOND)
#define LUN_LEDGER_LAG  (50 * LUN_MS)   /* rows of a gateway wait so long for company: two thirds of a commit are the system's */
enum { LUN_LEDGER_PAYERS = 16,          /* accounts of one set, at most */
       LUN_LEDGER_SCHEMA = 3 };         /* the version that this program writes */

struct lun_ledger;

enum lun_ledger_mode {
    LUN_LEDGER_FOUND,                   /* to write; made anew if there is none and there never was one */
    LUN_LEDGER_WRITE,                   /* to write; must be there */
    LUN_LEDGER_READ,                    /* to read; changes no byte of it, and never holds up a writer */
};
/* Opens a ledger; one of an older schema is brought to this one's first, in one transaction (with FOUND only). NULL: *error, yours to free, names the
 * file, says what is wrong with it and what to do. A file PATH.id beside it says that there is one: a ledger that is gone, or an older copy, is
 * therefore an error, never silently a new beginning. */
struct lun_ledger *lun_ledger_open(const char *path, enum lun_ledger_mode, char **error);
void lun_ledger_close(struct lun_ledger *);             /* an open transaction is rolled back. NULL is fine */
const char *lun_ledger_gateway(const struct lun_ledger *);      /* its random id, 32 hexadecimal digits */
/* What went wrong last, for people: file, what, what to do. "" if nothing. Borrowed until the next call. */
const char *lun_ledger_error(const struct lun_ledger *);
/* Whether it has failed for good: nothing is written any more until it is opened anew. Otherwise what has failed may be tried again. */
bool lun_ledger_failed(const struct lun_ledger *);
/* Runs are open: of a gateway that may have rows for it within LUN_LEDGER_LAG, or was killed. */
bool lun_ledger_is_live(struct lun_ledger *);
/* Another process has changed the ledger since this was last asked. (Money may have come back: look at `taken` again.) */
bool lun_ledger_changed(struct lun_ledger *);

/* ---- runs ---- */

/* Begins a run: takes the next number, on disk, and makes its journal in `folder`. False: lun_ledger_error. Outside of a transaction. */
bool lun_ledger_begin_run(struct lun_ledger *, const char *folder, const char *boot_id, uint32_t slots, lun_us wall, struct lun_journal **);
uint32_t lun_ledger_run(const struct lun_ledger *);     /* the one begun here; 0: none */
/* Ends it: rows that the journal holds and the ledger does not are added (nothing may be under way any more: what is DISPATCHED becomes ORPHANED), what
 * was granted and not spent is free again, the journal is removed and freed. False: nothing of that has happened and the journal is only closed; a
 * later recovery will do it. Outside of a transaction. */
bool lun_ledger_end_run(struct lun_ledger *, struct lun_journal *, lun_us wall);

/* ---- recovery ---- */

struct lun_recovery {
    int runs, cuts;                     /* dead runs closed; of these, as after a power cut */
    int alive;                          /* runs of other processes that still go on */
    uint64_t rows, settled, orphaned;   /* rows added, and how they ended */
    uint64_t known, torn;               /* slots that had their row already; slots that held no whole line */
    int rests; int64_t rest;            /* accounts whose rest stays charged after a power cut, and nano-USD in all */
    int capped;                         /* accounts whose surviving rows exceed what was granted: counted down to it */
    int wrong;                          /* accounts with a limit charged above what was granted: must never be; see lun_ledger_error */
};
/* Closes every run that has died: the rows that its journal in `folder` holds and the ledger does not are added, ORPHANED at the hold where nobody knows
 * what they cost. After the end of a process what was granted and not spent is free again; after a power cut (the journal is another boot's,
 * missing, damaged, distrusted, or its fsync fails) it stays charged as the account's ORPHANED rest. One transaction a run; interrupted anywhere it can be
 * repeated. Outside of a transaction, before or during a run of one's own; *report (may be NULL) is added up. False: lun_ledger_error says why; what
 * was done until then stands, and the rest is still charged in full. */
bool lun_ledger_recover(struct lun_ledger *, const char *folder, const char *boot_id, lun_us wall, struct lun_recovery *report);

/* ---- writing: begin, some of these, commit ---- */

enum lun_ledger_result {
    LUN_LEDGER_OK,
    LUN_LEDGER_FULL,                    /* the disk is; nothing was done, and it may be tried again */
    LUN_LEDGER_BUSY,                    /* another process writes; nothing was done, and it may be tried again */
    LUN_LEDGER_FAILED,                  /* an fsync failed, the file is damaged, …: for good. Nobody knows whether it was done; a restart finds out */
};
/* A transaction. What fails between begin and commit is told by commit. Ids from a transaction that was not committed are void. */
enum lun_ledger_result lun_ledger_begin(struct lun_ledger *);
enum lun_ledger_result lun_ledger_commit(struct lun_ledger *);      /* after OK all of it is on the disk */
void lun_ledger_rollback(struct lun_ledger *);

struct lun_ledger_account {
    const char *budget;                 /* "key app", "total" */
    const char *period;                 /* the label of its period: "2026-11-28"; "" for one without end */
    lun_us starts, ends;                /* wall; LUN_NEVER: does not end */
    int64_t limit;                      /* in force now; -1: none */
};
/* Each returns an id, the same for the same, made if need be; 0: failed (commit says how). */
uint32_t lun_ledger_name(struct lun_ledger *, const char *text);
uint32_t lun_ledger_account(struct lun_ledger *, const struct lun_ledger_account *);    /* what is said of it is noted */
bool lun_ledger_has_account(struct lun_ledger *, const struct lun_ledger_account *);   /* whether lun_ledger_account would make none */
uint32_t lun_ledger_payers(struct lun_ledger *, const uint32_t *accounts, int n);       /* order and doubles do not matter; n up to LUN_LEDGER_PAYERS */
/* The row of an attempt of this run; `settle` NULL: nobody knows how it ended, so ORPHANED at its hold. One that is there already changes nothing. */
void lun_ledger_row(struct lun_ledger *, const struct lun_dispatch *, const struct lun_settle *);
/* What this run has of an account: from now on in all. -1: no hard limit, nothing is granted. Not looked at here whether it fits:
 * ask lun_ledger_look in the same transaction. */
void lun_ledger_grant(struct lun_ledger *, uint32_t account, int64_t granted);
/* A text kept beside the money, by its key (NULL: no more). */
void lun_ledger_put(struct lun_ledger *, const char *key, const char *text);

/* ---- reading; inside of a transaction or not ---- */

char *lun_ledger_get(struct lun_ledger *, const char *key);     /* yours to free; NULL: there is none */

struct lun_ledger_figures {             /* of an account; nano-USD */
    int64_t taken;                      /* see above; what is left of the limit may be granted */
    int64_t others;                     /* of that, all but what this run has: other runs, and corrections (so below 0, where those outweigh) */
    int64_t charged;                    /* rows, rests and corrections of all runs */
    int64_t granted, used;              /* this run's part: granted (-1: nothing was), and what its rows come to */
};
/* What this run has of it: what it was granted, or what it has charged beyond that. */
static inline int64_t lun_ledger_part(const struct lun_ledger_figures *f) { return f->granted > f->used ? f->granted : f->used; }
/* False: no such account, or it could not be read (lun_ledger_error). */
bool lun_ledger_look(struct lun_ledger *, uint32_t account, struct lun_ledger_figures *);
/* Calls back for each account that does not end before `wall`, of one budget or (NULL) of all, oldest first. Texts are borrowed for the call, which may
 * read of the ledger and not write. False: could not be read. */
bool lun_ledger_accounts(struct lun_ledger *, const char *budget, lun_us wall,
                         void (*each)(void *self, uint32_t id, const struct lun_ledger_account *, const struct lun_ledger_figures *), void *self);

/* The same for pieces of windows that move along: of each budget those that end later than so many pieces before the last of which something is taken, or before
 * `wall` where that is earlier; then the end of the last of the others of which something is taken, if there is any. */
bool lun_ledger_windows(struct lun_ledger *, lun_us wall, int pieces,
                        void (*each)(void *self, uint32_t id, const struct lun_ledger_account *, const struct lun_ledger_figures *),
                        void (*left_out)(void *self, const char *budget, lun_us ended), void *self);

/* ---- closed months ---- */

/* Sums rows of months that are over into `closing`, up to `rows` of them in one short transaction; verification starts from there. *more: there are more,
 * call it again. To be called at the start and once a day, outside of a transaction. */
enum lun_ledger_result lun_ledger_close_months(struct lun_ledger *, lun_us wall, int rows, bool *more);
#endif
