/* Numbers to and from text with a point and nothing else, whatever locale the program around us has set. */
#ifndef LUN_BASE_DECIMAL_H
#define LUN_BASE_DECIMAL_H
#include <stddef.h>

/* As strtod and snprintf in the "C" locale. The format takes one double. */
double lun_decimal_read(const char *text, char **end);
int    lun_decimal_write(char *out, size_t room, const char *format, double number) __attribute__((format(printf, 3, 0)));
#endif
