#include "base/http_chunked.h"
#include "base/hex.h"
#include <string.h>

enum state { SIZE, NAME, VALUE, QUOTED, ESCAPED, UNQUOTED, SIZE_LF, DATA, DATA_CR, DATA_LF,
             FIELD, FIELD_NAME, FIELD_VALUE, FIELD_LF, LAST_LF, OVER };

static bool wrong(struct lun_chunks *c, const char *why)
{
    c->status = 400;
    c->why = why;
    return false;
}

static bool line_end(struct lun_chunks *c, char b, int next)
{
    if (b != '\n') return wrong(c, "A line of the chunked body has a CR without LF.");
    c->state = next;
    return true;
}

static bool size(struct lun_chunks *c, char b)
{
    int digit = lun_hex_digit(b);
    if (digit >= 0) {
        if (c->digits++ == 16 || c->left >> 56) return wrong(c, "A chunk size is too large to be true.");
        c->left = c->left << 4 | (unsigned)digit;
        return true;
    }
    if (!c->digits || (b != ';' && b != '\r')) return wrong(c, "A chunk size must be hex digits and nothing else.");
    c->state = b == ';' ? NAME : SIZE_LF;
    c->name_n = 0;
    return true;
}

/* name_n: whether a name or value has begun. */
static bool extension(struct lun_chunks *c, char b)
{
    if (++c->extra > LUN_CHUNK_EXTENSIONS) return wrong(c, "The chunk extensions are too long.");
    bool quoted = c->state == QUOTED || c->state == ESCAPED;
    if (quoted && !lun_http_is_value(&b, 1)) return wrong(c, "A chunk extension has a control character.");
    if (c->state == ESCAPED) { c->state = QUOTED; return true; }
    if (quoted) { c->state = b == '"' ? UNQUOTED : b == '\\' ? ESCAPED : QUOTED; return true; }
    if (c->state != UNQUOTED && lun_http_is_token(&b, 1)) { c->name_n = 1; return true; }
    if (c->state == VALUE && !c->name_n && b == '"') { c->state = QUOTED; c->name_n = 1; return true; }
    if (!c->name_n) return wrong(c, "A chunk extension is not well formed.");
    if (c->state == NAME && b == '=') c->state = VALUE;
    else if (b == ';') c->state = NAME;
    else if (b == '\r') c->state = SIZE_LF;
    else return wrong(c, "A chunk extension is not well formed.");
    c->name_n = 0;
    return true;
}

/* What may not come behind a body (RFC 9110 6.5.1): it would frame, route, authorise, condition or describe the message. */
static const char *const forbidden[] = {
    "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-location", "content-range",
    "content-type", "cookie", "expect", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "keep-alive", "max-forwards", "pragma", "proxy-authorization", "proxy-connection", "range", "te",
    "trailer", "transfer-encoding", "upgrade", "x-api-key", "api-key",
};

static bool may_trail(struct lun_chunks *c)
{
    struct lun_slice name = { c->name, c->name_n };
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (lun_slice_is_like(name, forbidden[i])) return wrong(c, "A trailer field has a name that is not allowed there.");
    c->state = FIELD_VALUE;
    return true;
}

static bool trailer(struct lun_chunks *c, char b)
{
    if (++c->trailer > LUN_CHUNK_TRAILERS) {
        wrong(c, "The trailers are too large.");
        c->status = 431;
        return false;
    }
    if (c->state == FIELD && b == '\r') { c->state = LAST_LF; return true; }
    if (c->state == FIELD) { c->name_n = 0; c->state = FIELD_NAME; }
    if (c->state == FIELD_VALUE) {
        if (b == '\r') c->state = FIELD_LF;
        else if (!lun_http_is_value(&b, 1)) return wrong(c, "A trailer field has a control character.");
        return true;
    }
    if (lun_http_is_token(&b, 1)) {
        if (c->name_n < sizeof c->name) c->name[c->name_n] = b;
        c->name_n += c->name_n <= sizeof c->name;
        return true;
    }
    if (!c->name_n || b != ':') return wrong(c, "A trailer field is not well formed.");
    return c->name_n > sizeof c->name ? (c->state = FIELD_VALUE) : may_trail(c);
}

static bool step(struct lun_chunks *c, char b)
{
    switch (c->state) {
    case SIZE:      return size(c, b);
    case SIZE_LF:   return line_end(c, b, c->left ? DATA : FIELD);
    case DATA_CR:   c->state = DATA_LF; return b == '\r' || wrong(c, "A chunk is longer than its size.");
    case DATA_LF:   c->digits = 0; return line_end(c, b, SIZE);
    case FIELD_LF:  return line_end(c, b, FIELD);
    case LAST_LF:   return line_end(c, b, OVER);
    case FIELD: case FIELD_NAME: case FIELD_VALUE: return trailer(c, b);
    default:        return extension(c, b);
    }
}

enum lun_http_result lun_chunks_decode(struct lun_chunks *c, char *bytes, size_t n, size_t *data, size_t *used)
{
    size_t in = 0, out = 0;
    *data = *used = 0;
    while (in < n && c->state != OVER) {
        if (c->state != DATA) {
            if (!step(c, bytes[in++])) return LUN_HTTP_BAD;
            continue;
        }
        size_t part = n - in < c->left ? n - in : (size_t)c->left;
        memmove(bytes + out, bytes + in, part);
        in += part;
        out += part;
        if (!(c->left -= part)) c->state = DATA_CR;
    }
    *data = out;
    *used = in;
    return c->state == OVER ? LUN_HTTP_DONE : LUN_HTTP_MORE;
}

size_t lun_chunk_line(char out[LUN_CHUNK_LINE], size_t n)
{
    char digits[16];
    size_t d = 0, w = 0;
    do digits[d++] = "0123456789abcdef"[n & 15]; while (n >>= 4);
    while (d) out[w++] = digits[--d];
    out[w++] = '\r';
    out[w++] = '\n';
    return w;
}
