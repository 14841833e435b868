#include "gateway/report.h"
#include "base/alloc.h"
#include "base/decimal.h"
#include "base/json.h"
#include "gateway/ports.h"
#include "state/health.h"
#include "state/names.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- gathering: metrics become lines ---- */

/* What is known of one model, label, stage or target. */
struct line {
    const char *name;                   /* borrowed from the metrics */
    double ended, answered, failed, refused, left, cancelled;   /* ended: all of them */
    double seconds, timed;              /* of what was answered; how many were */
    double tokens_input, tokens_output, cost, premium;
    double hedges, queued, queue_seconds;
    double ends[LUN_KIND_COUNT];
    struct lun_histogram spread; bool spread_told;
};
struct lines { struct lun_names names; struct line **at; size_t n, room; bool spread_told; };

static struct line *line(struct lines *l, const char *name)
{
    struct line *found = lun_names_get(&l->names, name);
    if (found) return found;
    if (l->n == l->room) l->at = lun_realloc(l->at, (l->room = l->room ? 2 * l->room : 16) * sizeof *l->at);
    l->at[l->n++] = found = lun_zalloc(sizeof *found);
    found->name = name;
    found->spread_told = l->spread_told;
    lun_names_put(&l->names, name, found);
    return found;
}

static void lines_free(struct lines *l)
{
    lun_names_free(&l->names, free);
    free(l->at);
}

static void count(struct line *l, const char *result, double n)
{
    l->ended += n;
    if (!strcmp(result, "answered")) l->answered += n;
    else if (!strcmp(result, "failed")) l->failed += n;
    else if (!strcmp(result, "refused")) l->refused += n;
    else if (!strcmp(result, "left")) l->left += n;
}

static void count_end(struct line *l, const char *kind, double n)
{
    l->ended += n;
    if (!strcmp(kind, lun_kind_name(LUN_KIND_OK))) l->answered += n;
    else if (!strcmp(kind, lun_kind_name(LUN_KIND_CANCELLED))) l->cancelled += n;
    else l->failed += n;
    for (int k = 0; k < LUN_KIND_COUNT; k++) if (!strcmp(kind, lun_kind_name((enum lun_kind)k))) l->ends[k] += n;
}

static void take_time(struct line *l, const struct lun_metric_row *r)
{
    l->seconds += r->value;
    l->timed += (double)r->count;
    lun_histogram_add(&l->spread, r->spread);
}

static void on_request(void *self, const struct lun_metric_row *r)
{
    count(self, r->labels[0], (double)r->count);
    if (!strcmp(r->labels[0], "answered")) take_time(self, r);
}

static void on_retried(void *self, const struct lun_metric_row *r) { count(self, r->labels[0], r->value); }
static void on_label(void *self, const struct lun_metric_row *r)   { count(line(self, r->labels[0]), r->labels[1], r->value); }

static void on_time(void *self, const struct lun_metric_row *r)    /* labels and targets */
{
    if (r->count) take_time(line(self, r->labels[0]), r);
}

static void on_stage(void *self, const struct lun_metric_row *r)
{
    struct line *l = line(self, r->labels[0]);
    l->ended = l->answered = (double)r->count;
    take_time(l, r);
}

static void on_call(void *self, const struct lun_metric_row *r)    /* model, provider, error type */
{
    struct line *l = line(self, r->labels[0]);
    bool good = !*r->labels[2];
    count_end(l, good ? lun_kind_name(LUN_KIND_OK) : r->labels[2], (double)r->count);
    if (good) take_time(l, r);
}

static void on_tokens(void *self, const struct lun_metric_row *r)
{
    struct line *l = line(self, r->labels[0]);
    if (!strcmp(r->labels[2], "input")) l->tokens_input += r->value;
    else l->tokens_output += r->value;
}

static void on_attempt(void *self, const struct lun_metric_row *r)     { count_end(line(self, r->labels[0]), r->labels[1], r->value); }
static void on_model_cost(void *self, const struct lun_metric_row *r)  { line(self, r->labels[0])->cost += r->value; }
static void on_target_cost(void *self, const struct lun_metric_row *r) { line(self, r->labels[1])->cost += r->value; }
static void on_premium(void *self, const struct lun_metric_row *r)     { line(self, r->labels[0])->premium += r->value; }
static void on_hedge(void *self, const struct lun_metric_row *r)       { line(self, r->labels[0])->hedges += r->value; }

static void on_queue(void *self, const struct lun_metric_row *r)
{
    struct line *l = line(self, r->labels[0]);
    l->queued += (double)r->count;
    l->queue_seconds += r->value;
}

/* ---- writing ---- */

static const char *const names[] = {
#define X(id, name, ...) [LUN_REPORT_##id] = name,
    LUN_REPORT_FIELDS(X)
#undef X
};

static void key(struct lun_buf *out, enum lun_report_field f) { lun_json_put_key(out, names[f]); }

static void put(struct lun_buf *out, enum lun_report_field f, double x)
{
    key(out, f);
    lun_json_put_number(out, x);
}

static void put_text(struct lun_buf *out, enum lun_report_field f, const char *text)
{
    key(out, f);
    if (text) lun_json_put_text(out, text);
    else lun_buf_puts(out, "null");
}

/* Money and means are no counts: what is behind the last digit that matters is noise of floating point. */
static void put_rounded(struct lun_buf *out, enum lun_report_field f, double x, int digits)
{
    char text[64];
    key(out, f);
    if (isfinite(x)) lun_buf_add(out, text, (size_t)lun_decimal_places(text, sizeof text, digits, x));
    else lun_buf_puts(out, "null");
}

static void put_share(struct lun_buf *out, enum lun_report_field f, double part, double of)
{
    put_rounded(out, f, of > 0 ? part / of : NAN, 6);
}

static void put_spread(struct lun_buf *out, const struct lun_histogram *h)
{
    const char *comma = "";
    key(out, LUN_REPORT_SPREAD);
    lun_buf_putc(out, '[');
    for (size_t i = 0; i < LUN_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (!n) continue;
        lun_buf_puts(out, comma);
        lun_json_put_number(out, (double)(lun_histogram_floor(i) + lun_histogram_floor(i + 1) - 1) / 2e3);
        lun_buf_putc(out, ',');
        lun_json_put_int(out, (int64_t)n);
        comma = ",";
    }
    lun_buf_putc(out, ']');
}

static void put_times(struct lun_buf *out, const struct line *l)
{
    put_rounded(out, LUN_REPORT_MEAN, l->timed > 0 ? l->seconds / l->timed * 1e3 : NAN, 3);
    put_rounded(out, LUN_REPORT_P99, l->timed > 0 ? (double)lun_histogram_quantile(&l->spread, 0.99) / 1e3 : NAN, 3);
    if (l->spread_told) put_spread(out, &l->spread);
}

static void put_requests(struct lun_buf *out, const struct line *l)
{
    put(out, LUN_REPORT_REQUESTS, l->ended);
    put(out, LUN_REPORT_ANSWERED, l->answered);
    put(out, LUN_REPORT_FAILED, l->failed);
    put(out, LUN_REPORT_REFUSED, l->refused);
    put(out, LUN_REPORT_LEFT, l->left);
    put_share(out, LUN_REPORT_SUCCESS_RATE, l->answered, l->ended - l->left);
    put_times(out, l);
}

static void put_attempts(struct lun_buf *out, const struct line *l)
{
    put(out, LUN_REPORT_ATTEMPTS, l->ended);
    put(out, LUN_REPORT_ANSWERED, l->answered);
    put(out, LUN_REPORT_FAILED, l->failed);
    put(out, LUN_REPORT_CANCELLED, l->cancelled);
    put_share(out, LUN_REPORT_SUCCESS_RATE, l->answered, l->ended - l->cancelled);
    put_times(out, l);
}

static void put_money(struct lun_buf *out, const struct lun_snapshot *s, const struct line *l)
{
    bool known = lun_price_known(&s->premium_price);
    put_rounded(out, LUN_REPORT_COST, l->cost, 9);
    put_rounded(out, LUN_REPORT_PREMIUM, known ? l->premium : NAN, 9);
    put_rounded(out, LUN_REPORT_SAVED, known ? l->premium - l->cost : NAN, 9);
    put_rounded(out, LUN_REPORT_SAVED_PERCENT, known && l->premium > 0 ? (l->premium - l->cost) / l->premium * 100 : NAN, 3);
}

/* ---- the order of lines ---- */

static int busier(const void *a, const void *b)
{
    const struct line *x = *(struct line *const *)a, *y = *(struct line *const *)b;
    if (x->ended != y->ended) return x->ended < y->ended ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int earlier(const void *a, const void *b)       /* stages: numbers, then words */
{
    const char *x = (*(struct line *const *)a)->name, *y = (*(struct line *const *)b)->name;
    int n = atoi(x), m = atoi(y);
    if (!n != !m) return n ? -1 : 1;
    return n != m ? n - m : strcmp(x, y);
}

/* A list of objects: `put_one` writes what is in one. */
static void put_list(struct lun_buf *out, enum lun_report_field f, struct lines *l, int (*order)(const void *, const void *),
                     void (*put_one)(struct lun_buf *, const struct line *, const void *with), const void *with)
{
    if (l->n) qsort(l->at, l->n, sizeof *l->at, order);
    key(out, f);
    lun_buf_putc(out, '[');
    for (size_t i = 0; i < l->n; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        put_one(out, l->at[i], with);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

/* ---- models ---- */

static void put_model(struct lun_buf *out, const struct line *l, const void *snapshot)
{
    if (l->name) put_text(out, LUN_REPORT_MODEL, l->name);
    put_attempts(out, l);
    put(out, LUN_REPORT_TOKENS_INPUT, l->tokens_input);
    put(out, LUN_REPORT_TOKENS_OUTPUT, l->tokens_output);
    put_money(out, snapshot, l);
}

static void add(struct line *sum, const struct line *l)
{
    sum->ended += l->ended, sum->answered += l->answered, sum->failed += l->failed, sum->cancelled += l->cancelled;
    sum->seconds += l->seconds, sum->timed += l->timed;
    sum->tokens_input += l->tokens_input, sum->tokens_output += l->tokens_output;
    sum->cost += l->cost, sum->premium += l->premium;
    lun_histogram_add(&sum->spread, &l->spread);
}

static void put_premium_targets(struct lun_buf *out, const struct lun_snapshot *s)
{
    const char *comma = "";
    key(out, LUN_REPORT_PREMIUM_TARGETS);
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_targets; i++) {
        if (!lun_target_is_premium(s, &s->targets[i])) continue;
        lun_buf_puts(out, comma);
        lun_json_put_text(out, s->targets[i].name);
        comma = ",";
    }
    lun_buf_putc(out, ']');
}

static void put_saving(struct lun_buf *out, const struct lun_snapshot *s, const struct line *all)
{
    key(out, LUN_REPORT_SAVING);
    if (!lun_price_known(&s->premium_price)) { lun_buf_puts(out, "null"); return; }
    lun_buf_putc(out, '{');
    put(out, LUN_REPORT_ABOVE, (double)s->premium / LUN_NANO_PER_USD);
    put_premium_targets(out, s);
    put_money(out, s, all);
    lun_buf_putc(out, '}');
}

static void put_models(struct lun_buf *out, const struct lun_reported *r)
{
    struct lines models = { .spread_told = r->spread };
    struct line *all = lun_zalloc(sizeof *all);
    all->spread_told = r->spread;
    lun_metrics_each(r->metrics, LUN_METRIC_DURATION, on_call, &models);
    lun_metrics_each(r->metrics, LUN_METRIC_TOKENS, on_tokens, &models);
    lun_metrics_each(r->metrics, LUN_METRIC_COST, on_model_cost, &models);
    lun_metrics_each(r->metrics, LUN_METRIC_PREMIUM_COST, on_premium, &models);
    for (size_t i = 0; i < models.n; i++) add(all, models.at[i]);
    put_saving(out, r->snapshot, all);
    put_list(out, LUN_REPORT_MODELS, &models, busier, put_model, r->snapshot);
    key(out, LUN_REPORT_ALL_MODELS);
    lun_buf_putc(out, '{');
    put_model(out, all, r->snapshot);
    lun_buf_putc(out, '}');
    free(all);
    lines_free(&models);
}

/* ---- labels ---- */

static void put_label(struct lun_buf *out, const struct line *l, const void *with)
{
    (void)with;
    put_text(out, LUN_REPORT_LABEL, l->name);
    put_requests(out, l);
}

static void put_labels(struct lun_buf *out, const struct lun_reported *r)
{
    struct lines labels = { .spread_told = r->spread };
    lun_metrics_each(r->metrics, LUN_METRIC_LABEL_REQUESTS, on_label, &labels);
    lun_metrics_each(r->metrics, LUN_METRIC_LABEL_SECONDS, on_time, &labels);
    put_list(out, LUN_REPORT_LABELS, &labels, busier, put_label, NULL);
    lines_free(&labels);
}

/* ---- stages ---- */

static void put_stage(struct lun_buf *out, const struct line *l, const void *all)
{
    put_text(out, LUN_REPORT_STAGE, l->name);
    put(out, LUN_REPORT_ANSWERED, l->answered);
    put_share(out, LUN_REPORT_SHARE, l->answered, *(const double *)all);
    put_times(out, l);
}

static double answers_of(const struct lines *stages)
{
    double all = 0;
    for (size_t i = 0; i < stages->n; i++) all += stages->at[i]->answered;
    return all;
}

static void put_stages(struct lun_buf *out, struct lines *stages)
{
    double all = answers_of(stages);
    put_list(out, LUN_REPORT_STAGES, stages, earlier, put_stage, &all);
}

/* ---- targets ---- */

static void put_ends(struct lun_buf *out, const struct line *l)
{
    key(out, LUN_REPORT_ENDS);
    lun_buf_putc(out, '{');
    for (int k = 0; k < LUN_KIND_COUNT; k++) {
        if (!l->ends[k]) continue;
        lun_json_put_key(out, lun_kind_name((enum lun_kind)k));
        lun_json_put_number(out, l->ends[k]);
    }
    lun_buf_putc(out, '}');
}

static void put_standing(struct lun_buf *out, const struct lun_reported *r, const char *name)
{
    const struct lun_target *t = lun_snapshot_target(r->snapshot, name);
    struct lun_health_view v;
    put_text(out, LUN_REPORT_PROVIDER, t ? t->provider->name : NULL);
    if (t) lun_health_look(t, r->now, &v);
    put_text(out, LUN_REPORT_CIRCUIT, t ? lun_circuit_name(v.circuit) : NULL);
    put(out, LUN_REPORT_REST, !t || v.rests_until == LUN_NEVER ? NAN : v.rests_until > r->now ? (double)(v.rests_until - r->now) / 1e3 : 0);
}

static void put_target(struct lun_buf *out, const struct line *l, const void *reported)
{
    put_text(out, LUN_REPORT_TARGET, l->name);
    put_standing(out, reported, l->name);
    put_attempts(out, l);
    put_ends(out, l);
    put(out, LUN_REPORT_HEDGES, l->hedges);
    put(out, LUN_REPORT_QUEUED, l->queued);
    put_rounded(out, LUN_REPORT_QUEUE_SECONDS, l->queue_seconds, 6);
    put_rounded(out, LUN_REPORT_COST, l->cost, 9);
}

static void put_open_circuits(struct lun_buf *out, const struct lun_reported *r)
{
    const char *comma = "";
    key(out, LUN_REPORT_OPEN_CIRCUITS);
    lun_buf_putc(out, '[');
    for (int i = 0; i < r->snapshot->n_targets; i++) {
        struct lun_health_view v;
        lun_health_look(&r->snapshot->targets[i], r->now, &v);
        if (v.circuit != LUN_CIRCUIT_OPEN) continue;
        lun_buf_puts(out, comma);
        lun_json_put_text(out, r->snapshot->targets[i].name);
        comma = ",";
    }
    lun_buf_putc(out, ']');
}

/* ---- totals ---- */

static double stage(const struct lines *stages, const char *name)
{
    const struct line *l = lun_names_get(&stages->names, name);
    return l ? l->answered : 0;
}

static void put_plan(struct lun_buf *out, struct lines *stages)
{
    double all = answers_of(stages) - stage(stages, "cache"), first = stage(stages, "1");
    put_share(out, LUN_REPORT_PRIMARY_RATE, first, all);
    put(out, LUN_REPORT_FALLBACKS, all - first);
    put_share(out, LUN_REPORT_FALLBACK_RATE, all - first, all);
}

static double cached(const struct lun_reported *r, enum lun_cache_result result)
{
    const char *name = lun_cache_result_name(result);
    return lun_metrics_get(r->metrics, LUN_METRIC_CACHE_REQUESTS, &name);
}

static void put_cache(struct lun_buf *out, const struct lun_reported *r)
{
    double given = cached(r, LUN_CACHE_HIT) + cached(r, LUN_CACHE_SHARED);
    put(out, LUN_REPORT_CACHED, given);
    put_share(out, LUN_REPORT_CACHE_RATE, given, given + cached(r, LUN_CACHE_MISS));
}

static void put_retries(struct lun_buf *out, const struct lun_reported *r, double requests)
{
    struct line *retried = lun_zalloc(sizeof *retried);
    lun_metrics_each(r->metrics, LUN_METRIC_RETRIED, on_retried, retried);
    put(out, LUN_REPORT_RETRIED, retried->ended);
    put(out, LUN_REPORT_RETRIED_ANSWERED, retried->answered);
    put_share(out, LUN_REPORT_RETRY_RATE, retried->ended, requests);
    put(out, LUN_REPORT_RETRIES, lun_metrics_get(r->metrics, LUN_METRIC_RETRIES, NULL));
    put(out, LUN_REPORT_RETRIES_DENIED, lun_metrics_get(r->metrics, LUN_METRIC_RETRIES_DENIED, NULL));
    put_rounded(out, LUN_REPORT_RETRY_WAIT, lun_metrics_get(r->metrics, LUN_METRIC_RETRY_WAIT, NULL), 6);
    free(retried);
}

static void put_totals(struct lun_buf *out, const struct lun_reported *r, struct lines *stages, const struct lines *targets)
{
    struct line *all = lun_zalloc(sizeof *all);
    all->spread_told = r->spread;
    lun_metrics_each(r->metrics, LUN_METRIC_REQUEST_SECONDS, on_request, all);
    for (size_t i = 0; i < targets->n; i++) {
        all->hedges += targets->at[i]->hedges;
        all->queued += targets->at[i]->queued;
        all->queue_seconds += targets->at[i]->queue_seconds;
    }
    key(out, LUN_REPORT_TOTALS);
    lun_buf_putc(out, '{');
    put_requests(out, all);
    put_plan(out, stages);
    put_cache(out, r);
    put_retries(out, r, all->ended);
    put(out, LUN_REPORT_HEDGES, all->hedges);
    put(out, LUN_REPORT_QUEUED, all->queued);
    put_rounded(out, LUN_REPORT_QUEUE_SECONDS, all->queue_seconds, 6);
    lun_buf_putc(out, '}');
    free(all);
}

void lun_report_write(const struct lun_reported *r, struct lun_buf *out)
{
    struct lines stages = { .spread_told = r->spread }, targets = { .spread_told = r->spread };
    char since[25];
    lun_metrics_each(r->metrics, LUN_METRIC_STAGE_SECONDS, on_stage, &stages);
    lun_metrics_each(r->metrics, LUN_METRIC_ATTEMPTS, on_attempt, &targets);
    lun_metrics_each(r->metrics, LUN_METRIC_TARGET_SECONDS, on_time, &targets);
    lun_metrics_each(r->metrics, LUN_METRIC_HEDGES, on_hedge, &targets);
    lun_metrics_each(r->metrics, LUN_METRIC_QUEUE_SECONDS, on_queue, &targets);
    lun_metrics_each(r->metrics, LUN_METRIC_COST, on_target_cost, &targets);
    lun_clock_text(r->started, since);
    lun_buf_putc(out, '{');
    put_text(out, LUN_REPORT_SINCE, since);
    put_rounded(out, LUN_REPORT_SECONDS, (double)(r->wall > r->started ? r->wall - r->started : 0) / 1e6, 3);
    put_text(out, LUN_REPORT_VERSION, r->snapshot->version);
    put_open_circuits(out, r);
    put_totals(out, r, &stages, &targets);
    put_models(out, r);
    put_labels(out, r);
    put_stages(out, &stages);
    put_list(out, LUN_REPORT_TARGETS, &targets, busier, put_target, r);
    lun_buf_putc(out, '}');
    lines_free(&stages);
    lines_free(&targets);
}
