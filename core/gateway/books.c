#include "gateway/books.h"
#include "gateway/sharing.h"
#include "base/alloc.h"
#include "base/json.h"
#include "state/draw.h"
#include "state/ledger.h"
#include "state/member.h"
#include "wire/reactor.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define COMMIT_EVERY (10 * LUN_MS)          /* rows wait so long for company; who waits for money does not */
#define AGAIN_AFTER  (500 * LUN_MS)         /* a disk that was full may have room again */
#define LOOK_EVERY   LUN_SECOND             /* whether others have changed the ledger; what is over or too much goes back */
#define CLOSE_EVERY  (24 * 3600 * LUN_SECOND)
#define CLOSE_ROWS   2000                   /* in one transaction: it holds nobody up for long */
#define ROOM         (1 << 20)
#define STOP_WAIT    LUN_SECOND             /* for Redis to hear what is given back */
#define SPARE        1024                   /* slots of the journal, for rows that wait to be written */

struct lun_books {
    struct lun_books_options options;
    char *folder;
    struct lun_reactor *reactor;
    struct lun_ledger *ledger;
    struct lun_journal *journal;
    struct lun_sharing *sharing;            /* NULL: its limits are its own */
    struct lun_draw_work work;
    struct lun_post now, soon, stop;
    struct lun_timer commit, look, close, poll;
    lun_us stop_by;                         /* 0: it goes on */
    int others;                             /* processes that are alive on the same ledger */
    bool failed;                            /* for good: what is on the disk is not known any more */
    pthread_t thread; bool started;
    pthread_mutex_t lock; char why[256]; struct lun_buf shown;     /* what is shown; why "": open; shown: of those who share */
};

#define BOOKS_OF(member, at) ((struct lun_books *)(void *)((char *)(at) - offsetof(struct lun_books, member)))

/* ---- the journal's two lines, on the threads of those who hold ---- */

static void dispatched(void *self, uint32_t slot, const struct lun_draw_line *line)
{
    struct lun_dispatch d = { .seq = line->seq, .hold = line->hold, .at = line->at, .target = line->target, .version = line->version,
                              .client = line->client, .payers = line->payers };
    memcpy(d.request, line->request, sizeof d.request);
    lun_journal_dispatch(((struct lun_books *)self)->journal, slot, &d);
}

static uint32_t tokens(int64_t n) { return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n; }

static uint16_t flags(const struct lun_settlement *how)
{
    unsigned f = 0;
    if (how->usage.estimated) f |= LUN_ATTEMPT_ESTIMATED;
    if (how->suspect) f |= LUN_ATTEMPT_SUSPECT;
    if (how->cost > how->bound) f |= LUN_ATTEMPT_EXCESS;
    if (how->hedge) f |= LUN_ATTEMPT_HEDGE;
    if (how->cancelled) f |= LUN_ATTEMPT_CANCELLED;
    if (how->stream) f |= LUN_ATTEMPT_STREAM;
    if (how->probe) f |= LUN_ATTEMPT_PROBE;
    if (!how->limited) f |= LUN_ATTEMPT_UNLIMITED;
    return (uint16_t)f;
}

static void settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *how)
{
    lun_us ms = how->latency / LUN_MS;
    struct lun_settle s = { .seq = seq, .cost = how->cost, .kind = (uint8_t)how->kind, .state = how->orphaned ? LUN_ATTEMPT_ORPHANED : LUN_ATTEMPT_SETTLED,
                            .flags = flags(how), .latency_ms = tokens(ms) };
    if (how->usage.known) {
        s.tokens[LUN_TOKENS_input] = tokens(how->usage.input);
        s.tokens[LUN_TOKENS_cached_input] = tokens(how->usage.cached_input);
        s.tokens[LUN_TOKENS_cache_write] = tokens(how->usage.cache_write + how->usage.cache_write_1h);
        s.tokens[LUN_TOKENS_output] = tokens(how->usage.output);
        s.tokens[LUN_TOKENS_reasoning] = tokens(how->usage.reasoning);
    }
    lun_journal_settle(((struct lun_books *)self)->journal, slot, &s);
}

static void wake(void *self, bool urgent)
{
    struct lun_books *b = self;
    lun_reactor_post(b->reactor, urgent ? &b->now : &b->soon);
}

/* ---- what is wrong ---- */

static void say(struct lun_books *b, const char *why)
{
    pthread_mutex_lock(&b->lock);
    bool news = strcmp(b->why, why ? why : "") != 0;
    snprintf(b->why, sizeof b->why, "%s", why ? why : "");
    pthread_mutex_unlock(&b->lock);
    if (!news) return;
    lun_draw_close(b->options.money, why);
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
    say(b, why);
    if (!b->failed) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + AGAIN_AFTER);
}

/* ---- a turn: what there is to do, in one transaction ---- */

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* What this run has of it. */
static int64_t part(const struct lun_ledger_figures *f) { return most(f->granted, f->used); }

struct finding { struct lun_books *books; struct lun_account *account; lun_us wall; };

static void found(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    struct finding *x = self;
    lun_draw_found(x->books->options.money, x->account, a->period, x->wall, id, f->others, f->used, part(f));
}

static void look_up(struct lun_books *b, lun_us wall)
{
    for (size_t i = 0; i < b->work.n_accounts; i++) {
        struct finding x = { b, b->work.accounts[i].account, wall };
        lun_ledger_accounts(b->ledger, b->work.accounts[i].budget, wall, found, &x);
    }
}

static bool note(struct lun_books *b, struct lun_draw_span *s, struct lun_ledger_figures *f)
{
    uint32_t id = lun_ledger_account(b->ledger, &(struct lun_ledger_account){ s->budget, s->label, s->starts, s->ends, s->limit });
    if (!id || !lun_ledger_look(b->ledger, id, f)) return false;
    int64_t base = f->others + (b->sharing ? lun_sharing_others(s->span) : 0);
    if (!s->id) lun_draw_opened(s, id, base, f->used, part(f));
    else s->base = base;
    return true;
}

/* Draws, or gives back. What is given back is no longer held by anybody here. */
static void grant(struct lun_books *b, struct lun_draw_span *s)
{
    struct lun_ledger_figures f;
    if (!note(b, s, &f) || s->want < 0 || (b->sharing && s->want > s->granted && !s->forced)) return;
    if (s->want > s->granted && !s->forced) s->want = most(s->want < s->limit - s->base ? s->want : s->limit - s->base, s->granted);
    if (s->want == s->granted) s->want = -1;
    else lun_ledger_grant(b->ledger, s->id, s->want);
}

static void row(struct lun_books *b, uint32_t slot)
{
    struct lun_dispatch d;
    struct lun_settle s;
    enum lun_journal_found is = lun_journal_read(b->journal, slot, &d, &s);
    if (is == LUN_JOURNAL_SETTLED) lun_ledger_row(b->ledger, &d, &s);
    else if (is == LUN_JOURNAL_DISPATCHED) lun_ledger_row(b->ledger, &d, NULL);
}

static enum lun_ledger_result write_down(struct lun_books *b)
{
    struct lun_draw_work *w = &b->work;
    enum lun_ledger_result r = lun_ledger_begin(b->ledger);
    if (r != LUN_LEDGER_OK) return r;
    for (size_t i = 0; i < w->n_names; i++) w->names[i].id = lun_ledger_name(b->ledger, w->names[i].text);
    for (size_t i = 0; i < w->n_slots; i++) row(b, w->slots[i]);
    for (size_t i = 0; i < w->n_spans; i++) grant(b, &w->spans[i]);
    for (size_t i = 0; i < w->n_payers; i++)
        if (lun_draw_accounts(w, &w->payers[i])) w->payers[i].id = lun_ledger_payers(b->ledger, w->payers[i].accounts, w->payers[i].n);
    return lun_ledger_commit(b->ledger);
}

static bool turn(struct lun_books *b)
{
    lun_us wall = lun_clock_wall();
    if (b->failed || !lun_draw_begin(b->options.money, &b->work, wall)) return false;
    lun_us before = lun_clock_now();
    look_up(b, wall);
    enum lun_ledger_result r = write_down(b);
    if (r == LUN_LEDGER_OK) {
        if (b->sharing) lun_sharing_ask(b->sharing, &b->work);
        lun_draw_done(b->options.money, &b->work);
        if (b->sharing) lun_sharing_tell(b->sharing, &b->work);
        lun_metrics_add(b->options.metrics, LUN_METRIC_LEDGER_ROWS, NULL, (double)b->work.n_slots);
        lun_metrics_add(b->options.metrics, LUN_METRIC_LEDGER_COMMIT, NULL, (double)(lun_clock_now() - before) / 1e6);
        say(b, NULL);
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
    lun_timer_set(&b->reactor->loop, &b->poll, b->reactor->loop.now + LUN_MEMBER_POLL);
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
    if (!b->commit.at) lun_timer_set(&b->reactor->loop, &b->commit, b->reactor->loop.now + COMMIT_EVERY);
}

/* The disk was full at the start, and there is room by now. */
static bool opened(struct lun_books *b)
{
    char *error = NULL;
    if (b->journal) return true;
    if (has_room(b) && open_ledger(b, &error)) return true;
    if (error) say(b, error);
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
        b->others = report.alive - 1;           /* but for this one */
        tell_recovery(b, &report);
    }
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
    lun_draw_sweep(b->options.money, lun_clock_wall(), lun_sharing_gone, NULL);
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

static bool start(struct lun_books *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    b->started = !pthread_create(&b->thread, NULL, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (b->started) pthread_setname_np(b->thread, "lunette books");
    return b->started;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? lun_printf("%.*s", (int)(slash - path ? slash - path : 1), path) : lun_strdup(".");
}

static bool open_all(struct lun_books *b, char **error)
{
    bool room = has_room(b);
    if (!(b->reactor = lun_reactor_new(NULL))) {
        *error = lun_strdup("the system gives no event loop for the ledger: out of file descriptors?");
        return false;
    }
    if (room && !open_ledger(b, error)) return false;
    lun_draw_attach(b->options.money, &(struct lun_draw_books){ b, slots(b), 0, dispatched, settled, wake });
    if (room) turn(b);                  /* what earlier runs have spent is known before the first request */
    else say(b, "its disk has no room for it");
    if (start(b)) return true;
    *error = lun_strdup("the system gives no thread for the ledger");
    return false;
}

struct lun_books *lun_books_new(const struct lun_books_options *options, char **error)
{
    struct lun_books *b = lun_zalloc(sizeof *b);
    *b = (struct lun_books){ .options = *options, .folder = folder_of(options->path), .now.run = on_now, .soon.run = on_soon, .stop.run = on_stop, .poll = { .fire = on_poll },
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
