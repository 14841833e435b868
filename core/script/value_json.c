#include "base/text.h"
#include "script/value.h"
#include <string.h>

const char lun_value_twice[] = "is said twice";

static void bad(struct lun_value *v, const char *why) { v->type = LUN_VALUE_BAD, v->text = why, v->n = strlen(why); }

static void take(struct lun_json j, struct lun_value *v, int depth, struct lun_arena *arena);

static void take_text(struct lun_json j, struct lun_value *v, struct lun_arena *arena)
{
    v->text = j.n <= 6 * (size_t)LUN_VALUE_TEXT_MAX ? lun_json_string_in(j, true, arena, &v->n) : NULL;
    if (!v->text || v->n > LUN_VALUE_TEXT_MAX) bad(v, v->text ? "text of more than 64 KiB" : "text that is too long, or with a zero byte or half a character in it");
    else v->type = LUN_VALUE_TEXT;
}

static void take_member(struct lun_value *table, const struct lun_json_each *e, int depth, struct lun_arena *arena)
{
    size_t n = 0;
    const char *name = lun_json_string_in(e->key, true, arena, &n);
    struct lun_value *twin = name ? lun_value_get(table, name) : NULL;
    if (!name || !n || n > LUN_VALUE_NAME_MAX) bad(table, "a name that is empty, too long or no plain text");
    else if (twin) bad(twin, lun_value_twice);
    else take(e->value, lun_value_add(table, name, arena), depth + 1, arena);
}

static void take_table(struct lun_json j, struct lun_value *v, int depth, struct lun_arena *arena)
{
    struct lun_json_each e = lun_json_each(j);
    v->type = LUN_VALUE_TABLE;
    if (depth >= LUN_VALUE_DEPTH) bad(v, "more than 32 tables inside one another");
    while (v->type == LUN_VALUE_TABLE && lun_json_next(&e)) {
        if (v->n_items == LUN_VALUE_ITEMS) bad(v, "too large: more than 1,000 values in one table");
        else if (e.key.n) take_member(v, &e, depth, arena);
        else take(e.value, lun_value_add(v, NULL, arena), depth + 1, arena);
    }
}

static void take(struct lun_json j, struct lun_value *v, int depth, struct lun_arena *arena)
{
    switch (lun_json_type(j)) {
    case LUN_JSON_TRUE: case LUN_JSON_FALSE: v->type = LUN_VALUE_BOOL, v->yes = lun_json_true(j); return;
    case LUN_JSON_NUMBER:
        v->type = LUN_VALUE_NUMBER;
        if (!lun_json_double(j, &v->number)) bad(v, "a number that is too large");
        return;
    case LUN_JSON_STRING: take_text(j, v, arena); return;
    case LUN_JSON_ARRAY: case LUN_JSON_OBJECT: take_table(j, v, depth, arena); return;
    default: bad(v, "null, where a value is wanted");
    }
}

struct lun_value *lun_value_of_json(struct lun_json j, struct lun_arena *arena)
{
    struct lun_value *root = lun_arena_zalloc(arena, sizeof *root);
    take(j, root, 0, arena);
    return root;
}
