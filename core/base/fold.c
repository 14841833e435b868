#include "base/fold.h"
#include "base/text.h"
#include <utf8proc.h>

#define MARKS 32        /* that one letter can have and still be put in order: more is no language, and would cost their square */
#define MOST  32        /* points that one can fold into; the longest of Unicode is 18 */

/* Marks in the order of their class, those of one class as they came. */
static void put_in_order(utf8proc_int32_t *points, utf8proc_propval_t *classes, int n)
{
    for (int i = 1; i < n; i++) {
        utf8proc_int32_t point = points[i];
        utf8proc_propval_t class = classes[i];
        int at = i;
        for (; at > 0 && classes[at - 1] > class; at--) points[at] = points[at - 1], classes[at] = classes[at - 1];
        points[at] = point, classes[at] = class;
    }
}

struct marks { utf8proc_int32_t points[MARKS]; utf8proc_propval_t classes[MARKS]; int n; };

static void put(struct lun_buf *out, utf8proc_int32_t point)
{
    char bytes[4];
    lun_buf_add(out, bytes, lun_text_encode((uint32_t)point, bytes));
}

static void flush(struct marks *m, struct lun_buf *out)
{
    put_in_order(m->points, m->classes, m->n);
    for (int i = 0; i < m->n; i++) put(out, m->points[i]);
    m->n = 0;
}

static void add(struct marks *m, utf8proc_int32_t point, struct lun_buf *out)
{
    utf8proc_propval_t class = utf8proc_get_property(point)->combining_class;
    if (!class || m->n == MARKS) flush(m, out);
    if (!class) { put(out, point); return; }
    m->points[m->n] = point;
    m->classes[m->n++] = class;
}

/* A run without ASCII, which is in order by itself: no ASCII character is a mark. */
static void fold_run(const char *text, size_t n, struct lun_buf *out)
{
    struct marks marks = { .n = 0 };
    utf8proc_int32_t folded[MOST];
    size_t used;
    int boundary;
    for (size_t i = 0; i < n; i += used) {
        uint32_t point = lun_text_point(text + i, n - i, &used);
        boundary = UTF8PROC_BOUNDCLASS_START;
        utf8proc_ssize_t points = utf8proc_decompose_char((utf8proc_int32_t)point, folded, MOST, UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD, &boundary);
        for (utf8proc_ssize_t k = 0; k < points && k < MOST; k++) add(&marks, folded[k], out);
    }
    flush(&marks, out);
}

void lun_fold(const char *text, size_t n, struct lun_buf *out)
{
    char *room = lun_buf_space(out, n);
    for (size_t i = 0; i < n; ) {
        size_t from = i;
        for (; i < n && !(text[i] & 0x80); i++) room[i - from] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
        out->n += i - from;
        from = i;
        while (i < n && text[i] & 0x80) i++;
        fold_run(text + from, i - from, out);
        room = lun_buf_space(out, n - i);
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
