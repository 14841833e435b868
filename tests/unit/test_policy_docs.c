/* policies/README.md says what the code does: its tables are those of the code, its examples load and run. `--write` puts the tables in. */
#include "policy_world.h"
#include "script/bind.h"
#include "state/outcome.h"

static const char path[] = "policies/README.md";

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

static void put_kinds(struct lun_buf *out)
{
    static const char *const rules[] = { "", "next", "other", "stop" };
    lun_buf_puts(out, "| kind | what happened | billed | default |\n|---|---|---|---|\n");
    for (int k = 0; k < LUN_KIND_COUNT; k++)
        lun_buf_printf(out, "| `%s` | %s | %s | %s |\n", lun_kind_name(k), lun_kind_text(k), lun_billed_name(lun_kind_billed(k)), rules[lun_kind_rule(k)]);
}

/* What stands between <!-- name --> and <!-- end of name -->, or where it would. */
static char *section(char *page, const char *name, char **end)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "<!-- %s -->\n", name);
    snprintf(to, sizeof to, "<!-- end of %s -->", name);
    char *at = strstr(page, from);
    *end = at ? strstr(at, to) : NULL;
    if (!*end) fail_msg("%s has no section '%s'", path, name);
    return at + strlen(from);
}

static void is_current(const char *name, void (*put)(struct lun_buf *))
{
    struct lun_buf now = { 0 };
    char *page = read_page(), *end, *at = section(page, name, &end);
    put(&now);
    if ((size_t)(end - at) != now.n || memcmp(at, now.at, now.n))
        fail_msg("the section '%s' of %s is not what the code says; build/tests/test_policy_docs --write puts it right", name, path);
    lun_buf_free(&now);
    free(page);
}

static void the_reference_is_that_of_the_code(void **state) { (void)state; is_current("reference", lun_bind_reference); }
static void the_list_of_kinds_is_that_of_the_code(void **state) { (void)state; is_current("kinds", put_kinds); }

/* Runs a hook of an example to its end, whatever it waits for. */
static void runs(struct world *w, const char *example, enum lun_hook hook, const char *body)
{
    struct lun_question *q = ask(w, body);
    struct lun_trial *trial = tried(w, q, &w->target[0], LUN_KIND_RATE_LIMITED, 429);
    struct lun_outcome outcome = { .status = 200, .trial = trial, .fallback = true };
    struct lun_thought *t = lun_policy_think(w->policy, q, hook, trial, &outcome);
    static const char answer[] = "{\"choices\":[{\"message\":{\"content\":\"yes\"}}]}";
    while (t->state == LUN_THOUGHT_WISHES) lun_thought_fulfil(t, &(struct lun_wish_result){ .status = 200, .body = answer, .body_n = strlen(answer) });
    if (t->state == LUN_THOUGHT_FAILED) fail_msg("%s fails: %s\n%s", lun_hook_name(hook), t->error, example);
    lun_thought_end(t);
    over(w, q);
}

static int try_examples(struct world *w, char *page)
{
    int n = 0;
    for (char *at = page, *end; (at = strstr(at, "```lua\n")); at = end + 4) {
        at += 7;
        end = strstr(at, "\n```");
        assert_non_null(end);
        *end = 0;
        world_policy(w, at);
        for (int hook = 0; hook < LUN_HOOK_COUNT; hook++) runs(w, at, hook, HELLO);
        n++;
    }
    return n;
}

static void every_example_loads_and_runs(void **state)
{
    W;
    char *page = read_page();
    assert_true(try_examples(w, page) >= 5);
    free(page);
}

static void every_member_and_function_is_documented_once(void **state)
{
    (void)state;
    for (const struct lun_class *const *c = lun_classes; *c; c++) {
        assert_true((*c)->doc && strlen((*c)->doc) > 10);
        for (const struct lun_member *m = (*c)->members; m->name; m++) {
            if (!m->doc || strlen(m->doc) < 8 || !m->type) fail_msg("%s.%s has no words", (*c)->name, m->name);
            assert_true(!m->get == !!m->arguments);
            for (const struct lun_member *o = m + 1; o->name; o++) assert_string_not_equal(m->name, o->name);
        }
    }
    for (const struct lun_function *f = lun_functions; f->name; f++) assert_true(f->arguments && f->result && strlen(f->doc) > 10);
}

static void write_section(const char *name, void (*put)(struct lun_buf *))
{
    struct lun_buf out = { 0 };
    char *page = read_page(), *end, *at = section(page, name, &end);
    lun_buf_add(&out, page, (size_t)(at - page));
    put(&out);
    lun_buf_puts(&out, end);
    FILE *f = fopen(path, "w");
    fwrite(out.at, 1, out.n, f);
    fclose(f);
    lun_buf_free(&out);
    free(page);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_that_of_the_code),
        cmocka_unit_test(the_list_of_kinds_is_that_of_the_code),
        cmocka_unit_test(every_member_and_function_is_documented_once),
        unit(every_example_loads_and_runs),
    };
    if (argc == 2 && !strcmp(argv[1], "--write")) {
        write_section("reference", lun_bind_reference);
        write_section("kinds", put_kinds);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
