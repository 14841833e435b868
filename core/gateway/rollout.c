#include "gateway/rollout.h"
#include "base/alloc.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>

#define LIMIT (10 * LUN_SECOND)         /* of a probe */

struct out {                            /* a probe on its way */
    struct lun_rollout *of;
    struct out *next, **at;
    const struct lun_canary_rule *canary;
    struct lun_probe_call *call;
};
struct lun_rollout {
    struct lun_timer timer;
    struct lun_probe_ways ways;
    void (*moved)(void *self); void *self;
    struct out *out;
};

static lun_us now(const struct lun_rollout *r) { return r->ways.loop->now; }
static void tell(struct lun_rollout *r) { if (r->moved) r->moved(r->self); }

static void drop(struct out *o)
{
    lun_probe_call_free(o->call);
    if ((*o->at = o->next)) o->next->at = o->at;
    free(o);
}

static void answered(void *self, struct lun_probe_call *call, const struct lun_probe_answer *a)
{
    struct out *o = self;
    struct lun_rollout *r = o->of;
    (void)call;
    bool back = lun_canary_probed(o->canary->state, o->canary->probe->name, a->kind == LUN_KIND_OK ? a->status : 0);
    drop(o);
    if (back) tell(r);
}

static void probe(struct lun_rollout *r, const struct lun_canary_rule *canary)
{
    const struct lun_provider *p = canary->probe;
    if (!lun_probe_reaches(&r->ways, p) || !lun_canary_wants_probe(canary->state, now(r))) return;
    int key = lun_probe_key(p);
    struct out *o = lun_zalloc(sizeof *o);
    *o = (struct out){ .of = r, .next = r->out, .at = &r->out, .canary = canary };
    if (o->next) o->next->at = &o->next;
    r->out = o;
    struct lun_probe_ask ask = { .provider = p, .key = key == LUN_PROBE_ALL_OUT ? 0 : key, .path = p->probe.path ? p->probe.path : "/models", .timeout = LIMIT };
    o->call = lun_probe_call_new(&r->ways, &ask, answered, o);
}

static void look(struct lun_rollout *r)
{
    bool moved = false;
    for (int i = 0; i < r->ways.snapshot->n_canaries; i++) moved |= lun_canary_look(r->ways.snapshot->canaries[i].state, now(r));
    if (moved) tell(r);
}

static void turn(struct lun_timer *t)
{
    struct lun_rollout *r = (struct lun_rollout *)(void *)t;
    lun_us pace = LUN_SECOND;
    look(r);
    for (int i = 0; i < r->ways.snapshot->n_canaries; i++) {
        const struct lun_canary_rule *c = &r->ways.snapshot->canaries[i];
        if (c->probe) probe(r, c);
        if (lun_canary_pace(c) < pace) pace = lun_canary_pace(c);
    }
    lun_timer_set(r->ways.loop, &r->timer, now(r) + pace);
}

struct lun_rollout *lun_rollout_new(const struct lun_probe_ways *ways, void (*moved)(void *self), void *self)
{
    if (!ways->snapshot->n_canaries) return NULL;
    struct lun_rollout *r = lun_zalloc(sizeof *r);
    *r = (struct lun_rollout){ .timer.fire = turn, .ways = *ways, .moved = moved, .self = self };
    look(r);                            /* those that start by themselves have, before the first request */
    lun_timer_set(r->ways.loop, &r->timer, now(r));
    return r;
}

bool lun_rollout_asks(const struct lun_rollout *r) { return r && r->out; }

void lun_rollout_free(struct lun_rollout *r)
{
    if (!r) return;
    while (r->out) {
        lun_canary_unprobed(r->out->canary->state);
        drop(r->out);
    }
    lun_timer_set(r->ways.loop, &r->timer, LUN_NEVER);
    free(r);
}

void lun_rollout_tell(const struct lun_log *log, struct lun_registry *registry, const char *name, const struct lun_canary_event *e)
{
    bool back = e->to == LUN_CANARY_ROLLED_BACK && !strcmp(e->by, "lunette");
    if (e->to == LUN_CANARY_ROLLED_BACK) lun_registry_empty_cache(registry);       /* what the new side has answered is not to be given on */
    if (back) lun_metrics_add(registry->metrics, LUN_METRIC_CANARY_ROLLBACKS, (const char *[]){ name }, 1);
    lun_log(log, back ? LUN_LOG_WARN : LUN_LOG_INFO, "canary %s: %s at %.10g %% -> %s at %.10g %% (%s): %s", name, lun_canary_state_name(e->from), e->share_before,
            lun_canary_state_name(e->to), e->share, e->by, e->why);
}
