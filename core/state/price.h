/* Prices and costs, exact. A price is an integer number of nano-dollars per million tokens, parsed from decimal text; a
 * cost is an integer number of nano-dollars: the sum of tokens × price in 128 bits, divided once, rounded up. */
#ifndef LUN_STATE_PRICE_H
#define LUN_STATE_PRICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_NANO_PER_USD ((int64_t)1000000000)
#define LUN_UNPRICED     ((int64_t)-1)

struct lun_price {              /* nano-USD per million tokens; LUN_UNPRICED: not given */
    int64_t input, output;      /* either unpriced: the price of the target is unknown */
    int64_t cached_input;       /* not given: input */
    int64_t cache_write;        /* not given: input */
    int64_t reasoning;          /* not given: output */
    int64_t request;            /* nano-USD per call; not given: 0 */
};
struct lun_usage {              /* tokens, as a provider claims them, normalised */
    bool known;                 /* false: it said nothing */
    bool estimated;             /* counted by us, not by the provider */
    int64_t input;              /* all of the input, cached and written to the cache included */
    int64_t cached_input, cache_write;  /* parts of input */
    int64_t output;             /* all of the output, reasoning included */
    int64_t reasoning;          /* a part of output */
};

extern const struct lun_price lun_price_unknown;
bool lun_price_known(const struct lun_price *);

/* "0.42" USD → 420000000 nano-USD. At most 9 decimals are exact; more are rounded up. False, and *nano untouched: not a
 * decimal number (".5", "5." and an exponent as in 4.2e-7 are; a sign, blanks and "nan" are not), or over nine million
 * USD. */
bool lun_price_parse(const char *text, size_t n, int64_t *nano);

/* What that usage costs, the fee per call included; parts larger than their whole are cut to it, negative counts are 0. An
 * unknown price costs 0 (ask lun_price_known first where that matters). Does not look at `known` and `estimated`: those
 * are for whoever decides whether to believe it. Saturates at INT64_MAX. */
int64_t lun_price_cost(const struct lun_price *, const struct lun_usage *);

/* The dearest that `input` and `output` tokens can cost: each at the dearest of the prices that could apply, and
 * the fee. Never below lun_price_cost of a usage within them. */
int64_t lun_price_bound(const struct lun_price *, int64_t input, int64_t output);

/* The mean of several known prices, part by part; what one leaves open counts as what holds for it then. Of none: unknown. */
struct lun_price_sum { __int128 part[6]; int n; };      /* zero-initialised: of none */
void lun_price_sum_add(struct lun_price_sum *, const struct lun_price *);
struct lun_price lun_price_sum_mean(const struct lun_price_sum *);

/* "0.000123" — USD with as many decimals as it has, at most 9; `out` takes 24 bytes. */
void lun_price_text(int64_t nano, char out[24]);
#endif
