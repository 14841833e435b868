#include "gateway/splice.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct lun_edit *edit(struct lun_edit *next, int what, const char *field, const char *value)
{
    struct lun_edit *e = calloc(1, sizeof *e);
    *e = (struct lun_edit){ .next = next, .field = field, .value = value };
    e->what = what;
    return e;
}

/* The body as a provider would get it; `usage`: the provider understands include_usage. */
static void becomes(const char *body, const char *upstream, struct lun_edit *edits, bool usage, int64_t cap, const char *expected)
{
    struct lun_arena arena = {0};
    struct lun_question q = { .arena = &arena, .body = body, .body_n = strlen(body), .max_tokens = -1, .n = 1 };
    struct lun_json json = {0};
    assert_true(lun_json_scan(body, q.body_n, &lun_question_keys, q.fields, &q.scan));
    assert_true(lun_json_check(body, q.body_n, &json, NULL));
    q.stream = lun_json_true(lun_json_of(body, &q.fields[LUN_FIELD_stream]));
    q.include_usage = lun_json_true(lun_json_path(json, "stream_options.include_usage"));
    struct lun_provider provider = { .usage = usage };
    struct lun_target target = { .provider = &provider };
    struct lun_step step = { .target = &target, .edits = edits };
    struct lun_trial trial = { .upstream = upstream };
    struct lun_call call = { .question = &q, .step = &step, .trial = &trial, .stream = q.stream, .cap = cap };
    const struct lun_slice *s;
    struct lun_buf out = {0};
    int n = lun_splice(&call, &s);
    for (int i = 0; i < n; i++) lun_buf_add(&out, s[i].at, s[i].n);
    assert_string_equal(lun_buf_text(&out), expected);
    assert_true(lun_json_check(out.at, out.n, &json, NULL));
    lun_buf_free(&out);
    lun_arena_free(&arena);
    for (struct lun_edit *e; (e = edits); free(e)) edits = e->next;
}

static void a_body_passes_byte_for_byte(void **state)
{
    (void)state;
    becomes(" { \"model\" : \"a\" ,\t\"x\":[1, 2.50e+1,\"\\u00e9\"]}\n", "a", NULL, true, -1, " { \"model\" : \"a\" ,\t\"x\":[1, 2.50e+1,\"\\u00e9\"]}\n");
}

static void only_the_models_name_is_replaced(void **state)
{
    (void)state;
    becomes("{\"x\":1, \"model\":\"fast\",\"y\":2}", "gpt-4.1", NULL, true, -1, "{\"x\":1, \"model\":\"gpt-4.1\",\"y\":2}");
    becomes("{\"mod\\u0065l\":\"fast\"}", "q\"uote", NULL, true, -1, "{\"mod\\u0065l\":\"q\\\"uote\"}");
}

static void a_stream_is_asked_for_usage(void **state)
{
    (void)state;
    becomes("{\"model\":\"a\",\"stream\":true}", "a", NULL, true, -1, "{\"stream_options\":{\"include_usage\":true},\"model\":\"a\",\"stream\":true}");
    becomes("{\"model\":\"a\",\"stream\":true}", "a", NULL, false, -1, "{\"model\":\"a\",\"stream\":true}");
    becomes("{\"model\":\"a\",\"stream\":false}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":false}");
    becomes("{\"model\":\"a\",\"stream\":true,\"stream_options\":{}}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    becomes("{\"model\":\"a\",\"stream\":true,\"stream_options\":null}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    becomes("{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"b\":1}}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"b\":1}}");
    becomes("{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":false}}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    becomes("{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", "a", NULL, true, -1, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
}

static void an_output_cap_is_written_where_a_limit_needs_one(void **state)
{
    (void)state;
    becomes("{\"model\":\"a\"}", "b", NULL, true, 4096, "{\"max_tokens\":4096,\"model\":\"b\"}");
}

/* The last of two is what most providers read: it would be no cap. */
static void an_output_cap_takes_the_place_of_a_null(void **state)
{
    (void)state;
    becomes("{\"model\":\"a\",\"max_tokens\":null}", "a", NULL, true, 4096, "{\"model\":\"a\",\"max_tokens\":4096}");
    becomes("{\"model\":\"a\",\"max_tokens\":7}", "a", edit(NULL, LUN_EDIT_SET, "max_tokens", "null"), true, 4096, "{\"model\":\"a\",\"max_tokens\":4096}");
    becomes("{\"model\":\"a\"}", "a", edit(NULL, LUN_EDIT_SET, "max_tokens", "null"), true, 4096, "{\"max_tokens\":4096,\"model\":\"a\"}");
    becomes("{\"max_completion_tokens\":null,\"model\":\"a\"}", "a", edit(NULL, LUN_EDIT_RENAME, "max_completion_tokens", "max_tokens"), true, 4096, "{\"max_tokens\":4096,\"model\":\"a\"}");
}

static void of_several_edits_of_a_field_the_last_counts(void **state)
{
    (void)state;
    becomes("{\"model\":\"a\"}", "a", edit(edit(NULL, LUN_EDIT_DROP, "t", NULL), LUN_EDIT_SET, "t", "1"), true, -1, "{\"model\":\"a\"}");
    becomes("{\"model\":\"a\"}", "a", edit(edit(NULL, LUN_EDIT_SET, "t", "2"), LUN_EDIT_SET, "t", "1"), true, -1, "{\"t\":2,\"model\":\"a\"}");
    becomes("{\"model\":\"a\",\"u\":1}", "a", edit(edit(NULL, LUN_EDIT_RENAME, "u", "t"), LUN_EDIT_SET, "t", "2"), true, -1, "{\"t\":2,\"model\":\"a\"}");
}

static void set_replaces_or_adds(void **state)
{
    (void)state;
    becomes("{\"model\":\"a\",\"t\":1}", "a", edit(NULL, LUN_EDIT_SET, "t", "0.5"), true, -1, "{\"model\":\"a\",\"t\":0.5}");
    becomes("{\"model\":\"a\"}", "a", edit(edit(NULL, LUN_EDIT_SET, "u", "[]"), LUN_EDIT_SET, "t", "\"x\""), true, -1, "{\"t\":\"x\",\"u\":[],\"model\":\"a\"}");
}

static void drop_takes_its_comma_along(void **state)
{
    (void)state;
    becomes("{\"a\":1,\"model\":\"m\"}", "m", edit(NULL, LUN_EDIT_DROP, "a", NULL), true, -1, "{\"model\":\"m\"}");
    becomes("{\"model\":\"m\", \"a\":1}", "m", edit(NULL, LUN_EDIT_DROP, "a", NULL), true, -1, "{\"model\":\"m\"}");
    becomes("{\"a\":1,\"model\":\"m\",\"b\":2,\"c\":[3]}", "n", edit(edit(edit(NULL, LUN_EDIT_DROP, "a", NULL), LUN_EDIT_DROP, "b", NULL), LUN_EDIT_DROP, "c", NULL),
            true, -1, "{\"model\":\"n\"}");
    becomes("{\"a\":1,\"b\":2}", "m", edit(edit(NULL, LUN_EDIT_DROP, "a", NULL), LUN_EDIT_DROP, "b", NULL), true, 7, "{\"max_tokens\":7}");
}

static void rename_keeps_the_value(void **state)
{
    (void)state;
    becomes("{\"model\":\"m\",\"max_tokens\": 5}", "m", edit(NULL, LUN_EDIT_RENAME, "max_tokens", "max_completion_tokens"), true, -1, "{\"model\":\"m\",\"max_completion_tokens\": 5}");
}

static void model_and_stream_cannot_be_edited(void **state)
{
    (void)state;
    becomes("{\"model\":\"m\",\"stream\":false}", "m", edit(edit(NULL, LUN_EDIT_SET, "stream", "true"), LUN_EDIT_DROP, "model", NULL), true, -1, "{\"model\":\"m\",\"stream\":false}");
}

static void as_many_fields_as_a_step_may_set_are_all_set(void **state)
{
    struct lun_edit *edits = NULL;
    struct lun_buf expected = {0};
    (void)state;
    lun_buf_puts(&expected, "{\"stream_options\":{\"include_usage\":true},\"max_tokens\":9");
    static char names[LUN_EDITS][8];
    for (int i = LUN_EDITS - 1; i >= 0; i--) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        edits = edit(edits, LUN_EDIT_SET, names[i], "1");
    }
    for (int i = 1; i < LUN_EDITS; i++) lun_buf_printf(&expected, ",\"f%d\":1", i);
    lun_buf_puts(&expected, ",\"model\":\"a\",\"f0\":1,\"stream\":true}");
    becomes("{\"model\":\"a\",\"f0\":0,\"stream\":true}", "a", edits, true, 9, lun_buf_text(&expected));
    lun_buf_free(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_passes_byte_for_byte),
        cmocka_unit_test(as_many_fields_as_a_step_may_set_are_all_set), cmocka_unit_test(only_the_models_name_is_replaced),
        cmocka_unit_test(a_stream_is_asked_for_usage), cmocka_unit_test(an_output_cap_is_written_where_a_limit_needs_one),
        cmocka_unit_test(an_output_cap_takes_the_place_of_a_null), cmocka_unit_test(of_several_edits_of_a_field_the_last_counts),
        cmocka_unit_test(set_replaces_or_adds), cmocka_unit_test(drop_takes_its_comma_along), cmocka_unit_test(rename_keeps_the_value),
        cmocka_unit_test(model_and_stream_cannot_be_edited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
