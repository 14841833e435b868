#include "base/writer.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A batch is written before its 100 ms are over when it has grown to ENOUGH: then its memory, kept for the next, stays small. (When it was half of
 * LUN_WRITER_ROOM, each batch under load was new memory, and the faults of its pages 1.3 % of a request.) */
enum { ENOUGH = 256 * 1024, KEEP = 1024 * 1024 };

struct lun_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;      /* there is something to do; something was done */
    /* Under the lock. */
    struct lun_buf waiting;
    size_t writing;                 /* bytes the thread has taken and not yet finished with */
    size_t cut;                     /* so much of `waiting` goes to the old file, if a reopen is asked for */
    uint64_t put, finished, reopens, reopened;  /* bytes and calls since the start: what flush waits for */
    bool hurry;
    /* Any thread. */
    _Atomic lun_us stop;            /* when free was called, or 0 */
    _Atomic uint64_t dropped;
    _Atomic int write_error, open_error;
    /* The thread's own. */
    char *path;
    int fd;
    bool regular, torn;             /* torn: the file ends within a line */
};

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static bool to_stdout(const struct lun_writer *w) { return !strcmp(w->path, "-"); }

/* O_NONBLOCK is for named pipes: without a reader an error, with a slow one no write that never returns. */
static int open_file(const struct lun_writer *w)
{
    if (to_stdout(w)) return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return open(w->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

/* What an earlier process, a full disk or a power cut has left of a line: the next one is not to be part of it. */
static bool is_torn(const struct lun_writer *w, off_t size)
{
    char last = '\n';
    int fd = size ? open(w->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
    if (fd >= 0 && pread(fd, &last, 1, size - 1) < 1) last = '\n';
    if (fd >= 0) close(fd);
    return last != '\n';
}

static bool adopt(struct lun_writer *w, int fd)
{
    struct stat s;
    atomic_store(&w->open_error, fd < 0 ? errno : 0);
    if (fd < 0) return false;
    if (w->fd >= 0) close(w->fd);
    w->fd = fd;
    w->regular = !fstat(fd, &s) && S_ISREG(s.st_mode);
    w->torn = w->regular && is_torn(w, s.st_size);
    return true;
}

static bool ready(struct lun_writer *w)
{
    struct pollfd p = { .fd = w->fd, .events = POLLOUT };
    while (!w->regular && poll(&p, 1, 100) <= 0) {
        lun_us stop = atomic_load(&w->stop);
        if (stop && lun_clock_now() - stop > LUN_SECOND) return errno = ETIMEDOUT, false;
    }
    return true;
}

/* A pipe that says it has room takes PIPE_BUF bytes at once without blocking; of those as many as are whole lines. */
static size_t piece(const struct lun_writer *w, const char *p, size_t n)
{
    if (w->regular || n <= PIPE_BUF) return n;
    const char *end = memrchr(p, '\n', PIPE_BUF);
    return end ? (size_t)(end - p) + 1 : PIPE_BUF;
}

/* How many of `n` bytes were written; fewer: errno says why. */
static size_t write_out(struct lun_writer *w, const char *p, size_t n)
{
    size_t done = 0;
    while (done < n && ready(w)) {
        ssize_t got = write(w->fd, p + done, piece(w, p + done, n - done));
        if (got > 0) done += (size_t)got;
        else if (!got || (errno != EINTR && errno != EAGAIN)) break;
    }
    return done;
}

static uint64_t lines(const char *p, size_t n)
{
    uint64_t count = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++) count++;
    return count;
}

static void write_lines(struct lun_writer *w, const char *p, size_t n)
{
    if (!n) return;
    size_t done = 0;
    if (w->torn && write_out(w, "\n", 1)) w->torn = false;
    if (!w->torn) done = write_out(w, p, n);
    atomic_store(&w->write_error, done < n ? errno : 0);
    if (done == n) return;
    w->torn = w->torn || (done && p[done - 1] != '\n');
    atomic_fetch_add(&w->dropped, lines(p + done, n - done));
}

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

static bool idle(const struct lun_writer *w) { return !w->waiting.n && w->reopens == w->reopened; }

/* Under the lock. Returns when there is work and it has waited long enough for company, or it is time to stop. */
static void wait_for_work(struct lun_writer *w)
{
    while (idle(w) && !atomic_load(&w->stop)) pthread_cond_wait(&w->wake, &w->lock);
    lun_us until = lun_clock_now() + LUN_WRITER_WAIT;
    struct timespec t = { until / LUN_SECOND, until % LUN_SECOND * 1000 };
    while (!w->hurry && !atomic_load(&w->stop) && w->waiting.n < ENOUGH && w->reopens == w->reopened)
        if (pthread_cond_timedwait(&w->wake, &w->lock, &t)) break;
    w->hurry = false;
}

/* Under the lock, which it gives up while it writes. `batch` is empty memory, and is so again afterwards. */
static void do_work(struct lun_writer *w, struct lun_buf *batch)
{
    struct lun_buf taken = w->waiting;
    uint64_t reopens = w->reopens;
    size_t cut = reopens == w->reopened ? taken.n : w->cut;
    w->waiting = *batch;
    w->writing = taken.n;
    pthread_mutex_unlock(&w->lock);
    write_lines(w, taken.at, cut);
    if (reopens != w->reopened && !to_stdout(w)) adopt(w, open_file(w));
    write_lines(w, taken.at + cut, taken.n - cut);
    if (taken.room > KEEP) free(taken.at), taken.at = NULL, taken.room = 0;
    *batch = (struct lun_buf){ .at = taken.at, .room = taken.room };
    pthread_mutex_lock(&w->lock);
    w->finished += w->writing;
    w->writing = 0;
    w->reopened = reopens;
    pthread_cond_broadcast(&w->done);
}

static void *run(void *arg)
{
    struct lun_writer *w = arg;
    struct lun_buf batch = {0};
    lun_thread_has_time();
    pthread_mutex_lock(&w->lock);
    for (;;) {
        wait_for_work(w);
        if (idle(w)) break;
        do_work(w, &batch);
    }
    pthread_mutex_unlock(&w->lock);
    lun_buf_free(&batch);
    return NULL;
}

/* ---- from outside ---------------------------------------------------------------------------------------------------- */

static void destroy(struct lun_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    lun_buf_free(&w->waiting);
    free(w->path);
    free(w);
}

struct lun_writer *lun_writer_new(const char *path, char **error)
{
    struct lun_writer *w = lun_zalloc(sizeof *w);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&w->done, NULL);
    pthread_mutex_init(&w->lock, NULL);
    w->path = lun_strdup(path);
    w->fd = -1;
    *error = NULL;
    if (!adopt(w, open_file(w))) *error = lun_printf("the log %s cannot be opened: %s", path, strerror(errno));
    else {
        int failed = lun_thread_start(&w->thread, "lunette-log", 0, run, w);
        if (failed) *error = lun_printf("the thread of the log %s cannot be started: %s", path, strerror(failed));
    }
    if (*error) destroy(w), w = NULL;
    return w;
}

bool lun_writer_lay(struct lun_writer *w, const char *line, size_t n)
{
    bool fits = n < LUN_WRITER_LINE && !memchr(line, '\n', n), wake = false;
    if (fits) {
        pthread_mutex_lock(&w->lock);
        size_t before = w->waiting.n;
        fits = before + w->writing + n + 1 <= LUN_WRITER_ROOM;
        if (fits) {
            lun_buf_add(&w->waiting, line, n);
            lun_buf_putc(&w->waiting, '\n');
            w->put += n + 1;
            wake = !before || (before < ENOUGH && w->waiting.n >= ENOUGH);
        }
        pthread_mutex_unlock(&w->lock);
    }
    if (!fits) atomic_fetch_add(&w->dropped, 1);
    return wake;
}

void lun_writer_wake(struct lun_writer *w) { pthread_cond_signal(&w->wake); }

void lun_writer_put(struct lun_writer *w, const char *line, size_t n)
{
    if (lun_writer_lay(w, line, n)) lun_writer_wake(w);
}

void lun_writer_reopen(struct lun_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->reopens++;
    w->cut = w->waiting.n;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void lun_writer_flush(struct lun_writer *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t put = w->put, reopens = w->reopens;
    while (w->finished < put || w->reopened < reopens) {
        w->hurry = true;
        pthread_cond_signal(&w->wake);
        pthread_cond_wait(&w->done, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

uint64_t lun_writer_dropped(const struct lun_writer *w) { return atomic_load(&w->dropped); }

int lun_writer_error(const struct lun_writer *w)
{
    int error = atomic_load(&w->write_error);
    return error ? error : atomic_load(&w->open_error);
}

void lun_writer_free(struct lun_writer *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, lun_clock_now());
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    destroy(w);
}
