/* What targets cost: their own table, the file of prices, and what a hard limit needs of either. */
#include "loading.h"
#include <stdint.h>

#define TEST(name) static void name(void **state)
#define USD(n) ((int64_t)(n) * 1000000000)
#define HEAD "local H = \"sha256:\" .. string.rep(\"0a\", 32) local G = \"sha256:\" .. string.rep(\"0b\", 32) " \
             "return { providers = { p = { base_url = \"http://p\" }, azure = { base_url = \"http://a\" } }, "

static const struct lun_price *price_of(const struct lun_snapshot *s, const char *name)
{
    const struct lun_target *t = lun_snapshot_target(s, name);
    if (!t) fail_msg("there is no target %s", name);
    return &t->price;
}

static int64_t cost(const struct lun_price *p, unsigned services, int64_t input, int64_t output)
{
    return lun_price_cost(p, &(struct lun_usage){ .services = services, .input = input, .output = output });
}

/* Loads it and gives what was noted; yours to free. */
static char *noted(const char *text)
{
    struct lun_mistakes m = { 0 }, notes = { 0 };
    struct lun_buf out = { 0 };
    struct lun_load_options o = { .environment = no_environment, .notes = &notes, .cpu = cpu };
    struct lun_snapshot *s = lun_load_text("gateway.lua", text, strlen(text), folder, &o, &m);
    lun_mistakes_print(s ? &notes : &m, &out);
    if (!s) fail_msg("%s", lun_buf_text(&out));
    char *told = lun_strndup(out.at, out.n);
    lun_buf_free(&out);
    lun_mistakes_free(&m), lun_mistakes_free(&notes);
    lun_snapshot_unref(s);
    return told;
}

static void notes(const char *text, const char *expected)
{
    char *told = noted(text);
    if (strcmp(told, expected)) fail_msg("for\n%s\nexpected: %s\ngot:      %s", text, expected, told);
    free(told);
}

/* ---- the table ---- */

TEST(a_table_says_each_part_and_each_tier)
{
    (void)state;
    struct lun_snapshot *s = load_with(HEAD "models = { m = { { provider = \"p\", price = { input = 2, output = 10, cache_write_1h = 6, audio_input = 7, audio_output = 8, image_input = 9, image_output = 11,"
        "above = { { tokens = 200000, input = 4, output = 20 } }, flex = { input = 1, output = 5, above = { { tokens = 1000, input = 1.5 } } }, priority = { input = 3 }, batch = { output = 1 } } } } } }",
        no_environment, NULL, NULL);
    const struct lun_price *p = price_of(s, "p/m");
    assert_int_equal(p->cache_write_1h, USD(6));
    assert_int_equal(p->audio_input, USD(7));
    assert_int_equal(p->audio_output, USD(8));
    assert_int_equal(p->image_input, USD(9));
    assert_int_equal(p->image_output, USD(11));
    assert_int_equal(cost(p, 0, 200000, 0), USD(4) / 10);
    assert_int_equal(cost(p, 0, 200001, 0), 800004000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_FLEX, 1000, 0), USD(1) / 1000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_FLEX, 2000, 0), USD(3) / 1000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_PRIORITY, 1000, 100), USD(4) / 1000);
    assert_int_equal(cost(p, 1 << LUN_SERVICE_BATCH, 0, 1000), USD(1) / 1000);
    lun_snapshot_unref(s);
}

#define PRICE(more) HEAD "models = { m = { { provider = \"p\", price = { input = 1, output = 1, " more " } } } } }"

TEST(mistakes_in_tiers_are_told_with_their_place)
{
    (void)state;
    refused(PRICE("above = { { input = 1 } }"), "gateway.lua:1: models.m[1].price.above[1].tokens: is missing\n");
    refused(PRICE("above = { { tokens = 5, input = 1 }, { tokens = 5 } }"), "gateway.lua:1: models.m[1].price.above[2]: is said twice for so many tokens\n");
    refused(PRICE("above = { tokens = 5 }"), "gateway.lua:1: models.m[1].price.above: must be a list of tables, not a table\n");
    refused(PRICE("above = { 5 }"), "gateway.lua:1: models.m[1].price.above[1]: must be a table, not 5\n");
    refused(PRICE("flex = 1"), "gateway.lua:1: models.m[1].price.flex: must be a table, not 1\n");
    refused(PRICE("flex = { inputs = 1 }"), "gateway.lua:1: models.m[1].price.flex.inputs: there is no such setting (did you mean input?)\n");
    refused(PRICE("priority = { input = -1 }"), "gateway.lua:1: models.m[1].price.priority.input: must be a number of USD from 0 to 1000000, not -1\n");
    refused(PRICE("flexx = { }"), "gateway.lua:1: models.m[1].price.flexx: there is no such setting (did you mean flex?)\n");
}

TEST(targets_of_one_name_that_differ_in_a_tier_are_two)
{
    (void)state;
    refused(HEAD "models = { m = { { provider = \"p\", model = \"x\", price = { input = 1, output = 1, flex = { input = 0.5 } } } },\n"
            "n = { { provider = \"p\", model = \"x\", price = { input = 1, output = 1, flex = { input = 0.4 } } } } } }",
            "gateway.lua:2: models.n[1]: the target \"p/x\" stands at gateway.lua:1 with another price: give one of the two a name of its own (name = \"…\")\n");
}

/* ---- the file ---- */

static const char prices[] = "{\n"
    "\"m\":       { \"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 2e-6, \"max_input_tokens\": 1000, \"max_output_tokens\": 50, \"input_cost_per_token_flex\": 5e-7 },\n"
    "\"azure/m\": { \"input_cost_per_token\": 3e-6, \"output_cost_per_token\": 4e-6 },\n"
    "\"odd\":     { \"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 2e-6, \"input_cost_per_second\": 1 },\n"
    "\"bad\":     { \"input_cost_per_token\": -1, \"output_cost_per_token\": 2e-6 },\n"
    "\"q/far\":   { \"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 2e-6 }\n"
    "}\n";

TEST(a_target_without_a_price_takes_that_of_its_provider_and_model_then_of_its_model)
{
    (void)state;
    put_file("prices.json", prices);
    struct lun_snapshot *s = load_with(HEAD "prices = \"prices.json\", models = { m = { { provider = \"p\" }, { provider = \"azure\" }, { provider = \"p\", name = \"own\", price = { input = 7, output = 8 }, context = 9 },"
                                       "{ provider = \"p\", model = \"far\" } }, [\"*\"] = { { provider = \"p\", model = \"*\" } } } }", no_environment, NULL, NULL);
    assert_int_equal(price_of(s, "p/m")->input, USD(1));
    assert_int_equal(cost(price_of(s, "p/m"), 1 << LUN_SERVICE_FLEX, 1000, 0), USD(1) / 2000);
    assert_int_equal(price_of(s, "azure/m")->input, USD(3));
    assert_int_equal(price_of(s, "own")->input, USD(7));
    assert_int_equal(price_of(s, "own")->n_tiers, 0);
    assert_int_equal(lun_snapshot_target(s, "p/m")->context, 1000);
    assert_int_equal(lun_snapshot_target(s, "p/m")->max_output, 50);
    assert_int_equal(lun_snapshot_target(s, "own")->context, 9);
    assert_int_equal(lun_snapshot_target(s, "own")->max_output, 50);
    assert_false(lun_price_known(price_of(s, "p/far")));
    assert_false(lun_price_known(price_of(s, "p/*")));
    lun_snapshot_unref(s);
}

#define FILED(models) HEAD "prices = \"prices.json\", models = { " models " } }"

TEST(what_is_not_plain_about_a_targets_entry_is_noted)
{
    (void)state;
    put_file("prices.json", prices);
    notes(FILED("m = { { provider = \"azure\" } }"), "");
    notes(FILED("m = { { provider = \"p\", price = { input = 1, output = 1 } } }"), "");
    notes(FILED("m = { { provider = \"p\" } }"),
          "gateway.lua:1: note: models.m[1]: its price is that of \"m\" in prices.json; there are others: azure/m. Say price = { … } where it is one of those\n");
    notes(FILED("far = { { provider = \"p\" } }"), "gateway.lua:1: note: models.far[1]: has no price: prices.json has none for \"far\", but for q/far\n");
    notes(FILED("odd = { { provider = \"p\" } }"), "gateway.lua:1: note: models.odd[1]: of its entry \"odd\" in prices.json: input_cost_per_second: a price per second is not understood\n");
    notes(FILED("bad = { { provider = \"p\" } }"), "gateway.lua:1: note: models.bad[1]: of its entry \"bad\" in prices.json: input_cost_per_token: is negative: its price is not used\n");
}

TEST(the_file_is_part_of_the_version)
{
    (void)state;
    const char *text = FILED("m = { { provider = \"azure\" } }");
    put_file("prices.json", prices);
    struct lun_snapshot *a = load_with(text, no_environment, NULL, NULL), *b = load_with(text, no_environment, NULL, NULL);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->parts[1].kind, LUN_PART_PRICES);
    lun_snapshot_unref(b);
    put_file("prices.json", "{}");
    b = load_with(text, no_environment, NULL, NULL);
    assert_string_not_equal(a->version, b->version);
    lun_snapshot_unref(a);
    lun_snapshot_unref(b);
}

TEST(a_file_that_is_none_is_refused_with_its_line)
{
    (void)state;
    const char *text = FILED("m = { { provider = \"p\" } }");
    char *path = lun_printf("%s/prices.json", folder);
    put_file("prices.json", "{\n\"m\": {\n\"a\": 01 } }");
    refused(text, "prices.json:3: is no file of prices: at byte 14: a number must not begin with 0 unless that is all\n");
    put_file("prices.json", "[]");
    refused(text, "prices.json:1: is no file of prices: at byte 0: an object of models is wanted\n");
    unlink(path);
    free(path);
    refused(text, "gateway.lua:1: prices: \"prices.json\" cannot be read: No such file or directory\n");
    refused(HEAD "prices = 5, models = { m = { { provider = \"p\" } } } }", "gateway.lua:1: prices: must be text or false, not 5\n");
}

TEST(a_file_of_more_than_eight_mebibytes_is_refused)
{
    char *path = lun_printf("%s/prices.json", folder);
    FILE *f = fopen(path, "w");
    (void)state;
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), (8 << 20) + 1), 0);
    fclose(f);
    refused(FILED("m = { { provider = \"p\" } }"), "gateway.lua:1: prices: \"prices.json\" cannot be read: is over 8 MiB long\n");
    unlink(path);
    free(path);
}

/* ---- hard limits ---- */

#define NONE(model, many, budget) "gateway.lua:1: models." model ": " many " of its targets has a price that is known, and the budget \"" budget "\" has a hard limit: no request under it could be sent. " \
                           "Say price = { input = …, output = … } (0 where it costs nothing), or prices = \"FILE\" with a file that has it\n"

TEST(a_model_that_no_request_under_a_hard_limit_could_use_is_refused)
{
    (void)state;
    refused(HEAD "models = { m = { { provider = \"p\" } } }, budgets = { total = { limit = 1 } } }", NONE("m", "not one", "total"));
    refused(HEAD "models = { m = { { provider = \"p\" }, { provider = \"azure\" } } }, clients = { { name = \"a\", hash = H, budget = { limit = 1 } } } }", NONE("m", "none", "key a"));
    refused(HEAD "models = { m = { { provider = \"p\" } } }, clients = { { name = \"free\", hash = G }, { name = \"a\", hash = H, team = \"t\" } }, teams = { t = { budget = { limit = 0 } } } }", NONE("m", "not one", "team t"));
}

TEST(one_that_only_others_use_or_that_is_known_later_is_not)
{
    (void)state;
    notes(HEAD "models = { m = { { provider = \"p\" } } }, clients = { { name = \"a\", hash = H } } }", "");
    notes(HEAD "models = { m = { { provider = \"p\" } }, paid = { { provider = \"p\", price = { input = 0, output = 0 } } } }, clients = { { name = \"a\", hash = H, models = { \"pa*\" }, budget = { limit = 1 } } } }", "");
    notes(HEAD "models = { [\"x/*\"] = { { provider = \"p\", model = \"*\" } } }, budgets = { total = { limit = 1 } } }", "");
    notes(HEAD "models = { m = { { provider = \"p\" }, { provider = \"azure\", price = { input = 1, output = 1 } } } }, budgets = { total = { limit = 1 } } }",
          "gateway.lua:1: note: models.m: the price of the target \"p/m\" is not known: requests under the budget \"total\" pass it over\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_says_each_part_and_each_tier),
        cmocka_unit_test(mistakes_in_tiers_are_told_with_their_place),
        cmocka_unit_test(targets_of_one_name_that_differ_in_a_tier_are_two),
        cmocka_unit_test(a_target_without_a_price_takes_that_of_its_provider_and_model_then_of_its_model),
        cmocka_unit_test(what_is_not_plain_about_a_targets_entry_is_noted),
        cmocka_unit_test(the_file_is_part_of_the_version),
        cmocka_unit_test(a_file_that_is_none_is_refused_with_its_line),
        cmocka_unit_test(a_file_of_more_than_eight_mebibytes_is_refused),
        cmocka_unit_test(a_model_that_no_request_under_a_hard_limit_could_use_is_refused),
        cmocka_unit_test(one_that_only_others_use_or_that_is_known_later_is_not),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
