/* A policy's `settings`: what each may be, and what it is at first: the policy's default, or what the environment says. */
#include "script/loading.h"
#include "state/tuning.h"
#include "base/text.h"
#include <math.h>
#include <string.h>

#define CHOICE_MOST 64          /* bytes */

/* What stands in the table of one setting. */
struct said { struct lun_value *whole, *first, *min, *max, *choices; };

static bool is_plain(const struct lun_value *v) { return v->type == LUN_VALUE_NUMBER || v->type == LUN_VALUE_TEXT || v->type == LUN_VALUE_BOOL; }

static void check_names(struct lun_loading *l, const struct said *said)
{
    static const char *const names[] = { "default", "min", "max", "choices" };
    for (int i = 0; i < said->whole->n_items; i++) {
        struct lun_value *item = said->whole->items[i];
        if (item == said->first || item == said->min || item == said->max || item == said->choices) continue;
        lun_wrong(l, item, "is not known here%s", item->key ? lun_hint(l, lun_text_nearest(item->key, names, 4)) : "");
    }
}

static bool within(const struct lun_value *v, const struct lun_value *min, const struct lun_value *max)
{
    return v->number == v->number && (!min || v->number >= min->number) && (!max || v->number <= max->number);
}

static void check_bounds(struct lun_loading *l, const struct said *said)
{
    for (int i = 0; i < 2; i++) {
        struct lun_value *bound = i ? said->max : said->min;
        if (bound && bound->type != LUN_VALUE_NUMBER) { lun_wrong(l, bound, "must be a number, not %s", lun_value_show(bound, &l->scratch)); return; }
    }
    if (said->first->type != LUN_VALUE_NUMBER) {
        if (said->min || said->max) lun_wrong(l, said->whole, "can have min and max only with a number as default");
    } else if (!within(said->first, said->min, said->max)) lun_wrong(l, said->first, "is outside of min and max");
}

static bool is_choice(const struct lun_value *v) { return v->type == LUN_VALUE_TEXT && v->n && v->n <= CHOICE_MOST; }

static void check_choice(struct lun_loading *l, const struct lun_value *list, int at)
{
    struct lun_value *v = list->items[at];
    if (v->type == LUN_VALUE_BAD) { lun_wrong(l, v, "%s", v->text); return; }
    if (!is_choice(v)) { lun_wrong(l, v, "must be a text of 1 to %d bytes, not %s", CHOICE_MOST, lun_value_show(v, &l->scratch)); return; }
    for (int i = 0; i < at; i++)
        if (is_choice(list->items[i]) && !strcmp(list->items[i]->text, v->text)) { lun_wrong(l, v, "%s stands there twice", lun_value_show(v, &l->scratch)); return; }
}

static void check_choices(struct lun_loading *l, const struct said *said)
{
    struct lun_value *list = said->choices;
    bool found = false;
    if (!list) return;
    if (list->type != LUN_VALUE_TABLE || !list->n_items || list->n_list != list->n_items || list->n_items > LUN_CHOICES_MOST) {
        lun_wrong(l, list, "must be a list of 1 to %d texts, not %s", LUN_CHOICES_MOST, list->type == LUN_VALUE_TABLE && !list->n_items ? "an empty one" : lun_value_show(list, &l->scratch));
        return;
    }
    for (int i = 0; i < list->n_items; i++) check_choice(l, list, i);
    if (said->first->type != LUN_VALUE_TEXT) { lun_wrong(l, list, "can stand only with a text as default"); return; }
    for (int i = 0; i < list->n_items; i++) found |= is_choice(list->items[i]) && !strcmp(list->items[i]->text, said->first->text);
    if (!found) lun_wrong(l, said->first, "%s is none of choices", lun_value_show(said->first, &l->scratch));
}

static const char *const *choices_of(struct lun_arena *arena, const struct lun_value *list)
{
    const char **choices = lun_arena_alloc(arena, (size_t)(list->n_items + 1) * sizeof *choices);
    for (int i = 0; i < list->n_items; i++) choices[i] = lun_arena_strdup(arena, list->items[i]->text);
    return choices;
}

static struct lun_policy_setting *keep(struct lun_loading *l, const struct said *said)
{
    struct lun_snapshot *s = l->snapshot;
    struct lun_policy_setting *to = (struct lun_policy_setting *)&s->settings[s->n_settings++];
    *to = (struct lun_policy_setting){ .name = lun_arena_strdup(&s->arena, said->whole->key),
                                       .min = said->min ? said->min->number : -HUGE_VAL, .max = said->max ? said->max->number : HUGE_VAL };
    to->initial.type = said->first->type == LUN_VALUE_NUMBER ? LUN_PLAIN_NUMBER : said->first->type == LUN_VALUE_BOOL ? LUN_PLAIN_BOOL : LUN_PLAIN_TEXT;
    to->initial.number = said->first->number;
    to->initial.yes = said->first->yes;
    to->initial.text = said->first->type == LUN_VALUE_TEXT ? lun_arena_strdup(&s->arena, said->first->text) : NULL;
    if (said->choices) to->choices = choices_of(&s->arena, said->choices), to->n_choices = said->choices->n_items;
    return to;
}

/* The environment's value stands instead of the policy's default. */
static void ask_environment(struct lun_loading *l, struct lun_policy_setting *s, struct lun_value *first)
{
    char problem[LUN_SETTING_PROBLEM];
    struct lun_plain value;
    const struct lun_outside *outside = lun_override_setting(l, s->name);
    if (!outside) return;
    if (!lun_policy_setting_read(s, outside->text, &value, problem)) {
        if (l->options->as_it_was) return;
        l->outside_wrong++;
        lun_mistakes_add(l->mistakes, outside->from, 0, "%s, not %s", problem, lun_value_quote(outside->text, &l->scratch));
        return;
    }
    s->initial = value;
    s->initial.text = lun_arena_strdup(&l->snapshot->arena, value.text);
    s->from = lun_arena_strdup(&l->snapshot->arena, outside->from);
    first->from = outside->from;
}

static void note_origin(struct lun_loading *l, const struct lun_policy_setting *s, const struct lun_value *first)
{
    struct lun_value shown = { .type = first->type, .yes = s->initial.yes, .number = s->initial.number, .text = s->initial.text,
                               .n = s->initial.text ? strlen(s->initial.text) : 0 };
    lun_origin(l, first, lun_arena_printf(&l->scratch, "settings.%s", s->name), lun_value_show(&shown, &l->scratch));
}

static void check_setting(struct lun_loading *l, struct lun_value *v)
{
    int told = l->mistakes->told;
    struct said said = { v, lun_value_get(v, "default"), lun_value_get(v, "min"), lun_value_get(v, "max"), lun_value_get(v, "choices") };
    if (v->type != LUN_VALUE_TABLE) { lun_wrong(l, v, "must be a table: { default = …, min = …, max = … } or { default = …, choices = { … } }"); return; }
    check_names(l, &said);
    if (!said.first) { lun_wrong(l, v, "has no default"); return; }
    if (!is_plain(said.first)) lun_wrong(l, said.first, "must be a number, text, true or false");
    else if (said.first->type == LUN_VALUE_TEXT && said.first->n > LUN_PLAIN_TEXT_MOST) lun_wrong(l, said.first, "must be a text of at most %d bytes", LUN_PLAIN_TEXT_MOST);
    check_bounds(l, &said);
    check_choices(l, &said);
    if (told != l->mistakes->told) return;
    struct lun_policy_setting *s = keep(l, &said);
    ask_environment(l, s, said.first);
    note_origin(l, s, said.first);
}

void lun_load_policy_settings(struct lun_loading *l, struct lun_value *v)
{
    if (v->type != LUN_VALUE_TABLE || v->n_list) { lun_wrong(l, v, "must be a table of settings by name"); return; }
    l->snapshot->settings = lun_arena_alloc(&l->snapshot->arena, (size_t)(v->n_items + 1) * sizeof *l->snapshot->settings);
    for (int i = 0; i < v->n_items; i++)
        if (v->items[i]->type == LUN_VALUE_BAD) lun_wrong(l, v->items[i], "%s", v->items[i]->text);
        else check_setting(l, v->items[i]);
}
