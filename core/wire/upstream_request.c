#include "wire/upstream_parts.h"
#include "base/text.h"
#include <string.h>

bool header_good(const struct lun_pair *h)
{
    return h->name && h->value && lun_http_is_token(h->name, strlen(h->name)) && lun_http_is_value(h->value, strlen(h->value));
}

bool header_own(const struct lun_pair *h)
{
#define X(name) { name, sizeof name - 1 },
    static const struct lun_slice own[] = { X("host") X("content-length") X("transfer-encoding") X("connection") X("accept-encoding") X("expect") X("te")
                                            X("trailer") X("upgrade") X("keep-alive") X("http2-settings") };
#undef X
    size_t n = strlen(h->name);         /* most names are of another length, or begin with another letter: 0.4 us of a call less */
    char first = *h->name | 32;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) if (own[i].n == n && *own[i].at == first && !strcasecmp(h->name, own[i].at)) return true;
    return first == 'p' && !strncasecmp(h->name, "proxy-", 6);
}

bool site_names(const struct lun_upstream_site *s, const char *name)
{
    size_t n = s->lines_n ? strlen(name) : 0;
    for (int i = 0; i < s->lines_n; i++)
        if (!strncasecmp(s->lines[i], name, n) && (s->lines[i][n] == ':' || s->lines[i][n] == ';')) return true;
    return false;
}

void fields_reserve(struct lun_upstream_call *c, const struct lun_upstream_request *r, size_t besides)
{
    size_t n = besides;
    for (size_t i = 0; i < r->headers_n && i < FIELDS; i++)
        if (r->headers[i].name && r->headers[i].value) n += strlen(r->headers[i].name) + strlen(r->headers[i].value) + sizeof ": \r\n";
    lun_buf_space(&c->fields, n);
}

bool headers_name(const struct lun_pair *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) if (!strcasecmp(h[i].name, name)) return true;
    return false;
}

bool path_good(const char *path) { return path[0] == '/' && lun_text_graphic(path) && !strchr(path, '#') && strlen(path) <= 8192; }

const char *method_set(struct lun_upstream_call *c, const char *method)
{
    size_t n = 0;
    while (method && method[n] >= 'A' && method[n] <= 'Z') n++;
    if (!n || n > 16 || method[n]) return "the method is not one";
    bool get = !strcmp(method, "GET"), head = !strcmp(method, "HEAD");
    if ((get || head) && c->total) return "GET and HEAD have no body";
    c->once = !get && !head;
    c->bodiless = head;
    return NULL;
}

void body_set(struct lun_upstream_call *c, const struct lun_upstream_request *r)
{
    c->body = r->body;
    c->body_n = r->body_n;
    c->slice = c->at = 0;
    c->total = 0;
    for (size_t i = 0; i < r->body_n; i++) c->total += r->body[i].n;
}

void body_skip(struct lun_upstream_call *c, size_t n)
{
    c->at += n;
    while (c->slice < c->body_n && c->at >= c->body[c->slice].n) c->at -= c->body[c->slice++].n;
}
