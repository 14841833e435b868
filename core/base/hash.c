#include "base/hash.h"
#include <endian.h>
#include <string.h>

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
    return h ^ h >> 33;
}

uint64_t lun_hash_begin(uint64_t seed) { return 0xCBF29CE484222325u ^ mix(seed); }

uint64_t lun_hash_add(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

uint64_t lun_hash_end(uint64_t h, size_t n) { return mix(h ^ n); }

uint64_t lun_hash(const void *bytes, size_t n, uint64_t seed) { return lun_hash_end(lun_hash_add(lun_hash_begin(seed), bytes, n), n); }

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t two_words(uint64_t h, const unsigned char bytes[16])
{
    uint64_t words[2];
    memcpy(words, bytes, sizeof words);
    return fold(le64toh(words[0]) ^ 0xA0761D6478BD642Fu, le64toh(words[1]) ^ h);
}

uint64_t lun_hash_long(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    unsigned char rest[16] = {0};
    uint64_t h = lun_hash_begin(seed);
    for (size_t left = n; left >= sizeof rest; left -= sizeof rest, p += sizeof rest) h = two_words(h, p);
    if (n % sizeof rest) memcpy(rest, p, n % sizeof rest);
    return lun_hash_end(two_words(h, rest), n);
}

uint64_t lun_hash_text(const char *text, uint64_t seed) { return lun_hash(text, text ? strlen(text) : 0, seed); }

double lun_hash_unit(uint64_t hash) { return ((double)(hash >> 11) + 0.5) * 0x1p-53; }
