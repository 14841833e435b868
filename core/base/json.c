#include "base/json.h"
#include "base/text.h"
#include "base/wide.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Each reading function takes where it stands and returns where it ends, or NULL with `what` and `wrong` set. */
struct reader { const char *end, *wrong, *what; struct lun_json longest; };

static const char *fail(struct reader *r, const char *at, const char *what)
{
    r->wrong = at, r->what = what;
    return NULL;
}

static inline const char *blanks(const char *p, const char *end)
{
    while (p < end && (unsigned char)*p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that ends a string or needs a look. */
static inline unsigned stops(const char *p)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(stop, _mm_cmplt_epi8(v, _mm_set1_epi8(' '))));     /* signed: bytes over 127 are less than a space */
}
#endif

#ifdef __x86_64__
/* Controls, and what is beyond ASCII (signed: less than a space). */
LUN_AVX2 static inline uint32_t odd(__m256i v) { return lun_wide_mask(_mm256_cmpgt_epi8(_mm256_set1_epi8(' '), v)); }

/* Steps over simple escapes and all that is plain, 64 bytes at a time: an instruction a byte with an escape every twenty bytes, half of one without. */
LUN_AVX2 static const char *plain_wide(const char *p, const char *end)
{
    uint64_t carry = 0;
    for (; end - p > 64; p += 64) {
        __m256i a = lun_wide(p), b = lun_wide(p + 32);
        uint64_t slashes = lun_wide_where_of_two(a, b, '\\'), escaped = 0;
        uint64_t stop = lun_wide_where_of_two(a, b, '"') | odd(a) | (uint64_t)odd(b) << 32;
        if (slashes | carry) {
            escaped = lun_escaped_among(slashes, &carry);
            stop = (stop & ~escaped) | (escaped & (lun_wide_not_simple(a) | (uint64_t)lun_wide_not_simple(b) << 32));
        }
        if (stop) return p + __builtin_ctzll(stop) - (escaped >> __builtin_ctzll(stop) & 1);
    }
    return p - carry;
}

/* The same at a third of its instructions. */
LUN_AVX512 static const char *plain_widest(const char *p, const char *end)
{
    uint64_t carry = 0, not_simple;
    for (; end - p > 64; p += 64) {
        __m512i v = lun_widest(p);
        uint64_t slashes = lun_widest_where(v, '\\'), escaped = 0;
        uint64_t stop = lun_widest_where(v, '"') | _mm512_cmplt_epi8_mask(v, _mm512_set1_epi8(' '));       /* signed */
        if (slashes | carry) {
            escaped = lun_escaped_among(slashes, &carry);
            lun_widest_meant(v, &not_simple);
            stop = (stop & ~escaped) | (escaped & not_simple);
        }
        if (stop) return p + __builtin_ctzll(stop) - (escaped >> __builtin_ctzll(stop) & 1);
    }
    return p - carry;
}

static const char *plain_at_once(const char *p, const char *end) { return lun_may_be_widest() ? plain_widest(p, end) : plain_wide(p, end); }
#endif

/* The first byte that cannot simply be stepped over within a string: a quote, a control, beyond ASCII, a backslash that no simple escape begins with. Where few
 * bytes are left, any backslash. */
static inline const char *plain(const char *p, const char *end)
{
#ifdef __SSE2__
    for (const char *from = p; end - p > 32;) {
#ifdef __x86_64__
        if (p > from && end - p > 128 && lun_may_be_wide()) {       /* not for what ends soon, as runs between letters of other scripts do */
            p = plain_at_once(p, end);
            if (end - p <= 32) break;
        }
#endif
        unsigned mask = stops(p) | stops(p + 16) << 16, over = 0;
        while (mask) {
            int i = __builtin_ctz(mask);
            if (p[i] != '\\' || !lun_escape_meant[(unsigned char)p[i + 1]]) return p + i;
            mask &= ~3u << i;
            over = i == 31;
        }
        p += 32 + over;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (signed char)*p >= ' ') p++;
    return p;
}

static bool hex(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f'); }

static const char *escape(struct reader *r, const char *p)
{
    if (r->end - p < 2) return fail(r, p, "the text ends within a string");
    if (lun_escape_meant[(unsigned char)p[1]]) return p + 2;
    if (p[1] != 'u') return fail(r, p, "there is no such escape in a string");
    if (r->end - p < 6) return fail(r, p, "the text ends within a string");
    if (hex(p[2]) && hex(p[3]) && hex(p[4]) && hex(p[5])) return p + 6;
    return fail(r, p, "\\u must be followed by four hexadecimal digits");
}

/* As lun_text_sequence, with the two and three bytes of most scripts told from one load. */
static inline size_t sequence(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t w;
    if (end - p >= 4) {
        memcpy(&w, p, 4);
        if ((w & 0xc0e0) == 0x80c0 && (w & 0x1e)) return 2;
        if ((w & 0xc0c0f0) == 0x8080e0 && (w & 0x200f) && (w & 0x200f) != 0x200d) return 3;
    }
#endif
    return lun_text_sequence(p, (size_t)(end - p));
}

/* From a byte beyond ASCII on. In most such texts ASCII letters come only a few at a time, so short runs of them are
 * stepped over here (20 KB of Vietnamese: 20 us instead of 31). */
static const char *beyond_ascii(struct reader *r, const char *p)
{
    for (int run = 0; p < r->end && run < 12; run++) {
        if (*p & 0x80) {
            size_t n = sequence(p, r->end);
            if (!n) return fail(r, p, "a string must be UTF-8");
            p += n, run = -1;
        } else if (*p == '"' || *p == '\\' || *p < ' ') break;
        else p++;
    }
    return p;
}

/* `p` is the opening quote. */
static const char *string_over(struct reader *r, const char *from, const char *to)
{
    if ((size_t)(to - from) > r->longest.n) r->longest = (struct lun_json){ from, (size_t)(to - from) };
    return to;
}

static const char *string(struct reader *r, const char *p)
{
    const char *from = p;
#ifdef __SSE2__
    if (r->end - p > 16) {          /* most end soon: a third of what they take otherwise */
        unsigned mask = stops(p + 1);
        if (mask && p[1 + __builtin_ctz(mask)] == '"') return p + 2 + __builtin_ctz(mask);
    }
#endif
    for (p++; p && (p = plain(p, r->end)) < r->end;) {
        if (*p == '"') return string_over(r, from, p + 1);
        if (*p == '\\') p = escape(r, p);
        else if (*p & 0x80) p = beyond_ascii(r, p);
        else return fail(r, p, "a control character in a string must be escaped");
    }
    return p ? fail(r, p, "the text ends within a string") : NULL;
}

static inline const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

static const char *number(struct reader *r, const char *p)
{
    const char *begin = p, *from = *p == '-' ? p + 1 : p;
    p = digits(from, r->end);
    if (p == from) return fail(r, p, "a number needs a digit here");
    if (*from == '0' && p - from > 1) return fail(r, from, "a number must not begin with 0 unless that is all");
    if (p < r->end && *p == '.') {
        p = digits(from = p + 1, r->end);
        if (p == from) return fail(r, p, "a number needs a digit here");
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < r->end && (*p == '+' || *p == '-')) p++;
        p = digits(from = p, r->end);
        if (p == from) return fail(r, p, "a number needs a digit here");
    }
    return p - begin > LUN_JSON_DIGITS ? fail(r, begin, "a number has more than 1000 characters") : p;
}

static const char *word(struct reader *r, const char *p, const char *is, size_t n)
{
    if ((size_t)(r->end - p) >= n && !memcmp(p, is, n)) return p + n;
    return fail(r, p, "a value is expected (true, false and null are the only words)");
}

static const char *value(struct reader *r, const char *p, int depth);

static const char *colon(struct reader *r, const char *p)
{
    p = blanks(p, r->end);
    return p < r->end && *p == ':' ? blanks(p + 1, r->end) : fail(r, p, "a colon is expected after a name");
}

/* Behind a member or element: to the start of the next, or to the closing bracket, told apart by `close`. */
static inline const char *next(struct reader *r, const char *p, char close, const char *expected)
{
    p = blanks(p, r->end);
    if (p == r->end) return fail(r, p, "the text ends too early");
    if (*p == close) return p;
    if (*p != ',') return fail(r, p, expected);
    p = blanks(p + 1, r->end);
    if (p == r->end) return fail(r, p, "the text ends too early");
    return *p == close ? fail(r, p, "there is a comma after the last one") : p;
}

static const char *array(struct reader *r, const char *p, int depth)
{
    p = blanks(p + 1, r->end);
    if (p < r->end && *p == ']') return p + 1;
    while ((p = value(r, p, depth)) && (p = next(r, p, ']', "a comma or ] is expected"))) if (*p == ']') return p + 1;
    return NULL;
}

static const char *name(struct reader *r, const char *p)
{
    if (p == r->end) return fail(r, p, "the text ends too early");
    return *p == '"' ? string(r, p) : fail(r, p, "a name in quotes is expected");
}

static const char *object(struct reader *r, const char *p, int depth)
{
    p = blanks(p + 1, r->end);
    if (p < r->end && *p == '}') return p + 1;
    while ((p = name(r, p)) && (p = colon(r, p)) && (p = value(r, p, depth)) &&
           (p = next(r, p, '}', "a comma or } is expected"))) if (*p == '}') return p + 1;
    return NULL;
}

/* `depth` is how many containers it stands in. */
static const char *value(struct reader *r, const char *p, int depth)
{
    if (p == r->end) return fail(r, p, "the text ends too early");
    if (*p == '"') return string(r, p);             /* most are */
    switch (*p) {
    case '{': case '[':
        if (depth == LUN_JSON_DEPTH) return fail(r, p, "it is nested deeper than 128 levels");
        return *p == '{' ? object(r, p, depth + 1) : array(r, p, depth + 1);
    case 't': return word(r, p, "true", 4);
    case 'f': return word(r, p, "false", 5);
    case 'n': return word(r, p, "null", 4);
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return number(r, p);
    default: return fail(r, p, "a value is expected");
    }
}

static const char *begin(struct reader *r, const char *text, size_t n)
{
    r->end = text + n;
    if (n >= UINT32_MAX) return fail(r, text, "the text is 4 GiB or longer");
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) return fail(r, text, "there is a byte order mark; leave it out");
    const char *p = blanks(text, r->end);
    return p < r->end ? p : fail(r, p, "the text is empty");
}

static bool ended(struct reader *r, const char *p)
{
    p = blanks(p, r->end);
    return p == r->end || fail(r, p, "there is something after the end");
}

bool lun_json_check(const char *text, size_t n, struct lun_json *out, struct lun_json_error *error)
{
    struct reader r = {0};
    const char *from = begin(&r, text, n), *to = from ? value(&r, from, 0) : NULL;
    if (to && ended(&r, to)) {
        *out = (struct lun_json){ from, (size_t)(to - from) };
        return true;
    }
    *out = (struct lun_json){0};
    if (error) *error = (struct lun_json_error){ r.what, (size_t)(r.wrong - text) };
    return false;
}

/* ---- the top of a request ------------------------------------------------------------------------------------------ */

/* One bit for each key of that length. */
static uint64_t of_length(const struct lun_json_keys *keys, size_t n)
{
    if (!n || n > UINT8_MAX) return 0;
#ifdef __SSE2__
    const __m128i *lengths = (const __m128i *)(const void *)keys->length, wanted = _mm_set1_epi8((char)n);
    uint64_t bits = 0;
    for (int i = 0; i < LUN_JSON_KEYS_MAX / 16 && keys->length[i * 16]; i++)
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(lengths + i), wanted)) << 16 * i;
    return bits;
#else
    uint64_t bits = 0;
    for (unsigned i = 0; i < LUN_JSON_KEYS_MAX; i++) bits |= (uint64_t)(keys->length[i] == n) << i;
    return bits;
#endif
}

static int escaped_key(const struct lun_json_keys *keys, struct lun_json key)
{
    for (int i = 0; i < LUN_JSON_KEYS_MAX && keys->length[i]; i++) if (lun_json_is(key, keys->name[i])) return i;
    return -1;
}

/* The index of a key (with its quotes), or -1. */
static int which(const struct lun_json_keys *keys, const char *key, size_t n)
{
    for (uint64_t left = of_length(keys, n - 2); left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        if (!memcmp(keys->name[i], key + 1, n - 2)) return i;
    }
    return memchr(key, '\\', n) ? escaped_key(keys, (struct lun_json){ key, n }) : -1;
}

static void note(struct lun_json_scan *out, struct lun_json_field *fields, int i, struct lun_json_field found)
{
    if (i < 0) return;
    if (fields[i].type == LUN_JSON_NONE) fields[i] = found;
    else {
        fields[i].twice = true;
        if (out->twice < 0) out->twice = i;
    }
}

static const char *members(struct reader *r, const char *text, const char *p, const struct lun_json_keys *keys,
                           struct lun_json_field *fields, struct lun_json_scan *out)
{
    p = blanks(p + 1, r->end);
    out->empty = p < r->end && *p == '}';
    if (out->empty) return p;
    do {
        const char *key = p, *key_end = name(r, key), *from = key_end ? colon(r, key_end) : NULL;
        const char *to = from ? value(r, from, 1) : NULL;
        if (!to || !(p = next(r, to, '}', "a comma or } is expected"))) return NULL;
        note(out, fields, which(keys, key, (size_t)(key_end - key)), (struct lun_json_field){
            .key = (uint32_t)(key - text), .key_n = (uint32_t)(key_end - key), .value = (uint32_t)(from - text),
            .value_n = (uint32_t)(to - from), .type = (uint8_t)lun_json_type((struct lun_json){ from, 1 }) });
    } while (*p != '}');
    return p;
}

bool lun_json_scan(const char *text, size_t n, const struct lun_json_keys *keys, struct lun_json_field *fields,
                   struct lun_json_scan *out)
{
    struct reader r = {0};
    *out = (struct lun_json_scan){ .twice = -1 };
    if (fields) memset(fields, 0, strnlen((const char *)keys->length, LUN_JSON_KEYS_MAX) * sizeof *fields);
    const char *from = begin(&r, text, n);
    if (from && *from != '{') from = fail(&r, from, "it must be an object");
    const char *close = from ? members(&r, text, from, keys, fields, out) : NULL;
    if (close && ended(&r, close + 1)) {
        out->open = (uint32_t)(from + 1 - text), out->close = (uint32_t)(close - text);
        if (r.longest.n) out->longest = (uint32_t)(r.longest.at - text), out->longest_n = (uint32_t)r.longest.n;
        return true;
    }
    out->error = (struct lun_json_error){ r.what, (size_t)(r.wrong - text) };
    return false;
}
