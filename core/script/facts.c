#include "script/facts.h"
#include "base/json.h"
#include <math.h>

static const char *table(const struct lun_value *v, struct lun_buf *out, const struct lun_value **where)
{
    bool list = v->n_list > 0;
    *where = v;
    if (list && v->n_list != v->n_items) return "must be a list or a table of names, not both";
    lun_buf_putc(out, list ? '[' : '{');
    for (int i = 0; i < v->n_items; i++) {
        if (list && i) lun_buf_putc(out, ',');
        if (!list && v->items[i]->type != LUN_VALUE_BAD) lun_json_put_key(out, v->items[i]->key);
        const char *why = lun_facts_json(v->items[i], out, where);
        if (why) return why;
    }
    lun_buf_putc(out, list ? ']' : '}');
    return NULL;
}

const char *lun_facts_json(const struct lun_value *v, struct lun_buf *out, const struct lun_value **where)
{
    *where = v;
    if (out->n > LUN_FACTS_MOST) return "is over 64 KiB as JSON";
    switch (v->type) {
    case LUN_VALUE_BOOL:   lun_json_put_bool(out, v->yes); return NULL;
    case LUN_VALUE_TEXT:   lun_json_put_string(out, v->text, v->n); return NULL;
    case LUN_VALUE_TABLE:  return table(v, out, where);
    case LUN_VALUE_SECRET: return "must not be a secret: policies can read facts";
    case LUN_VALUE_NUMBER:
        if (!isfinite(v->number)) return "must be a finite number";
        lun_json_put_number(out, v->number);
        return NULL;
    default: return v->text;
    }
}
