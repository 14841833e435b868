/* The socket of a connection to Redis, with or without TLS: for redis.c alone. Non-blocking, but for looking up a name. Reasons are texts without
 * anything secret. */
#ifndef LUN_WIRE_REDIS_LINK_H
#define LUN_WIRE_REDIS_LINK_H
#include "state/redis_address.h"
#include "wire/tls.h"

struct addrinfo;

struct lun_redis_link {         /* zeroed with fd -1: closed */
    int fd;
    struct lun_tls_link *tls;
    struct addrinfo *found, *next;      /* the addresses of the name; those not yet tried */
    char why[160];                      /* the last failure */
};

/* Begins to connect to the first address. False: no address could be begun with; see why. */
bool lun_redis_link_open(struct lun_redis_link *, const struct lun_redis_address *);
/* Gives this address up and begins with the next one, on another fd. False: none is left. */
bool lun_redis_link_next(struct lun_redis_link *);
/* When the socket can be written to. 1: it stands. 0: another address has been begun with, on another fd. -1: none is left; see why. */
int  lun_redis_link_finish(struct lun_redis_link *, const struct lun_redis_address *, struct lun_tls *);
/* As recv and send. */
ssize_t lun_redis_link_read(struct lun_redis_link *, char *, size_t);
ssize_t lun_redis_link_write(struct lun_redis_link *, const char *, size_t);
bool lun_redis_link_wants_write(const struct lun_redis_link *, bool waiting);
void lun_redis_link_close(struct lun_redis_link *);
#endif
