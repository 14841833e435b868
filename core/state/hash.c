#include "state/hash.h"
#include <string.h>

#define PRIME 0x100000001B3u

struct lun_hash lun_hash_start(uint64_t seed) { return (struct lun_hash){ 0xCBF29CE484222325u ^ seed * 0x9E3779B97F4A7C15u }; }

void lun_hash_add(struct lun_hash *h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t x = h->state;
    for (size_t i = 0; i < n; i++) x = (x ^ p[i]) * PRIME;
    h->state = (x ^ 0x1FF ^ n) * PRIME;
}

uint64_t lun_hash_end(const struct lun_hash *h)
{
    uint64_t z = h->state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t lun_hash_text(uint64_t seed, const char *text)
{
    struct lun_hash h = lun_hash_start(seed);
    lun_hash_add(&h, text, strlen(text));
    return lun_hash_end(&h);
}
