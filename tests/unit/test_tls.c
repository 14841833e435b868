/* TLS for clients, with OpenSSL on the other side too: certificates made here, sockets of 127.0.0.1, one thread. */
#include "base/alloc.h"
#include "state/certificate.h"
#include "state/snapshot.h"
#include "wire/listen.h"
#include "wire/server.h"
#include "wire/tls.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/lunette-tls-XXXXXX", certificate[64], key[64], other_key[64], nonsense[64];
static struct lun_reactor *reactor;
static struct lun_server *server;
static struct lun_tls *tls;
static struct lun_exchange *open_exchange;
static int port, gone, full, room;
static struct lun_server_shared shared;

/* ---- files ---- */

static EVP_PKEY *write_key(char path[64], const char *name)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    snprintf(path, 64, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    return k;
}

static void write_certificate(EVP_PKEY *k)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, k);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, k, EVP_sha256()) > 0);
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    FILE *f = fopen(certificate, "w");
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    X509_free(x);
}

static int make_files(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    EVP_PKEY *mine = write_key(key, "key.pem"), *other = write_key(other_key, "other.pem");
    write_certificate(mine);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(other);
    snprintf(nonsense, sizeof nonsense, "%s/nonsense.pem", folder);
    FILE *f = fopen(nonsense, "w");
    fputs("this is no certificate\n", f);
    return fclose(f);
}

static int remove_files(void **state)
{
    (void)state;
    unlink(certificate); unlink(key); unlink(other_key); unlink(nonsense);
    return rmdir(folder);
}

/* ---- the server ---- */

static const struct lun_pair plain[] = { { "content-type", "text/plain" } };

static void on_request(void *self, struct lun_exchange *x, const struct lun_http_request *q, const char *body, size_t n)
{
    (void)self;
    if (lun_slice_is(q->path, "/wait")) { open_exchange = x; return; }
    lun_exchange_head(x, 200, plain, 1, n ? (int64_t)n : 2);
    lun_exchange_bytes(x, n ? body : "ok", n ? n : 2);
    lun_exchange_end(x, true);
}
static void on_gone(void *user) { (void)user; gone++; }
static void on_full(void *user, bool is) { (void)user; if (is) full++; else room++; }

#define UNTIL(condition) do { while (!(condition)) event_base_loop(reactor->base, EVLOOP_ONCE); } while (0)
#define WITHIN(call) do { lun_reactor_enter(reactor); call; lun_reactor_leave(reactor); } while (0)

static int begin_with(struct lun_server_clocks clocks)
{
    struct lun_server_handler h = { .request = on_request, .gone = on_gone, .full = on_full };
    struct lun_certificate_problem problem;
    struct lun_certificate *pair = lun_certificate_read(certificate, key, lun_clock_wall(), &problem);
    char error[256];
    int fd;
    if (!pair) fail_msg("%s", problem.what);
    if (!lun_listen("127.0.0.1:0", 1, &fd, error)) return -1;
    port = lun_listen_port(fd);
    reactor = lun_reactor_new(NULL);
    tls = lun_tls_new(pair);
    lun_certificate_free(pair);
    server = lun_server_new(reactor, fd, &h, &(struct lun_server_options){ .shared = &shared, .tls = tls, .clocks = clocks });
    open_exchange = NULL;
    gone = full = room = 0;
    alarm(20);
    return 0;
}
static int begin(void **state) { (void)state; return begin_with((struct lun_server_clocks){0}); }

static int end(void **state)
{
    (void)state;
    lun_tls_free(tls);          /* connections may outlive it */
    WITHIN(lun_server_free(server));
    lun_reactor_free(reactor);
    alarm(0);
    return shared.connections || shared.buffered;
}

/* ---- a client ---- */

struct client { int fd; SSL_CTX *context; SSL *ssl; struct event *readable; struct lun_buf got; bool fin, failed, deaf; };

static void on_bytes(evutil_socket_t fd, short what, void *self)
{
    struct client *c = self;
    (void)fd, (void)what;
    for (int i = 0; i < 8; i++) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, lun_buf_space(&c->got, 16384), 16384);
        if (n > 0) { c->got.n += (size_t)n; continue; }
        int error = SSL_get_error(c->ssl, n);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
        c->fin = error == SSL_ERROR_ZERO_RETURN;
        c->failed = !c->fin;
        event_del(c->readable);
        return;
    }
    if (SSL_has_pending(c->ssl)) event_active(c->readable, EV_READ, 0);
}

static struct client *join(int version, const char *protocols)
{
    struct client *c = lun_zalloc(sizeof *c);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(c->context, version);
    SSL_CTX_set_max_proto_version(c->context, version);
    SSL_CTX_set_security_level(c->context, version < TLS1_2_VERSION ? 0 : 1);
    SSL_CTX_set_mode(c->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (protocols) SSL_CTX_set_alpn_protos(c->context, (const unsigned char *)protocols, (unsigned)strlen(protocols));
    c->ssl = SSL_new(c->context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    c->readable = event_new(reactor->base, c->fd, EV_READ | EV_PERSIST, on_bytes, c);
    event_add(c->readable, NULL);
    return c;
}

static void say_bytes(struct client *c, const char *bytes, size_t n)
{
    while (n && !c->failed) {
        ERR_clear_error();
        int sent = SSL_write(c->ssl, bytes, n > 100000 ? 100000 : (int)n);
        if (sent > 0) { bytes += sent; n -= (size_t)sent; continue; }
        int error = SSL_get_error(c->ssl, sent);
        c->failed = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
        event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    }
}
static void say(struct client *c, const char *text) { say_bytes(c, text, strlen(text)); }
static bool has(struct client *c, const char *text) { return strstr(lun_buf_text(&c->got), text) != NULL; }

static void leave(struct client *c)
{
    event_free(c->readable);
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
    lun_buf_free(&c->got);
    free(c);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- tests ---- */

static void requests_are_served_over_1_2_and_1_3(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (int i = 0; i < 2; i++) {
        struct client *c = join(versions[i], "\x08http/1.1");
        say(c, GET("/1") GET("/2"));
        say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        UNTIL(has(c, "hello"));
        assert_int_equal(SSL_version(c->ssl), versions[i]);
        const unsigned char *protocol;
        unsigned n;
        SSL_get0_alpn_selected(c->ssl, &protocol, &n);
        assert_int_equal(n, 8);
        assert_memory_equal(protocol, "http/1.1", 8);
        leave(c);
    }
    UNTIL(lun_server_counts(server)->open == 0);
}

static void older_versions_and_other_protocols_are_turned_away(void **state)
{
    (void)state;
    struct client *old = join(TLS1_1_VERSION, NULL), *h2 = join(TLS1_3_VERSION, "\x02h2");
    say(old, GET("/"));
    say(h2, GET("/"));
    UNTIL(old->failed && h2->failed);
    assert_int_equal(lun_server_counts(server)->requests, 0);
    leave(old);
    leave(h2);
    UNTIL(lun_server_counts(server)->open == 0);
}

static void say_plainly(struct client *c, const char *bytes)
{
    event_del(c->readable);         /* OpenSSL is not to read the answer */
    assert_true(send(c->fd, bytes, strlen(bytes), 0) > 0);
}

static void what_is_no_tls_is_closed(void **state)
{
    (void)state;
    struct client *c = join(TLS1_3_VERSION, NULL);
    say_plainly(c, "\x80nonsense");
    UNTIL(lun_server_counts(server)->accepted == 1 && lun_server_counts(server)->open == 0);
    assert_int_equal(lun_server_counts(server)->requests, 0);
    leave(c);
}

static void plain_http_is_told_so_in_plain_http(void **state)
{
    (void)state;
    static const char *const asked[] = { GET("/"), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789", "OPTIONS * HTTP/1.1\r\n", GET("/1") GET("/2") };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct client *c = join(TLS1_3_VERSION, NULL);
        char answer[1024];
        ssize_t n = 0, got;
        say_plainly(c, asked[i]);
        UNTIL(lun_server_counts(server)->refused_400 == i + 1);
        shutdown(c->fd, SHUT_WR);
        UNTIL(lun_server_counts(server)->open == 0);
        while ((got = recv(c->fd, answer + n, sizeof answer - 1 - (size_t)n, 0)) > 0) n += got;
        answer[n] = 0;
        assert_int_equal(strncmp(answer, "HTTP/1.1 400 ", 13), 0);
        assert_non_null(strstr(answer, "https://"));
        assert_null(strstr(answer + 13, "HTTP/1.1"));
        leave(c);
    }
    assert_int_equal(lun_server_counts(server)->requests, 0);
}

/* The new certificate counts for connections from now on; one that is there goes on with what it began with. */
static void another_certificate_disturbs_nobody(void **state)
{
    (void)state;
    struct lun_certificate_problem problem;
    struct client *before = join(TLS1_3_VERSION, NULL);
    say(before, GET("/1"));
    UNTIL(has(before, "200 OK"));
    struct lun_certificate *pair = lun_certificate_read(certificate, key, lun_clock_wall(), &problem);
    struct lun_tls *another = lun_tls_new(pair);
    lun_certificate_free(pair);
    WITHIN(lun_server_set_tls(server, another));
    lun_tls_free(tls);
    tls = another;
    struct client *after = join(TLS1_3_VERSION, NULL);
    say(before, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbefore");
    say(after, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nafter");
    UNTIL(has(before, "before") && has(after, "after"));
    leave(before);
    leave(after);
    UNTIL(lun_server_counts(server)->open == 0);
}

static void large_bodies_go_both_ways(void **state)
{
    (void)state;
    size_t n = 3000001;
    char *text = lun_alloc(n);
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + i % 23);
    struct client *c = join(TLS1_3_VERSION, NULL);
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000001\r\n\r\n");
    say_bytes(c, text, n);
    UNTIL(c->got.n > n && has(c, "\r\n\r\n") && c->got.n == n + (size_t)(strstr(c->got.at, "\r\n\r\n") + 4 - c->got.at));
    assert_memory_equal(c->got.at + c->got.n - n, text, n);
    free(text);
    leave(c);
}

static void a_torn_stream_ends_without_the_last_chunk_but_with_a_word(void **state)
{
    (void)state;
    struct client *c = join(TLS1_3_VERSION, NULL);
    say(c, GET("/wait"));
    UNTIL(open_exchange);
    WITHIN((lun_exchange_head(open_exchange, 200, plain, 1, LUN_LENGTH_UNKNOWN), lun_exchange_bytes(open_exchange, "hello", 5), lun_exchange_end(open_exchange, false)));
    UNTIL(c->fin || c->failed);
    assert_true(c->fin);
    assert_true(has(c, "5\r\nhello\r\n"));
    assert_false(has(c, "0\r\n\r\n"));
    leave(c);
}

static void whoever_leaves_is_gone_with_and_without_a_word(void **state)
{
    (void)state;
    for (int polite = 0; polite < 2; polite++) {
        struct client *c = join(TLS1_3_VERSION, NULL);
        open_exchange = NULL;
        say(c, GET("/wait"));
        UNTIL(open_exchange);
        if (polite) SSL_shutdown(c->ssl);
        else leave(c);
        UNTIL(gone == polite + 1 && lun_server_counts(server)->open == 0);
        if (polite) leave(c);
    }
}

static void a_client_that_does_not_read_is_told_full_and_once_it_reads_room(void **state)
{
    (void)state;
    static char block[65536];
    memset(block, '.', sizeof block);
    struct client *c = join(TLS1_3_VERSION, NULL);
    size_t said = 0;
    say(c, GET("/wait"));
    UNTIL(open_exchange);
    event_del(c->readable);
    WITHIN(lun_exchange_head(open_exchange, 200, plain, 1, LUN_LENGTH_UNKNOWN));
    while (!full) { WITHIN(lun_exchange_bytes(open_exchange, block, sizeof block)); said += sizeof block; assert_true(said < 64 << 20); }
    event_add(c->readable, NULL);
    UNTIL(room);
    WITHIN(lun_exchange_end(open_exchange, true));
    UNTIL(c->got.n > said && !memcmp(c->got.at + c->got.n - 5, "0\r\n\r\n", 5));
    leave(c);
}

static void requests_sent_ahead_in_one_record_are_all_served(void **state)
{
    (void)state;
    struct client *c = join(TLS1_3_VERSION, NULL);
    struct lun_buf all = {0};
    for (int i = 0; i < 3000; i++) lun_buf_puts(&all, GET("/a-path-of-some-length-so-that-much-must-wait-its-turn"));
    say(c, GET("/wait"));
    UNTIL(open_exchange);
    size_t sent = 0;
    for (int quiet = 0; quiet < 50 && sent < all.n; ) {
        int n = SSL_write(c->ssl, all.at + sent, (int)(all.n - sent));
        if (n > 0) { sent += (size_t)n; quiet = 0; } else quiet++;
        event_base_loop(reactor->base, EVLOOP_NONBLOCK);
    }
    WITHIN((lun_exchange_head(open_exchange, 200, plain, 1, 0), lun_exchange_end(open_exchange, true)));
    say_bytes(c, all.at + sent, all.n - sent);
    UNTIL(lun_server_counts(server)->requests == 3001);
    lun_buf_free(&all);
    leave(c);
}

static int begin_quick(void **state)
{
    (void)state;
    return begin_with((struct lun_server_clocks){ .head = 20 * LUN_MS });
}

static void a_handshake_that_never_ends_is_closed(void **state)
{
    (void)state;
    struct client *c = join(TLS1_3_VERSION, NULL);
    assert_int_equal(send(c->fd, "\x16\x03\x01", 3, 0), 3);
    UNTIL(lun_server_counts(server)->accepted == 1 && lun_server_counts(server)->open == 0);
    leave(c);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);       /* for the clients here, whose OpenSSL writes as it likes */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_served_over_1_2_and_1_3, begin, end),
        cmocka_unit_test_setup_teardown(older_versions_and_other_protocols_are_turned_away, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_tls_is_closed, begin, end),
        cmocka_unit_test_setup_teardown(plain_http_is_told_so_in_plain_http, begin, end),
        cmocka_unit_test_setup_teardown(another_certificate_disturbs_nobody, begin, end),
        cmocka_unit_test_setup_teardown(large_bodies_go_both_ways, begin, end),
        cmocka_unit_test_setup_teardown(a_torn_stream_ends_without_the_last_chunk_but_with_a_word, begin, end),
        cmocka_unit_test_setup_teardown(whoever_leaves_is_gone_with_and_without_a_word, begin, end),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_read_is_told_full_and_once_it_reads_room, begin, end),
        cmocka_unit_test_setup_teardown(requests_sent_ahead_in_one_record_are_all_served, begin, end),
        cmocka_unit_test_setup_teardown(a_handshake_that_never_ends_is_closed, begin_quick, end),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
