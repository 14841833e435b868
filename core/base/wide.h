/* Many bytes of a text at once: what the files of this folder that look through texts share. They go 64 at a time where the processor has AVX-512 with VBMI2 (Ice Lake,
 * Zen 4 and later: such as earlier ones have made all else slower), 32 where it has AVX2, else 16 or 8. */
#ifndef LUN_BASE_WIDE_H
#define LUN_BASE_WIDE_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __x86_64__
#include <immintrin.h>
#define LUN_AVX2   __attribute__((target("avx2")))
#define LUN_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt,bmi,bmi2")))
#endif

int lun_wide_most(void);            /* 64, 32 or 0: what this processor has */
extern int lun_wide_bytes;          /* that, before main begins; tests say less, one thread at a time */
static inline bool lun_may_be_wide(void)   { return lun_wide_bytes >= 32; }
static inline bool lun_may_be_widest(void) { return lun_wide_bytes >= 64; }

/* What a byte stands for behind a backslash in JSON; 0: none may follow one so, or it is the u of a code point. */
extern const char lun_escape_meant[256];

/* Of 64 bytes with these backslashes those that stand behind one that begins an escape. In a run of backslashes every second begins one, from the first on. Added to the first bit of a
 * run, its ones become zeros: so those that begin at even places are told from the others. *carry: the first of the next 64 is one. */
static inline uint64_t lun_escaped_among(uint64_t slashes, uint64_t *carry)
{
    const uint64_t even = 0x5555555555555555u;
    uint64_t first = 0;
    if (__builtin_expect(*carry != 0, 0)) {             /* a branch, which is foreseen: who has to wait for it takes a fifth longer */
        first = 1;
        __asm__ volatile("" : "+r"(first));
    }
    uint64_t s = slashes & ~first, runs = s & ~(s << 1) & even, begin = s & ((s + runs) ^ even);
    *carry = begin >> 63;
    return begin << 1 | first;
}

#ifdef __x86_64__
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

/* ---- 64 ---- */

LUN_AVX512 static inline __m512i lun_widest(const char *p) { return _mm512_loadu_si512((const void *)p); }

/* In a register of the common kind, or what is reckoned with it stays among the masks, where a step takes three or four cycles. */
static inline uint64_t lun_widest_mask(uint64_t mask)
{
    __asm__("" : "+r"(mask));
    return mask;
}
LUN_AVX512 static inline uint64_t lun_widest_where(__m512i v, char c) { return lun_widest_mask(_mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(c))); }

/* What each would stand for behind a backslash in JSON. *none: which may not follow one; u neither. */
LUN_AVX512 static inline __m512i lun_widest_meant(__m512i v, uint64_t *none)
{
    __m512i meant = _mm512_permutex2var_epi8(_mm512_loadu_si512(lun_escape_meant), v, _mm512_loadu_si512(lun_escape_meant + 64));
    *none = _mm512_testn_epi8_mask(meant, meant) | _mm512_movepi8_mask(v);
    return meant;
}

/* Of 64 bytes those that are kept; `to` has room for 64. */
LUN_AVX512 static inline char *lun_widest_put(char *to, __m512i v, uint64_t kept)
{
    _mm512_storeu_si512((void *)to, _mm512_maskz_compress_epi8(kept, v));
    return to + __builtin_popcountll(kept);
}
#endif
#endif
