#include "wire/upstream_parts.h"
#include <errno.h>

static struct lun_loop *loop_of(const struct lun_upstream_call *c) { return &c->upstream->reactor->loop; }

/* ---- its end ---- */

/* Nothing of this answer can be taken for the next one's. */
static bool lives_on(const struct lun_upstream_call *c, const struct link *l)
{
    return c->kind == LUN_KIND_OK && c->direct.keeps && !c->direct.open && !l->in.n && !l->mute && direct_written(c);
}

/* What lies in the TLS layer tells of itself by no event: a record behind the end of this answer would be taken for the next one's. */
static bool has_more(struct link *l) { return l->tls && lun_tls_pending(l->tls) && link_disturbed(l); }

static void let_link_go(struct lun_upstream_call *c)
{
    struct link *l = c->direct.link;
    if (!l) return;
    c->direct.link = NULL;
    if (!lives_on(c, l) || has_more(l)) { link_close(l); return; }
    l->call = NULL;
    l->used = true;
    lun_buf_free(&l->in);
    link_watch(l);
    pool_keep(l);
}

static void leave(struct lun_upstream_call *c)
{
    dial_end(c);
    lun_timer_set(loop_of(c), &c->direct.clock, LUN_NEVER);
    let_link_go(c);
    call_over(c);
}

void direct_end(struct lun_upstream_call *c)
{
    c->times.left = c->times.sent != 0;
    leave(c);
    call_tell_end(c);
}

void direct_later(struct lun_upstream_call *c)
{
    leave(c);
    call_wake(c);
}

static void on_clock(struct lun_timer *t)
{
    struct lun_upstream_call *c = (struct lun_upstream_call *)((char *)t - offsetof(struct lun_upstream_call, direct.clock));
    end_say(c, LUN_KIND_CONNECT_TIMEOUT, "no connection in time", NULL);
    direct_end(c);
}

/* ---- its connection ---- */

static void send_request(struct lun_upstream_call *c)
{
    struct link *l = c->direct.link;
    lun_timer_set(loop_of(c), &c->direct.clock, LUN_NEVER);
    c->times.connected = call_now(c);
    c->times.reused = l->used;
    direct_write(c);
    link_watch(l);
}

static void shake(struct lun_upstream_call *c)
{
    struct link *l = c->direct.link;
    int done = lun_tls_shake(l->tls);
    l->shaking = !done;
    if (done > 0) { send_request(c); return; }
    if (!done) { link_watch(l); return; }
    pool_forget_session(l->pool);
    bool name;
    const char *why = lun_tls_why(l->tls, &name);
    if (name) end_say(c, LUN_KIND_TLS, "its certificate is for another host name", NULL);
    else if (why) end_say(c, LUN_KIND_TLS, "its certificate is not trusted", why);
    else end_say(c, LUN_KIND_TLS, "the TLS handshake failed", NULL);
    direct_end(c);
}

void direct_ready(struct lun_upstream_call *c, struct link *l)
{
    struct pool *p = l->pool;
    link_use(l, c);
    c->direct.link = l;
    if (!p->trust || l->used) { send_request(c); return; }
    l->tls = lun_tls_link_to(trust_tls(p->trust), l->fd, p->host);
    lun_tls_remember(l->tls, &p->session);
    shake(c);
}

static void connect_anew(struct lun_upstream_call *c)
{
    direct_rewind(c);
    answer_begin(c);
    lun_timer_set(loop_of(c), &c->direct.clock, call_now(c) + c->direct.patience);
    dial_begin(c);
}

static void begin(struct lun_upstream_call *c)
{
    struct link *l = pool_take(c->site->pool);
    c->direct.clock.fire = on_clock;
    if (!l) { connect_anew(c); return; }
    direct_rewind(c);
    answer_begin(c);
    direct_ready(c, l);
}

/* ---- its answer ---- */

static void take(struct lun_upstream_call *c, char *bytes, size_t n)
{
    struct lun_buf *in = &c->direct.link->in;
    if (in->n) {
        lun_buf_add(in, bytes, n);
        lun_buf_drop(in, answer_take(c, in->at, in->n));
        return;
    }
    size_t used = answer_take(c, bytes, n);
    if (used < n) lun_buf_add(in, bytes + used, n - used);
}

/* A kept connection that has closed meanwhile: what may be sent twice is. */
static bool was_stale(const struct lun_upstream_call *c) { return c->direct.link->used && !c->once && !c->times.first_byte; }

static void broken_off(struct lun_upstream_call *c, int error)
{
    struct link *l = c->direct.link;
    if (!was_stale(c)) { answer_over(c, error ? error : l->mute); return; }
    c->direct.link = NULL;
    link_close(l);
    connect_anew(c);
}

/* What was held back, and what has come, but not all at once: others have their turn, and who is told too much can say so. */
static bool listen_to(struct lun_upstream_call *c)
{
    struct link *l = c->direct.link;
    char *scratch = c->upstream->scratch;
    size_t heard = l->in.n ? answer_take(c, l->in.at, l->in.n) : 0;
    if (heard) lun_buf_drop(&l->in, heard);
    while (answer_wanted(c) && heard < BURST_BYTES) {
        ssize_t n = link_read(l, scratch, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) { broken_off(c, n ? errno : 0); return false; }
        take(c, scratch, (size_t)n);
        heard += (size_t)n;
        if (!l->tls && n < READ_BYTES) return false;        /* a short read has emptied it: no need to ask again */
    }
    return l->tls && answer_wanted(c);
}

static void hear(struct lun_upstream_call *c)
{
    bool more = listen_to(c);
    struct link *l = c->direct.link;
    if (c->closed || !l) return;        /* its task lets it go; it waits for another connection */
    if (c->kind != LUN_KIND_COUNT) { direct_end(c); return; }
    if (!answer_wanted(c)) return;
    link_watch(l);
    if (more && lun_tls_pending(l->tls)) event_active(&l->readable, EV_READ, 0);
}

void direct_news(struct link *l)
{
    struct lun_upstream_call *c = l->call;
    if (c->closed) return;
    if (l->shaking) shake(c);
    else if (!answer_wanted(c)) link_rest(l);
    else hear(c);
}

void direct_room(struct link *l)
{
    struct lun_upstream_call *c = l->call;
    if (c->closed) return;
    if (l->shaking) { shake(c); return; }
    direct_write(c);
    link_watch(l);
    if (l->tls && answer_wanted(c)) hear(c);  /* a read may have waited for room to write */
}

static void resume(struct lun_upstream_call *c)
{
    struct link *l = c->direct.link;
    if (!l || l->shaking) return;
    link_watch(l);
    if (l->in.n || l->tls) event_active(&l->readable, EV_READ, 0);
}

static void make(struct lun_upstream_call *c) { (void)c; }

static void free_parts(struct lun_upstream_call *c) { lun_buf_free(&c->direct.out); }

const struct transport transport_direct = { make, free_parts, direct_set, begin, resume, leave, direct_clear };
