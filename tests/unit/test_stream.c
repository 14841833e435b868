/* Events out of a provider's bytes: what each is, how it goes to a client, and what the stream has come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "gateway/stream.h"
#include <stdlib.h>
#include <string.h>

#define TEST(name) static void name(void **unused_state __attribute__((unused)))

static struct lun_stream s;
static struct lun_buf said;         /* what a client would have got */
static char kinds[256];             /* a letter an event: p(ing) g(ood) h(idden) d(one) e(rror) b(ad) */
static enum lun_kind failure;
static char detail[256];

static int begin(void **state)
{
    (void)state;
    s = (struct lun_stream){ .limit = 1000, .choices = 1, .hide_usage = true };
    *kinds = *detail = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    lun_stream_free(&s);
    lun_buf_free(&said);
    return 0;
}

static size_t drain(char *bytes, size_t n, bool at_end)
{
    size_t done = 0;
    for (struct lun_event e; (e = lun_stream_peek(&s, bytes + done, n - done, at_end)).kind; done += lun_stream_take(&s)) {
        struct lun_event again = lun_stream_peek(&s, bytes + done, n - done, at_end);
        assert_ptr_equal(e.bytes, again.bytes);
        assert_int_equal(e.n, again.n);
        size_t at = strlen(kinds);
        kinds[at] = "?pghdeb"[e.kind];
        kinds[at + 1] = 0;
        if (e.kind == LUN_EVENT_ERROR || e.kind == LUN_EVENT_BAD) failure = e.failure;
        if (e.detail) strncpy(detail, e.detail, sizeof detail - 1);
        if (e.kind != LUN_EVENT_HIDDEN) lun_buf_add(&said, e.bytes, e.n);
        if (e.kind == LUN_EVENT_BAD && done + e.n == n) { lun_stream_take(&s); return n; }
    }
    return done;
}

/* Reads the text as it would come in pieces of `piece` bytes, each time in another place of memory. */
static void feed_in(const char *text, size_t piece, bool finished)
{
    struct lun_buf in = {0};
    size_t n = strlen(text);
    for (size_t at = 0; at < n; at += piece) {
        lun_buf_add(&in, text + at, n - at < piece ? n - at : piece);
        char *copy = malloc(in.n + 1);
        memcpy(copy, in.at, in.n);
        size_t done = drain(copy, in.n, finished && at + piece >= n);
        memcpy(in.at, copy, in.n);                      /* an event looked at and not taken may have been changed in place */
        free(copy);
        lun_buf_drop(&in, done);
    }
    lun_buf_free(&in);
}
static void feed(const char *text)   { feed_in(text, strlen(text), false); }
static void finish(const char *text) { feed_in(text, strlen(text), true); }
static const char *client(void)      { return lun_buf_text(&said); }

#define CHUNK(choice, reason) "data: {\"choices\":[{\"index\":" #choice ",\"delta\":{\"content\":\"hi\"},\"finish_reason\":" reason "}]}\n\n"

TEST(events_pass_byte_for_byte_with_their_line_ends_comments_and_fields)
{
    const char text[] = "\xef\xbb\xbf: hello\r\nid: 7\r\nevent: message\r\ndata:{\"choices\":[{}]}\r\n\r\n\ndata:  {\"a\" : 1}\rretry: 5\r\r";
    feed(text);
    assert_string_equal(client(), text);
    assert_string_equal(kinds, "gpg");
}

TEST(events_pass_the_same_however_they_are_cut)
{
    const char text[] = ": x\n\n" CHUNK(0, "null") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: {\"choices\":[{}],\"usage\":null}\n\n" CHUNK(0, "\"stop\"") "data: [DONE]\n\n";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        begin(NULL);
        feed_in(text, piece, false);
        assert_string_equal(kinds, "pghggd");
        assert_string_equal(client(), ": x\n\n" CHUNK(0, "null") "data: {\"choices\":[{}]}\n\n" CHUNK(0, "\"stop\"") "data: [DONE]\n\n");
        assert_true(s.done && s.finished);
        assert_int_equal(s.usage.input, 1);
        end(NULL);
    }
    begin(NULL);
}

TEST(usage_is_cut_out_wherever_it_stands_and_everything_else_stays)
{
    const char *const cases[][2] = {
        { "data: {\"usage\":{\"prompt_tokens\":9},\"choices\":[{}]}\n\n",          "data: {\"choices\":[{}]}\n\n" },
        { "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":9}}\n\n",          "data: {\"choices\":[{}]}\n\n" },
        { "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":9},\"x\":1}\n\n",  "data: {\"choices\":[{}],\"x\":1}\n\n" },
        { "data: { \"choices\" : [{}] , \"usage\" : null , \"x\":1 }\n\n",         "data: { \"choices\" : [{}]  , \"x\":1 }\n\n" },
        { "data: { \"usage\" : null , \"choices\":[{}]}\n\n",                      "data: {  \"choices\":[{}]}\n\n" },
        { "event: a\ndata: {\"choices\":[{}],\"\\u0075sage\":null}\nid: 3\n\n",    "event: a\ndata: {\"choices\":[{}]}\nid: 3\n\n" },
        { "event: a\ndata: {\"choices\":[{}],\ndata: \"usage\":null}\n\n",         "event: a\ndata: {\"choices\":[{}]}\n\n" },
        { "data: {\"choices\":[{\"usage\":1}],\"x\":{\"usage\":2}}\n\n",           "data: {\"choices\":[{\"usage\":1}],\"x\":{\"usage\":2}}\n\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL);
        feed(cases[i][0]);
        assert_string_equal(client(), cases[i][1]);
        end(NULL);
    }
    begin(NULL);
}

TEST(usage_that_was_asked_for_stays)
{
    s.hide_usage = false;
    const char text[] = "data: {\"choices\":[{}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":9}}\n\n";
    feed(text);
    assert_string_equal(client(), text);
    assert_int_equal(s.usage.output, 9);
}

TEST(an_event_without_choices_that_is_not_only_usage_is_shown)
{
    feed("data: {\"choices\":[],\"prompt_filter_results\":[]}\n\ndata: {\"choices\":[],\"usage\":null}\n\n");
    assert_string_equal(kinds, "gg");
}

TEST(the_last_usage_told_counts_and_so_does_one_that_groq_puts_elsewhere)
{
    feed("data: {\"choices\":[{}],\"usage\":{\"completion_tokens\":1}}\n\ndata: {\"choices\":[{}],\"usage\":{\"completion_tokens\":2}}\n\n");
    assert_int_equal(s.usage.output, 2);
    feed("data: {\"choices\":[{}],\"x_groq\":{\"usage\":{\"completion_tokens\":3}}}\n\n");
    assert_int_equal(s.usage.output, 3);
}

TEST(a_stream_is_finished_when_as_many_choices_as_were_asked_for_have_a_finish_reason)
{
    s.choices = 2;
    feed(CHUNK(0, "\"stop\""));
    assert_false(lun_stream_complete(&s));
    feed(CHUNK(1, "null"));
    assert_false(lun_stream_complete(&s));
    feed(CHUNK(1, "\"length\""));
    assert_true(lun_stream_complete(&s));
    assert_string_equal(s.finish_reason, "stop");
}

TEST(a_choice_that_nobody_asked_for_has_to_finish_too)
{
    feed(CHUNK(0, "null") CHUNK(5, "null") CHUNK(0, "\"stop\""));
    assert_false(lun_stream_complete(&s));
    feed(CHUNK(5, "\"stop\""));
    assert_true(lun_stream_complete(&s));
}

TEST(nothing_is_complete_before_its_event_is_taken)
{
    char text[] = CHUNK(0, "\"stop\"");
    lun_stream_peek(&s, text, sizeof text - 1, false);
    assert_false(lun_stream_complete(&s));
    lun_stream_take(&s);
    assert_true(lun_stream_complete(&s));
}

TEST(absurd_choice_numbers_are_passed_over)
{
    feed("data: {\"choices\":[{\"index\":-1,\"finish_reason\":\"stop\"},{\"index\":99999999999,\"finish_reason\":\"stop\"},{\"index\":1e300},7,null]}\n\n");
    assert_string_equal(kinds, "g");
    assert_false(lun_stream_complete(&s));
}

TEST(an_error_is_known_by_its_member_or_by_its_events_type)
{
    feed("data: {\"error\":{\"message\":\"Slow down.\",\"code\":\"rate_limit_exceeded\"}}\n\n");
    assert_string_equal(kinds, "e");
    assert_int_equal(failure, LUN_KIND_RATE_LIMITED);
    assert_string_equal(detail, "Slow down");
    feed("event: error\ndata: {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}\n\n");
    assert_int_equal(failure, LUN_KIND_OVERLOADED);
    feed("event: error\ndata: what\n\n");
    assert_string_equal(kinds, "eee");
    assert_int_equal(failure, LUN_KIND_SERVER_ERROR);
    feed("data: {\"choices\":[{}],\"error\":null}\n\n");
    assert_string_equal(kinds, "eeeg");
}

TEST(what_is_no_json_object_is_bad)
{
    const char *const cases[] = { "data: {\"a\":\n\n", "data: [1]\n\n", "data: 7\n\n", "data: hello\n\n", "data: {}{}\n\n", "data: {\"a\":\"\xff\"}\n\n", "data: [DONE\n\n" };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL);
        feed(cases[i]);
        assert_string_equal(kinds, "b");
        assert_int_equal(failure, LUN_KIND_BAD_ANSWER);
        assert_true(strlen(detail) > 10);
        end(NULL);
    }
    begin(NULL);
}

TEST(pings_and_empty_events_are_nothing)
{
    feed(": OPENROUTER PROCESSING\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\ndata:\n\nid: 1\n\n");
    assert_string_equal(kinds, "pppp");
}

TEST(done_may_have_blanks_around_it)
{
    feed("data:[DONE]\n\ndata:  [DONE] \r\n\r\n");
    assert_string_equal(kinds, "dd");
}

TEST(an_event_longer_than_the_limit_is_bad_before_it_is_whole)
{
    char text[1200];
    memset(text, 'x', sizeof text);
    memcpy(text, "data: ", 6);
    text[sizeof text - 1] = 0;
    feed(text);
    assert_string_equal(kinds, "b");
    assert_true(strstr(detail, "too long"));
}

TEST(a_last_event_without_its_empty_line_counts_when_it_is_whole_and_is_mended)
{
    finish(CHUNK(0, "null") "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n");
    assert_string_equal(client(), CHUNK(0, "null") "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n");
    assert_true(lun_stream_complete(&s));
    end(NULL);
    begin(NULL);
    finish("data: [DONE]");
    assert_true(s.done);
    assert_string_equal(client(), "data: [DONE]\n\n");
    end(NULL);
    begin(NULL);
    finish("data: [DONE]\n");
    assert_string_equal(client(), "data: [DONE]\n\n");
}

TEST(a_last_event_cut_in_two_is_nothing)
{
    finish(CHUNK(0, "null") "data: {\"choices\":[{\"finish_reason\":\"st");
    assert_string_equal(client(), CHUNK(0, "null"));
    assert_false(lun_stream_complete(&s));
    finish("garbage");
    assert_string_equal(client(), CHUNK(0, "null"));
}

TEST(a_last_event_is_mended_with_its_usage_cut_out)
{
    finish("data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3}}");
    assert_string_equal(client(), "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n");
    assert_int_equal(s.usage.input, 3);
}

TEST(json_and_html_are_known_from_their_first_byte)
{
    assert_true(lun_stream_alien("{\"error\"", 8));
    assert_true(lun_stream_alien(" \r\n<!DOCTYPE html>", 18));
    assert_true(lun_stream_alien("[", 1));
    assert_false(lun_stream_alien("data: {}", 8));
    assert_false(lun_stream_alien(": <html>", 8));
    assert_false(lun_stream_alien("\n\n", 2));
    assert_false(lun_stream_alien("", 0));
}

TEST(text_is_counted_for_an_estimate)
{
    feed("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"12345\",\"reasoning_content\":\"678\"}},{\"text\":\"9\"},"
         "{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"abcd\"}}]}}]}\n\n");
    assert_int_equal(s.text_bytes, 13);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(events_pass_byte_for_byte_with_their_line_ends_comments_and_fields),
        T(events_pass_the_same_however_they_are_cut),
        T(usage_is_cut_out_wherever_it_stands_and_everything_else_stays),
        T(usage_that_was_asked_for_stays),
        T(an_event_without_choices_that_is_not_only_usage_is_shown),
        T(the_last_usage_told_counts_and_so_does_one_that_groq_puts_elsewhere),
        T(a_stream_is_finished_when_as_many_choices_as_were_asked_for_have_a_finish_reason),
        T(a_choice_that_nobody_asked_for_has_to_finish_too),
        T(nothing_is_complete_before_its_event_is_taken),
        T(absurd_choice_numbers_are_passed_over),
        T(an_error_is_known_by_its_member_or_by_its_events_type),
        T(what_is_no_json_object_is_bad),
        T(pings_and_empty_events_are_nothing),
        T(done_may_have_blanks_around_it),
        T(an_event_longer_than_the_limit_is_bad_before_it_is_whole),
        T(a_last_event_without_its_empty_line_counts_when_it_is_whole_and_is_mended),
        T(a_last_event_cut_in_two_is_nothing),
        T(a_last_event_is_mended_with_its_usage_cut_out),
        T(json_and_html_are_known_from_their_first_byte),
        T(text_is_counted_for_an_estimate),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
