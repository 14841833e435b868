#include "gateway/figures.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OTHERS "(others)"

typedef struct lun_figures figures;

static const char *const names[] = {
#define X(id, name, ...) name,
    LUN_FIGURES(X)
#undef X
};
const char *lun_figure_title(enum lun_figure f) { return names[f]; }

static struct lun_choice *choice_of(figures *f, const char *model)
{
    struct lun_choice **at = &f->choices;
    while (*at && strcmp((*at)->model, model) < 0) at = &(*at)->next;
    if (*at && !strcmp((*at)->model, model)) return *at;
    if (f->n_choices >= LUN_FIGURES_CHOICES && strcmp(model, OTHERS)) return choice_of(f, OTHERS);
    f->n_choices++;
    struct lun_choice *fresh = lun_zalloc(sizeof *fresh);
    *fresh = (struct lun_choice){ .next = *at, .model = lun_strdup(model) };
    return *at = fresh;
}

void lun_figures_add(figures *f, const struct lun_ended *e)
{
    f->sum[LUN_FIGURE_REQUESTS]++;
    f->sum[LUN_FIGURE_ANSWERED] += e->answered;
    f->sum[LUN_FIGURE_COST] += e->cost;
    f->sum[LUN_FIGURE_RETRIES] += e->retries;
    f->sum[LUN_FIGURE_REFUSED] += e->refused;
    f->sum[LUN_FIGURE_FAILED] += e->failed;
    if (e->answered) lun_histogram_record(&f->latency, e->latency);
    if (!e->model) return;
    struct lun_choice *c = choice_of(f, e->model);
    c->n++;
    c->cost += e->cost;
}

void lun_figures_free(figures *f)
{
    for (struct lun_choice *c; (c = f->choices); free(c)) {
        f->choices = c->next;
        free(c->model);
    }
}

double lun_figure_quantile(enum lun_figure which) { return which == LUN_FIGURE_P50 ? 0.50 : which == LUN_FIGURE_P95 ? 0.95 : 0.99; }

double lun_figures_get(const figures *f, enum lun_figure which)
{
    switch (which) {
    case LUN_FIGURE_COST: return (double)f->sum[which] / 1e9;
    case LUN_FIGURE_P50: case LUN_FIGURE_P95: case LUN_FIGURE_P99: return !lun_histogram_count(&f->latency) ? NAN : (double)lun_histogram_quantile(&f->latency, lun_figure_quantile(which)) / 1e3;
    default:              return (double)f->sum[which];
    }
}

int64_t lun_figures_chosen(const figures *f, const char *model)
{
    for (const struct lun_choice *c = f->choices; c; c = c->next) if (!strcmp(c->model, model)) return c->n;
    return 0;
}

/* ---- JSON ---- */

void lun_figures_json(const figures *f, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    for (int i = 0; i < LUN_FIGURE_COUNT; i++) lun_json_member_number(out, names[i], lun_figures_get(f, (enum lun_figure)i));
    lun_json_put_key(out, "choices");
    lun_buf_putc(out, '{');
    for (const struct lun_choice *c = f->choices; c; c = c->next) lun_json_member_int(out, c->model, c->n);
    lun_buf_puts(out, "}}");
}

/* Whole numbers are subtracted as such, so that equal ones differ by nothing. */
static double difference(const figures *f, const figures *of, enum lun_figure i)
{
    if (i == LUN_FIGURE_COST) return (double)(f->sum[i] - of->sum[i]) / 1e9;
    return lun_figures_get(f, i) - lun_figures_get(of, i);
}

void lun_figures_difference(const figures *f, const figures *of, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    for (int i = 0; i < LUN_FIGURE_COUNT; i++) lun_json_member_number(out, names[i], difference(f, of, (enum lun_figure)i));
    lun_json_put_key(out, "choices");
    lun_buf_putc(out, '{');
    for (const struct lun_choice *c = f->choices; c; c = c->next) lun_json_member_int(out, c->model, c->n - lun_figures_chosen(of, c->model));
    for (const struct lun_choice *c = of->choices; c; c = c->next)
        if (!lun_figures_chosen(f, c->model)) lun_json_member_int(out, c->model, -c->n);
    lun_buf_puts(out, "}}");
}
