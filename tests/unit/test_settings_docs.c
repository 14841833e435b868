/* core/script/README.md says what gateway.lua can say: its table is that of the code, its example loads. `--write` puts the table in. */
#include "loading.h"
#include "script/settings.h"

static const char path[] = "core/script/README.md";

static char *read_page(void)
{
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: not here; run this from the top of the source tree", path);
    struct lun_buf page = { 0 };
    size_t n;
    while ((n = fread(lun_buf_space(&page, 65536), 1, 65536, f))) page.n += n;
    fclose(f);
    return lun_buf_text(&page);
}

/* What stands between the two marks, or where it would. */
static char *section(char *page, char **end)
{
    static const char from[] = "<!-- settings -->\n";
    char *at = strstr(page, from);
    *end = at ? strstr(at, "<!-- end of settings -->") : NULL;
    if (!*end) fail_msg("%s has no section 'settings'", path);
    return at + strlen(from);
}

static void the_reference_is_that_of_the_code(void **state)
{
    (void)state;
    struct lun_buf now = { 0 };
    char *page = read_page(), *end, *at = section(page, &end);
    lun_settings_reference(&now);
    if ((size_t)(end - at) != now.n || memcmp(at, now.at, now.n))
        fail_msg("the table of %s is not what the code says; build/tests/test_settings_docs --write puts it right", path);
    lun_buf_free(&now);
    free(page);
}

static struct lun_snapshot *load_example(const char *const *environment)
{
    char *page = read_page(), *at = strstr(page, "```lua\n"), *end = at ? strstr(at + 7, "\n```") : NULL;
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

static int write_page(void)
{
    struct lun_buf out = { 0 };
    char *page = read_page(), *end, *at = section(page, &end);
    lun_buf_add(&out, page, (size_t)(at - page));
    lun_settings_reference(&out);
    lun_buf_puts(&out, end);
    FILE *f = fopen(path, "w");
    if (!f) return perror(path), 1;
    fwrite(out.at, 1, out.n, f);
    fclose(f);
    lun_buf_free(&out);
    free(page);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_that_of_the_code),
        cmocka_unit_test(the_example_loads),
        cmocka_unit_test(the_example_takes_what_the_page_says_from_outside),
        cmocka_unit_test(every_setting_has_a_sentence),
    };
    if (argc == 2 && !strcmp(argv[1], "--write")) return write_page();
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
