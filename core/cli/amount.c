#include "cli/amount.h"
#include "base/decimal.h"
#include <stddef.h>

double lun_amount_seconds(const char *text)
{
    static const struct { char name; double seconds; } units[] = { { 0, 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    char *end;
    if (*text < '0' || *text > '9') return -1;
    double n = lun_decimal_read(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) if (*end == units[i].name && (!*end || !end[1])) return n * units[i].seconds;
    return -1;
}

bool lun_amount_share(const char *text, double *share)
{
    char *end;
    bool less = *text == '-';
    if (*text == '+' || *text == '-') text++;
    if (*text < '0' || *text > '9') return false;
    double n = lun_decimal_read(text, &end);
    bool percent = *end == '%';
    *share = (less ? -n : n) / (percent ? 100 : 1);
    return !end[percent];
}
