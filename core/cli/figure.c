#include "cli/figure.h"
#include "base/decimal.h"
#include "base/text.h"
#include "cli/remote.h"
#include <math.h>

enum { NAME_MOST = 28 };

double lun_figure_number(struct lun_json object, const char *member)
{
    double x;
    return lun_json_double(lun_json_get(object, member), &x) ? x : NAN;
}

static void put_places(struct lun_buf *out, const char *before, int places, double x, const char *after)
{
    char text[64];
    lun_buf_puts(out, before);
    lun_buf_add(out, text, (size_t)lun_decimal_places(text, sizeof text, places, x));
    lun_buf_puts(out, after);
}

void lun_figure_none(struct lun_buf *out) { lun_buf_putc(out, '-'); }

void lun_figure_count(struct lun_buf *out, double n)
{
    if (isnan(n)) lun_figure_none(out);
    else if (n < 1e7) put_places(out, "", 0, n, "");
    else put_places(out, "", n < 1e8 ? 1 : 0, n / 1e6, "M");
}

void lun_figure_short(struct lun_buf *out, double n)
{
    static const char *const units[] = { "", "k", "M", "G", "T" };
    int unit = 0;
    if (isnan(n)) { lun_figure_none(out); return; }
    for (; n >= 999.5 && unit < 4; unit++) n /= 1000;
    put_places(out, "", !unit || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2, n, units[unit]);
}

void lun_figure_percent(struct lun_buf *out, double percent)
{
    if (isnan(percent)) lun_figure_none(out);
    else if (percent == 0 || percent == 100) put_places(out, "", 0, percent, " %");
    else put_places(out, "", percent > 99 || fabs(percent) < 1 ? 2 : 1, percent, " %");
}

void lun_figure_ms(struct lun_buf *out, double ms)
{
    if (isnan(ms)) lun_figure_none(out);
    else if (ms < 9.95) put_places(out, "", 1, ms, " ms");
    else if (ms < 999.5) put_places(out, "", 0, ms, " ms");
    else put_places(out, "", ms < 9995 ? 2 : ms < 99950 ? 1 : 0, ms / 1000, " s");
}

void lun_figure_usd(struct lun_buf *out, double usd)
{
    double size = fabs(usd);
    int places = 2;
    if (isnan(usd)) { lun_figure_none(out); return; }
    if (size >= 1000 || !size) places = 0;
    else if (size < 1) places = 2 - (int)floor(log10(size));
    if (places > 9) places = 9;
    put_places(out, usd < 0 ? "-$" : "$", places, size, "");
}

void lun_figure_name(struct lun_buf *out, struct lun_json name)
{
    struct lun_buf text = {0};
    lun_remote_put(&text, name);
    size_t points = lun_text_points(text.at, text.n), point = 0, used;
    for (size_t i = 0; i < text.n; i += used, point++) {
        lun_text_point(text.at + i, text.n - i, &used);
        if (points <= NAME_MOST || point < NAME_MOST / 2 || point > points - NAME_MOST / 2) lun_buf_add(out, text.at + i, used);
        else if (point == NAME_MOST / 2) lun_buf_puts(out, "…");
    }
    lun_buf_free(&text);
}
