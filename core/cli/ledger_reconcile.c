#include "cli/ledger.h"
#include "base/alloc.h"
#include "base/json.h"
#include "cli/ledger_bill.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "state/ledger_correct.h"
#include "state/price.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char part[] = "reconcile";

struct wish {
    const char *db, *config, *attempt, *cost, *why, *bill;
    bool dry, json;
    char by[LUN_REMOTE_USER];
};

static void attempt_text(char out[48], uint32_t run, uint64_t seq, uint32_t account)
{
    if (seq) snprintf(out, 48, "%u/%llu", run, (unsigned long long)seq);
    else snprintf(out, 48, "rest:%u/%u", run, account);
}

/* ---- the list ---- */

static void on_uncertain(void *self, const struct lun_uncertain *u)
{
    struct lun_buf *out = self;
    char name[48];
    attempt_text(name, u->run, u->seq, u->account);
    if (out->n) lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "attempt", name);
    lun_json_member_time(out, "time", u->at);
    lun_ledger_put_usd_key(out, "charged", u->charged);
    lun_json_member_text(out, u->seq ? "target" : "budget", u->what);
    if (u->seq) lun_json_member_text(out, "request", u->request);
    lun_buf_putc(out, '}');
}

static void put_what(struct lun_buf *out, struct lun_json row)
{
    struct lun_json budget = lun_json_get(row, "budget");
    if (budget.n) lun_buf_puts(out, "rest of ");
    lun_remote_put(out, budget.n ? budget : lun_json_get(row, "target"));
}

static const struct lun_column columns[] = { { "attempt", "attempt", NULL }, { "time", "time", NULL }, { "charged", "charged", NULL, true },
    { "what", NULL, put_what }, { "request", "request", NULL } };

static int list(struct lun_ledger *l, bool as_json)
{
    struct lun_buf rows = {0}, out = {0};
    struct lun_json json;
    if (!lun_ledger_uncertain(l, on_uncertain, &rows)) {
        lun_buf_free(&rows);
        return lun_ledger_say(part, 1, "%s", lun_ledger_error(l));
    }
    lun_buf_printf(&out, "[%s]\n", lun_buf_text(&rows));
    if (!as_json && !rows.n) out.n = 0, lun_buf_puts(&out, "Nothing is charged at its hold: every cost is known.\n");
    else if (!as_json && lun_json_check(out.at, out.n, &json, NULL)) {
        struct lun_buf table = {0};
        lun_table_put(&table, json, columns, sizeof columns / sizeof *columns);
        lun_buf_free(&out);
        out = table;
    }
    lun_print(&out, stdout);
    lun_buf_free(&rows);
    return 0;
}

/* ---- changes ---- */

static bool begin(struct lun_ledger *l) { return lun_ledger_begin(l) == LUN_LEDGER_OK; }

static bool finish(struct lun_ledger *l, bool dry)
{
    if (dry) lun_ledger_rollback(l);
    return dry || lun_ledger_commit(l) == LUN_LEDGER_OK;
}

static void put_change(struct lun_buf *out, const char *name, int64_t was, int64_t is, bool json)
{
    if (json) {
        lun_buf_puts(out, out->n && out->at[out->n - 1] == '}' ? ",{" : "{");
        lun_json_member_text(out, "attempt", name);
        lun_ledger_put_usd_key(out, "was", was), lun_ledger_put_usd_key(out, "is", is);
        lun_buf_putc(out, '}');
        return;
    }
    lun_buf_printf(out, "%s: ", name);
    lun_ledger_put_usd(out, is);
    lun_buf_puts(out, " USD, was ");
    lun_ledger_put_usd(out, was);
    lun_buf_putc(out, '\n');
}

static bool parse_rest(const char *text, struct lun_correction *c)
{
    uint64_t account;
    if (strncmp(text, "rest:", 5) || !lun_bill_attempt(text + 5, &c->run, &account) || account > UINT32_MAX) return false;
    c->account = (uint32_t)account;
    return true;
}

static int change_one(struct lun_ledger *l, const struct wish *w)
{
    struct lun_correction c = { .by = w->by, .why = w->why };
    struct lun_buf out = {0};
    int64_t was;
    if (!lun_bill_attempt(w->attempt, &c.run, &c.seq) && !parse_rest(w->attempt, &c)) return lun_ledger_wrong_use(part, "`%s` is no attempt", w->attempt);
    if (*w->cost == '-' || !lun_price_parse(w->cost, strlen(w->cost), &c.cost)) return lun_ledger_wrong_use(part, "`%s` is no cost in USD", w->cost);
    enum lun_corrected is = begin(l) ? lun_ledger_correct(l, &c, lun_clock_wall(), &was) : LUN_CORRECTED_FAILED;
    if (is == LUN_CORRECTED_UNKNOWN) return lun_ledger_rollback(l), lun_ledger_say(part, 1, "there is no %s in the ledger", w->attempt);
    if (is == LUN_CORRECTED_FAILED || !finish(l, w->dry)) return lun_ledger_rollback(l), lun_ledger_say(part, 1, "%s", lun_ledger_error(l));
    put_change(&out, w->attempt, was, c.cost, w->json);
    if (w->json) lun_buf_putc(&out, '\n');
    lun_print(&out, stdout);
    return 0;
}

/* ---- a bill ---- */

struct counts { int64_t equal, corrected, unknown, many, more; };      /* more: nano-USD that the bill says beyond what was charged */

static int by_attempt(const void *a, const void *b)
{
    const struct lun_bill_line *x = *(const struct lun_bill_line *const *)a, *y = *(const struct lun_bill_line *const *)b;
    return x->run != y->run ? (x->run < y->run ? -1 : 1) : (x->seq > y->seq) - (x->seq < y->seq);
}

/* An attempt that stands in several lines, by whichever name: none of them says what it cost in all. */
static void find_doubles(const struct lun_bill_file *f, bool *many)
{
    const struct lun_bill_line **at = lun_alloc((f->n + 1) * sizeof *at);
    for (size_t i = 0; i < f->n; i++) at[i] = &f->at[i];
    qsort(at, f->n, sizeof *at, by_attempt);
    for (size_t i = 1; i < f->n; i++) if (at[i]->seq && !by_attempt(&at[i - 1], &at[i])) many[at[i - 1] - f->at] = many[at[i] - f->at] = true;
    free(at);
}

/* Attempts for requests. */
static bool find_attempts(struct lun_ledger *l, struct lun_bill_file *f, bool *many)
{
    struct lun_asked *asked = lun_alloc((f->n + 1) * sizeof *asked);
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) if (!f->at[i].seq) memcpy(asked[n++].request, f->at[i].request, 16);
    bool good = lun_ledger_find_requests(l, asked, n);
    for (size_t i = 0; good && i < f->n; i++) {
        struct lun_bill_line *b = &f->at[i];
        size_t low = 0, high = n;
        if (b->seq) continue;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (memcmp(asked[middle].request, b->request, 16) < 0) low = middle + 1;
            else high = middle;
        }
        many[i] = asked[low].many;
        b->run = asked[low].run, b->seq = asked[low].seq;
    }
    free(asked);
    if (good) find_doubles(f, many);
    return good;
}

static void tell_line(const struct wish *w, const struct lun_bill_line *b, const char *what)
{
    lun_ledger_say(part, 1, "%s, line %u: %s", w->bill, b->line, what);
}

static bool change_lines(struct lun_ledger *l, const struct wish *w, const struct lun_bill_file *f, const bool *many, struct counts *n, struct lun_buf *out)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct lun_bill_line *b = &f->at[i];
        struct lun_correction c = { .run = b->run, .seq = b->seq, .cost = b->cost, .by = w->by, .why = w->why ? w->why : w->bill };
        char name[48];
        int64_t was = 0;
        enum lun_corrected is = many[i] || !b->seq ? LUN_CORRECTED_UNKNOWN : lun_ledger_correct(l, &c, lun_clock_wall(), &was);
        if (is == LUN_CORRECTED_FAILED) return false;
        if (is == LUN_CORRECTED_NOTHING) n->equal++;
        else if (many[i]) n->many++, tell_line(w, b, "the request was asked several times, or it stands in several lines: name the attempt, and each once");
        else if (is == LUN_CORRECTED_UNKNOWN) n->unknown++, tell_line(w, b, "the ledger has nothing that was charged for it");
        else {
            attempt_text(name, b->run, b->seq, 0);
            put_change(out, name, was, b->cost, w->json);
            n->corrected++, n->more += b->cost - was;
        }
    }
    return true;
}

static void put_counts(struct lun_buf *out, const struct wish *w, const struct counts *n, struct lun_buf *changes)
{
    if (w->json) {
        lun_buf_printf(out, "{\"corrections\":[%s],\"equal\":%lld,\"corrected\":%lld,\"unknown\":%lld,\"several_attempts\":%lld,\"difference\":",
                       lun_buf_text(changes), (long long)n->equal, (long long)n->corrected, (long long)n->unknown, (long long)n->many);
        lun_ledger_put_usd(out, n->more);
        lun_buf_puts(out, "}\n");
        return;
    }
    lun_buf_puts(out, lun_buf_text(changes));
    lun_buf_printf(out, "%lld equal, %lld %s (", (long long)n->equal, (long long)n->corrected, w->dry ? "to correct" : "corrected");
    lun_ledger_put_usd(out, n->more);
    lun_buf_printf(out, " USD in all), %lld not found, %lld with several attempts\n", (long long)n->unknown, (long long)n->many);
}

static int change_by_bill(struct lun_ledger *l, const struct wish *w)
{
    struct lun_bill_file f;
    struct lun_buf why = {0}, changes = {0}, out = {0};
    struct counts n = {0};
    int status = 1;
    bool *many = NULL;
    if (!lun_bill_read(w->bill, &f, &why)) lun_ledger_say(part, 1, "%s: %s", w->bill, lun_buf_text(&why));
    else if (many = lun_zalloc(f.n + 1), !find_attempts(l, &f, many) || !begin(l)) lun_ledger_say(part, 1, "%s", lun_ledger_error(l));
    else if (!change_lines(l, w, &f, many, &n, &changes) || !finish(l, w->dry)) {
        lun_ledger_rollback(l);
        lun_ledger_say(part, 1, "%s. Nothing was changed", lun_ledger_error(l));
    } else {
        put_counts(&out, w, &n, &changes);
        status = n.unknown || n.many;
    }
    lun_print(&out, stdout);
    lun_buf_free(&why), lun_buf_free(&changes);
    lun_bill_free(&f), free(many);
    return status;
}

/* ---- the command ---- */

static bool is_attempt(const char *text)
{
    struct lun_correction c;
    return lun_bill_attempt(text, &c.run, &c.seq) || parse_rest(text, &c);
}

static int understand(struct wish *w, int argc, char **argv)
{
    static const struct option options[] = { { "cost", required_argument, NULL, 'c' }, { "why", required_argument, NULL, 'w' },
        { "bill", required_argument, NULL, 'b' }, { "dry-run", no_argument, NULL, 'n' }, { "json", no_argument, NULL, 'j' },
        { "db", required_argument, NULL, 'd' }, { 0 } };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        if (c == '?') return lun_ledger_wrong_use(part, "that option is not known, or lacks its value");
        if (c == 'c') w->cost = optarg;
        if (c == 'w') w->why = optarg;
        if (c == 'b') w->bill = optarg;
        if (c == 'd') w->db = optarg;
        w->dry |= c == 'n';
        w->json |= c == 'j';
    }
    for (int i = optind; i < argc; i++) {
        if (!w->attempt && is_attempt(argv[i])) w->attempt = argv[i];
        else if (!w->config && !w->db) w->config = argv[i];
        else return lun_ledger_wrong_use(part, "`%s` is too much", argv[i]);
    }
    if (w->attempt && w->bill) return lun_ledger_wrong_use(part, "an attempt or a bill, not both");
    if (w->attempt && (!w->cost || !w->why || !*w->why)) return lun_ledger_wrong_use(part, "say what it cost and how that is known: --cost USD --why TEXT");
    if (!w->attempt && w->cost) return lun_ledger_wrong_use(part, "say which attempt: 3/1841, or rest:3/7");
    return 0;
}

int lun_ledger_command_reconcile(int argc, char **argv)
{
    struct wish w = {0};
    int status = understand(&w, argc, argv);
    if (status) return status;
    bool reads = !w.attempt && !w.bill;
    struct lun_ledger *l = lun_ledger_find(part, w.db, w.config, reads ? LUN_LEDGER_READ : LUN_LEDGER_WRITE);
    if (!l) return 1;
    lun_remote_user(w.by);
    status = reads ? list(l, w.json) : w.attempt ? change_one(l, &w) : change_by_bill(l, &w);
    lun_ledger_close(l);
    return status;
}
