#include "base/keywords.h"
#include "base/fold.h"
#include "base/text.h"
#include "base/wide.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PIECE   4096
#define FINGERS 3       /* bytes by which a place is ruled out, 32 places at a time */

struct item { const char *text; uint32_t n; uint16_t sorted; uint8_t group; bool joined; };     /* sorted: which one is here in the order of their bytes */

struct lun_keywords {
    int n, room;
    uint16_t from[257];                             /* by first byte: where those in order begin */
    uint16_t in_group[8], firsts;                   /* how many are in a group, which those share that begin with the same byte; such bytes */
    uint8_t low[FINGERS][16], high[FINGERS][16];    /* by half a byte: groups in which some keyword has it in that place, a bit for each */
    uint8_t inner;                                  /* groups in which some keyword may begin behind a letter */
    struct item item[];                             /* then the texts themselves */
};

size_t lun_keywords_size(int n, size_t bytes) { return sizeof(struct lun_keywords) + (size_t)n * sizeof(struct item) + bytes; }

struct lun_keywords *lun_keywords_init(void *memory, int room)
{
    struct lun_keywords *k = memset(memory, 0, sizeof *k);
    k->room = room < LUN_KEYWORDS_MOST ? room : LUN_KEYWORDS_MOST;
    return k;
}

int lun_keywords_count(const struct lun_keywords *k) { return k->n; }

size_t lun_keywords_bytes(const struct lun_keywords *k)
{
    size_t n = 0;
    for (int i = 0; i < k->n; i++) n += k->item[i].n;
    return n;
}

static const struct item *in_order(const struct lun_keywords *k, int i) { return &k->item[k->item[i].sorted]; }

static int compare(const struct item *k, const char *text, size_t n)
{
    int way = memcmp(k->text, text, k->n < n ? k->n : n);
    return way ? way : k->n < n ? -1 : k->n > n;
}

/* Where in the order it is, or belongs. */
static int place(const struct lun_keywords *k, const char *text, size_t n)
{
    int low = 0, high = k->n;
    while (low < high) {
        int mid = (low + high) / 2;
        if (compare(in_order(k, mid), text, n) < 0) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* A shorter keyword may be followed by anything. */
static void add_fingers(struct lun_keywords *k, const unsigned char *text, size_t n, int in)
{
    uint8_t group = (uint8_t)(1 << in);
    for (size_t i = 0; i < FINGERS; i++)
        for (int half = 0; half < 16; half++) {
            if (i >= n || half == (text[i] & 15)) k->low[i][half] |= group;
            if (i >= n || half == text[i] >> 4) k->high[i][half] |= group;
        }
    if (*text >= 0x80 || !lun_fold_is_joined(*text)) k->inner |= group;
}

void lun_keywords_add(struct lun_keywords *k, const char *prepared, size_t n)
{
    size_t used;
    int byte = (unsigned char)*prepared, first = k->from[byte];
    char *to = k->n ? (char *)k->item[k->n - 1].text + k->item[k->n - 1].n : (char *)&k->item[k->room];
    int at = place(k, prepared, n);
    if (!n || k->n == k->room || (at < k->n && !compare(in_order(k, at), prepared, n))) return;
    uint8_t group = first < k->from[byte + 1] ? in_order(k, first)->group : k->firsts++ & 7;
    struct item *item = &k->item[k->n];
    item->text = memcpy(to, prepared, n);
    item->n = (uint32_t)n;
    item->joined = lun_fold_is_joined(lun_text_point(prepared, n, &used));
    item->group = group;
    for (int i = k->n; i > at; i--) k->item[i].sorted = k->item[i - 1].sorted;
    k->item[at].sorted = (uint16_t)k->n++;
    for (int above = byte + 1; above <= 256; above++) k->from[above]++;
    k->in_group[group]++;
    add_fingers(k, (const unsigned char *)prepared, n, group);
}

void lun_keywords_add_all(struct lun_keywords *k, const struct lun_keywords *from, uint64_t which[LUN_KEYWORDS_BITS])
{
    memset(which, 0, LUN_KEYWORDS_BITS * sizeof *which);
    for (int i = 0; i < from->n; i++) {
        const struct item *item = &from->item[i];
        lun_keywords_add(k, item->text, item->n);
        int in = k->item[place(k, item->text, item->n)].sorted;
        which[in >> 6] |= 1ull << (in & 63);
    }
}

/* ---- what is compared ---- */

#ifdef __x86_64__
/* Which of 32 bytes are from `low` to `high`, both ASCII. */
LUN_AVX2 static inline __m256i within(__m256i v, char low, char high)
{
    return _mm256_cmpgt_epi8(_mm256_add_epi8(v, _mm256_set1_epi8((char)(0x7f - high))), _mm256_set1_epi8((char)(0x7f - (high - low) - 1)));
}
#endif

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* How many bytes have nothing to be squeezed, by 16. `after`: a space is before them. */
static size_t squeezed_already(const char *text, size_t n, bool after)
{
    size_t i = 0;
#ifdef __SSE2__
    for (unsigned space = after; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const void *)(text + i));
        unsigned spaces = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')));
        __m128i other = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v), _mm_cmpeq_epi8(v, _mm_set1_epi8((char)0xc2)));
        if (_mm_movemask_epi8(other) || spaces & (spaces << 1 | space)) break;
        space = spaces >> 15;
    }
#else
    (void)text, (void)n, (void)after;
#endif
    return i;
}

/* Each run of ASCII white space of buf[at..] becomes one space, NBSP likewise; none behind a space in buf[from..at). In place: it only grows shorter. */
static void squeeze(struct lun_buf *buf, size_t from, size_t at)
{
    size_t to = at;
    for (size_t i = at; i < buf->n; ) {
        size_t same = squeezed_already(buf->at + i, buf->n - i, to > from && buf->at[to - 1] == ' ');
        if (to < i) memmove(buf->at + to, buf->at + i, same);
        to += same, i += same;
        for (size_t end = buf->n - i < 16 ? buf->n : i + 16; i < end; i++) {
            bool nbsp = buf->at[i] == '\xc2' && i + 1 < buf->n && buf->at[i + 1] == '\xa0';
            if (!nbsp && !is_space(buf->at[i])) { buf->at[to++] = buf->at[i]; continue; }
            i += nbsp;
            if (to == from || buf->at[to - 1] != ' ') buf->at[to++] = ' ';
        }
    }
    buf->n = to;
}

#ifdef __x86_64__
/* `after`: a space is before it. `past`: which of the 32 do not count. */
LUN_AVX2 static inline char *put_prepared(char *to, __m256i v, uint32_t *after, uint32_t past)
{
    const __m256i space = _mm256_set1_epi8(' ');
    __m256i blanks = _mm256_or_si256(_mm256_cmpeq_epi8(v, space), within(v, '\t', '\r'));
    uint32_t where = (uint32_t)_mm256_movemask_epi8(blanks), dropped = (where & (where << 1 | *after)) | past;
    v = _mm256_max_epu8(v, _mm256_and_si256(blanks, space));
    v = _mm256_or_si256(v, _mm256_and_si256(within(v, 'A', 'Z'), space));
    *after = where >> 31;
    if (dropped) return lun_wide_put(to, v, ~dropped);
    _mm256_storeu_si256((void *)to, v);
    return to + 32;
}

/* Folds and squeezes what is ASCII, 32 bytes at a time, and says how much of the text that was: an instruction a byte, where byte by byte it takes 27. */
LUN_AVX2 static size_t prepare_wide(const char *text, size_t n, struct lun_buf *out, size_t from)
{
    char *to = lun_buf_space(out, n + 64), rest[32] = {0};
    uint32_t after = out->n > from && to[-1] == ' ';
    __m256i v;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        v = _mm256_loadu_si256((const void *)(text + i));
        if (_mm256_movemask_epi8(v)) break;
        to = put_prepared(to, v, &after, 0);
    }
    if (n - i < 32) {
        v = _mm256_loadu_si256(memcpy(rest, text + i, n - i));
        if (!_mm256_movemask_epi8(v)) to = put_prepared(to, v, &after, ~0u << (n - i)), i = n;
    }
    out->n = (size_t)(to - out->at);
    return i;
}

LUN_AVX512 static inline uint64_t within_64(__m512i v, char low, char high)
{
    return _mm512_cmple_epu8_mask(_mm512_sub_epi8(v, _mm512_set1_epi8(low)), _mm512_set1_epi8((char)(high - low)));
}

/* The same 64 bytes at a time, as long as there are so many: a third of an instruction a byte. */
LUN_AVX512 static size_t prepare_widest(const char *text, size_t n, struct lun_buf *out, size_t from)
{
    const __m512i space = _mm512_set1_epi8(' ');
    char *to = lun_buf_space(out, n + 64);
    uint64_t after = out->n > from && to[-1] == ' ';
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        __m512i v = lun_widest(text + i);
        if (_mm512_movepi8_mask(v)) break;
        uint64_t blanks = lun_widest_where(v, ' ') | within_64(v, '\t', '\r'), kept = ~(blanks & (blanks << 1 | after));
        v = _mm512_or_si512(v, _mm512_maskz_mov_epi8(within_64(v, 'A', 'Z'), space));
        to = lun_widest_put(to, _mm512_mask_mov_epi8(v, blanks, space), kept);
        after = blanks >> 63;
    }
    out->n = (size_t)(to - out->at);
    return i;
}

static size_t prepare_at_once(const char *text, size_t n, struct lun_buf *out, size_t from)
{
    size_t i = lun_may_be_widest() && n >= 64 ? prepare_widest(text, n, out, from) : 0;
    return lun_may_be_wide() ? i + prepare_wide(text + i, n - i, out, from) : i;
}
#else
static size_t prepare_at_once(const char *text, size_t n, struct lun_buf *out, size_t from) { (void)text, (void)n, (void)out, (void)from; return 0; }
#endif

void lun_keywords_prepare(const char *text, size_t n, struct lun_buf *out)
{
    size_t from = out->n, end;
    for (size_t i = 0; i < n; i = end) {
        i += prepare_at_once(text + i, n - i, out, from);
        for (end = n - i < 16 ? n : i + 16; end < n && text[end] & 0x80; ) end++;       /* ASCII is no mark: what is before it is folded by itself */
        size_t at = out->n;
        lun_fold(text + i, end - i, out);
        squeeze(out, from, at);
    }
}

/* ---- looking ---- */

/* Whether a match may begin at `at`: not in the middle of a word. */
static bool begins(const char *text, size_t at)
{
    size_t used, from = at;
    if (!at) return true;
    if (!(text[at - 1] & 0x80)) return !lun_fold_is_joined((uint32_t)text[at - 1]);
    do from--; while (from && (text[from] & 0xc0) == 0x80);
    return !lun_fold_is_joined(lun_text_point(text + from, at - from, &used));
}

static bool ends(const char *text, size_t n, size_t at)
{
    size_t used;
    return at == n || !lun_fold_is_mark(lun_text_point(text + at, n - at, &used));
}

static void note(const struct lun_keywords *k, int i, struct lun_keywords_search *s, size_t at)
{
    const struct item *item = in_order(k, i);
    uint64_t bit = 1ull << (k->item[i].sorted & 63), *found = &s->found[k->item[i].sorted >> 6];
    if (*found & bit || (item->joined && !begins(s->text, at)) || !ends(s->text, s->n, at + item->n)) return;
    *found |= bit;
    s->count++;
    if (++s->in_group[item->group] == k->in_group[item->group]) s->over |= (uint8_t)(1 << item->group);
}

/* The first of those in order from `low` to `high` that has at `i` at least that byte; they are the same before it, and go on to there. */
static int least(const struct lun_keywords *k, int low, int high, size_t i, int byte)
{
    while (low < high) {
        int mid = (low + high) / 2;
        if ((unsigned char)in_order(k, mid)->text[i] < byte) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* Whether the one that is left can stand at `at`, by its length and last byte: most places are ruled out by that. */
static bool may_stand(const struct item *item, const char *at, size_t left) { return item->n <= left && at[item->n - 1] == item->text[item->n - 1]; }

/* All that stand at `at`: those that begin as the text does there grow fewer with each byte, until one is left, or none. */
static void look_at(const struct lun_keywords *k, struct lun_keywords_search *s, size_t at)
{
    int byte = (unsigned char)s->text[at], low = k->from[byte], high = k->from[byte + 1];
    const char *text = s->text + at;
    size_t left = s->n - at;
    if (low == high || (high - low == 1 && !may_stand(in_order(k, low), text, left))) return;
    if (byte < 0x80 && lun_fold_is_joined((uint32_t)byte) && !begins(s->text, at)) return;
    for (size_t i = 1; high - low > 1; i++, s->steps++) {
        if (in_order(k, low)->n == i) note(k, low++, s, at);
        if (i == left) return;
        byte = (unsigned char)text[i];
        low = least(k, low, high, i, byte);
        high = least(k, low, high, i, byte + 1);
    }
    if (low < high && may_stand(in_order(k, low), text, left) && !memcmp(text, in_order(k, low)->text, in_order(k, low)->n)) note(k, low, s, at);
}

#ifdef __x86_64__
#define HALVES(table) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(table)))

/* By 32 bytes: the groups of which some keyword has them in that place. */
LUN_AVX2 static inline __m256i groups(const char *at, __m256i low, __m256i high)
{
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)at), half = _mm256_set1_epi8(15);
    return _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(v, half)), _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v, 4), half)));
}

/* 32 places at a time: in which of them three bytes are those of a keyword that is still to be found, and no letter is before them where that counts. About
 * an instruction a byte; to look at each place by itself takes seven and more, and is left for the end. */
LUN_AVX2 static size_t look_wide(const struct lun_keywords *k, struct lun_keywords_search *s, size_t from, size_t to)
{
    __m256i low0 = HALVES(k->low[0]), low1 = HALVES(k->low[1]), low2 = HALVES(k->low[2]);
    __m256i high0 = HALVES(k->high[0]), high1 = HALVES(k->high[1]), high2 = HALVES(k->high[2]);
    __m256i outer = _mm256_set1_epi8((char)~k->inner), left = _mm256_set1_epi8((char)~s->over);
    const char *p = s->text + from, *end = s->text + (s->n - to < 2 ? s->n - 2 : to);
    for (; p < end; p += 32) {
        if (end - p < 32) p = end - 32;         /* again, in part: what was found is not counted twice */
        __m256i behind = within(_mm256_loadu_si256((const __m256i *)(const void *)(p - 1)), 'a', 'z');
        __m256i v = _mm256_and_si256(groups(p, low0, high0), _mm256_and_si256(groups(p + 1, low1, high1), groups(p + 2, low2, high2)));
        v = _mm256_andnot_si256(_mm256_and_si256(behind, outer), _mm256_and_si256(v, left));
        if (_mm256_testz_si256(v, v)) continue;
        for (uint32_t places = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_setzero_si256())); places; places &= places - 1)
            look_at(k, s, (size_t)(p - s->text) + (size_t)__builtin_ctz(places));
        left = _mm256_set1_epi8((char)~s->over);
    }
    return (size_t)(p - s->text);
}
#undef HALVES

#define HALVES(table) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(table)))
LUN_AVX512 static inline __m512i by_places(int n)
{
    char at[64];
    for (int i = 0; i < 64; i++) at[i] = (char)(64 - n + i);
    return _mm512_loadu_si512((const void *)at);
}

/* What stands `by` bytes further in front, across two vectors. */
LUN_AVX512 static inline __m512i behind_64(__m512i before, __m512i v, __m512i by) { return _mm512_permutex2var_epi8(before, by, v); }

/* The same for 64 places, each byte read once: to a place are counted the second byte from 1 place on and the third from 2, whichever 64 they are among. */
LUN_AVX512 static size_t look_widest(const struct lun_keywords *k, struct lun_keywords_search *s, size_t from, size_t to)
{
    const __m512i low0 = HALVES(k->low[0]), low1 = HALVES(k->low[1]), low2 = HALVES(k->low[2]);
    const __m512i high0 = HALVES(k->high[0]), high1 = HALVES(k->high[1]), high2 = HALVES(k->high[2]);
    const __m512i inner = _mm512_set1_epi8((char)k->inner), half = _mm512_set1_epi8(15), one = by_places(1), two = by_places(2);
    __m512i left = _mm512_set1_epi8((char)~s->over), first = _mm512_setzero_si512(), second = first;
    uint64_t letters = (uint64_t)(s->text[from - 1] >= 'a' && s->text[from - 1] <= 'z') << 63;
    for (size_t at = from; at < to + 2; at += 64) {
        __m512i v = at + 64 <= s->n ? lun_widest(s->text + at) : at < s->n ? _mm512_maskz_loadu_epi8(~0ull >> (64 - (s->n - at)), s->text + at) : _mm512_setzero_si512();
        __m512i low = _mm512_and_si512(v, half), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), half);
        __m512i now0 = _mm512_and_si512(_mm512_shuffle_epi8(low0, low), _mm512_shuffle_epi8(high0, high));
        __m512i now1 = _mm512_and_si512(_mm512_shuffle_epi8(low1, low), _mm512_shuffle_epi8(high1, high));
        __m512i now2 = _mm512_and_si512(_mm512_shuffle_epi8(low2, low), _mm512_shuffle_epi8(high2, high));
        __m512i found = _mm512_and_si512(now2, _mm512_and_si512(behind_64(second, now1, one), behind_64(first, now0, two)));
        uint64_t before = letters;
        letters = lun_widest_mask(within_64(v, 'a', 'z'));
        uint64_t places = lun_widest_mask(_mm512_test_epi8_mask(found, left)) & ~(letters << 3 | before >> 61);
        places |= lun_widest_mask(_mm512_test_epi8_mask(found, _mm512_and_si512(left, inner)));
        first = now0, second = now1;
        if (!places) continue;
        for (; places; places &= places - 1) {
            size_t place = at + (size_t)__builtin_ctzll(places) - 2;
            if (place >= from && place < to) look_at(k, s, place);
        }
        left = _mm512_set1_epi8((char)~s->over);
    }
    return to;
}
#undef HALVES

static size_t look_at_once(const struct lun_keywords *k, struct lun_keywords_search *s, size_t from, size_t to)
{
    if (from && lun_may_be_widest()) return look_widest(k, s, from, to);
    return from && to > 34 && lun_may_be_wide() ? look_wide(k, s, from, to) : from;
}
#else
static size_t look_at_once(const struct lun_keywords *k, struct lun_keywords_search *s, size_t from, size_t to) { (void)k, (void)s, (void)to; return from; }
#endif

bool lun_keywords_look(const struct lun_keywords *k, struct lun_keywords_search *s)
{
    size_t end = s->n - s->at < PIECE ? s->n : s->at + PIECE, from = s->at;
    if (from == s->n || s->count == k->n) return false;
    if (!from) look_at(k, s, from++);
    for (from = look_at_once(k, s, from, end); from < end; from++) look_at(k, s, from);
    s->steps += (int64_t)(end - s->at);
    s->at = end;
    return true;
}

int lun_keywords_found(const struct lun_keywords_search *s, const uint64_t which[LUN_KEYWORDS_BITS])
{
    int n = 0;
    for (int i = 0; i < LUN_KEYWORDS_BITS; i++)
        for (uint64_t both = s->found[i] & which[i]; both; both &= both - 1) n++;
    return n;
}
