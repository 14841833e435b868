/* Many bytes of a text at once: what the files of this folder that look through texts share. Where the processor has no AVX2 they go 16 or 8 bytes at a time. */
#ifndef LUN_BASE_WIDE_H
#define LUN_BASE_WIDE_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __x86_64__
#include <immintrin.h>
#define LUN_AVX2 __attribute__((target("avx2")))
#endif

/* Of 64 bytes with these backslashes, what stands behind an odd number of them. Added to a run's first bit, a run of ones becomes one bit behind it, and where that is odd and the first
 * was even, or the other way round, their number was. *carry: so the next 64 begin. */
static inline uint64_t lun_escaped_among(uint64_t slashes, uint64_t *carry)
{
    const uint64_t even = 0x5555555555555555u;
    uint64_t first = *carry, s = slashes & ~first, begins = s & ~(s << 1), behind_odd, behind_even = s + (begins & even);
    *carry = __builtin_add_overflow(s, begins & ~even, &behind_odd);
    return first | (((behind_even & ~even) | (behind_odd & even)) & ~s);
}

#ifdef __x86_64__
static inline bool lun_may_be_wide(void) { return __builtin_cpu_supports("avx2"); }

LUN_AVX2 static inline __m256i lun_wide(const char *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
LUN_AVX2 static inline uint32_t lun_wide_mask(__m256i v) { return (uint32_t)_mm256_movemask_epi8(v); }
LUN_AVX2 static inline uint32_t lun_wide_where(__m256i v, char c) { return lun_wide_mask(_mm256_cmpeq_epi8(v, _mm256_set1_epi8(c))); }

/* A bit for each of 64 bytes. */
LUN_AVX2 static inline uint64_t lun_wide_where_of_two(__m256i a, __m256i b, char c) { return lun_wide_where(a, c) | (uint64_t)lun_wide_where(b, c) << 32; }

/* Half bytes, so that they choose from 16. */
LUN_AVX2 static inline __m256i lun_wide_low(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
LUN_AVX2 static inline __m256i lun_wide_high(__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)); }
#define LUN_WIDE_CHOICE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* Which may not follow a backslash in JSON; u neither. By the low half of each those high halves with which it may. */
LUN_AVX2 static inline uint32_t lun_wide_not_simple(__m256i v)
{
    __m256i low = _mm256_shuffle_epi8(LUN_WIDE_CHOICE(0, 0, 13, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1), lun_wide_low(v));
    __m256i high = _mm256_shuffle_epi8(LUN_WIDE_CHOICE(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0), lun_wide_high(v));
    return lun_wide_mask(_mm256_cmpeq_epi8(_mm256_and_si256(low, high), _mm256_setzero_si256()));
}

/* Of 32 bytes those that are kept, run by run; `to` has room for 32 behind the last of them. */
LUN_AVX2 static inline char *lun_wide_put(char *to, __m256i v, uint32_t kept)
{
    char bytes[64];
    _mm256_storeu_si256((void *)bytes, v);
    _mm256_storeu_si256((void *)(bytes + 32), v);
    for (uint64_t left = kept; left; ) {
        int skip = __builtin_ctzll(left), run = __builtin_ctzll(~(left >> skip));
        _mm256_storeu_si256((void *)to, lun_wide(bytes + skip));
        to += run;
        left &= ~0ull << (skip + run);
    }
    return to;
}
#else
static inline bool lun_may_be_wide(void) { return false; }
#endif
#endif
