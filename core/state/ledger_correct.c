#include "state/ledger_correct.h"
#include "state/ledger_inner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- what is uncertain ---- */

bool lun_ledger_uncertain(struct lun_ledger *l, void (*each)(void *self, const struct lun_uncertain *), void *self)
{
    const enum lun_sql s = LUN_SQL_UNCERTAIN;
    int rc = lun_sql(l, s, "");
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, s)) {
        struct lun_uncertain u = { .run = (uint32_t)lun_sql_int(l, s, 1), .seq = (uint64_t)lun_sql_int(l, s, 2), .account = (uint32_t)lun_sql_int(l, s, 3),
                                   .at = lun_sql_int(l, s, 0), .charged = lun_sql_int(l, s, 4), .what = lun_sql_text(l, s, 5) };
        snprintf(u.request, sizeof u.request, "%s", lun_sql_text(l, s, 6));
        each(self, &u);
    }
    return rc;
}

/* ---- changing it ---- */

static bool write_row(struct lun_ledger *l, const struct lun_correction *c, lun_us wall, uint64_t seq, uint32_t account, int64_t delta)
{
    return seq ? lun_sql(l, LUN_SQL_CORRECTION_ADD, "ittuini", wall, c->by, c->why, c->run, (int64_t)seq, (int64_t)-1, delta)
               : lun_sql(l, LUN_SQL_CORRECTION_ADD, "ittunii", wall, c->by, c->why, c->run, (int64_t)-1, (int64_t)account, delta);
}

static bool adjust(struct lun_ledger *l, uint32_t run, uint32_t account, int64_t delta)
{
    return !delta || lun_sql(l, LUN_SQL_PART_ADJUST, "uui", account, run, delta);
}

static enum lun_corrected correct_rest(struct lun_ledger *l, const struct lun_correction *c, lun_us wall, int64_t *was)
{
    int rc = lun_sql(l, LUN_SQL_REST_IS, "uu", c->account, c->run);
    if (rc != SQLITE_ROW) return rc ? LUN_CORRECTED_UNKNOWN : LUN_CORRECTED_FAILED;
    *was = lun_sql_int(l, LUN_SQL_REST_IS, 0);
    lun_sql_end(l, LUN_SQL_REST_IS);
    int64_t delta = c->cost - *was;
    if (!delta) return LUN_CORRECTED_NOTHING;
    return write_row(l, c, wall, 0, c->account, delta) && adjust(l, c->run, c->account, delta) ? LUN_CORRECTED : LUN_CORRECTED_FAILED;
}

/* `within`: the part of delta that lies within the hold. */
static bool follow(struct lun_ledger *l, const struct lun_correction *c, lun_us wall, uint32_t account, int64_t delta, int64_t within)
{
    int rc = lun_sql(l, LUN_SQL_REST_IS, "uu", account, c->run);
    bool cut = rc == SQLITE_ROW;
    if (cut) lun_sql_end(l, LUN_SQL_REST_IS);
    if (!rc || (cut && within && !write_row(l, c, wall, 0, account, -within))) return false;
    return adjust(l, c->run, account, cut ? delta - within : delta);
}

enum lun_corrected lun_ledger_correct(struct lun_ledger *l, const struct lun_correction *c, lun_us wall, int64_t *was)
{
    *was = 0;
    if (l->trouble != LUN_LEDGER_OK) return LUN_CORRECTED_FAILED;
    if (!c->seq) return correct_rest(l, c, wall, was);
    int rc = lun_sql(l, LUN_SQL_ATTEMPT_IS, "ui", c->run, (int64_t)c->seq);
    if (rc != SQLITE_ROW) return rc ? LUN_CORRECTED_UNKNOWN : LUN_CORRECTED_FAILED;
    int64_t hold = lun_sql_int(l, LUN_SQL_ATTEMPT_IS, 0);
    uint32_t payers = (uint32_t)lun_sql_int(l, LUN_SQL_ATTEMPT_IS, 2);
    bool known = lun_sql_int(l, LUN_SQL_ATTEMPT_IS, 3);
    *was = lun_sql_int(l, LUN_SQL_ATTEMPT_IS, 1);
    lun_sql_end(l, LUN_SQL_ATTEMPT_IS);
    int64_t delta = c->cost - *was, within = lesser(c->cost, hold) - lesser(*was, hold);
    if (!delta && known) return LUN_CORRECTED_NOTHING;
    const struct lun_payer_set *p = payers ? lun_ledger_payer_set(l, payers) : NULL;
    if ((payers && !p) || !write_row(l, c, wall, c->seq, 0, delta)) return LUN_CORRECTED_FAILED;
    for (int i = 0; p && i < p->n; i++) if (!follow(l, c, wall, p->accounts[i], delta, within)) return LUN_CORRECTED_FAILED;
    return LUN_CORRECTED;
}

/* ---- by request ---- */

static int by_request(const void *a, const void *b) { return memcmp(((const struct lun_asked *)a)->request, ((const struct lun_asked *)b)->request, 16); }

bool lun_ledger_find_requests(struct lun_ledger *l, struct lun_asked *asked, size_t n)
{
    qsort(asked, n, sizeof *asked, by_request);
    for (size_t i = 0; i < n; i++) asked[i].run = 0, asked[i].seq = 0, asked[i].charged = 0, asked[i].many = false;
    for (size_t i = 1; i < n; i++) if (!by_request(&asked[i - 1], &asked[i])) asked[i - 1].many = asked[i].many = true;
    const enum lun_sql s = LUN_SQL_REQUESTS;
    int rc = n ? lun_sql(l, s, "") : SQLITE_DONE;
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, s)) {
        const void *request = sqlite3_column_blob(l->statements[s], 2);
        struct lun_asked key, *found;
        if (sqlite3_column_bytes(l->statements[s], 2) != 16) continue;
        memcpy(key.request, request, 16);
        if (!(found = bsearch(&key, asked, n, sizeof *asked, by_request))) continue;
        if (found->seq) found->many = true;
        found->run = (uint32_t)lun_sql_int(l, s, 0);
        found->seq = (uint64_t)lun_sql_int(l, s, 1);
        found->charged = lun_sql_int(l, s, 3);
    }
    return rc;
}
