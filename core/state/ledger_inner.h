/* What a ledger consists of: only for core/state/ledger*.c. */
#ifndef LUN_STATE_LEDGER_INNER_H
#define LUN_STATE_LEDGER_INNER_H
#include "state/ledger.h"
#include <sqlite3.h>

#define LUN_LEDGER_WINDOWS "WITH taken AS (SELECT budget,starts,ends FROM account JOIN part ON part.account=id WHERE period GLOB 'rolling *' " \
    "AND (ifnull(granted,0)>0 OR charged+adjusted>0)), last AS (SELECT budget,max(ends) AS at FROM taken GROUP BY budget) "

/* What a row of `attempt` has beside its id. */
#define LUN_LEDGER_COLUMNS(X) X(run) X(seq) X(at) X(request) X(target) X(client) X(version) X(payers) X(hold) X(cost) X(input) X(cached_input) X(cache_write) \
    X(cache_write_1h) X(output) X(reasoning) X(audio) X(image) X(kind) X(state) X(flags) X(latency_ms)
#define X(name) LUN_COLUMN_##name,
enum { LUN_COLUMN_id, LUN_LEDGER_COLUMNS(X) LUN_COLUMN_COUNT };
#undef X
#define LUN_COMMA_NAME(name) "," #name
#define LUN_COMMA_NAMES LUN_LEDGER_COLUMNS(LUN_COMMA_NAME)

/*  id, the statement */
#define LUN_LEDGER_SQL(X) \
    X(BEGIN, "BEGIN IMMEDIATE") \
    X(SNAPSHOT, "BEGIN") \
    X(COMMIT, "COMMIT") \
    X(ROLLBACK, "ROLLBACK") \
    X(DATA_VERSION, "PRAGMA data_version") \
    X(META_GET, "SELECT value FROM meta WHERE key=?1") \
    X(META_PUT, "INSERT INTO meta(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2") \
    X(META_DROP, "DELETE FROM meta WHERE key=?1") \
    X(NAME_FIND, "SELECT id FROM name WHERE text=?1") \
    X(NAME_ADD, "INSERT INTO name(text) VALUES(?1)") \
    X(ACCOUNT_FIND, "SELECT id FROM account WHERE budget=?1 AND period=?2") \
    X(ACCOUNT_ADD, "INSERT INTO account(budget,period,starts,ends,hard_limit) VALUES(?1,?2,?3,?4,?5)") \
    X(ACCOUNT_NOTE, "UPDATE account SET starts=?2,ends=?3,hard_limit=?4 WHERE id=?1 AND (starts IS NOT ?2 OR ends IS NOT ?3 OR hard_limit IS NOT ?4)") \
    X(ACCOUNT_ALL, "SELECT id,budget,period,starts,ends,hard_limit FROM account WHERE ?1 IS NULL AND ifnull(ends,9223372036854775807)>?2 " \
      "ORDER BY starts,id") \
    X(ACCOUNT_OF, "SELECT id,budget,period,starts,ends,hard_limit FROM account WHERE budget=?1 AND ifnull(ends,9223372036854775807)>?2 ORDER BY starts,id") \
    X(WINDOWS, LUN_LEDGER_WINDOWS "SELECT id,budget,period,starts,ends,hard_limit FROM account LEFT JOIN last USING(budget) " \
      "WHERE period GLOB 'rolling *' AND ends>min(ifnull(at,?1),?1)-?2*(ends-starts) ORDER BY starts,id") \
    X(WINDOWS_LEFT, LUN_LEDGER_WINDOWS "SELECT budget,max(ends) FROM taken JOIN last USING(budget) WHERE ends<=min(at,?1)-?2*(ends-starts) GROUP BY budget") \
    X(ACCOUNT_IS, "SELECT 1 FROM account WHERE id=?1") \
    X(PAYERS_FIND, "SELECT id FROM payers WHERE accounts=?1") \
    X(PAYERS_ADD, "INSERT INTO payers(accounts) VALUES(?1)") \
    X(PAYER_ADD, "INSERT INTO payer(payers,account) VALUES(?1,?2)") \
    X(PAYER_ALL, "SELECT account FROM payer WHERE payers=?1") \
    X(ROWS_ADD, "INSERT INTO attempt(id" LUN_COMMA_NAMES ") SELECT NULL" LUN_COMMA_NAMES " FROM lunette_waiting WHERE true ON CONFLICT(run,seq) DO NOTHING") \
    X(ROWS_FROM, "SELECT payers,hold,cost FROM attempt WHERE id>?1") \
    X(PART_CHARGE, "INSERT INTO part(account,run,charged) VALUES(?1,?2,?3) ON CONFLICT(account,run) DO UPDATE SET " \
      "charged=CASE WHEN charged<4611686018427387904 THEN charged+?3 ELSE charged END") \
    X(PART_RAISE, "UPDATE part SET granted=granted+?3 WHERE account=?1 AND run=?2 AND granted<4611686018427387904") \
    X(PART_GRANT, "INSERT INTO part(account,run,granted) VALUES(?1,?2,?3) ON CONFLICT(account,run) DO UPDATE SET granted=?3") \
    X(PART_ADJUST, "INSERT INTO part(account,run,adjusted) VALUES(?1,?2,?3) ON CONFLICT(account,run) DO UPDATE SET adjusted=adjusted+?3") \
    X(PART_OF_ACCOUNT, "SELECT p.run,p.granted,p.charged,p.adjusted,r.ended IS NULL FROM part p JOIN run r ON r.run=p.run WHERE p.account=?1") \
    X(PART_OF_RUN, "SELECT account,granted,charged,(SELECT hard_limit FROM account WHERE id=account) FROM part WHERE run=?1 AND granted IS NOT NULL") \
    X(PART_CLOSE, "UPDATE part SET granted=?3,charged=charged+?4 WHERE account=?1 AND run=?2") \
    X(ORPHANS, "SELECT ifnull(sum(min(a.cost,a.hold)),0) FROM attempt a WHERE a.run=?2 AND a.state='ORPHANED' AND EXISTS " \
      "(SELECT 1 FROM payer WHERE payer.payers=a.payers AND payer.account=?1)") \
    X(REST_ADD, "INSERT INTO rest(account,run,at,amount) VALUES(?1,?2,?3,?4)") \
    X(REST_IS, "SELECT amount+(SELECT ifnull(sum(delta),0) FROM correction c WHERE c.run=?2 AND c.account=?1) FROM rest WHERE account=?1 AND run=?2") \
    X(ATTEMPT_IS, "SELECT a.hold,a.cost+ifnull((SELECT sum(delta) FROM correction c WHERE c.run=a.run AND c.seq=a.seq),0),a.payers," \
      "a.state='SETTLED' OR EXISTS (SELECT 1 FROM correction c WHERE c.run=a.run AND c.seq=a.seq) FROM attempt a WHERE a.run=?1 AND a.seq=?2") \
    X(CORRECTION_ADD, "INSERT INTO correction(at,by,why,run,seq,account,delta) VALUES(?1,?2,?3,?4,?5,?6,?7)") \
    X(UNCERTAIN, "SELECT a.at,a.run,a.seq,0,a.cost,(SELECT text FROM name WHERE id=a.target),lower(hex(a.request)) FROM attempt a " \
      "WHERE a.state='ORPHANED' AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.run=a.run AND c.seq=a.seq) UNION ALL " \
      "SELECT at,run,0,account,left,(SELECT trim(budget||' '||period) FROM account WHERE id=account),'' FROM (SELECT r.at,r.run,r.account,r.amount+" \
      "ifnull((SELECT sum(delta) FROM correction c WHERE c.run=r.run AND c.account=r.account),0) AS left FROM rest r) WHERE left<>0 ORDER BY 1,2,3") \
    X(REQUESTS, "SELECT run,seq,request,cost+ifnull((SELECT sum(delta) FROM correction c WHERE c.run=a.run AND c.seq=a.seq),0) FROM attempt a " \
      "WHERE cost>0 OR EXISTS (SELECT 1 FROM correction c WHERE c.run=a.run AND c.seq=a.seq)") \
    X(NAME_TEXT, "SELECT text FROM name WHERE id=?1") \
    X(PAYERS_TEXT, "SELECT budget,period FROM payer JOIN account ON account.id=payer.account WHERE payer.payers=?1 ORDER BY account.id") \
    X(ACCOUNT_TEXT, "SELECT budget,period FROM account WHERE id=?1") \
    X(EXPORT_ATTEMPTS, "SELECT run,seq,at,lower(hex(request)),target,client,version,payers,hold,cost,kind,state,flags,latency_ms,input,cached_input," \
      "cache_write,cache_write_1h,output,reasoning,audio,image FROM attempt WHERE at>=?1 AND at<?2 ORDER BY id") \
    X(EXPORT_RESTS, "SELECT run,account,at,amount FROM rest WHERE at>=?1 AND at<?2 ORDER BY at,run,account") \
    X(EXPORT_CORRECTIONS, "SELECT run,seq,account,at,delta,by,why,(SELECT payers FROM attempt a WHERE a.run=c.run AND a.seq=c.seq) FROM correction c " \
      "WHERE at>=?1 AND at<?2 ORDER BY id") \
    X(RUN_NEXT, "SELECT ifnull(max(run),0)+1 FROM run") \
    X(RUN_ADD, "INSERT INTO run(run,started,state) VALUES(?1,?2,'open')") \
    X(RUN_STATE, "SELECT state,distrusted FROM run WHERE run=?1") \
    X(RUN_OPEN, "SELECT run FROM run WHERE ended IS NULL ORDER BY run") \
    X(RUN_DISTRUST, "UPDATE run SET distrusted=1 WHERE run=?1") \
    X(RUN_END, "UPDATE run SET ended=?2,state=?3 WHERE run=?1") \
    X(CLOSED_TO, "SELECT ifnull(max(upto),0) FROM closed") \
    X(CLOSABLE, "SELECT max(id),count(*) FROM (SELECT id FROM attempt WHERE id>?1 AND id<ifnull((SELECT min(id) FROM " \
      "(SELECT id,at FROM attempt WHERE id>?1 ORDER BY id LIMIT ?2) WHERE at>=?3 AND at<?4),9223372036854775807) ORDER BY id LIMIT ?2)") \
    X(CLOSE, "INSERT INTO closing(account,run,month,rows,charged) " \
      "SELECT payer.account,s.run,s.month,sum(s.rows),sum(s.charged) FROM (SELECT run,payers,strftime('%Y-%m',at/1000000,'unixepoch') AS month," \
      "count(*) AS rows,sum(cost) AS charged FROM attempt WHERE id>?1 AND id<=?2 GROUP BY 1,2,3) s " \
      "JOIN payer ON payer.payers=s.payers WHERE true GROUP BY 1,2,3 ON CONFLICT(account,run,month) DO UPDATE SET " \
      "rows=rows+excluded.rows,charged=charged+excluded.charged") \
    X(CLOSED_UPTO, "INSERT INTO closed(upto,at,rows) VALUES(?1,?2,?3)")
#define X(id, text) LUN_SQL_##id,
enum lun_sql { LUN_LEDGER_SQL(X) LUN_SQL_COUNT };
#undef X

enum { LUN_LEDGER_CACHED = 1024 };      /* payer sets that are remembered */
struct lun_payer_set { uint32_t id; int n; uint32_t accounts[LUN_LEDGER_PAYERS]; };
struct lun_sum { uint32_t account; int64_t charged, excess; };

enum { LUN_LEDGER_WAITING = 256 };      /* rows that one statement adds, at most */
struct lun_waiting { int64_t columns[LUN_COLUMN_COUNT]; unsigned char request[16]; const char *kind, *state; };    /* columns: those that are numbers */

struct lun_ledger {
    sqlite3 *db;
    char *path, *error;
    char gateway[33];
    enum lun_ledger_mode mode;
    int lock, locks;                    /* the file that makes writers take turns; how often it is held */
    bool open;                          /* a transaction is */
    bool failed;                        /* for good */
    enum lun_ledger_result trouble;     /* the first in this transaction */
    uint32_t run;
    int64_t data_version;
    int wal_pages, checkpoint_at;       /* pages in the log; how many there are when it is next brought into the file */
    sqlite3_stmt *statements[LUN_SQL_COUNT];
    sqlite3_vtab table;                 /* `lunette_waiting`, as SQLite sees it: rows of this transaction that are not in `attempt` yet */
    struct lun_waiting *waiting; int n_waiting;
    uint16_t order[LUN_LEDGER_WAITING]; /* of these: by their seq */
    struct lun_payer_set *cache;
    struct lun_sum *sums; uint32_t n_sums, room_sums;   /* of this transaction: a table by account; room is a power of two or 0 */
};

/* Binds (i: int64_t, n: int64_t with INT64_MAX and -1 as NULL, u: uint32_t, t: const char *, b: 16 bytes) and takes a first step. SQLITE_ROW or
 * SQLITE_DONE; 0: failed, and noted. After a ROW: read columns, then lun_sql_next until DONE, or lun_sql_end. */
int  lun_sql(struct lun_ledger *, enum lun_sql, const char *types, ...);
int  lun_sql_next(struct lun_ledger *, enum lun_sql);
void lun_sql_end(struct lun_ledger *, enum lun_sql);
int64_t lun_sql_int(struct lun_ledger *, enum lun_sql, int column);
const char *lun_sql_text(struct lun_ledger *, enum lun_sql, int column);    /* "" for NULL; borrowed until the next step */
bool lun_sql_null(struct lun_ledger *, enum lun_sql, int column);
/* One number: the first column of the first row; `otherwise` where there is none. False: failed. */
bool lun_sql_number(struct lun_ledger *, enum lun_sql, int64_t otherwise, int64_t *out, const char *types, ...);
bool lun_sql_exec(struct lun_ledger *, const char *text);

/* Notes what SQLite says went wrong, or what we say; the result that follows from it. */
enum lun_ledger_result lun_ledger_note(struct lun_ledger *, int rc, const char *doing);
void lun_ledger_fail(struct lun_ledger *, const char *format, ...) __attribute__((format(printf, 2, 3)));     /* for good */
void lun_ledger_complain(struct lun_ledger *, const char *format, ...) __attribute__((format(printf, 2, 3))); /* only says */

bool lun_ledger_lock(struct lun_ledger *);      /* counts; false: another process has it for too long */
void lun_ledger_unlock(struct lun_ledger *);

/* ledger_schema.c */
extern const char *const lun_ledger_steps[LUN_LEDGER_SCHEMA];   /* from nothing to schema 1, from 1 to 2, … */
enum { LUN_LEDGER_APPLICATION = 0x4C554E45,     /* "LUNE" */
       LUN_LEDGER_READABLE_FROM = 1 };          /* a program of this schema and later understands what this one writes */
bool lun_ledger_migrate(struct lun_ledger *);   /* to our schema, made where there is nothing; in one transaction */
bool lun_ledger_check_schema(struct lun_ledger *, bool *old);   /* false: not ours, too new, incomplete; noted. *old: lun_ledger_migrate is wanted */

/* ledger_mark.c: PATH.id */
bool lun_ledger_mark_read(const char *path, char gateway[33], uint32_t *run, bool *there, char **error);
bool lun_ledger_mark_write(struct lun_ledger *, uint32_t run);

/* ledger_rows.c */
bool lun_ledger_rows_open(struct lun_ledger *);         /* makes the table `lunette_waiting`; for who writes */
int  lun_ledger_add_row(struct lun_ledger *, uint32_t run, const struct lun_dispatch *, const struct lun_settle *);     /* 1 added, 0 known, -1 failed */
/* Rows that wait, and what all of them come to, into the parts of the run. `raise`: what they cost above their holds is granted too. */
bool lun_ledger_flush(struct lun_ledger *, uint32_t run, bool raise);
void lun_ledger_forget_rows(struct lun_ledger *);      /* those that wait, and the sums: at the end of a transaction */

/* ledger_write.c */
const struct lun_payer_set *lun_ledger_payer_set(struct lun_ledger *, uint32_t payers);     /* NULL: failed, or there is none */
#endif
