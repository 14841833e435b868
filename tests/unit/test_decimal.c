/* Numbers as text in a process whose locale writes them with a comma. The locale is made here, by localedef; where the system cannot, the tests
 * that need it are passed over. */
#include "base/buf.h"
#include "base/decimal.h"
#include "base/json.h"
#include "state/metrics.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/decimal-XXXXXX";

static int make_locale(void **state)
{
    char command[200];
    (void)state;
    if (!mkdtemp(folder)) return 1;
    snprintf(command, sizeof command, "localedef -f UTF-8 -i de_DE %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
    int made = system(command);
    setenv("LOCPATH", folder, 1);
    if (made || !setlocale(LC_ALL, "de_DE.UTF-8")) print_message("there is no locale with a comma here\n");
    return 0;
}

static int drop_locale(void **state)
{
    char command[64];
    (void)state;
    setlocale(LC_ALL, "C");
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void needs_a_comma(void)
{
    char text[8];
    snprintf(text, sizeof text, "%.1f", 0.5);
    if (strcmp(text, "0,5")) skip();
}

static void numbers_are_written_with_a_point(void **state)
{
    char text[40];
    (void)state;
    needs_a_comma();
    assert_int_equal(lun_decimal_write(text, sizeof text, 15, 0.25), 4);
    assert_string_equal(text, "0.25");
    lun_decimal_places(text, sizeof text, 3, 12.5);
    assert_string_equal(text, "12.500");
}

static void numbers_are_read_with_a_point_and_no_comma(void **state)
{
    char *end;
    (void)state;
    needs_a_comma();
    assert_true(lun_decimal_read("0.25", &end) == 0.25 && !*end);
    assert_true(lun_decimal_read("0,25", &end) == 0 && *end == ',');
}

static void json_has_points(void **state)
{
    struct lun_buf out = {0};
    struct lun_json value;
    double number = 0;
    (void)state;
    needs_a_comma();
    lun_json_put_number(&out, 0.1);
    assert_string_equal(lun_buf_text(&out), "0.1");
    assert_true(lun_json_check("2.5", 3, &value, NULL) && lun_json_double(value, &number));
    assert_true(number == 2.5);
    lun_buf_free(&out);
}

static void metrics_have_points(void **state)
{
    struct lun_metrics *m = lun_metrics_new();
    struct lun_buf out = {0};
    (void)state;
    needs_a_comma();
    lun_metrics_add(m, LUN_METRIC_OVERHEAD, NULL, 0.125);
    lun_metrics_write(m, &out);
    assert_non_null(strstr(lun_buf_text(&out), "_sum 0.125\n"));
    for (const char *at = out.at; (at = strstr(at, "le=\"")); at++) assert_null(memchr(at, ',', strcspn(at + 4, "\"") + 4));
    lun_buf_free(&out);
    lun_metrics_free(m);
}

static void the_locale_of_the_process_stays_as_it_is(void **state)
{
    char text[8];
    (void)state;
    needs_a_comma();
    lun_decimal_write(text, sizeof text, 15, 0.5);
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_equal(text, "0,5");
}

/* ---- whole numbers, beside printf ---- */

/* Numbers of every length, on both sides of each power of ten; the edges; then any. */
static int64_t number_at(int i)
{
    static uint64_t state = 88172645463325252u;
    static const int64_t edges[] = { 0, -1, 1, INT64_MAX, INT64_MIN, INT64_MIN + 1, 999999999, 1000000000, -999999999 };
    int64_t power = 1;
    if (i < 9) return edges[i];
    i -= 9;
    for (int k = i / 6; i < 19 * 6 && k--; ) power *= 10;
    if (i < 19 * 6) return (i & 1 ? -1 : 1) * (power + i % 6 / 2 - 1);
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;       /* Marsaglia's xorshift */
    return (int64_t)(state >> (i % 64)) * (i & 64 ? -1 : 1);
}

static void a_whole_number_is_written_as_printf_writes_it(void **state)
{
    char ours[LUN_DECIMAL_ROOM], theirs[32];
    (void)state;
    for (int i = 0; i < 300000; i++) {
        int64_t number = number_at(i);
        snprintf(theirs, sizeof theirs, "%lld", (long long)number);
        assert_string_equal(lun_decimal_text(ours, number), theirs);
    }
}

static void places_are_written_as_printf_writes_them(void **state)
{
    char ours[LUN_DECIMAL_ROOM], theirs[48];
    (void)state;
    for (int i = 0; i < 300000; i++) {
        int64_t number = number_at(i);
        int places = 1 + i % LUN_DECIMAL_PLACES;
        uint64_t one = 1, size = number < 0 ? -(uint64_t)number : (uint64_t)number;
        for (int k = 0; k < places; k++) one *= 10;
        ours[lun_decimal_parts(ours, number, places)] = 0;
        snprintf(theirs, sizeof theirs, "%s%llu.%0*llu", number < 0 ? "-" : "", (unsigned long long)(size / one), places, (unsigned long long)(size % one));
        assert_string_equal(ours, theirs);
    }
}

/* What the headers of answers said before they were written by hand. */
static void milliseconds_are_what_printf_makes_of_a_double(void **state)
{
    char ours[LUN_DECIMAL_ROOM], theirs[64];
    (void)state;
    for (int i = 0; i < 300000; i++) {
        int64_t us = (int64_t)((uint64_t)number_at(i) >> 14);       /* below 35 years */
        ours[lun_decimal_parts(ours, us, 3)] = 0;
        lun_decimal_places(theirs, sizeof theirs, 3, (double)us / 1000);
        assert_string_equal(ours, theirs);
    }
}

static void a_pair_is_filled_up_with_a_zero(void **state)
{
    char ours[3] = "", theirs[16];
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        lun_decimal_pair(ours, i);
        snprintf(theirs, sizeof theirs, "%02u", i);
        assert_string_equal(ours, theirs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_with_a_point),
        cmocka_unit_test(numbers_are_read_with_a_point_and_no_comma),
        cmocka_unit_test(json_has_points),
        cmocka_unit_test(metrics_have_points),
        cmocka_unit_test(the_locale_of_the_process_stays_as_it_is),
        cmocka_unit_test(a_whole_number_is_written_as_printf_writes_it),
        cmocka_unit_test(places_are_written_as_printf_writes_them),
        cmocka_unit_test(milliseconds_are_what_printf_makes_of_a_double),
        cmocka_unit_test(a_pair_is_filled_up_with_a_zero),
    };
    return cmocka_run_group_tests(tests, make_locale, drop_locale);
}
