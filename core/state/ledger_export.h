/* All that a ledger holds, row by row, with names instead of numbers. */
#ifndef LUN_STATE_LEDGER_EXPORT_H
#define LUN_STATE_LEDGER_EXPORT_H
#include "state/ledger.h"

enum lun_exported_type { LUN_EXPORTED_ATTEMPT, LUN_EXPORTED_REST, LUN_EXPORTED_CORRECTION };
const char *lun_exported_type_name(enum lun_exported_type);    /* "attempt", … */

struct lun_exported {                   /* texts are borrowed for the call; "" where there is none */
    enum lun_exported_type type;
    lun_us at;
    uint32_t run;
    uint64_t seq;                       /* 0: of a rest, or a correction of one */
    int64_t amount;                     /* nano-USD: an attempt's cost, a rest, by how much a correction changes what it names */
    const char *budgets;                /* that it counts to: "key app 2026-11-28; total 2026-11" */
    /* of an attempt only */
    const char *request, *client, *target, *version, *kind, *state;
    int64_t hold, tokens[LUN_TOKENS_COUNT], latency_ms;
    uint32_t flags;                     /* enum lun_attempt_flag */
    /* of a correction only */
    const char *by, *why;
};
struct lun_export {
    lun_us from, to;                    /* wall: at >= from and < to */
    const char *budget;                 /* only what counts to it; NULL: all */
    void *self;
    bool (*row)(void *self, const struct lun_exported *);       /* false: enough */
};
/* Attempts in the order in which they were written, then rests, then corrections; one state of the ledger, however long that takes. Memory does not
 * grow with the rows. False: could not be read to its end (lun_ledger_error). */
bool lun_ledger_export(struct lun_ledger *, const struct lun_export *);
#endif
