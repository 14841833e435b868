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
        put_cell(out, row, &c[i]);
        if (i < n - 1) lun_buf_printf(out, "%*s", (int)(wide[i] - width(row, &c[i]) + 2), "");
    }
    while (out->n && out->at[out->n - 1] == ' ') out->n--;
    lun_buf_putc(out, '\n');
}

void lun_table_put(struct lun_buf *out, struct lun_json list, const struct lun_column *c, int n)
{
    const struct lun_json head = {0};
    size_t wide[MOST];
    for (int i = 0; i < n; i++) wide[i] = width(head, &c[i]);
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); )
        for (int i = 0; i < n; i++) if (width(e.value, &c[i]) > wide[i]) wide[i] = width(e.value, &c[i]);
    put_row(out, head, c, n, wide);
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) put_row(out, e.value, c, n, wide);
}
