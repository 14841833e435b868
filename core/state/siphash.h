/* A keyed hash (SipHash-1-3, after Aumasson and Bernstein): who does not know the key cannot make keys that collide, so a table may
 * hold keys that a client chose. For what need not stand against that: base/hash.h. */
#ifndef LUN_STATE_SIPHASH_H
#define LUN_STATE_SIPHASH_H
#include <stddef.h>
#include <stdint.h>

struct lun_siphash { uint64_t a, b; };          /* the key */

struct lun_siphash lun_siphash_new(void);       /* from the system's randomness */
uint64_t lun_siphash(struct lun_siphash, const void *bytes, size_t n);

/* Its form of 128 bits: so long that what it stands for need not be compared any more. */
struct lun_digest { uint64_t a, b; };
struct lun_digest lun_siphash_digest(struct lun_siphash, const void *bytes, size_t n);
#endif
