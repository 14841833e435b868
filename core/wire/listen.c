#include "wire/listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096    /* the system cuts it to net.core.somaxconn */
#define UNSENT (32 << 10)

struct place {          /* where to listen */
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_un local; } at;
    socklen_t n;
    const char *text;   /* as it was written */
};

static bool fail(char error[256], const char *address, const char *what)
{
    snprintf(error, 256, "cannot listen on %.100s: %s", address, what);
    return false;
}

static bool fail_errno(char error[256], const struct place *p)
{
    if (errno == EADDRINUSE)
        return fail(error, p->text, "the address is in use; is another gateway running? Stop it or choose another port");
    if (errno == EACCES) return fail(error, p->text, "not permitted; ports below 1024 need the right to bind them");
    if (errno == EADDRNOTAVAIL) return fail(error, p->text, "this machine has no such address");
    return fail(error, p->text, strerror(errno));
}

/* ---- from text to an address ---- */

static bool local_place(struct place *p, char error[256])
{
    const char *path = p->text + strlen("unix:");
    if (!*path || strlen(path) >= sizeof p->at.local.sun_path) return fail(error, p->text, "the path is empty or too long");
    p->at.local.sun_family = AF_UNIX;
    strcpy(p->at.local.sun_path, path);
    p->n = sizeof p->at.local;
    return true;
}

/* Cuts "host:port" or "[host]:port" in two; *port points into the text. */
static bool cut(const char *text, char host[256], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (!colon || n > 255) return false;
    bool bracket = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (!bracket && memchr(text, ':', n)) return false;
    snprintf(host, 256, "%.*s", (int)(bracket ? n - 2 : n), text + bracket);
    *port = colon + 1;
    char *end;
    long number = strtol(*port, &end, 10);
    return **port >= '0' && **port <= '9' && !*end && number <= 65535;
}

static bool place_of(struct place *p, char error[256])
{
    char host[256];
    const char *port;
    if (!strncmp(p->text, "unix:", 5)) return local_place(p, error);
    if (!cut(p->text, host, &port)) return fail(error, p->text, "an address looks like 127.0.0.1:4000, [::1]:4000 or :4000");
    bool all = !*host || !strcmp(host, "*");
    struct addrinfo *list = NULL, hints = { .ai_family = all ? AF_INET6 : AF_INET, .ai_socktype = SOCK_STREAM,
                                            .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int wrong = getaddrinfo(all ? NULL : host, port, &hints, &list);
    if (wrong && !all) {
        hints.ai_family = AF_UNSPEC;
        wrong = getaddrinfo(host, port, &hints, &list);
    }
    if (wrong) return fail(error, p->text, gai_strerror(wrong));
    memcpy(&p->at, list->ai_addr, list->ai_addrlen);
    p->n = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* ---- from an address to sockets ---- */

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

/* Accepted sockets inherit these on Linux, which saves their system calls: no delay for small writes; clients that vanished without a
 * word are noticed within a minute and a half; and the system takes little beyond what a client has room for, which would otherwise be megabytes for each that
 * does not read. */
void lun_listen_tune(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 45);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

static int bound(const struct place *p, bool share)
{
    int family = p->at.any.sa_family, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    bool good = true;
    if (family != AF_UNIX) {
        good = !set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && (!share || !set(fd, SOL_SOCKET, SO_REUSEPORT, 1));
        if (family == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !IN6_IS_ADDR_UNSPECIFIED(&p->at.v6.sin6_addr));
        lun_listen_tune(fd);
    }
    if (good && !bind(fd, &p->at.any, p->n)) return fd;
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

/* A machine without IPv6: all interfaces are those of IPv4. */
static void without_v6(struct place *p)
{
    if (p->at.any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&p->at.v6.sin6_addr)) return;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) { close(fd); return; }
    in_port_t port = p->at.v6.sin6_port;
    p->at.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
    p->n = sizeof p->at.v4;
}

/* Whether nobody listens there. Sharing sockets would not notice each other, so the question is asked by one that does not share. */
static bool is_free(const struct place *p)
{
    int fd = bound(p, false);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* A path where a process that died left its socket may be used again, one where somebody answers may not, nor a file that is no
 * socket (connect() refuses there just the same). */
static bool sweep(const struct place *p)
{
    struct stat file;
    if (!lstat(p->at.local.sun_path, &file) && !S_ISSOCK(file.st_mode)) { errno = EEXIST; return false; }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool answers = !connect(fd, &p->at.any, p->n), dead = !answers && errno == ECONNREFUSED, absent = errno == ENOENT;
    close(fd);
    if (dead) return !unlink(p->at.local.sun_path);
    if (!absent) errno = EADDRINUSE;
    return absent;
}

static bool open_local(const struct place *p, int n, int fds[])
{
    if (!sweep(p) || (fds[0] = bound(p, false)) < 0) return false;
    if (listen(fds[0], BACKLOG)) { close(fds[0]); return false; }
    for (int i = 1; i < n; i++) fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    return true;
}

static bool open_shared(struct place *p, int n, int fds[])
{
    without_v6(p);
    if (!is_free(p)) return false;
    for (int i = 0; i < n; i++) {
        fds[i] = bound(p, n > 1);
        if (fds[i] >= 0 && !listen(fds[i], BACKLOG) && !getsockname(fds[i], &p->at.any, &p->n)) continue;
        int kept = errno;
        for (int j = 0; j <= i; j++) if (fds[j] >= 0) close(fds[j]);
        errno = kept;
        return false;
    }
    return true;
}

bool lun_listen(const char *address, int n, int fds[], char error[256])
{
    struct place p = { .text = address };
    if (!place_of(&p, error)) return false;
    bool good = p.at.any.sa_family == AF_UNIX ? open_local(&p, n, fds) : open_shared(&p, n, fds);
    return good || fail_errno(error, &p);
}

void lun_listen_text(int fd, char out[LUN_ADDRESS_TEXT])
{
    struct place p = { .n = sizeof p.at };
    char host[INET6_ADDRSTRLEN] = "?";
    if (getsockname(fd, &p.at.any, &p.n)) { strcpy(out, "?"); return; }
    int family = p.at.any.sa_family;
    if (family == AF_UNIX) { snprintf(out, LUN_ADDRESS_TEXT, "unix:%s", p.at.local.sun_path); return; }
    inet_ntop(family, family == AF_INET6 ? (void *)&p.at.v6.sin6_addr : (void *)&p.at.v4.sin_addr, host, sizeof host);
    snprintf(out, LUN_ADDRESS_TEXT, family == AF_INET6 ? "[%s]:%d" : "%s:%d", host, lun_listen_port(fd));
}

int lun_listen_port(int fd)
{
    struct place p = { .n = sizeof p.at };
    if (getsockname(fd, &p.at.any, &p.n)) return 0;
    if (p.at.any.sa_family == AF_INET) return ntohs(p.at.v4.sin_port);
    return p.at.any.sa_family == AF_INET6 ? ntohs(p.at.v6.sin6_port) : 0;
}
