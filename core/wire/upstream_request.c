#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 128, FIELDS_BYTES = 64 * 1024, ONE_PIECE = 64 * 1024 };

/* RFC 9110, 5.6.2: the characters of a token */
static bool token(const char *s)
{
    if (!*s) return false;
    for (; *s; s++)
        if (!((*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z') || strchr("!#$%&'*+-.^_`|~", *s))) return false;
    return true;
}

static bool field_value(const char *s)
{
    for (; *s; s++) if (((unsigned char)*s < ' ' && *s != '\t') || *s == 127) return false;
    return true;
}

bool header_good(const struct lun_pair *h) { return h->name && h->value && token(h->name) && field_value(h->value); }

/* "Name:" without a value would take the header out; "Name;" sends it empty. */
void header_add(struct lun_buf *b, const struct lun_pair *h)
{
    const char *value = h->value + strspn(h->value, " \t");
    lun_buf_puts(b, h->name);
    lun_buf_puts(b, *value ? ": " : ";");
    lun_buf_add(b, value, strlen(value) + 1);
}

static bool connections_own(const char *name)
{
    static const char *const own[] = { "host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "te",
                                       "trailer", "upgrade", "keep-alive", "http2-settings" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) if (!strcasecmp(name, own[i])) return true;
    return !strncasecmp(name, "proxy-", 6);
}

static bool sites_own(const struct lun_upstream_site *s, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < s->lines_n; i++)
        if (!strncasecmp(s->lines[i], name, n) && (s->lines[i][n] == ':' || s->lines[i][n] == ';')) return true;
    return false;
}

static bool named(const struct lun_pair *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) if (!strcasecmp(h[i].name, name)) return true;
    return false;
}

static void list_add(struct lun_upstream_call *c, int n, char *line)
{
    if (n == c->list_room) c->list = lun_realloc(c->list, (size_t)(c->list_room = n + 32) * sizeof *c->list);
    c->list[n].data = line;
}

/* Nodes are made here, in one array, and not by curl_slist_append: nothing is allocated for a call that reuses one. */
static void set_list(struct lun_upstream_call *c)
{
    int n = 0;
    for (char *line = c->fields.at, *end = line + c->fields.n; line < end; line += strlen(line) + 1) list_add(c, n++, line);
    for (int i = 0; i < c->site->lines_n; i++) list_add(c, n++, c->site->lines[i]);
    for (int i = 0; i < n; i++) c->list[i].next = i + 1 < n ? &c->list[i + 1] : NULL;
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->list);
}

static const char *set_fields(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    static const char first[] = "Accept-Encoding: identity\0Expect:";
    lun_buf_add(&c->fields, first, sizeof first);
    if (r->headers_n > FIELDS) return "too many headers";
    for (size_t i = 0; i < r->headers_n; i++) {
        if (!header_good(&r->headers[i])) return "a header's name or value has characters that HTTP forbids";
        if (!connections_own(r->headers[i].name) && !sites_own(c->site, r->headers[i].name)) header_add(&c->fields, &r->headers[i]);
    }
    if (!named(r->headers, r->headers_n, "content-type") && !sites_own(c->site, "content-type"))
        lun_buf_add(&c->fields, "Content-Type:", sizeof "Content-Type:");      /* or libcurl says form-urlencoded */
    if (c->fields.n > FIELDS_BYTES) return "the headers are too large";
    set_list(c);
    return NULL;
}

/* libcurl sends head and body at once if it has the body in one piece, below 64 KiB: a send less, at the price of a copy. */
static const char *one_piece(struct lun_upstream_call *c)
{
    if (c->body_n == 1) return c->body->n ? c->body->at : "";
    c->flat.n = 0;
    for (size_t i = 0; i < c->body_n; i++) lun_buf_add(&c->flat, c->body[i].at, c->body[i].n);
    c->slice = c->body_n;
    return c->flat.n ? c->flat.at : "";
}

static const char *set_method(struct lun_upstream_call *c, const char *method)
{
    size_t n = method ? strlen(method) : 0;
    if (!n || n > 16 || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != n) return "the method is not one";
    bool get = !strcmp(method, "GET"), head = !strcmp(method, "HEAD"), post = !strcmp(method, "POST");
    if ((get || head) && c->total) return "GET and HEAD have no body";
    c->once = !get && !head;
    c->bodiless = head;
    if (get || head) {
        curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
        if (head) curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->total);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->total < ONE_PIECE ? one_piece(c) : NULL);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, get || head || post ? NULL : method);
    return NULL;
}

const char *request_set(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    c->stream = r->stream;
    c->body = r->body;
    c->body_n = r->body_n;
    c->slice = c->at = 0;
    c->total = 0;
    for (size_t i = 0; i < r->body_n; i++) c->total += r->body[i].n;
    bool yours = false;
    CURLU *url = r->path ? site_url(c->site, r->path, &yours) : NULL;
    if (!url) return "the path is not one";
    c->url = yours ? url : NULL;
    curl_easy_setopt(c->easy, CURLOPT_CURLU, url);
    lun_us patience = r->connect_timeout ? r->connect_timeout : c->site->connect_timeout;
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, patience < LUN_SECOND * 86400 ? (long)((patience + LUN_MS - 1) / LUN_MS) : 86400000L);
    const char *wrong = set_method(c, r->method);
    return wrong ? wrong : set_fields(c, r);
}

size_t request_read(char *to, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t room = size * count, n = 0;
    while (n < room && c->slice < c->body_n) {
        const struct lun_slice *s = &c->body[c->slice];
        size_t some = s->n - c->at < room - n ? s->n - c->at : room - n;
        if (some) memcpy(to + n, s->at + c->at, some);
        n += some;
        c->at += some;
        if (c->at == s->n) { c->slice++; c->at = 0; }
    }
    if (n && c->slice == c->body_n) c->times.sent = lun_clock_now();
    return n;
}

void request_wipe(struct lun_upstream_call *c)
{
    if (c->fields.at) explicit_bzero(c->fields.at, c->fields.n);
    c->fields.n = 0;
    if (c->url) {
        curl_easy_setopt(c->easy, CURLOPT_CURLU, NULL);
        curl_url_cleanup(c->url);
        c->url = NULL;
    }
    c->body = NULL;
}

void request_free(struct lun_upstream_call *c)
{
    lun_buf_free(&c->fields);
    lun_buf_free(&c->flat);
    free(c->list);
}
