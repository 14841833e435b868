/* The setting `redis`: where it may come from, and that no password is ever shown. */
#include "loading.h"
#include "script/origins.h"

#define SMALL "return { providers = { p = { base_url = \"http://h\" } }, models = { m = { { provider = \"p\", price = { input = 1, output = 1 } } } }"

static struct lun_snapshot *loaded(const char *more, const char *variable, char **shown)
{
    const char *environment[] = { variable, NULL };
    struct lun_origins origins = { 0 };
    struct lun_buf out = { 0 };
    char *text = lun_printf(SMALL "%s }", more), *told;
    struct lun_snapshot *s = load_with(text, environment, &origins, &told);
    if (!s) fail_msg("%s", told);
    lun_origins_print(&origins, &out);
    *shown = lun_strdup(lun_buf_text(&out));
    lun_buf_free(&out), lun_origins_free(&origins);
    free(text), free(told);
    return s;
}

static void expect(const char *more, const char *variable, const char *url, const char *line)
{
    char *shown;
    struct lun_snapshot *s = loaded(more, variable, &shown);
    if (url) assert_string_equal(s->redis, url);
    else assert_null(s->redis);
    if (!strstr(shown, line)) fail_msg("%s is not in %s", line, shown);
    assert_null(strstr(shown, "hunter2"));
    assert_int_equal(s->n_secrets, url && strstr(url, "hunter2") != NULL);      /* wiped with the snapshot */
    lun_snapshot_unref(s);
    free(shown);
}

static void it_is_said_as_text_as_a_secret_or_outside(void **state)
{
    (void)state;
    expect("", NULL, NULL, "redis = false");
    expect(", redis = false", NULL, NULL, "redis = false");
    expect(", redis = \"redis://10.0.0.5/1\"", NULL, "redis://10.0.0.5/1", "redis = \"redis://10.0.0.5:6379/1\"");
    expect(", redis = \"unix:/run/redis.sock\"", NULL, "unix:/run/redis.sock", "redis = \"unix:/run/redis.sock\"");
    expect(", redis = secret \"R\"", "R=redis://:hunter2@h\n", "redis://:hunter2@h", "redis = secret \"R\"");
    expect("", "LUNETTE_REDIS=redis://a:hunter2@h", "redis://a:hunter2@h", "redis = \"redis://h:6379\"");
    expect(", redis = \"redis://x\"", "LUNETTE_REDIS=redis://h", "redis://h", "redis = \"redis://h:6379\"");
    expect(", redis = \"redis://x\"", "LUNETTE_REDIS=false", NULL, "redis = false");
}

static void prefix_and_certificates_have_names_of_their_own(void **state)
{
    char *shown;
    (void)state;
    struct lun_snapshot *s = loaded("", NULL, &shown);
    assert_string_equal(s->redis_prefix, "lunette");
    assert_null(s->redis_ca);
    lun_snapshot_unref(s), free(shown);
    put_file("ca.pem", AUTHORITY);
    s = loaded(", redis_prefix = \"eu\", redis_ca = \"ca.pem\"", "LUNETTE_REDIS_PREFIX=us", &shown);
    assert_string_equal(s->redis_prefix, "us");
    assert_true(!strncmp(s->redis_ca, folder, strlen(folder)));
    lun_snapshot_unref(s), free(shown);
}

static void what_is_wrong_outside_is_told_without_what_was_said(void **state)
{
    static const char *const wrong[] = { "LUNETTE_REDIS=hunter2", "LUNETTE_REDIS=redis://:hunter2", "LUNETTE_REDIS=redis://:hun/ter2@h" };
    char *told;
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *environment[] = { i < 3 ? wrong[i] : "R=http://hunter2", NULL };
        assert_null(load_with(i < 3 ? SMALL "}" : SMALL ", redis = secret \"R\" }", environment, NULL, &told));
        assert_non_null(strstr(told, i < 3 ? "LUNETTE_REDIS" : "R must begin with redis://"));
        assert_null(strstr(told, "hun"));
        free(told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_said_as_text_as_a_secret_or_outside), cmocka_unit_test(prefix_and_certificates_have_names_of_their_own),
        cmocka_unit_test(what_is_wrong_outside_is_told_without_what_was_said),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
