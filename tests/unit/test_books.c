/* The bookkeeper: what an earlier run has spent, at its beginning; and what another process leaves that dies beside it. */
#include "ledger_world.h"
#include "gateway/books.h"
#include "state/period.h"
#include <sys/statvfs.h>
#include <time.h>

#define WINDOW (86400 * LUN_SECOND)

/* What "key app" was charged in the piece of its window before the one of `wall`, by a run that has ended. */
static void spend_before(lun_us wall, const struct lun_budget_rule *rule, int64_t cost)
{
    char label[LUN_PERIOD_LABEL];
    lun_us starts = lun_period_start(rule, lun_period_start(rule, wall) - 1), ends = lun_period_end(rule, starts);
    struct lun_ledger *l = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *j = begin_run(l);
    lun_period_label(rule, starts, label);
    begin(l);
    uint32_t id = lun_ledger_account(l, &(struct lun_ledger_account){ .budget = "key app", .period = label, .starts = starts, .ends = ends, .limit = rule->limit });
    row(l, 1, lun_ledger_payers(l, &id, 1), cost, cost);
    commit(l);
    good(l, lun_ledger_end_run(l, j, wall));
    lun_ledger_close(l);
}

static void until_killed_are(int n)
{
    lun_us limit = lun_clock_now() + 30 * LUN_SECOND;
    while (by_hand("SELECT count(*) FROM run WHERE state = 'killed'") != n) {
        if (lun_clock_now() > limit) fail_msg("%d runs are not recovered", n);
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
}

struct office { struct lun_money *money; struct lun_metrics *metrics; struct lun_log log; struct lun_books *books; };

/* What else there is to say; the rest is its own. */
static void open_office(struct office *o, struct lun_books_options with)
{
    char *error;
    if (!o->money) o->money = lun_money_new();
    o->metrics = lun_metrics_new();
    with.money = o->money, with.metrics = o->metrics, with.log = &o->log, with.attempts = 8, with.path = file;
    if (!(o->books = lun_books_new(&with, &error))) fail_msg("%s", error);
}

static void close_office(struct office *o)
{
    lun_books_free(o->books);
    lun_metrics_free(o->metrics);
    lun_money_free(o->money);
}

static void used_is(const struct lun_budget_rule *rule, int64_t used)
{
    struct office o = { .money = lun_money_new() };
    struct lun_account_view v;
    struct lun_account *key = lun_account_get(o.money, "key app", rule);
    open_office(&o, (struct lun_books_options){ 0 });
    lun_account_look(key, lun_clock_wall(), &v);
    assert_int_equal(v.used, used);
    assert_int_equal(v.left, rule->limit - used);
    close_office(&o);
}

/* Fifty times: its thread may be faster than who looks. */
static void what_was_spent_in_earlier_pieces_of_a_window_is_known_when_it_has_begun(void **state)
{
    const struct lun_budget_rule rule = { .limit = 1000, .per = LUN_PER_ROLLING, .window = WINDOW };
    (void)state;
    spend_before(lun_clock_wall(), &rule, 40);
    for (int i = 0; i < 50; i++) used_is(&rule, 40);
}

/* The first one writes beside it before it dies, and then is alone; the second dies when nobody writes any more. */
static void a_process_that_dies_beside_it_is_noticed_though_it_wrote_nothing_since_it_was_looked_for(void **state)
{
    struct office o = {0};
    (void)state;
    setenv(LUN_BOOT_ID, BOOT, 1);
    struct lun_ledger *silent = open_ledger(LUN_LEDGER_FOUND);
    struct lun_journal *of_silent = begin_run(silent);
    open_office(&o, (struct lun_books_options){ 0 });
    struct lun_ledger *loud = open_ledger(LUN_LEDGER_WRITE);
    lun_journal_close(begin_run(loud));
    until_killed_are(1);
    lun_journal_close(of_silent);
    until_killed_are(2);
    close_office(&o);
    lun_ledger_close(loud), lun_ledger_close(silent);           /* not before: that writes too */
    unsetenv(LUN_BOOT_ID);
}

/* The disk has no room at the start; what Redis asks for cannot be had when it has some. Nothing is drawn then, and it is said why. */
static bool is_full;

int statvfs(const char *path, struct statvfs *s)
{
    (void)path;
    *s = (struct statvfs){ .f_bavail = is_full ? 1 : 1 << 20, .f_frsize = 4096 };
    return 0;
}

static void show(struct lun_books *books, struct lun_buf *shown)
{
    nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    shown->n = 0;
    lun_books_show(books, shown);
    lun_buf_text(shown);
}

static void what_several_share_is_not_drawn_before_that_is_begun(void **state)
{
    struct office o = {0};
    struct lun_buf shown = {0};
    (void)state;
    is_full = true;
    open_office(&o, (struct lun_books_options){ .redis = "rediss://127.0.0.1:1", .redis_ca = "/nonexistent/ca.pem", .redis_prefix = "x" });
    is_full = false;
    for (lun_us limit = lun_clock_now() + 30 * LUN_SECOND; !strstr(lun_buf_text(&shown), "ca.pem"); show(o.books, &shown)) assert_true(lun_clock_now() < limit);
    for (lun_us again = lun_clock_now() + 1200 * LUN_MS; lun_clock_now() < again; show(o.books, &shown)) assert_non_null(strstr(lun_buf_text(&shown), "closed"));
    lun_buf_free(&shown);
    close_office(&o);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        T(what_was_spent_in_earlier_pieces_of_a_window_is_known_when_it_has_begun),
        T(what_several_share_is_not_drawn_before_that_is_begun),
        T(a_process_that_dies_beside_it_is_noticed_though_it_wrote_nothing_since_it_was_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
