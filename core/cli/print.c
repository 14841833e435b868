#include "cli/print.h"

void lun_print(struct lun_buf *b, FILE *out)
{
    if (b->n) fwrite(b->at, 1, b->n, out);
    lun_buf_free(b);
}

void lun_print_notes(struct lun_mistakes *notes, FILE *out)
{
    struct lun_buf text = {0};
    lun_mistakes_print(notes, &text);
    lun_print(&text, out);
    lun_mistakes_free(notes);
}

void lun_print_mistakes(struct lun_mistakes *m, FILE *out)
{
    struct lun_buf text = {0};
    lun_mistakes_print(m, &text);
    lun_buf_printf(&text, "%d mistake%s\n", m->n + m->more, m->n + m->more == 1 ? "" : "s");
    lun_print(&text, out);
    lun_mistakes_free(m);
}
