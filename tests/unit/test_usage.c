/* What providers' usage objects come to: one meaning for all of them, and never less than was claimed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/usage.h"
#include <stdio.h>
#include <string.h>

#define TEST(name) static void name(void **state)
static struct lun_usage u;

static bool read_text(const char *text)
{
    struct lun_json v;
    u = (struct lun_usage){ .output = 77 };
    if (!lun_json_check(text, strlen(text), &v, NULL)) fail_msg("no JSON: %s", text);
    return lun_usage_read(v, &u);
}

static void counts(const char *text, struct lun_usage wanted)
{
    assert_true(read_text(text));
    wanted.known = true;
    if (u.known && u.suspect == wanted.suspect && u.input == wanted.input && u.output == wanted.output && u.cached_input == wanted.cached_input && u.cache_write == wanted.cache_write
        && u.cache_write_1h == wanted.cache_write_1h && u.audio_input == wanted.audio_input && u.image_input == wanted.image_input && u.reasoning == wanted.reasoning
        && u.audio_output == wanted.audio_output && u.image_output == wanted.image_output && (!wanted.services || u.services == wanted.services)) return;
    fail_msg("%s: known %d suspect %s input %ld (cached %ld write %ld 1h %ld audio %ld image %ld) output %ld (reasoning %ld audio %ld image %ld) services %x", text, u.known, lun_suspect_name(u.suspect),
             (long)u.input, (long)u.cached_input, (long)u.cache_write, (long)u.cache_write_1h, (long)u.audio_input, (long)u.image_input, (long)u.output, (long)u.reasoning,
             (long)u.audio_output, (long)u.image_output, u.services);
}
#define COUNTS(text, ...) counts(text, (struct lun_usage){ __VA_ARGS__ })

TEST(openai_counts_cached_input_among_the_prompt)
{
    (void)state;
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":20,\"total_tokens\":30,\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":3},"
           "\"completion_tokens_details\":{\"reasoning_tokens\":5,\"audio_tokens\":6,\"accepted_prediction_tokens\":1}}",
           .input = 10, .cached_input = 4, .audio_input = 3, .output = 20, .reasoning = 5, .audio_output = 6);
    COUNTS("{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":60},\"output_tokens\":50,\"output_tokens_details\":{\"reasoning_tokens\":40},\"total_tokens\":150}",
           .input = 100, .cached_input = 60, .output = 50, .reasoning = 40);
    COUNTS("{\"prompt_tokens\":8,\"total_tokens\":8}", .input = 8);
    COUNTS("{\"total_tokens\":8}", .input = 8);
    COUNTS("{\"prompt\\u005ftokens\":9,\"completion_tokens\":1,\"prompt_tokens_det\\u0061ils\":{\"c\\u0061ched_tokens\":4}}", .input = 9, .cached_input = 4, .output = 1);
    COUNTS("{\"prompt_tokens\":3,\"completion_tokens\":null,\"prompt_tokens_details\":null}", .input = 3);
}

TEST(anthropic_counts_it_beside)
{
    (void)state;
    COUNTS("{\"input_tokens\":1,\"output_tokens\":2,\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":0}", .input = 101, .cached_input = 100, .output = 2);
    COUNTS("{\"input_tokens\":1,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":5,\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,\"ephemeral_1h_input_tokens\":10},"
           "\"output_tokens\":2,\"service_tier\":\"priority\"}", .input = 36, .cached_input = 5, .cache_write = 20, .cache_write_1h = 10, .output = 2, .services = 1 << LUN_SERVICE_PRIORITY);
}

TEST(a_write_that_does_not_say_for_how_long_is_the_dearer_one)
{
    (void)state;
    COUNTS("{\"input_tokens\":1,\"output_tokens\":2,\"cache_creation_input_tokens\":3}", .input = 4, .cache_write_1h = 3, .output = 2);
    COUNTS("{\"input_tokens\":1,\"output_tokens\":2,\"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_5m_input_tokens\":20}}",
           .input = 31, .cache_write = 20, .cache_write_1h = 10, .output = 2);
}

TEST(where_both_ways_of_counting_are_possible_the_dearer_one_is_taken)
{
    (void)state;
    /* A gateway before this one that says both: the prompt has them in it. */
    COUNTS("{\"prompt_tokens\":1900,\"completion_tokens\":5,\"total_tokens\":1905,\"prompt_tokens_details\":{\"cached_tokens\":0,\"cache_creation\":{\"ephemeral_5m_input_tokens\":1889},"
           "\"cache_creation_input_tokens\":1889,\"cache_type\":\"ephemeral\"}}", .input = 1900, .cache_write = 1889, .output = 5);       /* Qwen */
    COUNTS("{\"prompt_tokens\":110,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":100},\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":0}",
           .input = 110, .cached_input = 100, .output = 2);
    /* One that says only the other: nobody knows whether the prompt has them in it. */
    COUNTS("{\"prompt_tokens\":110,\"completion_tokens\":2,\"cache_read_input_tokens\":100}", .input = 210, .cached_input = 100, .output = 2);
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":0},\"cache_read_input_tokens\":100}", .input = 110, .cached_input = 100, .output = 2);
    COUNTS("{\"prompt_tokens\":10,\"input_tokens\":20,\"completion_tokens\":2,\"output_tokens\":5}", .input = 20, .output = 5);
    COUNTS("{\"prompt_tokens\":10,\"cached_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3},\"completion_tokens\":2}", .input = 10, .cached_input = 3, .output = 2);
    COUNTS("{\"prompt_tokens\":10,\"prompt_tokens\":2,\"completion_tokens\":2}", .input = 10, .output = 2);
}

TEST(deepseek_says_hits_and_misses)
{
    (void)state;
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":20,\"total_tokens\":30,\"prompt_cache_hit_tokens\":6,\"prompt_cache_miss_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":6}}",
           .input = 10, .cached_input = 6, .output = 20);
    COUNTS("{\"prompt_cache_hit_tokens\":6,\"prompt_cache_miss_tokens\":4,\"completion_tokens\":1}", .input = 10, .cached_input = 6, .output = 1);
}

TEST(thinking_that_is_counted_beside_the_output_is_added_to_it)
{
    (void)state;
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":1,\"total_tokens\":311,\"completion_tokens_details\":{\"reasoning_tokens\":300}}", .input = 10, .output = 301, .reasoning = 300);   /* xAI */
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":115}", .input = 10, .output = 105);     /* Gemini, as OpenAI */
}

TEST(gemini_says_it_in_its_own_words)
{
    (void)state;
    COUNTS("{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,\"candidatesTokenCount\":20,\"thoughtsTokenCount\":30,\"toolUsePromptTokenCount\":7,\"totalTokenCount\":157,"
           "\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":80},{\"modality\":\"AUDIO\",\"tokenCount\":15},{\"modality\":\"IMAGE\",\"tokenCount\":5}],"
           "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":12}]}",
           .input = 107, .cached_input = 40, .audio_input = 15, .image_input = 5, .output = 50, .reasoning = 30, .image_output = 12);
}

TEST(what_is_no_usage_says_nothing)
{
    static const char *const nothing[] = { "{}", "null", "[1]", "\"7\"", "{\"cost\":5}", "{\"prompt_tokens\":null}", "{\"prompt_tokens_details\":7}" };
    (void)state;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) if (read_text(nothing[i])) fail_msg("%s", nothing[i]);
    assert_int_equal(u.output, 77);
}

static void nonsense(const char *text, enum lun_suspect why)
{
    if (!read_text(text) || u.known || u.suspect != why || u.input || u.output) fail_msg("%s: %s", text, lun_suspect_name(u.suspect));
}

TEST(a_claim_that_is_no_count_of_tokens_is_nonsense_as_a_whole)
{
    (void)state;
    nonsense("{\"prompt_tokens\":-1,\"completion_tokens\":7}", LUN_SUSPECT_NEGATIVE);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":-9223372036854775808}", LUN_SUSPECT_NEGATIVE);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":-1e400}", LUN_SUSPECT_NEGATIVE);
    nonsense("{\"prompt_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":-7}}", LUN_SUSPECT_NEGATIVE);
    nonsense("{\"prompt_tokens\":1.5}", LUN_SUSPECT_NOT_A_COUNT);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":\"7\"}", LUN_SUSPECT_NOT_A_COUNT);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":true}", LUN_SUSPECT_NOT_A_COUNT);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":[7]}", LUN_SUSPECT_NOT_A_COUNT);
    nonsense("{\"prompt_tokens\":1e300,\"completion_tokens\":7}", LUN_SUSPECT_TOO_LARGE);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":9223372036854775807}", LUN_SUSPECT_TOO_LARGE);
    nonsense("{\"prompt_tokens\":7,\"completion_tokens\":99999999999999999999}", LUN_SUSPECT_TOO_LARGE);
    COUNTS("{\"prompt_tokens\":-0,\"completion_tokens\":1e3}", .output = 1000);
}

TEST(a_part_that_is_larger_than_its_whole_stands_beside_it_and_is_told)
{
    (void)state;
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":50}}", .input = 60, .cached_input = 50, .output = 1, .suspect = LUN_SUSPECT_PARTS);
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":1,\"completion_tokens_details\":{\"reasoning_tokens\":50}}", .input = 10, .output = 51, .reasoning = 50, .suspect = LUN_SUSPECT_PARTS);
    COUNTS("{\"prompt_tokens\":10,\"completion_tokens\":1,\"prompt_tokens_details\":{\"audio_tokens\":11}}", .input = 21, .audio_input = 11, .output = 1, .suspect = LUN_SUSPECT_PARTS);
}

TEST(a_class_of_service_is_one_or_could_be_any)
{
    static const struct { const char *text; unsigned services; } names[] = {
        { "\"default\"", 1 << LUN_SERVICE_STANDARD }, { "\"standard\"", 1 << LUN_SERVICE_STANDARD }, { "\"on_demand\"", 1 << LUN_SERVICE_STANDARD }, { "\"flex\"", 1 << LUN_SERVICE_FLEX },
        { "\"priority\"", 1 << LUN_SERVICE_PRIORITY }, { "\"batch\"", 1 << LUN_SERVICE_BATCH }, { "\"auto\"", LUN_SERVICES_ALL }, { "\"scale\"", LUN_SERVICES_ALL }, { "\"\"", LUN_SERVICES_ALL },
        { "null", 0 }, { "5", 0 } };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_int_equal(lun_usage_services((struct lun_json){ names[i].text, strlen(names[i].text) }), names[i].services);
    assert_int_equal(lun_usage_services((struct lun_json){0}), 0);
}

/* ---- whatever is claimed ---- */

static uint64_t dice = 7;
static int64_t any(int64_t below) { dice = dice * 6364136223846793005u + 1442695040888963407u; return (int64_t)((dice >> 33) % (uint64_t)below); }

static const char *const fields[] = { "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens", "cached_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
    "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount" };
enum { FIELDS = sizeof fields / sizeof *fields };

TEST(no_claim_makes_parts_negative_or_larger_than_their_whole_or_less_than_what_was_said)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[1024];
        int64_t said[FIELDS] = { 0 };
        int n = sprintf(text, "{\"x\":0");
        for (int f = 0; f < FIELDS; f++)
            if (any(4) == 0) n += sprintf(text + n, ",\"%s\":%ld", fields[f], (long)(said[f] = any(50)));
        strcpy(text + n, "}");
        if (!read_text(text)) continue;
        int64_t in = said[0] > said[1] ? said[0] : said[1], out = said[2] > said[3] ? said[2] : said[3];
        bool whole = u.input >= in && u.output >= out && u.input + u.output >= said[4];
        bool parts = u.cached_input >= 0 && u.cache_write >= 0 && u.cache_write_1h >= 0 && u.reasoning >= 0 && u.reasoning <= u.output
                  && u.cached_input + u.cache_write + u.cache_write_1h <= u.input;
        if (!whole || !parts) fail_msg("%s → input %ld cached %ld written %ld output %ld reasoning %ld", text, (long)u.input, (long)u.cached_input, (long)u.cache_write_1h, (long)u.output, (long)u.reasoning);
    }
}

TEST(sums_do_not_run_over)
{
    struct lun_usage sum = { .input = INT64_MAX - 1 };
    (void)state;
    lun_usage_add(&sum, &(struct lun_usage){ .known = true, .input = 5, .cache_write_1h = 3, .audio_output = 2, .suspect = LUN_SUSPECT_PARTS });
    assert_true(sum.known && sum.suspect == LUN_SUSPECT_PARTS && sum.input == INT64_MAX);
    assert_int_equal(sum.cache_write_1h, 3);
    assert_int_equal(sum.audio_output, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_counts_cached_input_among_the_prompt),
        cmocka_unit_test(anthropic_counts_it_beside),
        cmocka_unit_test(a_write_that_does_not_say_for_how_long_is_the_dearer_one),
        cmocka_unit_test(where_both_ways_of_counting_are_possible_the_dearer_one_is_taken),
        cmocka_unit_test(deepseek_says_hits_and_misses),
        cmocka_unit_test(thinking_that_is_counted_beside_the_output_is_added_to_it),
        cmocka_unit_test(gemini_says_it_in_its_own_words),
        cmocka_unit_test(what_is_no_usage_says_nothing),
        cmocka_unit_test(a_claim_that_is_no_count_of_tokens_is_nonsense_as_a_whole),
        cmocka_unit_test(a_part_that_is_larger_than_its_whole_stands_beside_it_and_is_told),
        cmocka_unit_test(a_class_of_service_is_one_or_could_be_any),
        cmocka_unit_test(no_claim_makes_parts_negative_or_larger_than_their_whole_or_less_than_what_was_said),
        cmocka_unit_test(sums_do_not_run_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
