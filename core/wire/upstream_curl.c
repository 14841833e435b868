#include "wire/upstream_parts.h"
#include <stdio.h>
#include <stdlib.h>

/* When all of a call so far, sending, receiving and holding back, was one action, libcurl has never had its socket watched. */
static void stick(struct lun_upstream_call *c, bool on)
{
    bool blind = on && c->fd < 0;
    c->upstream->blind += blind - c->blind;
    c->blind = blind;
    c->stuck = on;
}

static void begin(struct lun_upstream_call *c)
{
    c->fd = -1;
    c->begun = c->opened = 0;
    c->ready = c->barred = c->needs_seal = c->sealed = false;
    c->error[0] = 0;
    lane_add(c);
}

static void leave(struct lun_upstream_call *c)
{
    stick(c, false);
    lane_remove(c);
}

static void let_held_go(struct lun_upstream_call *c)
{
    struct lun_buf held = c->held;
    c->held = (struct lun_buf){ 0 };
    call_tell_bytes(c, held.at, held.n);
    lun_buf_free(&held);
}

static void resume(struct lun_upstream_call *c)
{
    if (c->held.n) let_held_go(c);
    if (c->stuck && c->lane) {
        stick(c, false);
        c->upstream->turn++;
        c->upstream->inside++;
        curl_easy_pause(c->easy, CURLPAUSE_CONT);
        c->upstream->inside--;
        lane_again(c->lane);
    }
    if (c->ended) call_tell_end(c);
}

static void clear(struct lun_upstream_call *c)
{
    curl_clear(c);
    lun_buf_free(&c->held);
}

static void free_parts(struct lun_upstream_call *c)
{
    curl_easy_cleanup(c->easy);
    lun_buf_free(&c->flat);
    free(c->list);
}

/* ---- libcurl's callbacks ---- */

void curl_end(struct lun_upstream_call *c, CURLcode result)
{
    call_ended(c);
    curl_explain(c, result);
    if (c->kind == LUN_KIND_CANCELLED) lun_buf_free(&c->held);
    if (!c->held.n) call_tell_end(c);
}

int curl_leaves(void *call, char *address, char *local, int port, int local_port)
{
    struct lun_upstream_call *c = call;
    (void)address, (void)local, (void)port, (void)local_port;
    if (c->begun++ && c->once) return CURL_PREREQFUNC_ABORT;
    socket_settle(c);
    long fresh = 1;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &fresh);
    c->times.reused = !fresh;
    c->times.connected = call_now(c);
    if (c->slice == c->body_n) c->times.sent = c->times.connected;      /* nothing left to be read */
    return CURL_PREREQFUNC_OK;
}

size_t curl_header(char *line, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t n = size * count;
    if (c->closed) return 0;
    if (!c->times.first_byte) c->times.first_byte = call_now(c);
    bool was = c->head.whole;
    const char *wrong = head_line(&c->head, line, n);
    if (wrong) { end_bad(c, wrong); return 0; }
    if (c->head.whole && !was) {
        if (!c->bodiless && head_open(&c->head)) trust_seal(c);
        call_tell_head(c);
    }
    return n;
}

static bool too_much(struct lun_upstream_call *c, size_t n)
{
    if (c->turn != c->upstream->turn) { c->turn = c->upstream->turn; c->burst = 0; }
    c->burst += n;
    return c->burst > BURST_BYTES;
}

size_t curl_bytes(char *bytes, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t n = size * count;
    if (c->closed) return 0;
    bool h1 = c->head.version != 20, enough = h1 && too_much(c, n);
    if (!c->paused && !c->held.n && !enough) { call_tell_bytes(c, bytes, n); return n; }
    if (h1) {
        stick(c, true);
        if (enough) call_wake(c);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (c->held.n + n > HELD_BYTES) {
        c->kind = LUN_KIND_CANCELLED;
        snprintf(c->detail, sizeof c->detail, "the client read too slowly: more than 256 KiB of its HTTP/2 stream waited");
        return 0;
    }
    lun_buf_add(&c->held, bytes, n);
    return n;
}

const struct transport transport_curl = { curl_make, free_parts, curl_set, begin, resume, leave, clear };
