/* The journal of one run: what its attempts are about to cost and did cost, in a mapped file that outlives the process. A file of fixed slots, one for
 * each attempt under way. A slot has two lines of 64 bytes with a checksum each: DISPATCHED, written before a byte may leave for the provider, and
 * SETTLED, written before its hold is freed. What is written survives the end of the process, whatever ended it (kill -9 too), and not a power
 * cut: then any page may be an older one. Nothing waits for a disk, but for _create and _open_dead.
 *
 * A slot belongs to whoever holds its number: writing its lines takes no lock. It may be used anew once its row is committed in the ledger (ledger.h),
 * not before. Different threads may write different slots; who reads a slot must have been told of it by its writer (as through a mutex).
 *
 * On disk: FOLDER/journal.RUN, a page of head and 128 bytes a slot, both lines of a slot in one page. Everything in the machine's byte order. */
#ifndef LUN_STATE_JOURNAL_H
#define LUN_STATE_JOURNAL_H
#include "base/clock.h"
#include <stdbool.h>
#include <stdint.h>

enum { LUN_JOURNAL_SLOTS = 65536 };

enum lun_attempt_state { LUN_ATTEMPT_SETTLED = 1, LUN_ATTEMPT_ORPHANED = 2 };
const char *lun_attempt_state_name(enum lun_attempt_state);     /* "SETTLED", "ORPHANED"; "?" for anything else */

/* Tokens of an attempt. input: all of the input; output: all of the output; the others are parts of them. */
#define LUN_ATTEMPT_TOKENS(X) X(input) X(cached_input) X(cache_write) X(cache_write_1h) X(output) X(reasoning) X(audio) X(image)
#define X(name) LUN_TOKENS_##name,
enum lun_attempt_tokens { LUN_ATTEMPT_TOKENS(X) LUN_TOKENS_COUNT };
#undef X

/*  id, name, meaning */
#define LUN_ATTEMPT_FLAGS(X) \
    X(ESTIMATED, "estimated", "the tokens were counted by us, not by the provider") \
    X(SUSPECT,   "suspect",   "what the provider claims cannot be") \
    X(EXCESS,    "excess",    "the cost is above the hold") \
    X(HEDGE,     "hedge",     "asked beside another attempt of its request") \
    X(CANCELLED, "cancelled", "no longer wanted") \
    X(STREAM,    "stream",    "answered piece by piece") \
    X(PROBE,     "probe",     "asked by the gateway itself") \
    X(UNLIMITED, "unlimited", "no hard limit applied")
#define X(id, ...) LUN_ATTEMPT_BIT_##id,
enum { LUN_ATTEMPT_FLAGS(X) LUN_ATTEMPT_BITS };
#undef X
#define X(id, ...) LUN_ATTEMPT_##id = 1 << LUN_ATTEMPT_BIT_##id,
enum lun_attempt_flag { LUN_ATTEMPT_FLAGS(X) };
#undef X

struct lun_dispatch {               /* line 0; ids are the ledger's, and on its disk before they stand here */
    uint64_t seq;                   /* from 1; each once in a run */
    int64_t hold;                   /* nano-USD, the bound it was let go with; not negative */
    lun_us at;                      /* wall */
    unsigned char request[16];      /* the request's id */
    uint32_t target, client, version;   /* names; 0: none */
    uint32_t payers;                /* the accounts it counts to; 0: none */
};
struct lun_settle {                 /* line 1 */
    uint64_t seq;                   /* that of line 0 */
    int64_t cost;                   /* nano-USD, not negative; where it is ORPHANED the hold */
    uint32_t tokens[LUN_TOKENS_COUNT];
    uint8_t kind;                   /* enum lun_kind */
    uint8_t state;                  /* enum lun_attempt_state */
    uint16_t flags;                 /* enum lun_attempt_flag */
    uint32_t latency_ms;
};

struct lun_journal;

/* Makes the journal of a run of the ledger `owner` (32 characters at most; several may share a folder): zeros written (no holes: a disk that fills
 * up later cannot take it away), on the disk with its name, locked until it is closed or the process ends. `boot_id`: of lun_journal_boot_id.
 * One that is there is never replaced. NULL: *error, yours to free, says what went wrong. */
struct lun_journal *lun_journal_create(const char *folder, uint32_t run, const char *owner, const char *boot_id, uint32_t slots, char **error);
uint32_t lun_journal_slots(const struct lun_journal *);

void lun_journal_dispatch(struct lun_journal *, uint32_t slot, const struct lun_dispatch *);
void lun_journal_settle(struct lun_journal *, uint32_t slot, const struct lun_settle *);

/* What a slot holds. Of NONE nothing is filled in, of DISPATCHED only the first. TORN: the same as NONE, but something was written there. */
enum lun_journal_found { LUN_JOURNAL_NONE, LUN_JOURNAL_TORN, LUN_JOURNAL_DISPATCHED, LUN_JOURNAL_SETTLED };
enum lun_journal_found lun_journal_read(const struct lun_journal *, uint32_t slot, struct lun_dispatch *, struct lun_settle *);

/* An fsync has failed: what this machine remembers is not to be trusted any more, and a recovery reads it as after a power cut. */
void lun_journal_distrust(struct lun_journal *);

void lun_journal_close(struct lun_journal *);       /* gives the lock back; the file stays. NULL is fine */
/* Closes it and removes the file: once the ledger has closed its run. A file that is there no more is fine. */
void lun_journal_unlink(struct lun_journal *);

/* Opens the journal of a run that may be dead, for a recovery: it takes the lock, and reads all of it into memory (nothing is mapped: a file that is
 * too short cannot kill). ALIVE: another process, or this one, has it open. ABSENT: it is not there, or another ledger's. One whose head is
 * damaged is taken for `owner`'s. */
enum lun_journal_dead { LUN_JOURNAL_DEAD, LUN_JOURNAL_ALIVE, LUN_JOURNAL_ABSENT };
enum lun_journal_dead lun_journal_open_dead(const char *folder, uint32_t run, const char *owner, struct lun_journal **);
bool lun_journal_there(const char *folder, uint32_t run);      /* whether there is such a file, whoever's */
/* Whether it holds all that its run wrote: head whole, same boot, not distrusted, all of it read, and its first fsync succeeds. */
bool lun_journal_complete(const struct lun_journal *, const char *boot_id);

/* Calls back with the run of every journal in a folder, in no order; removes unfinished ones that nobody is making. False: the folder cannot be read. */
bool lun_journal_each(const char *folder, void (*found)(void *self, uint32_t run), void *self);

/* The name of this start of the machine, "" where there is none to be had (then nothing is ever complete). */
void lun_journal_boot_id(char out[40]);

/* For tests: a line's bytes as they stand on disk, and whether they are valid ones. */
enum { LUN_JOURNAL_LINE = 64 };
void lun_journal_line_dispatch(uint32_t run, const struct lun_dispatch *, unsigned char out[LUN_JOURNAL_LINE]);
void lun_journal_line_settle(uint32_t run, const struct lun_settle *, unsigned char out[LUN_JOURNAL_LINE]);
enum lun_journal_found lun_journal_line_read(uint32_t run, const unsigned char lines[2 * LUN_JOURNAL_LINE], struct lun_dispatch *, struct lun_settle *);
#endif
