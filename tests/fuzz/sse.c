/* Event streams: the events are those that the grammar of the WHATWG HTML standard finds in the whole text, however it was cut, and their raw bytes
 * one after the other are the stream. */
#include "fuzz.h"
#include "base/sse.h"
#include <stdio.h>

/* ---- as the standard says it, over the whole text ---- */

struct block { struct lun_buf data, type, id; bool any, has_id; long long retry; };

static void put_event(struct block *b, struct lun_buf *out)
{
    if (b->any) {
        lun_buf_printf(out, "%zu:", b->type.n), lun_buf_add(out, b->type.at, b->type.n);
        lun_buf_printf(out, " %d%zu:", b->has_id, b->id.n), lun_buf_add(out, b->id.at, b->id.n);
        lun_buf_printf(out, " %lld %zu:", b->retry, b->data.n), lun_buf_add(out, b->data.at, b->data.n);
        lun_buf_putc(out, '\n');
    }
    lun_buf_free(&b->data), lun_buf_free(&b->type), lun_buf_free(&b->id);
    *b = (struct block){ .retry = -1 };
}

static void set(struct lun_buf *to, const char *at, size_t n) { to->n = 0; lun_buf_add(to, at, n); }

static void read_retry(struct block *b, const char *at, size_t n)
{
    char copy[16];
    if (!n || n > 15) return;
    memcpy(copy, at, n), copy[n] = 0;
    if (strspn(copy, "0123456789") == n) b->retry = atoll(copy);
}

static void read_line(struct block *b, const char *at, size_t n)
{
    const char *colon = memchr(at, ':', n), *value = colon ? colon + 1 : at + n;
    size_t name = colon ? (size_t)(colon - at) : n, left = (size_t)(at + n - value);
    if (left && *value == ' ') value++, left--;
    if (name == 4 && !memcmp(at, "data", 4)) {
        if (b->any) lun_buf_putc(&b->data, '\n');
        b->any = true;
        lun_buf_add(&b->data, value, left);
    } else if (name == 5 && !memcmp(at, "event", 5)) set(&b->type, value, left);
    else if (name == 2 && !memcmp(at, "id", 2) && !memchr(value, 0, left)) set(&b->id, value, left), b->has_id = true;
    else if (name == 5 && !memcmp(at, "retry", 5)) read_retry(b, value, left);
}

/* `end`: the last block counts though no empty line followed it. */
static void read_standard(struct input in, bool end, struct lun_buf *out)
{
    struct block b = { .retry = -1 };
    const char *p = in.at, *stop = p + in.n;
    if (in.n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
    while (p < stop) {
        const char *line = p;
        while (p < stop && *p != '\r' && *p != '\n') p++;
        if (p == stop && !end) break;
        if (p == line) put_event(&b, out);
        else read_line(&b, line, (size_t)(p - line));
        p += p + 1 < stop && p[0] == '\r' && p[1] == '\n' ? 2 : p < stop;
    }
    if (!end) b.any = false;
    put_event(&b, out);
}

/* ---- as the parser tells it ---- */

struct told { struct lun_buf text; size_t raw; bool too_long; };

static void note(struct told *t, enum lun_sse_kind kind, const struct lun_sse_event *e, struct input in)
{
    t->raw += e->raw;
    PROMISE(e->raw && (kind == LUN_SSE_EVENT) == (e->data != NULL) && e->retry_ms >= -1);
    PROMISE(e->retry_ms < 0 || memmem(in.at, in.n, "retry", 5));
    if (kind != LUN_SSE_EVENT) return;
    struct block b = { .any = true, .has_id = e->id, .retry = e->retry_ms };
    lun_buf_add(&b.data, e->data, e->data_n), lun_buf_add(&b.type, e->type, e->type_n), lun_buf_add(&b.id, e->id, e->id_n);
    put_event(&b, &t->text);
}

static bool is_told(enum lun_sse_kind kind) { return kind == LUN_SSE_EVENT || kind == LUN_SSE_QUIET; }

static struct told read_cut(struct input in, struct cuts *cuts, size_t limit, bool end)
{
    struct lun_sse sse = { .limit = limit };
    struct told t = {0};
    struct lun_sse_event e;
    enum lun_sse_kind kind;
    size_t have = 0;
    do {
        have += cuts ? next_piece(cuts, in.n - have) : in.n - have;
        size_t from = t.raw;
        char *copy = copy_of(in.at + from, have - from);
        while (is_told(kind = lun_sse_next(&sse, copy + t.raw - from, have - t.raw, &e))) note(&t, kind, &e, in);
        if (kind == LUN_SSE_MORE && have == in.n && end && is_told(kind = lun_sse_end(&sse, copy + t.raw - from, have - t.raw, &e))) note(&t, kind, &e, in);
        t.too_long = kind == LUN_SSE_TOO_LONG;
        free(copy);
    } while (!t.too_long && have < in.n);
    PROMISE(t.raw <= in.n && (!end || t.too_long || t.raw == in.n));
    lun_sse_free(&sse);
    return t;
}

static bool same(const struct lun_buf *a, const struct lun_buf *b) { return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n)); }

void fuzz_sse(struct input in)
{
    struct cuts cuts = take_cuts(&in), again = cuts;
    unsigned how = take(&in);
    size_t limit = how & 2 ? how : 1 << 20;
    struct lun_buf expected = {0};
    struct told whole = read_cut(in, NULL, 1 << 20, how & 1), cut = read_cut(in, &cuts, 1 << 20, how & 1);
    struct told narrow = read_cut(in, NULL, limit, how & 1), narrow_cut = read_cut(in, &again, limit, how & 1);
    read_standard(in, how & 1, &expected);
    PROMISE(!whole.too_long && same(&whole.text, &expected) && same(&cut.text, &expected));
    PROMISE(narrow.too_long == narrow_cut.too_long && same(&narrow.text, &narrow_cut.text));
    lun_buf_free(&expected), lun_buf_free(&whole.text), lun_buf_free(&cut.text), lun_buf_free(&narrow.text), lun_buf_free(&narrow_cut.text);
}
