#include "base/sse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Feeds a stream in pieces through a buffer that is moved before every call, and writes down what was told, one line for
 * each: "event type|data|id|retry" or "quiet", with the raw bytes behind in `raw`. */
struct told { struct lun_buf text, raw; enum lun_sse_kind last; size_t calls; };

static void write_down(struct told *t, enum lun_sse_kind kind, const struct lun_sse_event *e, const char *from)
{
    if (kind == LUN_SSE_QUIET) {
        assert_null(e->data);
        lun_buf_puts(&t->text, "quiet");
    } else {
        lun_buf_printf(&t->text, "%.*s|", (int)e->type_n, e->type ? e->type : "");
        lun_buf_add(&t->text, e->data, e->data_n);
        lun_buf_puts(&t->text, "|");
        if (e->id) lun_buf_printf(&t->text, "#%.*s", (int)e->id_n, e->id);
        if (e->retry_ms >= 0) lun_buf_printf(&t->text, "|%lld", (long long)e->retry_ms);
    }
    lun_buf_puts(&t->text, "\n");
    lun_buf_add(&t->raw, from, e->raw);
}

static struct told feed(const char *stream, size_t n, size_t piece, size_t limit, bool end)
{
    struct lun_sse sse = { .limit = limit };
    struct told t = {0};
    size_t done = 0, have = 0;
    do {
        have = have + piece < n ? have + piece : n;
        char *copy = malloc(have - done + 1);
        memcpy(copy, stream + done, have - done);
        copy = realloc(copy, have - done ? have - done : 1);
        struct lun_sse_event e;
        size_t at = 0;
        while (t.calls++, (t.last = lun_sse_next(&sse, copy + at, have - done - at, &e)) == LUN_SSE_EVENT || t.last == LUN_SSE_QUIET) {
            write_down(&t, t.last, &e, copy + at);
            at += e.raw;
        }
        if (end && have == n && (t.last = lun_sse_end(&sse, copy + at, have - done - at, &e)) != LUN_SSE_MORE && t.last != LUN_SSE_TOO_LONG) {
            write_down(&t, t.last, &e, copy + at);
            at += e.raw;
        }
        done += at;
        free(copy);
    } while (have < n && t.last != LUN_SSE_TOO_LONG);
    assert_memory_equal(t.raw.n ? t.raw.at : "", stream, t.raw.n);
    assert_int_equal(done, t.raw.n);
    lun_sse_free(&sse);
    lun_buf_free(&t.raw);
    return t;
}

static void assert_told_n(const char *stream, size_t n, const char *expected, bool end)
{
    for (size_t piece = 1; piece <= n + 1; piece++) {
        struct told t = feed(stream, n, piece, 4096, end);
        if (strcmp(lun_buf_text(&t.text), expected)) fail_msg("in pieces of %zu:\n%s\ninstead of\n%s", piece, t.text.at, expected);
        lun_buf_free(&t.text);
    }
}

static void assert_told(const char *stream, const char *expected) { assert_told_n(stream, strlen(stream), expected, false); }

static void events_are_told_whole(void **state)
{
    (void)state;
    assert_told("data: one\n\ndata:two\n\n", "|one|\n|two|\n");
    assert_told("event: ping\ndata: {}\nid: 7\nretry: 1500\n\n", "ping|{}|#7|1500\n");
    assert_told("data: not yet\n", "");
}

static void all_three_line_ends_count(void **state)
{
    (void)state;
    assert_told("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "|a|\n|b|\n|c|\n");
    assert_told("event: x\rdata: a\r\ndata: b\n\r\ndata: c\r\r\n", "x|a\nb|\n|c|\n");
    assert_told("data: a\r\n\n", "|a|\n");
}

static void an_event_that_ends_in_cr_is_told_without_waiting(void **state)
{
    (void)state;
    struct lun_sse sse = { .limit = 100 };
    struct lun_sse_event e;
    assert_int_equal(lun_sse_next(&sse, "data: a\r\n\r", 10, &e), LUN_SSE_EVENT);
    assert_int_equal(e.raw, 10);
    assert_int_equal(lun_sse_next(&sse, "\n", 1, &e), LUN_SSE_MORE);
    assert_int_equal(lun_sse_next(&sse, "\ndata: b\r\n\r\n", 12, &e), LUN_SSE_EVENT);
    assert_int_equal(e.raw, 12);
    lun_sse_free(&sse);
}

static void data_lines_are_joined(void **state)
{
    (void)state;
    assert_told("data: a\ndata\ndata:\ndata:  b\n\n", "|a\n\n\n b|\n");
    assert_told("data\n\n", "||\n");
    assert_told("data: 1\ndata: 2\n\ndata: 3\n\ndata: 4\ndata: 5\n\n", "|1\n2|\n|3|\n|4\n5|\n");
}

static void one_data_line_is_told_in_place(void **state)
{
    (void)state;
    const char *stream = "data: {\"a\":1}\n\n";
    struct lun_sse sse = { .limit = 100 };
    struct lun_sse_event e;
    assert_int_equal(lun_sse_next(&sse, stream, strlen(stream), &e), LUN_SSE_EVENT);
    assert_ptr_equal(e.data, stream + 6);
    assert_int_equal(e.data_n, 7);
    assert_null(sse.joined.at);
    lun_sse_free(&sse);
}

static void comments_and_empty_blocks_are_quiet(void **state)
{
    (void)state;
    assert_told(": keep alive\n\n", "quiet\n");
    assert_told(":\n\n\n\ndata: x\n\n", "quiet\nquiet\nquiet\n|x|\n");
    assert_told(": in front\ndata: x\n\n", "|x|\n");
    assert_told("event: ping\nid: 3\n\ndata: x\n\n", "quiet\n|x|\n");
    assert_told("retry: 10\n\n", "quiet\n");
}

static void unknown_and_odd_fields_are_passed_over(void **state)
{
    (void)state;
    assert_told("Data: no\ndatas: no\nda: no\n data: no\ndata: yes\nid\nretry: 1x\nretry:\nevent\n\n", "|yes|#\n");
    assert_told("data: a: b:c\nevent:  spaced\n\n", " spaced|a: b:c|\n");
    assert_told("retry: 109876543219999\nretry: 1234567890123456\nretry: 5/\nretry: 5:\ndata: x\n\n", "|x||109876543219999\n");
    assert_told("event: first\nevent: last\ndata: x\n\n", "last|x|\n");
    assert_told_n("id: a\0b\ndata: x\n\n", 17, "|x|\n", false);
}

static void a_byte_order_mark_is_passed_over_at_the_start_only(void **state)
{
    (void)state;
    assert_told("\xef\xbb\xbf" "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "|a|\nquiet\n");
    assert_told("\xef\xbb" "data: a\n\n", "quiet\n");
    assert_told("\xef\xbb\xbf\n", "quiet\n");
}

static void what_was_left_at_the_end_can_be_asked_for(void **state)
{
    (void)state;
    assert_told_n("data: a\n\ndata: [DONE]", 21, "|a|\n|[DONE]|\n", true);
    assert_told_n("data: a\n\ndata: [DONE]\n", 22, "|a|\n|[DONE]|\n", true);
    assert_told_n("data: a\n\n", 9, "|a|\n", true);
    assert_told_n("data: a\ndata: b", 15, "|a\nb|\n", true);
    assert_told_n(": bye", 5, "quiet\n", true);
    assert_told_n("", 0, "", true);
}

static void an_event_over_the_limit_is_refused_as_soon_as_seen(void **state)
{
    (void)state;
    const char *stream = "data: 34567\n\ndata: 345678\n\n";
    for (size_t piece = 1; piece < 40; piece++) {
        struct told t = feed(stream, strlen(stream), piece, 13, false);
        assert_string_equal(lun_buf_text(&t.text), "|34567|\n");
        assert_int_equal(t.last, LUN_SSE_TOO_LONG);
        lun_buf_free(&t.text);
    }
    struct told t = feed("0123456789", 10, 1, 5, false);
    assert_int_equal(t.last, LUN_SSE_TOO_LONG);
    assert_int_equal(t.calls, 6);
    lun_buf_free(&t.text);
}

/* A parser that looked at everything again at each byte would look at 2 * 10^12 bytes here and never be done. */
static void bytes_one_at_a_time_are_looked_at_once(void **state)
{
    (void)state;
    size_t n = 2000000;
    char *stream = malloc(n);
    memset(stream, 'x', n);
    memcpy(stream, "data: ", 6);
    memcpy(stream + n - 2, "\n\n", 2);
    struct lun_sse sse = { .limit = n };
    struct lun_sse_event e;
    for (size_t have = 1; have < n; have++) {
        assert_int_equal(lun_sse_next(&sse, stream, have, &e), LUN_SSE_MORE);
        if (have < n - 2) assert_int_equal(sse.looked, have);
    }
    assert_int_equal(lun_sse_next(&sse, stream, n, &e), LUN_SSE_EVENT);
    assert_int_equal(e.data_n, n - 8);
    lun_sse_free(&sse);
    free(stream);
}

static void the_type_message_is_that_of_events_without_one(void **state)
{
    (void)state;
    struct lun_sse_event none = {0}, ping = { .type = "pingX", .type_n = 4 };
    assert_true(lun_sse_is(&none, "message"));
    assert_false(lun_sse_is(&none, "ping"));
    assert_true(lun_sse_is(&ping, "ping"));
    assert_false(lun_sse_is(&ping, "message"));
    assert_false(lun_sse_is(&ping, "pin"));
}

/* Any bytes: the same events however they are cut, and all raw bytes accounted for (feed asserts it). */
static void any_bytes_are_told_the_same_however_cut(void **state)
{
    (void)state;
    static const char *parts[] = { "data", "event", "id", "retry", ":", " ", "\n", "\r", "\r\n", "\n\n", "x", "12", "\xef\xbb\xbf", "data: y\n" };
    srand48(99);
    for (int round = 0; round < 3000; round++) {
        struct lun_buf stream = {0};
        for (long k = lrand48() % 40; k >= 0; k--) lun_buf_puts(&stream, parts[(size_t)lrand48() % (sizeof parts / sizeof *parts)]);
        lun_buf_puts(&stream, "z");      /* an LF by itself at the very end would be told as one more quiet block */
        struct told whole = feed(stream.at, stream.n, stream.n, 4096, true);
        for (size_t piece = 1; piece < 6; piece++) {
            struct told t = feed(stream.at, stream.n, piece, 4096, true);
            assert_string_equal(lun_buf_text(&t.text), lun_buf_text(&whole.text));
            lun_buf_free(&t.text);
        }
        lun_buf_free(&whole.text);
        lun_buf_free(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_told_whole), cmocka_unit_test(all_three_line_ends_count),
        cmocka_unit_test(an_event_that_ends_in_cr_is_told_without_waiting), cmocka_unit_test(data_lines_are_joined),
        cmocka_unit_test(one_data_line_is_told_in_place), cmocka_unit_test(comments_and_empty_blocks_are_quiet),
        cmocka_unit_test(unknown_and_odd_fields_are_passed_over), cmocka_unit_test(a_byte_order_mark_is_passed_over_at_the_start_only),
        cmocka_unit_test(what_was_left_at_the_end_can_be_asked_for), cmocka_unit_test(an_event_over_the_limit_is_refused_as_soon_as_seen),
        cmocka_unit_test(bytes_one_at_a_time_are_looked_at_once), cmocka_unit_test(the_type_message_is_that_of_events_without_one),
        cmocka_unit_test(any_bytes_are_told_the_same_however_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
