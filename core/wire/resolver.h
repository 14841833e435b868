/* Names of servers, looked up by threads (getaddrinfo blocks), so that no reactor waits. Answers come on the reactor's thread. */
#ifndef LUN_WIRE_RESOLVER_H
#define LUN_WIRE_RESOLVER_H
#include "wire/reactor.h"
#include <netinet/in.h>

struct lun_resolver;
struct lun_lookup;                /* a question that is open */

struct lun_addresses {          /* of one server, in the order in which they are to be tried: the system's, families in turn (RFC 8305, 4) */
    int n;
    struct lun_socket_address { socklen_t n; union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; }; } at[];
};

/* NULL: no descriptor is left. */
struct lun_resolver *lun_resolver_new(struct lun_reactor *);
void lun_resolver_free(struct lun_resolver *);            /* nothing is told any more; who still looks up is not waited for */

/* host: a name or an address, without brackets; port: digits. `told` comes later, never from inside: *addresses is the caller's to free, or NULL
 * and a sentence for people, borrowed. NULL: no thread can be had, and nothing will be told. */
struct lun_lookup *lun_resolver_ask(struct lun_resolver *, const char *host, const char *port,
                               void (*told)(void *self, struct lun_addresses *addresses, const char *why), void *self);
void lun_lookup_drop(struct lun_lookup *);              /* before it was told: it will not be */

/* An address as it is written, without asking anybody; NULL: it is a name. Yours to free. */
struct lun_addresses *lun_resolver_numeric(const char *host, const char *port);
#endif
