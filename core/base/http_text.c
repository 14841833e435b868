#include "base/http_text.h"
#include "base/hex.h"
#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ALL (LUN_TOKEN | LUN_TARGET | LUN_HOST)

const unsigned char lun_http_classes[256] = {
    ['0' ... '9'] = ALL | LUN_HEX, ['a' ... 'f'] = ALL | LUN_HEX, ['A' ... 'F'] = ALL | LUN_HEX, ['g' ... 'z'] = ALL, ['G' ... 'Z'] = ALL,
    ['-'] = ALL, ['.'] = ALL, ['_'] = ALL, ['~'] = ALL, ['!'] = ALL, ['$'] = ALL, ['&'] = ALL, ['\''] = ALL, ['*'] = ALL, ['+'] = ALL,
    ['('] = LUN_TARGET | LUN_HOST, [')'] = LUN_TARGET | LUN_HOST, [';'] = LUN_TARGET | LUN_HOST, ['='] = LUN_TARGET | LUN_HOST,
    [','] = LUN_TARGET, [':'] = LUN_TARGET, ['@'] = LUN_TARGET, ['/'] = LUN_TARGET, ['?'] = LUN_TARGET,
    ['#'] = LUN_TOKEN, ['%'] = LUN_TOKEN, ['^'] = LUN_TOKEN, ['`'] = LUN_TOKEN, ['|'] = LUN_TOKEN,
};

static bool control(char c) { return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f; }

#ifdef __SSE2__
static inline __m128i load(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

/* 4 to 16 bytes as sixteen: the first and the last of them, with some in the middle twice. */
static inline __m128i load_short(const char *p, size_t n)
{
    size_t half = n < 8 ? 4 : 8;
    uint64_t first = 0, last = 0;
    if (half == 8) memcpy(&first, p, 8), memcpy(&last, p + n - 8, 8);
    else {
        uint32_t a, b;
        memcpy(&a, p, 4), memcpy(&b, p + n - 4, 4);
        first = last = a | (uint64_t)b << 32;
    }
    return _mm_set_epi64x((long long)last, (long long)first);
}

/* One bit for each of 16 bytes. */
static inline int controls(__m128i v)
{
    const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    __m128i below = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmpeq_epi8(_mm_min_epu8(v, low), v));
    return _mm_movemask_epi8(_mm_or_si128(below, _mm_cmpeq_epi8(v, del)));
}

/* Letters, digits and hyphens alone: what nearly all names are made of. */
static inline bool simple(__m128i v)
{
    const __m128i case_bit = _mm_set1_epi8(0x20), hyphen = _mm_set1_epi8('-');
    __m128i lower = _mm_or_si128(v, case_bit);
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
    __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('0' - 1)), _mm_cmplt_epi8(v, _mm_set1_epi8('9' + 1)));
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(v, hyphen))) == 0xffff;
}

static bool all_simple(const char *p, size_t n)
{
    if (n <= 16) return n >= 4 && simple(load_short(p, n));
    for (size_t i = 0; i + 16 < n; i += 16) if (!simple(load(p + i))) return false;
    return simple(load(p + n - 16));
}
#endif

size_t lun_http_before_control(const char *p, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    for (int found; i + 16 <= n; i += 16)
        if ((found = controls(load(p + i)))) return i + (size_t)__builtin_ctz((unsigned)found);
    if (n >= 16 && i < n) {                 /* the last 16 once more: they were good as far as they were looked at */
        int found = controls(load(p + n - 16));
        return found ? n - 16 + (size_t)__builtin_ctz((unsigned)found) : n;
    }
#endif
    while (i < n && !control(p[i])) i++;
    return i;
}

bool lun_http_is_token(const char *text, size_t n)
{
#ifdef __SSE2__
    if (all_simple(text, n)) return true;
#endif
    int all = LUN_TOKEN;
    for (size_t i = 0; i < n; i++) all &= lun_http_classes[(unsigned char)text[i]];
    return n > 0 && all;
}

bool lun_http_is_value(const char *text, size_t n)
{
#ifdef __SSE2__
    if (n >= 4 && n < 16) return !controls(load_short(text, n));
#endif
    return lun_http_before_control(text, n) == n;
}

char *lun_http_lower(char *name)
{
    for (char *p = name; *p; p++) if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    return name;
}

struct lun_slice lun_http_trimmed(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return (struct lun_slice){ p, (size_t)(end - p) };
}

bool lun_http_element(struct lun_slice *list, struct lun_slice *out)
{
    while (list->n) {
        const char *end = list->at + list->n, *comma = memchr(list->at, ',', list->n);
        *out = lun_http_trimmed(list->at, comma ? comma : end);
        list->at = comma ? comma + 1 : end;
        list->n = (size_t)(end - list->at);
        if (out->n) return true;
    }
    return false;
}

bool lun_http_unescape(struct lun_slice raw, char *out, size_t *n)
{
    const char *p = raw.at, *end = raw.at + raw.n;
    char *o = out;
    for (; p < end; p++) {
        char c = *p;
        if (c == '%') {
            if (!lun_http_is_escape(p, end) || (p[1] == '0' && p[2] == '0')) return false;
            c = (char)(lun_hex_digit(p[1]) << 4 | lun_hex_digit(p[2]));
            p += 2;
        }
        *o++ = c;
    }
    *o = 0;
    *n = (size_t)(o - out);
    return true;
}

void lun_http_escape(struct lun_buf *out, const char *text, const char *plain)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (((*c | 32) >= 'a' && (*c | 32) <= 'z') || (*c >= '0' && *c <= '9') || strchr(plain, *c)) lun_buf_putc(out, (char)*c);
        else lun_buf_printf(out, "%%%02X", *c);
}

#define REASONS(X) \
    X(100, "Continue") X(200, "OK") X(201, "Created") X(202, "Accepted") X(204, "No Content") X(301, "Moved Permanently") \
    X(302, "Found") X(304, "Not Modified") X(307, "Temporary Redirect") X(400, "Bad Request") X(401, "Unauthorized") \
    X(402, "Payment Required") X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed") X(406, "Not Acceptable") \
    X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone") X(411, "Length Required") X(413, "Content Too Large") \
    X(415, "Unsupported Media Type") X(417, "Expectation Failed") X(422, "Unprocessable Content") X(424, "Failed Dependency") \
    X(429, "Too Many Requests") X(431, "Request Header Fields Too Large") X(500, "Internal Server Error") \
    X(501, "Not Implemented") X(502, "Bad Gateway") X(503, "Service Unavailable") X(504, "Gateway Timeout") X(529, "Overloaded")

const char *lun_http_reason(int status)
{
    switch (status) {
#define X(number, reason) case number: return reason;
    REASONS(X)
#undef X
    default: return "Status";
    }
}
bool lun_header_is_secret(const char *name)
{
    switch (*name) {
    case 'a': return !strcmp(name, "authorization") || !strcmp(name, "api-key");
    case 'c': return !strcmp(name, "cookie");
    case 'p': return !strcmp(name, "proxy-authorization");
    case 's': return !strcmp(name, "set-cookie");
    case 'x': return !strcmp(name, "x-api-key") || !strcmp(name, "x-goog-api-key");
    default: return false;
    }
}

