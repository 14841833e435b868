/* A hash of bytes that is the same on every machine and in every version: what is sticky, split and noted by it stays where it is.
 * 64 bits, well mixed, not for secrets and not against somebody who looks for collisions. */
#ifndef LUN_BASE_HASH_H
#define LUN_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

uint64_t lun_hash(const void *bytes, size_t n, uint64_t seed);  /* FNV-1a from a seeded start, then Murmur3's finaliser */
/* The same in pieces: begin, add as often as need be, end with the number of all bytes. */
uint64_t lun_hash_begin(uint64_t seed);
uint64_t lun_hash_add(uint64_t h, const void *bytes, size_t n);
uint64_t lun_hash_end(uint64_t h, size_t n);
/* Another one, sixteen bytes at a time (wyhash's way): an instruction for two of them, where the one above waits for a multiplication at each. */
uint64_t lun_hash_long(const void *bytes, size_t n, uint64_t seed);
uint64_t lun_hash_text(const char *text, uint64_t seed);        /* of a C string; NULL reads as "" */
double   lun_hash_unit(uint64_t hash);                          /* (0, 1): the top 53 bits, never 0 or 1 */
#endif
