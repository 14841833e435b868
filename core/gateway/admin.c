#include "gateway/admin.h"
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/version.h"
#include "state/health.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>

struct lun_admin {
    struct lun_reactor *reactor;
    struct lun_server *server;
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    struct lun_worker *const *workers; int n_workers;
    struct lun_writer *writer;
};

static void set(struct lun_admin *a, enum lun_metric metric, const char *const *labels, double value)
{
    lun_metrics_set(a->registry->metrics, metric, labels, value);
}

/* What is a state, not an event, is looked up when somebody asks. */
static void set_gauges(struct lun_admin *a)
{
    uint64_t open = 0;
    for (int i = 0; i < a->n_workers; i++) open += lun_worker_counts(a->workers[i])->open;
    set(a, LUN_METRIC_CONNECTIONS, NULL, (double)open);
    if (a->writer) set(a, LUN_METRIC_LOG_DROPPED, NULL, (double)lun_writer_dropped(a->writer));
    set(a, LUN_METRIC_BUILD, (const char *[]){ LUN_VERSION, a->snapshot->version }, 1);
    for (int i = 0; i < a->snapshot->n_targets; i++) {
        struct lun_health_view v;
        lun_health_look(&a->snapshot->targets[i], a->reactor->loop.now, &v);
        set(a, LUN_METRIC_CIRCUIT, (const char *[]){ a->snapshot->targets[i].name }, v.circuit == LUN_CIRCUIT_OPEN ? 1 : v.circuit == LUN_CIRCUIT_HALF_OPEN ? 0.5 : 0);
    }
}

static void reply(struct lun_exchange *x, int status, const char *type, const struct lun_buf *body)
{
    struct lun_pair headers[] = { { "content-type", type } };
    lun_exchange_head(x, status, headers, 1, (int64_t)body->n);
    lun_exchange_bytes(x, body->at, body->n);
    lun_exchange_end(x, true);
}

static void on_request(void *self, struct lun_exchange *x, const struct lun_http_request *head, const char *body, size_t n)
{
    struct lun_admin *a = self;
    struct lun_buf out = {0};
    bool get = lun_slice_is(head->method, "GET") || lun_slice_is(head->method, "HEAD");
    (void)body, (void)n;
    if (get && lun_slice_is(head->path, "/metrics")) {
        set_gauges(a);
        lun_metrics_write(a->registry->metrics, &out);
        reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    } else if (get && lun_slice_is(head->path, "/health")) {
        lun_buf_puts(&out, "{\"status\":\"ok\"}");
        reply(x, 200, "application/json", &out);
    } else {
        lun_buf_puts(&out, "{\"error\":{\"message\":\"There is nothing at this path. There are /metrics and /health.\",\"code\":\"not_found\"}}");
        reply(x, 404, "application/json", &out);
    }
    lun_buf_free(&out);
}

struct lun_admin *lun_admin_new(struct lun_reactor *reactor, int listener, struct lun_snapshot *snapshot, struct lun_registry *registry,
                                struct lun_worker *const *workers, int n_workers, struct lun_writer *writer)
{
    struct lun_admin *a = lun_zalloc(sizeof *a);
    *a = (struct lun_admin){ .reactor = reactor, .snapshot = lun_snapshot_ref(snapshot), .registry = registry, .workers = workers, .n_workers = n_workers, .writer = writer };
    struct lun_server_handler handler = { .self = a, .request = on_request };
    a->server = lun_server_new(reactor, listener, &handler, &(struct lun_server_options){ .body = 1 << 20 });
    if (a->server) return a;
    lun_admin_free(a);
    return NULL;
}

void lun_admin_free(struct lun_admin *a)
{
    if (!a) return;
    if (a->server) lun_server_free(a->server);
    lun_snapshot_unref(a->snapshot);
    free(a);
}
