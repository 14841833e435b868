/* A request made again out of its line of the request log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "gateway/rebuilt.h"
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))
#define END "\"status\":200,\"latency_ms\":5.000"

static struct lun_rebuilt r;

static int end(void **state) { (void)state; lun_rebuilt_free(&r); memset(&r, 0, sizeof r); return 0; }

static bool read(const char *text, const char **why)
{
    struct lun_json json;
    if (!lun_json_check(text, strlen(text), &json, NULL)) fail_msg("no JSON: %s", text);
    return lun_rebuilt_read(&r, json, why);
}

static void reads(const char *text)
{
    const char *why = NULL;
    if (!read(text, &why)) fail_msg("%s", why);
}

static bool is_line(const char *text)
{
    struct lun_json json;
    assert_true(lun_json_check(text, strlen(text), &json, NULL));
    return lun_rebuilt_is_line(json);
}

static const char *header(const char *name)
{
    for (int i = 0; i < r.n_headers; i++) if (!strcmp(r.headers[i].name, name)) return r.headers[i].value;
    return NULL;
}

TEST(a_line_is_told_from_a_body)
{
    assert_true(is_line("{\"id\":\"1\",\"model\":\"m\"," END "}"));
    assert_false(is_line("{\"model\":\"m\",\"messages\":[]}"));
    assert_false(is_line("{\"id\":\"1\",\"model\":\"m\",\"messages\":[]," END "}"));
    assert_false(is_line("{\"id\":\"1\",\"model\":\"m\",\"prompt\":\"\"," END "}"));
    assert_false(is_line("{}"));
    assert_false(is_line("[1]"));
}

TEST(what_the_line_tells_is_in_the_request)
{
    reads("{\"id\":\"1\",\"endpoint\":\"chat\",\"model\":\"auto\",\"stream\":true,\"key\":\"app\",\"user\":\"ann\",\"session\":\"s-1\",\"task\":\"faq\",\"class\":\"batch\","
          "\"tags\":{\"tier\":\"gold\",\"region\":\"eu\"},\"settings\":{\"share\":15,\"mode\":\"fast\",\"on\":true},\"text\":\"H\\u00e9\\n\"," END "}");
    assert_string_equal(lun_buf_text(&r.body), "{\"model\":\"auto\",\"stream\":true,\"user\":\"ann\",\"messages\":[{\"role\":\"user\",\"content\":\"H\\u00e9\\n\"}]}");
    assert_string_equal(r.client, "app");
    assert_string_equal(header("x-session-id"), "s-1");
    assert_string_equal(header("x-lunette-task"), "faq");
    assert_string_equal(header("x-lunette-class"), "batch");
    assert_string_equal(header("x-lunette-tags"), "tier=gold, region=eu");
    assert_int_equal(r.n_settings, 3);
    assert_string_equal(r.settings[0].value, "15"), assert_string_equal(r.settings[1].value, "fast"), assert_string_equal(r.settings[2].value, "true");
    assert_int_equal(r.n_missing, 2);
}

TEST(without_text_it_is_as_long_as_it_was_and_that_is_said)
{
    reads("{\"id\":\"1\",\"endpoint\":\"completions\",\"model\":\"m\",\"tokens\":{\"input\":3,\"output\":1}," END "}");
    assert_string_equal(lun_buf_text(&r.body), "{\"model\":\"m\",\"prompt\":\"word word word\"}");
    assert_null(r.client);
    assert_non_null(strstr(r.missing[1], "message text"));
    lun_rebuilt_free(&r), memset(&r, 0, sizeof r);
    reads("{\"id\":\"1\",\"endpoint\":\"embeddings\",\"model\":\"m\"," END "}");
    assert_string_equal(lun_buf_text(&r.body), "{\"model\":\"m\",\"input\":\"word\"}");
    assert_string_equal(r.missing[2], "its length");
}

TEST(a_session_that_lunette_made_is_none_of_the_clients)
{
    reads("{\"id\":\"1\",\"endpoint\":\"chat\",\"model\":\"m\",\"session\":\"~0123\",\"text\":\"x\"," END "}");
    assert_null(header("x-session-id"));
}

TEST(absurd_lines_stay_bounded)
{
    reads("{\"id\":\"1\",\"endpoint\":\"chat\",\"model\":\"m\",\"tokens\":{\"input\":9223372036854775807}," END "}");
    assert_in_range(r.body.n, 1, 6 << 20);
    lun_rebuilt_free(&r), memset(&r, 0, sizeof r);
    reads("{\"id\":\"1\",\"endpoint\":\"chat\",\"model\":\"m\",\"tokens\":{\"input\":-5},\"tags\":[1],\"settings\":\"x\",\"key\":7," END "}");
    assert_int_equal(r.n_settings, 0);
    assert_null(r.client);
}

TEST(what_was_not_understood_then_is_not_made_again)
{
    const char *why = NULL;
    assert_false(read("{\"id\":\"1\",\"endpoint\":\"images\",\"model\":\"m\"," END "}", &why));
    assert_non_null(strstr(why, "endpoint"));
    assert_false(read("{\"id\":\"1\",\"endpoint\":\"chat\"," END "}", &why));
    assert_non_null(strstr(why, "model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_line_is_told_from_a_body, end),
        cmocka_unit_test_teardown(what_the_line_tells_is_in_the_request, end),
        cmocka_unit_test_teardown(without_text_it_is_as_long_as_it_was_and_that_is_said, end),
        cmocka_unit_test_teardown(a_session_that_lunette_made_is_none_of_the_clients, end),
        cmocka_unit_test_teardown(absurd_lines_stay_bounded, end),
        cmocka_unit_test_teardown(what_was_not_understood_then_is_not_made_again, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
