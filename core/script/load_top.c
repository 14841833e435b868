#include "script/convert.h"
#include "script/loading.h"
#include <string.h>

static void load_listen(struct lun_loading *l)
{
    struct lun_value *v = lun_value_get(l->root, "listen");
    if (!v || v->type != LUN_VALUE_TABLE) return;
    lun_check_rename(l, v, (const char *const[]){ "address" }, 1);
    lun_check(l, LUN_SCOPE_LISTEN, v, l->snapshot, 0, "listen.");
    if (!lun_value_get(v, "address")) lun_wrong_in(l, v, "address", "is missing");
}

/* The value that says so, or the whole table where nobody does. */
static const struct lun_value *said(struct lun_loading *l, const char *name)
{
    const struct lun_value *v = lun_value_get(l->root, name);
    return v ? v : l->root;
}

static void check_reach(struct lun_loading *l)
{
    const struct lun_snapshot *s = l->snapshot;
    const struct lun_value *clients = lun_value_get(l->root, "clients");
    bool local;
    if (!s->listen || !lun_address_valid(s->listen, &local) || local) return;
    if (s->n_clients || (clients && clients->type != LUN_VALUE_TABLE)) return;
    lun_wrong(l, said(l, "listen"), "%s can be reached from other machines, and without clients anyone there could spend on your keys: "
              "say who may ask in clients = { { name = …, hash = \"sha256:…\" } }, or listen on 127.0.0.1", s->listen);
}

static void check_admin(struct lun_loading *l)
{
    const struct lun_snapshot *s = l->snapshot;
    bool local;
    if (!s->admin || !lun_address_valid(s->admin, &local)) return;
    size_t n = strlen(s->admin);
    if (!local) lun_wrong(l, said(l, "admin"), "must be on loopback (127.0.0.1, [::1] or unix:), because it asks for no key: a token for other addresses is not built yet");
    else if (s->listen && !strcmp(s->admin, s->listen) && (n < 2 || strcmp(s->admin + n - 2, ":0"))) lun_wrong(l, said(l, "admin"), "is the address of listen too");
}

static void load_log(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    lun_check(l, LUN_SCOPE_LOG, lun_check_get(l, LUN_SCOPE_TOP, l->root, "log"), s, 0, "log.");
    if (s->request_log && strcmp(s->request_log, "-")) s->request_log = lun_file_path(l, s->request_log, &s->arena);
}

static void load_budgets(struct lun_loading *l)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "budgets");
    if (!v) return;
    lun_check(l, LUN_SCOPE_BUDGETS, v, NULL, 0, "budgets.");
    struct lun_value *total = lun_check_get(l, LUN_SCOPE_BUDGETS, v, "total");
    if (total) lun_check(l, LUN_SCOPE_BUDGET, total, &l->snapshot->total, 0, "budgets.total.");
}

void lun_load_top(struct lun_loading *l)
{
    struct lun_value *limits = lun_value_get(l->root, "limits");
    l->snapshot->limits.attempts_given = lun_value_get(limits, "attempts") != NULL;
    l->snapshot->limits.retries_given = lun_value_get(limits, "retries") != NULL;
    load_listen(l);
    load_log(l);
    load_budgets(l);
    check_reach(l);
    check_admin(l);
}
