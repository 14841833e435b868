/* The walk of a request, from top to bottom. It knows the order of things: nothing of sockets, curl, Lua or wall time.
 *
 * Facts (pause, leave, answer, bytes, end …) are only written down; walk() is run by the loop, never inside itself, and looks at everything
 * afresh. Each state below is one function; it returns GO when it has named the next state, or WAIT for the next fact or clock. Running a
 * state again must do no harm. */
#include "gateway/walk.h"
#include "base/alloc.h"
#include "gateway/captured.h"
#include "gateway/plan.h"
#include "gateway/reply.h"
#include "state/charge.h"
#include <stdlib.h>

#define FINISH_LIMIT (10 * LUN_SECOND)

enum go { WAIT, GO };
typedef struct lun_request request;
typedef struct lun_attempt attempt;

/* ---- small words ---- */

static enum go to(request *r, enum lun_state next) { r->state = next; return GO; }
static lun_us sooner(lun_us a, lun_us b) { return a < b ? a : b; }
static lun_us after(lun_us t, lun_us d) { return d > LUN_NEVER - t ? LUN_NEVER : t + d; }

/* The answer of a hook, or NULL as long as it waits. Called again and again until it answers: asks only once. */
static const struct lun_answer *ask(request *r, enum lun_hook hook, attempt *about)
{
    if (!r->ask.policy) { r->answer = (struct lun_answer){0}; return &r->answer; }
    if (r->hook == LUN_IDLE) {
        r->hook = LUN_ASKING;
        r->ask.policy->ask(r->ask.policy_self, r, hook, about ? &about->trial : NULL);
        if (r->hook == LUN_ASKING) r->hook = LUN_ASKED;
    }
    if (r->hook == LUN_ASKED) return NULL;
    r->hook = LUN_IDLE;
    return &r->answer;
}

/* What it has rested until now is counted, once. */
static void end_rest(request *r)
{
    if (r->rests_since) r->done.rested += r->loop->now - r->rests_since;
    r->rests_since = 0;
}

static void close_all(request *r)
{
    end_rest(r);
    if (r->hook == LUN_ASKED) r->ask.policy->drop(r->ask.policy_self, r);
    r->hook = LUN_IDLE;
    for (attempt *a = r->attempts; a; a = a->next) lun_attempt_close(a, LUN_KIND_CANCELLED);
    lun_caching_leave(r);
    lun_done_add_up(r->question, &r->done);
}

/* The one way out: nothing is in flight or in doubt any more before the client hears the end. */
static enum go over(request *r, enum lun_end end)
{
    const struct lun_pair *trailers = NULL;
    close_all(r);
    r->done.stream_torn = end == LUN_TORN && !r->gone;
    if (r->gone) { if (!r->told_all) r->done.status = 499; }
    else {
        bool wanted = end == LUN_CLEAN && (!r->ask.client->takes_trailers || r->ask.client->takes_trailers(r->ask.client_self));
        int n = wanted ? lun_reply_trailers(r->question, &r->done, &trailers) : 0;
        r->ask.client->end(r->ask.client_self, end, trailers, n);
    }
    r->gone = true;
    r->deadline = after(r->loop->now, FINISH_LIMIT);
    return to(r, LUN_AT_FINISH);
}

static enum go fail(request *r, const struct lun_error *e)
{
    enum lun_end end = r->headed ? LUN_TORN : LUN_CLEAN;
    close_all(r);
    lun_tell_error(r, e);
    return over(r, end);
}

/* What all that was tried comes to. */
static enum go give_up(request *r)
{
    close_all(r);                                       /* so that each trial has its kind */
    struct lun_error e = lun_reply_verdict(r->question);
    return fail(r, &e);
}

static enum go too_late(request *r)
{
    close_all(r);
    struct lun_error e = lun_reply_late(r->question);
    return fail(r, &e);
}

static enum go cut(request *r)
{
    return fail(r, &(struct lun_error){ .code = LUN_CODE_OVERLOADED, .message = "The gateway was stopped before this was answered: ask again." });
}

static void tell_decided(request *r, const struct lun_decided *d) { if (r->ask.decided) r->ask.decided(r->ask.over_self, r->question, d); }

static enum lun_hook deciding(const request *r) { return r->state == LUN_AT_CLASSIFY ? LUN_HOOK_CLASSIFY : r->state == LUN_AT_BUDGET ? LUN_HOOK_BUDGET : LUN_HOOK_SELECT; }

/* Before it is decided who is asked. */
static enum go turn_away(request *r, const struct lun_error *e)
{
    tell_decided(r, &(struct lun_decided){ .by = deciding(r), .status = e->status ? e->status : lun_code_status(e->code) });
    return fail(r, e);
}

static enum go refuse(request *r, const struct lun_answer *answer, enum lun_code otherwise)
{
    return (r->state <= LUN_AT_SELECT ? turn_away : fail)(r, &(struct lun_error){ .code = answer->status ? lun_code_of_status(answer->status) : otherwise, .status = answer->status,
                                        .message = answer->message });
}

static enum go over_budget(request *r)
{
    attempt *a = r->skipped;
    if (a->bill.closed) return fail(r, &(struct lun_error){ .code = LUN_CODE_OVERLOADED, .retry_after = LUN_SECOND,
        .message = lun_arena_printf(r->question->arena, "Nothing is bought under a hard limit just now: %s.", a->trial.detail) });
    if (a->bill.short_account) lun_account_refused(a->bill.short_account, a->bill.bound, lun_question_wall(r->question));
    return fail(r, &(struct lun_error){ .code = LUN_CODE_BUDGET_EXCEEDED, .budget = a->bill.short_of.name ? &a->bill.short_of : NULL,
        .message = lun_arena_printf(r->question->arena, "The budget does not allow this request: %s.", a->trial.detail) });
}

/* The plan was all that was wanted. */
static enum go decided(request *r)
{
    r->done.status = 200;
    return over(r, LUN_CLEAN);
}

/* ---- the walk ---- */

static enum go classify(request *r)
{
    const struct lun_answer *answer = ask(r, LUN_HOOK_CLASSIFY, NULL);
    if (!answer) return WAIT;
    if (answer->verb == LUN_REFUSE) return refuse(r, answer, LUN_CODE_MODEL_NOT_ALLOWED);
    if (answer->n_labels) r->question->labels = answer->labels, r->question->n_labels = answer->n_labels;
    return to(r, LUN_AT_BUDGET);
}

static enum go budget(request *r)
{
    const struct lun_answer *answer = ask(r, LUN_HOOK_BUDGET, NULL);
    if (!answer) return WAIT;
    if (answer->verb == LUN_REFUSE) return refuse(r, answer, LUN_CODE_BUDGET_EXCEEDED);
    r->question->narrowed = answer->verb == LUN_DEGRADE;
    if (answer->verb == LUN_DEGRADE && !lun_course_narrow(r->question, answer)) return turn_away(r, &(struct lun_error){ .code = LUN_CODE_BUDGET_EXCEEDED });
    const struct lun_tag_budget *unsaid = r->question->inner || r->question->rehearsal ? NULL : lun_charge_missing(r->question);
    if (unsaid) return turn_away(r, &(struct lun_error){ .code = LUN_CODE_INVALID_REQUEST, .param = unsaid->at, .message = lun_reply_unsaid(r->question, unsaid) });
    return to(r, LUN_AT_CACHE);
}

/* After who may not ask was refused, and before it is decided who answers: what is there already needs nobody. */
static enum go recall(request *r)
{
    enum lun_caching_look found = lun_caching_look(r);
    if (found == LUN_CACHING_WAIT) return WAIT;
    if (found == LUN_CACHING_GO) return to(r, LUN_AT_SELECT);
    lun_caching_tell(r);
    return over(r, LUN_CLEAN);
}

static enum go choose(request *r)
{
    const struct lun_answer *answer = ask(r, LUN_HOOK_SELECT, NULL);
    if (!answer) return WAIT;
    if (answer->verb == LUN_REFUSE) return refuse(r, answer, LUN_CODE_MODEL_NOT_ALLOWED);
    r->plan = answer->plan;
    if (answer->verb == LUN_PLAN && !r->question->pinned) lun_plan_check(r->question, &r->plan);
    else lun_plan_default(r->question, &r->plan);
    r->question->plan = &r->plan;
    tell_decided(r, &(struct lun_decided){ .plan = &r->plan });
    return r->question->decide_only && r->plan.n ? decided(r) : to(r, LUN_AT_NEXT);
}

static enum go next(request *r)
{
    const struct lun_step *s = r->again ? &r->once : lun_course_step(r);
    if (!s && !r->tried && r->skipped) return over_budget(r);
    if (!s || r->tried >= r->limits->attempts || !lun_course_allowed(r)) return give_up(r);
    lun_attempt_begin(r, s, r->again ? r->once_index : r->at++, false, r->again);
    r->again = r->no_hedge = false;
    return to(r, LUN_AT_RACE);
}

/* The attempt that is alone in flight and whose step wants company by now or later. */
static attempt *lonely(request *r)
{
    attempt *only = NULL;
    if (r->state != LUN_AT_RACE || r->no_hedge || r->at >= r->plan.n || r->tried >= r->limits->attempts) return NULL;
    for (attempt *a = r->attempts; a; a = a->next) {
        if (a->trial.closed) continue;
        if (only) return NULL;
        only = a;
    }
    return only && only->state == LUN_SENT && only->step.hedge_after > 0 ? only : NULL;
}

static enum go race(request *r)
{
    bool flying = false;
    for (attempt *a = r->attempts; a; a = a->next) {
        if (a->state == LUN_GOOD && !a->judged) {
            r->about = a;
            return to(r, r->question->stream ? LUN_AT_COMMIT : LUN_AT_JUDGE);
        }
        flying |= !a->trial.closed;
    }
    if (!flying) return to(r, r->failed ? LUN_AT_RETRY : LUN_AT_NEXT);
    attempt *a = lonely(r);
    if (!a || r->loop->now < after(a->trial.sent, a->step.hedge_after)) return WAIT;
    a->step.hedge_after = 0;                            /* once: a companion that fails at once is not replaced at once */
    const struct lun_step *s = lun_course_company(r);
    if (s) lun_attempt_begin(r, s, r->at++, true, false);
    else r->no_hedge = true;
    return to(r, LUN_AT_RACE);
}

static enum go judge(request *r)
{
    const struct lun_answer *answer = ask(r, LUN_HOOK_JUDGE, r->about);
    if (!answer) return WAIT;
    if (answer->verb == LUN_REFUSE) return refuse(r, answer, LUN_CODE_UPSTREAM_FAILED);
    if (answer->verb != LUN_NEXT) return to(r, LUN_AT_COMMIT);
    r->about->judged = true;                            /* and found wanting; another one may be flying still */
    r->about->trial.detail = "the policy found its answer wanting";
    r->about = r->failed = NULL;
    r->allowed = false;
    return to(r, LUN_AT_RACE);
}

static void repeat(request *r, const struct lun_step *s, int index, lun_us delay)
{
    r->again = true;
    r->once = *s;
    r->once_index = index;
    r->rest_until = after(r->loop->now, delay);
}

static enum go retry(request *r)
{
    attempt *a = r->failed;
    if (r->tried >= r->limits->attempts) return give_up(r);
    const struct lun_answer *answer = ask(r, LUN_HOOK_RETRY, a);
    if (!answer) return WAIT;
    r->failed = NULL;
    r->allowed = a->trial.kind == LUN_KIND_POOL_FULL;   /* nothing was sent: what comes now costs nobody more than the first would have */
    r->rest_until = r->loop->now;
    struct lun_step other = answer->step;
    switch (answer->verb) {
    case LUN_STOP: case LUN_REFUSE: return give_up(r);
    case LUN_AGAIN: repeat(r, &a->step, a->index, answer->delay); break;
    case LUN_TRY:
        if (r->question->pinned && other.target != a->step.target) return give_up(r);
        if (lun_plan_step(r->question, &other)) repeat(r, &other, -1, answer->delay);
        break;
    case LUN_NEXT: r->rest_until = after(r->loop->now, answer->delay); break;
    default:
        if (lun_kind_rule(a->trial.kind) == LUN_RULE_STOP) return give_up(r);
        if (lun_course_other_key(r, a)) repeat(r, &a->step, a->index, 0);
    }
    r->rests_since = r->loop->now;
    return to(r, LUN_AT_REST);
}

static enum go rest(request *r)
{
    if (r->loop->now < r->rest_until) return WAIT;
    end_rest(r);
    return to(r, LUN_AT_NEXT);
}

static enum go commit(request *r)
{
    attempt *a = r->about;
    for (attempt *other = r->attempts; other; other = other->next)
        if (other != a) lun_attempt_close(other, LUN_KIND_CANCELLED);
    a->trial.committed = true;
    r->done.trial = &a->trial;
    r->done.fallback = a->trial.fallback = a->index > 0 || (a->index < 0 && a->trial.target != r->plan.steps[0].target);
    lun_done_add_up(r->question, &r->done);
    if (!r->question->stream) lun_caching_keep(r, a);
    lun_tell_head(r, &a->trial, a->content_type, (int64_t)a->in.n);
    a->captured = r->question->stream && r->question->capturing && lun_captured_may(r->question);
    if (r->question->stream) return to(r, LUN_AT_STREAM);
    lun_tell_bytes(r, a->in.at, a->in.n);
    return over(r, LUN_CLEAN);
}

static enum go complete(request *r)
{
    static const char done[] = "data: [DONE]\n\n";
    lun_attempt_close(r->about, LUN_KIND_OK);
    lun_caching_keep(r, r->about);
    if (!r->ended_events) lun_tell_bytes(r, done, sizeof done - 1);
    return over(r, LUN_CLEAN);
}

static enum go stream(request *r)
{
    attempt *a = r->about;
    for (struct lun_event e; (e = lun_attempt_event(a)).kind; ) {
        bool broken = e.kind == LUN_EVENT_ERROR || e.kind == LUN_EVENT_BAD;
        if (broken && !lun_attempt_complete(a)) {
            lun_attempt_fail(a, e.failure, e.detail);
            return give_up(r);
        }
        if (!r->ended_events) lun_caching_event(r, &e);
        if (a->captured) lun_captured_event(&a->trial, &e);
        if (e.kind != LUN_EVENT_HIDDEN && !broken && !r->ended_events) lun_tell_bytes(r, e.bytes, e.n);
        r->ended_events |= e.kind == LUN_EVENT_DONE;
    }
    if (a->ended) {
        if (lun_attempt_complete(a)) return complete(r);
        lun_attempt_fail(a, a->end == LUN_KIND_OK ? LUN_KIND_CUT : a->end, a->end_detail);
        return give_up(r);
    }
    lun_attempt_pause(a, r->paused);
    lun_caching_held(r);
    return WAIT;
}

static enum go finish(request *r)
{
    if (r->loop->now < r->deadline && !ask(r, LUN_HOOK_FINISH, NULL)) return WAIT;
    if (r->hook == LUN_ASKED) r->ask.policy->drop(r->ask.policy_self, r);
    r->hook = LUN_IDLE;
    return to(r, LUN_AT_END);
}

static enum go (*const states[])(request *) = {
    [LUN_AT_CLASSIFY] = classify, [LUN_AT_BUDGET] = budget, [LUN_AT_CACHE] = recall, [LUN_AT_SELECT] = choose, [LUN_AT_NEXT] = next,
    [LUN_AT_RACE] = race, [LUN_AT_JUDGE] = judge, [LUN_AT_RETRY] = retry, [LUN_AT_REST] = rest,
    [LUN_AT_COMMIT] = commit, [LUN_AT_STREAM] = stream, [LUN_AT_FINISH] = finish,
};

/* ---- turning it ---- */

/* A step of the plan whose target had no turn to give and was not waited for: it counts as little as one that was passed over. Those that a policy
 * insists on count, or it could do so without end. */
static bool no_turn(const attempt *a)
{
    return a->trial.kind == LUN_KIND_POOL_FULL && !a->insist && !a->trial.sent && a->trial.ended == a->trial.began;
}

static void look(request *r)
{
    for (attempt *a = r->attempts; a; a = a->next) {
        if (a->trial.closed) continue;
        lun_attempt_look(a);
        if (a->state != LUN_FAILED) continue;
        if (no_turn(a)) r->tried--;
        if (a->trial.kind != LUN_KIND_SKIPPED) { r->failed = a; continue; }
        r->tried--;
        if (!a->rested) r->skipped = a;
        if (!a->trial.hedge) continue;
        r->no_hedge = true;                             /* it does not fit beside the other; alone it may: not used up */
        r->at = a->index;
    }
}

/* What may happen at any moment, whatever the walk is waiting for. */
static void any_moment(request *r)
{
    if (r->state >= LUN_AT_FINISH) return;
    if (r->gone) r->told_all && r->state == LUN_AT_STREAM ? complete(r) : over(r, LUN_TORN);
    else if (r->cut || r->loop->now >= r->deadline) {
        if (r->state == LUN_AT_STREAM && lun_attempt_complete(r->about)) complete(r);
        else if (r->cut) cut(r);
        else too_late(r);
    }
}

/* One timer for all clocks. It is never moved to a later time: it may ring too early, and then the walk finds nothing. */
static void arm(request *r)
{
    lun_us due = sooner(r->deadline, lun_tell_keepalive_due(r)), now = r->loop->now;
    attempt *a = lonely(r);
    if (a) due = sooner(due, after(a->trial.sent, a->step.hedge_after));
    if (r->state == LUN_AT_REST) due = sooner(due, r->rest_until);
    due = sooner(due, lun_caching_due(r));
    for (a = r->attempts; a; a = a->next) due = sooner(due, lun_attempt_due(a));
    if (due <= now && !r->task.ready) {                 /* a clock that nobody looks at would spin */
        r->loop->overdue++;
        due = now + LUN_MS;
    }
    if (due != LUN_NEVER && (!r->timer.at || due < r->timer.due)) lun_timer_set(r->loop, &r->timer, due);
}

/* In the same turn in which the client is told the end, so that it is counted and logged before that is sent. */
static void leave(request *r)
{
    lun_loop_forget(r->loop, &r->task);                 /* it may have been woken while closing */
    lun_timer_set(r->loop, &r->timer, LUN_NEVER);
    if (r->ask.over) r->ask.over(r->ask.over_self, r->question, &r->done);       /* the question is gone from here on */
    for (attempt *a; (a = r->attempts); lun_attempt_free(a)) r->attempts = a->next;
    struct lun_arena own = r->own;
    lun_arena_free(&own);
}

/* Before these others are let go first, if there are any who can: many requests that do the same one after the other find its code and what it looks at
 * in the processor's caches (64 at once, simulated: 1,400 misses of the first instruction cache a request for 3,600, 250 of data for 1,000). What comes
 * behind the answer's end is not among them: who has an answer finds it counted and logged. */
enum { GIVES_WAY = 1 << LUN_AT_SELECT | 1 << LUN_AT_NEXT | 1 << LUN_AT_JUDGE | 1 << LUN_AT_COMMIT };

static bool gives_way(const request *r) { return r->loop->first && GIVES_WAY & 1 << r->state; }

static void walk(struct lun_task *task)
{
    request *r = (request *)(void *)task;
    any_moment(r);
    for (look(r); r->state != LUN_AT_END && states[r->state](r) == GO; look(r)) {
        if (!gives_way(r)) continue;
        lun_loop_wake(r->loop, task);
        return;
    }
    lun_tell_keepalive(r);
    if (r->state != LUN_AT_END) arm(r);
    else leave(r);
}

static void ring(struct lun_timer *t)
{
    request *r = (request *)(void *)((char *)t - offsetof(request, timer));
    lun_loop_wake(r->loop, &r->task);
}

request *lun_request_open(struct lun_loop *loop, const struct lun_ask *ask)
{
    struct lun_question *q = ask->question;
    struct lun_arena own = { .stock = q->arena->stock };
    request *r = lun_arena_zalloc(&own, sizeof *r);
    r->own = own;
    r->task.run = walk;
    r->timer.fire = ring;
    r->loop = loop;
    r->ask = *ask;
    r->question = q;
    r->limits = ask->limits ? ask->limits : &q->snapshot->limits;
    r->deadline = q->deadline;
    r->tail = &r->attempts;
    r->spoke = loop->now;
    r->allowed = true;                                  /* the first */
    if (!q->decide_only) {
        lun_quota_request(q->registry->retries, loop->now);
        lun_quota_request(q->registry->hedges, loop->now);
    }
    lun_loop_wake(loop, &r->task);
    return r;
}

struct lun_question *lun_request_question(request *r) { return r->question; }
const struct lun_done *lun_request_done(const request *r) { return &r->done; }

/* ---- facts ---- */

/* Who was told [DONE] has all there is, and often hangs up there, before the provider has ended: that is no leaving first. */
void lun_request_leave(request *r)
{
    r->told_all = r->ended_events;
    r->gone = true;
    lun_loop_wake(r->loop, &r->task);
}
void lun_request_cut(request *r) { r->cut = true; lun_loop_wake(r->loop, &r->task); }
void lun_request_pause(request *r, bool paused) { r->paused = paused; lun_loop_wake(r->loop, &r->task); }

void lun_request_hurry(request *r)
{
    if (r->state == LUN_AT_FINISH) r->deadline = r->loop->now;
    lun_loop_wake(r->loop, &r->task);
}

void lun_request_answer(request *r, const struct lun_answer *answer)
{
    bool at_once = r->hook == LUN_ASKING;               /* the walk is where it asks, and goes on */
    r->answer = *answer;
    r->hook = LUN_ANSWERED;
    if (!at_once) lun_loop_wake(r->loop, &r->task);
}
