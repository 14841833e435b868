#include "wire/connection.h"
#include <string.h>

enum { RESERVE = 64 << 10 };    /* most that is set aside for a body before it comes */

void lun_connection_refuse(struct lun_connection *c, int status, const char *why)
{
    struct lun_server_counts *n = &c->server->counts;
    lun_count(status == 400 ? &n->refused_400 : status == 408 ? &n->refused_408 : status == 413 ? &n->refused_413
            : status == 431 ? &n->refused_431 : &n->refused_503, 1);
    c->close = true;
    c->phase = LUN_PHASE_OPEN;
    c->server->handler.refuse(c->server->handler.self, &c->x, status, why);
    lun_exchange_end(&c->x, true);
    lun_connection_wake(c);
}

static bool refuse(struct lun_connection *c, int status, const char *why)
{
    lun_connection_refuse(c, status, why);
    return false;
}

/* An empty line before a request is not yet a request. */
static bool has_begun(const struct lun_connection *c)
{
    return c->in.n > 2 || (c->in.n && memcmp(c->in.at, "\r\n", c->in.n));
}

/* The whole body is there. */
static bool body(struct lun_connection *c)
{
    const struct lun_http_request *q = &c->reader.request;
    if (q->framing != LUN_HTTP_CHUNKED) return c->in.n - c->head_n >= (c->body_n = (size_t)q->length);
    size_t start = c->head_n + c->body_n, raw = c->in.n - start, data, used;
    if (!raw) return false;
    char *at = c->in.at + start;
    enum lun_http_result got = lun_chunks_decode(&c->chunks, at, raw, &data, &used);
    if (got == LUN_HTTP_BAD) return refuse(c, c->chunks.status, c->chunks.why);
    memmove(at + data, at + used, raw - used);
    c->in.n -= used - data;
    c->body_n += data;
    if ((int64_t)c->body_n > c->server->options.body) return refuse(c, 413, "The body is too large.");
    return got == LUN_HTTP_DONE;
}

/* The body is still to come: may it? */
static void admit(struct lun_connection *c)
{
    struct lun_http_request *q = &c->reader.request;
    const struct lun_server_handler *h = &c->server->handler;
    bool close = c->close;
    c->phase = LUN_PHASE_OPEN;
    c->close = true;
    if (h->judge && !h->judge(h->self, &c->x, q)) { lun_exchange_end(&c->x, true); return; }
    if (c->phase != LUN_PHASE_OPEN) return;
    c->close = close;
    lun_connection_enter(c, LUN_PHASE_BODY);
    if (q->expect_continue) lun_buf_puts(lun_connection_out(c), "HTTP/1.1 100 Continue\r\n\r\n");
    size_t missing = c->head_n + (size_t)(q->length > 0 ? q->length : 0) - c->in.n;
    if (q->length > 0) lun_buf_space(&c->in, missing < RESERVE ? missing : RESERVE);
}

/* The whole request is there; false also when it was refused. */
static bool head(struct lun_connection *c)
{
    if (!c->begun && !has_begun(c)) return false;
    if (!c->begun) { c->begun = true; c->x.started = c->since = lun_server_now(c->server); }
    const struct lun_http_request *q = &c->reader.request;
    enum lun_http_result got = lun_http_read(&c->reader, c->in.at, c->in.n, c->server->options.limits, &c->head_n);
    if (got == LUN_HTTP_BAD) return refuse(c, c->reader.status, c->reader.why);
    if (got == LUN_HTTP_MORE) return false;
    c->x.old = !q->minor;
    c->x.asked_head = lun_slice_is(q->method, "HEAD");
    c->x.wants_trailers = q->wants_trailers;
    c->close = !q->keep_alive;
    c->body_n = 0;
    c->chunks = (struct lun_chunks){0};
    if (q->length > c->server->options.body) return refuse(c, 413, "The body is too large.");
    c->phase = LUN_PHASE_BODY;
    if (body(c)) return true;
    if (c->phase == LUN_PHASE_BODY) admit(c);
    return false;
}

static void hand(struct lun_connection *c)
{
    const struct lun_server_handler *h = &c->server->handler;
    size_t whole = c->head_n + c->body_n;
    if (c->in.n > whole) lun_buf_add(&c->ahead, c->in.at + whole, c->in.n - whole);
    c->in.n = whole;
    lun_http_moved(&c->reader, c->in.at);
    c->x.handed = true;
    lun_connection_enter(c, LUN_PHASE_OPEN);
    lun_count(&c->server->counts.requests, 1);
    h->request(h->self, &c->x, &c->reader.request, c->in.at + c->head_n, c->body_n);
}

void lun_connection_over(struct lun_connection *c)
{
    lun_buf_free(&c->x.trailers);
    c->x = (struct lun_exchange){0};
    lun_http_reset(&c->reader);
    lun_server_take_back(c->server, &c->in);
    c->in = c->ahead;
    c->ahead = (struct lun_buf){0};
    c->begun = c->first = false;
    if (c->server->draining) c->close = true;
    lun_connection_enter(c, c->close ? LUN_PHASE_CLOSING : LUN_PHASE_HEAD);
    lun_connection_wake(c);
}

/* Serves what is there, one after the other; not faster than the client reads the answers. */
void lun_connection_serve(struct lun_connection *c)
{
    for (;;) {
        c->held = c->phase == LUN_PHASE_HEAD && c->in.n && lun_connection_waiting(c) >= LUN_SERVER_LOW;
        if (c->held || !(c->phase == LUN_PHASE_HEAD ? head(c) : c->phase == LUN_PHASE_BODY && body(c))) return;
        hand(c);
    }
}
