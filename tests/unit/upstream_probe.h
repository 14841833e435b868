/* A caller for the tests of upstream: begins calls, writes down what they tell, and watches over what is promised of every call. */
#ifndef UPSTREAM_PROBE_H
#define UPSTREAM_PROBE_H
#include "upstream_server.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "wire/upstream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define SECRET "Bearer sk-never-to-be-shown"

struct probe {
    struct lun_upstream_call *call;
    int heads, status, ends, early;
    char *headers;              /* "name: value\n" each */
    struct lun_buf body;
    enum lun_kind kind;
    char detail[200];
    struct lun_upstream_times times;
    bool inside_call, paused, pause_at_head, pause_at_bytes, close_at_head, close_at_bytes, close_at_end, closed;
    int while_paused;
    struct lun_task walk; size_t walked, stride;        /* as a walk would: looks at the bytes whenever it gets its turn */
};

static struct lun_reactor *reactor;
static enum lun_transport transport;       /* of the sites that do not say */
static struct lun_upstream *upstream;
static struct server server;
static char **details; static size_t details_n;

static inline void shut(struct probe *p) { p->closed = true; lun_upstream_close(p->call); }

static inline void on_head(void *self, int status, const struct lun_pair *h, size_t n)
{
    struct probe *p = self;
    assert_false(p->closed);
    struct lun_buf b = { 0 };
    for (size_t i = 0; i < n; i++) lun_buf_printf(&b, "%s: %s\n", h[i].name, h[i].value);
    p->headers = lun_strdup(lun_buf_text(&b));
    lun_buf_free(&b);
    p->heads++;
    p->status = status;
    if (p->inside_call) p->early++;
    if (p->pause_at_head) { p->paused = true; lun_upstream_pause(p->call, true); }
    if (p->close_at_head) shut(p);
}

static inline void on_bytes(void *self, const char *bytes, size_t n)
{
    struct probe *p = self;
    assert_false(p->closed);
    assert_int_equal(p->heads, 1);
    if (p->paused) p->while_paused++;
    if (p->inside_call) p->early++;
    lun_buf_add(&p->body, bytes, n);
    if (p->walk.run) lun_loop_wake(&reactor->loop, &p->walk);
    if (p->pause_at_bytes) { p->pause_at_bytes = false; p->paused = true; lun_upstream_pause(p->call, true); }
    if (p->close_at_bytes) shut(p);
}

static inline void on_end(void *self, enum lun_kind kind, const char *detail)
{
    struct probe *p = self;
    assert_false(p->closed);
    p->ends++;
    if (p->inside_call) p->early++;
    p->kind = kind;
    snprintf(p->detail, sizeof p->detail, "%s", detail);
    details = lun_realloc(details, (details_n + 1) * sizeof *details);
    details[details_n++] = lun_strdup(detail);
    p->times = *lun_upstream_call_times(p->call);
    if (p->close_at_end) shut(p);
}

static const struct lun_upstream_events events = { on_head, on_bytes, on_end };
static const struct lun_pair headers[] = { { "Authorization", SECRET }, { "content-type", "application/json" } };
static const struct lun_slice body[] = { { "{\"model\":", 9 }, { "", 0 }, { "\"m\"}", 4 } };
static const struct lun_upstream_request post = { .method = "POST", .path = "/chat/completions?secret-query", .headers = headers, .headers_n = 2,
                                                  .body = body, .body_n = 3 };
static const struct lun_upstream_request get = { .method = "GET", .path = "/models", .headers = headers, .headers_n = 2 };

static inline struct lun_upstream_request streaming(void) { struct lun_upstream_request r = post; r.stream = true; return r; }

static inline void begin(struct probe *p, struct lun_upstream_site *s, const struct lun_upstream_request *r)
{
    lun_reactor_enter(reactor);
    p->inside_call = true;
    p->call = lun_upstream_call(upstream, s, r, &events, p);
    assert_non_null(p->call);
    p->inside_call = false;
    lun_reactor_leave(reactor);
}

#define RUN_UNTIL(condition) do { while (!(condition)) event_base_loop(reactor->base, EVLOOP_ONCE); } while (0)

static inline void hold(struct probe *p, bool on)
{
    lun_reactor_enter(reactor);
    p->paused = on;
    lun_upstream_pause(p->call, on);
    lun_reactor_leave(reactor);
}

static inline void finish(struct probe *p)
{
    if (!p->closed) {
        lun_reactor_enter(reactor);
        shut(p);
        lun_reactor_leave(reactor);
    }
    assert_true(p->heads <= 1 && p->ends <= 1);
    assert_int_equal(p->early, 0);
    assert_int_equal(p->while_paused, 0);
    free(p->headers);
    lun_buf_free(&p->body);
    p->headers = NULL;
}

/* One call from beginning to end; body and headers are gone after it. */
static inline struct probe ask(struct lun_upstream_site *s, const struct lun_upstream_request *r)
{
    struct probe p = { 0 };
    begin(&p, s, r);
    RUN_UNTIL(p.ends);
    finish(&p);
    return p;
}

static inline struct lun_upstream_site *site_with(struct lun_upstream_site_spec spec)
{
    char *error = NULL;
    if (!spec.transport && !spec.http2 && !spec.proxy && !spec.guarded) spec.transport = transport;
    struct lun_upstream_site *s = lun_upstream_site_new(upstream, &spec, &error);
    if (error) print_message("%s\n", error);
    assert_non_null(s);
    return s;
}

static inline char *url_of(const char *scheme, const char *host, int port)
{
    static char url[4][256];
    static int turn;
    char *u = url[turn++ % 4];
    snprintf(u, sizeof *url, "%s://%s:%d/v1", scheme, host, port);
    return u;
}

static inline struct lun_upstream_site *site_at(int port)
{
    return site_with((struct lun_upstream_site_spec){ .base_url = url_of("http", "127.0.0.1", port) });
}

static inline void assert_kind(const struct probe *p, enum lun_kind kind)
{
    if (p->kind != kind) fail_msg("ended as %s (%s), not %s", lun_kind_name(p->kind), p->detail, lun_kind_name(kind));
    assert_true(p->detail[0]);
}

static inline int set_up(void **state)
{
    (void)state;
    alarm(60);
    reactor = lun_reactor_new(NULL);
    upstream = lun_upstream_new(reactor, NULL);
    return !upstream;
}

static inline int tear_down(void **state)
{
    (void)state;
    struct lun_upstream_stats s = lun_upstream_stats(upstream);
    lun_upstream_free(upstream);
    lun_reactor_free(reactor);
    return s.calls;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static inline void test_no_detail_shows_a_secret(void **state)
{
    (void)state;
    assert_true(details_n > 10);
    for (size_t i = 0; i < details_n; i++) {
        if (strstr(details[i], "sk-never") || strstr(details[i], "hunter2") || strstr(details[i], "secret-query")) fail_msg("%s", details[i]);
        free(details[i]);
    }
    free(details);
}

/* ---- servers ---- */

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\n"
#define OK_ANSWER OK_HEAD "Content-Length: 2\r\n\r\n{}"

static inline void s_ok(struct peer *p) { while (peer_ask(p, NULL) && peer_say(p, OK_ANSWER)) { } sem_post(&p->server->gone); }

#define SAYS(name, text) static void name(struct peer *p) { if (peer_ask(p, NULL) && peer_say(p, text)) peer_wait_gone(p); }
#define SAYS_AND_CLOSES(name, text) static void name(struct peer *p) { if (peer_ask(p, NULL)) peer_say(p, text); }
#define SAYS_AND_RESETS(name, text) static void name(struct peer *p) { if (peer_ask(p, NULL)) peer_say(p, text); peer_reset(p); }

/* One POST to a server that does this, and how it ends. */
static inline struct probe post_to(void (*serve)(struct peer *))
{
    server_start(&server, serve, NULL);
    struct lun_upstream_site *s = site_at(server.port);
    struct probe p = ask(s, &post);
    lun_upstream_site_free(s);
    server_stop(&server);
    return p;
}
#endif
