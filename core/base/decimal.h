/* Numbers to and from text with a point and nothing else, whatever locale the program around us has set. */
#ifndef LUN_BASE_DECIMAL_H
#define LUN_BASE_DECIMAL_H
#include <stddef.h>
#include <stdint.h>

double lun_decimal_read(const char *text, char **end);      /* as strtod in the "C" locale */
/* As snprintf of %.*g; `places`: of %.*f. Return the length. */
int lun_decimal_write(char *out, size_t room, int digits, double number);
int lun_decimal_places(char *out, size_t room, int places, double number);

/* Whole numbers, by hand: a tenth of what printf takes, and each request writes some thirty. They write no NUL, and return the length; `text` ends with one,
 * and returns `out`. */
enum { LUN_DECIMAL_ROOM = 24 /* what `out` has to have, for a NUL too */, LUN_DECIMAL_PLACES = 18 /* at most */ };
size_t lun_decimal_int(char *out, int64_t number);                  /* as of %lld */
char  *lun_decimal_text(char *out, int64_t number);
size_t lun_decimal_parts(char *out, int64_t number, int places);    /* number / 10^places, all of them said: 1234500 with 3 is "1234.500" */
extern const char lun_decimal_pairs[];                              /* "000102…99" */
static inline void lun_decimal_pair(char *out, unsigned number)     /* two digits of a number below 100: 7 is "07" */
{
    out[0] = lun_decimal_pairs[2 * number], out[1] = lun_decimal_pairs[2 * number + 1];
}
#endif
