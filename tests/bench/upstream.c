/* upstream [-port PORT] [-tls CERTIFICATE KEY] [-close]: the provider that every gateway of a measurement talks to. One thread, HTTP/1.1, fixed answers, on a port
 * of 127.0.0.1 that the system chooses; says `listening on PORT`.
 *
 * A POST with "stream":true gets an event stream: "max_tokens" events, one every "seed" milliseconds, the first with the head, the last with usage and [DONE]. Any
 * other request gets a whole answer of some 600 bytes. -close: a connection ends after its answer, and is announced to. At SIGUSR1 it says what it has seen:
 * `seen requests= connections= resumed=` (connections whose TLS session was resumed). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 128 * 1024 };

struct connection {
    int fd;
    SSL *tls;
    bool shaken, queued;
    long left;                          /* events still to send */
    double due, interval;
    struct connection *next;
    size_t n;
    char text[ROOM + 1];
};

static int ep;
static bool closing;
static volatile sig_atomic_t asked;
static SSL_CTX *context;
static char whole[2048], head[512], event[1024], last[2048];
static size_t whole_n, head_n, event_n, last_n;
static struct connection *waiting;      /* streams, by when their next event is due */
static long requests, connections, resumed;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- answers ---- */

#define WORDS "The answer is long enough to look like a real one and short enough to be cheap. It goes on for a few sentences, says nothing of any use, and " \
    "stops. Then it starts once more, so that the whole body comes to about six hundred bytes, which is what a short answer of a chat model takes on the wire " \
    "when it is sent in one piece."
#define ID "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion%s\",\"created\":1700000000,\"model\":\"bench-model\","
#define USAGE "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":60,\"total_tokens\":260}}"

static void prepare(void)
{
    char body[1024];
    const char *close = closing ? "Connection: close\r\n" : "";
    int n = snprintf(body, sizeof body, ID "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" WORDS "\"},\"finish_reason\":\"stop\"}]," USAGE, "");
    whole_n = (size_t)snprintf(whole, sizeof whole, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req-bench\r\n%sContent-Length: %d\r\n\r\n%s", close, n, body);
    n = snprintf(body, sizeof body, "data: " ID "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}]}\n\n", ".chunk");
    event_n = (size_t)snprintf(event, sizeof event, "%x\r\n%s\r\n", (unsigned)n, body);
    head_n = (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: req-bench\r\n%sTransfer-Encoding: chunked\r\n\r\n", close);
    n = snprintf(body, sizeof body, "data: " ID "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: " ID "\"choices\":[]," USAGE "\n\ndata: [DONE]\n\n",
                 ".chunk", ".chunk");
    last_n = (size_t)snprintf(last, sizeof last, "%x\r\n%s\r\n0\r\n\r\n", (unsigned)n, body);
}

/* ---- bytes ---- */

static void drop(struct connection *c)
{
    if (c->tls) {
        if (c->shaken) SSL_shutdown(c->tls);
        SSL_free(c->tls);
    }
    c->tls = NULL;
    close(c->fd);
    c->fd = -1;
    if (!c->queued) free(c);
}

/* Answers are small: one that does not fit into the socket's buffer is a mistake of the measurement. */
static bool put(struct connection *c, const char *text, size_t n)
{
    return c->tls ? SSL_write(c->tls, text, (int)n) == (int)n : write(c->fd, text, n) == (ssize_t)n;
}

static ssize_t get(struct connection *c)
{
    if (!c->tls) return read(c->fd, c->text + c->n, ROOM - c->n);
    int r = SSL_read(c->tls, c->text + c->n, (int)(ROOM - c->n));
    if (r > 0) return r;
    errno = SSL_get_error(c->tls, r) == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
    return errno == EAGAIN ? -1 : 0;
}

/* ---- requests ---- */

static void enqueue(struct connection *c, double due)
{
    struct connection **at = &waiting;
    while (*at && (*at)->due <= due) at = &(*at)->next;
    c->due = due;
    c->next = *at;
    c->queued = true;
    *at = c;
}

static long number(const char *body, const char *name, long otherwise)
{
    const char *at = strstr(body, name);
    return at ? atol(at + strlen(name)) : otherwise;
}

/* The whole request at the beginning of the buffer: its length, 0 while there is more to come. */
static size_t whole_request(struct connection *c, const char **body)
{
    char *end = memmem(c->text, c->n, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    const char *length = strcasestr(c->text, "\r\ncontent-length:");
    size_t n = (size_t)(end + 4 - c->text) + (length ? strtoul(length + 17, NULL, 10) : 0);
    *end = '\r';
    *body = end + 4;
    return n <= c->n ? n : 0;
}

static bool answer(struct connection *c, const char *body)
{
    requests++;
    if (!strstr(body, "\"stream\":true")) return put(c, whole, whole_n);
    c->left = number(body, "\"max_tokens\":", 60) - 1;
    c->interval = (double)number(body, "\"seed\":", 25) * 1e3;
    char first[sizeof head + sizeof event];
    memcpy(first, head, head_n);
    memcpy(first + head_n, event, event_n);
    if (!put(c, first, head_n + event_n)) return false;
    enqueue(c, now() + c->interval);
    return true;
}

/* False: the connection is to go. */
static bool serve(struct connection *c)
{
    const char *body;
    size_t n;
    while (!c->left && (n = whole_request(c, &body))) {
        char after = c->text[n];
        c->text[n] = 0;
        if (!answer(c, body)) return false;
        c->text[n] = after;
        c->n -= n;
        memmove(c->text, c->text + n, c->n);
        if (closing && !c->left) return false;
    }
    return c->n < ROOM;
}

static bool step(struct connection *c)
{
    bool end = --c->left == 0;
    if (!put(c, end ? last : event, end ? last_n : event_n)) return false;
    if (!end) enqueue(c, c->due + c->interval);
    return !end || (!closing && serve(c));
}

static void streams(void)
{
    double t = now();
    for (struct connection *c; (c = waiting) && c->due <= t;) {
        waiting = c->next;
        c->queued = false;
        if (c->fd < 0) free(c);
        else if (!step(c)) drop(c);
    }
}

/* ---- connections ---- */

static void welcome(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = malloc(sizeof *c);
        memset(c, 0, offsetof(struct connection, text));
        c->fd = fd;
        c->shaken = !context;
        if (context && (c->tls = SSL_new(context))) {
            SSL_set_fd(c->tls, fd);
            SSL_set_accept_state(c->tls);
        }
        connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
    }
}

static bool shake(struct connection *c)
{
    int r = SSL_do_handshake(c->tls);
    c->shaken = r == 1;
    if (c->shaken && SSL_session_reused(c->tls)) resumed++;
    return c->shaken || SSL_get_error(c->tls, r) == SSL_ERROR_WANT_READ;
}

/* False: the connection is to go. */
static bool readable(struct connection *c)
{
    if (!c->shaken && !shake(c)) return false;
    if (!c->shaken) return true;
    for (ssize_t r;;) {
        if ((r = get(c)) < 0 && errno == EAGAIN) return true;
        if (r <= 0) return false;
        c->n += (size_t)r;
        c->text[c->n] = 0;
        if (!serve(c)) return false;
        if (!c->tls || !SSL_has_pending(c->tls)) return true;
    }
}

static void run(int listener)
{
    struct epoll_event ev[256];
    for (;;) {
        double wait = waiting ? waiting->due - now() : 1e6;
        if (wait < 0) wait = 0;
        int n = epoll_pwait2(ep, ev, 256, &(struct timespec){ (time_t)(wait / 1e6), (long)(wait * 1e3) % 1000000000L }, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = ev[i].data.ptr;
            if (!c) welcome(listener);
            else if (!readable(c)) drop(c);
        }
        streams();
        if (!asked) continue;
        asked = 0;
        printf("seen requests=%ld connections=%ld resumed=%ld\n", requests, connections, resumed);
    }
}

/* ---- start ---- */

static void ask(int sig) { (void)sig; asked = 1; }

static void use_tls(const char *certificate, const char *key)
{
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "upstream: cannot use %s with %s\n", certificate, key);
        exit(1);
    }
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
}

static int listen_on(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    socklen_t n = sizeof at;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, n) || listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&at, &n)) { perror("upstream: listen"); exit(1); }
    printf("listening on %d\n", ntohs(at.sin_port));
    return fd;
}

int main(int argc, char **argv)
{
    int port = 0;
    struct rlimit files;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-close")) closing = true;
        else if (!strcmp(argv[i], "-port") && i + 1 < argc) port = atoi(argv[++i]);
        else if (!strcmp(argv[i], "-tls") && i + 2 < argc) { use_tls(argv[i + 1], argv[i + 2]); i += 2; }
        else { fputs("upstream [-port PORT] [-tls CERTIFICATE KEY] [-close]\n", stderr); return 2; }
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = ask }, NULL);
    prepare();
    ep = epoll_create1(0);
    int listener = listen_on(port);
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN });
    run(listener);
}
