#include "cli/upgrade.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct timeval patience = { 60, 0 }, soon = { 0, 5000 };

struct lun_upgrade {
    struct lun_gateway *gateway;
    const struct lun_log *log;
    char *const *argv;
    struct event *said, *serving, *gone;        /* said: by the new process; NULL: there is none under way. gone: to look whether it has ended */
    int pipe, awaited;                  /* awaited: on which the process before this one waits for it; -1 */
    pid_t pid;
    bool begun, late, over;             /* late: it took too long; over: another process serves in the place of this one */
};

/* ---- who watches over us ---- */

/* NOTIFY_SOCKET is a path, or an abstract name with an @ for its zero byte. Nobody there is no error. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof to.sun_path || !strchr("/@", *path)) return;
    memcpy(to.sun_path, path, n);
    if (*path == '@') to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* ---- the new process ---- */

static void on_serving(evutil_socket_t fd, short what, void *self)
{
    struct lun_upgrade *u = self;
    char text[64];
    (void)fd, (void)what;
    if (u->awaited >= 0 && write(u->awaited, "1", 1) != 1) lun_log(u->log, LUN_LOG_WARN, "the process before this one cannot be told that this one is ready");
    if (u->awaited >= 0) close(u->awaited);
    u->awaited = -1;
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d", (int)getpid());
    notify(text);
}

void lun_upgrade_ready(struct lun_upgrade *u)
{
    static const struct timeval at_once = { 0, 0 };
    event_add(u->serving, &at_once);
}

/* ---- the old one ---- */

static void end(struct lun_upgrade *u)
{
    event_free(u->said);
    u->said = NULL;
    close(u->pipe);
}

static const char *ended(bool known, int status, char why[64])
{
    if (known && WIFSIGNALED(status)) snprintf(why, 64, "it was ended by signal %d", WTERMSIG(status));
    else if (known && WEXITSTATUS(status) == 127) snprintf(why, 64, "the program cannot be started");
    else snprintf(why, 64, "it ended with status %d", known ? WEXITSTATUS(status) : -1);
    return why;
}

static void give_up(struct lun_upgrade *u)
{
    u->begun = false;
    lun_changes_go_on(lun_gateway_changes(u->gateway));
}

/* Nobody waits for it: requests go on meanwhile. */
static void on_gone(evutil_socket_t fd, short what, void *self)
{
    struct lun_upgrade *u = self;
    struct lun_reactor *reactor = lun_gateway_reactor(u->gateway);
    char why[64];
    int status = 0;
    pid_t which = waitpid(u->pid, &status, WNOHANG);
    (void)fd, (void)what;
    if (!which) { event_add(u->gone, &soon); return; }
    lun_reactor_enter(reactor);
    lun_log(u->log, LUN_LOG_ERROR, "the new process was not ready (%s%s): this one goes on", u->late ? "it took too long, " : "", ended(which == u->pid, status, why));
    give_up(u);
    lun_reactor_leave(reactor);
}

/* Who says no more without having ended is not ready either: it has this one's sockets, and is ended. What it has ended with by itself stays. */
static void on_said(evutil_socket_t fd, short what, void *self)
{
    struct lun_upgrade *u = self;
    struct lun_reactor *reactor = lun_gateway_reactor(u->gateway);
    char byte;
    bool ready = what & EV_READ && read(fd, &byte, 1) == 1;
    lun_reactor_enter(reactor);
    u->late = what & EV_TIMEOUT;
    end(u);
    u->over = ready;
    if (ready) {
        lun_log(u->log, LUN_LOG_INFO, "process %d has taken over: this one ends with its last request", (int)u->pid);
        lun_gateway_retire(u->gateway);
    } else {
        kill(u->pid, SIGKILL);
        event_add(u->gone, &soon);
    }
    lun_reactor_leave(reactor);
}

/* No change is under way here, so what is kept is as it will be read there. */
static void on_held(void *self)
{
    struct lun_upgrade *u = self;
    int said[2];
    bool good = !pipe2(said, O_CLOEXEC | O_NONBLOCK);
    u->pid = good ? lun_gateway_hand_over(u->gateway, u->argv, said[1]) : -1;
    if (u->pid < 0) lun_log(u->log, LUN_LOG_ERROR, "no new process can be started: %s", strerror(errno));
    if (good) close(said[1]);
    if (u->pid > 0) {
        u->pipe = said[0];
        u->said = event_new(lun_gateway_reactor(u->gateway)->base, u->pipe, EV_READ, on_said, u);
        event_add(u->said, &patience);
        lun_log(u->log, LUN_LOG_INFO, "process %d is started to take over", (int)u->pid);
        return;
    }
    if (good) close(said[0]);
    give_up(u);
}

void lun_upgrade_begin(struct lun_upgrade *u)
{
    if (u->begun) return;
    u->begun = true;
    lun_changes_hold(lun_gateway_changes(u->gateway), on_held, u);
}

void lun_upgrade_stop(struct lun_upgrade *u)
{
    if (u->over) return;
    notify("STOPPING=1");
    if (!u->said) return;
    lun_log(u->log, LUN_LOG_INFO, "process %d, which was started to take over, is to end too", (int)u->pid);
    kill(u->pid, SIGTERM);
    end(u);
}

struct lun_upgrade *lun_upgrade_new(struct lun_gateway *g, const struct lun_log *log, char *const *argv, int awaited)
{
    struct lun_upgrade *u = lun_zalloc(sizeof *u);
    *u = (struct lun_upgrade){ .gateway = g, .log = log, .argv = argv, .awaited = awaited };
    u->serving = event_new(lun_gateway_reactor(g)->base, -1, 0, on_serving, u);
    u->gone = event_new(lun_gateway_reactor(g)->base, -1, 0, on_gone, u);
    return u;
}

void lun_upgrade_free(struct lun_upgrade *u)
{
    if (u->said) end(u);
    event_free(u->serving), event_free(u->gone);
    if (u->awaited >= 0) close(u->awaited);
    free(u);
}
