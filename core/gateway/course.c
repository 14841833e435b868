/* Where a walk may go: which of the plan's steps comes next, with which keys left, and whether the retry budget lets it. */
#include "gateway/dropped.h"
#include "gateway/plan.h"
#include "gateway/walk.h"
#include "state/health.h"

typedef struct lun_request request;
typedef struct lun_attempt attempt;

static bool among(const struct lun_target *t, const struct lun_target *const *list, int n)
{
    while (n--) if (list[n] == t) return true;
    return false;
}

bool lun_course_narrow(struct lun_question *q, const struct lun_answer *answer)
{
    const struct lun_target **left = lun_arena_alloc(q->arena, (size_t)(answer->n_targets + 1) * sizeof *left);
    int n = 0;
    for (int i = 0; i < answer->n_targets; i++)
        if (lun_question_may(q, answer->targets[i]) && !among(answer->targets[i], left, n)) left[n++] = answer->targets[i];
    for (int i = 0; i < q->n_asked; i++)
        if (!among(q->asked[i], left, n)) lun_dropped_note(q, q->asked[i], "the hook `budget` left it out");
    q->targets = q->asked = left;
    q->n_targets = q->n_asked = n;
    q->may = NULL;
    return n;
}

bool lun_course_barred(const request *r, const struct lun_target *t)
{
    for (attempt *a = r->attempts; a; a = a->next)
        if (a->trial.closed && a->trial.target == t && lun_kind_rule(a->trial.kind) == LUN_RULE_OTHER) return true;
    return false;
}

const struct lun_step *lun_course_step(request *r)
{
    while (r->at < r->plan.n && (lun_course_barred(r, r->plan.steps[r->at].target) || lun_plan_passes(r->question, &r->plan, r->at))) r->at++;
    return r->at < r->plan.n ? &r->plan.steps[r->at] : NULL;
}

bool lun_course_allowed(request *r)
{
    struct lun_registry *g = r->question->registry;
    if (!r->allowed) r->allowed = lun_quota_take(g->retries, r->limits->retries, r->loop->now);
    if (r->allowed) return true;
    lun_metrics_add(g->metrics, LUN_METRIC_RETRIES_DENIED, NULL, 1);
    r->question->retry_denied = true;
    lun_question_note(r->question, "retry_denied", "true");
    return false;
}

const struct lun_step *lun_course_company(request *r)
{
    const struct lun_step *s = lun_course_step(r);
    if (!s || lun_health_rests(s->target, r->loop->now)) return NULL;
    return lun_quota_take(r->question->registry->hedges, r->limits->hedges, r->loop->now) ? s : NULL;
}

static bool spent(const request *r, const struct lun_provider *p, int key)
{
    for (attempt *a = r->attempts; a; a = a->next)
        if (a->trial.target->provider == p && a->trial.key == key && lun_kind_rule(a->trial.kind) == LUN_RULE_NEXT && a->trial.status) return true;
    return false;
}

bool lun_course_other_key(const request *r, const attempt *a)
{
    const struct lun_provider *p = a->trial.target->provider;
    enum lun_kind k = a->trial.kind;
    if (k != LUN_KIND_AUTH && k != LUN_KIND_QUOTA) return false;
    for (int key = 0; key < p->n_keys; key++)
        if (key != a->trial.key && lun_health_key_usable(a->trial.target, key, r->loop->now) && !spent(r, p, key)) return true;
    return false;
}
