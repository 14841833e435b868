#include "base/estimate.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void about(double got, double wanted) { if (!(fabs(got - wanted) < 1e-9)) fail_msg("%.12g, not %.12g", got, wanted); }

static void of_fewer_than_two_there_is_none(void **state)
{
    struct lun_estimate e = {0};
    (void)state;
    assert_true(isnan(lun_estimate_weighted(&e).value) && isnan(lun_estimate_normed(&e).low) && isnan(lun_estimate_robust(&e).high));
    about(lun_estimate_outcome(&e), 0);
    about(lun_estimate_size(&e), 0);
    lun_estimate_add(&e, 2, 3, 0, 0);
    assert_true(isnan(lun_estimate_weighted(&e).value) && isnan(lun_estimate_normed(&e).low) && isnan(lun_estimate_robust(&e).high));
    about(lun_estimate_outcome(&e), 3);
}

static void where_nothing_was_chosen_alike_nothing_is_normed(void **state)
{
    struct lun_estimate e = {0};
    (void)state;
    lun_estimate_add(&e, 0, 3, 1, 2);
    lun_estimate_add(&e, 0, 4, 1, 4);
    about(lun_estimate_weighted(&e).value, 0);
    about(lun_estimate_robust(&e).value, 3);            /* all that is left is what the model expects */
    assert_true(isnan(lun_estimate_normed(&e).value));
    about(lun_estimate_size(&e), 0);
}

/* weights 2, 0, 1 and outcomes 3, 5, 6; what is expected is 1, 1, 2 of what was chosen, 4, 2, 2 of what would be. By hand. */
static void the_three_of_a_small_case(void **state)
{
    struct lun_estimate e = {0};
    (void)state;
    lun_estimate_add(&e, 2, 3, 1, 4);
    lun_estimate_add(&e, 0, 5, 1, 2);
    lun_estimate_add(&e, 1, 6, 2, 2);
    struct lun_interval w = lun_estimate_weighted(&e), n = lun_estimate_normed(&e), r = lun_estimate_robust(&e);
    about(w.value, 4);                                  /* (6 + 0 + 6) / 3 */
    about(w.high - w.value, 1.959964 * sqrt(12.0 / 3)); /* squares 4, 16, 4: variance 12 */
    about(n.value, 4);                                  /* 12 / 3 */
    about(n.high - n.value, 1.959964 * sqrt(4 + 0 + 4) / 3);    /* weights times distances: 2, 0, 2 */
    about(r.value, 16.0 / 3);                           /* 4 + 2·2, 2, 2 + 4: 8, 2, 6 */
    about(r.value - r.low, 1.959964 * sqrt(28.0 / 3 / 3));      /* squares 64/9, 100/9, 4/9: variance 28/3 */
    about(lun_estimate_size(&e), 9.0 / 5);
    about(lun_estimate_outcome(&e), 14.0 / 3);
}

static void equal_weights_and_no_model_give_the_mean(void **state)
{
    struct lun_estimate e = {0};
    (void)state;
    for (int i = 0; i < 1000; i++) lun_estimate_add(&e, 1, i, i, i);
    about(lun_estimate_weighted(&e).value, 499.5);
    about(lun_estimate_normed(&e).value, 499.5);
    about(lun_estimate_robust(&e).value, 499.5);
    about(lun_estimate_size(&e), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_fewer_than_two_there_is_none), cmocka_unit_test(where_nothing_was_chosen_alike_nothing_is_normed),
        cmocka_unit_test(the_three_of_a_small_case), cmocka_unit_test(equal_weights_and_no_model_give_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
