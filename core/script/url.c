#include "script/url.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define URL_MOST 2048

static const char forbidden[] = "addresses of the local link and of clouds' metadata services cannot be asked";

/* Host order. */
static bool is_forbidden_4(uint32_t a)
{
    return a >> 16 == 0xA9FE            /* 169.254.0.0/16: link-local, RFC 3927 */
        || a == 0x646464C8              /* 100.100.100.200 */
        || a == 0xC00000C0              /* 192.0.0.192 */
        || a == 0xA83F8110;             /* 168.63.129.16 */
}

static uint32_t four(const unsigned char *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

static bool is_forbidden_6(const struct in6_addr *a)
{
    static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b }, aws[16] = { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
    const unsigned char *b = a->s6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(a) || !memcmp(b, aws, 16)) return true;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || !memcmp(b, nat64, 12)) return is_forbidden_4(four(b + 12));
    return b[0] == 0x20 && b[1] == 0x02 && is_forbidden_4(four(b + 2));       /* 6to4 */
}

static const char *name_problem(const char *host)
{
    static const char *const names[] = { "metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal" };
    struct in_addr a;
    if (inet_aton(host, &a)) return is_forbidden_4(ntohl(a.s_addr)) ? forbidden : NULL;     /* knows 0xa9fea9fe and 2852039166 too */
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
    return is_forbidden_6(&a) ? forbidden : NULL;
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
