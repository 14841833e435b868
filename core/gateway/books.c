#include "gateway/books.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/thread.h"
#include "gateway/books_inner.h"
#include "state/member.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define AGAIN_AFTER  (500 * LUN_MS)         /* a disk that was full may have room again */
#define LOOK_EVERY   LUN_SECOND             /* whether others have changed the ledger; what is over or too much goes back */
#define CLOSE_EVERY  (24 * 3600 * LUN_SECOND)
#define CLOSE_ROWS   2000                   /* in one transaction: it holds nobody up for long */
#define ROOM         (1 << 20)
#define STOP_WAIT    LUN_SECOND             /* for Redis to hear what is given back */
#define SPARE        1024                   /* slots of the journal, for rows that wait to be written */

#define BOOKS_OF(member, at) ((struct lun_books *)(void *)((char *)(at) - offsetof(struct lun_books, member)))

static void post_soon(void *self)
{
    struct lun_books *b = self;
    lun_reactor_post(b->reactor, &b->soon);
}

static void wake(void *self, bool urgent)
{
    struct lun_books *b = self;
    if (urgent) lun_reactor_post(b->reactor, &b->now);
    else lun_reactor_afterwards(post_soon, b);
}

/* ---- what is wrong ---- */

/* `brief` is for clients: it names no file. */
static void say(struct lun_books *b, const char *why, const char *brief)
{
    pthread_mutex_lock(&b->lock);
    bool news = strcmp(b->why, why ? why : "") != 0;
    snprintf(b->why, sizeof b->why, "%s", why ? why : "");
    pthread_mutex_unlock(&b->lock);
    if (!news) return;
    lun_draw_close(b->options.money, brief);
    if (why) lun_log(b->options.log, LUN_LOG_ERROR, "ledger: %s; requests under a hard limit are refused, others go on", why);
    else lun_log(b->options.log, LUN_LOG_INFO, "ledger: it can be written again; requests under a hard limit are taken");
}

static void trouble(struct lun_books *b, enum lun_ledger_result r)
{
    char why[256];
    if (r == LUN_LEDGER_FAILED && !b->failed) {
        b->failed = true;
        lun_journal_distrust(b->journal);
    }
    snprintf(why, sizeof why, "%s%s", lun_ledger_error(b->ledger), b->failed ? " (until a restart)" : "");
    say(b, why, r == LUN_LEDGER_FULL ? "the disk of the ledger is full" : r == LUN_LEDGER_BUSY ? "another process writes to the ledger" : "the ledger cannot be written");
    if (!b->failed) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + AGAIN_AFTER);
}

/* ---- a turn ---- */

static bool turn(struct lun_books *b)
{
    lun_us wall = lun_clock_wall();
    if (b->failed || !lun_draw_begin(b->options.money, &b->work, wall)) return false;
    lun_us before = lun_clock_now();
    enum lun_ledger_result r = lun_books_write(b, wall);
    if (r == LUN_LEDGER_OK) {
        if (b->sharing) lun_sharing_ask(b->sharing, &b->work);
        lun_draw_done(b->options.money, &b->work);
        if (b->sharing) lun_sharing_tell(b->sharing, &b->work);
        lun_metrics_add(b->options.metrics, LUN_METRIC_LEDGER_ROWS, NULL, (double)b->work.n_slots);
        lun_metrics_add(b->options.metrics, LUN_METRIC_LEDGER_COMMIT, NULL, (double)(lun_clock_now() - before) / 1e6);
        say(b, NULL, NULL);
        return true;
    }
    lun_draw_failed(b->options.money, &b->work);
    trouble(b, r);
    return false;
}

/* ---- a run ---- */

static void tell_recovery(struct lun_books *b, const struct lun_recovery *r)
{
    char rest[24];
    lun_price_text(r->rest, rest);
    if (!r->runs) return;
    lun_log(b->options.log, LUN_LOG_INFO, "ledger: %d run%s ended without a word; %llu attempts written down from the journal, %llu of them at what they could cost at most",
                 r->runs, r->runs == 1 ? "" : "s", (unsigned long long)r->rows, (unsigned long long)r->orphaned);
    if (r->cuts) lun_log(b->options.log, LUN_LOG_WARN, "ledger: %d of them as by a power cut: %s USD in %d accounts stay charged (`lunette ledger reconcile` lists them)", r->cuts, rest, r->rests);
    if (r->wrong) lun_log(b->options.log, LUN_LOG_ERROR, "ledger: %d accounts are charged above what was granted: %s", r->wrong, lun_ledger_error(b->ledger));
}

static uint32_t slots(const struct lun_books *b) { return b->options.attempts + b->options.attempts / 2 + SPARE; }

/* For a journal of its own and what SQLite wants beside it. */
static bool has_room(const struct lun_books *b)
{
    struct statvfs disk;
    return statvfs(b->folder, &disk) || (uint64_t)disk.f_bavail * disk.f_frsize > (uint64_t)slots(b) * 2 * LUN_JOURNAL_LINE + ROOM;
}

static void boot_id(char out[40])
{
    const char *said = getenv(LUN_BOOT_ID);
    if (said && *said) snprintf(out, 40, "%s", said);
    else lun_journal_boot_id(out);
}

static bool begin_run(struct lun_books *b, char **error)
{
    char boot[40];
    struct lun_recovery report = {0};
    lun_us wall = lun_clock_wall();
    boot_id(boot);
    lun_ledger_changed(b->ledger);          /* what others write from here on is noticed */
    if (lun_ledger_recover(b->ledger, b->folder, boot, wall, &report)
        && lun_ledger_begin_run(b->ledger, b->folder, boot, slots(b), wall, &b->journal)) {
        tell_recovery(b, &report);
        b->others = report.alive;
        return true;
    }
    *error = lun_strdup(lun_ledger_error(b->ledger));
    return false;
}

static bool share(struct lun_books *b, char **error)
{
    if (!b->options.redis) return true;
    lun_reactor_enter(b->reactor);
    b->sharing = lun_sharing_new(&(struct lun_sharing_options){ .reactor = b->reactor, .money = b->options.money, .ledger = b->ledger, .log = b->options.log,
        .url = b->options.redis, .ca = b->options.redis_ca, .prefix = b->options.redis_prefix, .run = lun_ledger_run(b->ledger) }, error);
    if (b->sharing) lun_timer_set(&b->reactor->loop, &b->poll, b->reactor->loop.now + LUN_MEMBER_POLL);
    lun_reactor_leave_later(b->reactor);
    return b->sharing;
}

static bool open_ledger(struct lun_books *b, char **error)
{
    if (!b->ledger) b->ledger = lun_ledger_open(b->options.path, LUN_LEDGER_FOUND, error);
    return b->ledger && begin_run(b, error) && share(b, error);
}

/* ---- when ---- */

static void on_now(struct lun_post *p)
{
    struct lun_books *b = BOOKS_OF(now, p);
    if (!*b->why) turn(b);              /* a disk that failed is left in peace until its time */
}

static void on_soon(struct lun_post *p)
{
    struct lun_books *b = BOOKS_OF(soon, p);
    if (!b->commit.at) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + LUN_LEDGER_LAG);
}

/* The disk was full at the start, and there is room by now. What several gateways share is never drawn before that is begun, too. */
static bool opened(struct lun_books *b)
{
    char *error = NULL;
    if (b->journal ? b->sharing || share(b, &error) : has_room(b) && open_ledger(b, &error)) return true;
    if (error) say(b, error, "the ledger cannot be opened");
    free(error);
    lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + AGAIN_AFTER);
    return false;
}

static void on_commit(struct lun_timer *t)
{
    struct lun_books *b = BOOKS_OF(commit, t);
    if (!opened(b)) return;
    if (!turn(b) && !b->failed && *b->why) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + AGAIN_AFTER);
}

struct stale { struct lun_span *span; uint32_t id; int64_t base; };
struct looking { struct stale *at; size_t n, room; };

static void list(void *self, struct lun_span *span, uint32_t id, int64_t base)
{
    struct looking *l = self;
    if (l->n == l->room) l->at = lun_realloc(l->at, (l->room = l->room ? l->room * 2 : 64) * sizeof *l->at);
    l->at[l->n++] = (struct stale){ span, id, base };
}

/* Corrections, and other processes. */
static void look_again(struct lun_books *b)
{
    struct looking l = {0};
    struct lun_ledger_figures f;
    lun_draw_each(b->options.money, list, &l);
    for (size_t i = 0; i < l.n; i++) {
        if (!lun_ledger_look(b->ledger, l.at[i].id, &f)) continue;
        if (b->sharing) lun_sharing_taken(b->sharing, l.at[i].span, f.taken);
        int64_t base = f.others + (b->sharing ? lun_sharing_others(l.at[i].span) : 0);
        if (base != l.at[i].base) lun_draw_base(b->options.money, l.at[i].span, base);
    }
    if (b->sharing) lun_sharing_look_again(b->sharing);
    free(l.at);
}

/* Another process on the same ledger, as while one takes over from another: what it holds and does not need is given back here too, so that either
 * finds it; and if it dies, what it leaves is recovered at once. */
static void see_others(struct lun_books *b)
{
    struct lun_recovery report = {0};
    char boot[40];
    boot_id(boot);
    if (lun_ledger_recover(b->ledger, b->folder, boot, lun_clock_wall(), &report)) {
        b->others = report.alive;
        tell_recovery(b, &report);
    } else if (!b->others) b->others = 1;       /* what is not known is looked at again */
    if (b->others) lun_draw_give_back(b->options.money, true);
    look_again(b);
}

static void on_look(struct lun_timer *t)
{
    struct lun_books *b = BOOKS_OF(look, t);
    lun_timer_set(&b->reactor->loop, t, b->reactor->loop.now + LOOK_EVERY);
    if (b->failed || !b->journal) return;
    if (lun_ledger_changed(b->ledger) || b->others) see_others(b);
    lun_draw_give_back(b->options.money, false);
    lun_draw_sweep(b->options.money, lun_clock_wall(), lun_sharing_gone, b->sharing);
    if (b->sharing) lun_sharing_forget(b->sharing, lun_clock_wall());
}

static void on_close(struct lun_timer *t)
{
    struct lun_books *b = BOOKS_OF(close, t);
    bool more = false;
    enum lun_ledger_result r = b->failed || !b->journal ? LUN_LEDGER_OK : lun_ledger_close_months(b->ledger, lun_clock_wall(), CLOSE_ROWS, &more);
    lun_timer_set(&b->reactor->loop, t, b->reactor->loop.now + (r == LUN_LEDGER_OK && more ? 100 * LUN_MS : CLOSE_EVERY));
}

/* ---- beginning and end ---- */

static void *run(void *self)
{
    struct lun_books *b = self;
    lun_thread_has_time();
    lun_reactor_enter(b->reactor);
    lun_timer_set(&b->reactor->loop, &b->look, b->reactor->loop.now + LOOK_EVERY);
    lun_timer_set(&b->reactor->loop, &b->close, b->reactor->loop.now + LUN_SECOND);
    if (!b->journal) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + AGAIN_AFTER);
    lun_reactor_leave(b->reactor);
    lun_reactor_run(b->reactor);
    return NULL;
}

static void end(struct lun_books *b)
{
    struct lun_timer *const timers[] = { &b->commit, &b->look, &b->close, &b->poll };
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) lun_timer_set(&b->reactor->loop, timers[i], LUN_NEVER);
    lun_sharing_free(b->sharing);
    b->sharing = NULL;
    if (!b->journal) { }
    else if (b->failed) lun_journal_close(b->journal);
    else if (!lun_ledger_end_run(b->ledger, b->journal, lun_clock_wall())) lun_log(b->options.log, LUN_LOG_ERROR, "ledger: %s", lun_ledger_error(b->ledger));
    b->journal = NULL;
    lun_reactor_stop(b->reactor);
}

/* On its own thread, after the last hold has ended. What was not spent is given back to the others, if they can be told in time. */
static void on_stop(struct lun_post *p)
{
    struct lun_books *b = BOOKS_OF(stop, p);
    while (b->journal && turn(b)) { }
    if (b->sharing) lun_draw_give_back(b->options.money, true);
    while (b->journal && turn(b)) { }
    if (b->sharing && !b->failed) lun_sharing_leave(b->sharing);
    b->stop_by = b->reactor->loop.now + STOP_WAIT;
    if (!b->sharing || lun_sharing_told(b->sharing)) end(b);
}

static void on_poll(struct lun_timer *t)
{
    struct lun_books *b = BOOKS_OF(poll, t);
    if (b->stop_by && (lun_sharing_told(b->sharing) || b->reactor->loop.now >= b->stop_by)) { end(b); return; }
    lun_timer_set(&b->reactor->loop, t, b->reactor->loop.now + (b->stop_by ? 10 * LUN_MS : LUN_MEMBER_POLL));
    if (!b->failed && !b->stop_by) lun_sharing_heed(b->sharing);
    if (!b->failed) lun_sharing_tick(b->sharing);
    pthread_mutex_lock(&b->lock);
    b->shown.n = 0;
    lun_sharing_show(b->sharing, &b->shown);
    pthread_mutex_unlock(&b->lock);
}

static bool open_all(struct lun_books *b, char **error)
{
    bool room = has_room(b);
    if (!(b->reactor = lun_reactor_new(NULL))) {
        *error = lun_strdup("the system gives no event loop for the ledger: out of file descriptors?");
        return false;
    }
    if (room && !open_ledger(b, error)) return false;
    lun_draw_attach(b->options.money, &(struct lun_draw_books){ b, slots(b), 0, lun_books_dispatched, lun_books_settled, wake });
    if (!room) say(b, "its disk has no room for it", "the disk of the ledger is full");
    else if (turn(b)) turn(b);          /* what was spent is known before the first request: with the second turn what counts beside a window's piece, too */
    b->started = !lun_thread_start(&b->thread, "lunette books", 0, run, b);
    if (b->started) return true;
    *error = lun_strdup("the system gives no thread for the ledger");
    return false;
}

struct lun_books *lun_books_new(const struct lun_books_options *options, char **error)
{
    struct lun_books *b = lun_zalloc(sizeof *b);
    *b = (struct lun_books){ .options = *options, .folder = lun_folder_of(options->path), .now.run = on_now, .soon.run = on_soon, .stop.run = on_stop, .poll = { .fire = on_poll },
                             .commit = { .fire = on_commit }, .look = { .fire = on_look }, .close = { .fire = on_close } };
    pthread_mutex_init(&b->lock, NULL);
    if (open_all(b, error)) return b;
    lun_books_free(b);
    return NULL;
}

void lun_books_free(struct lun_books *b)
{
    if (!b) return;
    if (b->started) {
        lun_reactor_post(b->reactor, &b->stop);
        pthread_join(b->thread, NULL);
    }
    lun_sharing_free(b->sharing);
    lun_journal_close(b->journal);
    lun_ledger_close(b->ledger);
    if (b->reactor) lun_reactor_free(b->reactor);
    lun_draw_work_free(&b->work);
    pthread_mutex_destroy(&b->lock);
    lun_buf_free(&b->shown);
    free(b->folder);
    free(b);
}

void lun_books_show(struct lun_books *b, struct lun_buf *out)
{
    pthread_mutex_lock(&b->lock);
    lun_buf_puts(out, *b->why ? "{\"state\":\"closed\",\"why\":" : "{\"state\":\"open\"");
    if (*b->why) lun_json_put_text(out, b->why);
    if (b->shown.n) lun_buf_putc(out, ',');
    lun_buf_add(out, b->shown.at, b->shown.n);
    lun_buf_putc(out, '}');
    pthread_mutex_unlock(&b->lock);
}
