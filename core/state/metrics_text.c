#include "state/metrics_table.h"
#include "base/decimal.h"
#include "base/text.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static const char *const types[] = { [LUN_COUNTER] = "counter", [LUN_GAUGE] = "gauge", [LUN_HISTOGRAM] = "histogram" };

/* The shortest text that reads back as the same number. */
static void put_number(struct lun_buf *out, double x)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        lun_decimal_write(text, sizeof text, digits, x);
        if (lun_decimal_read(text, NULL) == x) break;
    }
    lun_buf_puts(out, text);
}

/* A scrape with ill-formed UTF-8 in it would be lost as a whole. */
static void put_value(struct lun_buf *out, const char *value)
{
    for (size_t n = strlen(value), took; n; value += took, n -= took) {
        took = lun_text_sequence(value, n);
        if (!took) { lun_buf_puts(out, "\xEF\xBF\xBD"); took = 1; }
        else if (*value == '\n') lun_buf_puts(out, "\\n");
        else if (*value == '"' || *value == '\\') lun_buf_printf(out, "\\%c", *value);
        else lun_buf_add(out, value, took);
    }
}

static void put_labels(struct lun_buf *out, const char *names, const char *values, const char *le)
{
    if (!*names && !le) return;
    lun_buf_putc(out, '{');
    for (size_t n; *names; names += n + (names[n] == ','), values += strlen(values) + 1) {
        n = strcspn(names, ",");
        lun_buf_add(out, names, n);
        lun_buf_puts(out, "=\"");
        put_value(out, values);
        lun_buf_puts(out, names[n] || le ? "\"," : "\"");
    }
    if (le) lun_buf_printf(out, "le=\"%s\"", le);
    lun_buf_putc(out, '}');
}

static void put_sample(struct lun_buf *out, const struct lun_metric_what *w, const char *suffix, const struct lun_series *s, const char *le, double x)
{
    lun_buf_puts(out, w->name);
    lun_buf_puts(out, suffix);
    put_labels(out, w->labels, s->labels, le);
    lun_buf_putc(out, ' ');
    put_number(out, x);
    lun_buf_putc(out, '\n');
}

static void put_histogram(struct lun_buf *out, const struct lun_metric_what *w, const struct lun_bounds *b, const struct lun_series *s)
{
    uint64_t count = 0;
    char le[40];
    for (size_t i = 0; i <= b->n; i++) {
        count += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        if (i < b->n) lun_decimal_write(le, sizeof le, 15, b->at[i]);
        put_sample(out, w, "_bucket", s, i < b->n ? le : "+Inf", (double)count);
    }
    put_sample(out, w, "_sum", s, NULL, s->value);
    put_sample(out, w, "_count", s, NULL, (double)count);
}

static void put_family(struct lun_buf *out, struct lun_metrics *m, enum lun_metric id)
{
    const struct lun_metric_what *w = lun_metric_what(id);
    lun_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", w->name, w->help, w->name, types[w->type]);
    for (int i = 0; i < LUN_METRIC_SLOTS; i++)
        for (struct lun_series *s = atomic_load_explicit(&m->families[id].slots[i], memory_order_acquire); s; s = s->next)
            if (w->type == LUN_HISTOGRAM) put_histogram(out, w, lun_metric_bounds(id), s);
            else put_sample(out, w, "", s, NULL, s->value);
}

static void put_policy(struct lun_buf *out, const struct lun_policy_metric *p)
{
    lun_buf_printf(out, "# HELP lunette_policy_%s Sum of what the policy gave to lunette.metric\n# TYPE lunette_policy_%s gauge\nlunette_policy_%s ", p->name, p->name, p->name);
    put_number(out, p->sum);
    lun_buf_putc(out, '\n');
}

void lun_metrics_write(struct lun_metrics *m, struct lun_buf *out)
{
    for (int id = 0; id < LUN_METRIC_COUNT; id++) put_family(out, m, id);
    pthread_mutex_lock(&m->lock);
    for (const struct lun_policy_metric *p = m->policy; p; p = p->next) put_policy(out, p);
    pthread_mutex_unlock(&m->lock);
}
