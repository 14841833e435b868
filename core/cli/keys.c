#include "cli/keys.h"
#include "base/json.h"
#include "cli/table.h"
#include "gateway/keys.h"
#include <stdio.h>
#include <stdlib.h>

static void put_check(const struct lun_key_check *c, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "provider", c->provider->name);
    if (c->key >= 0) lun_json_member_text(out, "key", c->provider->keys[c->key].name);
    lun_json_member_text(out, "result", c->simulated ? "simulated" : lun_probe_result_name(c->result));
    if (c->status) lun_json_member_int(out, "status", c->status);
    lun_json_member_text(out, "meaning", lun_key_check_words(c));
    if (c->models >= 0) lun_json_member_int(out, "models", c->models);
    if (c->n_missing) lun_json_member_texts(out, "missing", c->missing, c->n_missing);
    lun_buf_putc(out, '}');
}

static void put_missing(struct lun_buf *out, struct lun_json row)
{
    if (!row.at) { lun_buf_puts(out, "NOT IN ITS LIST"); return; }
    for (struct lun_json_each e = lun_json_each(lun_json_get(row, "missing")); lun_json_next(&e); ) {
        if (e.index) lun_buf_puts(out, ", ");
        lun_json_string(e.value, false, out);
    }
}

static void put_list(const struct lun_key_checks *checks, struct lun_buf *out)
{
    lun_buf_putc(out, '[');
    for (int i = 0; i < checks->n; i++) {
        if (i) lun_buf_putc(out, ',');
        put_check(&checks->at[i], out);
    }
    lun_buf_putc(out, ']');
}

bool lun_keys_print(struct lun_snapshot *s, struct lun_registry *registry, bool json, struct lun_buf *out)
{
    static const struct lun_column columns[] = { { "PROVIDER", "provider" }, { "KEY", "key" }, { "STATUS", "status" }, { "WHAT IT MEANS", "meaning" },
                                                 { "MODELS", "models" }, { .head = "NOT IN ITS LIST", .put = put_missing } };
    struct lun_key_checks checks;
    struct lun_buf list = {0};
    char *error = NULL;
    lun_registry_bind(registry, s);
    bool good = lun_keys_check(s, registry, true, &checks, &error);
    if (error) fprintf(stderr, "lunette: %s\n", error);
    free(error);
    for (int i = 0; i < checks.n; i++) good = good && checks.at[i].result != LUN_PROBE_REFUSED;
    put_list(&checks, &list);
    if (json) lun_buf_printf(out, "%s\n", lun_buf_text(&list));
    else lun_table_put(out, (struct lun_json){ list.at, list.n }, columns, sizeof columns / sizeof *columns);
    lun_buf_free(&list);
    lun_key_checks_free(&checks);
    return good;
}
