#include "state/ledger_verify.h"
#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What rows come to, by account and run. ?1: rows up to that one are summed in `closing`. */
static const char counted[] =
    "SELECT account,run,sum(rows),sum(charged),sum(adjusted) FROM ("
    " SELECT payer.account AS account,s.run AS run,sum(s.rows) AS rows,sum(s.charged) AS charged,0 AS adjusted FROM"
    "  (SELECT run,payers,count(*) AS rows,sum(cost) AS charged FROM attempt WHERE id>?1 GROUP BY run,payers) s JOIN payer ON payer.payers=s.payers GROUP BY 1,2"
    " UNION ALL SELECT account,run,sum(rows),sum(charged),0 FROM closing WHERE ?1>0 GROUP BY 1,2"
    " UNION ALL SELECT account,run,0,amount,0 FROM rest"
    " UNION ALL SELECT payer.account,c.run,0,0,c.delta FROM correction c JOIN attempt a ON a.run=c.run AND a.seq=c.seq JOIN payer ON payer.payers=a.payers"
    " UNION ALL SELECT account,run,0,0,delta FROM correction WHERE account IS NOT NULL) GROUP BY 1,2 ORDER BY 1,2";

static const char parts[] = "SELECT p.account,p.run,p.charged,p.adjusted,p.granted FROM part p ORDER BY 1,2";

static const char orphans[] =
    "SELECT account,sum(cost) FROM ("
    " SELECT payer.account AS account,a.cost AS cost FROM attempt a JOIN payer ON payer.payers=a.payers WHERE a.state='ORPHANED'"
    "  AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.run=a.run AND c.seq=a.seq)"
    " UNION ALL SELECT account,amount FROM rest UNION ALL SELECT account,delta FROM correction WHERE account IS NOT NULL) GROUP BY 1 ORDER BY 1";

static const char accounts[] = "SELECT id,budget,period,hard_limit FROM account ORDER BY budget,starts,id";

/* Of rows after ?1. Each: how many there are of which it says something bad. */
static const struct { const char *query, *what; } never[] = {
    { "SELECT count(*) FROM attempt WHERE id>?1 AND (cost<0 OR hold<0)", "attempts have a negative cost or hold" },
    { "SELECT count(*) FROM attempt WHERE id>?1 AND cost>hold AND NOT flags&4", "attempts cost more than was held and do not say so" },
    { "SELECT count(*) FROM attempt WHERE id>?1 AND state NOT IN ('SETTLED','ORPHANED')", "attempts are neither SETTLED nor ORPHANED" },
    { "SELECT count(*) FROM attempt WHERE id>?1 AND seq<1", "attempts have no number" },
    { "SELECT count(*) FROM (SELECT DISTINCT run FROM attempt WHERE id>?1) WHERE run NOT IN (SELECT run FROM run)",
      "runs of attempts are not in the table `run`" },
    { "SELECT count(*) FROM (SELECT DISTINCT payers FROM attempt WHERE id>?1) WHERE payers<>0 AND payers NOT IN (SELECT payers FROM payer)",
      "payers of attempts are not in the table `payer`" },
    { "SELECT count(*) FROM payer WHERE account NOT IN (SELECT id FROM account) AND ?1 IS NOT NULL", "payers are not in the table `account`" },
    { "SELECT count(*) FROM payers p WHERE ?1 IS NOT NULL AND p.accounts IS NOT (SELECT group_concat(account) FROM "
      "(SELECT account FROM payer WHERE payers=p.id ORDER BY 1))",
      "sets of payers are not what they were made of" },
    { "SELECT count(*) FROM (SELECT DISTINCT target AS n FROM attempt WHERE id>?1 UNION SELECT DISTINCT client FROM attempt WHERE id>?1 "
      "UNION SELECT DISTINCT version FROM attempt WHERE id>?1) WHERE n<>0 AND n NOT IN (SELECT id FROM name)", "names of attempts are not in the table `name`" },
    { "SELECT ifnull(max(id),?1)-?1-count(*) FROM attempt WHERE id>?1", "rows are missing between the first and the last" },
    { "SELECT (SELECT ifnull(max(upto),0) FROM closed)>(SELECT ifnull(max(id),0) FROM attempt) AND ?1 IS NOT NULL",
      "rows of closed months are missing at the end" },
    { "SELECT ifnull(sum(rows),0)<>ifnull(max(upto),0) AND ?1 IS NOT NULL FROM closed", "closed months do not hold as many rows as they say" },
    { "SELECT count(*) FROM correction c WHERE seq IS NOT NULL AND ?1 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.run=c.run AND a.seq=c.seq)",
      "corrections are of attempts that there are not" },
    { "SELECT count(*) FROM part WHERE run NOT IN (SELECT run FROM run) AND ?1 IS NOT NULL", "parts are of runs that there are not" },
    { "SELECT count(*) FROM run WHERE (ended IS NULL)<>(state='open') AND ?1 IS NOT NULL", "runs are neither open nor ended" },
};

/* The sums of closed months against the rows they were made of. */
static const char closings[] =
    "SELECT count(*) FROM (SELECT account,run,month,rows,charged FROM closing EXCEPT SELECT payer.account,s.run,s.month,sum(s.rows),sum(s.charged) FROM"
    " (SELECT run,payers,strftime('%Y-%m',at/1000000,'unixepoch') AS month,count(*) AS rows,sum(cost) AS charged FROM attempt"
    " WHERE id<=(SELECT ifnull(max(upto),0) FROM closed) GROUP BY 1,2,3) s JOIN payer ON payer.payers=s.payers GROUP BY 1,2,3)";

struct account { uint32_t id; int64_t charged, counted, orphaned, rows; bool wrong; };

struct check {
    struct lun_ledger *ledger;
    const struct lun_verify *how;
    struct lun_verification *sum;
    int64_t from;
    struct account *at; int64_t n, room;            /* by id, rising */
};

static void tell(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct check *c, const char *format, ...)
{
    va_list list;
    char text[400];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    c->sum->problems++;
    c->how->problem(c->how->self, text);
}

static sqlite3_stmt *start(struct check *c, const char *query)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(c->ledger->db, query, -1, &s, NULL);
    if (rc != SQLITE_OK) lun_ledger_note(c->ledger, rc, "verifying");
    else if (sqlite3_bind_parameter_count(s)) sqlite3_bind_int64(s, 1, c->from);
    return s;
}

/* One step; false: no more rows, or failed. */
static bool step(struct check *c, sqlite3_stmt *s)
{
    int rc = s ? sqlite3_step(s) : SQLITE_DONE;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) lun_ledger_note(c->ledger, rc, "verifying");
    return rc == SQLITE_ROW;
}

static bool sound(const struct check *c) { return c->ledger->trouble == LUN_LEDGER_OK; }

static bool look_at_pages(struct check *c)
{
    sqlite3_stmt *s = start(c, "PRAGMA integrity_check(20)");
    while (step(c, s)) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        if (text && strcmp(text, "ok")) tell(c, "the file is damaged: %s", text);
    }
    sqlite3_finalize(s);
    return sound(c);
}

static bool look_at_rows(struct check *c)
{
    for (size_t i = 0; i < sizeof never / sizeof *never && sound(c); i++) {
        sqlite3_stmt *s = start(c, never[i].query);
        if (step(c, s) && sqlite3_column_int64(s, 0)) tell(c, "%lld %s", (long long)sqlite3_column_int64(s, 0), never[i].what);
        sqlite3_finalize(s);
    }
    sqlite3_stmt *s = c->how->full ? start(c, closings) : NULL;
    if (step(c, s) && sqlite3_column_int64(s, 0)) tell(c, "%lld sums of closed months are not what their rows come to", (long long)sqlite3_column_int64(s, 0));
    sqlite3_finalize(s);
    s = start(c, "SELECT count(*) FROM attempt WHERE id>?1");
    if (step(c, s)) c->sum->rows = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return sound(c);
}

static struct account *account_of(struct check *c, uint32_t id)
{
    if (c->n && c->at[c->n - 1].id == id) return &c->at[c->n - 1];
    if (c->n == c->room) c->at = lun_realloc(c->at, (size_t)(c->room = c->room ? 2 * c->room : 256) * sizeof *c->at);
    c->at[c->n] = (struct account){ .id = id };
    return &c->at[c->n++];
}

static int64_t column(sqlite3_stmt *s, bool there, int i) { return there ? sqlite3_column_int64(s, i) : 0; }

static void differ(struct check *c, sqlite3_stmt *part, const char *how, int64_t is, int64_t ought)
{
    tell(c, "account %lld, run %lld: %lld nano-USD %s %lld", (long long)sqlite3_column_int64(part, 0), (long long)sqlite3_column_int64(part, 1), (long long)is, how,
         (long long)ought);
}

/* One part, stored (`p`, NULL: it is not) and counted (`q`, likewise). */
static void compare(struct check *c, sqlite3_stmt *p, sqlite3_stmt *q)
{
    sqlite3_stmt *s = p ? p : q;
    struct account *a = account_of(c, (uint32_t)sqlite3_column_int64(s, 0));
    int64_t charged = column(p, p, 2), adjusted = column(p, p, 3), rows_charged = column(q, q, 3), rows_adjusted = column(q, q, 4);
    a->charged = lun_saturating_add(a->charged, lun_saturating_add(charged, adjusted));
    a->counted = lun_saturating_add(a->counted, lun_saturating_add(rows_charged, rows_adjusted));
    a->rows += column(q, q, 2);
    a->wrong |= charged != rows_charged || adjusted != rows_adjusted;
    if (charged != rows_charged) differ(c, s, "are charged and the rows come to", charged, rows_charged);
    if (adjusted != rows_adjusted) differ(c, s, "are corrected and the corrections come to", adjusted, rows_adjusted);
    if (!p || sqlite3_column_type(p, 4) == SQLITE_NULL || charged <= sqlite3_column_int64(p, 4)) return;
    a->wrong = true;
    differ(c, s, "are charged and granted were only", charged, sqlite3_column_int64(p, 4));
}

static int order(sqlite3_stmt *p, sqlite3_stmt *q)
{
    for (int i = 0; i < 2; i++) {
        int64_t a = sqlite3_column_int64(p, i), b = sqlite3_column_int64(q, i);
        if (a != b) return a < b ? -1 : 1;
    }
    return 0;
}

/* Both in the same order, side by side. */
static bool compare_parts(struct check *c)
{
    sqlite3_stmt *p = start(c, parts), *q = start(c, counted);
    bool stored = step(c, p), count = step(c, q);
    while ((stored || count) && sound(c)) {
        int which = !count ? -1 : !stored ? 1 : order(p, q);
        compare(c, which <= 0 ? p : NULL, which >= 0 ? q : NULL);
        if (which <= 0) stored = step(c, p);
        if (which >= 0) count = step(c, q);
    }
    sqlite3_finalize(p), sqlite3_finalize(q);
    return sound(c);
}

static struct account *find(struct check *c, uint32_t id)
{
    int64_t low = 0, high = c->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (c->at[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < c->n && c->at[low].id == id ? &c->at[low] : NULL;
}

static bool add_orphans(struct check *c)
{
    sqlite3_stmt *s = start(c, orphans);
    while (step(c, s)) {
        struct account *a = find(c, (uint32_t)sqlite3_column_int64(s, 0));
        if (a) a->orphaned = sqlite3_column_int64(s, 1);
    }
    sqlite3_finalize(s);
    return sound(c);
}

static bool tell_accounts(struct check *c)
{
    static const struct account untouched;
    sqlite3_stmt *s = start(c, accounts);
    while (step(c, s)) {
        const struct account *a = find(c, (uint32_t)sqlite3_column_int64(s, 0));
        if (!a) a = &untouched;
        c->how->account(c->how->self, &(struct lun_verified){
            .budget = (const char *)sqlite3_column_text(s, 1), .period = (const char *)sqlite3_column_text(s, 2),
            .limit = sqlite3_column_type(s, 3) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, 3),
            .charged = a->charged, .counted = a->counted, .orphaned = a->orphaned, .rows = a->rows, .wrong = a->wrong });
        c->sum->accounts++;
        c->sum->wrong += a->wrong;
    }
    sqlite3_finalize(s);
    return sound(c);
}

bool lun_ledger_verify(struct lun_ledger *l, const struct lun_verify *how, struct lun_verification *sum)
{
    struct check c = { .ledger = l, .how = how, .sum = sum };
    *sum = (struct lun_verification){0};
    l->trouble = LUN_LEDGER_OK;
    if (!lun_sql(l, LUN_SQL_SNAPSHOT, "")) return false;
    bool good = how->full || lun_sql_number(l, LUN_SQL_CLOSED_TO, 0, &c.from, "");
    good = good && look_at_pages(&c) && look_at_rows(&c) && compare_parts(&c) && add_orphans(&c) && tell_accounts(&c);
    lun_sql(l, LUN_SQL_COMMIT, "");
    free(c.at);
    return good;
}
