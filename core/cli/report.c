#include "base/text.h"
#include "cli/cli.h"
#include "cli/figure.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char lun_usage_report[] =
    "usage: lunette report [--by model|label|stage|target | --json] [--admin ADDR]\n"
    "\n"
    "What was asked of a running gateway since it started, and what came of it: success, latency, fallbacks, retries, waits, open circuits, cost, and\n"
    "what was saved against the mean price of the premium targets. Without --by: all of it, by model, label and stage.\n"
    "  --by WHAT      one table alone, of models, labels (what `classify` answered), stages (which step of the plan answered) or targets\n"
    LUN_REMOTE_HELP;

/* ---- cells ---- */

#define CELL(name, put, expression) static void name(struct lun_buf *out, struct lun_json row) { put(out, expression); }
CELL(attempts,  lun_figure_count,   lun_figure_number(row, "attempts"))
CELL(requests,  lun_figure_count,   lun_figure_number(row, "requests"))
CELL(answered,  lun_figure_count,   lun_figure_number(row, "answered"))
CELL(failed,    lun_figure_count,   lun_figure_number(row, "failed"))
CELL(success,   lun_figure_percent, lun_figure_number(row, "success_rate") * 100)
CELL(share,     lun_figure_percent, lun_figure_number(row, "share") * 100)
CELL(mean,      lun_figure_ms,      lun_figure_number(row, "mean_ms"))
CELL(p99,       lun_figure_ms,      lun_figure_number(row, "p99_ms"))
CELL(input,     lun_figure_short,   lun_figure_number(row, "tokens_input"))
CELL(output,    lun_figure_short,   lun_figure_number(row, "tokens_output"))
CELL(cost,      lun_figure_usd,     lun_figure_number(row, "cost_usd"))
CELL(saved,     lun_figure_percent, lun_figure_number(row, "saved_percent"))
CELL(queued,    lun_figure_count,   lun_figure_number(row, "queued"))
CELL(label,     lun_figure_name,    lun_json_get(row, "label"))
CELL(target,    lun_figure_name,    lun_json_get(row, "target"))

static void model(struct lun_buf *out, struct lun_json row)
{
    struct lun_json name = lun_json_get(row, "model");
    if (name.n) lun_figure_name(out, name);
    else lun_buf_puts(out, "all");
}

static void circuit(struct lun_buf *out, struct lun_json row)
{
    struct lun_json is = lun_json_get(row, "circuit");
    if (lun_json_type(is) == LUN_JSON_STRING) lun_remote_put(out, is);
    else lun_figure_none(out);
}

/* ---- tables ---- */

static const struct lun_column model_columns[] = {
    { "model", NULL, model }, { "attempts", NULL, attempts, true }, { "success", NULL, success, true }, { "mean", NULL, mean, true },
    { "p99", NULL, p99, true }, { "in", NULL, input, true }, { "out", NULL, output, true }, { "cost", NULL, cost, true }, { "saved", NULL, saved, true } };
static const struct lun_column label_columns[] = {
    { "label", NULL, label }, { "requests", NULL, requests, true }, { "success", NULL, success, true }, { "failed", NULL, failed, true },
    { "mean", NULL, mean, true }, { "p99", NULL, p99, true } };
static const struct lun_column stage_columns[] = {
    { "stage", "stage", NULL }, { "answered", NULL, answered, true }, { "share", NULL, share, true }, { "mean", NULL, mean, true }, { "p99", NULL, p99, true } };
static const struct lun_column target_columns[] = {
    { "target", NULL, target }, { "circuit", NULL, circuit }, { "attempts", NULL, attempts, true }, { "success", NULL, success, true },
    { "mean", NULL, mean, true }, { "p99", NULL, p99, true }, { "queued", NULL, queued, true }, { "cost", NULL, cost, true } };

#define COLUMNS(list) list, sizeof list / sizeof *list
static const struct { const char *by, *list, *last; const struct lun_column *columns; int n; bool always; } tables[] = {
    { "model",  "models",  "all_models", COLUMNS(model_columns),  true },
    { "label",  "labels",  NULL,         COLUMNS(label_columns),  true },
    { "stage",  "stages",  NULL,         COLUMNS(stage_columns),  true },
    { "target", "targets", NULL,         COLUMNS(target_columns), false },
};
enum { TABLES = sizeof tables / sizeof *tables };

static void put_table(struct lun_buf *out, struct lun_json report, int i)
{
    lun_table_put_summed(out, lun_json_get(report, tables[i].list), tables[i].last ? lun_json_get(report, tables[i].last) : (struct lun_json){0},
                  tables[i].columns, tables[i].n);
}

/* ---- the lines above them ---- */

static void put_head(struct lun_buf *out, struct lun_json report)
{
    lun_remote_put(out, lun_json_get(report, "version"));
    lun_buf_puts(out, ", since ");
    lun_remote_put(out, lun_json_get(report, "since"));
    lun_buf_putc(out, '\n');
}

static void put_requests(struct lun_buf *out, struct lun_json t)
{
    lun_buf_puts(out, "requests  ");
    lun_figure_count(out, lun_figure_number(t, "requests"));
    lun_buf_puts(out, ", answered ");
    lun_figure_percent(out, lun_figure_number(t, "success_rate") * 100);
    lun_buf_puts(out, " (failed ");
    lun_figure_count(out, lun_figure_number(t, "failed"));
    lun_buf_puts(out, ", refused ");
    lun_figure_count(out, lun_figure_number(t, "refused"));
    lun_buf_puts(out, ", left ");
    lun_figure_count(out, lun_figure_number(t, "left"));
    lun_buf_puts(out, "), mean ");
    lun_figure_ms(out, lun_figure_number(t, "mean_ms"));
    lun_buf_puts(out, ", p99 ");
    lun_figure_ms(out, lun_figure_number(t, "p99_ms"));
    lun_buf_putc(out, '\n');
}

static void put_fallbacks(struct lun_buf *out, struct lun_json t)
{
    lun_buf_puts(out, "plans     first step ");
    lun_figure_percent(out, lun_figure_number(t, "primary_rate") * 100);
    lun_buf_puts(out, ", fallback ");
    lun_figure_percent(out, lun_figure_number(t, "fallback_rate") * 100);
    lun_buf_puts(out, " (");
    lun_figure_count(out, lun_figure_number(t, "fallbacks"));
    lun_buf_puts(out, "), hedges ");
    lun_figure_count(out, lun_figure_number(t, "hedges"));
    lun_buf_putc(out, '\n');
}

static void put_cache(struct lun_buf *out, struct lun_json t)
{
    if (isnan(lun_figure_number(t, "cache_rate"))) return;         /* there is none, or nothing was looked up */
    lun_buf_puts(out, "cache     ");
    lun_figure_count(out, lun_figure_number(t, "cached"));
    lun_buf_puts(out, " answered from it (");
    lun_figure_percent(out, lun_figure_number(t, "cache_rate") * 100);
    lun_buf_puts(out, " of those looked up)\n");
}

static void put_retries(struct lun_buf *out, struct lun_json t)
{
    lun_buf_puts(out, "retries   ");
    lun_figure_count(out, lun_figure_number(t, "retries"));
    lun_buf_puts(out, " of ");
    lun_figure_count(out, lun_figure_number(t, "retried"));
    lun_buf_puts(out, " requests (");
    lun_figure_percent(out, lun_figure_number(t, "retry_rate") * 100);
    lun_buf_puts(out, "), ");
    lun_figure_count(out, lun_figure_number(t, "retried_answered"));
    lun_buf_puts(out, " answered in the end; waited ");
    lun_figure_ms(out, lun_figure_number(t, "retry_wait_seconds") * 1000);
    lun_buf_puts(out, ", denied ");
    lun_figure_count(out, lun_figure_number(t, "retries_denied"));
    lun_buf_putc(out, '\n');
}

static void put_queue(struct lun_buf *out, struct lun_json t)
{
    lun_buf_puts(out, "queue     ");
    lun_figure_count(out, lun_figure_number(t, "queued"));
    lun_buf_puts(out, " waited for a turn, ");
    lun_figure_ms(out, lun_figure_number(t, "queue_seconds") * 1000);
    lun_buf_puts(out, " together\n");
}

static void put_names(struct lun_buf *out, struct lun_json list)
{
    bool any = false;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); any = true) {
        if (any) lun_buf_puts(out, ", ");
        lun_remote_put(out, e.value);
    }
}

static void put_circuits(struct lun_buf *out, struct lun_json report, bool colour)
{
    struct lun_json open = lun_json_get(report, "open_circuits");
    if (!lun_json_count(open)) { lun_buf_puts(out, "circuits  all closed\n"); return; }
    lun_buf_puts(out, colour ? "\033[31mcircuits  open: " : "circuits  open: ");
    put_names(out, open);
    lun_buf_puts(out, colour ? "\033[0m\n" : "\n");
}

static void put_money(struct lun_buf *out, struct lun_json report)
{
    struct lun_json saving = lun_json_get(report, "saving");
    lun_buf_puts(out, "cost      ");
    lun_figure_usd(out, lun_figure_number(lun_json_get(report, "all_models"), "cost_usd"));
    if (lun_json_type(saving) != LUN_JSON_OBJECT) {
        lun_buf_puts(out, "; no saving is told: no target is above report.premium\n");
        return;
    }
    lun_buf_puts(out, ", saved ");
    lun_figure_usd(out, lun_figure_number(saving, "saved_usd"));
    lun_buf_puts(out, " (");
    lun_figure_percent(out, lun_figure_number(saving, "saved_percent"));
    lun_buf_puts(out, ") against the mean of ");
    put_names(out, lun_json_get(saving, "premium_targets"));
    lun_buf_putc(out, '\n');
}

static void put_all(struct lun_buf *out, struct lun_json report, bool colour)
{
    struct lun_json totals = lun_json_get(report, "totals");
    put_head(out, report);
    put_requests(out, totals);
    put_fallbacks(out, totals);
    put_cache(out, totals);
    put_retries(out, totals);
    put_queue(out, totals);
    put_circuits(out, report, colour);
    put_money(out, report);
    for (int i = 0; i < TABLES; i++) {
        if (!tables[i].always || !lun_json_count(lun_json_get(report, tables[i].list))) continue;
        lun_buf_putc(out, '\n');
        put_table(out, report, i);
    }
}

static int table_of(const char *by)
{
    const char *names[TABLES];
    for (int i = 0; i < TABLES; i++) {
        if (!strcmp(by, tables[i].by)) return i;
        names[i] = tables[i].by;
    }
    const char *near = lun_text_nearest(by, names, TABLES);
    fprintf(stderr, "lunette report: --by must be model, label, stage or target, not %s%s%s%s\n", by, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return -1;
}

static bool colourful(void)
{
    const char *none = getenv("NO_COLOR");
    return (!none || !*none) && isatty(STDOUT_FILENO);
}

/* `table` below 0: all. */
static int show(const struct lun_remote *r, int table, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, "/admin/report", json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status) {
        if (table < 0) put_all(&out, answer.json, colourful());
        else put_table(&out, answer.json, table);
        lun_print(&out, stdout);
    }
    lun_remote_answer_free(&answer);
    return status;
}

int lun_command_report(int argc, char **argv)
{
    static const struct option options[] = { { "by", required_argument, NULL, 'b' }, { "admin", required_argument, NULL, 'a' },
        { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    const char *admin = NULL, *by = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_report, stdout) < 0;
        if (c == '?') return fputs(lun_usage_report, stderr), 2;
        if (c == 'a') admin = optarg;
        if (c == 'b') by = optarg;
        json |= c == 'j';
    }
    if (optind < argc) return fputs(lun_usage_report, stderr), 2;
    int table = by ? table_of(by) : -1;
    if (by && table < 0) return 2;
    if (by && json) return fputs("lunette report: --json prints all of it; --by is for tables\n", stderr), 2;
    int status = lun_remote_open(&remote, "report", admin);
    if (!status) status = show(&remote, table, json);
    lun_remote_free(&remote);
    return status;
}
