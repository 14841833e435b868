#include "wire/upstream_parts.h"
#include "base/alloc.h"
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
    pools_free(u);
    lun_resolver_free(u->resolver);
    while (u->lanes) lane_free(u->lanes);
    for (int i = 0; i < u->room; i++) if (u->socks[i]) { socket_forget(u, i); }
    free(u->socks);
    free(u->scratch);
    free(u);
}

struct lun_upstream_stats lun_upstream_stats(const struct lun_upstream *u)
{
    struct lun_upstream_stats s = { .wakes = u->wakes, .calls = u->calls, .sockets = u->open };
    for (const struct lane *l = u->lanes; l; l = l->next) s.lanes++;
    return s;
}

const struct lun_upstream_times *lun_upstream_call_times(const struct lun_upstream_call *c) { return &c->times; }

/* ---- telling: a close in there waits for us to be done with the call ---- */

void call_tell_head(struct lun_upstream_call *c)
{
    struct lun_pair list[HEAD_LINES];
    size_t n = head_list(&c->head, list);
    c->times.version = c->head.version;
    c->upstream->inside++;
    c->events->head(c->self, c->head.status, list, n);
    c->upstream->inside--;
}

void call_tell_bytes(struct lun_upstream_call *c, const char *bytes, size_t n)
{
    c->times.bytes += n;
    c->upstream->inside++;
    c->events->bytes(c->self, bytes, n);
    c->upstream->inside--;
}

void call_ended(struct lun_upstream_call *c)
{
    if (c->ended) return;
    c->ended = true;
    c->times.ended = call_now(c);
    c->times.version = c->head.version;
}

void call_tell_end(struct lun_upstream_call *c)
{
    call_ended(c);
    if (c->told || c->closed) return;
    c->told = true;
    c->upstream->inside++;
    c->events->end(c->self, c->kind, c->detail);
    c->upstream->inside--;
}

/* ---- a call's life ---- */

void call_wake(struct lun_upstream_call *c) { lun_loop_wake(&c->upstream->reactor->loop, &c->news); }

void call_enter(struct lun_upstream_call *c)
{
    c->under_way = true;
    c->upstream->calls++;
    c->site->busy++;
}

void call_over(struct lun_upstream_call *c)
{
    if (!c->under_way) return;
    c->under_way = false;
    c->upstream->calls--;
    c->site->busy--;
    if (c->counted) atomic_fetch_sub_explicit(c->busy, 1, memory_order_relaxed);
    c->counted = false;
}

static void release(struct lun_upstream_call *c)
{
    c->site->by->leave(c);
    lun_loop_forget(&c->upstream->reactor->loop, &c->news);
    c->site->by->clear(c);
    if (c->fields.at) explicit_bzero(c->fields.at, c->fields.n);
    c->fields.n = 0;
    c->body = NULL;
    head_reset(&c->head);
    site_spare(c);
}

static void on_news(struct lun_task *k)
{
    struct lun_upstream_call *c = (struct lun_upstream_call *)((char *)k - offsetof(struct lun_upstream_call, news));
    if (c->closed) release(c);
    else if (!c->under_way && !c->ended) call_tell_end(c);      /* never began */
    else if (!c->paused) c->site->by->resume(c);
}

static void refuse(struct lun_upstream_call *c, enum lun_kind kind, const char *what)
{
    end_say(c, kind, what, NULL);
    call_wake(c);
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
    c->busy = request->busy;
    c->stream = request->stream;
    c->counted = c->under_way = c->paused = c->ended = c->told = c->closed = false;
    c->kind = LUN_KIND_COUNT;
    c->detail[0] = 0;
    c->times = (struct lun_upstream_times){ .started = u->reactor->loop.now };
    const char *wrong = site->by->set(c, request);
    if (wrong) { refuse(c, LUN_KIND_BAD_REQUEST, wrong); return c; }
    if (u->calls >= u->limit) { refuse(c, LUN_KIND_POOL_FULL, "too many calls to providers are in flight"); return c; }
    if (!finds_connection(c)) { refuse(c, LUN_KIND_POOL_FULL, "all its connections are busy"); return c; }
    call_enter(c);
    site->by->begin(c);
    return c;
}

void lun_upstream_pause(struct lun_upstream_call *c, bool paused)
{
    c->paused = paused;
    if (paused || (c->ended && c->told)) return;
    if (c->upstream->inside) call_wake(c); else c->site->by->resume(c);
}

void lun_upstream_close(struct lun_upstream_call *c)
{
    if (c->upstream->inside) { c->closed = true; call_wake(c); return; }
    release(c);
}
