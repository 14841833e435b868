#include "cli/replay_verify.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "gateway/verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(const struct lun_verify *v, const struct lun_log_counts *c, bool json)
{
    struct lun_buf out = {0}, faults = {0};
    lun_log_counts_text(c, &faults);
    if (json) {
        lun_buf_putc(&out, '{');
        lun_log_counts_json(c, &out);
        lun_verify_json(v, &out);
        lun_buf_puts(&out, "}\n");
    } else lun_verify_text(v, &out);
    lun_print(&faults, stderr);
    lun_print(&out, stdout);
}

static int verify(struct lun_verify *v, struct lun_log_reader *reader, const char *log, bool json)
{
    struct lun_log_line line;
    struct lun_progress progress = {0};
    while (lun_log_reader_next(reader, &line)) {
        lun_verify_line(v, &line);
        lun_progress_show(&progress, lun_log_reader_counts(reader));
    }
    lun_progress_end(&progress);
    int error = lun_log_reader_error(reader);
    if (error) fprintf(stderr, "%s: %s\n", log, strerror(error));
    print(v, lun_log_reader_counts(reader), json);
    return error || !lun_verify_good(v);
}

int lun_replay_verify(struct lun_snapshot *snapshot, const char *log, bool json)
{
    char *problem = NULL;
    struct lun_verify *v = lun_verify_new(snapshot, &problem);
    struct lun_log_reader *reader = v ? lun_log_reader_open(log) : NULL;
    if (!v) fprintf(stderr, "%s\n", problem);
    else if (!reader) perror(log);
    int status = reader ? verify(v, reader, log, json) : 1;
    lun_log_reader_free(reader);
    lun_verify_free(v);
    free(problem);
    return status;
}
