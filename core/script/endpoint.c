#include "script/endpoint.h"
#include "script/convert.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *wrong_port(const char *port, size_t n)
{
    if (!n || n > 5 || strspn(port, "0123456789") < n || atoi(port) < 1 || atoi(port) > 65535) return "must have a port from 1 to 65535 behind the colon";
    return NULL;
}

static const char *wrong_name(const char *host, size_t n)
{
    if (!n || n > 253) return "must name a host";
    if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < n)
        return "must have a host of letters, digits, - and . (names with others in their xn-- form)";
    return NULL;
}

static const char *wrong_address(const char *host, size_t n)
{
    const char *bracket = memchr(host, ']', n);
    size_t inside = bracket ? (size_t)(bracket - host) - 1 : 0;
    if (inside < 2 || strspn(host + 1, "0123456789abcdefABCDEF:.") != inside) return "must have an IPv6 address within the brackets";
    return bracket + 1 < host + n && bracket[1] != ':' ? "must have a port or a path behind the brackets" : NULL;
}

/* host, host:port, [address]:port */
static const char *wrong_host(const char *host, size_t n)
{
    bool brackets = n && *host == '[';
    const char *from = brackets ? memchr(host, ']', n) : host, *colon = from ? memchr(from, ':', n - (size_t)(from - host)) : NULL;
    const char *why = brackets ? wrong_address(host, n) : wrong_name(host, colon ? (size_t)(colon - host) : n);
    return why || !colon ? why : wrong_port(colon + 1, (size_t)(host + n - colon - 1));
}

static const char *wrong_scheme(const char *url, const char *schemes, const char **rest)
{
    char scheme[16];
    const char *mark = strstr(url, "://");
    size_t n = mark ? (size_t)(mark - url) : 0;
    if (n && n < sizeof scheme) {
        for (size_t i = 0; i < n; i++) scheme[i] = (char)tolower((unsigned char)url[i]);
        scheme[n] = 0;
        *rest = mark + 3;
        if (lun_word_index(schemes, scheme) >= 0) return NULL;
    }
    return strstr(schemes, "socks") ? "must begin with http://, https:// or socks5h://" : "must begin with http:// or https://";
}

const char *lun_endpoint_problem(const char *url, const char *schemes, bool path)
{
    const char *rest = url, *why = wrong_scheme(url, schemes, &rest);
    if (why) return why;
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c > '~' || strchr("\"<>\\^`{|}", *c)) return "must not hold blanks or characters that a URL has only encoded";
    size_t n = strcspn(rest, "/?#");
    if (memchr(rest, '@', n)) return path ? "must not hold a user name or password: say key = secret \"NAME\"" : "must not hold a user name or password";
    if ((why = wrong_host(rest, n))) return why;
    if (strpbrk(rest, "?#")) return "must not hold a query (?) or fragment (#)";
    if (rest[strlen(rest) - 1] == '/') return "must not end with a slash";
    return !path && rest[n] ? "must not have a path" : NULL;
}
