/* policies/README.md says what the code does: its tables are those of the code, its examples load and run. `--write` puts the tables in. */
#include "page.h"
#include "policy_world.h"
#include "script/bind.h"
#include "state/outcome.h"

static const char path[] = "policies/README.md";

static void put_kinds(struct lun_buf *out)
{
    static const char *const rules[] = { "", "next", "other", "stop" };
    lun_buf_puts(out, "| kind | what happened | billed | default |\n|---|---|---|---|\n");
    for (int k = 0; k < LUN_KIND_COUNT; k++)
        lun_buf_printf(out, "| `%s` | %s | %s | %s |\n", lun_kind_name(k), lun_kind_text(k), lun_billed_name(lun_kind_billed(k)), rules[lun_kind_rule(k)]);
}

static const struct page_part parts[] = { { path, "kinds", put_kinds }, { path, "reference", lun_bind_reference }, { path, "hooks", lun_bind_hooks_reference } };

static void the_list_of_kinds_is_that_of_the_code(void **state) { (void)state; page_is_current(&parts[0]); }
static void the_hooks_are_those_of_the_code(void **state) { (void)state; page_is_current(&parts[2]); }
static void the_reference_is_that_of_the_code(void **state) { (void)state; page_is_current(&parts[1]); }

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
    char *page = page_read(path);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_that_of_the_code),
        cmocka_unit_test(the_list_of_kinds_is_that_of_the_code),
        cmocka_unit_test(the_hooks_are_those_of_the_code),
        cmocka_unit_test(every_member_and_function_is_documented_once),
        unit(every_example_loads_and_runs),
    };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
