#include "state/ledger_inner.h"
#include <stdio.h>
#include <stdlib.h>

/* One step from each version to the next. A step that was once released is never changed. */
const char *const lun_ledger_steps[LUN_LEDGER_SCHEMA] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE run(run INTEGER PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER, state TEXT NOT NULL CHECK(state IN ('open','ended','killed','cut')),"
    " distrusted INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, budget TEXT NOT NULL, period TEXT NOT NULL, starts INTEGER NOT NULL, ends INTEGER, hard_limit INTEGER,"
    " UNIQUE(budget, period)) STRICT;"
    "CREATE TABLE payers(id INTEGER PRIMARY KEY, accounts TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE payer(payers INTEGER NOT NULL, account INTEGER NOT NULL, PRIMARY KEY(payers, account)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE part(account INTEGER NOT NULL, run INTEGER NOT NULL, granted INTEGER CHECK(granted>=0), charged INTEGER NOT NULL DEFAULT 0,"
    " adjusted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(account, run)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX part_run ON part(run);"
    "CREATE TABLE attempt(id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, request BLOB NOT NULL,"
    " target INTEGER NOT NULL, client INTEGER NOT NULL, version INTEGER NOT NULL, payers INTEGER NOT NULL, hold INTEGER NOT NULL CHECK(hold>=0),"
    " cost INTEGER NOT NULL CHECK(cost>=0), input INTEGER NOT NULL, cached_input INTEGER NOT NULL, cache_write INTEGER NOT NULL,"
    " cache_write_1h INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, image INTEGER NOT NULL, kind TEXT,"
    " state TEXT NOT NULL CHECK(state IN ('SETTLED','ORPHANED')), flags INTEGER NOT NULL, latency_ms INTEGER NOT NULL, UNIQUE(run, seq)) STRICT;"
    "CREATE TABLE correction(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL, run INTEGER NOT NULL, seq INTEGER,"
    " account INTEGER, delta INTEGER NOT NULL, CHECK((seq IS NULL)<>(account IS NULL))) STRICT;"
    "CREATE TABLE rest(account INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, amount INTEGER NOT NULL,"
    " PRIMARY KEY(account, run)) STRICT, WITHOUT ROWID;",

    "CREATE TABLE closed(upto INTEGER PRIMARY KEY, at INTEGER NOT NULL, rows INTEGER NOT NULL) STRICT;"
    "CREATE TABLE closing(account INTEGER NOT NULL, run INTEGER NOT NULL, month TEXT NOT NULL, rows INTEGER NOT NULL, charged INTEGER NOT NULL,"
    " PRIMARY KEY(account, run, month)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX orphan ON attempt(run, seq) WHERE state='ORPHANED';"
    "CREATE INDEX correction_of ON correction(run, seq);"
    "CREATE VIEW attempts AS SELECT a.id, strftime('%Y-%m-%d %H:%M:%S', a.at/1000000, 'unixepoch') AS time, lower(hex(a.request)) AS request, t.text AS target,"
    " c.text AS client, v.text AS version, a.cost/1e9 AS usd, a.hold/1e9 AS hold_usd, a.input, a.cached_input, a.cache_write, a.cache_write_1h, a.output,"
    " a.reasoning, a.audio, a.image, a.kind, a.state, a.flags, a.latency_ms, a.run, a.seq, a.payers FROM attempt a LEFT JOIN name t ON t.id=a.target"
    " LEFT JOIN name c ON c.id=a.client LEFT JOIN name v ON v.id=a.version;"
    "CREATE VIEW budgets AS SELECT budget, period, hard_limit/1e9 AS limit_usd, (SELECT ifnull(sum(charged+adjusted),0) FROM part WHERE account=id)/1e9 AS usd,"
    " id AS account FROM account;",

    "CREATE INDEX account_of ON account(budget, ifnull(ends,9223372036854775807));",
};

static bool put_number(struct lun_ledger *l, const char *key, int number)
{
    char text[12];
    snprintf(text, sizeof text, "%d", number);
    return lun_sql(l, LUN_SQL_META_PUT, "tt", key, text);
}

static bool pragma(struct lun_ledger *l, const char *name, int *out)
{
    sqlite3_stmt *s = NULL;
    char text[40];
    snprintf(text, sizeof text, "PRAGMA %s", name);
    int rc = sqlite3_prepare_v2(l->db, text, -1, &s, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(s);
    bool good = rc == SQLITE_ROW;
    if (good) *out = sqlite3_column_int(s, 0);
    else lun_ledger_note(l, rc, text);
    sqlite3_finalize(s);
    return good;
}

static int meta_number(struct lun_ledger *l, const char *key)
{
    int rc = lun_sql(l, LUN_SQL_META_GET, "t", key), number = -1;
    if (rc == SQLITE_ROW) number = atoi(lun_sql_text(l, LUN_SQL_META_GET, 0)), lun_sql_end(l, LUN_SQL_META_GET);
    return number;
}

/* Steps from `from` on, their version, and since when who understands it. */
static bool steps(struct lun_ledger *l, int from)
{
    char text[100];
    for (int i = from; i < LUN_LEDGER_SCHEMA; i++) if (!lun_sql_exec(l, lun_ledger_steps[i])) return false;
    snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%d", LUN_LEDGER_APPLICATION, LUN_LEDGER_SCHEMA);
    return lun_sql_exec(l, text) && put_number(l, "schema", LUN_LEDGER_SCHEMA) && put_number(l, "readable_from", LUN_LEDGER_READABLE_FROM) &&
           (from || lun_sql(l, LUN_SQL_META_PUT, "tt", "gateway", l->gateway));
}

bool lun_ledger_migrate(struct lun_ledger *l)
{
    int version;
    if (lun_ledger_begin(l) != LUN_LEDGER_OK) return false;
    bool good = pragma(l, "user_version", &version);        /* again: another process may have been first */
    if (good && version < LUN_LEDGER_SCHEMA) good = steps(l, version);
    if (good) return lun_ledger_commit(l) == LUN_LEDGER_OK;
    lun_ledger_rollback(l);
    return false;
}

/* Touches the root of every table, and the last of the rows. */
static bool complete(struct lun_ledger *l)
{
    return lun_sql_exec(l, "SELECT (SELECT max(id) FROM attempt),(SELECT max(run) FROM run),(SELECT max(id) FROM account),(SELECT max(id) FROM name),"
                           "(SELECT max(id) FROM payers),(SELECT 1 FROM payer LIMIT 1),(SELECT 1 FROM part LIMIT 1),(SELECT max(id) FROM correction),"
                           "(SELECT 1 FROM rest LIMIT 1),(SELECT max(upto) FROM closed),(SELECT 1 FROM closing LIMIT 1)");
}

bool lun_ledger_check_schema(struct lun_ledger *l, bool *old)
{
    int application, version;
    *old = false;
    if (!pragma(l, "application_id", &application) || !pragma(l, "user_version", &version)) return false;
    if (application != LUN_LEDGER_APPLICATION) lun_ledger_fail(l, "is a database, and not a ledger of Lunette. Say another file");
    else if (version < 1) lun_ledger_fail(l, "has no version of its tables. Say another file, or put back a whole copy");
    else if (version > LUN_LEDGER_SCHEMA && meta_number(l, "readable_from") > LUN_LEDGER_SCHEMA)
        lun_ledger_fail(l, "was written by a later version of Lunette (tables %d, this one knows up to %d). Use that version", version, LUN_LEDGER_SCHEMA);
    if (l->failed) return false;
    *old = version < LUN_LEDGER_SCHEMA;
    return *old || complete(l);
}
