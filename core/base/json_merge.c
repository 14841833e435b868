#include "base/json.h"
#include <string.h>

static bool is_same(const struct lun_buf *a, const struct lun_buf *b) { return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n)); }

/* The member of that raw name, which may hold any character, `\u0000` and half a pair too; of equal ones the last. {0}: there is none. */
static struct lun_json named(struct lun_json object, struct lun_json key)
{
    struct lun_buf name = {0}, other = {0};
    struct lun_json found = {0};
    lun_json_string_halves(key, &name);
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); other.n = 0)
        if (lun_json_string_halves(e.key, &other) && is_same(&name, &other)) found = e.value;
    lun_buf_free(&name), lun_buf_free(&other);
    return found;
}

static void put_member(struct lun_buf *out, bool *some, struct lun_json key, struct lun_json onto, struct lun_json patch)
{
    if (*some) lun_buf_putc(out, ',');
    *some = true;
    lun_json_put_raw(out, key);
    lun_buf_putc(out, ':');
    if (patch.n) lun_json_merge(out, onto, patch);
    else lun_json_put_raw(out, onto);
}

void lun_json_merge(struct lun_buf *out, struct lun_json onto, struct lun_json patch)
{
    bool some = false;
    if (lun_json_type(patch) != LUN_JSON_OBJECT) { lun_json_put_raw(out, patch); return; }
    if (lun_json_type(onto) != LUN_JSON_OBJECT) onto = (struct lun_json){0};
    lun_buf_putc(out, '{');
    for (struct lun_json_each e = lun_json_each(onto); lun_json_next(&e); ) {
        struct lun_json change = named(patch, e.key);
        if (lun_json_type(change) != LUN_JSON_NULL) put_member(out, &some, e.key, e.value, change);
    }
    for (struct lun_json_each e = lun_json_each(patch); lun_json_next(&e); )
        if (lun_json_type(e.value) != LUN_JSON_NULL && !named(onto, e.key).n) put_member(out, &some, e.key, (struct lun_json){0}, e.value);
    lun_buf_putc(out, '}');
}
