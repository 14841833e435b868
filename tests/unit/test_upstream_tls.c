/* Calls to providers over TLS (certificates made by the openssl command) and over HTTP/2 (nginx as provider), all on 127.0.0.1. */
#include "upstream_probe.h"
#include <dlfcn.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/upstream-XXXXXX";
static char ca[64], other_ca[64];
static SSL_CTX *good, *elsewhere;

/* ---- the world ---- */

static atomic_int files_read;

int X509_STORE_load_file(X509_STORE *store, const char *file)
{
    static int (*real)(X509_STORE *, const char *);
    if (!real) real = dlsym(RTLD_NEXT, "X509_STORE_load_file");
    atomic_fetch_add(&files_read, 1);
    return real(store, file);
}

static void command(const char *format, ...)
{
    char line[1024];
    va_list v;
    va_start(v, format);
    int n = snprintf(line, sizeof line, "cd %s && ", folder);
    vsnprintf(line + n, sizeof line - (size_t)n, format, v);
    va_end(v);
    if (system(line) != 0) fail_msg("%s", line);
}

static void authority(const char *name)
{
    command("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=%s' -keyout %s.key -out %s.pem 2>/dev/null", name, name, name);
}

static void certificate(const char *name, const char *alternatives)
{
    command("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=%s' -keyout %s.key -out %s.csr 2>/dev/null", name, name, name);
    command("printf 'subjectAltName=%s' >%s.ext && openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile %s.ext "
            "-out %s.pem 2>/dev/null", alternatives, name, name, name, name);
}

/* Takes http/1.1, and writes down what was offered. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned in_n, void *self)
{
    struct server *s = SSL_get_app_data(ssl);
    struct lun_buf b = { 0 };
    int got = SSL_TLSEXT_ERR_NOACK;
    (void)self;
    for (unsigned i = 0; i < in_n; i += in[i] + 1u) {
        lun_buf_printf(&b, "%.*s ", in[i], in + i + 1);
        if (in[i] == 8) { *out = in + i + 1; *n = 8; got = SSL_TLSEXT_ERR_OK; }
    }
    pthread_mutex_lock(&s->lock);
    free(s->alpn);
    s->alpn = lun_strdup(lun_buf_text(&b));
    pthread_mutex_unlock(&s->lock);
    lun_buf_free(&b);
    return got;
}

static SSL_CTX *context(const char *name)
{
    char path[96];
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    snprintf(path, sizeof path, "%s/%s.pem", folder, name);
    SSL_CTX_use_certificate_chain_file(c, path);
    snprintf(path, sizeof path, "%s/%s.key", folder, name);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(c, path, SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_alpn_select_cb(c, choose, NULL);
    SSL_CTX_set_mode(c, SSL_MODE_AUTO_RETRY);
    return c;
}

/* OpenSSL in the servers, on threads of their own, raises it as it likes; the calls' own thread must not. */
static volatile sig_atomic_t pipes;
static void on_pipe(int number) { (void)number; if (gettid() == getpid()) pipes = 1; }

static int group_set_up(void)
{
    signal(SIGPIPE, on_pipe);
    if (!mkdtemp(folder)) return 1;
    snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    snprintf(other_ca, sizeof other_ca, "%s/other.pem", folder);
    authority("ca");
    authority("other");
    certificate("good", "IP:127.0.0.1,DNS:provider.test");
    certificate("elsewhere", "DNS:elsewhere.test");
    good = context("good");
    elsewhere = context("elsewhere");
    return 0;
}

static void group_tear_down(void)
{
    SSL_CTX_free(good);
    SSL_CTX_free(elsewhere);
    command("rm -rf %s", folder);
}

static struct lun_upstream_site *tls_site(int port, const char *ca_file)
{
    return site_with((struct lun_upstream_site_spec){ .base_url = url_of("https", "127.0.0.1", port), .ca_file = ca_file });
}

static struct probe post_with(void (*serve)(struct peer *), SSL_CTX *tls, const char *ca_file)
{
    server_start(&server, serve, tls);
    struct lun_upstream_site *s = tls_site(server.port, ca_file);
    struct probe p = ask(s, &post);
    lun_upstream_site_free(s);
    server_stop(&server);
    return p;
}

/* ---- trust ---- */

static void test_a_provider_of_a_named_ca_is_believed_and_offered_http_1_1_alone(void **state)
{
    (void)state;
    server_start(&server, s_ok, good);
    struct lun_upstream_site *s = tls_site(server.port, ca);
    struct probe a = ask(s, &post), b = ask(s, &post);
    assert_kind(&a, LUN_KIND_OK);
    assert_true(!a.times.reused && b.times.reused);
    assert_string_equal(server.alpn, "http/1.1 ");
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_any_other_is_tls(void **state)
{
    (void)state;
    struct probe p = post_with(s_ok, good, other_ca);
    assert_kind(&p, LUN_KIND_TLS);
    assert_non_null(strstr(p.detail, "not trusted"));
    assert_false(p.times.left);
    assert_int_equal(server.requests, 0);
    p = post_with(s_ok, good, NULL);
    assert_kind(&p, LUN_KIND_TLS);
    p = post_with(s_ok, elsewhere, ca);
    assert_kind(&p, LUN_KIND_TLS);
    assert_non_null(strstr(p.detail, "another host name"));
    assert_int_equal(server.requests, 0);
}

static void s_plain(struct peer *p) { char some[100]; if (peer_get(p, some, sizeof some) > 0) peer_say(p, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"); }
static void s_leaves(struct peer *p) { char some[100]; peer_get(p, some, sizeof some); }
static void s_resets(struct peer *p) { s_leaves(p); peer_reset(p); }

static void test_a_handshake_that_fails_is_tls(void **state)
{
    (void)state;
    static void (*const serve[])(struct peer *) = { s_plain, s_leaves, s_resets };
    for (size_t i = 0; i < 3; i++) {
        struct probe p = post_with(serve[i], NULL, ca);
        assert_kind(&p, LUN_KIND_TLS);
        assert_false(p.times.left || p.times.connected);
    }
}

static void s_one_each(struct peer *p)
{
    if (SSL_session_reused(p->ssl)) sem_post(&p->server->reached);
    if (peer_ask(p, NULL)) peer_say(p, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    SSL_shutdown(p->ssl);
    peer_wait_gone(p);
}

static void test_a_new_connection_resumes_the_session_but_not_across_cas(void **state)
{
    (void)state;
    server_start(&server, s_one_each, good);
    struct lun_upstream_site *s = tls_site(server.port, ca);
    struct lun_upstream_request stream = streaming();       /* another lane */
    struct probe p[3] = { 0 };
    for (int i = 0; i < 3; i++) {       /* none closed before the last, so that each has an easy handle of its own */
        begin(&p[i], s, i == 2 ? &stream : &post);
        RUN_UNTIL(p[i].ends);
        assert_kind(&p[i], LUN_KIND_OK);
    }
    for (int i = 0; i < 3; i++) finish(&p[i]);
    assert_int_equal(server.connections, 3);
    assert_true(soon(&server.reached) && soon(&server.reached));
    struct lun_upstream_site *o = tls_site(server.port, other_ca);
    struct probe d = ask(o, &post);
    assert_kind(&d, LUN_KIND_TLS);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
}

static void test_a_connection_is_not_shared_with_a_site_of_another_ca(void **state)
{
    (void)state;
    server_start(&server, s_ok, good);
    struct lun_upstream_site *s = tls_site(server.port, ca), *o = tls_site(server.port, other_ca);
    struct probe a = ask(s, &post), b = ask(o, &post);
    assert_kind(&a, LUN_KIND_OK);
    assert_kind(&b, LUN_KIND_TLS);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
}

static void test_a_ca_file_is_read_once_though_several_take_turns(void **state)
{
    (void)state;
    struct server second;
    server_start(&server, s_one_each, good);
    server_start(&second, s_one_each, good);
    char *copy = lun_printf("%s/copy.pem", folder);
    command("cp ca.pem copy.pem");
    atomic_store(&files_read, 0);
    struct lun_upstream_site *a = tls_site(server.port, ca), *b = tls_site(second.port, copy), *again = tls_site(server.port, ca);
    struct lun_upstream_request stream = streaming();
    for (int i = 0; i < 5; i++) {
        struct probe p[] = { ask(a, &post), ask(b, &post), ask(again, &stream), ask(b, &stream) };
        for (int k = 0; k < 4; k++) assert_kind(&p[k], LUN_KIND_OK);
    }
    assert_int_equal(server.connections + second.connections, 20);
    assert_int_equal(atomic_load(&files_read), 2);
    command("cp other.pem copy.pem");       /* a file that has changed is another */
    struct lun_upstream_site *c = tls_site(second.port, copy);
    struct probe p = ask(c, &post);
    assert_kind(&p, LUN_KIND_TLS);
    lun_upstream_site_free(a), lun_upstream_site_free(b), lun_upstream_site_free(again), lun_upstream_site_free(c);
    server_stop(&server);
    server_stop(&second);
    free(copy);
}

/* ---- how it fails, inside TLS ---- */

SAYS_AND_CLOSES(s_silent_close, "")
SAYS_AND_RESETS(s_silent_reset, "")
SAYS_AND_CLOSES(s_half_head, OK_HEAD)
SAYS_AND_CLOSES(s_short, OK_HEAD "Content-Length: 10\r\n\r\n12345")
SAYS_AND_CLOSES(s_no_last_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
SAYS_AND_CLOSES(s_open_without_notify, "HTTP/1.0 200 OK\r\n\r\n12345")
SAYS_AND_RESETS(s_reset_in_body, OK_HEAD "Content-Length: 10\r\n\r\n12345")
static void s_open_with_notify(struct peer *p) { if (peer_ask(p, NULL) && peer_say(p, "HTTP/1.0 200 OK\r\n\r\n12345")) SSL_shutdown(p->ssl); }
static void s_short_with_notify(struct peer *p) { s_short(p); SSL_shutdown(p->ssl); }

static void test_deaths_are_told_as_over_plain_sockets(void **state)
{
    (void)state;
    static const struct { void (*serve)(struct peer *); enum lun_kind kind; } cases[] = { { s_silent_close, LUN_KIND_RESET }, { s_silent_reset, LUN_KIND_RESET },
        { s_half_head, LUN_KIND_RESET }, { s_short, LUN_KIND_CUT }, { s_short_with_notify, LUN_KIND_CUT }, { s_no_last_chunk, LUN_KIND_CUT },
        { s_open_without_notify, LUN_KIND_CUT }, { s_open_with_notify, LUN_KIND_OK }, { s_reset_in_body, LUN_KIND_CUT } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct probe p = post_with(cases[i].serve, good, ca);
        if (p.kind != cases[i].kind) fail_msg("case %zu: %s (%s)", i, lun_kind_name(p.kind), p.detail);
        assert_true(p.times.left);
        assert_int_equal(server.requests, 1);
    }
}

static void s_hangs_up_in_request(struct peer *p) { char some[200]; peer_get(p, some, sizeof some); peer_reset(p); }
static void s_answers_then_resets(struct peer *p)
{
    if (peer_ask(p, NULL)) peer_say(p, OK_ANSWER);
    sem_wait(&p->server->go);
    peer_reset(p);
}

/* libcurl is told not to touch signals, so it does not keep this one away from OpenSSL either. */
static void test_a_broken_pipe_inside_tls_raises_no_signal(void **state)
{
    (void)state;
    static char large[4 << 20];
    struct lun_slice slice = { large, sizeof large };
    struct lun_upstream_request r = post;
    r.body = &slice;
    r.body_n = 1;
    for (int i = 0; i < 5; i++) {
        server_start(&server, s_hangs_up_in_request, good);
        struct lun_upstream_site *s = tls_site(server.port, ca);
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_RESET);
        lun_upstream_site_free(s);
        server_stop(&server);
    }
    assert_false(pipes);
}

static void test_closing_a_kept_connection_that_was_reset_raises_no_signal(void **state)
{
    (void)state;
    server_start(&server, s_answers_then_resets, good);
    struct lun_upstream_site *s = tls_site(server.port, ca);
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_OK);
    server_stop(&server);                       /* the connection is reset by now, and nobody here has looked at it */
    lun_upstream_site_free(s);
    assert_false(pipes);
}

static void test_no_call_of_all_these_raised_a_signal(void **state)
{
    (void)state;
    assert_false(pipes);
}

SAYS(s_head_alone, "HTTP/1.1 200 OK\r\n\r\n")
SAYS(s_204, "HTTP/1.1 204 No Content\r\n\r\n")

static void test_answers_without_a_body_need_no_end(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        server_start(&server, i ? s_204 : s_head_alone, good);
        struct lun_upstream_site *s = tls_site(server.port, ca);
        struct lun_upstream_request r = get;
        r.method = i ? "GET" : "HEAD";
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_OK);
        lun_upstream_site_free(s);
        server_stop(&server);
    }
}

static void s_reads_second_then_closes(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL) && peer_say(p, OK_ANSWER)) peer_ask(p, NULL);
    SSL_shutdown(p->ssl);
}

static void test_a_post_is_never_sent_again(void **state)
{
    (void)state;
    struct lun_upstream_request empty = post;
    empty.body_n = 0;
    for (int i = 0; i < 2; i++) {
        server_start(&server, s_reads_second_then_closes, good);
        struct lun_upstream_site *s = tls_site(server.port, ca);
        ask(s, &post);
        struct probe p = ask(s, i ? &empty : &post);
        assert_kind(&p, LUN_KIND_RESET);
        assert_int_equal(server.requests, 2);
        lun_upstream_site_free(s);
        server_stop(&server);
    }
}

static void s_once_then_notifies(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL)) peer_say(p, OK_ANSWER);
    sem_wait(&p->server->go);
    SSL_shutdown(p->ssl);
    char some[100];
    recv(p->fd, some, sizeof some, 0);      /* until we close */
}

static void test_a_post_after_an_idle_close_notify_goes_to_a_fresh_connection(void **state)
{
    (void)state;
    server_start(&server, s_once_then_notifies, good);
    struct lun_upstream_site *s = tls_site(server.port, ca);
    ask(s, &post);
    uint64_t before = lun_upstream_stats(upstream).wakes;
    sem_post(&server.go);
    RUN_UNTIL(lun_upstream_stats(upstream).wakes > before);
    for (int i = 0; i < 100; i++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(lun_upstream_stats(upstream).wakes, before + 1);
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_OK);
    assert_false(p.times.reused);
    assert_int_equal(server.requests, 2);
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* Two records in one segment: the end of an answer, and what belongs to none. */
static void s_says_more_than_asked_for(struct peer *p)
{
    static const char *const more[] = { OK_HEAD "Content-Length: 5\r\n\r\nstray", "\r\n", NULL };
    const char *what = more[(p->server->requests / 2) % 3];
    int cork = 1;
    if (!peer_ask(p, NULL)) return;
    setsockopt(p->fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
    peer_say(p, OK_ANSWER);
    if (what) peer_say(p, what);
    else SSL_shutdown(p->ssl);
    cork = 0;
    setsockopt(p->fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
    s_ok(p);
}

static void test_what_is_left_of_one_answer_is_no_part_of_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        server_start(&server, s_says_more_than_asked_for, good);
        struct lun_upstream_site *s = tls_site(server.port, ca);
        server.requests = 2 * i;
        for (int k = 0; k < 2; k++) {
            struct probe p = ask(s, &post);
            assert_kind(&p, LUN_KIND_OK);
            assert_int_equal(p.times.bytes, 2);
        }
        lun_upstream_site_free(s);
        server_stop(&server);
    }
}

/* It reads a little, answers, and closes with the rest unread, which resets. */
static void s_refuses_early(struct peer *p)
{
    char some[100];
    if (peer_get(p, some, sizeof some) <= 0) return;
    sem_wait(&p->server->go);               /* until nothing more can be sent */
    peer_say(p, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
}

static void test_an_early_answer_is_read_though_the_rest_of_the_request_cannot_be_sent(void **state)
{
    (void)state;
    enum { MUCH = 16 << 20 };
    char *text = lun_zalloc(MUCH);
    struct lun_slice all = { text, MUCH };
    struct lun_upstream_request large = post;
    large.body = &all;
    large.body_n = 1;
    server_start(&server, s_refuses_early, good);
    struct lun_upstream_site *s = tls_site(server.port, ca);
    struct probe p = { 0 };
    begin(&p, s, &large);
    for (int quiet = 0; quiet < 50; quiet++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK), usleep(2000);
    sem_post(&server.go);
    usleep(100000);                         /* its end is here too, so that writing fails before anything is read */
    RUN_UNTIL(p.ends);
    assert_int_equal(p.status, 413);
    finish(&p);
    free(text);
    lun_upstream_site_free(s);
    server_stop(&server);
}

enum { LARGE = 4 << 20 };
static void s_large(struct peer *p)
{
    static const char block[16384] = "x";
    if (!peer_ask(p, NULL) || !peer_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n")) return;
    for (int i = 0; i < LARGE && peer_put(p, block, sizeof block); i += (int)sizeof block) { }
    peer_wait_gone(p);
}

static void test_a_paused_call_over_tls_loses_nothing(void **state)
{
    (void)state;
    struct server other;
    server_start(&server, s_large, good);
    server_start(&other, s_ok, good);
    struct lun_upstream_site *s = tls_site(server.port, ca), *o = tls_site(other.port, ca);
    struct probe p = { .pause_at_bytes = true };
    begin(&p, s, &post);
    RUN_UNTIL(p.paused);
    for (int i = 0; i < 20; i++) ask(o, &post);
    for (int i = 0; i < 12 && !p.ends; i++) {
        hold(&p, false);
        if (i % 2) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        hold(&p, true);
    }
    hold(&p, false);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.body.n, LARGE);
    finish(&p);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
    server_stop(&other);
}

/* ---- a proxy ---- */

static int behind;      /* port of the provider behind the proxy */

static void s_tunnel(struct peer *p)
{
    char b[16384];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)behind), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    if (!peer_ask(p, NULL) || !peer_say(p, "HTTP/1.1 200 Go\r\nX-Proxy: here\r\n\r\n")) return;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (void *)&a, sizeof a) == 0)
        for (struct pollfd f[2] = { { p->fd, POLLIN, 0 }, { fd, POLLIN, 0 } }; poll(f, 2, -1) > 0; ) {
            int from = f[0].revents ? 0 : 1;
            ssize_t n = recv(f[from].fd, b, sizeof b, 0);
            if (n <= 0 || send(f[!from].fd, b, (size_t)n, MSG_NOSIGNAL) != n) break;
        }
    close(fd);
}

static void test_a_proxy_gives_neither_head_nor_body_and_gets_no_key(void **state)
{
    (void)state;
    struct server proxy;
    server_start(&server, s_ok, good);
    server_start(&proxy, s_tunnel, NULL);
    behind = server.port;
    char url[64];
    snprintf(url, sizeof url, "http://user:hunter2@127.0.0.1:%d", proxy.port);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "https://provider.test/v1", .ca_file = ca, .proxy = url });
    struct probe p = { 0 };
    begin(&p, s, &post);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_null(strstr(p.headers, "x-proxy"));
    assert_non_null(strstr(proxy.last, "CONNECT provider.test:443"));
    assert_null(strstr(proxy.last, "sk-never"));
    assert_null(strstr(server.last, "hunter2"));
    assert_non_null(strstr(server.last, SECRET));
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&proxy);
    server_stop(&server);
}

/* ---- HTTP/2 ---- */

static pid_t nginx;
static int h2_port;

static void nginx_start(const char *more)
{
    char path[96];
    int fd = listen_any(1, &h2_port);
    snprintf(path, sizeof path, "%s/nginx.conf", folder);
    FILE *f = fopen(path, "w");
    fprintf(f, "daemon off; master_process off; pid %s/pid; error_log %s/error.log; events { worker_connections 512; }\n"
            "http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
            "server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s/good.pem; ssl_certificate_key %s/good.key; root %s; %s\n"
            "location = /v1/chat/completions { return 200 '{}'; } } }\n",
            folder, folder, folder, folder, folder, folder, folder, h2_port, folder, folder, folder, more);
    fclose(f);
    command("mkdir -p v1 && head -c 100000 /dev/zero >v1/small && head -c 8388608 /dev/zero >v1/large");
    close(fd);
    nginx = fork();
    if (!nginx) { prctl(PR_SET_PDEATHSIG, SIGTERM); execlp("nginx", "nginx", "-p", folder, "-c", path, "-e", "/dev/null", NULL); _exit(127); }
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)h2_port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    for (bool up = false; !up; sched_yield()) {
        int probe_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
        up = connect(probe_fd, (void *)&a, sizeof a) == 0;
        close(probe_fd);
        if (waitpid(nginx, &status, WNOHANG) == nginx) fail_msg("nginx did not start");
    }
}

static void nginx_stop(void)
{
    kill(nginx, SIGTERM);
    waitpid(nginx, NULL, 0);
}

static struct lun_upstream_site *h2_site(void)
{
    return site_with((struct lun_upstream_site_spec){ .base_url = url_of("https", "127.0.0.1", h2_port), .ca_file = ca, .http2 = true });
}

static struct lun_upstream_request getting(const char *path) { struct lun_upstream_request r = get; r.path = path; r.stream = true; return r; }

static void test_http2_calls_share_a_connection(void **state)
{
    (void)state;
    enum { N = 20 };
    static struct probe p[N];
    memset(p, 0, sizeof p);
    nginx_start("");
    struct lun_upstream_site *s = h2_site();
    for (int i = 0; i < N; i++) {       /* one after the other: of many at once libcurl 7.88 resets some, see core/wire/README.md */
        begin(&p[i], s, &post);
        RUN_UNTIL(p[i].ends);
        assert_kind(&p[i], LUN_KIND_OK);
        assert_int_equal(p[i].times.version, 20);
        assert_true(p[i].times.left);
        finish(&p[i]);
    }
    assert_int_equal(lun_upstream_stats(upstream).sockets, 1);
    lun_upstream_site_free(s);
    nginx_stop();
}

static void test_a_paused_http2_stream_does_not_stall_its_neighbour_and_is_dropped(void **state)
{
    (void)state;
    nginx_start("");
    struct lun_upstream_site *s = h2_site();
    struct lun_upstream_request large = getting("/large");
    struct probe a = { .pause_at_bytes = true }, b = { 0 };
    begin(&a, s, &large);
    RUN_UNTIL(a.paused);
    begin(&b, s, &large);
    RUN_UNTIL(b.ends);
    assert_kind(&b, LUN_KIND_OK);
    assert_int_equal(b.body.n, 8388608);
    assert_true(b.times.reused);
    RUN_UNTIL(a.ends);
    assert_kind(&a, LUN_KIND_CANCELLED);
    assert_true(a.body.n < 8388608);
    struct probe c = ask(s, &post);
    assert_kind(&c, LUN_KIND_OK);
    assert_true(c.times.version == 20);
    finish(&a);
    finish(&b);
    lun_upstream_site_free(s);
    nginx_stop();
}

static void test_what_came_during_an_http2_pause_is_told_after_it(void **state)
{
    (void)state;
    nginx_start("");
    struct lun_upstream_site *s = h2_site();
    struct lun_upstream_request small = getting("/small");
    struct probe a = { .pause_at_head = true }, b = { 0 };
    begin(&a, s, &small);
    RUN_UNTIL(a.paused);
    begin(&b, s, &small);
    RUN_UNTIL(b.ends);
    finish(&b);
    RUN_UNTIL(lun_upstream_site_busy(s) == 0);      /* it is all here */
    assert_true(!a.ends && !a.body.n);
    hold(&a, false);
    assert_int_equal(a.ends, 1);
    assert_kind(&a, LUN_KIND_OK);
    assert_int_equal(a.body.n, 100000);
    finish(&a);
    lun_upstream_site_free(s);
    nginx_stop();
}

static void test_closing_an_http2_stream_leaves_its_neighbour_alone(void **state)
{
    (void)state;
    nginx_start("");
    struct lun_upstream_site *s = h2_site();
    struct lun_upstream_request large = getting("/large");
    for (int i = 0; i < 10; i++) {
        struct probe a = { .pause_at_bytes = i % 2 }, b = { 0 };
        begin(&b, s, &large);
        begin(&a, s, &large);
        RUN_UNTIL(a.body.n);
        finish(&a);
        RUN_UNTIL(b.ends);
        assert_kind(&b, LUN_KIND_OK);
        assert_int_equal(b.body.n, 8388608);
        finish(&b);
        assert_int_equal(lun_upstream_stats(upstream).sockets, 1);
    }
    lun_upstream_site_free(s);
    nginx_stop();
}

static void test_a_provider_without_http2_is_spoken_to_in_http_1_1_and_paused_so(void **state)
{
    (void)state;
    server_start(&server, s_large, good);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){
        .base_url = url_of("https", "127.0.0.1", server.port), .ca_file = ca, .http2 = true });
    struct probe p = { .pause_at_bytes = true };
    begin(&p, s, &post);
    RUN_UNTIL(p.paused);
    for (int i = 0; i < 100; i++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_string_equal(server.alpn, "h2 http/1.1 ");
    assert_int_equal(p.ends, 0);
    hold(&p, false);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.times.version, 11);
    assert_int_equal(p.body.n, LARGE);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest both[] = {
        TEST(test_a_provider_of_a_named_ca_is_believed_and_offered_http_1_1_alone), TEST(test_any_other_is_tls), TEST(test_a_handshake_that_fails_is_tls),
        TEST(test_a_new_connection_resumes_the_session_but_not_across_cas), TEST(test_a_connection_is_not_shared_with_a_site_of_another_ca),
        TEST(test_a_ca_file_is_read_once_though_several_take_turns), TEST(test_deaths_are_told_as_over_plain_sockets),
        TEST(test_a_broken_pipe_inside_tls_raises_no_signal), TEST(test_closing_a_kept_connection_that_was_reset_raises_no_signal),
        TEST(test_answers_without_a_body_need_no_end),
        TEST(test_an_early_answer_is_read_though_the_rest_of_the_request_cannot_be_sent), TEST(test_a_post_is_never_sent_again),
        TEST(test_a_post_after_an_idle_close_notify_goes_to_a_fresh_connection), TEST(test_a_paused_call_over_tls_loses_nothing),
    };
    const struct CMUnitTest curl[] = {
        TEST(test_a_proxy_gives_neither_head_nor_body_and_gets_no_key), TEST(test_http2_calls_share_a_connection),
        TEST(test_a_paused_http2_stream_does_not_stall_its_neighbour_and_is_dropped), TEST(test_what_came_during_an_http2_pause_is_told_after_it),
        TEST(test_closing_an_http2_stream_leaves_its_neighbour_alone), TEST(test_a_provider_without_http2_is_spoken_to_in_http_1_1_and_paused_so),
    };
    const struct CMUnitTest direct[] = {
        TEST(test_what_is_left_of_one_answer_is_no_part_of_the_next),           /* libcurl 7.88 does not look for it */
    };
    const struct CMUnitTest last[] = { cmocka_unit_test(test_no_call_of_all_these_raised_a_signal), cmocka_unit_test(test_no_detail_shows_a_secret) };
    if (group_set_up()) return 1;
    transport = LUN_TRANSPORT_CURL;
    int failed = cmocka_run_group_tests_name("libcurl", both, NULL, NULL) + cmocka_run_group_tests_name("libcurl alone", curl, NULL, NULL);
    transport = LUN_TRANSPORT_DIRECT;
    failed += cmocka_run_group_tests_name("direct", both, NULL, NULL) + cmocka_run_group_tests_name("direct alone", direct, NULL, NULL);
    failed += cmocka_run_group_tests_name("both", last, NULL, NULL);
    group_tear_down();
    return failed;
}
