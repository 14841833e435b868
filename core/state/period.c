#include "state/period.h"
#include <string.h>
#include <time.h>

#define HOUR (3600 * LUN_SECOND)
#define DAY  (24 * HOUR)
#define WEEK (7 * DAY)
#define THURSDAY (3 * DAY)      /* what 1970 began with, counted from Monday */

static lun_us floor_to(lun_us wall, lun_us length)
{
    lun_us rest = wall % length;
    return wall - rest - (rest < 0 ? length : 0);
}

static lun_us month(lun_us wall, int later)
{
    time_t seconds = (time_t)(floor_to(wall, LUN_SECOND) / LUN_SECOND);
    struct tm t;
    gmtime_r(&seconds, &t);
    struct tm first = { .tm_year = t.tm_year, .tm_mon = t.tm_mon + later, .tm_mday = 1 };
    return (lun_us)timegm(&first) * LUN_SECOND;
}

lun_us lun_period_start(enum lun_period per, lun_us wall)
{
    switch (per) {
    case LUN_PER_HOUR:  return floor_to(wall, HOUR);
    case LUN_PER_DAY:   return floor_to(wall, DAY);
    case LUN_PER_WEEK:  return floor_to(wall + THURSDAY, WEEK) - THURSDAY;
    case LUN_PER_MONTH: return month(wall, 0);
    case LUN_PER_EVER:  break;
    }
    return 0;
}

lun_us lun_period_end(enum lun_period per, lun_us wall)
{
    switch (per) {
    case LUN_PER_HOUR:  return lun_period_start(per, wall) + HOUR;
    case LUN_PER_DAY:   return lun_period_start(per, wall) + DAY;
    case LUN_PER_WEEK:  return lun_period_start(per, wall) + WEEK;
    case LUN_PER_MONTH: return month(wall, 1);
    case LUN_PER_EVER:  break;
    }
    return LUN_NEVER;
}

void lun_period_label(enum lun_period per, lun_us wall, char out[LUN_PERIOD_LABEL])
{
    static const char *const form[] = { [LUN_PER_EVER] = "ever", [LUN_PER_HOUR] = "%Y-%m-%dT%H", [LUN_PER_DAY] = "%Y-%m-%d", [LUN_PER_WEEK] = "%G-W%V", [LUN_PER_MONTH] = "%Y-%m" };
    time_t seconds = (time_t)(lun_period_start(per, wall) / LUN_SECOND);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(out, LUN_PERIOD_LABEL, form[per], &t);
}
