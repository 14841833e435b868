/* Built without: lun_tls_new says so, and nothing else is ever reached. */
#include "wire/tls.h"
#include <errno.h>
#include <stdio.h>

struct lun_tls *lun_tls_new(const char *certificate, const char *key, char error[256])
{
    (void)certificate, (void)key;
    snprintf(error, 256, "TLS for clients is not built in");
    return NULL;
}
void lun_tls_free(struct lun_tls *t) { (void)t; }
struct lun_tls_link *lun_tls_link_new(struct lun_tls *t, int fd) { (void)t, (void)fd; return NULL; }
ssize_t lun_tls_read(struct lun_tls_link *l, char *to, size_t n) { (void)l, (void)to, (void)n; errno = EPROTO; return -1; }
ssize_t lun_tls_write(struct lun_tls_link *l, const char *at, size_t n) { (void)l, (void)at, (void)n; errno = EPROTO; return -1; }
bool lun_tls_wants_write(const struct lun_tls_link *l) { (void)l; return false; }
bool lun_tls_pending(const struct lun_tls_link *l) { (void)l; return false; }
void lun_tls_shut(struct lun_tls_link *l) { (void)l; }
void lun_tls_link_free(struct lun_tls_link *l) { (void)l; }
