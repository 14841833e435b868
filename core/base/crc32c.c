#include "base/crc32c.h"
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u      /* with its bits reversed */

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        table[i] = c;
    }
}

uint32_t lun_crc32c_table(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint32_t c = ~0u;
    pthread_once(&once, fill);
    while (n--) c = c >> 8 ^ table[(c ^ *p++) & 255];
    return ~c;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t c = ~0u;
    for (uint64_t word; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        c = __builtin_ia32_crc32di(c, word);
    }
    uint32_t rest = (uint32_t)c;
    while (n--) rest = __builtin_ia32_crc32qi(rest, *p++);
    return ~rest;
}

uint32_t lun_crc32c(const void *bytes, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(bytes, n) : lun_crc32c_table(bytes, n);
}
#else
uint32_t lun_crc32c(const void *bytes, size_t n) { return lun_crc32c_table(bytes, n); }
#endif
