#include "cli/replay.h"
#include "cli/table.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lun_replay_report report;

static const struct lun_replay *tried(const report *r, int i)       { return lun_replays_get(r->replays, i); }
static const struct lun_figures *figures(const report *r, int i)    { return lun_replay_figures(tried(r, i)); }
static const struct lun_figures *really(const report *r)            { return lun_replay_really(tried(r, 0)); }

/* ---- for programs ---- */

static void json_interval(struct lun_buf *out, const char *name, struct lun_interval i)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '{');
    lun_json_member_number(out, "value", i.value);
    lun_json_member_number(out, "low", i.low);
    lun_json_member_number(out, "high", i.high);
    lun_buf_putc(out, '}');
}

static void json_quantiles(struct lun_buf *out, const struct lun_replay *p)
{
    for (enum lun_figure f = LUN_FIGURE_P50; f <= LUN_FIGURE_P99; f++) {
        double q = lun_figure_quantile(f);
        lun_json_put_key(out, lun_figure_title(f));
        lun_buf_putc(out, '{');
        lun_json_member_number(out, "really", lun_replay_quantile_really(p, q));
        json_interval(out, "snips", lun_replay_quantile(p, q));
        lun_buf_putc(out, '}');
    }
}

static void json_estimates(struct lun_buf *out, const struct lun_replay *p)
{
    const struct lun_estimate *any = lun_replay_estimate(p, LUN_MEASURE_COST);
    lun_json_put_key(out, "estimates");
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "requests", any->n);
    lun_json_member_number(out, "effective_requests", lun_estimate_size(any));
    for (int m = 0; m < LUN_MEASURE_COUNT; m++) {
        const struct lun_estimate *e = lun_replay_estimate(p, (enum lun_measure)m);
        lun_json_put_key(out, lun_measure_name((enum lun_measure)m));
        lun_buf_putc(out, '{');
        lun_json_member_number(out, "really", lun_estimate_outcome(e));
        json_interval(out, "ips", lun_estimate_weighted(e));
        json_interval(out, "snips", lun_estimate_normed(e));
        json_interval(out, "doubly_robust", lun_estimate_robust(e));
        lun_buf_putc(out, '}');
    }
    json_quantiles(out, p);
    lun_buf_putc(out, '}');
}

static void json_counts(struct lun_buf *out, const struct lun_replay *p)
{
    lun_json_put_key(out, "outcomes");
    lun_buf_putc(out, '{');
    for (int i = 0; i < LUN_REPLAY_COUNT; i++) {
        enum lun_replay_count c = (enum lun_replay_count)i;
        lun_json_member_int(out, lun_replay_count_name(c), lun_replay_counted(p, c));
    }
    lun_buf_putc(out, '}');
}

static void json_tried(struct lun_buf *out, const report *r, int i, const char *name, const char *file)
{
    lun_json_put_key(out, name);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "config", file);
    lun_json_put_key(out, "figures");
    lun_figures_json(figures(r, i), out);
    if (r->really) {
        lun_json_put_key(out, "to_really");
        lun_figures_difference(figures(r, i), really(r), out);
    }
    if (r->against) {
        lun_json_put_key(out, i ? "to_policy" : "to_against");
        lun_figures_difference(figures(r, i), figures(r, !i), out);
    }
    json_counts(out, tried(r, i));
    if (r->really) json_estimates(out, tried(r, i));
    lun_buf_putc(out, '}');
}

void lun_replay_json(const report *r, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "requests", lun_replays_requests(r->replays));
    if (r->counts) {
        lun_json_put_key(out, "log");
        lun_buf_putc(out, '{');
        lun_log_counts_json(r->counts, out);
        lun_buf_putc(out, '}');
    }
    if (tried(r, 0)) {
        if (r->really) {
            lun_json_put_key(out, "really");
            lun_figures_json(really(r), out);
        }
        json_tried(out, r, 0, "policy", r->config);
        if (r->against) json_tried(out, r, 1, "against", r->against);
    }
    lun_buf_puts(out, "}\n");
}

/* ---- for people ---- */

/* A row is a JSON object of texts: figure, and a member for each column. */
static void put_number(struct lun_buf *row, const char *member, double value, int places, bool sign)
{
    char text[64];
    if (isnan(value)) strcpy(text, "-");
    else snprintf(text, sizeof text, sign && value != 0 ? "%+.*f" : "%.*f", places, value);
    lun_json_member_text(row, member, text);
}

static void put_difference(struct lun_buf *row, const char *member, double value, double from, int places)
{
    char text[96];
    int n = isnan(value) || isnan(from) ? snprintf(text, sizeof text, "-") : snprintf(text, sizeof text, value != from ? "%+.*f" : "%.*f", places, value - from);
    if (from > 0 && value != from && !isnan(value)) snprintf(text + n, sizeof text - (size_t)n, " (%+.1f %%)", 100 * (value - from) / from);
    lun_json_member_text(row, member, text);
}

struct row { const char *name; int places; double really, policy, against; };

static void put_row(struct lun_buf *list, const report *r, const struct row *w)
{
    if (list->n > 1) lun_buf_putc(list, ',');
    lun_buf_putc(list, '{');
    lun_json_member_text(list, "figure", w->name);
    if (r->really) put_number(list, "really", w->really, w->places, false);
    put_number(list, "policy", w->policy, w->places, false);
    if (r->really) put_difference(list, "to_really", w->policy, w->really, w->places);
    if (r->against) put_number(list, "against", w->against, w->places, false);
    if (r->against) put_difference(list, "to_against", w->policy, w->against, w->places);
    lun_buf_putc(list, '}');
}

static void put_figures(struct lun_buf *list, const report *r)
{
    for (int i = 0; i < LUN_FIGURE_COUNT; i++) {
        enum lun_figure f = (enum lun_figure)i;
        struct row w = { .name = lun_figure_title(f), .places = f == LUN_FIGURE_COST ? 6 : f >= LUN_FIGURE_P50 && f <= LUN_FIGURE_P99 ? 1 : 0,
                         .policy = lun_figures_get(figures(r, 0), f) };
        if (r->really) w.really = lun_figures_get(really(r), f);
        if (r->against) w.against = lun_figures_get(figures(r, 1), f);
        put_row(list, r, &w);
    }
}

static void put_choice(struct lun_buf *list, const report *r, const char *model)
{
    char name[160];
    snprintf(name, sizeof name, "by %.150s", model);
    struct row w = { .name = name, .policy = (double)lun_figures_chosen(figures(r, 0), model) };
    if (r->really) w.really = (double)lun_figures_chosen(really(r), model);
    if (r->against) w.against = (double)lun_figures_chosen(figures(r, 1), model);
    put_row(list, r, &w);
}

/* Each model that one of them chose, once. */
static void put_choices(struct lun_buf *list, const report *r)
{
    const struct lun_figures *of[3] = { r->really ? really(r) : NULL, figures(r, 0), r->against ? figures(r, 1) : NULL };
    for (int i = 0; i < 3; i++) {
        for (const struct lun_choice *c = of[i] ? of[i]->choices : NULL; c; c = c->next) {
            bool told = false;
            for (int k = 0; k < i; k++) told |= of[k] && lun_figures_chosen(of[k], c->model);
            if (!told) put_choice(list, r, c->model);
        }
    }
}

static void put_table(struct lun_buf *out, const report *r)
{
    struct lun_buf list = {0};
    struct lun_column columns[6] = { { .head = "", .member = "figure" } };
    int n = 1;
    if (r->really) columns[n++] = (struct lun_column){ .head = "really", .member = "really", .right = true };
    columns[n++] = (struct lun_column){ .head = "this policy", .member = "policy", .right = true };
    if (r->really) columns[n++] = (struct lun_column){ .head = "difference", .member = "to_really", .right = true };
    if (r->against) columns[n++] = (struct lun_column){ .head = "against", .member = "against", .right = true };
    if (r->against) columns[n++] = (struct lun_column){ .head = "difference", .member = "to_against", .right = true };
    lun_buf_putc(&list, '[');
    put_figures(&list, r);
    put_choices(&list, r);
    lun_buf_putc(&list, ']');
    lun_table_put(out, (struct lun_json){ list.at, list.n }, columns, n);
    lun_buf_free(&list);
}

static void put_interval(struct lun_buf *row, const char *member, struct lun_interval i)
{
    char text[96] = "too few";
    if (!isnan(i.value)) snprintf(text, sizeof text, isinf(i.high) ? "%.4g (%.4g … ?)" : "%.4g (%.4g … %.4g)", i.value, i.low, i.high);
    lun_json_member_text(row, member, text);
}

static void open_row(struct lun_buf *list, const char *name, double really)
{
    char text[32];
    if (list->n > 1) lun_buf_putc(list, ',');
    lun_buf_putc(list, '{');
    lun_json_member_text(list, "measure", name);
    snprintf(text, sizeof text, "%.4g", really);
    lun_json_member_text(list, "really", text);
}

static void put_mean(struct lun_buf *list, const struct lun_estimate *e, const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "mean %s", name);
    open_row(list, text, lun_estimate_outcome(e));
    put_interval(list, "robust", lun_estimate_robust(e));
    put_interval(list, "normed", lun_estimate_normed(e));
    put_interval(list, "weighted", lun_estimate_weighted(e));
    lun_buf_putc(list, '}');
}

static void put_quantile(struct lun_buf *list, const struct lun_replay *p, enum lun_figure f)
{
    double q = lun_figure_quantile(f);
    open_row(list, lun_figure_title(f), lun_replay_quantile_really(p, q));
    put_interval(list, "normed", lun_replay_quantile(p, q));
    lun_buf_putc(list, '}');
}

static void put_estimates(struct lun_buf *out, const struct lun_replay *p)
{
    static const struct lun_column columns[] = { { .head = "of a request", .member = "measure" }, { .head = "really", .member = "really", .right = true },
        { .head = "doubly robust", .member = "robust", .right = true }, { .head = "snips", .member = "normed", .right = true },
        { .head = "ips", .member = "weighted", .right = true } };
    const struct lun_estimate *any = lun_replay_estimate(p, LUN_MEASURE_COST);
    struct lun_buf list = {0};
    if (!any->n) {
        lun_buf_puts(out, "  No choice in the log was left to chance with a probability (lunette.pick, lunette.split): there is no estimate with an interval.\n");
        return;
    }
    lun_buf_printf(out, "\nEstimates with 95 %% intervals, from %lld requests in which chance chose (as good as %.0f of equal weight):\n",
                   (long long)any->n, lun_estimate_size(any));
    lun_buf_putc(&list, '[');
    for (int m = 0; m < LUN_MEASURE_COUNT; m++) put_mean(&list, lun_replay_estimate(p, (enum lun_measure)m), lun_measure_name((enum lun_measure)m));
    for (enum lun_figure f = LUN_FIGURE_P50; f <= LUN_FIGURE_P99; f++) put_quantile(&list, p, f);
    lun_buf_putc(&list, ']');
    lun_table_put(out, (struct lun_json){ list.at, list.n }, columns, sizeof columns / sizeof *columns);
    lun_buf_free(&list);
}

static void put_tried(struct lun_buf *out, const report *r, int i, const char *file)
{
    const struct lun_replay *p = tried(r, i);
    lun_buf_printf(out, "\n%s, %lld requests:\n", file, (long long)lun_replays_requests(r->replays));
    for (int c = 0; c < LUN_REPLAY_COUNT; c++) {
        int64_t n = lun_replay_counted(p, (enum lun_replay_count)c);
        if (n || c == LUN_REPLAY_LOGGED) lun_buf_printf(out, "  %lld %s\n", (long long)n, lun_replay_count_text((enum lun_replay_count)c));
    }
    if (lun_replay_counted(p, LUN_REPLAY_ESTIMATED)) lun_buf_puts(out, "  So the figures of this policy are in part ESTIMATES.\n");
    put_estimates(out, p);
}

void lun_replay_text(const report *r, struct lun_buf *out)
{
    if (!tried(r, 0)) {
        lun_buf_puts(out, "There is no request in it.\n");
        return;
    }
    put_table(out, r);
    if (!r->really) return;
    put_tried(out, r, 0, r->config);
    if (r->against) put_tried(out, r, 1, r->against);
}
