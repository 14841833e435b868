#include "base/file.h"
#include "cli/cli.h"
#include "gateway/provider.h"
#include "wire/listen.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: lunette provider [script.lua] [--listen ADDRESS]\n"
    "\n"
    "Serves a scripted provider: `return function(request, n) return { status=, headers=, after=, text=, body=, events={…},\n"
    "every=, cut=\"fin|rst|chunk\", stall=, fail= } end`. Without a script it echoes what it is asked. GET /__provider tells what it got.\n"
    "  --listen ADDRESS   default 127.0.0.1:4010; port 0: the system chooses, and the first line of output says which\n";

static const char echo[] = "return function(request) return { text = \"[simulated] \" .. (request.text or \"\") } end";

static void on_signal(evutil_socket_t number, short what, void *self)
{
    (void)number, (void)what;
    lun_reactor_stop(self);
}

static int serve(struct lun_scenario *scenario, const char *address)
{
    struct lun_log log = lun_log_to(2);
    char why[256], where[LUN_ADDRESS_TEXT];
    int fd;
    if (!lun_listen(address, 1, &fd, why)) return fprintf(stderr, "lunette provider: %s\n", why), 1;
    struct lun_reactor *reactor = lun_reactor_new(NULL);
    signal(SIGPIPE, SIG_IGN);
    struct event *stops[] = { evsignal_new(reactor->base, SIGTERM, on_signal, reactor), evsignal_new(reactor->base, SIGINT, on_signal, reactor) };
    for (int i = 0; i < 2; i++) event_add(stops[i], NULL);
    struct lun_provider_server *server = lun_provider_server_new(reactor, fd, scenario, &log);
    lun_listen_text(fd, where);
    printf("lunette provider: listening on http://%s/v1\n", where);
    fflush(stdout);
    lun_reactor_run(reactor);
    lun_reactor_enter(reactor);
    lun_provider_server_free(server);
    lun_reactor_leave(reactor);
    for (int i = 0; i < 2; i++) event_free(stops[i]);
    lun_reactor_free(reactor);
    close(fd);
    return 0;
}

int lun_command_provider(int argc, char **argv)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    const char *address = "127.0.0.1:4010";
    char *text = NULL, *error = NULL;
    size_t n = sizeof echo - 1;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(usage, stdout) < 0;
        if (c == '?') return fputs(usage, stderr), 2;
        address = optarg;
    }
    if (argc - optind > 1) return fputs(usage, stderr), 2;
    const char *path = optind < argc ? argv[optind] : "echo";
    const char *why;
    if (optind < argc && !(text = lun_file_slurp(path, &n, &why))) return fprintf(stderr, "lunette provider: %s: %s\n", path, why), 1;
    struct lun_scenario *scenario = lun_scenario_new(path, text ? text : echo, n, NULL, NULL, &error);
    free(text);
    int status = scenario ? serve(scenario, address) : 1;
    if (!scenario) fprintf(stderr, "lunette provider: %s\n", error);
    free(error);
    lun_scenario_free(scenario);
    return status;
}
