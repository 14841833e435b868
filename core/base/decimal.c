#include "base/decimal.h"
#include <endian.h>
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

const char lun_decimal_pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566"
                                 "676869707172737475767778798081828384858687888990919293949596979899";

static int length(uint64_t number)
{
    int n = 1;
    for (; number >= 10000; number /= 10000) n += 4;
    return n + (number >= 10) + (number >= 100) + (number >= 1000);
}

/* The last n digits. */
static void put_digits(char *out, int n, uint64_t number)
{
    for (; n >= 2; number /= 100) lun_decimal_pair(out + (n -= 2), number % 100);
    if (n) *out = (char)('0' + number % 10);
}

/* Most numbers have no more than eight digits. These are made side by side in one word, the first in the lowest byte: halves, pairs, digits. */
#define FEW 100000000u
static uint64_t eight_digits(uint32_t number)
{
    uint64_t halves = number / 10000 | (uint64_t)(number % 10000) << 32;
    uint64_t hundreds = halves * 10486 >> 20 & 0x7f0000007f, pairs = hundreds | (halves - 100 * hundreds) << 16;
    uint64_t tens = pairs * 103 >> 10 & 0x000f000f000f000f;
    return tens | (pairs - 10 * tens) << 8;
}

static int leading_zeros(uint64_t digits, int most)
{
    int zeros = digits ? __builtin_ctzll(digits) / 8 : 8;
    return zeros < most ? zeros : most;
}

/* All but the first so many; eight bytes are written. */
static void put_few(char *out, uint64_t digits, int without)
{
    uint64_t text = htole64((digits | 0x3030303030303030) >> 8 * without);
    memcpy(out, &text, sizeof text);
}

static uint64_t size_of(int64_t number) { return number < 0 ? -(uint64_t)number : (uint64_t)number; }

size_t lun_decimal_int(char *out, int64_t number)
{
    uint64_t size = size_of(number);
    int minus = number < 0;
    *out = '-';
    if (size < FEW) {
        uint64_t digits = eight_digits((uint32_t)size);
        int zeros = leading_zeros(digits, 7);
        put_few(out + minus, digits, zeros);
        return (size_t)(minus + 8 - zeros);
    }
    int n = length(size);
    put_digits(out + minus, n, size);
    return (size_t)(minus + n);
}

char *lun_decimal_text(char *out, int64_t number)
{
    out[lun_decimal_int(out, number)] = 0;
    return out;
}

static size_t few_parts(char *out, uint32_t number, int places)
{
    uint64_t digits = eight_digits(number);
    if (places >= 8) {
        memcpy(out, "0.0000000000", 12);
        put_few(out + places - 6, digits, 0);
        return (size_t)places + 2;
    }
    int zeros = leading_zeros(digits, 7 - places), n = 8 - places - zeros;
    put_few(out, digits, zeros);
    out[n] = '.';
    put_few(out + n + 1, digits, 8 - places);
    return (size_t)(n + 1 + places);
}

size_t lun_decimal_parts(char *out, int64_t number, int places)
{
    static const uint64_t units[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
                                      10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000 };
    uint64_t unit = units[places], size = size_of(number);
    int minus = number < 0;
    *out = '-';
    out += minus;
    if (size < FEW && places) return (size_t)minus + few_parts(out, (uint32_t)size, places);
    int n = length(size / unit);
    put_digits(out, n, size / unit);
    out[n] = '.';
    put_digits(out + n + 1, places, size % unit);
    return (size_t)(minus + n + 1 + places);
}
