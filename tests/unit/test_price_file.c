/* A file of prices is read as a whole, or what of it was not understood is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "base/buf.h"
#include "script/price_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST(name) static void name(void **state)
#define USD(n) ((int64_t)(n) * 1000000000)

static struct lun_arena arena;
static struct lun_price_file file;
static struct lun_json_error error;

static int end(void **state) { (void)state; lun_arena_free(&arena); return 0; }

static bool reads(const char *text) { return lun_price_file_read(text, strlen(text), &arena, &file, &error); }

static const struct lun_price_entry *entry(const char *name)
{
    const struct lun_price_entry *e = lun_price_file_find(&file, name);
    if (!e) fail_msg("there is no entry %s", name);
    return e;
}

static const char *odd_of(const char *name, const char *field)
{
    for (int i = 0; i < file.n_odd; i++)
        if (!strcmp(file.odd[i].entry, name) && !strcmp(file.odd[i].field, field)) return file.odd[i].why;
    fail_msg("nothing is told of %s.%s", name, field);
    return NULL;
}

static int64_t cost(const struct lun_price *p, unsigned services, int64_t input, int64_t output)
{
    return lun_price_cost(p, &(struct lun_usage){ .services = services, .input = input, .output = output });
}

TEST(each_price_of_an_entry_is_taken)
{
    (void)state;
    assert_true(reads("{\"z\":{\"input_cost_per_token\":3e-06,\"output_cost_per_token\":0.000015,\"cache_read_input_token_cost\":3e-7,\"cache_creation_input_token_cost\":3.75e-06,"
                      "\"cache_creation_input_token_cost_above_1hr\":6e-06,\"output_cost_per_reasoning_token\":2e-5,\"input_cost_per_audio_token\":1e-5,\"output_cost_per_audio_token\":2e-5,"
                      "\"input_cost_per_image_token\":4e-6,\"output_cost_per_image_token\":3e-5,\"input_cost_per_request\":0.005,\"max_input_tokens\":200000,\"max_output_tokens\":64000,"
                      "\"litellm_provider\":\"x\",\"mode\":\"chat\",\"supports_anything\":true,\"output_cost_per_image\":0.04}}"));
    const struct lun_price_entry *e = entry("z");
    const struct lun_price *p = &e->price;
    assert_int_equal(p->input, USD(3));
    assert_int_equal(p->output, USD(15));
    assert_int_equal(p->cached_input, 300000000);
    assert_int_equal(p->cache_write, 3750000000);
    assert_int_equal(p->cache_write_1h, USD(6));
    assert_int_equal(p->reasoning, USD(20));
    assert_int_equal(p->audio_input, USD(10));
    assert_int_equal(p->audio_output, USD(20));
    assert_int_equal(p->image_input, USD(4));
    assert_int_equal(p->image_output, USD(30));
    assert_int_equal(p->request, 5000000);
    assert_int_equal(e->context, 200000);
    assert_int_equal(e->max_output, 64000);
    assert_int_equal(e->odd, 0);
    assert_int_equal(file.whole, 1);
    assert_int_equal(file.priced, 1);
}

TEST(lengths_and_classes_of_service_are_tiers)
{
    (void)state;
    assert_true(reads("{\"m\":{\"input_cost_per_token\":2e-06,\"output_cost_per_token\":1e-5,\"input_cost_per_token_above_200k_tokens\":4e-06,\"output_cost_per_token_above_200k_tokens\":2e-5,"
                      "\"input_cost_per_token_flex\":1e-06,\"output_cost_per_token_flex\":5e-6,\"input_cost_per_token_priority\":3e-06,\"input_cost_per_token_above_200k_tokens_priority\":9e-06,"
                      "\"input_cost_per_token_batches\":1e-06,\"output_cost_per_token_batches\":5e-6,\"input_cost_per_token_above_1000_tokens\":3e-6}}"));
    const struct lun_price *p = &entry("m")->price;
    assert_int_equal(entry("m")->odd, 0);
    assert_int_equal(cost(p, 0, 1000, 0), 2000000);
    assert_int_equal(cost(p, 0, 1001, 0), 3003000);
    assert_int_equal(cost(p, 0, 200000, 0), 600000000);
    assert_int_equal(cost(p, 0, 200001, 0), 800004000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_FLEX, 1000, 1000), 6000000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_BATCH, 1000, 0), 1000000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_PRIORITY, 1000, 0), 3000000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_PRIORITY, 200001, 0), 1800009000);
}

TEST(an_embedding_writes_nothing_and_costs_nothing_for_it)
{
    (void)state;
    assert_true(reads("{\"e\":{\"mode\":\"embedding\",\"input_cost_per_token\":1e-7},\"c\":{\"mode\":\"chat\",\"input_cost_per_token\":1e-7}}"));
    assert_true(lun_price_known(&entry("e")->price));
    assert_int_equal(entry("e")->price.output, 0);
    assert_false(lun_price_known(&entry("c")->price));
    assert_non_null(strstr(odd_of("c", ""), "no price per token of output"));
}

TEST(what_is_not_understood_is_named_with_its_reason)
{
    (void)state;
    assert_true(reads("{\"m\":{\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,\"search_context_cost_per_query\":{\"a\":1},\"input_cost_per_second\":0.1,\"input_cost_per_character\":0,"
                      "\"brand_new_cost\":5,\"regional_processing_uplift_multiplier_eu\":1.1,\"max_input_tokens\":\"many\",\"input_cost_per_token_weird\":1,\"tiered_pricing\":[]},"
                      "\"bare\":7,\"sample_spec\":{\"input_cost_per_token\":0,\"output_cost_per_token\":0}}"));
    assert_true(lun_price_known(&entry("m")->price));
    assert_int_equal(entry("m")->odd, 7);
    assert_string_equal(odd_of("m", "brand_new_cost"), "is not a field that is known");
    assert_string_equal(odd_of("m", "input_cost_per_token_weird"), "is not a field that is known");
    assert_non_null(odd_of("m", "search_context_cost_per_query"));
    assert_non_null(odd_of("m", "max_input_tokens"));
    assert_non_null(odd_of("m", "tiered_pricing"));
    assert_string_equal(odd_of("bare", ""), "is no object");
    assert_false(lun_price_known(&entry("sample_spec")->price));
    assert_int_equal(file.whole, 0);
}

TEST(a_price_that_cannot_be_makes_the_entry_unusable)
{
    static const char *const wrong[] = { "-1e-6", "\"1e-6\"", "1e9", "true", "{}", "-0.0000001" };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[200];
        sprintf(text, "{\"m\":{\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,\"cache_read_input_token_cost_flex\":%s}}", wrong[i]);
        assert_true(reads(text));
        if (lun_price_known(&entry("m")->price)) fail_msg("%s", wrong[i]);
        assert_non_null(strstr(odd_of("m", "cache_read_input_token_cost_flex"), "its price is not used"));
        lun_arena_free(&arena);
    }
}

TEST(of_a_price_that_is_said_twice_the_dearer_counts)
{
    (void)state;
    assert_true(reads("{\"m\":{\"input_cost_per_token\":2e-6,\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,\"cache_read_input_token_cost\":1e-9,\"input_cost_per_token_cache_hit\":2e-9}}"));
    assert_int_equal(entry("m")->price.input, USD(2));
    assert_int_equal(entry("m")->price.cached_input, 2000000);
}

static void refused(const char *text, const char *why)
{
    if (reads(text)) fail_msg("took %s", text);
    if (!strstr(error.what, why)) fail_msg("%s: %s", text, error.what);
    lun_arena_free(&arena);
}

TEST(a_broken_file_is_refused_with_its_place)
{
    (void)state;
    refused("", "");
    refused("[]", "an object of models is wanted");
    refused("{\"m\":{\"input_cost_per_token\":01}}", "");
    assert_int_equal(error.at, 29);
    refused("{\"m\":{},\"m\":{}}", "is there twice");
    refused("{\"\":{}}", "a name of a model");
    refused("{\"a\\u001b[31m\":{}}", "a name of a model");
    refused("{\"a\\u0000\":{}}", "a name of a model");
    refused("{\"m\":{\"\\n\":1}}", "a name of a field");
    assert_int_equal(error.at, 6);
}

static void put_many(struct lun_buf *out, int n, const char *format)
{
    lun_buf_putc(out, '{');
    for (int i = 0; i < n; i++) { lun_buf_puts(out, i ? "," : ""); lun_buf_printf(out, format, i); }
    lun_buf_putc(out, '}');
}

TEST(a_hostile_file_is_read_or_refused_within_bounds)
{
    struct lun_buf text = { 0 };
    (void)state;
    put_many(&text, LUN_PRICE_FILE_ENTRIES + 1, "\"m%d\":0");
    assert_false(lun_price_file_read(text.at, text.n, &arena, &file, &error));
    assert_non_null(strstr(error.what, "more than 100000 entries"));
    text.n = 0;
    put_many(&text, 50000, "\"m%d\":{\"x_cost\":1}");
    assert_true(lun_price_file_read(text.at, text.n, &arena, &file, &error));
    assert_int_equal(file.n, 50000);
    assert_int_equal(file.n_odd, LUN_PRICE_FILE_ODD);
    assert_int_equal(file.n_odd + file.more_odd, 100000);       /* each field, and each entry for having no price */
    text.n = 0;
    lun_buf_puts(&text, "{\"m\":");
    put_many(&text, 100000, "\"input_cost_per_token_above_%dk_tokens\":1e-6");
    lun_buf_putc(&text, '}');
    assert_true(lun_price_file_read(text.at, text.n, &arena, &file, &error));
    assert_false(lun_price_known(&entry("m")->price));
    lun_buf_free(&text);
}

TEST(every_cut_and_every_changed_byte_of_a_file_is_harmless)
{
    static const char good[] = "{\"a/b\":{\"input_cost_per_token\":1e-6,\"output_cost_per_token_above_200k_tokens_priority\":2e-6,\"mode\":\"chat\"},\"c\":{\"output_cost_per_token\":1}}";
    (void)state;
    for (size_t i = 0; i < sizeof good - 1; i++) {
        if (lun_price_file_read(good, i, &arena, &file, &error)) fail_msg("took the first %zu bytes", i);
        for (int c = 0; c < 256; c += 3) {
            char *changed = lun_memdup(good, sizeof good - 1);       /* of that size, so that a sanitizer sees a step beyond it */
            changed[i] = (char)c;
            lun_price_file_read(changed, sizeof good - 1, &arena, &file, &error);
            free(changed);
        }
        lun_arena_free(&arena);
    }
}

#define T(name) cmocka_unit_test_teardown(name, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_price_of_an_entry_is_taken),
        T(lengths_and_classes_of_service_are_tiers),
        T(an_embedding_writes_nothing_and_costs_nothing_for_it),
        T(what_is_not_understood_is_named_with_its_reason),
        T(a_price_that_cannot_be_makes_the_entry_unusable),
        T(of_a_price_that_is_said_twice_the_dearer_counts),
        T(a_broken_file_is_refused_with_its_place),
        T(a_hostile_file_is_read_or_refused_within_bounds),
        T(every_cut_and_every_changed_byte_of_a_file_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
