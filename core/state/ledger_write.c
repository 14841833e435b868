#include "state/ledger_inner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKPOINT_EVERY = 1000 };   /* pages in the log: 4 MB */

/* ---- transactions ---- */

/* Somebody may have taken this run for dead; then it may write no more. */
static bool run_is_open(struct lun_ledger *l)
{
    if (!l->run) return true;
    bool open = lun_sql(l, LUN_SQL_RUN_STATE, "u", l->run) == SQLITE_ROW && !strcmp(lun_sql_text(l, LUN_SQL_RUN_STATE, 0), "open");
    if (l->trouble == LUN_LEDGER_OK && !open) lun_ledger_fail(l, "run %u was closed by another process, which took it for dead. Restart the gateway", l->run);
    if (open) lun_sql_end(l, LUN_SQL_RUN_STATE);
    return open;
}

enum lun_ledger_result lun_ledger_begin(struct lun_ledger *l)
{
    if (l->failed) return LUN_LEDGER_FAILED;
    l->trouble = LUN_LEDGER_OK;
    if (!lun_ledger_lock(l)) return l->trouble = LUN_LEDGER_BUSY;
    l->open = lun_sql(l, LUN_SQL_BEGIN, "");
    if (l->open && run_is_open(l)) return LUN_LEDGER_OK;
    enum lun_ledger_result trouble = l->trouble;
    if (l->open) lun_ledger_rollback(l);
    else lun_ledger_unlock(l);
    return trouble;
}

static void finish(struct lun_ledger *l)
{
    if (!sqlite3_get_autocommit(l->db)) sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    lun_ledger_forget_rows(l);
    l->open = false;
    lun_ledger_unlock(l);
}

void lun_ledger_rollback(struct lun_ledger *l)
{
    if (!l->open) return;
    memset(l->cache, 0, LUN_LEDGER_CACHED * sizeof *l->cache);     /* its ids are void */
    finish(l);
}

/* A full disk can wait; a failed fsync of the file cannot. While somebody reads an old state the log only grows, and is not gone through at each commit. */
static void checkpoint(struct lun_ledger *l)
{
    if (l->wal_pages < CHECKPOINT_EVERY) l->checkpoint_at = CHECKPOINT_EVERY;
    if (l->wal_pages < l->checkpoint_at) return;
    l->checkpoint_at = l->wal_pages + CHECKPOINT_EVERY;
    int rc = sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && (rc & 0xFF) != SQLITE_BUSY && (rc & 0xFF) != SQLITE_LOCKED) lun_ledger_note(l, rc, "checkpoint");
}

enum lun_ledger_result lun_ledger_commit(struct lun_ledger *l)
{
    if (!l->open) return l->failed ? LUN_LEDGER_FAILED : LUN_LEDGER_BUSY;
    bool good = l->trouble == LUN_LEDGER_OK && lun_ledger_flush(l, l->run, false) && lun_sql(l, LUN_SQL_COMMIT, "");
    enum lun_ledger_result result = l->trouble;
    if (!good) {
        lun_ledger_rollback(l);
        return result;
    }
    checkpoint(l);
    finish(l);
    return l->failed ? LUN_LEDGER_FAILED : LUN_LEDGER_OK;
}

/* ---- ids ---- */

static uint32_t added(struct lun_ledger *l)
{
    int64_t id = sqlite3_last_insert_rowid(l->db);
    if (id > 0 && id <= UINT32_MAX) return (uint32_t)id;
    lun_ledger_fail(l, "has no number left for a name");
    return 0;
}

uint32_t lun_ledger_name(struct lun_ledger *l, const char *text)
{
    int64_t id;
    if (!lun_sql_number(l, LUN_SQL_NAME_FIND, 0, &id, "t", text)) return 0;
    if (id) return (uint32_t)id;
    return lun_sql(l, LUN_SQL_NAME_ADD, "t", text) ? added(l) : 0;
}

uint32_t lun_ledger_account(struct lun_ledger *l, const struct lun_ledger_account *a)
{
    int64_t id, limit = a->limit < 0 ? -1 : a->limit;
    if (!lun_sql_number(l, LUN_SQL_ACCOUNT_FIND, 0, &id, "tt", a->budget, a->period)) return 0;
    if (!id) return lun_sql(l, LUN_SQL_ACCOUNT_ADD, "ttinn", a->budget, a->period, a->starts, a->ends, limit) ? added(l) : 0;
    return lun_sql(l, LUN_SQL_ACCOUNT_NOTE, "uinn", (uint32_t)id, a->starts, a->ends, limit) ? (uint32_t)id : 0;
}

bool lun_ledger_has_account(struct lun_ledger *l, const struct lun_ledger_account *a)
{
    int64_t id;
    return lun_sql_number(l, LUN_SQL_ACCOUNT_FIND, 0, &id, "tt", a->budget, a->period) && id;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* "3,7,9": rising, each once. */
static int canonical(const uint32_t *accounts, int n, uint32_t sorted[LUN_LEDGER_PAYERS], char text[LUN_LEDGER_PAYERS * 11 + 1])
{
    int m = 0;
    size_t at = 0;
    memcpy(sorted, accounts, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_number);
    for (int i = 0; i < n; i++) if (!m || sorted[m - 1] != sorted[i]) sorted[m++] = sorted[i];
    for (int i = 0; i < m; i++) at += (size_t)sprintf(text + at, "%s%u", i ? "," : "", sorted[i]);
    return m;
}

uint32_t lun_ledger_payers(struct lun_ledger *l, const uint32_t *accounts, int n)
{
    uint32_t sorted[LUN_LEDGER_PAYERS];
    char text[LUN_LEDGER_PAYERS * 11 + 1] = "";
    int64_t id, there;
    if (n < 1 || n > LUN_LEDGER_PAYERS) {
        lun_ledger_fail(l, "%d payers of one attempt; 1 to %d are possible", n, LUN_LEDGER_PAYERS);
        return 0;
    }
    n = canonical(accounts, n, sorted, text);
    if (!lun_sql_number(l, LUN_SQL_PAYERS_FIND, 0, &id, "t", text)) return 0;
    if (id) return (uint32_t)id;
    for (int i = 0; i < n; i++) {
        if (!lun_sql_number(l, LUN_SQL_ACCOUNT_IS, 0, &there, "u", sorted[i])) return 0;
        if (!there) lun_ledger_fail(l, "payers of account %u, which there is not", sorted[i]);
    }
    if (l->failed || !lun_sql(l, LUN_SQL_PAYERS_ADD, "t", text)) return 0;
    uint32_t payers = added(l);
    for (int i = 0; payers && i < n; i++) if (!lun_sql(l, LUN_SQL_PAYER_ADD, "uu", payers, sorted[i])) return 0;
    return payers;
}

const struct lun_payer_set *lun_ledger_payer_set(struct lun_ledger *l, uint32_t payers)
{
    struct lun_payer_set *p = &l->cache[payers % LUN_LEDGER_CACHED];
    if (p->id == payers) return p;
    struct lun_payer_set read = { .id = payers };
    int rc = lun_sql(l, LUN_SQL_PAYER_ALL, "u", payers);
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, LUN_SQL_PAYER_ALL))
        if (read.n < LUN_LEDGER_PAYERS) read.accounts[read.n++] = (uint32_t)lun_sql_int(l, LUN_SQL_PAYER_ALL, 0);
    if (rc && !read.n) lun_ledger_fail(l, "an attempt names payers %u, which are not in it. It is an older copy, or damaged: put back the newest", payers);
    if (!rc || !read.n) return NULL;
    *p = read;
    return p;
}

/* ---- grants, texts ---- */

void lun_ledger_grant(struct lun_ledger *l, uint32_t account, int64_t granted)
{
    if (l->trouble == LUN_LEDGER_OK) lun_sql(l, LUN_SQL_PART_GRANT, "uun", account, l->run, granted < 0 ? -1 : granted);
}

void lun_ledger_put(struct lun_ledger *l, const char *key, const char *text)
{
    if (l->trouble != LUN_LEDGER_OK) return;
    if (text) lun_sql(l, LUN_SQL_META_PUT, "tt", key, text);
    else lun_sql(l, LUN_SQL_META_DROP, "t", key);
}
