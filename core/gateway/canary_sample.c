#include "gateway/canary_sample.h"
#include <string.h>
#include "gateway/reply.h"

const char *lun_canary_group(const struct lun_grouped *g) { return g->is_new ? "new" : "old"; }

static bool is_new(const struct lun_canary_rule *r, const struct lun_target *t)
{
    return (!r->provider || !strcmp(t->provider->name, r->provider->name)) && (!r->model || !strcmp(t->model, r->model));
}

/* The target's own failing. A turn or a connection that was not free in time is our own doing. */
static bool is_fault(enum lun_kind kind)
{
    enum lun_rule rule = lun_kind_rule(kind);
    return kind == LUN_KIND_NOT_FOUND || (rule == LUN_RULE_NEXT && kind != LUN_KIND_POOL_FULL);
}

/* It ended so that nobody can be blamed but those who were asked. */
static bool nobody_answered(const struct lun_done *done)
{
    return done->code && (!strcmp(done->code, lun_code_name(LUN_CODE_UPSTREAM_FAILED)) || !strcmp(done->code, lun_code_name(LUN_CODE_DEADLINE_EXCEEDED)));
}

static bool answered(const struct lun_done *done) { return done->trial && done->trial->kind == LUN_KIND_OK && !done->stream_torn && done->status < 300; }

static enum lun_canary_result of_policy(const struct lun_question *q, const struct lun_done *done)
{
    bool torn = done->stream_torn && done->trial && is_fault(done->trial->kind);
    if (q->policy_failed || nobody_answered(done) || torn) return LUN_CANARY_ERROR;
    return answered(done) ? LUN_CANARY_OK : LUN_CANARY_NONE;
}

/* A step for a new target stood in the plan before the one that answered. */
static bool was_to_be_asked(const struct lun_question *q, const struct lun_done *done, const struct lun_canary_rule *r)
{
    for (int i = 0; q->plan && i < q->plan->n; i++) {
        if (is_new(r, q->plan->steps[i].target)) return true;
        if (done->trial && q->plan->steps[i].target == done->trial->target) return false;
    }
    return false;
}

static enum lun_canary_result of_targets(const struct lun_question *q, const struct lun_done *done, const struct lun_canary_rule *r)
{
    bool tried = false, wanting = false, beaten = false;     /* beaten: cut off, because one that was started beside it had answered */
    for (const struct lun_trial *t = q->trials; t; t = t->next) {
        if (!is_new(r, t->target) || t->kind == LUN_KIND_SKIPPED) continue;
        if (is_fault(t->kind)) return LUN_CANARY_ERROR;
        tried = true;
        wanting |= t->kind == LUN_KIND_OK && t != done->trial;
        beaten |= t->kind == LUN_KIND_CANCELLED && answered(done);
    }
    if (answered(done) && is_new(r, done->trial->target)) return LUN_CANARY_OK;
    if ((wanting || beaten) && done->status != 499) return LUN_CANARY_ERROR;
    if (tried) return nobody_answered(done) ? LUN_CANARY_ERROR : LUN_CANARY_NONE;
    bool passed_over = answered(done) || nobody_answered(done) || done->status == 429;
    return passed_over && was_to_be_asked(q, done, r) ? LUN_CANARY_ERROR : LUN_CANARY_NONE;
}

enum lun_canary_result lun_canary_result(const struct lun_question *q, const struct lun_done *done, const struct lun_canary_rule *r)
{
    return r->provider || r->model ? of_targets(q, done, r) : of_policy(q, done);
}

/* An answer that was given before says how its maker did then, and was counted then. What a hook did is of now. */
static bool is_repeated(const struct lun_question *q, const struct lun_done *done)
{
    return !q->policy_failed && lun_cache_answers(done->cache);
}

static void add(const struct lun_question *q, const struct lun_grouped *g, enum lun_canary_result result)
{
    static const char *const names[] = { "ok", "error", "none" };
    lun_metrics_add(q->registry->metrics, LUN_METRIC_CANARY_REQUESTS, (const char *[]){ g->canary->name, lun_canary_group(g), names[result] }, 1);
}

bool lun_canary_samples(const struct lun_question *q, const struct lun_done *done, lun_us now)
{
    bool rolled_back = false;
    for (const struct lun_grouped *g = q->grouped; g; g = g->next) {
        /* the old group is told of as its clients saw it */
        enum lun_canary_result result = is_repeated(q, done) ? LUN_CANARY_NONE : g->is_new ? lun_canary_result(q, done, g->canary) : of_policy(q, done);
        add(q, g, result);
        if (!g->is_new || result == LUN_CANARY_NONE) continue;
        rolled_back |= lun_canary_count(g->canary->state, g->run, result == LUN_CANARY_OK, q->stream ? done->ttft : done->latency, now);
    }
    return rolled_back;
}
