#include "gateway/provider.h"
#include "base/alloc.h"
#include "base/http.h"
#include "base/http_chunked.h"
#include "base/json.h"
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REMEMBERED 100

struct lun_provider_server {
    struct lun_reactor *reactor;
    struct event *accepting;
    struct lun_scenario *scenario;
    const struct lun_log *log;
    struct guest *guests;
    int requests; struct lun_buf seen[REMEMBERED];      /* the last so many, as JSON */
    int connections, left;              /* accepted; closed by the other side in the middle of an answer */
};
struct guest {                          /* a connection */
    struct lun_timer timer;
    struct lun_provider_server *of;
    struct guest *next, **at;
    struct bufferevent *wire;
    struct lun_http_reader reader;
    struct lun_arena arena;
    struct lun_scene scene;
    int number;                         /* the how manieth connection it is */
    bool busy;                          /* an answer is being given */
    bool closing, keep, head_only;
    enum { AT_HEAD, AT_PIECE, AT_END } step;
    int piece;
};

/* ---- the end of a connection ---- */

static void drop(struct guest *g)
{
    lun_timer_set(&g->of->reactor->loop, &g->timer, LUN_NEVER);
    *g->at = g->next;
    if (g->next) g->next->at = g->at;
    bufferevent_free(g->wire);
    lun_http_free(&g->reader);
    lun_arena_free(&g->arena);
    free(g);
}

static void reset(struct guest *g)
{
    struct linger now = { .l_onoff = 1 };
    setsockopt(bufferevent_getfd(g->wire), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    drop(g);
}

/* What was said goes out first. */
static void close_soon(struct guest *g)
{
    g->closing = true;
    if (!evbuffer_get_length(bufferevent_get_output(g->wire))) drop(g);
}

/* ---- answering ---- */

static void serve(struct guest *g);

static void put(struct guest *g, const char *bytes, size_t n) { evbuffer_add(bufferevent_get_output(g->wire), bytes, n); }

static int pieces(const struct lun_scene *s) { return s->stream ? s->n_pieces : s->n_pieces > 0; }

/* A body that stalls before its first byte must not look like an empty one that is over. */
static bool in_chunks(const struct lun_scene *s) { return s->stream || (s->stall && !pieces(s)); }

static void say_head(struct guest *g)
{
    const struct lun_scene *s = &g->scene;
    struct evbuffer *out = bufferevent_get_output(g->wire);
    bool sized = false;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", s->status, lun_http_reason(s->status));
    for (int i = 0; i < s->n_headers; i++) {
        sized |= !strcasecmp(s->headers[i].name, "content-length") || !strcasecmp(s->headers[i].name, "transfer-encoding");
        evbuffer_add_printf(out, "%s: %s\r\n", s->headers[i].name, s->headers[i].value);
    }
    bool chunked = in_chunks(s) || s->cut == LUN_CUT_CHUNK;
    if (!sized && chunked) evbuffer_add_printf(out, "transfer-encoding: chunked\r\n");
    else if (!sized) evbuffer_add_printf(out, "content-length: %zu\r\n", s->all.n);
    if (!g->keep) evbuffer_add_printf(out, "connection: close\r\n");
    evbuffer_add_printf(out, "\r\n");
}

static void say_piece(struct guest *g)
{
    const struct lun_scene *s = &g->scene;
    if (!s->stream && s->cut == LUN_CUT_CHUNK) {
        evbuffer_add_printf(bufferevent_get_output(g->wire), "%zx\r\n", s->all.n);
        put(g, s->all.at, lun_scene_cut_at(s));
        g->piece++;
        return;
    }
    struct lun_slice piece = s->stream ? s->pieces[g->piece] : (struct lun_slice){ s->all.at, lun_scene_cut_at(s) };
    g->piece++;
    if (!piece.n || g->head_only) return;
    if (s->stream) evbuffer_add_printf(bufferevent_get_output(g->wire), "%zx\r\n", piece.n);
    put(g, piece.at, piece.n);
    if (s->stream) put(g, "\r\n", 2);
}

static void conclude(struct guest *g)
{
    const struct lun_scene *s = &g->scene;
    g->busy = false;
    if (s->cut == LUN_CUT_RST) { bufferevent_flush(g->wire, EV_WRITE, BEV_FLUSH); evbuffer_write(bufferevent_get_output(g->wire), bufferevent_getfd(g->wire)); reset(g); return; }
    if (s->cut == LUN_CUT_CHUNK && s->stream) put(g, "40\r\ndata: {\"half", 16);
    if (s->cut) { close_soon(g); return; }
    if (in_chunks(s)) put(g, "0\r\n\r\n", 5);
    if (!g->keep) { close_soon(g); return; }
    lun_arena_free(&g->arena);
    serve(g);                           /* what was sent ahead */
}

static void wait_for(struct guest *g, lun_us time)
{
    struct lun_loop *loop = &g->of->reactor->loop;
    lun_timer_set(loop, &g->timer, time == LUN_NEVER ? LUN_NEVER : loop->now + time);
}

static void go_on(struct guest *g)
{
    const struct lun_scene *s = &g->scene;
    switch (g->step) {
    case AT_HEAD:
        if (s->fail || s->headless) { reset(g); return; }
        say_head(g);
        g->step = pieces(s) && (s->stream || !s->stall) ? AT_PIECE : AT_END;
        if (g->step == AT_END || s->every) { wait_for(g, g->step == AT_END ? s->stall : 0); return; }
        /* fall through */
    case AT_PIECE:
        do say_piece(g); while (g->piece < pieces(s) && !s->every);
        if (g->piece < pieces(s)) { wait_for(g, s->every); return; }
        g->step = AT_END;
        wait_for(g, s->stall);
        return;
    case AT_END:
        if (g->piece < pieces(s)) say_piece(g);         /* it had stalled after the head */
        conclude(g);
    }
}

static void fire(struct lun_timer *t) { go_on((struct guest *)t); }

/* ---- what was asked ---- */

static void remember(struct lun_provider_server *p, const struct lun_scene_request *r, int connection)
{
    struct lun_buf *b = &p->seen[p->requests++ % REMEMBERED];
    b->n = 0;
    lun_buf_putc(b, '{');
    lun_json_member_text(b, "method", r->method);
    lun_json_member_text(b, "path", r->path);
    lun_json_member_int(b, "connection", connection);
    lun_json_put_key(b, "headers");
    lun_buf_putc(b, '{');
    for (int i = 0; i < r->n_headers; i++) {
        lun_json_member_text(b, r->headers[i].name, r->headers[i].value);
    }
    lun_buf_putc(b, '}');
    lun_json_put_key(b, "body");
    lun_json_put_string(b, r->body, r->n);
    lun_buf_putc(b, '}');
}

static size_t unsent(const struct lun_provider_server *p)
{
    size_t n = 0;
    for (const struct guest *g = p->guests; g; g = g->next) n += evbuffer_get_length(bufferevent_get_output(g->wire));
    return n;
}

static void tell(struct guest *g)       /* GET /__provider */
{
    struct lun_provider_server *p = g->of;
    struct lun_buf body = {0};
    lun_buf_printf(&body, "{\"requests\":%d,\"connections\":%d,\"left\":%d,\"unsent\":%zu,\"last\":[", p->requests, p->connections, p->left, unsent(p));
    int first = p->requests > REMEMBERED ? p->requests - REMEMBERED : 0;
    for (int i = first; i < p->requests; i++) {
        if (i > first) lun_buf_putc(&body, ',');
        lun_buf_add(&body, p->seen[i % REMEMBERED].at, p->seen[i % REMEMBERED].n);
    }
    lun_buf_puts(&body, "]}");
    evbuffer_add_printf(bufferevent_get_output(g->wire), "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", body.n);
    put(g, body.at, body.n);
    lun_buf_free(&body);
    if (!g->keep) close_soon(g);
    else serve(g);
}

static const char *without_v1(const char *path) { return !strncmp(path, "/v1/", 4) ? path + 3 : path; }

static void play(struct guest *g, const struct lun_http_request *head, const char *body, size_t n)
{
    struct lun_pair *headers = lun_arena_alloc(&g->arena, (size_t)(head->n_headers + 1) * sizeof *headers);
    for (int i = 0; i < head->n_headers; i++) {
        const char *name = lun_http_lower(lun_arena_strndup(&g->arena, head->headers[i].name.at, head->headers[i].name.n));
        headers[i] = (struct lun_pair){ name, lun_arena_strndup(&g->arena, head->headers[i].value.at, head->headers[i].value.n) };
    }
    struct lun_scene_request r = { .method = lun_arena_strndup(&g->arena, head->method.at, head->method.n),
                                   .path = without_v1(lun_arena_strndup(&g->arena, head->path.at, head->path.n)),
                                   .headers = headers, .n_headers = head->n_headers, .body = body, .n = n };
    const char *error;
    g->keep = head->keep_alive;
    g->head_only = !strcmp(r.method, "HEAD");
    if (!strcmp(r.path, "/__provider")) { tell(g); return; }
    remember(g->of, &r, g->number);
    g->busy = true;
    g->step = AT_HEAD;
    g->piece = 0;
    if (!lun_scenario_play(g->of->scenario, &r, &g->arena, &g->scene, &error)) {
        lun_log(g->of->log, LUN_LOG_ERROR, "%s", error);
        struct lun_slice *text = lun_arena_alloc(&g->arena, sizeof *text);
        *text = (struct lun_slice){ error, strlen(error) };
        g->scene = (struct lun_scene){ .status = 500, .pieces = text, .n_pieces = 1, .all = *text };
    }
    if (g->scene.close) g->keep = false;
    wait_for(g, g->scene.after);
}

/* ---- reading ---- */

static bool whole_body(struct guest *g, const struct lun_http_request *head, char *at, size_t n, size_t *body_n, size_t *taken)
{
    if (head->framing != LUN_HTTP_CHUNKED) {
        *body_n = *taken = (size_t)head->length;
        return n >= *taken;
    }
    struct lun_chunks chunks = {0};
    char *copy = lun_arena_alloc(&g->arena, n + 1);     /* decoded in place, and perhaps again when there is more */
    memcpy(copy, at, n);
    size_t used, made;
    if (lun_chunks_decode(&chunks, copy, n, &made, &used) != LUN_HTTP_DONE) return false;
    memcpy(at, copy, made);
    *body_n = made;
    *taken = used;
    return true;
}

static void serve(struct guest *g)
{
    struct evbuffer *in = bufferevent_get_input(g->wire);
    size_t n = evbuffer_get_length(in), head_n, body_n, taken;
    if (g->busy || g->closing || !n) return;
    char *bytes = (char *)evbuffer_pullup(in, -1);
    lun_http_reset(&g->reader);
    enum lun_http_result result = lun_http_read(&g->reader, bytes, n, NULL, &head_n);
    if (result == LUN_HTTP_BAD) {
        evbuffer_add_printf(bufferevent_get_output(g->wire), "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        close_soon(g);
        return;
    }
    if (result == LUN_HTTP_MORE) return;
    const struct lun_http_request *head = &g->reader.request;
    if (!whole_body(g, head, bytes + head_n, n - head_n, &body_n, &taken)) {
        if (head->expect_continue && n == head_n) put(g, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        return;
    }
    const char *body = lun_arena_strndup(&g->arena, bytes + head_n, body_n);
    lun_http_moved(&g->reader, lun_arena_strndup(&g->arena, bytes, head_n));        /* the head outlives the buffer it came in */
    evbuffer_drain(in, head_n + taken);
    play(g, head, body, body_n);
}

static void on_read(struct bufferevent *wire, void *self)
{
    struct guest *g = self;
    struct lun_reactor *r = g->of->reactor;
    (void)wire;
    lun_reactor_enter(r);
    serve(g);
    lun_reactor_leave(r);
}

static void on_write(struct bufferevent *wire, void *self)
{
    struct guest *g = self;
    (void)wire;
    if (g->closing) drop(g);
}

static void on_event(struct bufferevent *wire, short what, void *self)
{
    struct guest *g = self;
    struct lun_reactor *r = g->of->reactor;
    (void)wire;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) return;
    lun_reactor_enter(r);
    if (g->busy) g->of->left++;
    drop(g);
    lun_reactor_leave(r);
}

static void on_accept(evutil_socket_t listener, short what, void *self)
{
    struct lun_provider_server *p = self;
    (void)what;
    lun_reactor_enter(p->reactor);
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; ) {
        struct guest *g = lun_zalloc(sizeof *g);
        *g = (struct guest){ .timer.fire = fire, .of = p, .next = p->guests, .at = &p->guests, .number = ++p->connections };
        if (g->next) g->next->at = &g->next;
        p->guests = g;
        g->wire = bufferevent_socket_new(p->reactor->base, fd, BEV_OPT_CLOSE_ON_FREE);
        bufferevent_setcb(g->wire, on_read, on_write, on_event, g);
        bufferevent_enable(g->wire, EV_READ | EV_WRITE);
    }
    lun_reactor_leave(p->reactor);
}

struct lun_provider_server *lun_provider_server_new(struct lun_reactor *reactor, int listener, struct lun_scenario *scenario, const struct lun_log *log)
{
    struct lun_provider_server *p = lun_zalloc(sizeof *p);
    *p = (struct lun_provider_server){ .reactor = reactor, .scenario = scenario, .log = log };
    p->accepting = event_new(reactor->base, listener, EV_READ | EV_PERSIST, on_accept, p);
    event_add(p->accepting, NULL);
    return p;
}

void lun_provider_server_free(struct lun_provider_server *p)
{
    if (!p) return;
    while (p->guests) drop(p->guests);
    event_free(p->accepting);
    for (int i = 0; i < REMEMBERED; i++) lun_buf_free(&p->seen[i]);
    free(p);
}
