#include "gateway/carrier_network.h"
#include "base/alloc.h"
#include "state/limit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_ROOM = 256 };      /* most keys are shorter */

struct network_carrier {
    struct lun_carrier carrier;
    struct lun_upstream *upstream;
    struct lun_upstream_site **sites; int n;        /* by provider; NULL for one that a script plays */
    const struct lun_snapshot *snapshot;
    struct lun_snapshot *newest;        /* whose secrets are used; NULL: the snapshot's own */
    const struct lun_provider **as;     /* by provider: whose headers its site has */
};
struct carried {
    const struct lun_ear *ear; void *ear_self;
    struct lun_upstream_call *call;
};

static void on_head(void *self, int status, const struct lun_pair *headers, size_t n)
{
    struct carried *c = self;
    c->ear->head(c->ear_self, &(struct lun_answer_head){ .status = status, .headers = headers, .n_headers = (int)n });
}
static void on_bytes(void *self, const char *bytes, size_t n)          { struct carried *c = self; c->ear->bytes(c->ear_self, bytes, n); }
static void on_end(void *self, enum lun_kind kind, const char *detail) { struct carried *c = self; c->ear->end(c->ear_self, kind, detail); }
static const struct lun_upstream_events events = { on_head, on_bytes, on_end };

/* A key with what comes before it; wiped at the end. */
struct secret { char *text; size_t n; char room[SECRET_ROOM]; };

static void join(struct secret *s, const char *prefix, const char *key)
{
    size_t n = strlen(prefix), length = strlen(key);
    s->n = n + length + 1;
    s->text = s->n <= sizeof s->room ? s->room : lun_alloc(s->n);
    memcpy(mempcpy(s->text, prefix, n), key, length + 1);
}

static void wipe(struct secret *s)
{
    explicit_bzero(s->text, s->n);
    if (s->text != s->room) free(s->text);
}

static void *send_letter(void *self, const struct lun_provider *provider, int key, lun_us connect_timeout, const struct lun_letter *letter,
                         const struct lun_ear *ear, void *ear_self)
{
    struct network_carrier *u = self;
    struct carried *c = lun_alloc(sizeof *c);
    struct lun_pair headers[LUN_LETTER_HEADERS + 1];
    int n = 0;
    for (; n < letter->n_headers && n < LUN_LETTER_HEADERS; n++) headers[n] = letter->headers[n];
    struct secret secret;
    if (key >= 0) {
        join(&secret, letter->key_prefix, lun_snapshot_key(u->newest, provider, key));
        headers[n++] = (struct lun_pair){ letter->key_header, secret.text };
    }
    *c = (struct carried){ ear, ear_self, NULL };
    c->call = lun_upstream_call(u->upstream, u->sites[provider->index], &(struct lun_upstream_request){
        .method = letter->method, .path = letter->path, .headers = headers, .headers_n = (size_t)n, .body = letter->body,
        .body_n = (size_t)letter->n_body, .connect_timeout = connect_timeout, .busy = lun_limit_calls(provider), .stream = letter->stream }, &events, c);
    if (key >= 0) wipe(&secret);
    return c;
}

static void hold(void *carried, bool paused) { lun_upstream_pause(((struct carried *)carried)->call, paused); }

static bool unsent(void *carried) { return !lun_upstream_call_times(((struct carried *)carried)->call)->connected; }

static void finish(void *carried)
{
    lun_upstream_close(((struct carried *)carried)->call);
    free(carried);
}

static struct lun_upstream_site *site_of(struct lun_upstream *upstream, const struct lun_provider *p, char **error)
{
    char *why = NULL;
    struct lun_upstream_site *site = lun_upstream_site_new(upstream, &(struct lun_upstream_site_spec){
        .base_url = p->base_url, .ca_file = p->ca, .proxy = p->proxy, .transport = p->transport, .http2 = p->http2, .connect_timeout = p->timeouts.connect,
        .connections = p->connections, .headers = p->headers, .headers_n = (size_t)p->n_headers }, &why);
    if (!site) *error = lun_printf("provider %s: %s", p->name, why);
    free(why);
    return site;
}

struct lun_carrier *lun_carrier_network_new(struct lun_upstream *upstream, const struct lun_snapshot *snapshot, char **error)
{
    struct network_carrier *u = lun_zalloc(sizeof *u);
    *u = (struct network_carrier){ .carrier = { u, send_letter, hold, finish, unsent }, .upstream = upstream, .n = snapshot->n_providers, .snapshot = snapshot };
    u->sites = lun_zalloc((size_t)(u->n + 1) * sizeof *u->sites);
    u->as = lun_zalloc((size_t)(u->n + 1) * sizeof *u->as);
    for (int i = 0; i < u->n; i++) {
        u->as[i] = &snapshot->providers[i];
        if (snapshot->providers[i].script) continue;
        if ((u->sites[i] = site_of(upstream, &snapshot->providers[i], error))) continue;
        lun_carrier_network_free(&u->carrier);
        return NULL;
    }
    return &u->carrier;
}

static bool same_headers(const struct lun_provider *a, const struct lun_provider *b)
{
    if (a->n_headers != b->n_headers) return false;
    for (int i = 0; i < a->n_headers; i++)
        if (strcmp(a->headers[i].name, b->headers[i].name) || strcmp(a->headers[i].value, b->headers[i].value)) return false;
    return true;
}

/* Calls that are under way keep the site that they began with. */
static void renew_site(struct network_carrier *u, int i)
{
    const struct lun_provider *own = &u->snapshot->providers[i], *heir = lun_snapshot_heir(u->newest, own);
    char *why = NULL;
    if (!heir) heir = own;
    bool same = same_headers(u->as[i], heir);
    u->as[i] = heir;
    if (!u->sites[i] || same) return;
    struct lun_upstream_site *site = site_of(u->upstream, heir, &why);
    free(why);
    if (!site) return;
    lun_upstream_site_free(u->sites[i]);
    u->sites[i] = site;         /* else it keeps what it has: what is written there was checked when the version was loaded */
}

void lun_carrier_network_renew(struct lun_carrier *carrier, struct lun_snapshot *newest)
{
    struct network_carrier *u = carrier->self;
    struct lun_snapshot *before = u->newest;
    u->newest = lun_snapshot_ref(newest);
    for (int i = 0; i < u->n; i++) renew_site(u, i);
    lun_snapshot_unref(before);
}

void lun_carrier_network_free(struct lun_carrier *carrier)
{
    if (!carrier) return;
    struct network_carrier *u = carrier->self;
    for (int i = 0; i < u->n; i++) lun_upstream_site_free(u->sites[i]);
    lun_snapshot_unref(u->newest);
    free(u->sites);
    free(u->as);
    free(u);
}
