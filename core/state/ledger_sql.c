#include "state/ledger_inner.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {
#define X(id, text) text,
    LUN_LEDGER_SQL(X)
#undef X
};

static void say(struct lun_ledger *l, const char *format, va_list list)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, list);
    free(l->error);
    l->error = lun_printf("%s: %s", l->path, text);
}

void lun_ledger_complain(struct lun_ledger *l, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(l, format, list);
    va_end(list);
}

void lun_ledger_fail(struct lun_ledger *l, const char *format, ...)
{
    va_list list;
    l->trouble = LUN_LEDGER_FAILED;
    if (l->failed) return;              /* the first that was wrong is what there is to know */
    va_start(list, format);
    say(l, format, list);
    va_end(list);
    l->failed = true;
}

/* COMMIT does not keep it; the log does. */
static int system_error(struct lun_ledger *l, int rc)
{
    sqlite3_file *log = NULL;
    int is = sqlite3_system_errno(l->db);
    if (is || rc != SQLITE_IOERR_WRITE) return is;
    if (sqlite3_file_control(l->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log && log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &is);
    return is;
}

static bool disk_full(struct lun_ledger *l, int rc)
{
    int is = system_error(l, rc);
    if (rc == SQLITE_FULL) return true;
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC) return false;
    return ((rc & 0xFF) == SQLITE_IOERR || (rc & 0xFF) == SQLITE_CANTOPEN) && (is == ENOSPC || is == EDQUOT || is == EFBIG);
}

static const char *remedy(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_CORRUPT: case SQLITE_NOTADB:
        return ". The file is damaged: stop the gateway, keep a copy, look with `lunette ledger verify`, and put back a whole copy or begin anew";
    case SQLITE_IOERR:    return ". The disk has failed: nothing more is written until a restart, which finds out what was kept";
    case SQLITE_READONLY: return ". The file or its folder cannot be written";
    default: return "";
    }
}

static enum lun_ledger_result note(struct lun_ledger *l, enum lun_ledger_result result)
{
    if (l->trouble == LUN_LEDGER_OK) l->trouble = result;
    return result;
}

enum lun_ledger_result lun_ledger_note(struct lun_ledger *l, int rc, const char *doing)
{
    if (disk_full(l, rc)) {
        lun_ledger_complain(l, "the disk is full (%s)", doing);
        return note(l, LUN_LEDGER_FULL);
    }
    if ((rc & 0xFF) == SQLITE_BUSY || (rc & 0xFF) == SQLITE_LOCKED) {
        lun_ledger_complain(l, "another process is writing and does not end (%s)", doing);
        return note(l, LUN_LEDGER_BUSY);
    }
    int is = system_error(l, rc);
    bool disk = (rc & 0xFF) == SQLITE_IOERR && is;
    lun_ledger_fail(l, "%s: %s%s%s%s", doing, sqlite3_errmsg(l->db), disk ? ": " : "", disk ? strerror(is) : "", remedy(rc));
    return LUN_LEDGER_FAILED;
}

static sqlite3_stmt *prepared(struct lun_ledger *l, enum lun_sql which)
{
    sqlite3_stmt **s = &l->statements[which];
    int rc = *s ? SQLITE_OK : sqlite3_prepare_v3(l->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
    if (rc != SQLITE_OK) lun_ledger_note(l, rc, texts[which]);
    return *s;
}

static void bind(sqlite3_stmt *s, const char *types, va_list list)
{
    for (int i = 1; *types; types++, i++) {
        int64_t number;
        const char *text;
        switch (*types) {
        case 'i': sqlite3_bind_int64(s, i, va_arg(list, int64_t)); break;
        case 'u': sqlite3_bind_int64(s, i, va_arg(list, uint32_t)); break;
        case 'n':
            number = va_arg(list, int64_t);
            if (number == INT64_MAX || number == -1) sqlite3_bind_null(s, i);
            else sqlite3_bind_int64(s, i, number);
            break;
        case 'b': sqlite3_bind_blob(s, i, va_arg(list, const unsigned char *), 16, SQLITE_STATIC); break;
        default:
            text = va_arg(list, const char *);
            if (text) sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
            else sqlite3_bind_null(s, i);
        }
    }
}

static int step(struct lun_ledger *l, enum lun_sql which)
{
    sqlite3_stmt *s = l->statements[which];
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) return rc;
    if (rc != SQLITE_DONE) lun_ledger_note(l, rc, texts[which]);
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? rc : 0;
}

/* Nothing more in a transaction in which something has failed: SQLite may have ended it by itself, and then each statement would be one of its own. */
static int start(struct lun_ledger *l, enum lun_sql which, const char *types, va_list list)
{
    sqlite3_stmt *s = l->open && l->trouble != LUN_LEDGER_OK ? NULL : prepared(l, which);
    if (!s) return 0;
    sqlite3_reset(s);
    bind(s, types, list);
    return step(l, which);
}

int lun_sql(struct lun_ledger *l, enum lun_sql which, const char *types, ...)
{
    va_list list;
    va_start(list, types);
    int rc = start(l, which, types, list);
    va_end(list);
    return rc;
}

int lun_sql_next(struct lun_ledger *l, enum lun_sql which) { return step(l, which); }
void lun_sql_end(struct lun_ledger *l, enum lun_sql which) { sqlite3_reset(l->statements[which]); }

int64_t lun_sql_int(struct lun_ledger *l, enum lun_sql which, int column) { return sqlite3_column_int64(l->statements[which], column); }
bool lun_sql_null(struct lun_ledger *l, enum lun_sql which, int column) { return sqlite3_column_type(l->statements[which], column) == SQLITE_NULL; }

const char *lun_sql_text(struct lun_ledger *l, enum lun_sql which, int column)
{
    const char *text = (const char *)sqlite3_column_text(l->statements[which], column);
    return text ? text : "";
}

bool lun_sql_number(struct lun_ledger *l, enum lun_sql which, int64_t otherwise, int64_t *out, const char *types, ...)
{
    va_list list;
    va_start(list, types);
    int rc = start(l, which, types, list);
    va_end(list);
    *out = rc == SQLITE_ROW ? lun_sql_int(l, which, 0) : otherwise;
    if (rc == SQLITE_ROW) lun_sql_end(l, which);
    return rc;
}

bool lun_sql_exec(struct lun_ledger *l, const char *text)
{
    int rc = sqlite3_exec(l->db, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK) lun_ledger_note(l, rc, text);
    return rc == SQLITE_OK;
}
