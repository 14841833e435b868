#include "gateway/admin_parts.h"
#include "base/alloc.h"
#include "base/loop.h"
#include "gateway/errand.h"
#include "gateway/gauges.h"
#include "gateway/guard.h"
#include "gateway/report.h"
#include "gateway/version.h"
#include "gateway/view.h"
#include "gateway/view_budget.h"
#include "state/registry.h"
#include "state/doubt.h"
#include "wire/tls.h"
#include <stdlib.h>
#include <string.h>

#define BODY_MOST (1 << 20)
#define WIPE_EVERY (10 * LUN_SECOND)

/* ---- answers ---- */

static void reply(struct lun_exchange *x, int status, const char *type, const struct lun_buf *body)
{
    struct lun_pair headers[] = { { "content-type", type }, { "cache-control", "no-store" }, { "www-authenticate", "Bearer" } };
    lun_exchange_head(x, status, headers, status == 401 ? 3 : 2, (int64_t)body->n);
    lun_exchange_bytes(x, body->at, body->n);
    lun_exchange_end(x, true);
}

static void reply_json(struct lun_exchange *x, int status, struct lun_buf *body)
{
    lun_buf_putc(body, '\n');
    reply(x, status, "application/json", body);
    lun_buf_free(body);
}

static void refuse(struct lun_exchange *x, int status, const char *why)
{
    struct lun_buf body = {0};
    lun_view_errors(&body, why);
    reply_json(x, status, &body);
}

void lun_admin_reply(struct lun_exchange *x, int status, struct lun_buf *body)  { reply_json(x, status, body); }
void lun_admin_refuse(struct lun_exchange *x, int status, const char *why)      { refuse(x, status, why); }

static struct asked *wait_for(struct lun_exchange *x)
{
    struct asked *a = lun_zalloc(sizeof *a);
    a->exchange = x;
    lun_exchange_set_user(x, a);
    return a;
}

static void on_gone(void *user) { ((struct asked *)user)->exchange = NULL; }

static void on_full(void *user, bool full)
{
    if (user) ((struct asked *)user)->full = full;
}

static void told(void *self, const struct lun_change_result *r)
{
    struct asked *a = self;
    struct lun_buf body = {0};
    lun_view_result(r, &body);
    if (a->exchange) reply_json(a->exchange, r->status, &body);
    lun_buf_free(&body);
    free(a);
}

/* ---- looking ---- */

static void gauge(struct lun_admin *a, enum lun_metric metric, const char *const *labels, double value)
{
    lun_metrics_set(a->options.registry->metrics, metric, labels, value);
}

static void set_cache(struct lun_admin *a)
{
    struct lun_cache_view v;
    lun_cache_look_at(a->options.registry->cache, &v);
    gauge(a, LUN_METRIC_CACHE_BYTES, NULL, (double)v.bytes);
    gauge(a, LUN_METRIC_CACHE_ENTRIES, NULL, (double)v.entries);
    gauge(a, LUN_METRIC_CACHE_EVICTIONS, NULL, (double)v.evictions);
    if (a->options.shelf) gauge(a, LUN_METRIC_CACHE_REDIS, NULL, lun_shelf_is_open(a->options.shelf));
}

/* What is a state, not an event, is looked up when somebody asks. */
static void set_gauges(struct lun_admin *a)
{
    const struct lun_snapshot *s = lun_changes_current(a->options.changes);
    const struct lun_versions *versions = lun_changes_versions(a->options.changes);
    uint64_t open = 0;
    for (int i = 0; i < a->options.n_workers; i++) open += lun_worker_counts(a->options.workers[i])->open;
    gauge(a, LUN_METRIC_CONNECTIONS, NULL, (double)open);
    if (a->options.writer) gauge(a, LUN_METRIC_LOG_DROPPED, NULL, (double)lun_writer_dropped(a->options.writer));
    lun_metrics_clear(a->options.registry->metrics, LUN_METRIC_BUILD);
    lun_metrics_clear(a->options.registry->metrics, LUN_METRIC_CONFIG);
    gauge(a, LUN_METRIC_BUILD, (const char *[]){ LUN_VERSION, s->version }, 1);
    gauge(a, LUN_METRIC_CONFIG, (const char *[]){ s->version }, 1);
    gauge(a, LUN_METRIC_GENERATION, NULL, versions->generation);
    gauge(a, LUN_METRIC_VERSIONS_LIVE, NULL, lun_versions_live(versions));
    gauge(a, LUN_METRIC_STARTED, NULL, (double)a->started / 1e6);
    lun_gauges_set(a->options.registry->metrics, s, lun_changes_keyring(a->options.changes), a->options.reactor->loop.now, lun_clock_wall());
    set_cache(a);
    char why[256];
    gauge(a, LUN_METRIC_LEDGER_OPEN, NULL, !lun_money_closed(a->options.registry->money, why));
}

static void metrics(struct visit *v)
{
    struct lun_buf out = {0};
    set_gauges(v->admin);
    lun_metrics_write(v->admin->options.registry->metrics, &out);
    reply(v->exchange, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    lun_buf_free(&out);
}

static void health(struct visit *v)
{
    struct lun_buf out = {0};
    lun_buf_puts(&out, "{\"status\":\"ok\"}");
    reply_json(v->exchange, 200, &out);
}

static void versions(struct visit *v)
{
    struct lun_buf out = {0};
    lun_changes_show_versions(v->admin->options.changes, &out);
    reply_json(v->exchange, 200, &out);
}

static void canaries(struct visit *v)
{
    struct lun_buf out = {0};
    lun_view_canaries(lun_changes_current(v->admin->options.changes), v->admin->options.reactor->loop.now, &out);
    reply_json(v->exchange, 200, &out);
}

static void settings(struct visit *v)
{
    struct lun_buf out = {0};
    lun_view_settings(lun_changes_current(v->admin->options.changes), lun_changes_tuning(v->admin->options.changes), &out);
    reply_json(v->exchange, 200, &out);
}

static void providers(struct visit *v)
{
    struct lun_buf out = {0};
    lun_view_providers(lun_changes_current(v->admin->options.changes), v->admin->options.reactor->loop.now, &out);
    reply_json(v->exchange, 200, &out);
}

void lun_admin_put_report(struct lun_admin *a, bool spread, struct lun_buf *out)
{
    lun_report_write(&(struct lun_reported){ a->options.registry->metrics, lun_changes_current(a->options.changes), a->options.reactor->loop.now,
                                             lun_clock_wall(), a->started, spread }, out);
}

static void report(struct visit *v)
{
    struct lun_buf out = {0};
    lun_admin_put_report(v->admin, lun_slice_is(v->head->query, "spread=1"), &out);
    reply_json(v->exchange, 200, &out);
}

/* The number of a query that is nothing but `n=…`; `usual` where there is no query, 0 where it is none from 1 to `most`. */
static size_t count_of(struct lun_slice query, size_t usual, size_t most)
{
    size_t n = 0;
    if (!query.n) return usual;
    if (query.n < 3 || memcmp(query.at, "n=", 2)) return 0;
    for (size_t i = 2; i < query.n; i++) {
        if (query.at[i] < '0' || query.at[i] > '9' || n > most) return 0;
        n = 10 * n + (size_t)(query.at[i] - '0');
    }
    return n > most ? 0 : n;
}

static void budgets(struct visit *v)
{
    struct lun_changes *c = v->admin->options.changes;
    size_t n = count_of(v->head->query, LUN_BUDGETS_SHOWN, LUN_BUDGETS_MOST);
    struct lun_buf out = {0};
    if (!n) { refuse(v->exchange, 400, "the only parameter is ?n=, how many are shown at most: 1 to 1000"); return; }
    lun_view_budgets(lun_changes_current(c), lun_changes_keyring(c), lun_clock_wall(), n, &out);
    reply_json(v->exchange, 200, &out);
}

static void ledger(struct visit *v)
{
    struct lun_buf out = {0};
    if (v->admin->options.books) lun_books_show(v->admin->options.books, &out);
    else lun_buf_puts(&out, "{\"state\":\"none\"}");
    reply_json(v->exchange, 200, &out);
}

static void fleet(struct visit *v)
{
    struct lun_buf out = {0};
    lun_buf_putc(&out, '{');
    if (v->admin->options.fleet) lun_fleet_show(v->admin->options.fleet, &out);
    else lun_json_member_text(&out, "state", "none");
    lun_buf_putc(&out, '}');
    reply_json(v->exchange, 200, &out);
}

static void cache(struct visit *v)
{
    struct lun_buf out = {0};
    lun_view_cache(lun_changes_current(v->admin->options.changes), v->admin->options.registry, v->admin->options.shelf, &out);
    reply_json(v->exchange, 200, &out);
}

/* ---- requests under way: each worker is asked ---- */

struct gather {
    struct lun_errand errand;           /* first */
    struct gather *next, **at;
    struct asked *asked;
    int n; struct part { struct lun_buf text; lun_us now; } *parts;
};

static void gather_free(struct gather *g)
{
    if ((*g->at = g->next)) g->next->at = g->at;
    lun_errand_drop(&g->errand);
    for (int i = 0; i < g->n; i++) lun_buf_free(&g->parts[i].text);
    free(g->parts);
    free(g->asked);
    free(g);
}

static void look_at(void *self, struct lun_request *r)
{
    struct part *p = self;
    lun_view_request(r, p->now, &p->text);
}

static void look(struct lun_errand *e, struct lun_worker *w, int index)
{
    struct part *p = &((struct gather *)(void *)e)->parts[index];
    p->now = lun_worker_reactor(w)->loop.now;
    lun_worker_each(w, look_at, p);
}

static void gathered(struct lun_errand *e)
{
    struct gather *g = (struct gather *)(void *)e;
    struct lun_buf out = {0};
    bool some = false;
    lun_buf_puts(&out, "{\"requests\":[");
    for (int i = 0; i < g->n; i++) {
        if (some && g->parts[i].text.n) lun_buf_putc(&out, ',');
        lun_buf_add(&out, g->parts[i].text.at, g->parts[i].text.n);
        some |= g->parts[i].text.n > 0;
    }
    lun_buf_puts(&out, "]}");
    if (g->asked->exchange) reply_json(g->asked->exchange, 200, &out);
    lun_buf_free(&out);
    gather_free(g);
}

static void requests(struct visit *v)
{
    struct lun_admin *a = v->admin;
    if (v->head->query.n) { lun_admin_recent(v); return; }
    struct gather *g = lun_zalloc(sizeof *g);
    *g = (struct gather){ .errand = { .visit = look, .done = gathered }, .next = a->gathers, .at = &a->gathers, .asked = wait_for(v->exchange), .n = a->options.n_workers };
    if (g->next) g->next->at = &g->next;
    a->gathers = g;
    g->parts = lun_zalloc((size_t)g->n * sizeof *g->parts);
    lun_errand_send(&g->errand, a->options.reactor, a->options.workers, g->n);
}

/* ---- changing ---- */

/* "admin ann@host (127.0.0.1)": who, as he says himself, and from where. Yours to free. */
static char *who(const struct visit *v)
{
    const struct lun_slice *said = lun_http_find(v->head, "x-lunette-by");
    char name[65];
    size_t n = 0;
    for (size_t i = 0; said && i < said->n && n < sizeof name - 1; i++)
        if (said->at[i] > ' ' && said->at[i] <= '~' && said->at[i] != '"' && said->at[i] != '\\') name[n++] = said->at[i];
    name[n] = 0;
    return lun_printf("admin%s%s (%s)", n ? " " : "", name, lun_exchange_peer(v->exchange));
}

char *lun_admin_who(const struct visit *v) { return who(v); }

char *lun_admin_name(const struct visit *v)
{
    char *name = lun_alloc(v->name.n + 1);
    size_t n;
    if (lun_http_unescape(v->name, name, &n)) return name;
    free(name);
    return NULL;
}

static bool forced(struct lun_slice query)
{
    return lun_slice_is(query, "force=true") || lun_slice_is(query, "force=1");
}

static void reload(struct visit *v)
{
    char *by = who(v);
    if (v->head->query.n && !forced(v->head->query)) refuse(v->exchange, 400, "the only parameter of a reload is ?force=true");
    else lun_changes_reload(v->admin->options.changes, by, forced(v->head->query), told, wait_for(v->exchange));
    free(by);
}

static void rollback(struct visit *v)
{
    struct lun_buf why = {0};
    char *by = who(v);
    lun_json_string(lun_json_get(v->body, "why"), true, &why);
    lun_changes_rollback(v->admin->options.changes, by, why.n ? lun_buf_text(&why) : "asked for", told, wait_for(v->exchange));
    lun_buf_free(&why);
    free(by);
}

static bool is_said_before(const struct lun_wanted *wanted, int n)
{
    for (int i = 0; wanted[n].name && i < n; i++) if (!strcmp(wanted[i].name, wanted[n].name)) return true;
    return false;
}

static void set_settings(struct visit *v, struct lun_arena *arena)
{
    size_t room = lun_json_count(v->body);
    struct lun_wanted *wanted = lun_arena_zalloc(arena, (room + 1) * sizeof *wanted);
    struct lun_plain *values = lun_arena_zalloc(arena, (room + 1) * sizeof *values);
    struct lun_json_each e = lun_json_each(v->body);
    int n = 0;
    for (; lun_json_next(&e); n++) {
        bool reset = lun_json_type(e.value) == LUN_JSON_NULL;
        wanted[n].name = lun_json_string_in(e.key, true, arena, NULL);
        wanted[n].value = reset ? NULL : &values[n];
        if (is_said_before(wanted, n)) { refuse(v->exchange, 422, lun_arena_printf(arena, "%s: is said twice", wanted[n].name)); return; }
        if (wanted[n].name && (reset || lun_plain_of_json(e.value, arena, &values[n]))) continue;
        refuse(v->exchange, 422, lun_arena_printf(arena, "%s: must be a number, a text, true, false, or null for its default", wanted[n].name ? wanted[n].name : "a name"));
        return;
    }
    if (!n) { refuse(v->exchange, 422, "an object of settings and their values is wanted: {\"share\":15}"); return; }
    char *by = who(v);
    lun_changes_set(v->admin->options.changes, by, wanted, n, told, wait_for(v->exchange));
    free(by);
}

static void purge(struct visit *v)
{
    char *by = who(v);
    lun_registry_empty_cache(v->admin->options.registry);
    lun_log(v->admin->options.log, LUN_LOG_INFO, "the response cache was emptied by %s", by);
    free(by);
    cache(v);
}

static void open_target(struct visit *v)
{
    struct lun_buf name = {0}, body = {0};
    lun_json_string(lun_json_get(v->body, "target"), true, &name);
    const struct lun_target *t = lun_snapshot_target(lun_changes_current(v->admin->options.changes), lun_buf_text(&name));
    if (!name.n) refuse(v->exchange, 422, "an object is wanted: {\"target\":\"NAME\"}, a target's own name");
    else if (!t) refuse(v->exchange, 404, "gateway.lua has no target of that name");
    else {
        char *by = who(v);
        bool opened = lun_doubt_clear(t);
        if (opened) lun_log(v->admin->options.log, LUN_LOG_INFO, "target %s was opened to requests under a hard limit again by %s", t->name, by);
        lun_buf_puts(&body, "{\"target\":"), lun_json_put_text(&body, t->name);
        lun_buf_printf(&body, ",\"opened\":%s}", opened ? "true" : "false");
        reply_json(v->exchange, 200, &body);
        free(by);
    }
    lun_buf_free(&name), lun_buf_free(&body);
}

static void set(struct visit *v)
{
    struct lun_arena arena = {0};
    set_settings(v, &arena);
    lun_arena_free(&arena);
}

struct asked_canary { struct asked asked; struct lun_admin *admin; char name[65]; };    /* first, as who waits is known by it */

static void told_canary(void *self, const struct lun_change_result *r)
{
    struct asked_canary *a = self;
    struct lun_buf body = {0};
    const struct lun_canary_rule *rule = a->asked.exchange ? lun_snapshot_canary(lun_changes_current(a->admin->options.changes), a->name) : NULL;
    if (a->asked.exchange && (r->status != 200 || !rule)) {
        lun_view_errors(&body, r->errors.n ? r->errors.at[0] : "it is gone meanwhile");
        reply_json(a->asked.exchange, r->status == 200 ? 404 : r->status, &body);
    } else if (a->asked.exchange) {
        lun_buf_puts(&body, "{\"canary\":");
        lun_view_canary(rule, a->admin->options.reactor->loop.now, &body);
        lun_view_kept(r, &body);
        lun_buf_putc(&body, '}');
        reply_json(a->asked.exchange, 200, &body);
    }
    free(a);
}

static const char verbs_wanted[] = "an object is wanted: {\"do\":\"start\"}, or pause, resume, promote, rollback; with \"why\" what is to be noted";

static void canary(struct visit *v)
{
    struct lun_buf verb = {0}, why = {0};
    enum lun_canary_verb wanted;
    lun_json_string(lun_json_get(v->body, "do"), true, &verb);
    lun_json_string(lun_json_get(v->body, "why"), true, &why);
    if (!lun_canary_verb_find(lun_buf_text(&verb), &wanted)) refuse(v->exchange, 422, verbs_wanted);
    else if (v->name.n > 64) refuse(v->exchange, 404, "gateway.lua has no such canary");
    else {
        struct asked_canary *a = lun_zalloc(sizeof *a);
        char *by = who(v);
        a->asked.exchange = v->exchange;
        a->admin = v->admin;
        memcpy(a->name, v->name.at, v->name.n);
        lun_exchange_set_user(v->exchange, &a->asked);
        lun_changes_canary(v->admin->options.changes, by, a->name, wanted, lun_buf_text(&why), told_canary, a);
        free(by);
    }
    lun_buf_free(&verb), lun_buf_free(&why);
}

/* ---- who and what ---- */

static void (*const functions[])(struct visit *) = {
#define X(method, path, function, text) function,
    LUN_ADMIN_PATHS(X)
#undef X
};
static const struct { const char *method, *path; } paths[] = {
#define X(method, path, function, text) { method, path },
    LUN_ADMIN_PATHS(X)
#undef X
};
enum { PATHS = sizeof paths / sizeof *paths };
#define X(method, path, function, text) " " method " " path
static const char nothing_there[] = "there is nothing at this path. There are:" LUN_ADMIN_PATHS(X);
#undef X

static bool allowed(struct lun_admin *a, struct lun_exchange *x, const struct lun_http_request *head)
{
    const struct lun_snapshot *s = lun_changes_current(a->options.changes);
    char here[LUN_PEER_TEXT];
    const struct lun_guard guard = { .token = s->admin_token, .is_unix = !strcmp(lun_exchange_peer(x), "unix"), .here = lun_exchange_here(x, here),
                                     .hosts = s->admin_hosts, .n_hosts = s->n_admin_hosts };
    const char *why;
    int status = lun_guard_check(&guard, head, &why);
    if (status) refuse(x, status, why);
    return !status;
}

static bool on_judge(void *self, struct lun_exchange *x, const struct lun_http_request *head) { return allowed(self, x, head); }

static void wrong_method(struct lun_exchange *x, const char *allow)
{
    struct lun_buf body = {0};
    lun_view_errors(&body, "this path does not take that method");
    struct lun_pair headers[] = { { "content-type", "application/json" }, { "allow", allow } };
    lun_exchange_head(x, 405, headers, 2, (int64_t)body.n);
    lun_exchange_bytes(x, body.at, body.n);
    lun_exchange_end(x, true);
    lun_buf_free(&body);
}

/* In a path of the table /NAME stands for any name. */
static bool leads_to(const char *path, struct lun_slice asked, struct lun_slice *name)
{
    const char *place = strstr(path, "/NAME");
    size_t before = place ? (size_t)(place + 1 - path) : 0, after = place ? strlen(place + 5) : 0;
    if (!place) return lun_slice_is(asked, path);
    if (asked.n <= before + after || memcmp(asked.at, path, before) || memcmp(asked.at + asked.n - after, place + 5, after)) return false;
    *name = (struct lun_slice){ asked.at + before, asked.n - before - after };
    return !memchr(name->at, '/', name->n);
}

static void route(struct visit *v)
{
    struct lun_buf allow = {0};
    bool head = lun_slice_is(v->head->method, "HEAD");
    for (int i = 0; i < PATHS; i++) {
        if (!leads_to(paths[i].path, v->head->path, &v->name)) continue;
        if (lun_slice_is(v->head->method, paths[i].method) || (head && !strcmp(paths[i].method, "GET"))) { lun_buf_free(&allow); functions[i](v); return; }
        lun_buf_printf(&allow, "%s%s", allow.n ? ", " : "", !strcmp(paths[i].method, "GET") ? "GET, HEAD" : paths[i].method);
    }
    if (allow.n) wrong_method(v->exchange, lun_buf_text(&allow));
    else refuse(v->exchange, 404, nothing_there);
    lun_buf_free(&allow);
}

static void on_request(void *self, struct lun_exchange *x, const struct lun_http_request *head, const char *body, size_t n)
{
    struct visit v = { .admin = self, .exchange = x, .head = head };
    struct lun_json_error error;
    if (!allowed(self, x, head)) return;
    if (n && !lun_json_check(body, n, &v.body, &error)) {
        char *why = lun_printf("the body is no JSON: at byte %zu: %s", error.at, error.what);
        refuse(x, 400, why);
        free(why);
    } else if (n && lun_json_type(v.body) != LUN_JSON_OBJECT) refuse(x, 400, "the body must be an object");
    else route(&v);
}

static void on_refuse(void *self, struct lun_exchange *x, int status, const char *why)
{
    (void)self;
    refuse(x, status, why);
}

static void wipe(struct lun_timer *t)
{
    struct lun_admin *a = (struct lun_admin *)(void *)((char *)t - offsetof(struct lun_admin, wiper));
    struct lun_loop *loop = &a->options.reactor->loop;
    lun_captured_wipe(a->options.captured, loop->now);
    lun_timer_set(loop, t, loop->now + WIPE_EVERY);
}

struct lun_admin *lun_admin_new(const struct lun_admin_options *options, int listener)
{
    struct lun_admin *a = lun_zalloc(sizeof *a);
    a->options = *options;
    a->started = lun_clock_wall();
    a->wiper.fire = wipe;
    lun_timer_set(&options->reactor->loop, &a->wiper, options->reactor->loop.now + WIPE_EVERY);
    struct lun_server_handler handler = { .self = a, .judge = on_judge, .request = on_request, .refuse = on_refuse, .gone = on_gone, .full = on_full };
    a->server = lun_server_new(options->reactor, listener, &handler, &(struct lun_server_options){ .body = BODY_MOST });
    if (a->server) lun_admin_adopt(a, lun_changes_current(options->changes));
    if (a->server) return a;
    lun_admin_free(a);
    return NULL;
}

void lun_admin_adopt(struct lun_admin *a, const struct lun_snapshot *s)
{
    struct lun_tls *before = a->tls;
    a->tls = s->admin_tls.shown ? lun_tls_new(s->admin_tls.shown) : NULL;
    lun_server_set_tls(a->server, a->tls);
    lun_tls_free(before);
    lun_admin_events_end(a);            /* who listens comes again, and is looked at by the guard of this version */
}

void lun_admin_retire(struct lun_admin *a)
{
    lun_server_stop_accepting(a->server);
    lun_admin_events_end(a);
}

void lun_admin_free(struct lun_admin *a)
{
    if (!a) return;
    lun_timer_set(&a->options.reactor->loop, &a->wiper, LUN_NEVER);
    if (a->server) lun_server_free(a->server);
    lun_admin_events_free(a);
    lun_tls_free(a->tls);
    while (a->gathers) gather_free(a->gathers);
    free(a);
}
