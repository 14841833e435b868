/* The client side on real sockets of 127.0.0.1: a server and its clients on one thread and one event base, so that each
 * test runs the loop until what it waits for has happened. */
#include "base/alloc.h"
#include "state/snapshot.h"
#include "wire/listen.h"
#include "wire/server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a client ---- */

struct client {
    int fd;
    struct event *readable;
    struct lun_buf got;
    bool fin, reset, deaf;          /* deaf: does not read */
    size_t sipped;
};

static struct lun_reactor *reactor;

static void on_answer(evutil_socket_t fd, short what, void *self)
{
    struct client *c = self;
    (void)what;
    ssize_t n = read(fd, lun_buf_space(&c->got, 65536), 65536);
    if (n > 0) { c->got.n += (size_t)n; return; }
    if (n < 0 && errno == EAGAIN) return;
    if (n == 0) c->fin = true; else c->reset = true;
    event_del(c->readable);
}

static void hear(struct client *c, bool yes)
{
    c->deaf = !yes;
    if (yes) event_add(c->readable, NULL); else event_del(c->readable);
}

static struct client *join_from(int port, int receive_buffer)
{
    struct client *c = lun_zalloc(sizeof *c);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->readable = event_new(reactor->base, c->fd, EV_READ | EV_PERSIST, on_answer, c);
    hear(c, true);
    return c;
}

static void say_bytes(struct client *c, const char *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) { event_base_loop(reactor->base, EVLOOP_NONBLOCK); continue; }
        assert_true(sent > 0);
        bytes += sent;
        n -= (size_t)sent;
    }
}

static void say(struct client *c, const char *text) { say_bytes(c, text, strlen(text)); }

static void leave(struct client *c, bool reset)
{
    if (reset) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    event_free(c->readable);
    close(c->fd);
    lun_buf_free(&c->got);
    free(c);
}

static bool has(struct client *c, const char *text) { return strstr(lun_buf_text(&c->got), text) != NULL; }
static void forget(struct client *c) { c->got.n = 0; }

/* ---- a world: one server whose handler does what the path says ---- */

struct world {
    struct lun_server *server;
    const struct lun_server_counts *counts;
    int port;
    struct lun_buf log;             /* "POST /path 5:hello\n" for each request */
    struct lun_exchange *open[64]; int n_open;      /* of paths that begin with /wait */
    int gone, full, room, judged, drained;
    void *gone_user;
    bool refuse_all, end_when_full;
    struct lun_buf kept;
    struct lun_server_shared shared;
};

static const struct lun_pair plain[] = { { "content-type", "text/plain" } };

static void answer(struct lun_exchange *x, int status, const char *text)
{
    lun_exchange_head(x, status, plain, 1, (int64_t)strlen(text));
    lun_exchange_bytes(x, text, strlen(text));
    lun_exchange_end(x, true);
}

static void on_request(void *self, struct lun_exchange *x, const struct lun_http_request *q, const char *body, size_t n)
{
    struct world *w = self;
    lun_buf_printf(&w->log, "%.*s %.*s %zu:%.*s\n", (int)q->method.n, q->method.at, (int)q->path.n, q->path.at, n, n < 50 ? (int)n : 50, body);
    lun_exchange_set_user(x, w);
    if (q->path.n >= 5 && !memcmp(q->path.at, "/wait", 5)) { w->open[w->n_open++] = x; return; }
    if (lun_slice_is(q->path, "/keep")) lun_exchange_keep(x, &w->kept);
    if (lun_slice_is(q->path, "/peer")) { answer(x, 200, lun_exchange_peer(x)); return; }
    if (lun_slice_is(q->path, "/empty")) { lun_exchange_head(x, 204, NULL, 0, 0); lun_exchange_end(x, true); return; }
    if (lun_slice_is(q->path, "/echo")) {
        lun_exchange_head(x, 200, plain, 1, (int64_t)n);
        lun_exchange_bytes(x, body, n);
        lun_exchange_end(x, true);
        return;
    }
    char text[100];
    snprintf(text, sizeof text, "this is %.*s", (int)(q->path.n < 50 ? q->path.n : 50), q->path.at);
    answer(x, 200, text);
}

static bool on_judge(void *self, struct lun_exchange *x, const struct lun_http_request *q)
{
    struct world *w = self;
    w->judged++;
    if (!w->refuse_all) return true;
    assert_non_null(lun_http_find(q, "host"));
    answer(x, 401, "no key");
    return false;
}

static void on_gone(void *user)
{
    struct world *w = user;
    w->gone++;
    w->gone_user = user;
}

static void on_full(void *user, bool full)
{
    struct world *w = user;
    if (full) w->full++; else w->room++;
    if (!full && w->end_when_full) lun_exchange_end(w->open[0], true);
}

static void on_drained(void *arg) { ((struct world *)arg)->drained++; }

static int send_buffer;             /* of connections of the next world; 0: as the system has it */

static struct world *world_with(struct lun_server_options o)
{
    struct world *w = lun_zalloc(sizeof *w);
    struct lun_server_handler h = { .self = w, .request = on_request, .judge = on_judge, .gone = on_gone, .full = on_full };
    char error[256];
    int fd;
    assert_true(lun_listen("127.0.0.1:0", 1, &fd, error));
    if (send_buffer) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    w->port = lun_listen_port(fd);
    assert_true(w->port > 0);
    w->shared = o.shared ? *o.shared : (struct lun_server_shared){0};
    o.shared = &w->shared;
    reactor = lun_reactor_new(NULL);
    w->server = lun_server_new(reactor, fd, &h, &o);
    w->counts = lun_server_counts(w->server);
    alarm(20);
    return w;
}
static struct world *world(void) { return world_with((struct lun_server_options){0}); }

static void end_of(struct world *w)
{
    lun_reactor_enter(reactor);
    lun_server_free(w->server);
    lun_reactor_leave(reactor);
    assert_int_equal(w->shared.connections, 0);
    assert_int_equal(w->shared.buffered, 0);
    lun_reactor_free(reactor);
    lun_buf_free(&w->log);
    lun_buf_free(&w->kept);
    free(w);
    alarm(0);
}

/* Runs the loop until it is so; the alarm ends a test that waits in vain. */
#define UNTIL(condition) do { while (!(condition)) event_base_loop(reactor->base, EVLOOP_ONCE); } while (0)
/* Runs what the loop has to do now; for "and nothing else happens". */
static void settle(void) { for (int i = 0; i < 20; i++) event_base_loop(reactor->base, EVLOOP_NONBLOCK); }
/* A function of the server, said from where the rules want it. */
#define WITHIN(call) do { lun_reactor_enter(reactor); call; lun_reactor_leave(reactor); } while (0)

static struct client *join(struct world *w) { return join_from(w->port, 0); }

static int count(struct client *c, const char *text)
{
    int n = 0;
    for (const char *p = lun_buf_text(&c->got); (p = strstr(p, text)); p += strlen(text)) n++;
    return n;
}

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- requests ---- */

static void a_connection_serves_one_request_after_the_other(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    for (int i = 0; i < 3; i++) {
        forget(c);
        say(c, GET("/a"));
        UNTIL(has(c, "this is /a"));
        assert_true(has(c, "HTTP/1.1 200 OK\r\n"));
        assert_true(has(c, "\r\ncontent-type: text/plain\r\n"));
        assert_true(has(c, "\r\ncontent-length: 10\r\n"));
        assert_true(has(c, "\r\ndate: ") && has(c, " GMT\r\n"));
        assert_false(has(c, "connection:"));
    }
    assert_int_equal(w->counts->accepted, 1);
    assert_int_equal(w->counts->requests, 3);
    assert_int_equal(w->counts->open, 1);
    leave(c, false);
    UNTIL(w->counts->open == 0);
    assert_int_equal(w->gone, 0);
    end_of(w);
}

static void requests_sent_ahead_are_answered_in_order(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/1") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/3") GET("/4") GET("/5"));
    UNTIL(has(c, "this is /5"));
    const char *text = lun_buf_text(&c->got), *at = text;
    static const char *const order[] = { "this is /1", "hello", "this is /3", "this is /4", "this is /5" };
    for (int i = 0; i < 5; i++) { at = strstr(at, order[i]); assert_non_null(at); }
    assert_string_equal(lun_buf_text(&w->log), "GET /1 0:\nPOST /echo 5:hello\nGET /3 0:\nGET /4 0:\nGET /5 0:\n");
    leave(c, false);
    end_of(w);
}

static void a_request_sent_ahead_waits_for_the_one_before(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait") GET("/2"));
    UNTIL(w->n_open == 1);
    settle();
    say(c, GET("/3"));
    settle();
    assert_string_equal(lun_buf_text(&w->log), "GET /wait 0:\n");
    WITHIN(answer(w->open[0], 200, "late"));
    UNTIL(has(c, "this is /3"));
    assert_true(strstr(c->got.at, "late") < strstr(c->got.at, "this is /2"));
    assert_string_equal(lun_buf_text(&w->log), "GET /wait 0:\nGET /2 0:\nGET /3 0:\n");
    leave(c, false);
    end_of(w);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    const char *text = "\r\nPOST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: u\r\n\r\n"
                       "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nbye";
    for (const char *p = text; *p; p++) { say_bytes(c, p, 1); event_base_loop(reactor->base, EVLOOP_NONBLOCK); }
    UNTIL(has(c, "hello world") && has(c, "bye"));
    assert_string_equal(lun_buf_text(&w->log), "POST /echo 11:hello world\nPOST /echo 3:bye\n");
    leave(c, false);
    end_of(w);
}

static void a_chunked_body_is_handed_over_decoded_and_what_follows_is_the_next_request(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" GET("/next"));
    UNTIL(has(c, "this is /next"));
    assert_string_equal(lun_buf_text(&w->log), "POST /echo 11:hello world\nGET /next 0:\n");
    assert_int_equal(w->judged, 0);
    leave(c, false);
    end_of(w);
}

static char *letters(size_t n)
{
    char *text = lun_alloc(n + 1);
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + i % 23);
    text[n] = 0;
    return text;
}

static void a_large_body_comes_through_whole(void **state)
{
    (void)state;
    struct world *w = world();
    size_t n = 3000001;
    char *text = letters(n), head[200];
    for (int chunked = 0; chunked < 2; chunked++) {
        struct client *c = join(w);
        if (chunked) snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
        else snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
        say(c, head);
        for (size_t at = 0; at < n; at += 70000) {
            size_t part = n - at < 70000 ? n - at : 70000;
            if (chunked) { snprintf(head, sizeof head, "%zx\r\n", part); say(c, head); }
            say_bytes(c, text + at, part);
            if (chunked) say(c, "\r\n");
        }
        if (chunked) say(c, "0\r\n\r\n");
        UNTIL(has(c, "\r\n\r\n") && c->got.n >= (size_t)(strstr(c->got.at, "\r\n\r\n") + 4 - c->got.at) + n);
        assert_memory_equal(strstr(c->got.at, "\r\n\r\n") + 4, text, n);
        leave(c, false);
        UNTIL(w->counts->open == 0);
        assert_int_equal(w->shared.buffered, 0);
    }
    free(text);
    end_of(w);
}

static void the_body_can_be_kept_beyond_the_exchange(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "POST /keep HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/next"));
    UNTIL(has(c, "this is /next"));
    assert_memory_equal(w->kept.at + w->kept.n - 5, "hello", 5);
    leave(c, false);
    end_of(w);
}

static void the_peer_and_the_beginning_are_known(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/peer"));
    UNTIL(has(c, "\r\n\r\n127.0.0.1"));
    lun_us before = lun_clock_now();
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    assert_true(lun_exchange_started(w->open[0]) >= before && lun_exchange_started(w->open[0]) <= lun_clock_now());
    leave(c, false);
    end_of(w);
}

/* ---- answers ---- */

static void head_gets_the_head_alone(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "HEAD /a HTTP/1.1\r\n" HOST "\r\n" "HEAD /wait HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, NULL, 0, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(w->open[0], "secret", 6), lun_exchange_end(w->open[0], true)));
    say(c, GET("/next"));
    UNTIL(has(c, "this is /next"));
    assert_true(has(c, "content-length: 10\r\n"));
    assert_true(has(c, "transfer-encoding: chunked\r\n"));
    assert_false(has(c, "this is /a") || has(c, "secret") || has(c, "\r\n0\r\n"));
    leave(c, false);
    end_of(w);
}

static void an_answer_without_content_has_no_length(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/empty") GET("/next"));
    UNTIL(has(c, "this is /next"));
    assert_true(has(c, "HTTP/1.1 204 No Content\r\n"));
    assert_int_equal(count(c, "content-length"), 1);
    leave(c, false);
    end_of(w);
}

static void a_stream_is_chunked_and_ends_with_the_last_chunk(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(w->open[0], "hello", 5)));
    UNTIL(has(c, "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    WITHIN((lun_exchange_bytes(w->open[0], "", 0), lun_exchange_bytes(w->open[0], "0123456789abcdef", 16), lun_exchange_end(w->open[0], true)));
    UNTIL(has(c, "hello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"));
    say(c, GET("/next"));
    UNTIL(has(c, "this is /next"));
    leave(c, false);
    end_of(w);
}

static void a_torn_stream_ends_without_the_last_chunk(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait") GET("/next"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(w->open[0], "hello", 5), lun_exchange_end(w->open[0], false)));
    UNTIL(c->fin || c->reset);
    assert_true(c->fin);
    assert_true(has(c, "5\r\nhello\r\n"));
    assert_false(has(c, "0\r\n\r\n"));
    assert_int_equal(w->counts->requests, 1);
    assert_int_equal(w->gone, 0);
    leave(c, false);
    UNTIL(w->counts->open == 0);
    end_of(w);
}

static void an_answer_shorter_than_its_length_closes(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait") GET("/next"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, 10), lun_exchange_bytes(w->open[0], "hello", 5), lun_exchange_end(w->open[0], true)));
    UNTIL(c->fin);
    assert_true(has(c, "content-length: 10") && has(c, "\r\n\r\nhello"));
    assert_false(has(c, "next"));
    leave(c, false);
    end_of(w);
}

static void an_answer_is_never_longer_than_its_length(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait") GET("/next"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, 5), lun_exchange_bytes(w->open[0], "hello, world", 12), lun_exchange_end(w->open[0], true)));
    UNTIL(has(c, "this is /next"));
    assert_true(has(c, "helloHTTP/1.1 200"));
    leave(c, false);
    end_of(w);
}

static void an_end_without_a_head_closes_without_a_word(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_bytes(w->open[0], "hello", 5), lun_exchange_end(w->open[0], true)));
    UNTIL(c->fin);
    assert_int_equal(c->got.n, 0);
    leave(c, false);
    end_of(w);
}

static void trailers_are_sent_to_those_who_ask(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    static const struct lun_pair trailers[] = { { "x-cost", "0.5" }, { "x-bad", "a\r\nb: c" }, { "content-length", "5" } };
    say(c, "GET /wait HTTP/1.1\r\n" HOST "TE: trailers\r\n\r\n" GET("/wait"));
    for (int i = 0; i < 2; i++) {
        UNTIL(w->n_open == i + 1);
        struct lun_exchange *x = w->open[i];
        WITHIN((lun_exchange_head(x, 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(x, "hi", 2), lun_exchange_trailers(x, trailers, 3), lun_exchange_end(x, true)));
    }
    UNTIL(count(c, "0\r\n") == 2 && has(c, "2\r\nhi\r\n0\r\n\r\n"));
    assert_true(has(c, "2\r\nhi\r\n0\r\nx-cost: 0.5\r\nx-bad: a  b: c\r\n\r\nHTTP/1.1 200"));
    leave(c, false);
    end_of(w);
}

static void no_header_can_break_out_of_its_line(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    static const struct lun_pair wild[] = { { "x-a", "1\r\nx-evil: 2\n\tb" }, { "x b", "3" }, { "x-c\r\nx-evil", "4" }, { "", "5" },
        { "Content-Length", "99" }, { "transfer-encoding", "chunked" }, { "Connection", "close" }, { "x-last", "6" } };
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, wild, 8, 2), lun_exchange_bytes(w->open[0], "ok", 2), lun_exchange_end(w->open[0], true)));
    UNTIL(has(c, "\r\n\r\nok"));
    assert_true(has(c, "\r\nx-a: 1  x-evil: 2 \tb\r\nx-last: 6\r\ncontent-length: 2\r\n\r\nok"));
    leave(c, false);
    end_of(w);
}

static void an_old_client_gets_a_stream_that_ends_with_the_connection(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "GET /wait HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(w->n_open);
    WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(w->open[0], "hello", 5), lun_exchange_end(w->open[0], true)));
    UNTIL(c->fin);
    assert_true(has(c, "connection: close\r\n\r\nhello"));
    assert_false(has(c, "chunked"));
    leave(c, false);
    end_of(w);
}

static void an_old_client_is_kept_only_if_it_asks(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(has(c, "this is /1"));
    assert_true(has(c, "connection: keep-alive\r\n"));
    say(c, "GET /2 HTTP/1.0\r\n\r\n" GET("/3"));
    UNTIL(c->fin);
    assert_true(has(c, "this is /2") && has(c, "connection: close\r\n"));
    assert_false(has(c, "this is /3"));
    leave(c, false);
    end_of(w);
}

static void a_client_that_asks_to_close_gets_its_answer_and_the_end(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "GET /1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" GET("/2"));
    UNTIL(c->fin);
    assert_true(has(c, "this is /1") && has(c, "connection: close\r\n"));
    assert_false(has(c, "this is /2"));
    leave(c, false);
    UNTIL(w->counts->open == 0);
    end_of(w);
}

static void a_client_that_shuts_its_side_after_asking_still_gets_what_is_answered_at_once(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/1") GET("/2"));
    shutdown(c->fd, SHUT_WR);
    UNTIL(c->fin);
    assert_true(has(c, "this is /1") && has(c, "this is /2"));
    assert_int_equal(w->gone, 0);
    leave(c, false);
    end_of(w);
}

static void a_client_that_shuts_its_side_once_it_is_answered_gets_the_answer_whole(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join_from(w->port, 65536);
    size_t n = 16 << 20;
    char *body = letters(n), head[100];
    hear(c, false);
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
    say(c, head);
    say_bytes(c, body, n);
    UNTIL(w->counts->requests == 1);
    shutdown(c->fd, SHUT_WR);
    settle();
    hear(c, true);
    UNTIL(c->fin || c->reset);
    assert_true(c->fin && c->got.n > n);
    assert_memory_equal(c->got.at + c->got.n - n, body, n);
    free(body);
    leave(c, false);
    end_of(w);
}

/* ---- expectations and the judge ---- */

static void a_client_that_expects_is_told_to_go_on_once_the_head_was_judged(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    UNTIL(has(c, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_int_equal(w->judged, 1);
    assert_int_equal(w->log.n, 0);
    say(c, "hello");
    UNTIL(has(c, "\r\n\r\nhello"));
    assert_int_equal(count(c, "HTTP/1.1 "), 2);
    leave(c, false);
    end_of(w);
}

static void a_refused_client_is_never_told_to_go_on(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    w->refuse_all = true;
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    UNTIL(c->fin);
    assert_true(has(c, "HTTP/1.1 401 Unauthorized\r\n") && has(c, "connection: close\r\n") && has(c, "no key"));
    assert_false(has(c, "100 Continue"));
    assert_int_equal(w->log.n, 0);
    leave(c, false);
    end_of(w);
}

static void a_client_that_did_not_wait_is_not_told_to_go_on(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    w->refuse_all = true;       /* with the body there, the handler decides in `request` */
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
           "GET /next HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n");
    UNTIL(has(c, "this is /next"));
    assert_false(has(c, "100 Continue"));
    assert_int_equal(w->judged, 0);
    leave(c, false);
    end_of(w);
}

/* ---- refusals ---- */

static void refused(struct world *w, const char *request, const char *status, const char *code)
{
    struct client *c = join(w);
    say(c, request);
    UNTIL(c->fin || c->reset);
    assert_true(c->fin);
    char line[64], field[64];
    snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", status);
    snprintf(field, sizeof field, "\"code\":\"%s\"}}", code);
    assert_int_equal(strncmp(lun_buf_text(&c->got), line, strlen(line)), 0);
    assert_true(has(c, "content-type: application/json\r\n") && has(c, "connection: close\r\n"));
    assert_true(has(c, "\r\n\r\n{\"error\":{\"message\":\"") && has(c, field));
    assert_int_equal(count(c, "\r\ndate: "), 1);
    leave(c, false);
}

static void what_is_not_understood_is_refused_and_the_connection_closed(void **state)
{
    (void)state;
    struct world *w = world();
    refused(w, "GET / HTTP/1.1\nHost: a\n\n" GET("/2"), "400 Bad Request", "invalid_request");
    refused(w, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET("/2"), "400 Bad Request", "invalid_request");
    refused(w, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" GET("/2"), "400 Bad Request", "invalid_request");
    refused(w, "GET / HTTP/2.0\r\n\r\n", "400 Bad Request", "invalid_request");
    assert_int_equal(w->counts->refused_400, 4);
    assert_int_equal(w->counts->requests, 0);
    end_of(w);
}

static void a_head_too_large_is_431(void **state)
{
    (void)state;
    struct world *w = world();
    struct lun_buf b = {0};
    lun_buf_puts(&b, "GET / HTTP/1.1\r\n" HOST "b: ");
    memset(lun_buf_space(&b, 20000), 'x', 20000);
    b.n += 20000;
    refused(w, lun_buf_text(&b), "431 Request Header Fields Too Large", "too_large");
    lun_buf_free(&b);
    lun_buf_puts(&b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nb: ");
    memset(lun_buf_space(&b, 20000), 'x', 20000);
    b.n += 20000;
    refused(w, lun_buf_text(&b), "431 Request Header Fields Too Large", "too_large");
    lun_buf_free(&b);
    assert_int_equal(w->counts->refused_431, 2);
    end_of(w);
}

static void a_body_too_large_is_413_before_it_is_read(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .body = 10 });
    refused(w, "POST / HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n", "413 Content Too Large", "too_large");
    refused(w, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\nExpect: 100-continue\r\n\r\n", "413 Content Too Large", "too_large");
    refused(w, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld", "413 Content Too Large", "too_large");
    assert_int_equal(w->counts->refused_413, 3);
    assert_int_equal(w->judged, 0);
    struct client *c = join(w);
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\na\r\nabcdefghij\r\n0\r\n\r\n");
    UNTIL(has(c, "0123456789HTTP/1.1 200") && has(c, "abcdefghij"));
    leave(c, false);
    end_of(w);
}

static void a_client_that_goes_on_sending_can_still_read_why_it_was_refused(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .body = 10 });
    struct client *c = join(w);
    char *much = letters(4 << 20);
    hear(c, false);
    say(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n");
    say_bytes(c, much, 4 << 20);
    assert_true(w->shared.buffered < 1 << 20);
    hear(c, true);
    UNTIL(c->fin || c->reset);
    assert_true(c->fin);
    assert_true(has(c, "413 Content Too Large") && has(c, "}}"));
    free(much);
    leave(c, false);
    end_of(w);
}

static void on_refuse(void *self, struct lun_exchange *x, int status, const char *why)
{
    (void)self;
    assert_non_null(why);
    answer(x, status, "my own words");
}

static void refusals_are_said_in_the_handlers_words(void **state)
{
    (void)state;
    struct world *w = world();
    char error[256];
    int fd;
    assert_true(lun_listen("127.0.0.1:0", 1, &fd, error));
    int port = lun_listen_port(fd);
    struct lun_server_handler h = { .self = w, .request = on_request, .refuse = on_refuse };
    struct lun_server *other = lun_server_new(reactor, fd, &h, NULL);
    struct client *c = join_from(port, 0);
    say(c, "nonsense\r\n\r\n");
    UNTIL(c->fin);
    assert_true(has(c, "HTTP/1.1 400 Bad Request\r\n") && has(c, "my own words"));
    leave(c, false);
    WITHIN(lun_server_free(other));
    end_of(w);
}

/* ---- clients that leave ---- */

static void whoever_leaves_while_waiting_is_told_gone_once(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct world *w = world();
        struct client *c = join(w);
        say(c, GET("/wait"));
        UNTIL(w->n_open);
        settle();
        assert_int_equal(w->gone, 0);
        leave(c, reset);
        UNTIL(w->gone);
        assert_ptr_equal(w->gone_user, w);
        UNTIL(w->counts->open == 0);
        assert_int_equal(w->gone, 1);
        assert_int_equal(w->counts->gone, 1);
        end_of(w);
    }
}

static void whoever_leaves_in_the_middle_of_a_stream_is_told_gone(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct world *w = world();
        struct client *c = join(w);
        say(c, GET("/wait"));
        UNTIL(w->n_open);
        WITHIN((lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(w->open[0], "hello", 5)));
        UNTIL(has(c, "hello"));
        leave(c, reset);
        UNTIL(w->gone == 1 && w->counts->open == 0);
        end_of(w);
    }
}

static void whoever_shuts_its_side_while_waiting_is_gone(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join(w);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    shutdown(c->fd, SHUT_WR);
    UNTIL(w->gone == 1 && w->counts->open == 0);
    leave(c, false);
    end_of(w);
}

static void whoever_leaves_is_noticed_though_much_was_sent_ahead(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct world *w = world();
        struct client *c = join(w);
        say(c, GET("/wait"));
        /* A reset is seen however much was sent; an end only where all before it fits what the system holds for us. */
        for (int i = 0; i < (reset ? 3000 : 1400); i++) say(c, "GET /a-path-that-is-long-enough-to-fill-something HTTP/1.1\r\n" HOST "\r\n");
        UNTIL(w->n_open);
        settle();
        leave(c, reset);
        UNTIL(w->gone == 1 && w->counts->open == 0);
        assert_int_equal(w->counts->requests, 1);
        end_of(w);
    }
}

static void whoever_leaves_before_its_request_is_whole_is_nobodys_business(void **state)
{
    (void)state;
    struct world *w = world();
    static const char *const parts[] = { "", "\r\n", "GET /wa", "POST /wait HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhell" };
    for (int i = 0; i < 4; i++) {
        struct client *c = join(w);
        say(c, parts[i]);
        UNTIL(w->counts->open == 1);
        leave(c, i & 1);
        UNTIL(w->counts->open == 0);
    }
    assert_int_equal(w->gone, 0);
    assert_int_equal(w->counts->requests, 0);
    end_of(w);
}

static void freeing_the_server_tells_open_exchanges_gone(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *a = join(w), *b = join(w);
    say(a, GET("/wait"));
    say(b, GET("/wait"));
    UNTIL(w->n_open == 2);
    WITHIN(lun_server_free(w->server));
    w->server = NULL;
    assert_int_equal(w->gone, 2);
    leave(a, false);
    leave(b, false);
    end_of(w);
}

/* ---- full ---- */

static void a_client_that_does_not_read_is_told_full_and_once_it_reads_room(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join_from(w->port, 65536);
    char *block = letters(65536);
    size_t said = 0;
    hear(c, false);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN(lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN));
    while (!w->full) { WITHIN(lun_exchange_bytes(w->open[0], block, 65536)); said += 65536; assert_true(said < 64 << 20); }
    settle();
    assert_int_equal(w->room, 0);
    WITHIN(lun_exchange_bytes(w->open[0], "more, taken all the same", 24));
    hear(c, true);
    UNTIL(w->room);
    assert_int_equal(w->full, 1);
    WITHIN(lun_exchange_end(w->open[0], true));
    UNTIL(has(c, "more, taken all the same\r\n0\r\n\r\n"));
    assert_true(c->got.n > said && c->got.n < said + said / 100);
    assert_int_equal(w->room, 1);
    free(block);
    leave(c, false);
    end_of(w);
}

static void an_exchange_may_end_inside_the_word_that_there_is_room(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join_from(w->port, 65536);
    char *block = letters(65536);
    hear(c, false);
    say(c, GET("/wait") GET("/next"));
    UNTIL(w->n_open);
    w->end_when_full = true;
    WITHIN(lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN));
    while (!w->full) WITHIN(lun_exchange_bytes(w->open[0], block, 65536));
    hear(c, true);
    UNTIL(has(c, "this is /next"));
    free(block);
    leave(c, false);
    end_of(w);
}

static void requests_sent_ahead_are_not_served_faster_than_answers_are_read(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join_from(w->port, 65536);
    char *body = letters(60000), head[100];
    int asked = 400;
    hear(c, false);
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 60000\r\n\r\n");
    struct lun_buf all = {0};
    for (int i = 0; i < asked; i++) { lun_buf_puts(&all, head); lun_buf_add(&all, body, 60000); }
    size_t sent = 0;
    for (int quiet = 0; quiet < 100; ) {
        ssize_t n = sent < all.n ? send(c->fd, all.at + sent, all.n - sent, MSG_NOSIGNAL) : -1;
        if (n > 0) { sent += (size_t)n; quiet = 0; } else quiet++;
        event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    }
    assert_true((int)w->counts->requests < asked);
    assert_true(w->shared.buffered < 2 << 20);
    hear(c, true);
    say_bytes(c, all.at + sent, all.n - sent);
    UNTIL((int)w->counts->requests == asked && c->got.n > 60000 * (size_t)asked);
    assert_int_equal(count(c, "HTTP/1.1 200 OK"), asked);
    lun_buf_free(&all);
    free(body);
    leave(c, false);
    end_of(w);
}

/* ---- bounds ---- */

static void a_connection_too_many_is_told_503(void **state)
{
    (void)state;
    struct lun_server_shared shared = { .connections_max = 2 };
    struct world *w = world_with((struct lun_server_options){ .shared = &shared });
    struct client *a = join(w), *b = join(w);
    UNTIL(w->counts->open == 2);
    refused(w, "", "503 Service Unavailable", "overloaded");
    UNTIL(w->counts->open == 2);
    assert_int_equal(w->counts->refused_503, 1);
    leave(a, false);
    UNTIL(w->counts->open == 1);
    struct client *c = join(w);
    say(c, GET("/1"));
    UNTIL(has(c, "this is /1"));
    leave(b, false);
    leave(c, false);
    end_of(w);
}

static void what_passes_the_bound_of_buffered_bytes_is_told_503(void **state)
{
    (void)state;
    struct lun_server_shared shared = { .buffered_max = 200000 };
    struct world *w = world_with((struct lun_server_options){ .shared = &shared });
    struct client *a = join(w), *b = join(w);
    char *body = letters(100000);
    say(a, "POST /wait HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    say_bytes(a, body, 99999);
    UNTIL(w->shared.buffered > 80000);
    say(b, "POST /wait HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    for (int i = 0; i < 10 && !b->got.n; i++) { say_bytes(b, body, 9999); settle(); }
    say_bytes(b, body, 9);
    UNTIL(b->fin);
    assert_true(has(b, "503 Service Unavailable"));
    say_bytes(a, body, 1);
    UNTIL(w->n_open == 1);
    struct client *c = join(w);
    say(c, GET("/small"));
    UNTIL(has(c, "this is /small"));
    free(body);
    leave(a, false);
    leave(b, false);
    leave(c, false);
    end_of(w);
}

/* What waits is the rest of an answer that is over: nothing was asked that could be refused. */
static void who_reads_an_answer_slowly_is_told_nothing_behind_it(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *c = join_from(w->port, 65536);
    enum { MUCH = 12 << 20 };
    char *body = letters(MUCH), head[100];
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", MUCH);
    hear(c, false);
    say(c, head);
    say_bytes(c, body, MUCH);
    UNTIL(w->log.n);
    settle();
    assert_true(w->shared.buffered > 1 << 20);
    w->shared.buffered_max = 1;
    hear(c, true);
    UNTIL(c->got.n > MUCH);
    settle();
    w->shared.buffered_max = 0;
    say(c, GET("/next"));
    UNTIL(has(c, "this is /next"));
    assert_int_equal(count(c, "HTTP/1.1 200 OK"), 2);
    assert_int_equal(count(c, "HTTP/1.1 "), 2);
    free(body);
    leave(c, false);
    end_of(w);
}

static void without_descriptors_accepting_pauses_and_goes_on(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *a = join(w);
    UNTIL(w->counts->open == 1);
    struct client *b = join(w);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;      /* no number is below it, so none is free */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    UNTIL(w->counts->starved);
    settle();
    bool spun = w->counts->starved > 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(spun);
    say(b, GET("/b"));
    UNTIL(has(b, "this is /b"));
    leave(a, false);
    leave(b, false);
    end_of(w);
}

/* ---- clocks ---- */

static void a_client_that_never_asks_is_closed_without_a_word(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.head = 5 * LUN_MS });
    static const char *const words[] = { "", "\r\n" };
    for (int i = 0; i < 2; i++) {
        struct client *c = join(w);
        say(c, words[i]);
        UNTIL(c->fin || c->reset);
        assert_int_equal(c->got.n, 0);
        leave(c, false);
    }
    assert_int_equal(w->counts->refused_408, 0);
    end_of(w);
}

static void a_head_too_slow_is_408(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.head = 20 * LUN_MS });
    refused(w, "GET / HT", "408 Request Timeout", "request_timeout");
    assert_int_equal(w->counts->refused_408, 1);
    end_of(w);
}

static void a_body_too_slow_is_408(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.body = 20 * LUN_MS });
    refused(w, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhell", "408 Request Timeout", "request_timeout");
    end_of(w);
}

static void a_body_that_drips_is_408_after_its_whole_time(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks = { .body = 10 * LUN_SECOND, .body_total = 30 * LUN_MS } });
    struct client *c = join(w);
    say(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 30000000\r\n\r\n");
    while (!c->got.n) { say(c, "x"); event_base_loop(reactor->base, EVLOOP_NONBLOCK); }
    UNTIL(c->fin);
    assert_true(has(c, "408 Request Timeout"));
    leave(c, false);
    end_of(w);
}

static void an_idle_connection_is_closed(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.idle = 10 * LUN_MS });
    struct client *c = join(w);
    say(c, GET("/1"));
    UNTIL(c->fin);
    assert_true(has(c, "this is /1"));
    assert_int_equal(count(c, "HTTP/1.1"), 1);
    leave(c, false);
    end_of(w);
}

static void no_clock_runs_while_the_handler_thinks(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks = { 5 * LUN_MS, 5 * LUN_MS, 5 * LUN_MS, 5 * LUN_MS, 5 * LUN_MS, 5 * LUN_MS } });
    struct client *c = join(w), *other = join(w);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    UNTIL(other->fin);          /* its clocks are the same and began no earlier */
    leave(other, false);
    struct client *third = join(w);
    UNTIL(third->fin);
    assert_int_equal(w->gone, 0);
    WITHIN(answer(w->open[0], 200, "at last"));
    UNTIL(has(c, "at last"));
    leave(c, false);
    leave(third, false);
    end_of(w);
}

static void a_client_that_takes_nothing_is_gone_after_a_while(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.stall = 20 * LUN_MS });
    struct client *c = join_from(w->port, 65536);
    char *block = letters(1 << 20);
    hear(c, false);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN(lun_exchange_head(w->open[0], 200, plain, 1, LUN_LENGTH_UNKNOWN));
    for (int i = 0; i < 8 && !w->gone; i++) WITHIN(lun_exchange_bytes(w->open[0], block, 1 << 20));
    UNTIL(w->gone);
    hear(c, true);
    UNTIL(c->reset || c->fin);
    assert_true(c->reset);
    free(block);
    leave(c, false);
    end_of(w);
}

/* ---- clients that read slowly: so many bytes each 5 ms ---- */

static size_t sip;

static void on_sip(evutil_socket_t fd, short what, void *self)
{
    static char bytes[64 << 10];
    struct client *c = self;
    (void)fd, (void)what;
    ssize_t n = read(c->fd, bytes, sip);
    if (n == 0) c->fin = true;
    else if (n < 0 && errno != EAGAIN) c->reset = true;
    else if (n > 0) c->sipped += (size_t)n;
}

/* Asks a world for 2 MiB that are there at once, and reads them so; whether it was let to read all. */
static bool may_sip(struct world *w, int receive_buffer, size_t each, bool ended)
{
    struct client *c = join_from(w->port, receive_buffer);
    size_t n = 2 << 20;
    char *block = letters(n);
    struct event *sips = event_new(reactor->base, -1, EV_PERSIST, on_sip, c);
    hear(c, false);
    say(c, GET("/wait"));
    UNTIL(w->n_open);
    WITHIN(lun_exchange_head(w->open[0], 200, plain, 1, (int64_t)n));
    WITHIN(lun_exchange_bytes(w->open[0], block, n));
    if (ended) WITHIN(lun_exchange_end(w->open[0], true));
    sip = each;
    event_add(sips, &(struct timeval){ .tv_usec = 5000 });
    UNTIL(c->reset || c->fin || c->sipped > n);
    bool all = c->sipped > n;
    event_free(sips);
    free(block);
    leave(c, false);
    UNTIL(!w->counts->open);
    return all;
}

static void a_client_that_takes_a_few_bytes_now_and_then_is_gone_after_a_while(void **state)
{
    (void)state;
    send_buffer = 4096;             /* so that the system takes a little more each time it has taken a little */
    for (int ended = 0; ended < 2; ended++) {
        struct world *w = world_with((struct lun_server_options){ .clocks.stall = 200 * LUN_MS });
        assert_false(may_sip(w, 4096, 256, ended));
        assert_int_equal(w->gone, !ended);
        end_of(w);
    }
    send_buffer = 0;
}

static void a_client_that_takes_a_step_in_time_gets_all(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.stall = 100 * LUN_MS });
    assert_true(may_sip(w, 0, 32 << 10, true));
    end_of(w);
}

static void a_client_that_does_not_close_after_a_refusal_is_not_waited_for_long(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.linger = 10 * LUN_MS });
    struct client *c = join(w);
    say(c, "nonsense\r\n\r\n");
    UNTIL(c->fin && w->counts->open == 0);
    leave(c, false);
    end_of(w);
}

/* ---- the end ---- */

static void draining_closes_the_idle_and_lets_the_busy_finish(void **state)
{
    (void)state;
    struct world *w = world_with((struct lun_server_options){ .clocks.start = 5 * LUN_MS });
    struct client *fresh = join(w), *idle = join(w), *busy = join(w), *half = join(w);
    say(idle, GET("/1"));
    say(busy, GET("/wait"));
    say(half, "GET /ha");
    UNTIL(has(idle, "this is /1") && w->n_open == 1 && w->counts->open == 4);
    settle();
    WITHIN(lun_server_drain(w->server, on_drained, w));
    UNTIL(fresh->fin && idle->fin);
    assert_false(busy->fin || half->fin);
    assert_int_equal(w->drained, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((in_port_t)w->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
    close(fd);
    say(half, "lf HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(half->fin);
    assert_true(has(half, "this is /half") && has(half, "connection: close\r\n"));
    WITHIN(answer(w->open[0], 200, "done"));
    UNTIL(busy->fin);
    assert_true(has(busy, "done") && has(busy, "connection: close\r\n"));
    leave(fresh, false); leave(idle, false); leave(busy, false); leave(half, false);
    UNTIL(w->drained);
    assert_int_equal(w->drained, 1);
    end_of(w);
}

/* It had connected before; its question may be on its way. */
static void draining_waits_for_the_first_request_of_a_new_connection(void **state)
{
    (void)state;
    struct world *w = world();
    struct client *fresh = join(w);
    UNTIL(w->counts->open == 1);
    WITHIN(lun_server_drain(w->server, on_drained, w));
    settle();
    assert_false(fresh->fin || w->drained);
    say(fresh, GET("/first"));
    UNTIL(fresh->fin);
    assert_true(has(fresh, "this is /first") && has(fresh, "connection: close\r\n"));
    leave(fresh, false);
    UNTIL(w->drained);
    end_of(w);
}

static void free_drained(void *arg)
{
    struct world *w = arg;
    lun_server_free(w->server);
    w->server = NULL;
    w->drained++;
}

static void an_empty_server_is_drained_in_the_next_turn_and_may_be_freed_there(void **state)
{
    (void)state;
    struct world *w = world();
    WITHIN((lun_server_drain(w->server, free_drained, w), assert_int_equal(w->drained, 0)));
    assert_int_equal(w->drained, 1);
    end_of(w);
}

/* ---- listening ---- */

static void a_port_that_is_taken_is_refused_with_a_clear_word(void **state)
{
    (void)state;
    char error[256], address[LUN_ADDRESS_TEXT];
    int first[3], second[1];
    assert_true(lun_listen("127.0.0.1:0", 3, first, error));
    lun_listen_text(first[0], address);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lun_listen_port(first[i]), lun_listen_port(first[0]));
        assert_int_equal(fcntl(first[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
    assert_false(lun_listen(address, 1, second, error));
    assert_non_null(strstr(error, "in use"));
    assert_non_null(strstr(error, address));
    assert_false(lun_listen(address, 3, first + 0, error));
    char all[64];
    snprintf(all, sizeof all, ":%d", atoi(strrchr(address, ':') + 1));
    assert_false(lun_listen(all, 1, second, error));
}

static void a_port_is_free_again_once_its_sockets_are_closed(void **state)
{
    (void)state;
    char error[256], address[LUN_ADDRESS_TEXT];
    int fds[2];
    assert_true(lun_listen("127.0.0.1:0", 2, fds, error));
    lun_listen_text(fds[0], address);
    close(fds[0]);
    close(fds[1]);
    assert_true(lun_listen(address, 2, fds, error));
    close(fds[0]);
    close(fds[1]);
}

static void addresses_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "127.0.0.1", "4000", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1: 1", "::1:4000", "[::1]", "[::1:4000", "unix:", "999.0.0.1:0", "127.0.0.1:1:2" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char error[256] = "";
        int fd;
        if (lun_listen(wrong[i], 1, &fd, error)) fail_msg("%s was taken", wrong[i]);
        assert_non_null(strstr(error, "cannot listen"));
    }
}

static void every_form_of_address_is_taken(void **state)
{
    (void)state;
    static const char *const right[] = { "127.0.0.1:0", ":0", "*:0", "localhost:0" };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char error[256] = "", text[LUN_ADDRESS_TEXT];
        int fd;
        if (!lun_listen(right[i], 1, &fd, error)) fail_msg("%s", error);
        lun_listen_text(fd, text);
        assert_true(lun_listen_port(fd) > 0 && strchr(text, ':'));
        close(fd);
    }
}

static void a_unix_socket_serves_and_is_taken_over_from_the_dead(void **state)
{
    (void)state;
    char path[] = "/tmp/lunette-test-XXXXXX", address[100], error[256], text[LUN_ADDRESS_TEXT];
    int fds[2], other[1];
    assert_non_null(mkdtemp(path));
    snprintf(address, sizeof address, "unix:%s/s", path);
    assert_true(lun_listen(address, 2, fds, error));
    lun_listen_text(fds[1], text);
    assert_string_equal(text, address);
    assert_false(lun_listen(address, 1, other, error));
    assert_non_null(strstr(error, "in use"));
    close(fds[0]);
    close(fds[1]);
    assert_true(lun_listen(address, 1, other, error));

    struct world *w = world();
    struct lun_server_handler h = { .self = w, .request = on_request };
    struct lun_server *s = lun_server_new(reactor, other[0], &h, NULL);
    struct client *c = lun_zalloc(sizeof *c);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "%s", address + 5);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
    c->readable = event_new(reactor->base, c->fd, EV_READ | EV_PERSIST, on_answer, c);
    hear(c, true);
    say(c, GET("/peer"));
    UNTIL(has(c, "\r\n\r\nunix"));
    leave(c, false);
    WITHIN(lun_server_free(s));
    end_of(w);
    unlink(address + 5);
    rmdir(path);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    char path[] = "/tmp/lunette-test-XXXXXX", address[100], error[256];
    int fd = mkstemp(path), listener;
    assert_true(fd >= 0);
    close(fd);
    snprintf(address, sizeof address, "unix:%s", path);
    assert_false(lun_listen(address, 1, &listener, error));
    assert_non_null(strstr(error, path));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

/* ---- many clients that do as they like ---- */

static uint64_t seed;
static size_t below(size_t n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (size_t)(seed % n);
}

struct actor { struct client *client; struct lun_buf words; size_t said, looked; int asked, found; };
struct job { struct lun_exchange *x; struct actor *actor; int number; bool begun, over; };
enum { ACTORS = 8, JOBS = 4096 };
static struct job jobs[JOBS];
static int n_jobs, jobs_gone, jobs_ended;

static void on_job(void *self, struct lun_exchange *x, const struct lun_http_request *q, const char *body, size_t n)
{
    (void)self;
    for (size_t i = 0; i < n; i++) assert_int_equal(body[i], 'a' + i % 23);
    struct job *j = &jobs[n_jobs++];
    *j = (struct job){ .x = x, .number = atoi(q->path.at + 1) };
    lun_exchange_set_user(x, j);
}

static void on_job_gone(void *user)
{
    struct job *j = user;
    assert_false(j->over);
    j->over = true;
    jobs_gone++;
}

/* Says a part of an answer: a mark with the request's number, then some stuffing, then the end. */
static void work_on(struct job *j)
{
    static char stuffing[200000];
    char mark[32];
    int n = snprintf(mark, sizeof mark, "[%d]", j->number);
    if (!j->begun && below(2)) {
        lun_exchange_head(j->x, 200, plain, 1, n);
        lun_exchange_bytes(j->x, mark, (size_t)n);
    } else if (!j->begun) {
        lun_exchange_head(j->x, 200, plain, 1, LUN_LENGTH_UNKNOWN);
        lun_exchange_bytes(j->x, mark, (size_t)n);
        j->begun = true;
        return;
    } else if (below(3)) {
        memset(stuffing, '.', sizeof stuffing);
        lun_exchange_bytes(j->x, stuffing, below(below(10) ? 100 : sizeof stuffing));
        return;
    }
    j->over = true;
    jobs_ended++;
    lun_exchange_end(j->x, true);
}

static void begin(struct world *w, struct actor *a)
{
    *a = (struct actor){ .client = join_from(w->port, below(4) ? 0 : 16384), .asked = 1 + (int)below(5) };
    for (int i = 0; i < a->asked; i++) {
        size_t n = below(3) ? below(300) : below(50000), kind = below(3), first = n / 3;
        char *body = letters(n);
        if (kind == 0) lun_buf_printf(&a->words, "GET /%d HTTP/1.1\r\n" HOST "\r\n", i);
        if (kind == 1) lun_buf_printf(&a->words, "POST /%d HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", i, n, body);
        if (kind == 2) {
            lun_buf_printf(&a->words, "POST /%d HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", i);
            if (first) lun_buf_printf(&a->words, "%zx\r\n%.*s\r\n", first, (int)first, body);
            if (n > first) lun_buf_printf(&a->words, "%zx\r\n%s\r\n", n - first, body + first);
            lun_buf_puts(&a->words, "0\r\n\r\n");
        }
        free(body);
    }
}

static void finish(struct actor *a, bool reset)
{
    leave(a->client, reset);
    lun_buf_free(&a->words);
    *a = (struct actor){0};
}

/* How many answers came so far, in their order. Looks at what is new only. */
static int marks(struct actor *a)
{
    struct lun_buf *got = &a->client->got;
    for (char mark[32], *at; ; a->found++, a->looked = (size_t)(at - got->at)) {
        int n = snprintf(mark, sizeof mark, "[%d]", a->found);
        at = got->n > a->looked ? memmem(got->at + a->looked, got->n - a->looked, mark, (size_t)n) : NULL;
        if (!at) break;
    }
    if (got->n > a->looked + 32) a->looked = got->n - 32;
    return a->found;
}

static void speak(struct actor *a)
{
    size_t left = a->words.n - a->said, part = below(4) ? below(200) : below(60000);
    ssize_t n = left ? send(a->client->fd, a->words.at + a->said, part < left ? part : left, MSG_NOSIGNAL) : 0;
    if (n > 0) a->said += (size_t)n;
    if (!below(50)) hear(a->client, a->client->deaf);
}

static void whatever_clients_and_handler_do_answers_come_in_order_and_each_exchange_ends_once(void **state)
{
    (void)state;
    struct world *w = world();
    char error[256];
    int fd, served = 0, left = 0;
    assert_true(lun_listen("127.0.0.1:0", 1, &fd, error));
    struct lun_server_handler h = { .self = w, .request = on_job, .gone = on_job_gone };
    struct lun_server *s = lun_server_new(reactor, fd, &h, &(struct lun_server_options){ .shared = &w->shared });
    w->port = lun_listen_port(fd);
    struct actor actors[ACTORS] = {0};
    seed = 0x2545f4914f6cdd1d;
    for (int step = 0; step < 60000 && n_jobs < JOBS - ACTORS; step++) {
        struct actor *a = &actors[below(ACTORS)];
        if (!a->client) begin(w, a);
        speak(a);
        if (below(3)) event_base_loop(reactor->base, EVLOOP_NONBLOCK);
        if (n_jobs && !below(2)) {
            struct job *j = &jobs[n_jobs - 1 - (int)below((size_t)(n_jobs < 16 ? n_jobs : 16))];
            lun_reactor_enter(reactor);
            for (size_t times = below(4); times && !j->over; times--) work_on(j);
            lun_reactor_leave(reactor);
        }
        if (!below(600)) { finish(a, below(2)); left++; }
        else if (a->said == a->words.n && marks(a) == a->asked) { finish(a, false); served++; }
    }
    for (bool all = false; !all; ) {        /* and those that are still there are served to the end */
        all = true;
        for (int i = 0; i < ACTORS; i++) {
            struct actor *a = &actors[i];
            if (!a->client) continue;
            hear(a->client, true);
            speak(a);
            event_base_loop(reactor->base, EVLOOP_NONBLOCK);
            if (a->said < a->words.n || marks(a) < a->asked) all = false;
        }
        for (int i = 0; i < n_jobs; i++) if (!jobs[i].over) WITHIN(work_on(&jobs[i]));
    }
    for (int i = 0; i < ACTORS; i++) if (actors[i].client) finish(&actors[i], false);
    UNTIL(lun_server_counts(s)->open == 0);
    assert_int_equal(jobs_gone + jobs_ended, n_jobs);
    assert_int_equal(lun_server_counts(s)->requests, n_jobs);
    assert_int_equal(lun_server_counts(s)->gone, jobs_gone);
    assert_true(served > 50 && left > 20 && jobs_gone > 5);
    WITHIN(lun_server_free(s));
    end_of(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_one_request_after_the_other),
        cmocka_unit_test(requests_sent_ahead_are_answered_in_order),
        cmocka_unit_test(a_request_sent_ahead_waits_for_the_one_before),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(a_chunked_body_is_handed_over_decoded_and_what_follows_is_the_next_request),
        cmocka_unit_test(a_large_body_comes_through_whole),
        cmocka_unit_test(the_body_can_be_kept_beyond_the_exchange),
        cmocka_unit_test(the_peer_and_the_beginning_are_known),
        cmocka_unit_test(head_gets_the_head_alone),
        cmocka_unit_test(an_answer_without_content_has_no_length),
        cmocka_unit_test(a_stream_is_chunked_and_ends_with_the_last_chunk),
        cmocka_unit_test(a_torn_stream_ends_without_the_last_chunk),
        cmocka_unit_test(an_answer_shorter_than_its_length_closes),
        cmocka_unit_test(an_answer_is_never_longer_than_its_length),
        cmocka_unit_test(an_end_without_a_head_closes_without_a_word),
        cmocka_unit_test(trailers_are_sent_to_those_who_ask),
        cmocka_unit_test(no_header_can_break_out_of_its_line),
        cmocka_unit_test(an_old_client_gets_a_stream_that_ends_with_the_connection),
        cmocka_unit_test(an_old_client_is_kept_only_if_it_asks),
        cmocka_unit_test(a_client_that_asks_to_close_gets_its_answer_and_the_end),
        cmocka_unit_test(a_client_that_shuts_its_side_after_asking_still_gets_what_is_answered_at_once),
        cmocka_unit_test(a_client_that_shuts_its_side_once_it_is_answered_gets_the_answer_whole),
        cmocka_unit_test(a_client_that_expects_is_told_to_go_on_once_the_head_was_judged),
        cmocka_unit_test(a_refused_client_is_never_told_to_go_on),
        cmocka_unit_test(a_client_that_did_not_wait_is_not_told_to_go_on),
        cmocka_unit_test(what_is_not_understood_is_refused_and_the_connection_closed),
        cmocka_unit_test(a_head_too_large_is_431),
        cmocka_unit_test(a_body_too_large_is_413_before_it_is_read),
        cmocka_unit_test(a_client_that_goes_on_sending_can_still_read_why_it_was_refused),
        cmocka_unit_test(refusals_are_said_in_the_handlers_words),
        cmocka_unit_test(whoever_leaves_while_waiting_is_told_gone_once),
        cmocka_unit_test(whoever_leaves_in_the_middle_of_a_stream_is_told_gone),
        cmocka_unit_test(whoever_shuts_its_side_while_waiting_is_gone),
        cmocka_unit_test(whoever_leaves_is_noticed_though_much_was_sent_ahead),
        cmocka_unit_test(whoever_leaves_before_its_request_is_whole_is_nobodys_business),
        cmocka_unit_test(freeing_the_server_tells_open_exchanges_gone),
        cmocka_unit_test(a_client_that_does_not_read_is_told_full_and_once_it_reads_room),
        cmocka_unit_test(an_exchange_may_end_inside_the_word_that_there_is_room),
        cmocka_unit_test(requests_sent_ahead_are_not_served_faster_than_answers_are_read),
        cmocka_unit_test(a_connection_too_many_is_told_503),
        cmocka_unit_test(what_passes_the_bound_of_buffered_bytes_is_told_503),
        cmocka_unit_test(who_reads_an_answer_slowly_is_told_nothing_behind_it),
        cmocka_unit_test(without_descriptors_accepting_pauses_and_goes_on),
        cmocka_unit_test(a_client_that_never_asks_is_closed_without_a_word),
        cmocka_unit_test(a_head_too_slow_is_408),
        cmocka_unit_test(a_body_too_slow_is_408),
        cmocka_unit_test(a_body_that_drips_is_408_after_its_whole_time),
        cmocka_unit_test(an_idle_connection_is_closed),
        cmocka_unit_test(no_clock_runs_while_the_handler_thinks),
        cmocka_unit_test(a_client_that_takes_nothing_is_gone_after_a_while),
        cmocka_unit_test(a_client_that_takes_a_few_bytes_now_and_then_is_gone_after_a_while),
        cmocka_unit_test(a_client_that_takes_a_step_in_time_gets_all),
        cmocka_unit_test(a_client_that_does_not_close_after_a_refusal_is_not_waited_for_long),
        cmocka_unit_test(draining_closes_the_idle_and_lets_the_busy_finish),
        cmocka_unit_test(draining_waits_for_the_first_request_of_a_new_connection),
        cmocka_unit_test(an_empty_server_is_drained_in_the_next_turn_and_may_be_freed_there),
        cmocka_unit_test(a_port_that_is_taken_is_refused_with_a_clear_word),
        cmocka_unit_test(a_port_is_free_again_once_its_sockets_are_closed),
        cmocka_unit_test(addresses_that_are_none_are_refused),
        cmocka_unit_test(every_form_of_address_is_taken),
        cmocka_unit_test(a_unix_socket_serves_and_is_taken_over_from_the_dead),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(whatever_clients_and_handler_do_answers_come_in_order_and_each_exchange_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
