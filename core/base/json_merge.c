#include "base/json.h"

/* The member of that raw name; {0}: there is none. */
static struct lun_json named(struct lun_json object, struct lun_json key)
{
    struct lun_buf name = {0};
    lun_json_string(key, false, &name);
    struct lun_json found = lun_json_get(object, lun_buf_text(&name));
    lun_buf_free(&name);
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
