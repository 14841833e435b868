/* Calls to providers, over real sockets on 127.0.0.1: plain HTTP/1.1 and what may go wrong with it, by either transport; then what each of them does when
 * nobody watches. */
#include "upstream_probe.h"
#include <curl/curl.h>
#include <dlfcn.h>
#include <malloc.h>
#include <netdb.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- the world as libcurl sees it ---- */

static sem_t look_up_began, look_up_goes_on;
static atomic_int look_ups_waiting, look_ups_given_up, look_ups;
static int silent = -1;         /* a listening socket that takes nobody */

/* Three addresses: one where nobody listens, that of `silent` (which is full), one that is asked for. Each in a block of its own, as freeaddrinfo has it. */
static struct addrinfo *three(const char *port)
{
    struct addrinfo *all = NULL;
    for (int i = 2; i >= 0; i--) {
        struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in));
        struct sockaddr_in *to = (void *)(a + 1);
        *a = (struct addrinfo){ .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof *to, .ai_addr = (void *)to, .ai_next = all };
        *to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons((uint16_t)(i == 0 ? 1 : atoi(port))) };
        if (i == 1) getsockname(silent, (void *)to, &(socklen_t){ sizeof *to });
        all = a;
    }
    return all;
}

/* nowhere.test does not exist; slow.test is not answered before the test says so. Stands before the C library's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    atomic_fetch_add(&look_ups, 1);
    if (node && !strcmp(node, "nowhere.test")) return EAI_NONAME;
    if (node && !strcmp(node, "three.test")) { *out = three(service); return 0; }
    if (node && !strcmp(node, "slow.test")) {
        atomic_fetch_add(&look_ups_waiting, 1);
        sem_post(&look_up_began);
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec += 3;
        if (sem_timedwait(&look_up_goes_on, &t) != 0) atomic_fetch_add(&look_ups_given_up, 1);
        atomic_fetch_sub(&look_ups_waiting, 1);
        return EAI_NONAME;
    }
    return real(node, service, hints, out);
}

/* Where memory grows it moves, and what is left behind with a key in it is counted. Not where a sanitizer has its own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static atomic_bool watching;
static atomic_int left_behind;

void *realloc(void *old, size_t n)
{
    size_t had = old ? malloc_usable_size(old) : 0;
    if (n && had >= n) return old;
    void *new = malloc(n ? n : 1);
    if (new && had) memcpy(new, old, had);
    if (new && had && watching && memmem(old, had, SECRET, sizeof SECRET - 1)) left_behind++;
    if (new) free(old);
    return new;
}
#endif

static int kicks, epoll_ctls, epoll_adds, sigactions;

int epoll_ctl(int fd, int what, int socket, struct epoll_event *e)
{
    int got = (int)syscall(SYS_epoll_ctl, fd, what, socket, e);
    epoll_ctls++;
    if (what == EPOLL_CTL_ADD) epoll_adds++;
    return got;
}

int sigaction(int number, const struct sigaction *new, struct sigaction *old)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (!real) real = dlsym(RTLD_NEXT, "sigaction");
    sigactions++;
    return real(number, new, old);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t s, int mask, int *running)
{
    static CURLMcode (*real)(CURLM *, curl_socket_t, int, int *);
    if (!real) real = dlsym(RTLD_NEXT, "curl_multi_socket_action");
    if (s == CURL_SOCKET_TIMEOUT) kicks++;
    return real(multi, s, mask, running);
}

static atomic_bool answers_are_quick; static pthread_t loop_thread; static bool just_sent;

static bool quick(void) { return atomic_load(&answers_are_quick) && pthread_equal(pthread_self(), loop_thread); }

/* As if each answer were there as soon as somebody looks. */
static void await(int fd)
{
    ppoll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, &(struct timespec){ .tv_sec = 10 }, NULL);
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
    if (quick()) just_sent = true;
    return sendto(fd, from, n, flags, NULL, 0);
}

int poll_here(struct pollfd *, nfds_t, int) __asm__("poll");

int poll_here(struct pollfd *p, nfds_t n, int ms)
{
    if (n == 1 && ms == 0 && quick() && just_sent) await(p->fd);
    return ppoll(p, n, ms < 0 ? NULL : &(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
    if (!flags && quick()) { just_sent = false; await(fd); }
    return recvfrom(fd, to, n, flags, NULL, NULL);
}

static atomic_int thief = -1;

/* As if another thread opened something at once: it gets the number that has become free. */
int close(int fd)
{
    int got = (int)syscall(SYS_close, fd);
    if (atomic_load(&thief) >= 0 && pthread_equal(pthread_self(), loop_thread)) dup2(atomic_load(&thief), fd);
    return got;
}

/* ---- what is sent ---- */

static void test_request_goes_out_as_given_in_one_piece(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_pair extra[] = { { "X-Extra", "of the site" }, { "X-Both", "site" } };
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){
        .base_url = url_of("http", "127.0.0.1", server.port), .headers = extra, .headers_n = 2 });
    struct lun_pair mine[] = { { "Authorization", SECRET }, { "Content-Type", "application/json" }, { "x-both", "request" }, { "X-Empty", "" },
        { "Host", "elsewhere" }, { "Content-Length", "987654321" }, { "Transfer-Encoding", "chunked" }, { "Accept-Encoding", "gzip" },
        { "Expect", "100-continue" }, { "Connection", "close" }, { "TE", "its-own" }, { "Trailer", "its-own" }, { "Upgrade", "its-own" },
        { "Keep-Alive", "its-own" }, { "HTTP2-Settings", "its-own" }, { "Proxy-Authorization", "its-own" }, { "X-Te", "an answer" } };
    struct lun_upstream_request r = post;
    r.headers = mine;
    r.headers_n = sizeof mine / sizeof *mine;
    struct probe p = ask(s, &r);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.status, 200);
    char host[64];
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%d\r\n", server.port);
    static const char *const there[] = { "POST /v1/chat/completions?secret-query HTTP/1.1\r\n", "\r\nAuthorization: " SECRET "\r\n",
        "\r\nContent-Type: application/json\r\n", "\r\nContent-Length: 13\r\n", "\r\nAccept-Encoding: identity\r\n", "\r\nUser-Agent: lunette/0.1\r\n",
        "\r\nX-Extra: of the site\r\n", "\r\nX-Both: site\r\n", "\r\nX-Empty:", "\r\nX-Te: an answer\r\n" };
    static const char *const absent[] = { "request", "elsewhere", "987654321", "chunked", "gzip", "Expect", "close", "Cookie", "its-own" };
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) if (!strstr(server.last, there[i])) fail_msg("no %s in %s", there[i], server.last);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) if (strcasestr(server.last, absent[i])) fail_msg("%s in %s", absent[i], server.last);
    assert_non_null(strstr(server.last, host));
    lun_upstream_site_free(s);
    server_stop(&server);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void test_a_key_is_left_behind_in_no_memory(void **state)
{
    (void)state;
    enum { MANY = 30 };
    static char text[MANY][200];
    struct lun_pair mine[MANY] = { { "Authorization", SECRET } };
    for (int i = 1; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "X-%d", i);
        memset(text[i] + 10, 'x', 180);
        mine[i] = (struct lun_pair){ text[i], text[i] + 10 };
    }
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (size_t n = 1; n <= MANY; n++) {
        struct lun_upstream_request r = post;
        r.headers = mine;
        r.headers_n = n;
        watching = true;
        struct probe p = ask(s, &r);
        watching = false;
        assert_int_equal(p.status, 200);
    }
    assert_int_equal(left_behind, 0);
    lun_upstream_site_free(s);
    server_stop(&server);
}
#endif

static char *sent_body; static size_t sent_body_n;
static void s_echo_length(struct peer *p)
{
    size_t n;
    while (peer_ask(p, &n)) {
        char answer[128];
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n%12zu", n);
        peer_say(p, answer);
    }
}

static void test_a_large_body_of_many_slices_arrives_whole_and_without_expect(void **state)
{
    (void)state;
    server_start(&server, s_echo_length, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    static struct lun_slice slices[700];
    char *block = lun_alloc(5000);
    memset(block, 'x', 5000);
    for (int i = 0; i < 700; i++) slices[i] = (struct lun_slice){ block, 5000 };
    struct lun_upstream_request r = post;
    r.body = slices;
    r.body_n = 700;
    struct probe p = { 0 };
    begin(&p, s, &r);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(strtoul(lun_buf_text(&p.body), NULL, 10), 3500000);
    assert_true(p.times.left && p.times.sent && p.times.sent <= p.times.first_byte);
    assert_null(strstr(server.last, "Expect"));
    finish(&p);
    free(block);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_post_without_content_type_is_given_none(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct lun_upstream_request r = post;
    r.headers_n = 1;
    struct probe p = ask(s, &r);
    assert_kind(&p, LUN_KIND_OK);
    assert_null(strcasestr(server.last, "content-type"));
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_other_methods(void **state)
{
    (void)state;
    static const struct { const char *method, *line; size_t body; } cases[] = { { "GET", "GET /v1/models HTTP/1.1\r\n", 0 },
        { "DELETE", "DELETE /v1/models HTTP/1.1\r\n", 0 }, { "PUT", "PUT /v1/models HTTP/1.1\r\n", 3 }, { "POST", "POST /v1/models HTTP/1.1\r\n", 0 },
        { "HEAD", "HEAD /v1/models HTTP/1.1\r\n", 0 }, { "GET", "GET /v1/models HTTP/1.1\r\n", 0 } };
    server_start(&server, s_echo_length, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lun_upstream_request r = get;
        r.method = cases[i].method;
        r.body = body;
        r.body_n = cases[i].body;
        if (!strcmp(r.method, "HEAD")) {    /* the rest of that answer is not for it: a connection of its own */
            struct probe h = { 0 };
            begin(&h, s, &r);
            RUN_UNTIL(h.ends);
            assert_kind(&h, LUN_KIND_OK);
            assert_int_equal(h.body.n, 0);
            finish(&h);
        } else {
            struct probe p = ask(s, &r);
            assert_kind(&p, LUN_KIND_OK);
        }
        if (strncmp(server.last, cases[i].line, strlen(cases[i].line))) fail_msg("%s", server.last);
    }
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_what_cannot_be_sent_is_bad_request_and_told_later(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    static const struct lun_pair wrong[] = { { "X-A", "1\r\nX-B: 2" }, { "X-A", "1\n2" }, { "X A", "1" }, { "X:A", "1" }, { "", "1" }, { "X-A", "\1" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct lun_upstream_request r = post;
        r.headers = &wrong[i];
        r.headers_n = 1;
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_BAD_REQUEST);
    }
    static const char *const paths[] = { "no-slash", "/a b", "/a\r\nX: y", "/a#b", "/\xc3\xa9", NULL };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct lun_upstream_request r = post;
        r.path = paths[i];
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_BAD_REQUEST);
        assert_false(p.times.left);
    }
    static const char *const methods[] = { "", "GE T", "post", "GET\r\n", "ABCDEFGHIJKLMNOPQ", NULL };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct lun_upstream_request r = post;
        r.method = methods[i];
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_BAD_REQUEST);
    }
    assert_int_equal(server.connections, 0);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_more_paths_than_a_site_remembers(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (int i = 0; i < 40; i++) {
        char path[32], line[64];
        snprintf(path, sizeof path, "/path-%d/../x", i);
        snprintf(line, sizeof line, "GET /v1/path-%d/../x HTTP/1.1\r\n", i);
        struct lun_upstream_request r = get;
        r.path = path;
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_OK);
        assert_memory_equal(server.last, line, strlen(line));
    }
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_site_needs_a_plain_http_url(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "ftp://h/", "file:///etc/passwd", "h", "http://", "http://u:p@h/v1", "http://u@h/v1", "http://h/v1?q", "http://h/v1#f",
                                         "http://h/ v1", "http://h\r\n/", "http://h:99999/", NULL };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *error = NULL;
        struct lun_upstream_site_spec spec = { .base_url = wrong[i] };
        if (lun_upstream_site_new(upstream, &spec, &error)) fail_msg("%s was taken", wrong[i]);
        assert_non_null(error);
        free(error);
    }
    static const struct lun_pair bad = { "X-A", "sk-secret\n" };
    struct lun_upstream_site_spec specs[] = { { .base_url = "http://h", .headers = &bad, .headers_n = 1 }, { .base_url = "https://h", .ca_file = "/nonexistent/ca.pem" },
                                              { .base_url = "https://h", .ca_file = "/etc/passwd" } };
    for (size_t i = 0; i < 3; i++) {
        char *error = NULL;
        assert_null(lun_upstream_site_new(upstream, &specs[i], &error));
        assert_non_null(error);
        assert_null(strstr(error, "sk-secret"));
        free(error);
    }
}

/* ---- the answer ---- */

SAYS(s_interim, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK_ANSWER)

static void test_interim_heads_are_not_the_head(void **state)
{
    (void)state;
    server_start(&server, s_interim, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = { 0 };
    begin(&p, s, &post);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.status, 200);
    assert_string_equal(p.headers, "content-type: application/json\nx-request-id: r1\ncontent-length: 2\n");
    assert_string_equal(lun_buf_text(&p.body), "{}");
    assert_int_equal(p.times.version, 11);
    assert_int_equal(p.times.bytes, 2);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

SAYS(s_trailers, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Trailer: HTTP/1.1 500 no\r\nSet-Cookie: a=b\r\n\r\n")

static void test_chunks_are_joined_and_trailers_left_out(void **state)
{
    (void)state;
    server_start(&server, s_trailers, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = { 0 };
    begin(&p, s, &post);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_null(strstr(p.headers, "trailer"));
    assert_string_equal(lun_buf_text(&p.body), "abcdefg");
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

SAYS(s_redirect, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
SAYS(s_gzip, OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz")
SAYS(s_503, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\nno!")
SAYS(s_204, "HTTP/1.1 204 No Content\r\n\r\n")
SAYS_AND_CLOSES(s_until_close, "HTTP/1.0 200 OK\r\n\r\nuntil the end")

static void test_any_whole_answer_is_ok_whatever_its_status(void **state)
{
    (void)state;
    static const struct { void (*serve)(struct peer *); int status; size_t bytes; } cases[] = {
        { s_redirect, 307, 0 }, { s_gzip, 200, 4 }, { s_503, 503, 3 }, { s_204, 204, 0 }, { s_until_close, 200, 13 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct probe p = post_to(cases[i].serve);
        assert_kind(&p, LUN_KIND_OK);
        assert_int_equal(p.status, cases[i].status);
        assert_int_equal(p.times.bytes, cases[i].bytes);
        assert_int_equal(server.requests, 1);
    }
}

static void s_early(struct peer *p)
{
    char waste[100];
    if (peer_get(p, waste, sizeof waste) > 0 && peer_say(p, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")) peer_wait_hung_up(p);
}

static void test_an_answer_before_the_body_is_out_is_heard(void **state)
{
    (void)state;
    server_start(&server, s_early, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    sent_body_n = 32 << 20;
    sent_body = calloc(1, sent_body_n);
    struct lun_slice large = { sent_body, sent_body_n };
    struct lun_upstream_request r = post;
    r.body = &large;
    r.body_n = 1;
    struct probe p = ask(s, &r);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.status, 413);
    assert_false(p.times.left);
    free(sent_body);
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* ---- how it fails ---- */

static void test_nobody_listens_is_connect_refused(void **state)
{
    (void)state;
    int port, fd = listen_any(-1, &port);
    struct lun_upstream_site *s = site_at(port);
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_CONNECT_REFUSED);
    assert_non_null(strstr(p.detail, "Connection refused"));
    assert_false(p.times.left || p.times.connected || p.times.sent);
    lun_upstream_site_free(s);
    close(fd);
}

/* What decides is the address that would be connected to, however it was written and whatever name led there. */
static void test_a_guarded_site_never_connects_to_metadata(void **state)
{
    (void)state;
    static const char *const urls[] = { "http://169.254.169.254", "http://2852039166", "http://0xa9fea9fe", "http://0251.0376.0251.0376", "http://169.254.43518", "https://169.254.1.1:8443",
        "http://100.100.100.200", "http://192.0.0.192", "http://168.63.129.16", "http://[fe80::1]", "http://[::ffff:169.254.169.254]", "http://[64:ff9b::a9fe:a9fe]", "http://[fd00:ec2::254]" };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = urls[i], .guarded = true });
        struct probe p = ask(s, &post);
        assert_kind(&p, LUN_KIND_CONNECT_REFUSED);
        if (!strstr(p.detail, "leads to an address of the local link")) fail_msg("%s: %s", urls[i], p.detail);
        lun_upstream_site_free(s);
    }
}

static void test_an_unknown_name_is_dns(void **state)
{
    (void)state;
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "http://nowhere.test/v1" });
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_DNS);
    assert_non_null(strstr(p.detail, "nowhere.test"));
    assert_false(p.times.left);
    lun_upstream_site_free(s);
}

static void look_ups_over(void)
{
    int waiting = atomic_load(&look_ups_waiting);
    for (int i = 0; i < waiting; i++) sem_post(&look_up_goes_on);
    while (atomic_load(&look_ups_waiting)) sched_yield();
    while (sem_trywait(&look_up_goes_on) == 0) { }
    while (sem_trywait(&look_up_began) == 0) { }
}

static void test_names_are_looked_up_one_after_the_other(void **state)
{
    (void)state;
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "http://slow.test/v1" });
    epoll_ctls = 0;
    for (int i = 0; i < 4; i++) {       /* the resolver's socket has the same number each time, and is to be watched anew */
        struct probe p = { 0 };
        begin(&p, s, &post);
        while (sem_trywait(&look_up_began) != 0) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        sem_post(&look_up_goes_on);
        RUN_UNTIL(p.ends);
        assert_kind(&p, LUN_KIND_DNS);
        finish(&p);
        assert_in_range(epoll_ctls, 2 * (i + 1), 4 * (i + 1));
    }
    lun_upstream_site_free(s);
}

static void test_closing_during_a_name_look_up_does_not_block(void **state)
{
    (void)state;
    atomic_store(&look_ups_given_up, 0);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "http://slow.test/v1" });
    struct probe p = { 0 };
    begin(&p, s, &post);
    while (sem_trywait(&look_up_began) != 0) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    finish(&p);
    assert_int_equal(atomic_load(&look_ups_given_up), 0);       /* it is still waiting, we are not */
    assert_int_equal(p.ends, 0);
    look_ups_over();
    lun_upstream_site_free(s);
}

static void test_the_connect_clock_runs_over_name_and_handshake(void **state)
{
    (void)state;
    int port, fd = listen_any(8, &port);
    atomic_store(&look_ups_given_up, 0);
    const char *urls[] = { "http://slow.test/v1", url_of("https", "127.0.0.1", port) };
    for (int i = 0; i < 2; i++) {
        struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = urls[i], .connect_timeout = 30 * LUN_SECOND });
        struct lun_upstream_request r = post;
        r.connect_timeout = 20 * LUN_MS;
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_CONNECT_TIMEOUT);
        assert_false(p.times.left);
        lun_upstream_site_free(s);
    }
    assert_int_equal(atomic_load(&look_ups_given_up), 0);
    look_ups_over();
    close(fd);
}

static void s_patient(struct peer *p)
{
    if (!peer_ask(p, NULL)) return;
    sem_post(&p->server->reached);
    sem_wait(&p->server->go);
    peer_say(p, OK_ANSWER);
}

static void test_the_connect_clock_stops_once_connected(void **state)
{
    (void)state;
    server_start(&server, s_patient, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct lun_upstream_request r = post;
    r.connect_timeout = 20 * LUN_MS;
    struct probe p = { 0 };
    begin(&p, s, &r);
    while (sem_trywait(&server.reached) != 0) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    lun_us until = lun_clock_now() + 60 * LUN_MS;
    while (lun_clock_now() < until) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(p.ends, 0);
    sem_post(&server.go);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

SAYS_AND_CLOSES(s_silent_close, "")
SAYS_AND_RESETS(s_silent_reset, "")
SAYS_AND_CLOSES(s_half_line, "HTTP/1.")
SAYS_AND_CLOSES(s_half_head, OK_HEAD "Content-Len")
SAYS_AND_CLOSES(s_head_without_end, OK_HEAD)
SAYS_AND_RESETS(s_half_head_reset, OK_HEAD)
SAYS_AND_CLOSES(s_only_interim, "HTTP/1.1 100 Continue\r\n\r\n")

static void test_death_before_a_whole_head_is_reset(void **state)
{
    (void)state;
    static void (*const serve[])(struct peer *) = { s_silent_close, s_silent_reset, s_half_line, s_half_head, s_head_without_end, s_half_head_reset,
                                                    s_only_interim };
    for (size_t i = 0; i < sizeof serve / sizeof *serve; i++) {
        struct probe p = post_to(serve[i]);
        if (p.kind != LUN_KIND_RESET) fail_msg("case %zu: %s (%s)", i, lun_kind_name(p.kind), p.detail);
        assert_int_equal(p.heads, 0);
        assert_true(p.times.left);
        assert_int_equal(server.requests, 1);
    }
}

SAYS_AND_CLOSES(s_short, OK_HEAD "Content-Length: 10\r\n\r\n12345")
SAYS_AND_CLOSES(s_no_body, OK_HEAD "Content-Length: 10\r\n\r\n")
SAYS_AND_CLOSES(s_no_last_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
SAYS_AND_CLOSES(s_half_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n10\r\nabc")
SAYS_AND_CLOSES(s_half_last_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
SAYS_AND_RESETS(s_reset_in_body, OK_HEAD "Content-Length: 10\r\n\r\n12345")
SAYS_AND_RESETS(s_reset_in_open_body, "HTTP/1.0 200 OK\r\n\r\n12345")

static void test_death_in_the_body_is_cut(void **state)
{
    (void)state;
    static void (*const serve[])(struct peer *) = { s_short, s_no_body, s_no_last_chunk, s_half_chunk, s_half_last_chunk, s_reset_in_body, s_reset_in_open_body };
    for (size_t i = 0; i < sizeof serve / sizeof *serve; i++) {
        struct probe p = post_to(serve[i]);
        if (p.kind != LUN_KIND_CUT) fail_msg("case %zu: %s (%s)", i, lun_kind_name(p.kind), p.detail);
        assert_int_equal(p.heads, 1);
        assert_int_equal(p.status, 200);
        assert_int_equal(server.requests, 1);
    }
}

SAYS(s_not_http, "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n")
SAYS(s_http09, "<html>hello</html>\n")
SAYS(s_http3, "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n")
SAYS(s_long_status, "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")
SAYS(s_folded, "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n")
SAYS(s_no_colon, "HTTP/1.1 200 OK\r\nwhat is this\r\nContent-Length: 0\r\n\r\n")
SAYS(s_blank_before_colon, "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n")
SAYS(s_control, "HTTP/1.1 200 OK\r\nX-A: \x01\r\nContent-Length: 0\r\n\r\n")
SAYS(s_bare_cr, "HTTP/1.1 200 OK\r\nX-A: a\rX-B: b\r\nContent-Length: 0\r\n\r\n")
SAYS(s_switch, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
SAYS(s_gzip_coding, OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
SAYS(s_bad_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n")
SAYS(s_huge_chunk, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n")
SAYS(s_bad_length, OK_HEAD "Content-Length: -5\r\n\r\nabc")
SAYS(s_two_lengths, OK_HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc")

static void s_nul(struct peer *p)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n";
    if (peer_ask(p, NULL) && peer_put(p, text, sizeof text - 1)) peer_wait_gone(p);
}

static void s_endless_head(struct peer *p)
{
    if (!peer_ask(p, NULL) || !peer_say(p, "HTTP/1.1 200 OK\r\n")) return;
    while (peer_say(p, "X-More: ................................................................................................\r\n")) { }
    sem_post(&p->server->gone);
}

static void s_endless_interim(struct peer *p)
{
    if (!peer_ask(p, NULL)) return;
    while (peer_say(p, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n")) { }
    sem_post(&p->server->gone);
}

static void s_endless_trailers(struct peer *p)
{
    if (!peer_ask(p, NULL) || !peer_say(p, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n")) return;
    while (peer_say(p, "X-More: ................................................................................................\r\n")) { }
    sem_post(&p->server->gone);
}

static void s_endless_line(struct peer *p)
{
    static char many[4097];
    memset(many, 'a', 4096);
    if (!peer_ask(p, NULL) || !peer_say(p, "HTTP/1.1 200 OK\r\nX-More: ")) return;
    while (peer_say(p, many)) { }
    sem_post(&p->server->gone);
}

static void s_many_lines(struct peer *p)
{
    if (!peer_ask(p, NULL) || !peer_say(p, "HTTP/1.1 200 OK\r\n")) return;
    for (int i = 0; i < 300; i++) peer_say(p, "A: b\r\n");
    peer_wait_gone(p);
}

static void test_what_is_not_http_is_bad_answer(void **state)
{
    (void)state;
    static const struct { void (*serve)(struct peer *); const char *name; } cases[] = {
#define C(name) { name, #name }
        C(s_not_http), C(s_http09), C(s_http3), C(s_long_status), C(s_folded), C(s_no_colon), C(s_blank_before_colon), C(s_control), C(s_bare_cr), C(s_switch),
        C(s_gzip_coding), C(s_bad_chunk), C(s_huge_chunk), C(s_bad_length), C(s_two_lengths), C(s_nul), C(s_endless_head), C(s_endless_interim),
        C(s_endless_trailers), C(s_endless_line), C(s_many_lines) };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct probe p = post_to(cases[i].serve);
        if (p.kind != LUN_KIND_BAD_ANSWER) fail_msg("%s: %s (%s)", cases[i].name, lun_kind_name(p.kind), p.detail);
        assert_int_equal(server.connections, 1);
    }
}

/* ---- kept connections ---- */

static void test_a_connection_is_kept_for_the_next_call(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe a = ask(s, &post), b = ask(s, &post), c = ask(s, &get);
    assert_kind(&c, LUN_KIND_OK);
    assert_false(a.times.reused);
    assert_true(b.times.reused && c.times.reused);
    assert_true(a.times.started && a.times.started <= a.times.connected && a.times.connected <= a.times.sent && a.times.sent <= a.times.first_byte
                && a.times.first_byte <= a.times.ended);
    assert_int_equal(server.connections, 1);
    lun_upstream_site_free(s);
    s = site_at(server.port);       /* as after a reload */
    struct probe d = ask(s, &post);
    assert_true(d.times.reused);
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* Answers once, then closes as soon as the second request has begun to come. */
static void s_closes_at_second(struct peer *p)
{
    char some[1];
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL) && peer_say(p, OK_ANSWER)) recv(p->fd, some, 1, MSG_PEEK);
}

static void s_reads_second_then_closes(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL) && peer_say(p, OK_ANSWER)) peer_ask(p, NULL);
}

static void post_is_never_sent_again(void (*serve)(struct peer *), const struct lun_upstream_request *r, bool may_be_read)
{
    server_start(&server, serve, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe a = ask(s, &post);
    assert_kind(&a, LUN_KIND_OK);
    struct probe b = ask(s, r);
    assert_kind(&b, LUN_KIND_RESET);
    assert_true(b.times.reused);
    lun_upstream_site_free(s);
    server_stop(&server);
    assert_int_equal(server.requests, 1 + may_be_read);
}

static void test_a_post_on_a_kept_connection_that_closes_is_reset_and_not_sent_again(void **state)
{
    (void)state;
    struct lun_upstream_request empty = post;
    empty.body_n = 0;
    for (int i = 0; i < 10; i++) {
        post_is_never_sent_again(s_closes_at_second, &post, false);
        post_is_never_sent_again(s_closes_at_second, &empty, false);
        post_is_never_sent_again(s_reads_second_then_closes, &post, true);
        post_is_never_sent_again(s_reads_second_then_closes, &empty, true);
    }
}

static void test_a_get_on_a_kept_connection_that_closes_is_sent_again(void **state)
{
    (void)state;
    server_start(&server, s_reads_second_then_closes, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    struct probe p = ask(s, &get);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(server.connections, 2);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void s_once_then_closes(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL)) peer_say(p, OK_ANSWER);
    sem_wait(&p->server->go);
}

static void s_once_then_talks(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (peer_ask(p, NULL)) peer_say(p, OK_ANSWER);
    sem_wait(&p->server->go);
    peer_say(p, "HTTP/1.1 200 OK\r\nX-Smuggled: yes\r\nContent-Length: 0\r\n\r\n");
    peer_wait_gone(p);
}

/* After what the peer did to the idle connection was seen: how often the loop woke up in a hundred turns, and what becomes of a POST. */
static void idle_connection(void (*serve)(struct peer *))
{
    struct server other;
    server_start(&other, s_ok, NULL);
    server_start(&server, serve, NULL);
    struct lun_upstream_site *s = site_at(server.port), *o = site_at(other.port);
    ask(o, &post);
    ask(s, &post);
    uint64_t before = lun_upstream_stats(upstream).wakes;
    sem_post(&server.go);
    RUN_UNTIL(lun_upstream_stats(upstream).wakes > before);
    for (int i = 0; i < 100; i++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(lun_upstream_stats(upstream).wakes, before + 1);
    for (int i = 0; i < 100; i++) ask(o, &post);
    assert_in_range(lun_upstream_stats(upstream).wakes, before + 1, before + 201);
    struct probe p = { 0 };
    begin(&p, s, &post);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_null(strstr(p.headers, "smuggled"));
    assert_false(p.times.reused);
    finish(&p);
    assert_int_equal(server.requests, 2);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
    server_stop(&other);
}

static void test_a_closed_idle_connection_does_not_spin_and_is_not_used(void **state) { (void)state; idle_connection(s_once_then_closes); }
static void test_bytes_on_an_idle_connection_answer_nobody(void **state) { (void)state; idle_connection(s_once_then_talks); }

static void test_a_call_on_a_kept_connection_needs_neither_epoll_ctl_nor_sigaction(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    epoll_ctls = sigactions = 0;
    for (int i = 0; i < 20; i++) ask(s, &post);
    assert_int_equal(server.connections, 1);
    assert_int_equal(epoll_ctls, 0);
    assert_int_equal(sigactions, 0);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_an_event_whose_bytes_were_read_by_another_ends_no_connection(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    uint64_t before = lun_upstream_stats(upstream).wakes;
    for (int fd = 3; fd < 64; fd++) event_base_active_by_fd(reactor->base, fd, EV_READ);
    RUN_UNTIL(lun_upstream_stats(upstream).wakes > before);
    struct probe p = ask(s, &post);
    assert_true(p.times.reused);
    assert_kind(&p, LUN_KIND_OK);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_lane_nobody_uses_for_two_minutes_closes(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    assert_int_equal(lun_upstream_stats(upstream).sockets, 1);
    for (int minutes = 1; minutes <= 2; minutes++) {
        lun_reactor_enter(reactor);
        reactor->loop.now += (minutes * 60 + 1) * LUN_SECOND;
        lun_reactor_leave(reactor);
        assert_int_equal(lun_upstream_stats(upstream).lanes, minutes == 1);
    }
    assert_int_equal(lun_upstream_stats(upstream).sockets, 0);
    assert_true(soon(&server.gone));
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_OK);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void s_together(struct peer *p)
{
    while (peer_ask(p, NULL)) {
        sem_post(&p->server->reached);
        sem_wait(&p->server->go);
        if (!peer_say(p, OK_ANSWER)) break;
    }
}

static void test_bursts_reuse_their_connections(void **state)
{
    (void)state;
    enum { N = 60 };
    server_start(&server, s_together, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (int round = 0; round < 4; round++) {
        static struct probe p[N];
        int n = round % 2 ? 2 : N;
        memset(p, 0, sizeof p);
        for (int i = 0; i < n; i++) begin(&p[i], s, &post);
        for (int here = 0; here < n; here += sem_trywait(&server.reached) == 0) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        for (int i = 0; i < n; i++) sem_post(&server.go);
        for (int i = 0; i < n; i++) { RUN_UNTIL(p[i].ends); assert_kind(&p[i], LUN_KIND_OK); finish(&p[i]); }
    }
    assert_int_equal(server.connections, N);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_calls_begun_in_one_turn_are_kicked_once(void **state)
{
    (void)state;
    enum { N = 20 };
    static struct probe p[N];
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    memset(p, 0, sizeof p);
    kicks = 0;
    lun_reactor_enter(reactor);
    for (int i = 0; i < N; i++) begin(&p[i], s, &post);
    assert_int_equal(kicks, 0);
    lun_reactor_leave(reactor);
    assert_in_range(kicks, 1, 3);
    for (int i = 0; i < N; i++) { RUN_UNTIL(p[i].ends); finish(&p[i]); }
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_streams_and_short_calls_keep_apart_and_lanes_are_bounded(void **state)
{
    (void)state;
    enum { N = 200 };
    static struct probe p[N];
    memset(p, 0, sizeof p);
    server_start(&server, s_patient, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct lun_upstream_request r = streaming();
    for (int i = 0; i < N; i++) begin(&p[i], s, &r);
    assert_int_equal(lun_upstream_stats(upstream).lanes, 4);
    struct probe brief = { 0 };
    begin(&brief, s, &post);
    assert_int_equal(lun_upstream_stats(upstream).lanes, 5);
    assert_int_equal(lun_upstream_site_busy(s), N + 1);
    for (int i = 0; i <= N; i++) sem_post(&server.go);
    for (int i = 0; i < N; i++) { RUN_UNTIL(p[i].ends); assert_kind(&p[i], LUN_KIND_OK); finish(&p[i]); }
    RUN_UNTIL(brief.ends);
    finish(&brief);
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* ---- limits ---- */

static void test_beyond_its_connections_is_pool_full_at_once(void **state)
{
    (void)state;
    server_start(&server, s_patient, NULL);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = url_of("http", "127.0.0.1", server.port), .connections = 2 });
    struct probe a = { 0 }, b = { 0 };
    begin(&a, s, &post);
    begin(&b, s, &post);
    struct probe c = ask(s, &post);
    assert_kind(&c, LUN_KIND_POOL_FULL);
    assert_false(c.times.left);
    finish(&a);     /* makes room */
    struct probe d = { 0 };
    begin(&d, s, &post);
    assert_int_equal(d.ends, 0);
    for (int i = 0; i < 3; i++) sem_post(&server.go);
    RUN_UNTIL(b.ends && d.ends);
    assert_kind(&d, LUN_KIND_OK);
    assert_int_equal(lun_upstream_site_busy(s), 0);     /* an ended call keeps no place, though not closed */
    finish(&b);
    finish(&d);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_no_descriptor_left_is_pool_full_not_the_providers_fault(void **state)
{
    (void)state;
    server_start(&server, s_patient, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct rlimit was, none;
    getrlimit(RLIMIT_NOFILE, &was);
    struct probe a = { 0 }, b = { 0 };
    begin(&a, s, &post);        /* the lane's own descriptors are there then */
    while (sem_trywait(&server.reached) != 0) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    int next = dup(0);
    close(next);
    none = was;
    none.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &none);
    begin(&b, s, &post);
    RUN_UNTIL(b.ends);
    setrlimit(RLIMIT_NOFILE, &was);
    assert_kind(&b, LUN_KIND_POOL_FULL);
    finish(&a);
    finish(&b);
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* ---- pause and close ---- */

enum { LARGE = 16 << 20 };
static void s_large(struct peer *p)
{
    enum { BLOCK = 65536 };
    char bytes[128 + BLOCK];
    if (!peer_ask(p, NULL)) return;
    size_t head = (size_t)sprintf(bytes, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    for (int i = 0; i < LARGE; i += BLOCK, head = 0) {      /* the head in one piece with the first block */
        for (int k = 0; k < BLOCK; k += 4) memcpy(bytes + head + k, &(uint32_t){ (uint32_t)(i + k) }, 4);
        if (!peer_put(p, bytes, head + BLOCK)) break;
    }
    peer_wait_gone(p);
}

static void assert_large(const struct lun_buf *b)
{
    assert_int_equal(b->n, LARGE);
    for (uint32_t i = 0, v; i < LARGE; i += 4) {
        memcpy(&v, b->at + i, 4);
        if (v != i) fail_msg("wrong at %u", i);
    }
}

static void paused_by(void (*set)(struct probe *))
{
    struct server other;
    server_start(&other, s_ok, NULL);
    server_start(&server, s_large, NULL);
    struct lun_upstream_site *s = site_at(server.port), *o = site_at(other.port);
    struct lun_upstream_request r = streaming();
    struct probe p = { 0 };
    set(&p);
    begin(&p, s, &r);
    if (p.paused) hold(&p, true);
    RUN_UNTIL(p.heads);
    while (!p.paused && !p.body.n) event_base_loop(reactor->base, EVLOOP_ONCE);
    if (!p.paused) hold(&p, true);
    size_t so_far = p.body.n;
    uint64_t before = lun_upstream_stats(upstream).wakes;
    for (int i = 0; i < 50; i++) ask(o, &r);
    assert_int_equal(p.body.n, so_far);
    assert_in_range(lun_upstream_stats(upstream).wakes, before, before + 120);      /* an unread socket does not spin */
    for (int i = 0; i < 12; i++) {      /* again and again, also twice in a row */
        hold(&p, false);
        if (i % 3) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        hold(&p, true);
        hold(&p, true);
    }
    assert_int_equal(p.ends, 0);
    hold(&p, false);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_large(&p.body);
    hold(&p, true);
    hold(&p, false);
    finish(&p);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
    server_stop(&other);
}

static void by_none(struct probe *p) { (void)p; }
static void by_start(struct probe *p) { p->paused = true; }
static void by_head(struct probe *p) { p->pause_at_head = true; }
static void by_bytes(struct probe *p) { p->pause_at_bytes = true; }

static void test_a_paused_call_gets_no_bytes_and_loses_none(void **state)
{
    (void)state;
    paused_by(by_none);
    paused_by(by_start);
    paused_by(by_head);
    paused_by(by_bytes);
}

static void walk(struct lun_task *k)
{
    struct probe *p = (struct probe *)((char *)k - offsetof(struct probe, walk));
    if (p->body.n - p->walked > p->stride) p->stride = p->body.n - p->walked;
    p->walked = p->body.n;
}

static void test_a_walk_gets_its_turn_between_bytes_and_so_do_others(void **state)
{
    (void)state;
    struct server other;
    server_start(&other, s_ok, NULL);
    server_start(&server, s_large, NULL);
    struct lun_upstream_site *s = site_at(server.port), *o = site_at(other.port);
    struct probe p = { .walk.run = walk };
    loop_thread = pthread_self();
    atomic_store(&answers_are_quick, true);
    begin(&p, s, &post);
    RUN_UNTIL(p.body.n);
    struct probe q = { 0 };
    begin(&q, o, &post);
    RUN_UNTIL(q.ends);
    assert_int_equal(p.ends, 0);
    finish(&q);
    RUN_UNTIL(p.ends);
    atomic_store(&answers_are_quick, false);
    assert_large(&p.body);
    assert_in_range(p.stride, 1, 300 * 1024);
    finish(&p);
    lun_upstream_site_free(s);
    lun_upstream_site_free(o);
    server_stop(&server);
    server_stop(&other);
}

static void s_small_then_large(struct peer *p) { if (peer_ask(p, NULL) && peer_say(p, OK_ANSWER)) s_large(p); }

static void test_an_answer_that_comes_at_once_can_be_paused(void **state)
{
    (void)state;
    server_start(&server, s_small_then_large, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    struct probe p = { .pause_at_bytes = true };
    loop_thread = pthread_self();
    atomic_store(&answers_are_quick, true);
    lun_reactor_enter(reactor);
    begin(&p, s, &post);
    lun_reactor_leave(reactor);
    atomic_store(&answers_are_quick, false);
    assert_true(p.paused);      /* all of it in one turn, without a word about its socket */
    for (int i = 0; i < 100; i++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    hold(&p, false);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_true(p.times.reused);
    assert_large(&p.body);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_an_end_behind_a_pause_waits_for_its_bytes(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = { .pause_at_head = true };
    begin(&p, s, &post);
    RUN_UNTIL(p.heads);
    for (int i = 0; i < 100; i++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(p.ends, 0);
    hold(&p, false);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(p.body.n, 2);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_closing_in_mid_transfer_closes_the_connection_at_once(void **state)
{
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        server_start(&server, s_large, NULL);
        struct lun_upstream_site *s = site_at(server.port);
        struct probe p = { .pause_at_bytes = paused };
        begin(&p, s, &post);
        RUN_UNTIL(p.body.n);
        int open = lun_upstream_stats(upstream).sockets;
        finish(&p);
        assert_int_equal(lun_upstream_stats(upstream).sockets, open - 1);
        assert_true(soon(&server.gone));        /* nothing of ours runs meanwhile */
        assert_int_equal(p.ends, 0);
        lun_upstream_site_free(s);
        server_stop(&server);
    }
}

static void test_closing_inside_any_event_is_safe(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (int i = 0; i < 4; i++) {
        struct probe p = { .close_at_head = i == 0, .close_at_bytes = i == 1, .close_at_end = i == 2 };
        begin(&p, s, &post);
        if (i == 3) { finish(&p); continue; }       /* before it began at all */
        RUN_UNTIL(p.closed);
        for (int k = 0; k < 20; k++) event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        finish(&p);
        assert_int_equal(lun_upstream_stats(upstream).calls, 0);
    }
    struct probe after = ask(s, &post);
    assert_kind(&after, LUN_KIND_OK);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_closing_before_it_is_connected_leaves_no_event_behind(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (int i = 0; i < 5; i++) {
        struct probe p = { 0 };
        begin(&p, s, &post);
        assert_int_equal(lun_upstream_stats(upstream).sockets, 1);
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        loop_thread = pthread_self();
        epoll_adds = 0;
        atomic_store(&thief, pipe_fds[0]);
        finish(&p);
        atomic_store(&thief, -1);
        assert_int_equal(lun_upstream_stats(upstream).sockets, 0);
        assert_int_equal(epoll_adds, 0);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
    }
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_site_may_go_before_its_calls(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = { 0 };
    begin(&p, s, &post);
    lun_upstream_site_free(s);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    finish(&p);
    server_stop(&server);
}

static void s_hangs_up_in_request(struct peer *p) { char some[200]; peer_get(p, some, sizeof some); peer_reset(p); }

static void test_a_broken_pipe_raises_no_signal(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    static char large[64 << 20];                /* more than the system takes for a peer that does not read */
    struct lun_slice slice = { large, sizeof large };
    struct lun_upstream_request r = post;
    r.body = &slice;
    r.body_n = 1;
    for (int i = 0; i < 5; i++) {
        server_start(&server, s_hangs_up_in_request, NULL);
        struct lun_upstream_site *s = site_at(server.port);
        struct probe p = ask(s, &r);
        assert_kind(&p, LUN_KIND_RESET);
        assert_false(p.times.left);
        lun_upstream_site_free(s);
        server_stop(&server);
    }
}

/* ---- the environment, proxies ---- */

static void test_proxies_of_the_environment_are_not_asked(void **state)
{
    (void)state;
    static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy" };
    for (size_t i = 0; i < 5; i++) setenv(names[i], "http://127.0.0.1:1", 1);
    struct probe p = post_to(s_ok);
    for (size_t i = 0; i < 5; i++) unsetenv(names[i]);
    assert_kind(&p, LUN_KIND_OK);
}

static void test_a_named_proxy_is_used_whatever_the_environment_excepts(void **state)
{
    (void)state;
    setenv("no_proxy", "*", 1);
    server_start(&server, s_ok, NULL);
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://user:hunter2@127.0.0.1:%d", server.port);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "http://provider.test/v1", .proxy = proxy });
    struct probe p = ask(s, &post);
    unsetenv("no_proxy");
    assert_kind(&p, LUN_KIND_OK);
    assert_non_null(strstr(server.last, "POST http://provider.test/v1/chat/completions"));
    lun_upstream_site_free(s);
    server_stop(&server);
}

SAYS(s_proxy_refuses, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")

static void test_a_proxy_that_refuses_is_connect_refused_and_sees_no_key(void **state)
{
    (void)state;
    server_start(&server, s_proxy_refuses, NULL);
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://user:hunter2@127.0.0.1:%d", server.port);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = "https://provider.test/v1", .proxy = proxy });
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_CONNECT_REFUSED);
    assert_int_equal(p.heads, 0);
    assert_non_null(strstr(server.last, "CONNECT provider.test:443"));
    assert_null(strstr(server.last, "sk-never"));
    lun_upstream_site_free(s);
    server_stop(&server);
}

/* ---- direct alone ---- */

static void after(lun_us time)
{
    lun_reactor_enter(reactor);
    reactor->loop.now += time;
    lun_reactor_leave(reactor);
}

static void test_a_link_nobody_uses_for_two_minutes_closes(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    for (int minutes = 1; minutes <= 2; minutes++) {
        after((minutes * 60 + 1) * LUN_SECOND);
        assert_int_equal(lun_upstream_stats(upstream).sockets, minutes == 1);
    }
    assert_true(soon(&server.gone));
    struct probe p = ask(s, &post);
    assert_kind(&p, LUN_KIND_OK);
    assert_false(p.times.reused);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void s_leaves_when_told(struct peer *p)
{
    if (p->number > 0) { s_ok(p); return; }
    if (!peer_ask(p, NULL) || !peer_say(p, OK_ANSWER)) return;
    sem_wait(&p->server->go);
    shutdown(p->fd, SHUT_RDWR);
    sem_post(&p->server->reached);
}

/* The server has closed it, and the loop has had no turn since. */
static void test_a_link_that_was_idle_for_long_is_looked_at_before_a_post_goes_out(void **state)
{
    (void)state;
    server_start(&server, s_leaves_when_told, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    ask(s, &post);
    sem_post(&server.go);
    assert_true(soon(&server.reached));
    lun_reactor_enter(reactor);
    reactor->loop.now += 2 * LUN_SECOND;
    struct probe p = { 0 };
    begin(&p, s, &post);
    lun_reactor_leave(reactor);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_false(p.times.reused);
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_the_address_of_a_name_is_asked_for_once_in_a_minute_and_once_for_all_who_wait(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    atomic_store(&look_ups, 0);
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = url_of("http", "localhost", server.port) });
    struct probe p[8] = { 0 };
    for (int i = 0; i < 8; i++) begin(&p[i], s, &post);
    for (int i = 0; i < 8; i++) { RUN_UNTIL(p[i].ends); assert_kind(&p[i], LUN_KIND_OK); finish(&p[i]); }
    struct probe next = ask(s, &post);
    assert_kind(&next, LUN_KIND_OK);
    assert_int_equal(atomic_load(&look_ups), 1);
    lun_reactor_enter(reactor);
    reactor->loop.now += 61 * LUN_SECOND;
    struct probe many[9] = { 0 };
    for (int i = 0; i < 9; i++) begin(&many[i], s, &post);      /* one more than there are links */
    lun_reactor_leave(reactor);
    for (int i = 0; i < 9; i++) { RUN_UNTIL(many[i].ends); assert_kind(&many[i], LUN_KIND_OK); finish(&many[i]); }
    assert_int_equal(atomic_load(&look_ups), 2);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_name_with_several_addresses_is_reached_by_the_first_that_answers(void **state)
{
    (void)state;
    server_start(&server, s_ok, NULL);
    silent = listen_any(0, &(int){ 0 });
    struct sockaddr_in to;
    getsockname(silent, (void *)&to, &(socklen_t){ sizeof to });
    int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(filler, (void *)&to, sizeof to), 0);      /* now it is full */
    struct lun_upstream_site *s = site_with((struct lun_upstream_site_spec){ .base_url = url_of("http", "three.test", server.port) });
    struct probe p = { 0 };
    begin(&p, s, &post);
    RUN_UNTIL(lun_upstream_stats(upstream).wakes == 1);     /* the first has refused */
    after(300 * LUN_MS);
    assert_int_equal(lun_upstream_stats(upstream).sockets, 2);
    RUN_UNTIL(p.ends);
    assert_kind(&p, LUN_KIND_OK);
    assert_int_equal(lun_upstream_stats(upstream).sockets, 1);
    finish(&p);
    lun_upstream_site_free(s);
    close(filler);
    close(silent);
    server_stop(&server);
}

SAYS(s_bare_lf, "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}")
SAYS(s_two_codings, OK_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
SAYS(s_chunk_without_crlf, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n")
SAYS(s_chunk_with_blank, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n")

static void test_what_two_readers_could_read_in_two_ways_is_bad_answer(void **state)
{
    (void)state;
    static void (*const serve[])(struct peer *) = { s_bare_lf, s_two_codings, s_chunk_without_crlf, s_chunk_with_blank };
    for (size_t i = 0; i < sizeof serve / sizeof *serve; i++) {
        struct probe p = post_to(serve[i]);
        if (p.kind != LUN_KIND_BAD_ANSWER) fail_msg("case %zu: %s (%s)", i, lun_kind_name(p.kind), p.detail);
    }
}

static void s_says_more(struct peer *p)
{
    static const char *const texts[] = { OK_HEAD "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 0\r\n\r\n",
        OK_HEAD "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", OK_ANSWER };
    if (peer_ask(p, NULL) && peer_say(p, texts[p->number])) peer_wait_gone(p);
}

static void test_a_link_whose_answer_leaves_a_doubt_is_not_used_again(void **state)
{
    (void)state;
    server_start(&server, s_says_more, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    for (int i = 0; i < 5; i++) {
        struct probe p = ask(s, &post);
        assert_kind(&p, LUN_KIND_OK);
        assert_false(p.times.reused);
    }
    assert_int_equal(server.connections, 5);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void s_byte_by_byte(struct peer *p)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n";
    if (!peer_ask(p, NULL)) return;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        if (!peer_put(p, text + i, 1)) return;
        sem_post(&p->server->reached);
        sem_wait(&p->server->go);
    }
    peer_wait_gone(p);
}

static void test_an_answer_may_come_byte_by_byte(void **state)
{
    (void)state;
    server_start(&server, s_byte_by_byte, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = { 0 };
    begin(&p, s, &post);
    while (!p.ends) {
        event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        if (sem_trywait(&server.reached) == 0) sem_post(&server.go);
    }
    assert_kind(&p, LUN_KIND_OK);
    assert_string_equal(lun_buf_text(&p.body), "abcdefg");
    finish(&p);
    lun_upstream_site_free(s);
    server_stop(&server);
}

static void test_a_site_that_only_libcurl_can_serve_is_not_direct(void **state)
{
    (void)state;
    struct lun_upstream_site_spec specs[] = { { .base_url = "https://h", .http2 = true }, { .base_url = "http://h", .proxy = "http://127.0.0.1:1" },
                                              { .base_url = "http://h", .guarded = true } };
    for (size_t i = 0; i < 3; i++) {
        char *error = NULL;
        specs[i].transport = LUN_TRANSPORT_DIRECT;
        assert_null(lun_upstream_site_new(upstream, &specs[i], &error));
        assert_non_null(strstr(error, "transport \"direct\""));
        free(error);
        specs[i].transport = LUN_TRANSPORT_AUTO;
        lun_upstream_site_free(site_with(specs[i]));
    }
}

int main(void)
{
    sem_init(&look_up_began, 0, 0);
    sem_init(&look_up_goes_on, 0, 0);
    const struct CMUnitTest both[] = {
        TEST(test_request_goes_out_as_given_in_one_piece), TEST(test_a_large_body_of_many_slices_arrives_whole_and_without_expect),
        TEST(test_a_post_without_content_type_is_given_none), TEST(test_other_methods), TEST(test_what_cannot_be_sent_is_bad_request_and_told_later),
        TEST(test_more_paths_than_a_site_remembers), TEST(test_a_site_needs_a_plain_http_url), TEST(test_interim_heads_are_not_the_head),
        TEST(test_chunks_are_joined_and_trailers_left_out), TEST(test_any_whole_answer_is_ok_whatever_its_status),
        TEST(test_an_answer_before_the_body_is_out_is_heard), TEST(test_nobody_listens_is_connect_refused), TEST(test_an_unknown_name_is_dns),
        TEST(test_closing_during_a_name_look_up_does_not_block), TEST(test_the_connect_clock_runs_over_name_and_handshake),
        TEST(test_the_connect_clock_stops_once_connected), TEST(test_death_before_a_whole_head_is_reset), TEST(test_death_in_the_body_is_cut),
        TEST(test_what_is_not_http_is_bad_answer), TEST(test_a_connection_is_kept_for_the_next_call),
        TEST(test_a_post_on_a_kept_connection_that_closes_is_reset_and_not_sent_again), TEST(test_a_get_on_a_kept_connection_that_closes_is_sent_again),
        TEST(test_a_closed_idle_connection_does_not_spin_and_is_not_used), TEST(test_bytes_on_an_idle_connection_answer_nobody),
        TEST(test_a_call_on_a_kept_connection_needs_neither_epoll_ctl_nor_sigaction), TEST(test_an_event_whose_bytes_were_read_by_another_ends_no_connection),
        TEST(test_bursts_reuse_their_connections), TEST(test_beyond_its_connections_is_pool_full_at_once),
        TEST(test_no_descriptor_left_is_pool_full_not_the_providers_fault), TEST(test_a_paused_call_gets_no_bytes_and_loses_none),
        TEST(test_a_walk_gets_its_turn_between_bytes_and_so_do_others), TEST(test_an_end_behind_a_pause_waits_for_its_bytes),
        TEST(test_closing_in_mid_transfer_closes_the_connection_at_once), TEST(test_closing_inside_any_event_is_safe),
        TEST(test_closing_before_it_is_connected_leaves_no_event_behind), TEST(test_a_site_may_go_before_its_calls),
        TEST(test_a_broken_pipe_raises_no_signal), TEST(test_proxies_of_the_environment_are_not_asked),
    };
    const struct CMUnitTest curl[] = {
        TEST(test_names_are_looked_up_one_after_the_other), TEST(test_a_lane_nobody_uses_for_two_minutes_closes),
        TEST(test_calls_begun_in_one_turn_are_kicked_once), TEST(test_streams_and_short_calls_keep_apart_and_lanes_are_bounded),
        TEST(test_an_answer_that_comes_at_once_can_be_paused), TEST(test_a_named_proxy_is_used_whatever_the_environment_excepts),
        TEST(test_a_proxy_that_refuses_is_connect_refused_and_sees_no_key), TEST(test_a_guarded_site_never_connects_to_metadata),
    };
    const struct CMUnitTest direct[] = {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        TEST(test_a_key_is_left_behind_in_no_memory),
#endif
        TEST(test_a_link_nobody_uses_for_two_minutes_closes), TEST(test_a_link_that_was_idle_for_long_is_looked_at_before_a_post_goes_out),
        TEST(test_the_address_of_a_name_is_asked_for_once_in_a_minute_and_once_for_all_who_wait),
        TEST(test_a_name_with_several_addresses_is_reached_by_the_first_that_answers), TEST(test_what_two_readers_could_read_in_two_ways_is_bad_answer),
        TEST(test_a_link_whose_answer_leaves_a_doubt_is_not_used_again), TEST(test_an_answer_may_come_byte_by_byte),
        TEST(test_a_site_that_only_libcurl_can_serve_is_not_direct),
    };
    const struct CMUnitTest last[] = { cmocka_unit_test(test_no_detail_shows_a_secret) };
    transport = LUN_TRANSPORT_CURL;
    int failed = cmocka_run_group_tests_name("libcurl", both, NULL, NULL) + cmocka_run_group_tests_name("libcurl alone", curl, NULL, NULL);
    transport = LUN_TRANSPORT_DIRECT;
    failed += cmocka_run_group_tests_name("direct", both, NULL, NULL) + cmocka_run_group_tests_name("direct alone", direct, NULL, NULL);
    return failed + cmocka_run_group_tests_name("both", last, NULL, NULL);
}
