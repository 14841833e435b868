#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include "base/text.h"
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

static char *host_of(CURLU *u)
{
    char *host = NULL, *port = NULL;
    curl_url_get(u, CURLUPART_HOST, &host, 0);
    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    char *text = lun_printf("%s:%s", host ? host : "", port ? port : "");
    curl_free(host);
    curl_free(port);
    return text;
}

static const char *wrong(const struct lun_upstream_site_spec *spec, char **host)
{
    CURLU *u = curl_url();
    const char *why = wrong_url(u, spec->base_url);
    if (!why) *host = host_of(u);
    curl_url_cleanup(u);
    return why;
}

static char *base_of(const char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') n--;
    return lun_strndup(url, n);
}

static void call_free(struct lun_upstream_call *c)
{
    curl_easy_cleanup(c->easy);
    request_free(c);
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
    if (s->trust) trust_drop(s->upstream, s->trust);
    free(s->lines), free(s->base), free(s->host), free(s->proxy);
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

struct lun_upstream_site *lun_upstream_site_new(struct lun_upstream *u, const struct lun_upstream_site_spec *spec, char **error)
{
    char *host = NULL;
    const char *why = wrong(spec, &host);
    if (why) { *error = lun_printf("base_url %s", why); return NULL; }
    struct lun_upstream_site *s = lun_zalloc(sizeof *s);
    s->upstream = u;
    s->base = base_of(spec->base_url);
    s->host = host;
    s->proxy = lun_strdup(spec->proxy ? spec->proxy : "");
    s->guarded = spec->guarded;
    s->http2 = spec->http2 && !strncasecmp(s->base, "https:", 6);
    s->connect_timeout = spec->connect_timeout ? spec->connect_timeout : 10 * LUN_SECOND;
    s->connections = (spec->connections ? spec->connections : 512) * (s->http2 ? H2_STREAMS : 1);
    const char *bad = set_lines(s, spec->headers, spec->headers_n);
    if (bad) *error = lun_printf("header %.60s cannot be sent: its name or value has characters that HTTP forbids", bad);
    else s->trust = trust_get(u, spec->ca_file, error);
    if (s->trust) return s;
    destroy(s);
    return NULL;
}

void lun_upstream_site_free(struct lun_upstream_site *s)
{
    if (!s) return;
    s->freed = true;
    if (!s->open) destroy(s);
}

int lun_upstream_site_busy(const struct lun_upstream_site *s) { return s->busy; }

CURLU *site_url(struct lun_upstream_site *s, const char *path, bool *yours)
{
    *yours = false;
    for (int i = 0; i < s->urls_n; i++) if (!strcmp(s->urls[i].path, path)) return s->urls[i].url;
    if (path[0] != '/' || !lun_text_graphic(path) || strchr(path, '#') || strlen(path) > 8192) return NULL;
    char *text = lun_printf("%s%s", s->base, path);
    CURLU *url = curl_url();
    bool good = curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK;
    free(text);
    if (!good) { curl_url_cleanup(url); return NULL; }
    *yours = s->urls_n == (int)(sizeof s->urls / sizeof *s->urls);
    if (!*yours) {
        s->urls[s->urls_n].path = lun_strdup(path);
        s->urls[s->urls_n++].url = url;
    }
    return url;
}

static void set_rules(CURL *e)
{
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);        /* or closing a call blocks until its name look-up is over */
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);     /* the key is not the proxy's to see */
    curl_easy_setopt(e, CURLOPT_USERAGENT, "lunette/0.1");
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
}

static void set_callbacks(struct lun_upstream_call *c)
{
    CURL *e = c->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c->upstream);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, call_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, call_bytes);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, call_leaves);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, c);
    /* No SEEKFUNCTION: libcurl then cannot begin a body anew on another connection. */
    curl_easy_setopt(e, CURLOPT_READFUNCTION, request_read);
    curl_easy_setopt(e, CURLOPT_READDATA, c);
}

static struct lun_upstream_call *call_new(struct lun_upstream_site *s)
{
    struct lun_upstream_call *c = lun_zalloc(sizeof *c);
    c->upstream = s->upstream;
    c->site = s;
    c->easy = curl_easy_init();
    if (!c->easy) abort();
    set_rules(c->easy);
    set_callbacks(c);
    trust_set(s->trust, c->easy);
    curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, s->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c->easy, CURLOPT_PIPEWAIT, s->http2 ? 1L : 0L);
    curl_easy_setopt(c->easy, CURLOPT_PROXY, s->proxy);
    curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "");     /* or the environment's is asked */
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
    if (s->upstream->keeps && s->spare_n < SPARE_CALLS && !s->freed) {
        c->next = s->spare;
        s->spare = c;
        s->spare_n++;
    } else {
        call_free(c);
    }
    if (!--s->open && s->freed) destroy(s);
}
