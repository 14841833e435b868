/* An answer of a provider, as the transport of our own reads it: what is told depends on the bytes alone, not on how they came, or when the one who is told
 * held back; a head comes once and before the body, no more is told than came, and an answer with a length that is whole has that length. */
#include "fuzz.h"
#include "wire/upstream_parts.h"

struct told { int heads, status; bool out_of_order; enum lun_kind kind; size_t rest; char detail[200]; struct lun_buf data; };
struct listener { struct told told; struct lun_upstream_call *call; unsigned pauses; };

static void on_head(void *self, int status, const struct lun_pair *headers, size_t n)
{
    struct listener *l = self;
    for (size_t i = 0; i < n; i++) PROMISE(*headers[i].name && !strpbrk(headers[i].name, "\r\n: ") && !strpbrk(headers[i].value, "\r\n"));
    PROMISE(status >= 200 && status <= 999);
    l->told.heads++;
    l->told.status = status;
    l->call->paused = l->pauses & 1;
}

static void on_bytes(void *self, const char *at, size_t n)
{
    struct listener *l = self;
    if (l->told.heads != 1 || !n || l->call->paused) l->told.out_of_order = true;
    lun_buf_add(&l->told.data, at, n);
    l->call->paused = l->pauses & 2;
}

static void on_end(void *self, enum lun_kind kind, const char *detail) { (void)self, (void)kind, (void)detail; fuzz_broken(__FILE__, __LINE__, "no end is told here"); }

/* Takes what it can, as often as it holds back. */
static void take_all(struct lun_upstream_call *c, struct lun_buf *in)
{
    for (size_t used = 1; used || (c->paused && answer_wanted(c)); ) {
        c->paused = false;
        used = in->n && answer_wanted(c) ? answer_take(c, in->at, in->n) : 0;
        PROMISE(used <= in->n);
        lun_buf_drop(in, used);
    }
}

static struct told hear(struct input in, struct cuts *cuts, unsigned how)
{
    static struct lun_upstream_call c;
    struct lun_reactor reactor = { .loop.now = 1 };     /* a call's times are read of it: 0 is none */
    struct lun_upstream u = { .reactor = &reactor };
    char host[] = "h:1";
    struct lun_upstream_site site = { .upstream = &u, .host = host, .answered = "h:1: answered", .answered_n = 13 };
    struct link link = { 0 };
    struct lun_buf buffer = { 0 };
    struct listener l = { .call = &c, .pauses = cuts ? how >> 2 : 0 };
    memset(&c, 0, sizeof c);
    c.upstream = &u, c.site = &site, c.direct.link = &link, c.kind = LUN_KIND_COUNT, c.self = &l;
    c.events = &(struct lun_upstream_events){ on_head, on_bytes, on_end };
    c.bodiless = how & 1;
    answer_begin(&c);
    for (size_t at = 0; at < in.n && c.kind == LUN_KIND_COUNT; ) {
        size_t n = cuts ? next_piece(cuts, in.n - at) : in.n - at;
        lun_buf_add(&buffer, in.at + at, n);
        at += n;
        take_all(&c, &buffer);
    }
    if (c.kind == LUN_KIND_COUNT) answer_over(&c, how & 2 ? 104 : 0);
    l.told.kind = c.kind;
    memcpy(l.told.detail, c.detail, sizeof c.detail);
    if (c.kind == LUN_KIND_OK && c.head.length >= 0 && !c.head.chunked && c.direct.framing == LUN_HTTP_LENGTH)
        PROMISE(l.told.data.n == (size_t)c.head.length);
    head_reset(&c.head);
    lun_buf_free(&c.head.text);
    lun_buf_free(&buffer);
    return l.told;
}

void fuzz_answer(struct input in)
{
    unsigned how = take(&in);
    struct cuts cuts = take_cuts(&in);
    struct told whole = hear(in, NULL, how), cut = hear(in, &cuts, how);
    PROMISE(whole.kind != LUN_KIND_COUNT && whole.kind == cut.kind && !strcmp(whole.detail, cut.detail));
    PROMISE(whole.heads == cut.heads && whole.status == cut.status && whole.heads <= 1 && !whole.out_of_order && !cut.out_of_order);
    PROMISE(whole.data.n <= in.n);
    PROMISE(whole.kind == LUN_KIND_BAD_ANSWER || (whole.data.n == cut.data.n && (!cut.data.n || !memcmp(whole.data.at, cut.data.at, cut.data.n))));
    lun_buf_free(&whole.data), lun_buf_free(&cut.data);
}
