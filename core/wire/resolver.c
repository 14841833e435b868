#include "wire/resolver.h"
#include "base/alloc.h"
#include "base/thread.h"
#include <arpa/inet.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MOST = 16, STACK = 256 * 1024 };     /* addresses of one name; of a thread that runs what the system has for names */

struct desk {                   /* where threads leave what they found; lives as long as somebody knows of it */
    pthread_mutex_t lock;
    int users, fd;
    bool closed;                /* nobody comes for it any more */
    struct lun_lookup *found;
};
struct lun_resolver { struct lun_reactor *reactor; struct desk *desk; struct event news; };
struct lun_lookup {
    struct lun_lookup *next;
    struct desk *desk;
    char *host, *port;
    void (*told)(void *, struct lun_addresses *, const char *); void *self;     /* told NULL: dropped */
    struct lun_addresses *addresses; const char *why;
};

static void name_free(struct lun_lookup *q)
{
    free(q->host), free(q->port), free(q->addresses);
    free(q);
}

static void leave(struct desk *d)
{
    pthread_mutex_lock(&d->lock);
    bool last = !--d->users;
    pthread_mutex_unlock(&d->lock);
    if (!last) return;
    pthread_mutex_destroy(&d->lock);
    close(d->fd);
    free(d);
}

/* ---- asking ---- */

static const struct addrinfo *of_family(const struct addrinfo *a, int family, bool is)
{
    while (a && ((a->ai_family == family) != is || (a->ai_family != AF_INET && a->ai_family != AF_INET6))) a = a->ai_next;
    return a;
}

/* The first's family and the other one take turns. */
static struct lun_addresses *copy(const struct addrinfo *found)
{
    struct lun_addresses *all = lun_zalloc(sizeof *all + MOST * sizeof *all->at);
    const struct addrinfo *queues[2] = { of_family(found, found->ai_family, true), of_family(found, found->ai_family, false) };
    for (int turn = 0; (queues[0] || queues[1]) && all->n < MOST; turn ^= 1) {
        const struct addrinfo *a = queues[turn];
        if (!a) continue;
        struct lun_socket_address *at = &all->at[all->n++];
        at->n = a->ai_addrlen;
        memcpy(&at->any, a->ai_addr, a->ai_addrlen);
        queues[turn] = of_family(a->ai_next, found->ai_family, !turn);
    }
    return all;
}

static struct lun_addresses *find(const char *host, const char *port, int *error)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found = NULL;
    if ((*error = getaddrinfo(host, port, &hints, &found))) return NULL;
    struct lun_addresses *all = copy(found);
    freeaddrinfo(found);
    if (all->n) return all;
    free(all);
    *error = EAI_NODATA;
    return NULL;
}

struct lun_addresses *lun_resolver_numeric(const char *host, const char *port)
{
    struct lun_socket_address a = { 0 };
    uint16_t number = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) a.n = sizeof a.v4, a.v4.sin_family = AF_INET, a.v4.sin_port = number;
    else if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1) a.n = sizeof a.v6, a.v6.sin6_family = AF_INET6, a.v6.sin6_port = number;
    else return NULL;
    struct lun_addresses *all = lun_zalloc(sizeof *all + sizeof *all->at);
    all->n = 1;
    all->at[0] = a;
    return all;
}

static void *look_up(void *self)
{
    struct lun_lookup *q = self;
    struct desk *d = q->desk;
    int error;
    q->addresses = find(q->host, q->port, &error);
    q->why = error ? gai_strerror(error) : NULL;
    pthread_mutex_lock(&d->lock);
    bool closed = d->closed;
    if (!closed) {
        q->next = d->found;
        d->found = q;
        eventfd_write(d->fd, 1);
    }
    pthread_mutex_unlock(&d->lock);
    if (closed) name_free(q);
    leave(d);
    return NULL;
}

struct lun_lookup *lun_resolver_ask(struct lun_resolver *resolver, const char *host, const char *port,
                               void (*told)(void *, struct lun_addresses *, const char *), void *self)
{
    struct lun_lookup *q = lun_zalloc(sizeof *q);
    struct desk *d = resolver->desk;
    pthread_t thread;
    *q = (struct lun_lookup){ .desk = d, .host = lun_strdup(host), .port = lun_strdup(port), .told = told, .self = self };
    pthread_mutex_lock(&d->lock);
    d->users++;
    pthread_mutex_unlock(&d->lock);
    if (!lun_thread_start(&thread, "lunette-name", STACK, look_up, q)) {
        pthread_detach(thread);
        return q;
    }
    leave(d);
    name_free(q);
    return NULL;
}

void lun_lookup_drop(struct lun_lookup *q) { q->told = NULL; }      /* its thread does not look at that */

/* ---- telling ---- */

static struct lun_lookup *taken(struct desk *d)
{
    eventfd_t count;
    pthread_mutex_lock(&d->lock);
    struct lun_lookup *found = d->found;
    d->found = NULL;
    eventfd_read(d->fd, &count);
    pthread_mutex_unlock(&d->lock);
    return found;
}

static void on_news(evutil_socket_t fd, short what, void *self)
{
    struct lun_resolver *resolver = self;
    struct lun_reactor *r = resolver->reactor;
    (void)fd, (void)what;
    lun_reactor_enter(r);
    for (struct lun_lookup *q, *found = taken(resolver->desk); (q = found); ) {
        found = q->next;
        struct lun_addresses *addresses = q->addresses;
        if (q->told) q->addresses = NULL, q->told(q->self, addresses, q->why);
        name_free(q);
    }
    lun_reactor_leave(r);
}

struct lun_resolver *lun_resolver_new(struct lun_reactor *r)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return NULL;
    struct lun_resolver *resolver = lun_zalloc(sizeof *resolver);
    struct desk *d = lun_zalloc(sizeof *d);
    *resolver = (struct lun_resolver){ .reactor = r, .desk = d };
    d->fd = fd;
    d->users = 1;
    pthread_mutex_init(&d->lock, NULL);
    event_assign(&resolver->news, r->base, fd, EV_READ | EV_PERSIST, on_news, resolver);
    event_add(&resolver->news, NULL);
    return resolver;
}

void lun_resolver_free(struct lun_resolver *resolver)
{
    if (!resolver) return;
    struct desk *d = resolver->desk;
    event_del(&resolver->news);
    pthread_mutex_lock(&d->lock);
    d->closed = true;
    struct lun_lookup *found = d->found;
    d->found = NULL;
    pthread_mutex_unlock(&d->lock);
    for (struct lun_lookup *q; (q = found); ) {
        found = q->next;
        name_free(q);
    }
    leave(d);
    free(resolver);
}
