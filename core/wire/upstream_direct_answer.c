#include "wire/upstream_parts.h"
#include <string.h>

/* An answer as it comes: RFC 9112, strictly. What could be understood in two ways ends it. */

void answer_begin(struct lun_upstream_call *c)
{
    c->direct.framing = LUN_HTTP_NO_BODY;
    c->direct.keeps = c->direct.open = false;
    c->direct.left = 0;
    c->direct.chunks = (struct lun_chunks){ 0 };
}

/* ---- its head ---- */

/* RFC 9112, 6.3. With both a coding and a length the coding counts, and the connection is not trusted any more. */
static void frame(struct lun_upstream_call *c)
{
    const struct head *h = &c->head;
    bool none = c->bodiless || h->status == 204 || h->status == 304;
    c->direct.keeps = h->version == 11 && !h->closes && !(h->chunked && h->length >= 0);
    c->direct.open = !c->bodiless && head_open(h);
    if (none || (!h->chunked && h->length == 0)) c->direct.framing = LUN_HTTP_NO_BODY;
    else if (h->chunked) c->direct.framing = LUN_HTTP_CHUNKED;
    else c->direct.framing = LUN_HTTP_LENGTH, c->direct.left = c->direct.open ? UINT64_MAX : (uint64_t)h->length;
}

static bool is_http(const struct lun_upstream_call *c, const char *at, size_t n) { return c->head.begun || !memcmp(at, "HTTP/", n < 5 ? n : 5); }

static size_t take_line(struct lun_upstream_call *c, char *at, size_t n)
{
    char *end = memchr(at, '\n', n);
    size_t line = end ? (size_t)(end + 1 - at) : n;
    const char *wrong = NULL;
    if (!is_http(c, at, n)) wrong = "the answer is not HTTP";
    else if (c->head.total + line > HEAD_BYTES) wrong = "the answer's head is larger than 64 KiB";
    else if (!end) return 0;
    else if (line < 2 || end[-1] != '\r') wrong = "a line of the answer's head does not end as HTTP has it";
    else wrong = head_line(&c->head, at, line);
    if (wrong) end_bad(c, wrong);
    return line;
}

/* Who is paused is told the head all the same. */
bool answer_wanted(const struct lun_upstream_call *c) { return !c->closed && c->kind == LUN_KIND_COUNT && !(c->paused && c->head.whole); }

static size_t take_head(struct lun_upstream_call *c, char *at, size_t n)
{
    size_t used = 0;
    while (used < n && answer_wanted(c) && !c->head.whole) {
        size_t k = take_line(c, at + used, n - used);
        if (!k) return used;
        used += k;
    }
    if (!c->head.whole || c->kind != LUN_KIND_COUNT) return used;
    frame(c);
    call_tell_head(c);
    if (c->direct.framing == LUN_HTTP_NO_BODY) end_good(c);
    return used;
}

/* ---- its body ---- */

static size_t take_length(struct lun_upstream_call *c, char *at, size_t n)
{
    if (n > c->direct.left) n = c->direct.left;
    if (!c->direct.open) c->direct.left -= n;
    call_tell_bytes(c, at, n);
    if (!c->direct.left) end_good(c);
    return n;
}

static size_t take_chunks(struct lun_upstream_call *c, char *at, size_t n)
{
    size_t data, used;
    enum lun_http_result r = lun_chunks_decode(&c->direct.chunks, at, n, &data, &used);
    if (data) call_tell_bytes(c, at, data);
    if (r == LUN_HTTP_BAD) end_bad(c, "the answer's chunks are malformed");
    if (r == LUN_HTTP_DONE) end_good(c);
    return used;
}

size_t answer_take(struct lun_upstream_call *c, char *at, size_t n)
{
    size_t used = 0;
    if (!c->times.first_byte) c->times.first_byte = call_now(c);
    if (!c->head.whole) used = take_head(c, at, n);
    if (used == n || !c->head.whole || !answer_wanted(c)) return used;
    return used + (c->direct.framing == LUN_HTTP_CHUNKED ? take_chunks : take_length)(c, at + used, n - used);
}

void answer_over(struct lun_upstream_call *c, int error)
{
    const char *why = error ? strerror(error) : NULL;
    bool ends_it = c->head.whole && c->direct.open && !error;
    if (ends_it && link_sealed(c->direct.link)) end_good(c);
    else if (ends_it) end_say(c, LUN_KIND_CUT, "the connection ended, without word that the answer did", NULL);
    else if (c->head.whole) end_say(c, LUN_KIND_CUT, "the answer ended too early", why);
    else if (!c->times.first_byte && !error) end_say(c, LUN_KIND_RESET, "the connection closed without an answer", NULL);
    else end_say(c, LUN_KIND_RESET, "the connection broke before a whole answer head", why);
}
