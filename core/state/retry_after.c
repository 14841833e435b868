#include "state/health.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MOST      (86400 * LUN_SECOND)
#define UNIX_TIME 1e9       /* a number this large is no duration: it was reached in 2001 */
#define UNIX_MS   1e12

static const char *find(const struct lun_pair *headers, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcasecmp(headers[i].name, name)) return headers[i].value;
    return NULL;
}

static lun_us cut(double us) { return us > 0 ? us < (double)MOST ? (lun_us)us : MOST : 0; }

/* Digits with at most one point; stops behind them. NULL: none stand there. */
static const char *number(const char *at, double *out)
{
    double value = 0, place = 1;
    bool any = false, point = false;
    for (; isdigit((unsigned char)*at) || (*at == '.' && !point); at++) {
        if (*at == '.') { point = true; continue; }
        any = true;
        if (point) value += (*at - '0') * (place /= 10);
        else value = value * 10 + (*at - '0');
    }
    *out = value;
    return any ? at : NULL;
}

static bool ends(const char *at) { return !at[strspn(at, " \t")]; }

/* A number and nothing else; a sign before it makes it negative. */
static bool plain(const char *text, double *out)
{
    text += strspn(text, " \t");
    bool minus = *text == '-';
    const char *end = number(text + minus, out);
    if (!end || !ends(end)) return false;
    if (minus) *out = -*out;
    return true;
}

/* "6m0s", "1h2m3s", "20ms": a row of numbers with units. */
static bool with_units(const char *text, double *us)
{
    static const struct { const char *name; double us; } units[] = { { "ms", 1e3 }, { "us", 1 }, { "s", 1e6 }, { "m", 6e7 }, { "h", 3.6e9 }, { "d", 8.64e10 } };
    text += strspn(text, " \t");
    *us = 0;
    do {
        double value;
        size_t u = 0;
        if (!(text = number(text, &value))) return false;
        while (u < sizeof units / sizeof *units && strncmp(text, units[u].name, strlen(units[u].name))) u++;
        if (u == sizeof units / sizeof *units) return false;
        *us += value * units[u].us;
        text += strlen(units[u].name);
    } while (!ends(text));
    return true;
}

static bool month_of(const char *name, int *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (*month = 0; *month < 12; ++*month)
        if (!strncmp(names + 3 * *month, name, 3)) return true;
    return false;
}

/* The forms of RFC 9110, 5.6.7: IMF-fixdate, that of RFC 850, that of asctime. */
static bool date(const char *text, lun_us *wall)
{
    struct tm t = {0};
    char month[4] = "";
    int end = 0, year = 0;
    text += strspn(text, " \t");
    bool two_digits = false;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &t.tm_mday, month, &year, &t.tm_hour, &t.tm_min, &t.tm_sec, &end) != 6 || !end) {
        end = 0;
        two_digits = sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &t.tm_mday, month, &year, &t.tm_hour, &t.tm_min, &t.tm_sec, &end) == 6;
        if (!two_digits) sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &year, &end);
    }
    if (!end || !ends(text + end) || !month_of(month, &t.tm_mon)) return false;
    t.tm_year = two_digits ? year + (year < 70 ? 100 : 0) : year - 1900;
    *wall = (lun_us)timegm(&t) * LUN_SECOND;
    return true;
}

static bool retry_after(const char *text, lun_us wall, lun_us *wait)
{
    double seconds;
    lun_us when;
    if (text && plain(text, &seconds)) *wait = cut(seconds * 1e6);
    else if (text && date(text, &when)) *wait = cut((double)(when - wall));
    else return false;
    return true;
}

/* "2026-01-31T12:00:30Z", also with a fraction or another zone: RFC 3339. */
static bool stamp(const char *text, double *wall)
{
    struct tm t = {0};
    int end = 0, hours, minutes, zone = 0;
    double fraction = 0;
    text += strspn(text, " \t");
    if (sscanf(text, "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &end) != 6 || !end) return false;
    text += end;
    if (*text == '.' && !(text = number(text, &fraction))) return false;
    if (*text == 'Z' || *text == 'z') text++;
    else if (sscanf(text, "%*1[+-]%2d:%2d%n", &hours, &minutes, &zone) == 2 && zone == 6) {
        int sign = *text == '-' ? 1 : -1;
        t.tm_hour += sign * hours, t.tm_min += sign * minutes;
        text += zone;
    } else return false;
    t.tm_year -= 1900, t.tm_mon -= 1;
    *wall = (double)timegm(&t) * 1e6 + fraction * 1e6;
    return ends(text);
}

static lun_us reset(const char *text, const char *remaining, lun_us wall)
{
    double value;
    if (remaining && plain(remaining, &value) && value > 0) return 0;
    if (plain(text, &value)) return cut(value >= UNIX_MS ? value * 1e3 - (double)wall : value >= UNIX_TIME ? value * 1e6 - (double)wall : value * 1e6);
    if (with_units(text, &value)) return cut(value);
    return stamp(text, &value) ? cut(value - (double)wall) : 0;
}

/* How providers call the moment at which there is enough again, and how much is left now. * is what it is of. */
static const struct { const char *reset, *remaining; } forms[] = {
    { "x-ratelimit-reset", "x-ratelimit-remaining" }, { "x-ratelimit-reset-*", "x-ratelimit-remaining-*" }, { "anthropic-ratelimit-*-reset", "anthropic-ratelimit-*-remaining" }, { "ratelimit-reset", "ratelimit-remaining" } };

/* Whether a header's name has that form; then `other` is the other form of the same thing. */
static bool has_form(const char *name, const char *form, const char *other_form, char other[80])
{
    const char *star = strchr(form, '*'), *other_star = strchr(other_form, '*');
    if (!star) return snprintf(other, 80, "%s", other_form), !strcasecmp(name, form);
    size_t n = strlen(name), before = (size_t)(star - form), behind = strlen(star + 1);
    if (n <= before + behind || n > 60 || strncasecmp(name, form, before) || strcasecmp(name + n - behind, star + 1)) return false;
    snprintf(other, 80, "%.*s%.*s%s", (int)(other_star - other_form), other_form, (int)(n - before - behind), name + before, other_star + 1);
    return true;
}

lun_us lun_retry_after(const struct lun_pair *headers, int n, lun_us wall)
{
    char remaining[80];
    const char *ms = find(headers, n, "retry-after-ms");
    double value;
    lun_us longest = 0, wait;
    if (ms && plain(ms, &value)) return cut(value * 1e3);
    if (retry_after(find(headers, n, "retry-after"), wall, &wait)) return wait;
    for (int i = 0; i < n; i++)
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            if (!has_form(headers[i].name, forms[f].reset, forms[f].remaining, remaining)) continue;
            wait = reset(headers[i].value, find(headers, n, remaining), wall);
            if (wait > longest) longest = wait;
        }
    return longest;
}
