/* A scripted provider for test_upstream.c: real sockets on 127.0.0.1, a thread for the listener and one for each connection. What a
 * connection does is a plain function that reads requests and writes bytes, in TLS where the server has a context. */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct peer { struct server *server; int fd, number; SSL *ssl; pthread_t thread; struct peer *next; };

struct server {
    void (*serve)(struct peer *);
    SSL_CTX *tls;
    int fd, port;
    atomic_int connections, requests;       /* requests: whole ones, body included */
    sem_t gone;                             /* posted as often as a peer saw its client leave */
    sem_t go, reached;                      /* for scripts: wait for the test, tell the test */
    pthread_mutex_t lock;
    char *last;                             /* head of the last request read */
    char *alpn;                             /* protocols the last TLS client offered, a blank between */
    struct peer *peers;
    pthread_t thread;
};

static inline ssize_t peer_get(struct peer *p, void *to, size_t n) { return p->ssl ? SSL_read(p->ssl, to, (int)n) : recv(p->fd, to, n, 0); }

static inline bool peer_put(struct peer *p, const char *from, size_t n)
{
    while (n) {
        ssize_t k = p->ssl ? SSL_write(p->ssl, from, (int)n) : send(p->fd, from, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        from += k;
        n -= (size_t)k;
    }
    return true;
}

static inline bool peer_say(struct peer *p, const char *text) { return peer_put(p, text, strlen(text)); }

/* Reads one request; the body's length in *body. false: the client left. A request without all of its body is not counted. */
static inline bool peer_ask(struct peer *p, size_t *body)
{
    static const size_t room = 256 * 1024;
    char *b = malloc(room + 1), *end = NULL;
    size_t n = 0, length = 0;
    while (!end) {
        ssize_t k = n < room ? peer_get(p, b + n, room - n) : 0;
        if (k <= 0) { free(b); return false; }
        b[n += (size_t)k] = 0;
        end = strstr(b, "\r\n\r\n");
    }
    size_t rest = n - (size_t)(end + 4 - b);
    end[2] = 0;
    const char *l = strcasestr(b, "\r\nContent-Length:");
    if (l) length = strtoul(l + 17, NULL, 10);
    pthread_mutex_lock(&p->server->lock);
    free(p->server->last);
    p->server->last = strdup(b);
    pthread_mutex_unlock(&p->server->lock);
    while (rest < length) {
        ssize_t k = peer_get(p, b, room);
        if (k <= 0) { free(b); return false; }
        rest += (size_t)k;
    }
    free(b);
    if (body) *body = rest;
    atomic_fetch_add(&p->server->requests, 1);
    return true;
}

/* Reads until the client is gone, and says so. */
static inline void peer_wait_gone(struct peer *p)
{
    char waste[65536];
    while (peer_get(p, waste, sizeof waste) > 0) { }
    sem_post(&p->server->gone);
}

/* The same without reading what still comes: a body that is larger than the system's buffers cannot leave meanwhile. */
static inline void peer_wait_hung_up(struct peer *p)
{
    struct pollfd f = { p->fd, POLLRDHUP, 0 };
    poll(&f, 1, 10000);
    sem_post(&p->server->gone);
}

static inline void peer_reset(struct peer *p)     /* the connection ends with RST */
{
    struct linger now = { 1, 0 };
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (p->ssl) SSL_set_quiet_shutdown(p->ssl, 1);
}

static inline bool soon(sem_t *s)       /* an upper bound for a broken build, not a wait */
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 10;
    return sem_timedwait(s, &t) == 0;
}

static inline void *peer_main(void *self)
{
    struct peer *p = self;
    if (p->server->tls) {
        p->ssl = SSL_new(p->server->tls);
        SSL_set_fd(p->ssl, p->fd);
        SSL_set_app_data(p->ssl, p->server);
        if (SSL_accept(p->ssl) != 1) goto out;
    }
    p->server->serve(p);
out:
    if (p->ssl) SSL_free(p->ssl);
    pthread_mutex_lock(&p->server->lock);
    close(p->fd);
    p->fd = -1;
    pthread_mutex_unlock(&p->server->lock);
    return NULL;
}

static inline void *server_main(void *self)
{
    struct server *s = self;
    for (int fd; (fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; ) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct peer *p = calloc(1, sizeof *p);
        *p = (struct peer){ .server = s, .fd = fd, .number = atomic_fetch_add(&s->connections, 1) };
        pthread_mutex_lock(&s->lock);
        p->next = s->peers;
        s->peers = p;
        pthread_mutex_unlock(&s->lock);
        pthread_create(&p->thread, NULL, peer_main, p);
    }
    return NULL;
}

static inline int listen_any(int backlog, int *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (void *)&a, sizeof a) != 0 || (backlog >= 0 && listen(fd, backlog) != 0)) abort();
    getsockname(fd, (void *)&a, &n);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline void server_start(struct server *s, void (*serve)(struct peer *), SSL_CTX *tls)
{
    memset(s, 0, sizeof *s);
    s->serve = serve;
    s->tls = tls;
    sem_init(&s->gone, 0, 0), sem_init(&s->go, 0, 0), sem_init(&s->reached, 0, 0);
    pthread_mutex_init(&s->lock, NULL);
    s->fd = listen_any(512, &s->port);
    pthread_create(&s->thread, NULL, server_main, s);
}

static inline void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (struct peer *p; (p = s->peers); ) {
        pthread_mutex_lock(&s->lock);
        if (p->fd >= 0) shutdown(p->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        for (int i = 0; i < 8; i++) sem_post(&s->go);
        pthread_join(p->thread, NULL);
        s->peers = p->next;
        free(p);
    }
    free(s->last);
    free(s->alpn);
    s->last = s->alpn = NULL;
}
#endif
