#include "gateway/web.h"
#include "base/alloc.h"
#include "script/url.h"
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (1 << 20)
#define SITES 16
#define HEADERS 64

struct site { char *origin; struct lun_upstream_site *at; };
struct web {
    struct lun_web table;
    struct lun_reactor *reactor;
    struct lun_upstream *upstream;
    struct site sites[SITES]; int n, turn;      /* of the origins asked last; the oldest goes */
};
struct fetch {
    struct lun_task task;           /* tells the end, outside of libcurl */
    struct lun_timer timer;
    struct web *web;
    struct lun_upstream_call *call;
    void (*done)(void *, const struct lun_wish_result *); void *owner;
    struct lun_slice body;
    int status;
    struct lun_arena arena; struct lun_pair *headers; int n_headers;
    struct lun_buf answer;
    const char *error; char *error_text;
};

/* ---- what comes back ---- */

static void finish(struct fetch *f)
{
    lun_timer_set(&f->web->reactor->loop, &f->timer, LUN_NEVER);
    lun_loop_forget(&f->web->reactor->loop, &f->task);
    if (f->call) lun_upstream_close(f->call);
    lun_buf_free(&f->answer);
    lun_arena_free(&f->arena);
    free(f->error_text);
    free(f);
}

static void tell(struct lun_task *task)
{
    struct fetch *f = (struct fetch *)task;
    f->done(f->owner, &(struct lun_wish_result){ .error = f->error, .status = f->status, .headers = f->headers, .n_headers = f->n_headers, .body = f->answer.at, .body_n = f->answer.n });
    finish(f);
}

static void end(struct fetch *f, const char *error)
{
    if (!f->error) f->error = error;
    lun_loop_wake(&f->web->reactor->loop, &f->task);
}

static void on_head(void *self, int status, const struct lun_pair *headers, size_t n)
{
    struct fetch *f = self;
    f->status = status;
    f->n_headers = n < HEADERS ? (int)n : HEADERS;
    f->headers = lun_arena_alloc(&f->arena, (size_t)(f->n_headers + 1) * sizeof *f->headers);
    for (int i = 0; i < f->n_headers; i++)
        f->headers[i] = (struct lun_pair){ lun_arena_strdup(&f->arena, headers[i].name), lun_arena_strdup(&f->arena, headers[i].value) };
}

static void on_bytes(void *self, const char *bytes, size_t n)
{
    struct fetch *f = self;
    if (f->error) return;
    if (f->answer.n + n > ANSWER_MAX) { end(f, "the answer is larger than 1 MiB"); return; }
    lun_buf_add(&f->answer, bytes, n);
}

static void on_end(void *self, enum lun_kind kind, const char *detail)
{
    struct fetch *f = self;
    (void)detail;
    end(f, kind == LUN_KIND_OK ? NULL : lun_kind_name(kind));
}
static const struct lun_upstream_events events = { on_head, on_bytes, on_end };

static void on_timer(struct lun_timer *t) { end((struct fetch *)((char *)t - offsetof(struct fetch, timer)), "timeout"); }

/* ---- where to ---- */

/* The origin's length, or 0 with the reason why it may not be fetched. */
static size_t origin_of(const char *url, const char **why)
{
    if ((*why = lun_url_problem(url, strlen(url)))) return 0;
    size_t scheme = (size_t)(strstr(url, "://") + 3 - url);
    return scheme + strcspn(url + scheme, "/?#");
}

static struct lun_upstream_site *site_of(struct web *w, const char *url, size_t n, char **error)
{
    for (int i = 0; i < w->n; i++)
        if (strlen(w->sites[i].origin) == n && !memcmp(w->sites[i].origin, url, n)) return w->sites[i].at;
    char *origin = lun_strndup(url, n);
    struct lun_upstream_site *at = lun_upstream_site_new(w->upstream, &(struct lun_upstream_site_spec){ .base_url = origin, .guarded = true, .connect_timeout = 5 * LUN_SECOND, .connections = 64 }, error);
    if (!at) { free(origin); return NULL; }
    struct site *s = &w->sites[w->n < SITES ? w->n++ : w->turn++ % SITES];
    lun_upstream_site_free(s->at);
    free(s->origin);
    *s = (struct site){ origin, at };
    return at;
}

static void send_it(struct fetch *f, const struct lun_wish *wish)
{
    const char *why = NULL, *url = wish->http.url;
    size_t n = origin_of(url, &why);
    struct lun_upstream_site *site = n ? site_of(f->web, url, n, &f->error_text) : NULL;
    if (!site) { end(f, n ? f->error_text : why); return; }
    size_t path_n = strcspn(url + n, "#");
    char *path = lun_printf("%s%.*s", url[n] == '/' ? "" : "/", (int)path_n, url + n);
    f->body = (struct lun_slice){ wish->http.body, wish->http.body_n };
    f->call = lun_upstream_call(f->web->upstream, site, &(struct lun_upstream_request){
        .method = wish->http.method, .path = path, .headers = wish->http.headers, .headers_n = (size_t)wish->http.n_headers,
        .body = &f->body, .body_n = wish->http.body ? 1 : 0 }, &events, f);
    free(path);
}

static void *fetch_it(void *self, const struct lun_wish *wish, void (*done)(void *, const struct lun_wish_result *), void *owner)
{
    struct fetch *f = lun_zalloc(sizeof *f);
    struct web *w = self;
    *f = (struct fetch){ .task.run = tell, .timer.fire = on_timer, .web = w, .done = done, .owner = owner };
    lun_timer_set(&w->reactor->loop, &f->timer, w->reactor->loop.now + wish->http.timeout);
    send_it(f, wish);
    return f;
}

static void cancel(void *fetch) { finish(fetch); }

struct lun_web *lun_web_new(struct lun_reactor *reactor, struct lun_upstream *upstream)
{
    struct web *w = lun_zalloc(sizeof *w);
    *w = (struct web){ .table = { w, fetch_it, cancel }, .reactor = reactor, .upstream = upstream };
    return &w->table;
}

void lun_web_free(struct lun_web *web)
{
    if (!web) return;
    struct web *w = web->self;
    for (int i = 0; i < w->n; i++) {
        lun_upstream_site_free(w->sites[i].at);
        free(w->sites[i].origin);
    }
    free(w);
}
