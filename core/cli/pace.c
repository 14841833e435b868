#include "cli/pace.h"
#include "cli/figure.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double figure(struct lun_json of, const char *name)
{
    double x = lun_figure_number(of, name);
    return isnan(x) ? 0 : x;
}

static double more(struct lun_json now, struct lun_json then, const char *name) { return figure(now, name) - figure(then, name); }

/* ---- latencies: what one spread has more than the other ---- */

struct pairs { struct lun_json_each e; double at, n; bool some; };

static void next_pair(struct pairs *p)
{
    p->some = lun_json_next(&p->e) && lun_json_double(p->e.value, &p->at) && lun_json_next(&p->e) && lun_json_double(p->e.value, &p->n);
}

static struct pairs pairs_of(struct lun_json spread)
{
    struct pairs p = { .e = lun_json_each(spread) };
    next_pair(&p);
    return p;
}

/* Both rise. How many the earlier one had there. */
static double had(struct pairs *then, double at)
{
    while (then->some && then->at < at) next_pair(then);
    return then->some && then->at == at ? then->n : 0;
}

static double added(struct lun_json now, struct lun_json then)
{
    double all = 0;
    struct pairs before = pairs_of(then);
    for (struct pairs p = pairs_of(now); p.some; next_pair(&p)) all += p.n - had(&before, p.at);
    return all;
}

/* NAN: nothing was added. */
static double quantile(struct lun_json now, struct lun_json then, double q)
{
    double wanted = q * added(now, then), seen = 0;
    struct pairs before = pairs_of(then);
    for (struct pairs p = pairs_of(now); p.some; next_pair(&p)) {
        double n = p.n - had(&before, p.at);
        if (n > 0 && (seen += n) >= wanted) return p.at;
    }
    return NAN;
}

/* ---- rows ---- */

static void put_name(struct lun_buf *out, struct lun_json now)
{
    static const char *const names[] = { "model", "label", "stage", "target", "circuit", "rest_ms" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct lun_json value = lun_json_get(now, names[i]);
        if (value.n) lun_json_put_key(out, names[i]), lun_json_put_raw(out, value);
    }
}

static const char *counted(struct lun_json row)
{
    return lun_json_get(row, "attempts").n ? "attempts" : lun_json_get(row, "requests").n ? "requests" : "answered";
}

static void put_row(struct lun_buf *out, struct lun_json now, struct lun_json then, double seconds)
{
    struct lun_json spread = lun_json_get(now, "spread"), before = lun_json_get(then, "spread");
    double answered = more(now, then, "answered"), failed = more(now, then, "failed") + more(now, then, "refused");
    lun_buf_putc(out, '{');
    put_name(out, now);
    lun_json_member_number(out, "per_second", more(now, then, counted(now)) / seconds);
    lun_json_member_number(out, "failed_per_second", failed / seconds);
    lun_json_member_number(out, "success_rate", answered + failed > 0 ? answered / (answered + failed) : NAN);
    lun_json_member_number(out, "p50_ms", quantile(spread, before, 0.5));
    lun_json_member_number(out, "p99_ms", quantile(spread, before, 0.99));
    if (lun_json_get(now, "tokens_output").n) lun_json_member_number(out, "tokens_per_second", more(now, then, "tokens_output") / seconds);
    if (lun_json_get(now, "cost_usd").n) lun_json_member_number(out, "usd_per_hour", more(now, then, "cost_usd") / seconds * 3600);
    lun_buf_putc(out, '}');
}

/* The row of a list that has the same name; {0}: none. */
static struct lun_json same(struct lun_json list, const char *by, struct lun_json row)
{
    struct lun_json name = lun_json_get(row, by);
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        struct lun_json other = lun_json_get(e.value, by);
        if (other.n == name.n && !memcmp(other.at, name.at, name.n)) return e.value;
    }
    return (struct lun_json){0};
}

static void put_list(struct lun_buf *out, const char *name, const char *by, struct lun_json now, struct lun_json then, double seconds)
{
    struct lun_json before = lun_json_get(then, name);
    lun_json_put_key(out, name);
    lun_buf_putc(out, '[');
    for (struct lun_json_each e = lun_json_each(lun_json_get(now, name)); lun_json_next(&e); ) {
        if (e.index) lun_buf_putc(out, ',');
        put_row(out, e.value, same(before, by, e.value), seconds);
    }
    lun_buf_putc(out, ']');
}

/* ---- how attempts ended ---- */

enum { KINDS = 64 };
struct end { struct lun_json kind; double n; };

static int rarer(const void *a, const void *b)
{
    double x = ((const struct end *)a)->n, y = ((const struct end *)b)->n;
    return (x < y) - (x > y);
}

static void count(struct end *ends, int *n, struct lun_json kind, double more)
{
    int i = 0;
    if (lun_json_is(kind, "ok") || lun_json_is(kind, "cancelled")) return;
    while (i < *n && !(ends[i].kind.n == kind.n && !memcmp(ends[i].kind.at, kind.at, kind.n))) i++;
    if (i == KINDS) return;
    if (i == *n) ends[(*n)++] = (struct end){ kind, 0 };
    ends[i].n += more;
}

static void put_ends(struct lun_buf *out, struct lun_json now, struct lun_json then, double seconds)
{
    struct end ends[KINDS];
    int n = 0;
    for (struct lun_json_each e = lun_json_each(lun_json_get(now, "targets")), k; lun_json_next(&e); )
        for (k = lun_json_each(lun_json_get(e.value, "ends")); lun_json_next(&k); ) {
            double was = 0, is = 0;
            struct lun_buf name = {0};
            lun_json_string(k.key, true, &name);
            lun_json_double(k.value, &is);
            was = figure(lun_json_get(same(lun_json_get(then, "targets"), "target", e.value), "ends"), lun_buf_text(&name));
            if (is > was) count(ends, &n, k.key, is - was);
            lun_buf_free(&name);
        }
    qsort(ends, (size_t)n, sizeof *ends, rarer);
    lun_json_put_key(out, "ends");
    lun_buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_put_key(out, "kind"), lun_json_put_raw(out, ends[i].kind);
        lun_json_member_number(out, "per_second", ends[i].n / seconds);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

void lun_pace_put(struct lun_buf *out, struct lun_json now, struct lun_json then)
{
    struct lun_json since = lun_json_get(now, "since"), before = lun_json_get(then, "since");
    if (before.n != since.n || memcmp(before.at, since.at, since.n) || more(now, then, "seconds") <= 0) then = (struct lun_json){0};
    double seconds = more(now, then, "seconds");
    if (seconds <= 0) seconds = 1;
    lun_buf_putc(out, '{');
    lun_json_member_number(out, "seconds", seconds);
    lun_json_member_bool(out, "since_start", !then.n);
    lun_json_put_key(out, "totals"), put_row(out, lun_json_get(now, "totals"), lun_json_get(then, "totals"), seconds);
    lun_json_put_key(out, "all_models"), put_row(out, lun_json_get(now, "all_models"), lun_json_get(then, "all_models"), seconds);
    put_list(out, "models", "model", now, then, seconds);
    put_list(out, "labels", "label", now, then, seconds);
    put_list(out, "stages", "stage", now, then, seconds);
    put_list(out, "targets", "target", now, then, seconds);
    put_ends(out, now, then, seconds);
    lun_buf_putc(out, '}');
}
