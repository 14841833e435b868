/* Values of a tag that has a budget: an account each, a bounded number of them, one rule for all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <pthread.h>
#include "state/charge.h"
#include "state/tag_values.h"

static struct lun_tag_budget rule(int64_t limit, int values)
{
    return (struct lun_tag_budget){ .name = "tenant", .values = values, .budget = { .limit = limit, .per = LUN_PER_DAY } };
}

static struct lun_account_view look(struct lun_account *a)
{
    struct lun_account_view v;
    lun_account_look(a, 0, &v);
    return v;
}

static void each_has_an_account_of_its_own(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_tag_values *v = lun_tag_values_new(m, "tenant");
    struct lun_tag_budget t = rule(10, 2);
    int bound;
    lun_tag_values_apply(v, &t);
    struct lun_account *acme = lun_tag_values_account(v, "acme"), *web = lun_tag_values_account(v, "web");
    assert_string_equal(look(acme).name, "tag tenant=acme");
    assert_ptr_not_equal(acme, web);
    assert_ptr_equal(lun_tag_values_account(v, "acme"), acme);
    struct lun_account *third = lun_tag_values_account(v, "third");
    assert_string_equal(look(third).name, "tag tenant=(other)");
    assert_ptr_equal(lun_tag_values_account(v, "fourth"), third);
    assert_ptr_equal(lun_tag_values_account(v, "web"), web);
    assert_int_equal(lun_tag_values_count(v, &bound), 2);
    assert_int_equal(bound, 2);
    struct lun_account *list[4] = {0};
    assert_int_equal(lun_tag_values_list(v, list, 2), 3);
    assert_ptr_equal(list[0], third);
    assert_true(list[1] == acme || list[1] == web);
    assert_null(list[2]);
    assert_int_equal(lun_tag_values_list(v, list, 4), 3);
    assert_ptr_not_equal(list[1], list[2]);
    lun_tag_values_free(v);
    lun_money_free(m);
}

static void another_rule_holds_for_all_of_them(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_tag_values *v = lun_tag_values_new(m, "tenant");
    struct lun_tag_budget t = rule(10, 1), other = rule(5, 2);
    lun_tag_values_apply(v, &t);
    struct lun_account *acme = lun_tag_values_account(v, "acme"), *rest = lun_tag_values_account(v, "web");
    lun_tag_values_apply(v, &other);
    assert_int_equal(look(acme).limit, 5);
    assert_int_equal(look(rest).limit, 5);
    assert_ptr_not_equal(lun_tag_values_account(v, "web"), rest);      /* there is room for one more now */
    lun_tag_values_free(v);
    lun_money_free(m);
}

struct crowd { struct lun_tag_values *v; int number; };

static void *ask(void *of)
{
    struct crowd *c = of;
    char value[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(value, sizeof value, "v%d", (i * 7 + c->number) % 300);
        lun_tag_values_account(c->v, value);
    }
    return NULL;
}

static void many_threads_find_the_same_accounts(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new();
    struct lun_tag_values *v = lun_tag_values_new(m, "tenant");
    struct lun_tag_budget t = rule(10, 100);
    struct crowd crowd[4];
    pthread_t threads[4];
    int bound;
    lun_tag_values_apply(v, &t);
    for (int i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){ v, i };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &crowd[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(lun_tag_values_count(v, &bound), 100);
    lun_tag_values_free(v);
    lun_money_free(m);
}

static void values_that_are_none(void **s)
{
    (void)s;
    static const char *const wrong[] = { "", "(other)", "a b", "a,b", "a\"b", "a\\b", "a\nb", "caf\xc3\xa9", "a;b" }, *const right[] = { "a", "Acme-1", "ann@example.org", "a/b.c:d=e+f~_" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(lun_charge_value_good(wrong[i]));
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) assert_true(lun_charge_value_good(right[i]));
}

static void those_aside_have_the_accounts_there_are_and_make_none_there(void **s)
{
    (void)s;
    struct lun_money *m = lun_money_new(), *own = lun_money_new();
    struct lun_tag_values *v = lun_tag_values_new(m, "tenant"), *aside = lun_tag_values_aside(own, "tenant", v);
    struct lun_tag_budget t = rule(10, 2), other = rule(5, 2);
    int bound;
    lun_tag_values_apply(v, &t);
    struct lun_account *acme = lun_tag_values_account(v, "acme");
    lun_tag_values_apply(aside, &other);
    assert_ptr_equal(lun_tag_values_account(aside, "acme"), acme);
    assert_int_equal(look(acme).limit, 10);
    assert_int_equal(look(lun_tag_values_account(aside, "web")).limit, 5);
    assert_int_equal(lun_tag_values_count(v, &bound), 1);
    assert_null(lun_account_find(m, "tag tenant=web"));
    lun_tag_values_free(aside), lun_tag_values_free(v);
    lun_money_free(own), lun_money_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_an_account_of_its_own), cmocka_unit_test(another_rule_holds_for_all_of_them),
        cmocka_unit_test(many_threads_find_the_same_accounts), cmocka_unit_test(values_that_are_none),
        cmocka_unit_test(those_aside_have_the_accounts_there_are_and_make_none_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
