#include "base/text.h"
#include "state/question.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct fixture { struct lun_arena arena; struct lun_snapshot *snapshot; struct lun_target target; struct lun_question q; };

static struct fixture *given(const char *body)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->snapshot = lun_snapshot_new();
    f->snapshot->limits.output = 1000;
    f->target = (struct lun_target){ .price = lun_price_unknown };
    f->target.price.input = f->target.price.output = 1000000;      /* one nano-dollar a token */
    f->q = (struct lun_question){ .arena = &f->arena, .snapshot = f->snapshot, .body = body, .body_n = strlen(body), .max_tokens = -1, .n = 1 };
    assert_true(lun_json_scan(body, f->q.body_n, &lun_question_keys, f->q.fields, &f->q.scan));
    int64_t value;
    if (lun_json_int(lun_json_of(body, &f->q.fields[LUN_FIELD_max_tokens]), &value)) f->q.max_tokens = value;
    if (lun_json_int(lun_json_of(body, &f->q.fields[LUN_FIELD_max_completion_tokens]), &value) && value > f->q.max_tokens) f->q.max_tokens = value;
    if (lun_json_int(lun_json_of(body, &f->q.fields[LUN_FIELD_n]), &value)) f->q.n = (int)value;
    return f;
}

static void done(struct fixture *f)
{
    lun_arena_free(&f->arena);
    lun_snapshot_unref(f->snapshot);
    free(f);
}

#define BODY(fields) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]" fields "}"

/* What the output part of the bound is, in tokens, and the cap to be written. */
static void output_is(const char *body, const struct lun_edit *edits, int64_t tokens, int64_t cap)
{
    struct fixture *f = given(body);
    int64_t said, bound = lun_question_bound(&f->q, &f->target, edits, &said), input = f->q.survey.bound;
    for (const struct lun_edit *e = edits; e; e = e->next) input += (int64_t)strlen(e->field) + (e->value ? (int64_t)strlen(e->value) : 0);
    assert_int_equal(said, cap);
    if (tokens < 0) assert_int_equal(bound, -1);
    else assert_int_equal(bound, input + tokens);
    done(f);
}

static void a_request_without_a_cap_is_held_at_the_limit_and_told_so(void **state)
{
    (void)state;
    output_is(BODY(""), NULL, 1000, 1000);
    output_is(BODY(",\"max_tokens\":null"), NULL, 1000, 1000);
}

static void a_requests_own_cap_bounds_it(void **state)
{
    (void)state;
    output_is(BODY(",\"max_tokens\":7"), NULL, 7, -1);
    output_is(BODY(",\"max_tokens\":7,\"max_completion_tokens\":9,\"n\":3"), NULL, 27, -1);
}

static void what_a_policy_sets_counts_as_what_will_be_sent(void **state)
{
    (void)state;
    struct lun_edit more = { NULL, LUN_EDIT_SET, "max_tokens", "50000" }, many = { NULL, LUN_EDIT_SET, "n", "5" };
    struct lun_edit drop = { NULL, LUN_EDIT_DROP, "max_tokens", NULL }, strange = { NULL, LUN_EDIT_SET, "max_tokens", "1e99" };
    struct lun_edit from = { NULL, LUN_EDIT_RENAME, "top", "max_tokens" }, to = { NULL, LUN_EDIT_RENAME, "max_tokens", "max_completion_tokens" };
    output_is(BODY(",\"max_tokens\":7"), &more, 50000, -1);
    output_is(BODY(",\"max_tokens\":7"), &many, 35, -1);
    output_is(BODY(",\"max_tokens\":7"), &drop, 1000, 1000);
    output_is(BODY(""), &strange, -1, -1);
    output_is(BODY(",\"top\":9"), &from, -1, -1);
    output_is(BODY(",\"max_tokens\":7"), &to, 7, -1);
}

static void an_image_counts_as_the_dearest_image_not_as_its_bytes(void **state)
{
    (void)state;
    struct fixture *f = given("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what is it?\"},"
                              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]}],\"max_tokens\":0}");
    int64_t bound = lun_question_bound(&f->q, &f->target, NULL, NULL);
    assert_true(f->q.survey.image);
    assert_in_range(bound, 8192, 8192 + 300);
    done(f);
}

static void what_cannot_be_counted_has_no_bound(void **state)
{
    (void)state;
    struct fixture *f = given("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\"}}]}],\"max_tokens\":0}");
    assert_int_equal(lun_question_bound(&f->q, &f->target, NULL, NULL), -1);
    done(f);
}

static void the_text_is_the_last_users(void **state)
{
    (void)state;
    size_t n;
    struct fixture *f = given("{\"messages\":[{\"role\":\"user\",\"content\":\"first\"},{\"role\":\"assistant\",\"content\":\"no\"},"
                              "{\"content\":[{\"type\":\"text\",\"text\":\"xin\"},{\"type\":\"text\",\"text\":\"ch\\u00e0o\"}],\"role\":\"user\"}]}");
    assert_string_equal(lun_question_text(&f->q, &n), "xin\nchào");
    assert_int_equal(lun_question_words(&f->q), 2);
    assert_int_equal(lun_question_chars(&f->q), 8);
    assert_int_equal(lun_question_messages(&f->q), 3);
    assert_false(lun_question_has_code(&f->q));
    done(f);
}

static void of_a_huge_text_the_beginning_is_looked_at(void **state)
{
    (void)state;
    static const char *const pieces[] = { "x", "\\u00e9", "\\ud83d\\ude00", "\xc3\xa9", "\\n", "\xf0\x9f\x98\x80", "ab\\\"" };
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        struct lun_buf body = {0};
        size_t n;
        lun_buf_puts(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
        while (body.n < 3 * LUN_QUESTION_TEXT) lun_buf_puts(&body, pieces[p]);
        lun_buf_puts(&body, "\"}]}");
        struct fixture *f = given(lun_buf_text(&body));
        const char *text = lun_question_text(&f->q, &n);
        assert_in_range(n, LUN_QUESTION_TEXT / 6, LUN_QUESTION_TEXT + 12);
        assert_true(lun_text_valid(text, n));
        assert_null(strstr(text, "\xef\xbf\xbd"));
        done(f);
        lun_buf_free(&body);
    }
}

static void a_conversation_is_known_again_by_how_it_began(void **state)
{
    (void)state;
    struct fixture *a = given("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"}]}");
    struct fixture *b = given("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"r\"}]}");
    struct fixture *c = given("{\"messages\":[{\"role\":\"system\",\"content\":\"t\"},{\"role\":\"user\",\"content\":\"q\"}]}");
    lun_question_survey(&a->q);
    lun_question_survey(&b->q);
    lun_question_survey(&c->q);
    assert_true(a->q.survey.beginning == b->q.survey.beginning);
    assert_false(a->q.survey.beginning == c->q.survey.beginning);
    done(a);
    done(b);
    done(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_without_a_cap_is_held_at_the_limit_and_told_so), cmocka_unit_test(a_requests_own_cap_bounds_it),
        cmocka_unit_test(what_a_policy_sets_counts_as_what_will_be_sent), cmocka_unit_test(an_image_counts_as_the_dearest_image_not_as_its_bytes),
        cmocka_unit_test(what_cannot_be_counted_has_no_bound), cmocka_unit_test(the_text_is_the_last_users),
        cmocka_unit_test(of_a_huge_text_the_beginning_is_looked_at), cmocka_unit_test(a_conversation_is_known_again_by_how_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
