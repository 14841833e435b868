#include "base/tokens.h"
#include "base/text.h"
#include "base/wide.h"
#include <string.h>

/* What a character is: of those beyond ASCII the script, as far as the first two bytes tell it. */
enum class { LOWER, UPPER, DIGIT, SPACE, BREAK, MARK, LATIN, EAST, VIET, GREEK, CYRILLIC, ARABIC, INDIC, THAI, KANA, HAN, HANGUL, SIGN, OTHER, CLASSES };

/* Beside a class: some of the 64 code points that begin so are longer in a normal form: the row of `growths`, from 1; ASTRAL: it is to be looked for. */
#define GROWS_SHIFT 5
#define ASTRAL 127
#define CLASS  ((1u << GROWS_SHIFT) - 1)

#define L LOWER
#define U UPPER
#define D DIGIT
#define S SPACE
#define B BREAK
#define M MARK
#define O OTHER
#define G(row) | (row) << GROWS_SHIFT
/* By the first byte; of three bytes (U+0800 to U+FFFF) by 256 and the place among blocks of 64 code points. */
static const uint16_t classes[256 + 1024] = {
    B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
    S, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, D, D, D, D, D, D, D, D, D, D, M, M, M, M, M, M,
    M, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, M, M, M, M, M,
    M, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, M, M, M, M, O,
    [0x80 ... 0xC1] = OTHER, [0xC2] = SIGN G(1), [0xC3] = LATIN, [0xC4] = EAST G(2), [0xC5] = EAST G(3), [0xC6] = VIET,
    [0xC7] = VIET G(4), [0xC8] = VIET G(5), [0xC9 ... 0xCA] = VIET, [0xCB] = VIET G(6), [0xCC] = VIET G(7), [0xCD] = VIET G(8), [0xCE] = GREEK G(9),
    [0xCF] = GREEK, [0xD0 ... 0xD5] = CYRILLIC, [0xD6] = ARABIC G(10), [0xD7 ... 0xD8] = ARABIC, [0xD9] = ARABIC G(11), [0xDA ... 0xDF] = ARABIC,
    [0xE0 ... 0xEF] = OTHER, [0xF0] = OTHER G(ASTRAL), [0xF1 ... 0xFF] = OTHER, [256 + 0x020 ... 256 + 0x024] = INDIC, [256 + 0x025] = INDIC G(12),
    [256 + 0x026] = INDIC, [256 + 0x027] = INDIC G(13), [256 + 0x028] = INDIC G(14), [256 + 0x029] = INDIC G(15), [256 + 0x02a ... 256 + 0x02c] = INDIC,
    [256 + 0x02d] = INDIC G(16), [256 + 0x02e ... 256 + 0x037] = INDIC, [256 + 0x038] = THAI G(17), [256 + 0x039] = THAI, [256 + 0x03a] = THAI G(18),
    [256 + 0x03b] = THAI G(19), [256 + 0x03c] = INDIC, [256 + 0x03d] = INDIC G(20), [256 + 0x03e] = INDIC G(21), [256 + 0x03f] = INDIC,
    [256 + 0x040 ... 256 + 0x077] = OTHER, [256 + 0x078 ... 256 + 0x07d] = VIET, [256 + 0x07e] = VIET G(22), [256 + 0x07f] = VIET G(23),
    [256 + 0x080] = SIGN G(24), [256 + 0x081] = SIGN G(25), [256 + 0x082 ... 256 + 0x084] = SIGN, [256 + 0x085] = SIGN G(26), [256 + 0x086] = SIGN G(27),
    [256 + 0x087] = SIGN, [256 + 0x088] = SIGN G(28), [256 + 0x089 ... 256 + 0x090] = SIGN, [256 + 0x091] = SIGN G(29), [256 + 0x092] = SIGN G(30),
    [256 + 0x093 ... 256 + 0x0a7] = SIGN, [256 + 0x0a8] = SIGN G(31), [256 + 0x0a9 ... 256 + 0x0aa] = SIGN, [256 + 0x0ab] = SIGN G(32),
    [256 + 0x0ac ... 256 + 0x0c0] = SIGN, [256 + 0x0c1] = KANA, [256 + 0x0c2] = KANA G(33), [256 + 0x0c3] = KANA G(34), [256 + 0x0c4 ... 256 + 0x0c7] = HAN,
    [256 + 0x0c8] = HAN G(35), [256 + 0x0c9] = HAN G(36), [256 + 0x0ca] = HAN, [256 + 0x0cb] = HAN G(37), [256 + 0x0cc] = HAN G(38),
    [256 + 0x0cd] = HAN G(39), [256 + 0x0ce] = HAN G(40), [256 + 0x0cf] = HAN G(41), [256 + 0x0d0 ... 256 + 0x27f] = HAN,
    [256 + 0x280 ... 256 + 0x37f] = HANGUL, [256 + 0x380 ... 256 + 0x3bf] = OTHER, [256 + 0x3c0 ... 256 + 0x3e8] = SIGN, [256 + 0x3e9] = SIGN G(42),
    [256 + 0x3ea] = SIGN, [256 + 0x3eb] = SIGN G(43), [256 + 0x3ec] = SIGN G(44), [256 + 0x3ed] = SIGN G(45), [256 + 0x3ee] = SIGN,
    [256 + 0x3ef] = SIGN G(46), [256 + 0x3f0] = SIGN G(47), [256 + 0x3f1] = SIGN G(48), [256 + 0x3f2] = SIGN G(49), [256 + 0x3f3] = SIGN G(50),
    [256 + 0x3f4] = SIGN G(51), [256 + 0x3f5] = SIGN G(52), [256 + 0x3f6] = SIGN G(53), [256 + 0x3f7] = SIGN G(54), [256 + 0x3f8] = SIGN,
    [256 + 0x3f9] = SIGN G(55), [256 + 0x3fa] = SIGN, [256 + 0x3fb] = SIGN G(56), [256 + 0x3fc ... 256 + 0x3ff] = SIGN,
};
#undef L
#undef U
#undef D
#undef S
#undef B
#undef M
#undef O
#undef G

/* weight[before][now], in 1/1024 of a token: printed by tests/tokens/fit.mjs. */
static const uint16_t weight[CLASSES][32] = {
    [LOWER] = { 118, 569, 1312, 435, 0, 538, 769, 2134, 89, 515, 741, 440, 537, 556, 568, 917, 642, 1203, 2137 },
    [UPPER] = { 550, 782, 1836, 1158, 436, 472, 950, 1804, 966, 515, 741, 440, 537, 556, 568, 917, 642, 1248, 2137 },
    [DIGIT] = { 652, 1217, 256, 229, 1170, 1449, 857, 878, 1160, 515, 741, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [SPACE] = { 209, 500, 1688, 12, 652, 145, 1201, 0, 1354, 187, 1001, 778, 255, 439, 568, 364, 442, 1512, 2089 },
    [BREAK] = { 1202, 749, 1011, 1056, 39, 227, 913, 63, 853, 1012, 1201, 320, 703, 916, 452, 1002, 801, 1030, 2183 },
    [MARK] = { 792, 852, 824, 813, 648, 56, 872, 878, 1160, 515, 0, 440, 1353, 294, 568, 1057, 642, 1212, 2137 },
    [LATIN] = { 0, 691, 974, 158, 652, 116, 1558, 852, 3626, 515, 741, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [EAST] = { 0, 1530, 974, 771, 652, 2169, 388, 0, 0, 515, 741, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [VIET] = { 0, 691, 974, 1129, 652, 1632, 857, 878, 2202, 515, 741, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [GREEK] = { 382, 691, 974, 337, 652, 866, 857, 878, 1160, 370, 741, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [CYRILLIC] = { 382, 691, 974, 0, 893, 1106, 857, 878, 1160, 515, 113, 440, 537, 556, 568, 917, 642, 1212, 2137 },
    [ARABIC] = { 382, 691, 974, 285, 0, 966, 857, 878, 1160, 515, 741, 221, 537, 556, 568, 917, 642, 1212, 2137 },
    [INDIC] = { 382, 691, 974, 603, 575, 1164, 857, 878, 1160, 515, 741, 440, 288, 556, 568, 917, 642, 999, 2137 },
    [THAI] = { 382, 691, 974, 470, 1562, 101, 857, 878, 1160, 515, 741, 440, 537, 423, 568, 917, 642, 1212, 2137 },
    [KANA] = { 382, 691, 974, 593, 652, 659, 857, 878, 1160, 515, 741, 440, 537, 556, 525, 1268, 642, 1772, 2137 },
    [HAN] = { 382, 691, 974, 398, 652, 689, 857, 878, 1160, 515, 741, 440, 537, 556, 623, 822, 642, 812, 2137 },
    [HANGUL] = { 382, 691, 974, 480, 652, 668, 857, 878, 1160, 515, 741, 440, 537, 556, 568, 917, 684, 1212, 2137 },
    [SIGN] = { 257, 691, 974, 778, 460, 788, 859, 878, 1160, 515, 741, 440, 326, 556, 799, 776, 642, 1225, 2074 },
    [OTHER] = { 532, 691, 974, 269, 652, 659, 857, 878, 1160, 515, 741, 440, 537, 556, 568, 917, 642, 1270, 2212 },
};

/* ---- normal forms that are longer ---- */

/* By 64 code points: which of them are longer in NFC, NFKC or with their case folded, and by how many bytes at most. A combining mark (U+0300 to
 * U+036F) may take the base away from a composed letter before it, which then stands decomposed. A test compares all of Unicode with utf8proc. */
static const struct growth { uint16_t block; uint8_t bytes; uint64_t which; } growths[] = {
    { 0x002,  3, 0x7110810000000000 }, { 0x004,  1, 0x8001000000000000 }, { 0x005,  1, 0x201 }, { 0x007,  1, 0x70 }, { 0x008,  1, 0x4400000000000000 },
    { 0x00b,  1, 0x3f000000 }, { 0x00c,  5, 0xffffffffffffffff }, { 0x00d,  5, 0x400ffffffffffff }, { 0x00e,  3, 0x30 }, { 0x016,  2, 0x80 },
    { 0x019,  2, 0x1e0000000000000 }, { 0x025,  3, 0xff000000 }, { 0x027,  3, 0xb0000000 }, { 0x028,  3, 0x48000000000000 }, { 0x029,  3, 0x4e000000 },
    { 0x02d,  3, 0x30000000 }, { 0x038,  3, 0x8000000000000 }, { 0x03a,  3, 0x8000000000000 }, { 0x03b,  3, 0x30000000 }, { 0x03d,  6, 0x3e8020010842008 },
    { 0x03e,  3, 0x200108420080002 }, { 0x07e,  2, 0x109cffffffffffff }, { 0x07f,  2, 0x109c6000e000f09e }, { 0x080,  6, 0xd8000000000000 },
    { 0x081,  9, 0x800000 }, { 0x085,  3, 0x800080ffff0000 }, { 0x086,  2, 0x200 }, { 0x088,  6, 0x1b00000000000 }, { 0x091,  1, 0xe000000000000000 },
    { 0x092,  1, 0xff }, { 0x0a8,  9, 0x1000 }, { 0x0ab,  2, 0x10000000 }, { 0x0c2,  3, 0x98000000 }, { 0x0c3,  3, 0x8000000000000000 },
    { 0x0c8,  5, 0xffffffff7fffffff }, { 0x0c9,  3, 0x300000000000000f }, { 0x0cb,  3, 0x8000000000000fff }, { 0x0cc, 15, 0xffffffffffffffff },
    { 0x0cd, 12, 0xf801ffffffffffff }, { 0x0ce,  5, 0xc18000000200 }, { 0x0cf,  3, 0x7fffffffc1000044 }, { 0x3e9,  1, 0x100000000000 },
    { 0x3eb,  1, 0xe38000 }, { 0x3ec,  3, 0x5f7ffc00a0f80000 }, { 0x3ed,  1, 0xffdb }, { 0x3ef,  1, 0xffffc0020000000 }, { 0x3f0,  1, 0xffffffffffffffff },
    { 0x3f1,  2, 0xffffffffffffffff }, { 0x3f2,  1, 0xffffffffffffffff }, { 0x3f3,  3, 0xffffffffffffffff }, { 0x3f4,  1, 0x3fffffffffffffff },
    { 0x3f5,  3, 0xffffffffffff0000 }, { 0x3f6,  3, 0xfffffffffffcffff }, { 0x3f7, 30, 0x1fff0000000000ff }, { 0x3f9,  1, 0xaa82000000000000 },
    { 0x3fb,  1, 0x1fe0000000000000 }, { 0x745,  8, 0x1fc0000000 }, { 0x746,  8, 0xf800000000000000 }, { 0x747,  8, 0x1 }, { 0x7c4,  3, 0x40000000000 },
    { 0x7c8,  2, 0x3 }, { 0x7c9,  5, 0x1ff },
};

static uint64_t growth(unsigned block, unsigned place)
{
    size_t low = 0, high = sizeof growths / sizeof *growths;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (growths[mid].block < block) low = mid + 1;
        else high = mid;
    }
    if (low == sizeof growths / sizeof *growths || growths[low].block != block) return 0;
    return growths[low].which >> place & 1 ? growths[low].bytes : 0;
}

/* Of a character that begins at `p`, in what `row` of the table if it is known; all of it is there. */
static uint64_t growth_at(const unsigned char *p, unsigned row)
{
    if (row == ASTRAL) return growth((*p & 7u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63), p[3] & 63);
    return growths[row - 1].which >> (p[*p < 0xE0 ? 1 : 2] & 63) & 1 ? growths[row - 1].bytes : 0;
}

/* ---- one pass ---- */

static uint32_t hex4(const unsigned char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 4 | ((p[i] & 15u) + (p[i] > '9' ? 9 : 0));
    return v;
}

/* An escape at `p`: its class, and how many bytes it takes. A pair is 12 bytes, more than any character has in any form, and counts as two. */
static unsigned escape(uint64_t *grows, const unsigned char *p, const unsigned char *end, size_t *used)
{
    char out[4];
    *used = 1;
    if (end - p < 2) return MARK;
    *used = 2;
    if (p[1] != 'u') return p[1] == 'n' || p[1] == 't' || p[1] == 'r' ? BREAK : MARK;
    if (end - p < 6) return MARK;
    *used = 6;
    uint32_t point = hex4(p + 2);
    size_t n = lun_text_encode(point, out);
    uint64_t bytes = n + growth(point >> 6, point & 63);
    if (bytes > 6) *grows += bytes - 6;
    return classes[n == 3 ? 256 + (point >> 6) : (unsigned char)out[0]] & CLASS;
}

struct pass { uint64_t sum, grows; unsigned before; };

#ifdef __x86_64__
#define ALL(c) _mm256_set1_epi8((char)(c))

/* Weights behind two classes, by `now`, and behind the next by 8 + now: their low bytes, or their high ones. */
LUN_AVX2 static inline __m256i weights(unsigned before, int high)
{
    __m128i a = _mm_loadu_si128((const void *)weight[before]), b = _mm_loadu_si128((const void *)weight[before + 1]), low = _mm_set1_epi16(255);
    a = high ? _mm_srli_epi16(a, 8) : _mm_and_si128(a, low);
    b = high ? _mm_srli_epi16(b, 8) : _mm_and_si128(b, low);
    return _mm256_broadcastsi128_si256(_mm_packus_epi16(a, b));
}

/* The classes of 32 bytes of ASCII: each high half divides the low ones in two. DEL is not told apart. */
LUN_AVX2 static inline __m256i classes_of(__m256i v)
{
    __m256i high = lun_wide_high(v), upto = _mm256_shuffle_epi8(LUN_WIDE_CHOICE(15, 15, 0, 9, 0, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0), high);
    __m256i below = _mm256_shuffle_epi8(LUN_WIDE_CHOICE(BREAK, BREAK, SPACE, DIGIT, MARK, UPPER, MARK, LOWER, 0, 0, 0, 0, 0, 0, 0, 0), high);
    __m256i above = _mm256_shuffle_epi8(LUN_WIDE_CHOICE(BREAK, BREAK, MARK, MARK, UPPER, MARK, LOWER, MARK, 0, 0, 0, 0, 0, 0, 0, 0), high);
    return _mm256_blendv_epi8(below, above, _mm256_cmpgt_epi8(lun_wide_low(v), upto));
}

/* The classes of escapes, at their second bytes, which differ in the exclusive or of their halves as far as that is needed: 8, 5 and 3 are n, r and t. 2 is
 * u, which is marked. */
LUN_AVX2 static inline __m256i escapes_of(__m256i v)
{
    const __m256i chosen = LUN_WIDE_CHOICE(MARK, MARK, MARK - 128, BREAK, MARK, BREAK, MARK, MARK, BREAK, MARK, MARK, MARK, MARK, MARK, MARK, MARK);
    return _mm256_shuffle_epi8(chosen, _mm256_xor_si256(lun_wide_low(v), lun_wide_high(v)));
}

/* What stands `by` bytes further in front, across two vectors. */
#define BEHIND(v, last, by) _mm256_alignr_epi8(v, _mm256_permute2x128_si256(last, v, 0x21), 16 - (by))

/* Of a pair of weights' halves the sum over 32 places. */
LUN_AVX2 static inline __m256i summed(const __m256i t[3], __m256i at)
{
    __m256i w = _mm256_blendv_epi8(_mm256_shuffle_epi8(t[0], at), _mm256_shuffle_epi8(t[1], at), _mm256_slli_epi16(at, 3));
    return _mm256_sad_epu8(_mm256_blendv_epi8(w, _mm256_shuffle_epi8(t[2], at), _mm256_slli_epi16(at, 2)), _mm256_setzero_si256());
}

LUN_AVX2 static inline uint64_t total(__m256i sums)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint64_t)_mm_cvtsi128_si64(two) + (uint64_t)_mm_extract_epi64(two, 1);
}

/* Goes on to the first character that is to be looked at by itself: beyond ASCII, DEL, an escape of a code point, of a backslash, or one that goes on in the
 * next 32 bytes. Other escapes count at their second byte, with the character before the first. What is before `p` is of ASCII. */
LUN_AVX2 static const unsigned char *add_wide(struct pass *t, const unsigned char *p, const unsigned char *end)
{
    const __m256i low[3] = { weights(LOWER, 0), weights(DIGIT, 0), weights(BREAK, 0) }, high[3] = { weights(LOWER, 1), weights(DIGIT, 1), weights(BREAK, 1) };
    const __m256i places = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    __m256i last = ALL(t->before), low_sum = _mm256_setzero_si256(), high_sum = low_sum;
    unsigned char rest[32] = {0}, found[32];
    for (uint32_t stop = 0; !stop; ) {
        __m256i v = _mm256_loadu_si256(end - p < 32 ? memcpy(rest, p, (size_t)(end - p)) : (const void *)p);
        __m256i class = classes_of(v), before = BEHIND(class, last, 1), slash = _mm256_cmpeq_epi8(v, ALL('\\'));
        uint32_t slashes = (uint32_t)_mm256_movemask_epi8(slash);
        stop = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(v, _mm256_cmpeq_epi8(v, ALL(0x7f)))) | (end - p < 32 ? 1u << (end - p) : 0);
        if (slashes) {
            __m256i second = BEHIND(slash, _mm256_setzero_si256(), 1), escapes = escapes_of(v);
            stop |= slashes & (slashes >> 1 | (uint32_t)_mm256_movemask_epi8(escapes) >> 1 | 1u << 31);
            class = _mm256_blendv_epi8(class, escapes, second);
            before = _mm256_blendv_epi8(BEHIND(class, last, 1), BEHIND(class, last, 2), second);
        }
        __m256i at = _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi16(before, 3), class), slash);
        if (stop) at = _mm256_or_si256(at, _mm256_cmpgt_epi8(places, ALL(__builtin_ctz(stop) - 1)));
        low_sum = _mm256_add_epi64(low_sum, summed(low, at));
        high_sum = _mm256_add_epi64(high_sum, summed(high, at));
        p += stop ? __builtin_ctz(stop) : 32;
        if (stop && stop & 1) break;
        _mm256_storeu_si256((void *)found, last = class);
        t->before = found[stop ? __builtin_ctz(stop) - 1 : 31];
    }
    t->sum += total(low_sum) + (total(high_sum) << 8);
    return p;
}

#else
static const unsigned char *add_wide(struct pass *t, const unsigned char *p, const unsigned char *end) { (void)t, (void)end; return p; }
#endif

static bool is_plain(unsigned char c) { return c < 0x7f && c != '\\'; }

/* How many characters from `p` on are ASCII without escapes: 16 at most. */
static size_t plain_run(const unsigned char *p, const unsigned char *end)
{
    size_t n = 0;
#ifdef __SSE2__
    if (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const void *)p), other = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        return (size_t)__builtin_ctz((unsigned)_mm_movemask_epi8(_mm_or_si128(v, other)) | 1u << 16);
    }
#endif
    while (n < 16 && p + n < end && is_plain(p[n])) n++;
    return n;
}

/* A character at `p` that is not plain: its class, and how many bytes it takes. CLASSES: it is cut off at the end. */
static unsigned character(uint64_t *grows, const unsigned char *p, const unsigned char *end, size_t *used)
{
    unsigned class = classes[*p];
    if (*p == '\\') return escape(grows, p, end, used);
    *used = *p < 0xC2 ? 1 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : 4;
    if (*used > (size_t)(end - p)) return CLASSES;
    if (*used == 3) class = classes[256 + ((*p & 15u) << 6 | (p[1] & 63))];
    if (class > CLASS) *grows += growth_at(p, class >> GROWS_SHIFT);
    return class & CLASS;
}

/* Character by character, up to a run of `enough` that are plain, of which it takes the first. What is cut off at the end is nothing. */
static const unsigned char *add_each(struct pass *t, const unsigned char *p, const unsigned char *end, size_t enough)
{
    unsigned before = t->before;
    uint64_t sum = t->sum;
    while (p < end) {
        if (is_plain(*p)) {
            size_t run = plain_run(p, end);
            for (const unsigned char *to = p + (run < enough ? run : 1); p < to; before = classes[*p++]) sum += weight[before][classes[*p]];
            if (run < enough) continue;
            break;
        }
        size_t used;
        unsigned class = character(&t->grows, p, end, &used);
        if (class == CLASSES) { p = end; break; }
        sum += weight[before][class];
        before = class;
        p += used;
    }
    t->before = before;
    t->sum = sum;
    return p;
}

#define RUN 12      /* worth the beginning of a wide pass; in other scripts than Latin such runs are few */

void lun_tokens_add(struct lun_tokens *tokens, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text, *end = n ? p + n : p;
    struct pass t = { .before = BREAK };
    bool wide = lun_may_be_wide();
    while (p < end) {
        if (wide && end - p >= RUN) p = add_wide(&t, p, end);
        p = add_each(&t, p, end, wide ? RUN : SIZE_MAX);
    }
    tokens->weight += t.sum;
    tokens->grows += t.grows;
}

/* ---- growth alone ---- */

#ifdef __x86_64__
/* Goes on to the first byte that may grow, where that is 32 bytes before the end: beyond ASCII, or a backslash before a u. */
LUN_AVX2 static const unsigned char *growing_wide(const unsigned char *p, const unsigned char *end)
{
    for (; end - p > 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const void *)p), behind = _mm256_loadu_si256((const void *)(p + 1));
        __m256i point = _mm256_and_si256(_mm256_cmpeq_epi8(v, ALL('\\')), _mm256_cmpeq_epi8(behind, ALL('u')));
        uint32_t found = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(v, point));
        if (found) return p + __builtin_ctz(found);
    }
    return p;
}

LUN_AVX512 static const unsigned char *growing_widest(const unsigned char *p, const unsigned char *end)
{
    for (; end - p > 64; p += 64) {
        __m512i v = lun_widest((const char *)p);
        uint64_t found = lun_widest_mask(_mm512_movepi8_mask(v)) | (lun_widest_where(v, '\\') & lun_widest_where(lun_widest((const char *)p + 1), 'u'));
        if (found) return p + __builtin_ctzll(found);
    }
    return growing_wide(p, end);
}
#else
static const unsigned char *growing_widest(const unsigned char *p, const unsigned char *end) { (void)end; return p; }
static const unsigned char *growing_wide(const unsigned char *p, const unsigned char *end) { (void)end; return p; }
#endif

static const unsigned char *growing(const unsigned char *p, const unsigned char *end, bool wide)
{
    if (wide && p < end && *p < 0x80) p = lun_may_be_widest() ? growing_widest(p, end) : growing_wide(p, end);
    while (p < end && *p < 0x80 && (*p != '\\' || end - p < 2 || p[1] != 'u')) p++;
    return p;
}

/* Whether the backslash at `p` stands behind an odd number of them. */
static bool is_escaped(const unsigned char *from, const unsigned char *p)
{
    const unsigned char *q = p;
    while (q > from && q[-1] == '\\') q--;
    return (p - q) & 1;
}

uint64_t lun_tokens_grow(const char *text, size_t n)
{
    const unsigned char *from = (const unsigned char *)text, *p = from, *end = n ? p + n : p;
    uint64_t grows = 0;
    size_t used;
    for (bool wide = lun_may_be_wide(); (p = growing(p, end, wide)) < end; p += used) {
        if (*p == '\\' && is_escaped(from, p)) used = 1;
        else if (character(&grows, p, end, &used) == CLASSES) break;
    }
    return grows;
}

void lun_tokens_add_json(struct lun_tokens *t, struct lun_json value) { lun_tokens_add(t, value.at, value.n); }

void lun_tokens_add_string(struct lun_tokens *t, struct lun_json value)
{
    if (lun_json_type(value) == LUN_JSON_STRING) lun_tokens_add(t, value.at + 1, value.n - 2);
}

/* ---- written anew ---- */

/* An indent of four blanks a level, sixteen of them a token at the worst, and the line feed. */
static uint64_t line(uint64_t depth) { return 2 + depth / 4; }

enum { ORDINARY, WIDE, QUOTE, SLASH, ESCAPED, COLON, COMMA, OPENS, CLOSES };
static const uint8_t kinds[256] = { [0x80 ... 0xFF] = WIDE, ['"'] = QUOTE, ['\\'] = SLASH, ['<'] = ESCAPED, ['>'] = ESCAPED, ['&'] = ESCAPED, ['\''] = ESCAPED,
                                    [':'] = COLON, [','] = COMMA, ['{'] = OPENS, ['['] = OPENS, ['}'] = CLOSES, [']'] = CLOSES };

uint64_t lun_tokens_rewritten(struct lun_json value)
{
    uint64_t more = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < value.n; i++) {
        uint8_t kind = kinds[(unsigned char)value.at[i]];
        if (kind == ORDINARY) continue;
        switch (kind) {
        case WIDE: more += 2; break;
        case QUOTE: quoted = !quoted; break;
        case SLASH: i++; break;
        case ESCAPED: more += 5; break;
        case COLON: more++; break;
        case COMMA: more += quoted ? 1 : line(depth); break;
        case OPENS: if (!quoted) more += line(++depth); break;
        case CLOSES: if (!quoted) more += line(depth), depth -= depth > 0; break;
        }
    }
    return more;
}
