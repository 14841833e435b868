/* How `lunette replay` says what came of a log: for programs and for people. */
#ifndef LUN_CLI_REPLAY_H
#define LUN_CLI_REPLAY_H
#include "gateway/log_reader.h"
#include "gateway/replays.h"

struct lun_replay_report {
    const struct lun_replays *replays;
    const struct lun_log_counts *counts;        /* NULL: there was no log */
    const char *config, *against;               /* the files; against NULL: there is none */
    bool really;                                /* there is something that really happened */
};
void lun_replay_json(const struct lun_replay_report *, struct lun_buf *out);
void lun_replay_text(const struct lun_replay_report *, struct lun_buf *out);
#endif
