/* A 64-bit hash that is the same on every machine and in every version: FNV-1a over the bytes (http://www.isthe.com/chongo/tech/comp/fnv),
 * mixed at the end (the finaliser of splitmix64), so that its bits can be used to choose. Not for secrets, nor against who
 * chooses the input. */
#ifndef LUN_STATE_HASH_H
#define LUN_STATE_HASH_H
#include <stddef.h>
#include <stdint.h>

struct lun_hash { uint64_t state; };

struct lun_hash lun_hash_start(uint64_t seed);
void lun_hash_add(struct lun_hash *, const void *bytes, size_t n);     /* also marks the end, so that ("ab", "c") and ("a", "bc") differ */
uint64_t lun_hash_end(const struct lun_hash *);
uint64_t lun_hash_text(uint64_t seed, const char *text);
#endif
