/* crowd PORT CONNECTIONS POSTURE [MODEL [tls]]: so many clients of a gateway that take a posture and stay in it. What they ask for is an answer of MODEL (m).
 * tls: over TLS, whatever the certificate.
 *
 *   idle      asked once and answered, then silent
 *   deaf      asks for a stream, with little room for it, and never reads
 *   heads     says a line of a head each second, never its end        (slowhttptest -H)
 *   bodies    says a byte of a body each second                       (-B)
 *   reading   asks for a stream and reads a few bytes each second     (-X)
 *   ranges    asks each second for a thousand ranges that overlap     (-R)
 *
 * Prints, a line each: `ready` when all stand so (or were ended before); `gone` when the other side has ended all of them; at SIGUSR1 and at SIGTERM, which ends it,
 * `report connections= open= closed= reset= first= last= s200= …`: how many are open, how many the other side closed or reset, the seconds from the connection to
 * its end of the first and the last of those, and how often each status was said. Nobody who was ended comes again. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAVE = 256 /* that connect at once */, STATUSES = 600, TEXT = 2048, ROOM = 4096 /* of who does not read */, SIP = 16, RANGES = 1000 };
enum posture { IDLE, DEAF, HEADS, BODIES, READING, RANGES_OF, POSTURES };
static const char *const names[POSTURES] = { "idle", "deaf", "heads", "bodies", "reading", "ranges" };

struct connection {
    int fd;                                 /* -1: not yet, or no more */
    SSL *ssl;                               /* NULL: plain */
    struct event *readable, *connected;
    double since;
    bool stands, under_way, shaking;        /* under_way: an answer is awaited; shaking: hands, by TLS */
    char text[TEXT]; size_t n, whole;       /* of the answer under way: its first bytes, how many came, how many there are; 0: not known */
};

static struct event_base *base;
static SSL_CTX *secure;
static struct connection *all;
static enum posture posture;
static int port, n_all, n_opened, n_stand, n_open, n_closed, n_reset;
static const char *model = "m";
static double first, last;
static long statuses[STATUSES];
static char opening[16 << 10];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(void)
{
    printf("report connections=%d open=%d closed=%d reset=%d first=%.2f last=%.2f", n_all, n_open, n_closed, n_reset, first, last);
    for (int i = 0; i < STATUSES; i++) if (statuses[i]) printf(" s%d=%ld", i, statuses[i]);
    putchar('\n');
}

/* ---- what they say ---- */

static void write_ranges(void)
{
    int n = sprintf(opening, "GET /v1/models HTTP/1.1\r\nHost: l\r\nRange: bytes=0-");
    for (int i = 0; i < RANGES; i++) n += sprintf(opening + n, ",5-%d", i);
    strcpy(opening + n, "\r\n\r\n");
}

static void write_opening(void)
{
    char body[256];
    bool stream = posture == DEAF || posture == READING, slow_head = posture == HEADS;
    if (posture == RANGES_OF) { write_ranges(); return; }
    int n = snprintf(body, sizeof body, "{\"model\":\"%.99s\",%s\"messages\":[{\"role\":\"user\",\"content\":\"What is it?\"}]}", model, stream ? "\"stream\":true," : "");
    if (posture == BODIES) n = 4096, strcpy(body, "{");
    snprintf(opening, sizeof opening, "POST /v1/chat/completions HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n");
    if (!slow_head) sprintf(opening + strlen(opening), "Content-Length: %d\r\n\r\n%s", n, body);
}

/* ---- their ends ---- */

static void open_more(void);

static void stand(struct connection *c)
{
    if (c->stands) return;
    c->stands = true;
    if (++n_stand == n_all) puts("ready");
    open_more();
}

static void give_up(struct connection *c)
{
    event_free(c->readable), event_free(c->connected);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
}

static void ended(struct connection *c, bool reset)
{
    double lasted = now() - c->since;
    ++*(reset ? &n_reset : &n_closed);
    if (n_closed + n_reset == 1 || lasted < first) first = lasted;
    if (lasted > last) last = lasted;
    give_up(c);
    n_open--;
    stand(c);
    if (n_closed + n_reset == n_all) puts("gone");
}

/* Of who does not read, or has not come to its end, the system alone knows. */
static void look_for_end(struct connection *c)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    if (!getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) && info.tcpi_state != TCP_ESTABLISHED) ended(c, info.tcpi_state == TCP_CLOSE);
}

/* ---- what they hear ---- */

static size_t length_of(const struct connection *c, size_t had)
{
    const char *end = memmem(c->text, had, "\r\n\r\n", 4), *length = memmem(c->text, had, "\r\ncontent-length: ", 18);
    return end && length && length < end ? (size_t)(end + 4 - c->text) + (size_t)atol(length + 18) : 0;
}

static void hear(struct connection *c, const char *bytes, size_t n)
{
    size_t had = c->n < TEXT ? c->n : TEXT, room = TEXT - had;
    memcpy(c->text + had, bytes, n < room ? n : room);
    if (c->n < 12 && c->n + n >= 12) {
        int status = atoi(c->text + 9);
        if (status > 0 && status < STATUSES) statuses[status]++;
    }
    c->n += n;
    if (!c->whole) c->whole = length_of(c, c->n < TEXT ? c->n : TEXT);
    if (!c->whole || c->n < c->whole) return;
    c->n = c->whole = 0;
    c->under_way = false;
    stand(c);
}

/* As recv and send, with or without TLS. */
static ssize_t over_tls(const struct connection *c, int n)
{
    if (n > 0) return n;
    int why = SSL_get_error(c->ssl, n);
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t receive(struct connection *c, char *bytes, size_t n) { return c->ssl ? over_tls(c, SSL_read(c->ssl, bytes, (int)n)) : recv(c->fd, bytes, n, 0); }
static ssize_t peek(struct connection *c, char *bytes, size_t n) { return c->ssl ? over_tls(c, SSL_peek(c->ssl, bytes, (int)n)) : recv(c->fd, bytes, n, MSG_PEEK); }
static ssize_t give(struct connection *c, const char *bytes, size_t n)
{
    return c->ssl ? over_tls(c, SSL_write(c->ssl, bytes, (int)n)) : send(c->fd, bytes, n, MSG_NOSIGNAL);
}

static void read_some(struct connection *c, size_t most)
{
    char bytes[16 << 10];
    ssize_t n = receive(c, bytes, most < sizeof bytes ? most : sizeof bytes);
    if (n > 0) hear(c, bytes, (size_t)n);
    else if (n == 0) ended(c, false);
    else if (errno != EAGAIN && errno != EINTR) ended(c, true);
}

static void shake(struct connection *c);

static void on_readable(evutil_socket_t fd, short what, void *self)
{
    struct connection *c = self;
    (void)fd, (void)what;
    if (c->shaking) { shake(c); return; }
    if (posture != DEAF && posture != READING) { read_some(c, SIZE_MAX); return; }
    ssize_t n = peek(c, c->text, 12);
    if (n < 0 && errno == EAGAIN) return;               /* what TLS says beside it */
    event_del(c->readable);
    if (posture == READING) { stand(c); return; }
    c->n = n > 0 ? (size_t)n : 0;
    if (c->n == 12) statuses[atoi(c->text + 9) % STATUSES]++;
    stand(c);
}

/* ---- what they do ---- */

static void say(struct connection *c, const char *bytes, size_t n)
{
    ssize_t sent = give(c, bytes, n);
    if (sent != (ssize_t)n && errno != EPIPE && errno != ECONNRESET) { perror("crowd: send"); exit(1); }
}

static void ask(struct connection *c)
{
    c->under_way = true;
    say(c, opening, strlen(opening));
}

static void act(struct connection *c)
{
    switch (posture) {
    case HEADS:     say(c, "X-More: of it\r\n", 15); break;
    case BODIES:    say(c, " ", 1); break;
    case READING:
        read_some(c, SIP);
        if (c->fd >= 0) look_for_end(c);
        break;
    case RANGES_OF: if (!c->under_way) ask(c); break;
    case DEAF:      look_for_end(c); break;
    default: break;
    }
}

static void on_second(evutil_socket_t fd, short what, void *self)
{
    (void)fd, (void)what, (void)self;
    for (int i = 0; i < n_all; i++) if (all[i].fd >= 0 && all[i].stands) act(&all[i]);
}

static void begin(struct connection *c)
{
    c->shaking = false;
    event_add(c->readable, NULL);
    ask(c);
    if (posture == HEADS || posture == BODIES) stand(c);
}

static void shake(struct connection *c)
{
    c->shaking = true;
    ssize_t n = over_tls(c, SSL_connect(c->ssl));
    if (n > 0) begin(c);
    else if (n == 0 || errno != EAGAIN) ended(c, true);
    else event_add(SSL_want_write(c->ssl) ? c->connected : c->readable, NULL);
}

static void on_connected(evutil_socket_t fd, short what, void *self)
{
    struct connection *c = self;
    int error = 0;
    socklen_t n = sizeof error;
    (void)what;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error) ended(c, true);
    else if (c->ssl) shake(c);
    else begin(c);
}

static void open_one(struct connection *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int room = ROOM;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) { perror("crowd: socket"); exit(1); }
    if (posture == DEAF || posture == READING) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    c->since = now();
    if (secure) SSL_set_fd(c->ssl = SSL_new(secure), c->fd);
    n_open++;
    c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    c->connected = event_new(base, c->fd, EV_WRITE, on_connected, c);
    event_add(c->connected, NULL);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) { perror("crowd: connect"); exit(1); }
}

static void open_more(void) { while (n_opened < n_all && n_opened - n_stand < WAVE) open_one(&all[n_opened++]); }

/* ---- beginning and end ---- */

static void on_report(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self, report(); }
static void on_end(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self, event_base_loopbreak(base); }

static bool understand(int argc, char **argv)
{
    if (argc < 4 || argc > 6 || (argc == 6 && strcmp(argv[5], "tls"))) return false;
    while (posture < POSTURES && strcmp(argv[3], names[posture])) posture++;
    port = atoi(argv[1]), n_all = atoi(argv[2]);
    if (argc >= 5) model = argv[4];
    if (argc == 6) secure = SSL_CTX_new(TLS_client_method());
    return posture < POSTURES && n_all > 0;
}

/* As many as it takes; beyond the system's bound for it only root may. */
static void take_descriptors(void)
{
    struct rlimit l;
    rlim_t need = (rlim_t)n_all + 100;
    if (getrlimit(RLIMIT_NOFILE, &l)) return;
    if (l.rlim_max < need) l.rlim_max = need;
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l)) fprintf(stderr, "crowd: may not open %llu descriptors: raise the bound (ulimit -Hn)\n", (unsigned long long)need);
}

int main(int argc, char **argv)
{
    if (!understand(argc, argv)) { fputs("usage: crowd PORT CONNECTIONS idle|deaf|heads|bodies|reading|ranges [MODEL [tls]]\n", stderr); return 2; }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    take_descriptors();
    write_opening();
    base = event_base_new();
    all = calloc((size_t)n_all, sizeof *all);
    for (int i = 0; i < n_all; i++) all[i].fd = -1;
    struct event *events[] = { evsignal_new(base, SIGUSR1, on_report, NULL), evsignal_new(base, SIGTERM, on_end, NULL), event_new(base, -1, EV_PERSIST, on_second, NULL) };
    for (int i = 0; i < 3; i++) event_add(events[i], i == 2 ? &(struct timeval){ 1, 0 } : NULL);
    open_more();
    event_base_dispatch(base);
    report();
    for (int i = 0; i < n_all; i++) if (all[i].fd >= 0) give_up(&all[i]);
    SSL_CTX_free(secure);
    for (int i = 0; i < 3; i++) event_free(events[i]);
    free(all);
    event_base_free(base);
    return 0;
}
