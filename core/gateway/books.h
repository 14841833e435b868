/* The bookkeeper: a thread of its own that keeps the money of a gateway in its ledger. It alone writes there. Workers hold and settle in memory
 * and in the journal (state/budget.h); what they draw, and the rows of what they have settled, it writes down 10 milliseconds later, 50 where there
 * are many, all at once. What is held is on the disk before. */
#ifndef LUN_GATEWAY_BOOKS_H
#define LUN_GATEWAY_BOOKS_H
#include "base/buf.h"
#include "base/log.h"
#include "state/budget.h"
#include "state/metrics.h"

#define LUN_BOOT_ID "LUNETTE_BOOT_ID"       /* environment: stands for the name of this start of the machine, where the system does not tell it (or a test
                                               wants another): with the same one as before, what an earlier process left in memory is believed */
struct lun_books;
struct lun_books_options {          /* borrowed until free */
    struct lun_money *money;        /* nothing was held in it yet */
    struct lun_metrics *metrics;
    const struct lun_log *log;
    uint32_t attempts;              /* about how many may be under way at once */
    const char *redis, *redis_ca, *redis_prefix;    /* by which its limits are shared with other gateways; NULL: they are not */
    const char *path;               /* of the ledger; its journals lie in the same folder, which is made if need be */
};
/* Opens the ledger, recovers what an earlier run has left, begins one of its own. NULL: *error, yours to free, says what is wrong and what to do. */
struct lun_books *lun_books_new(const struct lun_books_options *, char **error);
void lun_books_free(struct lun_books *);        /* once nothing is held any more: writes down the rest, ends the run. NULL is fine */
/* "open", or why hard-limited requests are refused; and how it stands with other gateways: a JSON object. Any thread. */
void lun_books_show(struct lun_books *, struct lun_buf *out);
#endif
