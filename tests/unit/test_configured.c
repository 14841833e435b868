/* Names that a policy says and the configuration does not have. */
#include "policy_world.h"
#include "script/configured.h"

static void notes_are(struct world *w, const char *text, const char *expected)
{
    struct lun_mistakes notes = { 0 };
    struct lun_buf out = { 0 };
    lun_configured_notes(w->snapshot, "p.lua", text, strlen(text), &notes);
    lun_mistakes_print(&notes, &out);
    if (strcmp(lun_buf_text(&out), expected)) fail_msg("for %s\nexpected: %sgot:      %s", text, expected, lun_buf_text(&out));
    lun_buf_free(&out);
    lun_mistakes_free(&notes);
}

static void a_literal_name_that_nothing_has_is_noted_with_its_line(void **state)
{
    W;
    notes_are(w, "\nx = targets:of 'smal'", "p.lua:2: note: of \"smal\": the configuration has no such model (did you mean small?)\n");
    notes_are(w, "targets:of(\n'small',\n\"lrage\")", "p.lua:3: note: of \"lrage\": the configuration has no such model (did you mean large?)\n");
    notes_are(w, "targets:named [[a/smal]]", "p.lua:1: note: named \"a/smal\": the configuration has no such target (did you mean a/small?)\n");
    notes_are(w, "targets:of('small'):provider('zebra')", "p.lua:1: note: provider \"zebra\": the configuration has no such provider\n");
    notes_are(w, "lunette.degrade('smal') lunette.degrade 'larg'", "p.lua:1: note: degrade \"smal\": the configuration has no such model (did you mean small?)\n"
                                                                   "p.lua:1: note: degrade \"larg\": the configuration has no such model (did you mean large?)\n");
}

static void names_that_are_there_or_put_together_are_let_pass(void **state)
{
    W;
    notes_are(w, "targets:of('small', 'large'):named 'a/small':provider('a')", "");
    notes_are(w, "targets:of('sm' .. 'all') targets:of(name) targets:of { 'smal' } targets:of()", "");
    notes_are(w, "local of = 'smal' f(of, 'smal') t.provider = 'zebra' of 'smal' -- targets:of 'smal'", "");
    notes_are(w, "degrade(function(target) return target.price end, 'x'", "");
    notes_are(w, "targets:of(", "");
}

static void a_pattern_takes_what_fits_it(void **state)
{
    W;
    struct lun_model *m = lun_arena_zalloc(&w->snapshot->arena, sizeof *m);
    *m = (struct lun_model){ .name = "open/*", .pattern = true, .targets = w->snapshot->models[0].targets, .n_targets = 2 };
    w->snapshot->models = m;
    w->snapshot->n_models = 1;
    lun_snapshot_sort_models(w->snapshot);
    assert_true(lun_configured(w->snapshot, LUN_NAMED_MODEL, "open/one"));
    assert_true(lun_configured(w->snapshot, LUN_NAMED_MODEL, "open/*"));
    assert_false(lun_configured(w->snapshot, LUN_NAMED_MODEL, "small"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit(a_literal_name_that_nothing_has_is_noted_with_its_line),
        unit(names_that_are_there_or_put_together_are_let_pass),
        unit(a_pattern_takes_what_fits_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
