/* lunette.store: small values shared by all requests and workers of a process. Bounded, what an entry itself takes (about 60
 * bytes) included; the least recently used goes first. What has ended is never given out; its memory comes back when it is asked
 * for or its turn to go has come. Any thread. */
#ifndef LUN_STATE_STORE_H
#define LUN_STATE_STORE_H
#include "base/buf.h"
#include "base/clock.h"
#include <stdbool.h>

struct lun_store;
struct lun_store *lun_store_new(size_t max_bytes);
/* One over another, which is only looked at, not even for the order in which its values go: what is not written here is found there. Freed before that one. */
struct lun_store *lun_store_over(struct lun_store *under, size_t max_bytes);
void lun_store_free(struct lun_store *);

/* Values are opaque bytes with a type letter of the caller's ('s', 'b' …); only 'n' is known here: a number, the bytes of a double. Keys
 * are any bytes. ttl 0: for ever. get adds the value to `out`; false: not there. False from set (and what stood there stays): key
 * over 1 KiB, value over 64 KiB, or both more than the whole store. */
bool lun_store_get(struct lun_store *, const char *key, size_t n, lun_us now, char *type, struct lun_buf *out);
bool lun_store_set(struct lun_store *, const char *key, size_t n, char type, const void *value, size_t value_n, lun_us ttl, lun_us now);
void lun_store_remove(struct lun_store *, const char *key, size_t n);
/* Adds to a number (absent: 0; the ttl counts only when it is made). False: it holds something else, or the key is too long. */
bool lun_store_incr(struct lun_store *, const char *key, size_t n, double by, lun_us ttl, lun_us now, double *out);
#endif
