#include "wire/redis_link.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void failed(struct lun_redis_link *l, const char *why)
{
    snprintf(l->why, sizeof l->why, "%s", why);
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}

static bool begin(struct lun_redis_link *l, const struct sockaddr *to, socklen_t n)
{
    int on = 1;
    l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd >= 0 && to->sa_family != AF_UNIX) {
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (l->fd >= 0 && (!connect(l->fd, to, n) || errno == EINPROGRESS)) return true;
    failed(l, strerror(errno));
    return false;
}

bool lun_redis_link_next(struct lun_redis_link *l)
{
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
    while (l->next) {
        struct addrinfo *a = l->next;
        l->next = a->ai_next;
        if (begin(l, a->ai_addr, a->ai_addrlen)) return true;
    }
    return false;
}

static bool look_up(struct lun_redis_link *l, const struct lun_redis_address *a)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    char port[8];
    snprintf(port, sizeof port, "%d", a->port);
    int error = getaddrinfo(a->host, port, &hints, &l->found);
    if (error) l->found = NULL, failed(l, error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    l->next = l->found;
    return !error;
}

bool lun_redis_link_open(struct lun_redis_link *l, const struct lun_redis_address *a)
{
    *l = (struct lun_redis_link){ .fd = -1 };
    if (!a->path) return look_up(l, a) && lun_redis_link_next(l);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    memcpy(to.sun_path, a->path, strlen(a->path) + 1);      /* redis_address has seen to it that it fits */
    return begin(l, (struct sockaddr *)&to, sizeof to);
}

int lun_redis_link_finish(struct lun_redis_link *l, const struct lun_redis_address *a, struct lun_tls *tls)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n)) error = errno;
    if (error) {
        failed(l, strerror(error));
        return lun_redis_link_next(l) ? 0 : -1;
    }
    if (tls) l->tls = lun_tls_link_to(tls, l->fd, a->host);
    return 1;
}

ssize_t lun_redis_link_read(struct lun_redis_link *l, char *to, size_t n)
{
    return l->tls ? lun_tls_read(l->tls, to, n) : recv(l->fd, to, n, 0);
}

ssize_t lun_redis_link_write(struct lun_redis_link *l, const char *at, size_t n)
{
    return l->tls ? lun_tls_write(l->tls, at, n) : send(l->fd, at, n, MSG_NOSIGNAL);
}

bool lun_redis_link_wants_write(const struct lun_redis_link *l, bool waiting) { return l->tls ? lun_tls_wants_write(l->tls, waiting) : waiting; }

void lun_redis_link_close(struct lun_redis_link *l)
{
    if (l->tls) lun_tls_link_free(l->tls);
    if (l->fd >= 0) close(l->fd);
    if (l->found) freeaddrinfo(l->found);
    *l = (struct lun_redis_link){ .fd = -1 };
}
