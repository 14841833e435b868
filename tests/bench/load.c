/* load PORT BODY SHAPE… [-key KEY] [-pids PID,…]: POSTs the file BODY to /v1/chat/completions, again and again, and looks at each answer.
 *
 *   count N CONNECTIONS          N requests, as fast as they are answered
 *   busy SECONDS CONNECTIONS     the same for so long, after a tenth of it that is not counted
 *   rate PER_SECOND SECONDS      at a fixed rate over 64 connections; a latency counts from the moment a request was due, so that a slow answer also shows in those behind it
 *   streams N                    N event streams at once, their starts spread over 1.5 s, each read to its end
 *   open N                       N event streams that stay: prints `ready` when each has its first event, and goes when told (SIGTERM)
 *
 * Prints one line of name=value: `cpu_us` is what the processes PID… took meanwhile, per request (streams: per event), to the nanosecond of the scheduler and with
 * threads that have ended; p50, p99, max are microseconds (streams: to the first event). `errors`: not 200, no words in the answer, a stream without its end, a
 * broken connection, no answer: anything but 0 makes the line worthless. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 32 * 1024, CONNECTIONS_RATE = 64, PIDS = 16, LATENCIES = 1 << 20, PATIENCE = 20 };

struct connection {
    int fd;
    bool busy, streamed, started;
    size_t head, need, n;               /* head: its length, once it is there; need: of the whole answer */
    double due;
    long events;
    char text[ROOM + 1];
};

static int ep, port, pids[PIDS], n_pids, n_all;
static bool leaving, streaming;
static struct connection *all;
static char *request, *number;         /* number: where in it the one of each request is written, so that no two texts are equal; NULL: nowhere */
static size_t request_n;
static double latencies[LATENCIES];
static long n_latencies, answered, events, reads, errors;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Microseconds of CPU time of the processes looked at. */
static double cpu(void)
{
    double sum = 0;
    for (int i = 0; i < n_pids; i++) {
        clockid_t id;
        struct timespec t;
        if (clock_getcpuclockid(pids[i], &id) || clock_gettime(id, &t)) { fprintf(stderr, "load: process %d is gone\n", pids[i]); exit(1); }
        sum += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
    }
    return sum;
}

/* ---- one connection ---- */

static void join(struct connection *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) { perror("load: connect"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
    c->busy = false;
}

static void write_number(void)
{
    static unsigned long last;
    unsigned long n = ++last;
    for (int i = 8; i--; n /= 10) number[i] = (char)('0' + n % 10);
}

static void ask(struct connection *c, double due)
{
    c->busy = true;
    c->started = false;
    c->head = c->need = c->n = 0;
    c->events = 0;
    c->due = due;
    if (number) write_number();
    if (write(c->fd, request, request_n) != (ssize_t)request_n) errors++;
}

static void wrong(const struct connection *c, const char *what)
{
    if (!errors++) fprintf(stderr, "load: %s: %.600s\n", what, c->text);
}

static bool take_head(struct connection *c)
{
    const char *end = memmem(c->text, c->n, "\r\n\r\n", 4), *length;
    if (!end) return false;
    c->head = (size_t)(end + 4 - c->text);
    c->streamed = strcasestr(c->text, "\r\ntransfer-encoding: chunked") != NULL;
    length = strcasestr(c->text, "\r\ncontent-length:");
    c->need = c->head + (length ? strtoul(length + 17, NULL, 10) : 0);
    if (strncmp(c->text + 8, " 200", 4)) wrong(c, "an answer that is none");
    return true;
}

static void first_event(struct connection *c)
{
    c->started = true;
    if (n_latencies < LATENCIES) latencies[n_latencies++] = now() - c->due;
}

/* Events that ended in what has been read: two line ends, an event each; comments are not sent within the time of a measurement. */
static void count_events(struct connection *c, const char *from, size_t n)
{
    for (const char *p = from; (p = memmem(p, n - (size_t)(p - from), "\n\n", 2)); p += 2) c->events++;
    if (c->events && !c->started) first_event(c);
}

/* Whether the stream is over; what is over and read is forgotten, but for what may be the beginning of its end. */
static bool stream_over(struct connection *c, size_t had)
{
    size_t from = had > c->head ? had - 1 : c->head;
    count_events(c, c->text + from, c->n - from);
    if (c->n - c->head >= 5 && !memcmp(c->text + c->n - 5, "0\r\n\r\n", 5)) {
        if (!memmem(c->text, c->n, "data: [DONE]", 12)) wrong(c, "a stream without its end");
        return true;
    }
    if (c->n > ROOM / 2) {
        memmove(c->text + c->head, c->text + c->n - 2048, 2048);
        c->n = c->head + 2048;
        c->text[c->n] = 0;
    }
    return false;
}

/* Reads what is there. 1: the answer is over; 0: not yet; -1: the connection is. */
static int take(struct connection *c)
{
    size_t had = c->n;
    ssize_t r = read(c->fd, c->text + c->n, ROOM - c->n);
    if (r <= 0) return -1;
    c->n += (size_t)r;
    c->text[c->n] = 0;
    reads++;
    if (!c->head && !take_head(c)) return 0;
    if (c->streamed) return stream_over(c, had);
    if (c->n < c->need) return 0;
    if (!memmem(c->text + c->head, c->n - c->head, "The answer is long enough", 25)) wrong(c, "an answer without words");
    return 1;
}

static void over(struct connection *c, int how)
{
    bool was_busy = c->busy;
    c->busy = false;
    if (was_busy && how < 0) wrong(c, "a connection broke");
    else if (was_busy) {
        answered++;
        events += c->events;
        if (!c->streamed && n_latencies < LATENCIES) latencies[n_latencies++] = now() - c->due;
    }
    if (how < 0) {
        close(c->fd);
        join(c);
    }
}

/* ---- the shapes ---- */

static void crowd(int n)
{
    n_all = n;
    all = calloc((size_t)n, sizeof *all);
    for (int i = 0; i < n; i++) join(&all[i]);
}

/* Reads what comes within `us`, and asks again where `again` says so. */
static void turn(double us, bool (*again)(struct connection *))
{
    struct epoll_event ev[256];
    struct timespec wait = { (time_t)(us / 1e6), (long)(us * 1e3) % 1000000000L };
    int n = epoll_pwait2(ep, ev, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct connection *c = ev[i].data.ptr;
        int how = take(c);
        if (how) over(c, how);
        if (how && again && again(c)) ask(c, now());
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(double since, double cpu_before)
{
    double used = cpu() - cpu_before, of = streaming ? (double)events : (double)answered;
    qsort(latencies, (size_t)n_latencies, sizeof *latencies, by_size);
    double p50 = n_latencies ? latencies[n_latencies / 2] : 0, p99 = n_latencies ? latencies[n_latencies * 99 / 100] : 0, max = n_latencies ? latencies[n_latencies - 1] : 0;
    printf("requests=%ld events=%ld reads=%ld seconds=%.3f cpu_us=%.3f p50=%.1f p99=%.1f max=%.1f errors=%ld\n", answered, events, reads, (now() - since) / 1e6,
           of > 0 ? used / of : 0, p50, p99, max, errors);
}

static long left;
static bool more(struct connection *c) { (void)c; return left > 0 && left-- > 0; }

static bool any_busy(void)
{
    for (int i = 0; i < n_all; i++)
        if (all[i].busy) return true;
    return false;
}

static void finish(void)
{
    for (double due = now() + PATIENCE * 1e6; any_busy() && now() < due;) turn(1e5, NULL);
    for (int i = 0; i < n_all; i++)
        if (all[i].busy) wrong(&all[i], "no answer");
}

static void count(long n, int connections)
{
    crowd(connections);
    double since = now(), before = cpu();
    left = n;
    for (int i = 0; i < n_all && more(NULL); i++) ask(&all[i], now());
    for (double due = now() + 600e6; left > 0 && now() < due;) turn(1e5, more);
    finish();
    report(since, before);
}

static void busy(double seconds, int connections)
{
    crowd(connections);
    left = 1L << 40;
    for (int i = 0; i < n_all; i++) ask(&all[i], now());
    for (double due = now() + seconds * 1e5; now() < due;) turn(1e4, more);
    double since = now(), before = cpu();
    answered = n_latencies = 0;
    while (now() < since + seconds * 1e6) turn(1e4, more);
    left = 0;
    finish();
    report(since, before);
}

static struct connection *idle_one(long from)
{
    for (int i = 0; i < n_all; i++)
        if (!all[(from + i) % n_all].busy) return &all[(from + i) % n_all];
    return NULL;
}

static void rate(double per_second, double seconds)
{
    crowd(CONNECTIONS_RATE);
    long sent = 0, total = (long)(per_second * seconds);
    double since = now() + 1e4, step = 1e6 / per_second, before = cpu();
    while (sent < total) {
        struct connection *c;
        while (sent < total && since + (double)sent * step <= now() && (c = idle_one(sent))) ask(c, since + (double)sent++ * step);
        double wait = since + (double)sent * step - now();
        turn(wait < 0 ? 0 : wait, NULL);
    }
    finish();
    report(since, before);
}

static void streams(int n, bool stay)
{
    crowd(n);
    streaming = true;
    double since = now(), before = cpu(), step = (stay ? 3e5 : 1.5e6) / n;
    for (long sent = 0; sent < n;) {
        while (sent < n && since + (double)sent * step <= now()) ask(&all[sent++], now());
        turn(step / 2, NULL);
    }
    if (stay) {
        for (double due = now() + PATIENCE * 1e6; n_latencies < n && now() < due;) turn(1e5, NULL);
        puts(n_latencies == n ? "ready" : "not all have begun");
        fflush(stdout);
        while (!leaving) turn(1e6, NULL);
    } else finish();
    report(since, before);
}

/* ---- arguments ---- */

static void leave(int sig) { (void)sig; leaving = true; }

static void read_body(const char *path, const char *key)
{
    static char body[1 << 20];
    FILE *f = fopen(path, "r");
    if (!f) { perror(path); exit(1); }
    size_t n = fread(body, 1, sizeof body, f);
    fclose(f);
    request = malloc(n + 1024);
    request_n = (size_t)sprintf(request, "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
                                "%s%sContent-Length: %zu\r\n\r\n", port, key, getenv("LOAD_HEADER") ? getenv("LOAD_HEADER") : "", getenv("LOAD_HEADER") ? "\r\n" : "", n);
    memcpy(request + request_n, body, n);
    if ((number = memmem(request + request_n, n, "No. 00000000", 12))) number += 4;
    request_n += n;
}

static void read_pids(char *list)
{
    for (char *p = strtok(list, ","); p && n_pids < PIDS; p = strtok(NULL, ",")) pids[n_pids++] = atoi(p);
}

int main(int argc, char **argv)
{
    const char *key = "sk-bench";
    int n = argc;
    for (; n > 5 && argv[n - 2][0] == '-'; n -= 2) {
        if (!strcmp(argv[n - 2], "-pids")) read_pids(argv[n - 1]);
        else if (!strcmp(argv[n - 2], "-key")) key = argv[n - 1];
    }
    if (n < 5) { fputs("load PORT BODY count|busy|rate|streams|open NUMBER [NUMBER] [-key KEY] [-pids PID,…]\n", stderr); return 2; }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    port = atoi(argv[1]);
    read_body(argv[2], key);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = leave }, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    ep = epoll_create1(0);
    double first = atof(argv[4]), second = n > 5 ? atof(argv[5]) : 0;
    if (!strcmp(argv[3], "count")) count((long)first, (int)second);
    else if (!strcmp(argv[3], "busy")) busy(first, (int)second);
    else if (!strcmp(argv[3], "rate")) rate(first, second);
    else streams((int)first, !strcmp(argv[3], "open"));
    return errors != 0;
}
