#include "gateway/view_budget.h"
#include "base/alloc.h"
#include "base/json.h"
#include "script/settings.h"
#include "state/tag_values.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which there are ---- */

struct found { struct lun_account *account; const char *name; double share; int64_t used; };
struct list { struct found *at; size_t n, room, more; };

static void add(struct list *l, struct lun_account *a, lun_us wall)
{
    struct lun_account_view v;
    if (!a) return;
    if (l->n == l->room) l->at = lun_realloc(l->at, (l->room = l->room ? 2 * l->room : 64) * sizeof *l->at);
    lun_account_look(a, wall, &v);
    l->at[l->n++] = (struct found){ a, v.name, v.limit < 0 ? -1 : v.share, v.used };
}

static void add_values(struct list *l, const struct lun_tag_budget *t, lun_us wall)
{
    struct lun_account **values = lun_alloc(LUN_BUDGETS_VALUES * sizeof *values);
    size_t all = lun_tag_values_list(t->state, values, LUN_BUDGETS_VALUES), n = all < LUN_BUDGETS_VALUES ? all : LUN_BUDGETS_VALUES;
    for (size_t i = 0; i < n; i++) add(l, values[i], wall);
    l->more += all - n;
    free(values);
}

static void add_all(struct list *l, const struct lun_snapshot *s, const struct lun_keyring *ring, lun_us wall)
{
    add(l, s->total_account, wall);
    for (int i = 0; i < s->n_teams; i++) add(l, s->teams[i].account, wall);
    for (int i = 0; i < s->n_clients; i++) add(l, s->clients[i].account, wall);
    for (int i = 0; ring && i < ring->n; i++) if (!ring->keys[i]->revoked) add(l, ring->keys[i]->rule.account, wall);
    for (int i = 0; i < s->n_tags; i++) add_values(l, &s->tags[i], wall);
}

static int nearer(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->share != y->share) return x->share < y->share ? 1 : -1;
    if (x->used != y->used) return x->used < y->used ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* ---- writing ---- */

static void put_usd(struct lun_buf *out, const char *key, int64_t nano, bool known)
{
    lun_json_member_number(out, key, known ? (double)nano / LUN_NANO_PER_USD : NAN);
}

void lun_view_period(const char *key, enum lun_period per, struct lun_buf *out)
{
    const char *word = lun_setting_find(LUN_SCOPE_BUDGET, "per")->words;
    for (int i = 0; i < (int)per; i++) word += strcspn(word, "|") + 1;
    lun_json_put_key(out, key), lun_json_put_string(out, word, strcspn(word, "|"));
}

static void put(struct lun_account *a, lun_us wall, struct lun_buf *out)
{
    struct lun_account_view v;
    lun_account_look(a, wall, &v);
    bool limited = v.limit >= 0;
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", v.name);
    lun_view_period("period", v.per, out);
    if (v.window) lun_json_member_number(out, "window", lun_us_to_seconds(v.window));
    put_usd(out, "used", v.used, true);
    put_usd(out, "held", v.held, true);
    put_usd(out, "limit", v.limit, limited);
    put_usd(out, "left", v.left, limited);
    lun_json_member_number(out, "share", limited ? v.share : NAN);
    if (v.soft > 0) lun_json_member_number(out, "soft", v.soft);
    lun_json_member_number(out, "resets_in", v.resets_in == LUN_NEVER ? NAN : lun_us_to_seconds(v.resets_in));
    lun_buf_putc(out, '}');
}

void lun_view_budgets(const struct lun_snapshot *s, const struct lun_keyring *ring, lun_us wall, size_t most, struct lun_buf *out)
{
    struct list all = {0};
    add_all(&all, s, ring, wall);
    if (all.n) qsort(all.at, all.n, sizeof *all.at, nearer);
    size_t n = all.n < most ? all.n : most;
    lun_buf_puts(out, "{\"budgets\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) lun_buf_putc(out, ',');
        put(all.at[i].account, wall, out);
    }
    lun_buf_putc(out, ']');
    lun_json_member_int(out, "more", (int64_t)(all.n - n + all.more));
    lun_buf_putc(out, '}');
    free(all.at);
}
