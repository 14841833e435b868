#include "base/text.h"
#include "script/convert.h"
#include "script/facts.h"
#include "script/loading.h"
#include "state/names.h"
#include <stdio.h>
#include <string.h>

struct models {
    struct lun_loading *l;
    struct lun_target *targets; int n_targets;
    struct lun_names named;             /* the targets by name */
    const struct lun_value **from;      /* by target: where it was first written */
    struct lun_model *models; int n_models;
};

/* Names go into headers and metrics: printable ASCII, no blanks at the ends. */
static const char *name_problem(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (name[i] < ' ' || name[i] > '~') return "must be printable ASCII";
    return n > 256 || name[0] == ' ' || name[n - 1] == ' ' ? "must be at most 256 characters, without blanks at its ends" : NULL;
}

/* ---- one target ---- */

const struct lun_provider *lun_load_provider_of(struct lun_loading *l, const struct lun_value *v, const char *name)
{
    const struct lun_snapshot *s = l->snapshot;
    const struct lun_value *map = lun_value_get(l->root, "providers"), *entry = lun_value_get(map, name);
    const char *names[256];
    size_t n = 0;
    for (int i = 0; i < s->n_providers; i++) {
        if (!strcmp(s->providers[i].name, name)) return &s->providers[i];
        if (n < 256) names[n++] = s->providers[i].name;
    }
    if (entry && entry->type == LUN_VALUE_BOOL) lun_wrong(l, v, "the provider %s is switched off (providers says false)", lun_value_quote(name, &l->scratch));
    else if (!entry && map) lun_wrong(l, v, "there is no provider %s%s", lun_value_quote(name, &l->scratch), lun_hint(l, lun_text_nearest(name, names, n)));
    return NULL;
}

static void load_supports(struct lun_loading *l, const struct lun_value *table, struct lun_target *t)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TARGET, table, "supports");
    const struct lun_setting *s = lun_setting_find(LUN_SCOPE_TARGET, "supports");
    char must[200];
    if (!v) return;
    t->supports_given = true;
    lun_setting_must(s, must);
    for (int i = 0; i < v->n_items; i++) {
        int word = v->items[i]->type == LUN_VALUE_TEXT ? lun_word_index(s->words, v->items[i]->text) : -1;
        if (word < 0) lun_wrong(l, v, "must be %s; %s is none of them", must, lun_value_show(v->items[i], &l->scratch));
        else t->supports |= 1u << word;
    }
}

static void load_facts(struct lun_loading *l, const struct lun_value *table, struct lun_target *t)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TARGET, table, "facts");
    const struct lun_value *where = v;
    struct lun_buf json = { 0 };
    const char *why = v ? lun_facts_json(v, &json, &where) : NULL;
    if (why) lun_wrong(l, where, "%s", why);
    t->facts = v && !why ? lun_arena_strdup(&l->snapshot->arena, v->n_items ? lun_buf_text(&json) : "{}") : "{}";
    lun_buf_free(&json);
}

static void name_target(struct lun_loading *l, const struct lun_value *table, const struct lun_model *m, struct lun_target *t, const char *provider)
{
    const struct lun_value *upstream = lun_value_get(table, "model"), *name = lun_value_get(table, "name");
    const char *why;
    if (upstream && (why = name_problem(t->upstream))) lun_wrong(l, upstream, "%s", why);
    else if (upstream && strchr(t->upstream, '*') && (!m->pattern || strchr(t->upstream, '*') != strrchr(t->upstream, '*')))
        lun_wrong(l, upstream, m->pattern ? "can have one * only" : "has a *, but the name that clients ask for has none to fill it with");
    if (!t->name) t->name = lun_arena_printf(&l->snapshot->arena, "%s/%s", provider, t->upstream);
    else if ((why = name_problem(t->name))) lun_wrong(l, name, "%s", why);
}

static void load_target(struct lun_loading *l, struct lun_value *table, const struct lun_model *m, struct lun_target *out)
{
    struct lun_target_draft d = { .target = { .model = m->name, .price = lun_price_unknown } };
    lun_check(l, LUN_SCOPE_TARGET, table, &d, 0, lun_origin_prefix(l, table));
    if (!d.target.upstream) d.target.upstream = m->name;
    if (d.provider) {
        d.target.provider = lun_load_provider_of(l, lun_value_get(table, "provider"), d.provider);
        name_target(l, table, m, &d.target, d.provider);
    }
    lun_load_price(l, table, &d.target);
    load_supports(l, table, &d.target);
    load_facts(l, table, &d.target);
    *out = d.target;
}

/* ---- targets of the same name ---- */

/* The setting in which the two differ, or NULL. Texts are compared as texts. */
static const char *difference(const struct lun_target *a, const struct lun_target *b)
{
    if (a->provider != b->provider) return "provider";
    if (strcmp(a->upstream, b->upstream)) return "model";
    if (!lun_price_equal(&a->price, &b->price)) return "price";
    if (a->requests_per_minute != b->requests_per_minute) return "requests_per_minute";
    if (a->tokens_per_minute != b->tokens_per_minute) return "tokens_per_minute";
    if (a->weight != b->weight) return "weight";
    if (a->context != b->context) return "context";
    if (a->max_output != b->max_output) return "max_output";
    if (a->supports != b->supports || a->supports_given != b->supports_given) return "supports";
    return strcmp(a->facts, b->facts) ? "facts" : NULL;
}

static const char *line_of(struct lun_loading *l, const struct lun_value *v)
{
    return v->place.file ? lun_arena_printf(&l->scratch, "%s:%d", v->place.file, v->place.line) : "above";
}

/* The target itself, or the one of that name that is there already; NULL: there is one, and it is another. */
static struct lun_target *admit(struct models *m, const struct lun_value *table, const struct lun_target *t)
{
    struct lun_target *there = t->name ? lun_names_get(&m->named, t->name) : NULL;
    const char *what = there ? difference(there, t) : NULL;
    if (there && !what) return there;
    if (there) {
        lun_wrong(m->l, table, "the target %s stands at %s with another %s: give one of the two a name of its own (name = \"…\")",
                  lun_value_quote(t->name, &m->l->scratch), line_of(m->l, m->from[there->index]), what);
        return NULL;
    }
    if (t->name) lun_names_put(&m->named, t->name, &m->targets[m->n_targets]);
    m->from[m->n_targets] = table;
    m->targets[m->n_targets] = *t;
    m->targets[m->n_targets].index = m->n_targets;
    return &m->targets[m->n_targets++];
}

/* ---- one model ---- */

static const char *model_name_problem(const char *name)
{
    const char *star = strchr(name, '*');
    if (!strcmp(name, "auto")) return "is a name of the gateway's own: whoever asks for it leaves the choice to the policy";
    if (star && star[1]) return "can have one * only, at its end or alone";
    return name_problem(name);
}

static bool usable(struct lun_loading *l, const struct lun_value *v)
{
    if (v->type == LUN_VALUE_BAD || v->type == LUN_VALUE_FUNCTION) return lun_wrong(l, v, "%s", v->text), false;
    if (v->type != LUN_VALUE_TABLE) return lun_wrong(l, v, "must be a list of targets, not %s", lun_value_show(v, &l->scratch)), false;
    if (!v->n_items) return lun_wrong(l, v, "has no target"), false;
    if (v->n_list == v->n_items) return true;
    if (lun_value_get(v, "provider")) lun_wrong(l, v, "must be a list of targets: put braces around it, { { provider = … } }");
    else lun_wrong(l, v, "must be a list of targets, and nothing else");
    return false;
}

static void load_model(struct models *m, struct lun_value *v)
{
    struct lun_loading *l = m->l;
    const char *why = v->type == LUN_VALUE_BAD ? NULL : model_name_problem(v->key);
    if (why) lun_wrong(l, v, "%s", why);
    if (why || !usable(l, v)) return;
    struct lun_model *model = &m->models[m->n_models];
    const struct lun_target **targets = lun_arena_alloc(&l->snapshot->arena, (size_t)v->n_list * sizeof *targets);
    *model = (struct lun_model){ .name = lun_arena_strdup(&l->snapshot->arena, v->key), .pattern = strchr(v->key, '*') != NULL, .targets = targets };
    for (int i = 0; i < v->n_list; i++) {
        struct lun_value *item = v->items[i];
        struct lun_target t;
        if (item->type == LUN_VALUE_BOOL && !item->yes) continue;           /* `has_secret "X" and {…}` */
        if (!lun_check_table(l, item)) continue;
        load_target(l, item, model, &t);
        const struct lun_target *there = admit(m, item, &t);
        bool twice = false;
        for (int j = 0; there && j < model->n_targets; j++) twice |= targets[j] == there;
        if (twice) lun_wrong(l, item, "the target %s is in this list already", lun_value_quote(there->name, &l->scratch));
        else if (there) targets[model->n_targets++] = there;
    }
    if (!model->n_targets && !lun_loading_failed(l)) lun_wrong(l, v, "has no target");
    m->n_models++;
}

static struct lun_model *patterns_last(struct models *m)
{
    struct lun_model *sorted = lun_arena_alloc(&m->l->snapshot->arena, (size_t)m->n_models * sizeof *sorted + 1);
    int n = 0;
    for (int pattern = 0; pattern < 2; pattern++)
        for (int i = 0; i < m->n_models; i++)
            if (m->models[i].pattern == pattern) sorted[n++] = m->models[i];
    return sorted;
}

static void gather_all(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    const struct lun_target **all = lun_arena_alloc(&s->arena, (size_t)s->n_targets * sizeof *all + 1);
    bool *has = lun_arena_zalloc(&s->arena, (size_t)s->n_targets + 1);
    s->all = all, s->in_all = has;
    for (int m = 0; m < s->n_models; m++)
        for (int i = 0; i < s->models[m].n_targets && !s->models[m].pattern; i++) {
            const struct lun_target *t = s->models[m].targets[i];
            if (!has[t->index]) all[s->n_all++] = t;
            has[t->index] = true;
        }
}

void lun_load_models(struct lun_loading *l)
{
    struct lun_value *map = lun_check_get(l, LUN_SCOPE_TOP, l->root, "models");
    struct models m = { .l = l };
    if (!map) return;
    if (!map->n_items) lun_wrong(l, map, "there must be one at least");
    size_t most = 1;
    for (int i = 0; i < map->n_items; i++) most += map->items[i]->type == LUN_VALUE_TABLE ? (size_t)map->items[i]->n_list : 0;
    m.targets = lun_arena_zalloc(&l->snapshot->arena, most * sizeof *m.targets);
    m.from = lun_arena_zalloc(&l->scratch, most * sizeof *m.from);
    m.models = lun_arena_zalloc(&l->snapshot->arena, (size_t)map->n_items * sizeof *m.models + 1);
    struct lun_value **items = lun_check_sorted(l, map);
    for (int i = 0; i < map->n_items; i++)
        if (items[i]->type != LUN_VALUE_BOOL || items[i]->yes) load_model(&m, items[i]);
    l->snapshot->models = patterns_last(&m), l->snapshot->n_models = m.n_models;
    l->snapshot->targets = m.targets, l->snapshot->n_targets = m.n_targets;
    lun_snapshot_sort_models(l->snapshot);
    lun_names_free(&m.named, NULL);
    gather_all(l);
}
