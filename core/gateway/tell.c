/* What a walk tells its client, and nothing any more once it has left. */
#include "gateway/reply.h"
#include "gateway/walk.h"
#include <string.h>

typedef struct lun_request request;

static void head(request *r, const struct lun_head *h)
{
    if (r->gone || r->headed) return;
    r->headed = true;
    r->done.status = h->status;
    r->ask.client->head(r->ask.client_self, h);
}

/* Events are UTF-8 whatever a provider says of them (WHATWG HTML, "Server-sent events"). It is said, as OpenAI does: a text/… of which nothing is
 * said is ISO-8859-1 to clients that go by RFC 2616 (Python's requests). */
static const char events_type[] = "text/event-stream; charset=utf-8";

static const char *type_of(const char *given, bool stream)
{
    return stream ? events_type : given ? given : "application/json";
}

void lun_tell_head(request *r, const struct lun_trial *t, const char *content_type, int64_t length)
{
    struct lun_head h;
    bool stream = r->question->stream;
    if (!r->done.ttft) r->done.ttft = r->loop->now - r->question->arrived;
    if (r->headed) return;
    lun_reply_head(r->question, 200, type_of(content_type, stream), t, &r->done, NULL, stream ? -1 : length, &h);
    head(r, &h);
}

void lun_tell_bytes(request *r, const char *bytes, size_t n)
{
    if (!r->gone && n) r->ask.client->bytes(r->ask.client_self, bytes, n);
    r->spoke = r->loop->now;
}

void lun_tell_error(request *r, const struct lun_error *e)
{
    struct lun_buf out = {0};
    struct lun_head h;
    r->done.code = lun_code_name(e->code);
    r->done.message = e->message ? e->message : lun_code_message(e->code);
    if (r->headed) lun_reply_error_event(r->question, e, &out);     /* content or a keep-alive went out: too late for a status */
    else {
        lun_reply_error_body(r->question, e, &out);
        lun_reply_head(r->question, e->status ? e->status : lun_code_status(e->code), "application/json", NULL, &r->done, e, (int64_t)out.n, &h);
        head(r, &h);
    }
    lun_tell_bytes(r, out.at, out.n);
    lun_buf_free(&out);
}

lun_us lun_tell_keepalive_due(const request *r)
{
    lun_us every = r->question->snapshot->keepalive;
    bool wanted = r->question->stream && !r->question->decide_only && every > 0 && !r->paused && r->state < LUN_AT_FINISH;
    if (!wanted || (r->about && lun_attempt_complete(r->about))) return LUN_NEVER;
    return every > LUN_NEVER - r->spoke ? LUN_NEVER : r->spoke + every;
}

void lun_tell_keepalive(request *r)
{
    struct lun_head h;
    if (r->loop->now < lun_tell_keepalive_due(r)) return;
    if (!r->headed) {
        lun_reply_head(r->question, 200, events_type, NULL, NULL, NULL, -1, &h);
        head(r, &h);
    }
    lun_tell_bytes(r, ":\n", 2);
}
