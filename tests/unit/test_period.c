/* Periods and zones: where days, weeks and months begin on clocks around the world, and how each period is called. What clocks show is checked against the
 * C library. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "state/period.h"
#include "state/zone.h"

static lun_us utc(const char *text)         /* "2026-11-28 14:05:06" */
{
    struct tm t = {0};
    char *rest = strptime(text, "%Y-%m-%d %H:%M:%S", &t);
    assert_non_null(rest);
    return (lun_us)timegm(&t) * LUN_SECOND;
}

static struct lun_budget_rule rule(enum lun_period per, const char *zone)
{
    struct lun_budget_rule r = { .per = per };
    const char *why;
    assert_true(lun_zone_find(zone, &r.zone, &why));
    return r;
}

static void is(enum lun_period per, const char *zone, const char *now, const char *label, const char *start, const char *end)
{
    struct lun_budget_rule r = rule(per, zone);
    char got[LUN_PERIOD_LABEL];
    lun_period_label(&r, utc(now), got);
    assert_string_equal(got, label);
    assert_int_equal(lun_period_start(&r, utc(now)), utc(start));
    assert_int_equal(lun_period_end(&r, utc(now)), utc(end));
}

static void in_utc(void **s)
{
    (void)s;
    is(LUN_PER_HOUR, "UTC", "2026-11-21 08:11:05", "2026-11-21T08+00:00", "2026-11-21 08:00:00", "2026-11-21 09:00:00");
    is(LUN_PER_DAY, "UTC", "2026-11-21 08:11:05", "2026-11-21", "2026-11-21 00:00:00", "2026-11-22 00:00:00");
    is(LUN_PER_WEEK, "UTC", "2026-11-22 23:59:59", "2026-W47", "2026-11-16 00:00:00", "2026-11-23 00:00:00");
    is(LUN_PER_WEEK, "UTC", "2026-11-23 00:00:00", "2026-W48", "2026-11-23 00:00:00", "2026-11-30 00:00:00");
    is(LUN_PER_MONTH, "UTC", "2026-12-31 23:59:59", "2026-12", "2026-12-01 00:00:00", "2027-01-01 00:00:00");
    is(LUN_PER_MONTH, "UTC", "2028-02-29 12:00:00", "2028-02", "2028-02-01 00:00:00", "2028-03-01 00:00:00");
    is(LUN_PER_WEEK, "UTC", "1970-01-01 00:00:00", "1970-W01", "1969-12-29 00:00:00", "1970-01-05 00:00:00");
}

static void what_has_no_end(void **s)
{
    (void)s;
    struct lun_budget_rule ever = rule(LUN_PER_EVER, "Europe/Berlin");
    char got[LUN_PERIOD_LABEL];
    assert_int_equal(lun_period_start(&ever, utc("2026-11-21 00:00:00")), 0);
    assert_int_equal(lun_period_end(&ever, utc("2026-11-21 00:00:00")), LUN_NEVER);
    lun_period_label(&ever, 0, got);
    assert_string_equal(got, "ever");
}

/* Pieces follow each other without a gap, whatever the window; and one counts for no less than the window after its end. */
static void a_window_is_kept_in_pieces_that_count_until_they_have_left_it(void **s)
{
    static const lun_us windows[] = { 60 * LUN_SECOND, 61500 * LUN_MS, 3600 * LUN_SECOND, 86399 * LUN_SECOND, 31 * 86400 * LUN_SECOND };
    char got[LUN_PERIOD_LABEL];
    (void)s;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct lun_budget_rule r = { .per = LUN_PER_ROLLING, .window = windows[i] };
        lun_us start = lun_period_start(&r, utc("2026-11-21 08:11:05")), end = lun_period_end(&r, utc("2026-11-21 08:11:05")), counts = lun_period_counts(&r);
        assert_true(start <= utc("2026-11-21 08:11:05") && utc("2026-11-21 08:11:05") < end);
        assert_int_equal(lun_period_start(&r, end - 1), start);
        assert_int_equal(lun_period_start(&r, end), end);
        assert_true(counts >= windows[i] && counts < windows[i] + (end - start) && counts % (end - start) == 0);
    }
    struct lun_budget_rule hour = { .per = LUN_PER_ROLLING, .window = 3600 * LUN_SECOND }, odd = { .per = LUN_PER_ROLLING, .window = 61500 * LUN_MS };
    lun_period_label(&hour, utc("2026-11-21 08:11:05"), got);
    assert_string_equal(got, "rolling 3600 from 2026-11-21T08:10:00.000Z");
    lun_period_label(&odd, 0, got);
    assert_string_equal(got, "rolling 61.5 from 1970-01-01T00:00:00.000Z");
    hour.per = LUN_PER_HOUR;
    assert_int_equal(lun_period_counts(&hour), 0);
}

/* A year's first and last days may belong to a week of its neighbour (ISO 8601). */
static void weeks_at_the_end_of_a_year(void **s)
{
    (void)s;
    is(LUN_PER_WEEK, "UTC", "2021-01-03 12:00:00", "2020-W53", "2020-12-28 00:00:00", "2021-01-04 00:00:00");
    is(LUN_PER_WEEK, "UTC", "2024-12-30 12:00:00", "2025-W01", "2024-12-30 00:00:00", "2025-01-06 00:00:00");
    is(LUN_PER_WEEK, "UTC", "2027-01-01 12:00:00", "2026-W53", "2026-12-28 00:00:00", "2027-01-04 00:00:00");
    is(LUN_PER_WEEK, "Europe/Berlin", "2026-12-27 23:30:00", "2026-W53", "2026-12-27 23:00:00", "2027-01-03 23:00:00");
}

static void a_day_of_23_or_25_hours_is_one_day(void **s)
{
    (void)s;
    is(LUN_PER_DAY, "Europe/Berlin", "2026-03-29 12:00:00", "2026-03-29", "2026-03-28 23:00:00", "2026-03-29 22:00:00");
    is(LUN_PER_DAY, "Europe/Berlin", "2026-10-25 12:00:00", "2026-10-25", "2026-10-24 22:00:00", "2026-10-25 23:00:00");
    is(LUN_PER_WEEK, "Europe/Berlin", "2026-10-25 12:00:00", "2026-W43", "2026-10-18 22:00:00", "2026-10-25 23:00:00");
    is(LUN_PER_MONTH, "Europe/Berlin", "2026-10-31 22:59:59", "2026-10", "2026-09-30 22:00:00", "2026-10-31 23:00:00");
}

static void an_hour_that_occurs_twice_is_two(void **s)
{
    (void)s;
    is(LUN_PER_HOUR, "Europe/Berlin", "2026-10-25 00:30:00", "2026-10-25T02+02:00", "2026-10-25 00:00:00", "2026-10-25 01:00:00");
    is(LUN_PER_HOUR, "Europe/Berlin", "2026-10-25 01:30:00", "2026-10-25T02+01:00", "2026-10-25 01:00:00", "2026-10-25 02:00:00");
    is(LUN_PER_HOUR, "Europe/Berlin", "2026-03-29 01:00:00", "2026-03-29T03+02:00", "2026-03-29 01:00:00", "2026-03-29 02:00:00");
    is(LUN_PER_HOUR, "America/New_York", "2026-01-01 04:59:59", "2025-12-31T23-05:00", "2026-01-01 04:00:00", "2026-01-01 05:00:00");
}

static void hours_begin_where_clocks_say_so(void **s)
{
    (void)s;
    is(LUN_PER_HOUR, "Asia/Kolkata", "2026-11-28 10:00:00", "2026-11-28T15+05:30", "2026-11-28 09:30:00", "2026-11-28 10:30:00");
    is(LUN_PER_HOUR, "Asia/Kathmandu", "2026-11-28 10:00:00", "2026-11-28T15+05:45", "2026-11-28 09:15:00", "2026-11-28 10:15:00");
    is(LUN_PER_DAY, "Asia/Kathmandu", "2026-11-28 18:15:00", "2026-11-29", "2026-11-28 18:15:00", "2026-11-29 18:15:00");
}

/* Half an hour forth and back: at 02:00 on 4 October 2026, and at 02:00 on 5 April. */
static void clocks_that_move_by_half_an_hour(void **s)
{
    (void)s;
    const char *zone = "Australia/Lord_Howe";
    is(LUN_PER_HOUR, zone, "2026-10-03 15:40:00", "2026-10-04T02+11:00", "2026-10-03 15:30:00", "2026-10-03 16:00:00");
    is(LUN_PER_HOUR, zone, "2026-04-04 14:59:59", "2026-04-05T01+11:00", "2026-04-04 14:00:00", "2026-04-04 15:00:00");
    is(LUN_PER_HOUR, zone, "2026-04-04 15:00:00", "2026-04-05T01+10:30", "2026-04-04 15:00:00", "2026-04-04 15:30:00");
    is(LUN_PER_DAY, zone, "2026-10-04 00:00:00", "2026-10-04", "2026-10-03 13:30:00", "2026-10-04 13:00:00");
}

static void a_day_that_was_left_out(void **s)
{
    (void)s;
    is(LUN_PER_DAY, "Pacific/Apia", "2011-12-30 09:59:59", "2011-12-29", "2011-12-29 10:00:00", "2011-12-30 10:00:00");
    is(LUN_PER_DAY, "Pacific/Apia", "2011-12-30 10:00:00", "2011-12-31", "2011-12-30 10:00:00", "2011-12-31 10:00:00");
    is(LUN_PER_WEEK, "Pacific/Apia", "2011-12-30 10:00:00", "2011-W52", "2011-12-26 10:00:00", "2012-01-01 10:00:00");
    is(LUN_PER_MONTH, "Pacific/Apia", "2011-12-30 10:00:00", "2011-12", "2011-12-01 10:00:00", "2011-12-31 10:00:00");
}

/* At 00:00 it was 01:00 in spring; in autumn 23:00 again, which still is the old day. */
static void midnight_that_was_left_out_or_came_twice(void **s)
{
    (void)s;
    is(LUN_PER_DAY, "America/Sao_Paulo", "2018-11-04 03:00:00", "2018-11-04", "2018-11-04 03:00:00", "2018-11-05 02:00:00");
    is(LUN_PER_DAY, "America/Sao_Paulo", "2018-11-04 02:59:59", "2018-11-03", "2018-11-03 03:00:00", "2018-11-04 03:00:00");
    is(LUN_PER_HOUR, "America/Sao_Paulo", "2018-11-04 03:00:00", "2018-11-04T01-02:00", "2018-11-04 03:00:00", "2018-11-04 04:00:00");
    is(LUN_PER_DAY, "America/Sao_Paulo", "2018-02-18 02:30:00", "2018-02-17", "2018-02-17 02:00:00", "2018-02-18 03:00:00");
}

/* St John's set its clocks back at 00:01: the day that had begun goes on while they show the old one again. */
static void a_day_that_has_begun_goes_on(void **s)
{
    (void)s;
    is(LUN_PER_DAY, "America/St_Johns", "2010-11-07 02:30:30", "2010-11-07", "2010-11-07 02:30:00", "2010-11-08 03:30:00");
    is(LUN_PER_DAY, "America/St_Johns", "2010-11-07 03:00:00", "2010-11-07", "2010-11-07 02:30:00", "2010-11-08 03:30:00");
    is(LUN_PER_MONTH, "America/St_Johns", "2009-11-01 03:00:00", "2009-11", "2009-11-01 02:30:00", "2009-12-01 03:30:00");
}

static void clocks_far_ahead(void **s)
{
    (void)s;
    is(LUN_PER_HOUR, "Europe/Berlin", "2099-07-01 12:00:00", "2099-07-01T14+02:00", "2099-07-01 12:00:00", "2099-07-01 13:00:00");
    is(LUN_PER_DAY, "Europe/Berlin", "2150-01-01 12:00:00", "2150-01-01", "2149-12-31 23:00:00", "2150-01-01 23:00:00");
}

static void only_names_of_the_database(void **s)
{
    (void)s;
    static const char *const wrong[] = { "", "Europe/Berln", "europe/berlin", "JST-9", "+01:00", "Europe", "../../etc/passwd", "/etc/localtime", "right/Europe/Berlin", "localtime",
                                         "posixrules", "tzdata.zi", "Europe//Berlin", "Europe/Berlin\n", "UTC+1" };
    const struct lun_zone *z, *again;
    const char *why;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(lun_zone_find(wrong[i], &z, &why));
    assert_string_equal(why, "the system's database of time zones has none of that name");
    assert_true(lun_zone_find("Etc/UTC", &z, &why));
    assert_null(z);
    assert_true(lun_zone_find("Europe/Berlin", &z, &why) && lun_zone_find("Europe/Berlin", &again, &why));
    assert_ptr_equal(z, again);
    assert_string_equal(lun_zone_name(z), "Europe/Berlin");
    assert_string_equal(lun_zone_name(NULL), "UTC");
}

static void names_for_a_hint(void **s)
{
    (void)s;
    struct lun_arena arena = {0};
    const char **names;
    size_t n = lun_zone_names(&arena, &names), berlin = 0;
    for (size_t i = 0; i < n; i++) berlin += !strcmp(names[i], "Europe/Berlin") || !strcmp(names[i], "Arctic/Longyearbyen");
    assert_int_equal(berlin, 2);
    lun_arena_free(&arena);
}

/* ---- any moment, in any zone ---- */

static uint64_t dice = 1;
static uint64_t toss(uint64_t below) { dice = dice * 6364136223846793005u + 1442695040888963407u; return (dice >> 33) % below; }

/* Periods follow one another without gap or overlap, each with a name of its own, the same from its first second to its last. */
static void one_after_another(const struct lun_budget_rule *r, lun_us at)
{
    lun_us start = lun_period_start(r, at), end = lun_period_end(r, at);
    char here[LUN_PERIOD_LABEL], first[LUN_PERIOD_LABEL], last[LUN_PERIOD_LABEL], next[LUN_PERIOD_LABEL];
    assert_true(start <= at && at < end);
    assert_int_equal(lun_period_start(r, start), start);
    assert_int_equal(lun_period_start(r, end), end);
    assert_int_equal(lun_period_end(r, start), end);
    assert_int_equal(lun_period_end(r, end - 1), end);
    lun_period_label(r, at, here), lun_period_label(r, start, first), lun_period_label(r, end - 1, last), lun_period_label(r, end, next);
    assert_string_equal(here, first);
    assert_string_equal(here, last);
    assert_string_not_equal(here, next);
}

/* What the C library says the clocks show. Its answer for a day is right unless clocks were set back over midnight. */
static void as_clocks_show(const struct lun_budget_rule *r, lun_us at)
{
    static const char *const form[] = { [LUN_PER_HOUR] = "%Y-%m-%dT%H%z", [LUN_PER_DAY] = "%Y-%m-%d", [LUN_PER_WEEK] = "%G-W%V", [LUN_PER_MONTH] = "%Y-%m" };
    char got[LUN_PERIOD_LABEL], want[64];
    time_t seconds = (time_t)(at / LUN_SECOND), day = (time_t)(lun_period_start(&(struct lun_budget_rule){ .per = LUN_PER_DAY, .zone = r->zone }, at) / LUN_SECOND);
    struct tm t, d;
    localtime_r(&seconds, &t);
    localtime_r(&day, &d);
    if (d.tm_mday != t.tm_mday && r->per != LUN_PER_HOUR) t = d;
    size_t n = strftime(want, sizeof want, form[r->per], &t);
    if (r->per == LUN_PER_HOUR) memmove(want + n - 1, want + n - 2, 3), want[n - 2] = ':';
    if (r->per == LUN_PER_HOUR) snprintf(want + n - 2, 4, ":%02ld", labs(t.tm_gmtoff) % 3600 / 60);
    lun_period_label(r, at, got);
    assert_string_equal(got, want);
}

static void every_zone_at_any_moment(void **s)
{
    (void)s;
    struct lun_arena arena = {0};
    const char **names;
    size_t n = lun_zone_names(&arena, &names), tried = 0;
    assert_true(n > 400);
    for (size_t i = toss(7); i < n; i += 7, tried++) {
        setenv("TZ", names[i], 1);
        tzset();
        for (int k = 0; k < 400; k++) {
            struct lun_budget_rule r = rule(LUN_PER_HOUR + toss(4), names[i]);
            lun_us at = (lun_us)(toss(UINT64_C(3000000000)) + 200000000) * LUN_SECOND + (lun_us)toss(1000000);      /* 1976 to 2071 */
            one_after_another(&r, at);
            as_clocks_show(&r, at);
            int64_t from, to;
            lun_zone_steady(r.zone, at / LUN_SECOND, &from, &to);       /* and where clocks change */
            if (to == INT64_MAX) continue;
            one_after_another(&r, to * LUN_SECOND);
            one_after_another(&r, to * LUN_SECOND - 1);
            as_clocks_show(&r, to * LUN_SECOND);
        }
    }
    assert_true(tried > 50);
    unsetenv("TZ");
    tzset();
    lun_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_utc), cmocka_unit_test(what_has_no_end), cmocka_unit_test(a_window_is_kept_in_pieces_that_count_until_they_have_left_it),
        cmocka_unit_test(weeks_at_the_end_of_a_year),
        cmocka_unit_test(a_day_of_23_or_25_hours_is_one_day), cmocka_unit_test(an_hour_that_occurs_twice_is_two), cmocka_unit_test(hours_begin_where_clocks_say_so),
        cmocka_unit_test(clocks_that_move_by_half_an_hour), cmocka_unit_test(a_day_that_was_left_out),
        cmocka_unit_test(midnight_that_was_left_out_or_came_twice), cmocka_unit_test(a_day_that_has_begun_goes_on), cmocka_unit_test(clocks_far_ahead),
        cmocka_unit_test(only_names_of_the_database), cmocka_unit_test(names_for_a_hint), cmocka_unit_test(every_zone_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
