/* Comma-separated values (RFC 4180) taken apart as they come, a row at a time, however the text is cut: cells that are quoted may hold commas, quotes
 * ("") and line ends; rows end with LF or CRLF, the last one without either too; a byte order mark may stand at the very start. Rows of nothing are
 * passed over. What is no such text is refused with the line, and so is what is not UTF-8.
 *
 *     struct lun_csv csv = { .limit = 1 << 20 };
 *     …a piece was read…
 *     while ((state = lun_csv_read(&csv, at, n, &used)) == LUN_CSV_ROW) { …lun_csv_cell(&csv, i, &length)…; at += used; n -= used; }
 *
 * and at the end of the text lun_csv_end. A row is kept whole, so memory is bounded by `limit`. No I/O; one owner at a time. */
#ifndef LUN_BASE_CSV_H
#define LUN_BASE_CSV_H
#include "base/buf.h"
#include <stdbool.h>

enum lun_csv_state {
    LUN_CSV_MORE,       /* all was taken, and no row is whole yet */
    LUN_CSV_ROW,        /* one is; good until the next call */
    LUN_CSV_BAD,        /* see `wrong` and `wrong_line`; nothing more can be read */
};

enum { LUN_CSV_CELLS = 256 };           /* of a row, at most */

/* Set `limit` (bytes of one row, without its quotes), leave the rest zero; lun_csv_free in the end. */
struct lun_csv {
    size_t limit;
    uint64_t line;                      /* in which the row begins, from 1 */
    int n;                              /* its cells */
    const char *wrong;                  /* a phrase for people, static */
    uint64_t wrong_line;
    /* The reader's own. */
    struct lun_buf text;
    size_t ends[LUN_CSV_CELLS];
    uint64_t now, opened;               /* the present line; the one in which the last quote was opened */
    int where, mark;
    bool told;                          /* the row was given out: the next call begins another */
};

/* Reads up to the end of a row. *used: how many bytes it took. */
enum lun_csv_state lun_csv_read(struct lun_csv *, const char *at, size_t n, size_t *used);
/* There is nothing more: a row that did not end with its line, or MORE. */
enum lun_csv_state lun_csv_end(struct lun_csv *);
/* The i-th cell from 0, which ends with a NUL that is not counted (it may hold others). NULL: there is none. */
const char *lun_csv_cell(const struct lun_csv *, int i, size_t *n);
void lun_csv_free(struct lun_csv *);
#endif
