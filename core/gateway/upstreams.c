#include "gateway/upstreams.h"
#include "base/alloc.h"
#include "gateway/splice.h"
#include "gateway/translate.h"
#include <stdlib.h>
#include <string.h>

struct sent {
    struct lun_attempt *attempt;
    const struct lun_carrier *carrier;
    void *carried;                      /* NULL: could not be sent, and `end` was told */
    struct lun_translation *translation;
    struct lun_pair headers[4];
};

static void on_head(void *self, const struct lun_answer_head *head)          { lun_attempt_head(((struct sent *)self)->attempt, head); }
static void on_bytes(void *self, const char *bytes, size_t n)                { lun_attempt_bytes(((struct sent *)self)->attempt, bytes, n); }
static void on_end(void *self, enum lun_kind kind, const char *detail)       { lun_attempt_end(((struct sent *)self)->attempt, kind, detail); }
static const struct lun_ear ear = { on_head, on_bytes, on_end };

static void write_native(struct sent *s, const struct lun_call *call, struct lun_letter *letter)
{
    s->headers[0] = (struct lun_pair){ "content-type", "application/json" };
    s->headers[1] = (struct lun_pair){ "accept", call->stream ? "text/event-stream" : "application/json" };
    s->headers[2] = (struct lun_pair){ "x-client-request-id", call->question->id };
    *letter = (struct lun_letter){ .method = "POST", .path = lun_endpoint_path(call->question->endpoint), .headers = s->headers, .n_headers = 3,
                                   .key_header = "authorization", .key_prefix = "Bearer ", .stream = call->stream };
    letter->n_body = lun_splice(call, &letter->body);
}

static void *start(void *self, const struct lun_call *call, struct lun_attempt *attempt)
{
    struct lun_upstreams *u = self;
    const struct lun_provider *provider = call->step->target->provider;
    struct sent *s = lun_zalloc(sizeof *s);
    struct lun_letter letter;
    const char *why = "this gateway has no way to it";
    *s = (struct sent){ .attempt = attempt, .carrier = provider->script ? u->script : u->network };
    bool native = !strcmp(provider->dialect, "openai");
    if (s->carrier && native) write_native(s, call, &letter);
    else if (s->carrier) s->translation = lun_translation_new(u->dialects, call, &ear, s, &letter, &why);
    if (s->carrier && (native || s->translation))
        s->carried = s->carrier->send(s->carrier->self, provider, call->key, call->step->connect, &letter,
                                      native ? &ear : &lun_translation_ear, native ? (void *)s : (void *)s->translation);
    else lun_attempt_end(attempt, LUN_KIND_BAD_REQUEST, why);
    return s;
}

static void hold(void *call, bool paused)
{
    struct sent *s = call;
    if (s->carried) s->carrier->pause(s->carried, paused);
}

static bool unsent(void *call)
{
    struct sent *s = call;
    return s->carried && s->carrier->unsent && s->carrier->unsent(s->carried);
}

static void finish(void *call)
{
    struct sent *s = call;
    if (s->carried) s->carrier->close(s->carried);
    lun_translation_free(s->translation);
    free(s);
}

const struct lun_upstream_port lun_upstreams_port = { start, hold, finish, unsent };
