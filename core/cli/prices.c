#include "cli/prices.h"
#include "base/json.h"
#include "cli/table.h"
#include "script/price_file.h"
#include <stdlib.h>
#include <string.h>

#define FIELDS_MOST 20      /* that are named in a line */

struct report { const char *name; struct lun_price_file file; struct lun_arena arena; };

/* Reads the text that the snapshot was made of again. */
static bool open_report(const struct lun_snapshot *s, struct report *r)
{
    struct lun_json_error error;
    const struct lun_part *part = NULL;
    for (int i = 0; i < s->n_parts; i++) if (s->parts[i].kind == LUN_PART_PRICES) part = &s->parts[i];
    *r = (struct report){ .name = part ? part->file.name : "" };
    return part && lun_price_file_read(part->file.text, part->file.n, &r->arena, &r->file, &error);
}

static int by_field(const void *a, const void *b)
{
    return strcmp((*(const struct lun_price_odd *const *)a)->field, (*(const struct lun_price_odd *const *)b)->field);
}

/* "search_context_cost_per_query (57), …" */
static void put_fields(struct report *r, struct lun_buf *out)
{
    const struct lun_price_file *f = &r->file;
    const struct lun_price_odd **sorted = lun_arena_alloc(&r->arena, ((size_t)f->n_odd + 1) * sizeof *sorted);
    int shown = 0;
    for (int i = 0; i < f->n_odd; i++) sorted[i] = &f->odd[i];
    qsort(sorted, (size_t)f->n_odd, sizeof *sorted, by_field);
    for (int i = 0, n; i < f->n_odd && shown <= FIELDS_MOST; i += n) {
        for (n = 1; i + n < f->n_odd && !strcmp(sorted[i]->field, sorted[i + n]->field); n++) { }
        if (shown++ == FIELDS_MOST) lun_buf_puts(out, ", …");
        else lun_buf_printf(out, "%s%s (%d)", i ? ", " : "", *sorted[i]->field ? sorted[i]->field : "whole entries", n);
    }
}

void lun_prices_summary(const struct lun_snapshot *s, struct lun_buf *out)
{
    struct report r;
    if (open_report(s, &r)) {
        lun_buf_printf(out, "%s: %d entries, %d of them with a price per token, %d understood as a whole", r.name, r.file.n, r.file.priced, r.file.whole);
        if (r.file.n_odd) {
            lun_buf_puts(out, ". Not understood: ");
            put_fields(&r, out);
            lun_buf_puts(out, "; --prices says where and why");
        }
        lun_buf_putc(out, '\n');
    }
    lun_arena_free(&r.arena);
}

static void put_odd(const struct lun_price_odd *o, struct lun_buf *out)
{
    const char *const names[] = { "entry", "field", "why" }, *const values[] = { o->entry, o->field, o->why };
    lun_buf_putc(out, '{');
    for (int i = 0; i < 3; i++) {
        lun_json_member_text(out, names[i], values[i]);
    }
    lun_buf_putc(out, '}');
}

static void put_list(const struct lun_price_file *f, struct lun_buf *out)
{
    lun_buf_putc(out, '[');
    for (int i = 0; i < f->n_odd; i++) {
        if (i) lun_buf_putc(out, ',');
        put_odd(&f->odd[i], out);
    }
    lun_buf_putc(out, ']');
}

static void put_object(const struct report *r, const char *list, struct lun_buf *out)
{
    lun_buf_puts(out, "{\"file\":");
    lun_json_put_text(out, *r->name ? r->name : NULL);
    lun_buf_printf(out, ",\"entries\":%d,\"priced\":%d,\"whole\":%d,\"not_understood\":%s,\"more\":%d}\n", r->file.n, r->file.priced, r->file.whole, list, r->file.more_odd);
}

void lun_prices_print(const struct lun_snapshot *s, bool json, struct lun_buf *out)
{
    static const struct lun_column columns[] = { { "ENTRY", "entry" }, { "FIELD", "field" }, { "NOT UNDERSTOOD", "why" } };
    struct lun_buf list = {0};
    struct report r;
    bool there = open_report(s, &r);
    put_list(&r.file, &list);
    if (json) put_object(&r, lun_buf_text(&list), out);
    else if (!there) lun_buf_puts(out, "the configuration names no file of prices\n");
    else if (r.file.n_odd) lun_table_put(out, (struct lun_json){ list.at, list.n }, columns, sizeof columns / sizeof *columns);
    if (there && !json) lun_prices_summary(s, out);
    lun_buf_free(&list);
    lun_arena_free(&r.arena);
}
