/* What a provider's answer comes to: kinds, words, usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "gateway/answer.h"
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))

static struct lun_arena arena;
static struct lun_reading r;

static int end(void **state) { (void)state; lun_arena_free(&arena); return 0; }

static enum lun_kind read(int status, const char *body)
{
    lun_answer_read(status, body, strlen(body), &arena, &r);
    return r.kind;
}

static void is(int status, const char *body, const char *kind) { assert_string_equal(lun_kind_name(read(status, body)), kind); }

TEST(a_good_answer_is_a_json_object_without_an_error)
{
    is(200, "{\"choices\":[{\"message\":{\"content\":\"hello\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}", "ok");
    assert_string_equal(r.finish_reason, "length");
    assert_int_equal(r.usage.input, 7);
    assert_int_equal(r.usage.output, 5);
    assert_int_equal(r.text_bytes, 5);
    is(201, "{}", "ok");
    assert_false(r.usage.known);
    is(200, "{\"error\":null,\"choices\":[]}", "ok");
    is(200, "{\"object\":\"list\",\"data\":[{\"embedding\":[0.1]}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}", "ok");
    assert_int_equal(r.usage.input, 3);
    assert_int_equal(r.usage.output, 0);
}

TEST(an_answer_that_a_filter_emptied_is_good)
{
    is(200, "{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"content_filter\"}]}", "ok");
    assert_string_equal(r.finish_reason, "content_filter");
    assert_true(r.finishes & LUN_FINISH_BROKEN);
    is(200, "{\"choices\":[{\"finish_reason\":\"content_filter: RECITATION\"}]}", "ok");
    assert_true(r.finishes & LUN_FINISH_BROKEN);
    is(200, "{\"choices\":[{\"finish_reason\":\"function_call_filter: MALFORMED_FUNCTION_CALL\"}]}", "ok");
    assert_true(r.finishes & LUN_FINISH_BROKEN);
    is(200, "{\"choices\":[{\"finish_reason\":\"stop\"}]}", "ok");
    assert_false(r.finishes & LUN_FINISH_BROKEN);
}

TEST(what_is_not_understood_is_bad)
{
    is(200, "", "bad_answer");
    assert_string_equal(r.detail, "its answer is empty");
    is(200, "<html>", "bad_answer");
    assert_non_null(strstr(r.detail, "at byte 0"));
    is(200, "[1]", "bad_answer");
    is(200, "{\"a\":1", "bad_answer");
    is(200, "{\"a\":1}x", "bad_answer");
    is(304, "", "bad_answer");
    is(302, "{}", "bad_answer");
}

TEST(an_error_in_a_good_answer_counts_by_its_code)
{
    is(200, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", "rate_limited");
    is(200, "{\"error\":{\"code\":429,\"message\":\"Too Many\"}}", "rate_limited");
    assert_string_equal(r.detail, "Too Many");
    is(200, "{\"error\":{\"code\":502}}", "server_error");
    is(200, "{\"error\":\"model_not_found\"}", "not_found");
    is(200, "{\"error\":\"it fell over\"}", "server_error");
    assert_string_equal(r.detail, "it fell over");
    is(200, "{\"error\":{\"code\":7}}", "server_error");
    is(200, "{\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\"}}", "bad_request");
}

TEST(each_status_has_its_kind)
{
    static const struct { int status; const char *kind; } all[] = {
        { 400, "bad_request" }, { 401, "auth" }, { 402, "quota" }, { 403, "auth" }, { 404, "not_found" }, { 405, "bad_request" }, { 408, "server_error" },
        { 409, "bad_request" }, { 413, "too_long" }, { 415, "bad_request" }, { 422, "bad_request" }, { 429, "rate_limited" }, { 500, "server_error" },
        { 501, "server_error" }, { 502, "server_error" }, { 503, "overloaded" }, { 504, "server_error" }, { 520, "server_error" }, { 529, "overloaded" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        is(all[i].status, "{\"error\":{\"message\":\"no\"}}", all[i].kind);
        is(all[i].status, "", all[i].kind);
        is(all[i].status, "<html>", all[i].kind);
    }
}

TEST(a_code_says_more_than_its_status_where_it_can)
{
    is(429, "{\"error\":{\"code\":\"insufficient_quota\",\"type\":\"insufficient_quota\"}}", "quota");
    is(429, "{\"error\":{\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}", "rate_limited");
    is(400, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}", "too_long");
    is(400, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"content_filter\"}}", "filtered");
    is(400, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"model_not_found\"}}", "not_found");
    is(400, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}", "auth");
    is(403, "{\"error\":{\"code\":\"content_filter\"}}", "filtered");
    is(500, "{\"error\":{\"type\":\"overloaded_error\"}}", "overloaded");
    is(500, "{\"error\":{\"type\":\"invalid_request_error\"}}", "server_error");
    is(401, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", "auth");
    is(400, "{\"error\":{\"code\":\"Context_Length_Exceeded\"}}", "too_long");
}

TEST(a_sentence_about_the_context_is_enough_where_there_is_no_code)
{
    is(400, "{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 tokens.\",\"code\":400}", "too_long");
    is(422, "{\"detail\":\"prompt is too long: 300000 tokens\"}", "too_long");
    is(500, "{\"error\":{\"message\":\"maximum context length\"}}", "server_error");
}

TEST(the_providers_words_are_on_one_line_of_bounded_length)
{
    char body[2000], out[64];
    is(400, "{\"error\":{\"message\":\"  two\\r\\n\\u0000lines\\u001b[31m.  \"}}", "bad_request");
    assert_string_equal(r.detail, "two lines [31m");
    strcpy(body, "{\"error\":{\"message\":\"");
    memset(body + strlen(body), 'x', 1500);
    strcpy(body + 1521, "\"}}");
    is(400, body, "bad_request");
    assert_true(strlen(r.detail) < 512);
    struct lun_json v;
    const char text[] = "{\"message\":\"ab\xc3\xa9\xc3\xa9\xc3\xa9\"}";
    assert_true(lun_json_check(text, sizeof text - 1, &v, NULL));
    assert_int_equal(lun_answer_words(LUN_KIND_BAD_REQUEST, v, out, 6), 4);     /* never half a letter */
    assert_string_equal(out, "ab\xc3\xa9");
}

TEST(what_is_said_about_a_key_is_not_repeated)
{
    is(401, "{\"error\":{\"message\":\"Incorrect API key provided: sk-abc\"}}", "auth");
    assert_null(r.detail);
}

TEST(our_keys_are_struck_out_wherever_they_stand)
{
    static const struct lun_secret keys[] = { { "A", "sk-one" }, { "B", "" }, { "C", NULL }, { "D", "k" } };
    char text[] = "sk-one and sk-one, sk-on";
    lun_answer_scrub(text, sizeof text - 1, keys, 3);
    assert_string_equal(text, "****** and ******, sk-on");
}

TEST(a_key_that_was_cut_at_the_end_is_struck_out_too)
{
    static const struct lun_secret keys[] = { { "A", "sk-0123456789" } };
    static const char *const texts[][2] = { { "it is sk-0123456789", "it is *************" }, { "it is sk-012345678", "it is ************" },
                                            { "it is sk-01234", "it is ********" }, { "it is sk-0123", "it is sk-0123" }, { "sk-01234", "********" },
                                            { "", "" }, { "sk-01234 it is", "sk-01234 it is" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[64];
        strcpy(text, texts[i][0]);
        lun_answer_scrub(text, strlen(text), keys, 1);
        assert_string_equal(text, texts[i][1]);
    }
}

TEST(the_class_of_service_that_an_answer_names_is_that_of_its_usage)
{
    is(200, "{\"service_tier\":\"flex\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}", "ok");
    assert_int_equal(r.usage.services, 1 << LUN_SERVICE_FLEX);
    is(200, "{\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}}", "ok");
    assert_int_equal(r.usage.input, 7);
    assert_int_equal(r.usage.services, 0);
}

#define T(name) cmocka_unit_test_teardown(name, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_good_answer_is_a_json_object_without_an_error),
        T(an_answer_that_a_filter_emptied_is_good),
        T(what_is_not_understood_is_bad),
        T(an_error_in_a_good_answer_counts_by_its_code),
        T(each_status_has_its_kind),
        T(a_code_says_more_than_its_status_where_it_can),
        T(a_sentence_about_the_context_is_enough_where_there_is_no_code),
        T(the_providers_words_are_on_one_line_of_bounded_length),
        T(what_is_said_about_a_key_is_not_repeated),
        T(our_keys_are_struck_out_wherever_they_stand),
        T(a_key_that_was_cut_at_the_end_is_struck_out_too),
        T(the_class_of_service_that_an_answer_names_is_that_of_its_usage),
    };
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
