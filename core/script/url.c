#include "script/url.h"
#include "base/address.h"
#include "state/snapshot.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define URL_MOST 2048

static const char forbidden[] = "addresses of the local link and of clouds' metadata services cannot be asked";

static const char *name_problem(const char *host)
{
    static const char *const names[] = { "metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal" };
    struct in_addr a;
    if (inet_aton(host, &a)) return lun_address_is_inner_4(&a) ? forbidden : NULL;     /* knows 0xa9fea9fe and 2852039166 too */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (!strcasecmp(host, names[i])) return forbidden;
    return NULL;
}

static const char *host_problem(const char *at, size_t n)
{
    char host[256];
    if (!n || n >= sizeof host) return "it names no host";
    for (size_t i = 0; i < n; i++) if (!isalnum((unsigned char)at[i]) && !strchr("-._", at[i])) return "its host has a character that no host has";
    memcpy(host, at, n);
    while (n && host[n - 1] == '.') n--;
    host[n] = 0;
    if (!n) return "it names no host";
    return name_problem(host);
}

static const char *bracketed_problem(const char *at, size_t n)
{
    char host[64];
    struct in6_addr a;
    if (n >= sizeof host) return "its address in brackets is none";
    memcpy(host, at, n);
    host[n] = 0;
    if (inet_pton(AF_INET6, host, &a) != 1) return "its address in brackets is none";
    return lun_address_is_inner_6(&a) ? forbidden : NULL;
}

static bool is_port(const char *at, const char *end)
{
    if (at == end) return true;
    if (*at++ != ':' || end - at > 5) return false;
    for (; at < end; at++) if (!isdigit((unsigned char)*at)) return false;
    return true;
}

const char *lun_url_problem(const char *url, size_t n)
{
    size_t scheme = !strncasecmp(url, "https://", 8) ? 8 : !strncasecmp(url, "http://", 7) ? 7 : 0;
    if (!scheme) return "it begins neither with http:// nor with https://";
    if (n > URL_MOST) return "it is over 2048 bytes long";
    for (size_t i = 0; i < n; i++) if ((unsigned char)url[i] <= ' ' || (unsigned char)url[i] >= 0x7f || url[i] == '\\') return "it has a character that no URL has";
    const char *at = url + scheme, *end = at + strcspn(at, "/?#"), *close;
    if (memchr(at, '@', (size_t)(end - at))) return "it holds a name or password; send a header instead";
    if (*at == '[') {
        close = memchr(at, ']', (size_t)(end - at));
        if (!close || !is_port(close + 1, end)) return "its address in brackets is none";
        return bracketed_problem(at + 1, (size_t)(close - at - 1));
    }
    close = memchr(at, ':', (size_t)(end - at));
    if (close && !is_port(close, end)) return "its port is none";
    return host_problem(at, (size_t)((close ? close : end) - at));
}

/* ---- whom the configuration allows ---- */

static void lower(char *text) { for (; *text; text++) *text = (char)tolower((unsigned char)*text); }

/* Whether "host:8080", "[::1]:8080" or a pattern of such says its port. */
static bool has_port(const char *pattern)
{
    const char *close = strrchr(pattern, ']');
    return strchr(close ? close : pattern, ':') != NULL;
}

bool lun_url_allowed(const char *url, const char *const *allow, int n)
{
    const char *at = strstr(url, "://") + 3, *end = at + strcspn(at, "/?#"), *close = *at == '[' ? strchr(at, ']') : at;
    const char *colon = memchr(close, ':', (size_t)(end - close)), *stop = colon ? colon : end, *port = colon && colon + 1 < end ? colon + 1 : NULL;
    char host[300], with_port[320], pattern[300];
    while (stop > at && stop[-1] == '.') stop--;
    snprintf(host, sizeof host, "%.*s", (int)(stop - at), at);
    if (port) snprintf(with_port, sizeof with_port, "%s:%.*s", host, (int)(end - port), port);
    else snprintf(with_port, sizeof with_port, "%s:%s", host, strncasecmp(url, "https", 5) ? "80" : "443");
    lower(host);
    lower(with_port);
    for (int i = 0; i < n; i++) {
        snprintf(pattern, sizeof pattern, "%s", allow[i]);
        lower(pattern);
        if (lun_pattern_fits(pattern, has_port(pattern) ? with_port : host)) return true;
    }
    return false;
}
