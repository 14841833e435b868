#include "base/json.h"
#include "base/decimal.h"
#include "base/text.h"
#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool plain(unsigned char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

static void put_unit(struct lun_buf *out, unsigned c)
{
    const char *digit = "0123456789abcdef";
    lun_buf_add(out, (char[]){ '\\', 'u', digit[c >> 12], digit[c >> 8 & 15], digit[c >> 4 & 15], digit[c & 15] }, 6);
}

static void put_special(struct lun_buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c ? strchr(from, c) : NULL;
    if (known) lun_buf_add(out, (char[]){ '\\', to[known - from] }, 2);
    else put_unit(out, c);
}

/* How many bytes from the first one on may stand as they are. Eight at a time; what is suspect among them is looked at one by one. */
static inline bool suspect(const char *eight)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, eight, 8);
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
    return (w | (w - ones * ' ') | (quote - ones) | (slash - ones) | (del - ones)) & high;
}

#ifdef __SSE2__
/* Whether all of 4 to 32 bytes may stand as they are: by two loads, which may have some in the middle in both. */
static inline bool all_plain(const char *text, size_t n)
{
    __m128i first, last;
    if (n >= 16) first = _mm_loadu_si128((const void *)text), last = _mm_loadu_si128((const void *)(text + n - 16));
    else if (n >= 8) first = _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)text), last = _mm_loadl_epi64((const void *)(text + n - 8)));
    else {
        int32_t a, b;
        memcpy(&a, text, 4), memcpy(&b, text + n - 4, 4);
        first = last = _mm_set_epi32(a, b, a, b);
    }
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), del = _mm_set1_epi8(0x7f), space = _mm_set1_epi8(' ');
    __m128i bad = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(first, quote), _mm_cmpeq_epi8(first, slash)), _mm_or_si128(_mm_cmpeq_epi8(first, del), _mm_cmplt_epi8(first, space)));
    if (n > 16) bad = _mm_or_si128(bad, _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(last, quote), _mm_cmpeq_epi8(last, slash)),
                                                     _mm_or_si128(_mm_cmpeq_epi8(last, del), _mm_cmplt_epi8(last, space))));
    return !_mm_movemask_epi8(bad);
}
#else
static inline bool all_plain(const char *text, size_t n) { (void)text, (void)n; return false; }
#endif

/* Names and numbers of a log line: a third of what the rest takes. */
static inline bool short_and_plain(const char *text, size_t n) { return n >= 4 && n <= 32 && all_plain(text, n); }

static size_t plain_run(const char *text, size_t n)
{
    size_t i = 0;
    while (i + 8 <= n && !suspect(text + i)) i += 8;
    if (n >= 8 && i + 8 > n && !suspect(text + n - 8)) return n;
    while (i < n && plain((unsigned char)text[i])) i++;
    return i;
}

static void put_whole(struct lun_buf *out, const char *text, size_t n)
{
    char *to = lun_buf_space(out, n + 2);
    *to = to[n + 1] = '"';
    if (n) memcpy(to + 1, text, n);
    out->n += n + 2;
}

/* A lone surrogate, as lun_json_string_halves has it. */
static bool put_half(struct lun_buf *out, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n < 3 || p[0] != 0xed || (p[1] & 0xe0) != 0xa0 || (p[2] & 0xc0) != 0x80) return false;
    put_unit(out, 0xd000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu));
    return true;
}

static void put_escaped(struct lun_buf *out, const char *text, size_t n, size_t run, bool halves)
{
    lun_buf_space(out, n + 2);
    lun_buf_putc(out, '"');
    lun_buf_add(out, text, run);
    for (size_t i = run; i < n;) {
        size_t length = lun_text_sequence(text + i, n - i);
        if (length > 1) lun_buf_add(out, text + i, length);
        else if (!length && halves && put_half(out, text + i, n - i)) length = 3;
        else if (!length) lun_buf_puts(out, "\xef\xbf\xbd");
        else put_special(out, (unsigned char)text[i]);
        i += length ? length : 1;
        run = plain_run(text + i, n - i);
        lun_buf_add(out, text + i, run);
        i += run;
    }
    lun_buf_putc(out, '"');
}

static void put_string(struct lun_buf *out, const char *text, size_t n, bool halves)
{
    size_t run = short_and_plain(text, n) ? n : plain_run(text, n);
    if (run == n) put_whole(out, text, n);
    else put_escaped(out, text, n, run, halves);
}

void lun_json_put_string(struct lun_buf *out, const char *text, size_t n) { put_string(out, text, n, false); }
void lun_json_put_halves(struct lun_buf *out, const char *text, size_t n) { put_string(out, text, n, true); }

void lun_json_put_text(struct lun_buf *out, const char *text)
{
    if (text) lun_json_put_string(out, text, strlen(text));
    else lun_buf_puts(out, "null");
}

static int digits_needed(double number, char text[32])
{
    for (int digits = fabs(number) < 1e-300 ? 1 : 15; ; digits++) {
        int n = lun_decimal_write(text, 32, digits, number);
        if (digits >= 17 || lun_decimal_read(text, NULL) == number) return n;
    }
}

void lun_json_put_number(struct lun_buf *out, double number)
{
    char text[32];
    if (!isfinite(number)) lun_buf_puts(out, "null");
    else if (number == 0) lun_buf_putc(out, '0');
    else if (fabs(number) < 0x1p63 && number == (double)(int64_t)number) lun_json_put_int(out, (int64_t)number);
    else lun_buf_add(out, text, (size_t)digits_needed(number, text));
}

void lun_json_put_int(struct lun_buf *out, int64_t number) { lun_buf_int(out, number); }

void lun_json_put_bool(struct lun_buf *out, bool yes) { lun_buf_puts(out, yes ? "true" : "false"); }

void lun_json_put_raw(struct lun_buf *out, struct lun_json v)
{
    if (v.n) lun_buf_add(out, v.at, v.n);
    else lun_buf_puts(out, "null");
}

void lun_json_put_key(struct lun_buf *out, const char *name)
{
    if (out->n && out->at[out->n - 1] != '{') lun_buf_putc(out, ',');
    lun_json_put_text(out, name);
    lun_buf_putc(out, ':');
}

void lun_json_member_text(struct lun_buf *out, const char *name, const char *text)
{
    lun_json_put_key(out, name);
    lun_json_put_text(out, text);
}

void lun_json_member_texts(struct lun_buf *out, const char *name, const char *const *texts, int n)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_json_put_text(out, texts[i]);
    }
    lun_buf_putc(out, ']');
}

void lun_json_member_int(struct lun_buf *out, const char *name, int64_t number)
{
    lun_json_put_key(out, name);
    lun_json_put_int(out, number);
}

void lun_json_member_number(struct lun_buf *out, const char *name, double number)
{
    lun_json_put_key(out, name);
    lun_json_put_number(out, number);
}

void lun_json_member_bool(struct lun_buf *out, const char *name, bool yes)
{
    lun_json_put_key(out, name);
    lun_json_put_bool(out, yes);
}

void lun_json_member_time(struct lun_buf *out, const char *name, lun_us wall)
{
    char text[25];
    lun_clock_text(wall, text);
    lun_json_member_text(out, name, text);
}
