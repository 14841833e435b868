/* An answer in its other form: nothing of it is lost, or it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/json.h"
#include "gateway/recast.h"
#include <string.h>

#define EVENT(json) "data: " json "\n\n"
#define CHUNK(choices) EVENT("{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"up\",\"choices\":[" choices "]}")
#define DELTA(index, delta, finish) CHUNK("{\"index\":" index ",\"delta\":{" delta "},\"finish_reason\":" finish "}")
#define WHOLE(choices, more) "{\"id\":\"c\",\"created\":5,\"model\":\"up\",\"object\":\"chat.completion\",\"choices\":[" choices "]" more "}"

static struct lun_buf out;

static const char *whole(const char *events, const struct lun_usage *usage)
{
    out.n = 0;
    return lun_recast_whole(events, strlen(events), usage, &out) ? lun_buf_text(&out) : NULL;
}
static const char *events(const char *text, bool usage)
{
    out.n = 0;
    return lun_recast_events(text, strlen(text), usage, &out) ? lun_buf_text(&out) : NULL;
}
#define IS(got, wanted) do { const char *text_ = got; assert_non_null(text_); assert_string_equal(text_, wanted); } while (0)

static void what_a_stream_says_bit_by_bit_is_one_message(void **state)
{
    (void)state;
    IS(whole(DELTA("0", "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null") DELTA("0", "\"content\":\"Xin \\ud83d\"", "null")
             DELTA("0", "\"content\":\"\\ude00 ch\303\240o\\n\"", "null") DELTA("0", "", "\"stop\""), NULL),
       WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Xin \\ud83d\\ude00 ch\303\240o\\n\"},\"finish_reason\":\"stop\"}", ""));
    IS(whole(DELTA("0", "\"reasoning_content\":\"hm\"", "null") DELTA("0", "\"reasoning_content\":\"m\"", "null") DELTA("0", "\"content\":\"a\"", "\"stop\""), NULL),
       WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"hmm\"},\"finish_reason\":\"stop\"}", ""));
}

static void choices_and_tool_calls_are_put_together_by_their_index(void **state)
{
    (void)state;
    IS(whole(DELTA("1", "\"content\":\"b\"", "null") DELTA("0", "\"content\":\"a\"", "\"stop\"") DELTA("1", "\"content\":\"B\"", "\"length\""), NULL),
       WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":\"stop\"},"
             "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"bB\"},\"finish_reason\":\"length\"}", ""));
    IS(whole(DELTA("0", "\"tool_calls\":[{\"index\":0,\"id\":\"t0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]", "null")
             DELTA("0", "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}]", "null")
             DELTA("0", "\"tool_calls\":[{\"index\":1,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]", "null")
             DELTA("0", "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]", "\"tool_calls\""), NULL),
       WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},"
             "{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}", ""));
}

static void an_id_is_said_once_or_again_but_never_another(void **state)
{
    (void)state;
#define CALL(id, name, arguments) DELTA("0", "\"tool_calls\":[{\"index\":0,\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"" arguments "\"}}]", "null")
#define CALLED WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}", "")
    IS(whole(CALL("t", "f", "{") CALL("t", "", "}") DELTA("0", "", "\"tool_calls\""), NULL), CALLED);
    IS(whole(CALL("t", "f", "{") CALL("", "", "}") DELTA("0", "", "\"tool_calls\""), NULL), CALLED);
    assert_null(whole(CALL("t", "f", "{}") CALL("u", "g", "{}") DELTA("0", "", "\"tool_calls\""), NULL));      /* two calls, all with index 0: Gemini */
    assert_null(whole(DELTA("0", "\"content\":\"a\"", "\"stop\"") DELTA("0", "", "\"length\""), NULL));
}

static void what_an_event_says_that_has_no_choice_is_not_whose_answer_it_is(void **state)
{
    (void)state;
    IS(whole(EVENT("{\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"prompt_filter_results\":[],\"choices\":[]}") DELTA("0", "\"content\":\"a\"", "\"stop\""), NULL),
       "{\"id\":\"c\",\"created\":5,\"model\":\"up\",\"prompt_filter_results\":[],\"object\":\"chat.completion\","
       "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":\"stop\"}]}");
}

static void usage_is_what_was_said_or_else_what_was_counted(void **state)
{
    static const struct lun_usage counted = { .known = true, .input = 7, .output = 3, .cached_input = 2, .reasoning = 1 }, guessed = { .known = true, .estimated = true, .input = 7 };
    (void)state;
#define A DELTA("0", "\"content\":\"a\"", "\"stop\"")
#define ONE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":\"stop\"}"
    IS(whole(A EVENT("{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"x\":2}}"), &counted), WHOLE(ONE, ",\"usage\":{\"prompt_tokens\":1,\"x\":2}"));
    IS(whole(A, &counted), WHOLE(ONE, ",\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10,\"prompt_tokens_details\":{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":1}}"));
    IS(whole(A, &guessed), WHOLE(ONE, ""));
    out.n = 0;
    lun_recast_usage(A, strlen(A), &guessed, &out);
    assert_string_equal(lun_buf_text(&out), EVENT("{\"id\":\"c\",\"created\":5,\"model\":\"up\",\"object\":\"chat.completion.chunk\",\"choices\":[],"
                                                  "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0,\"total_tokens\":7}}"));
}

static void what_is_not_known_is_refused_not_lost(void **state)
{
    static const char *const refused[] = {
        "", ": nothing\n\n", EVENT("{\"id\":\"c\",\"choices\":[]}"), DELTA("1", "\"content\":\"a\"", "\"stop\""),
        CHUNK("{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[]},\"finish_reason\":\"stop\"}"), DELTA("0", "\"audio\":{\"data\":\"x\"}", "\"stop\""),
        DELTA("0", "\"content\":[{\"type\":\"text\"}]", "\"stop\""), DELTA("0", "\"content\":5", "\"stop\""), DELTA("0", "\"tool_calls\":{}", "\"stop\""), DELTA("0", "\"tool_calls\":[5]", "\"stop\""),
        DELTA("0", "\"tool_calls\":[{\"index\":-1}]", "null"), DELTA("0", "\"tool_calls\":[{\"index\":128}]", "null"), DELTA("0", "\"tool_calls\":[{\"index\":0,\"custom\":{\"name\":\"f\"}}]", "null"),
        DELTA("0", "\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"strict\":true}}]", "null"), DELTA("128", "\"content\":\"a\"", "\"stop\""), DELTA("-1", "\"content\":\"a\"", "\"stop\""),
        DELTA("0.5", "\"content\":\"a\"", "\"stop\""), CHUNK("5"), CHUNK("{\"index\":0,\"delta\":5}"), A EVENT("{\"id\":\"c\",\"choices\":[],\"citations\":[\"u\"]}") };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!whole(refused[i], NULL)) { assert_int_equal(out.n, 0); continue; }
        fail_msg("%s", refused[i]);
    }
}

static void completions_are_told_as_texts(void **state)
{
    (void)state;
#define TEXT(text, finish) "{\"index\":0,\"text\":\"" text "\",\"logprobs\":null,\"finish_reason\":" finish "}"
    IS(whole(EVENT("{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[" TEXT("one ", "null") "]}") EVENT("{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[" TEXT("two", "\"stop\"") "]}"), NULL),
       "{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"one two\",\"finish_reason\":\"stop\"}]}");
    IS(events("{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[" TEXT("one two", "\"stop\"") "]}", false),
       EVENT("{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"one two\",\"logprobs\":null,\"finish_reason\":null}]}")
       EVENT("{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}"));
}

static void a_whole_answer_is_told_in_events_and_all_of_it(void **state)
{
    (void)state;
#define HEAD "{\"id\":\"c\",\"created\":5,\"model\":\"up\",\"object\":\"chat.completion.chunk\",\"choices\":["
    static const char text[] = WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}", ",\"usage\":{\"total_tokens\":9}");
    IS(events(text, false), EVENT(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":null}]}")
                            EVENT(HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"));
    IS(events(text, true), EVENT(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}")
                           EVENT(HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}") EVENT(HEAD "],\"usage\":{\"total_tokens\":9}}"));
}

static void there_and_back_is_the_same_answer(void **state)
{
    (void)state;
    static const char text[] = WHOLE("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"h\\u00e9 \\\"\",\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"id\":\"u\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},\"finish_reason\":\"stop\"},"
        "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"},\"finish_reason\":\"length\"}", ",\"usage\":{\"total_tokens\":9}");
    struct lun_buf middle = {0};
    assert_true(lun_recast_events(text, strlen(text), true, &middle));
    IS(whole(lun_buf_text(&middle), NULL), text);
    lun_buf_free(&middle);
}

static void what_is_no_such_answer_is_no_stream(void **state)
{
    static const char *const refused[] = { "", "5", "{}", "{\"choices\":[]}", "{\"choices\":[5]}", "{\"choices\":[{\"message\":\"hi\"}]}", "{\"data\":[{\"embedding\":[1]}]}",
                                           "{\"choices\":[{\"text\":\"a\"},{\"message\":{}}]}", "{\"choices\":[{\"text\":\"a\"}" };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!events(refused[i], true)) { assert_int_equal(out.n, 0); continue; }
        fail_msg("%s", refused[i]);
    }
}

static int close_all(void **state) { (void)state; lun_buf_free(&out); return 0; }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_stream_says_bit_by_bit_is_one_message), cmocka_unit_test(choices_and_tool_calls_are_put_together_by_their_index),
        cmocka_unit_test(an_id_is_said_once_or_again_but_never_another), cmocka_unit_test(what_an_event_says_that_has_no_choice_is_not_whose_answer_it_is),
        cmocka_unit_test(usage_is_what_was_said_or_else_what_was_counted), cmocka_unit_test(what_is_not_known_is_refused_not_lost), cmocka_unit_test(completions_are_told_as_texts),
        cmocka_unit_test(a_whole_answer_is_told_in_events_and_all_of_it), cmocka_unit_test(there_and_back_is_the_same_answer), cmocka_unit_test(what_is_no_such_answer_is_no_stream),
    };
    return cmocka_run_group_tests(tests, NULL, close_all);
}
