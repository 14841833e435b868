/* core/script/README.md says what gateway.lua can say: its table is that of the code, its example loads. `--write` puts the table in. */
#include "loading.h"
#include "page.h"
#include "script/given.h"
#include "script/settings.h"

static const char path[] = "core/script/README.md";

static void put_given(struct lun_buf *out)
{
    lun_buf_puts(out, "| | |\n|---|---|\n");
    for (const struct lun_given *g = lun_given_functions; g->name; g++) {
        lun_buf_printf(out, "| `%s%s` |", g->name, g->arguments);
        page_cell(out, g->doc);
        lun_buf_putc(out, '\n');
    }
}

static const struct page_part parts[] = { { path, "settings", lun_settings_reference }, { path, "given", put_given } };

static void the_reference_is_that_of_the_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) page_is_current(&parts[i]);
}

static struct lun_snapshot *load_example(const char *const *environment)
{
    char *page = page_read(path), *at = strstr(page, "```lua\n"), *end = at ? strstr(at + 7, "\n```") : NULL;
    if (!end) fail_msg("%s has no example", path);
    *end = 0;
    put_file("policy.lua", "return {}\n");
    struct lun_snapshot *s = load_with(at + 7, environment, NULL, NULL);
    free(page);
    return s;
}

static void the_example_loads(void **state)
{
    (void)state;
    static const char *environment[] = { "OPENAI_API_KEY=k0123456789abcdef", NULL };
    struct lun_snapshot *s = load_example(environment);
    assert_int_equal(s->n_providers, 1);
    assert_int_equal(s->n_clients, 2);
    assert_int_equal(s->clients[0].trust, LUN_TRUST_TASK);
    assert_int_equal(s->clients[1].trust, LUN_TRUST_TASK | LUN_TRUST_TAGS);
    assert_string_equal(s->clients[1].team->name, "search");
    lun_snapshot_unref(s);
}

static void the_example_takes_what_the_page_says_from_outside(void **state)
{
    (void)state;
    static const char *environment[] = { "OPENAI_API_KEY=k0123456789abcdef", "SPARE_API_KEY=k0123456789abcdeg", "LUNETTE_LISTEN=:8080",
                                         "LUNETTE_LIMITS_DEADLINE=60", "LUNETTE_PROVIDERS_OPENAI_BASE_URL=http://127.0.0.1:4010/v1", NULL };
    struct lun_snapshot *s = load_example(environment);
    assert_int_equal(s->n_providers, 2);
    assert_string_equal(s->listen, ":8080");
    assert_int_equal(s->limits.deadline, 60 * LUN_SECOND);
    lun_snapshot_unref(s);
}

static void every_setting_has_a_sentence(void **state)
{
    (void)state;
    for (int i = 0; i < lun_settings_count; i++) {
        const struct lun_setting *s = &lun_settings[i];
        if (!s->doc || strlen(s->doc) < 8 || s->doc[strlen(s->doc) - 1] != '.') fail_msg("%s%s has no words", lun_scope_path(s->scope), s->name);
        assert_ptr_equal(lun_setting_find(s->scope, s->name), s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_that_of_the_code),
        cmocka_unit_test(the_example_loads),
        cmocka_unit_test(the_example_takes_what_the_page_says_from_outside),
        cmocka_unit_test(every_setting_has_a_sentence),
    };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
