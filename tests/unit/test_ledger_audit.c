/* What is looked at, taken out and changed afterwards: verify, export, corrections, closed months. */
#include "ledger_world.h"
#include "state/ledger_correct.h"
#include "state/ledger_export.h"
#include "state/ledger_verify.h"

enum { ROWS = 40 };

/* 40 rows of 1 to 40 nano-USD, hold 50: 20 of October, 20 of today; every tenth ORPHANED. The run has ended, or (`cut`) its power has. */
struct made { uint32_t key, total; };
static struct made make(bool cut)
{
    struct made m;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    m.key = account(l, "key app", 5000), m.total = account(l, "total", -1);
    uint32_t payers = lun_ledger_payers(l, (uint32_t[]){ m.key, m.total }, 2), target = lun_ledger_name(l, "far/gpt"), client = lun_ledger_name(l, "=app");
    lun_ledger_grant(l, m.key, 3000);
    for (uint64_t seq = 1; seq <= ROWS; seq++) {
        struct lun_dispatch d = dispatched(seq, payers, 50);
        struct lun_settle s = seq % 10 ? settled(seq, (int64_t)seq) : orphaned(seq, 50);
        d.target = target, d.client = client, d.at = seq <= ROWS / 2 ? NOW - 40 * DAY : NOW;
        memset(d.request, (int)seq, sizeof d.request);
        lun_ledger_row(l, &d, &s);
    }
    commit(l);
    if (cut) lun_journal_close(j);
    else good(l, lun_ledger_end_run(l, j, NOW));
    lun_ledger_close(l);
    if (!cut) return m;
    l = open_ledger(LUN_LEDGER_FOUND);
    assert_int_equal(recover(l, "boot-2").rests, 1);
    lun_ledger_close(l);
    return m;
}
/* 1 + … + 40 without 10, 20, 30, 40, which are charged at 50 */
enum { SPENT = ROWS * (ROWS + 1) / 2 - 100 + 4 * 50 };

static void close_months(void)
{
    bool more = true;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    while (more) good(l, lun_ledger_close_months(l, NOW, 7, &more) == LUN_LEDGER_OK);
    lun_ledger_close(l);
}

/* ---- verify ---- */

struct report { struct lun_verification sum; int n; struct lun_verified first; char said[4000]; };

static void on_account(void *self, const struct lun_verified *v)
{
    struct report *r = self;
    if (!r->n++) r->first = *v;
}
static void on_problem(void *self, const char *what)
{
    struct report *r = self;
    size_t n = strlen(r->said);
    snprintf(r->said + n, sizeof r->said - n, "%s\n", what);
}

static struct report verify(bool full)
{
    struct report r = {0};
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    good(l, lun_ledger_verify(l, &(struct lun_verify){ full, &r, on_account, on_problem }, &r.sum));
    lun_ledger_close(l);
    return r;
}

static void verify_is_silent_where_all_is_right(void **state)
{
    (void)state;
    make(false);
    for (int i = 0; i < 4; i++) {
        struct report r = verify(i & 1);
        assert_string_equal(r.said, "");
        assert_int_equal(r.sum.accounts, 2), assert_int_equal(r.sum.wrong, 0), assert_int_equal(r.sum.problems, 0);
        assert_int_equal(r.first.charged, SPENT), assert_int_equal(r.first.counted, SPENT), assert_int_equal(r.first.rows, ROWS);
        assert_int_equal(r.first.orphaned, 200), assert_int_equal(r.first.limit, 5000);
        assert_int_equal(r.sum.rows, i == 2 ? ROWS / 2 : ROWS);
        if (i == 1) close_months();
    }
}

static void each_kind_of_tampering_is_found(void **state)
{
    (void)state;
    static const struct { const char *deed, *said; bool closed; bool only_full; } deeds[] = {
        { "UPDATE attempt SET cost=cost-1 WHERE seq=7", "the rows come to" },
        { "UPDATE attempt SET cost=60 WHERE seq=7", "cost more than was held" },
        { "UPDATE part SET charged=charged-5", "the rows come to" },
        { "UPDATE part SET adjusted=adjusted-5 WHERE account=1", "the corrections come to" },
        { "UPDATE part SET granted=1 WHERE account=1", "granted were only 1" },
        { "DELETE FROM part WHERE account=2", "0 nano-USD are charged and the rows come to" },
        { "DELETE FROM attempt WHERE seq=7", "1 rows are missing" },
        { "DELETE FROM attempt WHERE seq=40", "the rows come to" },
        { "UPDATE attempt SET payers=9 WHERE seq=7", "are not in the table `payer`" },
        { "DELETE FROM payer WHERE account=2", "are not what they were made of" },
        { "DELETE FROM account WHERE id=2", "are not in the table `account`" },
        { "UPDATE attempt SET run=5 WHERE seq=7", "runs of attempts are not in the table `run`" },
        { "UPDATE attempt SET target=99 WHERE seq=7", "names of attempts are not in the table `name`" },
        { "INSERT INTO rest VALUES(1,1,0,9)", "the rows come to" },
        { "INSERT INTO correction VALUES(1,0,'x','y',1,7,NULL,-3)", "the corrections come to" },
        { "INSERT INTO correction VALUES(1,0,'x','y',1,777,NULL,0)", "of attempts that there are not" },
        { "UPDATE run SET ended=NULL", "neither open nor ended" },
        { "UPDATE attempt SET cost=cost-1 WHERE seq=27", "the rows come to", true },
        { "UPDATE closing SET charged=charged-1 WHERE account=1", "the rows come to", true },
        { "DELETE FROM attempt WHERE seq=27", "1 rows are missing", true },
        { "DELETE FROM closed WHERE upto=7", "as many rows as they say", true },
        { "DELETE FROM attempt WHERE seq>5", "at the end", true },
        { "UPDATE attempt SET cost=cost-1 WHERE seq=7", "the rows come to", true, true },
        { "UPDATE closing SET rows=rows-1", "sums of closed months are not", true, true },
    };
    make(false);
    char *copy = lun_printf("cp %s %s/copy", file, folder), *closed = lun_printf("cp %s %s/closed", file, folder);
    assert_int_equal(system(copy), 0);
    close_months();
    assert_int_equal(system(closed), 0);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        char *back = lun_printf("cp %s/%s %s && rm -f %s-wal %s-shm", folder, deeds[i].closed ? "closed" : "copy", file, file, file);
        assert_int_equal(system(back), 0);
        by_hand(deeds[i].deed);
        struct report r = verify(true), quick = verify(false);
        if (!strstr(r.said, deeds[i].said) && !strstr(quick.said, deeds[i].said)) fail_msg("%s: \"%s\" does not say \"%s\"", deeds[i].deed, r.said, deeds[i].said);
        assert_true(r.sum.problems > 0 || quick.sum.problems > 0);
        if (deeds[i].only_full) assert_int_equal(quick.sum.problems, 0);        /* what is closed is believed */
        else assert_true(quick.sum.problems > 0);
        free(back);
    }
    free(copy), free(closed);
}

static void a_damaged_page_is_found(void **state)
{
    (void)state;
    make(false);
    int64_t page = by_hand("SELECT rootpage FROM sqlite_master WHERE name='sqlite_autoindex_attempt_1'");
    int fd = open(file, O_RDWR);
    char junk[64];
    memset(junk, 0x77, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)(page - 1) * 4096 + 4000), sizeof junk);
    close(fd);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    struct report r = {0};
    bool read = lun_ledger_verify(l, &(struct lun_verify){ true, &r, on_account, on_problem }, &r.sum);
    assert_true(!read || r.sum.problems > 0);
    assert_true(*r.said || *lun_ledger_error(l));
    lun_ledger_close(l);
}

static void looking_changes_no_byte(void **state)
{
    (void)state;
    make(true);
    char *sum = lun_printf("cd %s && cat lunette.db lunette.db-wal | sha256sum > sum.$N", folder);
    assert_int_equal(setenv("N", "1", 1) | system(sum), 0);
    verify(true);
    assert_int_equal(setenv("N", "2", 1) | system(sum), 0);
    char *same = lun_printf("cmp %s/sum.1 %s/sum.2", folder, folder);
    assert_int_equal(system(same), 0);
    free(sum), free(same);
}

/* ---- closed months ---- */

static void a_closed_month_holds_its_rows_once_however_often_it_is_closed(void **state)
{
    (void)state;
    make(false);
    close_months(), close_months();
    assert_int_equal(by_hand("SELECT sum(rows) FROM closing WHERE account=1"), ROWS / 2);
    assert_int_equal(by_hand("SELECT count(*) FROM closing WHERE month<>'2026-10'"), 0);
    assert_int_equal(by_hand("SELECT sum(charged)=(SELECT sum(cost) FROM attempt WHERE id<=20) FROM closing WHERE account=2"), 1);
}

static void a_row_from_a_clock_that_went_astray_holds_no_closing_up(void **state)
{
    (void)state;
    make(false);
    by_hand("UPDATE attempt SET at=at+500*86400000000 WHERE seq=3");
    close_months();
    assert_int_equal(by_hand("SELECT max(upto) FROM closed"), ROWS / 2);
    assert_int_equal(verify(true).sum.problems, 0);
}

/* ---- export ---- */

struct exported { int attempts, rests, corrections; int64_t amount; char last[400]; int most; };
static bool on_row(void *self, const struct lun_exported *e)
{
    struct exported *x = self;
    x->attempts += e->type == LUN_EXPORTED_ATTEMPT, x->rests += e->type == LUN_EXPORTED_REST, x->corrections += e->type == LUN_EXPORTED_CORRECTION;
    x->amount += e->amount;
    snprintf(x->last, sizeof x->last, "%s|%s|%s|%s|%s|%s|%s|%s|%s", lun_exported_type_name(e->type), e->budgets, e->request, e->client, e->target, e->state, e->kind, e->by, e->why);
    return !x->most || x->attempts < x->most;
}

static struct exported export(lun_us from, lun_us to, const char *budget, int most)
{
    struct exported x = { .most = most };
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    good(l, lun_ledger_export(l, &(struct lun_export){ from, to, budget, &x, on_row }));
    lun_ledger_close(l);
    return x;
}

static void what_is_exported_comes_to_what_is_charged(void **state)
{
    (void)state;
    struct made m = make(true);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_WRITE);
    int64_t was;
    begin(l);
    assert_int_equal(lun_ledger_correct(l, &(struct lun_correction){ .run = 1, .account = m.key, .cost = 100, .by = "ann@host", .why = "looked" }, NOW, &was), LUN_CORRECTED);
    commit(l);
    int64_t charged = look(l, m.key).charged;
    lun_ledger_close(l);
    struct exported all = export(INT64_MIN, INT64_MAX, NULL, 0);
    assert_int_equal(all.attempts, ROWS), assert_int_equal(all.rests, 1), assert_int_equal(all.corrections, 1);
    assert_int_equal(all.amount, charged);
    assert_string_equal(all.last, "correction|key app 2026-11-28||||||ann@host|looked");
}

static void an_export_can_be_of_a_time_or_a_budget_or_cut_short(void **state)
{
    (void)state;
    make(false);
    struct exported now = export(NOW, INT64_MAX, NULL, 0), then = export(INT64_MIN, NOW, NULL, 0), key = export(INT64_MIN, INT64_MAX, "key app", 0),
                    none = export(INT64_MIN, INT64_MAX, "key", 0), some = export(INT64_MIN, INT64_MAX, NULL, 3);
    assert_int_equal(now.attempts, ROWS / 2), assert_int_equal(then.attempts, ROWS / 2), assert_int_equal(key.attempts, ROWS), assert_int_equal(none.attempts, 0);
    assert_int_equal(some.attempts, 3);
    assert_string_equal(now.last, "attempt|key app 2026-11-28; total 2026-11-28|28282828282828282828282828282828|=app|far/gpt|ORPHANED|ok||");
}

/* ---- corrections ---- */

static enum lun_corrected correct(uint64_t seq, uint32_t rest_of, int64_t cost, int64_t *was)
{
    int64_t unused;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_WRITE);
    begin(l);
    enum lun_corrected is = lun_ledger_correct(l, &(struct lun_correction){ .run = 1, .seq = seq, .account = rest_of, .cost = cost, .by = "ann@host", .why = "bill" }, NOW, was ? was : &unused);
    commit(l);
    lun_ledger_close(l);
    return is;
}

static int64_t taken(uint32_t id)
{
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    int64_t is = look(l, id).taken;
    lun_ledger_close(l);
    return is;
}

static void count(void *self, const struct lun_uncertain *u)
{
    int *n = self;
    n[0]++;
    n[1] += (int)u->charged;
}

static int uncertain(int64_t *charged)
{
    int n[2] = {0};
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    good(l, lun_ledger_uncertain(l, count, n));
    lun_ledger_close(l);
    if (charged) *charged = n[1];
    return n[0];
}

static void a_correction_sets_money_free_and_is_a_row_of_its_own(void **state)
{
    (void)state;
    struct made m = make(false);
    int64_t was;
    assert_int_equal(uncertain(NULL), 4);
    assert_int_equal(correct(10, 0, 8, &was), LUN_CORRECTED);
    assert_int_equal(was, 50);
    assert_int_equal(taken(m.key), SPENT - 42), assert_int_equal(taken(m.total), SPENT - 42);
    assert_int_equal(uncertain(NULL), 3);
    assert_int_equal(correct(10, 0, 9, &was), LUN_CORRECTED);     /* and again */
    assert_int_equal(was, 8);
    assert_int_equal(taken(m.key), SPENT - 41);
    assert_int_equal(correct(20, 0, 50, NULL), LUN_CORRECTED);    /* it was the hold, and that is known now */
    assert_int_equal(uncertain(NULL), 2);
    assert_int_equal(correct(20, 0, 50, NULL), LUN_CORRECTED_NOTHING);
    assert_int_equal(correct(30, 0, 90, NULL), LUN_CORRECTED);    /* dearer than was held */
    assert_int_equal(taken(m.key), SPENT - 41 + 40);
    assert_int_equal(correct(7000, 0, 9, NULL), LUN_CORRECTED_UNKNOWN);
    assert_int_equal(correct(0, m.key, 9, NULL), LUN_CORRECTED_UNKNOWN);
    assert_int_equal(by_hand("SELECT cost FROM attempt WHERE seq=10"), 50);
    assert_int_equal(by_hand("SELECT count(*) FROM correction WHERE by='ann@host' AND why='bill'"), 4);
    assert_int_equal(verify(true).sum.problems, 0);
}

static void after_a_power_cut_only_the_rest_sets_money_free(void **state)
{
    (void)state;
    struct made m = make(true);
    int64_t charged, was;
    assert_int_equal(taken(m.key), 3000), assert_int_equal(taken(m.total), SPENT);
    assert_int_equal(correct(10, 0, 8, NULL), LUN_CORRECTED);
    assert_int_equal(taken(m.key), 3000);                         /* it moved into the rest */
    assert_int_equal(taken(m.total), SPENT - 42);                 /* which one without a limit does not have */
    assert_int_equal(uncertain(&charged), 4);                     /* three attempts, and the rest */
    assert_int_equal(charged, 3 * 50 + 3000 - SPENT + 42);
    assert_int_equal(correct(20, 0, 90, NULL), LUN_CORRECTED);    /* what is above its hold was never granted */
    assert_int_equal(taken(m.key), 3040);
    assert_int_equal(correct(0, m.key, 0, &was), LUN_CORRECTED);
    assert_int_equal(was, 3000 - SPENT + 42);
    assert_int_equal(taken(m.key), SPENT - 42 + 40);
    assert_int_equal(uncertain(NULL), 2);
    assert_int_equal(verify(true).sum.problems, 0);
}

static void a_run_that_goes_on_sees_what_was_set_free(void **state)
{
    (void)state;
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    begin(l);
    uint32_t key = account(l, "key app", 100), payers = lun_ledger_payers(l, &key, 1);
    lun_ledger_grant(l, key, 100);
    struct lun_dispatch d = dispatched(1, payers, 60);
    lun_ledger_row(l, &d, NULL);
    commit(l);
    assert_false(lun_ledger_changed(l));
    correct(1, 0, 20, NULL);
    assert_true(lun_ledger_changed(l));
    struct lun_ledger_figures f = look(l, key);
    assert_int_equal(f.taken, 60), assert_int_equal(f.others, -40);         /* 140 may be granted now: 60 + 80 were or will be charged, 40 of that was not real */
    begin(l), lun_ledger_grant(l, key, 140), commit(l);
    assert_int_equal(look(l, key).taken, 100);
    good(l, lun_ledger_end_run(l, j, NOW));
    assert_int_equal(look(l, key).taken, 20);
    lun_ledger_close(l);
    assert_int_equal(verify(true).sum.problems, 0);
}

static void requests_of_a_bill_are_found_in_one_go(void **state)
{
    (void)state;
    struct lun_asked asked[4] = {0};
    make(false);
    memset(asked[0].request, 9, 16), memset(asked[1].request, 200, 16), memset(asked[2].request, 3, 16), memset(asked[3].request, 9, 16);
    by_hand("UPDATE attempt SET request=(SELECT request FROM attempt WHERE seq=3) WHERE seq=4");
    struct lun_ledger *l = open_ledger(LUN_LEDGER_READ);
    good(l, lun_ledger_find_requests(l, asked, 4));
    assert_int_equal(asked[0].request[0], 3), assert_true(asked[0].many);
    assert_int_equal(asked[1].request[0], 9), assert_true(asked[1].many && asked[2].many);      /* it stands there twice */
    assert_int_equal(asked[3].seq, 0), assert_false(asked[3].many);
    memset(asked[0].request, 11, 16);
    good(l, lun_ledger_find_requests(l, asked, 1));
    assert_int_equal(asked[0].seq, 11), assert_int_equal(asked[0].run, 1), assert_int_equal(asked[0].charged, 11);
    lun_ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        T(verify_is_silent_where_all_is_right),
        T(each_kind_of_tampering_is_found),
        T(a_damaged_page_is_found),
        T(looking_changes_no_byte),
        T(a_closed_month_holds_its_rows_once_however_often_it_is_closed),
        T(a_row_from_a_clock_that_went_astray_holds_no_closing_up),
        T(what_is_exported_comes_to_what_is_charged),
        T(an_export_can_be_of_a_time_or_a_budget_or_cut_short),
        T(a_correction_sets_money_free_and_is_a_row_of_its_own),
        T(after_a_power_cut_only_the_rest_sets_money_free),
        T(a_run_that_goes_on_sees_what_was_set_free),
        T(requests_of_a_bill_are_found_in_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
