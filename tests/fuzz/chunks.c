/* The chunked coding: what is given out is what was framed, however it was cut; what was encoded is decoded again. */
#include "fuzz.h"
#include "base/http_chunked.h"
#include "base/hex.h"

struct told { enum lun_http_result result; int status; const char *why; size_t used; struct lun_buf data; };

static struct told decode(struct input in, struct cuts *cuts)
{
    struct lun_chunks c = {0};
    struct told t = { .result = LUN_HTTP_MORE };
    size_t at = 0;
    do {
        size_t piece = cuts ? next_piece(cuts, in.n - at) : in.n - at, data, used;
        char *copy = copy_of(in.at + at, piece);
        t.result = lun_chunks_decode(&c, copy, piece, &data, &used);
        PROMISE(data <= piece && (t.result == LUN_HTTP_BAD ? !data : used <= piece && (t.result == LUN_HTTP_DONE || used == piece)));
        if (data) lun_buf_add(&t.data, copy, data);
        t.used = at + used;
        at += piece;
        free(copy);
    } while (t.result == LUN_HTTP_MORE && at < in.n);
    if (t.result == LUN_HTTP_BAD) t.status = c.status, t.why = c.why;
    return t;
}

static bool same_bytes(const struct lun_buf *a, const struct lun_buf *b) { return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n)); }

/* The first `n` bytes as whoever trusts them reads the frames: a size, to the end of the line, as many bytes, the next; behind the last, lines to an
 * empty one. How many bytes the body takes; 0: it is not at its end. */
static size_t frames(const char *at, size_t n, struct lun_buf *data)
{
    const char *p = at, *end = at + n;
    for (;;) {
        uint64_t size = 0;
        for (; p < end && lun_hex_digit(*p) >= 0; p++) size = size << 4 | (unsigned)lun_hex_digit(*p);
        const char *line = memchr(p, '\n', (size_t)(end - p));
        if (!line) return 0;
        p = line + 1;
        if (!size) break;
        if ((uint64_t)(end - p) < size) return lun_buf_add(data, p, (size_t)(end - p)), 0;
        lun_buf_add(data, p, (size_t)size);
        p += size;
        if (end - p < 2) return 0;
        PROMISE(p[0] == '\r' && p[1] == '\n');
        p += 2;
    }
    for (const char *line; (line = memchr(p, '\n', (size_t)(end - p))); p = line + 1)
        if (line - p == 1) return (size_t)(line + 1 - at);
    return 0;
}

static void promise_framed(struct input in, const struct told *t)
{
    struct lun_buf data = {0};
    size_t used = frames(in.at, in.n, &data);
    PROMISE(t->result == LUN_HTTP_DONE ? used == t->used : !used);
    PROMISE(same_bytes(&data, &t->data));
    lun_buf_free(&data);
}

/* Any bytes, put into chunks of these lengths. */
static void promise_round_trip(struct input in, struct cuts chunks, struct cuts cuts)
{
    struct lun_buf coded = {0}, plain = {0};
    char line[LUN_CHUNK_LINE];
    lun_buf_add(&plain, in.at, in.n);
    for (size_t at = 0, n; at < in.n; at += n) {
        n = next_piece(&chunks, in.n - at);
        lun_buf_add(&coded, line, lun_chunk_line(line, n));
        lun_buf_add(&coded, in.at + at, n);
        lun_buf_puts(&coded, "\r\n");
    }
    lun_buf_puts(&coded, "0\r\n\r\n");
    struct told t = decode((struct input){ coded.at, coded.n }, &cuts);
    PROMISE(t.result == LUN_HTTP_DONE && t.used == coded.n && same_bytes(&t.data, &plain));
    lun_buf_free(&coded), lun_buf_free(&plain), lun_buf_free(&t.data);
}

void fuzz_chunks(struct input in)
{
    struct cuts cuts = take_cuts(&in), again = cuts;
    struct told whole = decode(in, NULL), cut = decode(in, &cuts);
    PROMISE(whole.result == cut.result && whole.status == cut.status && whole.why == cut.why);
    PROMISE(whole.result == LUN_HTTP_BAD || (whole.used == cut.used && same_bytes(&whole.data, &cut.data)));
    if (whole.result == LUN_HTTP_BAD) PROMISE(whole.why && (whole.status == 400 || whole.status == 431));
    else promise_framed(in, &whole);
    promise_round_trip(in, again, (struct cuts){ .lengths = { again.lengths[3], again.lengths[1], again.lengths[2], again.lengths[0] } });
    lun_buf_free(&whole.data), lun_buf_free(&cut.data);
}
