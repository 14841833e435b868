#include "wire/connection.h"
#include "base/alloc.h"
#include "state/snapshot.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPTS = 64 /* of one event */, SURPLUS = 64 /* beyond the bound that are told 503 */, PAUSE_MS = 100 };

const struct lun_server_clocks lun_server_clocks = {
    .head = 10 * LUN_SECOND, .body = 30 * LUN_SECOND, .body_total = 300 * LUN_SECOND,
    .idle = 75 * LUN_SECOND, .stall = 60 * LUN_SECOND, .linger = 5 * LUN_SECOND, .start = LUN_SECOND,
};

void lun_count(_Atomic uint64_t *counter, int by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t)(int64_t)by, memory_order_relaxed);
}

lun_us lun_server_now(const struct lun_server *s) { return s->reactor->loop.now; }
const struct lun_server_counts *lun_server_counts(const struct lun_server *s) { return &s->counts; }

const char *lun_server_date(struct lun_server *s)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t wall = time(NULL);
    if (*s->date && wall == s->date_of) return s->date;
    struct tm t;
    gmtime_r(&wall, &t);
    snprintf(s->date, sizeof s->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday, months + 3 * t.tm_mon,
             (t.tm_year + 1900) % 10000, t.tm_hour, t.tm_min, t.tm_sec);        /* strftime would follow the locale */
    s->date_of = wall;
    return s->date;
}

void lun_server_lend(struct lun_server *s, struct lun_buf *b)
{
    if (!b->room && s->n_spare) *b = s->spare[--s->n_spare];
}

void lun_server_take_back(struct lun_server *s, struct lun_buf *b)
{
    if (!b->room || b->room > LUN_SPARE_ROOM || s->n_spare == LUN_SPARES) { lun_buf_free(b); return; }
    s->spare[s->n_spare++] = (struct lun_buf){ .at = b->at, .room = b->room };
    *b = (struct lun_buf){0};
}

/* ---- the error body where the handler has none of its own ---- */

static const char *code_of(int status)
{
    switch (status) {
    case 408: return "request_timeout";
    case 413: case 431: return "too_large";
    case 503: return "overloaded";
    default:  return "invalid_request";
    }
}

static void refuse(void *self, struct lun_exchange *x, int status, const char *why)
{
    static const struct lun_pair json = { "content-type", "application/json" };
    char body[512];
    (void)self;
    int n = snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", why,
                     status == 503 ? "server_error" : "invalid_request_error", code_of(status));
    lun_exchange_head(x, status, &json, 1, n);
    lun_exchange_bytes(x, body, (size_t)n);
    lun_exchange_end(x, true);
}

/* ---- accepting ---- */

static void pause_accepting(struct lun_server *s, bool pause)
{
    if (!s->listeners || pause == s->paused) return;
    s->paused = pause;
    for (struct lun_listener *l = s->listeners; l; l = l->next) if (pause) event_del(&l->acceptable); else event_add(&l->acceptable, NULL);
    lun_timer_set(&s->reactor->loop, &s->resume, pause ? lun_server_now(s) + PAUSE_MS * LUN_MS : LUN_NEVER);
}

static void on_resume(struct lun_timer *t)
{
    pause_accepting((void *)((char *)t - offsetof(struct lun_server, resume)), false);
}

static void welcome(struct lun_server *s, int fd, const void *from, size_t from_n)
{
    struct lun_server_shared *shared = s->options.shared;
    int n = atomic_fetch_add(&shared->connections, 1) + 1, most = shared->connections_max ? shared->connections_max : INT32_MAX - SURPLUS;
    lun_count(&s->counts.accepted, 1);
    lun_count(&s->counts.open, 1);
    struct lun_connection *c = lun_connection_new(s, fd, from, from_n);
    if (n > most + SURPLUS || (n > most && c->tls)) { lun_count(&s->counts.refused_503, 1); lun_connection_free(c); }
    else if (n > most) lun_connection_refuse(c, 503, "Too many connections are open; try again soon.");
}

static bool accept_one(struct lun_server *s, int listener)
{
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } from = { .any.sa_family = AF_UNSPEC };
    socklen_t n = sizeof from;
    int fd = accept4(listener, &from.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) { welcome(s, fd, &from, sizeof from); return true; }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        lun_count(&s->counts.starved, 1);
        pause_accepting(s, true);
        return false;
    }
    return errno != EAGAIN;     /* the others are about a connection that is no more */
}

static void on_acceptable(evutil_socket_t fd, short what, void *self)
{
    struct lun_server *s = self;
    (void)what;
    lun_reactor_enter(s->reactor);
    for (int i = 0; i < ACCEPTS && accept_one(s, fd); i++) { }
    lun_reactor_leave(s->reactor);
}

/* ---- beginning and end ---- */

static lun_us or_default(lun_us given, lun_us usual) { return given ? given : usual; }

static void fill_in(struct lun_server *s)
{
    struct lun_server_options *o = &s->options;
    struct lun_server_clocks *k = &o->clocks;
    const struct lun_server_clocks *usual = &lun_server_clocks;
    if (!o->shared) o->shared = &s->own;
    if (!o->body) o->body = 32 << 20;
    if (!o->limits) o->limits = &lun_http_limits;
    *k = (struct lun_server_clocks){
        or_default(k->head, usual->head), or_default(k->body, usual->body), or_default(k->body_total, usual->body_total),
        or_default(k->idle, usual->idle), or_default(k->stall, usual->stall), or_default(k->linger, usual->linger),
        or_default(k->start, usual->start),
    };
    if (!s->handler.refuse) s->handler.refuse = refuse;
}

static void on_drained(struct lun_task *t)
{
    struct lun_server *s = (void *)((char *)t - offsetof(struct lun_server, drained));
    void (*done)(void *) = s->done;
    s->done = NULL;
    if (done) done(s->done_arg);
}

struct lun_server *lun_server_new(struct lun_reactor *r, int listener, const struct lun_server_handler *handler,
                                  const struct lun_server_options *options)
{
    struct lun_server *s = lun_zalloc(sizeof *s);
    s->reactor = r;
    s->handler = *handler;
    if (options) s->options = *options;
    fill_in(s);
    s->scratch = lun_alloc(LUN_SCRATCH);
    s->resume.fire = on_resume;
    s->drained.run = on_drained;
    lun_server_listen(s, listener);
    return s;
}

void lun_server_listen(struct lun_server *s, int listener)
{
    struct lun_listener *l = lun_zalloc(sizeof *l);
    *l = (struct lun_listener){ .next = s->listeners, .fd = listener };
    s->listeners = l;
    event_assign(&l->acceptable, s->reactor->base, listener, EV_READ | EV_PERSIST, on_acceptable, s);
    if (!s->paused) event_add(&l->acceptable, NULL);
}

void lun_server_lost(struct lun_server *s)
{
    lun_count(&s->counts.open, -1);
    atomic_fetch_sub(&s->options.shared->connections, 1);
    pause_accepting(s, false);
    if (s->draining && !s->connections) lun_loop_wake(&s->reactor->loop, &s->drained);
}

void lun_server_set_body(struct lun_server *s, int64_t longest)     { s->options.body = longest; }
void lun_server_set_stall(struct lun_server *s, lun_us stall)       { s->options.clocks.stall = stall; }
void lun_server_set_tls(struct lun_server *s, struct lun_tls *tls)  { s->options.tls = tls; }

void lun_server_stop_accepting(struct lun_server *s)
{
    lun_timer_set(&s->reactor->loop, &s->resume, LUN_NEVER);
    for (struct lun_listener *l; (l = s->listeners); free(l)) {
        s->listeners = l->next;
        event_del(&l->acceptable);
        close(l->fd);
    }
}

void lun_server_drain(struct lun_server *s, void (*done)(void *), void *arg)
{
    lun_server_stop_accepting(s);
    s->draining = true;
    s->done = done;
    s->done_arg = arg;
    for (struct lun_connection *c = s->connections; c; c = c->next) lun_connection_wake(c);
    if (!s->connections) lun_loop_wake(&s->reactor->loop, &s->drained);
}

void lun_server_free(struct lun_server *s)
{
    if (!s) return;
    lun_server_stop_accepting(s);
    s->draining = false;
    while (s->connections) lun_connection_free(s->connections);
    lun_loop_forget(&s->reactor->loop, &s->drained);
    while (s->n_spare) lun_buf_free(&s->spare[--s->n_spare]);
    free(s->scratch);
    free(s);
}
