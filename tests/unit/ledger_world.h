/* A folder with a ledger, for its tests. */
#ifndef LEDGER_WORLD_H
#define LEDGER_WORLD_H
#include "state/ledger.h"
#include "base/alloc.h"
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define NOW   ((lun_us)1795867200 * LUN_SECOND)     /* 2026-11-28T12:00:00Z */
#define DAY   (86400 * LUN_SECOND)
#define BOOT  "boot-1"

static char folder[64], file[80];

static inline void world_path(char *out, size_t room, const char *end) { snprintf(out, room, "%s%s", file, end); }

static inline int world_set_up(void **state)
{
    (void)state;
    strcpy(folder, access("/dev/shm", W_OK) ? "/tmp/lunette-ledger-XXXXXX" : "/dev/shm/lunette-ledger-XXXXXX");     /* in memory no fsync takes time */
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/lunette.db", folder);
    return 0;
}

static inline int world_tear_down(void **state)
{
    char *all = lun_printf("rm -rf %s", folder);
    int rc = system(all);
    (void)state;
    free(all);
    return rc;
}

static inline struct lun_ledger *open_ledger(enum lun_ledger_mode mode)
{
    char *error;
    struct lun_ledger *l = lun_ledger_open(file, mode, &error);
    if (!l) fail_msg("%s", error);
    return l;
}

static inline char *open_fails(enum lun_ledger_mode mode)
{
    char *error;
    struct lun_ledger *l = lun_ledger_open(file, mode, &error);
    if (l) lun_ledger_close(l);
    assert_null(l);
    assert_non_null(strstr(error, "lunette.db"));               /* it names the file */
    return error;
}

#define assert_says(error, text) do { \
    char *said_ = (error); \
    if (!strstr(said_, text)) fail_msg("\"%s\" does not say \"%s\"", said_, text); \
    free(said_); \
} while (0)

static inline void good(struct lun_ledger *l, bool is)
{
    if (!is) fail_msg("%s", lun_ledger_error(l));
}

static inline void begin(struct lun_ledger *l) { good(l, lun_ledger_begin(l) == LUN_LEDGER_OK); }
static inline void commit(struct lun_ledger *l) { good(l, lun_ledger_commit(l) == LUN_LEDGER_OK); }

static inline uint32_t account(struct lun_ledger *l, const char *budget, int64_t limit)
{
    return lun_ledger_account(l, &(struct lun_ledger_account){ .budget = budget, .period = "2026-11-28", .starts = NOW - DAY / 2, .ends = NOW + DAY / 2, .limit = limit });
}

static inline struct lun_journal *begin_run(struct lun_ledger *l)
{
    struct lun_journal *j;
    good(l, lun_ledger_begin_run(l, folder, BOOT, 256, NOW, &j));
    return j;
}

static inline struct lun_dispatch dispatched(uint64_t seq, uint32_t payers, int64_t hold)
{
    return (struct lun_dispatch){ .seq = seq, .hold = hold, .at = NOW, .request = "0123456789abcdef", .payers = payers };
}

static inline struct lun_settle settled(uint64_t seq, int64_t cost)
{
    return (struct lun_settle){ .seq = seq, .cost = cost, .tokens = { 10, 0, 0, 0, 5 }, .state = LUN_ATTEMPT_SETTLED, .latency_ms = 12 };
}

static inline struct lun_settle orphaned(uint64_t seq, int64_t cost)
{
    struct lun_settle s = settled(seq, cost);
    s.state = LUN_ATTEMPT_ORPHANED;
    return s;
}

static inline void row(struct lun_ledger *l, uint64_t seq, uint32_t payers, int64_t hold, int64_t cost)
{
    struct lun_dispatch d = dispatched(seq, payers, hold);
    struct lun_settle s = settled(seq, cost);
    lun_ledger_row(l, &d, &s);
}

static inline struct lun_ledger_figures look(struct lun_ledger *l, uint32_t id)
{
    struct lun_ledger_figures f;
    good(l, lun_ledger_look(l, id, &f));
    return f;
}

static inline struct lun_recovery recover(struct lun_ledger *l, const char *boot)
{
    struct lun_recovery r = {0};
    good(l, lun_ledger_recover(l, folder, boot, NOW, &r));
    return r;
}

/* Another program's hand: as sqlite3 has it. */
static inline int64_t by_hand(const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t number = -1;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
    if (sqlite3_prepare_v2(db, text, -1, &s, NULL) != SQLITE_OK) fail_msg("%s: %s", text, sqlite3_errmsg(db));
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) number = sqlite3_column_int64(s, 0);
    else if (rc != SQLITE_DONE) fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_finalize(s);
    sqlite3_close(db);
    return number;
}
#endif
