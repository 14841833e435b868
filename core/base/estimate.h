/* What another way of choosing would have come to, told from outcomes of choices that chance made with known probabilities. Of each choice are given:
 *
 *   weight   how likely the other way makes the same choice, divided by how likely it was (0: it never makes it)
 *   outcome  what came of it
 *   then     what a model that has not seen this outcome expects of the choice that was made
 *   now      what the same model expects of the choice that the other way makes
 *
 * Three estimates of the mean outcome, each with an interval that holds the truth 95 times in 100, by the normal approximation:
 *   weighted (inverse propensity, Horvitz and Thompson 1952)         mean of weight × outcome: unbiased, wide
 *   normed (self-normalised, Hájek)                                  the same divided by the mean weight: a little biased, narrower
 *   robust (doubly robust, Dudík, Langford and Li 2011)              mean of now + weight × (outcome − then): unbiased, and narrow where the model is good
 * One thread. Zero-initialised it is empty and valid. */
#ifndef LUN_BASE_ESTIMATE_H
#define LUN_BASE_ESTIMATE_H
#include <stdint.h>

struct lun_moments { double mean, square; };                    /* square: sum of squared distances from the mean */
struct lun_estimate {
    int64_t n;                                                  /* choices */
    struct lun_moments weighted, robust;
    double outcome, w, ww, wo, wwo, wwoo;                       /* sums of products of weight and outcome */
};
struct lun_interval { double value, low, high; };              /* all NaN: there is none */
struct lun_interval lun_interval_around(double value, double deviation);       /* of 95 %, of what deviates so much, normally */

void lun_estimate_add(struct lun_estimate *, double weight, double outcome, double then, double now);

/* Of fewer than two choices, or where no weight is above 0 (normed), there is none. */
struct lun_interval lun_estimate_weighted(const struct lun_estimate *);
struct lun_interval lun_estimate_normed(const struct lun_estimate *);
struct lun_interval lun_estimate_robust(const struct lun_estimate *);
double lun_estimate_size(const struct lun_estimate *);         /* of as many choices, all of one weight, an estimate would be as good (Kish 1965) */
double lun_estimate_outcome(const struct lun_estimate *);      /* mean of what really came of them; 0 of none */
#endif
