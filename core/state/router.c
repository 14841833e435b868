#include "state/router.h"
#include <math.h>
#include <string.h>

enum { PIECE = 5 /* bytes */, DIGITS = 4 /* by which a number is told, at most */, LENGTHS = 16, HALF = LUN_ROUTER_LOOKED_AT / 2 };
enum amount { WORDS, SENTENCES, COMMAS, NUMBERS, DIFFERENT /* about */, LONGEST /* digits */, DECIMALS, FRACTIONS, NUMBERS_IN_100, AMOUNTS };
_Static_assert(3 * LUN_ROUTER_LOOKED_AT + AMOUNTS * LENGTHS * LUN_ROUTER_WEIGHT <= LUN_ROUTER_FEATURES, "all features of a text find room");

/* Odd numbers without a pattern, one for each kind of feature: the place is the top of the product. */
#define OF_WORD   0x9E3779B97F4A7C15u
#define OF_PAIR   0xC2B2AE3D27D4EB4Fu
#define OF_TRIPLE 0xD6E8FEB86659FD93u
#define OF_PIECE  0xFF51AFD7ED558CCDu
#define OF_LENGTH 0xA0761D6478BD642Fu

/* What was found of a text: places, the same perhaps more than once. */
struct bag {
    uint16_t *out;                      /* behind the last */
    uint64_t last, before;              /* the two words that were found last */
    const char *begin;
    uint64_t numbers;                   /* a bit for each that was found, by its hash */
    int amount[AMOUNTS];
};

static inline void put(struct bag *b, uint64_t product) { *b->out++ = (uint16_t)(product / (UINT64_MAX / LUN_ROUTER_PLACES + 1)); }

static inline uint64_t turned(uint64_t hash, int by) { return hash << by | hash >> (64 - by); }

static inline void put_word(struct bag *b, uint64_t hash)
{
    put(b, hash * OF_WORD);
    put(b, (hash + turned(b->last, 21)) * OF_PAIR);
    put(b, (hash + turned(b->last, 21) + turned(b->before, 42)) * OF_TRIPLE);
    b->before = b->last;
    b->last = hash;
}

static inline bool is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }
static inline bool is_letter(unsigned char c) { return (unsigned char)((c | 32) - 'a') < 26 || c & 0x80; }
static inline unsigned char lower(unsigned char c) { return (unsigned char)(c - 'A') < 26 ? c | 32 : c; }
static inline uint64_t with(uint64_t hash, unsigned char c) { return (hash << 5) + (hash + c); }       /* times 33: no multiplication to wait for */

/* A word and its pieces, as if `<` stood before it and `>` behind. */
static const char *look_at_word(struct bag *b, const char *at, const char *end)
{
    uint64_t hash = OF_WORD, piece = '<', whole = 1ull << 8 * (PIECE - 1);
    for (; at < end && (is_letter((unsigned char)*at) || is_digit((unsigned char)*at)); at++) {
        unsigned char c = lower((unsigned char)*at);
        hash = with(hash, c);
        piece = (piece << 8 | c) & ((whole << 8) - 1);
        if (piece >= whole) put(b, piece * OF_PIECE);
    }
    piece = (piece << 8 | '>') & ((whole << 8) - 1);
    if (piece >= whole) put(b, piece * OF_PIECE);
    put_word(b, (hash ^ hash >> 29) * OF_PIECE);
    b->amount[WORDS]++;
    return at;
}

/* "1,000.5" is one number and "3/4" are two, which are a fraction. */
static void count_number(struct bag *b, const char *from, const char *end)
{
    char before = from - b->begin >= 2 && is_digit((unsigned char)from[-2]) ? from[-1] : 0;
    uint64_t hash = OF_LENGTH;
    b->amount[DECIMALS] += before == '.';
    b->amount[FRACTIONS] += before == '/';
    b->amount[NUMBERS] += before != '.' && before != ',';
    if (end - from > b->amount[LONGEST]) b->amount[LONGEST] = (int)(end - from);
    while (from < end) hash = with(hash, (unsigned char)*from++);
    b->numbers |= 1ull << (hash * OF_WORD >> 58);
}

static const char *look_at_number(struct bag *b, const char *at, const char *end)
{
    const char *from = at;
    while (at < end && is_digit((unsigned char)*at)) at++;
    if (at < end && is_letter((unsigned char)*at)) return look_at_word(b, from, end);
    put_word(b, (uint64_t)(at - from < DIGITS ? at - from : DIGITS) * OF_LENGTH);
    b->amount[WORDS]++;
    count_number(b, from, at);
    return at;
}

static void look_at_mark(struct bag *b, const char *at, const char *end)
{
    put_word(b, (unsigned char)*at);
    b->amount[COMMAS] += *at == ',';
    b->amount[SENTENCES] += (*at == '.' || *at == '!' || *at == '?') && (at + 1 == end || (unsigned char)at[1] <= ' ');
}

static void look_at(struct bag *b, const char *at, size_t n)
{
    const char *end = at + n;
    b->begin = at;
    b->last = b->before = 0;
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (is_letter(c)) at = look_at_word(b, at, end);
        else if (is_digit(c)) at = look_at_number(b, at, end);
        else {
            if (c > ' ' && c < 0x7f) look_at_mark(b, at, end);
            at++;
        }
    }
}

/* So many or more of each: what an amount says is added up. In several places each, as they are few beside the words. */
static void put_amounts(struct bag *b)
{
    static const int least[LENGTHS] = { 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256 };
    b->amount[DIFFERENT] = __builtin_popcountll(b->numbers);
    b->amount[NUMBERS_IN_100] = b->amount[WORDS] ? 100 * b->amount[NUMBERS] / b->amount[WORDS] : 0;
    for (uint64_t kind = 0; kind < AMOUNTS; kind++)
        for (uint64_t i = 0; i < LENGTHS && b->amount[kind] >= least[i]; i++)
            for (uint64_t k = 0; k < LUN_ROUTER_WEIGHT; k++) put(b, ((kind * LENGTHS + i) * LUN_ROUTER_WEIGHT + k + 1) * OF_LENGTH);
}

/* Leaves each place once. */
static size_t once(uint16_t *places, size_t n)
{
    uint64_t seen[LUN_ROUTER_PLACES / 64] = {0};
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t place = places[i];
        uint64_t bit = 1ull << (place & 63), *word = &seen[place / 64];
        places[kept] = place;
        kept += !(*word & bit);
        *word |= bit;
    }
    return kept;
}

size_t lun_router_features(const char *text, size_t n, uint16_t *out)
{
    struct bag b = { .out = out };
    bool whole = n <= LUN_ROUTER_LOOKED_AT;
    look_at(&b, text, whole ? n : HALF);
    if (!whole) look_at(&b, text + n - HALF, HALF);
    put_amounts(&b);
    return once(out, (size_t)(b.out - out));
}

static inline int weight(const char *weights, size_t place) { return (unsigned char)weights[place + place / LUN_ROUTER_LINE] - LUN_ROUTER_ZERO; }

double lun_router_gain_of(const struct lun_router *r, const uint16_t *features, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += weight(r->weights, features[i]);
    return n ? r->base + r->scale * (double)sum / sqrt((double)n) : r->base;
}

double lun_router_gain(const struct lun_router *r, const char *text, size_t n)
{
    uint16_t features[LUN_ROUTER_FEATURES];
    return lun_router_gain_of(r, features, lun_router_features(text, n, features));
}

double lun_router_pack(const double *weights, char *text)
{
    double most = 0;
    for (int i = 0; i < LUN_ROUTER_PLACES; i++) most = fmax(most, fabs(weights[i]));
    double scale = most / LUN_ROUTER_LARGEST;
    for (int i = 0; i < LUN_ROUTER_PLACES; i++) {
        *text++ = (char)(LUN_ROUTER_ZERO + (scale > 0 ? (int)rint(weights[i] / scale) : 0));
        if (i % LUN_ROUTER_LINE == LUN_ROUTER_LINE - 1) *text++ = '\n';
    }
    return scale;
}
