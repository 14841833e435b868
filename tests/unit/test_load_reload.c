/* What of a configuration matters to a reload: the folder for its state, the admin token, a policy's settings, every file it depends on,
 * and what counts though it is not in the version. */
#include "loading.h"
#include <math.h>

#define SMALL "return { providers = { p = { base_url = \"http://p\", key = secret \"K\" } }, models = { m = { { provider = \"p\" } } }"
static const char *const key[] = { "K=sk-one", NULL };

static void the_state_folder_is_beside_the_file(void **state)
{
    (void)state;
    char *wanted = lun_printf("%s/.lunette", folder);
    struct lun_snapshot *s = load_with(SMALL "}", key, NULL, NULL);
    assert_string_equal(s->state, wanted);
    assert_false(s->state_said);
    lun_snapshot_unref(s);
    s = load_with(SMALL ", state = \"/var/lib/lunette\" }", key, NULL, NULL);
    assert_string_equal(s->state, "/var/lib/lunette");
    assert_true(s->state_said);
    lun_snapshot_unref(s);
    s = load_with(SMALL ", state = false }", key, NULL, NULL);
    assert_null(s->state);
    lun_snapshot_unref(s);
    free(wanted);
}

static void a_token_opens_the_admin_listener_to_others(void **state)
{
    static const char *const by_name[] = { "K=sk-one", "T=0123456789abcdef", NULL }, *const by_default[] = { "K=sk-one", "LUNETTE_ADMIN_TOKEN=0123456789abcdef", NULL };
    static const char *const small[] = { "K=sk-one", "LUNETTE_ADMIN_TOKEN=0123456789abcde", NULL };
    (void)state;
    struct lun_snapshot *s = load_with(SMALL ", admin = \":4001\", admin_token = secret \"T\" }", by_name, NULL, NULL);
    assert_string_equal(s->admin_token, "0123456789abcdef");
    lun_snapshot_unref(s);
    s = load_with(SMALL ", admin = \":4001\" }", by_default, NULL, NULL);
    assert_string_equal(s->admin_token, "0123456789abcdef");
    lun_snapshot_unref(s);
    refused_with(SMALL "}", small, "LUNETTE_ADMIN_TOKEN: must have at least 16 characters\n");
}

static void the_token_is_never_shown(void **state)
{
    static const char *const token[] = { "K=sk-one", "LUNETTE_ADMIN_TOKEN=0123456789abcdef", NULL };
    struct lun_origins origins = { 0 };
    struct lun_buf out = { 0 };
    (void)state;
    lun_snapshot_unref(load_with(SMALL "}", token, &origins, NULL));
    lun_origins_print(&origins, &out);
    assert_non_null(strstr(lun_buf_text(&out), "admin_token = secret \"LUNETTE_ADMIN_TOKEN\""));
    assert_null(strstr(lun_buf_text(&out), "0123456789abcdef"));
    lun_buf_free(&out);
    lun_origins_free(&origins);
}

static void a_policys_settings_are_known_with_their_bounds(void **state)
{
    (void)state;
    put_file("policy.lua", "return { settings = { share = { default = 5, min = 0, max = 100 }, on = { default = true }, mode = { default = \"fast\" }, free = { default = 1 } } }");
    struct lun_snapshot *s = load_with(SMALL ", policy = \"policy.lua\" }", key, NULL, NULL);
    const struct lun_policy_setting *share = lun_snapshot_setting(s, "share"), *free_one = lun_snapshot_setting(s, "free");
    assert_int_equal(s->n_settings, 4);
    assert_true(share && share->initial.number == 5 && share->min == 0 && share->max == 100);
    assert_true(free_one && free_one->min == -HUGE_VAL && free_one->max == HUGE_VAL);
    assert_true(lun_snapshot_setting(s, "on")->initial.yes);
    assert_string_equal(lun_snapshot_setting(s, "mode")->initial.text, "fast");
    assert_null(lun_snapshot_setting(s, "other"));
    lun_snapshot_unref(s);
}

static void note_path(void *self, const char *path) { lun_buf_printf(self, "%s\n", path + (strncmp(path, folder, strlen(folder)) ? 0 : strlen(folder))); }

/* All files that a load has looked at, each on a line. Yours to free. */
static char *looked_at(const char *text)
{
    struct lun_mistakes m = { 0 };
    struct lun_buf out = { 0 };
    char *secrets = lun_printf("%s/run-secrets", folder);
    struct lun_load_options o = { .environment = no_environment, .secrets_folder = secrets, .cpu = cpu, .looked_at = note_path, .looked_at_self = &out };
    put_file("gateway.lua", text);
    char *path = lun_printf("%s/gateway.lua", folder);
    lun_snapshot_unref(lun_load(path, &o, &m));
    lun_mistakes_free(&m);
    free(path);
    free(secrets);
    lun_buf_text(&out);
    return out.at;
}

static void every_file_that_matters_is_told_also_when_the_load_fails(void **state)
{
    (void)state;
    put_file("run-secrets/K", "sk-one\n");
    put_file("words.lua", "return {}");
    put_file("policy.lua", "local w = require \"words\"\nreturn {}");
    put_file("ca.pem", AUTHORITY);
    char *files = looked_at("local b = require \"base\"\nreturn b");
    assert_string_equal(files, "/gateway.lua\n/base.lua\n");
    free(files);
    files = looked_at("return { providers = { p = { base_url = \"https://p\", key = secret \"K\", ca = \"ca.pem\" } }, models = { m = { { provider = \"p\" } } }, policy = \"policy.lua\" }");
    static const char *const wanted[] = { "/gateway.lua\n", "/policy.lua\n", "/words.lua\n", "/ca.pem\n", "/run-secrets/K\n" };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) if (!strstr(files, wanted[i])) fail_msg("%s is not among %s", wanted[i], files);
    free(files);
}

static void outside(const char *text, unsigned char sum[32], char version[64])
{
    struct lun_snapshot *s = load_with(text, no_environment, NULL, NULL);
    memcpy(sum, s->outside, 32);
    snprintf(version, 64, "%s", s->version);
    lun_snapshot_unref(s);
}

static void a_secret_or_a_ca_that_changed_is_a_change_of_an_equal_version(void **state)
{
    static const char text[] = "return { providers = { p = { base_url = \"https://p\", key = secret \"K\", ca = \"ca.pem\" } }, models = { m = { { provider = \"p\" } } } }";
    unsigned char a[32], b[32], c[32], d[32];
    char v[64], w[64];
    (void)state;
    put_file("run-secrets/K", "sk-one\n");
    put_file("ca.pem", AUTHORITY);
    outside(text, a, v);
    outside(text, b, w);
    assert_memory_equal(a, b, 32);
    put_file("run-secrets/K", "sk-two\n");
    outside(text, c, w);
    assert_memory_not_equal(a, c, 32);
    put_file("ca.pem", "y\n" AUTHORITY);
    outside(text, d, w);
    assert_memory_not_equal(c, d, 32);
    assert_string_equal(v, w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_folder_is_beside_the_file),
        cmocka_unit_test(a_token_opens_the_admin_listener_to_others),
        cmocka_unit_test(the_token_is_never_shown),
        cmocka_unit_test(a_policys_settings_are_known_with_their_bounds),
        cmocka_unit_test(every_file_that_matters_is_told_also_when_the_load_fails),
        cmocka_unit_test(a_secret_or_a_ca_that_changed_is_a_change_of_an_equal_version),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
