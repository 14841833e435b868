#include "base/http_text.h"
#include <string.h>
#include <strings.h>

static bool is_port(const char *p, const char *end)
{
    int port = 0, digits = 0;
    for (; p < end; p++, digits++) {
        if (*p < '0' || *p > '9' || digits == 5) return false;
        port = port * 10 + *p - '0';
    }
    return port <= 65535;
}

bool lun_http_is_host(struct lun_slice s)
{
    const char *p = s.at, *end = s.at + s.n;
    if (p < end && *p == '[') {
        for (p++; p < end && (lun_http_in(*p, LUN_HEX) || *p == ':' || *p == '.'); p++) { }
        if (p == end || *p++ != ']' || p - s.at < 4) return false;
    } else {
        for (; p < end && (lun_http_in(*p, LUN_HOST) || (*p == '%' && lun_http_is_escape(p, end))); p += *p == '%' ? 3 : 1) { }
        if (p == s.at) return false;
    }
    return p == end || (*p == ':' && is_port(p + 1, end));
}

static const char *place(struct lun_http_request *q, const char *p, const char *end)
{
    const char *query = NULL;
    for (const char *c = p; c < end; c++) {
        if (*c == '?' && !query) query = c;
        if (lun_http_in(*c, LUN_TARGET)) continue;
        if (*c == '#') return "The request target has a fragment.";
        if (*c != '%') return "The request target has a character that must be percent-encoded.";
        if (!lun_http_is_escape(c, end)) return "The request target has a % without two hex digits.";
        c += 2;
    }
    q->path = (struct lun_slice){ p, (size_t)((query ? query : end) - p) };
    q->query = query ? (struct lun_slice){ query + 1, (size_t)(end - query - 1) } : (struct lun_slice){ end, 0 };
    if (!q->path.n) q->path = (struct lun_slice){ "/", 1 };
    return NULL;
}

static size_t scheme(struct lun_slice t)
{
    if (t.n > 7 && !strncasecmp(t.at, "http://", 7)) return 7;
    return t.n > 8 && !strncasecmp(t.at, "https://", 8) ? 8 : 0;
}

const char *lun_http_target(struct lun_http_request *q)
{
    const char *p = q->target.at, *end = p + q->target.n;
    q->host = (struct lun_slice){0};
    if (*p == '/') return place(q, p, end);
    if (lun_slice_is(q->target, "*") && lun_slice_is(q->method, "OPTIONS")) {
        q->path = q->target;
        q->query = (struct lun_slice){ end, 0 };
        return NULL;
    }
    size_t skip = scheme(q->target);
    if (!skip) return "The request target must be a path that begins with a slash.";
    q->host.at = p += skip;
    while (p < end && *p != '/' && *p != '?' && *p != '#') p++;
    q->host.n = (size_t)(p - q->host.at);
    return lun_http_is_host(q->host) ? place(q, p, end) : "The host in the request target is not valid.";
}

static struct lun_slice without_default_port(struct lun_slice host_port, const char *port)
{
    size_t n = strlen(port);
    if (host_port.n > n && !memcmp(host_port.at + host_port.n - n, port, n)) host_port.n -= n;
    else if (host_port.n > 1 && host_port.at[host_port.n - 1] == ':') host_port.n--;
    return host_port;
}

bool lun_http_same_host(const struct lun_http_request *q, struct lun_slice field)
{
    const char *port = scheme(q->target) == 7 ? ":80" : ":443";
    struct lun_slice a = without_default_port(q->host, port), b = without_default_port(field, port);
    return a.n == b.n && !strncasecmp(a.at, b.at, a.n);
}
