/* Time. One unit everywhere in C: microseconds in a signed 64-bit integer. Points in time are monotonic (no meaning
 * outside this process, or outside a simulation) unless a name says `wall`. */
#ifndef LUN_BASE_CLOCK_H
#define LUN_BASE_CLOCK_H
#include <stdbool.h>
#include <stdint.h>

typedef int64_t lun_us;

#define LUN_NEVER  INT64_MAX
#define LUN_MS     ((lun_us)1000)
#define LUN_SECOND ((lun_us)1000000)

lun_us lun_clock_now(void);     /* CLOCK_MONOTONIC */
lun_us lun_clock_wall(void);    /* CLOCK_REALTIME, since 1970 */
lun_us lun_clock_cpu(void);     /* CPU time of the calling thread */

/* Seconds as a person or a policy says them. Rounded to the nearest microsecond; NaN and negatives become 0, what does
 * not fit becomes LUN_NEVER. */
lun_us lun_us_from_seconds(double seconds);
double lun_us_to_seconds(lun_us us);

/* RFC 3339 in UTC with milliseconds ("2026-11-21T08:11:00.123Z"); `out` takes 25 bytes with the final NUL. What is before 1970 or
 * after 9999 is told as the first or the last of them. */
void lun_clock_text(lun_us wall, char out[25]);
/* Reads RFC 3339, with a zone ("2026-11-21T08:11:00Z", "2026-11-21 08:11:00.5+01:00"), of the years 1970 to 9999. False: it is none, or has no such
 * day or hour. A leap second (:60) is the second after it. */
bool lun_clock_read(const char *text, lun_us *wall);
#endif
