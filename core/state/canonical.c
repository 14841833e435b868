#include "state/canonical.h"
#include "base/alloc.h"
#include <openssl/evp.h>
#include <stdlib.h>

enum { LONG = 4096, SHA = 32 };         /* bytes of a member, beyond which its SHA-256 stands for it */

struct member { size_t name, value, end; };     /* places in `out` */

struct walk {
    const char *at, *end;
    struct lun_buf *out, name;
    struct member *members; size_t n, room;     /* of the objects that are open */
    bool (*leaves_out)(void *self, struct lun_json name); void *self;
    int depth;
};

static void value(struct walk *);

static void put_text(struct lun_buf *out, char kind, const char *text, size_t n)
{
    uint64_t length = n;
    lun_buf_putc(out, kind);
    lun_buf_add(out, &length, sizeof length);
    lun_buf_add(out, text, n);
}

/* ---- reading ---- */

static void blanks(struct walk *w)
{
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\r' || *w->at == '\t')) w->at++;
}

static bool is(const struct walk *w, char c) { return w->at < w->end && *w->at == c; }

static void next(struct walk *w)        /* behind a value: to the next one, or to what closes */
{
    blanks(w);
    if (is(w, ',')) w->at++;
    blanks(w);
}

static struct lun_json string(struct walk *w)
{
    const char *start = w->at++;
    while (w->at < w->end && *w->at != '"') w->at += *w->at == '\\' ? 2 : 1;
    w->at = w->at < w->end ? w->at + 1 : w->end;
    return (struct lun_json){ start, (size_t)(w->at - start) };
}

static void scalar(struct walk *w)
{
    const char *start = w->at;
    if (*start == '"') string(w);
    else while (w->at < w->end && !strchr(",]} \n\r\t", *w->at)) w->at++;
    put_text(w->out, 's', start, (size_t)(w->at - start));
}

static void array(struct walk *w)
{
    lun_buf_putc(w->out, '[');
    for (w->at++, blanks(w); w->at < w->end && *w->at != ']'; next(w)) value(w);
    if (w->at < w->end) w->at++;
    lun_buf_putc(w->out, ']');
}

/* ---- objects ---- */

static int by_name(const void *a, const void *b, void *bytes)
{
    const struct member *x = a, *y = b;
    const char *at = bytes;
    size_t m = x->value - x->name, n = y->value - y->name;
    int order = memcmp(at + x->name, at + y->name, m < n ? m : n);
    return order ? order : m != n ? (m > n) - (m < n) : (x->name > y->name) - (x->name < y->name);
}

static void sort(struct lun_buf *out, struct member *m, size_t n)
{
    size_t i = 1, at = m->name, from = at;
    while (i < n && by_name(&m[i - 1], &m[i], out->at) < 0) i++;
    if (i >= n) return;
    char *before = lun_memdup(out->at + from, out->n - from);
    qsort_r(m, n, sizeof *m, by_name, out->at);
    for (i = 0; i < n; at += m[i].end - m[i].name, i++) memcpy(out->at + at, before + (m[i].name - from), m[i].end - m[i].name);
    free(before);
}

static void shorten(struct lun_buf *out, size_t from)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    if (out->n - from <= LONG) return;
    if (!EVP_Digest(out->at + from, out->n - from, sum, NULL, EVP_sha256(), NULL)) abort();
    out->n = from;
    lun_buf_putc(out, 'h');
    lun_buf_add(out, sum, SHA);
}

static void put_name(struct walk *w, struct lun_json name)
{
    w->name.n = 0;
    if (memchr(name.at, '\\', name.n)) lun_json_string(name, false, &w->name);
    else if (name.n > 2) lun_buf_add(&w->name, name.at + 1, name.n - 2);
    put_text(w->out, 'n', w->name.n ? w->name.at : "", w->name.n);
}

static struct member member(struct walk *w, struct lun_json name)
{
    struct member m = { .name = w->out->n };
    put_name(w, name);
    blanks(w);
    w->at++;                            /* the colon */
    blanks(w);
    m.value = w->out->n;
    value(w);
    shorten(w->out, m.value);
    m.end = w->out->n;
    return m;
}

static void object(struct walk *w)
{
    size_t first = w->n;
    bool top = w->depth == 1;
    lun_buf_putc(w->out, '{');
    for (w->at++, blanks(w); w->at < w->end && *w->at != '}'; next(w)) {
        struct lun_json name = string(w);
        struct member m = member(w, name);
        if (top && w->leaves_out && w->leaves_out(w->self, name)) { w->out->n = m.name; continue; }
        if (w->n == w->room) w->members = lun_realloc(w->members, (w->room = w->room ? 2 * w->room : 32) * sizeof *w->members);
        w->members[w->n++] = m;
    }
    if (w->at < w->end) w->at++;
    if (w->n > first) sort(w->out, &w->members[first], w->n - first);
    w->n = first;
    lun_buf_putc(w->out, '}');
}

static void value(struct walk *w)
{
    w->depth++;
    blanks(w);
    if (is(w, '{')) object(w);
    else if (is(w, '[')) array(w);
    else if (w->at < w->end) scalar(w);
    w->depth--;
}

void lun_canonical_put(struct lun_buf *out, const char *text, size_t n, bool (*leaves_out)(void *self, struct lun_json name), void *self)
{
    struct walk w = { .at = text, .end = text + n, .out = out, .leaves_out = leaves_out, .self = self };
    value(&w);
    free(w.members);
    lun_buf_free(&w.name);
}
