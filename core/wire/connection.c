#include "wire/connection.h"
#include "base/alloc.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FREE_OF_CHARGE = 16 << 10, READS = 8, DRAIN_MOST = 64 << 20,
       MUCH = 12 << 10 };       /* to copy 20 KB costs as much as a hundredth of the request that they are */
#define LEFT_EVERY (LUN_SECOND / 4)

static lun_us now(const struct lun_connection *c) { return lun_server_now(c->server); }
static const struct lun_server_clocks *clocks(const struct lun_connection *c) { return &c->server->options.clocks; }

size_t lun_connection_waiting(const struct lun_connection *c) { return c->out.n - c->sent; }

void lun_connection_wake(struct lun_connection *c)
{
    if (!c->turning) lun_loop_wake(&c->server->reactor->loop, &c->turn);
}

struct lun_buf *lun_connection_out(struct lun_connection *c)
{
    if (!lun_connection_waiting(c)) c->sent_at = now(c);
    lun_server_lend(c->server, &c->out);
    lun_connection_wake(c);
    return &c->out;
}

/* ---- reading ---- */

static ssize_t receive(struct lun_connection *c)
{
    char *scratch = c->server->scratch;
    return c->tls ? lun_tls_read(c->tls, scratch, LUN_SCRATCH) : recv(c->fd, scratch, LUN_SCRATCH, 0);
}

/* Much that comes at once into an empty buffer becomes that buffer where it is, and the next is read to another place. */
static void keep(struct lun_server *s, struct lun_buf *to, size_t n)
{
    to->at = lun_realloc(s->scratch, n);
    to->n = to->room = n;
    s->scratch = lun_alloc(LUN_SCRATCH);
}

static void store(struct lun_connection *c, size_t n)
{
    if (c->phase == LUN_PHASE_LINGER) { c->drained += n; return; }
    bool served = c->phase == LUN_PHASE_OPEN || c->phase == LUN_PHASE_CLOSING;
    struct lun_buf *to = served ? &c->ahead : &c->in;
    c->got = now(c);
    if (!to->room && n >= MUCH) { keep(c->server, to, n); return; }
    lun_server_lend(c->server, to);
    lun_buf_add(to, c->server->scratch, n);
}

/* A body is read as fast as it comes; of requests sent ahead only so much at a time. */
static bool has_enough(const struct lun_connection *c)
{
    if (c->phase == LUN_PHASE_HEAD) return c->in.n >= LUN_SERVER_AHEAD;
    return (c->phase == LUN_PHASE_OPEN || c->phase == LUN_PHASE_CLOSING) && c->ahead.n >= LUN_SERVER_AHEAD;
}

/* Plain HTTP, come to a port of TLS, is answered in plain HTTP: it begins with a letter, where a handshake begins with 22 (RFC 8446 5.1). */
static void look_at_greeting(struct lun_connection *c)
{
    char first;
    if (recv(c->fd, &first, 1, MSG_PEEK) != 1) return;
    c->greeted = true;
    c->misplaced = first >= 'A' && first <= 'Z';
    if (!c->misplaced) return;
    lun_tls_link_free(c->tls);
    c->tls = NULL;
}

/* Reads what is there; a short read of a plain socket has emptied it, which saves asking again. */
static void take(struct lun_connection *c)
{
    c->more = false;
    if (c->tls && !c->greeted) look_at_greeting(c);
    for (int i = 0; i < READS && !has_enough(c); i++) {
        ssize_t n = receive(c);
        if (n > 0) store(c, (size_t)n);
        else if (n == 0) c->fin = true;
        else if (errno == EINTR) continue;
        else if (errno != EAGAIN) c->broken = true;
        if (n <= 0 || (!c->tls && n < LUN_SCRATCH)) return;
    }
    c->more = c->tls && lun_tls_pending(c->tls);
}

static void on_readable(evutil_socket_t fd, short what, void *self)
{
    struct lun_connection *c = self;
    (void)fd, (void)what;
    lun_reactor_enter(c->server->reactor);
    take(c);
    lun_connection_wake(c);
    lun_reactor_leave_together(c->server->reactor);
}

static void on_writable(evutil_socket_t fd, short what, void *self)
{
    struct lun_connection *c = self;
    (void)fd, (void)what;
    lun_reactor_enter(c->server->reactor);
    if (c->tls) take(c);
    lun_connection_wake(c);
    lun_reactor_leave_together(c->server->reactor);
}

static void on_clock(struct lun_timer *t)
{
    struct lun_connection *c = (void *)((char *)t - offsetof(struct lun_connection, timer));
    c->rang = true;
    lun_connection_wake(c);
}

void lun_connection_enter(struct lun_connection *c, enum lun_phase phase)
{
    c->phase = phase;
    c->since = c->got = now(c);
}

static void charge(struct lun_connection *c)
{
    size_t room = c->in.room + c->ahead.room + c->out.room;
    int64_t due = room > FREE_OF_CHARGE ? (int64_t)(room - FREE_OF_CHARGE) : 0;
    if (due != c->charged) atomic_fetch_add_explicit(&c->server->options.shared->buffered, due - c->charged, memory_order_relaxed);
    c->charged = due;
}

static bool overdrawn(const struct lun_connection *c)
{
    const struct lun_server_shared *s = c->server->options.shared;
    return c->charged && s->buffered_max && atomic_load_explicit(&s->buffered, memory_order_relaxed) > s->buffered_max;
}

/* ---- writing ---- */

/* Bytes that the client has taken so far: what the system merely holds for it is not among them. */
static int64_t taken(const struct lun_connection *c)
{
    int held = 0;
    ioctl(c->fd, SIOCOUTQ, &held);
    return (int64_t)(c->tls ? lun_tls_sent(c->tls) : c->given) - held;
}

/* From now on it has clocks.stall for the next step. */
static void fall_behind(struct lun_connection *c)
{
    c->behind = now(c);
    c->had = taken(c);
}

static void flush(struct lun_connection *c)
{
    while (lun_connection_waiting(c) && !c->broken) {
        const char *at = c->out.at + c->sent;
        size_t n = lun_connection_waiting(c);
        ssize_t sent = c->tls ? lun_tls_write(c->tls, at, n) : send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0 && errno != EINTR) c->broken = true;
        if (sent <= 0) continue;
        c->sent += (size_t)sent;
        c->given += (uint64_t)sent;
        c->sent_at = now(c);
    }
    if (!lun_connection_waiting(c)) { c->out.n = c->sent = 0; c->behind = LUN_NEVER; }
    else if (c->behind == LUN_NEVER) fall_behind(c);
    if (c->sent > c->out.n / 2) { lun_buf_drop(&c->out, c->sent); c->sent = 0; }
    if (!c->out.n && (c->phase != LUN_PHASE_OPEN || c->out.room > LUN_SERVER_LOW)) lun_server_take_back(c->server, &c->out);
}

static void tell_full(struct lun_connection *c)
{
    size_t n = lun_connection_waiting(c);
    bool full = c->x.full ? n >= LUN_SERVER_LOW : n > LUN_SERVER_HIGH;
    if (full == c->x.full || c->phase != LUN_PHASE_OPEN || !c->x.handed) return;
    c->x.full = full;
    if (c->server->handler.full) c->server->handler.full(c->x.user, full);
}

/* ---- ending ---- */

/* Closing at once would answer what the client still sends with a reset, which may wipe out an answer it has not read yet. */
static void linger(struct lun_connection *c)
{
    if (c->tls) lun_tls_shut(c->tls);
    shutdown(c->fd, SHUT_WR);
    lun_buf_free(&c->in);
    lun_buf_free(&c->ahead);
    lun_connection_enter(c, c->fin ? LUN_PHASE_DEAD : LUN_PHASE_LINGER);
}

/* Nothing was asked, so there is no answer to be lost. */
static void part(struct lun_connection *c)
{
    if (c->tls) lun_tls_shut(c->tls);
    c->phase = LUN_PHASE_DEAD;
}

static void die(struct lun_connection *c)
{
    bool open = c->phase == LUN_PHASE_OPEN && c->x.handed;
    void *user = c->x.user;
    c->phase = LUN_PHASE_DEAD;
    if (!open) return;
    lun_count(&c->server->counts.gone, 1);
    if (c->server->handler.gone) c->server->handler.gone(user);
}

static void look_at_end(struct lun_connection *c)
{
    if (c->fin && c->phase == LUN_PHASE_HEAD && lun_connection_waiting(c)) lun_connection_enter(c, LUN_PHASE_CLOSING);
    bool served = c->phase == LUN_PHASE_CLOSING;
    if (served && !lun_connection_waiting(c)) linger(c);
    if (c->broken || (c->fin && !served) || c->drained > DRAIN_MOST) die(c);
    bool idle = c->phase == LUN_PHASE_HEAD && !c->begun && !lun_connection_waiting(c), starts = c->first && now(c) < c->since + clocks(c)->start;
    if (idle && c->server->draining && !starts) part(c);
}

static lun_us sooner(lun_us a, lun_us b) { return a < b ? a : b; }

static lun_us due(const struct lun_connection *c)
{
    const struct lun_server_clocks *k = clocks(c);
    bool waiting = lun_connection_waiting(c);
    lun_us stall = c->behind == LUN_NEVER ? LUN_NEVER : c->behind + k->stall, idle = c->since > c->sent_at ? c->since : c->sent_at;
    switch (c->phase) {
    case LUN_PHASE_HEAD:
        if (c->first && !c->begun && c->server->draining) return sooner(stall, c->since + k->start);
        if (c->begun || c->first) return sooner(stall, c->since + k->head);
        return waiting ? stall : idle + k->idle;
    case LUN_PHASE_BODY:   return sooner(stall, sooner(c->got + k->body, c->since + k->body_total));
    case LUN_PHASE_OPEN:   return c->reading || c->fin ? stall : sooner(stall, c->got + LEFT_EVERY);
    case LUN_PHASE_LINGER: return c->since + k->linger;
    default:               return stall;
    }
}

/* While nothing is read no event tells that the client left (libevent's EV_CLOSED alone spins on a reset), so now and then the system
 * is asked. It does not know of an end that stands behind more than it has room for. */
static void look_for_leaving(struct lun_connection *c)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    c->got = now(c);
    if (!getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) && info.tcpi_state != TCP_ESTABLISHED) c->fin = true;
}

/* The time for a step is over, and it was not taken. */
static bool stalls(struct lun_connection *c)
{
    if (c->behind == LUN_NEVER || c->behind + clocks(c)->stall > now(c)) return false;
    if (taken(c) < c->had + LUN_SERVER_STEP) return true;
    fall_behind(c);
    return false;
}

static void expire(struct lun_connection *c)
{
    bool stalled = stalls(c), asking = c->phase == LUN_PHASE_BODY || (c->phase == LUN_PHASE_HEAD && c->begun);
    if (!stalled && due(c) > now(c)) return;
    if (asking && !stalled) { lun_connection_refuse(c, 408, "The request did not come in time."); return; }
    if (c->phase == LUN_PHASE_OPEN && !stalled) { look_for_leaving(c); return; }
    if (stalled) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    die(c);
}

/* ---- the turn ---- */

/* The event stays armed: no system call for each request. */
static void watch(struct lun_connection *c)
{
    bool served = c->phase == LUN_PHASE_OPEN || c->phase == LUN_PHASE_CLOSING;
    bool reading = !(served && c->ahead.n >= LUN_SERVER_AHEAD) && !(c->held && c->in.n >= LUN_SERVER_AHEAD);
    if (c->fin) reading = false;
    if (reading != c->reading) (reading ? event_add(&c->readable, NULL) : event_del(&c->readable));
    if (reading && c->more && !has_enough(c)) event_active(&c->readable, EV_READ, 0);
    c->reading = reading;
    bool writing = lun_connection_waiting(c);
    if (c->tls) writing = lun_tls_wants_write(c->tls, writing);
    if (writing && !event_pending(&c->writable, EV_WRITE, NULL)) event_add(&c->writable, NULL);
}

static void set_clock(struct lun_connection *c)
{
    lun_us at = due(c);
    if (at != LUN_NEVER && (!c->timer.at || at < c->timer.due)) lun_timer_set(&c->server->reactor->loop, &c->timer, at);
}

static void turn(struct lun_task *task)
{
    struct lun_connection *c = (void *)((char *)task - offsetof(struct lun_connection, turn));
    c->turning = true;
    charge(c);
    bool asking = c->phase == LUN_PHASE_HEAD || c->phase == LUN_PHASE_BODY;
    if (c->rang && due(c) <= now(c)) expire(c);
    else if (asking && c->misplaced) lun_connection_refuse(c, 400, "This port speaks HTTPS, and the request came as plain HTTP: write https:// in the URL.");
    else if (asking && c->in.n && overdrawn(c)) lun_connection_refuse(c, 503, "Too much is being buffered; try again soon.");
    c->rang = false;
    lun_connection_serve(c);
    flush(c);
    c->turning = false;         /* what is said from here on needs another turn */
    tell_full(c);
    look_at_end(c);
    charge(c);
    if (c->phase == LUN_PHASE_DEAD) { lun_connection_free(c); return; }
    if (c->held && lun_connection_waiting(c) < LUN_SERVER_LOW) lun_connection_wake(c);
    watch(c);
    set_clock(c);
}

struct lun_connection *lun_connection_new(struct lun_server *s, int fd, const void *from, size_t from_n)
{
    struct lun_connection *c = lun_zalloc(sizeof *c);
    c->server = s;
    c->fd = fd;
    c->first = c->reading = true;
    c->behind = LUN_NEVER;
    c->turn.run = turn;
    c->timer.fire = on_clock;
    if (s->options.tls) c->tls = lun_tls_link_new(s->options.tls, fd);
    memcpy(&c->from, from, from_n < sizeof c->from ? from_n : sizeof c->from);
    lun_connection_enter(c, LUN_PHASE_HEAD);
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next) c->next->link = &c->next;
    s->connections = c;
    event_assign(&c->readable, s->reactor->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, s->reactor->base, fd, EV_WRITE, on_writable, c);
    event_add(&c->readable, NULL);
    set_clock(c);
    return c;
}

void lun_connection_free(struct lun_connection *c)
{
    struct lun_server *s = c->server;
    if (c->phase != LUN_PHASE_DEAD) die(c);
    event_del(&c->readable);
    event_del(&c->writable);
    lun_loop_forget(&s->reactor->loop, &c->turn);
    lun_timer_set(&s->reactor->loop, &c->timer, LUN_NEVER);
    if (c->tls) lun_tls_link_free(c->tls);
    close(c->fd);
    lun_buf_free(&c->in);
    lun_buf_free(&c->ahead);
    lun_buf_free(&c->out);
    lun_buf_free(&c->x.trailers);
    lun_http_free(&c->reader);
    charge(c);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    free(c);
    lun_server_lost(s);
}
