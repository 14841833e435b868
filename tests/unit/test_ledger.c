#include "ledger_world.h"
#include "state/outcome.h"
#include <signal.h>

/* ---- rows, accounts, grants ---- */

static void what_is_committed_is_there_after_a_restart(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 1000), total = account(l, "total", -1), both[] = { total, key, key };
    uint32_t payers = lun_ledger_payers(l, both, 3);
    assert_int_equal(lun_ledger_payers(l, (uint32_t[]){ key, total }, 2), payers);
    assert_int_equal(lun_ledger_name(l, "gpt"), lun_ledger_name(l, "gpt"));
    assert_int_not_equal(lun_ledger_name(l, "gpt"), lun_ledger_name(l, "claude"));
    lun_ledger_grant(l, key, 600);
    row(l, 1, payers, 100, 40);
    assert_int_equal(look(l, key).charged, 40);                 /* in its own transaction, too */
    row(l, 2, payers, 100, 60);
    commit(l);
    struct lun_ledger_figures f = look(l, key), t = look(l, total);
    assert_int_equal(f.taken, 600), assert_int_equal(f.others, 0), assert_int_equal(f.charged, 100), assert_int_equal(f.granted, 600), assert_int_equal(f.used, 100);
    assert_int_equal(t.taken, 100), assert_int_equal(t.charged, 100), assert_int_equal(t.granted, -1);
    good(l, lun_ledger_end_run(l, j, NOW));
    lun_ledger_close(l);
    l = open_ledger(LUN_LEDGER_FOUND);
    begin(l);
    assert_int_equal(account(l, "key app", 1000), key);
    commit(l);
    f = look(l, key);
    assert_int_equal(f.taken, 100), assert_int_equal(f.charged, 100), assert_int_equal(f.granted, -1);
    lun_ledger_close(l);
}

static void a_row_counts_once_however_often_it_is_told(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
    row(l, 1, payers, 50, 40), row(l, 1, payers, 50, 40);
    commit(l);
    begin(l);
    row(l, 1, payers, 50, 30);
    commit(l);
    assert_int_equal(look(l, key).charged, 40);
    lun_journal_unlink(j);
    lun_ledger_close(l);
}

enum { MANY = 1500 };       /* rows: more than one statement takes */

/* Some of them, in an order that is not theirs; half cost more than was held, and a third counts to nobody. */
static void told(struct lun_ledger *l, uint32_t payers, int from, int to, int64_t more)
{
    for (int i = from; i < to; i++) {
        uint64_t seq = (uint64_t)(i * 7 % MANY) + 1;
        row(l, seq, seq % 3 ? payers : 0, 100, (int64_t)seq % 200 + more);
    }
}

static void rows_in_any_order_and_number_count_once_each(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    int64_t charged = 0;
    for (int seq = 1; seq <= MANY; seq++) charged += seq % 3 ? seq % 200 : 0;
    begin(l);
    uint32_t key = account(l, "key app", -1), payers = lun_ledger_payers(l, &key, 1);
    told(l, payers, 0, 600, 0), told(l, payers, 500, 601, 1), told(l, payers, 300, 700, 1);
    told(l, payers, 601, 700, 0);       /* of these the ledger has what was told first, with 1 more */
    commit(l);
    for (int i = 601; i < 700; i++) charged += (i * 7 % MANY + 1) % 3 ? 1 : 0;
    charged += (600 * 7 % MANY + 1) % 3 ? 1 : 0;
    begin(l);
    told(l, payers, 0, MANY, 0);
    commit(l);
    assert_int_equal(look(l, key).charged, charged);
    assert_int_equal(by_hand("SELECT sum(cost) FROM attempt WHERE payers>0"), charged);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt"), MANY);
    assert_int_equal(by_hand("SELECT count(DISTINCT seq) FROM attempt WHERE seq BETWEEN 1 AND 1500"), MANY);
    assert_int_equal(by_hand("SELECT max(id) FROM attempt"), MANY);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt WHERE (cost>hold)<>(flags&4)/4"), 0);
    lun_journal_unlink(j);
    lun_ledger_close(l);
}

static void of_many_rows_one_that_cannot_be_written_leaves_none(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    by_hand("CREATE TRIGGER stop BEFORE INSERT ON attempt WHEN new.seq=700 BEGIN SELECT raise(ABORT, 'stop'); END");
    begin(l);
    uint32_t key = account(l, "key app", -1), payers = lun_ledger_payers(l, &key, 1);
    told(l, payers, 0, MANY, 0);
    assert_int_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    lun_ledger_close(l);
    by_hand("DROP TRIGGER stop");
    assert_int_equal(by_hand("SELECT (SELECT count(*) FROM attempt)+(SELECT count(*) FROM part)"), 0);
    lun_journal_close(j);
}

static void what_a_row_says_is_what_was_said(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    struct lun_dispatch d = { .seq = 7, .hold = 9, .at = NOW + 1, .request = "fedcba9876543210", .target = 4, .client = 5, .version = 6 };
    struct lun_settle s = { .seq = 7, .cost = 8, .tokens = { 11, 12, 13, 14, 15, 16, 17, 18 }, .kind = LUN_KIND_RATE_LIMITED, .state = LUN_ATTEMPT_ORPHANED,
                            .flags = LUN_ATTEMPT_HEDGE, .latency_ms = UINT32_MAX };
    begin(l);
    lun_ledger_row(l, &d, &s);
    d.seq = 8;
    lun_ledger_row(l, &d, NULL);
    commit(l);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt WHERE seq=7 AND run=1 AND at=1795867200000001 AND request=CAST('fedcba9876543210' AS BLOB) "
                             "AND target=4 AND client=5 AND version=6 AND payers=0 AND hold=9 AND cost=8 AND input=11 AND cached_input=12 AND cache_write=13 "
                             "AND cache_write_1h=14 AND output=15 AND reasoning=16 AND audio=17 AND image=18 AND kind='rate_limited' AND state='ORPHANED' "
                             "AND flags=8 AND latency_ms=4294967295"), 1);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt WHERE seq=8 AND cost=9 AND kind IS NULL AND state='ORPHANED' AND flags=0 AND input=0"), 1);
    lun_journal_unlink(j);
    lun_ledger_close(l);
}

static void what_a_provider_charges_above_its_hold_is_flagged_and_taken(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
    lun_ledger_grant(l, key, 50);
    row(l, 1, payers, 10, 80);
    commit(l);
    struct lun_ledger_figures f = look(l, key);
    assert_int_equal(f.taken, 80), assert_int_equal(f.granted, 50), assert_int_equal(f.used, 80);
    assert_int_equal(by_hand("SELECT flags FROM attempt"), LUN_ATTEMPT_EXCESS);
    good(l, lun_ledger_end_run(l, j, NOW));
    assert_int_equal(look(l, key).taken, 80);
    lun_ledger_close(l);
}

static void a_transaction_that_is_rolled_back_leaves_nothing(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    account(l, "key first", 1000);
    uint32_t key = account(l, "key app", 1000), payers = lun_ledger_payers(l, &key, 1);
    row(l, 1, payers, 50, 40);
    lun_ledger_rollback(l);
    begin(l);
    uint32_t other = account(l, "key other", 1000);
    assert_int_equal(lun_ledger_payers(l, &other, 1), payers);   /* the number is free again, and means another set */
    row(l, 1, payers, 50, 7);
    commit(l);
    assert_int_equal(look(l, other).charged, 7);
    assert_int_equal(by_hand("SELECT count(*) FROM account"), 1);
    lun_journal_unlink(j);
    lun_ledger_close(l);
}

static void payers_that_are_not_there_are_never_charged_to_nobody(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    lun_journal_unlink(begin_run(l));
    begin(l);
    row(l, 1, 77, 50, 40);
    assert_int_equal(lun_ledger_commit(l), LUN_LEDGER_FAILED);
    assert_non_null(strstr(lun_ledger_error(l), "payers 77"));
    assert_true(lun_ledger_failed(l));
    assert_int_equal(lun_ledger_begin(l), LUN_LEDGER_FAILED);
    lun_ledger_close(l);
}

struct seen { int n; int64_t taken; char last[40]; };
static void see(void *self, uint32_t id, const struct lun_ledger_account *a, const struct lun_ledger_figures *f)
{
    struct seen *s = self;
    (void)id;
    s->n++, s->taken += f->taken;
    snprintf(s->last, sizeof s->last, "%s %s", a->budget, a->period);
}

static void accounts_that_are_not_over_are_listed(void **state)
{
    (void)state;
    struct seen all = {0}, one = {0}, later = {0};
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    lun_journal_unlink(begin_run(l));
    begin(l);
    account(l, "key app", 10);
    uint32_t ever = lun_ledger_account(l, &(struct lun_ledger_account){ .budget = "total", .period = "", .ends = LUN_NEVER, .limit = -1 });
    lun_ledger_grant(l, ever, 5);
    commit(l);
    good(l, lun_ledger_accounts(l, NULL, NOW, see, &all));
    good(l, lun_ledger_accounts(l, "key app", NOW, see, &one));
    good(l, lun_ledger_accounts(l, NULL, NOW + DAY, see, &later));
    assert_int_equal(all.n, 2), assert_int_equal(all.taken, 5);
    assert_int_equal(one.n, 1), assert_string_equal(one.last, "key app 2026-11-28");
    assert_int_equal(later.n, 1), assert_string_equal(later.last, "total ");
    lun_ledger_close(l);
}

static void piece(struct lun_ledger *l, const char *budget, int number, int64_t granted)
{
    char *label = lun_printf("rolling 24 from %d", number);
    lun_us starts = NOW + number * LUN_SECOND;
    uint32_t id = lun_ledger_account(l, &(struct lun_ledger_account){ .budget = budget, .period = label, .starts = starts, .ends = starts + LUN_SECOND, .limit = 9 });
    if (granted >= 0) lun_ledger_grant(l, id, granted);
    free(label);
}

struct windows { struct seen in; int left; char budget[16]; lun_us ended; };
static void leave_out(void *self, const char *budget, lun_us ended)
{
    struct windows *w = self;
    w->left++, w->ended = ended;
    snprintf(w->budget, sizeof w->budget, "%s", budget);
}

static struct windows windows(struct lun_ledger *l, lun_us wall)
{
    struct windows w = {0};
    good(l, lun_ledger_windows(l, wall, 3, see, leave_out, &w));
    return w;
}

/* A clock that is ahead hides none that may count beside the last that was drawn on; and what was only opened by it is not the last. */
static void pieces_of_windows_are_listed_from_the_last_that_something_is_taken_of(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    lun_journal_unlink(begin_run(l));
    begin(l);
    account(l, "key app", 10);
    for (int i = -10; i < 0; i++) piece(l, "total", i, i + 20);
    piece(l, "total", 1000, -1), piece(l, "idle", -8, -1), piece(l, "idle", -1, 0);
    commit(l);
    struct windows now = windows(l, NOW), ahead = windows(l, NOW + DAY), back = windows(l, NOW - 5 * LUN_SECOND);
    assert_int_equal(now.in.n, 3 + 1 + 1), assert_int_equal(now.in.taken, 17 + 18 + 19);
    assert_int_equal(now.left, 1), assert_string_equal(now.budget, "total"), assert_int_equal(now.ended, NOW - 3 * LUN_SECOND);
    assert_int_equal(ahead.in.n, 3 + 1), assert_int_equal(ahead.in.taken, 17 + 18 + 19), assert_int_equal(ahead.ended, NOW - 3 * LUN_SECOND);
    assert_int_equal(back.in.n, 8 + 1 + 2), assert_int_equal(back.ended, NOW - 8 * LUN_SECOND);
    lun_ledger_close(l);
}

static void texts_are_kept_by_their_keys(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    begin(l);
    lun_ledger_put(l, "members", "a b"), lun_ledger_put(l, "members", "a b c");
    commit(l);
    char *text = lun_ledger_get(l, "members");
    assert_string_equal(text, "a b c");
    free(text);
    begin(l);
    lun_ledger_put(l, "members", NULL);
    commit(l);
    assert_null(lun_ledger_get(l, "members"));
    lun_ledger_close(l);
}

/* ---- recovery ---- */

struct left { uint32_t key, total, payers; };

/* What a process leaves that ends in the middle: granted 1000 of the key, no limit on the total; a row committed (40), one settled (30) and one under way (hold 200) in the journal. */
static struct left die(int64_t granted)
{
    struct left left;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    left.key = account(l, "key app", 5000), left.total = account(l, "total", -1);
    left.payers = lun_ledger_payers(l, (uint32_t[]){ left.key, left.total }, 2);
    lun_ledger_grant(l, left.key, granted);
    commit(l);
    struct lun_dispatch d1 = dispatched(1, left.payers, 100), d2 = dispatched(2, left.payers, 100), d3 = dispatched(3, left.payers, 200);
    struct lun_settle s1 = settled(1, 40), s2 = settled(2, 30);
    lun_journal_dispatch(j, 0, &d1), lun_journal_dispatch(j, 1, &d2), lun_journal_dispatch(j, 2, &d3);
    lun_journal_settle(j, 0, &s1), lun_journal_settle(j, 1, &s2);
    begin(l);
    lun_ledger_row(l, &d1, &s1);
    commit(l);
    lun_journal_close(j);
    lun_ledger_close(l);
    return left;
}

static void after_a_kill_rows_are_found_again_and_what_was_not_spent_is_free(void **state)
{
    (void)state;
    struct left left = die(1000);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(look(l, left.key).taken, 1000);            /* until then all of it is */
    struct lun_recovery r = recover(l, BOOT);
    assert_int_equal(r.runs, 1), assert_int_equal(r.cuts, 0), assert_int_equal(r.rows, 2), assert_int_equal(r.settled, 1);
    assert_int_equal(r.orphaned, 1), assert_int_equal(r.known, 1), assert_int_equal(r.rests, 0), assert_int_equal(r.wrong, 0);
    assert_int_equal(look(l, left.key).taken, 270);
    assert_int_equal(look(l, left.total).taken, 270);
    r = recover(l, BOOT);
    assert_int_equal(r.runs, 0);
    assert_int_equal(look(l, left.key).taken, 270);
    char *journal = lun_printf("%s/journal.1", folder);
    assert_int_not_equal(access(journal, F_OK), 0);
    free(journal);
    lun_ledger_close(l);
}

static void assert_cut(struct left left, const char *boot)
{
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_recovery r = recover(l, boot);
    assert_int_equal(r.cuts, 1), assert_int_equal(r.rests, 1), assert_int_equal(r.wrong, 0);
    assert_int_equal(look(l, left.key).taken, 1000);
    assert_int_equal(look(l, left.key).charged, 1000);
    assert_int_equal(by_hand("SELECT amount+(SELECT sum(cost) FROM attempt) FROM rest"), 1000);
    assert_int_equal(by_hand("SELECT count(*) FROM rest"), 1);  /* of the account with a limit only */
    lun_ledger_close(l);
}

static void after_a_power_cut_the_whole_allotment_stays_charged(void **state)
{
    (void)state;
    assert_cut(die(1000), "boot-2");
}

static void a_journal_that_is_missing_is_a_power_cut(void **state)
{
    (void)state;
    struct left left = die(1000);
    char *journal = lun_printf("%s/journal.1", folder);
    unlink(journal);
    free(journal);
    assert_cut(left, BOOT);
}

static void a_journal_that_is_damaged_is_a_power_cut_and_what_is_whole_of_it_counts(void **state)
{
    (void)state;
    struct left left = die(1000);
    char *journal = lun_printf("%s/journal.1", folder);
    int fd = open(journal, O_RDWR);
    assert_int_equal(pwrite(fd, "X", 1, 2), 1);
    close(fd);
    free(journal);
    assert_cut(left, BOOT);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt"), 3);
}

static void after_a_power_cut_orphans_that_exceed_the_allotment_are_counted_down_to_it(void **state)
{
    (void)state;
    struct left left = die(150);            /* 40 + 30 + the hold of 200 */
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_recovery r = recover(l, "boot-2");
    assert_int_equal(r.capped, 1), assert_int_equal(r.wrong, 0);
    assert_int_equal(look(l, left.key).taken, 150);
    lun_ledger_close(l);
}

static void a_charge_above_what_was_granted_is_told(void **state)
{
    (void)state;
    struct left left = die(150);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_recovery r = recover(l, BOOT);
    assert_int_equal(r.wrong, 1);
    assert_non_null(strstr(lun_ledger_error(l), "more than was granted"));
    assert_int_equal(look(l, left.key).taken, 270);             /* and charged */
    lun_ledger_close(l);
}

/* Granted 100: one attempt holds 50, and its line is lost with the power; another held 10 and cost 80. Both may be real. */
static void after_a_power_cut_what_was_charged_above_a_hold_does_not_hide_what_was_lost(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 5000), payers = lun_ledger_payers(l, &key, 1);
    lun_ledger_grant(l, key, 100);
    commit(l);
    struct lun_dispatch d = dispatched(2, payers, 10);
    struct lun_settle s = settled(2, 80);
    lun_journal_dispatch(j, 1, &d), lun_journal_settle(j, 1, &s);
    lun_journal_close(j);
    struct lun_ledger *next = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(recover(next, "boot-2").wrong, 0);
    assert_int_equal(look(next, key).taken, 170);
    lun_ledger_close(l), lun_ledger_close(next);
}

static void a_run_that_goes_on_is_left_alone(void **state)
{
    (void)state;
    struct lun_ledger *old = open_ledger(LUN_LEDGER_FOUND), *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(old), *k = begin_run(l);
    assert_int_equal(lun_ledger_run(old), 1), assert_int_equal(lun_ledger_run(l), 2);
    begin(old);
    uint32_t key = account(old, "key app", 5000);
    lun_ledger_grant(old, key, 70);
    commit(old);
    begin(l);
    assert_int_equal(account(l, "key app", 5000), key);
    assert_int_equal(look(l, key).taken, 70), assert_int_equal(look(l, key).others, 70);        /* the other's, seen at once */
    lun_ledger_grant(l, key, 30);
    commit(l);
    assert_int_equal(look(old, key).taken, 100);
    struct lun_recovery r = recover(l, BOOT);
    assert_int_equal(r.alive, 1), assert_int_equal(r.runs, 0);
    good(old, lun_ledger_end_run(old, j, NOW));
    assert_int_equal(look(l, key).taken, 30);
    good(l, lun_ledger_end_run(l, k, NOW));
    assert_int_equal(look(l, key).taken, 0);
    lun_ledger_close(old), lun_ledger_close(l);
}

static void who_was_taken_for_dead_writes_no_more(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND), *other = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    lun_journal_close(j);                                       /* its lock is gone, as if its file had been removed */
    assert_int_equal(recover(other, BOOT).runs, 1);
    assert_int_equal(lun_ledger_begin(l), LUN_LEDGER_FAILED);
    assert_non_null(strstr(lun_ledger_error(l), "took it for dead"));
    lun_ledger_close(l), lun_ledger_close(other);
}

static off_t size_of(const char *end)
{
    struct stat s;
    char path[100];
    world_path(path, sizeof path, end);
    assert_int_equal(stat(path, &s), 0);
    return s.st_size;
}

static void write_pages(struct lun_ledger *l, uint64_t from, int commits)
{
    for (int i = 0; i < commits; i++) {
        begin(l);
        for (uint64_t k = 0; k < 500; k++) row(l, from + (uint64_t)i * 500 + k, 0, 9, 9);
        commit(l);
    }
}

static void the_log_is_brought_into_the_file_and_used_anew(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND), *reader = open_ledger(LUN_LEDGER_READ);
    lun_journal_unlink(begin_run(l));
    write_pages(l, 1, 120);
    off_t log = size_of("-wal"), file_then = size_of("");
    assert_true(file_then > 2000000 && log < 6000000);
    sqlite3 *old;
    assert_int_equal(sqlite3_open(file, &old), SQLITE_OK);      /* somebody who reads on and on */
    assert_int_equal(sqlite3_exec(old, "BEGIN; SELECT count(*) FROM attempt", NULL, NULL, NULL), SQLITE_OK);
    write_pages(l, 200000, 100);
    assert_true(size_of("-wal") > log + 1000000);
    sqlite3_close(old);
    write_pages(l, 400000, 40);
    lun_ledger_close(reader), lun_ledger_close(l);
    assert_int_equal(size_of("-wal"), 0);
    assert_int_equal(by_hand("SELECT count(*) FROM attempt"), 260 * 500);
}

static void another_process_that_writes_is_noticed(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND), *other = open_ledger(LUN_LEDGER_FOUND);
    assert_false(lun_ledger_changed(l));
    begin(l), lun_ledger_name(l, "x"), commit(l);
    assert_false(lun_ledger_changed(l));                        /* oneself is no other */
    begin(other), lun_ledger_name(other, "y"), commit(other);
    assert_true(lun_ledger_changed(l));
    assert_false(lun_ledger_changed(l));
    lun_ledger_close(l), lun_ledger_close(other);
}

static void an_ordered_end_takes_in_what_the_journal_still_holds(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 5000), payers = lun_ledger_payers(l, &key, 1);
    lun_ledger_grant(l, key, 1000);
    commit(l);
    struct lun_dispatch d = dispatched(1, payers, 100);
    struct lun_settle s = settled(1, 60);
    lun_journal_dispatch(j, 9, &d), lun_journal_settle(j, 9, &s);
    good(l, lun_ledger_end_run(l, j, NOW));
    assert_int_equal(look(l, key).taken, 60);
    assert_int_equal(by_hand("SELECT count(*) FROM run WHERE state='ended'"), 1);
    lun_ledger_close(l);
}

enum { PROCESSES = 4 };

/* A process of several: draws as others do, one at a time, as long as there is something left; spends most of it. 70 are left to the one that is killed,
 * and a first part to each: one that begins late has a row too. */
static void draw_and_spend(bool killed, int64_t limit)
{
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    int64_t granted = 0;
    uint64_t seq = 0;
    for (bool more = true; more; ) {
        begin(l);
        uint32_t key = account(l, "key app", limit), payers = lun_ledger_payers(l, &key, 1);
        int64_t left = limit - look(l, key).taken - (killed ? 0 : 70) - (seq ? 7 * PROCESSES : 0), part = left < 7 ? left : 7;
        more = part > 0;
        if (more) lun_ledger_grant(l, key, granted += part);
        if (more) row(l, ++seq, payers, part, part - part / 7);
        commit(l);
        if (killed && seq == 3) raise(SIGKILL);
    }
    if (!lun_ledger_end_run(l, j, NOW)) _exit(1);
    lun_ledger_close(l);
    _exit(0);
}

static void several_processes_share_a_limit_to_the_nano_dollar(void **state)
{
    (void)state;
    enum { LIMIT = 1401 };
    pid_t pids[PROCESSES];
    int status;
    lun_ledger_close(open_ledger(LUN_LEDGER_FOUND));
    for (int i = 0; i < PROCESSES; i++) if (!(pids[i] = fork())) draw_and_spend(!i, LIMIT);
    for (int i = 0; i < PROCESSES; i++) {
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, i ? 0 : SIGKILL);
    }
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    begin(l);
    uint32_t key = account(l, "key app", LIMIT);
    commit(l);
    assert_true(look(l, key).taken <= LIMIT);
    assert_int_equal(recover(l, BOOT).runs, 1);
    assert_int_equal(look(l, key).taken, by_hand("SELECT sum(cost) FROM attempt"));
    assert_true(look(l, key).taken <= LIMIT && look(l, key).taken >= (LIMIT - 70 - 7 * PROCESSES) * 6 / 7 - 7 * PROCESSES);
    assert_int_equal(by_hand("SELECT count(DISTINCT run) FROM attempt"), PROCESSES);
    assert_int_equal(by_hand("SELECT count(*)=max(id) FROM attempt"), 1);
    lun_ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        T(what_is_committed_is_there_after_a_restart),
        T(a_row_counts_once_however_often_it_is_told),
        T(rows_in_any_order_and_number_count_once_each),
        T(of_many_rows_one_that_cannot_be_written_leaves_none),
        T(what_a_row_says_is_what_was_said),
        T(what_a_provider_charges_above_its_hold_is_flagged_and_taken),
        T(a_transaction_that_is_rolled_back_leaves_nothing),
        T(payers_that_are_not_there_are_never_charged_to_nobody),
        T(accounts_that_are_not_over_are_listed),
        T(pieces_of_windows_are_listed_from_the_last_that_something_is_taken_of),
        T(texts_are_kept_by_their_keys),
        T(after_a_kill_rows_are_found_again_and_what_was_not_spent_is_free),
        T(after_a_power_cut_the_whole_allotment_stays_charged),
        T(a_journal_that_is_missing_is_a_power_cut),
        T(a_journal_that_is_damaged_is_a_power_cut_and_what_is_whole_of_it_counts),
        T(after_a_power_cut_orphans_that_exceed_the_allotment_are_counted_down_to_it),
        T(a_charge_above_what_was_granted_is_told),
        T(after_a_power_cut_what_was_charged_above_a_hold_does_not_hide_what_was_lost),
        T(a_run_that_goes_on_is_left_alone),
        T(who_was_taken_for_dead_writes_no_more),
        T(the_log_is_brought_into_the_file_and_used_anew),
        T(another_process_that_writes_is_noticed),
        T(several_processes_share_a_limit_to_the_nano_dollar),
        T(an_ordered_end_takes_in_what_the_journal_still_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
