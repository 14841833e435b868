#include "cli/ledger.h"
#include "base/json.h"
#include "cli/print.h"
#include "cli/table.h"
#include "state/ledger_verify.h"
#include <getopt.h>

struct lists { struct lun_buf accounts, problems; };        /* JSON, the insides of two arrays */

static void on_account(void *self, const struct lun_verified *v)
{
    struct lun_buf *out = &((struct lists *)self)->accounts;
    if (out->n) lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "budget", v->budget);
    lun_json_member_text(out, "period", v->period);
    lun_ledger_put_usd_key(out, "charged", v->charged);
    lun_ledger_put_usd_key(out, "counted", v->counted);
    lun_ledger_put_usd_key(out, "orphaned", v->orphaned);
    if (v->limit >= 0) lun_ledger_put_usd_key(out, "limit", v->limit);
    lun_json_member_int(out, "rows", v->rows);
    lun_json_member_bool(out, "wrong", v->wrong);
    lun_buf_putc(out, '}');
}

static void on_problem(void *self, const char *what)
{
    struct lun_buf *out = &((struct lists *)self)->problems;
    if (out->n) lun_buf_putc(out, ',');
    lun_json_put_text(out, what);
}

static void put_wrong(struct lun_buf *out, struct lun_json row) { lun_buf_puts(out, lun_json_true(lun_json_get(row, "wrong")) ? "WRONG" : ""); }

static const struct lun_column columns[] = {
    { "budget", "budget", NULL }, { "period", "period", NULL }, { "charged", "charged", NULL, true }, { "orphaned", "orphaned", NULL, true },
    { "limit", "limit", NULL, true }, { "rows", "rows", NULL, true }, { "", NULL, put_wrong } };

static void put_table(struct lists *l, const struct lun_verification *sum, struct lun_buf *out)
{
    struct lun_buf list = {0};
    struct lun_json json;
    lun_buf_printf(&list, "[%s]", lun_buf_text(&l->accounts));
    if (l->accounts.n && lun_json_check(list.at, list.n, &json, NULL)) lun_table_put(out, json, columns, sizeof columns / sizeof *columns);
    list.n = 0;
    lun_buf_printf(&list, "[%s]", lun_buf_text(&l->problems));
    if (lun_json_check(list.at, list.n, &json, NULL))
        for (struct lun_json_each e = lun_json_each(json); lun_json_next(&e); lun_buf_putc(out, '\n')) {
            lun_buf_puts(out, "wrong: ");
            lun_json_string(e.value, false, out);
        }
    lun_buf_free(&list);
    lun_buf_printf(out, "%lld account%s verified, %lld wrong; %lld row%s read\n", (long long)sum->accounts, sum->accounts == 1 ? "" : "s", (long long)sum->wrong,
                   (long long)sum->rows, sum->rows == 1 ? "" : "s");
}

static void put_json(struct lists *l, const struct lun_verification *sum, struct lun_buf *out)
{
    lun_buf_printf(out, "{\"accounts\":[%s],\"problems\":[%s],\"verified\":%lld,\"wrong\":%lld,\"rows_read\":%lld}\n", lun_buf_text(&l->accounts),
                   lun_buf_text(&l->problems), (long long)sum->accounts, (long long)sum->wrong, (long long)sum->rows);
}

static int verify(struct lun_ledger *l, bool full, bool json)
{
    struct lists lists = {0};
    struct lun_buf out = {0};
    struct lun_verification sum;
    bool good = lun_ledger_verify(l, &(struct lun_verify){ .full = full, .self = &lists, .account = on_account, .problem = on_problem }, &sum);
    if (!good) on_problem(&lists, lun_ledger_error(l));
    (json ? put_json : put_table)(&lists, &sum, &out);
    lun_print(&out, stdout);
    lun_buf_free(&lists.accounts), lun_buf_free(&lists.problems);
    return !good || sum.wrong || sum.problems;
}

int lun_ledger_command_verify(int argc, char **argv)
{
    static const struct option options[] = { { "full", no_argument, NULL, 'f' }, { "json", no_argument, NULL, 'j' },
        { "db", required_argument, NULL, 'd' }, { 0 } };
    const char *db = NULL;
    bool full = false, json = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        if (c == '?') return lun_ledger_wrong_use("verify", "that option is not known, or lacks its value");
        if (c == 'd') db = optarg;
        full |= c == 'f';
        json |= c == 'j';
    }
    if (argc - optind > (db ? 0 : 1)) return lun_ledger_wrong_use("verify", "`%s` is too much", argv[argc - 1]);
    struct lun_ledger *l = lun_ledger_find("verify", db, argv[optind], LUN_LEDGER_READ);
    int status = l ? verify(l, full, json) : 1;
    lun_ledger_close(l);
    return status;
}
