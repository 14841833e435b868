#include "gateway/upstream_log.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

enum stage { AT_HEAD, AT_END, AT_OVER };
struct played {
    struct lun_timer timer;
    struct lun_loop *loop;
    struct lun_attempt *attempt;
    enum lun_endpoint endpoint;
    bool stream, paused;
    struct lun_ending outcome;
    enum stage stage;
    lun_us began, due, ping;            /* ping: a stream is not silent for longer */
};

/* ---- bytes ---- */

static const char *code_of(enum lun_kind kind)
{
    switch (kind) {
    case LUN_KIND_QUOTA:        return "insufficient_quota";
    case LUN_KIND_TOO_LONG:     return "context_length_exceeded";
    case LUN_KIND_FILTERED:     return "content_filter";
    case LUN_KIND_RATE_LIMITED: return "rate_limit_exceeded";
    case LUN_KIND_OVERLOADED:   return "overloaded";
    case LUN_KIND_AUTH:         return "invalid_api_key";
    case LUN_KIND_NOT_FOUND:    return "model_not_found";
    case LUN_KIND_BAD_REQUEST:  return "bad_request";
    default:                    return "server_error";
    }
}

static void put_usage(struct lun_buf *out, const struct lun_usage *u)
{
    if (!u->known || u->estimated) return;
    lun_buf_printf(out, ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,", (long long)u->input, (long long)u->output);
    lun_buf_printf(out, "\"prompt_tokens_details\":{\"cached_tokens\":%lld},", (long long)u->cached_input);
    lun_buf_printf(out, "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}", (long long)u->reasoning);
}

static void put_choice(struct lun_buf *out, const struct played *p, const char *finish)
{
    if (p->endpoint == LUN_ENDPOINT_EMBEDDINGS) lun_buf_puts(out, "\"data\":[{\"index\":0,\"embedding\":[0]}]");
    else if (p->endpoint == LUN_ENDPOINT_COMPLETIONS) lun_buf_printf(out, "\"choices\":[{\"index\":0,\"text\":\"x\"%s}]", finish);
    else lun_buf_printf(out, "\"choices\":[{\"index\":0,\"%s\":{\"content\":\"x\"}%s}]", p->stream ? "delta" : "message", finish);
}

static void say(const struct played *p, struct lun_buf *out)
{
    lun_attempt_bytes(p->attempt, out->at, out->n);
    lun_buf_free(out);
}

static void say_first(const struct played *p)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, "data: {");
    put_choice(&out, p, "");
    lun_buf_puts(&out, "}\n\n");
    say(p, &out);
}

static void say_answer(const struct played *p)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, p->stream ? "data: {" : "{");
    put_choice(&out, p, ",\"finish_reason\":\"stop\"");
    put_usage(&out, &p->outcome.usage);
    lun_buf_puts(&out, p->stream ? "}\n\ndata: [DONE]\n\n" : "}");
    say(p, &out);
}

static void say_error(const struct played *p)
{
    struct lun_buf out = {0};
    lun_buf_printf(&out, "{\"error\":{\"message\":\"as in the log\",\"code\":\"%s\"}}", code_of(p->outcome.kind));
    say(p, &out);
}

/* ---- moments ---- */

static void wait(struct played *p)
{
    const struct lun_ending *o = &p->outcome;
    lun_us due = p->began + (p->stage == AT_HEAD ? o->ttft : o->took), now = p->loop->now;
    if (p->stage == AT_OVER) due = LUN_NEVER;
    else if (p->stage == AT_END && p->ping && due > now + p->ping) due = now + p->ping;
    p->due = due;
    lun_timer_set(p->loop, &p->timer, p->paused ? LUN_NEVER : due);
}

static void head(struct played *p)
{
    static const struct lun_pair json[] = { { "content-type", "application/json" } }, events[] = { { "content-type", "text/event-stream" } };
    bool good = p->outcome.status < 300;
    lun_attempt_head(p->attempt, &(struct lun_answer_head){ .status = p->outcome.status, .headers = good && p->stream ? events : json, .n_headers = 1 });
}

static void begin(struct played *p)
{
    head(p);
    if (p->stream) say_first(p);
    p->stage = AT_END;
}

static void end(struct played *p)
{
    const struct lun_ending *o = &p->outcome;
    p->stage = AT_OVER;
    if (o->status && o->ttft < 0) head(p);
    if (o->kind == LUN_KIND_OK) say_answer(p);
    else if (o->status >= 400) say_error(p);
    bool read = o->kind == LUN_KIND_OK || o->status >= 400;         /* then its bytes say how it ended */
    lun_attempt_end(p->attempt, read ? LUN_KIND_OK : o->kind, NULL);
}

static void fire(struct lun_timer *t)
{
    struct played *p = (struct played *)t;
    if (p->stage == AT_HEAD) begin(p);
    else if (p->loop->now >= p->began + p->outcome.took) end(p);
    else lun_attempt_bytes(p->attempt, ": \n\n", 4);
    wait(p);
}

/* ---- the port ---- */

static void *start(void *self, const struct lun_call *call, struct lun_attempt *attempt)
{
    const struct lun_upstream_log *u = self;
    struct played *p = lun_zalloc(sizeof *p);
    *p = (struct played){ .timer.fire = fire, .loop = u->loop, .attempt = attempt, .endpoint = call->question->endpoint, .stream = call->stream,
                          .began = u->loop->now };
    p->outcome = (struct lun_ending){ .kind = LUN_KIND_OK, .status = 200, .ttft = -1 };
    u->tell(u->self, call, &p->outcome);
    if (p->outcome.kind == LUN_KIND_OK && !p->outcome.status) p->outcome.status = 200;
    if (p->outcome.status < 200 || p->outcome.status >= 300 || p->outcome.ttft > p->outcome.took) p->outcome.ttft = -1;
    p->stage = p->outcome.ttft >= 0 ? AT_HEAD : AT_END;
    p->ping = call->stream && p->outcome.ttft >= 0 ? call->step->idle / 2 : 0;
    wait(p);
    return p;
}

static void hold(void *call, bool paused)
{
    struct played *p = call;
    p->paused = paused;
    lun_timer_set(p->loop, &p->timer, paused ? LUN_NEVER : p->due);
}

static void finish(void *call)
{
    struct played *p = call;
    lun_timer_set(p->loop, &p->timer, LUN_NEVER);
    free(p);
}

const struct lun_upstream_port lun_upstream_log_port = { start, hold, finish };
