/* PGR, APGR and CPT of cases small enough to be reckoned by hand. */
#include "state/recovery.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define NEAR(a, b) assert_float_equal(a, b, 1e-12)
#define COUNT(list) (sizeof list / sizeof *list)

/* Four questions, of which the strong model alone answers the first two and both the others: the gap is 0.5. */
static void who_sends_the_right_ones_first_recovers_all_by_half_of_the_calls(void **state)
{
    struct lun_routed r[] = { { 0.1, 1, 1 }, { 0.9, 0, 1 }, { 0.2, 1, 1 }, { 0.8, 0, 1 } };
    double weak, strong;
    (void)state;
    lun_recovery_sort(r, COUNT(r));
    lun_recovery_ends(r, COUNT(r), &weak, &strong);
    NEAR(weak, 0.5), NEAR(strong, 1);
    NEAR(lun_recovery_apgr(r, COUNT(r)), 0.75);         /* PGR 0, ½, 1, 1, 1: (¼ + ¾ + 1 + 1) / 4 */
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.5), 0.25);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.8), 0.4);      /* between one call and two: 0.8 of the way to ½ */
    NEAR(lun_recovery_cpt(r, COUNT(r), 1), 0.5);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0), 0);
}

static void who_sends_the_wrong_ones_first_recovers_nothing_until_half(void **state)
{
    struct lun_routed r[] = { { 0.9, 1, 1 }, { 0.1, 0, 1 }, { 0.8, 1, 1 }, { 0.2, 0, 1 } };
    (void)state;
    lun_recovery_sort(r, COUNT(r));
    NEAR(lun_recovery_apgr(r, COUNT(r)), 0.25);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.5), 0.75);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.8), 0.9);
}

static void one_score_for_all_is_chance(void **state)
{
    struct lun_routed r[] = { { 3, 1, 1 }, { 3, 0, 1 }, { 3, 1, 0 }, { 3, 0, 1 }, { 3, 0, 0 } };
    (void)state;
    lun_recovery_sort(r, COUNT(r));
    NEAR(lun_recovery_apgr(r, COUNT(r)), 0.5);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.5), 0.5);
    NEAR(lun_recovery_cpt(r, COUNT(r), 0.8), 0.8);
}

/* The first two are equal: between none and both the line is straight, whichever stands first. */
static void questions_of_the_same_score_have_no_order(void **state)
{
    struct lun_routed one[] = { { 2, 0, 1 }, { 2, 1, 1 }, { 1, 0, 1 } }, other[] = { { 2, 1, 1 }, { 1, 0, 1 }, { 2, 0, 1 } };
    (void)state;
    lun_recovery_sort(one, 3), lun_recovery_sort(other, 3);
    NEAR(lun_recovery_apgr(one, 3), 5 / 12.0);          /* PGR 0, ½ at ⅔, 1 at 1: ⅔ · ¼ + ⅓ · ¾ */
    assert_true(lun_recovery_apgr(one, 3) == lun_recovery_apgr(other, 3));
    NEAR(lun_recovery_cpt(one, 3, 0.25), 1 / 3.0);
}

/* Where the strong model is worse on some, more than the whole gap can be recovered. */
static void a_router_can_be_better_than_the_strong_model(void **state)
{
    struct lun_routed r[] = { { 0.9, 0, 1 }, { 0.8, 0, 1 }, { 0.1, 1, 0 } };
    (void)state;
    lun_recovery_sort(r, COUNT(r));
    NEAR(lun_recovery_apgr(r, COUNT(r)), (0.5 + 1.5 + 1.5) / 3);
    NEAR(lun_recovery_cpt(r, COUNT(r), 1), 1 / 3.0);
    struct lun_recovery_at at = lun_recovery_at(r, COUNT(r), 0.5);
    NEAR(at.share, 2 / 3.0), NEAR(at.quality, 1), NEAR(at.pgr, 2);
}

static void scores_may_lie_between_nothing_and_one(void **state)
{
    struct lun_routed r[] = { { 2, 0.25, 0.75 }, { 1, 0.5, 0.75 } };
    (void)state;
    lun_recovery_sort(r, COUNT(r));
    NEAR(lun_recovery_apgr(r, COUNT(r)), 7 / 12.0);     /* PGR 0, ⅔, 1 */
    NEAR(lun_recovery_at(r, COUNT(r), 1.5).quality, 0.625);
}

static void a_threshold_lets_through_the_share_that_is_said_of_it(void **state)
{
    struct lun_routed r[100];
    (void)state;
    for (int i = 0; i < 100; i++) r[i] = (struct lun_routed){ (i * 37 % 100) / 99.0 - 0.3, i & 1, 1 };
    lun_recovery_sort(r, COUNT(r));
    for (int percent = 0; percent <= 100; percent += 10) {
        double threshold = lun_recovery_threshold(r, COUNT(r), percent / 100.0);
        int above = 0;
        for (int i = 0; i < 100; i++) above += r[i].score > threshold;
        assert_int_equal(above, percent);
        assert_true(lun_recovery_at(r, COUNT(r), threshold).share == percent / 100.0);
        assert_true(threshold == (double)(int)(threshold * 1e6 + (threshold < 0 ? -0.5 : 0.5)) / 1e6);
    }
}

static void how_far_it_may_be_off_is_reckoned_by_hand(void **state)
{
    struct lun_routed r[] = { { 0.1, 1, 1 }, { 0.9, 0, 1 }, { 0.2, 1, 1 }, { 0.8, 0, 1 } }, alike[] = { { 3, 1, 1 }, { 3, 0, 1 }, { 3, 1, 0 }, { 3, 0, 1 } };
    (void)state;
    lun_recovery_sort(r, COUNT(r)), lun_recovery_sort(alike, COUNT(alike));
    struct lun_interval of = lun_recovery_apgr_interval(r, COUNT(r)), chance = lun_recovery_apgr_interval(alike, COUNT(alike));
    NEAR(of.value, 0.75);
    assert_float_equal(of.high - 0.75, 1.96 * 0.125, 1e-5), assert_float_equal(0.75 - of.low, 1.96 * 0.125, 1e-5);      /* each question is ⅛ off the mean, times ½ √4 */
    NEAR(chance.low, 0.5), NEAR(chance.high, 0.5);      /* whatever the questions */
}

static double drawn(uint64_t *chance) { return (double)((*chance = *chance * 6364136223846793005u + 1442695040888963407u) >> 11) / 9007199254740992.0; }

/* Questions of a kind of which the strong model answers more, the more the higher the score, the weak one some that it does not. */
static void draw(struct lun_routed *r, size_t n, uint64_t *chance)
{
    for (size_t i = 0; i < n; i++) {
        double hard = drawn(chance), luck = drawn(chance);
        r[i] = (struct lun_routed){ hard, luck < 0.7 - 0.4 * hard, luck < 0.65 || luck > 0.85 };
    }
    lun_recovery_sort(r, n);
}

static void of_a_thousand_intervals_some_950_hold_the_truth(void **state)
{
    enum { MANY = 400000, FEW = 300, TIMES = 1000 };
    struct lun_routed *all = calloc(MANY, sizeof *all), r[FEW];
    uint64_t chance = 1;
    int hold = 0;
    (void)state;
    draw(all, MANY, &chance);
    double truth = lun_recovery_apgr(all, MANY);
    for (int i = 0; i < TIMES; i++) {
        draw(r, FEW, &chance);
        struct lun_interval of = lun_recovery_apgr_interval(r, FEW);
        hold += of.low <= truth && truth <= of.high;
    }
    free(all);
    assert_in_range(hold, 925, 970);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_sends_the_right_ones_first_recovers_all_by_half_of_the_calls),
        cmocka_unit_test(who_sends_the_wrong_ones_first_recovers_nothing_until_half),
        cmocka_unit_test(one_score_for_all_is_chance),
        cmocka_unit_test(questions_of_the_same_score_have_no_order),
        cmocka_unit_test(a_router_can_be_better_than_the_strong_model),
        cmocka_unit_test(scores_may_lie_between_nothing_and_one),
        cmocka_unit_test(a_threshold_lets_through_the_share_that_is_said_of_it),
        cmocka_unit_test(how_far_it_may_be_off_is_reckoned_by_hand),
        cmocka_unit_test(of_a_thousand_intervals_some_950_hold_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
