#include "state/period.h"
#include "state/zone.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR 3600
#define DAY  86400
#define PIECES 24

/* ---- the calendar: days since 1970-01-01 ---- */

struct date { int64_t year; int month, day; };      /* month 1 to 12 */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* Years are counted from March here, so that a leap day is the last of its year. */
static int64_t days_of(int64_t year, int month)     /* to the first of that month */
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) + (153 * m + 2) / 5 - 719468;
}

static struct date date_of(int64_t days)
{
    struct date d = { .year = 1970 + floor_div(days, 366), .month = 12 };
    while (days_of(d.year + 1, 1) <= days) d.year++;
    while (days_of(d.year, d.month) > days) d.month--;
    d.day = (int)(days - days_of(d.year, d.month)) + 1;
    return d;
}

static int64_t monday_of(int64_t day) { return floor_div(day + 3, 7) * 7 - 3; }    /* 1970 began on a Thursday */

/* ---- periods of days ---- */

static int64_t seconds(lun_us wall) { return floor_div(wall, LUN_SECOND); }

/* What clocks show, but never a day again that is over: set back over midnight, they show yesterday once more. */
static int64_t day_at(const struct lun_zone *z, int64_t at)
{
    int64_t day = floor_div(at + lun_zone_offset(z, at), DAY);
    return lun_zone_moment(z, (day + 1) * DAY) <= at ? day + 1 : day;
}

static int64_t first_day(enum lun_period per, int64_t day)
{
    if (per == LUN_PER_WEEK) return monday_of(day);
    if (per == LUN_PER_DAY) return day;
    struct date d = date_of(day);
    return days_of(d.year, d.month);
}

static int64_t next_day(enum lun_period per, int64_t first)
{
    if (per == LUN_PER_WEEK) return first + 7;
    if (per == LUN_PER_DAY) return first + 1;
    struct date d = date_of(first);
    return d.month == 12 ? days_of(d.year + 1, 1) : days_of(d.year, d.month + 1);
}

/* ---- hours ---- */

static int64_t hour_start(const struct lun_zone *z, int64_t at)
{
    int64_t from, to, offset = lun_zone_offset(z, at), start = floor_div(at + offset, HOUR) * HOUR - offset;
    lun_zone_steady(z, at, &from, &to);
    return start < from ? from : start;
}

static int64_t hour_end(const struct lun_zone *z, int64_t at)
{
    int64_t from, to, offset = lun_zone_offset(z, at), end = (floor_div(at + offset, HOUR) + 1) * HOUR - offset;
    lun_zone_steady(z, at, &from, &to);
    return end > to ? to : end;
}

/* ---- all of them ---- */

static bool endless(const struct lun_budget_rule *r) { return r->per == LUN_PER_EVER; }

/* Whole milliseconds: what they are called by. */
static lun_us piece(const struct lun_budget_rule *r)
{
    lun_us whole = (r->window + PIECES * LUN_MS - 1) / (PIECES * LUN_MS) * LUN_MS;
    return whole > 0 ? whole : LUN_MS;
}

static lun_us piece_start(const struct lun_budget_rule *r, lun_us wall) { return floor_div(wall, piece(r)) * piece(r); }

lun_us lun_period_counts(const struct lun_budget_rule *r)
{
    return r->per == LUN_PER_ROLLING ? (r->window + piece(r) - 1) / piece(r) * piece(r) + (r->shared ? piece(r) : 0) : 0;
}

lun_us lun_period_start(const struct lun_budget_rule *r, lun_us wall)
{
    int64_t at = seconds(wall);
    if (endless(r)) return 0;
    if (r->per == LUN_PER_ROLLING) return piece_start(r, wall);
    if (r->per == LUN_PER_HOUR) return hour_start(r->zone, at) * LUN_SECOND;
    return lun_zone_moment(r->zone, first_day(r->per, day_at(r->zone, at)) * DAY) * LUN_SECOND;
}

lun_us lun_period_end(const struct lun_budget_rule *r, lun_us wall)
{
    int64_t at = seconds(wall);
    if (endless(r)) return LUN_NEVER;
    if (r->per == LUN_PER_ROLLING) return piece_start(r, wall) + piece(r);
    if (r->per == LUN_PER_HOUR) return hour_end(r->zone, at) * LUN_SECOND;
    return lun_zone_moment(r->zone, next_day(r->per, first_day(r->per, day_at(r->zone, at))) * DAY) * LUN_SECOND;
}

static void hour_label(const struct lun_zone *z, int64_t at, char out[LUN_PERIOD_LABEL])
{
    int64_t offset = lun_zone_offset(z, at), local = at + offset, day = floor_div(local, DAY);
    struct date d = date_of(day);
    snprintf(out, LUN_PERIOD_LABEL, "%04lld-%02d-%02dT%02d%c%02d:%02d", (long long)d.year, d.month, d.day, (int)((local - day * DAY) / HOUR),
             offset < 0 ? '-' : '+', (int)(llabs(offset) / HOUR), (int)(llabs(offset) % HOUR / 60));
}

/* A week belongs to the year that its Thursday lies in. */
static void week_label(int64_t monday, char out[LUN_PERIOD_LABEL])
{
    int64_t year = date_of(monday + 3).year, first = monday_of(days_of(year, 1) + 3);
    snprintf(out, LUN_PERIOD_LABEL, "%04lld-W%02d", (long long)year, (int)((monday - first) / 7) + 1);
}

static void rolling_label(const struct lun_budget_rule *r, lun_us wall, char out[LUN_PERIOD_LABEL])
{
    char from[25];
    lun_clock_text(piece_start(r, wall), from);
    snprintf(out, LUN_PERIOD_LABEL, "rolling %.15g from %s", (double)r->window / LUN_SECOND, from);
}

lun_us lun_period_window(const char *label)
{
    double seconds;
    return sscanf(label, "rolling %lf from ", &seconds) == 1 ? llround(seconds * LUN_SECOND) : 0;
}

void lun_period_label(const struct lun_budget_rule *r, lun_us wall, char out[LUN_PERIOD_LABEL])
{
    int64_t at = seconds(wall);
    if (endless(r)) { strcpy(out, "ever"); return; }
    if (r->per == LUN_PER_ROLLING) { rolling_label(r, wall, out); return; }
    if (r->per == LUN_PER_HOUR) { hour_label(r->zone, at, out); return; }
    int64_t first = first_day(r->per, day_at(r->zone, at));
    struct date d = date_of(first);
    if (r->per == LUN_PER_WEEK) week_label(first, out);
    else snprintf(out, LUN_PERIOD_LABEL, r->per == LUN_PER_DAY ? "%04lld-%02d-%02d" : "%04lld-%02d", (long long)d.year, d.month, d.day);
}
