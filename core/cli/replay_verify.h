/* `lunette replay --verify`. */
#ifndef LUN_CLI_REPLAY_VERIFY_H
#define LUN_CLI_REPLAY_VERIFY_H
#include "state/snapshot.h"
#include <stdbool.h>

/* Takes the snapshot, reads the log ("-": standard input) to its end, prints. Gives the exit status. */
int lun_replay_verify(struct lun_snapshot *, const char *log, bool json);
#endif
