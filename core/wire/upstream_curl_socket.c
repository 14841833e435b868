#include "wire/upstream_parts.h"
#include "base/address.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sock *find(struct lun_upstream *u, int fd) { return fd >= 0 && fd < u->room ? u->socks[fd] : NULL; }

static struct sock *make(struct lun_upstream *u, int fd)
{
    if (fd >= u->room) {
        int room = fd + 64;
        u->socks = lun_realloc(u->socks, (size_t)room * sizeof *u->socks);
        memset(u->socks + u->room, 0, (size_t)(room - u->room) * sizeof *u->socks);
        u->room = room;
    }
    return u->socks[fd] = lun_zalloc(sizeof **u->socks);
}

void socket_forget(struct lun_upstream *u, int fd)
{
    struct sock *s = find(u, fd);
    if (!s) return;
    if (s->armed) event_del(&s->event);
    if (s->ours) u->open--;
    u->socks[fd] = NULL;
    free(s);
}

/* Nobody waits for anything on this connection, so whatever came ends it: FIN, a TLS close_notify, bytes not asked for. libcurl would take
 * one with unread bytes for alive and send the next request into it. Without bytes and with a FIN it sees that it is dead. */
static void condemn(int fd)
{
    char waste[4096];
    for (int i = 0; i < 64 && recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0; i++) { }
    shutdown(fd, SHUT_RDWR);
}

static bool silent(int fd)
{
    char one;
    return recv(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_event(evutil_socket_t fd, short what, void *self)
{
    struct lane *l = self;
    struct lun_upstream *u = l->upstream;
    struct sock *s = find(u, fd);
    lun_reactor_enter(u->reactor);
    u->wakes++;
    if (s->wanted) {
        lane_act(l, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
    } else if (!silent(fd)) {       /* a socket left armed; level-triggered, it would fire for ever. (Silent: another callback of this
                                       turn has read what it fired for) */
        event_del(&s->event);
        s->armed = 0;
        if (!s->call && !l->http2 && !u->blind) condemn(fd);
    }
    lun_reactor_leave(u->reactor);
}

static void arm(struct sock *s, int fd, short what)
{
    if (s->armed == what) return;
    if (s->armed) event_del(&s->event);
    event_assign(&s->event, s->lane->upstream->reactor->base, fd, what | EV_PERSIST, on_event, s->lane);
    event_add(&s->event, NULL);
    s->armed = what;
}

/* The event stays armed for reading when libcurl is done with the socket for now: two epoll_ctl less for each call. */
static void unwatch(struct lun_upstream *u, struct sock *s, int fd)
{
    s->wanted = 0;
    if (!s->settled) socket_forget(u, fd);
    else if (s->armed & EV_WRITE) arm(s, fd, EV_READ);
}

int socket_watch(CURL *easy, curl_socket_t fd, int what, void *lane, void *unused)
{
    struct lane *l = lane;
    struct sock *s = find(l->upstream, fd);
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (s && s->lane) unwatch(l->upstream, s, fd);
        return 0;
    }
    if (!s) s = make(l->upstream, fd);
    char *call = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
    s->call = (struct lun_upstream_call *)call;
    if (s->call) {
        s->call->fd = fd;
        if (s->ours && s->call->ready) s->settled = true;
    }
    s->lane = l;
    s->wanted = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    arm(s, fd, s->wanted);
    return 0;
}

/* Of several that raced only one stands; it is settled when it is watched again. */
void socket_settle(struct lun_upstream_call *c)
{
    struct sock *s = find(c->upstream, c->fd);
    if (s && s->call == c && s->ours && c->opened == 1) s->settled = true;
    c->ready = true;
    c->opened = 0;
}

/* libcurl is about to close it, without a word; afterwards its number may be that of another thread's. */
void socket_give_up(struct lun_upstream_call *c)
{
    struct sock *s = find(c->upstream, c->fd);
    if (s && s->call == c && !s->settled) socket_forget(c->upstream, c->fd);
}

void socket_leave(struct lun_upstream_call *c)
{
    struct sock *s = find(c->upstream, c->fd);
    if (s && s->call == c) s->call = NULL;
    c->fd = -1;
}

curl_socket_t socket_open(void *call, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct lun_upstream_call *c = call;
    (void)purpose;
    bool own = c->upstream->barred.any.sa_family && lun_address_leads_to(&a->addr, &c->upstream->barred.any);
    if (c->site->guarded && (own || lun_address_is_inner(&a->addr))) { c->barred = true; return CURL_SOCKET_BAD; }
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            c->kind = LUN_KIND_POOL_FULL;
            snprintf(c->detail, sizeof c->detail, "no socket for %s: %s", c->site->host, strerror(errno));
        }
        return CURL_SOCKET_BAD;
    }
    socket_forget(c->upstream, fd);
    make(c->upstream, fd)->ours = true;
    c->upstream->open++;
    c->opened++;
    c->ready = false;
    return fd;
}

int socket_close(void *upstream, curl_socket_t fd)
{
    socket_forget(upstream, fd);
    return close(fd);
}
