#include "base/hash.h"
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
    f->target = (struct lun_target){ .upstream = "gpt-4o", .price = lun_price_unknown };
    f->target.price.input = f->target.price.output = 1000000;      /* one nano-dollar a token */
    f->q = (struct lun_question){ .arena = &f->arena, .snapshot = f->snapshot, .body = body, .body_n = strlen(body), .rest = "", .max_tokens = -1, .n = 1 };
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
    struct lun_edit back = { NULL, LUN_EDIT_RENAME, "max_completion_tokens", "max_tokens" }, both = { &back, LUN_EDIT_SET, "max_tokens", "50000" };
    output_is(BODY(""), &both, 50000, -1);
    output_is(BODY(",\"max_completion_tokens\":7"), &both, 50000, -1);
}

static struct fixture *completion(const char *body)
{
    struct fixture *f = given(body);
    f->q.endpoint = LUN_ENDPOINT_COMPLETIONS;
    return f;
}

static int64_t bound_of(struct fixture *f, const struct lun_edit *edits)
{
    int64_t bound = lun_question_bound(&f->q, &f->target, edits, NULL);
    done(f);
    return bound;
}

static void of_many_answers_all_are_paid_for(void **state)
{
    (void)state;
    struct lun_edit best = { NULL, LUN_EDIT_SET, "best_of", "7" }, huge = { NULL, LUN_EDIT_SET, "best_of", "9000000000000000000" };
    struct lun_edit prompts = { NULL, LUN_EDIT_SET, "prompt", "[\"a\",\"b\"]" };
    int64_t one = bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000}"), NULL);
    assert_in_range(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000,\"best_of\":5}"), NULL), one + 4000, one + 4050);
    assert_in_range(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000,\"best_of\":5,\"n\":2}"), NULL), one + 4000, one + 4050);
    assert_in_range(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000}"), &best), one + 6000, one + 6050);
    assert_in_range(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000}"), &prompts), one + 1000, one + 1080);
    assert_in_range(bound_of(completion("{\"prompt\":[\"a\",\"b\",[1,2],[3]],\"max_tokens\":1000,\"best_of\":2}"), NULL), one + 7000, one + 7150);
    assert_in_range(bound_of(completion("{\"prompt\":[1,2,3,4],\"max_tokens\":1000}"), NULL), one, one + 20);
    assert_int_equal(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000}"), &huge), -1);
    assert_int_equal(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000,\"best_of\":-1}"), NULL), -1);
    assert_int_equal(bound_of(completion("{\"prompt\":\"a\",\"max_tokens\":1000,\"best_of\":\"2\"}"), NULL), -1);
}

static void of_more_prompts_than_anybody_sends_each_is_paid_for(void **state)
{
    (void)state;
    struct lun_buf body = {0};
    lun_buf_puts(&body, "{\"max_tokens\":1000,\"prompt\":[\"a\"");
    for (int i = 1; i < 10000; i++) lun_buf_puts(&body, ",\"a\"");
    lun_buf_puts(&body, "]}");
    assert_in_range(bound_of(completion(lun_buf_text(&body)), NULL), 10000 * 1000, 10000 * 1000 + 10000 * 30);
    lun_buf_free(&body);
}

static void what_is_predicted_may_be_paid_for_as_output(void **state)
{
    (void)state;
    static const char body[] = BODY(",\"max_tokens\":7,\"prediction\":{\"type\":\"content\",\"content\":\"0123456789\"}");
    struct fixture *f = given(body);
    int64_t bound = lun_question_bound(&f->q, &f->target, NULL, NULL);
    assert_int_equal(bound, f->q.survey.bound + 7 + (int64_t)strlen("{\"type\":\"content\",\"content\":\"0123456789\"}"));
    done(f);
}

static void an_image_counts_as_the_dearest_image_of_its_model_not_as_its_bytes(void **state)
{
    (void)state;
    struct lun_buf body = {0};
    lun_buf_puts(&body, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what is it?\"},"
                        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,");
    for (int i = 0; i < 100000; i++) lun_buf_putc(&body, 'A');
    lun_buf_puts(&body, "\"}}]}],\"max_tokens\":0}");
    struct fixture *f = given(lun_buf_text(&body));
    assert_in_range(lun_question_bound(&f->q, &f->target, NULL, NULL), 8192, 8192 + 1100);
    assert_true(f->q.survey.image);
    assert_in_range(lun_question_tokens(&f->q), 1000, 1100);
    f->target.upstream = "openai/gpt-4o-mini";
    assert_in_range(lun_question_bound(&f->q, &f->target, NULL, NULL), 48169, 49152 + 1100);
    f->target.upstream = "a-model-that-nobody-knows";
    assert_in_range(lun_question_bound(&f->q, &f->target, NULL, NULL), 48169, 49152 + 1100);
    done(f);
    lun_buf_free(&body);
}

#define PART(part) "{\"messages\":[{\"role\":\"user\",\"content\":[" part "]}],\"max_tokens\":0}"

static void a_part_that_says_twice_what_it_is_counts_as_both(void **state)
{
    (void)state;
    static const char text[] = PART("{\"type\":\"image_url\",\"type\":\"text\",\"text\":\"0123456789\",\"image_url\":{\"url\":\"x\"}}");
    assert_in_range(bound_of(given(text), NULL), 8192 + (int64_t)strlen(text) - 3, 8192 + (int64_t)strlen(text) + 1000);
    assert_int_equal(bound_of(given(PART("{\"type\":\"input_audio\",\"type\":\"text\",\"text\":\"a\"}")), NULL), -1);
    assert_int_equal(bound_of(given(PART("{\"type\":\"text\",\"type\":\"input_audio\",\"text\":\"a\"}")), NULL), -1);
}

static void what_cannot_be_counted_has_no_bound(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\"}}"), PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"),
        PART("{\"type\":\"video_url\"}"),
        PART("{\"type\":\"what-comes-next\"}"), PART("{\"image\":\"http://x/y\"}"), PART("{\"type\":7}"), PART("[\"a\"]"),
        PART("{\"type\":\"tool_result\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://x/y\"}}]}"),
        "{\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}],\"max_tokens\":0}", BODY(",\"max_tokens\":0,\"tools\":[{\"type\":\"web_search\"}]"),
        BODY(",\"max_tokens\":0,\"tools\":[{\"type\":\"function\",\"type\":\"web_search\"}]"),
#define X(name) BODY(",\"max_tokens\":0,\"" #name "\":{}"), BODY(",\"max_tokens\":0,\"" #name "\":true"), BODY(",\"max_tokens\":0,\"" #name "\":\"x\""),
        LUN_PAID_KEYS(X)
#undef X
        BODY(",\"max_tokens\":0,\"modalities\":[\"text\",\"audio\"]"), BODY(",\"max_tokens\":0,\"\\u006dodalities\":[\"audio\"]"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct fixture *f = given(bodies[i]);
        if (lun_question_bound(&f->q, &f->target, NULL, NULL) != -1 || !lun_question_unknown(&f->q, NULL)) fail_msg("%s has a bound", bodies[i]);
        done(f);
    }
}

static void what_buys_nothing_has_a_bound(void **state)
{
    (void)state;
    static const char *const bodies[] = {
#define X(name) BODY(",\"max_tokens\":0,\"" #name "\":null"), BODY(",\"max_tokens\":0,\"" #name "\":false"),
        LUN_PAID_KEYS(X)
#undef X
        BODY(",\"max_tokens\":0,\"modalities\":[\"text\"]"), BODY(",\"max_tokens\":0,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
        "{\"messages\":[{\"role\":\"assistant\",\"audio\":null,\"content\":\"x\"}],\"max_tokens\":0}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct fixture *f = given(bodies[i]);
        if (lun_question_bound(&f->q, &f->target, NULL, NULL) < 0) fail_msg("%s has no bound", bodies[i]);
        done(f);
    }
}

static void edits_can_make_it_unknown_and_known_again(void **state)
{
    (void)state;
    struct lun_edit search = { NULL, LUN_EDIT_SET, "web_search_options", "{}" }, none = { NULL, LUN_EDIT_DROP, "web_search_options", NULL };
    struct lun_edit into = { NULL, LUN_EDIT_RENAME, "x", "plugins" };
    struct lun_edit sound = { NULL, LUN_EDIT_SET, "messages", "[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]" };
    struct lun_edit image = { NULL, LUN_EDIT_SET, "messages", "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x/y\"}}]}]" };
    int64_t plain = bound_of(given(BODY(",\"max_tokens\":0")), NULL);
    assert_int_equal(bound_of(given(BODY(",\"max_tokens\":0")), &search), -1);
    assert_true(bound_of(given(BODY(",\"max_tokens\":0,\"web_search_options\":{}")), &none) > 0);
    assert_int_equal(bound_of(given(BODY(",\"max_tokens\":0,\"x\":1")), &into), -1);
    assert_int_equal(bound_of(given(BODY(",\"max_tokens\":0")), &sound), -1);
    struct fixture *f = given(BODY(",\"max_tokens\":0"));
    assert_string_equal(lun_question_unknown(&f->q, &sound), "a part of a message that is neither text nor an image");
    assert_string_equal(lun_question_unknown(&f->q, &search), "the field `web_search_options`");
    assert_null(lun_question_unknown(&f->q, NULL));
    done(f);
    assert_in_range(bound_of(given(BODY(",\"max_tokens\":0")), &image), plain + 8192, plain + 8192 + 300);
}

static void every_field_that_may_be_input_is_counted_and_so_is_one_that_nobody_knows(void **state)
{
    (void)state;
    static const char *const fields[] = { "system", "tools", "functions", "tool_choice", "function_call", "response_format", "suffix", "prediction", "documents",
                                          "guided_json", "reasoning_effort", "logit_bias", "user", "stop", "what_comes_next" };
    int64_t plain = bound_of(given(BODY(",\"max_tokens\":0")), NULL);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct lun_buf body = {0};
        lun_buf_printf(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_tokens\":0,\"%s\":\"", fields[i]);
        for (int k = 0; k < 500; k++) lun_buf_puts(&body, "\\ufdfa");            /* 33 bytes each in NFKC */
        lun_buf_puts(&body, "\"}");
        int64_t bound = bound_of(given(lun_buf_text(&body)), NULL);
        if (bound < plain + 500 * 33) fail_msg("%s adds %lld tokens", fields[i], (long long)(bound - plain));
        lun_buf_free(&body);
    }
}

static void nesting_costs_no_time(void **state)
{
    (void)state;
    struct lun_buf body = {0};
    lun_buf_puts(&body, "{\"max_tokens\":0,\"prompt\":");
    for (int i = 0; i < 120; i++) lun_buf_putc(&body, '[');
    for (int i = 0; i < 1000000; i++) lun_buf_puts(&body, "1,");
    lun_buf_putc(&body, '1');
    for (int i = 0; i < 120; i++) lun_buf_putc(&body, ']');
    lun_buf_putc(&body, '}');
    lun_us start = lun_clock_cpu();
    assert_int_equal(bound_of(completion(lun_buf_text(&body)), NULL), -1);
    assert_true(lun_clock_cpu() - start < LUN_SECOND);      /* 0.03 s; 120 passes would take 1 s and more */
    lun_buf_free(&body);
}

static void no_number_is_too_large(void **state)
{
    (void)state;
    struct lun_edit most = { NULL, LUN_EDIT_SET, "max_tokens", "9223372036854775807" }, many = { &most, LUN_EDIT_SET, "n", "9223372036854775807" };
    struct fixture *f = given(BODY(""));
    assert_int_equal(lun_question_bound(&f->q, &f->target, &many, NULL), -1);
    f->target.price.input = f->target.price.output = INT64_MAX / 4;
    assert_true(lun_question_bound(&f->q, &f->target, &most, NULL) == INT64_MAX);
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

/* Of one worker, asked in turn: what one has decoded gives way to another's, and is there again when it is asked. */
static void texts_of_one_thread_do_not_mix(void **state)
{
    (void)state;
    struct lun_arena_stock stock = {0};
    struct lun_buf huge = {0};
    lun_buf_puts(&huge, "{\"messages\":[{\"role\":\"user\",\"content\":\"huge ");
    while (huge.n < 2 * LUN_QUESTION_TEXT) lun_buf_putc(&huge, 'x');
    lun_buf_puts(&huge, "\"}]}");
    const char *const bodies[] = { BODY(""), "{\"messages\":[{\"role\":\"user\",\"content\":\"def f():\\n  pass\"}]}", "{}", lun_buf_text(&huge),
                                   "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b c\"}]}]}" };
    const char *const texts[] = { "hello", "def f():\n  pass", "", "huge x", "a\nb c" };
    const int words[] = { 1, 3, 0, 2, 3 };
    enum { N = sizeof bodies / sizeof *bodies, CODE = 1, HUGE = 3 };
    struct fixture *f[N];
    for (int i = 0; i < N; i++) {
        f[i] = given(bodies[i]);
        f[i]->arena.stock = &stock;
    }
    for (int round = 0; round < N; round++)
        for (int i = 0; i < N; i++) {
            size_t n;
            const char *text = lun_question_text(&f[i]->q, &n);
            assert_int_equal(strncmp(text, texts[i], strlen(texts[i])), 0);
            assert_int_equal(text[n], 0);
            if (i != HUGE) assert_int_equal(n, strlen(texts[i]));
            int other = (i + round) % N;
            assert_int_equal(lun_question_has_code(&f[other]->q), other == CODE);
            assert_int_equal(lun_question_words(&f[other]->q), words[other]);
        }
    for (int i = 0; i < N; i++) done(f[i]);
    lun_arena_stock_free(&stock);
    lun_buf_free(&huge);
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

static void the_seed_of_an_id_is_found_again(void **state)
{
    (void)state;
    const uint64_t seeds[] = { 0, 1, 42, 0x8000000000000000u, UINT64_MAX, 0x123456789abcdefu };
    char id[LUN_REQUEST_ID];
    uint64_t seed;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        lun_request_id(seeds[i], id);
        assert_true(lun_request_seed(id, &seed));
        assert_true(seed == seeds[i]);
        id[31] = id[31] == '0' ? '1' : '0';
        assert_false(lun_request_seed(id, &seed));
    }
    assert_false(lun_request_seed("", &seed));
    assert_false(lun_request_seed("req-1", &seed));
    assert_false(lun_request_seed("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", &seed));
}

/* Every byte counts, wherever it stands among the sixteen that are read at once. */
static void conversations_that_differ_in_one_byte_are_two(void **state)
{
    (void)state;
    char text[70], other[70];
    for (size_t n = 1; n < sizeof text; n++) {
        memset(text, 'a', n);
        memcpy(other, text, n);
        assert_true(lun_hash_long(text, n, 7) == lun_hash_long(other, n, 7));
        assert_false(lun_hash_long(text, n, 7) == lun_hash_long(text, n, 8));
        assert_false(lun_hash_long(text, n, 7) == lun_hash_long(text, n - 1, 7));
        for (size_t i = 0; i < n; i++, memcpy(other, text, n)) {
            other[i] ^= 1;
            assert_false(lun_hash_long(text, n, 7) == lun_hash_long(other, n, 7));
        }
    }
    assert_true(lun_hash_long("the same on every machine", 25, 0) == 0x7b962d43aff0a70e);
}

/* Also one of another configuration with the same place there. */
static void it_may_use_the_targets_that_were_gathered_and_no_other(void **state)
{
    (void)state;
    struct lun_target targets[] = { { .index = 0 }, { .index = 1 }, { .index = 2 } }, others[] = { { .index = 0 }, { .index = 1 } };
    const struct lun_target *const gathered[] = { &targets[1] };
    static const bool may[] = { false, true, false };
    struct fixture *f = given(BODY(""));
    f->snapshot->targets = targets, f->snapshot->n_targets = 3;
    f->q.targets = gathered, f->q.n_targets = 1;
    for (int round = 0; round < 2; round++, f->q.may = may) {
        for (int i = 0; i < 3; i++) assert_int_equal(lun_question_may(&f->q, &targets[i]), i == 1);
        for (int i = 0; i < 2; i++) assert_false(lun_question_may(&f->q, &others[i]));
    }
    done(f);
}

static void its_tokens_are_the_same_whoever_asked_before(void **state)
{
    (void)state;
    struct fixture *f = given(BODY(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"));
    lun_question_survey(&f->q);
    assert_false(f->q.survey.weighs);
    int64_t bound = f->q.survey.bound, once = lun_question_tokens_once(&f->q);
    assert_false(f->snapshot->weighs);      /* one who asks of few requests has not all of them weighed */
    int64_t tokens = lun_question_tokens(&f->q);
    assert_int_equal(once, tokens);
    assert_int_equal(f->q.survey.bound, bound);
    f->q.survey.done = false;
    lun_question_survey(&f->q);             /* another request, with the same snapshot */
    assert_true(f->q.survey.weighs);
    assert_int_equal(f->q.survey.bound, bound);
    assert_int_equal(lun_question_tokens(&f->q), tokens);
    assert_in_range(tokens, 20, 60);
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_without_a_cap_is_held_at_the_limit_and_told_so), cmocka_unit_test(a_requests_own_cap_bounds_it),
        cmocka_unit_test(what_a_policy_sets_counts_as_what_will_be_sent), cmocka_unit_test(of_many_answers_all_are_paid_for),
        cmocka_unit_test(of_more_prompts_than_anybody_sends_each_is_paid_for), cmocka_unit_test(what_is_predicted_may_be_paid_for_as_output),
        cmocka_unit_test(an_image_counts_as_the_dearest_image_of_its_model_not_as_its_bytes),
        cmocka_unit_test(a_part_that_says_twice_what_it_is_counts_as_both), cmocka_unit_test(what_buys_nothing_has_a_bound),
        cmocka_unit_test(edits_can_make_it_unknown_and_known_again), cmocka_unit_test(no_number_is_too_large), cmocka_unit_test(nesting_costs_no_time),
        cmocka_unit_test(the_seed_of_an_id_is_found_again),
        cmocka_unit_test(every_field_that_may_be_input_is_counted_and_so_is_one_that_nobody_knows),
        cmocka_unit_test(what_cannot_be_counted_has_no_bound), cmocka_unit_test(the_text_is_the_last_users),
        cmocka_unit_test(texts_of_one_thread_do_not_mix), cmocka_unit_test(of_a_huge_text_the_beginning_is_looked_at), cmocka_unit_test(a_conversation_is_known_again_by_how_it_began),
        cmocka_unit_test(conversations_that_differ_in_one_byte_are_two), cmocka_unit_test(its_tokens_are_the_same_whoever_asked_before),
        cmocka_unit_test(it_may_use_the_targets_that_were_gathered_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
