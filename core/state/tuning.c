#include "state/tuning.h"
#include "base/alloc.h"
#include "base/decimal.h"
#include "base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *bounds(const struct lun_policy_setting *s, char out[120])
{
    bool low = s->min != -HUGE_VAL, high = s->max != HUGE_VAL;
    if (low && high) snprintf(out, 120, "must be a number from %.14g to %.14g", s->min, s->max);
    else if (low) snprintf(out, 120, "must be a number of at least %.14g", s->min);
    else if (high) snprintf(out, 120, "must be a number up to %.14g", s->max);
    else snprintf(out, 120, "must be a number");
    return out;
}

#define CHOICES_SHOWN 400       /* bytes of them in a message */

const char *lun_policy_setting_choices(const struct lun_policy_setting *s, char out[LUN_SETTING_PROBLEM])
{
    size_t n = 0;
    for (int i = 0; i < s->n_choices; i++) {
        const char *between = !i ? "" : i == s->n_choices - 1 ? " or " : ", ";
        if (n + strlen(s->choices[i]) > CHOICES_SHOWN) return snprintf(out + n, LUN_SETTING_PROBLEM - n, " or %d more", s->n_choices - i), out;
        n += (size_t)snprintf(out + n, LUN_SETTING_PROBLEM - n, "%s\"%s\"", between, s->choices[i]);
    }
    return out;
}

static void tell_choices(const struct lun_policy_setting *s, const char *text, char problem[LUN_SETTING_PROBLEM])
{
    char may[LUN_SETTING_PROBLEM];
    const char *near = text ? lun_text_nearest(text, s->choices, (size_t)s->n_choices) : NULL;
    snprintf(problem, LUN_SETTING_PROBLEM, "must be %s%s%s%s", lun_policy_setting_choices(s, may), near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static bool wrong(const struct lun_policy_setting *s, const struct lun_plain *v, char problem[LUN_SETTING_PROBLEM])
{
    char must[120];
    switch (s->initial.type) {
    case LUN_PLAIN_NUMBER: snprintf(problem, LUN_SETTING_PROBLEM, "%s", bounds(s, must)); break;
    case LUN_PLAIN_BOOL:   snprintf(problem, LUN_SETTING_PROBLEM, "must be true or false"); break;
    case LUN_PLAIN_TEXT:
        if (s->n_choices) tell_choices(s, v->type == LUN_PLAIN_TEXT ? v->text : NULL, problem);
        else snprintf(problem, LUN_SETTING_PROBLEM, "must be a text of at most %d bytes", LUN_PLAIN_TEXT_MOST);
    }
    return false;
}

static bool is_choice(const struct lun_policy_setting *s, const char *text)
{
    for (int i = 0; i < s->n_choices; i++) if (!strcmp(s->choices[i], text)) return true;
    return !s->n_choices;
}

bool lun_policy_setting_takes(const struct lun_policy_setting *s, const struct lun_plain *v, char problem[LUN_SETTING_PROBLEM])
{
    if (v->type != s->initial.type) return wrong(s, v, problem);
    switch (v->type) {
    case LUN_PLAIN_NUMBER: return (isfinite(v->number) && v->number >= s->min && v->number <= s->max) || wrong(s, v, problem);
    case LUN_PLAIN_TEXT:   return (strlen(v->text) <= LUN_PLAIN_TEXT_MOST && is_choice(s, v->text)) || wrong(s, v, problem);
    case LUN_PLAIN_BOOL:   break;
    }
    return true;
}

bool lun_policy_setting_read(const struct lun_policy_setting *s, const char *text, struct lun_plain *v, char problem[LUN_SETTING_PROBLEM])
{
    char *end;
    *v = (struct lun_plain){ .type = s->initial.type, .text = text };
    switch (v->type) {
    case LUN_PLAIN_NUMBER:
        v->number = lun_decimal_read(text, &end);
        if (!*text || *end) return wrong(s, v, problem);
        break;
    case LUN_PLAIN_BOOL:
        v->yes = !strcmp(text, "true");
        if (!v->yes && strcmp(text, "false")) return wrong(s, v, problem);
        break;
    case LUN_PLAIN_TEXT: break;
    }
    return lun_policy_setting_takes(s, v, problem);
}

bool lun_plain_of_json(struct lun_json j, struct lun_arena *arena, struct lun_plain *v)
{
    *v = (struct lun_plain){0};
    switch (lun_json_type(j)) {
    case LUN_JSON_TRUE: case LUN_JSON_FALSE:
        v->type = LUN_PLAIN_BOOL;
        v->yes = lun_json_type(j) == LUN_JSON_TRUE;
        return true;
    case LUN_JSON_NUMBER:
        v->type = LUN_PLAIN_NUMBER;
        return lun_json_double(j, &v->number);
    case LUN_JSON_STRING:
        v->type = LUN_PLAIN_TEXT;
        return (v->text = lun_json_string_in(j, true, arena, NULL)) != NULL;
    default: return false;
    }
}

bool lun_plain_same(const struct lun_plain *a, const struct lun_plain *b)
{
    if (a->type != b->type) return false;
    return a->type == LUN_PLAIN_NUMBER ? a->number == b->number : a->type == LUN_PLAIN_BOOL ? a->yes == b->yes : !strcmp(a->text, b->text);
}

void lun_plain_put(struct lun_buf *out, const struct lun_plain *v)
{
    switch (v->type) {
    case LUN_PLAIN_NUMBER: lun_json_put_number(out, v->number); break;
    case LUN_PLAIN_BOOL:   lun_json_put_bool(out, v->yes); break;
    case LUN_PLAIN_TEXT:   lun_json_put_text(out, v->text); break;
    }
}

static void write_json(struct lun_tuning *t)
{
    struct lun_buf out = {0};
    lun_buf_putc(&out, '{');
    for (int i = 0; i < t->n; i++) {
        lun_json_put_key(&out, t->items[i].name);
        lun_plain_put(&out, &t->items[i].value);
    }
    lun_buf_putc(&out, '}');
    t->json = t->n ? lun_arena_strndup(&t->arena, out.at, out.n) : NULL;
    lun_buf_free(&out);
}

struct lun_tuning *lun_tuning_new(const struct lun_tuned *items, int n)
{
    struct lun_tuning *t = lun_zalloc(sizeof *t);
    atomic_init(&t->references, 1);
    t->n = n;
    t->items = lun_arena_alloc(&t->arena, (size_t)(n + 1) * sizeof *t->items);
    for (int i = 0; i < n; i++) {
        t->items[i] = (struct lun_tuned){ lun_arena_strdup(&t->arena, items[i].name), items[i].value };
        t->items[i].value.text = lun_arena_strdup(&t->arena, items[i].value.text);
    }
    write_json(t);
    return t;
}

struct lun_tuning *lun_tuning_ref(struct lun_tuning *t)
{
    if (t) atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void lun_tuning_unref(struct lun_tuning *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1) return;
    lun_arena_free(&t->arena);
    free(t);
}

const struct lun_plain *lun_tuning_get(const struct lun_tuning *t, const char *name)
{
    for (int i = 0; t && i < t->n; i++)
        if (!strcmp(t->items[i].name, name)) return &t->items[i].value;
    return NULL;
}
