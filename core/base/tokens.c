#include "base/tokens.h"
#include "base/text.h"
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
    O, O, O, O, O, O, O, O, O, B, B, O, O, B, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
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

void lun_tokens_add(struct lun_tokens *t, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text, *end = n ? p + n : p;
    uint64_t sum = 0;
    unsigned before = BREAK;
    while (p < end) {
        unsigned class = classes[*p];
        size_t used = 1;
        if (*p == '\\') class = escape(&t->grows, p, end, &used);
        else if (*p >= 0xC2) {
            used = *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : 4;
            if (used > (size_t)(end - p)) break;
            if (used == 3) class = classes[256 + ((*p & 15u) << 6 | (p[1] & 63))];
            if (class > CLASS) t->grows += growth_at(p, class >> GROWS_SHIFT);
            class &= CLASS;
        }
        sum += weight[before][class];
        before = class;
        p += used;
    }
    t->weight += sum;
}

void lun_tokens_add_json(struct lun_tokens *t, struct lun_json value) { lun_tokens_add(t, value.at, value.n); }

void lun_tokens_add_string(struct lun_tokens *t, struct lun_json value)
{
    if (lun_json_type(value) == LUN_JSON_STRING) lun_tokens_add(t, value.at + 1, value.n - 2);
}

/* ---- written anew ---- */

/* An indent of four blanks a level, sixteen of them a token at the worst, and the line feed. */
static uint64_t line(uint64_t depth) { return 2 + depth / 4; }

uint64_t lun_tokens_rewritten(struct lun_json value)
{
    uint64_t more = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c >= 0x80) more += 2;
        else if (c == '"') quoted = !quoted;
        else if (c == '\\') i++;
        else if (c == '<' || c == '>' || c == '&' || c == '\'') more += 5;
        else if (c == ':') more++;
        else if (c == ',') more += quoted ? 1 : line(depth);
        else if (quoted) continue;
        else if (c == '{' || c == '[') more += line(++depth);
        else if (c == '}' || c == ']') more += line(depth), depth -= depth > 0;
    }
    return more;
}
