/* `canaries` of gateway.lua. */
#include "base/text.h"
#include "script/configured.h"
#include "script/loading.h"
#include <string.h>

static const double stages_default[] = { 5, 15, 30, 50, 100 };
enum { STAGES_DEFAULT = sizeof stages_default / sizeof *stages_default };

static const char *name_problem(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return name[n] || !n || n > 64 ? "a canary's name has 1 to 64 letters, digits, _ - and ." : NULL;
}

static bool check_stage(struct lun_loading *l, const struct lun_setting *s, const struct lun_value *v, double before)
{
    const char *shown = lun_value_show(v, &l->scratch);
    if (v->type != LUN_VALUE_NUMBER) return lun_wrong(l, v, "must be a number, not %s", shown), false;
    if (!(v->number > s->min && v->number <= s->max)) return lun_wrong(l, v, "must be over %g and up to %g percent, not %s", s->min, s->max, shown), false;
    if (v->number <= before) return lun_wrong(l, v, "must be more than the stage before it (%.10g), not %s", before, shown), false;
    return true;
}

static void load_stages(struct lun_loading *l, const struct lun_value *table, struct lun_canary_rule *rule)
{
    const struct lun_value *v = lun_check_get(l, LUN_SCOPE_CANARY, table, "stages");
    const struct lun_setting *s = lun_setting_find(LUN_SCOPE_CANARY, "stages");
    memcpy(rule->stages, stages_default, sizeof stages_default);
    rule->n_stages = STAGES_DEFAULT;
    if (!v) {
        if (!lun_value_get(table, "stages")) lun_origin(l, NULL, lun_value_path_of(table, "stages", &l->scratch), s->fallback);
        return;
    }
    if (!v->n_items) lun_wrong(l, v, "has no stage");
    else if (v->n_items > LUN_CANARY_STAGES) lun_wrong(l, v, "has more than %d stages", LUN_CANARY_STAGES);
    else for (int i = rule->n_stages = 0; i < v->n_items; i++) {
        if (!check_stage(l, s, v->items[i], i ? rule->stages[i - 1] : 0)) return;
        rule->stages[rule->n_stages++] = v->items[i]->number;
    }
}

static bool is_new(const struct lun_canary_rule *rule, const struct lun_target *t)
{
    return (!rule->provider || t->provider == rule->provider) && (!rule->model || !strcmp(t->model, rule->model));
}

/* What is new must be there, or nothing could ever pass. */
static void check_new(struct lun_loading *l, const struct lun_value *table, const struct lun_canary_rule *rule)
{
    const struct lun_snapshot *s = l->snapshot;
    if (rule->model && !lun_configured(s, LUN_NAMED_MODEL, rule->model))
        lun_wrong(l, lun_value_get(table, "model"), "there is no model %s in models%s", lun_value_quote(rule->model, &l->scratch),
                  lun_hint(l, lun_configured_nearest(s, LUN_NAMED_MODEL, rule->model)));
    if ((!rule->provider && !rule->model) || lun_loading_failed(l)) return;
    for (int i = 0; i < s->n_targets; i++) if (is_new(rule, &s->targets[i])) return;
    lun_wrong(l, table, "no target is new by what it says: models has none of %s%s%s%s%s", rule->provider ? "the provider " : "", rule->provider ? rule->provider->name : "",
              rule->provider && rule->model ? " for " : "", rule->model ? "the model " : "", rule->model ? rule->model : "");
}

static void load_canary(struct lun_loading *l, struct lun_value *table, struct lun_canary_rule *out)
{
    struct lun_canary_draft d = { 0 };
    const char *why = name_problem(table->key);
    const struct lun_value *probe = lun_value_get(table, "probe");
    if (why) lun_wrong(l, table, "%s", why);
    lun_check(l, LUN_SCOPE_CANARY, table, &d, 0, lun_origin_prefix(l, table));
    load_stages(l, table, &d.rule);
    if (d.provider) d.rule.provider = lun_load_provider_of(l, lun_value_get(table, "provider"), d.provider);
    if (d.probe) d.rule.probe = lun_load_provider_of(l, probe, d.probe);
    else if (!probe) d.rule.probe = d.rule.provider;
    if (!probe && !d.provider) lun_wrong_in(l, table, "probe", "is missing: say which provider must be well all along, or false (or say provider)");
    d.rule.name = lun_arena_strdup(&l->snapshot->arena, table->key);
    check_new(l, table, &d.rule);
    *out = d.rule;
}

void lun_load_canaries(struct lun_loading *l)
{
    struct lun_value *map = lun_check_get(l, LUN_SCOPE_TOP, l->root, "canaries");
    if (!map) return;
    struct lun_canary_rule *rules = lun_arena_zalloc(&l->snapshot->arena, (size_t)map->n_items * sizeof *rules + 1);
    struct lun_value **items = lun_check_sorted(l, map);
    int n = 0;
    for (int i = 0; i < map->n_items; i++) {
        struct lun_value *v = items[i];
        if (v->type == LUN_VALUE_BOOL && !v->yes) continue;
        if (!lun_check_table(l, v)) continue;
        load_canary(l, v, &rules[n++]);
    }
    l->snapshot->canaries = rules, l->snapshot->n_canaries = n;
}
