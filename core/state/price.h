/* Prices and costs, exact. A price is an integer number of nano-dollars per million tokens, parsed from decimal text; a
 * cost is an integer number of nano-dollars: the sum of tokens × price in 128 bits, divided once, rounded up.
 *
 * Some prices depend on the request: on the class of service that the answer is billed as (flex, priority, batch), and on its
 * length: where the input has more than so many tokens, all of the request costs what holds above them, as providers bill it. */
#ifndef LUN_STATE_PRICE_H
#define LUN_STATE_PRICE_H
#include "base/arena.h"
#include "state/usage.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_NANO_PER_USD ((int64_t)1000000000)
#define LUN_UNPRICED     ((int64_t)-1)

/*  name, what is charged where it is not given (itself: nothing is; then the price is unknown); in the order of struct lun_price */
#define LUN_PRICE_PARTS(X) \
    X(input, input) X(output, output) X(cached_input, input) X(cache_write, input) X(reasoning, output) X(request, nothing) \
    X(cache_write_1h, cache_write) X(audio_input, input) X(image_input, input) X(audio_output, output) X(image_output, output)
#define X(...) + 1
enum { LUN_PRICE_PART_COUNT = LUN_PRICE_PARTS(X) };
#undef X

struct lun_price {              /* nano-USD per million tokens; LUN_UNPRICED: not given */
    int64_t input, output;      /* either unpriced: the price of the target is unknown */
    int64_t cached_input;       /* not given: input */
    int64_t cache_write;        /* for 5 minutes, or as long as the provider keeps it; not given: input */
    int64_t reasoning;          /* not given: output */
    int64_t request;            /* nano-USD per call; not given: 0 */
    int64_t cache_write_1h;     /* for an hour; not given: cache_write */
    int64_t audio_input, image_input;   /* not given: input */
    int64_t audio_output, image_output; /* not given: output */
    const struct lun_price_tier *tiers; int n_tiers;    /* what holds instead; made by lun_price_tiers. Borrowed, mostly the snapshot's */
};
struct lun_price_tier {
    enum lun_service service;
    int64_t above;              /* tokens of input that it takes more than; 0: it holds from the first */
    struct lun_price price;     /* without tiers of its own; what it does not give costs the dearer of what the price gives for that part and
                                   what it falls back to here */
};

extern const struct lun_price lun_price_unknown;
bool lun_price_known(const struct lun_price *);
bool lun_price_equal(const struct lun_price *, const struct lun_price *);
int64_t lun_price_part(const struct lun_price *, size_t offset);    /* what is charged for a part: offsetof(struct lun_price, audio_input) */

/* Gives a price its tiers, `given` as somebody wrote them, in any order, each (service, above) once: into the arena, each of them whole, those that
 * follow from two others added (priority above 200,000 tokens, where both are given: part by part the dearer of the two). */
void lun_price_tiers(struct lun_price *, const struct lun_price_tier *given, int n, struct lun_arena *);

/* "0.42" USD → 420000000 nano-USD. At most 9 decimals are exact; more are rounded up. False, and *nano untouched: not a
 * decimal number (".5", "5." and an exponent as in 4.2e-7 are; a sign, blanks and "nan" are not), or over nine million
 * USD. */
bool lun_price_parse(const char *text, size_t n, int64_t *nano);
bool lun_price_parse_per_token(const char *text, size_t n, int64_t *nano);    /* USD of one token → nano-USD of a million */

/* What that usage costs, the fee per call included; parts larger than their whole are cut to it (the dearest first: what was claimed for two parts
 * costs the dearer), negative counts are 0. Of the services it may have been billed as the dearest; none named: standard. An
 * unknown price costs 0 (ask lun_price_known first where that matters). Does not look at `known`, `estimated` and `suspect`: those
 * are for whoever decides whether to believe it. Saturates at INT64_MAX. */
int64_t lun_price_cost(const struct lun_price *, const struct lun_usage *);

/* The dearest that up to `input` and `output` tokens can cost, billed as one of `services` (0: standard): each at the dearest of the prices that
 * could apply, and the fee. Never below lun_price_cost of a usage within them. */
int64_t lun_price_bound(const struct lun_price *, unsigned services, int64_t input, int64_t output);

/* The mean of several known prices, part by part, without their tiers; what one leaves open counts as what holds for it then. Of none: unknown. */
struct lun_price_sum { __int128 part[LUN_PRICE_PART_COUNT]; int n; };     /* zero-initialised: of none */
void lun_price_sum_add(struct lun_price_sum *, const struct lun_price *);
struct lun_price lun_price_sum_mean(const struct lun_price_sum *);

/* "0.000123" — USD with as many decimals as it has, at most 9; `out` takes 24 bytes. Returns its length. */
size_t lun_price_text(int64_t nano, char out[24]);
#endif
