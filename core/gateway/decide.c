#include "gateway/decide.h"
#include "base/alloc.h"
#include "gateway/recognise.h"
#include "state/charge.h"
#include <stdlib.h>
#include <string.h>

#define HEADERS 64              /* of an answer to lunette.http that a policy sees */

struct lun_decider {
    struct lun_station *station;
    struct lun_decider *next, **at;     /* among the station's */
    struct lun_request *walk;
    struct lun_policy *policy;          /* the one it began with, also when the station has a fresh one by now */
    bool thought_once;
    bool decided; lun_us decision;      /* whether a hook was asked before the first attempt; the CPU time of those that were */
    /* while a hook is asked */
    struct lun_request *request;
    enum lun_hook hook;
    lun_us until;                       /* how long the hook may wait: half of the time there is, so that the default can still decide. For
                                           `finish` the walk has a limit of its own */
    struct lun_thought *thought;
    struct lun_outcome outcome;         /* that `finish` is told: it may look at it after it has waited */
    struct lun_task wake;               /* a wish was granted: thinks on, but never inside whoever granted it */
    struct lun_timer timer; const char *refused;        /* of a sleep: why there is none */
    void *fetch;
    struct lun_request *chat;
    struct lun_buf heard; int heard_status;
    struct lun_wish_result result; struct lun_buf result_body;
};

static void run_on(struct lun_task *);
static void rang(struct lun_timer *);

struct lun_decider *lun_decider_new(struct lun_station *s, struct lun_question *q)
{
    struct lun_decider *m = lun_arena_alloc(q->arena, sizeof *m);
    *m = (struct lun_decider){ .station = s, .policy = s->policy, .wake.run = run_on, .timer.fire = rang, .next = s->deciders, .at = &s->deciders };
    if (m->next) m->next->at = &m->next;
    return s->deciders = m;
}

struct lun_request *lun_decider_begin(struct lun_decider *m, const struct lun_ask *ask) { return m->walk = lun_request_open(m->station->loop, ask); }
struct lun_request *lun_decider_walk(const struct lun_decider *m) { return m->walk; }
struct lun_decider *lun_decider_next(const struct lun_decider *m) { return m->next; }

struct lun_station *lun_decider_station(const struct lun_decider *m) { return m->station; }

static void still(struct lun_decider *m)       /* nothing is waited for any more */
{
    lun_timer_set(m->station->loop, &m->timer, LUN_NEVER);
    lun_loop_forget(m->station->loop, &m->wake);
    if (m->fetch) m->station->web->cancel(m->fetch);
    if (m->chat) lun_request_leave(m->chat);
    m->fetch = NULL;
    m->chat = NULL;
    m->heard.n = m->result_body.n = 0;
}

void lun_decider_free(struct lun_decider *m, struct lun_question *q)
{
    still(m);
    if ((*m->at = m->next)) m->next->at = m->at;
    if (m->thought) lun_thought_end(m->thought);
    if (m->thought_once) lun_policy_forget(m->policy, q);
    if (m->decided) lun_metrics_kept_add(m->station->snapshot->counted, LUN_METRIC_DECISION, NULL, (double)m->decision / 1e6);
    lun_buf_free(&m->heard);
    lun_buf_free(&m->result_body);
}

/* ---- wishes ---- */

static void granted(struct lun_decider *m, const struct lun_wish_result *result)
{
    m->result = *result;
    lun_loop_wake(m->station->loop, &m->wake);
}

static void rang(struct lun_timer *t)
{
    struct lun_decider *m = (struct lun_decider *)((char *)t - offsetof(struct lun_decider, timer));
    granted(m, &(struct lun_wish_result){ .error = m->refused });
}

/* What it brought is borrowed until we return; the hook is told later. */
static void fetched(void *owner, const struct lun_wish_result *result)
{
    struct lun_decider *m = owner;
    struct lun_arena *arena = lun_request_question(m->request)->arena;
    struct lun_wish_result copy = *result;
    m->fetch = NULL;
    m->result_body.n = 0;
    lun_buf_add(&m->result_body, result->body, result->body_n);
    copy.body = m->result_body.at;
    copy.error = lun_arena_strdup(arena, result->error);
    copy.n_headers = result->n_headers < HEADERS ? result->n_headers : HEADERS;
    struct lun_pair *headers = lun_arena_alloc(arena, (size_t)(copy.n_headers + 1) * sizeof *headers);
    for (int i = 0; i < copy.n_headers; i++)
        headers[i] = (struct lun_pair){ lun_arena_strdup(arena, result->headers[i].name), lun_arena_strdup(arena, result->headers[i].value) };
    copy.headers = headers;
    granted(m, &copy);
}

/* A chat is an ordinary request whose client is the hook. */
static void chat_head(void *self, const struct lun_head *head)           { ((struct lun_decider *)self)->heard_status = head->status; }
static void chat_bytes(void *self, const char *bytes, size_t n)          { lun_buf_add(&((struct lun_decider *)self)->heard, bytes, n); }
static void chat_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    struct lun_decider *m = self;
    (void)trailers, (void)n;
    m->chat = NULL;
    struct lun_wish_result result = { .status = m->heard_status, .body = m->heard.at, .body_n = m->heard.n };
    if (end != LUN_CLEAN || m->heard_status != 200) result.error = "the model did not answer";
    granted(m, &result);
}
static const struct lun_client chat_client = { chat_head, chat_bytes, chat_end, NULL };

static void write_chat(const struct lun_wish *w, struct lun_buf *body)
{
    lun_buf_putc(body, '{');
    lun_json_member_text(body, "model", w->chat.model);
    lun_json_put_key(body, "messages");
    lun_buf_puts(body, w->chat.messages);
    if (w->chat.max_tokens >= 0) {
        lun_json_member_int(body, "max_tokens", w->chat.max_tokens);
    }
    lun_buf_putc(body, '}');
}

static lun_us time_left(const struct lun_decider *m) { return m->until > m->station->loop->now ? m->until - m->station->loop->now : 0; }
static lun_us shorter(lun_us a, lun_us b) { return a < b ? a : b; }

static void begin_chat(struct lun_decider *m, const struct lun_wish *w)
{
    struct lun_question *asker = lun_request_question(m->request), *q = lun_station_question(m->station);
    struct lun_error error;
    q->inner = true;
    write_chat(w, &q->kept);
    m->heard.n = 0;
    m->heard_status = 0;
    struct lun_incoming in = { .endpoint = LUN_ENDPOINT_CHAT, .body = q->kept.at, .n = q->kept.n, .client = w->chat.pay_total ? NULL : asker->client,
                                .key = w->chat.pay_total ? NULL : asker->key };
    if (!lun_recognise(q, &in, &error)) {
        m->heard.n = 0;
        lun_buf_puts(&m->heard, error.message ? error.message : lun_code_name(error.code));
        lun_station_refused(m->station, q, &error);
        granted(m, &(struct lun_wish_result){ .error = lun_buf_text(&m->heard) });
        return;
    }
    if (!w->chat.pay_total) lun_charge_inherit(q, asker);
    q->deadline = m->station->loop->now + shorter(w->chat.timeout, time_left(m));
    lun_question_note(q, "for", lun_arena_printf(q->arena, "\"%s\"", asker->id));
    m->chat = lun_station_open(m->station, q, &chat_client, m, false);
}

/* Never within the same turn of the loop: a hook that does nothing but sleep(0) would keep the others from it. */
static void begin_sleep(struct lun_decider *m, lun_us delay)
{
    m->refused = delay < time_left(m) ? NULL : "deadline";
    lun_timer_set(m->station->loop, &m->timer, m->station->loop->now + (delay && !m->refused ? delay : 1));
}

static void grant(struct lun_decider *m)
{
    struct lun_wish *w = &m->thought->wish;
    struct lun_question *q = lun_request_question(m->request);
    if (w->kind != LUN_WISH_SLEEP && q->before) {
        granted(m, &(struct lun_wish_result){ .error = "a replay asks nobody" });       /* unless the log has what came */
        return;
    }
    if (m->station->alone && w->kind != LUN_WISH_SLEEP) {
        m->station->unasked++;
        granted(m, &(struct lun_wish_result){ .error = m->station->alone });
        return;
    }
    switch (w->kind) {
    case LUN_WISH_SLEEP:
        begin_sleep(m, w->delay);
        return;
    case LUN_WISH_HTTP:
        w->http.timeout = shorter(w->http.timeout, time_left(m));
        if (m->station->web) m->fetch = m->station->web->fetch(m->station->web->self, w, fetched, m);
        else granted(m, &(struct lun_wish_result){ .error = "there is no network here" });
        return;
    case LUN_WISH_CHAT:
        begin_chat(m, w);
        return;
    }
}

/* ---- hooks ---- */

static void failed(struct lun_decider *m, struct lun_answer *answer)
{
    struct lun_question *q = lun_request_question(m->request);
    const char *hook = lun_hook_name(m->hook);
    q->policy_failed = true;
    lun_metrics_add(m->station->registry->metrics, LUN_METRIC_POLICY_ERRORS, (const char *[]){ hook, m->thought->reason }, 1);
    lun_log(m->station->log, LUN_LOG_WARN, "policy %s, hook %s: %s (request %s; the default decides)", q->snapshot->version, hook, m->thought->error, q->id);
    if (m->station->trouble)
        m->station->trouble(m->station->trouble_self, &(struct lun_trouble){ q->snapshot, m->hook, m->thought->reason, m->thought->error });
    struct lun_buf text = {0};
    lun_json_put_text(&text, m->thought->error);
    lun_question_note(q, lun_arena_printf(q->arena, "error_%s", hook), lun_buf_text(&text));
    lun_buf_free(&text);
    *answer = (struct lun_answer){ .verb = LUN_DEFAULT };
    if (q->snapshot->refuse_on_error && m->hook <= LUN_HOOK_SELECT)
        *answer = (struct lun_answer){ .verb = LUN_REFUSE, .status = 503, .message = "The policy could not decide." };
}

static void think_on(struct lun_decider *m)
{
    struct lun_answer answer;
    if (m->thought->state == LUN_THOUGHT_WISHES && !time_left(m)) lun_thought_give_up(m->thought);
    if (m->thought->state == LUN_THOUGHT_WISHES) { grant(m); return; }
    lun_metrics_kept_add(m->station->snapshot->counted, LUN_METRIC_POLICY_SECONDS, (const char *[]){ lun_hook_name(m->hook) }, (double)m->thought->cpu / 1e6);
    if (m->hook <= LUN_HOOK_SELECT) {
        m->decided = true;
        m->decision += m->thought->cpu;
        lun_request_question(m->request)->thought += m->thought->cpu;
    }
    if (m->thought->state == LUN_THOUGHT_FAILED) failed(m, &answer);
    else answer = m->thought->answer;
    lun_thought_end(m->thought);
    m->thought = NULL;
    lun_request_answer(m->request, &answer);
}

static void run_on(struct lun_task *task)
{
    struct lun_decider *m = (struct lun_decider *)((char *)task - offsetof(struct lun_decider, wake));
    struct lun_wish_result result = m->result;
    lun_thought_fulfil(m->thought, &result);
    think_on(m);
}

static lun_us half_way(lun_us from, lun_us to) { return to > from ? from + (to - from) / 2 : from; }

static void ask(void *self, struct lun_request *r, enum lun_hook hook, const struct lun_trial *about)
{
    struct lun_decider *m = self;
    if (!lun_policy_has(m->policy, hook)) {
        lun_request_answer(r, &(struct lun_answer){ .verb = LUN_DEFAULT });
        return;
    }
    m->request = r;
    m->hook = hook;
    m->until = hook == LUN_HOOK_FINISH ? LUN_NEVER : half_way(m->station->loop->now, lun_request_question(r)->deadline);
    m->thought_once = true;
    if (hook == LUN_HOOK_FINISH) {
        const struct lun_done *done = lun_request_done(r);
        m->outcome = (struct lun_outcome){ .status = done->status, .trial = done->trial, .usage = done->usage, .cost = done->cost,
                                           .latency = done->latency, .ttft = done->ttft, .waited = done->waited, .fallback = done->fallback,
                                           .cached = lun_cache_answers(done->cache) };
    }
    m->thought = lun_policy_think(m->policy, lun_request_question(r), hook, about, hook == LUN_HOOK_FINISH ? &m->outcome : NULL);
    think_on(m);
}

static void drop(void *self, struct lun_request *r)
{
    struct lun_decider *m = self;
    (void)r;
    still(m);
    if (m->thought) lun_thought_end(m->thought);
    m->thought = NULL;
}

const struct lun_policy_port lun_decider_port = { ask, drop };
