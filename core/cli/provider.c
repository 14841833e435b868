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

const char lun_usage_provider[] =
    "usage: lunette provider [script.lua] [--listen ADDRESS]\n"
    "\n"
    "Serves a scripted provider over HTTP. Without a script it echoes what it is asked. GET /__provider tells what it got.\n"
    "  --listen ADDRESS   default 127.0.0.1:4010; port 0: the system chooses, and the first line of output says which\n"
    "\n"
    "A script is `return function(request, n) return { … } end`. `request` has method path headers body json model stream messages\n"
    "text (of the last user message); n counts the requests, from 1. The answer's fields, all optional (S: streams, W: whole answers):\n"
    "\n"
    "  field          type       unit     for  what\n"
    "  status         number              S W  200\n"
    "  headers        table               S W  by name; a list sends the header several times\n"
    "  after          number     seconds  S W  of silence before the head (0)\n"
    "  text           text                S W  what the model says; a stream where the request wants one, else a whole answer\n"
    "  finish_reason  text                S W  with text: \"stop\"\n"
    "  usage          table      tokens   S W  with text: { input =, output =, cached = }; false: none; else counted from the texts\n"
    "  model          text                S W  with text: the model's name; else the one asked for\n"
    "  body           text,               W    sent as it is (text) or as JSON (table), an error's too; before text\n"
    "                 table\n"
    "  events         list                S    a table becomes `data: {…}`, a text `data: …` (\"[DONE]\" too), { raw = \"…\" } goes as\n"
    "                                          it is, { event = \"name\", data = … } has a type; before text and body\n"
    "  every          number     seconds  S    between two events (0)\n"
    "  keep           boolean             S W  false: the connection closes after a clean end\n"
    "  cut            text                S W  instead of the clean end: \"fin\" closes, \"rst\" resets, \"chunk\" sends half a chunk, then\n"
    "                                          closes. In the middle of text or body, after the last of `events`.\n"
    "                                          \"rst\" without status, body, text or events: before any head. A reset may\n"
    "                                          take with it what came just before\n"
    "  cut_at         number     events   S    with text, for cut and stall = true: where, instead of the middle\n"
    "                            bytes    W    for cut: where, instead of the middle\n"
    "  stall          true                S W  says nothing more and keeps the connection: a stream in the middle of text, after the\n"
    "                                          last of `events`; a whole answer after its head\n"
    "                 number     seconds  S W  so long, then the clean end: a stream after its last event, a whole answer after its head\n"
    "  fail           text                S W  a kind (\"dns\", \"tls\", \"connect_refused\" …); here, where the connection stands, a reset\n"
    "\n"
    "Too many requests at first, then an answer:\n"
    "  return function(request, n)\n"
    "    if n <= 2 then\n"
    "      return { status = 429, headers = { [\"retry-after\"] = \"3\" }, body = { error = { message = \"too many\", type = \"rate_limit\" } } }\n"
    "    end\n"
    "    return { text = \"here I am\" }\n"
    "  end\n"
    "\n"
    "A stream that is cut in its middle:\n"
    "  return function() return { text = \"one two three four five six\", every = 0.2, cut = \"rst\" } end\n"
    "\n"
    "Silence before the first byte, and in the middle of a stream:\n"
    "  return function(request, n)\n"
    "    if n % 2 == 1 then return { text = \"late\", after = 60 } end\n"
    "    return { text = \"one two three four five six\", every = 0.2, stall = true }\n"
    "  end\n";

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
        if (c == 'h') return fputs(lun_usage_provider, stdout) < 0;
        if (c == '?') return fputs(lun_usage_provider, stderr), 2;
        address = optarg;
    }
    if (argc - optind > 1) return fputs(lun_usage_provider, stderr), 2;
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
