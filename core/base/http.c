#include "base/http_text.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct lun_http_limits lun_http_limits = { .line = 8 << 10, .header = 16 << 10, .head = 64 << 10, .headers = 100 };

/* ---- the request line ---- */

static enum lun_http_result bad(struct lun_http_reader *r, int status, const char *why)
{
    r->status = status;
    r->why = why;
    return LUN_HTTP_BAD;
}
static bool wrong(struct lun_http_reader *r, const char *why) { bad(r, 400, why); return false; }

static bool request_line(struct lun_http_reader *r, const char *p, const char *end)
{
    struct lun_http_request *q = &r->request;
    const char *method = p;
    while (p < end && lun_http_in(*p, LUN_TOKEN)) p++;
    if (p == method || p == end || *p != ' ') return wrong(r, "The request line must begin with a method and one space.");
    q->method = (struct lun_slice){ method, (size_t)(p++ - method) };
    if (end - p < 10 || memcmp(end - 9, " HTTP/1.", 8) || (end[-1] != '0' && end[-1] != '1'))
        return wrong(r, "The request line must end with HTTP/1.1 or HTTP/1.0, one space before it.");
    q->minor = end[-1] - '0';
    q->target = (struct lun_slice){ p, (size_t)(end - 9 - p) };
    if (lun_slice_is(q->method, "CONNECT")) return wrong(r, "CONNECT is not served here.");
    const char *why = lun_http_target(q);
    return !why || wrong(r, why);
}

/* ---- fields ---- */

enum { SAW_HOST = 1, SAW_LENGTH = 2, SAW_CODING = 4, SAW_CLOSE = 8, SAW_KEEP = 16 };

static bool saw(struct lun_http_reader *r, unsigned bit)
{
    bool before = r->known & bit;
    r->known |= bit;
    return before;
}

static bool content_length(struct lun_http_reader *r, struct lun_slice v)
{
    int64_t length = 0;
    if (saw(r, SAW_LENGTH)) return wrong(r, "Content-Length is there more than once.");
    if (r->known & SAW_CODING) return wrong(r, "Content-Length and Transfer-Encoding are both there.");
    for (size_t i = 0; i < v.n; i++) {
        if (v.at[i] < '0' || v.at[i] > '9') return wrong(r, "Content-Length must be digits and nothing else.");
        if (__builtin_mul_overflow(length, 10, &length) || __builtin_add_overflow(length, v.at[i] - '0', &length))
            return wrong(r, "Content-Length is too large to be true.");
    }
    if (!v.n) return wrong(r, "Content-Length is empty.");
    r->request.framing = LUN_HTTP_LENGTH;
    r->request.length = length;
    return true;
}

static bool transfer_encoding(struct lun_http_reader *r, struct lun_slice v)
{
    if (saw(r, SAW_CODING)) return wrong(r, "Transfer-Encoding is there more than once.");
    if (r->known & SAW_LENGTH) return wrong(r, "Content-Length and Transfer-Encoding are both there.");
    if (!r->request.minor) return wrong(r, "HTTP/1.0 has no Transfer-Encoding.");
    if (!lun_slice_is_like(v, "chunked")) return wrong(r, "The only Transfer-Encoding taken here is chunked.");
    r->request.framing = LUN_HTTP_CHUNKED;
    r->request.length = -1;
    return true;
}

static bool host(struct lun_http_reader *r, struct lun_slice v)
{
    if (saw(r, SAW_HOST)) return wrong(r, "Host is there more than once.");
    return lun_http_is_host(v) || wrong(r, "Host is not a valid host name and port.");
}

static bool expect(struct lun_http_reader *r, struct lun_slice v)
{
    if (!r->request.minor) return true;
    if (!lun_slice_is_like(v, "100-continue")) return wrong(r, "The only expectation understood here is 100-continue.");
    return r->request.expect_continue = true;
}

static bool connection(struct lun_http_reader *r, struct lun_slice v)
{
    for (struct lun_slice e; lun_http_element(&v, &e); ) {
        if (lun_slice_is_like(e, "close")) r->known |= SAW_CLOSE;
        if (lun_slice_is_like(e, "keep-alive")) r->known |= SAW_KEEP;
    }
    return true;
}

static bool te(struct lun_http_reader *r, struct lun_slice v)
{
    for (struct lun_slice e; lun_http_element(&v, &e); )
        if (lun_slice_is_like(e, "trailers")) r->request.wants_trailers = true;
    return true;
}

/* The fields that have a meaning for the message itself. */
static const struct { const char *name; bool (*read)(struct lun_http_reader *, struct lun_slice); } meanings[] = {
    { "te", te }, { "host", host }, { "expect", expect }, { "connection", connection },
    { "content-length", content_length }, { "transfer-encoding", transfer_encoding },
};
static const unsigned char meaning_of[18] = { [2] = 1, [4] = 2, [6] = 3, [10] = 4, [14] = 5, [17] = 6 };   /* by length, from 1 */

static void add(struct lun_http_reader *r, struct lun_slice name, struct lun_slice value)
{
    struct lun_http_request *q = &r->request;
    if (q->n_headers == r->room) {
        r->room = r->room ? r->room * 2 : 16;
        q->headers = lun_realloc(q->headers, (size_t)r->room * sizeof *q->headers);
    }
    q->headers[q->n_headers++] = (struct lun_http_header){ name, value };
}

static bool field(struct lun_http_reader *r, const char *p, const char *end)
{
    const char *name = p;
    while (p < end && lun_http_in(*p, LUN_TOKEN)) p++;
    if (p == name && (*p == ' ' || *p == '\t')) return wrong(r, "A header line begins with a blank (folded lines are not taken).");
    if (p == name || p == end || *p != ':')
        return wrong(r, "A header line must be a name, a colon directly behind it, and a value.");
    struct lun_slice n = { name, (size_t)(p - name) }, value = lun_http_trimmed(p + 1, end);
    add(r, n, value);
    int m = n.n < sizeof meaning_of ? meaning_of[n.n] - 1 : -1;
    return m < 0 || strncasecmp(n.at, meanings[m].name, n.n) || meanings[m].read(r, value);
}

const struct lun_slice *lun_http_find(const struct lun_http_request *q, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < q->n_headers; i++)
        if (q->headers[i].name.n == n && !strncasecmp(q->headers[i].name.at, name, n)) return &q->headers[i].value;
    return NULL;
}

/* ---- the whole ---- */

static bool finish(struct lun_http_reader *r)
{
    struct lun_http_request *q = &r->request;
    if (r->known & SAW_HOST) {
        struct lun_slice said = *lun_http_find(q, "host");
        if (q->host.n && !lun_http_same_host(q, said)) return wrong(r, "Host is another than the one in the request target.");
        if (!q->host.n) q->host = said;
    } else if (q->minor) return wrong(r, "Host is missing.");
    q->keep_alive = !(r->known & SAW_CLOSE) && (q->minor || (r->known & SAW_KEEP));
    return true;
}

static void shift(struct lun_slice *s, uintptr_t from, const char *to) { s->at = to + ((uintptr_t)s->at - from); }

void lun_http_moved(struct lun_http_reader *r, const char *bytes)
{
    uintptr_t from = r->base;
    struct lun_http_request *q = &r->request;
    r->base = (uintptr_t)bytes;
    if (from == r->base || !r->lines) return;
    shift(&q->method, from, bytes);
    shift(&q->target, from, bytes);
    for (int i = 0; i < q->n_headers; i++) {
        shift(&q->headers[i].name, from, bytes);
        shift(&q->headers[i].value, from, bytes);
    }
    lun_http_target(q);
    if (!q->host.n && (r->known & SAW_HOST)) q->host = *lun_http_find(q, "host");
}

/* Looks for the end of the line at r->line. *end: of its text. */
static enum lun_http_result line(struct lun_http_reader *r, const char *bytes, size_t n, const struct lun_http_limits *limits,
                                 size_t *end)
{
    size_t most = r->line + (r->lines ? limits->header : limits->line);
    if (most > limits->head) most = limits->head;
    size_t stop = n < most ? n : most, at = r->seen + lun_http_before_control(bytes + r->seen, stop - r->seen);
    bool cr = at < stop && bytes[at] == '\r';
    r->seen = at;
    if (at + cr >= most) return bad(r, 431, r->lines ? "The headers are too large." : "The request line is too long.");
    if (at + cr >= n) return LUN_HTTP_MORE;
    if (!cr) return bad(r, 400, bytes[at] == '\n' ? "A line of the head ends with LF alone." : "The head has a control character.");
    if (bytes[at + 1] != '\n') return bad(r, 400, "The head has a CR without LF.");
    *end = at;
    return LUN_HTTP_DONE;
}

/* Reads one whole line; DONE: it was the empty one that ends the head. */
static enum lun_http_result text(struct lun_http_reader *r, const char *p, const char *end, int most)
{
    if (!r->lines && p == end) {
        if (r->blank) return bad(r, 400, "There are empty lines before the request.");
        r->blank = true;
        return LUN_HTTP_MORE;
    }
    if (p == end) return finish(r) ? LUN_HTTP_DONE : LUN_HTTP_BAD;
    if (r->lines && r->request.n_headers == most) return bad(r, 431, "There are too many headers.");
    if (!(r->lines ? field : request_line)(r, p, end)) return LUN_HTTP_BAD;
    r->lines++;
    return LUN_HTTP_MORE;
}

enum lun_http_result lun_http_read(struct lun_http_reader *r, const char *bytes, size_t n, const struct lun_http_limits *limits,
                                   size_t *used)
{
    if (!limits) limits = &lun_http_limits;
    lun_http_moved(r, bytes);
    for (size_t end; ; ) {
        enum lun_http_result got = line(r, bytes, n, limits, &end);
        if (got != LUN_HTTP_DONE) return got;
        size_t start = r->line;
        r->line = r->seen = *used = end + 2;
        got = text(r, bytes + start, bytes + end, limits->headers);
        if (got != LUN_HTTP_MORE) return got;
    }
}

void lun_http_reset(struct lun_http_reader *r)
{
    struct lun_http_header *headers = r->request.headers;
    int room = r->room;
    *r = (struct lun_http_reader){ .room = room, .request = { .headers = headers } };
}

void lun_http_free(struct lun_http_reader *r)
{
    free(r->request.headers);
    *r = (struct lun_http_reader){0};
}
