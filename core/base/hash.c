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

static uint64_t scatter(uint64_t word) { return (word *= 0xC6A4A7935BD1E995u, (word ^ word >> 47) * 0xC6A4A7935BD1E995u); }

uint64_t lun_hash_long(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    uint64_t h = lun_hash_begin(seed), word, rest = 0;
    for (size_t left = n; left >= sizeof word; left -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ scatter(le64toh(word))) * 0xC6A4A7935BD1E995u;
    }
    if (n & 7) memcpy(&rest, p, n & 7);
    return lun_hash_end((h ^ scatter(le64toh(rest))) * 0xC6A4A7935BD1E995u, n);
}

uint64_t lun_hash_text(const char *text, uint64_t seed) { return lun_hash(text, text ? strlen(text) : 0, seed); }

double lun_hash_unit(uint64_t hash) { return ((double)(hash >> 11) + 0.5) * 0x1p-53; }
