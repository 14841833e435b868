#include "state/tuning.h"
#include "base/alloc.h"
#include "base/decimal.h"
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

static bool wrong(const struct lun_policy_setting *s, char problem[200])
{
    char must[120];
    switch (s->initial.type) {
    case LUN_PLAIN_NUMBER: snprintf(problem, 200, "%s", bounds(s, must)); break;
    case LUN_PLAIN_BOOL:   snprintf(problem, 200, "must be true or false"); break;
    case LUN_PLAIN_TEXT:   snprintf(problem, 200, "must be a text of at most %d bytes", LUN_PLAIN_TEXT_MOST); break;
    }
    return false;
}

bool lun_policy_setting_takes(const struct lun_policy_setting *s, const struct lun_plain *v, char problem[200])
{
    if (v->type != s->initial.type) return wrong(s, problem);
    switch (v->type) {
    case LUN_PLAIN_NUMBER: return (isfinite(v->number) && v->number >= s->min && v->number <= s->max) || wrong(s, problem);
    case LUN_PLAIN_TEXT:   return strlen(v->text) <= LUN_PLAIN_TEXT_MOST || wrong(s, problem);
    case LUN_PLAIN_BOOL:   break;
    }
    return true;
}

bool lun_policy_setting_read(const struct lun_policy_setting *s, const char *text, struct lun_plain *v, char problem[200])
{
    char *end;
    *v = (struct lun_plain){ .type = s->initial.type, .text = text };
    switch (v->type) {
    case LUN_PLAIN_NUMBER:
        v->number = lun_decimal_read(text, &end);
        if (!*text || *end) return wrong(s, problem);
        break;
    case LUN_PLAIN_BOOL:
        v->yes = !strcmp(text, "true");
        if (!v->yes && strcmp(text, "false")) return wrong(s, problem);
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
