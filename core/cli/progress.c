#include "cli/progress.h"
#include <stdio.h>
#include <unistd.h>

#define STEP ((int64_t)4 << 20)         /* bytes between two looks */
enum { WIDTH = 40 };

void lun_progress_show(struct lun_progress *p, const struct lun_log_counts *c)
{
    static const char bar[] = "########################################";
    if (c->bytes - p->shown_at < STEP || !isatty(STDERR_FILENO)) return;
    p->shown_at = c->bytes;
    int done = c->bytes < c->size ? (int)(WIDTH * c->bytes / c->size) : WIDTH;
    if (c->size > 0) fprintf(stderr, "\r[%.*s%*s] %lld requests", done, bar, WIDTH - done, "", (long long)c->read);
    else fprintf(stderr, "\r%lld requests", (long long)c->read);
}

void lun_progress_end(struct lun_progress *p)
{
    if (p->shown_at) fputs("\r\033[K", stderr);
}
