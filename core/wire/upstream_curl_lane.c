#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <stdlib.h>

/* libcurl does not reuse a connection that was idle for longer than this (its CURLOPT_MAXAGE_CONN), so a lane idle for as long holds nothing
 * worth keeping. */
static const lun_us lane_age = 120 * LUN_SECOND;

static struct lane *lane_of_kick(struct lun_task *k)   { return (struct lane *)((char *)k - offsetof(struct lane, kick)); }
static struct lane *lane_of_timer(struct lun_timer *t) { return (struct lane *)((char *)t - offsetof(struct lane, timer)); }
static struct lane *lane_of_idle(struct lun_timer *t)  { return (struct lane *)((char *)t - offsetof(struct lane, idle)); }

static struct lun_upstream_call *finished(struct lane *l, CURLcode *result)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(l->multi, &left)); ) {
        if (m->msg != CURLMSG_DONE) continue;
        char *call = NULL;
        *result = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        return (struct lun_upstream_call *)call;
    }
    return NULL;
}

void lane_act(struct lane *l, curl_socket_t fd, int mask)
{
    int running;
    CURLcode result = CURLE_OK;
    l->upstream->turn++;
    l->upstream->inside++;
    curl_multi_socket_action(l->multi, fd, mask, &running);
    l->upstream->inside--;
    for (struct lun_upstream_call *c; (c = finished(l, &result)); ) {
        lane_remove(c);
        curl_end(c, result);
    }
}

static void on_kick(struct lun_task *k) { lane_act(lane_of_kick(k), CURL_SOCKET_TIMEOUT, 0); }

static void on_timer(struct lun_timer *t)
{
    struct lane *l = lane_of_timer(t);
    lun_loop_wake(&l->upstream->reactor->loop, &l->kick);
}

static void on_again(evutil_socket_t fd, short what, void *self)
{
    struct lane *l = self;
    struct lun_reactor *r = l->upstream->reactor;
    (void)fd, (void)what;
    lun_reactor_enter(r);
    lane_act(l, CURL_SOCKET_TIMEOUT, 0);
    lun_reactor_leave(r);
}

void lane_again(struct lane *l) { event_add(&l->again, &(struct timeval){ 0, 0 }); }

/* libcurl says 0 for each call that is added: one kick does for all of them, in this turn. It says so too when it has read enough for once: were
 * it kicked for that, the loop would not come back before a large answer ends. */
static int set_timer(CURLM *multi, long ms, void *self)
{
    struct lane *l = self;
    struct lun_loop *loop = &l->upstream->reactor->loop;
    (void)multi;
    if (ms == 0 && l->upstream->inside) lane_again(l);
    else if (ms == 0) lun_loop_wake(loop, &l->kick);
    lun_timer_set(loop, &l->timer, ms > 0 ? lun_clock_now() + ms * LUN_MS : LUN_NEVER);
    return 0;
}

static void on_idle(struct lun_timer *t)
{
    struct lane *l = lane_of_idle(t);
    if (!l->calls) lane_free(l);
}

static struct lane *lane_new(struct lun_upstream *u, struct trust *t, bool stream, bool http2, bool guarded)
{
    struct lane *l = lun_zalloc(sizeof *l);
    *l = (struct lane){ .upstream = u, .trust = t, .stream = stream, .http2 = http2, .guarded = guarded, .multi = curl_multi_init() };
    event_assign(&l->again, u->reactor->base, -1, 0, on_again, l);
    l->kick.run = on_kick;
    l->timer.fire = on_timer;
    l->idle.fire = on_idle;
    t->users++;
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, socket_watch);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)LANE_KEPT);
    curl_multi_setopt(l->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)H2_STREAMS);
    curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, http2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING);
    struct lane **last = &u->lanes;
    while (*last) last = &(*last)->next;
    return *last = l;
}

void lane_free(struct lane *l)
{
    struct lun_upstream *u = l->upstream;
    struct lane **p = &u->lanes;
    while (*p != l) p = &(*p)->next;
    *p = l->next;
    u->inside++;
    curl_multi_cleanup(l->multi);
    u->inside--;
    event_del(&l->again);
    lun_timer_set(&u->reactor->loop, &l->timer, LUN_NEVER);
    lun_timer_set(&u->reactor->loop, &l->idle, LUN_NEVER);
    lun_loop_forget(&u->reactor->loop, &l->kick);
    trust_drop(u, l->trust);
    free(l);
}

/* The first with room, so that few lanes are warm; streams apart, or every short call would pay for each of them; guarded ones apart, as a kept connection
 * was looked at only by who opened it. */
void lane_add(struct lun_upstream_call *c)
{
    struct lun_upstream *u = c->upstream;
    bool stream = c->stream, http2 = c->site->http2, guarded = c->site->guarded;
    struct lane *l = u->lanes;
    while (l && !(l->trust == c->site->trust && l->stream == stream && l->http2 == http2 && l->guarded == guarded && l->calls < LANE_CALLS)) l = l->next;
    if (!l) l = lane_new(u, c->site->trust, stream, http2, guarded);
    l->calls++;
    lun_timer_set(&u->reactor->loop, &l->idle, LUN_NEVER);
    c->lane = l;
    curl_multi_add_handle(l->multi, c->easy);
}

void lane_remove(struct lun_upstream_call *c)
{
    struct lane *l = c->lane;
    if (!l) return;
    c->lane = NULL;
    socket_give_up(c);
    c->upstream->inside++;
    curl_multi_remove_handle(l->multi, c->easy);
    c->upstream->inside--;
    socket_leave(c);
    call_over(c);
    if (!--l->calls) lun_timer_set(&c->upstream->reactor->loop, &l->idle, call_now(c) + lane_age);
}
