#include "base/json.h"
#include "base/decimal.h"
#include "base/text.h"
#include "base/wide.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The text was checked before, so what follows only looks for ends; it stays within `end` all the same. */

const uint8_t lun_json_types[256] = { ['"'] = LUN_JSON_STRING, ['{'] = LUN_JSON_OBJECT, ['['] = LUN_JSON_ARRAY, ['t'] = LUN_JSON_TRUE, ['f'] = LUN_JSON_FALSE,
                                      ['n'] = LUN_JSON_NULL, ['-'] = LUN_JSON_NUMBER, ['0' ... '9'] = LUN_JSON_NUMBER };

#ifdef __SSE2__
static inline __m128i sixteen(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline unsigned where(__m128i v, char c) { return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(c))); }

/* A bit for each of 64 bytes. */
static inline uint64_t where_of_64(const char *p, char c)
{
    uint32_t low = where(sixteen(p), c) | where(sixteen(p + 16), c) << 16, high = where(sixteen(p + 32), c) | where(sixteen(p + 48), c) << 16;
    return low | (uint64_t)high << 32;
}

#ifdef __x86_64__
/* As below, at half of its instructions. */
LUN_AVX2 static const char *string_end_wide(const char **at, const char *end)
{
    const char *p = *at;
    uint64_t carry = 0;
    for (; end - p >= 64; p += 64) {
        __m256i a = lun_wide(p), b = lun_wide(p + 32);
        uint64_t slashes = lun_wide_where_of_two(a, b, '\\'), quotes = lun_wide_where_of_two(a, b, '"');
        if (slashes | carry) quotes &= ~lun_escaped_among(slashes, &carry);
        if (quotes) return p + __builtin_ctzll(quotes) + 1;
    }
    *at = p + carry;
    return NULL;
}
#endif

/* Steps over what ends within 16 bytes, and then 64 at a time: less than an instruction a byte, however many escapes there are. */
static inline const char *string_end_at_once(const char **at, const char *end)
{
    const char *p = *at;
    uint64_t carry = 0;
    if (end - p >= 16) {
        __m128i v = sixteen(p);
        unsigned quotes = where(v, '"'), slashes = where(v, '\\');
        if (quotes && !(slashes & ((quotes & -quotes) - 1))) return p + __builtin_ctz(quotes) + 1;
    }
#ifdef __x86_64__
    if (end - p >= 128 && lun_may_be_wide()) return string_end_wide(at, end);
#endif
    for (; end - p >= 64; p += 64) {
        uint64_t slashes = where_of_64(p, '\\'), quotes = where_of_64(p, '"') & ~(slashes | carry ? lun_escaped_among(slashes, &carry) : 0);
        if (quotes) return p + __builtin_ctzll(quotes) + 1;
    }
    *at = p + carry;
    return NULL;
}
#endif

static const char *string_end(const char *p, const char *end)
{
    p++;
#ifdef __SSE2__
    const char *found = string_end_at_once(&p, end);
    if (found) return found;
#endif
    for (; p < end && *p != '"'; p++) p += *p == '\\';
    return p < end ? p + 1 : end;
}

static const char *container_end(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        switch (*p) {
        case '"': p = string_end(p, end); continue;
        case '{': case '[': depth++; break;
        case '}': case ']': if (!--depth) return p + 1;
        }
        p++;
    }
    return end;
}

static const char *value_end(const char *p, const char *end)
{
    if (*p == '"') return string_end(p, end);
    if (*p == '{' || *p == '[') return container_end(p, end);
    while (p < end && *p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ') p++;
    return p;
}

static const char *skip(const char *p, const char *end, char mark)
{
    while (p < end && ((unsigned char)*p <= ' ' || *p == mark)) p++;
    return p;
}

struct lun_json_each lun_json_each(struct lun_json v)
{
    enum lun_json_type type = lun_json_type(v);
    struct lun_json_each e = { .index = SIZE_MAX, .object = type == LUN_JSON_OBJECT };
    if ((type == LUN_JSON_OBJECT || type == LUN_JSON_ARRAY) && v.n >= 2) e.at = v.at + 1, e.end = v.at + v.n - 1;
    return e;
}

static inline const char *member_end(const struct lun_json_each *e, const char *p) { return p == e->known.at ? p + e->known.n : value_end(p, e->end); }

/* Where the next value begins, behind its name. */
static inline const char *next(struct lun_json_each *e)
{
    const char *p = skip(e->at, e->end, ',');
    if (p == e->end || !e->object) return p;
    const char *key = p;
    p = value_end(p, e->end);
    e->key = (struct lun_json){ key, (size_t)(p - key) };
    return skip(p, e->end, ':');
}

bool lun_json_next(struct lun_json_each *e)
{
    const char *p = next(e);
    e->at = p < e->end ? member_end(e, p) : p;
    e->value = (struct lun_json){ p, (size_t)(e->at - p) };
    e->index++;
    return e->value.n > 0;
}

/* An object's members end at its bracket, where lun_json_next finds no value and stays. */
bool lun_json_into(struct lun_json_each *e, struct lun_json_each *inner)
{
    const char *p = next(e);
    bool object = p < e->end && *p == '{';
    e->at = p == e->end || object ? p : member_end(e, p);
    e->value = (struct lun_json){ p, object ? 1 : (size_t)(e->at - p) };
    e->index++;
    *inner = object ? (struct lun_json_each){ .index = SIZE_MAX, .at = p + 1, .end = e->end, .object = true } : lun_json_each(e->value);
    inner->known = e->known;
    return e->value.n > 0;
}

void lun_json_out(struct lun_json_each *e, struct lun_json_each *inner)
{
    if (!inner->object) return;
    while (lun_json_next(inner)) { }
    e->at = inner->at < e->end ? inner->at + 1 : e->end;
}

struct lun_json lun_json_get(struct lun_json object, const char *name)
{
    struct lun_json found = {0};
    size_t n = strlen(name);
    struct lun_json_each e = lun_json_each(object);
    if (e.object) while (lun_json_next(&e)) if (lun_json_is_n(e.key, name, n)) found = e.value;
    return found;
}

static struct lun_json element(struct lun_json array, const char *step)
{
    size_t wanted = 0;
    for (; *step; step++) {
        if (*step < '0' || *step > '9' || wanted > SIZE_MAX / 20) return (struct lun_json){0};
        wanted = wanted * 10 + (size_t)(*step - '0');
    }
    struct lun_json_each e = lun_json_each(array);
    while (lun_json_next(&e)) if (e.index == wanted) return e.value;
    return (struct lun_json){0};
}

struct lun_json lun_json_path(struct lun_json v, const char *path)
{
    char step[256];
    for (bool more = *path; more && v.n;) {
        size_t n = strcspn(path, ".");
        if (!n || n >= sizeof step) return (struct lun_json){0};
        memcpy(step, path, n);
        step[n] = 0;
        v = *v.at == '[' ? element(v, step) : lun_json_get(v, step);
        more = path[n] == '.';
        path += n + more;
    }
    return v;
}

size_t lun_json_count(struct lun_json v)
{
    size_t n = 0;
    for (struct lun_json_each e = lun_json_each(v); lun_json_next(&e);) n++;
    return n;
}

/* ---- strings ------------------------------------------------------------------------------------------------------- */

static uint32_t unit(const char *p, const char *end)
{
    uint32_t value = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return UINT32_MAX;
    for (int i = 2; i < 6; i++) value = value << 4 | (uint32_t)((p[i] & 15) + (p[i] > '9' ? 9 : 0));
    return value & 0xffff;
}

/* One escape at `p`: its bytes to `out`, and where it ends. *odd: a lone surrogate or a NUL. */
static const char *escape(const char *p, const char *end, char out[4], size_t *n, bool *odd)
{
    *odd = false, *n = 1;
    if (end - p >= 2 && lun_escape_meant[(unsigned char)p[1]]) return *out = lun_escape_meant[(unsigned char)p[1]], p + 2;
    uint32_t c = unit(p, end), second = UINT32_MAX;
    if (c == UINT32_MAX) return *out = *p, p + 1;
    p += 6;
    if (c >= 0xd800 && c < 0xdc00) second = unit(p, end);
    if (second >= 0xdc00 && second < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (second - 0xdc00), p += 6;
    *odd = !c || (c >= 0xd800 && c < 0xe000);
    *n = lun_text_encode(c, out);
    return p;
}

static const struct lun_json nothing;

/* What is between the quotes. */
static struct lun_json inner(struct lun_json v)
{
    return lun_json_type(v) == LUN_JSON_STRING && v.n >= 2 ? (struct lun_json){ v.at + 1, v.n - 2 } : nothing;
}

bool lun_json_equal(struct lun_json v, const char *text, size_t length)
{
    if (v.n < length + 2 || *v.at != '"') return false;
    const char *p = v.at + 1, *end = v.at + v.n - 1;
    if (v.n - 2 == length) return !memcmp(p, text, length) && !memchr(p, '\\', length);       /* what is escaped is longer than what is meant */
    if ((*p != *text && *p != '\\') || !memchr(p, '\\', v.n - 2)) return false;
    for (size_t i = 0; p < end; ) {
        char bytes[4];
        size_t n = 1;
        bool odd;
        if (*p == '\\') p = escape(p, end, bytes, &n, &odd);
        else bytes[0] = *p++;
        if (length - i < n || memcmp(bytes, text + i, n)) return false;
        i += n;
        if (p == end) return i == length;
    }
    return false;
}

#ifdef __x86_64__
LUN_AVX2 static inline void copy_64(char *to, const char *p)
{
    _mm256_storeu_si256((void *)to, lun_wide(p));
    _mm256_storeu_si256((void *)(to + 32), lun_wide(p + 32));
}

/* As below, with a look for backslashes at every 64 bytes instead of behind each: 1.3 instructions a byte, not 1.9, with an escape every twenty. */
LUN_AVX2 static const char *copy_wide(const char *p, const char *end, char **to)
{
    char *out = *to;
    while (end - p >= 160) {
        uint64_t slashes = lun_wide_where_of_two(lun_wide(p), lun_wide(p + 32), '\\');
        unsigned at = 0, i;
        copy_64(out, p);
        for (; slashes; slashes &= ~3ull << i) {
            i = (unsigned)__builtin_ctzll(slashes);
            out += i - at;
            if (!(*out = lun_escape_meant[(unsigned char)p[i + 1]])) return *to = out, p + i;
            at = i + 2;
            copy_64(++out, p + at);
        }
        out += at < 64 ? 64 - at : 0;
        p += at < 64 ? 64 : at;
    }
    *to = out;
    return p;
}

/* The same without a step for each escape: backslashes are squeezed out of 64 bytes at once. */
LUN_AVX512 static const char *copy_widest(const char *p, const char *end, char **to)
{
    uint64_t carry = 0, none;
    char *out = *to;
    for (; end - p > 64; p += 64) {
        __m512i v = lun_widest(p);
        uint64_t slashes = lun_widest_where(v, '\\'), escaped = slashes | carry ? lun_escaped_among(slashes, &carry) : 0, kept = ~slashes | escaped;
        __m512i meant = lun_widest_meant(v, &none);
        if (none &= escaped) {
            int at = __builtin_ctzll(none);
            *to = at ? lun_widest_put(out, _mm512_mask_mov_epi8(v, escaped, meant), kept & ((1ull << (at - 1)) - 1)) : out;
            return p + at - 1;
        }
        out = lun_widest_put(out, _mm512_mask_mov_epi8(v, escaped, meant), kept);
    }
    *to = out;
    return p - carry;
}
#endif

/* Copies up to the next backslash, or the next with which no simple escape begins; `to` has room for all that is left. */
static inline const char *copy_run(const char *p, const char *end, char **to)
{
#ifdef __x86_64__
    if (end - p >= 160 && (*p != '\\' || lun_escape_meant[(unsigned char)p[1]]) && lun_may_be_wide()) p = lun_may_be_widest() ? copy_widest(p, end, to) : copy_wide(p, end, to);
#endif
    char *out = *to;
#ifdef __SSE2__
    while (end - p >= 16) {
        __m128i v = sixteen(p);
        unsigned slashes = where(v, '\\'), run = slashes ? (unsigned)__builtin_ctz(slashes) : 16;
        _mm_storeu_si128((__m128i *)(void *)out, v);
        out += run, p += run;
        if (!slashes) continue;
        if (end - p < 2 || !(*out = lun_escape_meant[(unsigned char)p[1]])) return *to = out, p;
        out++, p += 2;
    }
#endif
    while (p < end && *p != '\\') *out++ = *p++;
    *to = out;
    return p;
}

enum lone { REPLACED, REFUSED, HALVES };      /* what becomes of a lone surrogate */

static void put_half(char *out, uint32_t c)
{
    out[0] = '\xed', out[1] = (char)(0x80 | (c >> 6 & 0x3f)), out[2] = (char)(0x80 | (c & 0x3f));
}

/* Decoded text is never longer than it was. SIZE_MAX: refused. */
static size_t decode(struct lun_json v, enum lone how, char *out)
{
    char *to = out;
    for (const char *p = v.at, *end = p + v.n; (p = copy_run(p, end, &to)) < end; ) {
        size_t n;
        bool odd;
        if (end - p >= 2 && (*to = lun_escape_meant[(unsigned char)p[1]])) { to++, p += 2; continue; }
        const char *from = p;
        p = escape(p, end, to, &n, &odd);
        if (odd && how == REFUSED) return SIZE_MAX;
        if (odd && n == 3 && how == HALVES) put_half(to, unit(from, end));
        to += n;
    }
    return (size_t)(to - out);
}

static bool string(struct lun_json v, enum lone how, struct lun_buf *out)
{
    v = inner(v);
    if (!v.at) return false;
    size_t n = decode(v, how, lun_buf_space(out, v.n + 4));     /* + 4: an escape is written as a whole */
    if (n == SIZE_MAX) return false;
    out->n += n;
    return true;
}

bool lun_json_string(struct lun_json v, bool strict_name, struct lun_buf *out) { return string(v, strict_name ? REFUSED : REPLACED, out); }
bool lun_json_string_halves(struct lun_json v, struct lun_buf *out) { return string(v, HALVES, out); }

char *lun_json_string_in(struct lun_json v, bool strict_name, struct lun_arena *arena, size_t *length)
{
    v = inner(v);
    if (!v.at) return NULL;
    char *out = lun_arena_alloc(arena, v.n + 4);
    size_t n = decode(v, strict_name ? REFUSED : REPLACED, out);
    if (n == SIZE_MAX) return NULL;
    out[n] = 0;
    if (length) *length = n;
    return out;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------- */

static bool times_ten(uint64_t *value, long n)
{
    for (; n > 0; n--) if (__builtin_mul_overflow(*value, 10, value)) return false;
    return true;
}

static long exponent(const char *p, const char *end)
{
    long value = 0, sign = p < end && *p == '-' ? -1 : 1;
    if (p < end && (*p == '-' || *p == '+')) p++;
    for (; p < end && value < 100000; p++) value = value * 10 + (*p - '0');
    return sign * value;
}

bool lun_json_int(struct lun_json v, int64_t *out)
{
    if (lun_json_type(v) != LUN_JSON_NUMBER) return false;
    const char *p = v.at, *end = p + v.n;
    bool minus = *p == '-', point = false;
    uint64_t value = 0;
    long zeros = 0, scale = 0;      /* zeros: seen, and not yet multiplied in, because they may be the last */
    for (p += minus; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') { point = true; continue; }
        scale -= point;
        if (*p == '0') { zeros += value != 0; continue; }
        if (!times_ten(&value, zeros + 1) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) return false;
        zeros = 0;
    }
    if (p < end) scale += exponent(p + 1, end);
    if (value && (scale + zeros < 0 || !times_ten(&value, scale + zeros))) return false;
    if (value > (uint64_t)INT64_MAX + minus) return false;
    *out = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool lun_json_double(struct lun_json v, double *out)
{
    char copy[LUN_JSON_DIGITS + 1];
    if (lun_json_type(v) != LUN_JSON_NUMBER || v.n >= sizeof copy) return false;
    memcpy(copy, v.at, v.n);
    copy[v.n] = 0;
    double value = lun_decimal_read(copy, NULL);
    if (!isfinite(value)) return false;
    *out = value;
    return true;
}

bool lun_json_true(struct lun_json v) { return lun_json_type(v) == LUN_JSON_TRUE; }
