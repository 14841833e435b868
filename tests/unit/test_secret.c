#include "loading.h"
#include "script/secret.h"
#include "script/settings.h"

static char *path(const char *name)
{
    static char text[256];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static struct lun_secrets *secrets_in(const char *const *environment)
{
    return lun_secrets_new(environment, path("run"));
}

static void is_problem(const char *const *environment, const char *name, const char *expected)
{
    struct lun_secrets *s = secrets_in(environment);
    const struct lun_found *f = lun_secrets_find(s, name);
    assert_null(f->value);
    char *wanted = strstr(expected, "RUN") ? lun_printf("%.*s%s%s", (int)(strstr(expected, "RUN") - expected), expected, path("run"), strstr(expected, "RUN") + 3) : lun_strdup(expected);
    assert_string_equal(f->problem, wanted);
    free(wanted);
    lun_secrets_free(s);
}

static void the_environment_comes_first_then_credentials_then_run_secrets(void **state)
{
    (void)state;
    put_file("cred/KEY", "from-credentials\n"), put_file("run/KEY", " \tfrom-run\r\n"), put_file("run/BLANK", " \n"), put_file("run/OTHER", "other");
    char *credentials = lun_printf("CREDENTIALS_DIRECTORY=%s/cred", folder);
    const char *all[] = { "KEY= from-environment \n", credentials, NULL }, *two[] = { credentials, "KEY=", "OTHER=  ", NULL }, *one[] = { "x=y", NULL };
    const char *const *environments[] = { all, two, one };
    static const char *const values[] = { "from-environment", "from-credentials", "from-run" };
    for (int i = 0; i < 3; i++) {
        struct lun_secrets *s = secrets_in(environments[i]);
        const struct lun_found *f = lun_secrets_find(s, "KEY");
        assert_string_equal(f->value, values[i]);
        assert_null(f->problem);
        assert_ptr_equal(f, lun_secrets_find(s, "KEY"));
        assert_string_equal(lun_secrets_find(s, "OTHER")->value, "other");
        lun_secrets_free(s);
    }
    free(credentials);
}

static void what_is_missing_blank_or_unfit_is_told_by_name(void **state)
{
    (void)state;
    put_file("run/BLANK", " \n");
    put_file("run/TWO", "a\nb");
    mkdir(path("run/FOLDER"), 0700);
    const char *none[] = { "BAD=a\tb", "NO=sk-\xc3\xbc", "EMPTY=", NULL };
    is_problem(none, "NONE", "NONE is not set: set the environment variable, or put it into the file RUN/NONE");
    is_problem(none, "FOLDER", "FOLDER is not set: set the environment variable, or put it into the file RUN/FOLDER");
    is_problem(none, "EMPTY", "EMPTY is blank (environment): set the environment variable EMPTY");
    is_problem(none, "BAD", "BAD has a line break, or another character that a key cannot have, in it (environment)");
    is_problem(none, "NO", "NO has a line break, or another character that a key cannot have, in it (environment)");
    is_problem(none, "TWO", "TWO has a line break, or another character that a key cannot have, in it (RUN/TWO)");
    is_problem(none, "../KEY", "a secret's name must be letters, digits and _ - . (at most 128)");
    is_problem(none, "/etc/passwd", "a secret's name must be letters, digits and _ - . (at most 128)");
    is_problem(none, "..", "a secret's name must be letters, digits and _ - . (at most 128)");
}

static void what_editors_and_shells_put_round_a_key_is_taken_off(void **state)
{
    (void)state;
    static const char *const written[] = { "sk-1234", " sk-1234\t", "sk-1234\r\n", "\"sk-1234\"", "'sk-1234'", " \" sk-1234 \"\n", "\xEF\xBB\xBFsk-1234\n", "\xEF\xBB\xBF\"sk-1234\"" };
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        put_file("run/WRAPPED", written[i]);
        struct lun_secrets *s = lun_secrets_new((const char *[]){ NULL }, path("run"));
        assert_string_equal(lun_secrets_find(s, "WRAPPED")->value, "sk-1234");
        lun_secrets_free(s);
    }
    const char *odd[] = { "HALF=\"sk-1234", "OTHER=sk-1234'", "NOTHING=\"\"", "NBSP=\xC2\xA0sk-1234", "YOURS=YOUR_\xE2\x80\xA6", NULL };
    is_problem(odd, "HALF", "HALF has a quotation mark at one end: the key is to stand there without, or between two of them (environment)");
    is_problem(odd, "OTHER", "OTHER has a quotation mark at one end: the key is to stand there without, or between two of them (environment)");
    is_problem(odd, "NOTHING", "NOTHING is blank (environment): set the environment variable NOTHING");
    is_problem(odd, "NBSP", "NBSP has a line break, or another character that a key cannot have, in it (environment)");
    is_problem(odd, "YOURS", "YOURS holds the placeholder of an example, not a key (environment)");
}

static void a_value_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char *text = lun_zalloc(70000), *value = lun_zalloc(70010);
    memset(text, 'k', 20000);
    put_file("run/LONG", text);
    sprintf(value, "LONG2=%s", text);
    const char *environment[] = { value, NULL };
    is_problem(environment, "LONG", "LONG is over 16 KiB long (RUN/LONG)");
    is_problem(environment, "LONG2", "LONG2 is over 16 KiB long (environment)");
    free(text), free(value);
}

static void placeholders_are_known(void **state)
{
    static const char *const fakes[] = { "YOUR_API_KEY", "your-key", "Your key here", "<key>", "<YOUR KEY>", "sk-xxx", "sk-xxxxxxxxxxxx", "SK-XXXX", "changeme", "ChangeMe123", "change_me", "...", "sk-...", "sk-ab...", "…", "TODO",
        "todo: fill in", "xxx", "XXXXXXXX", "replace_me", "REPLACE-WITH-KEY", "insert_key", "placeholder", "${OPENAI_API_KEY}", "$OPENAI_API_KEY", "{{ key }}", "[key]", "my-api-key-here", "api_key", "***", "sk-****", "put_your_key_here", "sk-your-key", "enter_key", "sk-proj-xxxxxx", "hs_xxxxxxxx", "undefined", "my-api-key" };
    static const char *const keys[] = { "sk-proj-abc123", "sk-ant-api03-x", "gsk_123", "AIzaSyD", "none", "local", "ollama", "test", "0123456789abcdef", "sk-x", "Bearer", "key-123", "sk-or-v1-1", "hf_abc", "xai-123", "a<b>c", "sk-axxx" };
    (void)state;
    for (size_t i = 0; i < sizeof fakes / sizeof *fakes; i++)
        if (!lun_secret_placeholder(fakes[i])) fail_msg("%s is taken for a key", fakes[i]);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (lun_secret_placeholder(keys[i])) fail_msg("%s is taken for a placeholder", keys[i]);
    const char *environment[] = { "KEY=YOUR_OPENAI_KEY", NULL };
    is_problem(environment, "KEY", "KEY holds the placeholder of an example, not a key (environment)");
}

static void a_missing_key_is_told_at_its_line(void **state)
{
    (void)state;
    char *told = lun_printf("gateway.lua:3: providers.p.key[2]: OPENAI_API_KEY is not set: set the environment variable, or put it into the file %s/OPENAI_API_KEY\n", path("run-secrets"));
    static const char *const environment[] = { "A=sk-1", NULL };
    refused_with("return { providers = { p = { base_url = 'http://x',\n  key = { secret 'A',\n    secret 'OPENAI_API_KEY' } } }, models = { m = { { provider = 'p' } } } }", environment, told);
    free(told);
}

/* ---- the table of settings ---- */

static void each_setting_is_there_once_and_explained(void **state)
{
    (void)state;
    for (int i = 0; i < lun_settings_count; i++) {
        const struct lun_setting *s = &lun_settings[i];
        assert_ptr_equal(lun_setting_find(s->scope, s->name), s);
        assert_true(strlen(s->doc) > 8 && s->doc[strlen(s->doc) - 1] == '.');
        assert_int_equal(strspn(s->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(s->name));
        if (s->type >= LUN_TABLE) assert_true(s->inside != LUN_SCOPE_TOP);
    }
}

static void the_reference_names_every_setting(void **state)
{
    struct lun_buf out = { 0 };
    (void)state;
    lun_settings_reference(&out);
    const char *text = lun_buf_text(&out);
    assert_non_null(strstr(text, "| `limits.deadline` | a number of seconds over 0 and up to 86400 | `590` |"));
    assert_non_null(strstr(text, "| `listen` | an address"));
    assert_non_null(strstr(text, "| `routes` | not built yet |"));
    int lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, lun_settings_count + 2);
    lun_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_comes_first_then_credentials_then_run_secrets),
        cmocka_unit_test(what_is_missing_blank_or_unfit_is_told_by_name),
        cmocka_unit_test(what_editors_and_shells_put_round_a_key_is_taken_off), cmocka_unit_test(a_value_that_is_too_long_is_refused),
        cmocka_unit_test(placeholders_are_known),
        cmocka_unit_test(a_missing_key_is_told_at_its_line),
        cmocka_unit_test(each_setting_is_there_once_and_explained),
        cmocka_unit_test(the_reference_names_every_setting),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
