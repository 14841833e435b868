#include "base/histogram.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void each_value_lies_within_its_bucket(void **state)
{
    (void)state;
    for (int64_t v = 0; v < 1LL << LUN_HISTOGRAM_BITS; v += v / 97 + 1) {
        size_t i = lun_histogram_index(v);
        assert_true(i < LUN_HISTOGRAM_BUCKETS);
        assert_true(lun_histogram_floor(i) <= v && v < lun_histogram_floor(i + 1));
    }
}

static void buckets_follow_each_other_and_are_narrow(void **state)
{
    (void)state;
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        int64_t from = lun_histogram_floor(i), to = lun_histogram_floor(i + 1);
        assert_true(to > from);
        assert_true((to - from - 1) * LUN_HISTOGRAM_PARTS <= from);
        assert_int_equal(lun_histogram_index(from), i);
        assert_int_equal(lun_histogram_index(to - 1), i);
    }
    assert_true(lun_histogram_floor(LUN_HISTOGRAM_BUCKETS) == 1LL << LUN_HISTOGRAM_BITS);
}

static void what_lies_outside_counts_at_the_edge(void **state)
{
    (void)state;
    struct lun_histogram h = {0};
    lun_histogram_record(&h, -5);
    lun_histogram_record(&h, INT64_MIN);
    assert_int_equal(lun_histogram_sum(&h), 0);
    assert_int_equal(lun_histogram_quantile(&h, 1), 0);
    lun_histogram_record(&h, INT64_MAX);
    assert_int_equal(lun_histogram_count(&h), 3);
    assert_int_equal(lun_histogram_sum(&h), (1LL << LUN_HISTOGRAM_BITS) - 1);
}

static int rising(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_are_right_within_two_percent(void **state)
{
    (void)state;
    enum { N = 5001 };
    static const double shares[] = { 0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
    int64_t values[N];
    struct lun_histogram h = {0};
    srand48(3);
    for (size_t i = 0; i < N; i++) lun_histogram_record(&h, values[i] = (int64_t)(1 + 1e6 * drand48() * drand48() * drand48()));
    qsort(values, N, sizeof *values, rising);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double at = shares[i] * N;
        size_t rank = at > (double)(size_t)at ? (size_t)at : at > 0 ? (size_t)at - 1 : 0;
        int64_t said = lun_histogram_quantile(&h, shares[i]), is = values[rank];
        if (llabs(said - is) * 50 > is + 50) fail_msg("q %g: %ld instead of %ld", shares[i], (long)said, (long)is);
    }
}

static void small_values_are_exact(void **state)
{
    (void)state;
    struct lun_histogram h = {0};
    for (int64_t v = 1; v <= 60; v++) lun_histogram_record(&h, v);
    assert_int_equal(lun_histogram_quantile(&h, 0.5), 30);
    assert_int_equal(lun_histogram_quantile(&h, 1), 60);
    assert_int_equal(lun_histogram_quantile(&h, 0), 1);
    assert_int_equal(lun_histogram_sum(&h), 1830);
}

static void an_empty_one_says_nothing(void **state)
{
    (void)state;
    struct lun_histogram h = {0};
    int64_t bounds[] = { 1, 2 };
    uint64_t out[] = { 9, 9 };
    assert_int_equal(lun_histogram_quantile(&h, 0.5), 0);
    assert_int_equal(lun_histogram_cumulate(&h, bounds, 2, out), 0);
    assert_int_equal(out[0] + out[1], 0);
}

static void counts_below_bounds_rise_and_agree(void **state)
{
    (void)state;
    int64_t bounds[] = { -1, 0, 10, 63, 1000, 5000, 1000000, INT64_MAX };
    uint64_t out[8];
    struct lun_histogram h = {0};
    for (int64_t v = 0; v < 10000; v++) lun_histogram_record(&h, v);
    lun_histogram_record(&h, 2000000);
    assert_int_equal(lun_histogram_cumulate(&h, bounds, 8, out), 10001);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[2], 11);
    assert_int_equal(out[3], 64);
    assert_in_range(out[4], 1001 - 16, 1001 + 16);
    assert_in_range(out[5], 5001 - 80, 5001 + 80);
    assert_int_equal(out[6], 10000);
    assert_int_equal(out[7], 10001);
}

static void two_are_added(void **state)
{
    (void)state;
    struct lun_histogram a = {0}, b = {0};
    lun_histogram_record(&a, 10);
    lun_histogram_record(&b, 30);
    lun_histogram_record(&b, 50);
    lun_histogram_add(&a, &b);
    assert_int_equal(lun_histogram_count(&a), 3);
    assert_int_equal(lun_histogram_sum(&a), 90);
    assert_int_equal(lun_histogram_quantile(&a, 0.5), 30);
    assert_int_equal(lun_histogram_count(&b), 2);
}

enum { THREADS = 4, EACH = 50000 };

static void *record_many(void *h)
{
    for (int i = 0; i < EACH; i++) lun_histogram_record(h, i);
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    static struct lun_histogram h;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, record_many, &h), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(lun_histogram_count(&h), THREADS * EACH);
    assert_int_equal(lun_histogram_sum(&h), (uint64_t)THREADS * EACH * (EACH - 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_lies_within_its_bucket), cmocka_unit_test(buckets_follow_each_other_and_are_narrow),
        cmocka_unit_test(what_lies_outside_counts_at_the_edge), cmocka_unit_test(quantiles_are_right_within_two_percent),
        cmocka_unit_test(small_values_are_exact), cmocka_unit_test(an_empty_one_says_nothing),
        cmocka_unit_test(counts_below_bounds_rise_and_agree), cmocka_unit_test(two_are_added),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
