/* Request heads: the answer does not depend on how the bytes were cut, nor on where they lie; what is accepted has one meaning; what was read, written
 * again, is read the same. */
#include "fuzz.h"
#include "base/http.h"
#include <stdio.h>
#include <strings.h>

static void put_slice(struct lun_buf *out, struct lun_slice s)
{
    lun_buf_printf(out, "%zu:", s.n);
    lun_buf_add(out, s.at, s.n);
}

/* All that was found, as text. */
static void describe(const struct lun_http_request *q, struct lun_buf *out)
{
    lun_buf_printf(out, "%d %d %lld %d%d%d ", q->minor, (int)q->framing, (long long)q->length, q->keep_alive, q->expect_continue, q->wants_trailers);
    put_slice(out, q->method), put_slice(out, q->target), put_slice(out, q->path), put_slice(out, q->query), put_slice(out, q->host);
    for (int i = 0; i < q->n_headers; i++) put_slice(out, q->headers[i].name), put_slice(out, q->headers[i].value);
}

struct told { enum lun_http_result result; int status; const char *why; size_t used; struct lun_buf text; };

static void note(struct told *t, const struct lun_http_reader *r)
{
    if (t->result == LUN_HTTP_BAD) t->status = r->status, t->why = r->why;
    if (t->result == LUN_HTTP_DONE) describe(&r->request, &t->text);
}

/* The bytes lie elsewhere before each piece, and once more at the end. */
static struct told read_cut(struct input in, struct cuts *cuts, const struct lun_http_limits *limits)
{
    struct lun_http_reader r = {0};
    struct told t = { .result = LUN_HTTP_MORE };
    char *before = NULL;
    size_t have = 0;
    do {
        have += cuts ? next_piece(cuts, in.n - have) : in.n - have;
        char *copy = copy_of(in.at, have);
        free(before);
        t.result = lun_http_read(&r, before = copy, have, limits, &t.used);
    } while (t.result == LUN_HTTP_MORE && have < in.n);
    if (t.result == LUN_HTTP_DONE) {
        char *copy = copy_of(before, have);
        free(before);
        lun_http_moved(&r, before = copy);
    }
    note(&t, &r);
    free(before);
    lun_http_free(&r);
    return t;
}

static void promise_same(const struct told *a, const struct told *b)
{
    PROMISE(a->result == b->result && a->status == b->status && a->why == b->why);
    PROMISE(a->result != LUN_HTTP_DONE || a->used == b->used);
    PROMISE(a->text.n == b->text.n && (!a->text.n || !memcmp(a->text.at, b->text.at, a->text.n)));
}

static int count(const struct lun_http_request *q, const char *name)
{
    int n = 0;
    for (int i = 0; i < q->n_headers; i++) n += lun_slice_is_like(q->headers[i].name, name);
    return n;
}

/* What frames and routes is said once, and no line can be read as two. */
static void promise_one_meaning(const struct lun_http_request *q, const char *head, size_t used)
{
    int lines = 0, lengths = count(q, "content-length"), codings = count(q, "transfer-encoding");
    PROMISE(used >= 4 && !memcmp(head + used - 4, "\r\n\r\n", 4));
    for (size_t i = 0; i < used; i++) {
        PROMISE((unsigned char)head[i] >= ' ' || head[i] == '\t' || head[i] == '\r' || head[i] == '\n');
        PROMISE(head[i] != '\r' || head[i + 1] == '\n');
        PROMISE(head[i] != '\n' || (i && head[i - 1] == '\r'));
        lines += head[i] == '\n';
    }
    PROMISE(lines - (head[0] == '\r') == q->n_headers + 2);
    PROMISE(lengths + codings <= 1 && count(q, "host") <= 1 && (!q->minor || count(q, "host") == 1));
    PROMISE((q->framing == LUN_HTTP_LENGTH) == (lengths == 1) && (q->framing == LUN_HTTP_CHUNKED) == (codings == 1));
    PROMISE(q->length >= -1 && (q->length == -1) == (q->framing == LUN_HTTP_CHUNKED) && (q->framing || !q->length));
    PROMISE(lun_http_is_token(q->method.at, q->method.n) && q->path.n && (*q->path.at == '/' || lun_slice_is(q->path, "*")));
    for (int i = 0; i < q->n_headers; i++)
        PROMISE(lun_http_is_token(q->headers[i].name.at, q->headers[i].name.n) && lun_http_is_value(q->headers[i].value.at, q->headers[i].value.n));
}

/* The head as another program would write it from what was read. */
static void write_head(const struct lun_http_request *q, struct lun_buf *out)
{
    lun_buf_add(out, q->method.at, q->method.n), lun_buf_putc(out, ' ');
    lun_buf_add(out, q->target.at, q->target.n), lun_buf_printf(out, " HTTP/1.%d\r\n", q->minor);
    for (int i = 0; i < q->n_headers; i++) {
        lun_buf_add(out, q->headers[i].name.at, q->headers[i].name.n), lun_buf_puts(out, ":");
        lun_buf_add(out, q->headers[i].value.at, q->headers[i].value.n), lun_buf_puts(out, "\r\n");
    }
    lun_buf_puts(out, "\r\n");
}

static void promise_read_again(const struct lun_http_request *q)
{
    struct lun_buf written = {0};
    struct told before = { .result = LUN_HTTP_DONE }, again;
    write_head(q, &written);
    describe(q, &before.text);
    before.used = written.n;
    again = read_cut((struct input){ written.at, written.n }, NULL, NULL);
    promise_same(&before, &again);
    lun_buf_free(&written), lun_buf_free(&before.text), lun_buf_free(&again.text);
}

/* Decoded, encoded and decoded once more it is the same. */
static void promise_decodes(struct lun_slice raw)
{
    char *once = malloc(raw.n + 1), *twice;
    struct lun_buf text = {0};
    size_t n, m;
    if (lun_http_unescape(raw, once, &n)) {
        PROMISE(n <= raw.n && strlen(once) == n);
        lun_http_escape(&text, once, "/");
        twice = malloc(text.n + 1);
        PROMISE(lun_http_unescape((struct lun_slice){ text.at, text.n }, twice, &m) && m == n && !memcmp(once, twice, n));
        free(twice);
    }
    free(once);
    lun_buf_free(&text);
}

void fuzz_http(struct input in)
{
    static const struct lun_http_limits narrow = { .line = 24, .header = 20, .head = 80, .headers = 3 };
    struct cuts cuts = take_cuts(&in);
    const struct lun_http_limits *limits = take(&in) & 1 ? &narrow : NULL;
    struct told whole = read_cut(in, NULL, limits), cut = read_cut(in, &cuts, limits);
    struct lun_http_reader r = {0};
    size_t used;
    promise_same(&whole, &cut);
    if (whole.result == LUN_HTTP_BAD) PROMISE(whole.why && (whole.status == 400 || whole.status == 431));
    if (whole.result == LUN_HTTP_DONE && lun_http_read(&r, in.at, in.n, limits, &used) == LUN_HTTP_DONE) {
        PROMISE(used == whole.used && used <= in.n && (!limits || used <= narrow.head));
        promise_one_meaning(&r.request, in.at, used);
        promise_read_again(&r.request);
        promise_decodes(r.request.path);
    }
    lun_http_free(&r);
    lun_buf_free(&whole.text), lun_buf_free(&cut.text);
}
