#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/saturating.h"
#include <string.h>

char *lun_ledger_get(struct lun_ledger *l, const char *key)
{
    char *text = NULL;
    if (lun_sql(l, LUN_SQL_META_GET, "t", key) == SQLITE_ROW) {
        text = lun_strdup(lun_sql_text(l, LUN_SQL_META_GET, 0));
        lun_sql_end(l, LUN_SQL_META_GET);
    }
    return text;
}

/* One part, the row that PART_OF_ACCOUNT stands on. */
static void add_part(struct lun_ledger *l, struct lun_ledger_figures *f)
{
    const enum lun_sql part = LUN_SQL_PART_OF_ACCOUNT;
    bool granted = !lun_sql_null(l, part, 1), open = lun_sql_int(l, part, 4), ours = l->run && lun_sql_int(l, part, 0) == l->run;
    int64_t grant = granted ? lun_sql_int(l, part, 1) : 0, charged = lun_sql_int(l, part, 2), adjusted = lun_sql_int(l, part, 3);
    int64_t taken = open && grant > charged ? grant : charged;
    f->taken = lun_saturating_add(f->taken, lun_saturating_add(taken, adjusted));
    f->others = lun_saturating_add(f->others, lun_saturating_add(ours ? 0 : taken, adjusted));
    f->charged = lun_saturating_add(f->charged, lun_saturating_add(charged, adjusted));
    if (!ours) return;
    f->granted = granted ? grant : -1;
    f->used = charged;
}

bool lun_ledger_look(struct lun_ledger *l, uint32_t account, struct lun_ledger_figures *f)
{
    int64_t there;
    *f = (struct lun_ledger_figures){ .granted = -1 };
    if (l->open && !lun_ledger_flush(l, l->run, false)) return false;      /* rows of this transaction count, too */
    if (!lun_sql_number(l, LUN_SQL_ACCOUNT_IS, 0, &there, "u", account)) return false;
    if (!there) {
        lun_ledger_complain(l, "there is no account %u", account);
        return false;
    }
    int rc = lun_sql(l, LUN_SQL_PART_OF_ACCOUNT, "u", account);
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, LUN_SQL_PART_OF_ACCOUNT)) add_part(l, f);
    return rc;
}

/* The accounts that a statement finds, from its first step on. */
static bool each_account(struct lun_ledger *l, enum lun_sql which, int rc,
                         void (*each)(void *self, uint32_t id, const struct lun_ledger_account *, const struct lun_ledger_figures *), void *self)
{
    struct lun_ledger_figures figures;
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, which)) {
        uint32_t id = (uint32_t)lun_sql_int(l, which, 0);
        struct lun_ledger_account a = { .budget = lun_sql_text(l, which, 1), .period = lun_sql_text(l, which, 2), .starts = lun_sql_int(l, which, 3),
                                        .ends = lun_sql_null(l, which, 4) ? LUN_NEVER : lun_sql_int(l, which, 4),
                                        .limit = lun_sql_null(l, which, 5) ? -1 : lun_sql_int(l, which, 5) };
        if (!lun_ledger_look(l, id, &figures)) {
            lun_sql_end(l, which);
            return false;
        }
        each(self, id, &a, &figures);
    }
    return rc;
}

bool lun_ledger_accounts(struct lun_ledger *l, const char *budget, lun_us wall,
                         void (*each)(void *self, uint32_t id, const struct lun_ledger_account *, const struct lun_ledger_figures *), void *self)
{
    enum lun_sql which = budget ? LUN_SQL_ACCOUNT_OF : LUN_SQL_ACCOUNT_ALL;
    return each_account(l, which, lun_sql(l, which, "ti", budget, wall), each, self);
}

bool lun_ledger_windows(struct lun_ledger *l, lun_us wall, int pieces,
                        void (*each)(void *self, uint32_t id, const struct lun_ledger_account *, const struct lun_ledger_figures *),
                        void (*left_out)(void *self, const char *budget, lun_us ended), void *self)
{
    if (!each_account(l, LUN_SQL_WINDOWS, lun_sql(l, LUN_SQL_WINDOWS, "iu", wall, (uint32_t)pieces), each, self)) return false;
    int rc = lun_sql(l, LUN_SQL_WINDOWS_LEFT, "iu", wall, (uint32_t)pieces);
    for (; rc == SQLITE_ROW; rc = lun_sql_next(l, LUN_SQL_WINDOWS_LEFT))
        left_out(self, lun_sql_text(l, LUN_SQL_WINDOWS_LEFT, 0), lun_sql_int(l, LUN_SQL_WINDOWS_LEFT, 1));
    return rc;
}
