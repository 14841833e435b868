#include "base/clock.h"
#include "base/decimal.h"
#include <math.h>
#include <string.h>
#include <time.h>

#define LAST (253402300800 * LUN_SECOND - 1)        /* of the year 9999 */

static lun_us read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (lun_us)t.tv_sec * LUN_SECOND + t.tv_nsec / 1000;
}

lun_us lun_clock_now(void)  { return read_clock(CLOCK_MONOTONIC); }
lun_us lun_clock_wall(void) { return read_clock(CLOCK_REALTIME); }
lun_us lun_clock_cpu(void)  { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

lun_us lun_us_from_seconds(double seconds)
{
    if (!(seconds > 0)) return 0;
    if (seconds > 9e12) return LUN_NEVER;
    return (lun_us)llround(seconds * 1e6);
}

double lun_us_to_seconds(lun_us us) { return us == LUN_NEVER ? INFINITY : (double)us / 1e6; }

/* The date of a day since 1970, by years that begin in March: the day that some have more is then their last. */
static void date_of(unsigned day, unsigned *year, unsigned *month, unsigned *of)
{
    unsigned since = day + 719468, era = since / 146097, in_era = since % 146097;      /* since the 1st of March of the year 0; an era: 400 years */
    unsigned y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365, in_year = in_era - (365 * y + y / 4 - y / 100);
    unsigned m = (5 * in_year + 2) / 153;                                               /* 0: March */
    *of = in_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = y + 400 * era + (*month <= 2);
}

void lun_clock_text(lun_us wall, char out[25])
{
    lun_us within = wall < 0 ? 0 : wall > LAST ? LAST : wall;
    unsigned ms = (unsigned)(within / LUN_MS % 1000), year, month, day;
    lun_us seconds = within / LUN_SECOND;
    unsigned second = (unsigned)(seconds % 86400);
    date_of((unsigned)(seconds / 86400), &year, &month, &day);
    memcpy(out, "yyyy-mm-ddThh:mm:ss.mmmZ", 25);
    lun_decimal_pair(out, year / 100), lun_decimal_pair(out + 2, year % 100);
    lun_decimal_pair(out + 5, month);
    lun_decimal_pair(out + 8, day);
    lun_decimal_pair(out + 11, second / 3600);
    lun_decimal_pair(out + 14, second / 60 % 60);
    lun_decimal_pair(out + 17, second % 60);
    out[20] = (char)('0' + ms / 100);
    lun_decimal_pair(out + 21, ms % 100);
}

/* The number that so many digits are; -1: they are not all digits. */
static int digits(const char **at, int n)
{
    int value = 0;
    for (; n--; ++*at) {
        if (**at < '0' || **at > '9') return -1;
        value = value * 10 + **at - '0';
    }
    return value;
}

static bool skip(const char **at, const char *any_of)
{
    return **at && strchr(any_of, **at) && ++*at;
}

static bool read_day(const char **at, struct tm *t)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = digits(at, 4), month = skip(at, "-") ? digits(at, 2) : -1, day = month > 0 && skip(at, "-") ? digits(at, 2) : -1;
    bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (leap && month == 2)) return false;
    t->tm_year = year - 1900, t->tm_mon = month - 1, t->tm_mday = day;
    return true;
}

static bool read_hour(const char **at, struct tm *t)
{
    t->tm_hour = digits(at, 2);
    t->tm_min = t->tm_hour >= 0 && skip(at, ":") ? digits(at, 2) : -1;
    t->tm_sec = t->tm_min >= 0 && skip(at, ":") ? digits(at, 2) : -1;
    return t->tm_hour >= 0 && t->tm_hour < 24 && t->tm_min >= 0 && t->tm_min < 60 && t->tm_sec >= 0 && t->tm_sec <= 60;
}

static bool read_fraction(const char **at, lun_us *us)
{
    lun_us unit = LUN_SECOND;
    *us = 0;
    if (!skip(at, ".")) return true;
    if (**at < '0' || **at > '9') return false;
    for (; **at >= '0' && **at <= '9'; ++*at) *us += (**at - '0') * (unit /= 10);
    return true;
}

/* Minutes east of Greenwich. */
static bool read_zone(const char **at, int *minutes)
{
    bool west = **at == '-';
    *minutes = 0;
    if (skip(at, "Zz")) return true;
    if (!skip(at, "+-")) return false;
    int hour = digits(at, 2), minute = hour >= 0 && skip(at, ":") ? digits(at, 2) : -1;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    *minutes = (west ? -1 : 1) * (hour * 60 + minute);
    return true;
}

bool lun_clock_read(const char *text, lun_us *wall)
{
    struct tm t = {0};
    lun_us fraction;
    int east;
    if (!read_day(&text, &t) || !skip(&text, "Tt ") || !read_hour(&text, &t) || !read_fraction(&text, &fraction) || !read_zone(&text, &east) || *text) return false;
    *wall = ((lun_us)timegm(&t) - east * 60) * LUN_SECOND + fraction;
    return *wall >= 0;
}
