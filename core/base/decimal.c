#include "base/decimal.h"
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- whole numbers ---- */

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869"
                            "707172737475767778798081828384858687888990919293949596979899";

static int length(uint64_t number)
{
    int n = 1;
    for (; number >= 10000; number /= 10000) n += 4;
    return n + (number >= 10) + (number >= 100) + (number >= 1000);
}

void lun_decimal_digits(char *out, int n, uint64_t number)
{
    for (; n >= 2; number /= 100) memcpy(out + (n -= 2), pairs + number % 100 * 2, 2);
    if (n) *out = (char)('0' + number % 10);
}

static uint64_t size_of(int64_t number) { return number < 0 ? -(uint64_t)number : (uint64_t)number; }

size_t lun_decimal_int(char *out, int64_t number)
{
    int n = length(size_of(number)), minus = number < 0;
    *out = '-';
    lun_decimal_digits(out + minus, n, size_of(number));
    return (size_t)(minus + n);
}

char *lun_decimal_text(char *out, int64_t number)
{
    out[lun_decimal_int(out, number)] = 0;
    return out;
}

size_t lun_decimal_parts(char *out, int64_t number, int places)
{
    static const uint64_t units[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
                                      10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000 };
    uint64_t unit = units[places], size = size_of(number);
    int n = length(size / unit), minus = number < 0;
    *out = '-';
    out += minus;
    lun_decimal_digits(out, n, size / unit);
    out[n] = '.';
    lun_decimal_digits(out + n + 1, places, size % unit);
    return (size_t)(minus + n + 1 + places);
}
