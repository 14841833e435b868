#include "gateway/gateway.h"
#include "base/alloc.h"
#include "gateway/admin.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lun_gateway {
    const struct lun_log *log;
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    struct lun_writer *writer;
    struct lun_server_shared shared;
    struct lun_reactor *reactor;        /* of the thread that runs it: admin and signals */
    struct lun_worker **workers; int n;
    struct lun_admin *admin;
    char address[LUN_ADDRESS_TEXT], admin_address[LUN_ADDRESS_TEXT];
    bool stopping;
    atomic_int running; struct lun_post all_ended;
};

static void stop_running(struct lun_post *p)
{
    lun_reactor_stop(((struct lun_gateway *)((char *)p - offsetof(struct lun_gateway, all_ended)))->reactor);
}

static void worker_ended(void *self)
{
    struct lun_gateway *g = self;
    if (atomic_fetch_sub(&g->running, 1) == 1) lun_reactor_post(g->reactor, &g->all_ended);
}

const char *lun_gateway_address(const struct lun_gateway *g)       { return g->address; }
const char *lun_gateway_admin_address(const struct lun_gateway *g) { return g->admin ? g->admin_address : NULL; }
int lun_gateway_workers(const struct lun_gateway *g)               { return g->n; }
struct lun_reactor *lun_gateway_reactor(struct lun_gateway *g)     { return g->reactor; }

static bool open_workers(struct lun_gateway *g, enum lun_policy_limits limits, char **error)
{
    struct lun_worker_options options = { .registry = g->registry, .log = g->log, .writer = g->writer, .shared = &g->shared, .limits = limits,
                                          .ended = worker_ended, .self = g };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int wanted = g->snapshot->workers ? g->snapshot->workers : cores > 0 ? (int)cores : 1;
    int *fds = lun_alloc((size_t)wanted * sizeof *fds);
    char why[256];
    bool good = lun_listen(g->snapshot->listen, wanted, fds, why);
    if (!good) *error = lun_strdup(why);
    else lun_listen_text(fds[0], g->address);
    g->workers = lun_zalloc((size_t)wanted * sizeof *g->workers);
    for (int i = 0; good && i < wanted; i++) {
        options.probes = !i;
        if ((g->workers[i] = lun_worker_new(&options, g->snapshot, fds[i], error))) { g->n++; continue; }
        while (++i < wanted) close(fds[i]);
        good = false;
    }
    free(fds);
    return good;
}

static bool open_admin(struct lun_gateway *g, char **error)
{
    int fd;
    char why[256];
    if (!g->snapshot->admin) return true;
    if (!lun_listen(g->snapshot->admin, 1, &fd, why)) {
        *error = lun_printf("admin: %s", why);
        return false;
    }
    lun_listen_text(fd, g->admin_address);
    lun_reactor_enter(g->reactor);
    g->admin = lun_admin_new(g->reactor, fd, g->snapshot, g->registry, g->workers, g->n, g->writer);
    lun_reactor_leave(g->reactor);
    return g->admin;
}

struct lun_gateway *lun_gateway_new(struct lun_snapshot *snapshot, const struct lun_gateway_options *options, char **error)
{
    struct lun_gateway *g = lun_zalloc(sizeof *g);
    *g = (struct lun_gateway){ .log = options->log, .snapshot = snapshot, .all_ended.run = stop_running };
    *error = NULL;
    g->shared = (struct lun_server_shared){ .buffered_max = snapshot->limits.buffered, .connections_max = snapshot->limits.connections };
    g->registry = lun_registry_new();
    lun_registry_bind(g->registry, snapshot);
    bool good = (g->reactor = lun_reactor_new(NULL))
        && (!snapshot->request_log || (g->writer = lun_writer_new(snapshot->request_log, error)))
        && open_workers(g, options->limits, error) && open_admin(g, error);
    if (good) return g;
    if (!*error) *error = lun_strdup("the system gives no event loop: out of file descriptors?");
    lun_gateway_free(g);
    return NULL;
}

static void join_all(struct lun_gateway *g)
{
    for (int i = 0; i < g->n; i++) lun_worker_join(g->workers[i]);
}

bool lun_gateway_run(struct lun_gateway *g)
{
    atomic_store(&g->running, g->n);
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
    for (int i = 0; i < g->n; i++) lun_worker_drain(g->workers[i], g->stopping ? 0 : grace);
    g->stopping = true;                 /* lun_gateway_run returns when the last worker has ended */
}

void lun_gateway_reopen_log(struct lun_gateway *g)
{
    if (g->writer) lun_writer_reopen(g->writer);
}

void lun_gateway_free(struct lun_gateway *g)
{
    if (!g) return;
    if (g->admin) {
        lun_reactor_enter(g->reactor);
        lun_admin_free(g->admin);
        lun_reactor_leave(g->reactor);
    }
    for (int i = 0; i < g->n; i++) lun_worker_free(g->workers[i]);
    free(g->workers);
    lun_reactor_free(g->reactor);
    lun_writer_free(g->writer);
    lun_snapshot_unref(g->snapshot);
    lun_registry_free(g->registry);
    free(g);
}
