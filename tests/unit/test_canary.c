/* A canary by itself: what may fail, what is kept, and that nothing is lost between threads. The numbers of its stages are in tests/policy/canary_spec.lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "state/canary.h"

static const struct lun_canary_rule plain = { .name = "c", .stages = { 5, 50, 100 }, .n_stages = 3, .every = 60 * LUN_SECOND, .errors = 0.01, .p99 = 500 * LUN_MS,
                                              .samples = 100, .start = true };

static struct lun_canary *begun(const struct lun_canary_rule *rule, uint64_t *run)
{
    struct lun_canary *c = lun_canary_new();
    lun_canary_apply(c, rule);
    assert_true(lun_canary_look(c, LUN_SECOND));
    lun_canary_draw(c, 0, run);
    return c;
}

static struct lun_canary_view seen(struct lun_canary *c, lun_us now)
{
    struct lun_canary_view v;
    lun_canary_view(c, now, &v);
    return v;
}

static void who_is_new_stays_so(void **state)
{
    uint64_t run;
    char problem[120];
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    assert_true(lun_canary_draw(c, 0.0499, &run));
    assert_false(lun_canary_draw(c, 0.05, &run));
    assert_true(lun_canary_do(c, LUN_CANARY_DO_PROMOTE, "me", "", LUN_SECOND, problem));
    assert_true(lun_canary_draw(c, 0.0499, &run));
    assert_true(lun_canary_draw(c, 0.999999, &run));
    assert_true(lun_canary_do(c, LUN_CANARY_DO_ROLLBACK, "me", "", LUN_SECOND, problem));
    assert_false(lun_canary_draw(c, 0, &run));
    lun_canary_free(c);
}

static void exactly_the_limit_passes(void **state)
{
    uint64_t run;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    for (int i = 0; i < 198; i++) assert_false(lun_canary_count(c, run, true, i < 1 ? 501 * LUN_MS : 500 * LUN_MS, 2 * LUN_SECOND));
    for (int i = 0; i < 2; i++) assert_false(lun_canary_count(c, run, false, 0, 2 * LUN_SECOND));
    assert_false(lun_canary_look(c, 60 * LUN_SECOND + 999999));
    assert_true(lun_canary_look(c, 61 * LUN_SECOND));
    assert_int_equal(2, seen(c, 61 * LUN_SECOND).stage);
    lun_canary_free(c);
}

static void a_probe_of_an_earlier_rollout_says_nothing_of_this_one(void **state)
{
    uint64_t run;
    char problem[120];
    static const struct lun_provider *const there = (const void *)&plain;
    struct lun_canary_rule probed = plain;
    (void)state;
    probed.probe = there;
    struct lun_canary *c = begun(&probed, &run);
    assert_true(lun_canary_wants_probe(c, 2 * LUN_SECOND));
    assert_true(lun_canary_do(c, LUN_CANARY_DO_ROLLBACK, "me", "", 3 * LUN_SECOND, problem));
    assert_true(lun_canary_do(c, LUN_CANARY_DO_START, "me", "it is mended", 4 * LUN_SECOND, problem));
    assert_false(lun_canary_probed(c, "a", 0));         /* the one of before is given up only now */
    assert_int_equal(LUN_CANARY_RUNNING, seen(c, 5 * LUN_SECOND).state);
    assert_int_equal(-1, seen(c, 5 * LUN_SECOND).probe);
    assert_true(lun_canary_wants_probe(c, 5 * LUN_SECOND));
    assert_true(lun_canary_probed(c, "a", 0));
    lun_canary_free(c);
}

static void a_watch_looks_back_as_long_as_a_reload_says(void **state)
{
    uint64_t run;
    char problem[120];
    struct lun_canary_rule longer = plain;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    assert_true(lun_canary_do(c, LUN_CANARY_DO_PROMOTE, "me", "", LUN_SECOND, problem));
    for (int i = 0; i < 24 * 60; i++) assert_false(lun_canary_count(c, run, true, LUN_MS, (lun_us)i * 60 * LUN_SECOND));      /* a day */
    longer.every = 600 * LUN_SECOND;
    lun_canary_apply(c, &longer);
    for (int i = 24 * 60; i < 26 * 60; i++) assert_false(lun_canary_count(c, run, true, LUN_MS, (lun_us)i * 60 * LUN_SECOND));  /* two hours */
    assert_in_range(seen(c, 26 * 3600 * LUN_SECOND).samples, 8, 11);      /* one a minute, of the last ten */
    lun_canary_free(c);
}

static void another_p99_counts_what_there_was_by_itself(void **state)
{
    uint64_t run;
    struct lun_canary_rule off = plain, strict = plain;
    (void)state;
    off.p99 = 0, strict.p99 = 100 * LUN_MS;
    struct lun_canary *c = begun(&off, &run);
    for (int i = 0; i < 200; i++) assert_false(lun_canary_count(c, run, true, i < 2 ? 800 * LUN_MS : 200 * LUN_MS, 30 * LUN_SECOND));
    lun_canary_apply(c, &plain);
    assert_false(lun_canary_count(c, run, true, LUN_MS, 31 * LUN_SECOND));
    assert_false(lun_canary_look(c, 32 * LUN_SECOND));
    lun_canary_apply(c, &strict);
    assert_true(lun_canary_look(c, 32 * LUN_SECOND));
    assert_int_equal(LUN_CANARY_ROLLED_BACK, seen(c, 32 * LUN_SECOND).state);
    lun_canary_free(c);
}

static void a_stage_of_another_share_begins_anew(void **state)
{
    uint64_t run;
    struct lun_canary_rule other = plain, faster = plain;
    (void)state;
    other.stages[0] = 40, faster.every = 50 * LUN_SECOND;
    struct lun_canary *c = begun(&plain, &run);
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, 1, 2 * LUN_SECOND));
    lun_canary_apply(c, &other);
    assert_int_equal(0, seen(c, 2 * LUN_SECOND).samples);
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, 1, 40 * LUN_SECOND));
    assert_false(lun_canary_look(c, 99 * LUN_SECOND));
    assert_true(lun_canary_look(c, 100 * LUN_SECOND));
    lun_canary_free(c);
    c = begun(&plain, &run);                            /* what leaves the share as it is does not */
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, 1, 2 * LUN_SECOND));
    lun_canary_apply(c, &faster);
    assert_true(lun_canary_look(c, 51 * LUN_SECOND));
    lun_canary_free(c);
}

static void another_share_is_the_news_of_the_reload_that_brought_it(void **state)
{
    uint64_t run;
    char problem[120];
    struct lun_canary_event e;
    struct lun_canary_rule other = plain;
    (void)state;
    other.stages[0] = 40;
    struct lun_canary *c = begun(&plain, &run);
    assert_true(lun_canary_event(c, 1, &e));
    lun_canary_apply(c, &other);
    assert_false(lun_canary_event(c, 2, &e));           /* else it would be told as what happened last: that it was started */
    assert_true(lun_canary_do(c, LUN_CANARY_DO_ROLLBACK, "me", "", LUN_SECOND, problem));
    lun_canary_apply(c, &plain);                        /* and what has not been told yet still is */
    assert_true(lun_canary_event(c, 3, &e));
    assert_true(e.share_before == 40 && e.share == 0 && e.to == LUN_CANARY_ROLLED_BACK);
    lun_canary_free(c);
}

static void one_that_was_away_begins_its_stage_anew(void **state)
{
    uint64_t run;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, 1, 2 * LUN_SECOND));
    lun_canary_leave(c);
    lun_canary_apply(c, &plain);
    assert_false(lun_canary_look(c, 7200 * LUN_SECOND));
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, 1, 7201 * LUN_SECOND));
    assert_false(lun_canary_look(c, 7259 * LUN_SECOND));
    assert_true(lun_canary_look(c, 7260 * LUN_SECOND));
    assert_int_equal(2, seen(c, 7260 * LUN_SECOND).stage);
    lun_canary_free(c);
}

static void it_fails_when_it_cannot_pass_any_more_and_not_before(void **state)
{
    uint64_t run;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    lun_us half = 31 * LUN_SECOND;                      /* of a stage: as many again are to come */
    for (int i = 0; i < 496; i++) assert_false(lun_canary_count(c, run, true, 1, half));
    for (int i = 0; i < 10; i++) assert_false(lun_canary_count(c, run, false, 0, half));       /* 10 of 1012 */
    assert_true(lun_canary_count(c, run, false, 0, half));
    assert_string_equal("errors 2.17 % of 507 > 1 %", seen(c, half).why);
    assert_string_equal("lunette", seen(c, half).by);
    assert_false(lun_canary_count(c, run, false, 0, half));     /* once */
    lun_canary_free(c);
}

static void a_watch_forgets(void **state)
{
    uint64_t run;
    char problem[120];
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    assert_true(lun_canary_do(c, LUN_CANARY_DO_PROMOTE, "me", "", LUN_SECOND, problem));
    for (int second = 1; second < 6000; second++) {     /* one error a minute among 600 */
        for (int i = 0; i < 10; i++) assert_false(lun_canary_count(c, run, second % 60 || i, 1, second * LUN_SECOND));
        assert_in_range(seen(c, second * LUN_SECOND).samples, 1, 600);
    }
    assert_int_equal(0, seen(c, 7000 * LUN_SECOND).samples);
    lun_canary_free(c);
}

static void limits_can_be_off(void **state)
{
    uint64_t run;
    struct lun_canary_rule rule = plain;
    (void)state;
    rule.errors = -1, rule.p99 = 0;
    struct lun_canary *c = begun(&rule, &run);
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, false, 0, 2 * LUN_SECOND));
    for (int i = 0; i < 100; i++) assert_false(lun_canary_count(c, run, true, LUN_SECOND * 100, 2 * LUN_SECOND));
    assert_true(lun_canary_look(c, 61 * LUN_SECOND));
    assert_int_equal(2, seen(c, 61 * LUN_SECOND).stage);
    lun_canary_free(c);
}

static void a_probe_is_asked_once_at_a_time(void **state)
{
    uint64_t run;
    struct lun_canary_rule rule = plain;
    (void)state;
    rule.probe = (const struct lun_provider *)(const void *)&rule;      /* only whether there is one counts */
    struct lun_canary *c = begun(&rule, &run);
    assert_true(lun_canary_wants_probe(c, 2 * LUN_SECOND));
    assert_false(lun_canary_wants_probe(c, 20 * LUN_SECOND));
    lun_canary_unprobed(c);
    assert_true(lun_canary_wants_probe(c, 20 * LUN_SECOND));
    assert_false(lun_canary_probed(c, "p", 200));
    assert_false(lun_canary_wants_probe(c, 29 * LUN_SECOND));
    assert_true(lun_canary_wants_probe(c, 30 * LUN_SECOND));
    assert_true(lun_canary_probed(c, "p", 0));
    assert_string_equal("probe of p got no answer", seen(c, 30 * LUN_SECOND).why);
    assert_false(lun_canary_wants_probe(c, 300 * LUN_SECOND));
    lun_canary_free(c);
}

static struct lun_canary *again(struct lun_canary *c, const struct lun_canary_rule *rule)
{
    struct lun_buf text = {0};
    struct lun_json json;
    struct lun_canary *other = lun_canary_new();
    lun_canary_write(c, &text);
    assert_true(lun_json_check(text.at, text.n, &json, NULL));
    assert_true(lun_canary_read(other, json));
    lun_canary_apply(other, rule);
    lun_buf_free(&text);
    lun_canary_free(c);
    return other;
}

static void a_stage_and_a_rollback_are_kept(void **state)
{
    uint64_t run;
    char problem[120];
    struct lun_canary_event e;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    for (int i = 0; i < 100; i++) lun_canary_count(c, run, true, 1, 2 * LUN_SECOND);
    assert_true(lun_canary_look(c, 61 * LUN_SECOND));
    c = again(c, &plain);
    assert_int_equal(2, seen(c, 0).stage);
    assert_true(lun_canary_draw(c, 0.49, &run));
    assert_false(lun_canary_event(c, 1, &e));           /* it is as it was */
    assert_false(lun_canary_look(c, LUN_SECOND));
    assert_true(lun_canary_do(c, LUN_CANARY_DO_ROLLBACK, "ann \"x\"", "no\ngood", LUN_SECOND, problem));
    assert_true(lun_canary_event(c, 1234567, &e));
    c = again(c, &plain);
    assert_int_equal(LUN_CANARY_ROLLED_BACK, seen(c, 0).state);
    assert_string_equal("ann \"x\"", seen(c, 0).by);
    assert_string_equal("no\ngood", seen(c, 0).why);
    assert_int_equal(1234567, seen(c, 0).at);
    assert_false(lun_canary_look(c, LUN_SECOND));       /* start = true does not begin it again */
    assert_false(lun_canary_draw(c, 0, &run));
    lun_canary_free(c);
}

static void fewer_stages_than_there_were_are_the_last(void **state)
{
    uint64_t run;
    char problem[120];
    struct lun_canary_rule rule = plain;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    assert_true(lun_canary_do(c, LUN_CANARY_DO_PROMOTE, "me", "", LUN_SECOND, problem));
    rule.n_stages = 1;
    c = again(c, &rule);
    assert_int_equal(1, seen(c, 0).stage);
    assert_true(lun_canary_share(c) == 5);
    lun_canary_free(c);
}

static void what_is_no_state_is_not_read(void **state)
{
    static const char *const texts[] = { "{}", "{\"state\":\"flying\",\"stage\":0}", "{\"state\":\"running\"}", "{\"state\":\"running\",\"stage\":-1}",
                                         "{\"state\":\"running\",\"stage\":20}", "{\"state\":5,\"stage\":0}", "[]", "null" };
    (void)state;
    struct lun_canary *c = lun_canary_new();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lun_json json;
        assert_true(lun_json_check(texts[i], strlen(texts[i]), &json, NULL));
        assert_false(lun_canary_read(c, json));
    }
    assert_int_equal(LUN_CANARY_WAITING, seen(c, 0).state);
    lun_canary_free(c);
}

struct crowd { struct lun_canary *canary; int rolled_back; };

static void *count_many(void *self)
{
    struct crowd *t = self;
    uint64_t run;
    for (int i = 0; i < 20000; i++)
        if (lun_canary_draw(t->canary, 0.01, &run)) t->rolled_back += lun_canary_count(t->canary, run, i % 50 > 0, 1000, 61 * LUN_SECOND);
    return NULL;
}

static void many_threads_roll_it_back_once(void **state)
{
    uint64_t run;
    (void)state;
    struct lun_canary *c = begun(&plain, &run);
    struct crowd crowds[4];
    pthread_t threads[4];
    int times = 0;
    for (int i = 0; i < 4; i++) crowds[i] = (struct crowd){ .canary = c };
    for (int i = 0; i < 4; i++) assert_int_equal(0, pthread_create(&threads[i], NULL, count_many, &crowds[i]));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL), times += crowds[i].rolled_back;
    assert_int_equal(1, times);
    assert_int_equal(LUN_CANARY_ROLLED_BACK, seen(c, 61 * LUN_SECOND).state);
    lun_canary_free(c);
}

static void many_threads_lose_nothing(void **state)
{
    uint64_t run;
    struct lun_canary_rule rule = plain;
    (void)state;
    rule.errors = -1;
    struct lun_canary *c = begun(&rule, &run);
    struct crowd crowds[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) crowds[i] = (struct crowd){ .canary = c };
    for (int i = 0; i < 4; i++) assert_int_equal(0, pthread_create(&threads[i], NULL, count_many, &crowds[i]));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(80000, seen(c, 61 * LUN_SECOND).samples);
    assert_int_equal(1600, seen(c, 61 * LUN_SECOND).errors);
    lun_canary_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_new_stays_so),
        cmocka_unit_test(exactly_the_limit_passes), cmocka_unit_test(a_probe_of_an_earlier_rollout_says_nothing_of_this_one), cmocka_unit_test(a_watch_looks_back_as_long_as_a_reload_says),
        cmocka_unit_test(another_p99_counts_what_there_was_by_itself), cmocka_unit_test(a_stage_of_another_share_begins_anew),
        cmocka_unit_test(another_share_is_the_news_of_the_reload_that_brought_it),
        cmocka_unit_test(one_that_was_away_begins_its_stage_anew),
        cmocka_unit_test(it_fails_when_it_cannot_pass_any_more_and_not_before),
        cmocka_unit_test(a_watch_forgets),
        cmocka_unit_test(limits_can_be_off),
        cmocka_unit_test(a_probe_is_asked_once_at_a_time),
        cmocka_unit_test(a_stage_and_a_rollback_are_kept),
        cmocka_unit_test(fewer_stages_than_there_were_are_the_last),
        cmocka_unit_test(what_is_no_state_is_not_read),
        cmocka_unit_test(many_threads_roll_it_back_once),
        cmocka_unit_test(many_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
