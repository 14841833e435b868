#include "gateway/probe.h"
#include "base/alloc.h"
#include "state/health.h"
#include <stdlib.h>

#define LIMIT (10 * LUN_SECOND)

struct call {                           /* one probe on its way */
    struct lun_task task;               /* what came is dealt with outside of the carrier's callbacks */
    struct lun_timer timer;             /* its limit */
    struct lun_probe *of;
    struct call *next, **at;
    const struct lun_provider *provider; int key;
    const struct lun_carrier *carrier; void *carried;
    struct lun_pair headers[1];
    int status;
};
struct lun_probe {
    struct lun_timer timer;
    struct lun_loop *loop;
    const struct lun_snapshot *snapshot;
    const struct lun_carrier *network, *script;
    const struct lun_log *log;
    struct call *calls;
};

static void drop(struct call *c)
{
    c->carrier->close(c->carried);
    lun_timer_set(c->of->loop, &c->timer, LUN_NEVER);
    lun_loop_forget(c->of->loop, &c->task);
    if ((*c->at = c->next)) c->next->at = c->at;
    free(c);
}

static void conclude(struct lun_task *task)
{
    struct call *c = (struct call *)(void *)task;
    if (c->status >= 200 && c->status < 300) {
        lun_health_key_back(c->provider, c->key);
        lun_log(c->of->log, LUN_LOG_INFO, "provider %s takes the key %s again", c->provider->name, c->provider->keys[c->key].name);
    }
    drop(c);
}

static void on_head(void *self, const struct lun_answer_head *head)   { ((struct call *)self)->status = head->status; }
static void on_bytes(void *self, const char *bytes, size_t n)         { (void)self, (void)bytes, (void)n; }
static void on_end(void *self, enum lun_kind kind, const char *detail)
{
    struct call *c = self;
    (void)detail;
    if (kind != LUN_KIND_OK) c->status = 0;
    lun_loop_wake(c->of->loop, &c->task);
}
static const struct lun_ear ear = { on_head, on_bytes, on_end };

static void too_late(struct lun_timer *t)
{
    struct call *c = (struct call *)(void *)((char *)t - offsetof(struct call, timer));
    c->status = 0;
    lun_loop_wake(c->of->loop, &c->task);
}

static bool under_way(const struct lun_probe *p, const struct lun_provider *provider, int key)
{
    for (struct call *c = p->calls; c; c = c->next) if (c->provider == provider && c->key == key) return true;
    return false;
}

static void begin(struct lun_probe *p, const struct lun_provider *provider, int key)
{
    const struct lun_carrier *carrier = provider->script ? p->script : p->network;
    if (!carrier || under_way(p, provider, key)) return;
    struct call *c = lun_zalloc(sizeof *c);
    *c = (struct call){ .task.run = conclude, .timer.fire = too_late, .of = p, .next = p->calls, .at = &p->calls, .provider = provider, .key = key,
                        .carrier = carrier, .headers = { { "accept", "application/json" } } };
    if (c->next) c->next->at = &c->next;
    p->calls = c;
    lun_timer_set(p->loop, &c->timer, p->loop->now + LIMIT);
    struct lun_letter letter = { .method = "GET", .path = "/models", .headers = c->headers, .n_headers = 1, .key_header = "authorization", .key_prefix = "Bearer " };
    c->carried = carrier->send(carrier->self, provider, key, provider->timeouts.connect, &letter, &ear, c);
}

static void turn(struct lun_timer *t)
{
    struct lun_probe *p = (struct lun_probe *)(void *)t;
    for (int i = 0; i < p->snapshot->n_providers; i++) {
        const struct lun_provider *provider = &p->snapshot->providers[i];
        for (int key = 0; key < provider->n_keys; key++)
            if (lun_health_key_is_out(provider, key)) begin(p, provider, key);
    }
    lun_timer_set(p->loop, &p->timer, p->loop->now + LUN_PROBE_EVERY);
}

struct lun_probe *lun_probe_new(struct lun_loop *loop, const struct lun_snapshot *snapshot, const struct lun_carrier *network, const struct lun_carrier *script,
                                const struct lun_log *log)
{
    struct lun_probe *p = lun_zalloc(sizeof *p);
    *p = (struct lun_probe){ .timer.fire = turn, .loop = loop, .snapshot = snapshot, .network = network, .script = script, .log = log };
    lun_timer_set(loop, &p->timer, loop->now + LUN_PROBE_EVERY);
    return p;
}

void lun_probe_free(struct lun_probe *p)
{
    if (!p) return;
    while (p->calls) drop(p->calls);
    lun_timer_set(p->loop, &p->timer, LUN_NEVER);
    free(p);
}
