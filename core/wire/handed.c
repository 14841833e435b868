#include "wire/handed.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "wire/listen.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- taking ---- */

/* How many are for this process; -1: that cannot be read. */
static int for_us(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    char *end = NULL;
    if (!pid || !count || strtol(pid, &end, 10) != (long)getpid() || *end) return 0;
    long number = strtol(count, &end, 10);
    return number >= 0 && number <= LUN_HANDED_MOST && *count && !*end ? (int)number : -1;
}

static bool is_listening(int fd)
{
    int is = 0;
    socklen_t n = sizeof is;
    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &n) && is;
}

static bool is_of(int fd, mode_t type)
{
    struct stat s;
    return !fstat(fd, &s) && (s.st_mode & S_IFMT) == type;
}

/* The name of the i-th; "": it has none. */
static void name_of(int i, char out[16])
{
    const char *names = getenv("LISTEN_FDNAMES");
    while (names && i--) names = strchr(names, ':') ? strchr(names, ':') + 1 : NULL;
    snprintf(out, 16, "%.*s", names ? (int)strcspn(names, ":") : 0, names ? names : "");
}

static bool keep_socket(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    lun_listen_tune(fd);
    return is_listening(fd);
}

/* False: it is not what its name says. */
static bool keep(struct lun_handed *h, int fd, const char *name)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!strcmp(name, "ready") && h->ready < 0) return h->ready = fd, is_of(fd, S_IFIFO);
    if (!strcmp(name, "state") && h->state < 0) return h->state = fd, is_of(fd, S_IFREG);
    if (!strcmp(name, "admin") && h->admin < 0) return h->admin = fd, keep_socket(fd);
    return h->fds[h->n++] = fd, keep_socket(fd);
}

bool lun_handed_take(struct lun_handed *h, char error[256])
{
    int n = for_us(), bad = -1;
    char name[16];
    *h = (struct lun_handed)LUN_HANDED_NONE;
    if (n < 0) return snprintf(error, 256, "LISTEN_FDS is no number of sockets up to %d", LUN_HANDED_MOST), false;
    if (n) h->fds = lun_alloc((size_t)n * sizeof *h->fds);
    for (int i = 0; i < n; i++) {
        name_of(i, name);
        if (!keep(h, LUN_HANDED_FIRST + i, name) && bad < 0) bad = i;
    }
    if (bad >= 0) name_of(bad, name);
    unsetenv("LISTEN_PID"), unsetenv("LISTEN_FDS"), unsetenv("LISTEN_FDNAMES");
    if (bad < 0) return true;
    snprintf(error, 256, "descriptor %d (%s), which LISTEN_FDS hands over, is no listening socket: give it stream sockets that listen (Accept=no)", LUN_HANDED_FIRST + bad, name);
    lun_handed_drop(h);
    return false;
}

void lun_handed_drop(struct lun_handed *h)
{
    for (int i = 0; i < h->n; i++) if (h->fds[i] >= 0) close(h->fds[i]);
#define X(name) if (h->name >= 0) close(h->name);
    LUN_HANDED_NAMES(X)
#undef X
    free(h->fds);
    *h = (struct lun_handed)LUN_HANDED_NONE;
}

/* ---- giving ---- */

struct giving { int *fds, n; char **environ, *pid, *count; struct lun_buf names; };

static bool is_ours(const char *variable)
{
    return !strncmp(variable, "LISTEN_PID=", 11) || !strncmp(variable, "LISTEN_FDS=", 11) || !strncmp(variable, "LISTEN_FDNAMES=", 15);
}

/* Copied out of the way of where it goes. */
static bool add(struct giving *g, int fd, const char *name)
{
    lun_buf_printf(&g->names, "%s%s", g->n ? ":" : "LISTEN_FDNAMES=", name);
    return (g->fds[g->n++] = fcntl(fd, F_DUPFD_CLOEXEC, LUN_HANDED_FIRST + LUN_HANDED_MOST)) >= 0;
}

static bool add_all(struct giving *g, const struct lun_handed *h)
{
    bool good = true;
    for (int i = 0; i < h->n; i++) good &= add(g, h->fds[i], "listen");
#define X(name) if (h->name >= 0) good &= add(g, h->name, #name);
    LUN_HANDED_NAMES(X)
#undef X
    return good;
}

/* The child, which may only do what a signal handler may, writes its process id into `pid`. */
static void make_environment(struct giving *g)
{
    size_t n = 0, k = 0;
    while (environ[n]) n++;
    g->environ = lun_zalloc((n + 4) * sizeof *g->environ);
    for (size_t i = 0; i < n; i++) if (!is_ours(environ[i])) g->environ[k++] = environ[i];
    g->environ[k++] = g->pid = lun_printf("LISTEN_PID=%020d", 0);
    g->environ[k++] = g->count = lun_printf("LISTEN_FDS=%d", g->n);
    g->environ[k++] = (char *)lun_buf_text(&g->names);
}

static void write_pid(char *text, pid_t pid)
{
    for (char *at = text + strlen(text) - 1; *at != '='; at--, pid /= 10) *at = (char)('0' + pid % 10);
}

static void become(const struct giving *g, char *const *argv)
{
    for (int i = 0; i < g->n; i++) if (dup2(g->fds[i], LUN_HANDED_FIRST + i) < 0) _exit(126);
    close_range(LUN_HANDED_FIRST + (unsigned)g->n, ~0u, 0);        /* what a library has opened without close-on-exec */
    write_pid(g->pid, getpid());
    execvpe(argv[0], argv, g->environ);
    _exit(127);
}

pid_t lun_handed_start(char *const *argv, const struct lun_handed *h)
{
    struct giving g = { .fds = lun_alloc((size_t)(h->n + 3) * sizeof *g.fds) };
    bool good = add_all(&g, h);
    make_environment(&g);
    pid_t pid = good ? fork() : -1;
    if (!pid) become(&g, argv);
    int kept = errno;
    for (int i = 0; i < g.n; i++) if (g.fds[i] >= 0) close(g.fds[i]);
    free(g.fds), free(g.pid), free(g.count), free(g.environ);
    lun_buf_free(&g.names);
    errno = kept;
    return pid;
}
