#include "gateway/gateway.h"
#include "base/alloc.h"
#include "gateway/admin.h"
#include "gateway/alarm.h"
#include "gateway/admission.h"
#include "gateway/books.h"
#include "gateway/cooling.h"
#include "gateway/fleet.h"
#include "gateway/keys.h"
#include "gateway/listeners.h"
#include "gateway/news.h"
#include "gateway/shelf.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETIRE_GRACE  (5 * LUN_SECOND)      /* behind the deadline of the last request */
#define WEBHOOK_GRACE (2 * LUN_SECOND)      /* at the end, for events that wait */

struct lun_gateway {
    struct lun_gateway_options options;
    struct lun_registry *registry;
    struct lun_changes *changes;
    struct lun_books *books;            /* NULL: money is in memory alone */
    struct lun_fleet *fleet;            /* NULL: it is alone */
    struct lun_shelf *shelf;            /* NULL: it keeps its answers for itself */
    struct lun_news *news;
    struct lun_writer *writer;
    struct lun_ring *recent; struct lun_captured *captured;     /* NULL: there is no admin listener that would tell of them */
    struct lun_server_shared shared;
    struct lun_reactor *reactor;        /* of the thread that runs it: changes, admin and signals */
    struct lun_worker **workers; int n;
    struct lun_admin *admin;
    struct lun_listeners listeners;
    struct lun_webhook *webhook;
    struct lun_alarm *alarm;
    char address[LUN_ADDRESS_TEXT], admin_address[LUN_ADDRESS_TEXT];
    bool stopping;
    atomic_int running; struct lun_post all_ended;
};

static void close_workers(struct lun_gateway *g)
{
    lun_admin_free(g->admin);
    g->admin = NULL;
    while (g->n) lun_worker_free(g->workers[--g->n]);
}

/* Takes all events off a host's base, so that a dispatch without others returns. */
static void leave_base(struct lun_gateway *g)
{
    if (g->options.ended) g->options.ended(g->options.self);
    close_workers(g);
    lun_reactor_detach(g->reactor);
}

static void all_ended(struct lun_post *p)
{
    struct lun_gateway *g = (struct lun_gateway *)((char *)p - offsetof(struct lun_gateway, all_ended));
    if (!g->options.base) lun_reactor_stop(g->reactor);
    else leave_base(g);
}

static void worker_ended(void *self)
{
    struct lun_gateway *g = self;
    if (atomic_fetch_sub(&g->running, 1) == 1) lun_reactor_post(g->reactor, &g->all_ended);
}

/* A worker calls with the gateway; changes are what it means. */
static struct lun_renewal *renew(void *self, struct lun_snapshot *s)    { return lun_changes_renew(((struct lun_gateway *)self)->changes, s); }
static void retire(void *self, struct lun_kit *kit)                     { lun_changes_retire(((struct lun_gateway *)self)->changes, kit); }
static void released(void *self)                                        { lun_changes_released(((struct lun_gateway *)self)->changes); }
static void canary(void *self)                                          { lun_changes_canary_moved(((struct lun_gateway *)self)->changes); }
static void key_changed(void *self, const struct lun_key *k)            { lun_news_key(((struct lun_gateway *)self)->news, k); }
static void taken_back(void *self, const struct lun_taken_back *b)      { lun_news_back(((struct lun_gateway *)self)->news, b); }
static void trouble(void *self, const struct lun_trouble *t)            { lun_changes_trouble(((struct lun_gateway *)self)->changes, t); }

static void adopted(void *self, struct lun_snapshot *s)
{
    struct lun_gateway *g = self;
    lun_alarm_adopt(g->alarm, s);
    if (g->admin) lun_admin_adopt(g->admin, s);
}

const char *lun_gateway_address(const struct lun_gateway *g)            { return g->address; }
const char *lun_gateway_admin_address(const struct lun_gateway *g)      { return g->admin ? g->admin_address : NULL; }
int lun_gateway_workers(const struct lun_gateway *g)                    { return g->n; }
struct lun_worker *lun_gateway_worker(const struct lun_gateway *g, int i)   { return g->workers[i]; }
struct lun_reactor *lun_gateway_reactor(struct lun_gateway *g)          { return g->reactor; }
bool lun_gateway_is_open(const struct lun_gateway *g)                   { return lun_admission_is_open(lun_changes_current(g->changes), lun_changes_keyring(g->changes)); }
struct lun_changes *lun_gateway_changes(struct lun_gateway *g)          { return g->changes; }
const struct lun_snapshot *lun_gateway_snapshot(const struct lun_gateway *g) { return lun_changes_current(g->changes); }

static int workers_wanted(const struct lun_gateway *g, const struct lun_snapshot *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (g->options.base) return 1;
    return g->options.workers ? g->options.workers : s->workers ? s->workers : cores > 0 ? (int)cores : 1;
}

static struct lun_worker *open_worker(struct lun_gateway *g, const struct lun_worker_options *options, int fd, char **error)
{
    struct lun_kit *kit = lun_kit_new(lun_changes_first(g->changes), g->registry, g->options.limits, g->options.log, error);
    if (kit) return lun_worker_new(options, kit, lun_changes_tuning(g->changes), fd, error);
    if (fd >= 0) close(fd);
    return NULL;
}

/* The sockets that are left when each worker has one go round. */
static void give_listeners(struct lun_gateway *g, int from)
{
    for (int i = from; i < g->listeners.n; i++) lun_worker_listen(g->workers[i % from], g->listeners.fds[i]);
}

static void tell_reach(struct lun_gateway *g)
{
    char clients[LUN_ADDRESS_TEXT], admin[LUN_ADDRESS_TEXT];
    bool reached = lun_listeners_reached(&g->listeners, clients), admin_reached = lun_listeners_admin_reached(&g->listeners, admin);
    lun_changes_reached(g->changes, reached ? clients : "", admin_reached ? admin : "");
}

static bool open_workers(struct lun_gateway *g, const struct lun_snapshot *s, char **error)
{
    struct lun_worker_options options = { .registry = g->registry, .log = g->options.log, .writer = g->writer, .shelf = g->shelf, .shared = &g->shared, .limits = g->options.limits,
        .keyring = lun_changes_keyring(g->changes), .base = g->options.base, .self = g, .ended = worker_ended, .renew = renew, .retire = retire, .released = released, .canary = canary, .trouble = trouble };
    int wanted = workers_wanted(g, s);
    if (g->options.listen && !lun_listeners_open(&g->listeners, s, wanted, g->options.handed, error)) return false;
    if (g->options.listen) lun_listen_text(g->listeners.fds[0], g->address), tell_reach(g);
    if (g->listeners.admin >= 0) {
        options.recent = g->recent = lun_ring_new(LUN_RECENT_ROOM, LUN_RECENT_MOST);
        options.captured = g->captured = lun_captured_new();
    }
    g->workers = lun_zalloc((size_t)wanted * sizeof *g->workers);
    for (int i = 0; i < wanted; i++) {
        options.probes = !i;
        if ((g->workers[i] = open_worker(g, &options, g->options.listen ? g->listeners.fds[i] : -1, error))) { g->n++; continue; }
        while (++i < g->listeners.n) close(g->listeners.fds[i]);
        if (g->listeners.admin >= 0) close(g->listeners.admin);
        return false;
    }
    give_listeners(g, wanted);
    return true;
}

static bool open_admin(struct lun_gateway *g)
{
    if (g->listeners.admin < 0) return true;
    lun_listen_text(g->listeners.admin, g->admin_address);
    for (int i = 0; i < g->n; i++) lun_worker_bar(g->workers[i], g->listeners.admin);
    lun_reactor_enter(g->reactor);
    g->admin = lun_admin_new(&(struct lun_admin_options){ .reactor = g->reactor, .registry = g->registry, .changes = g->changes, .workers = g->workers, .n_workers = g->n, .books = g->books, .fleet = g->fleet, .shelf = g->shelf,
                                                          .writer = g->writer, .recent = g->recent, .captured = g->captured, .log = g->options.log }, g->listeners.admin);
    lun_reactor_leave(g->reactor);
    return g->admin;
}

static bool open_changes(struct lun_gateway *g, struct lun_mistakes *mistakes, char **error)
{
    g->changes = lun_changes_new(&(struct lun_changes_options){ .reactor = g->reactor, .registry = g->registry, .shared = &g->shared, .log = g->options.log,
        .source = g->options.source, .limits = g->options.limits, .watch = g->options.watch, .aside = !g->options.base, .self = g, .adopted = adopted,
        .state_lock = g->options.handed ? &g->options.handed->state : NULL, .key_changed = key_changed, .taken_back = taken_back }, mistakes, error);
    return g->changes;
}

/* Without the state folder (said by name it must be there) there is no ledger in it either. */
static bool open_books(struct lun_gateway *g, const struct lun_snapshot *s, char **error)
{
    if (!s->ledger || (!s->ledger_said && !lun_changes_state(g->changes))) return true;
    g->books = lun_books_new(&(struct lun_books_options){ .money = g->registry->money, .metrics = g->registry->metrics, .log = g->options.log, .path = s->ledger,
                                                          .attempts = (uint32_t)s->limits.connections,
                                                          .redis = s->redis, .redis_ca = s->redis_ca, .redis_prefix = s->redis_prefix }, error);
    return g->books;
}

static bool open_fleet(struct lun_gateway *g, const struct lun_snapshot *s, char **error)
{
    if (!s->redis) return true;
    g->fleet = lun_fleet_new(&(struct lun_fleet_options){ .home = g->reactor, .shares = g->registry->shares, .log = g->options.log, .url = s->redis, .ca = s->redis_ca,
                                                          .prefix = s->redis_prefix, .self = g->news, .heard = lun_news_heard, .caught_up = lun_news_caught_up }, error);
    lun_news_tie(g->news, g->changes, g->fleet);
    if (g->fleet) g->registry->rests = (struct lun_told_rests){ lun_cooling_tell, g->fleet };
    return g->fleet;
}

static bool open_shelf(struct lun_gateway *g, const struct lun_snapshot *s, char **error)
{
    if (!g->fleet || !s->cache.redis) return true;
    g->shelf = lun_shelf_new(&(struct lun_shelf_options){ .cache = g->registry->cache, .fleet = g->fleet, .metrics = g->registry->metrics, .log = g->options.log, .url = s->redis, .ca = s->redis_ca,
                                                          .prefix = s->redis_prefix, .wait = s->cache.redis_wait, .answer = (size_t)s->cache.answer }, error);
    if (!g->shelf) return false;
    g->registry->emptied = (struct lun_told_emptied){ lun_shelf_empty, g->shelf };
    lun_news_shelf(g->news, g->shelf);
    return true;
}

static bool open_all(struct lun_gateway *g, struct lun_mistakes *mistakes, char **error)
{
    if (!(g->reactor = lun_reactor_new(g->options.base))) {
        *error = lun_strdup("the system gives no event loop: out of file descriptors?");
        return false;
    }
    g->webhook = lun_webhook_new(g->options.log, g->registry->metrics);
    g->news = lun_news_new(g->options.log);
    g->alarm = lun_alarm_new(g->reactor, g->registry, g->webhook, g->options.log);
    if (!open_changes(g, mistakes, error)) return false;
    const struct lun_snapshot *s = lun_changes_first(g->changes);
    g->shared.buffered_max = s->limits.buffered;
    g->shared.connections_max = s->limits.connections;
    if (!g->options.base) lun_keys_check_first(lun_changes_first(g->changes), g->registry, g->options.log);
    if (s->request_log && !(g->writer = lun_writer_new(s->request_log, error))) return false;
    return open_books(g, s, error) && open_fleet(g, s, error) && open_shelf(g, s, error) && open_workers(g, s, error) && open_admin(g);
}

struct lun_gateway *lun_gateway_new(const struct lun_gateway_options *options, struct lun_mistakes *mistakes, char **error)
{
    struct lun_gateway *g = lun_zalloc(sizeof *g);
    *g = (struct lun_gateway){ .options = *options, .all_ended.run = all_ended, .registry = lun_registry_new(), .listeners.admin = -1 };
    *error = NULL;
    if (open_all(g, mistakes, error)) {
        atomic_store(&g->running, g->n);
        lun_reactor_enter(g->reactor);
        lun_alarm_adopt(g->alarm, lun_changes_first(g->changes));
        lun_changes_begin(g->changes, g->workers, g->n);
        lun_reactor_leave(g->reactor);
        return g;
    }
    lun_gateway_free(g);
    return NULL;
}

static void join_all(struct lun_gateway *g)
{
    for (int i = 0; i < g->n; i++) lun_worker_join(g->workers[i]);
}

bool lun_gateway_run(struct lun_gateway *g)
{
    for (int i = 0; i < g->n; i++) {
        if (lun_worker_start(g->workers[i])) continue;
        while (i--) lun_worker_drain(g->workers[i], 0);
        join_all(g);
        return false;
    }
    for (int i = 0; i < g->n; i++) lun_worker_ready(g->workers[i]);
    lun_reactor_run(g->reactor);
    join_all(g);
    return true;
}

void lun_gateway_stop(struct lun_gateway *g, lun_us grace)
{
    for (int i = 0; i < g->n; i++) lun_worker_drain(g->workers[i], grace);
    if (!g->stopping) lun_changes_stop(g->changes);
    g->stopping = true;                 /* lun_gateway_run returns when the last worker has ended */
}

pid_t lun_gateway_hand_over(struct lun_gateway *g, char *const *argv, int ready)
{
    return lun_handed_start(argv, &(struct lun_handed){ g->listeners.fds, g->listeners.n, .admin = g->admin ? g->listeners.admin : -1, .ready = ready,
                                                        .state = lun_changes_state_lock(g->changes) });
}

void lun_gateway_retire(struct lun_gateway *g)
{
    if (g->admin) lun_admin_retire(g->admin);
    lun_gateway_stop(g, (lun_us)lun_changes_current(g->changes)->limits.deadline + RETIRE_GRACE);
}

void lun_gateway_reopen_log(struct lun_gateway *g)
{
    if (g->writer) lun_writer_reopen(g->writer);
    lun_changes_reopen_log(g->changes);
}

void lun_gateway_free(struct lun_gateway *g)
{
    if (!g) return;
    if (g->reactor) lun_reactor_enter(g->reactor);
    close_workers(g);
    lun_alarm_stop(g->alarm);
    if (g->reactor) lun_reactor_leave(g->reactor);
    free(g->workers);
    free(g->listeners.fds);
    if (g->news) lun_news_tie(g->news, NULL, NULL), lun_news_shelf(g->news, NULL);
    lun_shelf_stop(g->shelf);
    lun_fleet_stop(g->fleet);           /* before what lies in the reactor's list is freed: who posts goes through the list */
    lun_books_free(g->books);
    lun_webhook_stop(g->webhook, WEBHOOK_GRACE);
    lun_changes_free(g->changes);
    lun_shelf_free(g->shelf);
    lun_fleet_free(g->fleet);           /* behind the last who posts to the reactor: its own post may lie there still */
    lun_reactor_free(g->reactor);
    lun_news_free(g->news);
    lun_alarm_free(g->alarm);
    lun_webhook_free(g->webhook);
    lun_writer_free(g->writer);
    lun_ring_free(g->recent);
    lun_captured_free(g->captured);
    lun_registry_free(g->registry);
    free(g);
}
