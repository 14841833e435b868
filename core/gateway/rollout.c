#include "gateway/rollout.h"
#include "base/alloc.h"
#include "base/loop.h"
#include <stdlib.h>
#include <string.h>

#define LIMIT (10 * LUN_SECOND)         /* of a probe */

struct call {                           /* a probe on its way */
    struct lun_task task;               /* what came is dealt with outside of the carrier's callbacks */
    struct lun_timer timer;             /* its limit */
    struct lun_rollout *of;
    struct call *next, **at;
    const struct lun_canary_rule *canary;
    const struct lun_carrier *carrier; void *carried;
    struct lun_pair headers[1];
    int status;
};
struct lun_rollout {
    struct lun_timer timer;
    struct lun_loop *loop;
    const struct lun_snapshot *snapshot;
    const struct lun_carrier *network, *script;
    void (*moved)(void *self); void *self;
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

static void tell(struct lun_rollout *r) { if (r->moved) r->moved(r->self); }

static void conclude(struct lun_task *task)
{
    struct call *c = (struct call *)(void *)task;
    struct lun_rollout *r = c->of;
    bool back = lun_canary_probed(c->canary->state, c->canary->probe->name, c->status);
    drop(c);
    if (back) tell(r);
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

static void probe(struct lun_rollout *r, const struct lun_canary_rule *canary)
{
    const struct lun_provider *p = canary->probe;
    const struct lun_carrier *carrier = p->script ? r->script : r->network;
    if (!carrier || !lun_canary_wants_probe(canary->state, r->loop->now)) return;
    struct call *c = lun_zalloc(sizeof *c);
    *c = (struct call){ .task.run = conclude, .timer.fire = too_late, .of = r, .next = r->calls, .at = &r->calls, .canary = canary, .carrier = carrier,
                        .headers = { { "accept", "application/json" } } };
    if (c->next) c->next->at = &c->next;
    r->calls = c;
    lun_timer_set(r->loop, &c->timer, r->loop->now + LIMIT);
    struct lun_letter letter = { .method = "GET", .path = "/models", .headers = c->headers, .n_headers = 1, .key_header = "authorization", .key_prefix = "Bearer " };
    c->carried = carrier->send(carrier->self, p, p->n_keys ? 0 : -1, p->timeouts.connect, &letter, &ear, c);
}

static void look(struct lun_rollout *r)
{
    bool moved = false;
    for (int i = 0; i < r->snapshot->n_canaries; i++) moved |= lun_canary_look(r->snapshot->canaries[i].state, r->loop->now);
    if (moved) tell(r);
}

static void turn(struct lun_timer *t)
{
    struct lun_rollout *r = (struct lun_rollout *)(void *)t;
    lun_us pace = LUN_SECOND;
    look(r);
    for (int i = 0; i < r->snapshot->n_canaries; i++) {
        const struct lun_canary_rule *c = &r->snapshot->canaries[i];
        if (c->probe) probe(r, c);
        if (lun_canary_pace(c) < pace) pace = lun_canary_pace(c);
    }
    lun_timer_set(r->loop, &r->timer, r->loop->now + pace);
}

struct lun_rollout *lun_rollout_new(struct lun_loop *loop, const struct lun_snapshot *snapshot, const struct lun_carrier *network, const struct lun_carrier *script,
                                    void (*moved)(void *self), void *self)
{
    if (!snapshot->n_canaries) return NULL;
    struct lun_rollout *r = lun_zalloc(sizeof *r);
    *r = (struct lun_rollout){ .timer.fire = turn, .loop = loop, .snapshot = snapshot, .network = network, .script = script, .moved = moved, .self = self };
    look(r);                            /* those that start by themselves have, before the first request */
    lun_timer_set(loop, &r->timer, loop->now);
    return r;
}

void lun_rollout_free(struct lun_rollout *r)
{
    if (!r) return;
    while (r->calls) {
        lun_canary_unprobed(r->calls->canary->state);
        drop(r->calls);
    }
    lun_timer_set(r->loop, &r->timer, LUN_NEVER);
    free(r);
}

void lun_rollout_tell(const struct lun_log *log, struct lun_metrics *metrics, const char *name, const struct lun_canary_event *e)
{
    bool back = e->to == LUN_CANARY_ROLLED_BACK && !strcmp(e->by, "lunette");
    if (back) lun_metrics_add(metrics, LUN_METRIC_CANARY_ROLLBACKS, (const char *[]){ name }, 1);
    lun_log(log, back ? LUN_LOG_WARN : LUN_LOG_INFO, "canary %s: %s at %.10g %% -> %s at %.10g %% (%s): %s", name, lun_canary_state_name(e->from), e->share_before,
            lun_canary_state_name(e->to), e->share, e->by, e->why);
}
