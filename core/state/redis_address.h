/* Where a Redis is, as a setting says it:
 *     redis://[[user]:password@]host[:port][/db]      TCP; port 6379, db 0
 *     rediss://…                                      the same, with TLS
 *     unix:/path[?db=N], unix://[[user]:password@]/path[?db=N]
 * User and password are percent-encoded (RFC 3986, 2.1) where they hold what a URL has another use for; a host may be a name, an IPv4 address or
 * an IPv6 address in brackets. */
#ifndef LUN_STATE_REDIS_ADDRESS_H
#define LUN_STATE_REDIS_ADDRESS_H
#include <stdbool.h>
#include <stddef.h>

enum { LUN_REDIS_URL_MOST = 2048, LUN_REDIS_PORT = 6379, LUN_REDIS_DB_MOST = 1 << 20, LUN_REDIS_SHOWN = 288 };

struct lun_redis_address {
    bool tls;
    int port, db;
    const char *path;               /* of a Unix socket; NULL: host and port */
    const char *host;               /* without brackets */
    const char *user, *password;    /* NULL: none. Never shown */
    char text[LUN_REDIS_URL_MOST + 4];  /* what the above point to: not to be copied as a struct */
};

/* NULL: it is one, and `out` says where. Otherwise what is wrong, a phrase that follows the setting's name ("must …"): static, holding nothing of
 * the URL, since a password may be in any part of what is no URL. Whoever has read one wipes it: explicit_bzero. */
const char *lun_redis_address_read(struct lun_redis_address *out, const char *url);

/* "redis://127.0.0.1:6379", "redis://[::1]:6380/2", "unix:/run/redis.sock": without user and password. LUN_REDIS_SHOWN bytes are enough for any; others are cut. */
void lun_redis_address_show(const struct lun_redis_address *, char *out, size_t room);
#endif
