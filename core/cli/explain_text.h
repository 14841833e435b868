/* An explanation (gateway/explanation.h, gateway/dry_run.h) for people: aligned, in 100 columns. */
#ifndef LUN_CLI_EXPLAIN_TEXT_H
#define LUN_CLI_EXPLAIN_TEXT_H
#include "base/buf.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdio.h>

struct lun_ink { struct lun_buf *out; bool colour; };

/* Whether that stream may be coloured: a terminal, and the environment has no NO_COLOR. */
bool lun_ink_wanted(FILE *);

void lun_ink_end(struct lun_ink *);             /* last: what was put is as it is to be printed from now on */

/* `whole` has request, explanation and, of a dry run, well and what_if; members that are not there are passed over. */
void lun_explain_put(struct lun_ink *, struct lun_json whole);

/* ---- pieces of it, for `show` ---- */
void lun_explain_head(struct lun_ink *, const char *text);              /* a heading, with an empty line before it */
void lun_explain_row(struct lun_ink *, const char *name, const char *text);     /* a name at the left, a text beside it; wrapped. Nothing where that is empty */
void lun_explain_ms(struct lun_buf *, double ms);                       /* "0 s", "350 ms", "2.5 s" */
#endif
