#include "state/price.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PER_MILLION 1000000
#define DEAREST     (9000000 * LUN_NANO_PER_USD)    /* what lun_price_parse takes at most */
#define LARGE       100000                          /* an exponent beyond it is as good as this one */

typedef unsigned __int128 wide;

const struct lun_price lun_price_unknown = { LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED };

bool lun_price_known(const struct lun_price *p) { return p->input >= 0 && p->output >= 0; }

struct decimal { const char *digits; size_t n; int whole; };    /* whole: how many digits stand before the point */

static bool read_exponent(const char *text, size_t n, int *exponent)
{
    size_t at = 0;
    bool minus = n && text[0] == '-';
    int e = 0;
    if (n && (text[0] == '-' || text[0] == '+')) at++;
    if (at == n) return false;
    for (; at < n; at++) {
        if (!isdigit((unsigned char)text[at])) return false;
        if (e < LARGE) e = e * 10 + (text[at] - '0');
    }
    *exponent = minus ? -e : e;
    return true;
}

static bool read_decimal(const char *text, size_t n, struct decimal *d)
{
    int digits = 0, point = -1, exponent = 0;
    size_t at = 0;
    if (n > LARGE) return false;
    for (; at < n && text[at] != 'e' && text[at] != 'E'; at++)
        if (text[at] == '.' && point < 0) point = digits;
        else if (isdigit((unsigned char)text[at])) digits++;
        else return false;
    *d = (struct decimal){ .digits = text, .n = at };
    if (at < n && !read_exponent(text + at + 1, n - at - 1, &exponent)) return false;
    d->whole = (point < 0 ? digits : point) + exponent;
    return digits > 0;
}

bool lun_price_parse(const char *text, size_t n, int64_t *nano)
{
    struct decimal d;
    int64_t value = 0;
    bool rest = false;
    if (!read_decimal(text, n, &d)) return false;
    int places = d.whole + 9;       /* digits that count, leading zeros included */
    for (size_t i = 0; i < d.n; i++) {
        if (d.digits[i] == '.') continue;
        if (places-- > 0) value = value * 10 + (d.digits[i] - '0');
        else rest |= d.digits[i] != '0';
        if (value > DEAREST) return false;
    }
    for (; places > 0 && value; places--)
        if ((value *= 10) > DEAREST) return false;
    value += rest;
    if (value > DEAREST) return false;
    *nano = value;
    return true;
}

static int64_t or_else(int64_t price, int64_t other)   { return price >= 0 ? price : other; }
static int64_t at_least_0(int64_t n)                   { return n > 0 ? n : 0; }
static int64_t part(int64_t n, int64_t whole)          { return n < 0 ? 0 : n > whole ? whole : n; }
static int64_t dearer(int64_t a, int64_t b)            { return a > b ? a : b; }
static wide times(int64_t tokens, int64_t price)       { return (wide)tokens * (wide)price; }

static int64_t total(const struct lun_price *p, wide sum)
{
    wide nano = (sum + PER_MILLION - 1) / PER_MILLION + (wide)at_least_0(p->request);
    return nano > INT64_MAX ? INT64_MAX : (int64_t)nano;
}

int64_t lun_price_cost(const struct lun_price *p, const struct lun_usage *u)
{
    if (!lun_price_known(p)) return 0;
    int64_t input = at_least_0(u->input), output = at_least_0(u->output);
    int64_t cached = part(u->cached_input, input), written = part(u->cache_write, input - cached);
    int64_t reasoning = part(u->reasoning, output);
    return total(p, times(input - cached - written, p->input)
                  + times(cached, or_else(p->cached_input, p->input))
                  + times(written, or_else(p->cache_write, p->input))
                  + times(output - reasoning, p->output)
                  + times(reasoning, or_else(p->reasoning, p->output)));
}

int64_t lun_price_bound(const struct lun_price *p, int64_t input, int64_t output)
{
    if (!lun_price_known(p)) return 0;
    return total(p, times(at_least_0(input), dearer(p->input, dearer(p->cached_input, p->cache_write)))
                  + times(at_least_0(output), dearer(p->output, p->reasoning)));
}

void lun_price_sum_add(struct lun_price_sum *sum, const struct lun_price *p)
{
    const int64_t parts[] = { p->input, p->output, or_else(p->cached_input, p->input), or_else(p->cache_write, p->input),
                              or_else(p->reasoning, p->output), at_least_0(p->request) };
    for (int i = 0; i < 6; i++) sum->part[i] += parts[i];
    sum->n++;
}

struct lun_price lun_price_sum_mean(const struct lun_price_sum *sum)
{
    int64_t mean[6];
    if (!sum->n) return lun_price_unknown;
    for (int i = 0; i < 6; i++) mean[i] = (int64_t)(sum->part[i] / sum->n);
    return (struct lun_price){ .input = mean[0], .output = mean[1], .cached_input = mean[2], .cache_write = mean[3], .reasoning = mean[4], .request = mean[5] };
}

void lun_price_text(int64_t nano, char out[24])
{
    uint64_t size = nano < 0 ? -(uint64_t)nano : (uint64_t)nano;
    int n = snprintf(out, 24, "%s%llu.%09llu", nano < 0 ? "-" : "", (unsigned long long)(size / LUN_NANO_PER_USD),
                     (unsigned long long)(size % LUN_NANO_PER_USD));
    while (out[n - 1] == '0') n--;
    if (out[n - 1] == '.') n--;
    out[n] = 0;
}
