#include "gateway/probe_call.h"
#include "base/alloc.h"
#include "gateway/answer.h"
#include "gateway/bill.h"
#include "gateway/recognise.h"
#include "gateway/splice.h"
#include "gateway/translate.h"
#include <stdlib.h>
#include <string.h>

#define ANSWER ((size_t)64 << 10)       /* bytes of a completion of five tokens */

struct lun_probe_call {
    struct lun_task task;               /* what came is dealt with outside of the carrier's callbacks */
    struct lun_timer timer;             /* its limit */
    const struct lun_probe_ways *ways;
    struct lun_probe_ask ask;
    void (*done)(void *, struct lun_probe_call *, const struct lun_probe_answer *); void *self;
    struct lun_question *question;      /* NULL: a GET in the native dialect */
    struct lun_step step;
    struct lun_trial trial;
    struct lun_target stand_in;         /* a GET needs a target only to have its dialect's letter written */
    struct lun_bill bill;
    struct lun_translation *translation;
    struct lun_pair headers[LUN_LETTER_HEADERS];
    const struct lun_carrier *carrier; void *carried;
    struct lun_buf in; size_t keep;
    enum lun_kind kind; bool ended;
    struct lun_probe_answer answer;
};
typedef struct lun_probe_call call;

enum lun_probe_result lun_probe_result_of(enum lun_kind kind, int status)
{
    if (status == 401) return LUN_PROBE_REFUSED;
    if (status == 408 || status == 429 || status >= 500) return LUN_PROBE_FAILED;
    if (status >= 300) return LUN_PROBE_UNCLEAR;
    if (kind == LUN_KIND_OK) return status ? LUN_PROBE_GOOD : LUN_PROBE_FAILED;
    return lun_kind_breaks(kind) || kind == LUN_KIND_RATE_LIMITED ? LUN_PROBE_FAILED : LUN_PROBE_UNCLEAR;
}

/* ---- the end ---- */

static uint64_t read_answer(call *c)
{
    struct lun_reading reading = {0};
    if (!c->ask.target || c->kind != LUN_KIND_OK) return 0;
    lun_answer_read(c->trial.status, c->in.at ? c->in.at : "", c->in.n, c->question->arena, &reading);
    c->kind = reading.kind;
    c->trial.usage = reading.usage;
    return reading.text_bytes;
}

static void settle(call *c)
{
    uint64_t text_bytes = read_answer(c);
    c->trial.kind = c->kind;
    c->trial.ended = c->ways->loop->now;
    if (c->ask.target && c->trial.sent) lun_bill_end(&c->bill, c->question, &c->trial, text_bytes);
}

static void conclude(struct lun_task *task)
{
    call *c = (call *)(void *)task;
    lun_timer_set(c->ways->loop, &c->timer, LUN_NEVER);
    if (!c->trial.sent) { c->done(c->self, c, &c->answer); return; }
    settle(c);
    c->trial.sent = 0;
    c->answer = (struct lun_probe_answer){ .kind = c->kind, .status = c->trial.status, .result = lun_probe_result_of(c->kind, c->trial.status),
                                           .body = c->in.at, .n = c->in.n, .cost = c->trial.cost, .began = c->answer.began };
    c->done(c->self, c, &c->answer);
}

static void end(call *c, enum lun_kind kind)
{
    if (c->ended) return;
    c->ended = true;
    c->kind = kind;
    lun_loop_wake(c->ways->loop, &c->task);
}

static void on_head(void *self, const struct lun_answer_head *head)
{
    call *c = self;
    c->trial.status = head->status;
    c->trial.first_byte = c->ways->loop->now;
}
static void on_bytes(void *self, const char *bytes, size_t n)
{
    call *c = self;
    if (n > c->keep - c->in.n) n = c->keep - c->in.n;
    if (n && !c->ended) lun_buf_add(&c->in, bytes, n);
}
static void on_end(void *self, enum lun_kind kind, const char *detail) { (void)detail, end(self, kind); }
static const struct lun_ear ear = { on_head, on_bytes, on_end };

/* A provider that has said 200 and then goes on for ever has not answered. */
static void too_late(struct lun_timer *t)
{
    call *c = (call *)(void *)((char *)t - offsetof(call, timer));
    if (!c->ended && c->trial.status < 300) c->trial.status = 0;
    end(c, LUN_KIND_TOTAL_TIMEOUT);
}

/* ---- the beginning ---- */

static void make_question(call *c)
{
    const struct lun_probe_ways *w = c->ways;
    struct lun_error error;
    c->question = lun_question_new(NULL, w->snapshot, w->registry, w->loop, w->wall ? w->wall(w->wall_self) : lun_clock_wall(), (uint64_t)w->loop->now);
    const char *body = lun_arena_printf(c->question->arena, "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}],\"max_tokens\":%d}",
                                        c->ask.max_tokens ? c->ask.max_tokens : 1);
    struct lun_incoming in = { .endpoint = LUN_ENDPOINT_CHAT, .body = body, .n = strlen(body) };
    lun_recognise(c->question, &in, &error);        /* that no model can be asked for by name, only by a pattern, is none of our business */
    const struct lun_target *t = c->ask.target;
    if (!t) c->stand_in = (struct lun_target){ .provider = c->ask.provider, .name = "", .model = "probe", .upstream = "probe", .price = lun_price_unknown };
    c->step = (struct lun_step){ .target = t ? t : &c->stand_in, .connect = c->ask.provider->timeouts.connect };
    c->trial = (struct lun_trial){ .number = 1, .try = 1, .target = c->step.target, .upstream = c->step.target->upstream, .key = c->ask.key };
}

static bool pays(call *c)
{
    const char *detail;
    return !c->ask.target || (lun_bill_fits(&c->bill, c->question, &c->step, &detail)
        && lun_bill_take(&c->bill, c->question, &c->trial, c->ways->registry->money, &detail) == LUN_TAKEN);
}

static void write_native(call *c, const struct lun_call *of, struct lun_letter *letter)
{
    c->headers[0] = (struct lun_pair){ "accept", "application/json" };
    c->headers[1] = (struct lun_pair){ "content-type", "application/json" };
    *letter = (struct lun_letter){ .method = "POST", .path = lun_endpoint_path(LUN_ENDPOINT_CHAT), .headers = c->headers, .n_headers = 2,
                                   .key_header = "authorization", .key_prefix = "Bearer " };
    if (of) letter->n_body = lun_splice(of, &letter->body);
}

/* A letter of the dialect's becomes a GET: its key and its headers stay. */
static void make_get(call *c, struct lun_letter *letter)
{
    int n = 0;
    for (int i = 0; i < letter->n_headers; i++)
        if (strcmp(letter->headers[i].name, "content-type")) c->headers[n++] = letter->headers[i];
    letter->method = "GET";
    letter->path = c->ask.path;
    letter->headers = c->headers;
    letter->n_headers = n;
    letter->body = NULL;
    letter->n_body = 0;
}

static bool write_letter(call *c, struct lun_letter *letter)
{
    const struct lun_call of = { .question = c->question, .step = &c->step, .trial = &c->trial, .key = c->ask.key, .cap = c->ask.target ? c->bill.cap : -1 };
    const char *why;
    if (!strcmp(c->ask.provider->dialect, "openai")) write_native(c, c->question ? &of : NULL, letter);
    else if (!(c->translation = lun_translation_new(c->ways->upstreams->dialects, &of, &ear, c, letter, &why))) return false;
    if (!c->ask.target) make_get(c, letter);
    return true;
}

static void send_letter(call *c)
{
    struct lun_letter letter;
    c->trial.sent = c->ways->loop->now;
    if (!write_letter(c, &letter)) { end(c, LUN_KIND_BAD_REQUEST); return; }
    bool back = c->translation && c->ask.target;
    c->carried = c->carrier->send(c->carrier->self, c->ask.provider, c->ask.key, c->ask.provider->timeouts.connect, &letter,
                                  back ? &lun_translation_ear : &ear, back ? (void *)c->translation : (void *)c);
}

static const struct lun_carrier *way_to(const struct lun_probe_ways *ways, const struct lun_provider *p)
{
    return p->script ? ways->upstreams->script : ways->upstreams->network;
}

bool lun_probe_reaches(const struct lun_probe_ways *ways, const struct lun_provider *p) { return way_to(ways, p); }

int lun_probe_key(const struct lun_provider *p)
{
    for (int key = 0; key < p->n_keys; key++) if (!lun_health_key_is_out(p, key)) return key;
    return p->n_keys ? LUN_PROBE_ALL_OUT : -1;
}

call *lun_probe_call_new(const struct lun_probe_ways *ways, const struct lun_probe_ask *ask,
                         void (*done)(void *, call *, const struct lun_probe_answer *), void *self)
{
    call *c = lun_zalloc(sizeof *c);
    *c = (call){ .task.run = conclude, .timer.fire = too_late, .ways = ways, .ask = *ask, .done = done, .self = self, .keep = ask->target ? ANSWER : ask->keep };
    c->carrier = way_to(ways, ask->provider);
    c->answer = (struct lun_probe_answer){ .result = LUN_PROBE_UNCLEAR, .kind = LUN_KIND_SKIPPED, .began = ways->loop->now };
    bool native = !strcmp(ask->provider->dialect, "openai");
    if (ask->target || !native) make_question(c);
    if (!pays(c)) c->answer.result = LUN_PROBE_UNPAID;
    else if (c->carrier) send_letter(c);
    if (c->carried) lun_timer_set(ways->loop, &c->timer, ways->loop->now + ask->timeout);
    else if (!c->ended) lun_loop_wake(ways->loop, &c->task);
    return c;
}

void lun_probe_call_free(call *c)
{
    if (c->trial.sent) {                /* given up */
        if (!c->ended) c->kind = LUN_KIND_CANCELLED;
        settle(c);
    }
    if (c->carried) c->carrier->close(c->carried);
    lun_translation_free(c->translation);
    lun_timer_set(c->ways->loop, &c->timer, LUN_NEVER);
    lun_loop_forget(c->ways->loop, &c->task);
    if (c->question) lun_question_free(c->question);
    lun_buf_free(&c->in);
    free(c);
}
