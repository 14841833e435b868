/* `capture` of gateway.lua. */
#include "script/loading.h"
#include "script/redact.h"
#include <stdlib.h>

static void load_keys(struct lun_loading *l, const struct lun_value *table)
{
    struct lun_capture_rules *rules = &l->snapshot->capture;
    const struct lun_value *v = lun_check_get(l, LUN_SCOPE_CAPTURE, table, "keys");
    if (!v) return;
    if (!v->n_items) lun_wrong(l, v, "names nobody: leave it out for all, or name one");
    const char **names = lun_arena_alloc(&l->snapshot->arena, (size_t)v->n_items * sizeof *names + 1);
    for (int i = 0; i < v->n_items; i++)
        if (lun_check_line(l, v->items[i], 256)) names[rules->n_keys++] = lun_arena_strdup(&l->snapshot->arena, v->items[i]->text);
    rules->keys = names;
}

/* It is made here once for what is wrong with it. */
static void load_redact(struct lun_loading *l, const struct lun_value *table, const char *name)
{
    struct lun_capture_rules *rules = &l->snapshot->capture;
    const struct lun_value *v = lun_value_get(table, "redact");
    const char *why;
    char *error = NULL;
    if (!name) return;
    if (!lun_file_read(l, LUN_PART_REDACT, NULL, name, &rules->redact, &why)) { lun_wrong(l, v, "%s cannot be read: %s", lun_value_quote(name, &l->scratch), why); return; }
    if (l->options->no_policy_check) return;
    struct lun_redact *r = lun_redact_new(lun_file_shown(l, name), rules->redact.text, rules->redact.n, l->options->cpu, &error);
    if (!r) lun_wrong_lua(l, error, lun_file_shown(l, name));
    lun_redact_free(r);
    free(error);
}

void lun_load_capture(struct lun_loading *l)
{
    struct lun_capture_draft d = { .rules = l->snapshot->capture };
    struct lun_value *said = lun_value_get(l->root, "capture"), *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "capture");
    if (!v) {
        lun_origin(l, said, "capture", "false");
        return;
    }
    lun_check(l, LUN_SCOPE_CAPTURE, v, &d, 0, "capture.");
    l->snapshot->capture = d.rules;
    load_keys(l, v);
    load_redact(l, v, d.redact);
    if (!d.rules.share && !d.rules.errors) lun_wrong(l, v, "captures nothing: say share, or errors = true; or false, and there is none");
}
