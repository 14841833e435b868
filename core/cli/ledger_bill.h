/* A provider's bill as a file: CSV with a line of names first. */
#ifndef LUN_CLI_LEDGER_BILL_H
#define LUN_CLI_LEDGER_BILL_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum { LUN_BILL_LINES = 1000000 };      /* at most */

struct lun_bill_line {
    uint32_t line;                      /* of the file, from 1 */
    unsigned char request[16];          /* or */
    uint32_t run; uint64_t seq;         /* an attempt; seq 0: it is the request that is said */
    int64_t cost;                       /* nano-USD */
};
struct lun_bill_file { struct lun_bill_line *at; size_t n; };

/* Reads one. False: `why` says which line and what is wrong with it. Free it in any case. */
bool lun_bill_read(const char *path, struct lun_bill_file *, struct lun_buf *why);
void lun_bill_free(struct lun_bill_file *);

/* "3/1841". */
bool lun_bill_attempt(const char *text, uint32_t *run, uint64_t *seq);
#endif
