#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whatever comes while nobody has asked ends it: an end, or bytes that would answer the next question. */
bool link_disturbed(struct link *l)
{
    ssize_t n = link_read(l, l->pool->upstream->scratch, READ_BYTES);
    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

static void on_readable(evutil_socket_t fd, short what, void *self)
{
    struct link *l = self;
    struct lun_upstream *u = l->pool->upstream;
    (void)fd, (void)what;
    lun_reactor_enter(u->reactor);
    u->wakes++;
    if (l->call) direct_news(l);
    else if (link_disturbed(l)) link_close(l);
    lun_reactor_leave_together(u->reactor);
}

static void on_writable(evutil_socket_t fd, short what, void *self)
{
    struct link *l = self;
    struct lun_upstream *u = l->pool->upstream;
    (void)fd, (void)what;
    lun_reactor_enter(u->reactor);
    u->wakes++;
    l->writing = false;
    if (l->call) direct_room(l);
    lun_reactor_leave_together(u->reactor);
}

struct link *link_new(struct pool *p, int fd)
{
    struct link *l = lun_zalloc(sizeof *l);
    l->pool = p;
    l->fd = fd;
    if (!p->upstream->scratch) p->upstream->scratch = lun_alloc(READ_BYTES);
    event_assign(&l->readable, p->upstream->reactor->base, fd, EV_READ | EV_PERSIST, on_readable, l);
    event_assign(&l->writable, p->upstream->reactor->base, fd, EV_WRITE, on_writable, l);
    event_add(&l->readable, NULL);
    l->reading = true;
    return l;
}

static void unlist(struct link *l)
{
    if (!l->at) return;
    *l->at = l->next;
    if (l->next) l->next->at = l->at;
    l->at = NULL;
    l->pool->idle_n--;
}

void link_close(struct link *l)
{
    unlist(l);
    event_del(&l->readable);
    event_del(&l->writable);
    if (l->tls && !l->call) lun_tls_shut(l->tls);
    if (l->tls) lun_tls_link_free(l->tls);
    close(l->fd);
    l->pool->upstream->open--;
    lun_buf_free(&l->in);
    free(l);
}

void link_use(struct link *l, struct lun_upstream_call *c)
{
    unlist(l);
    l->call = c;
}

ssize_t link_read(struct link *l, char *to, size_t n) { return l->tls ? lun_tls_read(l->tls, to, n) : recv(l->fd, to, n, 0); }

bool link_sealed(const struct link *l) { return !l->tls || lun_tls_sealed(l->tls); }

static bool wants_write(const struct link *l)
{
    bool waiting = l->call && !l->shaking && !l->mute && !direct_written(l->call);
    return l->tls ? lun_tls_wants_write(l->tls, waiting) : waiting;
}

void link_watch(struct link *l)
{
    if (!l->reading) event_add(&l->readable, NULL);
    l->reading = true;
    if (l->mute) event_active(&l->readable, EV_READ, 0);        /* why it failed, and whether there is an answer all the same */
    if (wants_write(l) && !l->writing) event_add(&l->writable, NULL), l->writing = true;
}

void link_rest(struct link *l)
{
    if (l->reading) event_del(&l->readable);
    l->reading = false;
}
