/* Times as people and other programs write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <time.h>
#include "base/clock.h"

static void a_time_is_read_as_rfc_3339_has_it(void **state)
{
    static const struct { const char *text; lun_us wall; } cases[] = {
        { "1970-01-01T00:00:00Z", 0 }, { "2026-11-21T08:11:00.123Z", 1795248660123000 }, { "2026-11-21t08:11:00z", 1795248660000000 },
        { "2026-11-21 09:11:00+01:00", 1795248660000000 }, { "2026-11-21T00:11:00.5-08:00", 1795248660500000 }, { "2024-02-29T00:00:00Z", 1709164800000000 },
        { "2000-02-29T00:00:00Z", 951782400000000 }, { "2016-12-31T23:59:60Z", 1483228800000000 }, { "2026-11-21T08:11:00.1234567899Z", 1795248660123456 },
        { "9999-12-31T23:59:59Z", 253402300799000000 } };
    lun_us wall;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!lun_clock_read(cases[i].text, &wall)) fail_msg("%s is not read", cases[i].text);
        if (wall != cases[i].wall) fail_msg("%s is read as %lld", cases[i].text, (long long)wall);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const cases[] = { "", "2026", "2026-11-21", "2026-11-21T08:11:00", "2026-11-21T08:11Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T08:60:00Z", "2026-11-21T08:11:61Z", "2026-11-21T08:11:00.Z", "2026-11-21T08:11:00Zx",
        "2026-11-21T08:11:00+1:00", "2026-11-21T08:11:00+24:00", "2026-11-21T08:11:00+01", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00", "20261121T081100Z", " 2026-11-21T08:11:00Z",
        "2026-11-21_08:11:00Z", "-026-11-21T08:11:00Z" };
    lun_us wall;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) if (lun_clock_read(cases[i], &wall)) fail_msg("%s is read", cases[i]);
}

static void what_is_written_is_read_again(void **state)
{
    char text[25];
    lun_us wall;
    (void)state;
    for (lun_us t = 0; t < 253402300800000000; t += 86399999 * 1000000000LL / 97) {
        lun_clock_text(t, text);
        assert_true(lun_clock_read(text, &wall));
        assert_int_equal(wall, t / 1000 * 1000);
    }
}

static void a_time_is_written_as_the_calendar_of_the_system_has_it(void **state)
{
    char ours[25], theirs[40];
    struct tm tm;
    (void)state;
    for (lun_us t = 0, i = 0; t < 253402300800 * LUN_SECOND; t += 86399 * LUN_SECOND + 997 * LUN_MS, i++) {
        time_t seconds = (time_t)(t / LUN_SECOND);
        size_t n = strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
        snprintf(theirs + n, sizeof theirs - n, ".%03dZ", (int)(t % LUN_SECOND / LUN_MS));
        lun_clock_text(t, ours);
        assert_string_equal(ours, theirs);
    }
}

static void what_no_calendar_has_is_told_as_the_first_or_the_last(void **state)
{
    char text[25];
    (void)state;
    lun_clock_text(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    lun_clock_text(LUN_NEVER, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_read_as_rfc_3339_has_it),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_time_is_written_as_the_calendar_of_the_system_has_it),
        cmocka_unit_test(what_no_calendar_has_is_told_as_the_first_or_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
