/* Money: the sum of holds and spend never passes a hard limit; each hold ends once, in the period it was made in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/budget.h"
#include "state/zone.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USD LUN_NANO_PER_USD

static lun_us at(int year, int month, int day, int hour, int minute)
{
    struct tm t = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute };
    return (lun_us)timegm(&t) * LUN_SECOND;
}

static struct lun_account *account(struct lun_money *m, const char *name, int64_t limit, enum lun_period per)
{
    return lun_account_get(m, name, &(struct lun_budget_rule){ .limit = limit, .per = per });
}

static bool take(struct lun_money *m, struct lun_hold *h, struct lun_account *a, int64_t bound, lun_us wall)
{
    struct lun_shortage short_of;
    return lun_hold_take(h, m, &a, 1, bound, wall, NULL, &short_of) == LUN_TAKEN;
}

static struct lun_account_view look(struct lun_account *a, lun_us wall)
{
    struct lun_account_view v;
    lun_account_look(a, wall, &v);
    return v;
}

static void a_hold_that_does_not_fit_is_refused_and_never_shrunk(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 10 * USD, LUN_PER_EVER);
    struct lun_hold first, second, third;
    assert_true(take(m, &first, a, 6 * USD, 0));
    assert_false(take(m, &second, a, 4 * USD + 1, 0));
    assert_false(second.open);
    assert_int_equal(look(a, 0).held, 6 * USD);
    assert_true(take(m, &third, a, 4 * USD, 0));
    assert_int_equal(look(a, 0).left, 0);
    lun_hold_settle(&first, 2 * USD);
    assert_int_equal(look(a, 0).used, 2 * USD);
    assert_int_equal(look(a, 0).left, 4 * USD);
    lun_hold_release(&third);
    lun_money_free(m);
}

static void a_hold_over_several_budgets_is_all_or_nothing_and_names_the_one_that_lacks(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *all[] = { account(m, "key app", 10 * USD, LUN_PER_DAY), account(m, "team web", 5 * USD, LUN_PER_DAY),
                                  account(m, "total", -1, LUN_PER_MONTH) };
    struct lun_hold h;
    struct lun_shortage short_of = { .at = 77 };
    assert_false(lun_hold_take(&h, m, all, 3, 6 * USD, 0, NULL, &short_of) == LUN_TAKEN);
    assert_int_equal(short_of.at, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(look(all[i], 0).held, 0);
    assert_true(lun_hold_take(&h, m, all, 3, 5 * USD, 0, NULL, &short_of) == LUN_TAKEN);
    for (int i = 0; i < 3; i++) assert_int_equal(look(all[i], 0).held, 5 * USD);
    lun_hold_settle(&h, 1 * USD);
    for (int i = 0; i < 3; i++) assert_int_equal(look(all[i], 0).used, 1 * USD);
    lun_money_free(m);
}

static void the_same_account_twice_is_held_twice(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "total", 10, LUN_PER_EVER), *both[] = { a, a };
    struct lun_hold h;
    struct lun_shortage short_of;
    assert_false(lun_hold_take(&h, m, both, 2, 6, 0, NULL, &short_of) == LUN_TAKEN);
    assert_int_equal(look(a, 0).held, 0);
    assert_true(lun_hold_take(&h, m, both, 2, 5, 0, NULL, &short_of) == LUN_TAKEN);
    lun_hold_release(&h);
    assert_int_equal(look(a, 0).held, 0);
    lun_money_free(m);
}

static void a_hold_ends_exactly_once(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "total", 10, LUN_PER_EVER);
    struct lun_hold h, never = {0};
    assert_true(take(m, &h, a, 4, 0));
    lun_hold_orphan(&h);
    lun_hold_settle(&h, 3);
    lun_hold_release(&h);
    lun_hold_orphan(&never);
    assert_int_equal(look(a, 0).used, 4);       /* charged in full, once */
    assert_int_equal(look(a, 0).held, 0);
    lun_money_free(m);
}

static void a_cost_above_the_hold_is_charged_as_claimed_and_closes_the_budget(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "total", 10, LUN_PER_EVER);
    struct lun_hold h, next;
    assert_true(take(m, &h, a, 4, 0));
    lun_hold_settle(&h, 25);
    assert_int_equal(look(a, 0).used, 25);
    assert_int_equal(look(a, 0).left, 0);
    assert_true(look(a, 0).share == 2.5);
    assert_false(take(m, &next, a, 1, 0));
    assert_true(take(m, &next, a, 0, 0));       /* what costs nothing needs no money */
    lun_hold_release(&next);
    lun_money_free(m);
}

static void what_has_no_limit_is_counted_too_and_cannot_wrap(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "total", -1, LUN_PER_EVER);
    struct lun_hold h, more;
    assert_false(lun_account_limited(a));
    assert_true(take(m, &h, a, INT64_MAX, 0));
    assert_false(take(m, &more, a, 1, 0));
    lun_hold_settle(&h, 5 * USD);
    struct lun_account_view v = look(a, 0);
    assert_int_equal(v.used, 5 * USD);
    assert_int_equal(v.left, INT64_MAX);
    assert_true(v.share == 0);
    assert_int_equal(v.limit, -1);
    assert_int_equal(v.resets_in, LUN_NEVER);
    lun_money_free(m);
}

static void a_new_period_begins_with_nothing_spent(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 10, LUN_PER_DAY);
    lun_us evening = at(2026, 11, 21, 23, 59), morning = at(2026, 11, 22, 0, 0);
    struct lun_hold h;
    assert_true(take(m, &h, a, 10, evening));
    lun_hold_settle(&h, 10);
    assert_false(take(m, &h, a, 1, evening));
    assert_int_equal(look(a, evening).resets_in, 60 * LUN_SECOND);
    assert_int_equal(look(a, morning).used, 0);
    assert_int_equal(look(a, morning).left, 10);
    assert_true(take(m, &h, a, 10, morning));
    lun_hold_release(&h);
    lun_money_free(m);
}

static void a_hold_is_settled_in_the_period_it_was_made_in(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 10, LUN_PER_DAY);
    lun_us evening = at(2026, 11, 21, 23, 59), morning = at(2026, 11, 22, 0, 0);
    struct lun_hold late, fresh;
    assert_true(take(m, &late, a, 8, evening));
    assert_true(take(m, &fresh, a, 10, morning));               /* yesterday's hold does not narrow today */
    lun_hold_settle(&late, 7);
    assert_int_equal(look(a, morning).used, 0);
    assert_int_equal(look(a, morning).held, 10);
    assert_int_equal(look(a, evening).used, 7);
    assert_int_equal(look(a, evening).held, 0);
    lun_hold_release(&fresh);
    lun_money_free(m);
}

static void a_clock_that_steps_back_does_not_give_a_periods_money_twice(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 10, LUN_PER_HOUR);
    struct lun_hold h;
    lun_us start = at(2026, 1, 1, 0, 0), hour = 3600 * LUN_SECOND;
    for (int i = 0; i < 200; i++) {
        assert_true(take(m, &h, a, 10, start + i * hour));
        lun_hold_settle(&h, 10);
    }
    for (int i = 0; i < 200; i++) {             /* remembered or long forgotten: spent is spent */
        assert_false(take(m, &h, a, 1, start + i * hour));
        assert_int_equal(look(a, start + i * hour).left, 0);
    }
    assert_true(take(m, &h, a, 10, start + 200 * hour));
    lun_hold_release(&h);
    lun_money_free(m);
}

/* The month there is the same month: what was spent of it by clocks elsewhere stays spent. */
static void another_zone_does_not_give_a_periods_money_again(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_budget_rule rule = { .limit = 10, .per = LUN_PER_MONTH };
    struct lun_account *a = lun_account_get(m, "key app", &rule);
    lun_us now = at(2026, 11, 21, 12, 0);
    const char *why;
    struct lun_hold h;
    assert_true(take(m, &h, a, 10, now));
    lun_hold_settle(&h, 10);
    assert_true(lun_zone_find("Asia/Kolkata", &rule.zone, &why));
    lun_account_get(m, "key app", &rule);
    assert_int_equal(look(a, now).left, 0);
    assert_false(take(m, &h, a, 1, now));
    assert_int_equal(look(a, now).resets_in, at(2026, 11, 30, 18, 30) - now);
    assert_true(take(m, &h, a, 10, at(2026, 11, 30, 18, 30)));
    lun_hold_release(&h);
    lun_money_free(m);
}

static void an_open_hold_keeps_its_period_however_many_follow(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 10, LUN_PER_HOUR);
    struct lun_hold old, free_of_charge, h;
    lun_us hour = 3600 * LUN_SECOND;
    assert_true(take(m, &old, a, 3, 0));
    assert_true(take(m, &free_of_charge, a, 0, hour));
    for (int i = 2; i < 300; i++) {
        assert_true(take(m, &h, a, 1, i * hour));
        lun_hold_settle(&h, 1);
    }
    lun_hold_settle(&old, 2);
    lun_hold_settle(&free_of_charge, 1);
    assert_int_equal(look(a, 0).used, 2);
    assert_int_equal(look(a, hour).used, 1);
    lun_money_free(m);
}

static void a_changed_limit_applies_from_now_on_to_the_same_account(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "team web", 10, LUN_PER_DAY);
    struct lun_hold h, more;
    assert_true(take(m, &h, a, 8, 0));
    assert_ptr_equal(account(m, "team web", 5, LUN_PER_DAY), a);
    assert_int_equal(look(a, 0).left, 0);
    assert_false(take(m, &more, a, 1, 0));
    lun_hold_settle(&h, 4);
    assert_true(take(m, &more, a, 1, 0));
    lun_hold_release(&more);
    assert_ptr_not_equal(account(m, "team other", 5, LUN_PER_DAY), a);
    account(m, "team web", 5, LUN_PER_HOUR);
    assert_int_equal(look(a, 0).used, 0);
    lun_money_free(m);
}

static void a_requests_own_budget_holds_beside_the_others(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *both[] = { lun_account_request(3), account(m, "total", -1, LUN_PER_EVER) };
    struct lun_hold h;
    struct lun_shortage short_of;
    assert_true(lun_account_limited(both[0]));
    assert_true(lun_hold_take(&h, m, both, 2, 3, 0, NULL, &short_of) == LUN_TAKEN);
    lun_hold_settle(&h, 2);
    assert_false(lun_hold_take(&h, m, both, 2, 2, 0, NULL, &short_of) == LUN_TAKEN);
    assert_int_equal(short_of.at, 0);
    assert_string_equal(look(both[0], 0).name, "request");
    assert_int_equal(look(both[1], 0).used, 2);
    lun_account_free(both[0]);
    lun_money_free(m);
}

static void a_limit_of_nothing_lets_only_free_steps_through(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key none", 0, LUN_PER_DAY);
    struct lun_hold h;
    assert_true(lun_account_limited(a));
    assert_false(take(m, &h, a, 1, 0));
    assert_true(take(m, &h, a, 0, 0));
    lun_hold_settle(&h, 0);
    assert_true(look(a, 0).share == 1);
    lun_money_free(m);
}

/* Many threads, three budgets; whoever looks sees the promise kept, whoever is refused hears of a rest that does not suffice, and in the end every cent
 * is accounted for. */
enum { THREADS = 6, ROUNDS = 20000, LIMIT = 2000 };
struct crowd { struct lun_money *money; struct lun_account *accounts[3]; uint64_t seed; int64_t cost; int broken, contrary, refused, held; };

static uint64_t roll(uint64_t *seed) { return (*seed = *seed * 6364136223846793005u + 1442695040888963407u) >> 33; }

static void *spend(void *of)
{
    struct crowd *c = of;
    struct lun_hold holds[4] = {{0}};
    for (int i = 0; i < ROUNDS; i++) {
        struct lun_hold *h = &holds[i % 4];
        if (h->open && h->bound < 4 && roll(&c->seed) % 2) lun_hold_orphan(h), c->cost += h->bound;
        else if (h->open && h->bound == 100) lun_hold_settle(h, 1), c->cost++;
        else lun_hold_release(h);            /* mostly, so that the limit stays near and is not used up */
        struct lun_shortage short_of;
        struct lun_account_view v;
        int bound = (int)(roll(&c->seed) % 400);
        if (lun_hold_take(h, c->money, c->accounts, 3, bound, 0, NULL, &short_of) == LUN_TAKEN) c->held++;
        else if (c->refused++, short_of.view.left >= bound) c->contrary++;
        if (lun_accounts_lacking(c->accounts, 3, bound, 0, &v) >= 0 && v.left >= bound) c->contrary++;
        lun_account_look(c->accounts[i % 3], 0, &v);
        if (v.limit >= 0 && v.used + v.held > v.limit) c->broken++;
    }
    for (int i = 0; i < 4; i++) lun_hold_release(&holds[i]);
    return NULL;
}

static void the_sum_of_holds_never_passes_a_limit_at_any_concurrency(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct crowd crowd[THREADS];
    pthread_t threads[THREADS];
    struct lun_account *total = account(m, "total", LIMIT, LUN_PER_EVER), *team = account(m, "team web", -1, LUN_PER_EVER);
    struct lun_account *keys[2] = { account(m, "key a", 1500, LUN_PER_EVER), account(m, "key b", 1200, LUN_PER_EVER) };
    for (int i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){ .money = m, .accounts = { keys[i % 2], team, total }, .seed = (uint64_t)i + 1 };
        assert_int_equal(pthread_create(&threads[i], NULL, spend, &crowd[i]), 0);
    }
    int64_t cost = 0, refused = 0, held = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowd[i].broken, 0);
        assert_int_equal(crowd[i].contrary, 0);
        cost += crowd[i].cost;
        refused += crowd[i].refused;
        held += crowd[i].held;
    }
    assert_true(refused > ROUNDS / 10 && held > ROUNDS / 10 && cost > 0);
    assert_int_equal(look(total, 0).used, cost);
    assert_int_equal(look(team, 0).used, cost);
    assert_int_equal(look(keys[0], 0).used + look(keys[1], 0).used, cost);
    assert_int_equal(look(total, 0).held + look(team, 0).held + look(keys[0], 0).held + look(keys[1], 0).held, 0);
    assert_true(cost <= LIMIT);
    lun_money_free(m);
}

/* ---- what people should hear of ---- */

struct seen { int n; enum lun_crossing what; int64_t used; lun_us ends; };

static void note(void *self, const struct lun_account_view *v, enum lun_crossing what)
{
    struct seen *seen = self;
    *seen = (struct seen){ seen->n + 1, what, v->used, v->ends };
}

static void spend_some(struct lun_money *m, struct lun_account *a, int64_t cost, lun_us wall)
{
    struct lun_hold h;
    assert_true(take(m, &h, a, cost, wall));
    lun_hold_settle(&h, cost);
}

static void a_soft_limit_is_told_once_in_a_period(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_budget_rule rule = { .limit = 100, .per = LUN_PER_DAY, .soft = 0.8 };
    struct lun_account *a = lun_account_get(m, "key app", &rule);
    lun_us today = at(2026, 11, 21, 12, 0), tomorrow = today + 86400 * LUN_SECOND;
    struct seen seen = {0};
    struct lun_hold h;
    lun_money_watch(m, &(struct lun_money_watch){ &seen, note });
    spend_some(m, a, 79, today);
    assert_true(take(m, &h, a, 21, today));             /* what is held may come back */
    lun_hold_release(&h);
    assert_int_equal(seen.n, 0);
    spend_some(m, a, 1, today);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.what, LUN_CROSSED_SOFT);
    assert_int_equal(seen.used, 80);
    assert_int_equal(seen.ends, at(2026, 11, 22, 0, 0));
    spend_some(m, a, 10, today);
    assert_int_equal(seen.n, 1);
    spend_some(m, a, 80, tomorrow);
    assert_int_equal(seen.n, 2);
    rule.limit = 200;                                   /* another limit is another warning */
    lun_account_get(m, "key app", &rule);
    spend_some(m, a, 79, tomorrow);
    assert_int_equal(seen.n, 2);
    spend_some(m, a, 1, tomorrow);
    assert_int_equal(seen.n, 3);
    lun_money_watch(m, NULL);
    spend_some(m, a, 80, tomorrow + 86400 * LUN_SECOND);
    assert_int_equal(seen.n, 3);
    lun_money_free(m);
}

static void a_refusal_is_told_once_in_a_period(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_account *a = account(m, "key app", 100, LUN_PER_DAY), *request = lun_account_request(5);
    lun_us today = at(2026, 11, 21, 12, 0);
    struct seen seen = {0};
    lun_money_watch(m, &(struct lun_money_watch){ &seen, note });
    spend_some(m, a, 90, today);
    lun_account_refused(a, 101, today);                 /* would never have fitted: the budget is not used up */
    lun_account_refused(request, 1, today);             /* its client knows */
    assert_int_equal(seen.n, 0);
    lun_account_refused(a, 20, today);
    lun_account_refused(a, 20, today);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.what, LUN_CROSSED_HARD);
    lun_account_free(request);
    lun_money_free(m);
}

/* Not again for each of its pieces; but when a window later it is so again. */
static void a_window_tells_its_soft_limit_and_a_refusal_once(void **s)
{
    (void)s;
    struct seen seen = {0};
    struct lun_money *m = lun_money_new();
    lun_us piece = 100 * LUN_SECOND, now = at(2026, 11, 28, 0, 0);
    struct lun_account *a = lun_account_get(m, "key app", &(struct lun_budget_rule){ .limit = 10, .per = LUN_PER_ROLLING, .window = 24 * piece, .soft = 0.5 });
    struct lun_hold h;
    lun_money_watch(m, &(struct lun_money_watch){ &seen, note });
    assert_true(take(m, &h, a, 6, now));
    lun_hold_settle(&h, 6);
    assert_int_equal(seen.n, 1);
    for (int i = 1; i <= 4; i++) {
        assert_true(take(m, &h, a, 1, now + i * piece));
        lun_hold_settle(&h, 1);
    }
    assert_int_equal(seen.n, 1);
    assert_int_equal(look(a, now + 5 * piece).used, 10);
    assert_int_equal(look(a, now + 5 * piece).resets_in, 20 * piece);
    for (int i = 5; i < 9; i++) {
        assert_false(take(m, &h, a, 1, now + i * piece));
        lun_account_refused(a, 1, now + i * piece);
    }
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.what, LUN_CROSSED_HARD);
    assert_int_equal(look(a, now + 25 * piece).used, 4);
    assert_true(take(m, &h, a, 6, now + 60 * piece));
    lun_hold_settle(&h, 6);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.what, LUN_CROSSED_SOFT);
    assert_int_equal(look(a, now + 600 * piece).resets_in, LUN_NEVER);
    lun_money_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_that_does_not_fit_is_refused_and_never_shrunk),
        cmocka_unit_test(a_hold_over_several_budgets_is_all_or_nothing_and_names_the_one_that_lacks),
        cmocka_unit_test(the_same_account_twice_is_held_twice),
        cmocka_unit_test(a_hold_ends_exactly_once),
        cmocka_unit_test(a_cost_above_the_hold_is_charged_as_claimed_and_closes_the_budget),
        cmocka_unit_test(what_has_no_limit_is_counted_too_and_cannot_wrap),
        cmocka_unit_test(a_new_period_begins_with_nothing_spent),
        cmocka_unit_test(a_hold_is_settled_in_the_period_it_was_made_in),
        cmocka_unit_test(a_clock_that_steps_back_does_not_give_a_periods_money_twice),
        cmocka_unit_test(another_zone_does_not_give_a_periods_money_again),
        cmocka_unit_test(a_soft_limit_is_told_once_in_a_period), cmocka_unit_test(a_refusal_is_told_once_in_a_period),
        cmocka_unit_test(a_window_tells_its_soft_limit_and_a_refusal_once),
        cmocka_unit_test(an_open_hold_keeps_its_period_however_many_follow),
        cmocka_unit_test(a_changed_limit_applies_from_now_on_to_the_same_account),
        cmocka_unit_test(a_requests_own_budget_holds_beside_the_others),
        cmocka_unit_test(a_limit_of_nothing_lets_only_free_steps_through),
        cmocka_unit_test(the_sum_of_holds_never_passes_a_limit_at_any_concurrency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
