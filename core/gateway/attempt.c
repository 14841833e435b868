/* One attempt at one step: its call, its clocks, its bytes, its outcome (depart.c: how it gets its turn and its hold). It never asks a policy
 * and never speaks to a client. */
#include "gateway/answer.h"
#include "gateway/record.h"
#include "gateway/walk.h"
#include "base/alloc.h"
#include "state/health.h"
#include <stdlib.h>
#include <string.h>

#define LINGER          LUN_SECOND          /* after [DONE], for the provider's own end: its connection can then be used again */
#define LINGER_FINISHED (3 * LUN_SECOND)    /* after the last finish_reason, for usage and [DONE] */

typedef struct lun_attempt attempt;

static lun_us now(const attempt *a) { return a->request->loop->now; }
static lun_us after(lun_us t, lun_us d) { return d <= 0 || d > LUN_NEVER - t ? LUN_NEVER : t + d; }
static lun_us sooner(lun_us a, lun_us b) { return a < b ? a : b; }
static void wake(attempt *a) { lun_loop_wake(a->request->loop, &a->request->task); }

static void list_trial(struct lun_question *q, struct lun_trial *t)
{
    t->try = 1;
    for (struct lun_trial *other = q->trials; other; other = other->next) t->try += other->target == t->target;
    if (!q->trials) q->trials_tail = &q->trials;
    *q->trials_tail = t;
    q->trials_tail = &t->next;
}

/* A target that retry() chose may be one of the plan all the same. */
static int step_of(const struct lun_request *r, const struct lun_step *step, int index)
{
    for (int i = 0; index < 0 && i < r->plan.n; i++) if (r->plan.steps[i].target == step->target) index = i;
    return index + 1;
}

attempt *lun_attempt_begin(struct lun_request *r, const struct lun_step *step, int index, bool hedge, bool insist)
{
    attempt *a = lun_arena_zalloc(&r->own, sizeof *a);
    a->request = r;
    a->step = *step;
    a->index = index;
    a->insist = insist;
    a->held_since = LUN_NEVER;
    a->requests_left = a->tokens_left = -1;
    a->trial = (struct lun_trial){ .number = ++r->begun, .target = step->target, .upstream = lun_question_upstream(r->question, step->target),
                                   .warning = step->warning, .key = -1, .step = step_of(r, step, index), .hedge = hedge, .began = r->loop->now };
    a->wait_until = sooner(r->deadline, step->wait ? after(a->trial.began, step->wait) : a->trial.began);
    a->events = (struct lun_stream){ .limit = LUN_STREAM_EVENT_MAX, .choices = r->question->n,
                                     .hide_usage = !r->question->include_usage && step->target->provider->usage };
    if (r->limits->answer > 0 && (size_t)r->limits->answer < a->events.limit) a->events.limit = (size_t)r->limits->answer;
    list_trial(r->question, &a->trial);
    *r->tail = a;
    r->tail = &a->next;
    r->tried++;
    return a;
}

/* ---- facts ---- */

/* A whole number, or -1. */
static int64_t number(const char *text)
{
    int64_t n = 0;
    if (!*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > INT64_MAX / 100) return -1;
        n = n * 10 + (*text - '0');
    }
    return n;
}

/* What a provider says may hold what it was sent: keys, and secrets in headers. */
static void scrub(const attempt *a, char *text, size_t n)
{
    const struct lun_provider *p = a->step.target->provider;
    const struct lun_snapshot *s = a->request->question->snapshot;
    lun_answer_scrub(text, n, p->keys, p->n_keys);
    lun_answer_scrub(text, n, s->secrets, s->n_secrets);
}

static const char *passed_on(const attempt *a, const char *value)
{
    size_t n = strnlen(value, 256);
    char *text = lun_arena_strndup(a->request->question->arena, value, n);
    scrub(a, text, n);
    return text;
}

static void header(attempt *a, const struct lun_pair *h)
{
    if (!strcmp(h->name, "content-type")) a->content_type = passed_on(a, h->value);
    else if (!strcmp(h->name, "x-request-id")) a->trial.provider_request_id = passed_on(a, h->value);
    else if (!strcmp(h->name, "x-ratelimit-remaining-requests")) a->requests_left = number(h->value);
    else if (!strcmp(h->name, "x-ratelimit-remaining-tokens")) a->tokens_left = number(h->value);
}

void lun_attempt_head(attempt *a, const struct lun_answer_head *head)
{
    if (a->trial.closed) return;
    a->trial.status = head->status;
    for (int i = 0; i < head->n_headers; i++) header(a, &head->headers[i]);
    if (head->status >= 400) a->trial.retry_after = lun_retry_after(head->headers, head->n_headers, lun_question_wall(a->request->question));
    a->news = a->requests_left >= 0 || a->tokens_left >= 0;
    a->heard = now(a);
    wake(a);
}

/* An answer that is collected has a limit: of an error what is beyond it is not waited for, an answer is refused. */
static size_t room_for(attempt *a, size_t n)
{
    bool error = a->trial.status >= 300;
    size_t limit = error ? LUN_ANSWER_KEPT : (size_t)a->request->limits->answer;
    if (a->form == LUN_AS_EVENTS || a->in.n + n <= limit) return n;
    if (error) lun_attempt_end(a, LUN_KIND_OK, NULL);
    else lun_attempt_end(a, LUN_KIND_BAD_ANSWER, "the answer is larger than limits.answer allows");
    return error ? limit - a->in.n : 0;
}

void lun_attempt_bytes(attempt *a, const char *bytes, size_t n)
{
    if (a->trial.closed || a->ended) return;
    if (a->read && (a->read == a->in.n || a->in.n + n > a->in.room)) {
        lun_buf_drop(&a->in, a->read);
        a->read = 0;
    }
    lun_buf_add(&a->in, bytes, room_for(a, n));
    a->heard = now(a);
    wake(a);
}

void lun_attempt_end(attempt *a, enum lun_kind kind, const char *detail)
{
    if (a->trial.closed || a->ended) return;
    a->ended = true;
    a->end = kind;
    a->end_detail = lun_arena_strdup(a->request->question->arena, detail);
    wake(a);
}

/* ---- the answer ---- */

static struct lun_event peek(attempt *a)
{
    if (!a->in.at) return (struct lun_event){0};
    return lun_stream_peek(&a->events, a->in.at + a->read, a->in.n - a->read, a->ended && a->end == LUN_KIND_OK);
}

struct lun_event lun_attempt_event(attempt *a)
{
    struct lun_event e = peek(a);
    if (e.kind) a->read += lun_stream_take(&a->events);
    return e;
}

bool lun_attempt_complete(const attempt *a) { return lun_stream_complete(&a->events); }

static bool wants_events(const attempt *a) { return a->request->question->stream && a->trial.status >= 200 && a->trial.status < 300; }

/* Errors, and what comes as JSON or HTML instead of events, are read as a whole. The bytes tell, whatever content-type says. */
static void decide_form(attempt *a)
{
    if (!wants_events(a)) a->form = LUN_AS_WHOLE;
    else if (a->in.n) a->form = lun_stream_alien(a->in.at, a->in.n) ? LUN_AS_WHOLE : LUN_AS_EVENTS;
    else if (a->ended) a->form = LUN_AS_EVENTS;
}

static void read_events(attempt *a)
{
    for (struct lun_event e; (e = peek(a)).kind; lun_attempt_event(a)) {
        if (e.kind == LUN_EVENT_GOOD) {                         /* not taken: it goes to the client */
            a->state = LUN_GOOD;
            a->trial.first_byte = now(a);
            return;
        }
        if (e.kind == LUN_EVENT_ERROR || e.kind == LUN_EVENT_BAD) { lun_attempt_fail(a, e.failure, e.detail); return; }
        if (e.kind == LUN_EVENT_DONE) { lun_attempt_fail(a, LUN_KIND_BAD_ANSWER, "the stream ended before anything was in it"); return; }
    }
    if (!a->ended) return;
    if (a->end == LUN_KIND_OK) lun_attempt_fail(a, LUN_KIND_BAD_ANSWER, "the stream ended before its first event");
    else lun_attempt_fail(a, a->end, a->end_detail);
}

static void keep_body(attempt *a, enum lun_kind kind)
{
    if (kind == LUN_KIND_AUTH || !a->in.n) return;              /* what is said about a key may hold the key */
    if (kind != LUN_KIND_OK) scrub(a, a->in.at, a->in.n);
    a->trial.body = a->in.at;
    a->trial.body_n = a->in.n < LUN_ANSWER_KEPT ? a->in.n : LUN_ANSWER_KEPT;
}

static void read_whole(attempt *a)
{
    struct lun_reading reading;
    if (!a->ended) return;
    if (a->end != LUN_KIND_OK && a->trial.status < 400) { lun_attempt_fail(a, a->end, a->end_detail); return; }
    lun_answer_read(a->trial.status, a->in.at, a->in.n, a->request->question->arena, &reading);
    keep_body(a, reading.kind);
    a->trial.usage = reading.usage;
    a->trial.finish_reason = reading.finish_reason;
    a->text_bytes = reading.text_bytes;
    a->finishes = reading.finishes;
    if (reading.kind != LUN_KIND_OK) lun_attempt_fail(a, reading.kind, reading.detail);
    else if (a->request->question->stream) lun_attempt_fail(a, LUN_KIND_BAD_ANSWER, "a whole answer came where a stream was asked for");
    else {
        a->state = LUN_GOOD;
        lun_attempt_close(a, LUN_KIND_OK);                      /* paid and parted; only its bytes are still wanted */
    }
}

static void sent(attempt *a)
{
    if (a->news) lun_limit_told(a->step.target, a->trial.key, a->requests_left, a->tokens_left, now(a));
    a->news = false;
    if (a->trial.status && !a->request->question->stream && !a->trial.first_byte) a->trial.first_byte = a->heard;
    if (a->form == LUN_UNDECIDED && (a->trial.status || a->ended)) decide_form(a);
    if (a->form == LUN_AS_EVENTS) read_events(a);
    else if (a->form == LUN_AS_WHOLE) read_whole(a);
}

/* ---- clocks ---- */

static lun_us silence(const attempt *a)
{
    if (a->events.done) return sooner(a->step.idle > 0 ? a->step.idle : LINGER, LINGER);
    if (a->events.finished) return sooner(a->step.idle > 0 ? a->step.idle : LINGER_FINISHED, LINGER_FINISHED);
    return a->step.idle;
}

static lun_us clocks(const attempt *a, enum lun_kind *kind)
{
    *kind = LUN_KIND_TOTAL_TIMEOUT;
    if (a->ended || a->held_since != LUN_NEVER) return LUN_NEVER;
    lun_us due = after(a->trial.sent + a->held_for, a->step.total);
    bool waiting = a->request->question->stream ? a->state == LUN_SENT : !a->trial.status;
    lun_us silent = waiting ? after(a->trial.sent, a->step.first_byte) : after(a->heard, silence(a));
    if (silent < due) {
        due = silent;
        *kind = waiting ? LUN_KIND_FIRST_BYTE_TIMEOUT : LUN_KIND_IDLE_TIMEOUT;
    }
    return due;
}

void lun_attempt_look(attempt *a)
{
    enum lun_kind kind;
    if (a->trial.closed) return;
    if (a->state == LUN_QUEUED) lun_depart_look(a);
    if (a->state == LUN_SENT) sent(a);                          /* facts first, ... */
    if (a->trial.closed || a->state == LUN_QUEUED || now(a) < clocks(a, &kind)) return;
    if (a->state == LUN_SENT && a->trial.status < 400) lun_attempt_fail(a, kind, NULL);     /* ... clocks after */
    else lun_attempt_end(a, kind, NULL);                        /* one more way for a winner's stream to end, and for an error's body */
    if (a->state == LUN_SENT) sent(a);
}

lun_us lun_attempt_due(const attempt *a)
{
    enum lun_kind kind;
    if (a->trial.closed) return LUN_NEVER;
    if (a->state != LUN_QUEUED) return clocks(a, &kind);
    return a->wants_money ? a->look_at : sooner(a->look_at, a->wait_until);
}

void lun_attempt_pause(attempt *a, bool paused)
{
    if (a->trial.closed || paused == (a->held_since != LUN_NEVER)) return;
    if (!paused) {                                              /* the time we held it is not the provider's */
        a->held_for += now(a) - a->held_since;
        a->heard = now(a) - (a->held_since > a->heard ? a->held_since - a->heard : 0);
    }
    a->held_since = paused ? now(a) : LUN_NEVER;
    a->request->ask.upstream->pause(a->call, paused);
}

/* ---- close ---- */

void lun_attempt_fail(attempt *a, enum lun_kind kind, const char *detail)
{
    char *text = lun_arena_strdup(a->request->question->arena, detail);
    if (text) scrub(a, text, strlen(text));
    a->trial.detail = text;
    a->state = LUN_FAILED;
    lun_attempt_close(a, kind);
}

static void tell_health(attempt *a)
{
    const struct lun_trial *t = &a->trial;
    const struct lun_question *q = a->request->question;
    if (!a->begun) return;
    struct lun_rests rests = lun_health_end(t->target, &(struct lun_report){ .kind = t->kind, .status = t->status, .key = t->key, .retry_after = t->retry_after,
        .latency = t->sent ? t->ended - t->sent - a->held_for : 0, .first_byte = t->first_byte ? t->first_byte - t->sent : 0,
        .who = q->who, .began = t->sent }, now(a));
    bool any = rests.lane || rests.key || rests.provider;
    if (any && q->snapshot->redis_cooling && q->registry->rests.tell) q->registry->rests.tell(q->registry->rests.self, t->target, t->key, &rests);
}

static void settle(attempt *a)
{
    struct lun_question *q = a->request->question;
    struct lun_trial *t = &a->trial;
    if (a->form == LUN_UNDECIDED && a->trial.status) decide_form(a);
    if (a->form == LUN_AS_EVENTS) {
        while (lun_attempt_event(a).kind) { }                   /* usage that came but was not read yet */
        t->usage = a->events.usage;
        t->finish_reason = *a->events.finish_reason ? lun_arena_strdup(q->arena, a->events.finish_reason) : NULL;
    }
    a->bill.told_all = a->form != LUN_AS_EVENTS || lun_stream_complete(&a->events);
    lun_bill_end(&a->bill, q, t, a->text_bytes + a->events.text_bytes);
    if (t->sent && t->usage.known) lun_turn_correct(t->target, t->key, a->turn.tokens, t->usage.input + t->usage.output, now(a));
    else if (t->sent && t->billed == LUN_BILLED_NO) lun_turn_correct(t->target, t->key, a->turn.tokens, 0, now(a));
}

void lun_attempt_close(attempt *a, enum lun_kind kind)
{
    struct lun_trial *t = &a->trial;
    if (t->closed) return;
    t->closed = true;                      /* before anything that can tell a fact */
    t->kind = kind == LUN_KIND_CANCELLED && lun_attempt_complete(a) ? LUN_KIND_OK : kind;
    t->ended = now(a);
    if (a->held_since != LUN_NEVER) a->held_for += now(a) - a->held_since;
    lun_depart_leave(a);
    const struct lun_upstream_port *upstream = a->request->ask.upstream;
    a->bill.unsent = a->call && upstream->unsent && upstream->unsent(a->call);
    if (a->call) upstream->close(a->call);
    settle(a);
    tell_health(a);
    lun_record_trial(a->request->question, t);
}

void lun_attempt_free(attempt *a)
{
    lun_buf_free(&a->in);
    lun_buf_free(&a->trial.events);
    lun_stream_free(&a->events);
}
