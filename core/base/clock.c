#include "base/clock.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

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

void lun_clock_text(lun_us wall, char out[25])
{
    time_t seconds = (time_t)(wall / LUN_SECOND);
    struct tm t;
    gmtime_r(&seconds, &t);
    size_t n = strftime(out, 21, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, 25 - n, ".%03dZ", (int)(wall % LUN_SECOND / 1000));
}
