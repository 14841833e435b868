#include "base/decimal.h"
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t plain(void) { return newlocale(LC_ALL_MASK, "C", 0); }     /* glibc's "C" is static: nothing to free */

double lun_decimal_read(const char *text, char **end)
{
    locale_t before = uselocale(plain());
    double number = strtod(text, end);
    uselocale(before);
    return number;
}

int lun_decimal_write(char *out, size_t room, int digits, double number)
{
    locale_t before = uselocale(plain());
    int n = snprintf(out, room, "%.*g", digits, number);
    uselocale(before);
    return n;
}

int lun_decimal_places(char *out, size_t room, int places, double number)
{
    locale_t before = uselocale(plain());
    int n = snprintf(out, room, "%.*f", places, number);
    uselocale(before);
    return n;
}
