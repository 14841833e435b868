#include "gateway/worker.h"
#include "base/alloc.h"
#include "base/random.h"
#include "base/thread.h"
#include "gateway/desk.h"
#include "gateway/front.h"
#include "gateway/presented.h"
#include "gateway/shadow.h"
#include "gateway/web.h"
#include "wire/upstream.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct lun_worker {
    struct lun_worker_options options;
    struct lun_reactor *reactor;
    struct lun_upstream *upstream;
    struct lun_web *web;
    struct lun_keyring *keyring;
    struct lun_desk *desk, *old, *fresh;        /* fresh: prepared, and not yet the one */
    struct lun_shadow_desk *shadow;             /* beside the desk; NULL: there is none */
    struct lun_renewal *renewal;                /* of the desk's machines; NULL: none is under way */
    struct lun_front front;
    struct lun_server *server;                  /* NULL: nobody connects */
    struct lun_waiting waiting; struct lun_post moved;
    struct lun_arena_stock stock;
    struct lun_presented presented;
    struct lun_post ready, drain; _Atomic lun_us until;        /* cut then, at the latest */
    struct lun_timer reaper, cutter;
    lun_us keys_due;                            /* probe.h */
    bool stopping, cut;                         /* cut: what is open has been told that it is over */
    pthread_t thread; bool started;
};

static _Thread_local struct lun_worker *here;      /* whose thread this is */

#define WORKER_OF(member, at) ((struct lun_worker *)((char *)(at) - offsetof(struct lun_worker, member)))
#define REAP_EVERY (100 * LUN_MS)
#define LAST_WORD  (100 * LUN_MS)               /* for clients to take what they are told when they are cut */

struct lun_reactor *lun_worker_reactor(struct lun_worker *w) { return w->reactor; }
bool lun_worker_is_here(const struct lun_worker *w) { return here == w; }
/* When that is to be is not put off by the next one: they may come all the time. */
static void reap_soon(struct lun_worker *w) { if (!w->reaper.at) lun_timer_set(&w->reactor->loop, &w->reaper, w->reactor->loop.now + REAP_EVERY); }

/* ---- desks ---- */

static void wake_writer(void *self) { lun_writer_wake(self); }

static void write_line(void *self, const char *text, size_t n)
{
    if (lun_writer_lay(self, text, n)) lun_reactor_afterwards(wake_writer, self);
}

static void trouble(void *self, const struct lun_trouble *t)
{
    struct lun_worker *w = self;
    if (w->options.trouble) w->options.trouble(w->options.self, t);
}

static struct lun_desk *desk_new(struct lun_worker *w, struct lun_kit *kit, struct lun_tuning *tuning, char **error)
{
    struct lun_station like = { .loop = &w->reactor->loop, .registry = w->options.registry, .tuning = tuning, .keyring = w->keyring, .web = w->web, .waiting = &w->waiting, .stock = &w->stock,
                                .presented = &w->presented, .log = w->options.log, .trouble = trouble, .trouble_self = w,
                                .recent = w->options.recent, .captured = w->options.captured, .canary = w->options.canary, .canary_self = w->options.self, .random = lun_random() };
    if (w->options.writer) {
        like.line = write_line;
        like.line_self = w->options.writer;
    }
    return lun_desk_new(w->upstream, &like, kit, error);
}

static void retire(struct lun_worker *w, struct lun_kit *kit)
{
    if (w->options.retire) w->options.retire(w->options.self, kit);
    else lun_kit_free(kit);
}

static void end(struct lun_worker *w)
{
    lun_timer_set(&w->reactor->loop, &w->reaper, LUN_NEVER);
    lun_timer_set(&w->reactor->loop, &w->cutter, LUN_NEVER);
    if (w->reactor->owns_base) lun_reactor_stop(w->reactor);
    else if (w->options.ended) w->options.ended(w->options.self);
}

/* To the present desk. Patient: not as long as something is being asked, or nobody would ever hear the answer where machines are worn fast. */
static void move_probes(struct lun_worker *w, bool patient)
{
    if (!w->options.probes) return;
    for (struct lun_desk *d = w->old; d; d = d->next) {
        if (patient && lun_desk_asks(d)) return;
        lun_desk_probe(d, NULL);
    }
    lun_desk_probe(w->desk, &w->keys_due);
}

static void reap(struct lun_timer *t)
{
    struct lun_worker *w = WORKER_OF(reaper, t);
    bool released = false;
    move_probes(w, !w->stopping);
    for (struct lun_desk **p = &w->old, *d; (d = *p); ) {
        if (d->station.open || d->probe) { p = &d->next; continue; }
        *p = d->next;
        retire(w, lun_desk_free(d));
        released = true;
    }
    if (released && w->options.released) w->options.released(w->options.self);
    bool done = !w->old && !w->desk->station.open;
    if (w->stopping && done) end(w);
    else if (w->old || w->stopping) reap_soon(w);
}

static void retire_shadow(void *self, struct lun_kit *kit) { retire(self, kit); }

void lun_worker_shadow(struct lun_worker *w, struct lun_kit *kit, struct lun_tuning *tuning)
{
    lun_worker_unshadow(w);
    w->shadow = lun_shadow_desk_new(kit, &w->desk->station, tuning, retire_shadow, w);
    lun_shadow_desk_watch(w->shadow, &w->desk->station);
}

void lun_worker_shadow_tune(struct lun_worker *w, struct lun_tuning *tuning) { if (w->shadow) lun_shadow_desk_tune(w->shadow, tuning); }

void lun_worker_unshadow(struct lun_worker *w)
{
    if (!w->shadow) return;
    lun_shadow_desk_ignore(&w->desk->station);
    lun_shadow_desk_end(w->shadow);
    w->shadow = NULL;
}

static void replace(struct lun_worker *w, struct lun_desk *fresh)
{
    struct lun_desk *before = w->desk;
    lun_shadow_desk_ignore(&before->station);
    if (w->shadow) lun_shadow_desk_watch(w->shadow, &fresh->station);
    before->next = w->old;
    w->old = before;
    w->desk = fresh;
    fresh->next = NULL;
    move_probes(w, before->station.snapshot == fresh->station.snapshot);
    if (w->server) lun_server_set_tls(w->server, fresh->kit->tls);
    for (struct lun_desk *d = w->old; d; d = d->next) lun_desk_outdated(d, fresh->station.snapshot);
    reap_soon(w);
}

/* The desk that it still has of a version; taken out of the list. */
static struct lun_desk *take_old(struct lun_worker *w, const struct lun_snapshot *snapshot)
{
    for (struct lun_desk **p = &w->old, *d; (d = *p); p = &d->next) {
        if (d->station.snapshot != snapshot || lun_policy_worn(d->station.policy)) continue;
        *p = d->next;
        return d;
    }
    return NULL;
}

static void take_keys(struct lun_desk *d, struct lun_keyring *ring)
{
    lun_keyring_ref(ring);
    lun_keyring_unref(d->station.keyring);
    d->station.keyring = ring;
}

bool lun_worker_prepare(struct lun_worker *w, struct lun_kit *kit, struct lun_tuning *tuning, char **error)
{
    lun_worker_discard(w);
    if ((w->fresh = take_old(w, kit->snapshot))) {
        retire(w, kit);
        lun_desk_outdated(w->fresh, w->fresh->station.snapshot);
    } else w->fresh = desk_new(w, kit, tuning, error);
    if (!w->fresh) return false;
    lun_tuning_ref(tuning);
    lun_tuning_unref(w->fresh->station.tuning);
    w->fresh->station.tuning = tuning;
    take_keys(w->fresh, w->keyring);
    return true;
}

static void end_renewal(struct lun_worker *w)
{
    lun_renewal_drop(w->renewal);
    w->renewal = NULL;
}

void lun_worker_adopt(struct lun_worker *w)
{
    struct lun_desk *fresh = w->fresh;
    w->fresh = NULL;
    end_renewal(w);
    lun_worker_unshadow(w);
    replace(w, fresh);
    if (!w->server) return;
    lun_server_set_body(w->server, fresh->station.snapshot->limits.body);
    lun_server_set_stall(w->server, fresh->station.snapshot->limits.stall);
}

void lun_worker_discard(struct lun_worker *w)
{
    if (!w->fresh) return;
    w->fresh->next = w->old;
    w->old = w->fresh;
    w->fresh = NULL;
    reap_soon(w);
}

void lun_worker_tune(struct lun_worker *w, struct lun_tuning *tuning)
{
    lun_tuning_ref(tuning);
    lun_tuning_unref(w->desk->station.tuning);
    w->desk->station.tuning = tuning;
}

void lun_worker_keys(struct lun_worker *w, struct lun_keyring *ring)
{
    lun_keyring_ref(ring);
    lun_keyring_unref(w->keyring);
    w->keyring = ring;
    take_keys(w->desk, ring);
    if (w->fresh) take_keys(w->fresh, ring);
}

/* A machine that ran out of memory is replaced by a fresh one of the same version, once that is made. */
static void renew(struct lun_worker *w)
{
    char *error = NULL;
    struct lun_desk *d = w->desk, *fresh = NULL;
    if (!w->renewal) w->renewal = w->options.renew(w->options.self, d->station.snapshot);
    if (!lun_renewal_is_over(w->renewal)) return;
    struct lun_kit *kit = lun_renewal_take(w->renewal, &error);
    end_renewal(w);
    if (kit && (fresh = desk_new(w, kit, d->station.tuning, &error))) replace(w, fresh);
    else lun_log(w->options.log, LUN_LOG_ERROR, "the policy's machine is worn and cannot be replaced: %s", error);
    free(error);
}

struct lun_station *lun_worker_station(struct lun_worker *w)
{
    if (lun_policy_worn(w->desk->station.policy)) renew(w);
    return &w->desk->station;
}

static struct lun_station *station(void *self) { return lun_worker_station(self); }

void lun_worker_each(struct lun_worker *w, void (*tell)(void *self, struct lun_request *), void *self)
{
    lun_station_each(&w->desk->station, tell, self);
    for (struct lun_desk *d = w->old; d; d = d->next) lun_station_each(&d->station, tell, self);
}

/* ---- news from other threads ---- */

static void look(struct lun_post *p)  { lun_waiting_look(&WORKER_OF(moved, p)->waiting); }
static void moved(void *self)         { struct lun_worker *w = self; lun_reactor_post(w->reactor, &w->moved); }
static void be_ready(struct lun_post *p) { WORKER_OF(ready, p)->front.ready = true; }
void lun_worker_ready(struct lun_worker *w) { lun_reactor_post(w->reactor, &w->ready); }

static void drained(void *self)
{
    struct lun_worker *w = self;
    w->stopping = true;
    lun_timer_set(&w->reactor->loop, &w->reaper, w->reactor->loop.now);
}

static void cut_one(void *self, struct lun_request *r)
{
    (void)self;
    lun_request_cut(r);
}

/* Who waits for an answer is told that none comes; mostly all have closed then, and that ends it. */
static void cut_all(struct lun_timer *t)
{
    struct lun_worker *w = WORKER_OF(cutter, t);
    if (w->cut || !w->server) { end(w); return; }
    w->cut = true;
    lun_worker_each(w, cut_one, NULL);
    lun_timer_set(&w->reactor->loop, &w->cutter, w->reactor->loop.now + LAST_WORD);
}

static void drain_now(struct lun_post *p)
{
    struct lun_worker *w = WORKER_OF(drain, p);
    lun_timer_set(&w->reactor->loop, &w->cutter, atomic_load(&w->until));
    if (w->server) lun_server_drain(w->server, drained, w);
    else drained(w);
}

void lun_worker_drain(struct lun_worker *w, lun_us grace)
{
    lun_us now = lun_clock_now(), until = grace < LUN_NEVER - now ? now + grace : LUN_NEVER, before = atomic_load(&w->until);
    while (until < before && !atomic_compare_exchange_weak(&w->until, &before, until)) { }
    lun_reactor_post(w->reactor, &w->drain);
}

/* ---- life ---- */

static bool listen_on(struct lun_worker *w, int listener, const struct lun_snapshot *s, char **error)
{
    w->front = (struct lun_front){ .station = station, .self = w, .reactor = w->reactor, .shared = w->options.shared };
    struct lun_server_handler handler = lun_front_handler(&w->front);
    if (listener < 0) return true;
    struct lun_server_options o = { .shared = w->options.shared, .body = s->limits.body, .clocks.stall = s->limits.stall, .tls = w->desk->kit->tls };
    w->server = lun_server_new(w->reactor, listener, &handler, &o);
    if (!w->server) *error = lun_strdup("the listening socket cannot be used");
    return w->server;
}

struct lun_worker *lun_worker_new(const struct lun_worker_options *options, struct lun_kit *kit, struct lun_tuning *tuning, int listener, char **error)
{
    struct lun_worker *w = lun_zalloc(sizeof *w);
    struct lun_snapshot *snapshot = kit->snapshot;
    *w = (struct lun_worker){ .options = *options, .moved.run = look, .ready.run = be_ready, .drain.run = drain_now, .until = LUN_NEVER, .reaper.fire = reap, .cutter.fire = cut_all };
    w->keyring = lun_keyring_ref(options->keyring);
    w->presented.secret = lun_siphash_new();
    w->waiting = (struct lun_waiting){ .post = moved, .self = w, .shelf = options->shelf };
    if ((w->reactor = lun_reactor_new(options->base))) w->upstream = lun_upstream_new(w->reactor, NULL);
    if (!w->upstream) {
        *error = lun_strdup("the system gives no event loop (out of file descriptors?), or this libcurl cannot be used");
        lun_kit_free(kit);
        if (listener >= 0) close(listener);
        lun_worker_free(w);
        return NULL;
    }
    lun_reactor_enter(w->reactor);
    w->web = lun_web_new(w->reactor, w->upstream);
    w->desk = desk_new(w, kit, tuning, error);
    if (w->desk && options->probes) lun_desk_probe(w->desk, &w->keys_due);
    bool good = w->desk && listen_on(w, listener, snapshot, error);
    if (!w->desk && listener >= 0) close(listener);
    lun_reactor_leave(w->reactor);
    if (good) return w;
    lun_worker_free(w);
    return NULL;
}

static void *run(void *self)
{
    struct lun_worker *w = here = self;
    lun_reactor_run(w->reactor);
    if (w->options.ended) w->options.ended(w->options.self);
    return NULL;
}

#define STACK (2 << 20)         /* policies may go 96 KiB deep in C, matchers and JSON a little more */

/* Signals are the program's: none is taken here but the tick that a policy's time is measured by, which lets itself in. */
bool lun_worker_start(struct lun_worker *w)
{
    w->started = !lun_thread_start(&w->thread, "lunette worker", STACK, run, w);
    return w->started;
}

void lun_worker_join(struct lun_worker *w)
{
    if (w->started) pthread_join(w->thread, NULL);
    w->started = false;
}

void lun_worker_bar(struct lun_worker *w, int listener) { lun_upstream_bar(w->upstream, listener); }

void lun_worker_listen(struct lun_worker *w, int listener)
{
    lun_reactor_enter(w->reactor);
    lun_server_listen(w->server, listener);
    lun_reactor_leave(w->reactor);
}

const struct lun_server_counts *lun_worker_counts(const struct lun_worker *w) { return w->server ? lun_server_counts(w->server) : NULL; }

static void hurry(void *self, struct lun_request *r)
{
    (void)self;
    lun_request_hurry(r);
}

/* Clients leave; walks end within this turn; `finish` hooks that wait are not waited for. */
static void end_all(struct lun_worker *w)
{
    lun_reactor_enter(w->reactor);
    if (w->server) lun_server_free(w->server);
    w->server = NULL;
    lun_reactor_leave(w->reactor);
    lun_reactor_enter(w->reactor);
    if (w->desk) lun_worker_each(w, hurry, NULL), lun_worker_unshadow(w);
    lun_reactor_leave(w->reactor);
}

void lun_worker_free(struct lun_worker *w)
{
    if (!w) return;
    if (w->reactor) end_all(w);
    if (w->reactor) lun_reactor_enter(w->reactor);
    lun_worker_discard(w);
    end_renewal(w);
    for (struct lun_desk *d; (d = w->old); lun_kit_free(lun_desk_free(d))) w->old = d->next;
    if (w->desk) lun_kit_free(lun_desk_free(w->desk));
    lun_web_free(w->web);
    if (w->reactor) lun_timer_set(&w->reactor->loop, &w->reaper, LUN_NEVER), lun_timer_set(&w->reactor->loop, &w->cutter, LUN_NEVER);
    if (w->upstream) lun_upstream_free(w->upstream);
    if (w->reactor) lun_reactor_leave(w->reactor);
    lun_reactor_free(w->reactor);
    lun_arena_stock_free(&w->stock);
    lun_presented_forget(&w->presented);
    lun_keyring_unref(w->keyring);
    free(w);
}
