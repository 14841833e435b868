#include "base/alloc.h"
#include "state/snapshot.h"
#include "wire/connection.h"
#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { HEAD_ROOM = 1024, BODY_ROOM = 16 << 10 };   /* set aside at once, so that what is said does not have to move while it grows */

static struct lun_connection *of(const struct lun_exchange *x)
{
    return (struct lun_connection *)(void *)((char *)(uintptr_t)x - offsetof(struct lun_connection, x));
}

void lun_exchange_set_user(struct lun_exchange *x, void *user) { x->user = user; }
lun_us lun_exchange_started(const struct lun_exchange *x) { return x->started; }

void lun_exchange_keep(struct lun_exchange *x, struct lun_buf *out)
{
    struct lun_connection *c = of(x);
    *out = c->in;
    c->in = (struct lun_buf){0};
}

static const char *text_of(const union lun_address *a, char out[LUN_PEER_TEXT])
{
    int family = a->any.sa_family;
    const void *address = &a->v4.sin_addr;
    if (family != AF_INET && family != AF_INET6) return strcpy(out, "unix");
    if (family == AF_INET6) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr);
        address = a->v6.sin6_addr.s6_addr + (mapped ? 12 : 0);
        if (mapped) family = AF_INET;
    }
    return inet_ntop(family, address, out, LUN_PEER_TEXT);
}

const char *lun_exchange_peer(struct lun_exchange *x)
{
    struct lun_connection *c = of(x);
    return *c->peer ? c->peer : text_of(&c->from, c->peer);
}

const char *lun_exchange_here(struct lun_exchange *x, char out[LUN_PEER_TEXT])
{
    union lun_address here;
    socklen_t n = sizeof here;
    return getsockname(of(x)->fd, &here.any, &n) ? NULL : text_of(&here, out);
}

/* ---- the head ---- */

/* What frames the message is for the server alone to say. */
static bool is_own(const char *name, size_t n)
{
    switch (n) {
    case 4:  return !strncasecmp(name, "date", n);
    case 7:  return !strncasecmp(name, "trailer", n);
    case 10: return !strncasecmp(name, "connection", n) || !strncasecmp(name, "keep-alive", n);
    case 14: return !strncasecmp(name, "content-length", n);
    case 17: return !strncasecmp(name, "transfer-encoding", n);
    default: return false;
    }
}

static void put_field(struct lun_buf *out, const struct lun_pair *f)
{
    size_t n = strlen(f->name), length = strlen(f->value);
    if (is_own(f->name, n) || !lun_http_is_token(f->name, n)) return;
    char *at = lun_buf_space(out, n + length + 4);
    at = mempcpy(at, f->name, n);
    at = mempcpy(at, ": ", 2);
    char *value = at;
    at = mempcpy(at, f->value, length);
    if (!lun_http_is_value(value, length))
        for (size_t i = 0; i < length; i++) if (!lun_http_is_value(value + i, 1)) value[i] = ' ';
    memcpy(at, "\r\n", 2);
    out->n += n + length + 4;
}

static void put_fields(struct lun_buf *out, const struct lun_pair *fields, int n)
{
    for (int i = 0; i < n; i++) put_field(out, &fields[i]);
}

static void put_framing(struct lun_buf *out, const struct lun_exchange *x, int status, int64_t length)
{
    if (status == 204 || status < 200) return;
    if (x->chunked) lun_buf_puts(out, "transfer-encoding: chunked\r\n");
    if (length < 0) return;
    lun_buf_puts(out, "content-length: ");
    lun_buf_int(out, length);
    lun_buf_puts(out, "\r\n");
}

void lun_exchange_head(struct lun_exchange *x, int status, const struct lun_pair *headers, int n, int64_t length)
{
    struct lun_connection *c = of(x);
    if (c->phase != LUN_PHASE_OPEN || x->head) return;
    struct lun_buf *out = lun_connection_out(c);
    lun_buf_space(out, HEAD_ROOM + (length > 0 && length < BODY_ROOM ? (size_t)length : 0));
    x->head = true;
    x->mute = x->asked_head || status == 204 || status == 304;
    x->left = length;
    x->chunked = length < 0 && !x->old;
    if ((length < 0 && x->old) || c->server->draining) c->close = true;
    lun_buf_puts(out, "HTTP/1.1 ");
    lun_buf_int(out, status);
    lun_buf_putc(out, ' ');
    lun_buf_puts(out, lun_http_reason(status));
    lun_buf_puts(out, "\r\ndate: ");
    lun_buf_puts(out, lun_server_date(c->server));
    lun_buf_puts(out, "\r\n");
    put_fields(out, headers, n);
    put_framing(out, x, status, length);
    if (c->close) lun_buf_puts(out, "connection: close\r\n");
    else if (x->old) lun_buf_puts(out, "connection: keep-alive\r\n");
    lun_buf_puts(out, "\r\n");
}

/* ---- the body ---- */

void lun_exchange_bytes(struct lun_exchange *x, const char *bytes, size_t n)
{
    struct lun_connection *c = of(x);
    if (c->phase != LUN_PHASE_OPEN || !x->head || x->mute) return;
    if (x->left >= 0) {
        if ((uint64_t)x->left < n) n = (size_t)x->left;
        x->left -= (int64_t)n;
    }
    if (!n) return;
    struct lun_buf *out = lun_connection_out(c);
    if (x->chunked) {
        char *line = lun_buf_space(out, n + LUN_CHUNK_LINE + 2);
        out->n += lun_chunk_line(line, n);
    }
    lun_buf_add(out, bytes, n);
    if (x->chunked) lun_buf_add(out, "\r\n", 2);
}

bool lun_exchange_takes_trailers(const struct lun_exchange *x) { return of(x)->phase == LUN_PHASE_OPEN && x->chunked && !x->mute && x->wants_trailers; }

void lun_exchange_trailers(struct lun_exchange *x, const struct lun_pair *trailers, int n)
{
    if (lun_exchange_takes_trailers(x)) put_fields(&x->trailers, trailers, n);
}

void lun_exchange_end(struct lun_exchange *x, bool clean)
{
    struct lun_connection *c = of(x);
    if (c->phase != LUN_PHASE_OPEN) return;
    bool whole = clean && x->head && (x->mute || x->left <= 0);
    if (!whole) c->close = true;
    else if (x->chunked && !x->mute) {
        struct lun_buf *out = lun_connection_out(c);
        lun_buf_add(out, "0\r\n", 3);
        lun_buf_add(out, x->trailers.at, x->trailers.n);
        lun_buf_add(out, "\r\n", 2);
    }
    lun_connection_over(c);
}
