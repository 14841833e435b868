/* load PORT CONNECTIONS STREAMS RATE [MODEL]: asks a gateway for MODEL (m), over so many connections, RATE questions a second in all; those of the first STREAMS connections
 * want a stream. A latency counts from the moment a question was due, so that a slow answer also shows in those that wait behind it.
 *
 * Prints, a line each: `ready` when signals are taken; `pair VERSION LABELS` for each x-lunette-policy when it is first seen; `wrong …` for what must not happen, at most 20 of
 * them; and at SIGUSR1 and at its end `report seconds= requests= streams= failures= torn= mixed= p50= p99= max=` (microseconds, of whole answers)
 * of the time since the last report. SIGTERM: asks nothing more, waits for what is under way, reports, ends.
 *   failures  another status than 200, a connection that was closed, no x-lunette-policy, an answer that did not come within 20 s
 *   torn      streams that ended without [DONE] or without their last chunk
 *   mixed     answers of a version with other labels than it had before */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VERSIONS = 1 << 16, LATENCIES = 1 << 20, WRONG_MOST = 20, LIMIT = 20 };

struct connection {
    struct bufferevent *io;
    struct event *next;                 /* its next question is due */
    bool stream, busy;
    double due, period;
};
struct answer { int status; char policy[128], labels[128]; long length; bool chunked; const char *body; size_t n; };
struct pair { char policy[128], labels[128]; };

static struct event_base *base;
static struct connection *all;
static int port, n_all, n_busy;
static const char *model = "m";
static bool ending;
static struct pair *pairs;
static double latencies[LATENCIES], since;
static long n_latencies, requests, streams, failures, torn, mixed, n_wrong;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void wrong(long *count, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(long *count, const char *format, ...)
{
    va_list args;
    ++*count;
    if (n_wrong++ >= WRONG_MOST) return;
    va_start(args, format);
    fputs("wrong ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double q) { return n_latencies ? latencies[(long)(q * (double)(n_latencies - 1))] : 0; }

static void report(void)
{
    qsort(latencies, (size_t)n_latencies, sizeof *latencies, by_size);
    printf("report seconds=%.2f requests=%ld streams=%ld failures=%ld torn=%ld mixed=%ld p50=%.0f p99=%.0f max=%.0f\n", (now() - since) / 1e6, requests, streams,
           failures, torn, mixed, quantile(0.5), quantile(0.99), quantile(1));
    n_latencies = requests = streams = failures = torn = mixed = 0;
    since = now();
}

/* ---- answers ---- */

static void copy_header(const char *head, const char *end, const char *name, char *to, size_t room)
{
    const char *at = memmem(head, (size_t)(end - head), name, strlen(name));
    *to = 0;
    if (!at) return;
    at += strlen(name);
    size_t n = strcspn(at, "\r");
    snprintf(to, room, "%.*s", (int)n, at);
}

/* Whether a whole answer is there. */
static bool take_apart(struct connection *c, const char *text, size_t n, struct answer *a)
{
    char length[24];
    const char *end = memmem(text, n, "\r\n\r\n", 4);
    if (!end) return false;
    *a = (struct answer){ .status = atoi(text + 9), .body = end + 4, .n = n - (size_t)(end + 4 - text) };
    copy_header(text, end + 2, "\r\nx-lunette-policy: ", a->policy, sizeof a->policy);
    copy_header(text, end + 2, "\r\nx-lunette-labels: ", a->labels, sizeof a->labels);
    copy_header(text, end + 2, "\r\ncontent-length: ", length, sizeof length);
    a->chunked = !*length;
    if (!a->chunked) return a->n >= (size_t)atol(length);
    return c->stream && a->n >= 7 && !memcmp(a->body + a->n - 7, "\r\n0\r\n\r\n", 7);
}

static void look_up(const struct answer *a)
{
    unsigned long hash = 5381;
    for (const char *p = a->policy; *p; p++) hash = hash * 33 + (unsigned char)*p;
    for (int i = 0; i < VERSIONS; i++) {
        struct pair *p = &pairs[(hash + (unsigned long)i) % VERSIONS];
        if (!*p->policy) {
            snprintf(p->policy, sizeof p->policy, "%s", a->policy);
            snprintf(p->labels, sizeof p->labels, "%s", a->labels);
            printf("pair %s %s\n", p->policy, p->labels);
            return;
        }
        if (strcmp(p->policy, a->policy)) continue;
        if (strcmp(p->labels, a->labels)) wrong(&mixed, "%s answered with labels %s, before with %s", a->policy, a->labels, p->labels);
        return;
    }
}

static void judge(struct connection *c, const struct answer *a)
{
    requests++;
    if (c->stream) streams++;
    if (a->status != 200 || !*a->policy) { wrong(&failures, "status %d of %s: %.*s", a->status, a->policy, (int)(a->n < 300 ? a->n : 300), a->body); return; }
    if (c->stream && !memmem(a->body, a->n, "[DONE]", 6)) wrong(&torn, "a stream of %s without [DONE]", a->policy);
    if (!c->stream && n_latencies < LATENCIES) latencies[n_latencies++] = now() - c->due;
    look_up(a);
}

/* ---- connections ---- */

static void open_one(struct connection *);

static void arm(struct connection *c, double in)
{
    struct timeval t = { (time_t)(in / 1e6), (suseconds_t)((long)in % 1000000) };
    evtimer_add(c->next, &t);
}

static void be_free(struct connection *c)
{
    c->busy = false;
    n_busy--;
    c->due += c->period;
    if (ending && !n_busy) event_base_loopbreak(base);
    else if (!ending) arm(c, c->due > now() ? c->due - now() : 0);
}

static void on_read(struct bufferevent *io, void *self)
{
    struct connection *c = self;
    struct evbuffer *in = bufferevent_get_input(io);
    size_t n = evbuffer_get_length(in);
    struct answer a;
    if (!take_apart(c, (const char *)evbuffer_pullup(in, -1), n, &a)) return;
    if (c->busy) judge(c, &a);
    else wrong(&failures, "an answer that nobody asked for");
    evbuffer_drain(in, n);
    if (c->busy) be_free(c);
}

static void on_event(struct bufferevent *io, short what, void *self)
{
    struct connection *c = self;
    struct evbuffer *in = bufferevent_get_input(io);
    size_t n = evbuffer_get_length(in);
    if (what & BEV_EVENT_CONNECTED) return;
    bool begun = n > 0, was_busy = c->busy;
    if (c->stream && begun) wrong(&torn, "a stream ended after %zu bytes", n);
    else if (was_busy || !ending) wrong(&failures, "%s", what & BEV_EVENT_TIMEOUT ? "no answer came in time" : was_busy ? "the connection ended under a request" : "an idle connection was closed");
    bufferevent_free(io);
    open_one(c);
    if (was_busy) be_free(c);
}

static void ask(evutil_socket_t fd, short what, void *self)
{
    struct connection *c = self;
    char body[256];
    (void)fd, (void)what;
    if (ending || c->busy) return;
    int n = snprintf(body, sizeof body, "{\"model\":\"%.99s\",%s\"messages\":[{\"role\":\"user\",\"content\":\"What is it?\"}]}", model, c->stream ? "\"stream\":true," : "");
    evbuffer_add_printf(bufferevent_get_output(c->io), "POST /v1/chat/completions HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
    c->busy = true;
    n_busy++;
}

static void open_one(struct connection *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    c->io = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c->io, on_read, NULL, on_event, c);
    bufferevent_socket_connect(c->io, (struct sockaddr *)&to, sizeof to);
    setsockopt(bufferevent_getfd(c->io), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bufferevent_set_timeouts(c->io, &(struct timeval){ LIMIT, 0 }, NULL);
    bufferevent_enable(c->io, EV_READ | EV_WRITE);
}

static void on_report(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self, report(); }

static void on_end(evutil_socket_t fd, short what, void *self)
{
    (void)fd, (void)what, (void)self;
    ending = true;
    if (!n_busy) event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) { fputs("usage: load PORT CONNECTIONS STREAMS RATE [MODEL]\n", stderr); return 2; }
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base = event_base_new_with_config(config);
    event_config_free(config);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 6) model = argv[5];
    port = atoi(argv[1]), n_all = atoi(argv[2]);
    int n_streams = atoi(argv[3]);
    double rate = atof(argv[4]), start = now();
    all = calloc((size_t)n_all, sizeof *all), pairs = calloc(VERSIONS, sizeof *pairs);
    for (int i = 0; i < n_all; i++) {
        struct connection *c = &all[i];
        *c = (struct connection){ .stream = i < n_streams, .period = 1e6 * n_all / rate, .next = evtimer_new(base, ask, c) };
        c->due = start + c->period * i / n_all;
        open_one(c);
        arm(c, c->due - start);
    }
    struct event *signals[] = { evsignal_new(base, SIGUSR1, on_report, NULL), evsignal_new(base, SIGTERM, on_end, NULL) };
    for (int i = 0; i < 2; i++) event_add(signals[i], NULL);
    since = now();
    puts("ready");
    event_base_dispatch(base);
    report();
    for (int i = 0; i < 2; i++) event_free(signals[i]);
    for (int i = 0; i < n_all; i++) bufferevent_free(all[i].io), event_free(all[i].next);
    free(all), free(pairs);
    event_base_free(base);
    return 0;
}
