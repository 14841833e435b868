/* What happened between two looks at the report: rates, success, latencies, ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "cli/pace.h"

static const char before[] =
    "{\"since\":\"A\",\"seconds\":10,\"totals\":{\"requests\":4,\"answered\":3,\"failed\":1,\"refused\":0,\"spread\":[1,2,9,1]},"
    "\"all_models\":{\"attempts\":4,\"answered\":3,\"failed\":1,\"cost_usd\":1,\"tokens_output\":100,\"spread\":[]},\"models\":[{\"model\":\"a\",\"attempts\":4,\"answered\":3,"
    "\"failed\":1,\"cost_usd\":1,\"tokens_output\":100,\"spread\":[1,2,9,1]}],\"labels\":[],\"stages\":[],"
    "\"targets\":[{\"target\":\"p/a\",\"attempts\":4,\"answered\":3,\"failed\":1,\"ends\":{\"ok\":3,\"timeout\":1}}]}";
static const char after[] =
    "{\"since\":\"A\",\"seconds\":12,\"totals\":{\"requests\":14,\"answered\":11,\"failed\":2,\"refused\":1,\"spread\":[1,5,4,4,9,2]},"
    "\"all_models\":{\"attempts\":15,\"answered\":11,\"failed\":4,\"cost_usd\":1.5,\"tokens_output\":300,\"spread\":[]},\"models\":[{\"model\":\"b\",\"attempts\":1,\"answered\":0,"
    "\"failed\":1,\"cost_usd\":0,\"tokens_output\":0,\"spread\":[]},{\"model\":\"a\",\"attempts\":14,\"answered\":11,\"failed\":3,\"cost_usd\":1.5,\"tokens_output\":300,\"spread\":[1,5,4,4,9,2]}],"
    "\"labels\":[{\"label\":\"x\",\"requests\":2,\"answered\":0,\"failed\":0,\"refused\":0,\"spread\":[]}],\"stages\":[],"
    "\"targets\":[{\"target\":\"p/a\",\"circuit\":\"open\",\"rest_ms\":5,\"attempts\":14,\"answered\":11,\"failed\":3,\"ends\":{\"ok\":11,\"timeout\":2,\"http_5xx\":4}}]}";

static struct lun_json json(const char *text)
{
    struct lun_json j;
    assert_true(lun_json_check(text, strlen(text), &j, NULL));
    return j;
}

static double at(struct lun_json pace, const char *path)
{
    double x;
    struct lun_json value = lun_json_path(pace, path);
    if (!lun_json_double(value, &x)) fail_msg("%s is %.*s", path, (int)value.n, value.at);
    return x;
}

static struct lun_json pace(struct lun_buf *out, const char *now, const char *then)
{
    lun_pace_put(out, json(now), then ? json(then) : (struct lun_json){0});
    return json(lun_buf_text(out));
}

static void it_is_what_the_later_look_has_more(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    struct lun_json p = pace(&out, after, before);
    assert_false(lun_json_true(lun_json_get(p, "since_start")));
    assert_true(at(p, "seconds") == 2 && at(p, "totals.per_second") == 5 && at(p, "totals.failed_per_second") == 1 && at(p, "totals.success_rate") == 0.8);
    assert_true(at(p, "totals.p50_ms") == 4 && at(p, "totals.p99_ms") == 9);           /* 3 of 1, 4 of 4, 1 of 9 */
    assert_true(at(p, "all_models.usd_per_hour") == 900 && at(p, "all_models.tokens_per_second") == 100);
    assert_true(lun_json_is(lun_json_path(p, "models.1.model"), "a") && at(p, "models.1.per_second") == 5 && at(p, "models.1.usd_per_hour") == 900);
    assert_true(at(p, "models.0.per_second") == 0.5 && at(p, "models.0.success_rate") == 0);          /* that the look before had not */
    assert_true(lun_json_is(lun_json_path(p, "targets.0.circuit"), "open") && at(p, "targets.0.rest_ms") == 5);
    assert_true(lun_json_is(lun_json_path(p, "ends.0.kind"), "http_5xx") && at(p, "ends.0.per_second") == 2 && at(p, "ends.1.per_second") == 0.5);
    assert_int_equal(lun_json_count(lun_json_get(p, "ends")), 2);
    lun_buf_free(&out);
}

static void where_nothing_was_it_says_nothing(void **state)
{
    (void)state;
    struct lun_buf out = {0};
    struct lun_json p = pace(&out, after, before);
    assert_int_equal(lun_json_type(lun_json_path(p, "labels.0.p50_ms")), LUN_JSON_NULL);
    assert_int_equal(lun_json_type(lun_json_path(p, "labels.0.success_rate")), LUN_JSON_NULL);
    assert_int_equal(lun_json_type(lun_json_path(p, "models.0.p99_ms")), LUN_JSON_NULL);
    lun_buf_free(&out);
}

static void without_a_look_before_or_of_another_process_it_is_since_the_start(void **state)
{
    (void)state;
    char other[sizeof before];
    memcpy(other, before, sizeof before);
    *strchr(other, 'A') = 'B';
    const char *const then[] = { NULL, other };
    for (size_t i = 0; i < 2; i++) {
        struct lun_buf out = {0};
        struct lun_json p = pace(&out, after, then[i]);
        assert_true(lun_json_true(lun_json_get(p, "since_start")) && at(p, "seconds") == 12 && at(p, "totals.per_second") == 14.0 / 12);
        lun_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(it_is_what_the_later_look_has_more), cmocka_unit_test(where_nothing_was_it_says_nothing),
                                        cmocka_unit_test(without_a_look_before_or_of_another_process_it_is_since_the_start) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
