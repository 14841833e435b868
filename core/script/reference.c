#include "script/bind.h"

/* One row; a bar inside of it would end the cell. */
static void put_row(struct lun_buf *out, const char *before, const char *name, const char *arguments, const char *type, const char *doc)
{
    struct lun_buf row = { 0 };
    lun_buf_printf(&row, "`%s%s%s` \n %s \n %s \n", before, name, arguments ? arguments : "", type, doc);
    lun_buf_puts(out, "| ");
    for (size_t i = 0; i < row.n; i++)
        if (row.at[i] == '|') lun_buf_puts(out, "\\|");
        else lun_buf_putc(out, row.at[i] == '\n' ? '|' : row.at[i]);
    lun_buf_putc(out, '\n');
    lun_buf_free(&row);
}

void lun_bind_reference(struct lun_buf *out)
{
    for (const struct lun_class *const *c = lun_classes; *c; c++) {
        lun_buf_printf(out, "### %s\n\n%s\n", (*c)->name, (*c)->doc);
        if ((*c)->members->name) lun_buf_puts(out, "\n| name | is | meaning |\n|---|---|---|\n");
        for (const struct lun_member *m = (*c)->members; m->name; m++) put_row(out, m->arguments ? ":" : "", m->name, m->arguments, m->type, m->doc);
        lun_buf_puts(out, "\n");
    }
    lun_buf_puts(out, "### Functions\n\nAll of them are fields of `require \"lunette\"`. What can go wrong returns `nil` and a reason; misuse raises.\n\n"
                      "| function | gives | meaning |\n|---|---|---|\n");
    for (const struct lun_function *f = lun_functions; f->name; f++) put_row(out, "lunette.", f->name, f->arguments, f->result, f->doc);
}

#define ANSWER "|lunette.Decision|nil"
const struct lun_hook_words lun_hook_words[LUN_HOOK_COUNT] = {
    [LUN_HOOK_CLASSIFY] = { "first", "request", "a label, a list of labels, `refuse{…}`", "fun(request: lunette.Request): string|string[]" ANSWER },
    [LUN_HOOK_BUDGET] = { "then", "request, [spend](#spend)", "`degrade(…)`, `refuse{…}`", "fun(request: lunette.Request, spend: lunette.Spend): lunette.Decision|nil" },
    [LUN_HOOK_SELECT] = { "then", "request, [targets](#targets)", "targets, a target, steps, a list of all that (holes are fine), `refuse{…}`",
                          "fun(request: lunette.Request, targets: lunette.Targets): lunette.Targets|lunette.Target|lunette.Steps|lunette.Step|table" ANSWER },
    [LUN_HOOK_JUDGE] = { "when an answer arrived whole; not for streams that have begun", "request, [attempt](#attempt)", "`next()`, `refuse{…}`",
                         "fun(request: lunette.Request, attempt: lunette.Attempt): lunette.Decision|nil" },
    [LUN_HOOK_RETRY] = { "when an attempt failed and nothing else is under way", "request, [attempt](#attempt)", "`again(delay)`, `next()`, `try(target, delay)`, `stop()`",
                         "fun(request: lunette.Request, attempt: lunette.Attempt): lunette.Decision|nil" },
    [LUN_HOOK_FINISH] = { "when all is over", "request, [outcome](#outcome)", "nothing", "fun(request: lunette.Request, outcome: lunette.Outcome)" },
};

void lun_bind_hooks_reference(struct lun_buf *out)
{
    lun_buf_puts(out, "| hook | is asked | gets | may answer |\n|---|---|---|---|\n");
    for (int i = 0; i < LUN_HOOK_COUNT; i++) {
        const struct lun_hook_words *w = &lun_hook_words[i];
        lun_buf_printf(out, "| `%s` | %s | %s | %s |\n", lun_hook_name(i), w->asked, w->gets, w->answers);
    }
}
