#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>

enum { ONE_PIECE = 64 * 1024 };

/* "Name:" without a value would take the header out; "Name;" sends it empty. */
void header_add(struct lun_buf *b, const struct lun_pair *h)
{
    const char *value = h->value + strspn(h->value, " \t");
    lun_buf_puts(b, h->name);
    lun_buf_puts(b, *value ? ": " : ";");
    lun_buf_add(b, value, strlen(value) + 1);
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
    fields_reserve(c, r, sizeof first + sizeof "Content-Type:");
    lun_buf_add(&c->fields, first, sizeof first);
    if (r->headers_n > FIELDS) return "too many headers";
    for (size_t i = 0; i < r->headers_n; i++) {
        if (!header_good(&r->headers[i])) return "a header's name or value has characters that HTTP forbids";
        if (!header_own(&r->headers[i]) && !site_names(c->site, r->headers[i].name)) header_add(&c->fields, &r->headers[i]);
    }
    if (!headers_name(r->headers, r->headers_n, "content-type") && !site_names(c->site, "content-type"))
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
    const char *wrong = method_set(c, method);
    if (wrong) return wrong;
    if (!c->once) {
        curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
        if (c->bodiless) curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->total);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->total < ONE_PIECE ? one_piece(c) : NULL);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, !c->once || !strcmp(method, "POST") ? NULL : method);
    return NULL;
}

CURLU *curl_url_of(struct lun_upstream_site *s, const char *path, bool *yours)
{
    *yours = false;
    for (int i = 0; i < s->urls_n; i++) if (!strcmp(s->urls[i].path, path)) return s->urls[i].url;
    if (!path_good(path)) return NULL;
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

const char *curl_set(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    body_set(c, r);
    bool yours = false;
    CURLU *url = r->path ? curl_url_of(c->site, r->path, &yours) : NULL;
    if (!url) return "the path is not one";
    c->url = yours ? url : NULL;
    curl_easy_setopt(c->easy, CURLOPT_CURLU, url);
    lun_us patience = r->connect_timeout ? r->connect_timeout : c->site->connect_timeout;
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, patience < LUN_SECOND * 86400 ? (long)((patience + LUN_MS - 1) / LUN_MS) : 86400000L);
    const char *wrong = set_method(c, r->method);
    return wrong ? wrong : set_fields(c, r);
}

size_t curl_read(char *to, size_t size, size_t count, void *call)
{
    struct lun_upstream_call *c = call;
    size_t room = size * count, n = 0;
    while (n < room && c->slice < c->body_n) {
        const struct lun_slice *s = &c->body[c->slice];
        size_t some = s->n - c->at < room - n ? s->n - c->at : room - n;
        if (some) memcpy(to + n, s->at + c->at, some);
        n += some;
        body_skip(c, some);
    }
    if (n && c->slice == c->body_n) c->times.sent = call_now(c);
    return n;
}

void curl_clear(struct lun_upstream_call *c)
{
    if (!c->url) return;
    curl_easy_setopt(c->easy, CURLOPT_CURLU, NULL);
    curl_url_cleanup(c->url);
    c->url = NULL;
}
