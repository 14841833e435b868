#include "script/origins.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include <stdlib.h>
#include <string.h>

void lun_origins_add(struct lun_origins *o, const char *path, const char *value, const char *from)
{
    if (!o) return;
    if (o->n == o->room) o->items = lun_realloc(o->items, (size_t)(o->room = o->room ? 2 * o->room : 64) * sizeof *o->items);
    o->items[o->n++] = (struct lun_origin){ lun_arena_strdup(&o->arena, path), lun_arena_strdup(&o->arena, value), lun_arena_strdup(&o->arena, from) };
}

static int widest(const struct lun_origins *o)
{
    size_t most = 0;
    for (int i = 0; i < o->n; i++) {
        size_t n = lun_text_points(o->items[i].path, strlen(o->items[i].path)) + lun_text_points(o->items[i].value, strlen(o->items[i].value)) + 3;
        if (n > most && n <= 72) most = n;
    }
    return (int)most;
}

void lun_origins_print(const struct lun_origins *o, struct lun_buf *out)
{
    int width = widest(o);
    for (const struct lun_origin *i = o->items; i < o->items + o->n; i++) {
        size_t n = lun_text_points(i->path, strlen(i->path)) + lun_text_points(i->value, strlen(i->value)) + 3;
        int pad = n < (size_t)width ? width - (int)n : 0;
        lun_buf_printf(out, "%s = %s%*s  -- %s\n", i->path, i->value, pad, "", i->from);
    }
}

void lun_origins_json(const struct lun_origins *o, struct lun_buf *out)
{
    lun_buf_putc(out, '[');
    for (const struct lun_origin *i = o->items; i < o->items + o->n; i++) {
        lun_buf_puts(out, i == o->items ? "{" : ",{");
        lun_json_member_text(out, "path", i->path);
        lun_json_member_text(out, "value", i->value);
        lun_json_member_text(out, "from", i->from);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

void lun_origins_free(struct lun_origins *o)
{
    free(o->items);
    lun_arena_free(&o->arena);
    *o = (struct lun_origins){ 0 };
}
