#include "gateway/plan.h"
#include "base/loop.h"
#include "gateway/dropped.h"
#include "state/health.h"
#include "state/order.h"
#include <string.h>

static bool has(const struct lun_target *const *list, int n, const struct lun_target *t)
{
    for (int i = 0; i < n; i++) if (list[i] == t) return true;
    return false;
}

static bool may_use(const struct lun_question *q, const struct lun_target *t)
{
    if (!t || !lun_question_may(q, t)) return false;
    if (q->client && !q->client->substitute && q->asked != q->targets) return has(q->asked, q->n_asked, t);
    return true;
}

static lun_us either(lun_us said, lun_us otherwise) { return said == LUN_UNSET ? otherwise : said; }

static void fill(struct lun_step *s, bool last)
{
    const struct lun_timeouts *t = &s->target->provider->timeouts;
    s->connect = either(s->connect, t->connect);
    s->first_byte = either(s->first_byte, t->first_byte);
    s->idle = either(s->idle, t->idle);
    s->total = either(s->total, t->total);
    s->wait = either(s->wait, last ? LUN_NEVER : 0);    /* nowhere else to go: waits for its turn up to the deadline */
}

bool lun_plan_step(struct lun_question *q, struct lun_step *s)
{
    if (!may_use(q, s->target)) return false;
    fill(s, true);
    return true;
}

void lun_plan_default(struct lun_question *q, struct lun_plan *plan)
{
    *plan = (struct lun_plan){ .n = q->n_asked < LUN_STEPS ? q->n_asked : LUN_STEPS };
    if (!plan->n) return;
    const struct lun_target **order = lun_arena_alloc(q->arena, (size_t)q->n_asked * sizeof *order);
    memcpy(order, q->asked, (size_t)q->n_asked * sizeof *order);
    if (q->pinned) plan->n = 1;             /* what it refers to lies with the one that made it */
    else lun_order_balanced(q, order, q->n_asked);
    plan->steps = lun_arena_zalloc(q->arena, (size_t)plan->n * sizeof *plan->steps);
    for (int i = 0; i < plan->n; i++) {
        plan->steps[i] = (struct lun_step){ .target = order[i], .connect = LUN_UNSET, .first_byte = LUN_UNSET, .idle = LUN_UNSET,
                                            .total = LUN_UNSET, .wait = LUN_UNSET };
        fill(&plan->steps[i], i == plan->n - 1);
    }
}

void lun_plan_check(struct lun_question *q, struct lun_plan *plan)
{
    int n = 0;
    for (int i = 0; i < plan->n && n < LUN_STEPS; i++) {
        const struct lun_target *t = plan->steps[i].target;
        if (may_use(q, t)) plan->steps[n++] = plan->steps[i];
        else if (t) lun_dropped_note(q, t, lun_question_may(q, t) ? "the key takes no other model than the one asked for"
                                                               : "it is none of the targets that this request may use");
    }
    plan->n = n;
    for (int i = 0; i < n; i++) fill(&plan->steps[i], i == n - 1);
    if (n) return;
    lun_metrics_add(q->registry->metrics, LUN_METRIC_PLAN_EMPTY, NULL, 1);
    lun_question_note(q, "plan_empty", "true");
    lun_plan_default(q, plan);
}

bool lun_plan_passes(const struct lun_question *q, const struct lun_plan *plan, int at)
{
    lun_us now = q->loop->now;
    if (!lun_health_rests(plan->steps[at].target, now)) return false;
    for (int i = at + 1; i < plan->n; i++)
        if (!lun_health_rests(plan->steps[i].target, now)) return true;
    return false;
}
