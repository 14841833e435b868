#include "gateway/worker.h"
#include "base/alloc.h"
#include "gateway/carrier_curl.h"
#include "gateway/carrier_script.h"
#include "gateway/front.h"
#include "gateway/probe.h"
#include "gateway/translate.h"
#include "gateway/upstreams.h"
#include "gateway/web.h"
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* A station with all that belongs to its version. A worker has one that new requests begin with, and those whose requests are not over. */
struct desk {
    struct desk *next;
    struct lun_station station;
    struct lun_upstreams upstreams;
    struct lun_carrier *network, *script;
    struct lun_probe *probe;
};
struct lun_worker {
    struct lun_worker_options options;
    struct lun_reactor *reactor;
    struct lun_upstream *upstream;
    struct lun_web *web;
    struct desk *desk, *old;
    struct lun_front front;
    struct lun_server *server;
    struct lun_waiting waiting; struct lun_post moved;
    struct lun_post ready, drain; lun_us grace;
    struct lun_timer reaper, cutter;
    bool stopping;
    pthread_t thread; bool started;
};

#define WORKER_OF(member, at) ((struct lun_worker *)((char *)(at) - offsetof(struct lun_worker, member)))
#define REAP_EVERY (100 * LUN_MS)

/* ---- desks ---- */

static void desk_free(struct desk *d)
{
    if (!d) return;
    lun_probe_free(d->probe);
    if (d->station.policy) lun_policy_close(d->station.policy);
    lun_carrier_curl_free(d->network);
    lun_carrier_script_free(d->script);
    lun_dialects_free(d->upstreams.dialects);
    lun_snapshot_unref(d->station.snapshot);
    free(d);
}

static void write_line(void *self, const char *text, size_t n) { lun_writer_put(self, text, n); }

static uint64_t seed(void)
{
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits) bits = (uint64_t)lun_clock_wall() * 0x9E3779B97F4A7C15u;
    return bits;
}

static struct desk *desk_new(struct lun_worker *w, struct lun_snapshot *snapshot, char **error)
{
    struct desk *d = lun_zalloc(sizeof *d);
    d->station = (struct lun_station){
        .loop = &w->reactor->loop, .snapshot = lun_snapshot_ref(snapshot), .registry = w->options.registry, .upstream = &lun_upstreams_port,
        .upstream_self = &d->upstreams, .web = w->web, .waiting = &w->waiting, .log = w->options.log, .random = seed() };
    if (w->options.writer) {
        d->station.line = write_line;
        d->station.line_self = w->options.writer;
    }
    if (!(d->station.policy = lun_policy_open(snapshot, w->options.registry, w->options.limits, error))
        || !(d->network = lun_carrier_curl_new(w->upstream, snapshot, error))
        || !(d->script = lun_carrier_script_new(&w->reactor->loop, snapshot, error))
        || !(d->upstreams.dialects = lun_dialects_new(snapshot, error))) {
        desk_free(d);
        return NULL;
    }
    lun_policy_log_to(d->station.policy, w->options.log);
    d->upstreams.network = d->network;
    d->upstreams.script = d->script;
    if (w->options.probes) d->probe = lun_probe_new(&w->reactor->loop, snapshot, d->network, d->script, w->options.log);
    return d;
}

static void reap(struct lun_timer *t)
{
    struct lun_worker *w = WORKER_OF(reaper, t);
    for (struct desk **p = &w->old, *d; (d = *p); ) {
        if (d->station.open) { p = &d->next; continue; }
        *p = d->next;
        desk_free(d);
    }
    bool done = !w->old && !w->desk->station.open;
    if (w->stopping && done) lun_reactor_stop(w->reactor);
    else if (w->old || w->stopping) lun_timer_set(&w->reactor->loop, &w->reaper, w->reactor->loop.now + REAP_EVERY);
}

static void replace(struct lun_worker *w, struct desk *fresh)
{
    w->desk->next = w->old;
    w->old = w->desk;
    w->desk = fresh;
    lun_timer_set(&w->reactor->loop, &w->reaper, w->reactor->loop.now + REAP_EVERY);
}

/* A machine that ran out of memory is replaced by a fresh one of the same version. */
static struct lun_station *station(void *self)
{
    struct lun_worker *w = self;
    char *error = NULL;
    if (lun_policy_worn(w->desk->station.policy)) {
        struct desk *fresh = desk_new(w, w->desk->station.snapshot, &error);
        if (fresh) replace(w, fresh);
        else lun_log(w->options.log, LUN_LOG_ERROR, "the policy's machine is worn and cannot be replaced: %s", error);
        free(error);
    }
    return &w->desk->station;
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

static void cut_all(struct lun_timer *t) { lun_reactor_stop(WORKER_OF(cutter, t)->reactor); }

static void drain_now(struct lun_post *p)
{
    struct lun_worker *w = WORKER_OF(drain, p);
    lun_timer_set(&w->reactor->loop, &w->cutter, w->reactor->loop.now + w->grace);
    lun_server_drain(w->server, drained, w);
}

void lun_worker_drain(struct lun_worker *w, lun_us grace)
{
    w->grace = grace;
    lun_reactor_post(w->reactor, &w->drain);
}

/* ---- life ---- */

struct lun_worker *lun_worker_new(const struct lun_worker_options *options, struct lun_snapshot *snapshot, int listener, char **error)
{
    struct lun_worker *w = lun_zalloc(sizeof *w);
    *w = (struct lun_worker){ .options = *options, .moved.run = look, .ready.run = be_ready, .drain.run = drain_now, .reaper.fire = reap, .cutter.fire = cut_all };
    w->waiting = (struct lun_waiting){ .post = moved, .self = w };
    if ((w->reactor = lun_reactor_new(NULL))) w->upstream = lun_upstream_new(w->reactor, NULL);
    if (!w->upstream) {
        *error = lun_strdup("the system gives no event loop (out of file descriptors?), or this libcurl cannot be used");
        close(listener);
        lun_worker_free(w);
        return NULL;
    }
    lun_reactor_enter(w->reactor);
    w->web = lun_web_new(w->reactor, w->upstream);
    w->desk = desk_new(w, snapshot, error);
    w->front = (struct lun_front){ .station = station, .self = w, .reactor = w->reactor, .shared = options->shared };
    struct lun_server_handler handler = lun_front_handler(&w->front);
    if (w->desk) w->server = lun_server_new(w->reactor, listener, &handler, &(struct lun_server_options){ .shared = options->shared, .body = snapshot->limits.body });
    else close(listener);
    lun_reactor_leave(w->reactor);
    if (w->server) return w;
    if (!*error) *error = lun_strdup("the listening socket cannot be used");
    lun_worker_free(w);
    return NULL;
}

static void *run(void *self)
{
    struct lun_worker *w = self;
    lun_reactor_run(w->reactor);
    if (w->options.ended) w->options.ended(w->options.self);
    return NULL;
}

#define STACK (2 << 20)         /* policies may go 96 KiB deep in C, matchers and JSON a little more */

bool lun_worker_start(struct lun_worker *w)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    w->started = !pthread_create(&w->thread, &attributes, run, w);
    pthread_attr_destroy(&attributes);
    if (w->started) pthread_setname_np(w->thread, "lunette worker");
    return w->started;
}

void lun_worker_join(struct lun_worker *w)
{
    if (w->started) pthread_join(w->thread, NULL);
    w->started = false;
}

const struct lun_server_counts *lun_worker_counts(const struct lun_worker *w) { return lun_server_counts(w->server); }

void lun_worker_free(struct lun_worker *w)
{
    if (!w) return;
    if (w->reactor) {
        lun_reactor_enter(w->reactor);
        if (w->server) lun_server_free(w->server);      /* clients leave, walks end within this turn, but for `finish` hooks that wait */
        lun_reactor_leave(w->reactor);
    }
    bool busy = w->desk && w->desk->station.open;
    for (struct desk *d = w->old; d; d = d->next) busy |= d->station.open > 0;
    if (busy) return;           /* a hook still waits: its memory goes with the process */
    if (w->reactor) lun_reactor_enter(w->reactor);
    for (struct desk *d; (d = w->old); desk_free(d)) w->old = d->next;
    desk_free(w->desk);
    lun_web_free(w->web);
    if (w->upstream) lun_upstream_free(w->upstream);
    if (w->reactor) lun_reactor_leave(w->reactor);
    lun_reactor_free(w->reactor);
    free(w);
}
