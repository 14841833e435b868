#include "state/ledger_inner.h"
#include "base/alloc.h"
#include "base/random.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *lun_ledger_gateway(const struct lun_ledger *l) { return l->gateway; }
const char *lun_ledger_error(const struct lun_ledger *l) { return l->error ? l->error : ""; }
bool lun_ledger_failed(const struct lun_ledger *l) { return l->failed; }
uint32_t lun_ledger_run(const struct lun_ledger *l) { return l->run; }

/* ---- writers take turns ---- */

#define NAP (LUN_MS / 4)     /* short, against one who takes it again and again */

/* All of a transaction and of a checkpoint lies under this lock, so no process ever moves the log while another writes to it. */
bool lun_ledger_lock(struct lun_ledger *l)
{
    const struct timespec nap = { .tv_nsec = NAP * 1000 };
    if (l->locks++) return true;
    for (int64_t i = 0; flock(l->lock, LOCK_EX | LOCK_NB); i++) {
        if (errno == EWOULDBLOCK && i < LUN_LEDGER_WAIT / NAP) nanosleep(&nap, NULL);
        else if (errno != EINTR) {
            lun_ledger_complain(l, "another process is writing and does not end");
            l->locks--;
            return false;
        }
    }
    return true;
}

void lun_ledger_unlock(struct lun_ledger *l)
{
    if (!--l->locks) flock(l->lock, LOCK_UN);
}

static bool open_lock(struct lun_ledger *l)
{
    char *name = lun_printf("%s.lock", l->path);
    l->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->lock < 0) lun_ledger_fail(l, "%s cannot be opened: %s", name, strerror(errno));
    free(name);
    return l->lock >= 0;
}

/* ---- what can be seen without SQLite ---- */

static uint32_t big_endian(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* Where the log is empty the file is all there is, and must be as long as it says. */
static bool cut_short(const char *path, off_t size)
{
    unsigned char head[100];
    struct stat log;
    char *name = lun_printf("%s-wal", path);
    bool logged = !stat(name, &log) && log.st_size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head && !memcmp(head, "SQLite format 3", 16);
    if (fd >= 0) close(fd);
    free(name);
    uint32_t page = read ? (uint32_t)head[16] << 8 | head[17] : 0;
    return read && !logged && (off_t)big_endian(head + 28) * (page == 1 ? 65536 : page) > size;
}

/* Whether a ledger may be opened here, or (*make) founded. */
static bool look_at(struct lun_ledger *l, bool marked, uint32_t run, bool *make)
{
    struct stat s;
    bool there = !stat(l->path, &s);
    *make = false;
    if (!there && errno != ENOENT) lun_ledger_fail(l, "cannot be reached: %s", strerror(errno));
    else if (!there && marked)
        lun_ledger_fail(l, "is gone. %s.id says that a ledger was here (gateway %s, run %u): put it back. Only if all budgets may begin anew, remove %s.id",
                        l->path, l->gateway, run, l->path);
    else if (!there && l->mode != LUN_LEDGER_FOUND) lun_ledger_fail(l, "there is no such ledger");
    else if (there && !S_ISREG(s.st_mode)) lun_ledger_fail(l, "is not a file");
    else if (there && access(l->path, l->mode == LUN_LEDGER_READ ? R_OK : R_OK | W_OK)) lun_ledger_fail(l, "cannot be opened: %s", strerror(errno));
    else if (there && !s.st_size && (marked || l->mode != LUN_LEDGER_FOUND)) lun_ledger_fail(l, "is empty. Put back a whole copy");
    else if (there && cut_short(l->path, s.st_size)) lun_ledger_fail(l, "has lost its end (%lld bytes are left). Put back a whole copy", (long long)s.st_size);
    *make = !there || !s.st_size;
    return !l->failed;
}

/* ---- opening ---- */

static bool make_file(struct lun_ledger *l)
{
    int fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) lun_ledger_fail(l, "cannot be made: %s", strerror(errno));
    else close(fd);
    return fd >= 0;
}

static int on_commit(void *self, sqlite3 *db, const char *name, int pages)
{
    struct lun_ledger *l = self;
    (void)db, (void)name;
    l->wal_pages = pages;
    return SQLITE_OK;
}

static bool open_database(struct lun_ledger *l)
{
    bool reads = l->mode == LUN_LEDGER_READ;
    int rc = sqlite3_open_v2(l->path, &l->db, (reads ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK) {
        lun_ledger_note(l, rc, "opening");
        return false;
    }
    sqlite3_busy_timeout(l->db, (int)(LUN_LEDGER_WAIT / LUN_MS));
    sqlite3_db_config(l->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!lun_sql_exec(l, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON")) return false;
    if (reads) return lun_sql_exec(l, "PRAGMA query_only=ON; PRAGMA cache_size=-8192");
    if (!lun_sql_exec(l, "PRAGMA cache_size=-1024")) return false;      /* rows are added at the ends of two trees: what is kept of these serves nobody */
    bool good = lun_ledger_lock(l);
    if (good) {
        good = lun_sql_exec(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0");
        lun_ledger_unlock(l);
    }
    sqlite3_wal_hook(l->db, on_commit, l);
    return good && lun_ledger_rows_open(l);
}

/* A file that was made and whose first transaction never came to its end. */
static bool untouched(struct lun_ledger *l)
{
    bool none = false;
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(l->db, "SELECT count(*) FROM sqlite_master", -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) none = !sqlite3_column_int(s, 0);
    else lun_ledger_note(l, rc, "reading its tables");
    sqlite3_finalize(s);
    return none;
}

/* The file against what stands beside it. */
static bool check_mark(struct lun_ledger *l, bool marked, uint32_t run)
{
    char *id = lun_ledger_get(l, "gateway");
    int64_t next = 1;
    bool good = lun_sql_number(l, LUN_SQL_RUN_NEXT, 1, &next, "");
    if (good && (!id || strlen(id) != 32)) lun_ledger_fail(l, "has no gateway's id. Put back a whole copy");
    else if (good && marked && strcmp(id, l->gateway))
        lun_ledger_fail(l, "is the ledger of gateway %s, and %s.id says that of %s belongs here. Put that one back; if this is the right one, remove %s.id",
                        id, l->path, l->gateway, l->path);
    else if (good && marked && run >= next)
        lun_ledger_fail(l, "is an older copy: it knows %lld runs, %s.id says there were %u. What was spent since is not in it, so budgets would be spent twice. "
                        "Put back the newest; if that is meant, remove %s.id", (long long)next - 1, l->path, run, l->path);
    good = good && !l->failed;
    if (good) strcpy(l->gateway, id);
    free(id);
    if (good && !marked && l->mode != LUN_LEDGER_READ) good = lun_ledger_mark_write(l, (uint32_t)(next - 1));
    return good;
}

static bool found_or_check(struct lun_ledger *l, bool marked)
{
    bool old;
    if (l->mode == LUN_LEDGER_FOUND && !marked && untouched(l)) {
        lun_random_id(l->gateway);
        return lun_ledger_migrate(l);
    }
    if (l->failed || !lun_ledger_check_schema(l, &old)) return false;
    if (old && l->mode != LUN_LEDGER_FOUND) lun_ledger_fail(l, "is of an earlier version of Lunette. The gateway brings it to this one when it starts");
    return !l->failed && (!old || lun_ledger_migrate(l));
}

static bool open_all(struct lun_ledger *l, char **error)
{
    bool marked = false, make;
    uint32_t run = 0;
    if (!lun_ledger_mark_read(l->path, l->gateway, &run, &marked, error) || !look_at(l, marked, run, &make)) return false;
    if (l->mode != LUN_LEDGER_READ && !open_lock(l)) return false;
    if (make && !make_file(l)) return false;
    return open_database(l) && found_or_check(l, marked) && check_mark(l, marked, run);
}

struct lun_ledger *lun_ledger_open(const char *path, enum lun_ledger_mode mode, char **error)
{
    struct lun_ledger *l = lun_zalloc(sizeof *l);
    *error = NULL;
    l->path = lun_strdup(path);
    l->mode = mode;
    l->lock = -1;
    l->cache = lun_zalloc(LUN_LEDGER_CACHED * sizeof *l->cache);
    if (open_all(l, error)) return l;
    if (!*error) *error = lun_strdup(lun_ledger_error(l));
    lun_ledger_close(l);
    return NULL;
}

void lun_ledger_close(struct lun_ledger *l)
{
    if (!l) return;
    if (l->open) lun_ledger_rollback(l);
    for (int i = 0; i < LUN_SQL_COUNT; i++) sqlite3_finalize(l->statements[i]);
    if (l->mode == LUN_LEDGER_FOUND && l->db && !l->failed && lun_ledger_lock(l)) {
        sqlite3_busy_timeout(l->db, 0);
        sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        lun_ledger_unlock(l);
    }
    sqlite3_close(l->db);
    if (l->lock >= 0) close(l->lock);
    explicit_bzero(l->gateway, sizeof l->gateway);
    free(l->cache), free(l->sums), free(l->waiting), free(l->path), free(l->error);
    free(l);
}

bool lun_ledger_changed(struct lun_ledger *l)
{
    int64_t before = l->data_version;
    return lun_sql_number(l, LUN_SQL_DATA_VERSION, before, &l->data_version, "") && before && l->data_version != before;
}

bool lun_ledger_is_live(struct lun_ledger *l)
{
    bool live = lun_sql(l, LUN_SQL_RUN_OPEN, "") == SQLITE_ROW;
    if (live) lun_sql_end(l, LUN_SQL_RUN_OPEN);
    return live;
}
