#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before 8.1.1 a handle that is used again still knows where its last answer's last header lay, and writes there when the next answer begins
 * with a folded line (curl issue 11101): whoever answers could end the process. */
#define KEEPS_SINCE 0x080101

struct lun_upstream *lun_upstream_new(struct lun_reactor *reactor, const struct lun_upstream_options *o)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return NULL;
    const char *ssl = curl_version_info(CURLVERSION_NOW)->ssl_version;
    if (!ssl || strncmp(ssl, "OpenSSL/", 8)) return NULL;
    struct lun_upstream *u = lun_zalloc(sizeof *u);
    u->reactor = reactor;
    u->limit = o && o->calls ? o->calls : 10000;
    u->keeps = curl_version_info(CURLVERSION_NOW)->version_num >= KEEPS_SINCE;
    return u;
}

void lun_upstream_bar(struct lun_upstream *u, int listener)
{
    socklen_t n = sizeof u->barred;
    if (getsockname(listener, &u->barred.any, &n) || (u->barred.any.sa_family != AF_INET && u->barred.any.sa_family != AF_INET6)) u->barred.any.sa_family = 0;
}

void lun_upstream_free(struct lun_upstream *u)
{
    if (!u) return;
    while (u->lanes) lane_free(u->lanes);
    for (int i = 0; i < u->room; i++) if (u->socks[i]) { socket_forget(u, i); }
    free(u->socks);
    free(u);
}

struct lun_upstream_stats lun_upstream_stats(const struct lun_upstream *u)
{
    struct lun_upstream_stats s = { .wakes = u->wakes, .calls = u->calls, .sockets = u->open };
    for (const struct lane *l = u->lanes; l; l = l->next) s.lanes++;
    return s;
}

const struct lun_upstream_times *lun_upstream_call_times(const struct lun_upstream_call *c) { return &c->times; }

static void tell_end(struct lun_upstream_call *c)
{
    if (c->told || c->closed) return;
    c->told = true;
    c->events->end(c->self, c->kind, c->detail);
}

static void tell_bytes(struct lun_upstream_call *c, const char *bytes, size_t n)
{
    c->times.bytes += n;
    c->upstream->inside++;      /* a close in there waits for us to be done with the call */
    c->events->bytes(c->self, bytes, n);
    c->upstream->inside--;
}

static void wake(struct lun_upstream_call *c) { lun_loop_wake(&c->upstream->reactor->loop, &c->news); }

/* When all of a call so far, sending, receiving and holding back, was one action, libcurl has never had its socket watched. */
static void stick(struct lun_upstream_call *c, bool on)
{
    bool blind = on && c->fd < 0;
    c->upstream->blind += blind - c->blind;
    c->blind = blind;
    c->stuck = on;
}

static void release(struct lun_upstream_call *c)
{
    stick(c, false);
    lane_remove(c);
    lun_loop_forget(&c->upstream->reactor->loop, &c->news);
    request_wipe(c);
    head_reset(&c->head);
    lun_buf_free(&c->held);
    site_spare(c);
}

static void let_go(struct lun_upstream_call *c)
{
    if (c->held.n) {
        struct lun_buf held = c->held;
        c->held = (struct lun_buf){ 0 };
        tell_bytes(c, held.at, held.n);
        lun_buf_free(&held);
    }
    if (c->stuck && c->lane) {
        stick(c, false);
        c->upstream->turn++;
        c->upstream->inside++;
        curl_easy_pause(c->easy, CURLPAUSE_CONT);
        c->upstream->inside--;
        lane_again(c->lane);
    }
    if (c->ended) tell_end(c);
}

void call_end(struct lun_upstream_call *c, CURLcode result)
{
    c->ended = true;
    c->times.ended = lun_clock_now();
    c->times.version = c->head.version;
    end_explain(c, result);
    if (c->kind == LUN_KIND_CANCELLED) lun_buf_free(&c->held);
    if (!c->held.n) tell_end(c);
}

static void on_news(struct lun_task *k)
{
    struct lun_upstream_call *c = (struct lun_upstream_call *)((char *)k - offsetof(struct lun_upstream_call, news));
    if (c->closed) release(c);
    else if (!c->lane && !c->ended) call_end(c, CURLE_OK);      /* never began */
    else if (!c->paused) let_go(c);
}

static void refuse(struct lun_upstream_call *c, enum lun_kind kind, const char *what)
{
    c->kind = kind;
    snprintf(c->detail, sizeof c->detail, "%s: %s", c->site->host, what);
    wake(c);
}

/* Counts it in, where there is room. */
static bool finds_connection(struct lun_upstream_call *c)
{
    const struct lun_upstream_site *site = c->site;
    if (!c->busy) return site->busy < site->connections;
    int n = atomic_load_explicit(c->busy, memory_order_relaxed);
    do if (n >= site->connections) return false;
    while (!atomic_compare_exchange_weak_explicit(c->busy, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
    return c->counted = true;
}

struct lun_upstream_call *lun_upstream_call(struct lun_upstream *u, struct lun_upstream_site *site, const struct lun_upstream_request *request,
                                            const struct lun_upstream_events *events, void *self)
{
    struct lun_upstream_call *c = site_call(site);
    c->events = events;
    c->self = self;
    c->news = (struct lun_task){ .run = on_news };
    c->fd = -1;
    c->begun = c->opened = 0;
    c->ready = false;
    c->busy = request->busy;
    c->counted = false;
    c->barred = c->paused = c->ended = c->told = c->closed = c->needs_seal = c->sealed = false;
    c->kind = LUN_KIND_COUNT;
    c->detail[0] = c->error[0] = 0;
    c->times = (struct lun_upstream_times){ .started = u->reactor->loop.now };
    const char *wrong = request_set(c, request);
    if (wrong) refuse(c, LUN_KIND_BAD_REQUEST, wrong);
    else if (u->calls >= u->limit) refuse(c, LUN_KIND_POOL_FULL, "too many calls to providers are in flight");
    else if (!finds_connection(c)) refuse(c, LUN_KIND_POOL_FULL, "all its connections are busy");
    else lane_add(c);
    return c;
}

void lun_upstream_pause(struct lun_upstream_call *c, bool paused)
{
    c->paused = paused;
    if (paused || (!c->stuck && !c->held.n)) return;
    if (c->upstream->inside) wake(c); else let_go(c);
}

void lun_upstream_close(struct lun_upstream_call *c)
{
    if (c->upstream->inside) { c->closed = true; wake(c); return; }
    release(c);
}

int call_leaves(void *call, char *address, char *local, int port, int local_port)
{
    struct lun_upstream_call *c = call;
    (void)address, (void)local, (void)port, (void)local_port;
    if (c->begun++ && c->once) return CURL_PREREQFUNC_ABORT;
    socket_settle(c);
    long fresh = 1;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &fresh);
    c->times.reused = !fresh;
    c->times.connected = lun_clock_now();
    if (c->slice == c->body_n) c->times.sent = c->times.connected;      /* nothing left to be read */
    return CURL_PREREQFUNC_OK;
}

static void tell_head(struct lun_upstream_call *c)
{
    struct lun_pair list[HEAD_LINES];
    size_t n = head_list(&c->head, list);
    c->times.version = c->head.version;
    c->events->head(c->self, c->head.status, list, n);
}

size_t call_header(char *line, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t n = size * count;
    if (c->closed) return 0;
    if (!c->times.first_byte) c->times.first_byte = lun_clock_now();
    bool was = c->head.whole;
    const char *wrong = head_line(&c->head, line, n);
    if (wrong) {
        c->kind = LUN_KIND_BAD_ANSWER;
        snprintf(c->detail, sizeof c->detail, "%s: %s", c->site->host, wrong);
        return 0;
    }
    if (c->head.whole && !was) {
        if (!c->bodiless && head_open(&c->head)) trust_seal(c);
        tell_head(c);
    }
    return n;
}

static bool too_much(struct lun_upstream_call *c, size_t n)
{
    if (c->turn != c->upstream->turn) { c->turn = c->upstream->turn; c->burst = 0; }
    c->burst += n;
    return c->burst > BURST_BYTES;
}

size_t call_bytes(char *bytes, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t n = size * count;
    if (c->closed) return 0;
    bool h1 = c->head.version != 20, enough = h1 && too_much(c, n);
    if (!c->paused && !c->held.n && !enough) { tell_bytes(c, bytes, n); return n; }
    if (h1) {
        stick(c, true);
        if (enough) wake(c);
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
