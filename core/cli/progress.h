/* How much of a log has been read, as a bar on stderr, where that is a terminal; else nothing is shown. */
#ifndef LUN_CLI_PROGRESS_H
#define LUN_CLI_PROGRESS_H
#include "gateway/log_reader.h"

struct lun_progress { int64_t shown_at; };      /* zero-initialised: nothing was shown; bytes read when it was */

void lun_progress_show(struct lun_progress *, const struct lun_log_counts *);       /* after each line: draws every 4 MiB */
void lun_progress_end(struct lun_progress *);                                       /* the line is free again */
#endif
