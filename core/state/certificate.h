/* A server's certificate with its chain and key, read from files and found to belong together: what a listener shows. Immutable, any thread. */
#ifndef LUN_STATE_CERTIFICATE_H
#define LUN_STATE_CERTIFICATE_H
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>

enum { LUN_CERTIFICATE_DIGEST = 32 };

struct lun_certificate {
    struct ssl_ctx_st *context;     /* OpenSSL's own, that holds all three and has accepted them; listeners copy from it */
    lun_us expires;                 /* wall time */
    unsigned char digest[LUN_CERTIFICATE_DIGEST];   /* SHA-256 over both files: equal where nothing has changed */
};
/* What is wrong: with which of the two files, and what (a phrase that follows its name; holds nothing of what is in it). */
struct lun_certificate_problem { bool key; char what[200]; };

/* PEM: the certificate first, its chain behind it; the key without a passphrase. NULL: `problem` says why: a file that cannot be read or holds none, a
 * key of another certificate, one that OpenSSL finds too weak, a time of validity that does not hold `wall`. The key's text is wiped. */
struct lun_certificate *lun_certificate_read(const char *certificate, const char *key, lun_us wall, struct lun_certificate_problem *problem);
void lun_certificate_free(struct lun_certificate *);    /* NULL is fine */
#endif
