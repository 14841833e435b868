/* Prices and costs are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/price.h"
#include <stdio.h>
#include <string.h>

static int64_t parsed(const char *text)
{
    int64_t nano = -77;
    return lun_price_parse(text, strlen(text), &nano) ? nano : -1;
}

static void decimal_text_becomes_exact_nano_dollars(void **s)
{
    (void)s;
    static const struct { const char *text; int64_t nano; } cases[] = {
        { "0", 0 }, { "0.42", 420000000 }, { "1", 1000000000 }, { "0.000000001", 1 }, { "15.00", 15000000000 },
        { ".5", 500000000 }, { "5.", 5000000000 }, { "007.5", 7500000000 }, { "0.1", 100000000 }, { "9000000", 9000000000000000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(parsed(cases[i].text), cases[i].nano);
}

static void exponents_are_decimal_numbers_too(void **s)
{
    (void)s;
    assert_int_equal(parsed("4.2e-7"), 420);
    assert_int_equal(parsed("4.2E-07"), 420);
    assert_int_equal(parsed("1e3"), 1000000000000);
    assert_int_equal(parsed("1.5e+1"), 15000000000);
    assert_int_equal(parsed("0e999999999999"), 0);
    assert_int_equal(parsed("123456789e-8"), 1234567890);
    assert_int_equal(parsed("1e-999999999999"), 1);      /* more than nothing is rounded up */
}

static void more_than_nine_decimals_are_rounded_up(void **s)
{
    (void)s;
    assert_int_equal(parsed("0.0000000001"), 1);
    assert_int_equal(parsed("0.4200000000"), 420000000);
    assert_int_equal(parsed("0.42000000001"), 420000001);
    assert_int_equal(parsed("0.99999999999"), 1000000000);
}

static void what_is_not_a_decimal_number_is_refused(void **s)
{
    (void)s;
    static const char *const wrong[] = { "", ".", "-1", "+1", "-0", " 1", "1 ", "1,5", "1.2.3", "nan", "inf", "0x10", "1e", "1e+", "1e1.5", "e5",
                                         "--1", "1e--1", "9000000.000000001", "9000001", "1e7", "99999999999999999999", "1e99999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t nano = 5;
        if (lun_price_parse(wrong[i], strlen(wrong[i]), &nano)) fail_msg("took '%s' as %lld", wrong[i], (long long)nano);
        assert_int_equal(nano, 5);
    }
    int64_t nano;
    assert_false(lun_price_parse("1\0002", 3, &nano));
    assert_true(lun_price_parse("12xyz", 2, &nano));     /* only the n bytes are read */
    assert_int_equal(nano, 12000000000);
}

static const struct lun_price plain = { .input = 420000000, .output = 840000000, .cached_input = LUN_UNPRICED, .cache_write = LUN_UNPRICED,
                                        .reasoning = LUN_UNPRICED, .request = LUN_UNPRICED };

static void a_cost_is_divided_once_and_rounded_up(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .output = 500 };
    assert_int_equal(lun_price_cost(&plain, &u), 840000);       /* 420,000 + 420,000 nano-dollars */
    struct lun_price p = plain;
    p.input = 1; p.output = 1;
    u = (struct lun_usage){ .input = 1, .output = 1 };
    assert_int_equal(lun_price_cost(&p, &u), 1);                /* two millionths of one: not 2, not 0 */
    u = (struct lun_usage){ .input = 999999, .output = 1 };
    assert_int_equal(lun_price_cost(&p, &u), 1);
    u.output = 2;
    assert_int_equal(lun_price_cost(&p, &u), 2);
    u = (struct lun_usage){ 0 };
    assert_int_equal(lun_price_cost(&p, &u), 0);
}

static void each_kind_of_token_has_its_own_price(void **s)
{
    (void)s;
    struct lun_price p = { .input = 1000000, .output = 10000000, .cached_input = 100000, .cache_write = 2000000, .reasoning = 20000000, .request = 7 };
    struct lun_usage u = { .input = 100, .cached_input = 50, .cache_write = 10, .output = 20, .reasoning = 5 };
    assert_int_equal(lun_price_cost(&p, &u), 40 * 1 + 5 + 10 * 2 + 15 * 10 + 5 * 20 + 7);
}

static void prices_not_given_fall_back_to_input_and_output(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .cached_input = 400, .cache_write = 100, .output = 500, .reasoning = 300 };
    assert_int_equal(lun_price_cost(&plain, &u), 840000);
    struct lun_price freed = plain;
    freed.cached_input = 0;                                     /* given as free is not "not given" */
    assert_int_equal(lun_price_cost(&freed, &u), 840000 - 400 * 420);
}

static void parts_larger_than_their_whole_are_cut(void **s)
{
    (void)s;
    struct lun_price p = { .input = 1000000, .output = 1000000, .cached_input = 0, .cache_write = 3000000, .reasoning = 2000000, .request = 0 };
    struct lun_usage u = { .input = 10, .cached_input = 8, .cache_write = 100, .output = 10, .reasoning = 1000 };
    assert_int_equal(lun_price_cost(&p, &u), 2 * 3 + 10 * 2);
    u = (struct lun_usage){ .input = -10, .cached_input = -5, .cache_write = -1, .output = -3, .reasoning = -9 };
    assert_int_equal(lun_price_cost(&p, &u), 0);
}

static void an_unknown_price_is_known_as_such_and_costs_nothing(void **s)
{
    (void)s;
    struct lun_usage u = { .input = 1000, .output = 1000 };
    struct lun_price half = lun_price_unknown;
    half.input = 5;
    assert_false(lun_price_known(&lun_price_unknown));
    assert_false(lun_price_known(&half));
    assert_true(lun_price_known(&plain));
    assert_int_equal(lun_price_cost(&half, &u), 0);
    assert_int_equal(lun_price_bound(&half, 1000, 1000), 0);
}

static void absurd_usage_saturates_instead_of_overflowing(void **s)
{
    (void)s;
    struct lun_price p = { .input = 9000000000000000, .output = 9000000000000000, .cached_input = -1, .cache_write = -1, .reasoning = -1, .request = INT64_MAX };
    struct lun_usage u = { .input = INT64_MAX, .output = INT64_MAX };
    assert_int_equal(lun_price_cost(&p, &u), INT64_MAX);
    assert_int_equal(lun_price_bound(&p, INT64_MAX, INT64_MAX), INT64_MAX);
}

static uint64_t dice = 42;
static int64_t any(int64_t below) { dice = dice * 6364136223846793005u + 1442695040888963407u; return (int64_t)((dice >> 33) % (uint64_t)below); }

static void a_bound_is_never_below_what_a_usage_within_it_costs(void **s)
{
    (void)s;
    for (int i = 0; i < 20000; i++) {
        struct lun_price p = { any(5000000), any(5000000), any(5000000) - 1, any(9000000) - 1, any(9000000) - 1, any(100) - 1 };
        struct lun_usage u = { .input = any(5000), .cached_input = any(6000), .cache_write = any(6000), .output = any(5000), .reasoning = any(6000) };
        assert_true(lun_price_bound(&p, u.input, u.output) >= lun_price_cost(&p, &u));
    }
    assert_int_equal(lun_price_bound(&plain, 1000, 500), 840000);
}

static void money_is_written_with_the_decimals_it_has(void **s)
{
    (void)s;
    static const struct { int64_t nano; const char *text; } cases[] = {
        { 0, "0" }, { 1, "0.000000001" }, { 123000, "0.000123" }, { 1000000000, "1" }, { 1500000000, "1.5" }, { 10000000000, "10" },
        { -500000000, "-0.5" }, { INT64_MAX, "9223372036.854775807" }, { INT64_MIN, "-9223372036.854775808" },
    };
    char out[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lun_price_text(cases[i].nano, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void what_is_written_reads_back_the_same(void **s)
{
    (void)s;
    char out[24];
    for (int i = 0; i < 20000; i++) {
        int64_t nano = any(INT32_MAX) * any(4000000);
        lun_price_text(nano, out);
        assert_int_equal(parsed(out), nano);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimal_text_becomes_exact_nano_dollars),
        cmocka_unit_test(exponents_are_decimal_numbers_too),
        cmocka_unit_test(more_than_nine_decimals_are_rounded_up),
        cmocka_unit_test(what_is_not_a_decimal_number_is_refused),
        cmocka_unit_test(a_cost_is_divided_once_and_rounded_up),
        cmocka_unit_test(each_kind_of_token_has_its_own_price),
        cmocka_unit_test(prices_not_given_fall_back_to_input_and_output),
        cmocka_unit_test(parts_larger_than_their_whole_are_cut),
        cmocka_unit_test(an_unknown_price_is_known_as_such_and_costs_nothing),
        cmocka_unit_test(absurd_usage_saturates_instead_of_overflowing),
        cmocka_unit_test(a_bound_is_never_below_what_a_usage_within_it_costs),
        cmocka_unit_test(money_is_written_with_the_decimals_it_has),
        cmocka_unit_test(what_is_written_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
