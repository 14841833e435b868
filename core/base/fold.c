#include "base/fold.h"
#include "base/text.h"
#include <pthread.h>
#include <string.h>
#include <utf8proc.h>

#define MARKS 32        /* that one letter can have and still be put in order: more is no language, and would cost their square */
#define MOST  32        /* points that one can fold into; the longest of Unicode is 18 */

/* ---- what is known of a code point ---- */

/* What it folds into, in up to three points with the classes that marks are put in order by. */
struct folded { char bytes[11]; uint8_t n, points, classes[3]; };

/* Code points by 256 that texts are made of: Latin, Greek, Cyrillic, marks, Vietnamese, punctuation, kana, full-width forms. With them 20 KB of Vietnamese take
 * 0.9 million instructions to prepare (base/keywords.h); where utf8proc is asked for each letter, 3. */
static const uint8_t blocks[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x1e, 0x20, 0x30, 0xff };
enum { BLOCKS = sizeof blocks };

static struct folded table[BLOCKS][256];
static uint8_t which[256];              /* the block, from 1, of a code point's higher byte */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int decompose(uint32_t point, utf8proc_int32_t folded[MOST])
{
    int boundary = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)point, folded, MOST, UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD, &boundary);
    return n < 0 ? 0 : n < MOST ? (int)n : MOST;
}

static uint8_t class_of(utf8proc_int32_t point) { return (uint8_t)utf8proc_get_property(point)->combining_class; }

static struct folded fold_point(uint32_t point)
{
    utf8proc_int32_t folded[MOST];
    struct folded f = { .points = (uint8_t)decompose(point, folded) };
    if (f.points > 3) return (struct folded){0};
    for (int i = 0; i < f.points; i++) {
        char bytes[4];
        size_t n = lun_text_encode((uint32_t)folded[i], bytes);
        if (f.n + n > sizeof f.bytes) return (struct folded){0};
        memcpy(f.bytes + f.n, bytes, n);
        f.n += (uint8_t)n;
        f.classes[i] = class_of(folded[i]);
    }
    return f;
}

static void fill(void)
{
    for (int b = 0; b < BLOCKS; b++) {
        for (unsigned i = 0; i < 256; i++) table[b][i] = fold_point((unsigned)blocks[b] << 8 | i);
        which[blocks[b]] = (uint8_t)(b + 1);
    }
}

/* NULL: it is to be asked for. */
static const struct folded *known(uint32_t point)
{
    const struct folded *f = point < 0x10000 && which[point >> 8] ? &table[which[point >> 8] - 1][point & 255] : NULL;
    return f && f->points ? f : NULL;
}

static bool follows(char c) { return (c & 0xc0) == 0x80; }

/* How many bytes are Han (U+4E00 to U+9FFF) or emoji (U+1F300 to U+1F63F), which are nothing but themselves. */
static size_t same_run(const char *text, size_t n)
{
    const char *p = text, *end = text + n;
    for (;;) {
        if (end - p >= 3 && *p >= '\xe4' && *p <= '\xe9' && follows(p[1]) && follows(p[2]) && (*p > '\xe4' || p[1] >= '\xb8')) p += 3;
        else if (end - p >= 4 && *p == '\xf0' && p[1] == '\x9f' && p[2] >= '\x8c' && p[2] <= '\x98' && follows(p[3])) p += 4;
        else return (size_t)(p - text);
    }
}

/* ---- marks ---- */

struct mark { char bytes[4]; uint8_t n, class; };
struct marks { struct mark at[MARKS]; int n; };

/* Marks in the order of their class, those of one class as they came. */
static void flush(struct marks *m, struct lun_buf *out)
{
    for (int i = 1; i < m->n; i++) {
        struct mark mark = m->at[i];
        int at = i;
        for (; at > 0 && m->at[at - 1].class > mark.class; at--) m->at[at] = m->at[at - 1];
        m->at[at] = mark;
    }
    for (int i = 0; i < m->n; i++) lun_buf_add(out, m->at[i].bytes, m->at[i].n);
    m->n = 0;
}

static void add(struct marks *m, const char *bytes, size_t n, uint8_t class, struct lun_buf *out)
{
    if (!class || m->n == MARKS) flush(m, out);
    if (!class) { lun_buf_add(out, bytes, n); return; }
    struct mark *mark = &m->at[m->n++];
    memcpy(mark->bytes, bytes, n);
    mark->n = (uint8_t)n;
    mark->class = class;
}

static void add_known(struct marks *m, const struct folded *f, struct lun_buf *out)
{
    const char *bytes = f->bytes;
    for (int i = 0; i < f->points; i++) {
        size_t n = lun_text_sequence(bytes, 4);
        add(m, bytes, n, f->classes[i], out);
        bytes += n;
    }
}

static void add_other(struct marks *m, uint32_t point, struct lun_buf *out)
{
    utf8proc_int32_t folded[MOST];
    char bytes[4];
    int n = decompose(point, folded);
    for (int i = 0; i < n; i++) add(m, bytes, lun_text_encode((uint32_t)folded[i], bytes), class_of(folded[i]), out);
}

/* A run without ASCII, which is in order by itself: no ASCII character is a mark. */
static void fold_run(const char *text, size_t n, struct lun_buf *out)
{
    struct marks marks;
    size_t used;
    marks.n = 0;
    for (size_t i = 0; i < n; i += used) {
        used = same_run(text + i, n - i);
        if (used) { add(&marks, text + i, used, 0, out); continue; }
        uint32_t point = lun_text_point(text + i, n - i, &used);
        const struct folded *f = known(point);
        if (f) add_known(&marks, f, out);
        else add_other(&marks, point, out);
    }
    flush(&marks, out);
}

/* Of a run that is one letter of two or three bytes, as most are in Vietnamese and French; NULL: it is not, or not known. */
static const struct folded *lone(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n == 2 && p[0] >= 0xc2 && p[0] < 0xe0 && p[1] < 0xc0) return known((p[0] & 31u) << 6 | (p[1] & 63));
    if (n == 3 && p[0] > 0xe0 && p[0] < 0xed && p[1] < 0xc0 && p[2] < 0xc0) return known((p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63));
    return NULL;
}

void lun_fold(const char *text, size_t n, struct lun_buf *out)
{
    pthread_once(&once, fill);
    for (size_t i = 0; i < n; ) {
        char *to = lun_buf_space(out, n - i + sizeof(struct folded)), *begin = to;
        for (; i < n && !(text[i] & 0x80); i++) *to++ = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
        out->n += (size_t)(to - begin);
        size_t from = i;
        while (i < n && text[i] & 0x80) i++;
        const struct folded *f = lone(text + from, i - from);
        if (f) memcpy(to, f, sizeof *f), out->n += f->n;
        else if (i > from) fold_run(text + from, i - from, out);
    }
}

bool lun_fold_is_mark(uint32_t point)
{
    if (point < 0x300) return false;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)point);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

/* From Thai (U+0E00) on, scripts without spaces are the rule; what has them there, Hangul first of all, glues endings to words. */
bool lun_fold_is_joined(uint32_t point)
{
    if (point < 0x80) return (point >= '0' && point <= '9') || (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z') || point == '_';
    if (point >= 0xe00) return false;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)point);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO;
}

static bool is_shown(utf8proc_int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CO: case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_CS: return false;
    default: return true;
    }
}

bool lun_fold_shows(const char *text, size_t n)
{
    utf8proc_int32_t point = 0;
    utf8proc_category_t first = UTF8PROC_CATEGORY_CN;
    for (size_t i = 0, used; i < n; i += used) {
        utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &point);
        if (got <= 0 || !is_shown(point)) return false;
        if (!i) first = utf8proc_category(point);
        used = (size_t)got;
    }
    return n && first != UTF8PROC_CATEGORY_ZS && utf8proc_category(point) != UTF8PROC_CATEGORY_ZS;
}
