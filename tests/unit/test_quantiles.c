/* Quantiles of weighted outcomes, beside cases reckoned by hand, and how often their intervals hold the truth. */
#include "base/hash.h"
#include "base/quantiles.h"
#include <math.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void about(double is, double wanted) { if (!(fabs(is - wanted) <= 1e-9 * fmax(1, fabs(wanted)))) fail_msg("%.12g is not %.12g", is, wanted); }

static void of_fewer_than_two_there_is_none(void **state)
{
    static struct lun_quantiles h;
    (void)state;
    assert_true(isnan(lun_quantiles_get(&h, 0.5).value));
    lun_quantiles_add(&h, 7, 2);
    lun_quantiles_add(&h, 8, 0);                        /* never chosen: no outcome */
    struct lun_interval i = lun_quantiles_get(&h, 0.5);
    assert_true(isnan(i.value) && isnan(i.low) && isnan(i.high));
}

/* Values up to 64 have buckets of their own, one wide. */
static void those_of_a_small_case(void **state)
{
    static struct lun_quantiles h;
    (void)state;
    lun_quantiles_add(&h, 10, 1);
    lun_quantiles_add(&h, 20, 2);
    lun_quantiles_add(&h, 30, 1);
    struct lun_interval i = lun_quantiles_get(&h, 0.5);
    about(i.value, 20.5);                               /* 1 of 4 is below 20, so 1 of the 2 in it: its middle */
    double deviation = 1.959964 * sqrt(0.25 * 6) / 4;   /* squares of weights: 1 + 2 below, 2 + 1 above, each times a quarter */
    assert_true(deviation > 0.5);
    about(i.low, 0);
    assert_true(isinf(i.high));
}

static void equal_weights_give_the_quantiles_of_the_outcomes(void **state)
{
    static struct lun_quantiles h;
    (void)state;
    for (int i = 0; i < 10000; i++) lun_quantiles_add(&h, i % 50, 3);
    struct lun_interval half = lun_quantiles_get(&h, 0.5), most = lun_quantiles_get(&h, 0.9);
    about(half.value, 25);
    about(half.high - half.low, 2 * 50 * 1.959964 * sqrt(0.25 / 10000));
    about(most.value, 45);
    about(most.high - most.value, 50 * 1.959964 * sqrt(0.09 / 10000));
}

/* Two kinds of outcome, even from 1,000 to 2,000 and from 3,000 to 4,000, chosen 6 to 4; the other way would choose them 2 to 8. */
static void intervals_hold_the_truth_nine_times_in_ten(void **state)
{
    static const struct { double q, truth; } rows[] = { { 0.5, 3375 }, { 0.95, 3937.5 } };
    enum { SEEDS = 500 };
    int held[2] = {0};
    (void)state;
    for (int seed = 1; seed <= SEEDS; seed++) {
        struct lun_quantiles h = {0};
        for (int i = 0; i < 400; i++) {
            const int which[] = { seed, i };
            uint64_t random = lun_hash(which, sizeof which, 1);
            bool slow = lun_hash_unit(random) >= 0.6;
            double at = lun_hash_unit(lun_hash(&random, sizeof random, 2));
            lun_quantiles_add(&h, (int64_t)((slow ? 3000 : 1000) + 1000 * at), slow ? 0.8 / 0.4 : 0.2 / 0.6);
        }
        for (int r = 0; r < 2; r++) {
            struct lun_interval i = lun_quantiles_get(&h, rows[r].q);
            assert_true(i.low <= i.value && i.value <= i.high);
            held[r] += i.low <= rows[r].truth && rows[r].truth <= i.high;
        }
    }
    for (int r = 0; r < 2; r++) {
        print_message("p%g: %d of %d intervals hold the truth\n", 100 * rows[r].q, held[r], SEEDS);
        assert_true(held[r] * 10 >= SEEDS * 9);
        assert_true(held[r] < SEEDS);                   /* and are no wider than they need to be */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_fewer_than_two_there_is_none), cmocka_unit_test(those_of_a_small_case),
        cmocka_unit_test(equal_weights_give_the_quantiles_of_the_outcomes), cmocka_unit_test(intervals_hold_the_truth_nine_times_in_ten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
