/* What several commands print in the same way. */
#ifndef LUN_CLI_PRINT_H
#define LUN_CLI_PRINT_H
#include "base/buf.h"
#include "script/mistakes.h"
#include <stdio.h>

void lun_print_mistakes(struct lun_mistakes *, FILE *);     /* and how many; frees them */
void lun_print_notes(struct lun_mistakes *, FILE *);        /* those that are there, without a number; frees them */
void lun_print(struct lun_buf *, FILE *);                   /* frees it */
#endif
