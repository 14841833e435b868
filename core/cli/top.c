#include "base/alloc.h"
#include "base/decimal.h"
#include "cli/cli.h"
#include "cli/figure.h"
#include "cli/pace.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/screen.h"
#include "cli/table.h"
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char lun_usage_top[] =
    "usage: lunette top [--interval SECONDS] [--once] [--admin ADDR]\n"
    "\n"
    "How a running gateway does, live in the terminal: requests a second, success and latencies of the last interval, spend an hour, budgets near their limit,\n"
    "providers, errors; and a table of models, labels, stages, targets, budgets or providers. Where the output is no terminal: once.\n"
    "  --interval S   seconds between two looks, 0.1 to 3600 (2)\n"
    "  --once         prints what happened in one interval, all tables, and ends\n"
    LUN_REMOTE_WHERE_HELP
    "\n"
    "Keys: m l s t b p choose the table; left and right the column that it is sorted by, r turns its order round; up, down, page up and page down scroll;\n"
    "space looks at once; q ends.\n"
    "\n"
    LUN_REMOTE_END_HELP;

/* ---- cells ---- */

static void put_rate(struct lun_buf *out, double n)
{
    char text[64];
    if (isnan(n)) lun_figure_none(out);
    else if (n >= 99.95) lun_figure_short(out, n);
    else lun_buf_add(out, text, (size_t)lun_decimal_places(text, sizeof text, n ? n < 9.995 ? 2 : 1 : 0, n));
}

static void put_span(struct lun_buf *out, double seconds)
{
    char text[64];
    static const struct { double from, of; const char *unit; } units[] = { { 172800, 86400, " days" }, { 5400, 3600, " h" }, { 90, 60, " min" }, { 0, 1, " s" } };
    size_t i = 0;
    if (isnan(seconds)) { lun_figure_none(out); return; }
    while (seconds < units[i].from) i++;
    lun_buf_add(out, text, (size_t)lun_decimal_places(text, sizeof text, 0, seconds / units[i].of));
    lun_buf_puts(out, units[i].unit);
}

static void put_member(struct lun_buf *out, struct lun_json row, const char *member)
{
    struct lun_json value = lun_json_get(row, member);
    if (value.n && lun_json_type(value) != LUN_JSON_NULL) lun_figure_name(out, value);
    else lun_figure_none(out);
}

#define CELL(name, put, expression) static void name(struct lun_buf *out, struct lun_json row) { put(out, expression); }
#define NAME(name, member) static void name(struct lun_buf *out, struct lun_json row) { put_member(out, row, member); }
CELL(rate,      put_rate,           lun_figure_number(row, "per_second"))
CELL(failing,   put_rate,           lun_figure_number(row, "failed_per_second"))
CELL(tokens,    put_rate,           lun_figure_number(row, "tokens_per_second"))
CELL(success,   lun_figure_percent, lun_figure_number(row, "success_rate") * 100)
CELL(p50,       lun_figure_ms,      lun_figure_number(row, "p50_ms"))
CELL(p99,       lun_figure_ms,      lun_figure_number(row, "p99_ms"))
CELL(hourly,    lun_figure_usd,     lun_figure_number(row, "usd_per_hour"))
CELL(share,     lun_figure_percent, lun_figure_number(row, "share") * 100)
CELL(used,      lun_figure_usd,     lun_figure_number(row, "used"))
CELL(held,      lun_figure_usd,     lun_figure_number(row, "held"))
CELL(limit,     lun_figure_usd,     lun_figure_number(row, "limit"))
CELL(left,      lun_figure_usd,     lun_figure_number(row, "left"))
CELL(resets,    put_span,           lun_figure_number(row, "resets_in"))
CELL(latency,   lun_figure_ms,      lun_figure_number(row, "latency_ms"))
CELL(failures,  lun_figure_count,   lun_figure_number(row, "failures_in_a_row"))
CELL(rests,     put_span,           lun_figure_number(row, "rests_ms") / 1000)
NAME(model, "model")
NAME(label, "label")
NAME(stage, "stage")
NAME(target, "target")
NAME(circuit, "circuit")
NAME(named, "name")
NAME(period, "period")
NAME(state, "state")

/* ---- tables ---- */

/* `member`: what rows are sorted by. */
struct sortable { struct lun_column column; const char *member; };
#define NUMBER(head, put, member) { { head, NULL, put, true }, member }
#define TEXT(head, put, member)   { { head, NULL, put, false }, member }
#define PACE NUMBER("a second", rate, "per_second"), NUMBER("success", success, "success_rate"), NUMBER("failed/s", failing, "failed_per_second"), \
             NUMBER("p50", p50, "p50_ms"), NUMBER("p99", p99, "p99_ms")
static const struct sortable model_columns[] = { TEXT("model", model, "model"), PACE, NUMBER("tokens/s", tokens, "tokens_per_second"), NUMBER("$ an hour", hourly, "usd_per_hour") };
static const struct sortable label_columns[] = { TEXT("label", label, "label"), PACE };
static const struct sortable stage_columns[] = { TEXT("stage", stage, "stage"), NUMBER("a second", rate, "per_second"), NUMBER("p50", p50, "p50_ms"), NUMBER("p99", p99, "p99_ms") };
static const struct sortable target_columns[] = { TEXT("target", target, "target"), TEXT("circuit", circuit, "circuit"), PACE, NUMBER("$ an hour", hourly, "usd_per_hour") };
static const struct sortable budget_columns[] = { TEXT("budget", named, "name"), TEXT("period", period, "period"), NUMBER("share", share, "share"), NUMBER("used", used, "used"),
    NUMBER("held", held, "held"), NUMBER("limit", limit, "limit"), NUMBER("left", left, "left"), NUMBER("resets in", resets, "resets_in") };
static const struct sortable provider_columns[] = { TEXT("provider", named, "name"), TEXT("state", state, "state"), NUMBER("success", success, "success_rate"),
    NUMBER("latency", latency, "latency_ms"), NUMBER("failures in a row", failures, "failures_in_a_row"), NUMBER("rests", rests, "rests_ms") };

enum source { FROM_PACE, FROM_BUDGETS, FROM_PROVIDERS, SOURCES };
enum { COLUMNS_MOST = 8 };
#define COLUMNS(list) list, sizeof list / sizeof *list
static const struct { char key; const char *list; enum source from; const struct sortable *columns; int n, sorted; } tables[] = {
    { 'm', "models",    FROM_PACE,      COLUMNS(model_columns),    1 },
    { 'l', "labels",    FROM_PACE,      COLUMNS(label_columns),    1 },
    { 's', "stages",    FROM_PACE,      COLUMNS(stage_columns),    1 },
    { 't', "targets",   FROM_PACE,      COLUMNS(target_columns),   2 },
    { 'b', "budgets",   FROM_BUDGETS,   COLUMNS(budget_columns),   2 },
    { 'p', "providers", FROM_PROVIDERS, COLUMNS(provider_columns), 0 },
};
enum { TABLES = sizeof tables / sizeof *tables };

/* ---- looking ---- */

static const char *const paths[SOURCES] = { "/admin/report?spread=1", "/admin/budgets?n=1000", "/admin/providers" };

struct top {
    struct lun_remote remote;
    struct lun_screen *screen;          /* NULL: it is printed once */
    double interval;
    bool colour;
    struct lun_remote_answer looks[SOURCES], before;    /* before: the report's last */
    struct lun_buf pace;
    char *trouble; size_t trouble_n;    /* why there was no answer; "": there was one */
    int table, sorted[TABLES]; bool turned[TABLES];
    size_t scroll;
};

static bool ends(void *self) { return lun_screen_ends(self); }

static bool ask(struct top *t, struct lun_remote_answer fresh[SOURCES])
{
    int status = 0;
    for (int i = 0; i < SOURCES && !status; i++) status = lun_remote_get(&t->remote, paths[i], false, &fresh[i]);
    return !status;
}

static void reckon(struct top *t)
{
    struct lun_json now = t->looks[FROM_PACE].json;
    t->pace.n = 0;
    lun_pace_put(&t->pace, now, t->before.json);
}

/* What was seen stays where nobody answers. */
static bool look(struct top *t)
{
    struct lun_remote_answer fresh[SOURCES] = {0};
    free(t->trouble);
    t->trouble = NULL;
    if (t->screen) t->remote.errors = open_memstream(&t->trouble, &t->trouble_n);
    bool good = ask(t, fresh);
    if (t->remote.errors) fclose(t->remote.errors);
    t->remote.errors = NULL;
    for (int i = 0; i < SOURCES; i++) {
        struct lun_remote_answer *old = !good ? &fresh[i] : i == FROM_PACE ? &t->before : &t->looks[i];
        lun_remote_answer_free(old);
        if (!good) continue;
        if (i == FROM_PACE) t->before = t->looks[i];
        t->looks[i] = fresh[i];
    }
    if (good) reckon(t);
    return good;
}

static struct lun_json pace_of(const struct top *t) { return (struct lun_json){ t->pace.at, t->pace.n }; }

static struct lun_json list_of(const struct top *t, int table)
{
    return lun_json_get(tables[table].from == FROM_PACE ? pace_of(t) : t->looks[tables[table].from].json, tables[table].list);
}

/* ---- a table, in its order ---- */

struct row { struct lun_json json; double number; struct lun_json text; size_t at; bool turned; };

static int behind(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int by = 0;
    if (isnan(x->number) != isnan(y->number)) return isnan(x->number) ? 1 : -1;
    if (!isnan(x->number)) by = (x->number < y->number) - (x->number > y->number);
    else if (x->text.n && y->text.n) {
        size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
        by = memcmp(x->text.at, y->text.at, n);
        if (!by) by = (x->text.n > y->text.n) - (x->text.n < y->text.n);
    }
    if (by) return x->turned ? -by : by;
    return x->at < y->at ? -1 : 1;
}

static struct row *rows_of(const struct top *t, int table, size_t *n)
{
    struct lun_json list = list_of(t, table);
    struct row *rows = lun_zalloc((lun_json_count(list) + 1) * sizeof *rows);
    const char *member = tables[table].columns[t->sorted[table]].member;
    *n = 0;
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); (*n)++)
        rows[*n] = (struct row){ e.value, lun_figure_number(e.value, member), lun_json_get(e.value, member), *n, t->turned[table] };
    if (*n) qsort(rows, *n, sizeof *rows, behind);
    return rows;
}

static void put_rows(struct lun_buf *out, const struct top *t, int table, const struct row *rows, size_t n)
{
    struct lun_column columns[COLUMNS_MOST];
    struct lun_buf list = {0};
    char head[32];
    for (int i = 0; i < tables[table].n; i++) columns[i] = tables[table].columns[i].column;
    if (t->screen) {
        struct lun_column *c = &columns[t->sorted[table]];
        snprintf(head, sizeof head, "%s%s", t->turned[table] ? "▴" : "▾", c->head);
        c->head = head;
    }
    lun_buf_putc(&list, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) lun_buf_putc(&list, ',');
        lun_json_put_raw(&list, rows[i].json);
    }
    lun_buf_putc(&list, ']');
    lun_table_put(out, (struct lun_json){ list.at, list.n }, columns, tables[table].n);
    lun_buf_free(&list);
}

static void put_table(struct lun_buf *out, struct top *t, int table, size_t room)
{
    size_t n;
    struct row *rows = rows_of(t, table, &n);
    if (t->scroll + room > n) t->scroll = n > room ? n - room : 0;
    size_t shown = n - t->scroll < room ? n - t->scroll : room;
    put_rows(out, t, table, rows + t->scroll, shown);
    free(rows);
}

/* ---- the lines above it ---- */

static void paint(struct lun_buf *out, const struct top *t, const char *how) { if (t->colour) lun_buf_printf(out, "\033[%sm", how); }

static void put_head(struct lun_buf *out, const struct top *t)
{
    struct lun_json report = t->looks[FROM_PACE].json;
    paint(out, t, "1");
    lun_remote_put(out, lun_json_get(report, "version"));
    paint(out, t, "0");
    lun_buf_puts(out, ", up ");
    put_span(out, lun_figure_number(report, "seconds"));
    lun_buf_printf(out, ", %s: ", t->remote.address);
    if (lun_json_true(lun_json_get(pace_of(t), "since_start"))) lun_buf_puts(out, "since it started\n");
    else lun_buf_puts(out, "the last "), put_rate(out, lun_figure_number(pace_of(t), "seconds")), lun_buf_puts(out, " s\n");
}

static void put_requests(struct lun_buf *out, struct lun_json totals)
{
    lun_buf_puts(out, "requests  "), rate(out, totals);
    lun_buf_puts(out, " a second, answered "), success(out, totals);
    lun_buf_puts(out, ", failed or refused "), failing(out, totals);
    lun_buf_puts(out, " a second, p50 "), p50(out, totals);
    lun_buf_puts(out, ", p99 "), p99(out, totals);
    lun_buf_putc(out, '\n');
}

static void put_spend(struct lun_buf *out, const struct top *t)
{
    lun_buf_puts(out, "spend     "), hourly(out, lun_json_get(pace_of(t), "all_models"));
    lun_buf_puts(out, " an hour; "), lun_figure_usd(out, lun_figure_number(lun_json_get(t->looks[FROM_PACE].json, "all_models"), "cost_usd"));
    lun_buf_puts(out, " since it started\n");
}

/* Those that have passed their soft share, or 80 %; if none has, the nearest. They come in that order. */
static void put_budgets(struct lun_buf *out, const struct top *t)
{
    int n = 0;
    lun_buf_puts(out, "budgets   ");
    for (struct lun_json_each e = lun_json_each(lun_json_get(t->looks[FROM_BUDGETS].json, "budgets")); lun_json_next(&e) && n < 5; ) {
        double is = lun_figure_number(e.value, "share"), soft = lun_figure_number(e.value, "soft");
        bool near = is >= (isnan(soft) ? 0.8 : soft);
        if (isnan(is) || (n && !near)) break;
        if (n++) lun_buf_puts(out, ", ");
        paint(out, t, near ? is >= 1 ? "31" : "33" : "0");
        named(out, e.value), lun_buf_putc(out, ' '), share(out, e.value);
        lun_buf_puts(out, " of "), limit(out, e.value);
        paint(out, t, "0");
        if (!near) break;
    }
    lun_buf_puts(out, n ? "\n" : "none has a limit\n");
}

static void put_providers(struct lun_buf *out, const struct top *t)
{
    int n = 0;
    lun_buf_puts(out, "providers ");
    for (struct lun_json_each e = lun_json_each(lun_json_get(t->looks[FROM_PROVIDERS].json, "providers")); lun_json_next(&e); ) {
        struct lun_json is = lun_json_get(e.value, "state");
        if (lun_json_is(is, "healthy")) continue;
        if (n++) lun_buf_puts(out, ", ");
        paint(out, t, lun_json_is(is, "down") ? "31" : "33");
        named(out, e.value), lun_buf_puts(out, ": "), state(out, e.value);
        paint(out, t, "0");
    }
    lun_buf_puts(out, n ? "\n" : "all healthy\n");
}

static void put_errors(struct lun_buf *out, const struct top *t)
{
    int n = 0;
    lun_buf_puts(out, "errors    ");
    for (struct lun_json_each e = lun_json_each(lun_json_get(pace_of(t), "ends")); lun_json_next(&e) && n < 6; ) {
        if (n++) lun_buf_puts(out, ", ");
        put_member(out, e.value, "kind"), lun_buf_putc(out, ' '), rate(out, e.value);
    }
    lun_buf_puts(out, n ? " a second\n" : "none\n");
}

static void put_all(struct lun_buf *out, const struct top *t)
{
    put_head(out, t);
    put_requests(out, lun_json_get(pace_of(t), "totals"));
    put_spend(out, t);
    put_budgets(out, t);
    put_providers(out, t);
    put_errors(out, t);
}

/* ---- live ---- */

/* The first line of why there was no answer, or empty. */
static void put_trouble(struct lun_buf *out, const struct top *t)
{
    const char *why = t->trouble ? t->trouble : "";
    if (!strncmp(why, "lunette top: ", 13)) why += 13;
    paint(out, t, "31;1");
    if (*why) lun_buf_puts(out, "asking again: ");
    for (; *why && *why != '\n'; why++) lun_buf_putc(out, (unsigned char)*why < ' ' ? '?' : *why);
    paint(out, t, "0");
    lun_buf_putc(out, '\n');
}

static void put_tabs(struct lun_buf *out, const struct top *t)
{
    for (int i = 0; i < TABLES; i++) {
        lun_buf_puts(out, i ? "  " : "");
        if (i == t->table) lun_buf_puts(out, "\033[7m");
        lun_buf_printf(out, "%c %s", tables[i].key, tables[i].list);
        if (i == t->table) lun_buf_puts(out, "\033[0m");
    }
    lun_buf_puts(out, "   arrows: sort, scroll  r: turn round  q: end\n");
}

static void draw(struct top *t)
{
    enum { ABOVE = 9 };                 /* lines, with the table's head */
    struct lun_buf out = {0};
    int columns, lines;
    lun_screen_size(t->screen, &columns, &lines);
    if (t->pace.n) put_all(&out, t);
    else lun_buf_puts(&out, "\n\n\n\n\n\n");
    put_trouble(&out, t);
    put_tabs(&out, t);
    if (t->pace.n) put_table(&out, t, t->table, lines > ABOVE ? (size_t)(lines - ABOVE) : 0);
    if (out.n) out.n--;                 /* the last line's end would be one line more */
    lun_screen_draw(t->screen, &out);
    lun_buf_free(&out);
}

static void sort_by(struct top *t, int step)
{
    int n = tables[t->table].n;
    t->sorted[t->table] = (t->sorted[t->table] + step + n) % n;
}

static void scroll(struct top *t, int by)
{
    if (by < 0 && t->scroll < (size_t)-by) t->scroll = 0;
    else t->scroll += (size_t)by;
}

static void press(struct top *t, int key)
{
    for (int i = 0; i < TABLES; i++) if (key == tables[i].key) t->table = i, t->scroll = 0;
    if (key == LUN_SCREEN_LEFT || key == LUN_SCREEN_RIGHT) sort_by(t, key == LUN_SCREEN_LEFT ? -1 : 1);
    if (key == LUN_SCREEN_UP || key == LUN_SCREEN_DOWN) scroll(t, key == LUN_SCREEN_UP ? -1 : 1);
    if (key == LUN_SCREEN_PAGE_UP || key == LUN_SCREEN_PAGE_DOWN) scroll(t, key == LUN_SCREEN_PAGE_UP ? -20 : 20);
    if (key == 'r') t->turned[t->table] = !t->turned[t->table];
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Until somebody ends it. */
static void live(struct top *t)
{
    double due = now();
    for (int key = ' '; key != 'q' && key != LUN_SCREEN_END; ) {
        if (key == ' ' || now() >= due) look(t), due = now() + t->interval;
        draw(t);
        double left = due - now();
        key = lun_screen_next(t->screen, left > 0 ? (int)ceil(left * 1000) : 0);
        press(t, key);
    }
}

static int show_live(struct top *t)
{
    if (!(t->screen = lun_screen_open())) return fprintf(stderr, "lunette top: the terminal cannot be used: %s\n", strerror(errno)), 1;
    t->remote.limit_ms = 5000, t->remote.stop = ends, t->remote.self = t->screen;
    live(t);
    int by = lun_screen_close(t->screen);
    if (by) raise(by);
    return 0;
}

/* ---- once ---- */

static int show_once(struct top *t)
{
    struct lun_buf out = {0};
    if (!look(t)) return 1;
    poll(NULL, 0, (int)ceil(t->interval * 1000));
    if (!look(t)) return 1;
    put_all(&out, t);
    for (int i = 0; i < TABLES; i++) {
        if (!lun_json_count(list_of(t, i))) continue;
        lun_buf_putc(&out, '\n');
        put_table(&out, t, i, SIZE_MAX / 2);
    }
    lun_print(&out, stdout);
    return 0;
}

static bool read_interval(const char *text, double *out)
{
    char *end;
    *out = lun_decimal_read(text, &end);
    if (end != text && !*end && *out >= 0.1 && *out <= 3600) return true;
    fprintf(stderr, "lunette top: --interval is a number of seconds from 0.1 to 3600, not %s\n", text);
    return false;
}

int lun_command_top(int argc, char **argv)
{
    static const struct option options[] = { { "interval", required_argument, NULL, 'i' }, { "once", no_argument, NULL, 'o' }, { "admin", required_argument, NULL, 'a' },
        { "help", no_argument, NULL, 'h' }, { 0 } };
    struct top t = { .interval = 2 };
    const char *admin = NULL, *none = getenv("NO_COLOR");
    bool once = !isatty(STDOUT_FILENO);
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_top, stdout) < 0;
        if (c == '?' || (c == 'i' && !read_interval(optarg, &t.interval))) return c == '?' ? fputs(lun_usage_top, stderr), 2 : 2;
        if (c == 'a') admin = optarg;
        once |= c == 'o';
    }
    if (optind < argc) return fputs(lun_usage_top, stderr), 2;
    t.colour = isatty(STDOUT_FILENO) && (!none || !*none);
    for (int i = 0; i < TABLES; i++) t.sorted[i] = tables[i].sorted;
    int status = lun_remote_open(&t.remote, "top", admin);
    if (!status) status = once ? show_once(&t) : show_live(&t);
    for (int i = 0; i < SOURCES; i++) lun_remote_answer_free(&t.looks[i]);
    lun_remote_answer_free(&t.before);
    lun_buf_free(&t.pace);
    free(t.trouble);
    lun_remote_free(&t.remote);
    return status;
}
