#include "base/json.h"
#include "base/decimal.h"
#include "base/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The text was checked before, so what follows only looks for ends; it stays within `end` all the same. */

enum lun_json_type lun_json_type(struct lun_json v)
{
    if (!v.n) return LUN_JSON_NONE;
    switch (*v.at) {
    case '"': return LUN_JSON_STRING;
    case '{': return LUN_JSON_OBJECT;
    case '[': return LUN_JSON_ARRAY;
    case 't': return LUN_JSON_TRUE;
    case 'f': return LUN_JSON_FALSE;
    case 'n': return LUN_JSON_NULL;
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return LUN_JSON_NUMBER;
    default: return LUN_JSON_NONE;
    }
}

static const char *string_end(const char *p, const char *end)
{
    for (p++;; p++) {
        const char *from = p;
        p = memchr(p, '"', (size_t)(end - p));
        if (!p) return end;
        const char *slash = p;
        while (slash > from && slash[-1] == '\\') slash--;
        if ((p - slash) % 2 == 0) return p + 1;
    }
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

bool lun_json_next(struct lun_json_each *e)
{
    const char *p = skip(e->at, e->end, ',');
    if (p < e->end && e->object) {
        const char *key = p;
        p = value_end(p, e->end);
        e->key = (struct lun_json){ key, (size_t)(p - key) };
        p = skip(p, e->end, ':');
    }
    e->at = p < e->end ? value_end(p, e->end) : p;
    e->value = (struct lun_json){ p, (size_t)(e->at - p) };
    e->index++;
    return e->value.n > 0;
}

struct lun_json lun_json_get(struct lun_json object, const char *name)
{
    struct lun_json found = {0};
    struct lun_json_each e = lun_json_each(object);
    if (e.object) while (lun_json_next(&e)) if (lun_json_is(e.key, name)) found = e.value;
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
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *simple = end - p >= 2 ? strchr(from, p[1]) : NULL;
    *odd = false, *n = 1;
    if (simple && *simple) return *out = to[simple - from], p + 2;
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

bool lun_json_is(struct lun_json v, const char *text)
{
    size_t length = strlen(text);
    v = inner(v);
    if (!v.at) return false;
    const char *p = v.at, *end = v.at + v.n;
    if (!memchr(p, '\\', v.n)) return v.n == length && !memcmp(p, text, length);
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

/* Decoded text is never longer than it was. SIZE_MAX: refused. */
static size_t decode(struct lun_json v, bool strict, char *out)
{
    char *to = out;
    for (const char *p = v.at, *end = p + v.n; p < end;) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((slash ? slash : end) - p), n;
        bool odd;
        memcpy(to, p, run);
        to += run, p += run;
        if (p == end) break;
        p = escape(p, end, to, &n, &odd);
        if (odd && strict) return SIZE_MAX;
        to += n;
    }
    return (size_t)(to - out);
}

bool lun_json_string(struct lun_json v, bool strict_name, struct lun_buf *out)
{
    v = inner(v);
    if (!v.at) return false;
    size_t n = decode(v, strict_name, lun_buf_space(out, v.n + 4));     /* + 4: an escape is written as a whole */
    if (n == SIZE_MAX) return false;
    out->n += n;
    return true;
}

char *lun_json_string_in(struct lun_json v, bool strict_name, struct lun_arena *arena, size_t *length)
{
    v = inner(v);
    if (!v.at) return NULL;
    char *out = lun_arena_alloc(arena, v.n + 4);
    size_t n = decode(v, strict_name, out);
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
