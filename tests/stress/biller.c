/* biller BOOKS [FATE=WEIGHT …] [seed=N] [port=N] [hangup=N] [counts=N] NAME=INPUT,CACHED,OUTPUT …: a provider, in the form of OpenAI's chat
 * completions, that keeps books of its own (books.h). For each request that arrived whole it draws what that really costs, anything that the request
 * allows (prompt tokens up to the bytes of the prompt and what a chat template may add, output up to max_tokens), writes it down, and then does to the
 * client what its fate says. It serves a target below /NAME/v1 for each NAME with prices (nano-USD per million tokens).
 *
 * Prints `listening on http://127.0.0.1:PORT`; at SIGTERM its sums as JSON, and ends. `biller BOOKS sums` prints those of a file. */
#include "books.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGETS = 8, UNCAPPED = 256, FRAME = 8, TEMPLATE = 450 /* tokens of a chat template: round a message, before all */, PAUSE_MOST = 60 /* ms */ };

struct target { char name[16]; int64_t input, cached, output; };
struct usage { int64_t prompt, cached, output; };
struct asked { struct target *target; bool stream, wants_usage; int64_t prompt_most, output_most; uint16_t key; const char *head, *body; size_t head_n, n; };
struct connection { struct bufferevent *io; struct event *pause; struct asked asked; struct usage told; enum fate fate; uint64_t number; int piece;
                    bool busy, counts; };

static struct event_base *base;
static struct books *books;
static struct target targets[TARGETS];
static int n_targets;
static uint64_t seed = 1;
static uint16_t port;
static int counts = 25;             /* of a hundred streams: how many tell usage with every event, as far as it has come */
static unsigned hangup = 200;        /* after one answer in so many the connection is closed; 0: never */
#define X(name, weight) weight,
static int weights[] = { FATES(X) };
#undef X
#define X(name, weight) #name,
static const char *const names[] = { FATES(X) };
#undef X

static uint64_t draw(void)      /* splitmix64, Vigna 2015 */
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static int64_t up_to(int64_t most) { return (int64_t)(draw() % (uint64_t)(most + 1)); }
static bool one_in(unsigned n) { return draw() % n == 0; }

/* ---- books ---- */

static int64_t cost(const struct target *t, struct usage u)
{
    __int128 sum = (__int128)(u.prompt - u.cached) * t->input + (__int128)u.cached * t->cached + (__int128)u.output * t->output;
    return (int64_t)((sum + 999999) / 1000000);
}

/* All, nothing and anything between; the limits are what a bound gets wrong. */
static int64_t any(int64_t most) { return one_in(8) ? most : one_in(8) ? 0 : up_to(most); }

static enum fate draw_fate(void)
{
    int sum = 0, i = 0;
    for (int j = 0; j < FATE_COUNT; j++) sum += weights[j];
    for (int left = (int)up_to(sum - 1); left >= weights[i]; i++) left -= weights[i];
    return (enum fate)i;
}

static void enter(struct connection *c)
{
    const struct asked *q = &c->asked;
    struct usage real = { .prompt = any(q->prompt_most), .output = any(q->output_most) };
    real.cached = one_in(4) ? up_to(real.prompt) : 0;
    c->fate = draw_fate();
    c->counts = up_to(99) < counts;
    c->told = real;
    if (c->fate == FATE_lie) {
        c->told.prompt += up_to(q->prompt_most - real.prompt);
        c->told.output += up_to(q->output_most - real.output);
    }
    bool free_of_charge = c->fate == FATE_busy || c->fate == FATE_overloaded, tells = c->fate == FATE_whole || c->fate == FATE_lie || c->fate == FATE_slow;
    if (books->n >= BOOKS_MOST) { fputs("biller: the books are full\n", stderr); exit(1); }
    struct book *b = &books->at[c->number = books->n];
    *b = (struct book){ .charge = free_of_charge ? 0 : cost(q->target, real), .claim = tells ? cost(q->target, c->told) : -1,
                        .most = cost(q->target, (struct usage){ .prompt = q->prompt_most, .output = q->output_most }), .key = q->key, .fate = (uint8_t)c->fate,
                        .target = (uint8_t)(q->target - targets) };
    const char *id = memmem(q->head, q->head_n, "\r\nx-lunette-request-id: ", 24);
    if (id) snprintf(b->id, sizeof b->id, "%.*s", (int)strcspn(id + 24, "\r"), id + 24);
    __atomic_store_n(&books->n, c->number + 1, __ATOMIC_RELEASE);
}

/* What whoever pays it has to reckon with, at least: what it claims; where it told nothing, all that it may have charged. */
static int64_t owed(const struct book *b) { return b->fate == FATE_busy || b->fate == FATE_overloaded ? 0 : b->claim >= 0 ? b->claim : b->most; }

static void print_sums(void)
{
    struct { int64_t charge, owed, n; } keys[BOOKS_KEYS] = {{0}};
    long fates[FATE_COUNT] = {0};
    int64_t charge = 0;
    for (uint64_t i = 0; i < books->n; i++) {
        const struct book *b = &books->at[i];
        int key = b->key < BOOKS_KEYS ? b->key : 0;
        charge += b->charge;
        fates[b->fate]++;
        keys[key].charge += b->charge, keys[key].owed += owed(b), keys[key].n++;
    }
    printf("{\"requests\":%llu,\"charged\":%lld,\"keys\":{", (unsigned long long)books->n, (long long)charge);
    for (int i = 0, first = 1; i < BOOKS_KEYS; i++) {
        if (!keys[i].n) continue;
        printf("%s\"%d\":{\"requests\":%lld,\"charged\":%lld,\"owed\":%lld}", first ? "" : ",", i, (long long)keys[i].n, (long long)keys[i].charge,
               (long long)keys[i].owed);
        first = 0;
    }
    printf("},\"fates\":{");
    for (int i = 0; i < FATE_COUNT; i++) printf("%s\"%s\":%ld", i ? "," : "", names[i], fates[i]);
    printf("}}\n");
}

/* ---- requests ---- */

static int64_t number_of(const char *text, size_t n, const char *name, int64_t otherwise)
{
    const char *at = memmem(text, n, name, strlen(name));
    return at ? atoll(at + strlen(name)) : otherwise;
}

static int64_t bytes_of_prompt(const char *body, size_t n)
{
    static const char mark[] = "\"content\":\"";
    int64_t sum = TEMPLATE;
    for (const char *end = body + n, *at = body; (at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)); ) {
        at += sizeof mark - 1;
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (!quote) break;
        sum += quote - at + FRAME;
        at = quote;
    }
    return sum;
}

static struct target *target_of(const char *head)
{
    const char *path = strchr(head, '/');
    for (int i = 0; i < n_targets && path; i++) {
        size_t n = strlen(targets[i].name);
        if (!strncmp(path + 1, targets[i].name, n) && path[n + 1] == '/') return &targets[i];
    }
    return NULL;
}

/* A whole request at the front of what came. */
static bool take_apart(char *text, size_t n, struct asked *q, size_t *length)
{
    char *end = memmem(text, n, "\r\n\r\n", 4), *at;
    if (!end) return false;
    *end = 0;
    at = strcasestr(text, "\r\ncontent-length:");
    size_t body_n = at ? (size_t)atol(at + 17) : 0;
    *end = '\r';
    *q = (struct asked){ .head = text, .head_n = (size_t)(end - text) + 2, .body = end + 4, .n = body_n };
    *length = q->head_n + 2 + body_n;
    if (n < *length) return false;
    q->target = target_of(text);
    q->stream = memmem(q->body, q->n, "\"stream\":true", 13) != NULL;
    q->wants_usage = memmem(q->body, q->n, "\"include_usage\":true", 20) != NULL;
    q->key = (uint16_t)number_of(q->body, q->n, "\"user\":\"k", 0);
    q->prompt_most = bytes_of_prompt(q->body, q->n);
    q->output_most = number_of(q->body, q->n, "\"max_tokens\":", UNCAPPED);
    return true;
}

/* ---- answers ---- */

static void put_usage(struct evbuffer *out, struct usage u)
{
    evbuffer_add_printf(out, ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,\"prompt_tokens_details\":{\"cached_tokens\":%lld}}",
                        (long long)u.prompt, (long long)u.output, (long long)(u.prompt + u.output), (long long)u.cached);
}

static void put_head(struct connection *c, struct evbuffer *out, int status, long length)
{
    evbuffer_add_printf(out, "HTTP/1.1 %d X\r\nx-request-id: b%llu\r\ncontent-type: %s\r\n", status, (unsigned long long)c->number,
                        length < 0 ? "text/event-stream" : "application/json");
    if (length < 0) evbuffer_add_printf(out, "transfer-encoding: chunked\r\n\r\n");
    else evbuffer_add_printf(out, "content-length: %ld\r\n\r\n", length);
}

/* The whole of an answer, or its first bytes. */
static void put_body(struct connection *c, int status, struct evbuffer *body, bool broken)
{
    struct evbuffer *out = evbuffer_new();
    put_head(c, out, status, (long)evbuffer_get_length(body));
    evbuffer_add_buffer(out, body);
    int64_t length = (int64_t)evbuffer_get_length(out);
    evbuffer_remove_buffer(out, bufferevent_get_output(c->io), (size_t)(broken ? up_to(length - 1) : length));
    evbuffer_free(out);
}

static void put_answer(struct connection *c, bool broken)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "{\"id\":\"b%llu\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"up\",\"choices\":[{\"index\":0,\"message\":"
                        "{\"role\":\"assistant\",\"content\":\"one two three\"},\"finish_reason\":\"stop\"}]", (unsigned long long)c->number);
    if (c->fate != FATE_silent) put_usage(body, c->told);
    else if (one_in(2)) evbuffer_add_printf(body, ",\"usage\":null");
    evbuffer_add_printf(body, "}");
    put_body(c, 200, body, broken);
    evbuffer_free(body);
}

static void put_event(struct connection *c, const char *choices, const struct usage *usage)
{
    struct evbuffer *out = bufferevent_get_output(c->io), *event = evbuffer_new();
    evbuffer_add_printf(event, "data: {\"id\":\"b%llu\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"up\",\"choices\":[%s]",
                        (unsigned long long)c->number, choices);
    if (usage) put_usage(event, *usage);
    evbuffer_add_printf(event, "}\n\n");
    evbuffer_add_printf(out, "%zx\r\n", evbuffer_get_length(event));
    evbuffer_add_buffer(out, event);
    evbuffer_add_printf(out, "\r\n");
    evbuffer_free(event);
}

enum { PIECES = 3 };

static void put_piece(struct connection *c)
{
    static const char *const pieces[PIECES - 1] = { "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"one\"}}",
                                                    "{\"index\":0,\"delta\":{\"content\":\" two three\"}}" };
    struct evbuffer *out = bufferevent_get_output(c->io);
    bool tells = c->fate != FATE_silent && c->asked.wants_usage;
    struct usage until_now = { c->told.prompt, c->told.cached, c->told.output * (c->piece + 1) / PIECES };
    if (!c->piece) put_head(c, out, 200, -1);
    if (c->piece < PIECES - 1) put_event(c, pieces[c->piece], tells && c->counts ? &until_now : NULL);
    else {
        put_event(c, "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", NULL);
        if (tells) put_event(c, "", &c->told);
        evbuffer_add_printf(out, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    }
    c->piece++;
}

/* ---- connections ---- */

static void end_connection(struct connection *c)
{
    bufferevent_free(c->io);
    event_free(c->pause);
    free(c);
}

static void reset(struct connection *c)
{
    setsockopt(bufferevent_getfd(c->io), SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    end_connection(c);
}

static void on_written(struct bufferevent *io, void *self)
{
    struct connection *c = self;
    (void)io;
    if (c->fate == FATE_reset) reset(c);
    else end_connection(c);
}

/* Once all that was said is with the other side. */
static void end_when_written(struct connection *c)
{
    bufferevent_disable(c->io, EV_READ);
    bufferevent_setcb(c->io, NULL, on_written, NULL, c);
    if (!evbuffer_get_length(bufferevent_get_output(c->io))) on_written(c->io, c);
}

static void look(struct connection *);

static void be_free(struct connection *c)
{
    c->busy = false;
    if (hangup && one_in(hangup)) end_when_written(c);        /* as idle connections end: nobody is told */
    else look(c);
}

static void pause_a_little(struct connection *c)
{
    struct timeval t = { 0, (1 + up_to(PAUSE_MOST - 1)) * 1000 };
    evtimer_add(c->pause, &t);
}

static void on_pause(evutil_socket_t fd, short what, void *self)
{
    struct connection *c = self;
    (void)fd, (void)what;
    if (!c->asked.stream) put_answer(c, false);
    else {
        put_piece(c);
        if (c->piece < PIECES) { pause_a_little(c); return; }
    }
    be_free(c);
}

static void say(struct connection *c, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%s", text);
    put_body(c, status, body, false);
    evbuffer_free(body);
    be_free(c);
}

static void break_off(struct connection *c)
{
    if (c->asked.stream) for (int pieces = (int)up_to(PIECES - 1); pieces--; ) put_piece(c);
    else put_answer(c, true);
    end_when_written(c);
}

static void act(struct connection *c)
{
    switch (c->fate) {
    case FATE_slow: pause_a_little(c); return;
    case FATE_cut: break_off(c); return;
    case FATE_reset: if (one_in(2)) reset(c); else break_off(c); return;
    case FATE_never: return;
    case FATE_error: say(c, 500, "{\"error\":{\"message\":\"It broke.\",\"type\":\"server_error\"}}"); return;
    case FATE_bad: say(c, 200, "one two three"); return;
    case FATE_busy: say(c, 429, "{\"error\":{\"message\":\"Too many.\",\"type\":\"rate_limit_error\"}}"); return;
    case FATE_overloaded: say(c, 503, "{\"error\":{\"message\":\"Too much.\",\"type\":\"overloaded\"}}"); return;
    default: break;
    }
    if (!c->asked.stream) put_answer(c, false);
    else while (c->piece < PIECES) put_piece(c);
    be_free(c);
}

static void look(struct connection *c)
{
    struct evbuffer *in = bufferevent_get_input(c->io);
    size_t n = evbuffer_get_length(in), length;
    if (c->busy || !n || !take_apart((char *)evbuffer_pullup(in, -1), n, &c->asked, &length)) return;
    c->busy = true;
    c->piece = 0;
    if (c->asked.target) enter(c);
    evbuffer_drain(in, length);
    if (c->asked.target) act(c);
    else say(c, 404, "{\"error\":{\"message\":\"Nothing is here.\"}}");
}

static void on_read(struct bufferevent *io, void *self) { (void)io, look(self); }
static void on_event(struct bufferevent *io, short what, void *self) { (void)io, (void)what, end_connection(self); }

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int n, void *self)
{
    struct connection *c = calloc(1, sizeof *c);
    (void)listener, (void)from, (void)n, (void)self;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    c->io = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->pause = evtimer_new(base, on_pause, c);
    bufferevent_setcb(c->io, on_read, NULL, on_event, c);
    bufferevent_enable(c->io, EV_READ | EV_WRITE);
}

static void on_end(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self, event_base_loopbreak(base); }

/* ---- the command line ---- */

static bool take_argument(const char *text)
{
    const char *is = strchr(text, '=');
    if (!is) return false;
    size_t n = (size_t)(is - text);
    for (int i = 0; i < FATE_COUNT; i++) if (strlen(names[i]) == n && !strncmp(text, names[i], n)) { weights[i] = atoi(is + 1); return true; }
    if (!strncmp(text, "seed=", 5)) { seed = strtoull(is + 1, NULL, 10); return true; }
    if (!strncmp(text, "hangup=", 7)) { hangup = (unsigned)atoi(is + 1); return true; }
    if (!strncmp(text, "counts=", 7)) { counts = atoi(is + 1); return true; }
    if (!strncmp(text, "port=", 5)) { port = (uint16_t)atoi(is + 1); return true; }
    long long input, cached, output;
    if (n_targets == TARGETS || n >= sizeof targets->name || sscanf(is + 1, "%lld,%lld,%lld", &input, &cached, &output) != 3) return false;
    struct target *t = &targets[n_targets++];
    *t = (struct target){ .input = input, .cached = cached, .output = output };
    memcpy(t->name, text, n);
    return true;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    if (argc < 3) { fputs("usage: biller BOOKS [FATE=WEIGHT …] [seed=N] [port=N] [hangup=N] [counts=N] NAME=INPUT,CACHED,OUTPUT …, or biller BOOKS sums\n", stderr); return 2; }
    if (!(books = books_open(argv[1]))) { perror(argv[1]); return 1; }
    if (!strcmp(argv[2], "sums")) { print_sums(); return 0; }
    for (int i = 2; i < argc; i++) if (!take_argument(argv[i])) { fprintf(stderr, "biller: what is %s?\n", argv[i]); return 2; }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    at.sin_port = htons(port);
    seed += books->n;           /* goes on elsewhere after a restart */
    base = event_base_new();
    unsigned how = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE;
    struct evconnlistener *listener = evconnlistener_new_bind(base, on_accept, NULL, how, 4096, (struct sockaddr *)&at, sizeof at);
    struct event *end = evsignal_new(base, SIGTERM, on_end, NULL);
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&at, &n) || event_add(end, NULL)) { perror("biller: listen"); return 1; }
    printf("listening on http://127.0.0.1:%d\n", ntohs(at.sin_port));
    event_base_dispatch(base);
    print_sums();
    return 0;
}
