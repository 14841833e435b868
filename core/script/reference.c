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
