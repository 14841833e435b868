/* buyers PORTS BOOKS [NAME=VALUE …]: clients of gateways whose provider is biller.c. So many connections, each asks again as soon as it is answered; key,
 * prompt, max_tokens, stream or not are drawn. PORTS is a file of eight 32-bit ports that is read whenever one connects (0: no gateway there just now); a
 * gateway that is gone is tried again.
 *
 *   connections=512 requests=0 (0: until SIGTERM) seed=1 path=/v1/chat/completions
 *   keys=8 teams=2 tenants=0           key kI belongs to team t(I mod teams); it says x-tenant: v(I mod tenants), unless that is 0
 *   prompt=2000 output=400             bytes, tokens: at most
 *   capless=5 stream=40 leave=3        of a hundred: no max_tokens, a stream, a client that leaves
 *   dearest=0                          nano-USD: more than any question can cost; 0: answers are not compared to the books
 *   strict=1                           0: a 402 may leave more than is needed
 *   records=                           a file: REQUEST,NANO-USD,KEY of each answer that arrived whole
 *
 * Prints `ready`; `wrong …` for what must not happen, at most 20 of them; at SIGUSR1 and at its end `report {…}`, JSON, of all until then.
 *   cut      streams that ended without their last chunk        broken   connections that ended under a question before the answer was whole
 *   exact    answers after one attempt whose cost is, to the nano-USD, what the provider's usage amounts to
 *   refused  by the budget that a 402 names: how many, and the most that was left, by its own words */
#include "books.h"
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

enum { GATEWAYS = 8, WRONG_MOST = 20, PATIENCE = 30 /* s */, BUDGETS = 2 * BOOKS_KEYS + 1, LEAVES_WITHIN = 30 /* ms */,
       WAIT = 3000 /* µs, before a gateway that is gone is tried again */ };

struct connection { struct bufferevent *io; struct event *timer; bool stream, busy, connected; int key; };
struct answer { int status, attempts; bool chunked; char id[64], number[24], cost[32]; const char *body; size_t n; };
struct refused { char name[40]; long n; int64_t left_most; };

static struct { long connections, requests, keys, teams, tenants, prompt, output, capless, stream, leave, dearest, strict, seed; } with =
    { .connections = 512, .keys = 8, .teams = 2, .prompt = 2000, .output = 400, .capless = 5, .stream = 40, .leave = 3, .strict = 1, .seed = 1 };
static const char *path = "/v1/chat/completions";
static struct event_base *base;
static const struct books *books;
static const volatile int32_t *ports;
static struct connection *all;
static FILE *records;
static char *letters;
static bool ending, is_exhausted[BOOKS_KEYS];
static int n_busy;
static uint64_t seed;
static struct refused refused[BUDGETS];
static long asked, whole, streams, cut, broken, left, exact, n_wrong, by_status[600];
static double since;

static uint64_t draw(void)      /* splitmix64, Vigna 2015 */
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static long up_to(long most) { return (long)(draw() % (uint64_t)(most + 1)); }
static bool percent(long n) { return up_to(99) < n; }

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *format, ...)
{
    va_list args;
    if (n_wrong++ >= WRONG_MOST) return;
    va_start(args, format);
    fputs("wrong ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static void report(void)
{
    printf("report {\"seconds\":%.3f,\"asked\":%ld,\"whole\":%ld,\"streams\":%ld,\"exact\":%ld,\"cut\":%ld,\"broken\":%ld,\"left\":%ld,\"wrong\":%ld,\"status\":{",
           now() - since, asked, whole, streams, exact, cut, broken, left, n_wrong);
    bool first = true;
    for (int i = 0; i < 600; i++) if (by_status[i]) printf("%s\"%d\":%ld", first ? "" : ",", i, by_status[i]), first = false;
    printf("},\"refused\":{");
    for (int i = 0; i < BUDGETS && *refused[i].name; i++)
        printf("%s\"%s\":{\"n\":%ld,\"left_most\":%lld}", i ? "," : "", refused[i].name, refused[i].n, (long long)refused[i].left_most);
    printf("}}\n");
    if (records) fflush(records);
}

/* ---- answers ---- */

static void copy_header(const char *head, const char *end, const char *name, char *to, size_t room)
{
    const char *at = memmem(head, (size_t)(end - head), name, strlen(name));
    if (!at) return;
    at += strlen(name);
    snprintf(to, room, "%.*s", (int)strcspn(at, "\r"), at);
}

static void read_fields(struct answer *a, const char *from, const char *to)
{
    char attempts[12] = "";
    copy_header(from, to, "\r\nx-lunette-request-id: ", a->id, sizeof a->id);
    copy_header(from, to, "\r\nx-request-id: b", a->number, sizeof a->number);
    copy_header(from, to, "\r\nx-lunette-cost: ", a->cost, sizeof a->cost);
    copy_header(from, to, "\r\nx-lunette-attempts: ", attempts, sizeof attempts);
    if (*attempts) a->attempts = atoi(attempts);
}

/* Whether a whole answer is there. */
static bool take_apart(const char *text, size_t n, struct answer *a)
{
    char length[24] = "";
    const char *end = memmem(text, n, "\r\n\r\n", 4), *last, *over;
    if (!end) return false;
    *a = (struct answer){ .status = atoi(text + 9), .body = end + 4, .n = n - (size_t)(end + 4 - text) };
    read_fields(a, text, end + 2);
    copy_header(text, end + 2, "\r\ncontent-length: ", length, sizeof length);
    a->chunked = !*length;
    if (!a->chunked) return a->n >= (size_t)atol(length);
    if (!(last = memmem(a->body, a->n, "\r\n0\r\n", 5)) || !(over = memmem(last + 3, (size_t)(text + n - last - 3), "\r\n\r\n", 4))) return false;
    read_fields(a, last + 3, over + 2);
    return true;
}

/* USD in decimal text, as nano-USD; -1: it is none. */
static int64_t nano(const char *text)
{
    char *end;
    int64_t sum = strtoll(text, &end, 10) * 1000000000, unit = 100000000;
    if (end == text) return -1;
    if (*end == '.') for (const char *p = end + 1; *p >= '0' && *p <= '9'; p++, unit /= 10) sum += (*p - '0') * unit;
    return sum;
}

/* What the provider's books have about it. */
static void compare(const struct connection *c, const struct answer *a)
{
    uint64_t number = strtoull(a->number, NULL, 10);
    int64_t cost = nano(a->cost);
    if (!*a->number || number >= __atomic_load_n(&books->n, __ATOMIC_ACQUIRE)) { wrong("an answer of nobody: x-request-id \"b%s\"", a->number); return; }
    const struct book *b = &books->at[number];
    if (b->key != c->key) wrong("an answer to key k%d is that to k%d (b%s)", c->key, b->key, a->number);
    if (cost < b->charge)
        wrong("request %s of key k%d has a cost of %lld, and the provider charged %lld (b%s)", a->id, c->key, (long long)cost, (long long)b->charge, a->number);
    if (b->claim < 0 || a->attempts != 1) return;
    if (cost != b->claim)
        wrong("request %s of key k%d has a cost of %lld, and its usage amounts to %lld (b%s)", a->id, c->key, (long long)cost, (long long)b->claim, a->number);
    exact++;
}

static void judge_whole(struct connection *c, const struct answer *a)
{
    whole++;
    streams += a->chunked;
    is_exhausted[c->key] = false;
    if (!*a->id || !*a->cost) { wrong("an answer without x-lunette-request-id or x-lunette-cost"); return; }
    if (a->chunked && !memmem(a->body, a->n, "[DONE]", 6)) wrong("request %s: a stream without [DONE]", a->id);
    if (with.dearest) compare(c, a);
    if (records) fprintf(records, "%s,%lld,%d\n", a->id, (long long)nano(a->cost), c->key);
}

static struct refused *refused_by(const char *name)
{
    int i = 0;
    while (*refused[i].name && strcmp(refused[i].name, name) && i < BUDGETS - 1) i++;
    snprintf(refused[i].name, sizeof refused[i].name, "%s", name);
    return &refused[i];
}

static bool pays(const char *budget, int key)
{
    if (!strncmp(budget, "key k", 5)) return atoi(budget + 5) == key;
    if (!strncmp(budget, "team t", 6)) return atoi(budget + 6) == key % with.teams;
    return !strncmp(budget, "tag tenant=v", 12) && with.tenants && atoi(budget + 12) == key % with.tenants;
}

static void judge_refusal(const struct answer *a)
{
    char text[1024], name[40] = "";
    snprintf(text, sizeof text, "%.*s", (int)a->n, a->body);
    const char *budget = strstr(text, "\"budget\":\""), *rest = strstr(text, "\"left\":"), *bound = strstr(text, "can cost up to ");
    if (budget) snprintf(name, sizeof name, "%.*s", (int)strcspn(budget + 10, "\""), budget + 10);
    int64_t left_nano = rest ? nano(rest + 7) : -1, bound_nano = bound ? nano(bound + 15) : -1;
    if (!*name || left_nano < 0) { wrong("402 without budget and left: %s", text); return; }
    if (with.strict && with.dearest && left_nano >= with.dearest) wrong("402 while the dearest question (%ld) fits: %s", with.dearest, text);
    if (with.strict && bound_nano >= 0 && left_nano >= bound_nano) wrong("402 though it fits: %s", text);
    struct refused *r = refused_by(name);
    r->n++;
    if (left_nano > r->left_most) r->left_most = left_nano;
    for (int i = 1; i <= with.keys; i++) is_exhausted[i] |= pays(name, i);
}

static void judge(struct connection *c, const struct answer *a)
{
    by_status[a->status >= 0 && a->status < 600 ? a->status : 0]++;
    if (a->status == 200) judge_whole(c, a);
    else if (a->status == 402) judge_refusal(a);
    else if (a->status < 500 && a->status != 429) wrong("status %d: %.*s", a->status, (int)(a->n < 300 ? a->n : 300), a->body);
}

/* ---- connections ---- */

static void open_one(struct connection *);

static void arm(struct connection *c, long us)
{
    struct timeval t = { 0, us };
    evtimer_add(c->timer, &t);
}

/* A key that had money when it was last asked for, mostly. */
static int draw_key(void)
{
    int key = (int)up_to(with.keys - 1) + 1;
    for (int tries = 8; is_exhausted[key] && tries-- && up_to(15); ) key = (int)up_to(with.keys - 1) + 1;
    return key;
}

static void ask(struct connection *c)
{
    char more[160], tenant[40] = "";
    int prompt = (int)up_to(with.prompt - 1) + 1, n;
    if (ending || (with.requests && asked >= with.requests)) {
        ending = true;
        if (!n_busy) event_base_loopbreak(base);
        return;
    }
    asked++, n_busy++;
    c->busy = true;
    c->stream = percent(with.stream);
    c->key = draw_key();
    n = snprintf(more, sizeof more, "\"user\":\"k%d\"%s%s", c->key, c->stream ? ",\"stream\":true" : "",
                 c->stream && up_to(1) ? ",\"stream_options\":{\"include_usage\":true}" : "");
    if (!percent(with.capless)) n += snprintf(more + n, sizeof more - (size_t)n, ",\"max_tokens\":%ld", up_to(with.output - 1) + 1);
    if (with.tenants) snprintf(tenant, sizeof tenant, "x-tenant: v%ld\r\n", c->key % with.tenants);
    evbuffer_add_printf(bufferevent_get_output(c->io), "POST %s HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer key-%d\r\nTE: trailers\r\n%s"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%.*s\"}],%s}",
        path, c->key, tenant, 56 + prompt + n, prompt, letters + up_to(with.prompt), more);
    if (percent(with.leave)) arm(c, up_to(LEAVES_WITHIN * 1000));
}

static void be_free(struct connection *c)
{
    c->busy = false;
    n_busy--;
    evtimer_del(c->timer);
}

static void on_read(struct bufferevent *io, void *self)
{
    struct connection *c = self;
    struct evbuffer *in = bufferevent_get_input(io);
    size_t n = evbuffer_get_length(in);
    struct answer a;
    if (!take_apart((const char *)evbuffer_pullup(in, -1), n, &a)) return;
    if (!c->busy) wrong("an answer that nobody asked for");
    else judge(c, &a);
    evbuffer_drain(in, n);
    if (!c->busy) return;
    be_free(c);
    ask(c);
}

static void reopen(struct connection *c, bool at_once)
{
    bufferevent_free(c->io);
    c->io = NULL;
    if (c->busy) be_free(c);
    if (at_once && !ending) open_one(c);
    else arm(c, WAIT);
}

static void on_event(struct bufferevent *io, short what, void *self)
{
    struct connection *c = self;
    if (what & BEV_EVENT_CONNECTED) { c->connected = true; ask(c); return; }
    bool begun = evbuffer_get_length(bufferevent_get_input(io)) > 0;
    if (what & BEV_EVENT_TIMEOUT && c->busy) wrong("no answer came within %d s", PATIENCE);
    if (c->busy) { if (c->stream && begun) cut++; else broken++; }
    reopen(c, c->connected);
}

/* It leaves in the middle, or tries a gateway again. */
static void on_timer(evutil_socket_t fd, short what, void *self)
{
    struct connection *c = self;
    (void)fd, (void)what;
    if (c->busy) {
        left++;
        reopen(c, true);
    } else if (!c->io) {
        if (!ending) open_one(c);
        else if (!n_busy) event_base_loopbreak(base);
    }
}

static int32_t draw_port(void)
{
    int32_t there[GATEWAYS], n = 0;
    for (int i = 0; i < GATEWAYS; i++) if ((there[n] = ports[i])) n++;
    return n ? there[up_to(n - 1)] : 0;
}

static void open_one(struct connection *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)draw_port()), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { PATIENCE, 0 };
    int one = 1;
    c->connected = false;
    if (!to.sin_port) { arm(c, WAIT); return; }
    c->io = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(c->io, on_read, NULL, on_event, c);
    bufferevent_set_timeouts(c->io, &patience, NULL);
    bufferevent_enable(c->io, EV_READ | EV_WRITE);
    bufferevent_socket_connect(c->io, (struct sockaddr *)&to, sizeof to);
    setsockopt(bufferevent_getfd(c->io), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void on_report(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self, report(); }

static void on_end(evutil_socket_t fd, short what, void *self)
{
    (void)fd, (void)what, (void)self;
    ending = true;
    if (!n_busy) event_base_loopbreak(base);
}

/* ---- the command line ---- */

static bool take_argument(const char *text)
{
    static const struct { const char *name; long *value; } numbers[] = {
        { "connections=", &with.connections }, { "requests=", &with.requests }, { "keys=", &with.keys }, { "teams=", &with.teams }, { "tenants=", &with.tenants },
        { "prompt=", &with.prompt }, { "output=", &with.output }, { "capless=", &with.capless }, { "stream=", &with.stream }, { "leave=", &with.leave },
        { "dearest=", &with.dearest }, { "strict=", &with.strict }, { "seed=", &with.seed },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        size_t n = strlen(numbers[i].name);
        if (!strncmp(text, numbers[i].name, n)) { *numbers[i].value = atol(text + n); return true; }
    }
    if (!strncmp(text, "path=", 5)) { path = text + 5; return true; }
    return !strncmp(text, "records=", 8) && (records = fopen(text + 8, "a"));
}

static const volatile int32_t *map_ports(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    void *m = fd < 0 ? MAP_FAILED : mmap(NULL, GATEWAYS * sizeof(int32_t), PROT_READ, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED) { perror(file); exit(1); }
    close(fd);
    return m;
}

int main(int argc, char **argv)
{
    if (argc < 3) { fputs("usage: buyers PORTS BOOKS [NAME=VALUE …]\n", stderr); return 2; }
    ports = map_ports(argv[1]);
    if (!(books = books_open(argv[2]))) { perror(argv[2]); return 1; }
    for (int i = 3; i < argc; i++) if (!take_argument(argv[i])) { fprintf(stderr, "buyers: what is %s?\n", argv[i]); return 2; }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    seed = (uint64_t)with.seed, since = now();
    letters = malloc(2 * (size_t)with.prompt + 1);
    for (long i = 0; i < 2 * with.prompt; i++) letters[i] = "etaoin shrdlu"[draw() % 13];
    base = event_base_new();
    all = calloc((size_t)with.connections, sizeof *all);
    for (long i = 0; i < with.connections; i++) {
        all[i].timer = evtimer_new(base, on_timer, &all[i]);
        open_one(&all[i]);
    }
    struct event *signals[] = { evsignal_new(base, SIGUSR1, on_report, NULL), evsignal_new(base, SIGTERM, on_end, NULL) };
    for (int i = 0; i < 2; i++) event_add(signals[i], NULL);
    puts("ready");
    event_base_dispatch(base);
    report();
    for (int i = 0; i < 2; i++) event_free(signals[i]);
    for (long i = 0; i < with.connections; i++) { if (all[i].io) bufferevent_free(all[i].io); event_free(all[i].timer); }
    free(all), free(letters);
    if (records) fclose(records);
    event_base_free(base);
    return 0;
}
