#include "state/redis_address.h"
#include "base/http.h"
#include "base/text.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char encode[] = "must have its user and password percent-encoded (a / as %2F, an @ as %40, a : as %3A)";

struct reader { struct lun_redis_address *out; char *free; };      /* free: the next place for a text */

static const char *keep(struct reader *r, const char *at, size_t n)
{
    char *kept = r->free;
    memcpy(kept, at, n);
    kept[n] = 0;
    r->free += n + 1;
    return kept;
}

/* NULL: a percent sign without two digits behind it, or a zero byte. */
static const char *decode(struct reader *r, const char *at, size_t n)
{
    char *decoded = r->free;
    if (!lun_http_unescape((struct lun_slice){ at, n }, decoded, &n)) return NULL;
    r->free += n + 1;
    return decoded;
}

/* "5432" → 5432; -1: no number up to `most`. */
static int number(const char *at, size_t n, int most)
{
    int value = 0;
    if (!n || n > 7) return -1;
    for (size_t i = 0; i < n; i++) {
        if (at[i] < '0' || at[i] > '9') return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value <= most ? value : -1;
}

/* "user:password", "user:", ":password" */
static const char *read_user(struct reader *r, const char *at, size_t n)
{
    const char *colon = memchr(at, ':', n);
    if (!n) return NULL;
    if (!colon) return "must have user:password or :password before the @";
    size_t user = (size_t)(colon - at);
    if (memchr(colon + 1, ':', n - user - 1)) return encode;
    if (user && !(r->out->user = decode(r, at, user))) return encode;
    if (!(r->out->password = decode(r, colon + 1, n - user - 1))) return encode;
    return *r->out->password ? NULL : "must have a password behind the colon, or neither user nor password";
}

static const char *read_address(struct reader *r, const char *at, size_t n)
{
    struct in6_addr a;
    r->out->host = keep(r, at, n);
    return n < 46 && inet_pton(AF_INET6, r->out->host, &a) == 1 ? NULL : "must have an IPv6 address within the brackets";
}

static const char *read_name(struct reader *r, const char *at, size_t n)
{
    if (!n || n > 253) return "must name a host";
    r->out->host = keep(r, at, n);
    if (strspn(r->out->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == n) return NULL;
    return "must have a host of letters, digits, - and . (a user and password before it percent-encoded)";
}

static const char *read_host(struct reader *r, const char *at, size_t n)
{
    const char *close = n && *at == '[' ? memchr(at, ']', n) : NULL;
    if (n && *at == '[' && !close) return "must have an IPv6 address within the brackets";
    const char *colon = close ? close + 1 : memchr(at, ':', n), *end = at + n;
    if (!colon) colon = end;
    const char *why = close ? read_address(r, at + 1, (size_t)(close - at - 1)) : read_name(r, at, (size_t)(colon - at));
    if (why) return why;
    r->out->port = colon == end ? LUN_REDIS_PORT : *colon != ':' ? -1 : number(colon + 1, (size_t)(end - colon - 1), 65535);
    return r->out->port > 0 ? NULL : "must have a port from 1 to 65535 behind the host (a user and password before it percent-encoded)";
}

static const char *read_db(struct reader *r, const char *at, size_t n)
{
    r->out->db = n ? number(at, n, LUN_REDIS_DB_MOST) : 0;
    return r->out->db < 0 ? "must have a number behind the slash or db=: the database" : NULL;
}

/* Behind "redis://". */
static const char *read_tcp(struct reader *r, const char *at)
{
    size_t n = strcspn(at, "/?#");
    if (strpbrk(at + n, "@")) return encode;
    if (strpbrk(at + n, "?#")) return "must not hold a query (?) or fragment (#)";
    const char *mark = memrchr(at, '@', n), *host = mark ? mark + 1 : at;
    if (mark && memchr(at, '@', (size_t)(mark - at))) return encode;
    const char *why = mark ? read_user(r, at, (size_t)(mark - at)) : NULL;
    if (!why) why = read_host(r, host, n - (size_t)(host - at));
    return why || !at[n] ? why : read_db(r, at + n + 1, strlen(at + n + 1));
}

/* Behind "unix:". */
static const char *read_unix(struct reader *r, const char *at)
{
    const char *slash, *query = strstr(at, "?db="), *end = query ? query : at + strlen(at), *why = NULL;
    if (!strncmp(at, "//", 2)) {
        at += 2, slash = strchr(at, '/');
        if (!slash || slash >= end) return "must have the path of a socket: \"unix:/run/redis.sock\"";
        if (slash > at && slash[-1] != '@') return encode;
        if (slash > at && (why = read_user(r, at, (size_t)(slash - at - 1)))) return why;
        at = slash;
        while (at[1] == '/') at++;          /* shown behind "unix:" two slashes would begin a user */
    }
    if (*at != '/' || end - at < 2) return "must have the path of a socket: \"unix:/run/redis.sock\"";
    if ((size_t)(end - at) >= sizeof ((struct sockaddr_un *)0)->sun_path) return "must have a path of at most 107 bytes";
    r->out->path = keep(r, at, (size_t)(end - at));
    if (query && !query[4]) return "must have a number behind db=: the database";
    return query ? read_db(r, query + 4, strlen(query + 4)) : NULL;
}

const char *lun_redis_address_read(struct lun_redis_address *out, const char *url)
{
    struct reader r = { out, out->text };
    memset(out, 0, sizeof *out);
    if (strlen(url) > LUN_REDIS_URL_MOST) return "must be at most 2048 bytes long";
    if (!lun_text_graphic(url)) return "must not hold blanks or characters that a URL has only encoded";
    if (!strncmp(url, "unix:", 5)) return read_unix(&r, url + 5);
    out->tls = !strncmp(url, "rediss://", 9);
    if (!out->tls && strncmp(url, "redis://", 8)) return "must begin with redis://, rediss:// or unix:/";
    return read_tcp(&r, url + (out->tls ? 9 : 8));
}

void lun_redis_address_show(const struct lun_redis_address *a, char *out, size_t room)
{
    char db[16] = "";
    if (a->db) snprintf(db, sizeof db, a->path ? "?db=%d" : "/%d", a->db);
    if (a->path) snprintf(out, room, "unix:%s%s", a->path, db);
    else snprintf(out, room, strchr(a->host, ':') ? "redis%s://[%s]:%d%s" : "redis%s://%s:%d%s", a->tls ? "s" : "", a->host, a->port, db);
}
