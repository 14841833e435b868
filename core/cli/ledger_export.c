#include "cli/ledger.h"
#include "base/json.h"
#include "state/ledger_export.h"
#include <getopt.h>
#include <string.h>

enum { FULL = 1 << 16 };                /* bytes that are written at once */

struct writer { struct lun_buf out; bool json, failed; uint64_t rows; };

static bool flush(struct writer *w, size_t beyond)
{
    if (w->out.n > beyond) {
        w->failed |= fwrite(w->out.at, 1, w->out.n, stdout) != w->out.n;
        w->out.n = 0;
    }
    return !w->failed;
}

/* ---- what a row consists of: each once, for both forms ---- */

static void put_flags(struct lun_buf *out, uint32_t flags)
{
    static const char *const names[] = {
#define X(id, name, ...) name,
        LUN_ATTEMPT_FLAGS(X)
#undef X
    };
    for (int i = 0, n = 0; i < LUN_ATTEMPT_BITS; i++) if (flags >> i & 1) lun_buf_printf(out, "%s%s", n++ ? " " : "", names[i]);
}

/* A text cell. What a spreadsheet would reckon with is made a text for it, too. */
static void put_cell(struct lun_buf *out, const char *text)
{
    bool formula = *text && strchr("=+-@\t\r", *text);
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        lun_buf_puts(out, text);
        return;
    }
    lun_buf_putc(out, '"');
    if (formula) lun_buf_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '"') lun_buf_putc(out, '"');
        lun_buf_putc(out, *text);
    }
    lun_buf_putc(out, '"');
}

static void put_text(struct writer *w, const char *name, const char *text)
{
    if (!w->json) put_cell(&w->out, text), lun_buf_putc(&w->out, ',');
    else if (*text) lun_json_member_text(&w->out, name, text);
}

static void put_int(struct writer *w, const char *name, int64_t number, bool there)
{
    if (w->json && there) lun_json_member_int(&w->out, name, number);
    else if (!w->json && there) lun_buf_printf(&w->out, "%lld,", (long long)number);
    else if (!w->json) lun_buf_putc(&w->out, ',');
}

static void put_usd(struct writer *w, const char *name, int64_t nano, bool there)
{
    if (w->json && there) lun_ledger_put_usd_key(&w->out, name, nano);
    else if (!w->json && there) lun_ledger_put_usd(&w->out, nano), lun_buf_putc(&w->out, ',');
    else if (!w->json) lun_buf_putc(&w->out, ',');
}

static void put_fields(struct writer *w, const struct lun_exported *e)
{
    bool attempt = e->type == LUN_EXPORTED_ATTEMPT;
    struct lun_buf flags = {0};
    char time[25];
    lun_clock_text(e->at, time);
    put_flags(&flags, e->flags);
    put_text(w, "type", lun_exported_type_name(e->type));
    put_text(w, "time", time);
    put_int(w, "run", e->run, true);
    put_int(w, "seq", (int64_t)e->seq, e->seq);
    put_usd(w, "amount", e->amount, true);
    put_usd(w, "hold", e->hold, attempt);
    put_text(w, "budgets", e->budgets);
    put_text(w, "request", e->request);
    put_text(w, "client", e->client);
    put_text(w, "target", e->target);
    put_text(w, "version", e->version);
    put_text(w, "state", e->state);
    put_text(w, "kind", e->kind);
    put_text(w, "flags", lun_buf_text(&flags));
#define X(name) put_int(w, #name, e->tokens[LUN_TOKENS_##name], attempt);
    LUN_ATTEMPT_TOKENS(X)
#undef X
    put_int(w, "latency_ms", e->latency_ms, attempt);
    put_text(w, "by", e->by);
    put_text(w, "why", e->why);
    lun_buf_free(&flags);
}

static const char head[] = "type,time,run,seq,amount,hold,budgets,request,client,target,version,state,kind,flags,"
#define X(name) #name ","
    LUN_ATTEMPT_TOKENS(X)
#undef X
    "latency_ms,by,why\r\n";

static bool on_row(void *self, const struct lun_exported *e)
{
    struct writer *w = self;
    if (w->json) lun_buf_puts(&w->out, w->rows ? ",\n{" : "\n{");
    put_fields(w, e);
    if (w->json) lun_buf_putc(&w->out, '}');
    else w->out.n--, lun_buf_puts(&w->out, "\r\n");
    w->rows++;
    return flush(w, FULL);
}

static int export(struct lun_ledger *l, struct lun_export *how, bool json)
{
    struct writer w = { .json = json };
    how->self = &w, how->row = on_row;
    lun_buf_puts(&w.out, json ? "[" : head);
    bool good = lun_ledger_export(l, how);
    if (json && good) lun_buf_puts(&w.out, w.rows ? "\n]\n" : "]\n");
    flush(&w, 0);
    w.failed |= fflush(stdout) != 0;
    lun_buf_free(&w.out);
    if (!good) return lun_ledger_say("export", 1, "%s", lun_ledger_error(l));
    if (w.failed) return lun_ledger_say("export", 1, "it could not be written: %m");
    if (how->budget && !w.rows) return lun_ledger_say("export", 0, "nothing counts to a budget \"%s\" in that time; `lunette ledger verify` lists those there are", how->budget);
    return 0;
}

int lun_ledger_command_export(int argc, char **argv)
{
    static const struct option options[] = { { "format", required_argument, NULL, 'o' }, { "from", required_argument, NULL, 'f' },
        { "to", required_argument, NULL, 't' }, { "budget", required_argument, NULL, 'b' }, { "json", no_argument, NULL, 'j' },
        { "db", required_argument, NULL, 'd' }, { 0 } };
    struct lun_export how = { .from = INT64_MIN, .to = INT64_MAX };
    const char *db = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        if (c == '?') return lun_ledger_wrong_use("export", "that option is not known, or lacks its value");
        if (c == 'o' && strcmp(optarg, "csv") && strcmp(optarg, "json")) return lun_ledger_wrong_use("export", "`%s` is no format: csv or json", optarg);
        if ((c == 'f' && !lun_ledger_time(optarg, &how.from)) || (c == 't' && !lun_ledger_time(optarg, &how.to)))
            return lun_ledger_wrong_use("export", "`%s` is no time: 2026-11-28, or 2026-11-28T14:00:00Z", optarg);
        if (c == 'o') json = *optarg == 'j';
        if (c == 'j') json = true;
        if (c == 'b') how.budget = optarg;
        if (c == 'd') db = optarg;
    }
    if (argc - optind > (db ? 0 : 1)) return lun_ledger_wrong_use("export", "`%s` is too much", argv[argc - 1]);
    struct lun_ledger *l = lun_ledger_find("export", db, argv[optind], LUN_LEDGER_READ);
    int status = l ? export(l, &how, json) : 1;
    lun_ledger_close(l);
    return status;
}
