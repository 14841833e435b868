/* Numbers to and from text with a point and nothing else, whatever locale the program around us has set. */
#ifndef LUN_BASE_DECIMAL_H
#define LUN_BASE_DECIMAL_H
#include <stddef.h>

double lun_decimal_read(const char *text, char **end);      /* as strtod in the "C" locale */
/* As snprintf of %.*g; `places`: of %.*f. Return the length. */
int lun_decimal_write(char *out, size_t room, int digits, double number);
int lun_decimal_places(char *out, size_t room, int places, double number);
#endif
