#include "base/sse.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static size_t to_line_end(const char *p, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, cr)));
        if (mask) return i + (size_t)__builtin_ctz(mask);
    }
#endif
    while (i < n && p[i] != '\n' && p[i] != '\r') i++;
    return i;
}

static void add_data(struct lun_sse *s, const char *bytes, struct lun_sse_span value)
{
    if (++s->data_lines == 1) {
        s->data = value;
        return;
    }
    if (s->data_lines == 2) {
        s->joined.n = 0;
        lun_buf_add(&s->joined, bytes + s->data.at, s->data.n);
    }
    lun_buf_putc(&s->joined, '\n');
    lun_buf_add(&s->joined, bytes + value.at, value.n);
}

static int64_t milliseconds(const char *p, size_t n, int64_t otherwise)
{
    int64_t value = 0;
    if (!n || n > 15) return otherwise;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return otherwise;
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

/* `n` bytes of one line, at least 1, without its end. */
static void field(struct lun_sse *s, const char *bytes, size_t at, size_t n)
{
    const char *line = bytes + at, *colon = memchr(line, ':', n);
    size_t name = colon ? (size_t)(colon - line) : n, from = colon ? name + 1 : n;
    if (from < n && line[from] == ' ') from++;
    struct lun_sse_span value = { at + from, n - from, true };
    if (name == 4 && !memcmp(line, "data", 4)) add_data(s, bytes, value);
    else if (name == 5 && !memcmp(line, "event", 5)) s->type = value;
    else if (name == 2 && !memcmp(line, "id", 2) && !memchr(line + from, 0, n - from)) s->id = value;
    else if (name == 5 && !memcmp(line, "retry", 5)) s->retry_ms = milliseconds(line + from, n - from, s->retry_ms);
}

static const char *of(const char *bytes, struct lun_sse_span span) { return span.there ? bytes + span.at : NULL; }

static enum lun_sse_kind tell(struct lun_sse *s, const char *bytes, struct lun_sse_event *e)
{
    bool joined = s->data_lines > 1;
    *e = (struct lun_sse_event){
        .raw = s->looked, .retry_ms = s->retry_ms,
        .data = joined ? s->joined.at : of(bytes, s->data), .data_n = joined ? s->joined.n : s->data.n,
        .type = of(bytes, s->type), .type_n = s->type.n, .id = of(bytes, s->id), .id_n = s->id.n };
    *s = (struct lun_sse){ .limit = s->limit, .retry_ms = -1, .begun = true, .after_cr = s->after_cr, .joined = s->joined };
    return e->data ? LUN_SSE_EVENT : LUN_SSE_QUIET;
}

/* False: three bytes are needed to tell, and there are fewer that look like it. */
static bool begin(struct lun_sse *s, const char *bytes, size_t n)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (n < 3 && !memcmp(bytes, mark, n)) return false;
    if (n >= 3 && !memcmp(bytes, mark, 3)) s->looked = s->line = 3;
    s->retry_ms = -1;
    return s->begun = true;
}

/* An LF that belongs to a CR before it. */
static void finish_line_end(struct lun_sse *s, const char *bytes, size_t n)
{
    if (!s->after_cr || s->looked == n) return;
    if (bytes[s->looked] == '\n') {
        s->late |= !s->looked;
        s->line = ++s->looked;
    }
    s->after_cr = false;
}

/* An LF that belongs to a CR counts neither to the event that it ends nor to the next, whichever was given it. */
static bool too_long(const struct lun_sse *s) { return s->looked - s->late > s->limit; }

enum lun_sse_kind lun_sse_next(struct lun_sse *s, const char *bytes, size_t n, struct lun_sse_event *e)
{
    if (!n || (!s->begun && !begin(s, bytes, n))) return LUN_SSE_MORE;
    finish_line_end(s, bytes, n);
    while (s->looked < n) {
        size_t end = s->looked + to_line_end(bytes + s->looked, n - s->looked), line = s->line;
        if (end == n) {
            s->looked = n;
            break;
        }
        s->looked = s->line = end + 1;
        s->after_cr = bytes[end] == '\r';
        if (too_long(s)) return LUN_SSE_TOO_LONG;
        finish_line_end(s, bytes, n);
        if (end == line) return tell(s, bytes, e);
        field(s, bytes, line, end - line);
    }
    return too_long(s) ? LUN_SSE_TOO_LONG : LUN_SSE_MORE;
}

enum lun_sse_kind lun_sse_end(struct lun_sse *s, const char *bytes, size_t n, struct lun_sse_event *e)
{
    enum lun_sse_kind kind = lun_sse_next(s, bytes, n, e);
    if (kind != LUN_SSE_MORE || !n) return kind;
    if (!s->begun) s->retry_ms = -1;                /* a mark that was cut short */
    if (n > s->line) field(s, bytes, s->line, n - s->line);
    s->looked = n;
    return tell(s, bytes, e);
}

bool lun_sse_is(const struct lun_sse_event *e, const char *type)
{
    size_t n = strlen(type);
    if (!e->type_n) return !strcmp(type, "message");
    return e->type_n == n && !memcmp(e->type, type, n);
}

void lun_sse_free(struct lun_sse *s)
{
    lun_buf_free(&s->joined);
    *s = (struct lun_sse){ .limit = s->limit };
}
