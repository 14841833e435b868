#include "base/http.h"
#include "base/text.h"
#include "script/loading.h"
#include "state/charge.h"
#include "state/zone.h"
#include <ctype.h>
#include <string.h>

/* ---- the zone of all budgets ---- */

static void load_zone(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    const char **names, *why;
    if (!s->zone_name || lun_zone_find(s->zone_name, &s->zone, &why)) return;
    size_t n = lun_zone_names(&l->scratch, &names);
    lun_wrong(l, lun_value_get(l->root, "zone"), "%s: %s%s", lun_value_quote(s->zone_name, &l->scratch), why, lun_hint(l, lun_text_nearest(s->zone_name, names, n)));
}

/* Teams and clients are in the snapshot's own arrays, not published yet. */
static void put_zone(struct lun_snapshot *s)
{
    s->total.zone = s->zone;
    for (int i = 0; i < s->n_teams; i++) ((struct lun_team *)&s->teams[i])->budget.zone = s->zone;
    for (int i = 0; i < s->n_clients; i++) ((struct lun_client_rule *)&s->clients[i])->budget.zone = s->zone;
    for (int i = 0; i < s->n_tags; i++) ((struct lun_tag_budget *)&s->tags[i])->budget.zone = s->zone;
}

/* ---- rolling windows ---- */

void lun_load_window(struct lun_loading *l, const struct lun_value *table)
{
    if (!table || table->type != LUN_VALUE_TABLE) return;
    const struct lun_value *per = lun_value_get(table, "per"), *window = lun_value_get(table, "window");
    bool rolling = per && per->type == LUN_VALUE_TEXT && !strcmp(per->text, "rolling");
    if (rolling && !window) lun_wrong_in(l, table, "window", "is missing: how many seconds per = \"rolling\" looks back");
    else if (window && !rolling) lun_wrong(l, window, "is for per = \"rolling\"");
}

static void check_teams(struct lun_loading *l)
{
    const struct lun_value *all = lun_value_get(l->root, "teams");
    for (int i = 0; all && all->type == LUN_VALUE_TABLE && i < all->n_items; i++) lun_load_window(l, lun_value_get(all->items[i], "budget"));
}

/* ---- tags ---- */

/* A name that spend.NAME, a log's field and an account can have. */
static bool check_name(struct lun_loading *l, const struct lun_value *v)
{
    static const char *const taken[] = { "request", "key", "team", "total" };
    size_t n = v->key ? strlen(v->key) : 0;
    if (!n || n > 64 || v->key[strspn(v->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")]) {
        lun_wrong(l, v, "is no name for a tag with a budget: 1 to 64 letters, digits, _ and -");
        return false;
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (strcmp(taken[i], v->key)) continue;
        lun_wrong(l, v, "is what policies call another budget (spend.%s): give the tag another name", v->key);
        return false;
    }
    return true;
}

static const char *lower(struct lun_loading *l, const char *name)
{
    char *copy = lun_arena_strdup(&l->snapshot->arena, name);
    for (char *c = copy; *c; c++) *c = (char)tolower((unsigned char)*c);
    return copy;
}

static void load_from(struct lun_loading *l, const struct lun_value *table, struct lun_tag_draft *d)
{
    static const char header_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const char *from = d->from;
    if (!from) return;
    d->tag.at = d->tag.name;
    if (!strcmp(from, "tag")) d->tag.from = LUN_TAG_FROM_TAGS;
    else if (!strcmp(from, "policy")) d->tag.from = LUN_TAG_FROM_POLICY;
    else if (!strcmp(from, "metadata")) d->tag.from = LUN_TAG_FROM_METADATA;
    else if (!strncmp(from, "metadata:", 9) && from[9]) d->tag.from = LUN_TAG_FROM_METADATA, d->tag.at = from + 9;
    else if (!strncmp(from, "header:", 7) && from[7] && !from[7 + strspn(from + 7, header_letters)]) d->tag.from = LUN_TAG_FROM_HEADER, d->tag.at = lower(l, from + 7);
    else lun_wrong(l, lun_value_get(table, "from"), "must be \"header:NAME\", \"metadata\", \"metadata:NAME\", \"tag\" or \"policy\", not %s", lun_value_quote(from, &l->scratch));
    if (d->tag.from == LUN_TAG_FROM_HEADER && lun_header_is_secret(d->tag.at))
        lun_wrong(l, lun_value_get(table, "from"), "is a header that carries secrets: its value would stand in logs");
}

/* What a client's own tags say has to be a value that can have an account. */
static void check_clients(struct lun_loading *l, const struct lun_tag_budget *t)
{
    const struct lun_value *list = lun_value_get(l->root, "clients");
    for (int i = 0; list && list->type == LUN_VALUE_TABLE && i < list->n_items; i++) {
        const struct lun_value *v = lun_value_get(lun_value_get(list->items[i], "tags"), t->name);
        if (v && v->type == LUN_VALUE_TEXT && !lun_charge_value_good(v->text)) lun_wrong(l, v, "has a budget (budgets.tags.%s), so it must be " LUN_CHARGE_VALUE, t->name);
    }
}

static void load_tag(struct lun_loading *l, struct lun_value *v, struct lun_tag_budget *out)
{
    struct lun_tag_draft d = { .tag = { .name = lun_arena_strdup(&l->snapshot->arena, v->key), .budget = { .limit = -1 } } };
    lun_check(l, LUN_SCOPE_TAG, v, &d, 0, lun_origin_prefix(l, v));
    load_from(l, v, &d);
    lun_load_window(l, v);
    check_clients(l, &d.tag);
    *out = d.tag;
}

static void load_tags(struct lun_loading *l, const struct lun_value *budgets)
{
    struct lun_value *map = lun_check_get(l, LUN_SCOPE_BUDGETS, budgets, "tags");
    if (!map) return;
    struct lun_value **items = lun_check_sorted(l, map);
    struct lun_tag_budget *tags = lun_arena_zalloc(&l->snapshot->arena, LUN_TAG_BUDGETS * sizeof *tags);
    int n = 0;
    for (int i = 0; i < map->n_items; i++) {
        struct lun_value *v = items[i];
        if (v->type == LUN_VALUE_BOOL && !v->yes) continue;
        if (!lun_check_table(l, v)) continue;
        if (!check_name(l, v)) continue;
        if (n == LUN_TAG_BUDGETS) { lun_wrong(l, v, "is one too many: %d tags can have budgets", LUN_TAG_BUDGETS); break; }
        load_tag(l, v, &tags[n]);
        tags[n].index = n, n++;
    }
    l->snapshot->tags = tags, l->snapshot->n_tags = n;
}

void lun_load_budgets(struct lun_loading *l)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "budgets");
    load_zone(l);
    check_teams(l);
    if (v) {
        lun_check(l, LUN_SCOPE_BUDGETS, v, NULL, 0, "budgets.");
        struct lun_value *total = lun_check_get(l, LUN_SCOPE_BUDGETS, v, "total");
        if (total) lun_check(l, LUN_SCOPE_BUDGET, total, &l->snapshot->total, 0, "budgets.total.");
        lun_load_window(l, total);
        load_tags(l, v);
    }
    put_zone(l->snapshot);
}
