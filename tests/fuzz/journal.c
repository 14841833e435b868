/* The journal as a dead run, or a broken disk, left it: no slot charges what no writer wrote; a whole line is one that the writer writes. */
#include "fuzz.h"
#include "base/crc32c.h"
#include "state/journal.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUN = 7, SLOT = 2 * LUN_JOURNAL_LINE, PAGE = 4096 };

static void promise_slot(enum lun_journal_found found, const struct lun_dispatch *d, const struct lun_settle *s, const unsigned char lines[SLOT])
{
    unsigned char again[LUN_JOURNAL_LINE];
    if (found == LUN_JOURNAL_NONE) for (int i = 0; i < SLOT; i++) PROMISE(!lines[i]);
    if (found < LUN_JOURNAL_DISPATCHED) return;
    PROMISE(d->seq && d->seq <= INT64_MAX && d->hold >= 0);
    lun_journal_line_dispatch(RUN, d, again);
    PROMISE(!memcmp(again, lines, sizeof again));
    if (found != LUN_JOURNAL_SETTLED) return;
    PROMISE(s->seq == d->seq && s->cost >= 0 && (s->state == LUN_ATTEMPT_SETTLED || s->state == LUN_ATTEMPT_ORPHANED));
    lun_journal_line_settle(RUN, s, again);
    PROMISE(!memcmp(again, lines + LUN_JOURNAL_LINE, sizeof again));
}

/* The bytes as slots; with the run and the checksums that no chance finds, where `whole` says so. */
static void fill_slot(unsigned char lines[SLOT], struct input in, unsigned whole)
{
    const uint32_t run = RUN;
    memcpy(lines, in.at, in.n < SLOT ? in.n : SLOT);
    for (unsigned i = 0; i < 2; i++) {
        unsigned char *line = lines + i * LUN_JOURNAL_LINE;
        if (!(whole & 1u << i)) continue;
        memcpy(line + LUN_JOURNAL_LINE - 8, &run, sizeof run);
        uint32_t crc = lun_crc32c(line, LUN_JOURNAL_LINE - 4);
        memcpy(line + LUN_JOURNAL_LINE - 4, &crc, sizeof crc);
    }
}

static void promise_lines(struct input in, unsigned whole)
{
    unsigned char lines[SLOT] = {0};
    struct lun_dispatch d;
    struct lun_settle s;
    fill_slot(lines, in, whole);
    promise_slot(lun_journal_line_read(RUN, lines, &d, &s), &d, &s, lines);
}

static bool write_file(const char *path, struct input in, size_t head)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && pwrite(fd, in.at, in.n, (off_t)head) == (ssize_t)in.n;
    if (fd >= 0) close(fd);
    return good;
}

static char folder[64], path[80];

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static void make_folder(void)
{
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/lunette-fuzz-XXXXXX" : "/dev/shm/lunette-fuzz-XXXXXX");
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/journal.%d", folder, RUN);
    atexit(remove_folder);
}

/* The same bytes as a file, behind `head` bytes of nothing. */
static void promise_file(struct input in, size_t head)
{
    struct lun_journal *j;
    struct lun_dispatch d;
    struct lun_settle s;
    if (!*folder) make_folder();
    if (!write_file(path, in, head)) abort();
    enum lun_journal_dead is = lun_journal_open_dead(folder, RUN, "owner", &j);
    PROMISE(is != LUN_JOURNAL_ALIVE && (is == LUN_JOURNAL_DEAD) == (j != NULL));
    if (!j) return;
    PROMISE(lun_journal_slots(j) == (head + in.n > PAGE ? (head + in.n - PAGE) / SLOT : 0));
    for (uint32_t i = 0; i < lun_journal_slots(j); i++) {
        unsigned char lines[SLOT] = {0};
        size_t from = PAGE + (size_t)i * SLOT, skip = from < head ? head - from : 0;
        memcpy(lines + skip, in.at + (from + skip - head), SLOT - skip);
        promise_slot(lun_journal_read(j, i, &d, &s), &d, &s, lines);
    }
    PROMISE(!lun_journal_complete(j, "boot") || in.n > 100);
    lun_journal_close(j);
}

void fuzz_journal(struct input in)
{
    unsigned how = take(&in);
    promise_lines(in, how);
    if (how & 4) promise_file(in, how & 8 ? PAGE : 0);
}
