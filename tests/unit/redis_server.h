/* A real redis-server for tests: 127.0.0.1, a port that was free, a folder of its own; ended by its id, and with the test at the latest. */
#ifndef TESTS_REDIS_SERVER_H
#define TESTS_REDIS_SERVER_H
#include <arpa/inet.h>
#include <hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

enum { REDIS_ARGS = 48 };
struct redis_server { pid_t pid; int port, n; char folder[64], socket[80], port_text[8]; char *args[REDIS_ARGS]; redisContext *by; };

static inline int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static inline void redis_run(struct redis_server *s)
{
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    int log = open("/dev/null", O_WRONLY);
    dup2(log, 1), dup2(log, 2);
    execvp("redis-server", s->args);
    _exit(127);
}

/* Settings as further arguments, "--name", "value", …, NULL. Its folder is made. */
static inline void redis_start(struct redis_server *s, ...)
{
    va_list more;
    memset(s, 0, sizeof *s);
    strcpy(s->folder, "/tmp/lunette-redis-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->socket, sizeof s->socket, "%s/socket", s->folder);
    snprintf(s->port_text, sizeof s->port_text, "%d", s->port = free_port());
    const char *fixed[] = { "redis-server", "--port", s->port_text, "--bind", "127.0.0.1", "--dir", s->folder, "--unixsocket", s->socket, "--save", "", "--enable-debug-command", "yes",
                            "--repl-diskless-sync-delay", "0", "--loglevel", "warning" };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) s->args[s->n++] = strdup(fixed[i]);
    va_start(more, s);
    for (const char *a; (a = va_arg(more, const char *)) && s->n < REDIS_ARGS - 1; ) s->args[s->n++] = strdup(a);
    va_end(more);
    redis_run(s);
}

/* An operator's own connection, blocking; waits until the server is there. */
static inline redisContext *redis_by(struct redis_server *s)
{
    while (!s->by || s->by->err) {
        if (s->by) redisFree(s->by), usleep(1000);
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        s->by = redisConnectUnix(s->socket);
    }
    return s->by;
}

/* The answer's text, or number as text; of an error, the error. Until the eighth call after. */
static inline const char *redis_do(struct redis_server *s, const char *format, ...)
{
    static char texts[8][256];
    static int next;
    char *text = texts[next++ % 8];
    va_list args;
    va_start(args, format);
    redisReply *r = redisvCommand(redis_by(s), format, args);
    va_end(args);
    assert_non_null(r);
    if (r->type == REDIS_REPLY_INTEGER) snprintf(text, 256, "%lld", r->integer);
    else snprintf(text, 256, "%s", r->str ? r->str : "");
    freeReplyObject(r);
    return text;
}

static inline void redis_kill(struct redis_server *s)
{
    if (s->by) redisFree(s->by);
    s->by = NULL;
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void redis_end(struct redis_server *s)
{
    char command[128];
    redis_kill(s);
    snprintf(command, sizeof command, "rm -rf '%s'", s->folder);
    if (*s->folder) assert_int_equal(system(command), 0);
    for (int i = 0; i < s->n; i++) free(s->args[i]);
    memset(s, 0, sizeof *s);
}
#endif
