/* What a policy's settings are set to: what they take, and that a tuning is what it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include "state/tuning.h"

static const struct lun_policy_setting share = { .name = "share", .initial = { .type = LUN_PLAIN_NUMBER, .number = 5 }, .min = 0, .max = 100 };
static const struct lun_policy_setting open = { .name = "open", .initial = { .type = LUN_PLAIN_NUMBER, .number = 5 }, .min = -HUGE_VAL, .max = HUGE_VAL };
static const struct lun_policy_setting on = { .name = "on", .initial = { .type = LUN_PLAIN_BOOL, .yes = true } };
static const struct lun_policy_setting mode = { .name = "mode", .initial = { .type = LUN_PLAIN_TEXT, .text = "fast" } };

static void refused(const struct lun_policy_setting *s, const char *text, const char *why)
{
    struct lun_plain v;
    char problem[LUN_SETTING_PROBLEM] = "";
    assert_false(lun_policy_setting_read(s, text, &v, problem));
    assert_string_equal(problem, why);
}

static void text_is_read_as_the_settings_own_type(void **state)
{
    struct lun_plain v;
    char problem[LUN_SETTING_PROBLEM];
    (void)state;
    assert_true(lun_policy_setting_read(&share, "15.5", &v, problem) && v.type == LUN_PLAIN_NUMBER && v.number == 15.5);
    assert_true(lun_policy_setting_read(&on, "false", &v, problem) && v.type == LUN_PLAIN_BOOL && !v.yes);
    assert_true(lun_policy_setting_read(&mode, "15", &v, problem) && v.type == LUN_PLAIN_TEXT && !strcmp(v.text, "15"));
}

static void what_does_not_fit_is_refused_with_what_would(void **state)
{
    char longer[LUN_PLAIN_TEXT_MOST + 2];
    (void)state;
    refused(&share, "101", "must be a number from 0 to 100");
    refused(&share, "-1", "must be a number from 0 to 100");
    refused(&share, "nan", "must be a number from 0 to 100");
    refused(&share, "15x", "must be a number from 0 to 100");
    refused(&share, "", "must be a number from 0 to 100");
    refused(&open, "inf", "must be a number");
    refused(&on, "yes", "must be true or false");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    refused(&mode, longer, "must be a text of at most 1024 bytes");
}

static void a_choice_is_one_of_them(void **state)
{
    static const char *const few[] = { "round_robin", "weighted" };
    const struct lun_policy_setting s = { "strategy", { .type = LUN_PLAIN_TEXT, .text = "weighted" }, 0, 0, few, 2, NULL }, one = { "strategy", s.initial, 0, 0, few + 1, 1, NULL };
    static char texts[LUN_CHOICES_MOST][65];
    const char *many[LUN_CHOICES_MOST];
    struct lun_plain v;
    char problem[LUN_SETTING_PROBLEM];
    (void)state;
    assert_true(lun_policy_setting_read(&s, "round_robin", &v, problem) && !strcmp(v.text, "round_robin"));
    refused(&s, "round-robin", "must be \"round_robin\" or \"weighted\" (did you mean round_robin?)");
    refused(&s, "least", "must be \"round_robin\" or \"weighted\"");
    refused(&s, "", "must be \"round_robin\" or \"weighted\"");
    refused(&s, "Weighted", "must be \"round_robin\" or \"weighted\" (did you mean weighted?)");
    refused(&one, "x", "must be \"weighted\"");
    v = (struct lun_plain){ .type = LUN_PLAIN_NUMBER, .number = 5 };
    assert_false(lun_policy_setting_takes(&s, &v, problem));
    assert_string_equal(problem, "must be \"round_robin\" or \"weighted\"");
    for (int i = 0; i < LUN_CHOICES_MOST; i++) memset(texts[i], 'a' + i % 26, 64), many[i] = texts[i];
    const struct lun_policy_setting long_one = { "x", s.initial, 0, 0, many, LUN_CHOICES_MOST, NULL };
    assert_false(lun_policy_setting_read(&long_one, "x", &v, problem));
    assert_non_null(strstr(problem, " or 27 more"));
}

static void another_type_in_json_is_refused(void **state)
{
    struct lun_arena arena = {0};
    struct lun_plain v;
    char problem[LUN_SETTING_PROBLEM];
    (void)state;
    assert_true(lun_plain_of_json((struct lun_json){ "\"15\"", 4 }, &arena, &v));
    assert_false(lun_policy_setting_takes(&share, &v, problem));
    assert_true(lun_plain_of_json((struct lun_json){ "15", 2 }, &arena, &v) && lun_policy_setting_takes(&share, &v, problem));
    assert_false(lun_plain_of_json((struct lun_json){ "[1]", 3 }, &arena, &v));
    assert_false(lun_plain_of_json((struct lun_json){ "1e999", 5 }, &arena, &v));
    lun_arena_free(&arena);
}

static void a_tuning_keeps_what_it_was_made_of(void **state)
{
    char text[] = "slow", name[] = "mode";
    struct lun_tuned items[] = { { "share", { .type = LUN_PLAIN_NUMBER, .number = 15 } }, { name, { .type = LUN_PLAIN_TEXT, .text = text } } };
    struct lun_tuning *t = lun_tuning_new(items, 2);
    (void)state;
    memset(text, 'x', 4);
    memset(name, 'x', 4);
    assert_string_equal(t->json, "{\"share\":15,\"mode\":\"slow\"}");
    assert_string_equal(lun_tuning_get(t, "mode")->text, "slow");
    assert_null(lun_tuning_get(t, "other"));
    assert_null(lun_tuning_get(NULL, "mode"));
    lun_tuning_ref(t);
    lun_tuning_unref(t);
    assert_true(lun_tuning_get(t, "share")->number == 15);
    lun_tuning_unref(t);
    t = lun_tuning_new(NULL, 0);
    assert_null(t->json);
    lun_tuning_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_read_as_the_settings_own_type),
        cmocka_unit_test(what_does_not_fit_is_refused_with_what_would),
        cmocka_unit_test(a_choice_is_one_of_them),
        cmocka_unit_test(another_type_in_json_is_refused),
        cmocka_unit_test(a_tuning_keeps_what_it_was_made_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
