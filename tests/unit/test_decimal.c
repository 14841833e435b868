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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_with_a_point),
        cmocka_unit_test(numbers_are_read_with_a_point_and_no_comma),
        cmocka_unit_test(json_has_points),
        cmocka_unit_test(metrics_have_points),
        cmocka_unit_test(the_locale_of_the_process_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, make_locale, drop_locale);
}
