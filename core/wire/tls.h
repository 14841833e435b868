/* TLS for a listener, by OpenSSL: 1.2 and 1.3, one certificate, ALPN http/1.1 (a client that offers only other protocols is turned
 * away, RFC 7301 3.2), no client certificates, no renegotiation, session tickets. And for connections that are made from here, for what libcurl
 * does not carry. A lun_tls may be shared by all threads; a link belongs to the thread of its server. */
#ifndef LUN_WIRE_TLS_H
#define LUN_WIRE_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct lun_certificate;     /* state/certificate.h */
struct lun_tls;             /* certificate and key; or whom to trust */
struct lun_tls_link;        /* one connection */

/* For a listener. What is made of one certificate takes the session tickets of all the others. The certificate is not needed any more afterwards. */
struct lun_tls *lun_tls_new(const struct lun_certificate *);
/* For connections from here: the other side must show a certificate for its name that is signed by one of these (PEM; NULL: the system's). */
struct lun_tls *lun_tls_trust(const char *ca, char error[256]);
void lun_tls_free(struct lun_tls *);                            /* links made from it may live on */

struct lun_tls_link *lun_tls_link_new(struct lun_tls *, int fd);    /* fd stays yours, non-blocking */
/* The same to another side, from lun_tls_trust; host: its name or address. */
struct lun_tls_link *lun_tls_link_to(struct lun_tls *, int fd, const char *host);
/* As read() and send(): bytes, 0 at the end (read only), -1 with errno EAGAIN or another. The handshake happens inside them. The
 * end counts with and without close_notify: what matters here says itself how long it is. No SIGPIPE. */
ssize_t lun_tls_read(struct lun_tls_link *, char *, size_t);
ssize_t lun_tls_write(struct lun_tls_link *, const char *, size_t);
/* Whether the next step needs room to send; `waiting`: there are bytes to write. A read can need it, a write can need bytes to
 * come first. */
bool lun_tls_wants_write(const struct lun_tls_link *, bool waiting);
bool lun_tls_pending(const struct lun_tls_link *);              /* bytes lie ready that no event will tell of */
void lun_tls_shut(struct lun_tls_link *);                       /* says that no more will be sent (close_notify) */
void lun_tls_link_free(struct lun_tls_link *);
#endif
