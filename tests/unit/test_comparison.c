/* What two versions decided about the same request: in what they differ, what that comes to, and whether it stays within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "gateway/comparison.h"

#define TEST(name) static void name(void **state)
#define BIT(kind) (1u << LUN_DIFFERS_##kind)

static const struct lun_target cheap = { .name = "cheap" }, dear = { .name = "dear" };
/* The same names in another version. */
static const struct lun_target cheap_too = { .name = "cheap" }, dear_too = { .name = "dear" };
static const struct lun_comparison_bounds bounds = { .errors = 0.01, .cost = 0.05, .requests = 10 };

static struct lun_verdict planned(struct lun_step *steps, int n) { return (struct lun_verdict){ .id = "abc", .planned = true, .plan = { n, steps }, .expected = 1000 }; }

/* Text of what it comes to, good until the next call. */
static const char *verdict(struct lun_comparison *c, const struct lun_comparison_bounds *b, bool expected)
{
    static struct lun_buf text;
    text.n = 0;
    bool within = lun_comparison_within(c, b, &text);
    if (within != expected) fail_msg("%s", lun_buf_text(&text));
    return lun_buf_text(&text);
}

TEST(the_same_targets_by_name_are_the_same_decision)
{
    (void)state;
    struct lun_step a[] = { { .target = &cheap, .total = 5 }, { .target = &dear } }, b[] = { { .target = &cheap_too, .total = 5 }, { .target = &dear_too } };
    struct lun_verdict live = planned(a, 2), shadow = planned(b, 2);
    static const char *const labels[] = { "easy" };
    live.labels = shadow.labels = labels, live.n_labels = shadow.n_labels = 1;
    live.thought = 5, shadow.thought = 50;
    assert_int_equal(lun_verdict_differs(&live, &shadow), 0);
}

TEST(another_first_target_differs_in_first_and_in_the_plan_others_in_the_plan_alone)
{
    (void)state;
    struct lun_step a[] = { { .target = &cheap }, { .target = &dear } }, b[] = { { .target = &dear }, { .target = &cheap } };
    struct lun_verdict live = planned(a, 2), shadow = planned(b, 2);
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(FIRST) | BIT(PLAN));
    shadow = planned(a, 1);
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(PLAN));
    shadow = planned(a, 0);
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(FIRST) | BIT(PLAN));
}

TEST(each_field_of_a_step_is_looked_at)
{
    (void)state;
    struct lun_edit seed = { .field = "seed", .value = "7" }, other = { .field = "seed", .value = "8" }, two = { .next = &other, .field = "seed", .value = "7" };
    const struct lun_step steps[] = { { .target = &cheap }, { .target = &cheap, .connect = 1 }, { .target = &cheap, .first_byte = 1 }, { .target = &cheap, .idle = 1 },
        { .target = &cheap, .total = 1 }, { .target = &cheap, .hedge_after = 1 }, { .target = &cheap, .wait = 1 }, { .target = &cheap, .warning = "dear" },
        { .target = &cheap, .edits = &seed }, { .target = &cheap, .edits = &other }, { .target = &cheap, .edits = &two } };
    int n = sizeof steps / sizeof *steps;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            struct lun_step a = steps[i], b = steps[k];
            struct lun_verdict live = planned(&a, 1), shadow = planned(&b, 1);
            assert_int_equal(lun_verdict_differs(&live, &shadow), i == k ? 0 : BIT(STEPS));
        }
}

TEST(labels_budgets_and_refusals_differ_each_for_itself)
{
    (void)state;
    struct lun_step a[] = { { .target = &cheap } };
    static const char *const easy[] = { "easy" }, *const hard[] = { "hard" };
    const struct lun_target *const one[] = { &cheap }, *const both[] = { &cheap, &dear };
    struct lun_verdict live = planned(a, 1), shadow = planned(a, 1);
    live.labels = easy, shadow.labels = hard, live.n_labels = shadow.n_labels = 1;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(LABELS));
    shadow.n_labels = 0;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(LABELS));
    shadow.labels = easy, shadow.n_labels = 1;
    live.targets = one, live.n_targets = 1, shadow.targets = both, shadow.n_targets = 2;
    assert_int_equal(lun_verdict_differs(&live, &shadow), 0);      /* what there is to choose from is no decision, */
    live.narrowed = true;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(BUDGET));    /* unless `budget` made it so */
    shadow.narrowed = true;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(BUDGET));
    live.narrowed = shadow.narrowed = false;
    shadow.planned = false, shadow.by = LUN_HOOK_BUDGET, shadow.status = 402;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(REFUSED));
    live.planned = false, live.by = LUN_HOOK_BUDGET, live.status = 402;
    assert_int_equal(lun_verdict_differs(&live, &shadow), 0);
    live.by = LUN_HOOK_SELECT;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(REFUSED));
    live.by = LUN_HOOK_BUDGET, live.status = 403;
    assert_int_equal(lun_verdict_differs(&live, &shadow), BIT(REFUSED));
}

/* `n` requests of which both expect that to pay. */
static void add(struct lun_comparison *c, int n, int64_t live_cost, int64_t shadow_cost)
{
    struct lun_step a[] = { { .target = &cheap } };
    struct lun_verdict live = planned(a, 1), shadow = planned(a, 1);
    live.expected = live_cost, shadow.expected = shadow_cost;
    while (n--) assert_int_equal(lun_comparison_add(c, &live, &shadow), LUN_COMPARED_SAME);
}

TEST(too_few_requests_are_no_proof)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    assert_non_null(strstr(verdict(c, &bounds, false), "only 0 of 10 requests were compared"));
    add(c, 9, 100, 100);
    for (int i = 0; i < 50; i++) lun_comparison_skip(c, i % 2 ? LUN_COMPARED_BUSY : LUN_COMPARED_FULL);
    assert_non_null(strstr(verdict(c, &bounds, false), "only 9 of 10 requests were compared"));
    add(c, 1, 100, 100);
    assert_string_equal(verdict(c, &bounds, true), "of 10 requests 0 differ, 0 failed and 0 were refused by it alone; expected cost 1e-06 USD against 1e-06 (+0.0 %)");
    lun_comparison_free(c);
}

TEST(the_expected_cost_may_be_as_much_higher_as_was_said_and_not_more)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    add(c, 10, 1000, 1050);
    verdict(c, &bounds, true);
    add(c, 1, 1000, 1060);
    assert_non_null(strstr(verdict(c, &bounds, false), "expected cost +5.1 % > +5 %"));
    assert_non_null(strstr(verdict(c, &(struct lun_comparison_bounds){ 0.01, -0.1, 10 }, false), "> -10 %"));
    verdict(c, &(struct lun_comparison_bounds){ 0.01, 0.06, 10 }, true);
    lun_comparison_free(c);
}

TEST(a_price_that_only_the_shadow_does_not_know_is_out_of_bounds)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    add(c, 20, -1, -1);
    assert_non_null(strstr(verdict(c, &bounds, true), "no expected cost is known"));
    add(c, 20, -1, 500);                   /* what the live version costs is not known either */
    verdict(c, &bounds, true);
    add(c, 1, 500, -1);
    assert_non_null(strstr(verdict(c, &bounds, false), "not known for 1 requests"));
    lun_comparison_free(c);
}

TEST(what_costs_nothing_may_not_become_something)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    add(c, 10, 0, 0);
    verdict(c, &bounds, true);
    add(c, 1, 0, 5);
    assert_non_null(strstr(verdict(c, &bounds, false), "expected cost from nothing"));
    lun_comparison_free(c);
}

TEST(a_request_that_fails_or_is_refused_there_alone_counts_once_and_what_fails_in_both_does_not)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    struct lun_step a[] = { { .target = &cheap } };
    struct lun_verdict live = planned(a, 1), shadow = planned(a, 1);
    add(c, 98, 10, 10);
    shadow.failed = live.failed = true;
    assert_int_equal(lun_comparison_add(c, &live, &shadow), LUN_COMPARED_SAME);
    verdict(c, &bounds, true);
    live.failed = false, shadow.planned = false, shadow.status = 503;      /* `on_error = "refuse"`: both at once */
    assert_int_equal(lun_comparison_add(c, &live, &shadow), LUN_COMPARED_FAILED);
    assert_non_null(strstr(verdict(c, &bounds, true), "of 100 requests 1 differ, 1 failed and 0 were refused by it alone"));
    shadow.failed = false, shadow.status = 402;
    assert_int_equal(lun_comparison_add(c, &live, &shadow), LUN_COMPARED_DIFFERENT);
    assert_non_null(strstr(verdict(c, &bounds, false), "errors 1.98 % > 1 %: of 101 requests 2 differ, 1 failed and 1 were refused by it alone"));
    lun_comparison_free(c);
}

TEST(of_each_kind_the_last_eight_are_kept_whatever_else_is_frequent)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    struct lun_step a[] = { { .target = &cheap } }, b[] = { { .target = &dear } };
    struct lun_verdict live = planned(a, 1), shadow = planned(b, 1), relabelled = planned(a, 1);
    struct lun_buf out = {0};
    struct lun_json all;
    static const char *const label[] = { "a \"label\"" };
    relabelled.labels = label, relabelled.n_labels = 1;
    lun_comparison_add(c, &live, &relabelled);
    for (int i = 0; i < 100; i++) lun_comparison_add(c, &live, &shadow);
    lun_buf_putc(&out, '{');
    lun_comparison_show(c, &out);
    lun_buf_putc(&out, '}');
    assert_true(lun_json_check(out.at, out.n, &all, NULL));
    assert_int_equal(lun_json_count(lun_json_get(all, "samples")), 9);
    int64_t n;
    assert_true(lun_json_int(lun_json_get(lun_json_get(all, "differences"), "first"), &n));
    assert_int_equal(n, 100);
    assert_non_null(strstr(lun_buf_text(&out), "a \\\"label\\\""));
    lun_buf_free(&out);
    lun_comparison_free(c);
}

TEST(the_last_error_of_each_hook_is_kept_and_how_many_there_were)
{
    (void)state;
    struct lun_comparison *c = lun_comparison_new();
    struct lun_buf out = {0};
    lun_comparison_trouble(c, LUN_HOOK_SELECT, "error", "policy.lua:1: first");
    lun_comparison_trouble(c, LUN_HOOK_SELECT, "cpu", "policy.lua:2: last");
    lun_comparison_trouble(c, LUN_HOOK_CLASSIFY, "memory", "policy.lua:3: too much");
    lun_comparison_show(c, &out);
    assert_non_null(strstr(lun_buf_text(&out), "{\"hook\":\"select\",\"failures\":2,\"reason\":\"cpu\",\"error\":\"policy.lua:2: last\"}"));
    lun_buf_free(&out);
    lun_comparison_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_targets_by_name_are_the_same_decision),
        cmocka_unit_test(another_first_target_differs_in_first_and_in_the_plan_others_in_the_plan_alone),
        cmocka_unit_test(each_field_of_a_step_is_looked_at),
        cmocka_unit_test(labels_budgets_and_refusals_differ_each_for_itself),
        cmocka_unit_test(too_few_requests_are_no_proof),
        cmocka_unit_test(the_expected_cost_may_be_as_much_higher_as_was_said_and_not_more),
        cmocka_unit_test(a_price_that_only_the_shadow_does_not_know_is_out_of_bounds),
        cmocka_unit_test(what_costs_nothing_may_not_become_something),
        cmocka_unit_test(a_request_that_fails_or_is_refused_there_alone_counts_once_and_what_fails_in_both_does_not),
        cmocka_unit_test(of_each_kind_the_last_eight_are_kept_whatever_else_is_frequent),
        cmocka_unit_test(the_last_error_of_each_hook_is_kept_and_how_many_there_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
