#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connecting as RFC 8305 has it: the next address is tried when one fails, or is silent for a while, and the first that stands is taken. */
static const lun_us patience = 250 * LUN_MS;
static const lun_us names_are_fresh = 60 * LUN_SECOND;

enum { TRIES = 16 };            /* as many addresses as a name has at most */

struct try { struct dial *dial; int fd; struct event writable; };       /* fd -1: closed */
struct dial {
    struct lun_upstream_call *call;
    struct lun_addresses *addresses;    /* its own: those of the pool may be replaced meanwhile */
    struct try tries[TRIES];
    int next, open;
    int error;                  /* of the last that failed */
    struct lun_timer stagger;
};

static struct lun_reactor *reactor_of(const struct dial *d) { return d->call->upstream->reactor; }

static void try_close(struct try *t)
{
    if (t->fd < 0) return;
    event_del(&t->writable);
    close(t->fd);
    t->fd = -1;
    t->dial->open--;
    t->dial->call->upstream->open--;
}

static void dial_free(struct dial *d)
{
    for (int i = 0; i < d->next; i++) try_close(&d->tries[i]);
    lun_timer_set(&reactor_of(d)->loop, &d->stagger, LUN_NEVER);
    d->call->direct.dial = NULL;
    free(d->addresses);
    free(d);
}

/* ---- the sockets ---- */

static bool exhausted(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

static void explain(struct dial *d)
{
    if (exhausted(d->error)) end_say(d->call, LUN_KIND_POOL_FULL, "no socket for it", strerror(d->error));
    else if (d->error == ETIMEDOUT) end_say(d->call, LUN_KIND_CONNECT_TIMEOUT, "no connection in time", NULL);
    else end_say(d->call, LUN_KIND_CONNECT_REFUSED, "no connection", strerror(d->error));
}

static void fail(struct dial *d)
{
    struct lun_upstream_call *c = d->call;
    explain(d);
    dial_free(d);
    direct_end(c);
}

static void win(struct try *t)
{
    struct dial *d = t->dial;
    struct lun_upstream_call *c = d->call;
    int fd = t->fd;
    event_del(&t->writable);
    t->fd = -1;
    dial_free(d);
    direct_ready(c, link_new(c->site->pool, fd));
}

static bool try_next(struct dial *d);

static void on_writable(evutil_socket_t fd, short what, void *self)
{
    struct try *t = self;
    struct dial *d = t->dial;
    struct lun_upstream *u = d->call->upstream;
    int error = 0;
    socklen_t n = sizeof error;
    (void)what;
    lun_reactor_enter(u->reactor);
    u->wakes++;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n)) error = errno;
    if (!error) win(t);
    else {
        d->error = error;
        try_close(t);
        if (!d->open && !try_next(d)) fail(d);
    }
    lun_reactor_leave(u->reactor);
}

static int begin(struct dial *d, const struct lun_socket_address *a)
{
    int on = 1, fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { d->error = errno; return -1; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (!connect(fd, &a->any, a->n) || errno == EINPROGRESS) return fd;
    d->error = errno;
    close(fd);
    return -1;
}

/* Begins with the next address that can be begun with. */
static bool try_next(struct dial *d)
{
    struct lun_reactor *r = reactor_of(d);
    int fd = -1;
    struct try *t = NULL;
    while (fd < 0 && d->next < d->addresses->n && d->next < TRIES) {
        t = &d->tries[d->next++];
        *t = (struct try){ .dial = d, .fd = fd = begin(d, &d->addresses->at[d->next - 1]) };
    }
    if (fd < 0) return false;
    d->open++;
    d->call->upstream->open++;
    event_assign(&t->writable, r->base, fd, EV_WRITE, on_writable, t);
    event_add(&t->writable, NULL);
    lun_timer_set(&r->loop, &d->stagger, d->next < d->addresses->n ? r->loop.now + patience : LUN_NEVER);
    return true;
}

static void on_stagger(struct lun_timer *t)
{
    struct dial *d = (struct dial *)((char *)t - offsetof(struct dial, stagger));
    if (!try_next(d) && !d->open) fail(d);
}

static struct lun_addresses *copy(const struct lun_addresses *a)
{
    size_t n = sizeof *a + (size_t)a->n * sizeof *a->at;
    return memcpy(lun_alloc(n), a, n);
}

/* ---- the name ---- */

static void dial(struct lun_upstream_call *c)
{
    struct dial *d = c->direct.dial = lun_zalloc(sizeof *d);
    d->call = c;
    d->stagger.fire = on_stagger;
    d->addresses = copy(c->site->pool->addresses);
    if (try_next(d)) return;
    explain(d);
    dial_free(d);
    direct_later(c);
}

static void named(void *self, struct lun_addresses *addresses, const char *why)
{
    struct pool *p = self;
    struct lun_upstream_call *waiting = p->waiting;
    p->waiting = NULL;
    p->lookup = NULL;
    if (addresses) {
        free(p->addresses);
        p->addresses = addresses;
        p->fresh_until = p->upstream->reactor->loop.now + names_are_fresh;
    }
    for (struct lun_upstream_call *c; (c = waiting); ) {
        waiting = c->direct.behind;
        c->direct.waits = false;
        if (addresses) { dial(c); continue; }
        end_say(c, LUN_KIND_DNS, "its name could not be resolved", why);
        direct_end(c);
    }
}

static void ask(struct lun_upstream_call *c)
{
    struct pool *p = c->site->pool;
    struct lun_upstream *u = p->upstream;
    if (!u->resolver) u->resolver = lun_resolver_new(u->reactor);
    if (!p->lookup && u->resolver) p->lookup = lun_resolver_ask(u->resolver, p->host, p->port, named, p);
    if (!p->lookup) {
        end_say(c, LUN_KIND_POOL_FULL, "its name could not be looked up: the system gives no thread or no descriptor", NULL);
        direct_later(c);
        return;
    }
    c->direct.waits = true;
    c->direct.behind = p->waiting;
    p->waiting = c;
}

void dial_begin(struct lun_upstream_call *c)
{
    struct pool *p = c->site->pool;
    if (p->addresses && p->fresh_until > p->upstream->reactor->loop.now) dial(c);
    else ask(c);
}

void dial_end(struct lun_upstream_call *c)
{
    struct lun_upstream_call **at = &c->site->pool->waiting;
    if (c->direct.dial) dial_free(c->direct.dial);
    if (!c->direct.waits) return;
    while (*at != c) at = &(*at)->direct.behind;
    *at = c->direct.behind;
    c->direct.waits = false;
}
