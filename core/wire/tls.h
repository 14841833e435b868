/* TLS for a listener, by OpenSSL: 1.2 and 1.3, one certificate, ALPN http/1.1 (a client that offers only other protocols is turned
 * away, RFC 7301 3.2), no client certificates, no renegotiation, session tickets. And for connections that are made from here, for what libcurl
 * does not carry. A lun_tls may be shared by all threads; a link belongs to the thread of its server. */
#ifndef LUN_WIRE_TLS_H
#define LUN_WIRE_TLS_H
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lun_certificate;     /* state/certificate.h */
struct lun_tls;             /* certificate and key; or whom to trust */
struct lun_tls_link;        /* one connection */
struct ssl_session_st;      /* OpenSSL's SSL_SESSION */

/* For a listener. What is made of one certificate takes the session tickets of all the others. The certificate is not needed any more afterwards. */
struct lun_tls *lun_tls_new(const struct lun_certificate *);
/* For connections from here: the other side must show a certificate for its name that is signed by one of these (PEM; NULL: the system's). */
struct lun_tls *lun_tls_trust(const char *ca, char error[256]);
/* Whom to trust is in a store already: for HTTP/1.1 from here (ALPN says so). NULL: no memory. */
struct lun_tls *lun_tls_of_store(X509_STORE *);
void lun_tls_free(struct lun_tls *);                            /* links made from it may live on */

struct lun_tls_link *lun_tls_link_new(struct lun_tls *, int fd);    /* fd stays yours, non-blocking */
/* The same to another side, from lun_tls_trust; host: its name or address. */
struct lun_tls_link *lun_tls_link_to(struct lun_tls *, int fd, const char *host);
/* Goes on where the last connection to the same side left off, if it can, and keeps in *session what this one is given for the next:
 * NULL at first, owned by the caller, who may free it once no link knows of it. Before the first byte. */
void lun_tls_remember(struct lun_tls_link *, struct ssl_session_st **session);
/* The handshake, for who wants to know of its end. 1: done. 0: it needs more, see lun_tls_wants_write. -1: it failed. */
int lun_tls_shake(struct lun_tls_link *);
/* What was wrong with the other side's certificate; NULL: nothing. *name: it is for another name. Static. */
const char *lun_tls_why(const struct lun_tls_link *, bool *name);
bool lun_tls_sealed(const struct lun_tls_link *);               /* the other side has said that no more will come */
/* As read() and send(): bytes, 0 at the end (read only), -1 with errno EAGAIN or another. The handshake happens inside them. The
 * end counts with and without close_notify: what matters here says itself how long it is. No SIGPIPE. */
ssize_t lun_tls_read(struct lun_tls_link *, char *, size_t);
ssize_t lun_tls_write(struct lun_tls_link *, const char *, size_t);
/* Whether the next step needs room to send; `waiting`: there are bytes to write. A read can need it, a write can need bytes to
 * come first. */
bool lun_tls_wants_write(const struct lun_tls_link *, bool waiting);
uint64_t lun_tls_sent(const struct lun_tls_link *);             /* bytes that went into the socket so far, as they are on the wire */
bool lun_tls_pending(const struct lun_tls_link *);              /* bytes lie ready that no event will tell of */
void lun_tls_shut(struct lun_tls_link *);                       /* says that no more will be sent (close_notify) */
void lun_tls_link_free(struct lun_tls_link *);
#endif
