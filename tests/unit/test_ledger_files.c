/* A ledger's file: founding, damage, other versions, a full disk. */
#include "ledger_world.h"
#include "state/ledger_inner.h"
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* ---- founding ---- */

static void found(void)
{
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
    for (uint64_t seq = 1; seq <= 500; seq++) row(l, seq, payers, 50, 2);
    commit(l);
    good(l, lun_ledger_end_run(l, j, NOW));
    lun_ledger_close(l);
}

static void put(const char *end, off_t at, const char *bytes, size_t n)
{
    char path[100];
    world_path(path, sizeof path, end);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
    close(fd);
}

static void shorten(off_t to)
{
    assert_int_equal(truncate(file, to), 0);
}

static void remove_beside(const char *end)
{
    char path[100];
    world_path(path, sizeof path, end);
    unlink(path);
}

static void only_who_may_found_makes_one(void **state)
{
    (void)state;
    assert_says(open_fails(LUN_LEDGER_WRITE), "no such ledger");
    assert_says(open_fails(LUN_LEDGER_READ), "no such ledger");
    assert_int_not_equal(access(file, F_OK), 0);
    struct stat s;
    lun_ledger_close(open_ledger(LUN_LEDGER_FOUND));
    assert_int_equal(stat(file, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
}

static void each_has_an_id_that_it_keeps(void **state)
{
    (void)state;
    char id[33];
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    strcpy(id, lun_ledger_gateway(l));
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    lun_ledger_close(l);
    l = open_ledger(LUN_LEDGER_READ);
    assert_string_equal(lun_ledger_gateway(l), id);
    lun_ledger_close(l);
}

static void one_that_is_gone_is_never_silently_begun_anew(void **state)
{
    (void)state;
    found();
    unlink(file);
    assert_says(open_fails(LUN_LEDGER_FOUND), "is gone");
    assert_int_not_equal(access(file, F_OK), 0);
    remove_beside(".id");                                       /* somebody says that it may */
    lun_ledger_close(open_ledger(LUN_LEDGER_FOUND));
}

static void what_was_begun_and_never_finished_is_begun_again(void **state)
{
    (void)state;
    put("", 0, "", 0);
    lun_ledger_close(open_ledger(LUN_LEDGER_FOUND));
    found();
}

static void an_older_copy_is_told_by_the_runs_it_does_not_know(void **state)
{
    (void)state;
    char *copy = lun_printf("cp %s %s/copy", file, folder), *back = lun_printf("cp %s/copy %s", folder, file);
    found();
    assert_int_equal(system(copy), 0);
    found();
    assert_int_equal(system(back), 0);
    assert_says(open_fails(LUN_LEDGER_FOUND), "older copy");
    free(copy), free(back);
}

static void another_gateways_is_told_by_its_id(void **state)
{
    (void)state;
    found();
    put(".id", 0, "gateway 00000000000000000000000000000000\nrun 1\n", 47);
    assert_says(open_fails(LUN_LEDGER_FOUND), "belongs here");
    put(".id", 0, "gateway 0000000000000000", 20);
    put(".id", 44, "xxx", 3);
    assert_says(open_fails(LUN_LEDGER_FOUND), "is damaged");
}

static void a_journal_of_a_run_that_it_does_not_know_is_told(void **state)
{
    (void)state;
    char *error, *path = lun_printf("%s/journal.40", folder);
    struct lun_dispatch d = dispatched(1, 1, 5);
    found();
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = lun_journal_create(folder, 40, lun_ledger_gateway(l), BOOT, 8, &error);
    lun_journal_close(j);
    recover(l, BOOT);
    assert_int_not_equal(access(path, F_OK), 0);                /* nothing was ever written there */
    j = lun_journal_create(folder, 40, lun_ledger_gateway(l), BOOT, 8, &error);
    lun_journal_dispatch(j, 1, &d);
    lun_journal_close(j);
    assert_false(lun_ledger_recover(l, folder, BOOT, NOW, NULL));
    assert_non_null(strstr(lun_ledger_error(l), "does not know run 40"));
    assert_int_equal(access(path, F_OK), 0);
    lun_ledger_close(l);
    free(path);
}

static void two_ledgers_may_share_a_folder(void **state)
{
    (void)state;
    struct lun_dispatch d = dispatched(1, 1, 5);
    struct lun_ledger *a = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(a);
    lun_journal_dispatch(j, 0, &d);
    snprintf(file, sizeof file, "%s/other.db", folder);
    struct lun_ledger *b = open_ledger(LUN_LEDGER_FOUND);
    recover(b, BOOT);
    struct lun_journal *k = begin_run(b);
    assert_int_equal(lun_ledger_run(b), 2);
    good(b, lun_ledger_end_run(b, k, NOW));
    lun_journal_close(j);
    recover(b, BOOT);                                           /* dead now, and still none of its business */
    assert_true(lun_journal_there(folder, 1));
    lun_ledger_close(a), lun_ledger_close(b);
}

/* ---- damage ---- */

static void one_that_was_cut_short_is_told(void **state)
{
    (void)state;
    struct stat s;
    found();
    assert_int_equal(stat(file, &s), 0);
    for (off_t to = s.st_size - 1; to > 100; to = to * 2 / 3) {
        shorten(to);
        assert_says(open_fails(LUN_LEDGER_FOUND), "lost its end");
    }
    shorten(60);
    free(open_fails(LUN_LEDGER_FOUND));
    shorten(0);
    assert_says(open_fails(LUN_LEDGER_FOUND), "is empty");
    assert_says(open_fails(LUN_LEDGER_READ), "is empty");
}

static void what_is_no_database_is_told_and_left_as_it_is(void **state)
{
    (void)state;
    char text[6000];
    memset(text, 'x', sizeof text);
    put("", 0, text, sizeof text);
    assert_says(open_fails(LUN_LEDGER_FOUND), "not a database");
    int fd = open(file, O_RDONLY);
    char now[sizeof text];
    assert_int_equal(read(fd, now, sizeof now), sizeof text);
    assert_memory_equal(now, text, sizeof text);
    close(fd);
}

static void another_programs_database_is_told(void **state)
{
    (void)state;
    by_hand("CREATE TABLE pears(x)");
    assert_says(open_fails(LUN_LEDGER_FOUND), "not a ledger");
    assert_int_equal(by_hand("SELECT count(*) FROM sqlite_master"), 1);
}

static void a_folder_or_what_cannot_be_read_is_told(void **state)
{
    (void)state;
    assert_int_equal(mkdir(file, 0700), 0);
    assert_says(open_fails(LUN_LEDGER_FOUND), "is not a file");
    rmdir(file);
    found();
    if (geteuid()) return;                                      /* who is not root cannot become somebody else */
    int status;
    pid_t pid = fork();
    if (!pid) {
        char *error;
        chmod(folder, 0755);
        if (setuid(65534)) _exit(3);
        struct lun_ledger *l = lun_ledger_open(file, LUN_LEDGER_FOUND, &error);
        _exit(l ? 1 : strstr(error, "Permission denied") ? 0 : 2);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void tables_that_are_missing_are_told(void **state)
{
    (void)state;
    found();
    by_hand("DROP TABLE rest");
    assert_says(open_fails(LUN_LEDGER_FOUND), "no such table");
}

/* Opened or refused, but never a crash, never a ledger that says nothing was spent. */
static void flipped_bytes_are_told_or_do_no_harm(void **state)
{
    (void)state;
    char *copy = lun_printf("cp %s %s/copy", file, folder), *back = lun_printf("cp %s/copy %s", folder, file), *error;
    struct stat s;
    int told = 0, unharmed = 0;
    found();
    assert_int_equal(system(copy), 0);
    assert_int_equal(stat(file, &s), 0);
    unsigned dice = 7;
    for (int i = 0; i < 60; i++) {
        struct lun_ledger_figures f;
        assert_int_equal(system(back), 0);
        for (int k = 0; k < 40; k++) dice = dice * 1103515245 + 12345, put("", (off_t)(dice % (unsigned)s.st_size), (char[]){ (char)(dice >> 16) }, 1);
        struct lun_ledger *l = lun_ledger_open(file, LUN_LEDGER_FOUND, &error);
        if (!l) { told++; free(error); continue; }
        if (!lun_ledger_look(l, 1, &f)) { told++; assert_true(*lun_ledger_error(l)); }
        else unharmed++;
        lun_ledger_close(l);
    }
    assert_int_equal(told + unharmed, 60);
    assert_true(told > 10);
    free(copy), free(back);
}

static void damage_that_is_found_later_is_named_and_ends_writing(void **state)
{
    (void)state;
    found();
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    char junk[4096];
    memset(junk, 0x5A, sizeof junk);
    int64_t page = by_hand("SELECT rootpage FROM sqlite_master WHERE name='name'");
    put("", (off_t)(page - 1) * 4096, junk, sizeof junk);
    lun_ledger_close(l);
    l = NULL;
    char *error;
    l = lun_ledger_open(file, LUN_LEDGER_FOUND, &error);
    if (!l) { assert_says(error, "damaged"); return; }
    begin(l);
    lun_ledger_name(l, "new");
    assert_int_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    assert_non_null(strstr(lun_ledger_error(l), "damaged"));
    lun_ledger_close(l);
}

/* ---- versions ---- */

static void make_first_version(void)
{
    sqlite3 *db;
    char *tables = lun_printf("PRAGMA journal_mode=WAL; BEGIN; %s INSERT INTO meta VALUES('gateway','%032d'),('schema','1'),('readable_from','1'); PRAGMA application_id=%d; "
                              "PRAGMA user_version=1; INSERT INTO run VALUES(1,5,6,'ended',0); INSERT INTO account VALUES(1,'key app','2026-11-28',0,NULL,900); "
                              "INSERT INTO part VALUES(1,1,70,70,0); COMMIT", lun_ledger_steps[0], 7, LUN_LEDGER_APPLICATION);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, tables, NULL, NULL, &error)) fail_msg("%s", error);
    sqlite3_close(db);
    free(tables);
}

static void one_of_the_first_version_is_brought_to_this_one_with_what_is_in_it(void **state)
{
    (void)state;
    make_first_version();
    assert_says(open_fails(LUN_LEDGER_READ), "earlier version");
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(look(l, 1).taken, 70);
    assert_int_equal(by_hand("PRAGMA user_version"), LUN_LEDGER_SCHEMA);
    assert_int_equal(by_hand("SELECT count(*) FROM closing"), 0);
    lun_ledger_close(l);
    lun_ledger_close(open_ledger(LUN_LEDGER_READ));
}

static void a_migration_that_fails_leaves_the_old_one(void **state)
{
    (void)state;
    make_first_version();
    by_hand("CREATE TABLE closing(in_the_way)");
    assert_says(open_fails(LUN_LEDGER_FOUND), "closing");
    assert_int_equal(by_hand("PRAGMA user_version"), 1);
    assert_int_equal(by_hand("SELECT count(*) FROM sqlite_master WHERE name='closed'"), 0);
}

static void a_later_version_is_opened_where_it_says_that_this_one_understands_it(void **state)
{
    (void)state;
    found();
    by_hand("ALTER TABLE attempt ADD COLUMN mood TEXT");
    by_hand("PRAGMA user_version=4");
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);       /* readable_from is 1 */
    lun_ledger_close(l);
    assert_int_equal(by_hand("PRAGMA user_version"), 4);
    by_hand("UPDATE meta SET value='4' WHERE key='readable_from'");
    assert_says(open_fails(LUN_LEDGER_FOUND), "later version");
    assert_says(open_fails(LUN_LEDGER_READ), "later version");
}

/* ---- what is long over ---- */

static void old_pieces(const char *budget, int n)
{
    char *text = lun_printf("WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM i WHERE n<%d) INSERT INTO account(budget,period,starts,ends) "
                            "SELECT '%s', 'piece '||n, %lld-n*1000000, %lld-(n-1)*1000000 FROM i", n, budget, (long long)NOW, (long long)NOW);
    by_hand(text);
    free(text);
}

static void count(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    (void)id, (void)a, (void)f;
    ++*(int *)self;
}

static int steps_to_read(struct lun_ledger *l, const char *budget)
{
    int n = 0;
    good(l, lun_ledger_accounts(l, budget, NOW - 24 * LUN_SECOND, count, &n));
    assert_int_equal(n, 24);
    assert_int_equal(sqlite3_stmt_status(l->statements[LUN_SQL_ACCOUNT_OF], SQLITE_STMTSTATUS_FULLSCAN_STEP, 1), 0);
    return sqlite3_stmt_status(l->statements[LUN_SQL_ACCOUNT_OF], SQLITE_STMTSTATUS_VM_STEP, 1);
}

static void pieces_that_are_long_over_are_not_gone_through_to_find_those_that_count(void **state)
{
    (void)state;
    found();
    old_pieces("few", 50), old_pieces("many", 50000), old_pieces("other", 1);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(steps_to_read(l, "many"), steps_to_read(l, "few"));
    lun_ledger_close(l);
}

/* ---- a disk that is full ---- */

static void rows_until_full(struct lun_ledger *l, uint32_t payers, uint64_t *seq, uint64_t *kept)
{
    for (;;) {
        begin(l);
        for (int i = 0; i < 200; i++) row(l, ++*seq, payers, 50, 1);
        enum lun_ledger_result result = lun_ledger_commit(l);
        if (result == LUN_LEDGER_OK) { *kept += 200; continue; }
        assert_int_equal(result, LUN_LEDGER_FULL);
        assert_non_null(strstr(lun_ledger_error(l), "disk is full"));
        assert_false(lun_ledger_failed(l));
        return;
    }
}

static void a_full_disk_keeps_what_was_committed_and_goes_on_when_there_is_room(void **state)
{
    (void)state;
    char *ballast = lun_printf("%s/ballast", folder);
    if (geteuid() || mount("lunette", folder, "tmpfs", 0, "size=2m")) { free(ballast); skip(); }
    int fd = open(ballast, O_RDWR | O_CREAT, 0600);
    static char zeros[512 * 1024];
    assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    uint64_t seq = 0, kept = 0;
    begin(l);
    uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
    commit(l);
    rows_until_full(l, payers, &seq, &kept);
    assert_true(kept > 1000);
    assert_int_equal(look(l, key).charged, (int64_t)kept);
    begin(l), row(l, ++seq, payers, 50, 1);
    assert_int_not_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    assert_int_equal(ftruncate(fd, 0), 0);
    begin(l), row(l, ++seq, payers, 50, 1), commit(l);
    int64_t now = look(l, key).charged;
    assert_true(now == (int64_t)kept + 1 || now == (int64_t)kept + 2);
    close(fd);
    lun_journal_close(j);
    lun_ledger_close(l);
    l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(look(l, key).charged, now);
    assert_int_equal(by_hand("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
    lun_ledger_close(l);
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
    free(ballast);
}

/* The same without a file system of one's own: no file may grow beyond a size. */
static void a_file_that_may_not_grow_is_a_full_disk(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (!pid) {
        signal(SIGXFSZ, SIG_IGN);
        struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
        lun_journal_unlink(begin_run(l));
        begin(l);
        uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
        commit(l);
        struct rlimit small = { 600 * 1024, RLIM_INFINITY }, large = { RLIM_INFINITY, RLIM_INFINITY };
        setrlimit(RLIMIT_FSIZE, &small);
        uint64_t seq = 0, kept = 0;
        enum lun_ledger_result result;
        for (;;) {
            if (lun_ledger_begin(l) != LUN_LEDGER_OK) _exit(2);
            for (int i = 0; i < 200; i++) row(l, ++seq, payers, 50, 1);
            if ((result = lun_ledger_commit(l)) != LUN_LEDGER_OK) break;
            kept += 200;
        }
        struct lun_ledger_figures f;
        if (result != LUN_LEDGER_FULL || !kept || !lun_ledger_look(l, key, &f) || f.charged != (int64_t)kept) { fprintf(stderr, "%d %s\n", result, lun_ledger_error(l)); _exit(3); }
        setrlimit(RLIMIT_FSIZE, &large);
        if (lun_ledger_begin(l) != LUN_LEDGER_OK) _exit(4);
        row(l, ++seq, payers, 50, 1);
        if (lun_ledger_commit(l) != LUN_LEDGER_OK || !lun_ledger_look(l, key, &f) || f.charged != (int64_t)kept + 1) _exit(5);
        lun_ledger_close(l);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        T(only_who_may_found_makes_one),
        T(each_has_an_id_that_it_keeps),
        T(one_that_is_gone_is_never_silently_begun_anew),
        T(what_was_begun_and_never_finished_is_begun_again),
        T(an_older_copy_is_told_by_the_runs_it_does_not_know),
        T(another_gateways_is_told_by_its_id),
        T(a_journal_of_a_run_that_it_does_not_know_is_told),
        T(two_ledgers_may_share_a_folder),
        T(one_that_was_cut_short_is_told),
        T(what_is_no_database_is_told_and_left_as_it_is),
        T(another_programs_database_is_told),
        T(a_folder_or_what_cannot_be_read_is_told),
        T(tables_that_are_missing_are_told),
        T(flipped_bytes_are_told_or_do_no_harm),
        T(damage_that_is_found_later_is_named_and_ends_writing),
        T(one_of_the_first_version_is_brought_to_this_one_with_what_is_in_it),
        T(a_migration_that_fails_leaves_the_old_one),
        T(a_later_version_is_opened_where_it_says_that_this_one_understands_it),
        T(pieces_that_are_long_over_are_not_gone_through_to_find_those_that_count),
        T(a_full_disk_keeps_what_was_committed_and_goes_on_when_there_is_room),
        T(a_file_that_may_not_grow_is_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
