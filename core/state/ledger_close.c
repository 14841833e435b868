#include "state/ledger_inner.h"
#include <time.h>

static lun_us month_start(lun_us wall)
{
    time_t seconds = (time_t)(wall / LUN_SECOND);
    struct tm t;
    gmtime_r(&seconds, &t);
    struct tm first = { .tm_year = t.tm_year, .tm_mon = t.tm_mon, .tm_mday = 1 };
    return (lun_us)timegm(&first) * LUN_SECOND;
}

/* The last of the next rows that is older than this month; one whose time lies days ahead (a clock that went astray) holds nothing up. */
static bool find_end(struct lun_ledger *l, lun_us wall, int rows, int64_t *from, int64_t *to, int64_t *n)
{
    *to = *n = 0;
    if (!lun_sql_number(l, LUN_SQL_CLOSED_TO, 0, from, "")) return false;
    int rc = lun_sql(l, LUN_SQL_CLOSABLE, "iiii", *from, (int64_t)rows, month_start(wall), wall + 86400 * LUN_SECOND);
    if (rc == SQLITE_ROW) {
        *to = lun_sql_int(l, LUN_SQL_CLOSABLE, 0);
        *n = lun_sql_int(l, LUN_SQL_CLOSABLE, 1);
        lun_sql_end(l, LUN_SQL_CLOSABLE);
    }
    return rc;
}

enum lun_ledger_result lun_ledger_close_months(struct lun_ledger *l, lun_us wall, int rows, bool *more)
{
    int64_t from, to, n;
    *more = false;
    enum lun_ledger_result result = lun_ledger_begin(l);
    if (result != LUN_LEDGER_OK) return result;
    bool good = find_end(l, wall, rows, &from, &to, &n);
    if (good && n) good = lun_sql(l, LUN_SQL_CLOSE, "ii", from, to) && lun_sql(l, LUN_SQL_CLOSED_UPTO, "iii", to, wall, n);
    if (good && !n) {
        lun_ledger_rollback(l);
        return LUN_LEDGER_OK;
    }
    result = lun_ledger_commit(l);
    *more = result == LUN_LEDGER_OK && n == rows;
    return result;
}
