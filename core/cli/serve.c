#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/upgrade.h"
#include "gateway/gateway.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include <sys/resource.h>

const char lun_usage_serve[] =
    "usage: lunette serve [gateway.lua] [--listen ADDRESS] [--admin ADDRESS|false] [--workers N] [--core-dumps]\n"
    "\n"
    "Runs the gateway. Without a file: ./gateway.lua.\n"
    "  --listen ADDRESS   where clients ask, instead of the file's `listen` (\"127.0.0.1:4000\"; port 0: the system chooses)\n"
    "  --admin ADDRESS    where /metrics is; false: nowhere\n"
    "  --workers N        threads; default one per core\n"
    "  --core-dumps       a crash may write one, and debuggers may attach, as the system says. Otherwise none: keys are in memory\n"
    "\n"
    "SIGTERM, SIGINT: no new connections, those open have 30 s (limits.stop) to finish, and are answered 503 then; a second one ends them at once.\n"
    "SIGHUP: reloads the configuration; so does a change of one of its files. What does not load changes nothing.\n"
    "SIGUSR1: opens the request log and the audit log anew, after they were moved away.\n"
    "SIGUSR2: starts the program anew, as it is on the disk by now, on the same listening sockets (wherever the file says). When that one is ready this\n"
    "one takes no new connections and ends with its last request; if it does not become ready, this one goes on. No connection is refused.\n"
    "\n"
    "Listening sockets that systemd has opened are used in place of `listen`, and one named admin in place of `admin`.\n";

enum { SIGNALS = 5 };
struct running { struct lun_gateway *gateway; struct lun_upgrade *upgrade; const struct lun_log *log; struct event *signals[SIGNALS], *tidy; struct lun_memory_look memory;
                 bool stopping; };

static void on_stop(evutil_socket_t signal_number, short what, void *self)
{
    struct running *r = self;
    struct lun_reactor *reactor = lun_gateway_reactor(r->gateway);
    (void)what;
    lun_reactor_enter(reactor);
    lun_log(r->log, LUN_LOG_INFO, "%s: stopping", signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
    if (!r->stopping) lun_upgrade_stop(r->upgrade);
    lun_gateway_stop(r->gateway, r->stopping ? 0 : lun_changes_current(lun_gateway_changes(r->gateway))->limits.stop);
    r->stopping = true;
    lun_reactor_leave(reactor);
}

static void on_reopen(evutil_socket_t signal_number, short what, void *self)
{
    (void)signal_number, (void)what;
    lun_gateway_reopen_log(((struct running *)self)->gateway);
}

static void on_reload(evutil_socket_t signal_number, short what, void *self)
{
    struct running *r = self;
    struct lun_reactor *reactor = lun_gateway_reactor(r->gateway);
    (void)signal_number, (void)what;
    lun_reactor_enter(reactor);
    lun_changes_reload(lun_gateway_changes(r->gateway), "SIGHUP", false, NULL, NULL);
    lun_reactor_leave(reactor);
}

static void on_upgrade(evutil_socket_t signal_number, short what, void *self)
{
    struct running *r = self;
    (void)signal_number, (void)what;
    if (!r->stopping) lun_upgrade_begin(r->upgrade);
}

static void on_tidy(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, lun_memory_give_back(&((struct running *)self)->memory); }

static void listen_to_signals(struct running *r)
{
    static const struct { int number; event_callback_fn call; } what[SIGNALS] = { { SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGUSR1, on_reopen }, { SIGHUP, on_reload }, { SIGUSR2, on_upgrade } };
    struct event_base *base = lun_gateway_reactor(r->gateway)->base;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SIGNALS; i++) event_add(r->signals[i] = evsignal_new(base, what[i].number, what[i].call, r), NULL);
}

/* Every client connection may need one towards a provider. */
static void raise_descriptors(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur == l.rlim_max) return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

/* By itself glibc raises these two as soon as something large was freed, and then keeps what a policy that ate memory has had: 110 MiB of it. */
static void give_memory_back(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
}

/* The first lines a person sees: where it is, and something to paste. */
static void greet(const struct lun_gateway *g, const struct lun_snapshot *s, const char *path)
{
    const char *model = s->policy.text || !s->n_models || s->models[0].pattern ? "auto" : s->models[0].name;
    const char *scheme = s->listen_tls.shown ? "https" : "http";
    printf("lunette: %s, listening on %s://%s", path, scheme, lun_gateway_address(g));
    if (lun_gateway_admin_address(g)) printf(", metrics on %s://%s/metrics", s->admin_tls.shown ? "https" : "http", lun_gateway_admin_address(g));
    printf(" (%d worker%s, policy %s)\n", lun_gateway_workers(g), lun_gateway_workers(g) == 1 ? "" : "s", s->version);
    for (int i = 0; i < s->n_models; i++)
        for (int t = 0; t < s->models[i].n_targets; t++)
            printf("  %s -> %s%s\n", s->models[i].name, s->models[i].targets[t]->name, s->models[i].targets[t]->provider->script ? " (simulated)" : "");
    const char *address = lun_gateway_address(g);
    bool local = !strncmp(address, "unix:", 5);
    printf("\nTry it:\n\ncurl %s%s%s%s://%s/v1/chat/completions -H 'content-type: application/json' %s-d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n\n",
           local ? "--unix-socket " : "", local ? address + 5 : "", local ? " " : "", scheme, local ? "localhost" : address, !lun_gateway_is_open(g) ? "-H 'authorization: Bearer YOUR_KEY' " : "", model);
    fflush(stdout);
}

static int serve(const char *path, const struct lun_load_options *options, char *const *argv)
{
    struct lun_mistakes mistakes = {0};
    struct lun_log log = lun_log_to(2);
    struct lun_config_source source = { .path = path, .options = *options };
    struct lun_handed handed;
    char *error = NULL, why[256];
    raise_descriptors();
    give_memory_back();
    lun_memory_reach_down();
    if (!lun_handed_take(&handed, why)) { fprintf(stderr, "lunette: %s\n", why); return 1; }
    struct running r = { .log = &log };
    r.gateway = lun_gateway_new(&(struct lun_gateway_options){ .log = &log, .source = &source, .limits = LUN_BY_SIGNAL, .handed = &handed, .listen = true, .watch = true }, &mistakes, &error);
    int awaited = handed.ready;
    handed.ready = -1;
    lun_handed_drop(&handed);
    if (!r.gateway && mistakes.n) lun_print_mistakes(&mistakes, stderr);
    else if (!r.gateway) fprintf(stderr, "lunette: %s\n", error);
    free(error);
    lun_mistakes_free(&mistakes);
    if (!r.gateway) return 1;
    r.upgrade = lun_upgrade_new(r.gateway, &log, argv, awaited);
    listen_to_signals(&r);
    r.tidy = event_new(lun_gateway_reactor(r.gateway)->base, -1, EV_PERSIST, on_tidy, &r);
    event_add(r.tidy, &(struct timeval){ .tv_sec = LUN_MEMORY_EVERY });
    lun_memory_give_back(&r.memory);
    greet(r.gateway, lun_gateway_snapshot(r.gateway), path);
    lun_upgrade_ready(r.upgrade);
    bool good = lun_gateway_run(r.gateway);
    if (!good) fprintf(stderr, "lunette: the system gives no thread\n");
    for (int i = 0; i < SIGNALS; i++) event_free(r.signals[i]);
    event_free(r.tidy);
    lun_upgrade_free(r.upgrade);
    lun_gateway_free(r.gateway);
    return !good;
}

int lun_command_serve(int argc, char **argv)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' }, { "admin", required_argument, NULL, 'a' },
        { "workers", required_argument, NULL, 'w' }, { "core-dumps", no_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_pair set[3];
    bool dumps = false;
    int n = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_serve, stdout) < 0;
        if (c == 'd') { dumps = true; continue; }
        if (c == '?' || n == 3) return fputs(lun_usage_serve, stderr), 2;
        set[n++] = (struct lun_pair){ c == 'l' ? "listen" : c == 'a' ? "admin" : "workers", optarg };
    }
    if (argc - optind > 1) return fputs(lun_usage_serve, stderr), 2;
    if (!dumps) lun_memory_keep_private();
    return serve(optind < argc ? argv[optind] : "gateway.lua", &(struct lun_load_options){ .set = set, .n_set = n, .cpu = LUN_CPU_CLOCK }, argv - 1);     /* main's own */
}
