/* What a target costs: the table `price` of gateway.lua, else its entry in the file that `prices` names. */
#include "script/loading.h"
#include <stdio.h>
#include <string.h>

/* ---- the file ---- */

/* The line of a place in a text. */
static int line_at(const char *text, size_t at)
{
    int line = 1;
    for (const char *c = text; (c = memchr(c, '\n', (size_t)(text + at - c))); c++) line++;
    return line;
}

void lun_load_prices(struct lun_loading *l)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "prices");
    struct lun_json_error error;
    struct lun_price_file file;
    struct lun_file part;
    const char *why;
    if (!v || v->type != LUN_VALUE_TEXT) return;
    if (!lun_file_read(l, LUN_PART_PRICES, NULL, v->text, &part, &why)) { lun_wrong(l, v, "%s cannot be read: %s", lun_value_quote(v->text, &l->scratch), why); return; }
    l->prices_name = part.name;
    if (!lun_price_file_read(part.text, part.n, &l->scratch, &file, &error)) {
        lun_mistakes_add(l->mistakes, lun_file_shown(l, part.name), line_at(part.text, error.at), "is no file of prices: at byte %zu: %s", error.at, error.what);
        return;
    }
    l->prices = lun_arena_alloc(&l->scratch, sizeof file);
    *l->prices = file;
}

/* ---- the table of a target ---- */

#define X(id, name) name,
static const char *const services[] = { LUN_SERVICES(X) };
#undef X

enum { TIERS = 32 };
struct tiers { struct lun_loading *l; struct lun_price_tier given[TIERS]; int n; };

static void add_tier(struct tiers *t, enum lun_service service, struct lun_value *v, enum lun_scope scope)
{
    struct lun_price_tier tier = { service, 0, lun_price_unknown };
    if (v->type != LUN_VALUE_TABLE) { lun_wrong(t->l, v, "must be a table, not %s", lun_value_show(v, &t->l->scratch)); return; }
    lun_check(t->l, scope, v, &tier, 0, lun_origin_prefix(t->l, v));
    for (int i = 0; i < t->n; i++)
        if (t->given[i].service == service && t->given[i].above == tier.above) { lun_wrong(t->l, v, "is said twice for so many tokens"); return; }
    if (t->n == TIERS) lun_wrong(t->l, v, "is one tier too many: there can be %d", TIERS);
    else t->given[t->n++] = tier;
}

static void add_lengths(struct tiers *t, enum lun_service service, enum lun_scope scope, const struct lun_value *table)
{
    struct lun_value *list = lun_check_get(t->l, scope, table, "above");
    for (int i = 0; list && i < list->n_list; i++) add_tier(t, service, list->items[i], LUN_SCOPE_ABOVE);
}

static void load_tiers(struct lun_loading *l, const struct lun_value *table, struct lun_price *p)
{
    struct tiers t = { .l = l };
    add_lengths(&t, LUN_SERVICE_STANDARD, LUN_SCOPE_PRICE, table);
    for (int i = LUN_SERVICE_STANDARD + 1; i < LUN_SERVICE_COUNT; i++) {
        struct lun_value *v = lun_check_get(l, LUN_SCOPE_PRICE, table, services[i]);
        if (!v) continue;
        add_tier(&t, (enum lun_service)i, v, LUN_SCOPE_SERVICE);
        add_lengths(&t, (enum lun_service)i, LUN_SCOPE_SERVICE, v);
    }
    lun_price_tiers(p, t.given, t.n, &l->snapshot->arena);
}

/* ---- the entry of a target ---- */

/* Other entries for the same model, of other providers, at other prices: "azure/gpt-4.1, openrouter/gpt-4.1"; NULL: none. */
static const char *rivals(struct lun_loading *l, const char *model, const struct lun_price_entry *taken)
{
    struct lun_buf out = { 0 };
    size_t n = strlen(model);
    int found = 0;
    for (int i = 0; i < l->prices->n; i++) {
        const struct lun_price_entry *e = &l->prices->entries[i];
        size_t length = strlen(e->name);
        if (e == taken || length <= n || strcmp(e->name + length - n, model) || e->name[length - n - 1] != '/') continue;
        if (!lun_price_known(&e->price) || (taken && lun_price_equal(&e->price, &taken->price))) continue;
        if (found++ < 4) lun_buf_printf(&out, "%s%s", found > 1 ? ", " : "", e->name);
    }
    const char *text = found ? lun_arena_printf(&l->scratch, "%s%s", lun_buf_text(&out), found > 4 ? ", …" : "") : NULL;
    lun_buf_free(&out);
    return text;
}

static void note(struct lun_loading *l, const struct lun_value *table, const char *what)
{
    if (!l->options->notes) return;
    lun_mistakes_add(l->options->notes, table->place.file ? table->place.file : "configuration", table->place.line, "note: %s: %s", lun_value_path(table, &l->scratch), what);
}

static void note_odd(struct lun_loading *l, const struct lun_value *table, const struct lun_price_entry *e)
{
    struct lun_buf out = { 0 };
    int shown = 0;
    for (int i = 0; i < l->prices->n_odd; i++) {
        const struct lun_price_odd *o = &l->prices->odd[i];
        if (strcmp(o->entry, e->name)) continue;
        if (shown++ < 4) lun_buf_printf(&out, "%s%s%s%s", shown > 1 ? "; " : "", o->field, *o->field ? ": " : "", o->why);
    }
    if (shown) note(l, table, lun_arena_printf(&l->scratch, "of its entry %s in %s: %s%s", lun_value_quote(e->name, &l->scratch), l->prices_name, lun_buf_text(&out), shown > 4 ? "; …" : ""));
    lun_buf_free(&out);
}

static const struct lun_price_entry *entry_of(struct lun_loading *l, const struct lun_value *table, const struct lun_target *t, bool wanted)
{
    const struct lun_price_entry *e = lun_price_file_find(l->prices, lun_arena_printf(&l->scratch, "%s/%s", t->provider->name, t->upstream));
    if (e) return e;
    e = lun_price_file_find(l->prices, t->upstream);
    const char *others = wanted ? rivals(l, t->upstream, e) : NULL;
    if (others && e) note(l, table, lun_arena_printf(&l->scratch, "its price is that of %s in %s; there are others: %s. Say price = { … } where it is one of those", lun_value_quote(e->name, &l->scratch), l->prices_name, others));
    else if (others) note(l, table, lun_arena_printf(&l->scratch, "has no price: %s has none for %s, but for %s", l->prices_name, lun_value_quote(t->upstream, &l->scratch), others));
    return e;
}

static void origin(struct lun_loading *l, const struct lun_value *table, const char *name, const struct lun_price_entry *e, const char *value)
{
    if (!lun_origins_wanted(l)) return;
    const struct lun_value from = { .from = lun_arena_printf(&l->scratch, "%s: %s", lun_file_shown(l, l->prices_name), e->name) };
    lun_origin(l, &from, lun_arena_printf(&l->scratch, "%s.%s", lun_value_path(table, &l->scratch), name), value);
}

static void origin_parts(struct lun_loading *l, const struct lun_value *table, const char *prefix, const struct lun_price_entry *e, const struct lun_price *p)
{
    char text[24];
#define X(part, ...) if (p->part >= 0) { lun_price_text(p->part, text); origin(l, table, lun_arena_printf(&l->scratch, "%s." #part, prefix), e, text); }
    LUN_PRICE_PARTS(X)
#undef X
}

static void origin_tiers(struct lun_loading *l, const struct lun_value *table, const struct lun_price_entry *e)
{
    int longer[LUN_SERVICE_COUNT] = { 0 };
    for (int i = 0; i < e->price.n_tiers; i++) {
        const struct lun_price_tier *t = &e->price.tiers[i];
        const char *prefix = t->service ? lun_arena_printf(&l->scratch, "price.%s", services[t->service]) : "price";
        if (t->above) {
            prefix = lun_arena_printf(&l->scratch, "%s.above[%d]", prefix, ++longer[t->service]);
            origin(l, table, lun_arena_printf(&l->scratch, "%s.tokens", prefix), e, lun_arena_printf(&l->scratch, "%lld", (long long)t->above));
        }
        origin_parts(l, table, prefix, e, &t->price);
    }
}

static void take_price(struct lun_loading *l, const struct lun_value *table, const struct lun_price_entry *e, struct lun_price *p)
{
    *p = e->price;
    struct lun_price_tier *tiers = lun_arena_alloc(&l->snapshot->arena, (size_t)p->n_tiers * sizeof *tiers + 1);
    if (p->n_tiers) memcpy(tiers, p->tiers, (size_t)p->n_tiers * sizeof *tiers);
    p->tiers = tiers;
    origin_parts(l, table, "price", e, p);
    origin_tiers(l, table, e);
    if (e->odd) note_odd(l, table, e);
}

static void take_count(struct lun_loading *l, const struct lun_value *table, const char *name, const struct lun_price_entry *e, int64_t from, int64_t *to)
{
    if (*to || !from) return;
    *to = from;
    origin(l, table, name, e, lun_arena_printf(&l->scratch, "%lld", (long long)from));
}

void lun_load_price(struct lun_loading *l, const struct lun_value *table, struct lun_target *t)
{
    const struct lun_value *said = lun_value_get(table, "price");
    struct lun_value *price = lun_check_get(l, LUN_SCOPE_TARGET, table, "price");
    if (price) load_tiers(l, price, &t->price);
    if (!l->prices || !t->provider || strchr(t->upstream, '*')) return;
    const struct lun_price_entry *e = entry_of(l, table, t, !said);
    if (!e) return;
    if (!said) take_price(l, table, e, &t->price);
    take_count(l, table, "context", e, e->context, &t->context);
    take_count(l, table, "max_output", e, e->max_output, &t->max_output);
}

/* ---- prices that a hard limit needs ---- */

static bool may_ask(const struct lun_client_rule *c, const char *model)
{
    for (int i = 0; i < c->n_models; i++) if (lun_pattern_fits(c->models[i], model)) return true;
    return !c->n_models;
}

/* A budget with a hard limit that requests for that model can count to; NULL: there is none. */
static const char *limit_on(struct lun_loading *l, const char *model)
{
    const struct lun_snapshot *s = l->snapshot;
    if (s->total.limit >= 0) return "total";
    for (int i = 0; i < s->n_clients; i++) {
        const struct lun_client_rule *c = &s->clients[i];
        if (!may_ask(c, model)) continue;
        if (c->budget.limit >= 0) return lun_arena_printf(&l->scratch, "key %s", c->name);
        if (c->team && c->team->budget.limit >= 0) return lun_arena_printf(&l->scratch, "team %s", c->team->name);
    }
    return NULL;
}

static void check_model(struct lun_loading *l, const struct lun_model *m, const struct lun_value *v)
{
    const char *budget = limit_on(l, m->name);
    int known = 0;
    for (int i = 0; i < m->n_targets; i++) known += lun_price_known(&m->targets[i]->price);
    if (m->pattern || !budget || !m->n_targets || known == m->n_targets) return;
    if (!known) {
        lun_wrong(l, v, "%s of its targets has a price that is known, and the budget \"%s\" has a hard limit: no request under it could be sent. "
                  "Say price = { input = …, output = … } (0 where it costs nothing), or prices = \"FILE\" with a file that has it", m->n_targets == 1 ? "not one" : "none", budget);
        return;
    }
    for (int i = 0; i < m->n_targets; i++)
        if (!lun_price_known(&m->targets[i]->price))
            note(l, v, lun_arena_printf(&l->scratch, "the price of the target %s is not known: requests under the budget \"%s\" pass it over", lun_value_quote(m->targets[i]->name, &l->scratch), budget));
}

void lun_load_check_prices(struct lun_loading *l)
{
    const struct lun_value *map = lun_value_get(l->root, "models");
    for (int i = 0; i < l->snapshot->n_models && !lun_loading_failed(l); i++) {
        const struct lun_model *m = &l->snapshot->models[i];
        const struct lun_value *v = lun_value_get(map, m->name);
        if (v) check_model(l, m, v);
    }
}
