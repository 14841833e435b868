/* A disk that does not take what it was given, or does not give it again: fsync or a read fails. */
#include "ledger_world.h"
#include "state/ledger_inner.h"
#include <errno.h>
#include <sys/syscall.h>

static const char *fails;               /* files whose path holds this cannot be brought to the disk; NULL: all can */
static int failed;

/* Instead of the C library's, for SQLite too. */
static int sync_or_fail(int fd, long call)
{
    char link[40], path[300] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0 || !fails || !strstr(path, fails)) return (int)syscall(call, fd);
    failed++;
    errno = ENOSPC;         /* as a disk says that has promised too much; and still no full disk that can wait */
    return -1;
}
static bool unreadable;                 /* nothing can be read from any file */
ssize_t pread64(int fd, void *out, size_t n, off_t at)
{
    if (!unreadable) return syscall(SYS_pread64, fd, out, n, at);
    failed++;
    errno = ETIMEDOUT;      /* as of a disk that is far away; after EIO SQLite takes the file for damaged */
    return -1;
}

int fsync(int fd) { return sync_or_fail(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_or_fail(fd, SYS_fdatasync); }

static int set_up(void **state)
{
    fails = NULL;
    unreadable = false;
    failed = 0;
    return world_set_up(state);
}

static uint32_t spend(struct lun_ledger *l, struct lun_journal *j)
{
    begin(l);
    uint32_t key = account(l, "key app", 5000), payers = lun_ledger_payers(l, &key, 1);
    lun_ledger_grant(l, key, 1000);
    commit(l);
    struct lun_dispatch d = dispatched(1, payers, 100);
    struct lun_settle s = settled(1, 40);
    lun_journal_dispatch(j, 0, &d), lun_journal_settle(j, 0, &s);
    return key;
}

static void a_commit_that_does_not_reach_the_disk_ends_writing_until_a_restart(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    uint32_t key = spend(l, j);
    fails = "lunette.db";
    begin(l);
    lun_ledger_grant(l, key, 2000);
    assert_int_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    assert_true(failed > 0);
    assert_non_null(strstr(lun_ledger_error(l), "disk has failed"));
    assert_true(lun_ledger_failed(l));
    fails = NULL;
    assert_int_equal(lun_ledger_begin(l), LUN_LEDGER_FAILED);   /* that it works again says nothing of what was lost */
    lun_journal_distrust(j);                                    /* as the bookkeeper does */
    lun_journal_close(j);
    lun_ledger_close(l);
    l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(recover(l, BOOT).cuts, 1);
    assert_true(look(l, key).taken >= 1000);
    lun_ledger_close(l);
}

static void a_journal_that_cannot_be_brought_to_the_disk_is_a_power_cut_for_every_later_recovery(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    uint32_t key = spend(l, j);
    lun_journal_close(j);
    lun_ledger_close(l);
    int status;
    pid_t pid = fork();
    if (!pid) {                                                 /* notes it, and dies before it has closed the run: the ledger's lock is taken away from it */
        struct lun_ledger *dying = open_ledger(LUN_LEDGER_FOUND);
        fails = "/journal.1";
        by_hand("CREATE TRIGGER stop BEFORE UPDATE OF ended ON run BEGIN SELECT raise(ABORT, 'stop'); END");
        _exit(lun_ledger_recover(dying, folder, BOOT, NOW, NULL) || !failed ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    by_hand("DROP TRIGGER stop");
    l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(recover(l, BOOT).cuts, 1);                 /* though its fsync is fine now */
    assert_int_equal(look(l, key).taken, 1000);
    lun_ledger_close(l);
}

static void one_whose_first_transaction_fails_is_no_ledger(void **state)
{
    (void)state;
    fails = "lunette.db";
    free(open_fails(LUN_LEDGER_FOUND));
    fails = NULL;
    lun_ledger_close(open_ledger(LUN_LEDGER_FOUND));
}

static void a_run_whose_journal_cannot_be_made_does_not_begin(void **state)
{
    (void)state;
    struct lun_journal *j;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    fails = "making-journal";
    assert_false(lun_ledger_begin_run(l, folder, BOOT, 64, NOW, &j));
    assert_null(j);
    assert_non_null(strstr(lun_ledger_error(l), "journal.1 cannot be made"));
    assert_int_equal(lun_ledger_run(l), 0);
    fails = NULL;
    recover(l, BOOT);
    good(l, lun_ledger_begin_run(l, folder, BOOT, 64, NOW, &j));
    assert_int_equal(lun_ledger_run(l), 2);
    lun_journal_close(j);
    lun_ledger_close(l);
}

/* SQLite ends the transaction by itself then, and each statement after that would be one of its own. */
static void nothing_of_a_transaction_that_cannot_be_read_in_is_kept(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    uint32_t key = spend(l, j);
    struct lun_ledger_figures f;
    begin(l);
    row(l, 1, lun_ledger_payers(l, &key, 1), 100, 40);
    look(l, key);                                               /* it is in the table */
    row(l, 2, lun_ledger_payers(l, &key, 1), 100, 50);
    unreadable = true;
    for (int i = 0; !lun_ledger_failed(l); i++) {               /* until one needs a page that is not in memory */
        char name[] = { 'a', (char)('a' + i), 0 };
        sqlite3_db_release_memory(l->db);
        lun_ledger_name(l, name);
    }
    assert_true(failed > 0);
    unreadable = false;
    assert_false(lun_ledger_look(l, key, &f));
    lun_ledger_row(l, &(struct lun_dispatch){ .seq = 3 }, NULL);
    assert_int_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt"), 0);
    assert_int_equal(by_hand("SELECT charged FROM part"), 0);
    lun_journal_close(j);
    lun_ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_commit_that_does_not_reach_the_disk_ends_writing_until_a_restart),
        T(a_journal_that_cannot_be_brought_to_the_disk_is_a_power_cut_for_every_later_recovery),
        T(one_whose_first_transaction_fails_is_no_ledger),
        T(a_run_whose_journal_cannot_be_made_does_not_begin),
        T(nothing_of_a_transaction_that_cannot_be_read_in_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
