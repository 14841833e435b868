#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool yes = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return yes;
}

static const char *wrong_url(CURLU *u, const char *url)
{
    char *scheme = NULL;
    if (!url || !lun_text_graphic(url) || curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK) return "is not a URL";
    bool http = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    curl_free(scheme);
    if (!http) return "begins with neither http:// nor https://";
    if (has(u, CURLUPART_USER) || has(u, CURLUPART_PASSWORD)) return "holds a user name; a key belongs into `key`";
    if (has(u, CURLUPART_QUERY) || has(u, CURLUPART_FRAGMENT)) return "holds a query or fragment";
    return NULL;
}

/* A part of a URL; yours to free, "" if there is none. */
static char *part_of(CURLU *u, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    curl_url_get(u, part, &text, flags);
    char *own = lun_strdup(text ? text : "");
    curl_free(text);
    return own;
}

static char *base_of(const char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') n--;
    return lun_strndup(url, n);
}

static void call_free(struct lun_upstream_call *c)
{
    c->site->by->free(c);
    lun_buf_free(&c->fields);
    lun_buf_free(&c->head.text);
    free(c);
}

static void destroy(struct lun_upstream_site *s)
{
    for (struct lun_upstream_call *c; (c = s->spare); ) {
        s->spare = c->next;
        call_free(c);
    }
    for (int i = 0; i < s->urls_n; i++) { curl_url_cleanup(s->urls[i].url); free(s->urls[i].path); }
    for (int i = 0; i < s->lines_n; i++) { explicit_bzero(s->lines[i], strlen(s->lines[i])); free(s->lines[i]); }
    if (s->pool) pool_drop(s->pool);
    if (s->trust) trust_drop(s->upstream, s->trust);
    lun_buf_free(&s->fixed);
    free(s->path), free(s->lines), free(s->base), free(s->host), free(s->proxy);
    free(s);
}

static const char *set_lines(struct lun_upstream_site *s, const struct lun_pair *h, size_t n)
{
    s->lines = lun_zalloc((n + 1) * sizeof *s->lines);
    for (size_t i = 0; i < n; i++) {
        if (!header_good(&h[i])) return h[i].name;
        struct lun_buf line = { 0 };
        header_add(&line, &h[i]);
        s->lines[s->lines_n++] = line.at;
    }
    return NULL;
}

/* With what a link cannot do libcurl does it: HTTP/2, proxies, addresses with a zone, and looking at each address it is led to. */
static bool needs_curl(const struct lun_upstream_site *s, CURLU *u) { return s->http2 || *s->proxy || s->guarded || has(u, CURLUPART_ZONEID); }

static void go_direct(struct lun_upstream_site *s, CURLU *u, char *host, const char *port)
{
    char *said = part_of(u, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    char *path = part_of(u, CURLUPART_PATH, 0), *name = lun_printf(*said ? "%s:%s" : "%s", host, said);
    bool tls = !strncasecmp(s->base, "https:", 6);
    size_t n = strlen(host);
    s->by = &transport_direct;
    s->path = base_of(path);
    direct_site(s, name);
    if (*host == '[') memmove(host, host + 1, n - 2), host[n - 2] = 0;
    s->pool = pool_get(s->upstream, host, port, tls ? s->trust : NULL);
    free(said), free(path), free(name);
}

/* All but how it gets there. */
static struct lun_upstream_site *make(struct lun_upstream *u, const struct lun_upstream_site_spec *spec, char **error)
{
    struct lun_upstream_site *s = lun_zalloc(sizeof *s);
    s->upstream = u;
    s->by = &transport_curl;
    s->base = base_of(spec->base_url);
    s->proxy = lun_strdup(spec->proxy ? spec->proxy : "");
    s->guarded = spec->guarded;
    s->http2 = spec->http2 && !strncasecmp(s->base, "https:", 6);
    s->connect_timeout = spec->connect_timeout ? spec->connect_timeout : 10 * LUN_SECOND;
    s->connections = (spec->connections ? spec->connections : 512) * (s->http2 ? H2_STREAMS : 1);
    const char *bad = set_lines(s, spec->headers, spec->headers_n);
    if (bad) *error = lun_printf("header %.60s cannot be sent: its name or value has characters that HTTP forbids", bad);
    else s->trust = trust_get(u, spec->ca_file, error);
    if (s->trust && !strncasecmp(s->base, "https:", 6)) trust_store(s->trust);         /* now, not in the first request */
    if (s->trust) return s;
    destroy(s);
    return NULL;
}

static struct lun_upstream_site *settle(struct lun_upstream_site *s, const struct lun_upstream_site_spec *spec, CURLU *u, char **error)
{
    char *host = part_of(u, CURLUPART_HOST, 0), *port = part_of(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    bool curl = needs_curl(s, u), refused = curl && spec->transport == LUN_TRANSPORT_DIRECT;
    s->host = lun_printf("%s:%s", host, port);
    snprintf(s->answered, sizeof s->answered, "%s: answered", s->host);
    s->answered_n = strlen(s->answered);
    if (!curl && spec->transport != LUN_TRANSPORT_CURL) go_direct(s, u, host, port);
    free(host), free(port);
    if (!refused) return s;
    *error = lun_strdup("transport \"direct\" speaks HTTP/1.1 to the provider itself: not HTTP/2, and not through a proxy");
    destroy(s);
    return NULL;
}

struct lun_upstream_site *lun_upstream_site_new(struct lun_upstream *u, const struct lun_upstream_site_spec *spec, char **error)
{
    CURLU *url = curl_url();
    const char *why = wrong_url(url, spec->base_url);
    struct lun_upstream_site *s = NULL;
    if (why) *error = lun_printf("base_url %s", why);
    else if ((s = make(u, spec, error))) s = settle(s, spec, url, error);
    curl_url_cleanup(url);
    return s;
}

void lun_upstream_site_free(struct lun_upstream_site *s)
{
    if (!s) return;
    s->freed = true;
    if (!s->open) destroy(s);
}

int lun_upstream_site_busy(const struct lun_upstream_site *s) { return s->busy; }

static struct lun_upstream_call *call_new(struct lun_upstream_site *s)
{
    struct lun_upstream_call *c = lun_zalloc(sizeof *c);
    c->upstream = s->upstream;
    c->site = s;
    s->by->make(c);
    return c;
}

struct lun_upstream_call *site_call(struct lun_upstream_site *s)
{
    struct lun_upstream_call *c = s->spare;
    if (c) { s->spare = c->next; s->spare_n--; }
    else c = call_new(s);
    s->open++;
    return c;
}

void site_spare(struct lun_upstream_call *c)
{
    struct lun_upstream_site *s = c->site;
    if ((s->pool || s->upstream->keeps) && s->spare_n < SPARE_CALLS && !s->freed) {
        c->next = s->spare;
        s->spare = c;
        s->spare_n++;
    } else {
        call_free(c);
    }
    if (!--s->open && s->freed) destroy(s);
}
