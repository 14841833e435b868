#include "base/http.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

const struct lun_http_limits lun_http_limits = { .line = 8 << 10, .header = 16 << 10, .head = 64 << 10, .headers = 100 };

/* ---- characters ---- */

/* in a token (RFC 9110 5.6.2), in a path or query, in a host's name (RFC 3986), a hex digit */
enum { TOKEN = 1, TARGET = 2, HOST = 4, HEX = 8 };

static const unsigned char class_of[256] = {
    ['0' ... '9'] = TOKEN | TARGET | HOST | HEX,
    ['a' ... 'f'] = TOKEN | TARGET | HOST | HEX, ['g' ... 'z'] = TOKEN | TARGET | HOST,
    ['A' ... 'F'] = TOKEN | TARGET | HOST | HEX, ['G' ... 'Z'] = TOKEN | TARGET | HOST,
    ['-'] = TOKEN | TARGET | HOST, ['.'] = TOKEN | TARGET | HOST, ['_'] = TOKEN | TARGET | HOST, ['~'] = TOKEN | TARGET | HOST,
    ['!'] = TOKEN | TARGET | HOST, ['$'] = TOKEN | TARGET | HOST, ['&'] = TOKEN | TARGET | HOST, ['\''] = TOKEN | TARGET | HOST,
    ['*'] = TOKEN | TARGET | HOST, ['+'] = TOKEN | TARGET | HOST,
    ['('] = TARGET | HOST, [')'] = TARGET | HOST, [';'] = TARGET | HOST, ['='] = TARGET | HOST, [','] = TARGET,
    [':'] = TARGET, ['@'] = TARGET, ['/'] = TARGET, ['?'] = TARGET,
    ['#'] = TOKEN, ['%'] = TOKEN, ['^'] = TOKEN, ['`'] = TOKEN, ['|'] = TOKEN,
};

static bool is(char c, int classes) { return class_of[(unsigned char)c] & classes; }
static bool control(char c) { return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f; }

/* How many bytes come before the first control character that is no TAB; n: there is none. */
static size_t before_control(const char *p, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; i + 16 <= n; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i below = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmpeq_epi8(_mm_min_epu8(v, low), v));
        int found = _mm_movemask_epi8(_mm_or_si128(below, _mm_cmpeq_epi8(v, del)));
        if (found) return i + (size_t)__builtin_ctz((unsigned)found);
    }
#endif
    while (i < n && !control(p[i])) i++;
    return i;
}

bool lun_http_is_token(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) if (!is(text[i], TOKEN)) return false;
    return n > 0;
}

bool lun_http_is_value(const char *text, size_t n) { return before_control(text, n) == n; }

/* ---- slices ---- */

bool lun_slice_is(struct lun_slice s, const char *text)
{
    return s.n == strlen(text) && (!s.n || !memcmp(s.at, text, s.n));
}

bool lun_slice_is_like(struct lun_slice s, const char *text)
{
    return s.n == strlen(text) && (!s.n || !strncasecmp(s.at, text, s.n));
}

static struct lun_slice trimmed(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return (struct lun_slice){ p, (size_t)(end - p) };
}

/* Takes the next element off a list divided by commas; empty ones are passed over (RFC 9110 5.6.1.2). */
static bool element(struct lun_slice *list, struct lun_slice *out)
{
    while (list->n) {
        const char *end = list->at + list->n, *comma = memchr(list->at, ',', list->n);
        *out = trimmed(list->at, comma ? comma : end);
        list->at = comma ? comma + 1 : end;
        list->n = (size_t)(end - list->at);
        if (out->n) return true;
    }
    return false;
}

static int hex(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static bool escape(const char *p, const char *end) { return end - p >= 3 && is(p[1], HEX) && is(p[2], HEX); }

bool lun_http_unescape(struct lun_slice raw, char *out, size_t *n)
{
    const char *p = raw.at, *end = raw.at + raw.n;
    char *o = out;
    for (; p < end; p++) {
        char c = *p;
        if (c == '%') {
            if (!escape(p, end) || (p[1] == '0' && p[2] == '0')) return false;
            c = (char)(hex(p[1]) << 4 | hex(p[2]));
            p += 2;
        }
        *o++ = c;
    }
    *o = 0;
    *n = (size_t)(o - out);
    return true;
}

/* ---- the request line ---- */

static enum lun_http_result bad(struct lun_http_reader *r, int status, const char *why)
{
    r->status = status;
    r->why = why;
    return LUN_HTTP_BAD;
}
static bool wrong(struct lun_http_reader *r, const char *why) { bad(r, 400, why); return false; }

static bool is_port(const char *p, const char *end)
{
    int port = 0, digits = 0;
    for (; p < end; p++, digits++) {
        if (*p < '0' || *p > '9' || digits == 5) return false;
        port = port * 10 + *p - '0';
    }
    return port <= 65535;
}

static bool is_host(struct lun_slice s)
{
    const char *p = s.at, *end = s.at + s.n;
    if (p < end && *p == '[') {
        for (p++; p < end && (is(*p, HEX) || *p == ':' || *p == '.'); p++) { }
        if (p == end || *p++ != ']' || p - s.at < 4) return false;
    } else {
        for (; p < end && (is(*p, HOST) || (*p == '%' && escape(p, end))); p += *p == '%' ? 3 : 1) { }
        if (p == s.at) return false;
    }
    return p == end || (*p == ':' && is_port(p + 1, end));
}

static bool place(struct lun_http_reader *r, const char *p, const char *end)
{
    const char *query = NULL;
    for (const char *c = p; c < end; c++) {
        if (*c == '?' && !query) query = c;
        if (is(*c, TARGET)) continue;
        if (*c == '#') return wrong(r, "The request target has a fragment.");
        if (*c != '%') return wrong(r, "The request target has a character that must be percent-encoded.");
        if (!escape(c, end)) return wrong(r, "The request target has a % without two hex digits.");
        c += 2;
    }
    struct lun_http_request *q = &r->request;
    q->path = (struct lun_slice){ p, (size_t)((query ? query : end) - p) };
    q->query = query ? (struct lun_slice){ query + 1, (size_t)(end - query - 1) } : (struct lun_slice){ end, 0 };
    if (!q->path.n) q->path = (struct lun_slice){ "/", 1 };
    return true;
}

static size_t scheme(struct lun_slice t)
{
    if (t.n > 7 && !strncasecmp(t.at, "http://", 7)) return 7;
    return t.n > 8 && !strncasecmp(t.at, "https://", 8) ? 8 : 0;
}

/* Fills path, query, and host where the target names one. Run again when the bytes have moved. */
static bool target(struct lun_http_reader *r)
{
    struct lun_http_request *q = &r->request;
    const char *p = q->target.at, *end = p + q->target.n;
    q->host = (struct lun_slice){0};
    if (*p == '/') return place(r, p, end);
    if (lun_slice_is(q->target, "*") && lun_slice_is(q->method, "OPTIONS")) {
        q->path = q->target;
        q->query = (struct lun_slice){ end, 0 };
        return true;
    }
    size_t skip = scheme(q->target);
    if (!skip) return wrong(r, "The request target must be a path that begins with a slash.");
    q->host.at = p += skip;
    while (p < end && *p != '/' && *p != '?' && *p != '#') p++;
    q->host.n = (size_t)(p - q->host.at);
    if (!is_host(q->host)) return wrong(r, "The host in the request target is not valid.");
    return place(r, p, end);
}

static bool request_line(struct lun_http_reader *r, const char *p, const char *end)
{
    struct lun_http_request *q = &r->request;
    const char *method = p;
    while (p < end && is(*p, TOKEN)) p++;
    if (p == method || p == end || *p != ' ') return wrong(r, "The request line must begin with a method and one space.");
    q->method = (struct lun_slice){ method, (size_t)(p++ - method) };
    if (end - p < 10 || memcmp(end - 9, " HTTP/1.", 8) || (end[-1] != '0' && end[-1] != '1'))
        return wrong(r, "The request line must end with HTTP/1.1 or HTTP/1.0, one space before it.");
    q->minor = end[-1] - '0';
    q->target = (struct lun_slice){ p, (size_t)(end - 9 - p) };
    if (lun_slice_is(q->method, "CONNECT")) return wrong(r, "CONNECT is not served here.");
    return target(r);
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
    return is_host(v) || wrong(r, "Host is not a valid host name and port.");
}

static bool expect(struct lun_http_reader *r, struct lun_slice v)
{
    if (!r->request.minor) return true;
    if (!lun_slice_is_like(v, "100-continue")) return wrong(r, "The only expectation understood here is 100-continue.");
    return r->request.expect_continue = true;
}

static bool connection(struct lun_http_reader *r, struct lun_slice v)
{
    for (struct lun_slice e; element(&v, &e); ) {
        if (lun_slice_is_like(e, "close")) r->known |= SAW_CLOSE;
        if (lun_slice_is_like(e, "keep-alive")) r->known |= SAW_KEEP;
    }
    return true;
}

static bool te(struct lun_http_reader *r, struct lun_slice v)
{
    for (struct lun_slice e; element(&v, &e); )
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
    while (p < end && is(*p, TOKEN)) p++;
    if (p == name && (*p == ' ' || *p == '\t')) return wrong(r, "A header line begins with a blank (folded lines are not taken).");
    if (p == name || p == end || *p != ':')
        return wrong(r, "A header line must be a name, a colon directly behind it, and a value.");
    struct lun_slice n = { name, (size_t)(p - name) }, value = trimmed(p + 1, end);
    add(r, n, value);
    int m = n.n < sizeof meaning_of ? meaning_of[n.n] - 1 : -1;
    return m < 0 || !lun_slice_is_like(n, meanings[m].name) || meanings[m].read(r, value);
}

const struct lun_slice *lun_http_find(const struct lun_http_request *q, const char *name)
{
    size_t n = strlen(name);
    for (const struct lun_http_header *h = q->headers; h < q->headers + q->n_headers; h++)
        if (h->name.n == n && !strncasecmp(h->name.at, name, n)) return &h->value;
    return NULL;
}

/* ---- the whole ---- */

static struct lun_slice without_default_port(struct lun_slice host_port, const char *port)
{
    size_t n = strlen(port);
    if (host_port.n > n && !memcmp(host_port.at + host_port.n - n, port, n)) host_port.n -= n;
    else if (host_port.n > 1 && host_port.at[host_port.n - 1] == ':') host_port.n--;
    return host_port;
}

static bool agrees(const struct lun_http_request *q, struct lun_slice field_value)
{
    const char *port = scheme(q->target) == 7 ? ":80" : ":443";
    struct lun_slice a = without_default_port(q->host, port), b = without_default_port(field_value, port);
    return a.n == b.n && !strncasecmp(a.at, b.at, a.n);
}

static bool finish(struct lun_http_reader *r)
{
    struct lun_http_request *q = &r->request;
    if (r->known & SAW_HOST) {
        struct lun_slice said = *lun_http_find(q, "host");
        if (q->host.n && !agrees(q, said)) return wrong(r, "Host is another than the one in the request target.");
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
    target(r);
    if (!q->host.n && (r->known & SAW_HOST)) q->host = *lun_http_find(q, "host");
}

/* Looks for the end of the line at r->line. *end: of its text. */
static enum lun_http_result line(struct lun_http_reader *r, const char *bytes, size_t n, const struct lun_http_limits *limits,
                                 size_t *end)
{
    size_t most = r->line + (r->lines ? limits->header : limits->line);
    if (most > limits->head) most = limits->head;
    size_t stop = n < most ? n : most, at = r->seen + before_control(bytes + r->seen, stop - r->seen);
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

const char *lun_http_reason(int status)
{
    static const struct { int status; const char *reason; } list[] = {
        { 100, "Continue" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
        { 301, "Moved Permanently" }, { 302, "Found" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" }, { 404, "Not Found" },
        { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
        { 411, "Length Required" }, { 413, "Content Too Large" }, { 415, "Unsupported Media Type" }, { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" }, { 424, "Failed Dependency" }, { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
        { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 529, "Overloaded" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) if (list[i].status == status) return list[i].reason;
    return "Status";
}
