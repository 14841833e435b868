/* How an attempt gets on its way: its turn at the limiter, its hold on the budgets, and off. */
#include "gateway/plan.h"
#include "gateway/walk.h"
#include "state/health.h"
#include <string.h>

#define OUTPUT_GUESS 256        /* tokens, for the limiter, where the request names no maximum */
#define MONEY_WAIT   LUN_SECOND
#define MONEY_LOOK   (50 * LUN_MS)

typedef struct lun_attempt attempt;

static lun_us now(const attempt *a) { return a->request->loop->now; }

/* On any thread, under the limiter's lock. */
static void moved(struct lun_turn *turn)
{
    lun_waiter_move(&((attempt *)(void *)((char *)turn - offsetof(attempt, turn)))->waiter);
}

static void take_turn(attempt *a)
{
    struct lun_question *q = a->request->question;
    int64_t output = q->max_tokens >= 0 ? q->max_tokens * q->n : OUTPUT_GUESS;
    bool counts = lun_turn_counts(a->step.target);
    a->turn = (struct lun_turn){ .batch = q->class && !strcmp(q->class, "batch"), .who = q->who, .moved = a->request->ask.waiting ? moved : NULL,
                                 .tokens = counts ? lun_question_tokens(q) + output : 0 };
    lun_waiter_join(&a->waiter, a->request);
    a->queued = true;
    lun_turn_take(a->step.target, &a->turn, now(a));
}

/* Whether its target's rest is to be respected. Never where a policy said again() or try(); a provider's own word always; an open circuit,
 * which is our guess, only as long as a later step can serve. */
static bool must_rest(const attempt *a)
{
    if (a->insist || !lun_health_rests(a->step.target, now(a))) return false;
    if (a->trial.hedge || lun_plan_passes(a->request->question, &a->request->plan, a->index)) return true;
    return lun_health_barred_until(a->step.target, now(a)) != 0;
}

static void skip(attempt *a, const char *why)
{
    a->rested = true;
    lun_attempt_fail(a, LUN_KIND_SKIPPED, why);
}

/* Its step says how long it may queue, and the rest is over by then: it is waited for, where no later step can serve meanwhile. */
static bool sits_it_out(attempt *a)
{
    lun_us until = lun_health_barred_until(a->step.target, now(a)), soon = now(a) + LUN_SECOND;
    if (!a->step.wait || a->step.wait == LUN_NEVER || a->trial.hedge || until > a->wait_until || now(a) >= a->wait_until) return false;
    if (lun_plan_passes(a->request->question, &a->request->plan, a->index)) return false;
    lun_depart_leave(a);
    a->look_at = until <= now(a) ? now(a) + LUN_MS : until < soon ? until : soon;       /* it may be well again before that */
    return true;
}

static void stay_away(attempt *a)
{
    if (!sits_it_out(a)) skip(a, "its target rests");
}

/* On any thread, under the money's lock. */
static void money_moved(struct lun_money_waiter *purse)
{
    lun_waiter_move(&((attempt *)(void *)((char *)purse - offsetof(attempt, purse)))->waiter);
}

static void want_no_money(attempt *a)
{
    if (!a->wants_money) return;
    lun_money_leave(a->request->ask.money, &a->purse);
    a->trial.drawn += now(a) - a->wants_since;
    a->wants_money = false;
}

/* More may be drawn, or come back: looked at again when it has, and once in a while, for a second over all of the request's steps. */
static bool waits_for_money(attempt *a)
{
    struct lun_request *r = a->request;
    if (!r->ask.waiting) return false;
    if (!r->money_until) r->money_until = now(a) + MONEY_WAIT;
    if (now(a) >= r->money_until) return false;
    a->look_at = now(a) + MONEY_LOOK < r->money_until ? now(a) + MONEY_LOOK : r->money_until;
    if (!a->wants_money) {
        a->wants_since = now(a);
        a->purse.moved = money_moved;       /* once: it is called as soon as it waits */
    }
    a->wants_money = true;
    lun_money_wait(r->ask.money, &a->purse);
    return true;
}

static enum lun_taken take_money(attempt *a, const char **detail)
{
    return lun_bill_take(&a->bill, a->request->question, &a->trial, a->request->ask.money, detail);
}

/* False: it waits, or has failed. */
static bool paid(attempt *a)
{
    const char *detail = NULL;
    bool waited = a->wants_money;
    enum lun_taken taken = take_money(a, &detail);
    if (taken == LUN_LATER && waits_for_money(a)) {
        if (!waited) taken = take_money(a, &detail);    /* there may have been more before it waited */
        if (taken == LUN_LATER) return false;
    }
    want_no_money(a);
    if (taken != LUN_TAKEN) lun_attempt_fail(a, LUN_KIND_SKIPPED, detail);
    return taken == LUN_TAKEN;
}

void lun_depart_leave(attempt *a)
{
    want_no_money(a);
    lun_waiter_leave(&a->waiter);
    if (a->queued) lun_turn_leave(&a->turn, now(a));
    a->queued = false;
}

static void start(attempt *a, int key)
{
    struct lun_request *r = a->request;
    a->trial.key = key;
    a->trial.bound = a->bill.hold.bound;
    a->trial.sent = a->heard = now(a);
    a->state = LUN_SENT;
    a->asked = (struct lun_call){ .question = r->question, .step = &a->step, .trial = &a->trial, .key = key,
                                  .stream = r->question->stream, .cap = a->bill.cap };
    a->call = r->ask.upstream->start(r->ask.upstream_self, &a->asked, a);       /* facts may come inside */
    a->trial.lag = lun_loop_lag(r->loop);
}

/* Its turn has come. The turn is given back when the step cannot be paid. */
static void send(attempt *a, int key)
{
    if (must_rest(a)) { stay_away(a); return; }
    if (!a->insist && lun_course_barred(a->request, a->step.target)) { skip(a, "its target has said in the meantime what it would say again"); return; }
    if (!paid(a)) return;
    a->begun = lun_health_begin(a->step.target, now(a), true);
    lun_waiter_leave(&a->waiter);
    if (a->queued) lun_turn_use(&a->turn, now(a));
    a->queued = false;
    start(a, key);
}

/* A key that is not out, or -1. */
static int key_left(const struct lun_provider *p)
{
    int key = p->n_keys - 1;
    while (key >= 0 && !p->health.off && lun_health_key_is_out(p, key)) key--;
    return key;
}

/* No key has a turn to give: all rest. What a policy insists on goes all the same. */
static void without_turn(attempt *a)
{
    lun_depart_leave(a);
    if (a->insist) send(a, key_left(a->step.target->provider));
    else stay_away(a);
}

/* The key that its turn was for went out, or rests by now: another's turn, at the end of that queue. */
static bool lost_its_key(const attempt *a)
{
    return a->step.target->provider->n_keys && !a->insist && !lun_health_key_usable(a->step.target, a->turn.key, now(a));
}

void lun_depart_look(attempt *a)
{
    const struct lun_provider *p = a->step.target->provider;
    const char *detail = NULL;
    if (p->n_keys && key_left(p) < 0) { lun_attempt_fail(a, LUN_KIND_AUTH, "none of its keys is accepted"); return; }
    if (!a->queued) {
        if (must_rest(a)) { stay_away(a); return; }
        if (!lun_bill_fits(&a->bill, a->request->question, &a->step, &detail)) { lun_attempt_fail(a, LUN_KIND_SKIPPED, detail); return; }
        take_turn(a);
    } else if (lost_its_key(a)) {
        lun_depart_leave(a);
        take_turn(a);
    }
    lun_us due = lun_turn_due(&a->turn);
    if (due == LUN_NEVER) { without_turn(a); return; }
    if (lun_turn_granted(&a->turn, now(a))) { send(a, a->turn.key); return; }
    if (due > a->wait_until || now(a) >= a->wait_until) {           /* would come too late: better to know at once */
        a->trial.retry_after = due > now(a) ? due - now(a) : 0;
        lun_attempt_fail(a, LUN_KIND_POOL_FULL, "its rate limit has no turn free in time");
        return;
    }
    a->look_at = due > now(a) ? due : now(a) + LUN_MS;
}
