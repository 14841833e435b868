#include "wire/upstream_parts.h"
#include "base/decimal.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { PIECES = 64, AT_ONCE = 64 * 1024,        /* of one sendmsg; TLS: of what is encrypted in one go */
       OWN_BYTES = 200 };                       /* what a head has besides headers that are said: the version, who asks, how long it is */

/* ---- the head ---- */

void direct_site(struct lun_upstream_site *s, const char *host)
{
    lun_buf_printf(&s->fixed, "Host: %s\r\nAccept-Encoding: identity\r\n", host);
    for (int i = 0; i < s->lines_n; i++) {
        size_t name = strcspn(s->lines[i], ":;");       /* "Name;": one without a value */
        lun_buf_add(&s->fixed, s->lines[i], name);
        lun_buf_printf(&s->fixed, ":%s\r\n", s->lines[i][name] == ':' ? s->lines[i] + name + 1 : "");
    }
}

static void put_header(struct lun_buf *b, const struct lun_pair *h)
{
    const char *value = h->value;
    while (*value == ' ' || *value == '\t') value++;
    lun_buf_puts(b, h->name);
    lun_buf_add(b, ": ", 2);
    lun_buf_puts(b, value);
    lun_buf_add(b, "\r\n", 2);
}

static void put_length(struct lun_buf *b, uint64_t n)
{
    char text[LUN_DECIMAL_ROOM];
    lun_buf_puts(b, "Content-Length: ");
    lun_buf_puts(b, lun_decimal_text(text, (int64_t)n));
    lun_buf_add(b, "\r\n", 2);
}

static void put_line(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    lun_buf_puts(&c->fields, r->method);
    lun_buf_putc(&c->fields, ' ');
    lun_buf_puts(&c->fields, c->site->path);
    lun_buf_puts(&c->fields, r->path);
    lun_buf_puts(&c->fields, " HTTP/1.1\r\n");
    lun_buf_add(&c->fields, c->site->fixed.at, c->site->fixed.n);
}

static const char *put_fields(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    bool accept = site_names(c->site, "accept"), agent = site_names(c->site, "user-agent");
    if (r->headers_n > FIELDS) return "too many headers";
    for (size_t i = 0; i < r->headers_n; i++) {
        const struct lun_pair *h = &r->headers[i];
        if (!header_good(h)) return "a header's name or value has characters that HTTP forbids";
        if (header_own(h) || site_names(c->site, h->name)) continue;
        char first = *h->name | 32;
        accept = accept || (first == 'a' && !strcasecmp(h->name, "accept"));
        agent = agent || (first == 'u' && !strcasecmp(h->name, "user-agent"));
        put_header(&c->fields, h);
    }
    if (!agent) lun_buf_puts(&c->fields, "User-Agent: " USER_AGENT "\r\n");
    if (!accept) lun_buf_puts(&c->fields, "Accept: */*\r\n");
    if (c->once) put_length(&c->fields, c->total);
    lun_buf_add(&c->fields, "\r\n", 2);
    return c->fields.n > FIELDS_BYTES ? "the headers are too large" : NULL;
}

const char *direct_set(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    body_set(c, r);
    c->direct.patience = r->connect_timeout ? r->connect_timeout : c->site->connect_timeout;
    if (!r->path || !path_good(r->path)) return "the path is not one";
    const char *wrong = method_set(c, r->method);
    if (wrong) return wrong;
    fields_reserve(c, r, strlen(r->method) + strlen(c->site->path) + strlen(r->path) + c->site->fixed.n + OWN_BYTES);
    put_line(c, r);
    return put_fields(c, r);
}

/* ---- on its way ---- */

void direct_rewind(struct lun_upstream_call *c)
{
    c->direct.sent = c->direct.out.n = c->slice = c->at = 0;
    c->times.sent = 0;
    body_skip(c, 0);
}

bool direct_written(const struct lun_upstream_call *c) { return c->times.sent != 0; }

static void fail(struct lun_upstream_call *c) { if (errno != EAGAIN) c->direct.link->mute = errno; }

static int gather(const struct lun_upstream_call *c, struct iovec *v)
{
    int n = 0;
    if (c->direct.sent < c->fields.n) v[n++] = (struct iovec){ c->fields.at + c->direct.sent, c->fields.n - c->direct.sent };
    for (size_t i = c->slice, at = c->at; i < c->body_n && n < PIECES; i++, at = 0)
        if (c->body[i].n > at) v[n++] = (struct iovec){ (char *)c->body[i].at + at, c->body[i].n - at };
    return n;
}

static void advance(struct lun_upstream_call *c, size_t n)
{
    size_t head = c->fields.n - c->direct.sent;
    if (head > n) head = n;
    c->direct.sent += head;
    body_skip(c, n - head);
}

static void write_plain(struct lun_upstream_call *c)
{
    struct iovec v[PIECES];
    for (int n; (n = gather(c, v)); ) {
        ssize_t k = sendmsg(c->direct.link->fd, &(struct msghdr){ .msg_iov = v, .msg_iovlen = (size_t)n }, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) { fail(c); return; }
        advance(c, (size_t)k);
    }
    c->times.sent = call_now(c);
}

/* A record of its own for each piece would be a send for each. */
static void fill(struct lun_upstream_call *c)
{
    struct lun_buf *out = &c->direct.out;
    if (out->n) return;
    lun_buf_add(out, c->fields.at + c->direct.sent, c->fields.n - c->direct.sent);
    c->direct.sent = c->fields.n;
    while (c->slice < c->body_n && out->n < AT_ONCE) {
        const struct lun_slice *s = &c->body[c->slice];
        size_t n = s->n - c->at < AT_ONCE - out->n ? s->n - c->at : AT_ONCE - out->n;
        lun_buf_add(out, s->at + c->at, n);
        body_skip(c, n);
    }
}

static void write_tls(struct lun_upstream_call *c)
{
    struct lun_buf *out = &c->direct.out;
    for (fill(c); out->n; fill(c)) {
        ssize_t k = lun_tls_write(c->direct.link->tls, out->at, out->n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) { fail(c); return; }
        lun_buf_drop(out, (size_t)k);
    }
    c->times.sent = call_now(c);
}

void direct_write(struct lun_upstream_call *c)
{
    if (c->times.sent || c->direct.link->mute) return;
    if (c->direct.link->tls) write_tls(c);
    else write_plain(c);
}

/* In `out` the head never lies beyond its own length: what is behind it only moves forward over it. */
void direct_clear(struct lun_upstream_call *c)
{
    struct lun_buf *out = &c->direct.out;
    size_t n = c->fields.n < out->room ? c->fields.n : out->room;
    if (n) explicit_bzero(out->at, n);
    if (out->room > AT_ONCE / 2) lun_buf_free(out);
    out->n = 0;
}
