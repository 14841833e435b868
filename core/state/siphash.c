#include "state/siphash.h"
#include "base/clock.h"
#include <string.h>
#include <sys/random.h>

struct lun_siphash lun_siphash_new(void)
{
    struct lun_siphash key;
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key)     /* a machine that has only just been switched on */
        key = (struct lun_siphash){ (uint64_t)lun_clock_wall() * 0x9e3779b97f4a7c15u, (uint64_t)lun_clock_now() ^ (uintptr_t)&key };
    return key;
}

static uint64_t turn(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void mix(uint64_t v[4])
{
    v[0] += v[1]; v[1] = turn(v[1], 13) ^ v[0]; v[0] = turn(v[0], 32);
    v[2] += v[3]; v[3] = turn(v[3], 16) ^ v[2];
    v[0] += v[3]; v[3] = turn(v[3], 21) ^ v[0];
    v[2] += v[1]; v[1] = turn(v[1], 17) ^ v[2]; v[2] = turn(v[2], 32);
}

static void word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    mix(v);
    v[0] ^= m;
}

static void take_all(uint64_t v[4], const void *bytes, size_t n)
{
    const char *at = bytes;
    uint64_t m;
    for (size_t left = n / 8; left; left--, at += 8) {
        memcpy(&m, at, 8);
        word(v, m);
    }
    m = 0;
    if (n % 8) memcpy(&m, at, n % 8);
    word(v, m | (uint64_t)n << 56);
}

static uint64_t finish(uint64_t v[4])
{
    mix(v); mix(v); mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#define BEGIN(key) { key.a ^ 0x736f6d6570736575u, key.b ^ 0x646f72616e646f6du, key.a ^ 0x6c7967656e657261u, key.b ^ 0x7465646279746573u }

uint64_t lun_siphash(struct lun_siphash key, const void *bytes, size_t n)
{
    uint64_t v[4] = BEGIN(key);
    take_all(v, bytes, n);
    v[2] ^= 0xff;
    return finish(v);
}

struct lun_digest lun_siphash_digest(struct lun_siphash key, const void *bytes, size_t n)
{
    uint64_t v[4] = BEGIN(key);
    struct lun_digest d;
    v[1] ^= 0xee;
    take_all(v, bytes, n);
    v[2] ^= 0xee;
    d.a = finish(v);
    v[1] ^= 0xdd;
    d.b = finish(v);
    return d;
}
