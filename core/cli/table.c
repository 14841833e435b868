#include "cli/table.h"
#include "base/text.h"
#include "cli/remote.h"

enum { MOST = 16 };             /* columns */

static void put_cell(struct lun_buf *out, struct lun_json row, const struct lun_column *c)
{
    if (!row.n) lun_buf_puts(out, c->head);
    else if (c->member) lun_remote_put(out, lun_json_get(row, c->member));
    else c->put(out, row);
}

static size_t width(struct lun_json row, const struct lun_column *c)
{
    struct lun_buf cell = {0};
    put_cell(&cell, row, c);
    size_t n = lun_text_points(cell.at, cell.n);
    lun_buf_free(&cell);
    return n;
}

static void put_row(struct lun_buf *out, struct lun_json row, const struct lun_column *c, int n, const size_t wide[MOST])
{
    for (int i = 0; i < n; i++) {
        int space = (int)(wide[i] - width(row, &c[i]));
        if (c[i].right) lun_buf_printf(out, "%*s", space, "");
        put_cell(out, row, &c[i]);
        if (i < n - 1) lun_buf_printf(out, "%*s", (c[i].right ? 0 : space) + 2, "");
    }
    while (out->n && out->at[out->n - 1] == ' ') out->n--;
    lun_buf_putc(out, '\n');
}

static void widen(size_t wide[MOST], struct lun_json row, const struct lun_column *c, int n)
{
    for (int i = 0; i < n; i++) if (width(row, &c[i]) > wide[i]) wide[i] = width(row, &c[i]);
}

void lun_table_put_summed(struct lun_buf *out, struct lun_json list, struct lun_json last, const struct lun_column *c, int n)
{
    const struct lun_json head = {0};
    size_t wide[MOST] = {0};
    widen(wide, head, c, n);
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) widen(wide, e.value, c, n);
    if (last.n) widen(wide, last, c, n);
    put_row(out, head, c, n, wide);
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) put_row(out, e.value, c, n, wide);
    if (last.n) put_row(out, last, c, n, wide);
}

void lun_table_put(struct lun_buf *out, struct lun_json list, const struct lun_column *c, int n)
{
    lun_table_put_summed(out, list, (struct lun_json){0}, c, n);
}
