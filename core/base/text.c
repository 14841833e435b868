#include "base/text.h"
#include "base/wide.h"
#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static size_t ascii_run(const char *text, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; n - i >= 16; i += 16) {
        int high = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(text + i)));
        if (high) return i + (size_t)__builtin_ctz((unsigned)high);
    }
#endif
    while (i < n && !(text[i] & 0x80)) i++;
    return i;
}

static bool follows(unsigned char c) { return (c & 0xc0) == 0x80; }

size_t lun_text_sequence(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (!n) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    if (p[0] < 0xe0) return n >= 2 && follows(p[1]) ? 2 : 0;
    if (p[0] < 0xf0) {
        if (n < 3 || !follows(p[1]) || !follows(p[2])) return 0;
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (n < 4 || !follows(p[1]) || !follows(p[2]) || !follows(p[3])) return 0;
    return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

uint32_t lun_text_point(const char *text, size_t n, size_t *used)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t length = lun_text_sequence(text, n);
    *used = length ? length : 1;
    switch (length) {
    case 1:  return p[0];
    case 2:  return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    case 3:  return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    case 4:  return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
    default: return 0xfffd;
    }
}

size_t lun_text_encode(uint32_t c, char out[4])
{
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) c = 0xfffd;
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; --i; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n) | c);
    return n;
}

bool lun_text_valid(const char *text, size_t n)
{
    for (size_t i = ascii_run(text, n); i < n; i += ascii_run(text + i, n - i)) {
        size_t length = lun_text_sequence(text + i, n - i);
        if (!length) return false;
        i += length;
    }
    return true;
}

bool lun_text_printable(const char *text, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(' '), del = _mm_set1_epi8(0x7f);
    for (size_t last = n >= 16 ? n - 16 : 0; n >= 16 && i < n; i += 16) {       /* the last 16 end where the text does */
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + (i < last ? i : last)));
        if (_mm_movemask_epi8(_mm_or_si128(_mm_cmplt_epi8(v, space), _mm_cmpeq_epi8(v, del)))) return false;
    }
#endif
    for (; i < n; i++) if ((signed char)text[i] < ' ' || text[i] == 0x7f) return false;
    return true;
}

bool lun_text_graphic(const char *text)
{
    for (; *text; text++) if (*text <= ' ' || *text > '~') return false;
    return true;
}

size_t lun_text_points(const char *text, size_t n)
{
    size_t points = 0, used;
    for (size_t i = 0; i < n; i += used, points++) {
        bool ascii = !(text[i] & 0x80);
        used = ascii ? ascii_run(text + i, n - i) : lun_text_sequence(text + i, n - i);
        if (ascii) points += used - 1;
        else if (!used) used = 1;
    }
    return points;
}

/* U+0300 to U+036F: CC 80 to CD AF. */
static bool is_mark(unsigned char a, unsigned char b) { return (a == 0xcc && follows(b)) || (a == 0xcd && follows(b) && b < 0xb0); }

static size_t marks(const char *text, size_t n)
{
    size_t found = 0, i = 0;
#ifdef __SSE2__
    const __m128i even = _mm_set1_epi8((char)0xfe), lead = _mm_set1_epi8((char)0xcc);
    for (; n - i > 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        for (unsigned at = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(v, even), lead)); at; at &= at - 1) {
            const char *p = text + i + __builtin_ctz(at);
            found += is_mark((unsigned char)p[0], (unsigned char)p[1]);
        }
    }
#endif
    for (; i + 1 < n; i++) found += is_mark((unsigned char)text[i], (unsigned char)text[i + 1]);
    return found;
}

size_t lun_text_chars(const char *text, size_t n) { return lun_text_points(text, n) - marks(text, n); }

static bool among(uint32_t c, const uint32_t (*ranges)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static bool is_space(uint32_t c)
{
    static const uint32_t spaces[][2] = { { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f },
        { 0x3000, 0x3000 } };
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    if (c < 0x1680) return c == 0x85 || c == 0xa0;
    return c <= 0x3000 && among(c, spaces, sizeof spaces / sizeof *spaces);
}

static bool is_cjk_mark(uint32_t c)
{
    static const uint32_t marks[][2] = { { 0x3001, 0x3004 }, { 0x3008, 0x3020 }, { 0x3030, 0x3030 }, { 0x303d, 0x303f },
        { 0x30fb, 0x30fb }, { 0xfe30, 0xfe4f }, { 0xff01, 0xff0f }, { 0xff1a, 0xff20 }, { 0xff3b, 0xff40 }, { 0xff5b, 0xff65 } };
    return c > 0x3000 && among(c, marks, sizeof marks / sizeof *marks);
}

static bool is_cjk(uint32_t c)
{
    static const uint32_t letters[][2] = { { 0x4e00, 0x9fff }, { 0x3041, 0x30fa }, { 0x3005, 0x3007 }, { 0x3021, 0x302f }, { 0x3031, 0x303c },
        { 0x30fc, 0x312f }, { 0x31a0, 0x31bf }, { 0x31f0, 0x31ff }, { 0x3400, 0x4dbf }, { 0xf900, 0xfaff },
        { 0xff66, 0xff9f }, { 0x1b000, 0x1b16f }, { 0x20000, 0x3fffd } };
    return c > 0x3000 && among(c, letters, sizeof letters / sizeof *letters);
}

#ifdef __SSE2__
/* Words that begin in ASCII, 16 bytes at a time, from `i` on: less than two instructions a byte, for ten by itself. *inside: the last byte was of a word. */
static size_t words_at_once(const char *text, size_t n, size_t *i, unsigned *inside)
{
    const __m128i space = _mm_set1_epi8(' '), tab = _mm_set1_epi8('\t'), few = _mm_set1_epi8(4);
    size_t words = 0;
    for (; n - *i >= 16; *i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + *i)), from_tab = _mm_sub_epi8(v, tab);
        if (_mm_movemask_epi8(v)) break;
        __m128i blank = _mm_or_si128(_mm_cmpeq_epi8(v, space), _mm_cmpeq_epi8(_mm_min_epu8(from_tab, few), from_tab));
        unsigned solid = ~(unsigned)_mm_movemask_epi8(blank) & 0xffff;
        words += (size_t)__builtin_popcount(solid & ~(solid << 1 | *inside));
        *inside = solid >> 15;
    }
    return words;
}
#else
static size_t words_at_once(const char *text, size_t n, size_t *i, unsigned *inside) { (void)text, (void)n, (void)i, (void)inside; return 0; }
#endif

size_t lun_text_words(const char *text, size_t n)
{
    size_t words = 0, used;
    unsigned inside = 0;
    for (size_t i = 0; i < n; i += used) {
        if (!(text[i] & 0x80)) words += words_at_once(text, n, &i, &inside);
        if (i == n) break;
        uint32_t c = (unsigned char)text[i];
        for (; c < 0x80; c = (unsigned char)text[i]) {          /* no branch per byte */
            unsigned solid = !((c == ' ') | (c - '\t' < 5u));
            words += solid & (inside ^ 1);
            inside = solid;
            if (++i == n) return words;
        }
        c = lun_text_point(text + i, n - i, &used);
        bool alone = is_cjk(c), gap = !alone && (is_space(c) || is_cjk_mark(c));
        words += alone || (!gap && !inside);
        inside = !alone && !gap;
    }
    return words;
}

/* Whether one of them can begin at `p`, by its first three bytes: a bit for each that may stand in that place, by its low six. Most lines are ruled out. */
static bool may_be_code(const char *p)
{
#define X(s) | 1ull << (s[0] & 63)
    const uint64_t first = 0 LUN_TEXT_CODE(X);
#undef X
#define X(s) | 1ull << (s[1] & 63)
    const uint64_t second = 0 LUN_TEXT_CODE(X);
#undef X
#define X(s) | 1ull << (s[2] & 63)
    const uint64_t third = 0 LUN_TEXT_CODE(X);
#undef X
    return first >> (p[0] & 63) & second >> (p[1] & 63) & third >> (p[2] & 63) & 1;
}

static bool is_code(const char *p, size_t n)
{
    static const struct { const char *at; size_t n; } begins[] = {
#define X(s) { s, sizeof s - 1 },
        LUN_TEXT_CODE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (*p == *begins[i].at && n >= begins[i].n && !memcmp(p, begins[i].at, begins[i].n)) return true;
    return false;
}

static inline bool line_is_code(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return end - p >= 3 && may_be_code(p) && is_code(p, (size_t)(end - p));
}

#ifdef __x86_64__
/* Goes from line to line by 64 bytes, to where fewer are left; NULL: one of them is code. */
LUN_AVX2 static const char *past_lines_wide(const char *p, const char *end)
{
    for (; end - p >= 64; p += 64)
        for (uint64_t feeds = lun_wide_where_of_two(lun_wide(p), lun_wide(p + 32), '\n'); feeds; feeds &= feeds - 1)
            if (line_is_code(p + __builtin_ctzll(feeds) + 1, end)) return NULL;
    return p;
}
#else
static const char *past_lines_wide(const char *p, const char *end) { (void)end; return p; }
#endif

bool lun_text_has_code(const char *text, size_t n)
{
#define X(s) _Static_assert(sizeof s > 3, "may_be_code reads three bytes");
    LUN_TEXT_CODE(X)
#undef X
    const char *p = text, *end = text + n;
    if (!n) return false;
    if (line_is_code(p, end) || (lun_may_be_wide() && !(p = past_lines_wide(p, end)))) return true;
    while ((p = memchr(p, '\n', (size_t)(end - p)))) if (line_is_code(++p, end)) return true;
    return false;
}

size_t lun_text_clip(const char *text, size_t n, size_t most)
{
    if (n <= most) return n;
    size_t cut = most;
    for (int back = 0; back < 3 && cut && follows((unsigned char)text[cut]); back++) cut--;
    return lun_text_sequence(text + cut, n - cut) > most - cut ? cut : most;
}

enum { NAME_MAX_BYTES = 64 };

static char low(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Optimal string alignment: three rows of the usual table, kept as they go by. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][NAME_MAX_BYTES + 1], *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++) above[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            char x = low(a[i - 1]), y = low(b[j - 1]);
            size_t best = above[j - 1] + (x != y);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == low(b[j - 2]) && y == low(a[i - 2]) && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above, above = row, row = oldest;
    }
    return above[m];
}

const char *lun_text_nearest(const char *name, const char *const *list, size_t n)
{
    const char *nearest = NULL;
    size_t length = strlen(name), least = length == 2 ? 2 : length / 3 + 1;
    if (length > NAME_MAX_BYTES) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(list[i]);
        if (m > NAME_MAX_BYTES || (length == 2 && m != 2)) continue;
        size_t d = distance(name, length, list[i], m);
        if (d < least) nearest = list[i], least = d;
    }
    return nearest;
}

static int64_t unit(const char *name)
{
    static const struct { const char *name; int64_t bytes; } units[] = { { "", 1 }, { "B", 1 },
        { "kB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 }, { "TB", 1000000000000 },
        { "KiB", 1LL << 10 }, { "MiB", 1LL << 20 }, { "GiB", 1LL << 30 }, { "TiB", 1LL << 40 } };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) if (!strcasecmp(name, units[i].name)) return units[i].bytes;
    return 0;
}

bool lun_text_size(const char *text, int64_t *bytes)
{
    int64_t value = 0;
    if (*text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value)) return false;
    if (*text == ' ' && text[1]) text++;
    int64_t of = unit(text);
    if (!of || __builtin_mul_overflow(value, of, &value)) return false;
    *bytes = value;
    return true;
}
